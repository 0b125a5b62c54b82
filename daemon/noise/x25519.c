/* X25519 (RFC 7748). Public keys are made on the Edwards curve of the same group, where libsodium
 * has tables of the base point: half the time of its ladder (ADR 0017). Several multiplications go
 * to the lanes of vector registers (ADR 0021). */
#include "base/secret.h"
#include "noise/x25519_lanes.h"
#include <assert.h>
#include <gmp.h>
#include <sodium.h>
#include <string.h>

#define FIELD_LIMBS (256 / GMP_NUMB_BITS)
static_assert(GMP_NAIL_BITS == 0 && 256 % GMP_NUMB_BITS == 0, "a field element fills its limbs");

static void limbs_load(mp_limb_t ret[FIELD_LIMBS], const uint8_t b[32])
{
    memset(ret, 0, FIELD_LIMBS * sizeof(*ret));
    for (unsigned i = 0; i < 32; i++)
        ret[i * 8 / GMP_NUMB_BITS] |= (mp_limb_t)b[i] << (i * 8 % GMP_NUMB_BITS);
}

static void limbs_store(uint8_t ret[32], const mp_limb_t l[FIELD_LIMBS])
{
    for (unsigned i = 0; i < 32; i++)
        ret[i] = (uint8_t)(l[i * 8 / GMP_NUMB_BITS] >> (i * 8 % GMP_NUMB_BITS));
}

/* u = (1 + y) / (1 - y) of RFC 7748, section 4.1. Not in constant time: u is the public key, and y
 * is a function of u. @y is below p = 2^255 - 19, and not that of the neutral point, 1. */
static void u_of_y(uint8_t ret_u[32], const uint8_t y_bytes[32])
{
    uint8_t p_bytes[32];
    mp_limb_t p[FIELD_LIMBS], modulus[FIELD_LIMBS], y[FIELD_LIMBS], below[FIELD_LIMBS];
    mp_limb_t gcd[FIELD_LIMBS + 1], inverse[FIELD_LIMBS + 1], product[2 * FIELD_LIMBS];
    mp_limb_t quotient[FIELD_LIMBS + 1];
    mp_size_t len;

    memset(p_bytes, 0xff, sizeof(p_bytes));
    p_bytes[0] = 0xed;
    p_bytes[31] = 0x7f;
    limbs_load(p, p_bytes);
    limbs_load(y, y_bytes);
    mpn_sub_n(below, p, y, FIELD_LIMBS); /* p + 1 - y: what is to be inverted */
    mpn_add_1(below, below, FIELD_LIMBS, 1);
    mpn_add_1(y, y, FIELD_LIMBS, 1);
    memcpy(modulus, p, sizeof(p)); /* mpn_gcdext() destroys what it gets */
    mpn_gcdext(gcd, inverse, &len, below, FIELD_LIMBS, modulus, FIELD_LIMBS);
    for (mp_size_t i = len < 0 ? -len : len; i < FIELD_LIMBS; i++)
        inverse[i] = 0;
    if (len < 0)
        mpn_sub_n(inverse, p, inverse, FIELD_LIMBS);
    mpn_mul_n(product, inverse, y, FIELD_LIMBS);
    mpn_tdiv_qr(quotient, y, 0, product, 2 * FIELD_LIMBS, p, FIELD_LIMBS);
    limbs_store(ret_u, y);
}

void x25519_clamp(uint8_t private_key[32])
{
    private_key[0] &= 248;
    private_key[31] = (uint8_t)((private_key[31] & 127) | 64);
}

void x25519_public(uint8_t ret[32], const uint8_t private_key[32])
{
    uint8_t scalar[32], y[32];

    memcpy(scalar, private_key, sizeof(scalar));
    x25519_clamp(scalar);
    /* Never the neutral point: no clamped scalar is a multiple of the group's order. */
    int r = crypto_scalarmult_ed25519_base_noclamp(y, scalar);
    assert(r == 0);
    y[31] &= 0x7f; /* the sign of x, which u does not have */
    u_of_y(ret, y);
    secret_wipe(scalar, sizeof(scalar));
    secret_wipe(y, sizeof(y));
}

bool x25519(uint8_t ret[32], const uint8_t private_key[32], const uint8_t public_key[32])
{
    return crypto_scalarmult(ret, private_key, public_key) == 0 && !secret_is_zero(ret, 32);
}

void x25519_keygen(const struct rng *rng, uint8_t ret_private[32], uint8_t ret_public[32])
{
    rng_fill(rng, ret_private, 32);
    x25519_clamp(ret_private);
    x25519_public(ret_public, ret_private);
}

/* ---- several at once ---- */

const struct x25519_lanes *x25519_lanes_here(unsigned which)
{
#ifdef GM_X25519_LANES
    __builtin_cpu_init(); /* what it finds the system keeps registers for, too */
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512ifma") && which-- == 0)
        return &x25519_avx512;
    if (__builtin_cpu_supports("avx2") && which == 0)
        return &x25519_avx2;
#endif
    return NULL;
}

static unsigned cost(const struct x25519_job *job)
{
    return job->public_key ? X25519_ANY_POINT : X25519_BASE_POINT;
}

static void by_library(struct x25519_job *job)
{
    job->ok = true;
    if (job->public_key)
        job->ok = x25519(job->ret, job->private_key, job->public_key);
    else
        x25519_public(job->ret, job->private_key);
}

static void some(const struct x25519_lanes *lanes, struct x25519_job *const *jobs, unsigned n)
{
    unsigned worth = 0;

    for (unsigned i = 0; i < n; i++)
        worth += cost(jobs[i]);
    if (lanes && n > 0 && worth >= lanes->worth)
        lanes->run(jobs, n);
    else
        for (unsigned i = 0; i < n; i++)
            by_library(jobs[i]);
}

void x25519_batch_in(const struct x25519_lanes *lanes, struct x25519_job *const *jobs, unsigned n)
{
    static const unsigned costs[] = {X25519_ANY_POINT, X25519_BASE_POINT};
    const unsigned together = lanes ? lanes->lanes : 1;
    struct x25519_job *next[X25519_LANES_MAX];
    unsigned count = 0;

    /* The cheap ones last: what fills no register may then be left to the library. */
    for (unsigned c = 0; c < 2; c++)
        for (unsigned i = 0; i < n; i++)
            if (cost(jobs[i]) == costs[c]) {
                next[count++] = jobs[i];
                if (count == together) {
                    some(lanes, next, count);
                    count = 0;
                }
            }
    some(lanes, next, count);
}

void x25519_batch(struct x25519_job *const *jobs, unsigned n)
{
    x25519_batch_in(x25519_lanes_here(0), jobs, n);
}
