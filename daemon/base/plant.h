/* base/plant.h - bugs planted on purpose, to prove that the simulator's oracles are alive.
 *
 * Only gm-sim-planted is compiled with GM_PLANT; everywhere else PLANTED() is the constant false
 * and nothing of this is in the binary. */
#pragma once
#include <stdbool.h>
#include <string.h>

#ifdef GM_PLANT
extern const char *plant_chosen;
#define PLANTED(name) (plant_chosen && strcmp(plant_chosen, name) == 0)
bool plant_choose(const char *name);
#else
#define PLANTED(name) false
static inline bool plant_choose(const char *name)
{
    (void)name;
    return false;
}
#endif
