/* wg/keypair.h - one session key, ours or a sibling's, and the decisions on each packet of it.
 *
 * Owner:   main makes and retires it; the index table and the peer's slots point to it; freed after
 *          an RCU grace period. The keys are in the arena.
 * Threads: keypair_open_check(), keypair_receive*(), keypair_send() on any thread; what is marked
 *          (main) on main only.
 * Never:   logs, allocates more than its live part and replay window, reads a clock.
 *
 *   REPLICA --first touch while we own the VIP (R8, R9)--> OWNED --adopted by a sibling (R10)-->
 *   REPLICA ... --> CLOSED (expired, superseded, wiped): neither sends nor receives. */
#pragma once
#include "model/session.h"
#include "wg/counter.h"
#include "wg/gate.h"
#include "wg/message.h"
#include "wg/replay.h"

enum keypair_state { KEYPAIR_REPLICA, KEYPAIR_OWNED, KEYPAIR_CLOSED };

#define LIMIT_NONE UINT64_MAX      /* no holder: nothing to wait for */
#define LIMIT_ADOPTED (1ull << 63) /* shares the word with L (R8) */
#define LIMIT_FIRST 64             /* L of a new key (R13) */
#define HELD_PER_KEY_MAX 64        /* R6 */
#define HELD_MAX 8192
#define TRANSIT_PER_KEY_MAX 1024         /* R11: packets that wait for a key on its way */
#define HOLD_NS (10 * NS_PER_MS)         /* T_HOLD */
#define CONTEST_NS (2 * NS_PER_S)        /* keypair_contested() */
#define SEND_AGE_MAX_NS (179 * NS_PER_S) /* N10, for adopted keys; own ones stop at 180 s */
#define SESSION_ACTIVE_NS (30 * NS_PER_S)

struct wg_peer;

/* What only a key needs that was in use here: made with a key of our own, or with the first touch
 * of a replica, and there as long as the key is. */
struct keypair_live {
    struct counter tx;
    struct replay *window;    /* made at first data; under rx_lock */
    _Atomic uint64_t ceiling; /* owned: counters below it may be accepted; LIMIT_NONE */
    _Atomic uint64_t floor;   /* owned by adoption: first counter that it may accept (its L) */
    /* Owned, or handed to us: of what came below it nothing is known, and all of it counts as seen
     * (R9a). 0: with the window all is known. */
    _Atomic uint64_t known_from;
    _Atomic uint64_t rx_packets, last_data_ns; /* for rate and activity; relaxed */
    _Atomic uint64_t told_ns;                  /* replica: keypair_told() */
    /* gate->suspicion when last bumped. Of a new key main sets it, before publication, to the
     * generation in which the ephemeral was drawn; left at 0 it only costs a term (N9). */
    _Atomic uint32_t tx_suspicion;
    _Atomic uint32_t headroom; /* H, by main; a raise is asked for within H/2 of the ceiling */
    _Atomic uint16_t held;     /* packets that wait for an ack */
    _Atomic bool raise_asked;  /* set by a worker, cleared by main */
    _Atomic bool rescue_asked; /* R9a: a handshake was asked for because of a packet below floor */
    _Atomic bool rekey_asked;  /* rekey on send or receive was asked for; main may clear it */
    /* Under rx_lock. handed: the window is the former owner's, as of limit: what it left out below
     * that is still good; waited: packets of it are held since it was a replica. */
    bool handed, waited;
};

/* In the order of sizes, without holes: a hub holds three for a peer, and each sibling as many,
 * most of which nothing ever touches. */
struct keypair {
    /* Fixed at publication, but for live. */
    struct wg_peer *peer;
    struct session_keys *keys;
    struct keypair_live *_Atomic live; /* of all untouched replicas the same one */
    uint32_t local_index, remote_index;
    uint64_t generation; /* E1 */

    _Atomic uint64_t born_ns; /* BOOTTIME of the earliest possible birth: age_hi = now - born */
    _Atomic uint64_t top;     /* highest authenticated + 1, held ones included; 0: none */
    _Atomic uint64_t limit;   /* replica: L it would start at, | LIMIT_ADOPTED once adopted here */
    uint64_t promised;        /* (main) replica: L acked to others than its owner; never below it */

    struct key_id id;     /* fixed at publication */
    _Atomic uint16_t vip; /* slot (E3) */
    _Atomic uint16_t term_known;
    bool hub_initiated, created_here; /* fixed; by this process: it made the ephemeral (N3) */

