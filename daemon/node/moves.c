/* Planned moves (O4, R11): who gives a VIP away, who gets it, and what waits while it is on its
 * way. VRRP moves the address, by weight; here is told that it will, so that the one stops when the
 * other has it, and the keys follow with their windows. */
#include "base/bytes.h"
#include "base/plant.h"
#include "node/internal.h"

#define TRANSIT_NS (30 * NS_PER_MS)          /* R11 */
#define TRANSIT_UNPLANNED_NS (5 * NS_PER_MS) /* the former owner lives, and may have last words */
#define LINGER_NS (5 * NS_PER_MS) /* what is in our queues when the VIP leaves is still served */
#define LEFT_NS (200 * NS_PER_MS) /* the same, for those that are slow to hear */
#define RELEASED_WAIT_NS (1 * NS_PER_S) /* for the address, when the keys came first */

/* ---- stragglers: packets from the LAN that come to us when the VIP has left ---- */

struct stray_ctx {
    struct node *n;
    struct node_peer *p;
    uint8_t to;
};

static void send_stray(void *ctx, const uint8_t *packet, size_t len)
{
    struct stray_ctx *x = ctx;
    struct sync_msg m = {
        .kind = SYNC_STRAY,
        .stray = {.hub = x->n->conf.hub, .peer = x->p->wg.key, .packet = packet, .len = len}};

    if (len > SYNC_STRAY_MAX)
        return;
    x->n->counters.strays++;
    siblings_send(x->n, &x->n->sibling[x->to], &m, NULL, x->n->now);
}

bool moves_pass_on(struct node *n, struct node_peer *p, struct instant now)
{
    uint16_t slot = atomic_load(&p->wg.vip);
    const struct keypair *current = atomic_load(&p->wg.current);
    bool theirs = current && keypair_contested(current, n->gate, now.boot_ns);

    if (!clustered(n) || !(theirs || gate_left(n->gate, slot)))
        return false;
    struct stray_ctx x = {n, p, theirs ? atomic_load(&current->owner) : n->vip[slot].left_to};
    if (x.to && !PLANTED("strays-dropped")) /* else they wait for the claim of whoever has it */
        n->ops.take_staged(n->ops.ctx, &p->wg, send_stray, &x);
    return true;
}

void moves_stray(struct node *n, const struct sync_stray *s, struct instant now)
{
    struct node_peer *p = peer_by_key(n, &s->peer);

    if (!p || s->hub != n->conf.hub)
        return;
    uint16_t slot = atomic_load(&p->wg.vip);
    if (!gate_owned(n->gate, slot) && !gate_coming(n->gate, slot))
        return; /* passed on once, never twice */
    n->ops.stage(n->ops.ctx, &p->wg, s->packet, s->len);
    n->ops.flush_staged(n->ops.ctx, &p->wg, now.boot_ns);
}

static void for_staged_of(struct node *n, uint16_t slot, struct instant now)
{
    for (struct node_peer *p = n->peers_by_id; p; p = p->by_id.next)
        if (atomic_load(&p->wg.vip) == slot)
            moves_pass_on(n, p, now);
}

/* The time of stragglers is over. What nobody claimed is dropped. */
static void left_end(struct node *n, uint16_t slot, struct instant now)
{
    n->vip[slot].left_until_ns = 0;
    atomic_store(&n->gate->vip[slot].left, false);
    for (struct node_peer *p = n->peers_by_id; p; p = p->by_id.next)
        if (atomic_load(&p->wg.vip) == slot && !gate_owned(n->gate, slot))
            n->ops.drop_staged(n->ops.ctx, &p->wg);
}

/* ---- on its way to us ---- */

static void set_from(struct node *n, uint16_t slot, uint8_t member, uint64_t until_ns)
{
    n->vip[slot].coming_from = member;
    n->vip[slot].coming_until_ns = until_ns;
    atomic_store(&n->gate->vip[slot].from, member);
}

/* Nothing is waited for any more: what was held or staged is looked at again, and sessions are
 * woken (T6). */
