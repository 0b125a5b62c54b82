#include "base/err.h"
#include "base/secret.h"
#include "lib/test.h"
#include "proto/codec.h"
#include "unit/proto/samples.h"
#include <string.h>

static uint8_t wire[SYNC_FRAME_MAX];
static const struct codec_key key = {.send = {1, 2, 3}, .recv = {1, 2, 3}};

static int encode(const struct sync_msg *m)
{
    static struct test_rng nonces;

    if (!nonces.rng.fill)
        test_rng_init(&nonces, 7);
    return codec_encode(m, &key, &nonces.rng, wire, sizeof(wire));
}

/* Decodes and lets go. What must not be touched on failure is checked. */
static int decode(const uint8_t *buf, size_t len)
{
    struct sync_msg m, before;
    int r;

    memset(&m, 0x5a, sizeof(m));
    memcpy(&before, &m, sizeof(m));
    r = codec_decode(buf, len, &key, &m);
    if (r < 0)
        assert_memory_equal(&m, &before, sizeof(m));
    else
        sync_msg_clear(&m);
    return r;
}

TEST(every_message_survives_the_wire)
{
    const struct rng *rng = test_rng(1);
    size_t slots = secret_slots_used();

    for (unsigned i = 0; i < 6000; i++) {
        struct sync_msg m, back;

        sample_msg(rng, (enum sync_kind)(i % SYNC_KINDS), &m);
        int len = encode(&m);
        assert_in_range(len, 1, SYNC_FRAME_MAX);
        assert_int_equal(codec_decode(wire, (size_t)len, &key, &back), 0);
        assert_true(sample_equal(&m, &back));
        sync_msg_clear(&m);
        sync_msg_clear(&back);
    }
    assert_int_equal(secret_slots_used(), slots);
}

/* Users look keys up by the bytes of the whole struct. */
TEST(a_decoded_key_id_has_no_stray_bytes)
{
    struct sync_msg m = {.kind = SYNC_SESSION_GONE, .position = 1};
    struct sync_msg back;

    memset(&m.gone, 0, sizeof(m.gone));
    m.gone.hub = 3;
    m.gone.creator = 4;
    m.gone.instance = 5;
    m.gone.seq = 6;
    int len = encode(&m);
    memset(&back, 0xff, sizeof(back));
    assert_int_equal(codec_decode(wire, (size_t)len, &key, &back), 0);
    assert_memory_equal(&back.gone, &m.gone, sizeof(m.gone));
}

TEST(keys_never_travel_in_the_clear)
{
    const struct rng *rng = test_rng(2);
    struct sync_msg m;

    sample_msg(rng, SYNC_SESSION, &m);
    int len = encode(&m);
    assert_null(memmem(wire, (size_t)len, m.session.keys->send, 16));
    assert_null(memmem(wire, (size_t)len, m.session.keys->recv, 16));
    sync_msg_clear(&m);

    m = (struct sync_msg){.kind = SYNC_PEER, .position = 1, .peer = sample_peer(rng, 1, 1)};
    struct secret32 psk;
    rng_fill(rng, psk.b, sizeof(psk.b));
    assert_int_equal(peer_set_psk(m.peer, &psk), 0);
    len = encode(&m);
    assert_null(memmem(wire, (size_t)len, psk.b, 16));
    sync_msg_clear(&m);
}

TEST(sealed_keys_open_for_their_record_and_key_only)
{
    struct codec_key other = key;
    struct sync_msg m, back;
    int len;

    sample_msg(test_rng(3), SYNC_SESSION, &m);
    m.session.id.hub = 7;
    m.session.id.creator = 8;
    len = encode(&m);
    other.recv[31] ^= 1;
    assert_int_equal(codec_decode(wire, (size_t)len, &other, &back), -EKEYREJECTED);
    other = key;
    other.send[31] ^= 1; /* the other direction's key has no part in it */
    assert_int_equal(codec_decode(wire, (size_t)len, &other, &back), 0);
    sync_msg_clear(&back);

    /* The same sealed bytes under another key's name: creator is field 2 of the first field. */
    uint8_t *creator = memmem(wire, (size_t)len, (uint8_t[]){0x08, 7, 0x10, 8}, 4);
    assert_non_null(creator);
    creator[3] = 9;
    assert_int_equal(decode(wire, (size_t)len), -EKEYREJECTED);
    creator[3] = 8;
    assert_int_equal(decode(wire, (size_t)len), 0);
    sync_msg_clear(&m);
}