    _Atomic uint8_t rx_lock;
    _Atomic uint8_t state;
    _Atomic bool confirmed; /* `next` that has carried data */
    _Atomic bool adoptable; /* replica: main says it may be adopted (N6, I2, M4, R7) */
    _Atomic uint8_t owner;  /* replica: member that owns it now (R9's heartbeat) */
    _Atomic bool unfit_told;
    _Atomic bool released; /* replica: its owner gave it up, and nobody took it since (R11) */
};

/* To read: never NULL. To write: only of a key that is ours, or was. */
static inline struct keypair_live *keypair_live(const struct keypair *k)
{
    return atomic_load_explicit(&k->live, memory_order_acquire);
}

/* What a packet caused; the engine turns bits into facts for main, the simulator does the same. */
enum keypair_effect {
    EFFECT_ADOPTED = 1 << 0,   /* replica became ours: tell siblings (R10) */
    EFFECT_RAISE = 1 << 1,     /* near the ceiling: propose a higher one (R3) */
    EFFECT_FLUSH = 1 << 2,     /* a packet waits: propose now, without batching (R6) */
    EFFECT_CONFIRMED = 1 << 3, /* first data on an unconfirmed `next` */
    EFFECT_REKEY = 1 << 4,     /* we are the initiator and the key is old, or counters run out */
    EFFECT_RESCUE = 1 << 5,    /* R9a: initiate at once */
    EFFECT_DIRTY = 1 << 6,     /* accepted beyond the ceiling (R7) */
    EFFECT_UNFIT = 1 << 7,     /* touched while owning the VIP, but not fit for adoption (H8) */
};

enum rx_verdict {
    RX_ACCEPT,
    RX_HOLD, /* authentic, beyond the ceiling: hold it, then keypair_receive_held() */
    RX_DROP_AUTH,
    RX_DROP_EXPIRED, /* key age >= REJECT_AFTER_TIME, counter too high, or CLOSED */
    RX_DROP_REPLAY,
    RX_DROP_BELOW_FLOOR, /* R9a */
    RX_DROP_NOT_OWNER,   /* authentic or not, the VIP is not ours (O1, O10) */
    RX_DROP_UNFIT,       /* replica not fit for adoption (R9) */
    RX_DROP_STALE,       /* R12: arrived while we may have slept */
    RX_DROP_SOURCE,      /* inner source not allowed for this peer */
    RX_DROP_MALFORMED,
    RX_DROP_UNKNOWN, /* no such receiver index */
    RX_VERDICTS,
};

enum tx_verdict {
    TX_OK,
    TX_NO_KEY,    /* none, expired, or used up: stage and handshake */
    TX_NOT_OWNER, /* a sibling owns it: never staged, never a handshake */
    TX_UNFIT,     /* replica not fit: drop it and initiate (H8) */
    TX_STALE,     /* R12 */
    TX_TRANSIT,   /* R11: on its way here: stage, but no handshake */
    TX_THEIRS,    /* R10: both of us have the VIP, and a sibling the key: pass it on */
    TX_VERDICTS,
};

/* It may be sent later, under this key, another one, or by whoever main passes it on to. */
static inline bool tx_waits(enum tx_verdict v)
{
    return v == TX_NO_KEY || v == TX_UNFIT || v == TX_TRANSIT || v == TX_THEIRS;
}

/* A key that this process made (responder or initiator). */
struct keypair *keypair_new(const struct session *s, uint64_t now_ns);
/* A key that a sibling owns. Age: born = now - s->age_hi_ns. */
struct keypair *keypair_new_replica(const struct session *s, uint8_t owner, uint64_t now_ns);
void keypair_free(struct keypair *k); /* wipes; NULL is fine; after a grace period */
void keypair_close(struct keypair *k);

uint64_t keypair_age_hi(const struct keypair *k, uint64_t now_ns);

/* Before the AEAD: is it worth opening? RX_ACCEPT, or the verdict to count. Does not adopt. */
enum rx_verdict keypair_open_check(const struct keypair *k, const struct gate *g, uint64_t now_ns);

/* After the AEAD (R1: age, window, ceiling, mark). Adopts a fit replica.
 * @ret_effects: keypair_effect bits, also set when the packet is dropped. */
enum rx_verdict keypair_receive(struct keypair *k, const struct gate *g, uint64_t now_ns,
                                uint64_t counter, unsigned *ret_effects);
