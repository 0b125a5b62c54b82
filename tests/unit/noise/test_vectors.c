/* Known answers of every primitive, through the functions that the product calls. */
#include "base/bytes.h"
#include "base/secret.h"
#include "lib/test.h"
#include "noise/noise.h"
#include "wg/aead.h"
#include <stdlib.h>
#include <string.h>

#define BYTES_MAX 4096

struct x25519_case {
    unsigned id;
    const char *private_key, *public_key, *shared;
};
struct aead_case {
    unsigned id;
    const char *key, *nonce, *ad, *message, *sealed;
    bool valid;
};
#include "vectors/wycheproof.inc"

static size_t unhex(const char *text, uint8_t *ret)
{
    return test_unhex(text, ret, BYTES_MAX);
}

static void assert_hex(const uint8_t *got, const char *want)
{
    uint8_t bytes[BYTES_MAX];
    size_t len = unhex(want, bytes);

    assert_memory_equal(got, bytes, len);
}

/* The generator of inputs of RFC 7693's self test (appendix E). */
static void self_test_sequence(uint8_t *ret, size_t len, uint32_t seed)
{
    uint32_t a = 0xdead4bad * seed, b = 1;

    for (size_t i = 0; i < len; i++) {
        uint32_t t = a + b;

        a = b;
        b = t;
        ret[i] = (uint8_t)(t >> 24);
    }
}

