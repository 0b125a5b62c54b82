#include "base/bytes.h"
#include "noise/noise.h"
#include "unit/sync/pair.h"
#include <stdlib.h>
#include <string.h>

#define S 1000000000ull

static int setup(void **state)
{
    *state = pair_new(1);
    return 0;
}

static int teardown(void **state)
{
    pair_free(*state);
    return 0;
}

#define PAIR_TEST(name)                                                                            \
    static void name##_on(struct pair *p);                                                         \
    static void name(void **state)                                                                 \
    {                                                                                              \
        name##_on(*state);                                                                         \
    }                                                                                              \
    static void name##_on(struct pair *p)

static void say(struct side *s, const char *text)
{
    assert_true(channel_send(s->channel, (const uint8_t *)text, strlen(text)));
}

static void heard(const struct side *s, unsigned i, const char *text)
{
    assert_true(i < s->heard_count);
    assert_int_equal(s->heard[i].sum, sum_of((const uint8_t *)text, strlen(text)));
}

/* ---- handshake ---- */

PAIR_TEST(both_come_up_and_talk)
{
    pair_up(p);
    assert_int_equal(p->a.up_member, 1);
    assert_int_equal(p->b.up_member, 2);
    say(&p->a, "from a");
    say(&p->b, "from b");
    say(&p->b, "again from b");
    pair_settle(p);
    heard(&p->b, 0, "from a");
    heard(&p->a, 0, "from b");
    heard(&p->a, 1, "again from b");
}

PAIR_TEST(bytes_may_come_in_any_pieces)
{
    uint8_t big[SYNC_FRAME_MAX];

    for (size_t i = 0; i < sizeof(big); i++)
        big[i] = (uint8_t)(i * 7);
    for (size_t piece = 1; piece <= 129; piece = piece * 3 + 2) {
        pair_start(p);
        for (unsigned turn = 0; turn < 4; turn++) {
            carry(p, &p->a, &p->b, piece);
            carry(p, &p->b, &p->a, piece);
        }
        say(&p->a, "x");
        assert_true(channel_send(p->a.channel, big, sizeof(big)));
        say(&p->a, "y");
        carry(p, &p->a, &p->b, piece);
        assert_int_equal(p->b.heard_count, 3);
        heard(&p->b, 0, "x");
        assert_int_equal(p->b.heard[1].sum, sum_of(big, sizeof(big)));
        assert_int_equal(p->b.heard[1].len, sizeof(big));
        heard(&p->b, 2, "y");
    }
}

/* S2: a responder is not up by message 1, an initiator not before the responder's record. */
PAIR_TEST(nobody_is_up_before_both_directions_are_confirmed)
{
    pair_start(p);
    assert_false(channel_send(p->a.channel, (const uint8_t *)"x", 1));
    carry(p, &p->a, &p->b, 0); /* message 1 */
    assert_int_equal(p->b.ups, 0);
    assert_false(channel_send(p->b.channel, (const uint8_t *)"x", 1));
    carry(p, &p->b, &p->a, 0); /* message 2 */
    assert_int_equal(p->a.ups, 0);
    assert_false(channel_is_up(p->a.channel));
    carry(p, &p->a, &p->b, 0); /* confirmation */
    assert_int_equal(p->b.ups, 1);
    assert_int_equal(p->a.ups, 0);
    carry(p, &p->b, &p->a, 0);
    assert_int_equal(p->a.ups, 1);
}

PAIR_TEST(a_replayed_first_message_never_brings_a_channel_up)
{
    uint8_t recorded[4096];
    size_t recorded_len;

    pair_start(p);
    carry(p, &p->a, &p->b, 0);
    carry(p, &p->b, &p->a, 0);
    /* Everything that the initiator ever said, recorded. */
    pair_start(p);
    recorded_len = p->a.out_len;
    memcpy(recorded, p->a.out, recorded_len);
    carry(p, &p->a, &p->b, 0);
    carry(p, &p->b, &p->a, 0);
    memcpy(recorded + recorded_len, p->a.out, p->a.out_len);
    recorded_len += p->a.out_len;
    carry(p, &p->a, &p->b, 0);
    assert_int_equal(p->b.ups, 1);

    side_open(&p->b, p->now);
    channel_input(p->b.channel, recorded, recorded_len, p->now);
    assert_int_equal(p->b.ups, 0);
    assert_int_equal(p->b.failures, 1);
    /* Alone it hangs until the time is over. */
    side_open(&p->b, p->now);
    channel_input(p->b.channel, recorded, 8 + 96, p->now);
    assert_int_equal(p->b.failures, 0);
    assert_true(channel_tick(p->b.channel, p->now) == p->now + CHANNEL_HANDSHAKE_NS);
    channel_tick(p->b.channel, p->now + CHANNEL_HANDSHAKE_NS);
    assert_int_equal(p->b.failures, 1);
    assert_int_equal(p->b.ups, 0);
}

