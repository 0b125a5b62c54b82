/* The AEAD in vector lanes against libsodium's: every length, every size of a batch, lengths mixed,
 * and nothing forged is let through or left readable. Each width that this machine has. */
#include "base/secret.h"
#include "lib/test.h"
#include "noise/noise.h"
#include "wg/aead_lanes.h"
#include <string.h>

#define LEN_MAX 2100
#define ROOM (LEN_MAX + AEAD_TAG_LEN + 64)

static uint8_t plain[AEAD_LANES_MAX][ROOM], sealed[AEAD_LANES_MAX][ROOM],
    opened[AEAD_LANES_MAX][ROOM], want[ROOM];

static unsigned widths(const struct aead_lanes *ret[2])
{
    unsigned n = 0;

#ifdef GM_AEAD_LANES
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2"))
        ret[n++] = &aead_avx2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        ret[n++] = &aead_avx512;
#endif
    return n;
}

/* @misaligned: where in a word the texts begin. */
static void check(const struct aead_lanes *l, const struct rng *rng, const uint8_t key[32],
                  const size_t *lens, unsigned n, unsigned misaligned, bool in_place)
{
    struct aead_op ops[AEAD_LANES_MAX];

    for (unsigned i = 0; i < n; i++) {
        uint8_t *to = sealed[i] + misaligned;

        ops[i] = (struct aead_op){.counter = rng_u64(rng) >> test_below(rng, 64),
                                  .src = in_place ? to : plain[i],
                                  .dst = to,
                                  .len = lens[i]};
        if (in_place)
            memcpy(to, plain[i], lens[i]);
        to[lens[i] + AEAD_TAG_LEN] = 0x5a;
    }
    l->seal(key, ops, n);
    for (unsigned i = 0; i < n; i++) {
        chachapoly_seal(want, plain[i], lens[i], NULL, 0, ops[i].counter, key);
        if (memcmp(ops[i].dst, want, lens[i] + AEAD_TAG_LEN) != 0)
            fail_msg("%s: packet %u of %u, %zu bytes, is sealed wrongly", l->name, i, n, lens[i]);
        assert_int_equal(ops[i].dst[lens[i] + AEAD_TAG_LEN], 0x5a);
        ops[i].src = ops[i].dst;
        ops[i].dst = in_place ? ops[i].dst : opened[i];
        opened[i][lens[i]] = 0x5a;
    }
    assert_int_equal(l->open(key, ops, n), n);
    for (unsigned i = 0; i < n; i++) {
        assert_true(ops[i].ok);
        assert_memory_equal(ops[i].dst, plain[i], lens[i]);
        assert_int_equal(opened[i][lens[i]], 0x5a);
    }
}

TEST(every_length_in_batches_of_every_size)
{
    const struct aead_lanes *l[2];
    const struct rng *rng = test_rng(3);
    uint8_t key[32];
    size_t lens[AEAD_LANES_MAX];

    rng_fill(rng, plain, sizeof(plain));
    for (unsigned w = 0, count = widths(l); w < count; w++)
        for (size_t len = 0; len <= LEN_MAX; len++) {
            unsigned n = 1 + (unsigned)len % AEAD_LANES_MAX;

            if (len % 100 == 0)
                rng_fill(rng, key, sizeof(key));
            for (unsigned i = 0; i < n; i++)
                lens[i] = len;
            check(l[w], rng, key, lens, n < 20 || len < 300 ? n : 20, len % 8, len % 2);
        }
}

TEST(mixed_lengths_in_one_batch)
{
    const struct aead_lanes *l[2];
    const struct rng *rng = test_rng(4);
    uint8_t key[32];
    size_t lens[AEAD_LANES_MAX];

    for (unsigned w = 0, count = widths(l); w < count; w++)
        for (unsigned round = 0; round < 300; round++) {
            unsigned n = 1 + test_below(rng, AEAD_LANES_MAX);

            rng_fill(rng, key, sizeof(key));
            for (unsigned i = 0; i < n; i++)
                lens[i] = test_below(rng, round % 3 ? 200 : LEN_MAX);
            check(l[w], rng, key, lens, n, test_below(rng, 8), round % 2);
        }
}

/* Ciphertexts of extreme values: the carries of Poly1305. What is authenticated is chosen here, so
 * it is opened, not sealed: libsodium says what the tag is. */
TEST(carries_of_extreme_texts)
{
    static const uint8_t fills[] = {0xff, 0x00, 0xfb, 0x80};
    const struct aead_lanes *l[2];
    const struct rng *rng = test_rng(5);
    struct aead_op ops[8];
    uint8_t key[32];

    for (unsigned w = 0, count = widths(l); w < count; w++)
        for (unsigned round = 0; round < 2000; round++) {
            size_t len = 16 * (1 + round % 40);

            rng_fill(rng, key, sizeof(key));
            for (unsigned i = 0; i < 8; i++) {
                uint64_t counter = rng_u64(rng);

                /* The keystream, so that the ciphertext comes out as wished. */
                memset(plain[i], 0, len);
                chachapoly_seal(want, plain[i], len, NULL, 0, counter, key);
                for (size_t b = 0; b < len; b++)
                    plain[i][b] = (uint8_t)(want[b] ^ fills[(i + b / 16) % 4]);
                chachapoly_seal(sealed[i], plain[i], len, NULL, 0, counter, key);
                assert_int_equal(sealed[i][0], fills[i % 4]);
                ops[i] = (struct aead_op){
                    .counter = counter, .src = sealed[i], .dst = opened[i], .len = len};
            }
            assert_int_equal(l[w]->open(key, ops, 8), 8);
            for (unsigned i = 0; i < 8; i++)
                assert_memory_equal(opened[i], plain[i], len);
        }
}

TEST(what_was_changed_is_refused_and_not_left_readable)
{
    const struct aead_lanes *l[2];
    const struct rng *rng = test_rng(6);
    const size_t len = 80;
    struct aead_op ops[16];
    uint8_t key[32];

    rng_fill(rng, key, sizeof(key));
    for (unsigned w = 0, count = widths(l); w < count; w++)
        for (size_t bit = 0; bit < (len + AEAD_TAG_LEN) * 8; bit++) {
            for (unsigned i = 0; i < 16; i++)
                ops[i] =
                    (struct aead_op){.counter = i, .src = plain[i], .dst = sealed[i], .len = len};
            l[w]->seal(key, ops, 16);
            unsigned which = (unsigned)bit % 16;
            sealed[which][bit / 8] ^= (uint8_t)(1 << bit % 8);
            for (unsigned i = 0; i < 16; i++) {
                ops[i].src = sealed[i];
                ops[i].dst = opened[i];
            }
            assert_int_equal(l[w]->open(key, ops, 16), 15);
            for (unsigned i = 0; i < 16; i++)
                assert_int_equal(ops[i].ok, i != which);
            assert_true(secret_is_zero(opened[which], len));
        }
}

TEST_MAIN(T(every_length_in_batches_of_every_size), T(mixed_lengths_in_one_batch),
          T(carries_of_extreme_texts), T(what_was_changed_is_refused_and_not_left_readable))
