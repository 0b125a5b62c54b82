/* Inside a machine of the simulator; what the world sees of it is in world.h. */
#pragma once

#include "sim/world.h"
#include <uthash.h>

struct entry { /* receiver index → keypair or initiation */
    uint32_t index;
    struct keypair *kp;
    struct initiation *initiation;
    struct receiver *receiver; /* a client's window, in place of ours */
    uint64_t bypassed_ns;
    UT_hash_handle hh;
};

struct remote_entry {
    struct wg_peer *peer;
    struct remote remote;
    uint8_t stamp[TAI64N_LEN];
    uint8_t mac1[16];
    bool has_stamp, has_mac1;
    UT_hash_handle hh;
};

/* machine_handshake.c */
struct entry *machine_entry(struct machine *m, uint32_t index); /* NULL: none */
int machine_entry_add(struct machine *m, uint32_t index, struct keypair *k, struct initiation *i);
void machine_entry_remove(struct machine *m, uint32_t index);
struct remote_entry *machine_remote(struct machine *m, const struct wg_peer *p); /* NULL: none */
void machine_tables_clear(struct machine *m);
void machine_handshake(struct machine *m, struct handshake_job *job);

/* machine_check.c */
void machine_check_committed(struct machine *m, uint16_t slot, uint32_t index);
void machine_check_ceiling(struct machine *m, const struct keypair *k, uint64_t counter,
                           unsigned effects);
void machine_check_stamp(struct machine *m, uint64_t stamp_ns);

/* machine_packets.c */
enum tx_verdict machine_transmit(struct machine *m, struct wg_peer *p, const uint8_t *packet,
                                 size_t len); /* NULL: a keepalive */
void machine_stage(struct machine *m, const struct wg_peer *p, const uint8_t *packet);
void machine_receive(struct machine *m, struct event *e); /* a datagram */
void machine_look_at_held(struct machine *m);

/* machine_ops.c: without ctx */
extern const struct node_ops machine_ops;
