/* engine/engine.h - the data plane: worker threads from UDP to TUN and back, handshake threads.
 *
 * Owner:   app. Threads: every function here is main's, except what says otherwise.
 * Never:   decides anything about peers or sessions: it calls the pure functions of wg/ and hands
 *          facts and handshake results to main.
 *
 * Objects that are published stay valid until engine_retire() runs their free function, on main,
 * after every thread has passed a quiet point (RCU). Take them out of the tables first.
 *
 * Start it after the process has daemonized: its threads do not survive a fork. */
#pragma once
#include "wg/allowedips.h"
#include "wg/fact.h"
#include "wg/gate.h"
#include "wg/handshake.h"
#include "wg/peer.h"

#define STAGED_PACKETS_MAX 128 /* of one peer that has no key yet */
#define HANDSHAKE_QUEUE_MAX 4096
#define DATAGRAM_MAX 65535

typedef struct uv_loop_s uv_loop_t;
struct engine;

struct engine_ops { /* all called on main's loop */
    void *ctx;
    /* FACT_NEED_SESSION comes only while packets wait that the present key cannot send.
     * FACT_GAP: @index is the worker's number; it does nothing until engine_resume(). */
    void (*fact)(void *ctx, const struct fact *f);
    /* Takes r->keys etc. with TAKE_PTR. Valid ones, and every HANDSHAKE_INITIATE however it ended
     * (a drop verdict, with peer_id). */
    void (*handshake)(void *ctx, struct handshake_result *r);
    void (*failed)(void *ctx, const char *what, int err); /* a loop or the TUN died */
};

struct engine_config {
    uint8_t hub;
    unsigned workers;           /* 1..64 */
    bool pin_workers;           /* each to one of the CPUs that the process may use */
    unsigned handshake_threads; /* 1..16 */
    const int *tun_fds;         /* one queue each, [workers]; the caller closes them after
                                 * engine_stop(). -1, not for the first: that worker has UDP only
                                 * and writes to the first one's queue */
    unsigned mtu;
    unsigned offloads; /* enum offload: what the TUN and the kernel's sockets have */
    struct gate *gate;
    struct beat {
        _Atomic uint64_t boot_ns;
    } * beats;      /* [workers + 1], the door's last; shared with the sentinel; may be NULL */
    bool gap_check; /* cluster mode: R12, N9 */
};

int engine_new(uv_loop_t *main_loop, const struct engine_config *c, const struct engine_ops *ops,
               struct engine **ret);
/* Stops and joins the threads; nothing is called any more. Everything but the sending functions may
 * still be called, so that owners can take their objects out and retire them. */
void engine_stop(struct engine *e);
/* engine_stop(), then frees, retired objects included. What is still published is the caller's to
 * free, but identity, cookie secret and remotes. Run main_loop once more before closing it. Not
 * from inside an op. */
void engine_free(struct engine *e);
void engine_set_mtu(struct engine *e, unsigned mtu);

/* Sockets of one VIP slot: one reuseport group per address, a socket per worker in each, bound
 * with IP_FREEBIND and steered by receiver index modulo workers; all are bound before the first
 * serves. Plain mode: slot VIP_SLOT_PLAIN with no addresses means any address, both families.
 * *port 0: a random port is chosen and returned. -EADDRINUSE: another socket has the port;
 * -EEXIST: the slot is open. Both functions wait for the workers to have done it. */
int engine_open_sockets(struct engine *e, uint16_t vip_slot, const struct endpoint *addrs,
                        unsigned count, uint16_t *port);
void engine_close_sockets(struct engine *e, uint16_t vip_slot);
int engine_set_fwmark(struct engine *e, uint32_t mark);

/* Any thread. A handshake message or cookie out; @local (may be NULL) is the address to answer
 * from in plain mode. -EPERM: the slot is not owned, or it is before gate.resume_ns (O1, R12);
 * -ENETUNREACH: no socket of the slot fits; else -errno of the send. */
int engine_send(struct engine *e, uint16_t vip_slot, const struct endpoint *to,
                const struct endpoint *local, uint32_t local_ifindex, const void *buf, size_t len);

/* Publication. Identity and cookie secret (malloc'ed; either may be NULL) are replaced as a whole;
 * the old ones are retired. A remote (malloc'ed) is the engine's from here on, and retired when it
 * is replaced or its peer removed; on failure it stays the caller's. */
