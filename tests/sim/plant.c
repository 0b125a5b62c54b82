#include "base/plant.h"

#ifdef GM_PLANT
const char *plant_chosen;

bool plant_choose(const char *name)
{
    plant_chosen = name;
    return true;
}
#endif
