/* wg/handshake.h - the handshake's arithmetic as one pure step: jobs in, as many results out.
 *
 * The door and the pool's threads run handshake_run_batch(); main alone decides on results and
 * keeps state. In the simulator the same function runs inline.
 *
 * Owner:   the caller of both structs; handshake_result_clear() wipes.
 * Threads: any; env's lookups must be safe on the calling thread (RCU in the product).
 * Never:   touches a peer's state, sends, logs, reads a clock. */
#pragma once
#include "base/rng.h"
#include "model/endpoint.h"
#include "model/ids.h"
#include "model/session.h"
#include "noise/noise.h"
#include "wg/cookie.h"
#include "wg/message.h"

/* A hub's static identity; immutable once published, replaced as a whole. Arena-held. */
struct identity {
    uint8_t hub;
    struct public_key public_key;
    struct secret32 *private_key; /* arena slot */
    uint8_t mac1_key[32];         /* HASH("mac1----" | public key) */
    uint8_t cookie_key[32];       /* HASH("cookie--" | public key) */
    struct noise responding;      /* what every initiation to us begins with; no secret */
};

/* What the arithmetic needs of a peer; its secret is immutable once published, and replaced as a
 * whole. The keys of mac1 and cookies are derived when a message needs one: a hash, and there are
 * many peers. */
struct remote {
    uint64_t peer_id;
    struct public_key public_key;
    struct remote_secret {
        uint8_t static_static[32]; /* precomputed DH; all zero: not usable with this peer */
        uint8_t psk[32];
    } * secret; /* arena slot */
};
/* Fills all of @r but peer_id; r->secret must be an arena slot. @psk may be NULL. */
void remote_init(struct remote *r, const struct identity *self, const struct public_key *key,
                 const struct secret32 *psk);
void identity_init(struct identity *id, const struct secret32 *private_key); /* slot set already */

/* An initiation that we sent and wait for; immutable once published. */
struct initiation {
    uint64_t peer_id;
    uint32_t local_index;
    uint64_t sent_ns;
    uint64_t stamp_real_ns; /* what it says of itself (H5) */
    struct initiation_secret {
        uint8_t ephemeral_private[32];
        uint8_t psk[32];
    } * secret; /* arena slot */
    struct initiation_state {
        uint8_t ck[32], h[32];
    } * state; /* arena slot */
};

enum handshake_kind {
    HANDSHAKE_INITIATE, /* make an initiation for @peer_id */
    HANDSHAKE_DATAGRAM, /* a received message of type 1, 2 or 3, mac1 already checked for 1, 2 */
};

struct handshake_job {
    enum handshake_kind kind;
    uint64_t queued_ns;
    /* HANDSHAKE_INITIATE */
    uint64_t peer_id;
    uint8_t stamp[TAI64N_LEN]; /* H5: decided by main */
    /* HANDSHAKE_DATAGRAM */
    uint16_t vip; /* slot of the VIP it arrived on */
    struct endpoint source;
    struct endpoint local; /* address it was sent to: plain mode answers from it */
    uint32_t local_ifindex;
    unsigned len;
    uint8_t message[HANDSHAKE_LEN_MAX];
};

enum handshake_verdict {
    HANDSHAKE_DROP_MALFORMED,   /* length or type */
    HANDSHAKE_DROP_UNKNOWN,     /* no such peer, or no such initiation */
    HANDSHAKE_DROP_AUTH,        /* does not authenticate */
    HANDSHAKE_DROP_STALE,       /* timestamp not above the last accepted one (early check of H2) */
    HANDSHAKE_DROP_RATE,        /* under load: token bucket empty */
    HANDSHAKE_REPLY_COOKIE,     /* under load, mac2 missing: @reply is a cookie reply */
    HANDSHAKE_INITIATION_MADE,  /* @reply is our initiation, @initiation its state */
    HANDSHAKE_INITIATION_VALID, /* @reply is the response to send once H1 allows; keys made */
    HANDSHAKE_RESPONSE_VALID,   /* keys made */
    HANDSHAKE_COOKIE_VALID,     /* @cookie is to be used for mac2 */
};

