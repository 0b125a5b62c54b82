/* What a handshake must refuse, and what is left of it afterwards. */
#include "base/bytes.h"
#include "noise/noise.h"
#include "unit/wg/ends.h"
#include "wg/ratelimit.h"
#include <stdlib.h>
#include <string.h>

#define NS_PER_S 1000000000ull
#define CONSTRUCTION "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"
#define IDENTIFIER "WireGuard v1 zx2c4 Jason@zx2c4.com"

static struct ends *ends(void)
{
    uint8_t i[32], r[32], psk[32], unused[32];
    const struct rng *rng = test_rng(7);

    assert_int_equal(noise_init(), 0);
    x25519_keygen(rng, i, unused);
    x25519_keygen(rng, r, unused);
    rng_fill(rng, psk, sizeof(psk));
    return ends_new(i, r, psk);
}

static void stamp_at(uint64_t seconds, uint8_t ret[TAI64N_LEN])
{
    stamp_from_real(seconds * NS_PER_S, ret);
}

/* An initiation of e->i, its mac1 in place. */
static unsigned initiation(struct ends *e, uint64_t seconds, uint8_t ret[HANDSHAKE_LEN_MAX])
{
    struct handshake_result made;
    uint8_t stamp[TAI64N_LEN];

    stamp_at(seconds, stamp);
    end_initiate(&e->i, stamp, &made);
    assert_int_equal(made.verdict, HANDSHAKE_INITIATION_MADE);
    unsigned len = made.reply_len;
    memcpy(ret, made.reply, len);
    handshake_result_clear(&made);
    return len;
}

static unsigned response(struct ends *e, const uint8_t *first, unsigned first_len,
                         uint8_t ret[HANDSHAKE_LEN_MAX])
{
    struct handshake_result r;

    assert_int_equal(end_receive(&e->r, first, first_len, &r), HANDSHAKE_INITIATION_VALID);
    unsigned len = r.reply_len;
    memcpy(ret, r.reply, len);
    handshake_result_clear(&r);
    return len;
}

