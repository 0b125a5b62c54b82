/* A model of keepalived on one member: equal priorities, weight file, fail-closed health, adverts
 * every SIM_ADVERT_NS, take-over after 3 adverts and a skew (keepalived.md 2.1). It lives on when
 * the daemon is frozen, and dies with the machine. */
#include "base/err.h"
#include "sim/world.h"

#define BASE_PRIORITY 250
#define WARM_PRIORITY 190 /* without keys (S8) */

static int priority(const struct machine *m, uint16_t slot)
{
    static const int spread[] = {250, 240, 210}; /* as rendered for several VIPs */
    unsigned place = world_place(m->world, slot, m->member);
    int base = place > HOLDERS_MAX  ? WARM_PRIORITY
               : m->world->vips > 1 ? spread[place]
                                    : BASE_PRIORITY;

    return MIN(254, base + m->vrrp[slot].weight);
}

void vrrp_event(struct machine *m, uint64_t delay_ns, uint16_t slot, enum vrrp_turn turn)
{
    struct event *e = world_event(m->world, delay_ns, EVENT_VRRP, m);

    e->a = turn;
    e->b = slot;
}

static bool hears(const struct machine *from, const struct machine *to)
{
    const struct world *w = from->world;

    return from->alive && !from->frozen && !w->cut_vrrp[from->member][to->member] &&
           !w->cut_wan[from->member] && !w->cut_wan[to->member];
}

static void lines(struct machine *m, uint16_t slot, bool master)
{
    if (m->frozen || m->frozen_daemon || !m->alive)
        return;
    node_vip(m->node, slot,
             &(struct failover_event){.kind = master ? FAILOVER_LINE_MASTER : FAILOVER_LINE_BACKUP},
             machine_now(m));
}

static void become(struct machine *m, uint16_t slot, bool master)
{
    if (m->vrrp[slot].master == master)
        return;
    m->vrrp[slot].master = master;
    m->vrrp[slot].heard_ns = m->world->now_ns;
    m->address_present[slot] = master;
    world_trace(m->world, "m%u is VRRP %s of %u", m->member, master ? "master" : "backup", slot);
    if (master) { /* the advert goes out first; gratuitous ARP may be late */
        struct world *w = m->world;

        vrrp_event(m, world_random(w, SIM_ANNOUNCE_LATE_NS), slot, VRRP_ANNOUNCE);
        for (unsigned i = 0; i < w->members; i++)
            if (&w->machine[i] != m && w->machine[i].vrrp[slot].master)
                vrrp_event(&w->machine[i], SIM_LAN_DELAY_NS, slot, VRRP_HEAR);
    }
    if (m->frozen || m->frozen_daemon)
        return;
    m->wants_addresses |= 1u << slot;
    machine_settle(m); /* netlink: the address is there before the line */
    lines(m, slot, master);
    machine_settle(m);
}

/* MASTER_RX_LOWER_PRI: a master that hears a lesser one announces itself again. */
static void reassert(struct machine *m, uint16_t slot)
{
    vrrp_event(m, world_random(m->world, SIM_ANNOUNCE_LATE_NS), slot, VRRP_ANNOUNCE);
    if (m->frozen || m->frozen_daemon)
        return;
    node_vip(m->node, slot, &(struct failover_event){.kind = FAILOVER_LINE_RX_LOWER},
             machine_now(m));
    machine_settle(m);
}

void vrrp_run(struct machine *m, uint16_t slot, enum vrrp_turn turn)
{
    struct world *w = m->world;
    struct vrrp *v = &m->vrrp[slot];

    if (!m->alive)
        return;
    if (turn == VRRP_ADVERT)
        vrrp_event(m, SIM_ADVERT_NS, slot, VRRP_ADVERT);
    if (m->frozen)
        return;
    if (turn == VRRP_ANNOUNCE) {
        v->announced_ns = w->now_ns;
        if (v->master && !w->cut_wan[m->member])
            w->arp[slot] = m->member;
        return;
    }
    /* The sentinel withdraws health from a frozen daemon. */
    bool healthy =
        m->vrrp[slot].fit && !(m->frozen_daemon && w->now_ns - m->froze_ns > 300 * NS_PER_MS);
    if (!healthy) {
        become(m, slot, false);
        return;
    }
    for (unsigned i = 0; i < w->members; i++) {
        struct machine *o = &w->machine[i];

        if (o == m || !o->vrrp[slot].master || !hears(o, m))
            continue;
        int mine = priority(m, slot), theirs = priority(o, slot);
        if (v->master) {
            if (theirs > mine || (theirs == mine && o->member > m->member)) {
                become(m, slot, false);
                reassert(o, slot); /* vrrp_higher_prio_send_advert: it hears of us once more */
            } else {
                reassert(m, slot);
            }
        } else if (theirs >= mine) {
            v->heard_ns = w->now_ns;
        }
    }
    if (v->master && !w->probes && w->now_ns - v->announced_ns >= SIM_REFRESH_NS)
        vrrp_event(m, 0, slot, VRRP_ANNOUNCE);
    if (turn == VRRP_ADVERT && !v->master &&
        w->now_ns - v->heard_ns > 3 * SIM_ADVERT_NS + m->member * NS_PER_MS)
        become(m, slot, true);
}
