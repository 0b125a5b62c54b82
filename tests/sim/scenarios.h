/* sim/scenarios.h - named courses of events: what each promises is judged at its end, beside the
 * oracles that watch all the time. The seed draws the rest (times, rates, what the network does).
 *
 * Owner: a const table. Threads: one. */
#pragma once
#include "sim/world.h"

struct scenario {
    const char *name, *promise;
    unsigned members, clients; /* 0: by the seed */
    bool warm, operators, disk;
    void (*run)(struct world *w, uint64_t seconds);
    bool active;       /* as many VIPs as members */
    bool holders_only; /* no members beyond those that hold keys (S8) */
};

extern const struct scenario scenarios[];
const struct scenario *scenario_find(const char *name); /* NULL: there is none */
void scenario_run(struct world *w, const struct scenario *s, uint64_t seconds);
