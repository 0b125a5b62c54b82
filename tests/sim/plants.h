/* sim/plants.h - the bugs that are planted in gm-sim-planted (base/plant.h), each with the scenario
 * and the seed that shows it: an oracle that finds nothing is dead. A scenario's run without a bug
 * is clean, and `gm-sim-planted --plants` looks at that as well.
 *
 * Owner: a const table. Threads: one. */
#pragma once
#include <stdint.h>

struct plant {
    const char *name, *scenario;
    uint64_t seed;
    const char *what;
};

extern const struct plant plants[];
const struct plant *plant_find(const char *name); /* NULL: there is none */
