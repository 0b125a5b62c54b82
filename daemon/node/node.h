/* node/node.h - the member's router: what a change, a handshake, a sibling's word or a failover
 * causes, in order. Pure: time and randomness come in, what must be done goes out through ops.
 *
 * Owner:   app (or the simulator). Threads: main; gate, keypairs and peers are shared with packet
 *          threads as their headers say.
 * Never:   touches a socket, a file, a clock or a log of its own.
 *
 * Data flows one way: an event function is called, decides, and calls ops; ops never call back
 * into the node before the event function has returned (results come as later events). */
#pragma once
#include "base/rng.h"
#include "ha/damping.h"
#include "ha/failover.h"
#include "ha/flapfile.h"
#include "model/change.h"
#include "model/notice.h"
#include "model/vip.h"
#include "store/store.h"
#include "sync/replica.h"
#include "wg/fact.h"
#include "wg/gate.h"
#include "wg/handshake.h"
#include "wg/peer.h"

struct instant {
    uint64_t boot_ns; /* CLOCK_BOOTTIME */
    uint64_t real_ns; /* CLOCK_REALTIME */
};

#define REVOKE_WAIT_NS (2 * NS_PER_S)   /* P8 */
#define ASKS_MAX 1024                   /* keys that owners are asked for at a time */
#define COMMIT_WAIT_NS (20 * NS_PER_MS) /* T_COMMIT (H1) */
#define FRESH_DEFAULT_NS (4 * NS_PER_S) /* T_FRESH */
#define REKEY_SOON_NS (30 * NS_PER_S)   /* T3 */
#define REKEY_SOON_MIN_NS                                                                          \
    (5 * NS_PER_S)                         /* ... and not at once, when every peer is busy with it \
                                            */
#define QUARANTINE_NS (540 * NS_PER_S)     /* N6 */
#define ENDPOINT_EVERY_NS (1 * NS_PER_S)   /* E2 */
#define WAKE_KEEPALIVES_PER_TICK 64        /* T6's pacing, per millisecond */
#define CLOCK_SKEW_ALARM_NS (5 * NS_PER_S) /* H6 */
#define NODE_EXCEPTED_MAX 1024 /* routes of peers that use another VIP than their pool's */
#define INITIATION_MIN_GAP_NS (20 * NS_PER_MS) /* accepted initiations of one peer */

enum node_log { NODE_INFO, NODE_WARN, NODE_ALARM };

struct node_ops {
    void *ctx;
    /* The data plane (engine.h has the contracts). */
    void (*send)(void *ctx, uint16_t vip_slot, const struct endpoint *to,
                 const struct endpoint *local, uint32_t local_ifindex, const void *buf, size_t len);
    int (*handshake)(void *ctx, const struct handshake_job *job);
    void (*set_identity)(void *ctx, struct identity *id, struct cookie_secret *cookies);
    int (*add_peer)(void *ctx, struct wg_peer *p, struct remote_secret *s);
    void (*set_remote)(void *ctx, struct wg_peer *p, struct remote_secret *s);
    void (*remove_peer)(void *ctx, struct wg_peer *p);
    int (*allow)(void *ctx, const struct ip_prefix *prefix, struct wg_peer *p);
    void (*disallow)(void *ctx, const struct ip_prefix *prefix, struct wg_peer *p);
    int (*add_keypair)(void *ctx, struct keypair *k);
    void (*remove_keypair)(void *ctx, struct keypair *k);
    int (*add_initiation)(void *ctx, struct initiation *i);
    void (*remove_initiation)(void *ctx, struct initiation *i);
    void (*set_last_stamp)(void *ctx, struct wg_peer *p, const uint8_t stamp[TAI64N_LEN]);
    void (*set_last_mac1)(void *ctx, struct wg_peer *p, const uint8_t mac1[16]);
    void (*retire)(void *ctx, void *object, void (*free_fn)(void *));
    enum tx_verdict (*send_keepalive)(void *ctx, struct wg_peer *p, uint64_t now_ns);
    void (*flush_staged)(void *ctx, struct wg_peer *p, uint64_t now_ns);
    void (*drop_staged)(void *ctx, struct wg_peer *p);
    void (*take_staged)(void *ctx, struct wg_peer *p,
                        void (*fn)(void *fn_ctx, const uint8_t *packet, size_t len), void *fn_ctx);
    void (*stage)(void *ctx, struct wg_peer *p, const uint8_t *packet, size_t len);
    void (*wake_held)(void *ctx);
    void (*discard_queued)(void *ctx);
    void (*resume)(void *ctx);                 /* packet threads that stood still may go on */
    int (*set_port)(void *ctx, uint16_t port); /* plain mode */
    int (*set_fwmark)(void *ctx, uint32_t mark);
    /* The sync channel. */
    void (*transmit)(void *ctx, uint8_t member, const uint8_t *msg, size_t len);
    size_t (*queued)(void *ctx, uint8_t member);
    void (*close_link)(void *ctx, uint8_t member, const char *reason);
    /* The store: commit elsewhere, then node_committed(). */
    void (*commit)(void *ctx, struct store_write *w);
    /* -ETIMEDOUT: a revocation that is done here and not confirmed by all (node_unreached()). */
    void (*change_done)(void *ctx, void *token, int err, const char *message);
    /* Failover. */
    void (*read_addresses)(void *ctx, uint16_t vip_slot); /* then node_vip() */
    void (*remove_stale)(void *ctx, uint16_t vip_slot);
    void (*announce)(void *ctx, uint16_t vip_slot);
    /* There is another master that was not there to be heard before: who did not answer until now,
     * neighbours and siblings, is asked again at once. */
    void (*ask_again)(void *ctx);
    /* While @keep: what is sent to the VIP's outer addresses is delivered here, if nobody else has
     * told the neighbours that it has them. It must end with the process. */
    void (*keep_address)(void *ctx, uint16_t vip_slot, bool keep);
    /* Packets for @dst, of peers of the VIP, go to member @to; self: to the tunnel; 0: the route is
     * no more. <0: not now; it is told again. */
    int (*route)(void *ctx, uint16_t vip_slot, const struct ip_prefix *dst, uint8_t to);
    void (*set_weight)(void *ctx, uint16_t vip_slot, int weight);
    /* What a sibling's drill asks or tells. NULL: nothing is done. */
    void (*drill)(void *ctx, uint8_t member, const struct sync_drill *d);
    int (*save_drained)(void *ctx, const uint16_t *vip_ids, unsigned count); /* durable */
    void (*set_fit)(void *ctx, uint16_t vip_slot, bool fit);                 /* to serve the VIP */
    /* For the next life, if it is of the same boot: all of them, at most once a turn. */
    void (*save_flaps)(void *ctx, const struct flap_memory *all, unsigned count);
    /* Durable facts of this member's life. */
    int (*raise_seq)(void *ctx, uint64_t seen, uint64_t *ret_seq);
    void (*reserve_stamps)(void *ctx, uint64_t stamp_ns);
    /* @fields is text that is ready to be written (base/fields.h). */
    void (*log)(void *ctx, enum node_log level, const char *sentence, const char *fields);
    void (*notice)(void *ctx, const struct notice *notice); /* serial is 0 */
};