TEST(two_seals_of_one_record_share_no_nonce)
{
    static uint8_t second[SYNC_FRAME_MAX];
    struct sync_msg m;
    const struct rng *rng = test_rng(4);

    sample_msg(rng, SYNC_SESSION, &m);
    int a = codec_encode(&m, &key, rng, wire, sizeof(wire));
    int b = codec_encode(&m, &key, rng, second, sizeof(second));
    assert_int_equal(a, b);
    assert_memory_not_equal(wire, second, (size_t)a);
    sync_msg_clear(&m);
}

/* Prefixes of a whole record, sent and joined as replica does. */
static unsigned travel_in_parts(const struct peer *p)
{
    struct sync_msg m = {.kind = SYNC_PEER, .position = 1, .peer = (struct peer *)p}, back;
    unsigned parts = 0, got = 0;

    do {
        int len = encode(&m);
        assert_in_range(len, 1, SYNC_FRAME_MAX);
        assert_int_equal(codec_decode(wire, (size_t)len, &key, &back), 0);
        assert_int_equal(back.part.offset, got);
        assert_int_equal(back.part.total, p->allowed_count);
        assert_true(public_key_equal(&back.peer->key, &p->key));
        assert_int_equal(back.peer->hub, p->hub);
        for (unsigned i = 0; i < back.peer->allowed_count; i++)
            assert_true(prefix_equal(&back.peer->allowed[i], &p->allowed[got + i]));
        got += back.peer->allowed_count;
        sync_msg_clear(&back);
        m.part.offset += SYNC_PART_PREFIXES;
        parts++;
    } while (m.part.offset < p->allowed_count);
    assert_int_equal(got, p->allowed_count);
    return parts;
}

TEST(a_peer_with_65280_prefixes_of_each_family_travels_in_parts)
{
    struct peer *p = sample_peer(test_rng(5), 65280, 65280);

    assert_int_equal(travel_in_parts(p), (2 * 65280 + SYNC_PART_PREFIXES - 1) / SYNC_PART_PREFIXES);
    peer_free(p);
}

TEST(parts_end_where_the_prefixes_do)
{
    static const unsigned counts[] = {0,
                                      1,
                                      SYNC_PART_PREFIXES - 1,
                                      SYNC_PART_PREFIXES,
                                      SYNC_PART_PREFIXES + 1,
                                      2 * SYNC_PART_PREFIXES};

    for (unsigned i = 0; i < ARRAY_LEN(counts); i++) {
        struct peer *p = sample_peer(test_rng(6 + i), 0, counts[i]);
        unsigned parts = (counts[i] + SYNC_PART_PREFIXES - 1) / SYNC_PART_PREFIXES;
        assert_int_equal(travel_in_parts(p), MAX(parts, 1u));
        peer_free(p);
    }
}

TEST(what_no_reader_takes_is_not_written)
{
    struct sync_msg m = {.kind = SYNC_LIMIT, .position = 1};
    const struct key_id id = {.hub = 1, .creator = 1, .seq = 1};

    m.limit.id = id;
    assert_true(encode(&m) > 0);
    assert_int_equal(codec_encode(&m, &key, test_rng(7), wire, 3), -EMSGSIZE);
    m.position = 0;
    assert_int_equal(encode(&m), -EINVAL);
    m.position = 1;
    m.limit.id.creator = 16;
    assert_int_equal(encode(&m), -EINVAL);
    m.limit.id = id;
    m.limit.limit = SYNC_COUNTER_MAX + 1;
    assert_int_equal(encode(&m), -EINVAL);
    m = (struct sync_msg){.kind = SYNC_ACK, .position = 1};
    assert_int_equal(encode(&m), -EINVAL);
    m = (struct sync_msg){.kind = SYNC_KINDS, .position = 1};
    assert_int_equal(encode(&m), -EINVAL);
    m = (struct sync_msg){.kind = SYNC_SESSION, .position = 1, .session = {.id = id}};
    assert_int_equal(encode(&m), -EINVAL); /* no keys */
    m = (struct sync_msg){.kind = SYNC_PEER, .position = 1, .peer = sample_peer(test_rng(8), 2, 0)};
    m.part.offset = 2;
    assert_int_equal(encode(&m), -EINVAL);
    m.part.offset = 0;
    m.peer->allowed[1].len = 33;
    assert_int_equal(encode(&m), -EINVAL);
    sync_msg_clear(&m);
    m = (struct sync_msg){.kind = SYNC_DRILL, .position = 1, .drill = {.vip = 1, .stride = 1}};
    assert_true(encode(&m) > 0);
    m.drill.stride = 0;
    assert_int_equal(encode(&m), -EINVAL);
    m.drill.kind = SYNC_DRILL_ANSWERS; /* of nobody */
    assert_int_equal(encode(&m), -EINVAL);
    m.drill = (struct sync_drill){.kind = SYNC_DRILL_FAULT,
                                  .vip = 1,
                                  .ms = SYNC_DRILL_MS_MAX + 1,
                                  .fault = DRILL_FAULT_FREEZE};
    assert_int_equal(encode(&m), -EINVAL);
}