static void expect_failure(struct pair *p)
{
    pair_start(p);
    pair_settle(p);
    assert_int_equal(p->a.ups, 0);
    assert_int_equal(p->b.ups, 0);
    assert_true(p->a.failures + p->b.failures >= 1);
}

PAIR_TEST(another_cluster_key_is_refused)
{
    p->a.cluster_key->b[31] ^= 1;
    expect_failure(p);
}

PAIR_TEST(another_cluster_name_is_refused)
{
    p->a.id.cluster[5] = 'E';
    expect_failure(p);
    /* Name and epoch are not one string: what is cut off here does not fit there. */
    p->a.id.cluster[5] = 0;
    expect_failure(p);
}

PAIR_TEST(another_membership_epoch_is_refused)
{
    p->b.id.membership_epoch++;
    expect_failure(p);
}

PAIR_TEST(a_wrong_key_of_the_dialled_is_refused)
{
    uint8_t private_key[32];

    x25519_keygen(&p->a.rng.rng, private_key, p->a.id.member[1].public_key);
    expect_failure(p);
}

PAIR_TEST(a_stranger_is_refused_by_key)
{
    uint8_t public_key[32];

    x25519_keygen(&p->a.rng.rng, p->a.private_key->b, public_key);
    expect_failure(p);
    assert_non_null(strstr(p->b.reason, "no member"));
}

PAIR_TEST(a_removed_member_is_refused_by_key)
{
    p->b.id.member[2].known = false;
    expect_failure(p);
}

PAIR_TEST(a_member_under_another_id_is_refused)
{
    memcpy(p->b.id.member[5].public_key, p->b.id.member[2].public_key, 32);
    p->b.id.member[5].known = true;
    p->b.id.member[2].known = false;
    expect_failure(p); /* the psk is of the pair of ids */
}

PAIR_TEST(the_lower_id_does_not_dial)
{
    p->b.id.self = 9;
    p->a.id.member[9] = p->a.id.member[1];
    side_open(&p->a, p->now);
    side_open(&p->b, p->now);
    channel_start(p->a.channel, 9, p->now);
    pair_settle(p);
    assert_int_equal(p->b.ups, 0);
    assert_int_equal(p->b.failures, 1);
}

PAIR_TEST(zero_points_make_no_channel)
{
    memset(p->a.id.member[1].public_key, 0, 32);
    pair_start(p);
    assert_int_equal(p->a.failures, 1);
    assert_int_equal(p->a.out_len, 0);

    uint8_t hello[8 + 96] = {1, 0, 0, 96};
    side_open(&p->b, p->now);
    channel_input(p->b.channel, hello, sizeof(hello), p->now);
    assert_int_equal(p->b.failures, 1);
    assert_int_equal(p->b.out_len, 0);
}

PAIR_TEST(every_bit_of_the_handshake_counts)
{
    for (unsigned stage = 0; stage < 4; stage++) {
        size_t len = 1;

        for (size_t bit = 0; bit < 8 * len; bit += bit < 64 ? 1 : 5) {
            struct side *from = stage % 2 ? &p->b : &p->a, *to = stage % 2 ? &p->a : &p->b;

            pair_start(p);
            for (unsigned s = 0; s < stage; s++)
                carry(p, s % 2 ? &p->b : &p->a, s % 2 ? &p->a : &p->b, 0);
            len = from->out_len;
            assert_true(len > 0);
            from->out[bit / 8] ^= (uint8_t)(1 << bit % 8);
            carry(p, from, to, 0);
            /* Longer than it was: it waits for the rest and times out. */
            channel_tick(to->channel, p->now + CHANNEL_HANDSHAKE_NS);
            assert_int_equal(to->failures, 1);
            assert_int_equal(to->ups, 0);
        }
    }
}

/* ---- known answers ---- */

/* Reckoned by a second implementation that shares no code with ours: private keys 0a.. (member 2),
 * 0b.. (member 1), ephemerals 11.. and 22.., cluster key 42.., "office", epoch 7. */
