/* What X25519 costs one core: bench-x25519 prints, for each number of multiplications, what they
 * cost together and by the library alone, in microseconds of this thread's CPU time.
 *
 *     JOBS any-points-together library base-points-together library */
#include "bench/tunnel/slices.h"
#include "noise/x25519_lanes.h"
#include <stdio.h>
#include <string.h>

#define JOBS_MAX (2 * X25519_LANES_MAX)

struct bench {
    const struct x25519_lanes *lanes;
    struct x25519_job jobs[JOBS_MAX], *all[JOBS_MAX];
    unsigned n;
};

static void once(void *ctx)
{
    struct bench *b = ctx;

    x25519_batch_in(b->lanes, b->all, b->n);
}

static double best_us(const struct x25519_lanes *lanes, unsigned n, bool base_point)
{
    static uint8_t keys[JOBS_MAX][32], points[JOBS_MAX][32], results[JOBS_MAX][32];
    struct bench b = {.lanes = lanes, .n = n};

    for (unsigned i = 0; i < n; i++) {
        memset(keys[i], (int)i + 1, sizeof(keys[i]));
        memset(points[i], (int)i + 101, sizeof(points[i]));
        b.jobs[i] = (struct x25519_job){
            .ret = results[i], .private_key = keys[i], .public_key = base_point ? NULL : points[i]};
        b.all[i] = &b.jobs[i];
    }
    return slices_best_ns(once, &b) / 1000;
}

static void table(const struct x25519_lanes *lanes)
{
    static const unsigned numbers[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16};

    printf("%s\n", lanes ? lanes->name : "libsodium");
    for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        const unsigned n = numbers[i];

        printf("%u %.1f %.1f %.1f %.1f\n", n, best_us(lanes, n, false), best_us(NULL, n, false),
               best_us(lanes, n, true), best_us(NULL, n, true));
    }
}

int main(void)
{
    if (noise_init() < 0)
        return 1;
    for (unsigned which = 0; which == 0 || x25519_lanes_here(which); which++)
        table(x25519_lanes_here(which));
    return 0;
}
