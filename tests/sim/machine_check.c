/* What must hold across members, looked at where it happens. */
#include "base/bytes.h"
#include "sim/machine.h"
#include "store/life.h"

/* A clock within a day of what was sent before is believed at a start; H5's own 60 s. */
#define STAMP_AHEAD_MAX_NS ((86400 + 62) * NS_PER_S)

struct oracle_who machine_who(const struct machine *m)
{
    return (struct oracle_who){
        .member = m->member, .life = m->life_id, .apart = world_apart(m->world, m)};
}

/* Siblings that get replicas of the VIP's keys from @m and can answer. */
static bool in_touch(const struct machine *m, const struct machine *o, uint16_t slot)
{
    const struct world *w = m->world;
    unsigned place = world_place(w, slot, o->member);

    place -= world_place(w, slot, m->member) < place; /* among its siblings */
    return o != m && o->alive && place < HOLDERS_MAX && m->link_up[o->member] &&
           o->link_up[m->member] && !(world_apart(w, m) >> o->member & 1) && !o->frozen &&
           !o->frozen_daemon;
}

/* H1: whoever uses a key can be served by two, but where nobody is left to hold it. */
void machine_check_committed(struct machine *m, uint16_t slot, uint32_t index)
{
    struct world *w = m->world;
    bool asked = false;

    if (w->warm || w->sync_lag_ns)
        return;
    for (unsigned i = 0; i < w->members; i++) {
        struct machine *o = &w->machine[i];

        if (!in_touch(m, o, slot) || w->now_ns - m->linked_ns[o->member] < NS_PER_S)
            continue;
        asked = true;
        if (machine_entry(o, index))
            return;
    }
    if (asked)
        oracle_violation(w->oracle, w->now_ns, "m%u answers before a sibling has the key",
                         m->member);
}

/* R2, R8: what an owner accepts lies below what everybody would start at who may adopt. */
void machine_check_ceiling(struct machine *m, const struct keypair *k, uint64_t counter,
                           unsigned effects)
{
    struct world *w = m->world;
    struct entry *own = machine_entry(m, k->local_index);

    /* R7: what is accepted past the bounds of waiting is told, and the word is on its way. */
    if (effects & EFFECT_DIRTY)
        own->bypassed_ns = w->now_ns;
    if (w->sync_lag_ns) /* ... for longer than that */
        return;
    if (own->bypassed_ns && w->now_ns - own->bypassed_ns < HOLD_NS)
        return;
    for (unsigned i = 0; m->member && i < w->members; i++) {
        struct machine *o = &w->machine[i];
        struct entry *e =
            in_touch(m, o, atomic_load(&k->vip)) ? machine_entry(o, k->local_index) : NULL;

        if (!e || !e->kp || atomic_load(&e->kp->state) != KEYPAIR_REPLICA ||
            !atomic_load(&e->kp->adoptable) || !key_id_equal(&e->kp->id, &k->id) ||
            atomic_load(&e->kp->owner) != m->member)
            continue;
        uint64_t limit = atomic_load(&e->kp->limit);
        if (!(limit & LIMIT_ADOPTED) && counter >= limit)
            oracle_violation(w->oracle, w->now_ns,
                             "m%u accepts counter %llx of %08x, which m%u would accept again",
                             m->member, (unsigned long long)counter, k->local_index, o->member);
    }
}

/* T5. */
void machine_check(struct machine *m)
{
    if (m->alive && m->member)
        for (struct entry *e = m->by_index; e; e = e->hh.next)
            if (e->kp)
                oracle_holds(m->world->oracle, m->world->now_ns, m->member, e->index);
}

/* H5: a client that was given a stamp of next year would hear no initiation until then. A start
 * may begin at the end of what the life before it had reserved. */
void machine_check_stamp(struct machine *m, uint64_t stamp_ns)
{
    struct world *w = m->world;
    uint64_t most = 1700000000 * NS_PER_S + w->now_ns + STAMP_AHEAD_MAX_NS +
                    (w->lives - w->members - w->clients) * STAMP_RESERVE_NS;

    if (!m->member && stamp_ns > most)
        oracle_violation(w->oracle, w->now_ns, "client %u is given a stamp %.0f s ahead",
                         m->number + 1, (double)(stamp_ns - most) / 1e9);
}
