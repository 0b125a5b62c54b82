/* ha/damping.h - when a member may bid for a VIP again: hold-down and flap damping.
 *
 * Owner:   the node, one per VIP. Threads: main.
 * Never:   reads a clock; takes health away: who withholds its weight still serves a VIP that
 *          nobody else can (O3). So a cluster of which every member is damped goes on as before.
 *
 * Hold-down: a member is a candidate when it was ready (fit and in sync) for hold_down_ns on end; a
 * flap begins that time anew. Who owns the VIP is not held down: that would move it for nothing.
 *
 * Damping, as in BGP: the flap_limit-th flap within window_ns suppresses the member for
 * suppress_ns, the next time for twice as long, up to suppress_max_ns. Flaps of that time count
 * towards the next one. A calm of suppress_max_ns after its end, and all is forgotten. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define DAMPING_FLAPS_MAX 16

struct damping_rules {
    unsigned flap_limit; /* 0: flaps are not counted; else at most DAMPING_FLAPS_MAX */
    uint64_t hold_down_ns, window_ns;
    uint64_t suppress_ns, suppress_max_ns; /* suppress_max_ns is not below suppress_ns */
};

struct damping {
    uint64_t flap_ns[DAMPING_FLAPS_MAX]; /* the oldest first; since the last suppression */
    unsigned flaps;
    unsigned level;     /* suppressed so often in a row */
    uint64_t until_ns;  /* end of the last suppression; 0: never */
    uint64_t stable_ns; /* ready, and no flap, since; 0: not ready */
};

enum withheld {
    WITHHELD_NOT,
    WITHHELD_NOT_IN_SYNC, /* by the node's own word, as the next: there is no time to tell */
    WITHHELD_UNFIT,
    WITHHELD_HOLD_DOWN,
    WITHHELD_FLAPPING,
};

/* Ownership or health was lost, and nobody had planned it. True: that was one too many. */
bool damping_flap(struct damping *d, const struct damping_rules *r, uint64_t now_ns);
/* Fit and in sync, or not. */
void damping_ready(struct damping *d, bool ready, uint64_t now_ns);
/* *ret_until_ns is written with a verdict that time changes. */
enum withheld damping_verdict(const struct damping *d, const struct damping_rules *r, bool owner,
                              uint64_t now_ns, uint64_t *ret_until_ns);
void damping_forget(struct damping *d, const struct damping_rules *r, uint64_t now_ns);
const char *
withheld_name(enum withheld w); /* "", "not-in-sync", "unfit", "hold-down", "flapping" */
