/* Members that come and go: what hold-down and damping make of them. */
#include "sim/scenario_kit.h"

#define SUPPRESS_NS (20 * NS_PER_S) /* the first time */

static void flap(struct world *w, struct machine *m)
{
    node_engine_fit(m->node, false, machine_now(m));
    machine_settle(m);
    run_for(w, 1000 + world_random(w, 500));
    node_engine_fit(m->node, true, machine_now(m));
    machine_settle(m);
    run_for(w, 2500 + world_random(w, 500)); /* longer than the hold-down */
}

/* Its VIP leaves it alone after a while, and it is there all the same when it is the only one. */
static void flapping(struct world *w, void (*lose)(struct world *w, struct machine *m))
{
    const struct damping_rules rules = {.flap_limit = 3,
                                        .hold_down_ns = 2 * NS_PER_S,
                                        .window_ns = 30 * NS_PER_S,
                                        .suppress_ns = SUPPRESS_NS,
                                        .suppress_max_ns = 2 * SUPPRESS_NS};
    struct machine *m = &w->machine[0];

    w->damping = rules;
    for (unsigned i = 0; i < w->members; i++)
        node_set_damping(w->machine[i].node, &rules, machine_now(&w->machine[i]));
    scenario_traffic(w, 50, 50);
    run_for(w, 3000); /* the hold-down is over */
    scenario_live(w, w->now_ns - NS_PER_S, "before anything happened");
    for (unsigned i = 0; i < 3; i++)
        lose(w, m);
    uint64_t had = node_counters(m->node)->failovers;
    for (unsigned i = 0; i < 3; i++)
        flap(w, m);
    if (node_counters(m->node)->failovers != had)
        violation(w, "a member that flaps gets its VIP again and again");
    for (unsigned i = 1; i < w->members; i++)
        machine_crash(&w->machine[i]);
    run_for(w, 2000);
    for (uint16_t slot = 1; slot <= w->vips; slot++)
        if (!gate_owned(&m->gate, slot))
            violation(w, "the only member left does not serve because it flapped");
    for (unsigned i = 1; i < w->members; i++)
        machine_start(&w->machine[i]);
    world_run(w, w->now_ns + 3 * SUPPRESS_NS);
    if (clean(w))
        scenario_live(w, w->now_ns - 2 * NS_PER_S, "when all was forgotten");
}

void scenario_flaps(struct world *w, uint64_t seconds)
{
    flapping(w, flap);
}

/* The same by a daemon that cannot live long. */
static void crash(struct world *w, struct machine *m)
{
    machine_crash(m);
    run_for(w, 1000 + world_random(w, 500));
    machine_start(m);
    run_for(w, 4500 + world_random(w, 500)); /* to be in sync, and the hold-down */
}

void scenario_crashes(struct world *w, uint64_t seconds)
{
    flapping(w, crash);
}
