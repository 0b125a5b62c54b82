/* sim/scenario_kit.h - what scenarios are written with; private to them. */
#pragma once
#include "sim/scenarios.h"

static inline void run_for(struct world *w, uint64_t ms)
{
    world_run(w, w->now_ns + ms * NS_PER_MS);
}

static inline struct machine *client(struct world *w, unsigned i)
{
    return &w->machine[w->members + i];
}

static inline struct machine *owner(struct world *w)
{
    return &w->machine[w->arp[1] - 1];
}

static inline void violation(struct world *w, const char *what)
{
    oracle_violation(w->oracle, w->now_ns, "%s", what);
}

static inline bool clean(const struct world *w)
{
    return oracle_violations(w->oracle) == 0;
}

/* scenarios.c: made or begun by the members that live. */
uint64_t scenario_handshakes_of(const struct machine *m);
uint64_t scenario_handshakes(const struct world *w);
void scenario_traffic(struct world *w, uint64_t up_ms, uint64_t down_ms); /* of every client */
/* Two-way data since @since_ns for whom is expected to have had some. */
void scenario_live(struct world *w, uint64_t since_ns, const char *what);

/* scenario_flaps.c */
void scenario_flaps(struct world *w, uint64_t seconds);
void scenario_crashes(struct world *w, uint64_t seconds);

/* scenario_clients.c */
void scenario_lag(struct world *w, uint64_t seconds);
void scenario_roam(struct world *w, uint64_t seconds);
void scenario_copies(struct world *w, uint64_t seconds);
void scenario_gap_handed(struct world *w, uint64_t seconds);
void scenario_late_answers(struct world *w, uint64_t seconds);
void scenario_guests(struct world *w, uint64_t seconds);
void scenario_strayed(struct world *w, uint64_t seconds);
void scenario_dismissed(struct world *w, uint64_t seconds);
void scenario_yields(struct world *w, uint64_t seconds);
void scenario_promises(struct world *w, uint64_t seconds);
void scenario_unasked(struct world *w, uint64_t seconds);
void scenario_switch(struct world *w, uint64_t seconds);
void scenario_cut_off(struct world *w, uint64_t seconds);
void scenario_unannounced(struct world *w, uint64_t seconds);
void scenario_let_go(struct world *w, uint64_t seconds);
