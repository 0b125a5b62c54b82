#include "base/clock.h"
#include <assert.h>
#include <time.h>

static uint64_t read_ns(clockid_t id)
{
    struct timespec ts;
    int r = clock_gettime(id, &ts);

    assert(r == 0);
    (void)r;
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t clock_boot_ns(void)
{
    return read_ns(CLOCK_BOOTTIME);
}

uint64_t clock_real_ns(void)
{
    return read_ns(CLOCK_REALTIME);
}