void engine_set_identity(struct engine *e, struct identity *id, struct cookie_secret *cookies);
/* @s: arena slot, filled by remote_init(); the engine's when it succeeds. -EEXIST, -ENOMEM */
int engine_add_peer(struct engine *e, struct wg_peer *p, struct remote_secret *s);
void engine_set_remote(struct engine *e, struct wg_peer *p, struct remote_secret *s); /* new PSK */
/* Drops what is staged; the peer itself is the caller's to retire. */
void engine_remove_peer(struct engine *e, struct wg_peer *p);
struct allowedips *engine_allowedips(struct engine *e);
/* -EEXIST: the index is taken (I2). A keypair may take the index of an initiation to the same peer,
 * before or after that is removed. */
int engine_add_keypair(struct engine *e, struct keypair *k);
/* Take out; the index stays out of use for 540 s (I1). The objects are the caller's to retire. */
void engine_remove_keypair(struct engine *e, struct keypair *k);
int engine_add_initiation(struct engine *e, struct initiation *i);
void engine_remove_initiation(struct engine *e, struct initiation *i);
/* Highest stamp accepted from a peer, for the pool's early check. */
void engine_set_last_stamp(struct engine *e, struct wg_peer *p, const uint8_t stamp[TAI64N_LEN]);
void engine_set_last_mac1(struct engine *e, struct wg_peer *p, const uint8_t mac1[16]);
void engine_retire(struct engine *e, void *object, void (*free_fn)(void *));
uint32_t engine_draw_index(struct engine *e); /* any thread */
bool engine_index_known(struct engine *e, uint32_t index);

/* Handshakes: queue a job (HANDSHAKE_INITIATE). -EAGAIN: the queue is full. */
int engine_handshake(struct engine *e, const struct handshake_job *job);

/* Handshake messages dropped since the last call that say whom they are from (nobody has proved
 * it): a row for each key and verdict. What does not fit is not told, only counted. */
#define ENGINE_REFUSALS_MAX 64
struct engine_refusal {
    enum handshake_verdict verdict;
    struct public_key key;
    uint16_t vip_slot;
    struct endpoint source; /* of the last one */
    unsigned count;
};
unsigned engine_take_refusals(struct engine *e, struct engine_refusal ret[ENGINE_REFUSALS_MAX]);

/* Main seals and sends by itself: an empty packet on the peer's current key. TX_NO_KEY also when no
 * endpoint is known. */
enum tx_verdict engine_send_keepalive(struct engine *e, struct wg_peer *p, uint64_t now_ns);
/* The peer has a key now: send what is staged. */
void engine_flush_staged(struct engine *e, struct wg_peer *p, uint64_t now_ns);
void engine_drop_staged(struct engine *e, struct wg_peer *p);
/* What is staged for the peer is given to @fn and gone. */
typedef void staged_fn(void *ctx, const uint8_t *packet, size_t len);
void engine_take_staged(struct engine *e, struct wg_peer *p, staged_fn *fn, void *ctx);
/* A packet of a sibling's TUN: staged, until engine_flush_staged(). */
void engine_stage(struct engine *e, struct wg_peer *p, const uint8_t *packet, size_t len);
/* Acks arrived: workers look at their held packets again (R6). */
void engine_wake_held(struct engine *e);
/* R12: throw away all that is queued in sockets and TUN queues; returns at once, workers do it. */
void engine_discard_queued(struct engine *e);
/* The workers whose FACT_GAP was delivered go on (N9: after the tag was redrawn). */
void engine_resume(struct engine *e);

/* rx, tx: packets by verdict. rx[RX_DROP_MALFORMED] holds datagrams that are no WireGuard message,
 * too. rx_no_peer: of rx[RX_DROP_SOURCE], those whose source is no peer's at all. tx_no_peer:
 * packets whose destination is no peer's, or a peer's without endpoint. staged_dropped: packets
 * that waited for a key in vain. rx_bytes, tx_bytes: of data messages, as on the wire without UDP
 * and IP headers. rx_bursts, tx_bursts: of several datagrams each. tx_fallbacks: bursts that the
 * path refused and that went out in single datagrams. tun_joined: packets that reached the TUN
 * behind another one, in one super-packet; tun_cut: super-packets that came from it. tun_malformed:
 * packets from it that contradict their virtio header. */
struct engine_counters {
    uint64_t rx[RX_VERDICTS], tx[TX_VERDICTS];
    uint64_t handshake[16]; /* by enum handshake_verdict */
    uint64_t rx_no_peer, tx_no_peer, mac1_bad, handshake_queue_full, staged_dropped, facts_dropped;
    uint64_t rx_bytes, tx_bytes, udp_send_errors, tun_write_errors, initiation_repeats;
    uint64_t rx_bursts, tx_bursts, tx_fallbacks, tun_joined, tun_cut, tun_malformed;
};
void engine_counters(const struct engine *e, struct engine_counters *ret);