static const char hello1[] =
    "01000060000000007b4e909bbe7ffe44c465a220037d608ee35897d31ef972f07f74892cb0f73f13b1d746c4"
    "8879f5f9b884c8576c7edb137e4f64e76029c2497652e133a14a2ff4b889ec2f183b6804937e8aa0d7e0c100"
    "141c54d76928c09c5b5c351d0fae3fcf";
static const char hello2[] =
    "02000030000000000faa684ed28867b97f4a6a2dee5df8ce974e76b7018e3f22a1c4cf2678570f20411a14bb"
    "5c104ab802d7fe8deb593c77";
static const char confirm_a[] = "03000010000000003b175191128428a02ed9748d96b0db91";
static const char confirm_b[] = "030000100000000084c195d49714236de9cc9e4760d2b549";
static const char frame_a[] = "0400001700000001af4ffc117d8ca77a3210b8e1d4ae85be5e31eb08c76bbc";
static const char frame_b[] = "04000017000000014de499b693b6aabfa2b2cea74c9f13fd877e3c24f0b0f2";
static const char codec_a_to_b[] =
    "f264d756f84ec0bafd96ceb833f3a6efa1b92010766e4ddc92ff78034c1b14c6";
static const char codec_b_to_a[] =
    "f59075d2f0ec11a82b4fa70554592f2be8829586925bc2e85c8e880ff0657f81";

static void fill_with(void *ctx, void *buf, size_t len)
{
    memset(buf, *(const int *)ctx, len);
}

static void wrote(struct side *s, const char *hex)
{
    char text[512];

    assert_true(2 * s->out_len < sizeof(text));
    hex_encode(s->out, s->out_len, text);
    assert_string_equal(text, hex);
}

static void is_key(const uint8_t key[32], const char *hex)
{
    char text[65];

    hex_encode(key, 32, text);
    assert_string_equal(text, hex);
}

PAIR_TEST(every_byte_is_as_a_second_implementation_has_it)
{
    int eleven = 0x11, twenty_two = 0x22;

    p->a.rng.rng = (struct rng){.fill = fill_with, .ctx = &eleven};
    p->b.rng.rng = (struct rng){.fill = fill_with, .ctx = &twenty_two};
    memset(p->a.private_key->b, 0x0a, 32);
    memset(p->b.private_key->b, 0x0b, 32);
    x25519_clamp(p->a.private_key->b);
    x25519_clamp(p->b.private_key->b);
    x25519_public(p->b.id.member[2].public_key, p->a.private_key->b);
    x25519_public(p->a.id.member[1].public_key, p->b.private_key->b);
    pair_start(p);
    wrote(&p->a, hello1);
    carry(p, &p->a, &p->b, 0);
    wrote(&p->b, hello2);
    carry(p, &p->b, &p->a, 0);
    wrote(&p->a, confirm_a);
    carry(p, &p->a, &p->b, 0);
    wrote(&p->b, confirm_b);
    carry(p, &p->b, &p->a, 0);
    say(&p->a, "hello b");
    wrote(&p->a, frame_a);
    say(&p->b, "hello a");
    wrote(&p->b, frame_b);
    is_key(p->a.codec_key->send, codec_a_to_b);
    is_key(p->b.codec_key->recv, codec_a_to_b);
    is_key(p->a.codec_key->recv, codec_b_to_a);
    is_key(p->b.codec_key->send, codec_b_to_a);
}

/* ---- records ---- */

PAIR_TEST(every_bit_of_a_record_counts)
{
    for (unsigned bit = 0; bit < 8 * (8 + 5 + 16); bit++) {
        pair_up(p);
        say(&p->a, "hello");
        say(&p->a, "more");
        p->a.out[bit / 8] ^= (uint8_t)(1 << bit % 8);
        carry(p, &p->a, &p->b, 0);
        assert_int_equal(p->b.heard_count, 0);
        /* A length that grew makes it wait, never deliver. */
        if (!p->b.failures) {
            for (unsigned i = 0; i < 3000; i++)
                say(&p->a, "filling filling filling filling filling");
            carry(p, &p->a, &p->b, 0);
        }
        assert_int_equal(p->b.failures, 1);
        assert_int_equal(p->b.heard_count, 0);
        assert_false(channel_send(p->b.channel, (const uint8_t *)"x", 1));
    }
}

