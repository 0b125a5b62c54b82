/* node/internal.h - the node's records; private to daemon/node.
 *
 * Owner: struct node. Threads: main. */
#pragma once
#include "base/err.h"
#include "base/heap.h"
#include "base/list.h"
#include "node/node.h"
#include "noise/noise.h"
#include "sync/horizon.h"
#include "sync/lease.h"
#include "wg/timers.h"
#include <uthash.h>

struct node_peer {
    struct wg_peer wg;
    UT_hash_handle by_key, by_id;
    struct heap_entry timer;
    struct timers timers;
    uint8_t received[TAI64N_LEN];  /* highest accepted stamp (H2); zero: none */
    uint64_t sent_real_ns;         /* last stamp any member sent to it (H5) */
    uint64_t generation;           /* E1: of its newest keypair */
    uint64_t last_accepted_ns;     /* initiation */
    struct initiation *initiation; /* ours, published */
    struct initiation *trial;      /* another, sent to try_at alone */
    bool initiate_queued;          /* a job is with the pool */
    bool trial_queued;             /* ... for trial */
    uint8_t rescues;               /* rescue.c: of this series, but the first */
    uint8_t tries;                 /* handshakes.c: initiations left of a series; 0: no series */
    uint8_t cookie[16];
    uint64_t cookie_until_ns;
    uint64_t endpoint_told_ns;
    bool endpoint_untold;
    uint64_t rekey_at_ns;   /* T3; 0: none */
    uint64_t rescued_ns;    /* rescue.c; 0: never */
    uint64_t asked_ns;      /* asks.c; 0: never */
    uint16_t routed_slot;   /* routes.c: the VIP that it used when its routes were looked at */
    struct endpoint try_at; /* handshakes.c: where authentic data came from that was not accepted */
    uint64_t try_until_ns, try_counter;
    uint64_t active_ns; /* when a sibling last saw it; 0: never */
    uint64_t urgent_at_ns,
        urgent_until_ns; /* H8, R9a: an initiation that could not begin; 0: none */
};

struct node_key {
    struct keypair *kp;
    struct node_peer *peer;
    struct list all;   /* node.keys, in order of arrival */
    struct list busy;  /* node.busy: its ceiling moves or may come down */
    struct list raise; /* node.raises: wants a proposal */
    UT_hash_handle by_id, by_index;
    struct lease lease; /* while we own it */
    uint16_t held_by;   /* bit m: sibling m has the record from us on this connection */
    uint16_t dismissed; /* of those: is to wipe it, and counts until it acked that (R15) */
    uint16_t stays;     /* of ours and of others with it: acks of an earlier one are void */
    enum session_slot slot;
    uint16_t told_slot; /* VIP that siblings were told last */
    bool want_flush;    /* a packet waits */
    bool ours;          /* main's view: we own it and siblings were told */
    /* Why a replica is not adoptable; stale: its owner adopted it, or has connected anew, and has
     * not sent it yet. */
    bool dirty, stale, collided, quarantined;
    bool released; /* a replica: its owner said that it gave it up, and nobody took it since */
    uint16_t held_asleep; /* who held it when we fell asleep, until the gap is over (R12) */
    bool adopting;        /* records of it say the floor (R16) */
    bool active;          /* as its owner last said */
    uint64_t reported_top;
    uint8_t peer_stamp[TAI64N_LEN];
};

/* What this process has used of a key outlives the key's record (N1): a sibling may send it again.
 */
struct key_past {
    struct key_id id;
    struct keypair_past past;
    uint64_t until_ns;
    UT_hash_handle hh;
};

/* A response or an initiator's first packet that waits for a holder's ack (H1). */
struct pending {
    struct list all;
    uint64_t deadline_ns;
    uint64_t key_serial; /* local index of the key */
    bool initiator;
    uint16_t vip;
    struct endpoint to, local;
    uint32_t local_ifindex;
    unsigned len;
    uint8_t message[HANDSHAKE_LEN_MAX];
};

