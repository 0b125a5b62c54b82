#include "unit/wg/ends.h"
#include "noise/noise.h"
#include <stdlib.h>
#include <string.h>

static void fill(void *ctx, void *buf, size_t len)
{
    struct end *e = ctx;
    uint8_t *p = buf;

    if (e->script_len) {
        assert_true(len <= e->script_len); /* a draw is scripted whole */
        memcpy(p, e->script, len);
        e->script += len;
        e->script_len -= len;
        return;
    }
    rng_fill(&e->seeded.rng, p, len);
}

static const struct remote *find_remote(void *ctx, const struct public_key *key)
{
    struct end *e = ctx;

    return memcmp(key, &e->peer.public_key, sizeof(*key)) == 0 ? &e->peer : NULL;
}

static const struct remote *find_remote_id(void *ctx, uint64_t id)
{
    struct end *e = ctx;

    return id == e->peer.peer_id ? &e->peer : NULL;
}

static const struct initiation *find_initiation(void *ctx, uint32_t index)
{
    struct end *e = ctx;

    return e->has_initiation && index == e->initiation.local_index ? &e->initiation : NULL;
}

static const struct remote *find_remote_index(void *ctx, uint32_t index)
{
    struct end *e = ctx;

    return find_initiation(ctx, index) ? &e->peer : NULL;
}

static bool last_stamp(void *ctx, uint64_t id, uint8_t ret[TAI64N_LEN])
{
    struct end *e = ctx;

    assert_true(id == e->peer.peer_id);
    memcpy(ret, e->stamp, TAI64N_LEN);
    return e->has_stamp;
}

static uint32_t draw_index(void *ctx)
{
    return ((struct end *)ctx)->next_index++;
}

static bool last_mac1(void *ctx, uint64_t id, uint8_t ret[16])
{
    struct end *e = ctx;

    memcpy(ret, e->mac1, 16);
    return e->has_mac1;
}

static void end_init(struct end *e, const uint8_t private_key[32], uint64_t seed)
{
    struct secret32 key;

    memcpy(key.b, private_key, 32);
    e->self.private_key = secret_alloc();
    e->peer.secret = secret_alloc();
    assert_true(e->self.private_key && e->peer.secret);
    identity_init(&e->self, &key);
    test_rng_init(&e->seeded, seed);
    memset(e->cookies.key, 0x55, sizeof(e->cookies.key));
    e->rng = (struct rng){.fill = fill, .ctx = e};
    e->next_index = (uint32_t)seed * 1000;
    e->env = (struct handshake_env){.self = &e->self,
                                    .rng = &e->rng,
                                    .now_ns = 1000000000,
                                    .real_ns = 1700000000ull * 1000000000,
                                    .cookies = &e->cookies,
                                    .ctx = e,
                                    .find_remote = find_remote,
                                    .find_remote_id = find_remote_id,
                                    .find_initiation = find_initiation,
                                    .find_remote_index = find_remote_index,
                                    .last_stamp = last_stamp,
                                    .draw_index = draw_index,
                                    .last_mac1 = last_mac1};
}

struct ends *ends_new(const uint8_t i_private[32], const uint8_t r_private[32],
                      const uint8_t psk[32])
{
    struct ends *e = calloc(1, sizeof(*e));
    struct secret32 shared;

    assert_non_null(e);
    assert_int_equal(noise_init(), 0);
    end_init(&e->i, i_private, 1);
    end_init(&e->r, r_private, 2);
    if (psk)
        memcpy(shared.b, psk, 32);
    remote_init(&e->i.peer, &e->i.self, &e->r.self.public_key, psk ? &shared : NULL);
    remote_init(&e->r.peer, &e->r.self, &e->i.self.public_key, psk ? &shared : NULL);
    e->i.peer.peer_id = RESPONDER_ID;
    e->r.peer.peer_id = INITIATOR_ID;
    return e;
}

static void end_done(struct end *e)
{
    secret_free(e->self.private_key);
    secret_free(e->peer.secret);
    secret_free(e->initiation.secret);
    secret_free(e->initiation.state);
}

void ends_free(struct ends *e)
{
    end_done(&e->i);
    end_done(&e->r);
    free(e);
}

void end_script(struct end *e, const uint8_t *bytes, size_t len)
{
    e->script = bytes;
    e->script_len = len;
}

struct endpoint end_source(uint16_t port)
{
    return (struct endpoint){.addr = addr_from_v4((const uint8_t[]){192, 0, 2, 1}), .port = port};
}

void end_initiate(struct end *e, const uint8_t stamp[TAI64N_LEN], struct handshake_result *ret)
{
    struct handshake_job job = {.kind = HANDSHAKE_INITIATE, .peer_id = e->peer.peer_id};

    memcpy(job.stamp, stamp, TAI64N_LEN);
    handshake_run(&e->env, &job, ret);
    if (ret->verdict != HANDSHAKE_INITIATION_MADE)
        return;
    secret_free(e->initiation.secret);
    secret_free(e->initiation.state);
    e->initiation = ret->initiation;
    ret->initiation.secret = NULL;
    ret->initiation.state = NULL;
    e->has_initiation = e->has_mac1 = true;
    memcpy(e->mac1, ret->reply + ret->reply_len - 32, 16);
}

enum handshake_verdict end_receive(struct end *e, const uint8_t *message, unsigned len,
                                   struct handshake_result *ret)
{
    struct handshake_job job = {.kind = HANDSHAKE_DATAGRAM, .source = end_source(1), .len = len};

    assert_true(len <= sizeof(job.message));
    memcpy(job.message, message, len);
    handshake_run(&e->env, &job, ret);
    return ret->verdict;
}

enum handshake_verdict end_verdict(struct end *e, const uint8_t *message, unsigned len)
{
    struct handshake_result r;
    enum handshake_verdict v = end_receive(e, message, len, &r);

    handshake_result_clear(&r);
    return v;
}