struct handshake_result {
    enum handshake_verdict verdict;
    uint16_t vip;
    struct endpoint source, local;
    uint32_t local_ifindex;
    uint64_t peer_id;
    bool has_key;              /* of a message that was dropped: whom it says to be from */
    struct public_key key;     /* (nobody has proved it) */
    uint8_t stamp[TAI64N_LEN]; /* INITIATION_VALID: the peer's */
    uint32_t local_index, remote_index;
    struct session_keys *keys;    /* arena slot, TAKE_PTR() it; INITIATION_VALID, RESPONSE_VALID */
    struct initiation initiation; /* INITIATION_MADE; its slots are the taker's */
    uint8_t cookie[16];           /* COOKIE_VALID */
    uint32_t initiation_index;    /* RESPONSE_VALID, COOKIE_VALID: which of ours it answers */
    unsigned reply_len;
    uint8_t reply[HANDSHAKE_LEN_MAX]; /* mac1 is in; mac2 is zero (main adds it) */
};

struct handshake_env {
    const struct identity *self;
    const struct rng *rng;
    uint64_t now_ns, real_ns; /* BOOTTIME; UTC for cookie epochs (C1) */
    bool under_load;          /* H10 */
    const struct cookie_secret *cookies;
    struct ratelimit *ratelimit;
    void *ctx;
    const struct remote *(*find_remote)(void *ctx, const struct public_key *key);
    const struct remote *(*find_remote_id)(void *ctx, uint64_t peer_id);
    const struct initiation *(*find_initiation)(void *ctx, uint32_t local_index);
    /* Remote of a session or initiation with this local index, for cookie replies. */
    const struct remote *(*find_remote_index)(void *ctx, uint32_t local_index);
    /* Highest stamp accepted from the peer so far, for the early check; false: none. */
    bool (*last_stamp)(void *ctx, uint64_t peer_id, uint8_t ret[TAI64N_LEN]);
    /* A random index that no table holds (I1, I3). */
    uint32_t (*draw_index)(void *ctx);
    /* mac1 of the last message we sent to this peer; false: none. The ad of a cookie reply. */
    bool (*last_mac1)(void *ctx, uint64_t peer_id, uint8_t ret[16]);
};

void handshake_run(const struct handshake_env *env, const struct handshake_job *job,
                   struct handshake_result *ret);
/* The same for @n jobs one after the other, but that their multiplications are made together (ADR
 * 0021) and that the first ones' results are not known to the lookups of the others. @ret: a
 * pointer for each. */
#define HANDSHAKE_BATCH_MAX 8
void handshake_run_batch(const struct handshake_env *env, const struct handshake_job *jobs,
                         struct handshake_result *const *ret, unsigned n);
void handshake_result_clear(struct handshake_result *r);

/* mac1 over a message of type 1 or 2 of exactly the right length; constant time. */
bool handshake_mac1_ok(const struct identity *self, const uint8_t *message, unsigned len);
/* Put mac2 under @cookie into a made message of type 1 or 2. */
void handshake_add_mac2(uint8_t *message, unsigned len, const uint8_t cookie[16]);

/* TAI64N (WireGuard paper 5.1): @real_ns with the low bits cut to ticks of 2^24 ns. */
#define STAMP_TICK_NS (1u << 24)
void stamp_from_real(uint64_t real_ns, uint8_t ret[TAI64N_LEN]);
uint64_t stamp_to_real(const uint8_t stamp[TAI64N_LEN]); /* saturating */
/* H5: the stamp for an initiation to a peer. @last: last stamp any member sent to it, UTC ns, 0:
 * none known; @floor: F; @anchor_real, @anchor_boot: A. */
uint64_t stamp_choose(uint64_t last, uint64_t floor, uint64_t real_ns, uint64_t boot_ns,
                      uint64_t anchor_real, uint64_t anchor_boot);
