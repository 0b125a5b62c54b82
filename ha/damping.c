#include "ha/damping.h"

#include <assert.h>
#include <string.h>

#include "base/err.h"

/* Twice as long each time, without running over. */
static uint64_t suppress_ns(const struct damping_rules *r, unsigned level)
{
    uint64_t ns = r->suppress_ns;

    for (unsigned i = 0; i < level && ns < r->suppress_max_ns; i++)
        ns *= 2;
    return MIN(ns, r->suppress_max_ns);
}

static void drop_oldest(struct damping *d)
{
    d->flaps--;
    memmove(d->flap_ns, d->flap_ns + 1, d->flaps * sizeof(d->flap_ns[0]));
}

bool damping_flap(struct damping *d, const struct damping_rules *r, uint64_t now_ns)
{
    assert(r->flap_limit <= DAMPING_FLAPS_MAX);
    if (d->stable_ns)
        d->stable_ns = now_ns;
    if (!r->flap_limit)
        return false;
    if (now_ns >= d->until_ns && now_ns - d->until_ns >= r->suppress_max_ns)
        d->level = 0;
    while (d->flaps && (d->flaps >= r->flap_limit || now_ns - d->flap_ns[0] >= r->window_ns))
        drop_oldest(d); /* at the limit only after a reload that lowered it */
    d->flap_ns[d->flaps++] = now_ns;
    if (d->flaps < r->flap_limit)
        return false;
    d->flaps = 0;
    d->until_ns = MAX(d->until_ns, now_ns + suppress_ns(r, d->level));
    d->level++;
    return true;
}

void damping_ready(struct damping *d, bool ready, uint64_t now_ns)
{
    if (!ready)
        d->stable_ns = 0;
    else if (!d->stable_ns)
        d->stable_ns = now_ns;
}

enum withheld damping_verdict(const struct damping *d, const struct damping_rules *r, bool owner,
                              uint64_t now_ns, uint64_t *ret_until_ns)
{
    if (r->flap_limit && now_ns < d->until_ns) {
        *ret_until_ns = d->until_ns;
        return WITHHELD_FLAPPING;
    }
    if (!owner && d->stable_ns && now_ns - d->stable_ns < r->hold_down_ns) {
        *ret_until_ns = d->stable_ns + r->hold_down_ns;
        return WITHHELD_HOLD_DOWN;
    }
    return WITHHELD_NOT;
}

void damping_forget(struct damping *d, const struct damping_rules *r, uint64_t now_ns)
{
    uint64_t stable_ns = d->stable_ns;

    *d = (struct damping){0};
    if (stable_ns) /* what is left of its hold-down, too */
        d->stable_ns = now_ns > r->hold_down_ns ? now_ns - r->hold_down_ns : 1;
}

const char *withheld_name(enum withheld w)
{
    static const char *const names[] = {[WITHHELD_NOT] = "",
                                        [WITHHELD_NOT_IN_SYNC] = "not-in-sync",
                                        [WITHHELD_UNFIT] = "unfit",
                                        [WITHHELD_HOLD_DOWN] = "hold-down",
                                        [WITHHELD_FLAPPING] = "flapping"};

    assert((unsigned)w < ARRAY_LEN(names));
    return names[w];
}
