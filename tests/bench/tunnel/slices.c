#include "bench/tunnel/slices.h"
#include <time.h>

#define SLICES 60
#define SLICE_NS 2000000ull

static unsigned long long thread_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (unsigned long long)t.tv_sec * 1000000000ull + (unsigned long long)t.tv_nsec;
}

double slices_best_ns(void (*fn)(void *ctx), void *ctx)
{
    double best = 0;

    for (unsigned slice = 0; slice < SLICES; slice++) {
        unsigned long long start = thread_ns(), now;
        unsigned times = 0;

        do {
            fn(ctx);
            times++;
            now = thread_ns();
        } while (now - start < SLICE_NS);
        double cost = (double)(now - start) / times;
        if (slice == 0 || cost < best)
            best = cost;
    }
    return best;
}
