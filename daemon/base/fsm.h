/* base/fsm.h - a state machine as a const table of allowed moves; see style.md rule 11's form:
 *
 *   static const struct fsm_state vip_fsm[] = {
 *       [VIP_STANDBY] = {"standby", TO(VIP_ADOPTING) | TO(VIP_FAULT)},
 *       ...
 *
 * Never: logs. A move that the table forbids is a broken invariant and ends the process. */
#pragma once
#include <assert.h>
#include <stdint.h>

struct fsm_state {
    const char *name;
    uint32_t to; /* bit n: may move to state n */
};

#define TO(state) (1u << (state))

static inline void fsm_move(const struct fsm_state *table, int *state, int to)
{
    assert(table[*state].to & TO(to));
    *state = to;
}