struct sibling {
    uint8_t id;
    struct replica *replica;
    bool up; /* hellos agree */
    struct sync_hello hello;
    uint64_t joined_seq;  /* its session sequence when we first met its present life (N6) */
    uint64_t highest_seq; /* of it, ever seen by this process (N5) */
    uint8_t highest_instance[16];
    uint64_t connected_ns;
    uint32_t lans_known, lans_alive;
    bool ready, synced_with_us, drained;
    uint64_t heartbeat_ns; /* T_HB of its own */
    bool early;            /* sessions of peers that were not saved yet were left out */
    int64_t clock_ahead_ns;
    bool clock_alarm;
    /* R12: it was there when we fell asleep, and has not told yet what it adopted meanwhile:
     * nothing on the same connection, or all of it in its next snapshot, if it lives on. */
    bool owes, owes_anew;
    uint8_t owes_instance[16];
    /* What of the peers it has (P12, entropy.c). */
    struct vector said;   /* in its own words: durable there */
    struct vector theirs; /* with what it was given since */
    struct vector scan_from, scan_to;
    bool scanning;      /* records that it lacks are on their way, by the snapshot or after it */
    bool snapshot_told; /* the records of the snapshot are sent */
    bool refilled;      /* in this life it sent all that we lacked */
    bool unsure;        /* a record of it was lost here: its word on our vector is void */
    bool takes_vectors;
    bool hlc_alarm, unlike_alarm;
    uint64_t scan_cursor, given_ns, replied_ns;
    struct vector unlike_at;  /* equal vectors with unequal digests */
    uint64_t unlike_since_ns; /* 0: not */
    /* Snapshot for it. */
    unsigned phase;
    uint64_t phase_cursor;
    struct list *next_key;
};

struct vip_run {
    struct vip conf;
    struct failover failover;
    uint64_t claims[MEMBERS_MAX]; /* of siblings that hold it and were not lost since; 0: none */
    uint8_t claimant;             /* who has the highest claim; self; the one before it; 0 */
    uint64_t claim_epoch;         /* highest seen */
    uint64_t claimant_epoch;      /* of the sibling that is claimant; 0: it was lost since */
    uint8_t route_to;             /* where its pools lead: a sibling, self; 0: not yet told */
    uint64_t wake_serial;         /* T6: keepalives go on */
    struct list *wake_key;        /* next key to look at; NULL: done */
    /* What nobody touched is adopted all the same, a while later: siblings that come back must be
     * sent it, or the next failover loses it. */
    struct list *settle_key; /* as wake_key */
    uint64_t settle_at_ns;
    bool fit, lans_dead;      /* fit: as the sentinel was told */
    uint64_t lans_alive_ns;   /* all of its LANs, since; 0: one is dead */
    int weight;               /* as keepalived was told */
    uint64_t outbid_ns;       /* O5: when a lesser master was last outbid */
    uint64_t asked_ns;        /* when neighbours were last asked again for a lesser master */
    uint64_t outbid_again_ns; /* and when it will be once more, for its last words; 0: not */
    /* flaps.c. before_flap: as it was before the flap of flapped_ns (0: none), which may turn out
     * to be none. */
    struct damping damping, before_flap;
    uint64_t flapped_ns, withheld_until_ns, flaps;
    enum withheld withheld; /* why the weight is low although we are in sync */
    /* moves.c. drained: the operator's word, durable; promoted: we are to have it; leaving: a
     * sibling is to have it. */
    bool drained, promoted, leaving;
    uint64_t promoted_until_ns, leaving_until_ns;
    uint8_t coming_from; /* sibling that hands it over; 0: none (gate.vip[].from is the same) */
    bool coming_done;    /* ... and has said its last word */
    uint64_t coming_until_ns;
    uint64_t closing_ns; /* it has left, and what is queued is served until then; 0: not */
    const char *closing_cause;
    uint64_t handing_ns;    /* a sibling has it: we let go then; 0: not */
    uint64_t kept_until_ns; /* its addresses are ours also without keepalived; 0: not */
    uint8_t left_to;        /* sibling that has it since we let go; 0: not known yet */
    uint64_t left_until_ns;
    /* warm.c: peers that are to have a new session, the most recently active first. */
    struct warm_peer {
        uint64_t peer_id, idle_ns;
    } * warm;
    unsigned warm_count, warm_next;
    uint64_t warm_at_ns;
};