/* The same for @n packets that came together, in their order; effects of all. */
void keypair_receive_run(struct keypair *k, const struct gate *g, uint64_t now_ns,
                         const uint64_t *counters, unsigned n, enum rx_verdict *ret,
                         unsigned *ret_effects);
/* A held packet again; @timeout: T_HOLD is over, accept beyond the ceiling and tell (R7). RX_HOLD:
 * still waiting. The caller keeps `held` right through keypair_receive*() alone. */
enum rx_verdict keypair_receive_held(struct keypair *k, const struct gate *g, uint64_t now_ns,
                                     uint64_t counter, bool timeout, unsigned *ret_effects);

/* The caller had no room to hold a packet any longer that is still RX_HOLD. */
void keypair_held_dropped(struct keypair *k);
/* R11: our VIP-to-be, or a key of it, is still on its way from the sibling that hands it over. */
bool keypair_in_transit(const struct keypair *k, const struct gate *g);

/* R10: its owner, which has the VIP as well and lives, took or made it while we have the VIP. What
 * we have to send is no sign of where the peer is, so it does not take the key back; what the peer
 * sends does. It ends by itself, since two may have yielded to each other. */
bool keypair_contested(const struct keypair *k, const struct gate *g, uint64_t now_ns);
/* (main) The owner of this replica said that it took or made it. Of note only where both of us have
 * the VIP. */
void keypair_told(struct keypair *k, const struct gate *g, uint64_t now_ns);

/* A run of @n counters to send under. Adopts a fit replica, bumps on suspicion. */
enum tx_verdict keypair_send(struct keypair *k, const struct gate *g, uint64_t now_ns, unsigned n,
                             uint64_t *ret_first, unsigned *ret_effects);

/* (main) A holder's side: record a raise before it is acked. False: already adopted (R8, R10).
 * @lower: the owner came down (R5), also below the present value; counts only when @from, who said
 * it, is the owner that we know: a late word of an earlier one must not undo what was acked since.
 */
bool keypair_replica_raise(struct keypair *k, uint8_t from, uint64_t limit, bool lower);
/* (main) A sibling adopted it: we stop at once and hold it as its replica from @limit on, or from
 * what we had recorded, if that is higher. Also a new record of a replica. */
void keypair_yield(struct keypair *k, uint8_t owner, uint64_t limit, uint16_t term);
/* (main) Adopt a replica that nothing has touched yet. False: it is none, or it is not fit (R9). */
bool keypair_adopt(struct keypair *k, const struct gate *g, uint64_t now_ns);
/* (main) We own it, and a sibling believed that it does: it sent up to @term, so the next send
 * begins a later one (O5), and it accepted below @top, so nothing below that is accepted any more.
 */
void keypair_outbid(struct keypair *k, uint16_t term, uint64_t top, const struct gate *g);
/* (main) We own it and have not accepted @counter yet. */
bool keypair_is_news(struct keypair *k, uint64_t counter);
/* (main) After the gate was closed: nothing at or above this was accepted, nor will be while the
 * gate stays closed (a receive that began before is over). */
uint64_t keypair_final_top(struct keypair *k);
/* (main) The same, and what was not seen below it (R11). From here on nothing below it is accepted
 * by us, whatever becomes of the VIP: it is whose the key will be. */
uint64_t keypair_hand_over(struct keypair *k, struct replay_tail *ret);
/* (main) The owner @from gave this replica up: it starts at @top, with what @tail left out. False:
 * already adopted, or @from is not the owner that we know; nothing is changed then. */
bool keypair_released(struct keypair *k, uint8_t from, uint64_t top, const struct replay_tail *tail,
                      uint16_t term);
/* (main) As it would be sent to a sibling now: id, indices, role, confirmed, ages, generation,
 * limit (may be LIMIT_NONE), top, term. The other fields of @ret are the caller's and stay
 * untouched. */
void keypair_describe(const struct keypair *k, uint64_t now_ns, struct session *ret);

/* What this process has sent and accepted under a key outlives the key's record, until the key is
 * 180 s old (N1, R8): a replica of the same key id that comes later must recall it before it is
 * published, or counters could be used a second time. */
struct keypair_past {
    uint64_t tx, rx;
};
void keypair_remember(struct keypair *k, struct keypair_past *ret);     /* (main) CLOSED */
int keypair_recall(struct keypair *k, const struct keypair_past *past); /* -ENOMEM */