/* ---- hostile bytes ---- */

TEST(a_cut_message_is_refused_or_whole)
{
    const struct rng *rng = test_rng(10);
    size_t slots = secret_slots_used();

    for (unsigned i = 0; i < 10 * SYNC_KINDS; i++) {
        struct sync_msg m;

        sample_msg(rng, (enum sync_kind)(i % SYNC_KINDS), &m);
        int len = encode(&m);
        assert_true(len > 0);
        for (int cut = 0; cut < len; cut++) {
            /* A copy of its own, so that a read behind the end is seen. */
            uint8_t *copy = malloc((size_t)cut + !cut);
            memcpy(copy, wire, (size_t)cut);
            decode(copy, (size_t)cut);
            free(copy);
        }
        sync_msg_clear(&m);
    }
    assert_int_equal(secret_slots_used(), slots);
}

TEST(a_flipped_bit_never_half_fills)
{
    const struct rng *rng = test_rng(11);
    size_t slots = secret_slots_used();
    unsigned refused = 0;

    for (unsigned i = 0; i < 60 * SYNC_KINDS; i++) {
        struct sync_msg m;

        sample_msg(rng, (enum sync_kind)(i % SYNC_KINDS), &m);
        int len = encode(&m);
        for (unsigned n = 0; n < 60; n++) {
            unsigned bit = test_below(rng, 8 * (unsigned)len);
            wire[bit / 8] ^= (uint8_t)(1 << bit % 8);
            refused += decode(wire, (size_t)len) < 0;
            if (n % 3 == 0) /* some stay flipped */
                wire[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        sync_msg_clear(&m);
    }
    assert_true(refused > 1000);
    assert_int_equal(secret_slots_used(), slots);
}

TEST(random_bytes_are_refused_or_valid)
{
    const struct rng *rng = test_rng(12);

    for (unsigned i = 0; i < 20000; i++) {
        unsigned len = test_below(rng, 80);
        rng_fill(rng, wire, len);
        decode(wire, len);
    }
}

/* A message by hand, byte for byte. */
struct writer {
    uint8_t b[4096];
    size_t len;
};

static void put(struct writer *w, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        w->b[w->len++] = (uint8_t)(v | 0x80);
    w->b[w->len++] = (uint8_t)v;
}

static void put_number(struct writer *w, unsigned field, uint64_t v)
{
    put(w, field << 3);
    put(w, v);
}

static void put_bytes(struct writer *w, unsigned field, const void *p, size_t len)
{
    put(w, field << 3 | 2);
    put(w, len);
    memcpy(w->b + w->len, p, len);
    w->len += len;
}

static void put_key_id(struct writer *w, unsigned field, uint64_t hub, uint64_t creator,
                       uint64_t seq)
{
    struct writer id = {.len = 0};

    put_number(&id, 1, hub);
    put_number(&id, 2, creator);
    put_number(&id, 4, seq);
    put_bytes(w, field, id.b, id.len);
}

static int decode_body(unsigned field, const struct writer *body)
{
    struct writer w = {.len = 0};

    put_number(&w, 1, 1);
    put_bytes(&w, field, body->b, body->len);
    return decode(w.b, w.len);
}

enum {
    HELLO = 16,
    SESSION = 19,
    GONE = 20,
    LIMIT = 21,
    STAMP = 25,
    PEER = 26,
    CLAIM = 27,
    VECTOR = 32,
    LIMITS = 35
};

static int decode_gone(uint64_t hub, uint64_t creator, uint64_t seq)
{
    struct writer b = {.len = 0};

    put_key_id(&b, 1, hub, creator, seq);
    return decode_body(GONE, &b);
}

TEST(ids_out_of_range_are_refused)
{
    assert_int_equal(decode_gone(1, 1, 1), 0);
    assert_int_equal(decode_gone(255, 15, UINT64_MAX), 0);
    assert_int_equal(decode_gone(0, 1, 1), -EBADMSG);
    assert_int_equal(decode_gone(256, 1, 1), -EBADMSG);
    assert_int_equal(decode_gone(257, 1, 1), -EBADMSG); /* not cut to 8 bits */
    assert_int_equal(decode_gone(1, 0, 1), -EBADMSG);
    assert_int_equal(decode_gone(1, 16, 1), -EBADMSG);
    assert_int_equal(decode_gone(1, 1, 0), -EBADMSG);
    struct writer none = {.len = 0};
    assert_int_equal(decode_body(GONE, &none), -EBADMSG);
}

TEST(a_ceiling_can_never_carry_the_mark_of_adoption)
{
    struct writer b = {.len = 0};

    put_key_id(&b, 1, 1, 1, 1);
    size_t len = b.len;
    put_number(&b, 2, SYNC_COUNTER_MAX);
    assert_int_equal(decode_body(LIMIT, &b), 0);
    b.len = len;
    put_number(&b, 2, 1ull << 63 | 5);
    assert_int_equal(decode_body(LIMIT, &b), -EBADMSG);
    b.len = len;
    put_number(&b, 3, UINT64_MAX);
    assert_int_equal(decode_body(LIMIT, &b), -EBADMSG);
}

/* Two ceilings, in columns; but of column @odd there are @rows. */
static int decode_limits(unsigned odd, unsigned rows, uint8_t creator, uint8_t limit_top_byte)
{
    struct writer b = {.len = 0};
    const uint8_t ones[3] = {1, 1, 1}, creators[3] = {1, creator, 1}, instances[24] = {0};
    /* The second: 2^63 times that, as a varint. */
    uint8_t limits[11] = {5, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80};

    limits[10] = limit_top_byte;
    for (unsigned field = 1; field <= 9; field++) {
        unsigned count = field == odd ? rows : 2;

        if (field == 2)
            put_bytes(&b, field, creators, count);
        else if (field == 3)
            put_bytes(&b, field, instances, 8 * count);
        else if (field == 5 && count == 2)
            put_bytes(&b, field, limits, sizeof(limits));
        else
            put_bytes(&b, field, ones, count);
    }
    return decode_body(LIMITS, &b);
}

TEST(a_batch_of_ceilings_is_taken_whole_or_not_at_all)
{
    assert_int_equal(decode_limits(0, 0, 1, 0), 0);
    for (unsigned column = 1; column <= 9; column++) {
        assert_int_equal(decode_limits(column, 1, 1, 0), -EBADMSG);
        assert_int_equal(decode_limits(column, 3, 1, 0), -EBADMSG);
    }
    assert_int_equal(decode_limits(0, 0, 16, 0), -EBADMSG);
    assert_int_equal(decode_limits(0, 0, 1, 1), -EBADMSG); /* bit 63, the mark of adoption */
    struct writer none = {.len = 0};
    assert_int_equal(decode_body(LIMITS, &none), -EBADMSG);

    struct sync_limit all[SYNC_LIMITS_MAX + 1];
    struct sync_msg m = {.kind = SYNC_LIMITS, .position = 1};
    for (unsigned i = 0; i < ARRAY_LEN(all); i++)
        all[i] = (struct sync_limit){.id = {.hub = 1, .creator = 1, .seq = i + 1}};
    m.limits = (struct sync_limits){.all = all, .count = SYNC_LIMITS_MAX};
    assert_true(encode(&m) > 0);
    m.limits.count++;
    assert_int_equal(encode(&m), -EINVAL);
}

static struct writer stamp(size_t key_len, size_t stamp_len)
{
    struct writer b = {.len = 0};
    uint8_t bytes[64] = {1};

    put_number(&b, 1, 1);
    put_bytes(&b, 2, bytes, key_len);
    put_bytes(&b, 3, bytes, stamp_len);
    return b;
}

TEST(lengths_are_exact)
{
    struct writer b = stamp(32, 12);
    assert_int_equal(decode_body(STAMP, &b), 0);
    b = stamp(31, 12);
    assert_int_equal(decode_body(STAMP, &b), -EBADMSG);
    b = stamp(33, 12);
    assert_int_equal(decode_body(STAMP, &b), -EBADMSG);
    b = stamp(32, 11);
    assert_int_equal(decode_body(STAMP, &b), -EBADMSG);
    b = stamp(32, 13);
    assert_int_equal(decode_body(STAMP, &b), -EBADMSG);
}

static int decode_claim(uint64_t vip, uint64_t member, uint64_t term, uint64_t hub)
{
    struct writer b = {.len = 0};

    put_number(&b, 1, vip);
    put_number(&b, 3, member);
    put_number(&b, 5, term);
    put_number(&b, 6, hub);
    return decode_body(CLAIM, &b);
}

TEST(claims_are_bounded)
{
    assert_int_equal(decode_claim(1, 1, 4095, 255), 0);
    assert_int_equal(decode_claim(0, 1, 0, 0), -EBADMSG);
    assert_int_equal(decode_claim(65536, 1, 0, 0), -EBADMSG);
    assert_int_equal(decode_claim(1, 0, 0, 0), -EBADMSG);
    assert_int_equal(decode_claim(1, 16, 0, 0), -EBADMSG);
    assert_int_equal(decode_claim(1, 1, 4096, 0), -EBADMSG);
    assert_int_equal(decode_claim(1, 1, 0, 256), -EBADMSG);
}

static struct writer hello(unsigned vips, uint64_t min, uint64_t max)
{
    struct writer b = {.len = 0}, v = {.len = 0};
    uint8_t instance[16] = {1};

    put_number(&b, 1, min);
    put_number(&b, 2, max);
    put_number(&b, 4, 3);
    put_bytes(&b, 7, instance, sizeof(instance));
    put_number(&v, 1, 9);
    for (unsigned i = 0; i < vips; i++)
        put_bytes(&b, 12, v.b, v.len);
    return b;
}

static int decode_hello(const struct writer *body)
{
    struct writer w = {.len = 0};

    put_bytes(&w, HELLO, body->b, body->len);
    return decode(w.b, w.len);
}

TEST(hello_is_bounded)
{
    struct writer b = hello(VIPS_MAX, 1, 9);
    assert_int_equal(decode_hello(&b), 0);
    b = hello(VIPS_MAX + 1, 1, 9);
    assert_int_equal(decode_hello(&b), -EBADMSG);
    b = hello(0, 2, 1);
    assert_int_equal(decode_hello(&b), -EBADMSG);
    b = hello(0, 0, 1);
    assert_int_equal(decode_hello(&b), -EBADMSG);
    b = hello(0, 1, 1);
    assert_int_equal(decode_body(HELLO, &b), -EBADMSG); /* it has no place in the log */
    put_number(&b, 6, 256);
    assert_int_equal(decode_hello(&b), -EBADMSG);
}

/* A vector message with one entry after the other. */
static int decode_vector(const uint64_t (*entries)[2], unsigned count)
{
    struct writer b = {.len = 0};

    for (unsigned i = 0; i < count; i++) {
        struct writer e = {.len = 0};

        put_number(&e, 1, entries[i][0]);
        e.b[e.len++] = 2 << 3 | 1; /* fixed64 */
        memcpy(e.b + e.len, &entries[i][1], 8);
        e.len += 8;
        put_bytes(&b, 1, e.b, e.len);
    }
    put_number(&b, 3, 1);
    return decode_body(VECTOR, &b);
}

TEST(vectors_name_each_member_once_and_no_other)
{
    uint64_t all[MEMBERS_MAX][2];

    assert_int_equal(decode_vector(NULL, 0), 0);
    for (unsigned m = 1; m < MEMBERS_MAX; m++) {
        all[m - 1][0] = m;
        all[m - 1][1] = SYNC_SEQ_MAX;
    }
    assert_int_equal(decode_vector(all, MEMBER_ID_MAX), 0);
    for (unsigned bad = 0; bad < 5; bad++) {
        const uint64_t member[] = {0, 16, 255, 2, 1}, seq[] = {1, 1, 1, 1, SYNC_SEQ_MAX + 1};

        all[0][0] = member[bad]; /* the fourth: member 2 twice */
        all[0][1] = seq[bad];
        assert_int_equal(decode_vector(all, 2), -EBADMSG);
    }
    all[0][0] = 1;
    all[0][1] = 0;
    assert_int_equal(decode_vector(all, 1), -EBADMSG);
}

static struct writer peer_head(void)
{
    struct writer b = {.len = 0};
    uint8_t bytes[32] = {1};

    put_number(&b, 1, 1);
    put_bytes(&b, 2, bytes, sizeof(bytes));
    return b;
}

static int decode_allowed(const void *p, size_t len, uint64_t offset, uint64_t total)
{
    struct writer b = peer_head();

    put_bytes(&b, 20, p, len);
    put_number(&b, 21, offset);
    put_number(&b, 22, total);
    return decode_body(PEER, &b);
}

TEST(prefixes_are_checked_one_by_one)
{
    const uint8_t good4[] = {8, 10, 0, 0, 0}, long4[] = {33, 10, 0, 0, 0};
    const uint8_t host4[] = {8, 10, 0, 0, 1}, cut4[] = {8, 10, 0, 0};
    uint8_t six[17] = {64 + 128, 0xfd};

    assert_int_equal(decode_allowed(good4, sizeof(good4), 0, 1), 0);
    assert_int_equal(decode_allowed(long4, sizeof(long4), 0, 1), -EBADMSG);
    assert_int_equal(decode_allowed(host4, sizeof(host4), 0, 1), -EBADMSG);
    assert_int_equal(decode_allowed(cut4, sizeof(cut4), 0, 1), -EBADMSG);
    assert_int_equal(decode_allowed(six, sizeof(six), 0, 1), 0);
    six[0] = 64 + 129;
    assert_int_equal(decode_allowed(six, sizeof(six), 0, 1), -EBADMSG);
    six[0] = 64;
    assert_int_equal(decode_allowed(six, sizeof(six), 0, 1), -EBADMSG); /* ::/0 with bits */
}

TEST(parts_must_fit_their_record)
{
    const uint8_t one[] = {8, 10, 0, 0, 0};

    assert_int_equal(decode_allowed(one, sizeof(one), 0, 1), 0);
    assert_int_equal(decode_allowed(one, sizeof(one), 5, 6), 0);
    assert_int_equal(decode_allowed(one, sizeof(one), 0, 0), -EBADMSG);
    assert_int_equal(decode_allowed(one, sizeof(one), 1, 1), -EBADMSG);
    assert_int_equal(decode_allowed(one, 0, 3, 6), -EBADMSG); /* a part that brings nothing */
    assert_int_equal(decode_allowed(one, 0, 0, 6), -EBADMSG);
    assert_int_equal(decode_allowed(one, 0, 0, 0), 0);
    assert_int_equal(decode_allowed(one, sizeof(one), 0, SYNC_PREFIXES_MAX), 0);
    assert_int_equal(decode_allowed(one, sizeof(one), 0, SYNC_PREFIXES_MAX + 1), -EBADMSG);
    assert_int_equal(decode_allowed(one, sizeof(one), UINT32_MAX, UINT32_MAX), -EBADMSG);
}

TEST(peer_fields_are_bounded)
{
    char text[PEER_NAME_MAX + 2];
    struct writer b = peer_head(), v = {.len = 0};
    size_t head = b.len;

    assert_int_equal(decode_body(PEER, &b), 0);
    memset(text, 'x', sizeof(text));
    put_bytes(&b, 10, text, PEER_NAME_MAX);
    assert_int_equal(decode_body(PEER, &b), 0);
    b.len = head;
    put_bytes(&b, 10, text, PEER_NAME_MAX + 1);
    assert_int_equal(decode_body(PEER, &b), -EBADMSG);
    b.len = head;
    put_bytes(&b, 11, "a\0b", 3);
    assert_int_equal(decode_body(PEER, &b), -EBADMSG);
    b.len = head;
    put_number(&b, 8, 65536);
    assert_int_equal(decode_body(PEER, &b), -EBADMSG);
    b.len = head;
    put_number(&b, 5, 3);
    assert_int_equal(decode_body(PEER, &b), -EBADMSG);
    b.len = head;
    put_number(&b, 5, UINT64_MAX); /* -1 of an enum */
    assert_int_equal(decode_body(PEER, &b), -EBADMSG);
    b.len = head;
    put_bytes(&b, 6, text, 10); /* a sealed key of the wrong length */
    assert_int_equal(decode_body(PEER, &b), -EBADMSG);
    b.len = head;
    put_number(&v, 1, PEER_FIELDS); /* a field of a later version */
    put_number(&v, 3, 200);
    put_bytes(&b, 4, v.b, v.len);
    assert_int_equal(decode_body(PEER, &b), 0);
    b.len = head;
    v.len = 0;
    put_number(&v, 1, 2);
    put_number(&v, 3, 16); /* of a member that cannot be */
    put_bytes(&b, 4, v.b, v.len);
    assert_int_equal(decode_body(PEER, &b), -EBADMSG);
    b.len = head;
    v.len = 0;
    put_number(&v, 1, 2);
    put_bytes(&b, 4, v.b, v.len);
    put_bytes(&b, 4, v.b, v.len); /* twice */
    assert_int_equal(decode_body(PEER, &b), -EBADMSG);
}

TEST(unknown_fields_are_skipped)
{
    struct writer b = {.len = 0}, w = {.len = 0};

    put_key_id(&b, 1, 1, 1, 1);
    put_number(&b, 90, 77); /* inside a record */
    put_number(&w, 1, 1);
    put_bytes(&w, GONE, b.b, b.len);
    put_bytes(&w, 200, "later", 5); /* and beside it */
    assert_int_equal(decode(w.b, w.len), 0);
}

TEST(unknown_kinds_end_the_link)
{
    struct writer w = {.len = 0};

    put_number(&w, 1, 1);
    assert_int_equal(decode(w.b, w.len), -EBADMSG); /* no kind at all */
    put_bytes(&w, 126, "", 0);
    assert_int_equal(decode(w.b, w.len), -EPROTO);
    w.len = 0;
    put_number(&w, 1, 1);
    put_bytes(&w, 127, "x", 1);
    assert_int_equal(decode(w.b, w.len), -EPROTO);
    /* Beside a known one as well. */
    struct writer b = {.len = 0};
    put_key_id(&b, 1, 1, 1, 1);
    put_bytes(&w, GONE, b.b, b.len);
    assert_int_equal(decode(w.b, w.len), -EPROTO);
}

/* Two bytes on the wire that cost more than fifty in memory, as often as a frame holds. */
TEST(unpacking_is_bounded)
{
    static uint8_t body[60000], frame[SYNC_FRAME_MAX];
    struct writer head = peer_head();
    size_t len = head.len, n = 0;

    memcpy(body, head.b, len);
    while (len + 2 <= sizeof(body)) {
        body[len++] = 4 << 3 | 2;
        body[len++] = 0;
    }
    frame[n++] = 1 << 3;
    frame[n++] = 1;
    frame[n++] = (uint8_t)((PEER << 3 | 2) | 0x80);
    frame[n++] = (PEER << 3 | 2) >> 7;
    frame[n++] = (uint8_t)(len | 0x80);
    frame[n++] = (uint8_t)(len >> 7 | 0x80);
    frame[n++] = (uint8_t)(len >> 14);
    memcpy(frame + n, body, len);
    assert_int_equal(decode(frame, n + len), -EBADMSG);
    assert_int_equal(decode(frame, SYNC_FRAME_MAX + 1), -EBADMSG); /* not even looked at */
}

TEST(every_kind_has_a_name)
{
    for (unsigned k = 0; k < SYNC_KINDS; k++)
        assert_true(strlen(sync_kind_name((enum sync_kind)k)) > 2);
    assert_string_equal(sync_kind_name(SYNC_KINDS), "unknown");
}

TEST_MAIN(T(every_message_survives_the_wire), T(a_decoded_key_id_has_no_stray_bytes),
          T(keys_never_travel_in_the_clear), T(sealed_keys_open_for_their_record_and_key_only),
          T(two_seals_of_one_record_share_no_nonce),
          T(a_peer_with_65280_prefixes_of_each_family_travels_in_parts),
          T(parts_end_where_the_prefixes_do), T(what_no_reader_takes_is_not_written),
          T(a_cut_message_is_refused_or_whole), T(a_flipped_bit_never_half_fills),
          T(random_bytes_are_refused_or_valid), T(ids_out_of_range_are_refused),
          T(a_batch_of_ceilings_is_taken_whole_or_not_at_all),
          T(a_ceiling_can_never_carry_the_mark_of_adoption), T(lengths_are_exact),
          T(claims_are_bounded), T(hello_is_bounded), T(vectors_name_each_member_once_and_no_other),
          T(prefixes_are_checked_one_by_one), T(parts_must_fit_their_record),
          T(peer_fields_are_bounded), T(unknown_fields_are_skipped), T(unknown_kinds_end_the_link),
          T(unpacking_is_bounded), T(every_kind_has_a_name))
