/* WireGuard's use of Noise IKpsk2 (WireGuard paper 5.4.2, 5.4.3). */
#include "wg/handshake.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/plant.h"
#include "base/secret.h"
#include "noise/noise.h"
#include "wg/ratelimit.h"
#include <assert.h>

static const char construction[] = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
static const char identifier[] = "WireGuard v1 zx2c4 Jason@zx2c4.com";
static const char label_mac1[] = "mac1----", label_cookie[] = "cookie--";

static void mac1_key(const struct public_key *key, uint8_t ret[32])
{
    blake2s_2(ret, label_mac1, 8, key->b, 32);
}

static void cookie_key(const struct public_key *key, uint8_t ret[32])
{
    blake2s_2(ret, label_cookie, 8, key->b, 32);
}

static void start(struct noise *n, const uint8_t responder_static[32])
{
    noise_start(n, construction, sizeof(construction) - 1, identifier, sizeof(identifier) - 1);
    noise_mix_hash(n, responder_static, 32);
}

void identity_init(struct identity *id, const struct secret32 *private_key)
{
    memcpy(id->private_key, private_key, sizeof(*private_key));
    x25519_clamp(id->private_key->b);
    x25519_public(id->public_key.b, id->private_key->b);
    mac1_key(&id->public_key, id->mac1_key);
    cookie_key(&id->public_key, id->cookie_key);
    start(&id->responding, id->public_key.b);
}

void remote_init(struct remote *r, const struct identity *self, const struct public_key *key,
                 const struct secret32 *psk)
{
    r->public_key = *key;
    if (!self || !x25519(r->secret->static_static, self->private_key->b, key->b))
        secret_wipe(r->secret->static_static, sizeof(r->secret->static_static));
    if (psk)
        memcpy(r->secret->psk, psk, sizeof(r->secret->psk));
    else
        secret_wipe(r->secret->psk, sizeof(r->secret->psk));
}

static bool usable(const struct remote *r)
{
    return r && !secret_is_zero(r->secret->static_static, 32);
}

static void mac1_put(uint8_t *message, unsigned len, const struct public_key *to)
{
    struct message_macs *macs = (struct message_macs *)(message + len - sizeof(*macs));
    uint8_t key[32];

    mac1_key(to, key);
    blake2s(macs->mac1, sizeof(macs->mac1), key, 32, message, len - sizeof(*macs));
    memset(macs->mac2, 0, sizeof(macs->mac2));
}

static unsigned length_of(uint32_t type)
{
    switch (type) {
    case MESSAGE_INITIATION:
        return sizeof(struct message_initiation);
    case MESSAGE_RESPONSE:
        return sizeof(struct message_response);
    case MESSAGE_COOKIE:
        return sizeof(struct message_cookie);
    default:
        return 0;
    }
}

bool handshake_mac1_ok(const struct identity *self, const uint8_t *message, unsigned len)
{
    uint8_t mac[16];
    uint32_t type = len >= 4 ? load_le32(message) : 0;

    if ((type != MESSAGE_INITIATION && type != MESSAGE_RESPONSE) || len != length_of(type))
        return false;
    const struct message_macs *macs = (const struct message_macs *)(message + len - sizeof(*macs));
    blake2s(mac, sizeof(mac), self->mac1_key, 32, message, len - sizeof(*macs));
    return secret_equal(mac, macs->mac1, sizeof(mac)) || PLANTED("mac1-not-checked");
}

void handshake_add_mac2(uint8_t *message, unsigned len, const uint8_t cookie[16])
{
    struct message_macs *macs = (struct message_macs *)(message + len - sizeof(*macs));

    blake2s(macs->mac2, sizeof(macs->mac2), cookie, 16, message, len - sizeof(macs->mac2));
}

/* ---- one handshake of a batch: stages, and multiplications between them ---- */

#define PRODUCTS_MAX 3 /* that one stage waits for */

