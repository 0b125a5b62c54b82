/* VIPs: what a move of ownership causes (O1), claims (O9), waking sessions (T6), readiness (O3). */
#include "base/bytes.h"
#include "base/plant.h"
#include "ha/health.h"
#include "node/internal.h"
#include <limits.h>

#define WAKE_EVERY_NS NS_PER_MS
#define WAKE_GAP_MAX 32 /* T6: no keepalive when L is further than this above the last top */
#define SETTLE_AFTER_NS NS_PER_S /* a former owner's last words have come by then (R11) */
#define SETTLE_PER_TICK 16       /* per millisecond */
#define LAN_RISE_NS NS_PER_S
#define LONG_HERE_NS NS_PER_S

void vips_init(struct node *n, struct instant now)
{
    for (unsigned slot = 1; slot <= n->conf.vip_count; slot++) {
        n->vip[slot].conf = n->conf.vip[slot];
        failover_init(&n->vip[slot].failover);
        n->vip[slot].weight = INT_MIN; /* not yet told */
        for (unsigned i = 0; i < n->conf.drained_count; i++)
            n->vip[slot].drained |= n->conf.drained[i] == n->conf.vip[slot].id;
    }
    if (!clustered(n)) {
        atomic_store(&n->gate->vip[VIP_SLOT_PLAIN].owned, true);
        n->fit = true;
    }
}

void vips_claim(struct node *n, uint16_t slot, bool held, struct sibling *only, struct instant now)
{
    struct vip_run *v = &n->vip[slot];
    uint16_t term = 0;

    list_for_each (it, &n->keys) {
        struct node_key *k = list_entry(it, struct node_key, all);
        if (k->ours && atomic_load(&k->kp->vip) == slot)
            term = MAX(term, counter_term_now(&keypair_live(k->kp)->tx));
    }
    struct sync_msg m = {.kind = SYNC_CLAIM,
                         .claim = {.vip = v->conf.id,
                                   .epoch = v->failover.epoch,
                                   .member = n->conf.self,
                                   .held = held,
                                   .term = term,
                                   .leaving = held && moves_leaving(n, slot)}};
    if (only)
        siblings_send(n, only, &m, NULL, now);
    else
        siblings_send_all(n, &m, now);
}

static void open_gate(struct node *n, uint16_t slot, struct instant now)
{
    struct vip_run *v = &n->vip[slot];

    v->closing_ns = 0; /* it came back before it was let go */
    siblings_drop_silent(n, slot, now);
    v->failover.epoch = MAX(v->failover.epoch, v->claim_epoch + 1);
    v->claim_epoch = v->failover.epoch;
    moves_opening(n, slot, v->claimant, now);
    v->claimant = n->conf.self;
    atomic_store(&n->gate->vip[slot].since_ns, now.boot_ns);
    atomic_store(&n->gate->vip[slot].owned, true);
    routes_look(n, slot); /* before siblings hear of it and send us its packets */
    n->counters.failovers++;
    n->counters.last_failover_boot_ns = now.boot_ns;
    v->wake_key = v->settle_key = n->keys.next;
    v->settle_at_ns = now.boot_ns + SETTLE_AFTER_NS;
    /* A VIP that came back: whoever had it meanwhile may have sent under a later term that we never
     * heard of (O5), so keys that are still ours go on under a new one, lazily (N9). */
    atomic_fetch_add(&n->gate->suspicion, 1);
    vips_claim(n, slot, true, NULL, now);
    warm_begin(n, slot, now);
    list_for_each (it, &n->keys) {
        struct node_key *k = list_entry(it, struct node_key, all);
        if (atomic_load(&k->kp->vip) == slot && k->ours)
            peer_arm(n, k->peer, now.boot_ns + NS_PER_S);
    }
    for (struct node_peer *p = n->peers_by_id; p; p = p->by_id.next) {
        if (atomic_load(&p->wg.vip) != slot)
            continue;
        /* What we waited for in an earlier stay was answered to somebody else, if at all. */
        peer_settle(&p->wg);
        if (atomic_load(&p->wg.keepalive_s))
            peer_arm(n, p, now.boot_ns + NS_PER_S);
    }
    note(n,
         (struct notice){.kind = NOTICE_VIP_OWNED, .vip = v->conf.id, .number = v->failover.epoch});
}

