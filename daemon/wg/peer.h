/* wg/peer.h - a peer at run time: its keypairs, where it is, and what its timers go by.
 *
 * Owner:   main makes, changes slots, retires after an RCU grace period.
 * Threads: workers read `current`, wake the peer when they adopt a key of it, read and move the
 *          endpoint under its lock, and note packets; main does the rest. */
#pragma once
#include "model/endpoint.h"
#include "wg/keypair.h"

#define NEXT_SLOTS 4 /* unconfirmed responder keys at once (H3) */

/* Most peers of a large hub are idle, and most of the others talk to a sibling. A peer has of the
 * three below what it needs. */

/* Where it is: with its first endpoint, and there as long as the peer is. */
struct peer_place {
    struct endpoint endpoint;
    struct endpoint_version version;
};

/* The slots but `current`: as long as there is a key in one of them. */
struct peer_slots {
    struct keypair *previous;
    struct keypair *next[NEXT_SLOTS]; /* oldest first */
};

/* Of a peer that talks to us: with its first key that is ours, made or adopted, and there as long
 * as the peer is. */
struct peer_live {
    /* Under endpoint_lock. */
    struct ip_addr local; /* plain mode: address that the peer talks to, 0: any */
    uint32_t local_ifindex;

    /* Timer facts: written by whoever handles the packet, 0 = nothing outstanding. */
    _Atomic uint64_t data_sent_ns;     /* first data sent since the last authentic receive */
    _Atomic uint64_t data_received_ns; /* first data received since the last send */
    _Atomic uint64_t traffic_ns;       /* last authentic packet in either direction */

    _Atomic uint64_t rx_bytes, tx_bytes;
    _Atomic uint64_t handshake_real_ns; /* UTC of the last completed handshake; 0: never */
};

struct wg_peer {
    uint64_t id;                     /* never reused in this process */
    struct keypair *_Atomic current; /* main writes; workers load it, and no other slot */
    struct peer_live *_Atomic live;  /* of all peers without one the same one, all zero */
    struct peer_place *place;        /* under endpoint_lock; NULL: unknown */
    struct peer_slots *slots;        /* (main) NULL: empty */
    void *owner_data;                /* (main) the node's own record of this peer */
    struct public_key key;
    _Atomic uint16_t vip; /* slot that it talks to */
    _Atomic uint16_t keepalive_s;
    uint8_t hub;
    _Atomic uint8_t endpoint_lock;
    _Atomic bool armed;         /* main has its timers running */
    _Atomic bool more_received; /* after data_received_ns: another keepalive is due */
};

void wg_peer_init(struct wg_peer *p, uint64_t id, uint8_t hub, const struct public_key *key);
void wg_peer_done(struct wg_peer *p);
/* Before its first key that is ours, on any thread: the peer is idle no longer. -ENOMEM */
int peer_wake(struct wg_peer *p);

/* To read: never NULL. To write: only of a peer that was woken. */
static inline struct peer_live *peer_live(const struct wg_peer *p)
{
    return atomic_load_explicit(&p->live, memory_order_acquire);
}

/* (main) To read: never NULL. */
extern const struct peer_slots peer_slots_empty;
static inline const struct peer_slots *peer_slots(const struct wg_peer *p)
{
    return p->slots ? p->slots : &peer_slots_empty;
}

/* (main) UTC of the last handshake of a peer whose session may have been made by a sibling; 0: none
 * is known. */
uint64_t peer_handshake_real_ns(const struct wg_peer *p, uint64_t now_ns, uint64_t now_real_ns);

/* Notes. Each returns true when main must arm the peer's timers (it was not armed). */
bool peer_note_sent(struct wg_peer *p, uint64_t now_ns, bool data, unsigned wire_bytes);
bool peer_note_received(struct wg_peer *p, uint64_t now_ns, bool data, unsigned wire_bytes);

/* Whatever was outstanding is not any more (main). */
void peer_settle(struct wg_peer *p);

/* An accepted data packet came from @source (E1). True: the endpoint moved. Without memory for the
 * first one nothing changes. */
bool peer_endpoint_update(struct wg_peer *p, const struct endpoint *source,
                          const struct endpoint *local, uint32_t local_ifindex, uint16_t vip_slot,
                          const struct endpoint_version *v);
/* False: none known. @ret_local: an address without a port. */
bool peer_endpoint_get(struct wg_peer *p, struct endpoint *ret, struct endpoint *ret_local,
                       uint32_t *ret_ifindex);
struct endpoint_version peer_endpoint_version(struct wg_peer *p);
int peer_endpoint_set(struct wg_peer *p,
                      const struct endpoint *e); /* configured by hand; -ENOMEM */
/* The local address went away: answer from any (plain mode). */
void peer_endpoint_clear_local(struct wg_peer *p);

/* Slot moves (main). Keypairs that fall out are appended to @ret_out (room for NEXT_SLOTS + 2);
 * returns their number. The caller unpublishes and retires them. Without memory for a slot the key
 * that would get it is in none: one that was current falls out, a `next` receives until it ends. */
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