struct attempt {
    const struct handshake_job *job;
    struct handshake_result *ret;
    /* What goes on when the products are there; NULL: nothing, the verdict stands. */
    void (*next)(const struct handshake_env *env, struct attempt *a);
    struct x25519_job products[PRODUCTS_MAX];
    unsigned product_count;
    bool made;            /* those that were wanted last: none of them is zero */
    struct remote remote; /* a copy: the lookups keep only what was asked for last */
    const struct initiation *initiation;
    struct noise n;
    uint8_t ephemeral[32]; /* private */
    uint8_t shared[2][32];
};

static void want(struct attempt *a, uint8_t ret[32], const uint8_t private_key[32],
                 const uint8_t *public_key)
{
    assert(a->product_count < PRODUCTS_MAX);
    a->products[a->product_count++] =
        (struct x25519_job){.ret = ret, .private_key = private_key, .public_key = public_key};
}

/* A fresh private key, and the wish for its public one in the message. */
static void want_ephemeral(const struct handshake_env *env, struct attempt *a, uint8_t ret[32])
{
    rng_fill(env->rng, a->ephemeral, sizeof(a->ephemeral));
    x25519_clamp(a->ephemeral);
    want(a, ret, a->ephemeral, NULL);
}

/* "e", which psk patterns mix into the key as well; a product is mixed in next. */
static void mix_ephemeral(struct noise *n, const uint8_t e[32])
{
    noise_mix_chain(n, e, 32);
    noise_mix_hash(n, e, 32);
}

/* ---- initiations of ours ---- */

static void finish_initiation(const struct handshake_env *env, struct attempt *a)
{
    struct handshake_result *ret = a->ret;
    struct message_initiation *m = (struct message_initiation *)ret->reply;
    const struct remote *r = &a->remote;

    if (!a->made)
        return;
    struct initiation_secret *secret = secret_alloc();
    struct initiation_state *state = secret_alloc();
    if (!secret || !state) {
        secret_free(secret);
        secret_free(state);
        return;
    }
    store_le32(m->type, MESSAGE_INITIATION);
    store_le32(m->sender, ret->local_index);
    start(&a->n, r->public_key.b);
    mix_ephemeral(&a->n, m->ephemeral);
    noise_mix_key(&a->n, a->shared[0], 32);
    noise_encrypt(&a->n, m->encrypted_static, env->self->public_key.b, 32);
    noise_mix_key(&a->n, r->secret->static_static, 32);
    noise_encrypt(&a->n, m->encrypted_timestamp, a->job->stamp, TAI64N_LEN);
    mac1_put(ret->reply, sizeof(*m), &r->public_key);
    ret->reply_len = sizeof(*m);

    memcpy(secret->ephemeral_private, a->ephemeral, 32);
    memcpy(secret->psk, r->secret->psk, 32);
    memcpy(state->ck, a->n.ck, 32);
    memcpy(state->h, a->n.h, 32);
    ret->initiation = (struct initiation){.peer_id = r->peer_id,
                                          .local_index = ret->local_index,
                                          .sent_ns = env->now_ns,
                                          .stamp_real_ns = stamp_to_real(a->job->stamp),
                                          .secret = secret,
                                          .state = state};
    ret->verdict = HANDSHAKE_INITIATION_MADE;
}

static void initiate(const struct handshake_env *env, struct attempt *a)
{
    const struct remote *r = env->find_remote_id(env->ctx, a->job->peer_id);

    a->ret->verdict = HANDSHAKE_DROP_UNKNOWN;
    if (!usable(r) || !env->self)
        return;
    a->remote = *r;
    a->ret->local_index = env->draw_index(env->ctx);
    want_ephemeral(env, a, ((struct message_initiation *)a->ret->reply)->ephemeral);
    want(a, a->shared[0], a->ephemeral, a->remote.public_key.b);
    a->next = finish_initiation;
}

/* ---- initiations of others ---- */

