/* The arithmetic under X25519 in lanes, with limbs as large as they may be: no ladder would meet
 * such in the age of the universe, nor notice a bound that is wrong. GMP is the oracle. */
#include "lib/test.h"
#include LANES_SOURCE
#include <gmp.h>
#include <stdlib.h>

static struct fe a, b, got;
static mpz_t p;

static void of_limbs(mpz_t ret, const struct fe *f, unsigned lane)
{
    mpz_t limb;

    mpz_init(limb);
    mpz_set_ui(ret, 0);
    for (unsigned i = 0; i < LIMBS; i++) {
        mpz_set_ui(limb, f->limb[i][lane]);
        mpz_mul_2exp(limb, limb, OFFSET(i));
        mpz_add(ret, ret, limb);
    }
    mpz_clear(limb);
}

/* Each limb of each lane: the largest there may be, nothing, all ones, or any. */
static void fill(const struct rng *rng, bool factor, struct fe *ret)
{
    for (unsigned i = 0; i < LIMBS; i++)
        for (unsigned l = 0; l < LANES; l++) {
            const uint64_t most = factor ? FACTOR(i) : CARRIED(i);
            const uint64_t values[] = {most, 0, MASK(i), rng_u64(rng) % (most + 1)};

            ret->limb[i][l] = l == 0 ? most : values[test_below(rng, 4)];
        }
}

static bool has_cpu(void)
{
    for (unsigned i = 0; x25519_lanes_here(i); i++)
        if (strcmp(x25519_lanes_here(i)->name, TEXT) == 0)
            return true;
    return false;
}

enum what { SUM, DIFFERENCE, PRODUCT_OF, SQUARE_OF, A24, STORED, KINDS };

static void calculate(enum what w)
{
    got = a;
    switch (w) {
    case SUM:
        fe_add(&got, &a, &b);
        break;
    case DIFFERENCE:
        fe_sub(&got, &a, &b);
        break;
    case PRODUCT_OF:
        fe_mul(&got, &a, &b);
        break;
    case SQUARE_OF:
        fe_square(&got, &a);
        break;
    case A24:
        fe_add_a24(&got, &b);
        break;
    default:
        break;
    }
}

static void expect(enum what w, mpz_t x, const mpz_t y)
{
    if (w == SUM)
        mpz_add(x, x, y);
    else if (w == DIFFERENCE)
        mpz_sub(x, x, y);
    else if (w == PRODUCT_OF)
        mpz_mul(x, x, y);
    else if (w == SQUARE_OF)
        mpz_mul(x, x, x);
    else if (w == A24)
        mpz_addmul_ui(x, y, 121665);
    mpz_mod(x, x, p);
}

static void check(enum what w, const struct rng *rng)
{
    const bool sum = w == SUM || w == DIFFERENCE;
    longs words[WORDS];
    mpz_t x, y, z;

    mpz_inits(x, y, z, NULL);
    fill(rng, w == PRODUCT_OF || w == SQUARE_OF, &a);
    fill(rng, w == PRODUCT_OF || w == A24, &b);
    calculate(w);
    fe_store(words, &got);
    for (unsigned lane = 0; lane < LANES; lane++) {
        for (unsigned i = 0; i < LIMBS; i++)
            assert_true(got.limb[i][lane] <= (sum ? FACTOR(i) : CARRIED(i)));
        of_limbs(x, &a, lane);
        of_limbs(y, &b, lane);
        expect(w, x, y);
        uint64_t stored[WORDS] = {words[0][lane], words[1][lane], words[2][lane], words[3][lane]};
        mpz_import(z, WORDS, -1, 8, 0, 0, stored);
        if (mpz_cmp(x, z) != 0)
            fail_msg("operation %u, lane %u", w, lane);
    }
    mpz_clears(x, y, z, NULL);
}

TEST(limbs_may_be_as_large_as_carrying_leaves_them)
{
    const struct rng *rng = test_rng(21);

    if (!has_cpu())
        skip();
    mpz_init(p);
    mpz_ui_pow_ui(p, 2, 255);
    mpz_sub_ui(p, p, 19);
    for (unsigned round = 0; round < 2000; round++)
        for (enum what w = 0; w < KINDS; w++)
            check(w, rng);
    mpz_clear(p);
}

TEST_MAIN(T(limbs_may_be_as_large_as_carrying_leaves_them))
