/* ha/flapfile.h - what a life remembers of the flaps of the one before: a daemon that crashes again
 * and again is a member that flaps.
 *
 * File: DIR/flaps, text, replaced by a rename. Its times are of the boot clock, so it is good for
 * the boot whose id stands in it; DIR is the run directory, which does not outlive that either, and
 * is no disk that could keep the daemon waiting.
 *
 * Owner:   the daemon's main thread. Never: trusts what it reads. */
#pragma once
#include "ha/damping.h"

#define FLAPS_FILE "flaps"

struct flap_memory {
    uint16_t vip;           /* its number */
    bool fit;               /* to serve it, when this was written: who ends so did not plan to */
    struct damping damping; /* but for stable_ns, which begins anew */
};

int flapfile_save(const char *dir, const char *boot_id, const struct flap_memory *all,
                  unsigned count);
/* How many there are: 0 also without a file, and of another boot. -EBADMSG: none is to be believed.
 * @ret: room for @max, at most VIPS_MAX. */
int flapfile_load(const char *dir, const char *boot_id, uint64_t now_ns, struct flap_memory *ret,
                  unsigned max);