enum token_kind { TOKEN_KEY, TOKEN_LIMIT, TOKEN_GONE };

struct queued_change {
    struct list all;
    struct change *change;
    void *token;
    bool revokes;
    /* Of a revocation that is done here: who must say that it is done there (P8). */
    int err;
    uint64_t seq, deadline_ns;
};

#define RESCUE_SLOTS 16384

struct node {
    struct node_config conf;
    struct node_ops ops;
    const struct rng *rng;
    struct gate *gate;
    struct store *store;
    struct identity *identity;
    uint64_t instance64;

    struct node_peer *peers_by_key, *peers_by_id;
    uint64_t peer_serial;
    struct heap timers;

    struct list keys, busy, raises;
    struct node_key *keys_by_id, *keys_by_index;
    struct key_past *pasts;
    uint64_t session_seq;
    unsigned key_count, owned_count;
    struct list pendings;

    struct sibling sibling[MEMBERS_MAX];
    struct vip_run vip[VIPS_MAX];
    bool flaps_changed; /* since they were kept */

    /* Store. */
    struct list changes;         /* struct queued_change, waiting */
    struct store_write *merging; /* open, joins until it is committed */
    struct store_write *committing;
    struct queued_change *committing_change; /* NULL: it was a merge */
    struct list revokes; /* struct queued_change, done here, waiting for siblings */
    uint16_t unreached;  /* of the change that change_done() is told of */
    uint16_t cover_from, committing_from; /* whose word merging and committing carry */
    uint64_t own_floor;                   /* our last edit when this life began */
    uint64_t tell_at_ns;                  /* our vector, to all */
    uint64_t retry_at_ns;                 /* a commit of what is unsaved; 0: nothing is */
    uint64_t graves_at_ns;
    uint64_t expiry_s;      /* UTC of the first peer to expire, or before; 0: none ever does */
    uint64_t expiry_look_s; /* when that was last looked at */

    /* Stamps (H5). */
    uint64_t stamp_floor, anchor_real_ns, anchor_boot_ns;

    /* Readiness (O3). */
    uint64_t started_ns;
    bool engine_fit, started, draining, shutting_down;
    bool fit; /* as far as the VIPs have that in common */
    uint32_t lans_known, lans_alive;
    uint64_t synced_ns; /* when some sibling was last in sync with us; 0: never */
    bool wake_due;      /* held packets are to be looked at again, at the end of this turn */

    struct list asks; /* asks.c */
    unsigned ask_count;
    struct list excepted; /* routes.c */
    unsigned excepted_count;
    bool excepted_full;
    uint64_t routes_again_ns; /* 0: the kernel took all */

    /* Suspicion (N9, R12). */
    uint64_t gap_ended_ns; /* waiting for siblings since; 0: not */
    bool gap_answered;
    uint64_t slept_ns; /* the gap, and those before it that were not over */
    uint64_t quarantine_until_ns;
    uint64_t sweep_at_ns, busy_at_ns, limits_at_ns;
    /* Proposals of this turn that no holder was told yet. */
    struct proposal {
        struct node_key *key;
        struct sync_limit limit;
    } proposals[SYNC_LIMITS_MAX];
    unsigned proposal_count;
    struct horizon horizon;

    /* Which peer was last known at an endpoint, by its hash: a newer one pushes out an older. */
    struct rescue_slot {
        uint64_t peer_id;
    } rescues[RESCUE_SLOTS];
    uint64_t rescue_seed, rescue_tokens_ns, rescue_seen_ns;