static void transit_end(struct node *n, uint16_t slot, struct instant now)
{
    struct vip_run *v = &n->vip[slot];

    v->coming_done = false;
    set_from(n, slot, 0, 0);
    n->wake_due = true;
    for (struct node_peer *p = n->peers_by_id; p; p = p->by_id.next)
        if (atomic_load(&p->wg.vip) == slot)
            n->ops.flush_staged(n->ops.ctx, &p->wg, now.boot_ns);
    if (failover_owned(&v->failover))
        v->wake_key = n->keys.next;
}

bool moves_waits(const struct node *n, uint16_t slot)
{
    return n->vip[slot].coming_from;
}

/* Before the gate opens. @former: who was last known to have the VIP. */
void moves_opening(struct node *n, uint16_t slot, uint8_t former, struct instant now)
{
    struct vip_run *v = &n->vip[slot];

    v->leaving = false;
    if (v->left_until_ns)
        left_end(n, slot, now);
    if (v->coming_from)
        set_from(n, slot, v->coming_from, v->coming_done ? now.boot_ns : now.boot_ns + TRANSIT_NS);
    else if (former && former != n->conf.self && n->sibling[former].up)
        set_from(n, slot, former, now.boot_ns + TRANSIT_UNPLANNED_NS);
}

/* VRRP takes the addresses off the one before or after it gives them to the other. What is sent to
 * them in between would wander from kernel to kernel: it is ours until we are closed. */
static void keep(struct node *n, uint16_t slot, bool on, struct instant now)
{
    struct vip_run *v = &n->vip[slot];

    if (on == (v->kept_until_ns != 0))
        return;
    v->kept_until_ns = on ? now.boot_ns + MOVE_WITHIN_NS : 0;
    n->ops.keep_address(n->ops.ctx, slot, on);
}

void moves_closed(struct node *n, uint16_t slot, struct instant now)
{
    struct vip_run *v = &n->vip[slot];

    v->promoted = v->leaving = v->coming_done = false;
    keep(n, slot, false, now);
    set_from(n, slot, 0, 0);
    v->handing_ns = v->closing_ns = 0;
    if (!siblings_any_up(n) || n->shutting_down)
        return;
    v->left_to = v->claimant != n->conf.self ? v->claimant : 0;
    v->left_until_ns = now.boot_ns + LEFT_NS;
    atomic_store(&n->gate->vip[slot].left, true);
    /* It was on its way to us and went to another: what waited for it here follows. */
    if (v->left_to && !PLANTED("waiting-left-behind"))
        for_staged_of(n, slot, now);
}

void moves_released(struct node *n, struct node_key *k, struct instant now)
{
    uint16_t slot = atomic_load(&k->kp->vip);

    if (!moves_waits(n, slot) || !gate_owned(n->gate, slot))
        return;
    n->wake_due = true;
    n->ops.flush_staged(n->ops.ctx, &k->peer->wg, now.boot_ns);
}

void moves_sibling_down(struct node *n, uint8_t member, struct instant now)
{
    for (uint16_t slot = 1; slot <= n->conf.vip_count; slot++)
        if (n->vip[slot].coming_from == member)
            transit_end(n, slot, now);
}

void moves_claim_heard(struct node *n, uint16_t slot, uint8_t member, const struct sync_claim *c,
                       struct instant now)
{
    struct vip_run *v = &n->vip[slot];

    if (failover_owned(&v->failover)) {
        if (!c->held && v->coming_from == member)
            transit_end(n, slot, now);
        else if (c->held && moves_leaving(n, slot) && c->epoch > v->failover.epoch &&
                 !v->handing_ns)
            v->handing_ns = now.boot_ns + LINGER_NS;
        return;
    }
    if (c->held && v->left_until_ns && !v->left_to) {
        v->left_to = member;
        for_staged_of(n, slot, now);
    }
    if (c->held && c->leaving) {
        v->coming_done = false;
        set_from(n, slot, member, now.boot_ns + MOVE_WITHIN_NS);
    } else if (c->held && v->coming_from) { /* it stays, or another one got it */
        transit_end(n, slot, now);
    } else if (!c->held && v->coming_from == member) {
        v->coming_done = true;
        v->coming_until_ns = now.boot_ns + RELEASED_WAIT_NS;
    }
}

