/* A model of keepalived on one member: equal priorities, weight file, fail-closed health, adverts
 * every SIM_ADVERT_NS, take-over after 3 adverts and a skew (keepalived.md 2.1). It lives on when
 * the daemon is frozen, and dies with the machine. */
#include "base/err.h"
#include "sim/world.h"

#define BASE_PRIORITY 250
#define WARM_PRIORITY 190 /* without keys (S8) */

static int priority(const struct machine *m)
{
    int base = m->member <= HOLDERS_MAX + 1 ? BASE_PRIORITY : WARM_PRIORITY;

    return MIN(254, base + m->vrrp.weight);
}

static bool hears(const struct machine *from, const struct machine *to)
{
    const struct world *w = from->world;

    return from->alive && !from->frozen && !w->cut_vrrp[from->member][to->member] &&
           !w->cut_wan[from->member] && !w->cut_wan[to->member];
}

void vrrp_lines(struct machine *m, bool master)
{
    if (m->frozen || m->frozen_daemon || !m->alive)
        return;
    node_vip(m->node, 1,
             &(struct failover_event){.kind = master ? FAILOVER_LINE_MASTER : FAILOVER_LINE_BACKUP},
             machine_now(m));
}

static void become(struct machine *m, bool master)
{
    if (m->vrrp.master == master)
        return;
    m->vrrp.master = master;
    m->vrrp.heard_ns = m->world->now_ns;
    m->address_present = master;
    world_trace(m->world, "m%u is VRRP %s", m->member, master ? "master" : "backup");
    if (master) { /* the advert goes out first; gratuitous ARP may be late */
        struct world *w = m->world;

        world_event(w, world_random(w, SIM_ANNOUNCE_LATE_NS), EVENT_VRRP, m)->a = VRRP_ANNOUNCE;
        for (unsigned i = 0; i < w->members; i++)
            if (&w->machine[i] != m && w->machine[i].vrrp.master)
                world_event(w, SIM_LAN_DELAY_NS, EVENT_VRRP, &w->machine[i])->a = VRRP_HEAR;
    }
    if (m->frozen || m->frozen_daemon)
        return;
    m->wants_addresses = true;
    machine_settle(m); /* netlink: the address is there before the line */
    vrrp_lines(m, master);
    machine_settle(m);
}

/* MASTER_RX_LOWER_PRI: a master that hears a lesser one announces itself again. */
static void reassert(struct machine *m)
{
    world_event(m->world, world_random(m->world, SIM_ANNOUNCE_LATE_NS), EVENT_VRRP, m)->a =
        VRRP_ANNOUNCE;
    if (m->frozen || m->frozen_daemon)
        return;
    node_vip(m->node, 1, &(struct failover_event){.kind = FAILOVER_LINE_RX_LOWER}, machine_now(m));
    machine_settle(m);
}

void vrrp_run(struct machine *m, enum vrrp_turn turn)
{
    struct world *w = m->world;

    if (!m->alive)
        return;
    if (turn == VRRP_ADVERT)
        world_event(w, SIM_ADVERT_NS, EVENT_VRRP, m);
    if (m->frozen)
        return;
    if (turn == VRRP_ANNOUNCE) {
        if (m->vrrp.master)
            w->arp = m->member;
        return;
    }
    /* The sentinel withdraws health from a frozen daemon. */
    bool healthy = m->fit && !(m->frozen_daemon && w->now_ns - m->froze_ns > 300 * NS_PER_MS);
    if (!healthy) {
        become(m, false);
        return;
    }
    for (unsigned i = 0; i < w->members; i++) {
        struct machine *o = &w->machine[i];

        if (o == m || !o->vrrp.master || !hears(o, m))
            continue;
        int mine = priority(m), theirs = priority(o);
        if (m->vrrp.master) {
            if (theirs > mine || (theirs == mine && o->member > m->member)) {
                become(m, false);
                reassert(o); /* vrrp_higher_prio_send_advert: it hears of us once more */
            } else {
                reassert(m);
            }
        } else if (theirs >= mine) {
            m->vrrp.heard_ns = w->now_ns;
        }
    }
    if (turn == VRRP_ADVERT && !m->vrrp.master &&
        w->now_ns - m->vrrp.heard_ns > 3 * SIM_ADVERT_NS + m->member * NS_PER_MS)
        become(m, true);
}