static void finish_response(const struct handshake_env *env, struct attempt *a)
{
    struct handshake_result *ret = a->ret;
    struct message_response *m = (struct message_response *)ret->reply;

    if (!a->made) {
        secret_free(TAKE_PTR(ret->keys));
        return;
    }
    store_le32(m->type, MESSAGE_RESPONSE);
    store_le32(m->sender, ret->local_index);
    store_le32(m->receiver, ret->remote_index);
    mix_ephemeral(&a->n, m->ephemeral);
    noise_mix_chain(&a->n, a->shared[0], 32);
    noise_mix_chain(&a->n, a->shared[1], 32);
    noise_mix_psk(&a->n, a->remote.secret->psk);
    noise_encrypt(&a->n, m->encrypted_nothing, NULL, 0);
    mac1_put(ret->reply, sizeof(*m), &a->remote.public_key);
    ret->reply_len = sizeof(*m);
    noise_split(&a->n, ret->keys->recv, ret->keys->send); /* they are the initiator */
    ret->verdict = HANDSHAKE_INITIATION_VALID;
}

static void open_initiation(const struct handshake_env *env, struct attempt *a)
{
    const struct message_initiation *m = (const struct message_initiation *)a->job->message;
    struct handshake_result *ret = a->ret;
    struct public_key their_static;
    uint8_t stamp[TAI64N_LEN], last[TAI64N_LEN];

    if (!a->made)
        return;
    noise_mix_key(&a->n, a->shared[0], 32);
    if (!noise_decrypt(&a->n, their_static.b, m->encrypted_static, sizeof(m->encrypted_static)))
        return;
    ret->has_key = true;
    ret->key = their_static;
    const struct remote *r = env->find_remote(env->ctx, &their_static);
    if (!usable(r)) {
        ret->verdict = HANDSHAKE_DROP_UNKNOWN;
        return;
    }
    a->remote = *r;
    noise_mix_key(&a->n, r->secret->static_static, 32);
    if (!noise_decrypt(&a->n, stamp, m->encrypted_timestamp, sizeof(m->encrypted_timestamp)))
        return;
    ret->peer_id = r->peer_id;
    memcpy(ret->stamp, stamp, sizeof(stamp));
    if (env->last_stamp(env->ctx, ret->peer_id, last) && memcmp(stamp, last, sizeof(stamp)) <= 0 &&
        !PLANTED("stamp-not-compared")) {
        ret->verdict = HANDSHAKE_DROP_STALE; /* before three more multiplications */
        return;
    }
    ret->keys = secret_alloc();
    if (!ret->keys)
        return;
    ret->remote_index = load_le32(m->sender);
    ret->local_index = env->draw_index(env->ctx);
    want_ephemeral(env, a, ((struct message_response *)ret->reply)->ephemeral);
    want(a, a->shared[0], a->ephemeral, m->ephemeral);
    want(a, a->shared[1], a->ephemeral, a->remote.public_key.b);
    a->next = finish_response;
}

static void read_initiation(const struct handshake_env *env, struct attempt *a)
{
    const struct message_initiation *m = (const struct message_initiation *)a->job->message;

    a->n = env->self->responding;
    mix_ephemeral(&a->n, m->ephemeral);
    a->ret->verdict = HANDSHAKE_DROP_AUTH;
    want(a, a->shared[0], env->self->private_key->b, m->ephemeral);
    a->next = open_initiation;
}

/* ---- answers to ours ---- */

static void open_response(const struct handshake_env *env, struct attempt *a)
{
    const struct message_response *m = (const struct message_response *)a->job->message;
    struct handshake_result *ret = a->ret;
    uint8_t nothing[1];

    if (!a->made)
        return;
    noise_mix_chain(&a->n, a->shared[0], 32);
    noise_mix_chain(&a->n, a->shared[1], 32);
    noise_mix_psk(&a->n, a->initiation->secret->psk);
    if (!noise_decrypt(&a->n, nothing, m->encrypted_nothing, sizeof(m->encrypted_nothing)))
        return;
    ret->keys = secret_alloc();
    if (!ret->keys)
        return;
    noise_split(&a->n, ret->keys->send, ret->keys->recv);
    ret->peer_id = a->initiation->peer_id;
    ret->initiation_index = ret->local_index = a->initiation->local_index;
    ret->remote_index = load_le32(m->sender);
    ret->verdict = HANDSHAKE_RESPONSE_VALID;
}