/* ---- on its way from us ---- */

bool moves_leaving(const struct node *n, uint16_t slot)
{
    return n->draining || n->vip[slot].drained || n->vip[slot].leaving;
}

void moves_tell(struct node *n, uint16_t slot, struct instant now)
{
    if (!failover_owned(&n->vip[slot].failover))
        return;
    keep(n, slot, moves_leaving(n, slot), now);
    vips_claim(n, slot, true, NULL, now);
}

void moves_drain_all(struct node *n, struct instant now)
{
    if (n->draining)
        return;
    n->draining = true;
    for (uint16_t slot = 1; slot <= n->conf.vip_count; slot++)
        moves_tell(n, slot, now);
}

/* O1 gives 50 ms from the last of the predicate to the last packet. A VIP that was to leave uses a
 * few of them; its successor waits for our last words. */
bool moves_linger(struct node *n, uint16_t slot, const char *cause, struct instant now)
{
    struct vip_run *v = &n->vip[slot];

    if (!v->fit || n->shutting_down || v->handing_ns || !moves_leaving(n, slot) ||
        v->failover.state != VIP_RELEASING)
        return false;
    v->closing_ns = now.boot_ns + LINGER_NS;
    v->closing_cause = cause;
    return true;
}

/* ---- who should have it ---- */

/* By preference; MEMBERS_MAX: not listed. */
static unsigned place_of(const struct node *n, uint16_t slot, uint8_t member)
{
    const uint8_t *order = n->conf.vip[slot].order;

    for (unsigned place = 0; place < MEMBERS_MAX && order[place]; place++)
        if (order[place] == member)
            return place;
    return MEMBERS_MAX;
}

bool is_listed(const struct node *n, uint16_t slot, uint8_t member)
{
    return place_of(n, slot, member) < MEMBERS_MAX;
}

bool moves_successor_ready(const struct node *n, uint16_t slot, uint8_t owner, struct instant now)
{
    for (uint8_t i = 1; i < MEMBERS_MAX; i++) {
        const struct sibling *s = &n->sibling[i];

        if (i == owner || !vip_backup(n, slot, owner, i))
            continue;
        if (i == n->conf.self
                ? n->vip[slot].fit && !node_drained(n, slot)
                : s->up && s->ready && !s->drained && replica_in_sync(s->replica, now.boot_ns))
            return true;
    }
    return false;
}

bool node_drained(const struct node *n, uint16_t slot)
{
    return n->draining || n->vip[slot].drained;
}

bool node_all_drained(const struct node *n)
{
    for (uint16_t slot = 1; slot <= n->conf.vip_count; slot++)
        if (is_listed(n, slot, n->conf.self) && !node_drained(n, slot))
            return false;
    return true;
}

/* A sibling is to have the VIP: it outbids us, and gets our windows. */
static void let_go(struct node *n, uint16_t slot, struct instant now)
{
    struct vip_run *v = &n->vip[slot];

    v->promoted = false;
    if (!failover_owned(&v->failover))
        return;
    v->leaving = true;
    v->leaving_until_ns = now.boot_ns + MOVE_WITHIN_NS;
    moves_tell(n, slot, now);
}

/* Do the VIPs prefer different members? Then keepalived takes them back (ADR 0010). */
static bool is_spread(const struct node *n)
{
    for (uint16_t slot = 2; slot <= n->conf.vip_count; slot++)
        if (n->conf.vip[slot].order[0] != n->conf.vip[1].order[0])
            return true;
    return false;
}

bool moves_outranks(const struct node *n, uint16_t slot, uint8_t a, uint8_t b)
{
    unsigned worse = place_of(n, slot, b);

    return place_of(n, slot, a) < worse && (is_spread(n) || worse >= HOLDERS_MAX);
}