    struct instant now; /* of the event being handled, for callbacks */
    struct node_counters counters;
};

#define NEVER UINT64_MAX
/* Not MIN(): what says when it is due does things, and is asked once. */
static inline uint64_t sooner(uint64_t a_ns, uint64_t b_ns)
{
    return a_ns < b_ns ? a_ns : b_ns;
}

/* node.c */
void say(struct node *n, enum node_log level, const char *sentence, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Time is filled in. */
void note(struct node *n, struct notice notice);
/* Also its key, the VIP of @slot and, unless given, where it is. */
void note_peer(struct node *n, struct node_peer *p, uint16_t slot, struct notice notice);
const char *key_text(const struct public_key *k);           /* short form for logs; static buffer */
uint16_t vip_slot_of_id(const struct node *n, uint16_t id); /* 0: none */
uint16_t vip_id_of_slot(const struct node *n, uint16_t slot);
bool vip_holder(const struct node *n, uint16_t slot, uint8_t member); /* S8 */
/* S8: @member holds the keys that @owner owns. Never more than HOLDERS_MAX do, wherever the owner
 * is in the order: a holder that is not counted would be asked for nothing (R2). */
bool vip_backup(const struct node *n, uint16_t slot, uint8_t owner, uint8_t member);
bool clustered(const struct node *n);

/* gap.c */
void node_gap_look(struct node *n, bool timeout); /* is the wait over? */

/* peers.c */
struct node_peer *peer_by_key(const struct node *n, const struct public_key *key);
struct node_peer *peer_by_id(const struct node *n, uint64_t id);
void peers_record_changed(void *ctx, const struct peer *old, const struct peer *now);
void peers_free_all(struct node *n);
void peers_store_flush(struct node *n, struct instant now);
void queued_change_free(struct queued_change *q); /* NULL is fine */
void revokes_look(struct node *n);                /* a sibling said more, or was lost */
uint64_t revokes_tick(struct node *n, struct instant now);
void peer_arm(struct node *n, struct node_peer *p, uint64_t at_ns);
void peer_drop_keys(struct node *n, struct node_peer *p);
void peer_tell_endpoint(struct node *n, struct node_peer *p, struct instant now);
/* Where it is and which VIP it talks to, as siblings are told. False: nobody knows. */
bool peer_place(const struct node *n, struct node_peer *p, struct instant now,
                struct sync_msg *ret);
struct sync_msg peer_stamps(const struct node *n, const struct node_peer *p);
void peer_take_stamp(struct node *n, struct node_peer *p, const uint8_t stamp[TAI64N_LEN]);

/* tenure.c: expiry, rotation */
void tenure_learn(struct node *n, const struct peer *now); /* a record that may expire */
uint64_t tenure_tick(struct node *n, struct instant now);
void tenure_session_made(struct node *n, struct node_peer *p);

/* graves.c */
uint64_t graves_tick(struct node *n, struct instant now);
/* True: a peer that was removed long ago; it is not to be merged. */
bool graves_haunted(struct node *n, const struct sibling *s, const struct peer *theirs);

/* handshakes.c */
/* Start a handshake if the protocol allows it now. @fresh: a new reason; @urgent: R9a, H8: do not
 * wait for REKEY_TIMEOUT since an earlier one that was answered. */
bool handshake_initiate(struct node *n, struct node_peer *p, bool fresh, bool urgent,
                        struct instant now);
/* Now, or as soon as it may be (H8, R9a). */
void handshake_urgently(struct node *n, struct node_peer *p, struct instant now);
/* The same, when there is a sign that the way is open now: an initiation that has no answer by then
 * was lost, and the wait for its next turn is not worth it. So is none of the next seconds. */
void handshake_anew(struct node *n, struct node_peer *p, struct instant now);
/* The same of a peer that another member believes to serve, too: when VRRP has decided, and only by
 * the one that stays. Of two initiations within 20 ms a peer drops the second. */
void handshake_decided(struct node *n, struct node_peer *p, struct instant now);
uint64_t handshake_urgent_tick(struct node *n, struct node_peer *p,
                               struct instant now); /* 0: done */
/* FACT_DROPPED of authentic data: the handshake that follows goes where it came from, too. */
void handshake_try_at(struct node *n, struct node_peer *p, const struct fact *f,
                      struct instant now);
/* The peer may be @at, as data with this counter says: handshakes of the next moments go there
 * as well. */
void handshake_look_at(struct node *n, struct node_peer *p, const struct endpoint *at,
                       uint64_t counter, struct instant now);
void handshake_forget(struct node *n, struct node_peer *p); /* the initiations under way */
/* A sibling completed a handshake that the hub began: the peer kept no more of an older one. */
void handshake_overtaken(struct node *n, struct node_peer *p);
void pendings_acked(struct node *n, uint32_t local_index, struct instant now);
uint64_t pendings_tick(struct node *n, struct instant now);

/* keys.c */
struct node_key *key_by_id(const struct node *n, const struct key_id *id);
struct node_key *key_of(const struct node *n, const struct keypair *kp); /* NULL: removed */
struct node_key *key_by_index(const struct node *n, uint32_t local_index);
/* Takes @s->keys. NULL: refused (index taken, no memory). @owner 0: made here. */
struct node_key *key_install(struct node *n, struct node_peer *p, struct session *s, uint8_t owner,
                             struct instant now);
void key_remove(struct node *n, struct node_key *k, bool tell);
void keys_forget_pasts(struct node *n, uint64_t now_ns);
void keys_remove_out(struct node *n, struct keypair **out, unsigned count);
void key_effects(struct node *n, struct node_key *k, unsigned effects, struct instant now);
void key_replicate(struct node *n, struct node_key *k, struct instant now); /* to all its holders */
bool key_replicate_to(struct node *n, struct node_key *k, struct sibling *s, struct instant now);
/* The record of @k for @s, as a message to be sent at once (its keys are a copy: sync_msg_clear()),
 * and its token. False: not for this sibling, or too old. */
bool key_record(struct node *n, struct node_key *k, struct sibling *s, struct instant now,
                struct sync_msg *ret, struct replica_token *ret_token);
void key_record_sent(struct node *n, struct node_key *k, struct sibling *s, uint64_t limit);
/* E3: between two VIPs that are ours. Siblings adopt it with the one that it is of now. */
void keys_vip_changed(struct node *n, struct node_peer *p, struct instant now);
void key_wiped(struct node *n, struct node_key *k, uint8_t member); /* by a dismissed holder */
void key_release(struct node *n, struct node_key *k, struct instant now); /* R11's final state */
struct sync_msg key_adopted_message(const struct node *n, const struct node_key *k);
/* To all; and the record, without which nobody may adopt it from us, to its holders. */
void key_tell_adopted(struct node *n, struct node_key *k, struct instant now);
void key_heard_adopted(struct node *n, struct node_key *k, uint8_t member,
                       const struct sync_adopted *a);
void key_yield(struct node *n, struct node_key *k, uint8_t owner, uint64_t limit, uint16_t term);
/* R12: @member may have adopted it while we slept, and cannot tell. */
void key_doubt(struct node *n, struct node_key *k, uint8_t member);
void key_adopted(struct node *n, struct node_key *k, struct instant now);
void key_made_current(struct node *n, struct node_key *k, struct keypair **out, unsigned count,
                      struct instant now);
void key_set_adoptable(struct node_key *k);
void key_apply_ceiling(struct node *n, struct node_key *k);
void key_busy(struct node *n, struct node_key *k);
void keys_raise(struct node *n, struct instant now); /* proposals of n->raises */
uint64_t keys_tick(struct node *n, struct instant now);
void keys_drop_holder(struct node *n, uint8_t member);
bool key_recent(const struct node_key *k, uint64_t now_ns); /* active within SESSION_ACTIVE_NS */

/* siblings.c */
int siblings_init(struct node *n);
void siblings_free(struct node *n);
uint64_t siblings_send(struct node *n, struct sibling *s, const struct sync_msg *m,
                       const struct replica_token *t, struct instant now);
/* One entry that is acked as @count things. */
uint64_t siblings_send_many(struct node *n, struct sibling *s, const struct sync_msg *m,
                            const struct replica_token *tokens, unsigned count, struct instant now);
void siblings_send_all(struct node *n, const struct sync_msg *m, struct instant now);
uint64_t siblings_tick(struct node *n, struct instant now);
void siblings_drop_silent(struct node *n, uint16_t slot, struct instant now);
/* What a heartbeat says of us has changed. */
void siblings_beat(struct node *n, struct instant now);
bool siblings_any_up(const struct node *n);
void siblings_now(struct node *n, struct instant now); /* time for callbacks of this turn */

/* snapshot.c */
void snapshot_begin(const struct node *n, struct sibling *s);
bool snapshot_next(void *ctx, uint8_t member, uint64_t *cursor, struct sync_msg *ret,
                   struct replica_token *ret_token); /* of struct replica_ops */

/* entropy.c */
void entropy_init(struct node *n, struct instant now);
void entropy_hello(const struct node *n, const struct sibling *s, struct sync_hello *ret);
void entropy_greeted(struct node *n, struct sibling *s);
/* The snapshot's turn with the records: the next one that the sibling lacks, then the vector that
 * it has with them. False: all is said. */
bool entropy_snapshot_next(struct node *n, struct sibling *s, struct sync_msg *ret);
void entropy_snapshot_heard(struct sibling *s); /* its snapshot came to the end */
void entropy_heard_peer(struct node *n, struct sibling *s, const struct peer *theirs);
void entropy_heard_vector(struct node *n, struct sibling *s, const struct sync_vector *v);
void entropy_edited(struct node *n); /* an edit made here was published and sent */
void entropy_merged(struct node *n); /* what siblings told was published */
uint64_t entropy_tick(struct node *n, struct instant now);

/* vips.c */
void vips_init(struct node *n, struct instant now);
uint64_t vips_tick(struct node *n, struct instant now);
void vips_announce(struct node *n);
void vips_others(struct node *n); /* gate.vip[].others after a link came or went */
void vips_sibling_down(struct node *n, uint8_t member); /* its claims are void */
bool claim_outranks(uint64_t epoch, uint8_t member, uint64_t other_epoch, uint8_t other);
void vips_claim_heard(struct node *n, uint8_t member, const struct sync_claim *c,
                      struct instant now);
void readiness(struct node *n, struct instant now);
void vips_claim(struct node *n, uint16_t slot, bool held, struct sibling *only,
                struct instant now); /* @only NULL: to all */
void vips_close(struct node *n, uint16_t slot, const char *cause, struct instant now);
uint64_t vips_step(struct node *n, uint16_t slot, struct failover_event ev, struct instant now);

/* warm.c */
uint64_t warm_idle_ns(const struct node_peer *p, uint64_t now_ns); /* UINT64_MAX: never active */
void warm_tell(struct node *n, struct node_key *k, struct instant now);
void warm_heard(struct node *n, struct node_peer *p, const struct sync_endpoint *e,
                struct instant now);
void warm_begin(struct node *n, uint16_t slot, struct instant now);
void warm_end(struct node *n, uint16_t slot);
uint64_t warm_tick(struct node *n, uint16_t slot, struct instant now);

/* routes.c */
void routes_look(struct node *n, uint16_t slot); /* after a claim, a link or the gate changed */
uint64_t routes_tick(struct node *n, struct instant now);
/* The VIP whose pool has an address of it; 0: none. */
uint16_t routes_home(const struct node *n, const struct peer *record);
/* Its allowed prefixes are @record's now; NULL: it goes. */
void routes_of_peer(struct node *n, struct node_peer *p, const struct peer *record);
void routes_peer_moved(struct node *n, struct node_peer *p); /* E3: its VIP may be another one */
void routes_sibling_down(struct node *n); /* it may have died while it told something */
void routes_free(struct node *n);

/* asks.c */
void asks_wrong_vip(struct node *n, const struct fact *f, struct instant now);
void asks_heard(struct node *n, uint8_t member, const struct sync_ask *heard, struct instant now);
void asks_released(struct node *n, struct node_key *k,
                   struct instant now); /* an owner gave it up */
uint64_t asks_tick(struct node *n, struct instant now);
void asks_free(struct node *n);

/* rescue.c */
void rescue_learn(struct node *n, const struct node_peer *p, const struct endpoint *at);
void rescue_unknown(struct node *n, uint16_t vip, const struct endpoint *source,
                    struct instant now);

/* moves.c */
bool moves_waits(const struct node *n, uint16_t slot);
void moves_opening(struct node *n, uint16_t slot, uint8_t former, struct instant now);
void moves_closed(struct node *n, uint16_t slot, struct instant now);
bool moves_linger(struct node *n, uint16_t slot, const char *cause, struct instant now);
bool moves_pass_on(struct node *n, struct node_peer *p, struct instant now); /* what is staged */
void moves_stray(struct node *n, const struct sync_stray *s, struct instant now);
void moves_released(struct node *n, struct node_key *k, struct instant now);
void moves_sibling_down(struct node *n, uint8_t member, struct instant now);
void moves_claim_heard(struct node *n, uint16_t slot, uint8_t member, const struct sync_claim *c,
                       struct instant now);
void moves_returning(struct node *n, uint16_t slot, struct instant now); /* fit to have it again */
bool moves_leaving(const struct node *n, uint16_t slot);
bool moves_planned(const struct node *n, uint16_t slot, enum failover_kind why);
/* To whoever is ready for it, if anybody is: it is not to come back at once. */
bool moves_give_up(struct node *n, uint16_t slot, struct instant now);
/* Does keepalived give the VIP to @a although @b has it? */
bool moves_outranks(const struct node *n, uint16_t slot, uint8_t a, uint8_t b);
bool is_listed(const struct node *n, uint16_t slot, uint8_t member); /* among its Members */
void moves_drain_all(struct node *n, struct instant now);
/* Siblings hear that a VIP which we have will go, or stays after all. */
void moves_tell(struct node *n, uint16_t slot, struct instant now);
/* Could somebody else carry on with every session of the VIP that @owner has? */
bool moves_successor_ready(const struct node *n, uint16_t slot, uint8_t owner, struct instant now);
void moves_heard(struct node *n, uint8_t member, const struct sync_move *m, struct instant now);
uint64_t moves_tick(struct node *n, uint16_t slot, struct instant now);

/* orders.c */
/* May @member give away @only (0: all), as far as it is known here? */
int orders_may_drain(const struct node *n, uint16_t only, uint8_t member,
                     char reason[MOVE_REASON_LEN], struct instant now);
/* Of this member. */
int orders_carry_out(struct node *n, const struct sync_move *m, uint16_t slot,
                     char reason[MOVE_REASON_LEN], struct instant now);

/* flaps.c */
void flaps_init(struct node *n, struct instant now);
void flaps_keep(struct node *n); /* what changed */
/* The VIP, or the health that it needs; nobody had planned it. */
void flaps_lost(struct node *n, uint16_t slot, struct instant now);
void flaps_claim_heard(struct node *n, uint16_t slot, uint8_t member, struct instant now);
void flaps_forget(struct node *n, uint16_t slot, struct instant now);
enum withheld flaps_look(struct node *n, uint16_t slot, bool behind, struct instant now);
uint64_t flaps_tick(const struct node *n, uint16_t slot);
