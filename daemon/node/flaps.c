/* Which VIPs this member bids for: what counts as a flap, and what keepalived is told of it by the
 * weight (O3: never by health). */
#include "base/plant.h"
#include "ha/health.h"
#include "node/internal.h"

/* What one incident causes comes within this: a cable that keepalived sees first, our probes later;
 * the claim of whoever outranks us. */
#define INCIDENT_NS NS_PER_S

static bool counts(const struct node *n)
{
    return clustered(n) && n->conf.members[0] && !n->shutting_down;
}

static bool in_incident(const struct vip_run *v, struct instant now)
{
    return v->flapped_ns && now.boot_ns - v->flapped_ns < INCIDENT_NS;
}

void flaps_lost(struct node *n, uint16_t slot, struct instant now)
{
    struct vip_run *v = &n->vip[slot];

    if (!counts(n) || !is_listed(n, slot, n->conf.self))
        return;
    if (in_incident(v, now))
        return;
    v->flaps++;
    if (PLANTED("flaps-not-damped"))
        return;
    n->flaps_changed = true;
    v->before_flap = v->damping;
    v->flapped_ns = now.boot_ns;
    damping_flap(&v->damping, &n->conf.damping, now.boot_ns);
}

/* A life that ended while it was fit lost its health, and no claim tells that it was for somebody's
 * good: its siblings had seconds. Its successor remembers, or a daemon that crashes again and again
 * would get its VIPs back each time. */
void flaps_init(struct node *n, struct instant now)
{
    const struct damping_rules *rules = &n->conf.damping;

    for (unsigned i = 0; i < n->conf.flap_count; i++) {
        const struct flap_memory *m = &n->conf.flaps[i];
        uint16_t slot = vip_slot_of_id(n, m->vip);
        struct vip_run *v = &n->vip[slot];

        if (!slot)
            continue;
        v->damping = m->damping;
        v->damping.stable_ns = 0;
        v->damping.until_ns = MIN(v->damping.until_ns, now.boot_ns + rules->suppress_max_ns);
        if (!m->fit)
            continue;
        flaps_lost(n, slot, now);
        v->flapped_ns = 0;
        say(n, NODE_WARN, "the last life ended while it was fit to serve; that counts as a flap",
            "vip=%s", v->conf.name);
    }
}

void flaps_keep(struct node *n)
{
    struct flap_memory all[VIPS_MAX];

    if (!n->flaps_changed || !clustered(n))
        return;
    n->flaps_changed = false;
    for (uint16_t slot = 1; slot <= n->conf.vip_count; slot++)
        all[slot - 1] = (struct flap_memory){
            .vip = n->vip[slot].conf.id, .fit = n->vip[slot].fit, .damping = n->vip[slot].damping};
    n->ops.save_flaps(n->ops.ctx, all, n->conf.vip_count);
}

/* It was not our doing: VRRP gave the VIP back to a member with a higher base priority. */
void flaps_claim_heard(struct node *n, uint16_t slot, uint8_t member, struct instant now)
{
    struct vip_run *v = &n->vip[slot];

    if (!in_incident(v, now) || !moves_outranks(n, slot, member, n->conf.self))
        return;
    n->flaps_changed = true;
    v->damping = v->before_flap;
    v->flapped_ns = 0;
    v->flaps--;
}

/* The operator wants it here, whatever was before. */
void flaps_forget(struct node *n, uint16_t slot, struct instant now)
{
    struct vip_run *v = &n->vip[slot];

    n->flaps_changed = true;
    v->flapped_ns = 0;
    damping_forget(&v->damping, &n->conf.damping, now.boot_ns);
}

/* Who would get a VIP that we own and no longer bid for? Then it is a planned move. */
static void yield(struct node *n, uint16_t slot, struct instant now)
{
    if (moves_give_up(n, slot, now))
        say(n, NODE_WARN, "the VIP came and went too often; it is given to a sibling", "vip=%s",
            n->vip[slot].conf.name);
}

enum withheld flaps_look(struct node *n, uint16_t slot, bool behind, struct instant now)
{
    struct vip_run *v = &n->vip[slot];
    bool owner = failover_owned(&v->failover), ready = v->fit && !behind;

    if (!counts(n) || !is_listed(n, slot, n->conf.self))
        return WITHHELD_NOT;
    damping_ready(&v->damping, ready, now.boot_ns);
    enum withheld w =
        damping_verdict(&v->damping, &n->conf.damping, owner, now.boot_ns, &v->withheld_until_ns);
    /* Who drains, or has it by the operator's word, does not bid by its own. */
    if (node_drained(n, slot) || v->promoted)
        w = WITHHELD_NOT;
    if (w == WITHHELD_NOT && v->withheld == WITHHELD_HOLD_DOWN && !ready) {
        w = WITHHELD_HOLD_DOWN; /* it will begin anew */
        v->withheld_until_ns = NEVER;
    }
    if (w == v->withheld)
        return w;
    v->withheld = w;
    if (w == WITHHELD_NOT)
        note(n, (struct notice){.kind = NOTICE_VIP_CANDIDATE, .vip = v->conf.id});
    else
        note(n, (struct notice){.kind = NOTICE_VIP_WITHHELD,
                                .vip = v->conf.id,
                                .reason = notice_reason_find(withheld_name(w)),
                                .number = (v->withheld_until_ns - now.boot_ns) / NS_PER_MS});
    if (w == WITHHELD_FLAPPING && owner)
        yield(n, slot, now);
    return w;
}

uint64_t flaps_tick(const struct node *n, uint16_t slot)
{
    const struct vip_run *v = &n->vip[slot];

    return v->withheld == WITHHELD_NOT ? NEVER : v->withheld_until_ns;
}

void node_set_damping(struct node *n, const struct damping_rules *rules, struct instant now)
{
    n->conf.damping = *rules;
    siblings_now(n, now);
    readiness(n, now);
    node_flush(n, now);
}

enum withheld node_withheld(const struct node *n, uint16_t slot, struct instant now,
                            uint64_t *ret_ms)
{
    const struct vip_run *v;

    *ret_ms = 0;
    if (!slot || slot > n->conf.vip_count)
        return WITHHELD_NOT;
    v = &n->vip[slot];
    if (!v->fit)
        return WITHHELD_UNFIT;
    if (v->withheld != WITHHELD_NOT) {
        if (v->withheld_until_ns > now.boot_ns && v->withheld_until_ns != NEVER)
            *ret_ms = (v->withheld_until_ns - now.boot_ns) / NS_PER_MS;
        return v->withheld;
    }
    return v->weight == WEIGHT_BEHIND ? WITHHELD_NOT_IN_SYNC : WITHHELD_NOT;
}

uint64_t node_flaps(const struct node *n, uint16_t slot)
{
    return slot && slot <= n->conf.vip_count ? n->vip[slot].flaps : 0;
}