PAIR_TEST(a_missing_or_repeated_or_swapped_record_closes)
{
    const size_t one = 8 + 1 + 16;
    uint8_t three[3 * (8 + 1 + 16)];
    static const uint8_t orders[][3] = {{1, 2, 2}, {0, 2, 2}, {0, 0, 1}, {1, 0, 2}, {0, 1, 1}};
    static const unsigned delivered[] = {0, 1, 1, 0, 2};

    for (unsigned o = 0; o < 5; o++) {
        pair_up(p);
        say(&p->a, "0");
        say(&p->a, "1");
        say(&p->a, "2");
        memcpy(three, p->a.out, sizeof(three));
        p->a.out_len = 0;
        for (unsigned i = 0; i < 3; i++)
            channel_input(p->b.channel, three + one * orders[o][i], one, p->now);
        assert_int_equal(p->b.heard_count, delivered[o]);
        assert_int_equal(p->b.failures, 1);
    }
}

PAIR_TEST(a_record_reflected_to_its_sender_closes)
{
    pair_up(p);
    say(&p->a, "to b");
    channel_input(p->a.channel, p->a.out, p->a.out_len, p->now);
    assert_int_equal(p->a.failures, 1);
    assert_int_equal(p->a.heard_count, 0);
}

PAIR_TEST(records_of_another_connection_close)
{
    uint8_t old[64];
    size_t len;

    pair_up(p);
    say(&p->a, "old");
    len = p->a.out_len;
    memcpy(old, p->a.out, len);
    pair_up(p);
    channel_input(p->b.channel, old, len, p->now);
    assert_int_equal(p->b.failures, 1);
    assert_int_equal(p->b.heard_count, 0);
}

static void header(uint8_t *p, unsigned type, unsigned len, unsigned sequence)
{
    store_be32(p, type << 24 | len);
    store_be32(p + 4, sequence);
}

/* What is too long is refused by its header: nobody makes us wait for, or store, 16 MB. */
PAIR_TEST(lengths_and_types_are_judged_before_the_body)
{
    uint8_t h[8];
    static const struct {
        unsigned type, len;
    } before[] = {{1, 95}, {1, 97},      {1, 0},  {1, 0xffffff}, {2, 48}, {3, 16},
                  {4, 17}, {5, 96 + 16}, {0, 96}, {7, 16},       {8, 96}, {255, 96}},
      after[] = {{4, 16},       {4, SYNC_FRAME_MAX + 17},
                 {4, 0xffffff}, {1, 96},
                 {2, 48},       {3, 16},
                 {6, 64},       {7, 16},
                 {0, 20},       {9, 20},
                 {5, 96},       {5, 111}};

    for (unsigned i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
        side_open(&p->b, p->now);
        header(h, before[i].type, before[i].len, 0);
        channel_input(p->b.channel, h, sizeof(h), p->now);
        assert_int_equal(p->b.failures, 1);
        assert_int_equal(p->b.out_len, 0);
    }
    for (unsigned i = 0; i < sizeof(after) / sizeof(after[0]); i++) {
        pair_up(p);
        header(h, after[i].type, after[i].len, 1);
        channel_input(p->b.channel, h, sizeof(h), p->now);
        assert_int_equal(p->b.failures, 1);
    }
    /* The longest frame is fine, and its sequence is looked at. */
    pair_up(p);
    header(h, 4, SYNC_FRAME_MAX + 16, 1);
    channel_input(p->b.channel, h, sizeof(h), p->now);
    assert_int_equal(p->b.failures, 0);
    pair_up(p);
    header(h, 4, 20, 2);
    channel_input(p->b.channel, h, sizeof(h), p->now);
    assert_int_equal(p->b.failures, 1);
    assert_non_null(strstr(p->b.reason, "gap"));
}

PAIR_TEST(an_initiator_takes_no_first_message)
{
    pair_start(p);
    channel_input(p->a.channel, p->a.out, p->a.out_len, p->now);
    assert_int_equal(p->a.failures, 1);
}

PAIR_TEST(no_room_for_output_fails_once)
{
    pair_up(p);
    p->a.out_room = p->a.out_len;
    assert_false(channel_send(p->a.channel, (const uint8_t *)"x", 1));
    assert_false(channel_send(p->a.channel, (const uint8_t *)"x", 1));
    assert_int_equal(p->a.failures, 1);
    channel_input(p->a.channel, (const uint8_t *)"garbage!", 8, p->now);
    assert_true(channel_tick(p->a.channel, p->now + 1000 * S) == UINT64_MAX);
    assert_int_equal(p->a.failures, 1);
}

/* ---- S3 and S5 ---- */