bool claim_outranks(uint64_t epoch, uint8_t member, uint64_t other_epoch, uint8_t other)
{
    return epoch > other_epoch || (epoch == other_epoch && member > other);
}

/* The highest claim of those that are left counts. Where nobody is, the last one to have it is
 * still named, but nothing is sent there. */
static void look_at_claims(struct node *n, uint16_t slot)
{
    struct vip_run *v = &n->vip[slot];
    uint8_t to = failover_owned(&v->failover) ? n->conf.self : 0;
    uint64_t epoch = to ? v->failover.epoch : 0;

    for (uint8_t i = 1; i < MEMBERS_MAX; i++)
        if (v->claims[i] && claim_outranks(v->claims[i], i, epoch, to)) {
            to = i;
            epoch = v->claims[i];
        }
    v->claimant_epoch = epoch;
    if (!to || to == v->claimant)
        return;
    v->claimant = to;
    if (to != n->conf.self)
        note(n, (struct notice){
                    .kind = NOTICE_VIP_CLAIMED, .vip = v->conf.id, .member = to, .number = epoch});
}

/* R11's final state: nothing is accepted any more, so the backups may start right above it. */
static void close_gate(struct node *n, uint16_t slot, const char *cause, struct instant now)
{
    struct vip_run *v = &n->vip[slot];

    if (!PLANTED("gate-left-open"))
        atomic_store(&n->gate->vip[slot].owned, false);
    v->wake_key = v->settle_key = NULL;
    warm_end(n, slot);
    moves_closed(n, slot, now);
    list_for_each (it, &n->keys) {
        struct node_key *k = list_entry(it, struct node_key, all);

        if (k->ours && atomic_load(&k->kp->vip) == slot)
            key_release(n, k, now);
    }
    vips_claim(n, slot, false, NULL, now);
    if (v->claimant == n->conf.self)
        v->claimant = 0;
    look_at_claims(n, slot);
    routes_look(n, slot);
    note(n, (struct notice){.kind = NOTICE_VIP_RELEASED,
                            .vip = v->conf.id,
                            .reason = notice_reason_find(cause)});
}

static bool apart(const struct node *n)
{
    for (unsigned i = 1; i < MEMBERS_MAX; i++)
        if (n->sibling[i].replica && !n->sibling[i].up)
            return true;
    return false;
}

/* Another master shows up, or lets go: neighbours that were cut off with it did not answer. Where
 * the VIP has just come it was handed over, and they are only now being asked for. */
static void ask_again(struct node *n, uint16_t slot, struct instant now)
{
    struct vip_run *v = &n->vip[slot];

    if (!gate_owned(n->gate, slot) || (v->asked_ns && now.boot_ns - v->asked_ns < AGE_TERM_NS) ||
        now.boot_ns - atomic_load(&n->gate->vip[slot].since_ns) < LONG_HERE_NS)
        return;
    v->asked_ns = now.boot_ns;
    n->ops.ask_again(n->ops.ctx);
}

/* A lesser master was heard: it lets go, and may have sent under a later term (O5). Its word on
 * that comes when its link is back, seconds later, and what we send meanwhile the clients drop; so
 * keys go on by their age at once (N4), and no faster than that however often it is heard. Of
 * siblings that we are in contact with, as in a planned move, we know. */
static void outbid_lesser(struct node *n, uint16_t slot, struct instant now)
{
    struct vip_run *v = &n->vip[slot];

    if (!apart(n) || (v->outbid_ns && now.boot_ns - v->outbid_ns < AGE_TERM_NS) ||
        PLANTED("lesser-not-outbid"))
        return;
    v->outbid_ns = now.boot_ns;
    v->outbid_again_ns = now.boot_ns + 2 * AGE_TERM_NS;
    atomic_fetch_add(&n->gate->suspicion, 1);
}

