/* sim/oracle.h - what must never happen, judged by bytes on the wire and ids of inner packets.
 *
 * Shares no code with wg/, sync/ or node/: it knows the WireGuard data message's layout and nothing
 * else. A violation is printed with the time and ends the run with a failure. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct oracle;

struct oracle *oracle_new(void);
void oracle_free(struct oracle *o);

/* A member (never a client) put this datagram on the wire. Nonce uniqueness: one (receiver index,
 * counter) stands for one ciphertext for ever. No send past 180 s of the index's first sight. */
void oracle_sent(struct oracle *o, uint64_t now_ns, unsigned member, const uint8_t *bytes,
                 size_t len);
/* A member accepted this datagram, keepalives included. From the attacker's address it may be the
 * first copy that got through (nobody can tell that from roaming), never a second one.
 * @may_double: *normal* profile after a partition. */
void oracle_accepted(struct oracle *o, uint64_t now_ns, unsigned member, const uint8_t *bytes,
                     size_t len, bool from_attacker, bool may_double);
/* An inner packet was delivered: at most once each. @may_double: *normal* profile after a
 * partition. */
void oracle_delivered(struct oracle *o, uint64_t now_ns, uint64_t id, bool at_hub, bool may_double);
/* This inner packet was sent and must be delivered; oracle_all_delivered() tells which were not,
 * and returns how long the slowest took. */
void oracle_expect(struct oracle *o, uint64_t now_ns, uint64_t id);
uint64_t oracle_all_delivered(struct oracle *o, uint64_t now_ns);
/* Warm mode: no record of a session (field 19 of a sync message) leaves a member. */
void oracle_warm_frame(struct oracle *o, uint64_t now_ns, unsigned member, const uint8_t *bytes,
                       size_t len);
void oracle_violation(struct oracle *o, uint64_t now_ns, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
unsigned oracle_violations(const struct oracle *o);
uint64_t oracle_packets(const struct oracle *o);
uint64_t oracle_deliveries(const struct oracle *o);