static void keys_agree(const struct pair *p)
{
    assert_memory_equal(p->a.codec_key->send, p->b.codec_key->recv, 32);
    assert_memory_equal(p->a.codec_key->recv, p->b.codec_key->send, 32);
    assert_memory_not_equal(p->a.codec_key->send, p->a.codec_key->recv, 32);
}

PAIR_TEST(both_sides_have_the_same_engine_keys_and_new_ones_each_time)
{
    struct codec_key first;

    pair_up(p);
    keys_agree(p);
    first = *p->a.codec_key;
    assert_false(secret_is_zero(first.send, 32));
    pair_up(p);
    keys_agree(p);
    assert_memory_not_equal(first.send, p->a.codec_key->send, 32);
    assert_memory_not_equal(first.recv, p->a.codec_key->recv, 32);
}

PAIR_TEST(a_new_handshake_is_made_in_time)
{
    struct codec_key first;
    size_t slots;

    pair_up(p);
    slots = secret_slots_used();
    first = *p->a.codec_key;
    for (unsigned n = 2; n < 6; n++) {
        assert_true(channel_tick(p->b.channel, p->now) == p->now + CHANNEL_KEY_NS);
        assert_true(channel_tick(p->a.channel, p->now) == p->now + CHANNEL_REKEY_NS);
        p->now += CHANNEL_REKEY_NS;
        channel_tick(p->b.channel, p->now); /* only the initiator begins */
        assert_int_equal(p->b.out_len, 0);
        channel_tick(p->a.channel, p->now);
        assert_true(p->a.out_len > 0);
        channel_tick(p->a.channel, p->now + 1); /* once */
        pair_settle(p);
        assert_int_equal(channel_handshakes(p->a.channel), n);
        assert_int_equal(channel_handshakes(p->b.channel), n);
        keys_agree(p);
        assert_memory_not_equal(first.send, p->a.codec_key->send, 32);
        first = *p->a.codec_key;
        say(&p->a, "goes on");
        say(&p->b, "goes on");
        pair_settle(p);
        heard(&p->a, n - 2, "goes on");
        heard(&p->b, n - 2, "goes on");
        assert_int_equal(secret_slots_used(), slots); /* old keys are gone */
    }
    assert_int_equal(p->a.ups, 1);
    assert_int_equal(p->b.ups, 1);
}

/* A frame is sealed inside (S5) when it is made and opened when it comes: both must mean the same
 * key, wherever the frame is while the keys change. */
PAIR_TEST(no_frame_is_lost_and_each_meets_its_own_key_across_a_new_handshake)
{
    enum { ROUNDS = 400 };
    static struct codec_key sent_a[HEARD_MAX], sent_b[HEARD_MAX];
    unsigned count_a = 0, count_b = 0;
    uint8_t text[300];

    pair_up(p);
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (i % 40 == 7) {
            p->now += CHANNEL_REKEY_NS;
            channel_tick(p->a.channel, p->now);
        }
        for (unsigned k = test_below(&p->a.rng.rng, 6); k; k--) {
            size_t len = 1 + test_below(&p->a.rng.rng, sizeof(text));
            memset(text, (int)count_a, len);
            sent_a[count_a++] = *p->a.codec_key;
            assert_true(channel_send(p->a.channel, text, len));
        }
        for (unsigned k = test_below(&p->b.rng.rng, 6); k; k--) {
            size_t len = 1 + test_below(&p->b.rng.rng, sizeof(text));
            memset(text, (int)count_b, len);
            sent_b[count_b++] = *p->b.codec_key;
            assert_true(channel_send(p->b.channel, text, len));
        }
        if (test_below(&p->a.rng.rng, 3) == 0)
            carry(p, &p->a, &p->b, test_below(&p->a.rng.rng, 200));
        if (test_below(&p->a.rng.rng, 3) == 0)
            carry(p, &p->b, &p->a, test_below(&p->a.rng.rng, 200));
    }
    pair_settle(p);
    assert_int_equal(p->a.failures + p->b.failures, 0);
    assert_true(channel_handshakes(p->a.channel) > 5);
    assert_int_equal(p->b.heard_count, count_a);
    assert_int_equal(p->a.heard_count, count_b);
    for (unsigned i = 0; i < count_a; i++)
        assert_memory_equal(sent_a[i].send, p->b.heard[i].codec.recv, 32);
    for (unsigned i = 0; i < count_b; i++)
        assert_memory_equal(sent_b[i].send, p->a.heard[i].codec.recv, 32);
}