struct node_config {
    uint8_t hub;
    uint8_t self;                 /* 0: plain mode */
    uint8_t members[MEMBERS_MAX]; /* ids of the siblings, 0 ends */
    uint64_t membership_epoch;
    struct vip vip[VIPS_MAX]; /* by slot, from 1 */
    unsigned vip_count;       /* highest slot */
    uint32_t lans[VIPS_MAX];  /* by slot: those that the VIP needs, as in node_lans() */
    uint8_t instance[16];
    uint64_t seq;    /* life.seq */
    bool seq_proved; /* false: quarantine (N6) */
    const char *unproved_reason;
    uint64_t stamp_floor; /* life.stamp_floor */
    uint64_t solo_start_after_ns, fresh_ns;
    uint64_t heartbeat_ns;      /* T_HB; 0: HEARTBEAT_NS, which is the most */
    uint16_t drained[VIPS_MAX]; /* VIP ids, of an earlier life */
    unsigned drained_count;
    struct damping_rules damping;
    struct flap_memory flaps[VIPS_MAX]; /* of an earlier life */
    unsigned flap_count;
    bool warm;              /* session keys never leave this member */
    uint8_t cookie_key[32]; /* K_cookie (C1) */
};

struct node;

int node_new(const struct node_config *c, const struct node_ops *ops, const struct rng *rng,
             struct gate *gate, struct store *store, struct instant now, struct node **ret);
void node_free(struct node *n); /* single-threaded: packet threads are gone */

/* Plain mode and start-up: the hub's key. Zero or NULL: none. */
int node_set_private_key(struct node *n, const struct secret32 *key, struct instant now);

/* Start-up: serve what the store holds (peers, stamps). */
void node_load(struct node *n, struct instant now);
/* A sibling more, and the VIPs' members with it (@vip as in the configuration, by slot); its link
 * comes up later, and then it is given what it is to hold. -ENOMEM. */
int node_add_member(struct node *n, uint8_t member, const struct vip vip[VIPS_MAX]);
/* End: stamps into the store, durable for the next start (H2, H5). */
int node_save(struct node *n);

/* Events. */
/* Takes @c (frees it); the answer comes by ops.change_done(token). */
void node_change(struct node *n, struct change *c, void *token, struct instant now);
void node_committed(struct node *n, struct store_write *w, int err, struct instant now);
void node_handshake(struct node *n, struct handshake_result *r, struct instant now);
void node_fact(struct node *n, const struct fact *f, struct instant now);
void node_vip(struct node *n, uint16_t vip_slot, const struct failover_event *e,
              struct instant now);