TEST(blake2s_is_that_of_rfc_7693)
{
    static const size_t outs[] = {16, 20, 28, 32}, ins[] = {0, 3, 64, 65, 255, 1024};
    uint8_t got[32], in[1024], key[32], all[BYTES_MAX];
    size_t len = 0;

    blake2s(got, 32, NULL, 0, "abc", 3); /* appendix B */
    assert_hex(got, "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
    blake2s_2(got, "a", 1, "bc", 2);
    assert_hex(got, "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
    for (unsigned o = 0; o < 4; o++)
        for (unsigned i = 0; i < 6; i++) {
            self_test_sequence(in, ins[i], (uint32_t)ins[i]);
            blake2s(all + len, outs[o], NULL, 0, in, ins[i]);
            len += outs[o];
            self_test_sequence(key, outs[o], (uint32_t)outs[o]);
            blake2s(all + len, outs[o], key, outs[o], in, ins[i]);
            len += outs[o];
        }
    blake2s(got, 32, NULL, 0, all, len);
    assert_hex(got, "6a411f08ce25adcdfb02aba641451cec53c598b24f4fc787fbdc88797f4c1dfe");
}

/* Values of an independent implementation (Python's hmac and hashlib). */
TEST(hmac_and_hkdf_of_blake2s)
{
    uint8_t got[32], one[32], two[32], three[32], key[100];

    hmac_blake2s(got, "key", 3, "The quick brown fox jumps over the lazy dog", 43);
    assert_hex(got, "f93215bb90d4af4c3061cd932fb169fb8bb8a91d0b4022baea1271e1323cd9a0");
    memset(key, 0xaa, sizeof(key)); /* longer than a block: hashed first */
    hmac_blake2s(got, key, sizeof(key), "abc", 3);
    assert_hex(got, "a77e23c7af58a22abf003d6dff503347484ef7dab895fb2f5461a833bdc03e57");
    memset(key, 1, 32);
    noise_hkdf(key, "input", 5, one, two, three);
    assert_hex(one, "17cdf2d7371de9035d081b63b5d0993c1ce87d38abb21913f3bc825920f88124");
    assert_hex(two, "437f52b1d367f50760b57edc19f21fba061fe48eedb600857a555bb169e767be");
    assert_hex(three, "74c97525c9c2f75b71987b2c664078b3d3d361d21bf460a9de63ac1b9072d624");
    uint8_t again[32], third[32];
    noise_hkdf(key, "input", 5, again, NULL, third); /* the third without the second */
    assert_memory_equal(again, one, 32);
    assert_memory_equal(third, three, 32);
    noise_hkdf(key, "input", 5, again, NULL, NULL);
    assert_memory_equal(again, one, 32);
    noise_hkdf(key, NULL, 0, key, two, NULL); /* in place, as MixKey does */
    assert_hex(key, "c721263eb9c1e142637c6845caa327c26f72d474b5ab0fca6a3196afb34e16f9");
    assert_hex(two, "18ce871e8176c0ad7e3859b50196d60e94367d8256a8d80e4ccdf69813328b45");
}

TEST(x25519_is_that_of_rfc_7748)
{
    uint8_t k[32] = {9}, u[32] = {9}, r[32];

    /* Section 5.2: iterated, which also feeds it results whose top bit is set. */
    for (unsigned i = 1; i <= 1000; i++) {
        assert_true(x25519(r, k, u));
        memcpy(u, k, 32);
        memcpy(k, r, 32);
        if (i == 1)
            assert_hex(k, "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
    }
    assert_hex(k, "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
}

/* Public keys are made another way; the ladder, known by the vectors here, is the oracle. */
TEST(a_public_key_is_what_the_ladder_makes_of_the_base_point)
{
    static const uint8_t base[32] = {9}, ends[][2] = {{0, 0}, {0xff, 0xff}, {8, 0}, {0, 0x3f}};
    uint8_t got[32], want[32], key[32];

    for (unsigned i = 0; i < 3000; i++) {
        if (i < 4) { /* none of the free bits, all, the lowest, the highest ones */
            memset(key, ends[i][0] & ends[i][1], sizeof(key));
            key[0] = ends[i][0];
            key[31] = ends[i][1];
        } else { /* any; the same in every run */
            blake2s(key, 32, NULL, 0, got, 32);
        }
        x25519_public(got, key);
        assert_true(x25519(want, key, base));
        assert_memory_equal(got, want, 32);
    }
}

#define X25519_CASES (sizeof(x25519_cases) / sizeof(x25519_cases[0]))

static void check_shared(const struct x25519_case *c, const char *how, bool ok, const uint8_t *got)
{
    uint8_t want[32];

    assert_int_equal(unhex(c->shared, want), 32);
    if (ok == secret_is_zero(want, 32) || (ok && memcmp(got, want, 32) != 0))
        fail_msg("case %u, %s: %s", c->id, how, ok ? "wrong or zero result" : "refused");
}

TEST(x25519_of_all_wycheproof_cases_and_no_zero_results)
{
    static uint8_t private_keys[X25519_CASES][32], public_keys[X25519_CASES][32];
    static uint8_t together[X25519_CASES][32];
    static struct x25519_job jobs[X25519_CASES], *all[X25519_CASES];
    unsigned refused = 0;

    for (unsigned i = 0; i < X25519_CASES; i++) {
        const struct x25519_case *c = &x25519_cases[i];
        uint8_t got[32];

        assert_int_equal(unhex(c->private_key, private_keys[i]), 32);
        assert_int_equal(unhex(c->public_key, public_keys[i]), 32);
        bool ok = x25519(got, private_keys[i], public_keys[i]);
        check_shared(c, "alone", ok, got);
        refused += !ok;
        jobs[i] = (struct x25519_job){
            .ret = together[i], .private_key = private_keys[i], .public_key = public_keys[i]};
        all[i] = &jobs[i];
    }
    assert_true(refused >= 20); /* the points of small order are among them */
    x25519_batch(all, X25519_CASES);
    for (unsigned i = 0; i < X25519_CASES; i++)
        check_shared(&x25519_cases[i], "together", jobs[i].ok, together[i]);
}

typedef bool open_fn(uint8_t *dst, const struct aead_case *c, const uint8_t *sealed, size_t len,
                     const uint8_t *ad, size_t ad_len);

static bool open_chacha(uint8_t *dst, const struct aead_case *c, const uint8_t *sealed, size_t len,
                        const uint8_t *ad, size_t ad_len)
{
    uint8_t key[32], nonce[12];

    unhex(c->key, key);
    unhex(c->nonce, nonce);
    return chachapoly_open(dst, sealed, len, ad, ad_len, load_le64(nonce + 4), key);
}

static bool open_xchacha(uint8_t *dst, const struct aead_case *c, const uint8_t *sealed, size_t len,
                         const uint8_t *ad, size_t ad_len)
{
    uint8_t key[32], nonce[24];

    unhex(c->key, key);
    unhex(c->nonce, nonce);
    return xchachapoly_open(dst, sealed, len, ad, ad_len, nonce, key);
}

static void check_open(const struct aead_case *c, open_fn *open)
{
    uint8_t sealed[BYTES_MAX], ad[BYTES_MAX], message[BYTES_MAX], got[BYTES_MAX];
    size_t len = unhex(c->sealed, sealed), ad_len = unhex(c->ad, ad),
           message_len = unhex(c->message, message);

    bool ok = open(got, c, sealed, len, ad, ad_len);
    if (ok != c->valid)
        fail_msg("case %u: %s", c->id, ok ? "a forgery was accepted" : "refused");
    if (ok)
        assert_memory_equal(got, message, message_len);
}

TEST(chacha20_poly1305_of_wycheproof)
{
    unsigned n = sizeof(chachapoly_cases) / sizeof(chachapoly_cases[0]);

    assert_true(n >= 10);
    for (unsigned i = 0; i < n; i++) {
        const struct aead_case *c = &chachapoly_cases[i];
        uint8_t key[32], nonce[12], ad[BYTES_MAX], message[BYTES_MAX], got[BYTES_MAX + 16];

        check_open(c, open_chacha);
        if (!c->valid)
            continue;
        unhex(c->key, key);
        unhex(c->nonce, nonce);
        size_t ad_len = unhex(c->ad, ad), len = unhex(c->message, message);
        chachapoly_seal(got, message, len, ad, ad_len, load_le64(nonce + 4), key);
        assert_hex(got, c->sealed);
    }
}

TEST(xchacha20_poly1305_of_wycheproof)
{
    for (unsigned i = 0; i < sizeof(xchachapoly_cases) / sizeof(xchachapoly_cases[0]); i++) {
        const struct aead_case *c = &xchachapoly_cases[i];
        uint8_t key[32], nonce[24], ad[BYTES_MAX], message[BYTES_MAX], got[BYTES_MAX + 16];

        check_open(c, open_xchacha);
        if (!c->valid)
            continue;
        unhex(c->key, key);
        unhex(c->nonce, nonce);
        size_t ad_len = unhex(c->ad, ad), len = unhex(c->message, message);
        xchachapoly_seal(got, message, len, ad, ad_len, nonce, key);
        assert_hex(got, c->sealed);
    }
}

/* The bulk implementation against the other library, packet by packet of one batch. */
TEST(bulk_aead_makes_what_the_handshake_aead_makes)
{
    enum { BATCH = 40 };
    const struct rng *rng = test_rng(1);
    struct aead *a = aead_new();
    struct aead_op ops[BATCH];
    uint8_t key[32], in[BATCH][300], out[BATCH][316], want[316];

    assert_non_null(a);
    for (unsigned round = 0; round < 20; round++) {
        rng_fill(rng, key, sizeof(key));
        rng_fill(rng, in, sizeof(in));
        for (unsigned i = 0; i < BATCH; i++)
            ops[i] = (struct aead_op){.counter = rng_u64(rng) >> (rng_u32(rng) % 64),
                                      .src = in[i],
                                      .dst = out[i],
                                      .len = round % 2 ? rng_u32(rng) % 301 : 64};
        aead_seal(a, key, ops, BATCH);
        for (unsigned i = 0; i < BATCH; i++) {
            chachapoly_seal(want, in[i], ops[i].len, NULL, 0, ops[i].counter, key);
            assert_memory_equal(out[i], want, ops[i].len + 16);
        }
    }
    aead_free(a);
}

TEST_MAIN(T(blake2s_is_that_of_rfc_7693), T(hmac_and_hkdf_of_blake2s),
          T(x25519_is_that_of_rfc_7748), T(a_public_key_is_what_the_ladder_makes_of_the_base_point),
          T(x25519_of_all_wycheproof_cases_and_no_zero_results), T(chacha20_poly1305_of_wycheproof),
          T(xchacha20_poly1305_of_wycheproof), T(bulk_aead_makes_what_the_handshake_aead_makes))