static void read_response(const struct handshake_env *env, struct attempt *a)
{
    const struct message_response *m = (const struct message_response *)a->job->message;
    const struct initiation *i = env->find_initiation(env->ctx, load_le32(m->receiver));

    a->ret->verdict = HANDSHAKE_DROP_UNKNOWN;
    if (!i)
        return;
    a->ret->verdict = HANDSHAKE_DROP_AUTH;
    const struct remote *r = env->find_remote_id(env->ctx, i->peer_id);
    if (r) {
        a->ret->has_key = true;
        a->ret->key = r->public_key;
    }
    a->initiation = i;
    memcpy(a->n.ck, i->state->ck, 32);
    memcpy(a->n.h, i->state->h, 32);
    mix_ephemeral(&a->n, m->ephemeral);
    want(a, a->shared[0], i->secret->ephemeral_private, m->ephemeral);
    want(a, a->shared[1], env->self->private_key->b, m->ephemeral);
    a->next = open_response;
}

static void read_cookie(const struct handshake_env *env, const struct handshake_job *job,
                        struct handshake_result *ret)
{
    const struct message_cookie *m = (const struct message_cookie *)job->message;
    uint32_t index = load_le32(m->receiver);
    const struct remote *r = env->find_remote_index(env->ctx, index);
    uint8_t mac1[16], key[32];

    ret->verdict = HANDSHAKE_DROP_UNKNOWN;
    if (!r || !env->last_mac1(env->ctx, r->peer_id, mac1))
        return;
    ret->verdict = HANDSHAKE_DROP_AUTH;
    cookie_key(&r->public_key, key);
    if (!cookie_open(m, mac1, key, ret->cookie))
        return;
    ret->peer_id = r->peer_id;
    ret->initiation_index = index;
    ret->verdict = HANDSHAKE_COOKIE_VALID;
}

/* An answer that we wait for: off the path nobody knows its index, and when a VIP has moved all
 * peers answer at once. To ask each for a cookie would cost it five seconds. */
static bool is_awaited(const struct handshake_env *env, const struct handshake_job *job)
{
    const struct message_response *m = (const struct message_response *)job->message;

    return load_le32(m->type) == MESSAGE_RESPONSE &&
           env->find_initiation(env->ctx, load_le32(m->receiver));
}

/* H10. True: go on. */
static bool load_allows(const struct handshake_env *env, const struct handshake_job *job,
                        struct handshake_result *ret)
{
    if (!env->under_load || is_awaited(env, job))
        return true;
    if (!cookie_mac2_ok(env->cookies, env->real_ns, &job->source, job->message, job->len)) {
        cookie_reply(env->cookies, env->real_ns, &job->source, job->message, job->len,
                     env->self->cookie_key, env->rng, (struct message_cookie *)ret->reply);
        ret->reply_len = sizeof(struct message_cookie);
        ret->verdict = HANDSHAKE_REPLY_COOKIE;
        return false;
    }
    if (env->ratelimit && !ratelimit_allow(env->ratelimit, &job->source.addr, env->now_ns)) {
        ret->verdict = HANDSHAKE_DROP_RATE;
        return false;
    }
    return true;
}

/* What costs little, and which multiplications the rest needs. */
static void begin(const struct handshake_env *env, struct attempt *a)
{
    const struct handshake_job *job = a->job;
    struct handshake_result *ret = a->ret;

    *ret = (struct handshake_result){.vip = job->vip,
                                     .source = job->source,
                                     .local = job->local,
                                     .local_ifindex = job->local_ifindex};
    if (job->kind == HANDSHAKE_INITIATE) {
        ret->peer_id = job->peer_id;
        initiate(env, a);
        return;
    }
    uint32_t type = job->len >= 4 ? load_le32(job->message) : 0;
    ret->verdict = HANDSHAKE_DROP_MALFORMED;
    if (!env->self || job->len != length_of(type) || job->len == 0)
        return;
    if (type == MESSAGE_COOKIE)
        read_cookie(env, job, ret);
    else if (!load_allows(env, job, ret))
        return;
    else if (type == MESSAGE_INITIATION)
        read_initiation(env, a);
    else
        read_response(env, a);
}

