#include "unit/sync/pair.h"
#include "noise/noise.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint32_t sum_of(const uint8_t *p, size_t len)
{
    uint32_t h = 2166136261u;

    while (len--)
        h = (h ^ *p++) * 16777619u;
    return h;
}

static uint8_t *op_reserve(void *ctx, size_t len)
{
    struct side *s = ctx;
    uint8_t *p = s->out + s->out_len;

    if (s->out_len + len > s->out_room)
        return NULL;
    s->out_len += len;
    return p;
}

static void op_up(void *ctx, uint8_t member, const struct codec_key *key)
{
    struct side *s = ctx;

    s->ups++;
    s->up_member = member;
    s->codec_key = key;
}

static void op_frame(void *ctx, const uint8_t *msg, size_t len)
{
    struct side *s = ctx;

    assert_int_equal(s->ups, 1); /* S2: nothing before it */
    assert_int_equal(s->failures, 0);
    assert_true(s->heard_count < HEARD_MAX);
    s->heard[s->heard_count].len = (uint32_t)len;
    s->heard[s->heard_count].codec = *s->codec_key;
    s->heard[s->heard_count++].sum = sum_of(msg, len);
}

static void op_failed(void *ctx, const char *reason)
{
    struct side *s = ctx;

    s->failures++;
    snprintf(s->reason, sizeof(s->reason), "%s", reason);
}

static void side_init(struct side *s, uint8_t self, uint64_t seed)
{
    test_rng_init(&s->rng, seed);
    s->id.self = self;
    snprintf(s->id.cluster, sizeof(s->id.cluster), "office");
    s->id.membership_epoch = 7;
    s->private_key = secret_alloc();
    s->cluster_key = secret_alloc();
    s->out = malloc(STREAM_MAX);
    assert_true(s->private_key && s->cluster_key && s->out);
    s->id.private_key = s->private_key;
    s->id.cluster_key = s->cluster_key;
    memset(s->cluster_key->b, 0x42, 32);
}

struct pair *pair_new(uint64_t seed)
{
    struct pair *p = calloc(1, sizeof(*p));

    assert_non_null(p);
    assert_int_equal(noise_init(), 0);
    p->now = 1000000000;
    side_init(&p->a, 2, seed);
    side_init(&p->b, 1, seed + 1000);
    x25519_keygen(&p->a.rng.rng, p->a.private_key->b, p->b.id.member[2].public_key);
    x25519_keygen(&p->b.rng.rng, p->b.private_key->b, p->a.id.member[1].public_key);
    p->a.id.member[1].known = p->b.id.member[2].known = true;
    return p;
}

static void side_done(struct side *s)
{
    channel_free(s->channel);
    secret_free(s->private_key);
    secret_free(s->cluster_key);
    free(s->out);
}

void pair_free(struct pair *p)
{
    side_done(&p->a);
    side_done(&p->b);
    free(p);
}

void side_open(struct side *s, uint64_t now)
{
    const struct channel_ops ops = {
        .ctx = s, .reserve = op_reserve, .up = op_up, .frame = op_frame, .failed = op_failed};

    channel_free(s->channel);
    s->out_len = 0;
    s->out_room = STREAM_MAX;
    s->ups = s->failures = s->heard_count = 0;
    s->reason[0] = 0;
    s->channel = channel_new(&s->id, &ops, &s->rng.rng, now);
    assert_non_null(s->channel);
}

void pair_start(struct pair *p)
{
    side_open(&p->a, p->now);
    side_open(&p->b, p->now);
    channel_start(p->a.channel, 1, p->now);
}

void carry(struct pair *p, struct side *from, struct side *to, size_t piece)
{
    size_t len = from->out_len;
    uint8_t *bytes = malloc(len ? len : 1);

    assert_non_null(bytes);
    memcpy(bytes, from->out, len);
    from->out_len = 0;
    for (size_t at = 0; at < len;) {
        size_t n = piece && len - at > piece ? piece : len - at;
        uint8_t *exact = malloc(n); /* reads behind the end are seen */

        assert_non_null(exact);
        memcpy(exact, bytes + at, n);
        channel_input(to->channel, exact, n, p->now);
        free(exact);
        at += n;
    }
    free(bytes);
}

void pair_settle(struct pair *p)
{
    while (p->a.out_len || p->b.out_len) {
        carry(p, &p->a, &p->b, 0);
        carry(p, &p->b, &p->a, 0);
    }
}

void pair_up(struct pair *p)
{
    pair_start(p);
    pair_settle(p);
    assert_int_equal(p->a.ups, 1);
    assert_int_equal(p->b.ups, 1);
}
