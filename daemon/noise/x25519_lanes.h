/* noise/x25519_lanes.h - several X25519 multiplications at once, each in a lane of the vector
 * registers: what x25519_batch() takes instead of the library where the machine can (ADR 0021).
 *
 * Owner:   none; no state. Threads: any.
 * Never:   branches or indexes on secret data. */
#pragma once
#include "noise/noise.h"

#define X25519_LANES_MAX 8

/* What a job costs the library, as measured (ADR 0017). */
enum {
    X25519_BASE_POINT = 1,
    X25519_ANY_POINT = 2,
};

struct x25519_lanes {
    const char *name;
    unsigned lanes;
    unsigned worth; /* from this cost of all jobs together on it is faster than the library */
    /* As x25519_batch(), 1 to @lanes jobs; however many, they take the same time. */
    void (*run)(struct x25519_job *const *jobs, unsigned n);
};

/* What this machine has, the fastest first; NULL: no more. */
const struct x25519_lanes *x25519_lanes_here(unsigned which);
/* x25519_batch() with these lanes; NULL: by the library alone. */
void x25519_batch_in(const struct x25519_lanes *lanes, struct x25519_job *const *jobs, unsigned n);

#ifdef GM_X25519_LANES
extern const struct x25519_lanes x25519_avx2, x25519_avx512;
#endif
