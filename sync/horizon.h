/* sync/horizon.h - how far ahead receive ceilings are raised, T_h, and how often a batch of raises
 * leaves (R3, R4). Pure.
 *
 * Owner:   the node, one for all sessions. Threads: main.
 * Never:   reads a clock.
 *
 * A member with little to do keeps T_h at its least: a client that stalls while the owner dies
 * resumes close to the ceiling. Raises that cost something stretch it, up to what a failover takes
 * anyway; only as many as no member can send stretch it further. See ADR 0015. */
#pragma once
#include <stdint.h>

#define HORIZON_LEAST_NS (20 * 1000000ull)
#define HORIZON_FAR_NS (250 * 1000000ull) /* ... if the failover's detection takes as long */
#define HORIZON_FURTHEST_NS (8 * HORIZON_FAR_NS)
#define HORIZON_RAISES_CHEAP_PER_S 1000u  /* of all sessions together */
#define HORIZON_RAISES_MOST_PER_S 100000u /* beyond HORIZON_FAR_NS only so as to stay below it */
#define HORIZON_BATCH_NS (5 * 1000000ull) /* R3, with T_h at its least */

struct horizon {
    uint64_t ns;      /* T_h */
    uint64_t far_ns;  /* HORIZON_FAR_NS, or the detection time */
    uint64_t raises;  /* since the last look; the owner counts */
    uint64_t look_ns; /* the last one */
};

void horizon_init(struct horizon *h, uint64_t detection_ns, uint64_t now_ns);
/* About once a second: adapts T_h to the raises counted since the last look. */
void horizon_look(struct horizon *h, uint64_t now_ns);
/* One batch of raises in this time; a packet that waits does not wait for it (R6). */
uint64_t horizon_batch_ns(const struct horizon *h);