/* Its last packets may have been under a term of the same age as ours, when it had lost all its
 * siblings at once (N9): by then they are out. */
static uint64_t outbid_again(struct node *n, uint16_t slot, struct instant now)
{
    struct vip_run *v = &n->vip[slot];

    if (!v->outbid_again_ns)
        return NEVER;
    if (now.boot_ns < v->outbid_again_ns)
        return v->outbid_again_ns;
    v->outbid_again_ns = 0;
    atomic_fetch_add(&n->gate->suspicion, 1);
    ask_again(n, slot, now); /* not all switches are as quick as the first */
    return NEVER;
}

/* Returns when the state machine wants a tick; 0: never. */
uint64_t vips_step(struct node *n, uint16_t slot, struct failover_event ev, struct instant now)
{
    struct vip_run *v = &n->vip[slot];
    struct failover_todo todo = failover_step(&v->failover, &ev, now.boot_ns);

    bool lingers = (todo.actions & FAILOVER_CLOSE) && moves_linger(n, slot, todo.cause, now);
    if ((todo.actions & FAILOVER_CLOSE) && !lingers) {
        if (!moves_planned(n, slot, ev.kind))
            flaps_lost(n, slot, now);
        close_gate(n, slot, todo.cause, now);
        if (ev.kind == FAILOVER_LINE_BACKUP && apart(n)) /* there is a greater master */
            n->ops.ask_again(n->ops.ctx);
    }
    if (todo.actions & FAILOVER_OPEN)
        open_gate(n, slot, now);
    else if (ev.kind == FAILOVER_LINE_RX_LOWER && gate_owned(n->gate, slot)) {
        outbid_lesser(n, slot, now);
        ask_again(n, slot, now);
    }
    if (todo.actions & FAILOVER_REMOVE_STALE) {
        n->counters.stale_vips++;
        note(n, (struct notice){.kind = NOTICE_VIP_STALE, .vip = v->conf.id});
        n->ops.remove_stale(n->ops.ctx, slot);
    }
    if (todo.actions & FAILOVER_ANNOUNCE)
        n->ops.announce(n->ops.ctx, slot);
    if (todo.actions & FAILOVER_READ_ADDRESSES)
        n->ops.read_addresses(n->ops.ctx, slot);
    if ((todo.actions & FAILOVER_CLOSE) &&
        !lingers) /* close_gate() has told all there was to tell */
        return vips_step(n, slot, (struct failover_event){.kind = FAILOVER_RELEASED}, now);
    return todo.next_ns;
}

void vips_close(struct node *n, uint16_t slot, const char *cause, struct instant now)
{
    close_gate(n, slot, cause, now);
    vips_step(n, slot, (struct failover_event){.kind = FAILOVER_RELEASED}, now);
}

void node_vip(struct node *n, uint16_t slot, const struct failover_event *e, struct instant now)
{
    siblings_now(n, now);
    if (!slot || slot > n->conf.vip_count)
        return;
    vips_step(n, slot, *e, now);
    readiness(n, now);
    node_flush(n, now);
}

/* T6: one keepalive to each session that was active, so many a millisecond. */
static uint64_t wake(struct node *n, uint16_t slot, struct instant now)
{
    struct vip_run *v = &n->vip[slot];
    unsigned sent = 0;

    if (moves_waits(n, slot))
        return NEVER; /* it begins when the keys are here */
    while (v->wake_key && v->wake_key != &n->keys && sent < WAKE_KEEPALIVES_PER_TICK) {
        struct node_key *k = list_entry(v->wake_key, struct node_key, all);
        struct keypair *kp = k->kp;
        uint64_t limit = atomic_load(&kp->limit) & ~LIMIT_ADOPTED;

        v->wake_key = v->wake_key->next;
        if (atomic_load(&kp->state) != KEYPAIR_REPLICA || atomic_load(&kp->vip) != slot ||
            !k->active || atomic_load(&k->peer->wg.current) != kp)
            continue;
        if (limit > k->reported_top + WAKE_GAP_MAX)
            continue;
        n->ops.send_keepalive(n->ops.ctx, &k->peer->wg, now.boot_ns);
        sent++;
    }
    if (v->wake_key && v->wake_key != &n->keys)
        return now.boot_ns + WAKE_EVERY_NS;
    v->wake_key = NULL;
    return NEVER;
}