/* The kernel may have lost routes: a link came up. */
void node_routes_again(struct node *n, struct instant now);
void node_engine_fit(struct node *n, bool fit, struct instant now);
void node_link_up(struct node *n, uint8_t member, const struct codec_key *key, struct instant now);
void node_link_down(struct node *n, uint8_t member, struct instant now);
void node_link_frame(struct node *n, uint8_t member, const uint8_t *msg, size_t len,
                     struct instant now);
/* LANs that answer: bit n is LAN n of the configuration (O3). */
void node_lans(struct node *n, uint32_t known, uint32_t alive, struct instant now);
/* The process stood still for @gap_ns (N9, R12). */
void node_gap(struct node *n, uint64_t gap_ns, struct instant now);
/* All that is due. Returns when it wants to be called again (BOOTTIME ns). */
uint64_t node_tick(struct node *n, struct instant now);
/* End of an event-loop turn: batched acks, limits, commits leave. */
void node_flush(struct node *n, struct instant now);
/* A planned end begins: ask keepalived to move the VIPs while we still serve. Calling it again only
 * looks: true while a VIP is still here and a sibling in sync could take it. */
bool node_drain(struct node *n, struct instant now);
#define MOVE_REASON_LEN 192
#define MOVE_WITHIN_NS (10 * NS_PER_S) /* a VIP that has not moved by then stays */
/* An operator's wish: begun (0; a sibling may still refuse), or refused with the reason. The move
 * itself is keepalived's; looking at the VIP tells when it has arrived. */
int node_move(struct node *n, const struct sync_move *m, char ret_reason[MOVE_REASON_LEN],
              struct instant now);
/* To @member (0: to all). False: nobody that knows of drills is connected. */
bool node_drill(struct node *n, uint8_t member, const struct sync_drill *d, struct instant now);
bool node_drained(const struct node *n, uint16_t vip_slot);
bool node_all_drained(const struct node *n); /* of every VIP that it may have */
bool node_sibling_drained(const struct node *n, uint8_t member);
void node_set_damping(struct node *n, const struct damping_rules *rules, struct instant now);
/* The end: release all VIPs, tell last counters. */
void node_shutdown(struct node *n, struct instant now);

/* During ops.change_done(): bit m: member m has not confirmed the revocation. */
uint16_t node_unreached(const struct node *n);

/* Looking. */
struct node_counters {
    uint64_t adopted_hot, adopted_warm, adopted_cold; /* adopted_total{mode} */
    uint64_t asked, asked_refused;                    /* keys of peers that changed the VIP (O10) */
    uint64_t rescues, unknown_rescues, rekeys, unreplicated, yielded, dirty, stale_vips;
    uint64_t handshakes_made[2]; /* responder, initiator */
    uint64_t strays;             /* packets passed on to who has the VIP now */
    uint64_t initiations_sent, stamps_stale, alarms, gaps;
    uint64_t failovers, last_failover_boot_ns;
    uint64_t sync_messages[SYNC_KINDS];
};
const struct node_counters *node_counters(const struct node *n);
struct wg_peer *node_peer_next(const struct node *n, uint64_t *cursor); /* cursor from 0 */
struct wg_peer *node_peer_find(const struct node *n, const struct public_key *key);
struct node_peer_facts {
    uint16_t vip_slot;
    struct endpoint endpoint;
    uint64_t handshake_real_ns,
        stamp_real_ns; /* UTC; stamp: highest accepted of the peer; 0: none */
    uint64_t rx_bytes, tx_bytes;
    unsigned attempts; /* of our handshake under way */
    uint64_t attempts_age_ns;
    unsigned session_count;
    struct node_session_fact {
        enum session_slot slot;
        bool owned;
        uint8_t owner; /* a replica's */
        uint16_t term;
        uint64_t age_ns, data_age_ns; /* data_age_ns 0: no data yet */
    } session[NEXT_SLOTS + 2];        /* the current one first */
};
void node_peer_facts(const struct node *n, struct wg_peer *wg, struct instant now,
                     struct node_peer_facts *ret);
const struct identity *node_identity(const struct node *n);
const struct failover *node_failover(const struct node *n, uint16_t vip_slot);
uint8_t node_vip_claimant(const struct node *n, uint16_t vip_slot); /* 0: nobody known */
/* Why this member does not bid for the VIP; *ret_ms: for how long yet, 0: nobody knows. */
enum withheld node_withheld(const struct node *n, uint16_t vip_slot, struct instant now,
                            uint64_t *ret_ms);
uint64_t node_flaps(const struct node *n, uint16_t vip_slot); /* counted, of this life */
uint8_t node_route(const struct node *n, uint16_t vip_slot);  /* member that has its packets */
struct replica *node_replica(const struct node *n, uint8_t member);
uint64_t node_stamp_floor(const struct node *n); /* F of H5 */
bool node_in_sync(const struct node *n, struct instant now);
bool node_fit(const struct node *n); /* for each of the VIPs */
void node_key_counts(const struct node *n, unsigned *ret_owned, unsigned *ret_replicas);
