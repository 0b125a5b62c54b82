/* Bulk AEAD against libsodium's. */
#include "base/bytes.h"
#include "base/secret.h"
#include "lib/test.h"
#include "wg/aead.h"
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define LEN_MAX 2000

static struct aead *aead;

static int setup(void **state)
{
    aead = aead_new();
    return aead ? 0 : -1;
}

static int teardown(void **state)
{
    aead_free(aead);
    return 0;
}

static void reference(const uint8_t key[32], uint64_t counter, const uint8_t *src, size_t len,
                      uint8_t *dst)
{
    uint8_t nonce[12] = {0};

    store_le64(nonce + 4, counter);
    crypto_aead_chacha20poly1305_ietf_encrypt(dst, NULL, src, len, NULL, 0, NULL, nonce, key);
}

static struct aead_op op(uint64_t counter, const uint8_t *src, uint8_t *dst, size_t len)
{
    return (struct aead_op){.counter = counter, .src = src, .dst = dst, .len = len};
}

TEST(all_lengths_agree_with_libsodium)
{
    uint8_t key[32], plain[LEN_MAX], want[LEN_MAX + AEAD_TAG_LEN], got[LEN_MAX + AEAD_TAG_LEN];
    const struct rng *rng = test_rng(1);

    rng_fill(rng, key, sizeof(key));
    rng_fill(rng, plain, sizeof(plain));
    for (size_t len = 0; len <= LEN_MAX; len++) {
        uint64_t counter = rng_u64(rng);
        reference(key, counter, plain, len, want);

        struct aead_op o = op(counter, plain, got, len);
        aead_seal(aead, key, &o, 1);
        assert_memory_equal(got, want, len + AEAD_TAG_LEN);
        memcpy(got, plain, len); /* in place */
        o = op(counter, got, got, len);
        aead_seal(aead, key, &o, 1);
        assert_memory_equal(got, want, len + AEAD_TAG_LEN);

        uint8_t back[LEN_MAX];
        o = op(counter, want, back, len);
        assert_int_equal(aead_open(aead, key, &o, 1), 1);
        assert_true(o.ok);
        assert_memory_equal(back, plain, len);
        o = op(counter, got, got, len);
        assert_int_equal(aead_open(aead, key, &o, 1), 1);
        assert_memory_equal(got, plain, len);
    }
}

TEST(random_batches_under_changing_keys_agree_with_libsodium)
{
    static uint8_t plain[64][1500], sealed[64][1500 + AEAD_TAG_LEN];
    uint8_t key[3][32], want[1500 + AEAD_TAG_LEN];
    struct aead_op ops[64];
    const struct rng *rng = test_rng(2);

    rng_fill(rng, key, sizeof(key));
    memcpy(key[2], key[1], 32);
    key[2][31] ^= 1; /* nearly the same key is another key */
    for (unsigned round = 0; round < 150; round++) {
        const uint8_t *k = key[test_below(rng, 3)];
        unsigned n = 1 + test_below(rng, 64);

        for (unsigned i = 0; i < n; i++) {
            size_t len = test_below(rng, 1500);
            rng_fill(rng, plain[i], len);
            ops[i] = op(rng_u64(rng), plain[i], sealed[i], len);
        }
        aead_seal(aead, k, ops, n);
        for (unsigned i = 0; i < n; i++) {
            reference(k, ops[i].counter, plain[i], ops[i].len, want);
            assert_memory_equal(sealed[i], want, ops[i].len + AEAD_TAG_LEN);
            ops[i].src = ops[i].dst = sealed[i];
        }
        unsigned bad = test_below(rng, n + 1); /* n: none */
        if (bad < n)
            sealed[bad][test_below(rng, (uint32_t)ops[bad].len + AEAD_TAG_LEN)] ^= 0x10;
        assert_int_equal(aead_open(aead, k, ops, n), n - (bad < n));
        for (unsigned i = 0; i < n; i++) {
            assert_int_equal(ops[i].ok, i != bad);
            if (i != bad)
                assert_memory_equal(sealed[i], plain[i], ops[i].len);
        }
    }
}

TEST(every_flipped_bit_is_noticed_and_nothing_leaks)
{
    uint8_t key[32] = {7}, plain[61], sealed[61 + AEAD_TAG_LEN], copy[sizeof(sealed)],
            zero[sizeof(plain)] = {0};
    const struct rng *rng = test_rng(3);

    rng_fill(rng, plain, sizeof(plain));
    struct aead_op o = op(99, plain, sealed, sizeof(plain));
    aead_seal(aead, key, &o, 1);
    for (unsigned bit = 0; bit < sizeof(sealed) * 8; bit++) {
        uint8_t dst[sizeof(plain)];

        memcpy(copy, sealed, sizeof(sealed));
        copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
        memset(dst, 0x55, sizeof(dst));
        o = op(99, copy, dst, sizeof(plain));
        assert_int_equal(aead_open(aead, key, &o, 1), 0);
        assert_false(o.ok);
        assert_memory_equal(dst, zero, sizeof(dst));
        o = op(99, copy, copy, sizeof(plain)); /* in place */
        assert_int_equal(aead_open(aead, key, &o, 1), 0);
        assert_memory_equal(copy, zero, sizeof(plain));
    }
    /* wrong counter, wrong key, cut by one */
    uint8_t dst[sizeof(plain)];
    o = op(98, sealed, dst, sizeof(plain));
    assert_int_equal(aead_open(aead, key, &o, 1), 0);
    key[0] ^= 1;
    o = op(99, sealed, dst, sizeof(plain));
    assert_int_equal(aead_open(aead, key, &o, 1), 0);
    key[0] ^= 1;
    o = op(99, sealed, dst, sizeof(plain) - 1);
    assert_int_equal(aead_open(aead, key, &o, 1), 0);
    o = op(99, sealed, dst, sizeof(plain));
    assert_int_equal(aead_open(aead, key, &o, 1), 1);
}

TEST(a_key_of_zeros_is_a_key_too)
{
    uint8_t key[32] = {0}, sealed[AEAD_TAG_LEN + 3], want[sizeof(sealed)];
    struct aead_op o = op(1, (const uint8_t *)"abc", sealed, 3);

    aead_seal(aead, key, &o, 1); /* the fresh context has no key, not this one */
    reference(key, 1, (const uint8_t *)"abc", 3, want);
    assert_memory_equal(sealed, want, sizeof(want));
}

TEST(a_context_keeps_its_key_copy_in_the_arena)
{
    size_t used = secret_slots_used();
    struct aead *a = aead_new();

    assert_int_equal(secret_slots_used(), used + 1);
    aead_free(a);
    assert_int_equal(secret_slots_used(), used);
    aead_free(NULL);
}

#define F(name) TS(name, setup, teardown)

TEST_MAIN(F(all_lengths_agree_with_libsodium),
          F(random_batches_under_changing_keys_agree_with_libsodium),
          F(every_flipped_bit_is_noticed_and_nothing_leaks), F(a_key_of_zeros_is_a_key_too),
          F(a_context_keeps_its_key_copy_in_the_arena))