/* A replica whose owner is gone, or gave it up, becomes ours without a packet. One whose owner is
 * alive and silent about it is left to first touch: both may believe that they hold the VIP. */
static uint64_t settle(struct node *n, uint16_t slot, struct instant now)
{
    struct vip_run *v = &n->vip[slot];

    if (v->settle_key && now.boot_ns < v->settle_at_ns)
        return v->settle_at_ns;
    for (unsigned i = 0; v->settle_key && v->settle_key != &n->keys && i < SETTLE_PER_TICK; i++) {
        struct node_key *k = list_entry(v->settle_key, struct node_key, all);
        uint8_t owner = atomic_load(&k->kp->owner);

        v->settle_key = v->settle_key->next;
        if (k->ours || atomic_load(&k->kp->vip) != slot ||
            (!k->released && owner < MEMBERS_MAX && n->sibling[owner].up))
            continue;
        if (keypair_adopt(k->kp, n->gate, now.boot_ns))
            key_adopted(n, k, now);
    }
    if (v->settle_key && v->settle_key != &n->keys)
        return now.boot_ns + WAKE_EVERY_NS;
    v->settle_key = NULL;
    return NEVER;
}

uint64_t vips_tick(struct node *n, struct instant now)
{
    uint64_t next = NEVER;

    for (uint16_t slot = 1; slot <= n->conf.vip_count; slot++) {
        uint64_t at = vips_step(n, slot, (struct failover_event){.kind = FAILOVER_TICK}, now);

        if (at)
            next = MIN(next, at);

        next = sooner(next, moves_tick(n, slot, now));
        next = sooner(next, warm_tick(n, slot, now));
        next = sooner(next, flaps_tick(n, slot));
        next = sooner(next, wake(n, slot, now));
        next = sooner(next, settle(n, slot, now));
        next = sooner(next, outbid_again(n, slot, now));
    }
    return next;
}

/* O7: neighbours may have learned another member meanwhile. */
void vips_announce(struct node *n)
{
    for (uint16_t slot = 1; slot <= n->conf.vip_count; slot++)
        if (failover_owned(&n->vip[slot].failover) && !PLANTED("no-announcement"))
            n->ops.announce(n->ops.ctx, slot);
}

void vips_others(struct node *n)
{
    for (uint16_t slot = 1; slot <= n->conf.vip_count; slot++) {
        bool others = false;

        for (unsigned i = 1; i < MEMBERS_MAX; i++)
            others |=
                n->sibling[i].up && !n->conf.warm && vip_backup(n, slot, n->conf.self, (uint8_t)i);
        atomic_store(&n->gate->vip[slot].others, others);
    }
}

static void set_rival(struct node *n, uint16_t slot, uint8_t member, bool is)
{
    uint16_t bit = (uint16_t)(1u << member), was = atomic_load(&n->gate->vip[slot].rivals);

    atomic_store(&n->gate->vip[slot].rivals, (uint16_t)(is ? was | bit : was & ~bit));
}

void vips_claim_heard(struct node *n, uint8_t member, const struct sync_claim *c,
                      struct instant now)
{
    uint16_t slot = vip_slot_of_id(n, c->vip);