TEST(no_bit_of_an_initiation_may_change)
{
    struct ends *e = ends();
    uint8_t m[HANDSHAKE_LEN_MAX], changed[HANDSHAKE_LEN_MAX];
    unsigned len = initiation(e, 1000, m);

    for (unsigned bit = 0; bit < (len - 16) * 8; bit++) { /* mac2 is for cookies */
        memcpy(changed, m, len);
        changed[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(handshake_mac1_ok(&e->r.self, changed, len));
        /* With mac1 made good again, what the noise covers is still refused. The sender's index is
         * covered by mac1 only. */
        if (bit / 8 >= 8 && bit / 8 < len - 32)
            assert_int_not_equal(end_verdict(&e->r, changed, len), HANDSHAKE_INITIATION_VALID);
    }
    assert_int_equal(end_verdict(&e->r, m, len), HANDSHAKE_INITIATION_VALID);
    ends_free(e);
}

TEST(no_bit_of_a_response_may_change)
{
    struct ends *e = ends();
    uint8_t m[HANDSHAKE_LEN_MAX], changed[HANDSHAKE_LEN_MAX];
    unsigned first = initiation(e, 1000, changed);
    unsigned len = response(e, changed, first, m);

    for (unsigned bit = 0; bit < (len - 16) * 8; bit++) {
        memcpy(changed, m, len);
        changed[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(handshake_mac1_ok(&e->i.self, changed, len));
        if (bit / 8 >= 8 && bit / 8 < len - 32)
            assert_int_not_equal(end_verdict(&e->i, changed, len), HANDSHAKE_RESPONSE_VALID);
    }
    assert_int_equal(end_verdict(&e->i, m, len), HANDSHAKE_RESPONSE_VALID);
    ends_free(e);
}

TEST(lengths_and_types_must_be_exact)
{
    struct ends *e = ends();
    uint8_t m[HANDSHAKE_LEN_MAX];
    unsigned len = initiation(e, 1000, m);

    for (unsigned n = 0; n < len; n++) {
        assert_false(handshake_mac1_ok(&e->r.self, m, n));
        assert_int_equal(end_verdict(&e->r, m, n), HANDSHAKE_DROP_MALFORMED);
    }
    for (unsigned type = 0; type < 256; type++)
        if (type != MESSAGE_INITIATION) {
            m[0] = (uint8_t)type;
            assert_int_equal(end_verdict(&e->r, m, len), HANDSHAKE_DROP_MALFORMED);
        }
    m[0] = MESSAGE_INITIATION;
    for (unsigned i = 1; i < 4; i++) { /* reserved bytes */
        m[i] = 1;
        assert_int_equal(end_verdict(&e->r, m, len), HANDSHAKE_DROP_MALFORMED);
        m[i] = 0;
    }
    ends_free(e);
}

TEST(a_stamp_that_is_not_newer_is_refused)
{
    struct ends *e = ends();
    uint8_t m[HANDSHAKE_LEN_MAX];
    unsigned len = initiation(e, 1000, m);

    e->r.has_stamp = true;
    stamp_at(999, e->r.stamp);
    assert_int_equal(end_verdict(&e->r, m, len), HANDSHAKE_INITIATION_VALID);
    stamp_at(1000, e->r.stamp); /* itself: a replay */
    assert_int_equal(end_verdict(&e->r, m, len), HANDSHAKE_DROP_STALE);
    stamp_at(1001, e->r.stamp);
    assert_int_equal(end_verdict(&e->r, m, len), HANDSHAKE_DROP_STALE);
    ends_free(e);
}

TEST(strangers_and_other_secrets_get_no_answer)
{
    struct ends *e = ends(), *other = ends();
    uint8_t m[HANDSHAKE_LEN_MAX], answer[HANDSHAKE_LEN_MAX];
    unsigned len = initiation(e, 1000, m);

    other->r.peer.public_key.b[0] ^= 1; /* does not know the initiator */
    assert_int_equal(end_verdict(&other->r, m, len), HANDSHAKE_DROP_UNKNOWN);
    other->r.peer.public_key.b[0] ^= 1;
    other->r.peer.secret->psk[5] ^= 1; /* knows it by another preshared key */
    len = response(other, m, len, answer);
    assert_int_equal(end_verdict(&e->i, answer, len), HANDSHAKE_DROP_AUTH);
    ends_free(e);
    ends_free(other);
}

TEST(a_peer_with_a_key_of_small_order_is_never_used)
{
    struct ends *e = ends();
    static const struct public_key zero;
    struct handshake_result made;
    uint8_t stamp[TAI64N_LEN];

    stamp_at(1000, stamp);
    remote_init(&e->i.peer, &e->i.self, &zero, NULL);
    assert_true(secret_is_zero(e->i.peer.secret->static_static, 32));
    size_t slots = secret_slots_used();
    end_initiate(&e->i, stamp, &made);
    assert_int_equal(made.verdict, HANDSHAKE_DROP_UNKNOWN);
    assert_int_equal(made.reply_len, 0);
    assert_int_equal(secret_slots_used(), slots);
    ends_free(e);
}

TEST(an_answer_serves_only_the_initiation_it_was_made_for)
{
    struct ends *e = ends();
    uint8_t first[HANDSHAKE_LEN_MAX], answer[HANDSHAKE_LEN_MAX], second[HANDSHAKE_LEN_MAX];
    unsigned len = initiation(e, 1000, first);
    unsigned answer_len = response(e, first, len, answer);

    initiation(e, 1001, second); /* replaces the first */
    assert_int_equal(end_verdict(&e->i, answer, answer_len), HANDSHAKE_DROP_UNKNOWN);
    store_le32(answer + 8, e->i.initiation.local_index);
    assert_int_equal(end_verdict(&e->i, answer, answer_len), HANDSHAKE_DROP_AUTH);
    e->i.has_initiation = false;
    assert_int_equal(end_verdict(&e->i, answer, answer_len), HANDSHAKE_DROP_UNKNOWN);
    ends_free(e);
}

TEST(under_load_a_cookie_must_come_back)
{
    struct ends *e = ends();
    uint8_t m[HANDSHAKE_LEN_MAX];
    unsigned len = initiation(e, 1000, m);
    struct handshake_result told, learned;

    e->r.env.under_load = true;
    size_t slots = secret_slots_used();
    assert_int_equal(end_receive(&e->r, m, len, &told), HANDSHAKE_REPLY_COOKIE);
    assert_int_equal(told.reply_len, sizeof(struct message_cookie));
    assert_int_equal(secret_slots_used(), slots); /* nothing is kept for a stranger */
    assert_int_equal(end_receive(&e->i, told.reply, told.reply_len, &learned),
                     HANDSHAKE_COOKIE_VALID);
    assert_int_equal(learned.initiation_index, e->i.initiation.local_index);
    handshake_add_mac2(m, len, learned.cookie);
    assert_int_equal(end_verdict(&e->r, m, len), HANDSHAKE_INITIATION_VALID);

    /* It is of an address and port, and of its time: this epoch, the last and the next (C1, C2). */
    struct endpoint source = end_source(1), elsewhere = end_source(2);
    uint64_t real = e->r.env.real_ns, epoch = 120 * NS_PER_S;
    assert_true(cookie_mac2_ok(&e->r.cookies, real, &source, m, len));
    assert_false(cookie_mac2_ok(&e->r.cookies, real, &elsewhere, m, len));
    assert_true(cookie_mac2_ok(&e->r.cookies, real + epoch, &source, m, len));
    assert_true(cookie_mac2_ok(&e->r.cookies, real - epoch, &source, m, len));
    assert_false(cookie_mac2_ok(&e->r.cookies, real + 2 * epoch, &source, m, len));
    assert_false(cookie_mac2_ok(&e->r.cookies, real - 2 * epoch, &source, m, len));
    /* A sibling has the same secret. */
    struct cookie_secret sibling = e->r.cookies;
    assert_true(cookie_mac2_ok(&sibling, real, &source, m, len));
    sibling.key[0] ^= 1;
    assert_false(cookie_mac2_ok(&sibling, real, &source, m, len));
    handshake_result_clear(&told);
    handshake_result_clear(&learned);
    ends_free(e);
}

TEST(under_load_an_answer_that_we_wait_for_needs_no_cookie)
{
    struct ends *e = ends();
    uint8_t first[HANDSHAKE_LEN_MAX], m[HANDSHAKE_LEN_MAX];
    unsigned len = response(e, first, initiation(e, 1000, first), m);

    e->i.env.under_load = true;
    assert_int_equal(end_verdict(&e->i, m, len), HANDSHAKE_RESPONSE_VALID);
    m[8] ^= 1; /* of no initiation of ours */
    assert_int_equal(end_verdict(&e->i, m, len), HANDSHAKE_REPLY_COOKIE);
    ends_free(e);
}

TEST(a_forged_cookie_reply_is_not_believed)
{
    struct ends *e = ends();
    uint8_t m[HANDSHAKE_LEN_MAX], changed[sizeof(struct message_cookie)];
    unsigned len = initiation(e, 1000, m);
    struct handshake_result told;

    e->r.env.under_load = true;
    assert_int_equal(end_receive(&e->r, m, len, &told), HANDSHAKE_REPLY_COOKIE);
    for (unsigned bit = 0; bit < told.reply_len * 8; bit++) {
        memcpy(changed, told.reply, told.reply_len);
        changed[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_not_equal(end_verdict(&e->i, changed, told.reply_len), HANDSHAKE_COOKIE_VALID);
    }
    e->i.mac1[3] ^= 1; /* not to the message that we sent last */
    assert_int_equal(end_verdict(&e->i, told.reply, told.reply_len), HANDSHAKE_DROP_AUTH);
    e->i.has_mac1 = false;
    assert_int_equal(end_verdict(&e->i, told.reply, told.reply_len), HANDSHAKE_DROP_UNKNOWN);
    handshake_result_clear(&told);
    ends_free(e);
}

TEST(results_leave_no_secret_behind)
{
    struct ends *e = ends();
    uint8_t m[HANDSHAKE_LEN_MAX];
    unsigned len = initiation(e, 1000, m);
    struct handshake_result r;
    size_t slots = secret_slots_used();

    assert_int_equal(end_receive(&e->r, m, len, &r), HANDSHAKE_INITIATION_VALID);
    assert_int_equal(secret_slots_used(), slots + 1);
    handshake_result_clear(&r);
    assert_int_equal(secret_slots_used(), slots);
    for (size_t i = 0; i < sizeof(r); i++)
        assert_int_equal(((uint8_t *)&r)[i], 0);
    m[100] ^= 1;
    end_verdict(&e->r, m, len);
    assert_int_equal(secret_slots_used(), slots);
    ends_free(e);
}

TEST(stamps_rise_whatever_the_clock_does)
{
    const uint64_t s = NS_PER_S, real = 1700000000 * s, boot = 100 * s;

    /* H5: our clock, when it is ahead of all that was sent... */
    uint64_t a = stamp_choose(0, 0, real, boot, real, boot);
    assert_true(a <= real && real - a < STAMP_TICK_NS);
    /* ...one tick above the last one when it is not... */
    for (uint64_t last = a, i = 0; i < 300; i++) {
        uint8_t was[TAI64N_LEN], is[TAI64N_LEN];
        uint64_t next = stamp_choose(last, 0, real - 5 * s, boot, real, boot);

        stamp_from_real(last, was);
        stamp_from_real(next, is);
        assert_true(memcmp(is, was, TAI64N_LEN) > 0);
        assert_true(next - last <= 2 * STAMP_TICK_NS);
        last = next;
    }
    /* ...never below the floor of the cluster... */
    assert_true(stamp_choose(0, real + 30 * s, real, boot, real, boot) >= real + 29 * s);
    /* ...and a clock that jumped far ahead takes no peer with it. */
    assert_true(stamp_choose(0, 0, real + 3600 * s, boot + s, real, boot) <= real + 61 * s);
}

/* What a message of one end would be if X25519 with @point gave zeros, as it does for points of
 * small order: everybody could make it. */
static unsigned forge_initiation(struct ends *e, const uint8_t point[32],
                                 uint8_t ret[HANDSHAKE_LEN_MAX])
{
    static const uint8_t zeros[32];
    struct message_initiation *m = (struct message_initiation *)ret;
    uint8_t stamp[TAI64N_LEN];
    struct noise n;

    memset(ret, 0, HANDSHAKE_LEN_MAX);
    stamp_at(1000, stamp);
    store_le32(m->type, MESSAGE_INITIATION);
    store_le32(m->sender, 77);
    memcpy(m->ephemeral, point, 32);
    noise_start(&n, CONSTRUCTION, sizeof(CONSTRUCTION) - 1, IDENTIFIER, sizeof(IDENTIFIER) - 1);
    noise_mix_hash(&n, e->r.self.public_key.b, 32);
    noise_mix_key(&n, point, 32);
    noise_mix_hash(&n, point, 32);
    noise_mix_key(&n, zeros, 32);
    noise_encrypt(&n, m->encrypted_static, e->i.self.public_key.b, 32);
    noise_mix_key(&n, e->i.peer.secret->static_static, 32);
    noise_encrypt(&n, m->encrypted_timestamp, stamp, sizeof(stamp));
    blake2s(m->macs.mac1, 16, e->r.self.mac1_key, 32, ret, sizeof(*m) - sizeof(m->macs));
    return sizeof(*m);
}

static unsigned forge_response(struct ends *e, const uint8_t point[32],
                               uint8_t ret[HANDSHAKE_LEN_MAX])
{
    static const uint8_t zeros[32];
    struct message_response *m = (struct message_response *)ret;
    struct noise n = {0};

    memset(ret, 0, HANDSHAKE_LEN_MAX);
    store_le32(m->type, MESSAGE_RESPONSE);
    store_le32(m->sender, 77);
    store_le32(m->receiver, e->i.initiation.local_index);
    memcpy(m->ephemeral, point, 32);
    memcpy(n.ck, e->i.initiation.state->ck, 32);
    memcpy(n.h, e->i.initiation.state->h, 32);
    noise_mix_key(&n, point, 32);
    noise_mix_hash(&n, point, 32);
    noise_mix_key(&n, zeros, 32);
    noise_mix_key(&n, zeros, 32);
    noise_mix_psk(&n, e->i.peer.secret->psk);
    noise_encrypt(&n, m->encrypted_nothing, NULL, 0);
    blake2s(m->macs.mac1, 16, e->i.self.mac1_key, 32, ret, sizeof(*m) - sizeof(m->macs));
    return sizeof(*m);
}

TEST(an_ephemeral_of_small_order_is_dropped)
{
    /* Of orders 1, 2, 4 and 8, and 2^255-19 and its neighbours, which are the same. */
    static const char *const points[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"};
    struct ends *e = ends();
    uint8_t m[HANDSHAKE_LEN_MAX], point[32];

    initiation(e, 1000, m);
    size_t slots = secret_slots_used();
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        assert_int_equal(test_unhex(points[i], point, sizeof(point)), 32);
        unsigned len = forge_initiation(e, point, m);
        assert_true(handshake_mac1_ok(&e->r.self, m, len));
        assert_int_equal(end_verdict(&e->r, m, len), HANDSHAKE_DROP_AUTH);
        len = forge_response(e, point, m);
        assert_true(handshake_mac1_ok(&e->i.self, m, len));
        assert_int_equal(end_verdict(&e->i, m, len), HANDSHAKE_DROP_AUTH);
    }
    assert_int_equal(secret_slots_used(), slots);
    ends_free(e);
}

TEST(under_load_a_source_that_proved_itself_still_has_a_rate)
{
    struct ends *e = ends();
    uint8_t m[HANDSHAKE_LEN_MAX], cookie[16];
    struct endpoint source = end_source(1);
    unsigned len = initiation(e, 1000, m);

    e->r.env.under_load = true;
    e->r.env.ratelimit = ratelimit_new(1);
    assert_non_null(e->r.env.ratelimit);
    /* Who did not answer with the cookie takes nothing from the rate of that address. */
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(end_verdict(&e->r, m, len), HANDSHAKE_REPLY_COOKIE);
    cookie_make(&e->r.cookies, e->r.env.real_ns, 0, &source, cookie);
    handshake_add_mac2(m, len, cookie);
    size_t slots = secret_slots_used();
    for (unsigned i = 0; i < RATELIMIT_BURST; i++)
        assert_int_equal(end_verdict(&e->r, m, len), HANDSHAKE_INITIATION_VALID);
    struct handshake_result dropped;
    assert_int_equal(end_receive(&e->r, m, len, &dropped), HANDSHAKE_DROP_RATE);
    assert_int_equal(dropped.reply_len, 0); /* silence */
    assert_null(dropped.keys);
    handshake_result_clear(&dropped);
    e->r.env.now_ns += NS_PER_S / RATELIMIT_PER_S;
    assert_int_equal(end_verdict(&e->r, m, len), HANDSHAKE_INITIATION_VALID);
    assert_int_equal(end_verdict(&e->r, m, len), HANDSHAKE_DROP_RATE);
    e->r.env.under_load = false; /* the rate is for times of load only */
    assert_int_equal(end_verdict(&e->r, m, len), HANDSHAKE_INITIATION_VALID);
    assert_int_equal(secret_slots_used(), slots);
    ratelimit_free(e->r.env.ratelimit);
    ends_free(e);
}

TEST_MAIN(T(no_bit_of_an_initiation_may_change), T(no_bit_of_a_response_may_change),
          T(lengths_and_types_must_be_exact), T(a_stamp_that_is_not_newer_is_refused),
          T(strangers_and_other_secrets_get_no_answer),
          T(a_peer_with_a_key_of_small_order_is_never_used),
          T(an_answer_serves_only_the_initiation_it_was_made_for),
          T(under_load_a_cookie_must_come_back),
          T(under_load_an_answer_that_we_wait_for_needs_no_cookie),
          T(a_forged_cookie_reply_is_not_believed), T(results_leave_no_secret_behind),
          T(stamps_rise_whatever_the_clock_does), T(an_ephemeral_of_small_order_is_dropped),
          T(under_load_a_source_that_proved_itself_still_has_a_rate))
