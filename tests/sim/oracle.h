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

/* Who did it: a member's life; a restart is another. @apart: siblings (a bit each) that it was not
 * in touch with, through no fault of theirs: what the *normal* profile excuses (failover.md 4.4).
 */
struct oracle_who {
    unsigned member; /* 0: a client */
    uint64_t life;   /* unique in the run */
    unsigned apart;
};

/* A member (never a client) put this datagram on the wire. Nonce uniqueness: one (receiver index,
 * counter) stands for one ciphertext for ever. No send past 180 s of the index's first sight. The
 * layout of counters (3.2) says who may use which. An initiation is answered once by all who could
 * know of it (H2). */
void oracle_sent(struct oracle *o, uint64_t now_ns, const struct oracle_who *who,
                 const uint8_t *bytes, size_t len);
/* A new life of a member begins; it heard all that a sibling has to tell who connects; it heard
 * what the sibling itself did until then. */
void oracle_born(struct oracle *o, unsigned member);
void oracle_met(struct oracle *o, unsigned member, unsigned sibling);
void oracle_heard(struct oracle *o, unsigned member, unsigned sibling, uint64_t until_ns);
/* Nothing but crashes and moves in this run: a takeover is heard at once. */
void oracle_orderly(struct oracle *o);
/* It slept, or had a VIP come to it: what it sent before belongs to an earlier term (N9). */
void oracle_slept(struct oracle *o, unsigned member);
/* Somebody accepted this datagram, keepalives included. From the attacker's address it may be the
 * first copy that got through (nobody can tell that from roaming), never a second one. True: the
 * second one is excused, as the profile says. */
bool oracle_accepted(struct oracle *o, uint64_t now_ns, const struct oracle_who *who,
                     const uint8_t *bytes, size_t len, bool from_attacker);
/* A client's window did not take an authentic datagram; @kind for the message. It may be late or a
 * copy, but never the highest so far: a takeover must not look like a replay (3.1). */
void oracle_dropped_by(struct oracle *o, uint64_t now_ns, const uint8_t *bytes, const char *kind);
/* A member's memory has a key of this receiver index: until 540 s after it was first seen. */
void oracle_holds(struct oracle *o, uint64_t now_ns, unsigned member, uint32_t index);
/* An inner packet was delivered: at most once each. */
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