    if (!slot || c->member != member)
        return;
    struct vip_run *v = &n->vip[slot];
    set_rival(n, slot, member, c->held);
    v->claim_epoch = MAX(v->claim_epoch, c->epoch);
    v->claims[member] = c->held ? c->epoch : 0;
    if (!c->held && v->claimant == member)
        v->claimant = 0;
    look_at_claims(n, slot);
    if (c->held)
        flaps_claim_heard(n, slot, member, now);
    /* O9: advisory. It silences nobody; but look whether we still have the address. */
    if (c->held && failover_owned(&v->failover))
        n->ops.read_addresses(n->ops.ctx, slot);
    /* O7: while both had it, neighbours learned it from the other as well. */
    if (!c->held && failover_owned(&v->failover)) {
        if (!PLANTED("silent-after-the-other"))
            n->ops.announce(n->ops.ctx, slot);
        ask_again(n, slot, now);
    }
    /* After a split the one that keeps the VIP may have the lower claim. Others go by the higher
     * one, so it claims anew as soon as it hears that the other has let go. */
    if (!c->held && failover_owned(&v->failover) && c->epoch >= v->failover.epoch) {
        v->failover.epoch = ++v->claim_epoch;
        vips_claim(n, slot, true, NULL, now);
    } else if (c->held && !failover_owned(&v->failover) &&
               claim_outranks(v->failover.epoch, n->conf.self, c->epoch, member)) {
        vips_claim(n, slot, false, &n->sibling[member], now);
    }
    moves_claim_heard(n, slot, member, c, now);
    routes_look(n, slot);
}

void vips_sibling_down(struct node *n, uint8_t member)
{
    for (uint16_t slot = 1; slot <= n->conf.vip_count; slot++) {
        set_rival(n, slot, member, false);
        n->vip[slot].claims[member] = 0;
        look_at_claims(n, slot);
        routes_look(n, slot);
    }
    routes_sibling_down(n);
}

/* O7: what its owner announced while a LAN was dead here nobody heard, and keepalived does not know
 * that. */
void node_lans(struct node *n, uint32_t known, uint32_t alive, struct instant now)
{
    uint32_t back = alive & ~n->lans_alive;

    siblings_now(n, now);
    n->lans_known = known;
    n->lans_alive = alive;
    for (uint16_t slot = 1; slot <= n->conf.vip_count; slot++)
        if ((back & n->conf.lans[slot]) && failover_owned(&n->vip[slot].failover) &&
            !PLANTED("silent-after-a-cut"))
            n->ops.announce(n->ops.ctx, slot);
    readiness(n, now);
}

/* LANs that are dead here while a sibling, heard lately, reports them reachable (O3). */
static uint32_t lans_dead_here(const struct node *n, struct instant now)
{
    uint32_t dead = 0;

    for (unsigned i = 1; i < MEMBERS_MAX; i++) {
        const struct sibling *s = &n->sibling[i];

        if (s->up && gate_hears(n->gate, (uint8_t)i, now.boot_ns))
            dead |= n->lans_known & ~n->lans_alive & s->lans_known & s->lans_alive;
    }
    return dead;
}

/* Its LANs fall at once and rise slowly. */
static bool has_lans(struct node *n, uint16_t slot, uint32_t dead, struct instant now)
{
    struct vip_run *v = &n->vip[slot];

    if (dead & n->conf.lans[slot]) {
        if (!v->lans_dead)
            say(n, NODE_ALARM, "a LAN is dead here that a sibling reaches; giving up the VIP",
                "vip=%s known=%x alive=%x", v->conf.name, n->lans_known, n->lans_alive);
        v->lans_dead = true;
        v->lans_alive_ns = 0;
    } else if (v->lans_dead) {
        if (!v->lans_alive_ns)
            v->lans_alive_ns = now.boot_ns;
        v->lans_dead = now.boot_ns - v->lans_alive_ns < LAN_RISE_NS;
    }
    return !v->lans_dead;
}