PAIR_TEST(many_records_ask_for_a_new_handshake_before_they_run_out)
{
    pair_up(p);
    for (unsigned i = 0; i < CHANNEL_REKEY_RECORDS; i++) {
        say(&p->b, "r"); /* the responder's count */
        if (i % 1024 == 0) {
            p->a.heard_count = 0;
            carry(p, &p->b, &p->a, 0);
            assert_int_equal(p->a.out_len, 0);
        }
    }
    p->a.heard_count = 0;
    carry(p, &p->b, &p->a, 0);
    channel_tick(p->a.channel, p->now);
    assert_true(p->a.out_len > 0);
    pair_settle(p);
    assert_int_equal(channel_handshakes(p->b.channel), 2);
}

PAIR_TEST(keys_are_never_used_beyond_their_bounds)
{
    bool sent = true;

    pair_up(p);
    for (unsigned i = 0; i < CHANNEL_KEY_RECORDS + 10 && sent; i++) {
        p->a.out_len = 0;
        sent = channel_send(p->a.channel, (const uint8_t *)"r", 1);
    }
    assert_false(sent);
    assert_int_equal(p->a.failures, 1);

    pair_up(p); /* the new handshake gets no answer */
    p->now += CHANNEL_REKEY_NS;
    channel_tick(p->a.channel, p->now);
    p->now += CHANNEL_KEY_NS - CHANNEL_REKEY_NS;
    channel_tick(p->a.channel, p->now);
    channel_tick(p->b.channel, p->now);
    assert_int_equal(p->a.failures, 1);
    assert_int_equal(p->b.failures, 1);
}

PAIR_TEST(a_new_handshake_under_another_cluster_key_ends_it)
{
    pair_up(p);
    p->b.cluster_key->b[0] ^= 1;
    p->now += CHANNEL_REKEY_NS;
    channel_tick(p->a.channel, p->now);
    pair_settle(p);
    assert_int_equal(p->a.failures, 1);
}

PAIR_TEST(nothing_is_left_in_the_arena)
{
    size_t slots = secret_slots_used();

    pair_up(p);
    p->now += CHANNEL_REKEY_NS;
    channel_tick(p->a.channel, p->now);
    carry(p, &p->a, &p->b, 0); /* in the middle of it */
    channel_free(p->a.channel);
    channel_free(p->b.channel);
    p->a.channel = p->b.channel = NULL;
    assert_int_equal(secret_slots_used(), slots);
}

/* An observer that has our code and none of the keys: each run looks different, no key is on the
 * wire. */
PAIR_TEST(no_static_key_is_on_the_wire_in_the_clear)
{
    pair_start(p);
    assert_null(memmem(p->a.out, p->a.out_len, p->b.id.member[2].public_key, 32));
    assert_null(memmem(p->a.out, p->a.out_len, p->a.id.member[1].public_key, 32));
    assert_null(memmem(p->a.out, p->a.out_len, "office", 6));
}

#define P(name) TS(name, setup, teardown)

TEST_MAIN(P(both_come_up_and_talk), P(bytes_may_come_in_any_pieces),
          P(nobody_is_up_before_both_directions_are_confirmed),
          P(a_replayed_first_message_never_brings_a_channel_up), P(another_cluster_key_is_refused),
          P(another_cluster_name_is_refused), P(another_membership_epoch_is_refused),
          P(a_wrong_key_of_the_dialled_is_refused), P(a_stranger_is_refused_by_key),
          P(a_removed_member_is_refused_by_key), P(a_member_under_another_id_is_refused),
          P(the_lower_id_does_not_dial), P(zero_points_make_no_channel),
          P(every_bit_of_the_handshake_counts), P(every_byte_is_as_a_second_implementation_has_it),
          P(every_bit_of_a_record_counts), P(a_missing_or_repeated_or_swapped_record_closes),
          P(a_record_reflected_to_its_sender_closes), P(records_of_another_connection_close),
          P(lengths_and_types_are_judged_before_the_body), P(an_initiator_takes_no_first_message),
          P(no_room_for_output_fails_once),
          P(both_sides_have_the_same_engine_keys_and_new_ones_each_time),
          P(a_new_handshake_is_made_in_time),
          P(no_frame_is_lost_and_each_meets_its_own_key_across_a_new_handshake),
          P(many_records_ask_for_a_new_handshake_before_they_run_out),
          P(keys_are_never_used_beyond_their_bounds),
          P(a_new_handshake_under_another_cluster_key_ends_it), P(nothing_is_left_in_the_arena),
          P(no_static_key_is_on_the_wire_in_the_clear))