/* Is it ours no longer because somebody wanted that, or because we may not serve? */
bool moves_planned(const struct node *n, uint16_t slot, enum failover_kind why)
{
    return n->shutting_down || why == FAILOVER_HANDED || why == FAILOVER_ENGINE ||
           n->vip[slot].handing_ns || moves_leaving(n, slot);
}

bool moves_give_up(struct node *n, uint16_t slot, struct instant now)
{
    if (!moves_successor_ready(n, slot, n->conf.self, now))
        return false;
    let_go(n, slot, now);
    return true;
}

/* Our priority is above that of the VIP's owner again, so keepalived will take it from there. It
 * hears of it first, and hands over as in every planned move. */
void moves_returning(struct node *n, uint16_t slot, struct instant now)
{
    const struct vip_run *v = &n->vip[slot];
    struct sync_msg m = {.kind = SYNC_MOVE,
                         .move = {.kind = MOVE_PROMOTE, .vip = v->conf.id, .member = n->conf.self}};

    if (is_spread(n) && !failover_owned(&v->failover) && v->claimant &&
        place_of(n, slot, n->conf.self) < place_of(n, slot, v->claimant))
        siblings_send_all(n, &m, now);
}

void moves_heard(struct node *n, uint8_t member, const struct sync_move *m, struct instant now)
{
    uint16_t slot = vip_slot_of_id(n, m->vip);
    char reason[MOVE_REASON_LEN] = "";

    if ((m->vip || m->kind == MOVE_PROMOTE) && !slot)
        return;
    if (m->member == n->conf.self) {
        if (orders_carry_out(n, m, slot, reason, now) < 0)
            say(n, NODE_WARN, "a sibling asked for a move that cannot be", "member=%u reason=%s",
                member, reason);
    } else if (m->kind == MOVE_PROMOTE && m->member == member) {
        let_go(n, slot, now);
    }
}

/* ---- time ---- */

uint64_t moves_tick(struct node *n, uint16_t slot, struct instant now)
{
    struct vip_run *v = &n->vip[slot];
    uint64_t next = NEVER;

    if (v->closing_ns && now.boot_ns >= v->closing_ns)
        vips_close(n, slot, v->closing_cause, now);
    if (v->handing_ns && now.boot_ns >= v->handing_ns) {
        /* From here on the sibling answers, and our windows are final. */
        if (failover_owned(&v->failover))
            vips_step(n, slot, (struct failover_event){.kind = FAILOVER_HANDED}, now);
        v->handing_ns = 0;
    }
    if (v->kept_until_ns && now.boot_ns >= v->kept_until_ns)
        keep(n, slot, false, now);
    if (v->left_until_ns && now.boot_ns >= v->left_until_ns)
        left_end(n, slot, now);
    if (v->coming_from && now.boot_ns >= v->coming_until_ns)
        transit_end(n, slot, now);
    if (v->leaving && now.boot_ns >= v->leaving_until_ns) {
        v->leaving = false;
        moves_tell(n, slot, now);
    }
    if (v->promoted && !failover_owned(&v->failover) && now.boot_ns >= v->promoted_until_ns) {
        v->promoted = false;
        say(n, NODE_WARN, "the VIP did not come; is keepalived's configuration rendered anew?",
            "vip=%s", v->conf.name);
    }
    if (v->coming_from)
        next = v->coming_until_ns;
    if (v->closing_ns)
        next = MIN(next, v->closing_ns);
    if (v->handing_ns)
        next = MIN(next, v->handing_ns);
    if (v->kept_until_ns)
        next = MIN(next, v->kept_until_ns);
    if (v->left_until_ns)
        next = MIN(next, v->left_until_ns);
    if (v->leaving)
        next = MIN(next, v->leaving_until_ns);
    if (v->promoted && !failover_owned(&v->failover))
        next = MIN(next, v->promoted_until_ns);
    return next;
}