/* All that is wanted, together. False: nothing was. */
static bool multiply(struct attempt *attempts, unsigned n)
{
    struct x25519_job *all[HANDSHAKE_BATCH_MAX * PRODUCTS_MAX];
    unsigned count = 0;

    for (struct attempt *a = attempts; a < attempts + n; a++)
        for (unsigned i = 0; i < a->product_count; i++)
            all[count++] = &a->products[i];
    x25519_batch(all, count);
    for (struct attempt *a = attempts; a < attempts + n; a++) {
        a->made = a->product_count > 0;
        for (unsigned i = 0; i < a->product_count; i++)
            a->made &= a->products[i].ok;
        a->product_count = 0;
    }
    return count > 0;
}

void handshake_run_batch(const struct handshake_env *env, const struct handshake_job *jobs,
                         struct handshake_result *const *ret, unsigned n)
{
    struct attempt attempts[HANDSHAKE_BATCH_MAX];

    assert(n <= HANDSHAKE_BATCH_MAX);
    memset(attempts, 0, n * sizeof(*attempts));
    for (unsigned i = 0; i < n; i++) {
        attempts[i].job = &jobs[i];
        attempts[i].ret = ret[i];
        begin(env, &attempts[i]);
    }
    while (multiply(attempts, n))
        for (struct attempt *a = attempts; a < attempts + n; a++)
            if (a->next)
                TAKE_PTR(a->next)(env, a);
    secret_wipe(attempts, n * sizeof(*attempts));
}

void handshake_run(const struct handshake_env *env, const struct handshake_job *job,
                   struct handshake_result *ret)
{
    handshake_run_batch(env, job, &ret, 1);
}

void handshake_result_clear(struct handshake_result *r)
{
    secret_free(r->keys);
    secret_free(r->initiation.secret);
    secret_free(r->initiation.state);
    secret_wipe(r, sizeof(*r));
}

/* ---- TAI64N ---- */

#define TAI64_BASE 0x400000000000000aull /* 1970-01-01 00:00:10 TAI, without leap seconds */

void stamp_from_real(uint64_t real_ns, uint8_t ret[TAI64N_LEN])
{
    uint64_t ns = real_ns % NS_PER_S;

    store_be64(ret, TAI64_BASE + real_ns / NS_PER_S);
    store_be32(ret + 8, (uint32_t)(ns & ~(uint64_t)(STAMP_TICK_NS - 1)));
}

uint64_t stamp_to_real(const uint8_t stamp[TAI64N_LEN])
{
    uint64_t s = load_be64(stamp), ns = load_be32(stamp + 8);

    if (s < TAI64_BASE)
        return 0;
    if (s - TAI64_BASE >= UINT64_MAX / NS_PER_S)
        return UINT64_MAX;
    return (s - TAI64_BASE) * NS_PER_S + MIN(ns, NS_PER_S - 1);
}

/* What the other end will read of it: ticks are of the second's nanoseconds. */
static uint64_t encoded(uint64_t real_ns)
{
    uint8_t stamp[TAI64N_LEN];

    stamp_from_real(real_ns, stamp);
    return stamp_to_real(stamp);
}

uint64_t stamp_choose(uint64_t last, uint64_t floor, uint64_t real_ns, uint64_t boot_ns,
                      uint64_t anchor_real, uint64_t anchor_boot)
{
    uint64_t cap = anchor_real + (boot_ns - anchor_boot) + 60 * NS_PER_S;
    if (PLANTED("no-stamp-cap"))
        cap = UINT64_MAX;
    uint64_t ts = MAX(floor, MIN(real_ns, cap));

    if (PLANTED("stamp-of-own-clock"))
        return encoded(real_ns);
    ts = encoded(ts);
    if (last && ts <= encoded(last)) {
        /* One tick on; at the end of a second the next one begins. */
        uint64_t next = encoded(last) + STAMP_TICK_NS;
        ts = encoded(next);
        if (ts <= encoded(last))
            ts = (last / NS_PER_S + 1) * NS_PER_S;
    }
    return ts;
}
