#include "lib/test.h"
#include <stdlib.h>
#include <string.h>

static void fill(void *ctx, void *buf, size_t len)
{
    uint64_t *state = ctx;
    uint8_t *out = buf;

    while (len) {
        uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
        z = (z ^ z >> 27) * 0x94d049bb133111ebull;
        z ^= z >> 31;
        for (unsigned i = 0; i < 8 && len; i++, len--)
            *out++ = (uint8_t)(z >> 8 * i);
    }
}

void test_rng_init(struct test_rng *t, uint64_t seed)
{
    t->state = seed;
    t->rng = (struct rng){.fill = fill, .ctx = &t->state};
}

const struct rng *test_rng(uint64_t seed)
{
    static struct test_rng rngs[TEST_RNGS_MAX];
    static unsigned next;
    struct test_rng *t = &rngs[next++ % TEST_RNGS_MAX];

    test_rng_init(t, seed);
    return &t->rng;
}

uint32_t test_below(const struct rng *r, uint32_t below)
{
    return (uint32_t)((uint64_t)rng_u32(r) * below >> 32);
}

void test_init(void)
{
    const char *filter = getenv("TEST_FILTER");

    if (filter)
        cmocka_set_test_filter(filter);
}