static void set_fit(struct node *n, uint16_t slot, bool fit, struct instant now)
{
    struct vip_run *v = &n->vip[slot];

    if (fit == v->fit)
        return;
    v->fit = fit;
    n->flaps_changed = true;
    if (!fit)
        flaps_lost(n, slot, now);
    n->ops.set_fit(n->ops.ctx, slot, fit);
}

static int weight(const struct node *n, const struct vip_run *v, bool behind, enum withheld held)
{
    bool owner = failover_owned(&v->failover);

    if (n->draining || n->shutting_down || v->drained)
        return WEIGHT_DRAIN;
    if (v->promoted && (owner || !behind))
        return WEIGHT_PROMOTE;
    if (held != WITHHELD_NOT)
        return WEIGHT_BEHIND;
    if (!behind || !n->conf.members[0])
        return WEIGHT_FIT;
    /* An owner keeps its weight when the sync link dies: that is no reason to move anything. */
    return owner && v->weight != WEIGHT_BEHIND ? WEIGHT_FIT : WEIGHT_BEHIND;
}

/* Health: engine and LANs; at a cold start also the wait for a sibling. Weight: being in sync. */
void readiness(struct node *n, struct instant now)
{
    if (!clustered(n))
        return;
    bool in_sync = node_in_sync(n, now);

    if (in_sync)
        n->synced_ns = now.boot_ns;
    /* Until what we hold is too old to be adopted (R9): the sibling that fell silent may be the one
     * whose VIP is on its way here, and a lower priority would only make VRRP slower. */
    bool behind = !n->synced_ns || now.boot_ns - n->synced_ns >= n->gate->fresh_ns;

    if (!n->started) {
        bool alone = !siblings_any_up(n);
        bool waited = now.boot_ns - n->started_ns >= n->conf.solo_start_after_ns;

        if (in_sync || (alone && waited) || !n->conf.members[0]) {
            n->started = true;
            say(n, NODE_INFO, "ready to serve", "in_sync=%d", in_sync);
        }
    }
    uint32_t dead = lans_dead_here(n, now);
    n->fit = n->started && n->engine_fit && !n->shutting_down;
    for (uint16_t slot = 1; slot <= n->conf.vip_count; slot++) {
        bool damped = n->vip[slot].withheld == WITHHELD_FLAPPING;

        set_fit(n, slot,
                has_lans(n, slot, dead, now) && n->fit && !(damped && PLANTED("damped-is-unfit")),
                now);
    }
    for (uint16_t slot = 1; slot <= n->conf.vip_count; slot++) {
        struct vip_run *v = &n->vip[slot];
        int w = weight(n, v, behind, flaps_look(n, slot, behind, now));

        if (w == v->weight)
            continue;
        v->weight = w;
        n->ops.set_weight(n->ops.ctx, slot, w);
        if (w == WEIGHT_FIT)
            moves_returning(n, slot, now);
    }
}

bool node_drain(struct node *n, struct instant now)
{
    bool owner = false;

    siblings_now(n, now);
    moves_drain_all(n, now);
    readiness(n, now);
    for (uint16_t slot = 1; slot <= n->conf.vip_count; slot++)
        owner |= failover_owned(&n->vip[slot].failover);
    return owner && node_in_sync(n, now);
}

void node_shutdown(struct node *n, struct instant now)
{
    siblings_now(n, now);
    n->shutting_down = true;
    readiness(n, now);
    for (uint16_t slot = 1; slot <= n->conf.vip_count; slot++)
        if (failover_owned(&n->vip[slot].failover))
            node_vip(n, slot, &(struct failover_event){.kind = FAILOVER_ENGINE, .fit = false}, now);
    node_flush(n, now);
}

const struct failover *node_failover(const struct node *n, uint16_t slot)
{
    return slot && slot <= n->conf.vip_count ? &n->vip[slot].failover : NULL;
}

uint8_t node_vip_claimant(const struct node *n, uint16_t slot)
{
    return slot && slot <= n->conf.vip_count ? n->vip[slot].claimant : 0;
}
