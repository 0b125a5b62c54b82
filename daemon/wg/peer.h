/* wg/peer.h - a peer at run time: its keypairs, where it is, and what its timers go by.
 *
 * Owner:   main makes, changes slots, retires after an RCU grace period.
 * Threads: workers read `current`, read and move the endpoint under its lock, and note packets;
 *          main does the rest. */
#pragma once
#include "model/endpoint.h"
#include "wg/keypair.h"

#define NEXT_SLOTS 4 /* unconfirmed responder keys at once (H3) */

struct wg_peer {
    uint64_t id; /* never reused in this process */
    uint8_t hub;
    struct public_key key;

    /* Slots: main writes; workers load `current` only. */
    struct keypair *_Atomic current;
    struct keypair *previous;
    struct keypair *next[NEXT_SLOTS]; /* oldest first */

    _Atomic uint32_t endpoint_lock;
    struct endpoint endpoint;
    struct endpoint local; /* plain mode: address that the peer talks to, 0: any */
    uint32_t local_ifindex;
    struct endpoint_version endpoint_version;
    _Atomic uint16_t vip; /* slot that it talks to */

    /* Timer facts: written by whoever handles the packet, 0 = nothing outstanding. */
    _Atomic uint64_t data_sent_ns;     /* first data sent since the last authentic receive */
    _Atomic uint64_t data_received_ns; /* first data received since the last send */
    _Atomic bool more_received;        /* more came after it: another keepalive is due */
    _Atomic uint64_t traffic_ns;       /* last authentic packet in either direction */
    _Atomic bool armed;                /* main has its timers running */

    _Atomic uint64_t rx_bytes, tx_bytes;
    _Atomic uint64_t handshake_real_ns; /* UTC of the last completed handshake; 0: never */
    _Atomic uint16_t keepalive_s;
    void *owner_data; /* (main) the node's own record of this peer */
};

void wg_peer_init(struct wg_peer *p, uint64_t id, uint8_t hub, const struct public_key *key);

/* Notes. Each returns true when main must arm the peer's timers (it was not armed). */
bool peer_note_sent(struct wg_peer *p, uint64_t now_ns, bool data, unsigned wire_bytes);
bool peer_note_received(struct wg_peer *p, uint64_t now_ns, bool data, unsigned wire_bytes);

/* An accepted data packet came from @source (E1). True: the endpoint moved. */
bool peer_endpoint_update(struct wg_peer *p, const struct endpoint *source,
                          const struct endpoint *local, uint32_t local_ifindex, uint16_t vip_slot,
                          const struct endpoint_version *v);
/* False: none known. */
bool peer_endpoint_get(struct wg_peer *p, struct endpoint *ret, struct endpoint *ret_local,
                       uint32_t *ret_ifindex);
void peer_endpoint_set(struct wg_peer *p, const struct endpoint *e); /* configured by hand */
/* The local address went away: answer from any (plain mode). */
void peer_endpoint_clear_local(struct wg_peer *p);

/* Slot moves (main). Keypairs that fall out are appended to @ret_out (room for NEXT_SLOTS + 2);
 * returns their number. The caller unpublishes and retires them. */
unsigned peer_install_initiated(struct wg_peer *p, struct keypair *k, struct keypair **ret_out);
unsigned peer_install_next(struct wg_peer *p, struct keypair *k, struct keypair **ret_out);
/* First data on @k, one of next[]: it becomes current (or previous, when the current one was made
 * after it); older next ones fall out. */
unsigned peer_confirm(struct wg_peer *p, struct keypair *k, struct keypair **ret_out);
bool peer_forget(struct wg_peer *p, struct keypair *k); /* take @k out of its slot */
/* Place a replica as its record says; what was in the slot falls out, @k never. As current it moves
 * the one that is there to previous, as at its owner, unless that one is newer (by generation):
 * then
 * @k becomes previous. */
unsigned peer_install_replica(struct wg_peer *p, struct keypair *k, enum session_slot slot,
                              struct keypair **ret_out);
