/* wg/replay.h - replay window of one receiving keypair (RFC 6479), 8128 packets wide.
 *
 * Owner:   struct keypair; lives and dies with it.
 * Threads: any worker, while holding keypair.rx_lock.
 * Never:   allocates, logs, reads a clock. Takes jumps up to 2^60 (R14). */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define REPLAY_WINDOW 8128
#define REPLAY_BITS 8192

struct replay {
    uint64_t next; /* highest seen + 1; 0: none seen */
    uint64_t bits[REPLAY_BITS / 64];
};

/* Everything below @next counts as seen (R9: an adopter starts at L). */
void replay_init(struct replay *r, uint64_t next);
/* Would @counter be accepted? Marks nothing. */
bool replay_check(const struct replay *r, uint64_t counter);
/* Accept @counter once. False: seen before, or older than the window. */
bool replay_accept(struct replay *r, uint64_t counter);
