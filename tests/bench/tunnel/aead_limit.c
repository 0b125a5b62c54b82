/* The AEAD limit of one core: bench-aead prints, for each length, what one packet costs to seal and
 * to open, in nanoseconds of this thread's CPU time, alone and in a batch.
 *
 *     LENGTH seal-single open-single seal-batch open-batch */
#include "bench/tunnel/slices.h"
#include "noise/noise.h"
#include "wg/aead.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

#define BATCH 44 /* packets of one full UDP burst */
#define LEN_MAX 1424
#define ROOM (LEN_MAX + AEAD_TAG_LEN)

static const size_t lengths[] = {64, 256, LEN_MAX}; /* the last: MTU 1420, padded */

struct bench {
    struct aead *aead;
    uint8_t key[32];
    uint8_t plain[BATCH * ROOM], sealed[BATCH * ROOM];
    struct aead_op ops[BATCH];
    bool open;
    unsigned at_a_time;
};

static void ops_set(struct bench *b, size_t len, bool open)
{
    for (unsigned i = 0; i < BATCH; i++)
        b->ops[i] = (struct aead_op){.counter = i,
                                     .src = (open ? b->sealed : b->plain) + i * ROOM,
                                     .dst = (open ? b->plain : b->sealed) + i * ROOM,
                                     .len = len};
}

static void once(void *ctx)
{
    struct bench *b = ctx;

    for (unsigned i = 0; i < BATCH; i += b->at_a_time) {
        if (!b->open) {
            aead_seal(b->aead, b->key, &b->ops[i], b->at_a_time);
            continue;
        }
        unsigned ok = aead_open(b->aead, b->key, &b->ops[i], b->at_a_time);
        assert(ok == b->at_a_time);
    }
}

static double best_ns(struct bench *b, size_t len, bool open, unsigned at_a_time)
{
    ops_set(b, len, open);
    b->open = open;
    b->at_a_time = at_a_time;
    return slices_best_ns(once, b) / BATCH;
}

int main(void)
{
    static struct bench bench;
    struct bench *b = &bench;

    if (noise_init() < 0 || !(b->aead = aead_new())) {
        fputs("bench-aead: cannot start\n", stderr);
        return 1;
    }
    memset(b->key, 7, sizeof(b->key));
    printf("%s\n", aead_name(b->aead));
    for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        double cost[2][2];

        for (unsigned batch = 0; batch < 2; batch++)
            for (unsigned open = 0; open < 2; open++) /* what is opened was sealed before */
                cost[batch][open] = best_ns(b, lengths[i], open, batch ? BATCH : 1);
        printf("%zu %.1f %.1f %.1f %.1f\n", lengths[i], cost[0][0], cost[0][1], cost[1][0],
               cost[1][1]);
    }
    aead_free(b->aead);
    return 0;
}
