/* base/rng.h - where random bytes come from: getrandom in the product, a seed in the simulator.
 *
 * Never: pools bytes in user space (N12). */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct rng {
    void (*fill)(void *ctx, void *buf, size_t len);
    void *ctx;
};

/* The kernel's generator; aborts if it cannot be read. */
extern const struct rng rng_system;

static inline void rng_fill(const struct rng *r, void *buf, size_t len)
{
    r->fill(r->ctx, buf, len);
}

static inline uint32_t rng_u32(const struct rng *r)
{
    uint32_t v;

    rng_fill(r, &v, sizeof(v));
    return v;
}

static inline uint64_t rng_u64(const struct rng *r)
{
    uint64_t v;

    rng_fill(r, &v, sizeof(v));
    return v;
}
