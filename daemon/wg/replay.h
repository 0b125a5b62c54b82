/* wg/replay.h - replay window of one receiving keypair (RFC 6479), 8128 packets wide.
 *
 * Owner:   struct keypair; lives and dies with it.
 * Threads: any worker, while holding keypair.rx_lock.
 * Never:   allocates, logs, reads a clock. Takes jumps up to 2^60 (R14). */
#pragma once
#include "model/session.h"
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
/* What a key that is handed over has not seen (R11). */
void replay_tail_take(const struct replay *r, struct replay_tail *ret);
/* A window that ends at @next and has seen all but what @tail leaves out at or above @own. */
void replay_tail_init(struct replay *r, uint64_t next, const struct replay_tail *tail,
                      uint64_t own);
