/* Siblings: what the replicas of the sync channel ask for, and what each of their messages does. */
#include "base/plant.h"
#include "node/internal.h"
#include <assert.h>

static bool is_up(const struct sibling *s)
{
    return s->replica && s->up;
}

bool siblings_any_up(const struct node *n)
{
    for (unsigned i = 1; i < MEMBERS_MAX; i++)
        if (is_up(&n->sibling[i]))
            return true;
    return false;
}

uint64_t siblings_send(struct node *n, struct sibling *s, const struct sync_msg *m,
                       const struct replica_token *t, struct instant now)
{
    return siblings_send_many(n, s, m, t, t != NULL, now);
}

uint64_t siblings_send_many(struct node *n, struct sibling *s, const struct sync_msg *m,
                            const struct replica_token *tokens, unsigned count, struct instant now)
{
    return is_up(s) ? replica_send_many(s->replica, m, tokens, count, now.boot_ns) : 0;
}

void siblings_send_all(struct node *n, const struct sync_msg *m, struct instant now)
{
    for (unsigned i = 1; i < MEMBERS_MAX; i++)
        siblings_send(n, &n->sibling[i], m, NULL, now);
}

void siblings_now(struct node *n, struct instant now)
{
    n->now = now;
}

struct replica *node_replica(const struct node *n, uint8_t member)
{
    return member < MEMBERS_MAX ? n->sibling[member].replica : NULL;
}

/* ---- what a replica asks ---- */

static void op_transmit(void *ctx, uint8_t member, const uint8_t *msg, size_t len)
{
    struct node *n = ctx;

    n->ops.transmit(n->ops.ctx, member, msg, len);
}

static size_t op_queued(void *ctx, uint8_t member)
{
    struct node *n = ctx;

    return n->ops.queued(n->ops.ctx, member);
}

static void op_close(void *ctx, uint8_t member, const char *reason)
{
    struct node *n = ctx;

    n->ops.close_link(n->ops.ctx, member, reason);
}

static void op_fill_hello(void *ctx, uint8_t member, struct sync_hello *ret)
{
    struct node *n = ctx;
    struct counter_tag tag = gate_tag(n->gate);

    *ret = (struct sync_hello){
        .version_min = SYNC_VERSION_MIN,
        .version_max = SYNC_VERSION_MAX,
        .member = n->conf.self,
        .seq = n->conf.seq,
        .rnd = tag.rnd,
        .membership_epoch = n->conf.membership_epoch,
        .highest_seq_of_you = n->sibling[member].highest_seq,
        .session_seq = n->session_seq,
        .stamp_floor = n->stamp_floor,
    };
    memcpy(ret->instance, n->conf.instance, sizeof(ret->instance));
    memcpy(ret->seen_instance, n->sibling[member].highest_instance, sizeof(ret->seen_instance));
    entropy_hello(n, &n->sibling[member], ret);
    for (uint16_t slot = 1; slot <= n->conf.vip_count && slot < VIPS_MAX; slot++) {
        uint16_t term = 0;

        list_for_each (it, &n->keys) {
            struct node_key *k = list_entry(it, struct node_key, all);
            if (atomic_load(&k->kp->vip) == slot && k->ours)
                term = MAX(term, counter_term_now(&keypair_live(k->kp)->tx));
        }
        ret->vip_id[ret->vip_count] = n->conf.vip[slot].id;
        ret->term_on_vip[ret->vip_count++] = term;
    }
}

static void op_fill_heartbeat(void *ctx, uint8_t member, struct sync_heartbeat *ret)
{
    struct node *n = ctx;

    ret->real_ns = n->now.real_ns;
    ret->stamp_floor = n->stamp_floor;
    ret->lans_known = n->lans_known;
    ret->lans_alive = n->lans_alive;
    ret->in_sync = replica_in_sync(n->sibling[member].replica, n->now.boot_ns);
    ret->ready = n->engine_fit;
    ret->drained = node_all_drained(n);
}

static bool op_greeted(void *ctx, uint8_t member, const struct sync_hello *theirs,
                       const char **ret_reason)
{
    struct node *n = ctx;
    struct sibling *s = &n->sibling[member];

    if (theirs->membership_epoch != n->conf.membership_epoch) {
        *ret_reason = "another membership epoch; give all members the same MembershipEpoch";
        return false;
    }
    if (theirs->member != member || memcmp(theirs->instance, n->conf.instance, 16) == 0) {
        /* N14: a clone of us, or somebody with another's key: no keys go there (M3). */
        say(n, NODE_ALARM, "two live processes claim one member id", "member=%u", theirs->member);
        *ret_reason = "two live processes claim one member id";
        return false;
    }
    bool this_life = theirs->highest_seq_of_you == n->conf.seq &&
                     memcmp(theirs->seen_instance, n->conf.instance, 16) == 0;
    if (theirs->highest_seq_of_you >= n->conf.seq && !this_life && !PLANTED("later-life-ignored")) {
        /* N5: a sibling remembers a later life of us than our own file does. */
        uint64_t seq;

        if (n->ops.raise_seq(n->ops.ctx, theirs->highest_seq_of_you, &seq) < 0) {
            *ret_reason = "our start counter is behind and cannot be made durable";
            return false;
        }
        say(n, NODE_ALARM, "a sibling knows a later life of this member: its state was rolled back",
            "sibling=%u was=%llu now=%llu", member, (unsigned long long)n->conf.seq,
            (unsigned long long)seq);
        n->conf.seq = seq;
        struct counter_tag tag = {.member = n->conf.self, .seq = (uint8_t)seq};
        rng_fill(n->rng, &tag.rnd, 1);
        gate_set_tag(n->gate, tag);
        atomic_fetch_add(&n->gate->suspicion, 1);
        n->quarantine_until_ns = n->now.boot_ns + QUARANTINE_NS; /* N6 */
        n->conf.seq_proved = false;
        /* All must know the new number, or they let our next life have it again. */
        for (uint8_t i = 1; i < MEMBERS_MAX; i++)
            if (i != member && n->sibling[i].up)
                n->ops.close_link(n->ops.ctx, i, "greeting anew with a higher start counter");
        *ret_reason = "greeting anew with a higher start counter";
        return false;
    }
    bool new_life = memcmp(theirs->instance, s->hello.instance, sizeof(theirs->instance)) != 0;
    if (new_life) /* connecting once more makes nothing older */
        s->joined_seq = theirs->session_seq;
    s->hello = *theirs;
    if (theirs->seq >= s->highest_seq) {
        s->highest_seq = theirs->seq;
        memcpy(s->highest_instance, theirs->instance, sizeof(s->highest_instance));
    }
    n->stamp_floor = MAX(n->stamp_floor, theirs->stamp_floor);
    /* R9: what we hold of it may be long out of date; the heartbeat that follows says nothing about
     * that. Each record of the snapshot makes its key good again. But what a dead life of it left
     * while the VIP is ours has no other owner, and is as fresh as when the VIP came. */
    list_for_each (it, &n->keys) {
        struct node_key *k = list_entry(it, struct node_key, all);
        if (k->ours || atomic_load(&k->kp->owner) != member)
            continue;
        if (new_life && keypair_adopt(k->kp, n->gate, n->now.boot_ns)) {
            key_adopted(n, k, n->now);
            continue;
        }
        k->stale = true;
        key_set_adoptable(k);
    }
    entropy_greeted(n, s);
    s->up = true;
    s->heartbeat_ns = HEARTBEAT_NS; /* until it says */
    s->connected_ns = n->now.boot_ns;
    snapshot_begin(n, s);
    atomic_store(&n->gate->member[member].heartbeat_ns, n->now.boot_ns);
    vips_others(n);
    vips_announce(n); /* O7: it may have answered for our VIPs until now */
    note(n, (struct notice){.kind = NOTICE_MEMBER_CONNECTED, .member = member});
    return true;
}

static void op_down(void *ctx, uint8_t member)
{
    struct node *n = ctx;
    struct sibling *s = &n->sibling[member];

    if (!s->up)
        return;
    s->up = false;
    s->owes_anew = s->owes;
    s->synced_with_us = s->ready = s->drained = false;
    moves_sibling_down(n, member, n->now);
    vips_sibling_down(n, member);
    s->next_key = NULL;
    keys_drop_holder(n, member);
    vips_others(n);
    list_for_each (it, &n->pendings) { /* nobody is left to ack: H1 waits for no dead holder */
        struct pending *w = list_entry(it, struct pending, all);
        if (!siblings_any_up(n))
            w->deadline_ns = n->now.boot_ns;
    }
    note(n, (struct notice){.kind = NOTICE_MEMBER_LOST, .member = member});
    revokes_look(n);
}

/* Two heartbeats. Those of fast adverts come as fast, and then a member that is merely short of a
 * processor is soon late: so little is enough only for the one that the VIP came from, unasked. */
static uint64_t silent_ns(const struct node *n, uint16_t slot, uint8_t member)
{
    bool left = n->vip[slot].claimant == member && atomic_load(&n->gate->vip[slot].from) != member;
    uint64_t beat_ns = left ? n->sibling[member].heartbeat_ns : HEARTBEAT_NS;

    return 2 * beat_ns - beat_ns / 10;
}

/* A VIP came, and this sibling was not heard for two heartbeats: it is the one that died. Its link
 * would be believed in for a second more, and every packet and handshake would wait for its acks.
 */
void siblings_drop_silent(struct node *n, uint16_t slot, struct instant now)
{
    for (uint8_t i = 1; i < MEMBERS_MAX; i++) {
        uint64_t heard = atomic_load(&n->gate->member[i].heartbeat_ns);

        if (!is_up(&n->sibling[i]) || now.boot_ns - heard < silent_ns(n, slot, i))
            continue;
        op_down(n, i);
        n->ops.close_link(n->ops.ctx, i, "silent while its VIP came here");
    }
}

/* ---- what a sibling tells ---- */

static void op_acked(void *ctx, uint8_t member, const struct replica_token *t)
{
    struct node *n = ctx;
    struct node_key *k;

    switch (t->kind) {
    case TOKEN_KEY:
        if (t->a)
            pendings_acked(n, (uint32_t)t->a, n->now);
        break;
    case TOKEN_LIMIT:
        k = key_by_index(n, (uint32_t)t->a);
        if (!k || !k->ours || !(k->held_by >> member & 1))
            break;
        lease_acked(&k->lease, member, t->b, (uint32_t)(t->a >> 32), atomic_load(&k->kp->top));
        key_apply_ceiling(n, k);
        if (atomic_load(&keypair_live(k->kp)->held))
            n->ops.wake_held(n->ops.ctx);
        break;
    case TOKEN_GONE:
        k = key_by_index(n, (uint32_t)t->a);
        if (k && k->ours && k->stays == t->b)
            key_wiped(n, k, member);
        break;
    }
}

/* N6: in quarantine only keys that were surely made after we joined. */
static bool made_before_us(const struct node *n, const struct key_id *id)
{
    if (!n->quarantine_until_ns || PLANTED("no-quarantine"))
        return false;
    if (id->creator == n->conf.self)
        return id->instance != n->instance64;
    const struct sibling *s = &n->sibling[id->creator];
    uint64_t instance;
    memcpy(&instance, s->hello.instance, sizeof(instance));
    return instance != id->instance || id->seq <= s->joined_seq;
}

static void place(struct node *n, struct node_key *k, enum session_slot slot)
{
    struct keypair *out[NEXT_SLOTS + 2];

    k->slot = slot;
    unsigned count = peer_install_replica(&k->peer->wg, k->kp, slot, out);
    for (unsigned i = 0; i < count; i++) {
        struct node_key *old = key_of(n, out[i]);
        if (old && old != k)
            key_remove(n, old, old->ours);
    }
}

/* O5: @member owns the key, but we sent under a term that it does not know of (a partition of sync
 * and VRRP together). The client hears only what is above that. */
static void tell_term(struct node *n, struct node_key *k, uint8_t member, uint16_t theirs)
{
    struct sync_msg m = {.kind = SYNC_RELEASED,
                         .released = {.id = k->kp->id,
                                      .top = keypair_final_top(k->kp),
                                      .term = counter_term_now(&keypair_live(k->kp)->tx),
                                      .active = key_recent(k, n->now.boot_ns)}};

    m.released.tail.known_from = m.released.top; /* which ones it accepted is not told */
    if (m.released.term > 0 && m.released.term >= theirs)
        siblings_send(n, &n->sibling[member], &m, NULL, n->now);
}

static void heard_released(struct node *n, uint8_t member, const struct sync_released *r)
{
    struct node_key *k = key_by_id(n, &r->id);

    if (!k)
        return;
    if (!k->ours && atomic_load(&k->kp->state) != KEYPAIR_OWNED) {
        k->active = r->active;
        k->reported_top = r->top;
        k->released = true;
        if (!keypair_released(k->kp, member, r->top, &r->tail, r->term)) {
            keypair_replica_raise(k->kp, member, r->top, true);
            return;
        }
        k->dirty = false; /* that is all that was ever accepted (R7) */
        key_set_adoptable(k);
        moves_released(n, k, n->now);
        asks_released(n, k, n->now);
    } else if (r->term >= counter_term_now(&keypair_live(k->kp)->tx)) { /* O5 */
        keypair_outbid(k->kp, r->term, r->top, n->gate);
        key_adopted(n, k, n->now);
        key_tell_adopted(n, k, n->now);
    }
}

/* Of two owners before a heal each made sessions, and the generations do not tell which of them the
 * client talks by: a new one settles it. */
static void place_current(struct node *n, struct node_key *k, uint8_t member)
{
    const struct keypair *was = atomic_load(&k->peer->wg.current);
    const struct node_key *rival = was && was != k->kp ? key_of(n, was) : NULL;
    bool two = rival && rival->ours && (k->active || key_recent(rival, n->now.boot_ns)) &&
               gate_owned(n->gate, atomic_load(&k->kp->vip));

    place(n, k, SLOT_CURRENT);
    if (!two)
        return;
    if (atomic_load(&n->gate->vip[atomic_load(&k->kp->vip)].rivals) >> member & 1)
        handshake_decided(n, k->peer, n->now);
    else
        handshake_anew(n, k->peer, n->now);
}

static void heard_session(struct node *n, uint8_t member, struct session *s)
{
    struct node_peer *p = peer_by_key(n, &s->peer);
    uint16_t slot = vip_slot_of_id(n, s->vip);
    struct node_key *k = key_by_id(n, &s->id);

    if (!slot || s->id.hub != n->conf.hub)
        return;
    if (!p) { /* or of a peer that is on its way to the disk */
        n->sibling[member].early |= n->merging || n->committing;
        return;
    }
    peer_take_stamp(n, p, s->peer_stamp);
    p->generation = MAX(p->generation, s->generation);
    rescue_learn(n, p, &s->endpoint);
    if (endpoint_is_set(&s->endpoint) &&
        peer_endpoint_update(&p->wg, &s->endpoint, &(struct endpoint){0}, 0, slot,
                             &s->endpoint_version))
        routes_peer_moved(n, p);
    if (n->conf.warm) /* it may come from a member that is configured otherwise */
        return;
    if (!k) {
        s->vip = slot;
        k = key_install(n, p, s, member, n->now);
        if (!k)
            return;
        k->quarantined = made_before_us(n, &k->kp->id);
        key_set_adoptable(k);
        if (s->hub_initiated)
            handshake_overtaken(n, p);
        if (s->slot == SLOT_CURRENT)
            place_current(n, k, member);
        else
            place(n, k, s->slot);
        return;
    }
    if (k->ours || atomic_load(&k->kp->state) == KEYPAIR_OWNED) {
        if (gate_owned(n->gate, atomic_load(&k->kp->vip))) {
            /* O5: we have the VIP, it believed that it owns the key: later term, and say so. */
            keypair_outbid(k->kp, s->term, s->top, n->gate);
            key_adopted(n, k, n->now);
            key_tell_adopted(n, k, n->now);
            return;
        }
        tell_term(n, k, member, s->term);
        key_yield(n, k, member, s->limit, s->term);
    } else {
        keypair_yield(k->kp, member, s->limit, s->term);
    }
    k->released = false;
    atomic_store(&k->kp->vip, slot);
    atomic_store(&k->kp->confirmed, s->confirmed);
    k->dirty = s->dirty;
    k->stale = false;
    k->active = s->active;
    key_set_adoptable(k);
    if (s->slot == SLOT_CURRENT)
        place_current(n, k, member);
    else
        place(n, k, s->slot);
}

static void heard_limit(struct node *n, uint8_t member, const struct sync_limit *l)
{
    struct node_key *k = key_by_id(n, &l->id);

    if (!k)
        return;
    k->active = l->active;
    k->reported_top = l->top;
    if (keypair_replica_raise(k->kp, member, l->limit, l->lower))
        return;
    /* R8, R10: adopted here already. The ack that follows would promise what we cannot keep, so it
     * must find ADOPTED before it on the wire. */
    if (k->ours)
        key_tell_adopted(n, k, n->now);
    else
        key_adopted(n, k, n->now);
}

/* ADR 0010: members that differ over the VIP that a peer talks to send its packets to each other.
 */
static void heard_endpoint(struct node *n, uint8_t member, const struct sync_endpoint *e)
{
    struct node_peer *p = peer_by_key(n, &e->peer);
    uint16_t slot = vip_slot_of_id(n, e->vip);
    struct sync_msg ours;

    if (!p || !slot || e->hub != n->conf.hub)
        return;
    rescue_learn(n, p, &e->endpoint);
    warm_heard(n, p, e, n->now);
    if (peer_endpoint_update(&p->wg, &e->endpoint, &(struct endpoint){0}, 0, slot, &e->version))
        routes_peer_moved(n, p);
    if (atomic_load(&p->wg.vip) == slot || !peer_place(n, p, n->now, &ours))
        return;
    if (ours.endpoint.version.generation != e->version.generation ||
        ours.endpoint.version.counter != e->version.counter) /* ours is newer */
        siblings_send(n, &n->sibling[member], &ours, NULL, n->now);
}

static void heard_stamp(struct node *n, const struct sync_stamp *st)
{
    struct node_peer *p = peer_by_key(n, &st->peer);

    n->stamp_floor = MAX(n->stamp_floor, st->sent_real_ns);
    if (!p || st->hub != n->conf.hub)
        return;
    p->sent_real_ns = MAX(p->sent_real_ns, st->sent_real_ns);
    p->generation = MAX(p->generation, st->generation);
    peer_take_stamp(n, p, st->received);
}

static void op_message(void *ctx, uint8_t member, struct sync_msg *m)
{
    struct node *n = ctx;
    struct node_key *k;

    n->counters.sync_messages[m->kind]++;
    switch (m->kind) {
    case SYNC_SESSION:
        heard_session(n, member, &m->session);
        break;
    case SYNC_SESSION_GONE:
        k = key_by_id(n, &m->gone);
        if (k && !k->ours && atomic_load(&k->kp->state) != KEYPAIR_OWNED)
            key_remove(n, k, false);
        break;
    case SYNC_LIMIT:
        heard_limit(n, member, &m->limit);
        break;
    case SYNC_LIMITS:
        for (unsigned i = 0; i < m->limits.count; i++)
            heard_limit(n, member, &m->limits.all[i]);
        break;
    case SYNC_ADOPTED:
        k = key_by_id(n, &m->adopted.id);
        if (k)
            key_heard_adopted(n, k, member, &m->adopted);
        break;
    case SYNC_RELEASED:
        heard_released(n, member, &m->released);
        break;
    case SYNC_ENDPOINT:
        heard_endpoint(n, member, &m->endpoint);
        break;
    case SYNC_STAMP:
        heard_stamp(n, &m->stamp);
        break;
    case SYNC_PEER:
        if (m->peer->hub == n->conf.hub)
            entropy_heard_peer(n, &n->sibling[member], m->peer);
        break;
    case SYNC_VECTOR:
        entropy_heard_vector(n, &n->sibling[member], &m->vector);
        break;
    case SYNC_SNAPSHOT_END:
        entropy_snapshot_heard(&n->sibling[member]);
        if (memcmp(n->sibling[member].owes_instance, n->sibling[member].hello.instance,
                   sizeof(n->sibling[member].owes_instance)) == 0)
            n->sibling[member].owes = false;
        node_gap_look(n, false);
        break;
    case SYNC_CLAIM:
        vips_claim_heard(n, member, &m->claim, n->now);
        break;
    case SYNC_DIRTY:
        k = key_by_id(n, &m->dirty.id);
        if (k && !k->ours) {
            k->dirty = m->dirty.dirty;
            key_set_adoptable(k);
        }
        break;
    case SYNC_MOVE:
        moves_heard(n, member, &m->move, n->now);
        break;
    case SYNC_ASK:
        asks_heard(n, member, &m->ask, n->now);
        break;
    case SYNC_STRAY:
        moves_stray(n, &m->stray, n->now);
        break;
    case SYNC_DRILL:
        if (n->ops.drill)
            n->ops.drill(n->ops.ctx, member, &m->drill);
        break;
    default:
        break;
    }
}

static void op_heartbeat(void *ctx, uint8_t member, const struct sync_heartbeat *hb,
                         uint64_t rtt_ns)
{
    struct node *n = ctx;
    struct sibling *s = &n->sibling[member];

    /* What was queued while we slept says nothing about now: R9 would take it for fresh. */
    bool answer = hb->echo_boot_ns >= n->gap_ended_ns;

    if (!n->gap_ended_ns || answer || PLANTED("queue-is-fresh"))
        atomic_store(&n->gate->member[member].heartbeat_ns, n->now.boot_ns);
    n->stamp_floor = MAX(n->stamp_floor, hb->stamp_floor);
    s->lans_known = hb->lans_known;
    s->lans_alive = hb->lans_alive;
    s->ready = hb->ready;
    s->drained = hb->drained;
    s->synced_with_us = hb->in_sync;
    s->heartbeat_ns = hb->every_ms ? MIN(hb->every_ms * NS_PER_MS, HEARTBEAT_NS) : HEARTBEAT_NS;
    s->clock_ahead_ns = (int64_t)(hb->real_ns - n->now.real_ns);
    uint64_t skew = (uint64_t)llabs(s->clock_ahead_ns);
    if (skew > CLOCK_SKEW_ALARM_NS && !s->clock_alarm)
        say(n, NODE_ALARM, "clocks differ; check the time service of both members",
            "sibling=%u ahead_s=%lld", member, (long long)(s->clock_ahead_ns / (int64_t)NS_PER_S));
    s->clock_alarm = skew > CLOCK_SKEW_ALARM_NS;
    /* R12: it answered something that we said after we woke up. */
    if (n->gap_ended_ns && answer) {
        n->gap_answered = true;
        if (!s->owes_anew)
            s->owes = false;
        node_gap_look(n, false);
    }
}

/* ---- events ---- */

static int add_sibling(struct node *n, uint8_t member)
{
    struct sibling *s = &n->sibling[member];
    struct replica_ops ops = {
        .ctx = n,
        .transmit = op_transmit,
        .queued = op_queued,
        .close = op_close,
        .greeted = op_greeted,
        .down = op_down,
        .message = op_message,
        .heartbeat = op_heartbeat,
        .acked = op_acked,
        .fill_hello = op_fill_hello,
        .fill_heartbeat = op_fill_heartbeat,
        .snapshot_next = snapshot_next,
    };

    s->id = member;
    s->replica = replica_new(n->conf.self, member, n->conf.heartbeat_ns, n->rng, &ops);
    return s->replica ? 0 : -ENOMEM;
}

int siblings_init(struct node *n)
{
    for (unsigned i = 0; i < MEMBERS_MAX && n->conf.members[i]; i++)
        if (add_sibling(n, n->conf.members[i]) < 0) {
            siblings_free(n);
            return -ENOMEM;
        }
    return 0;
}

int node_add_member(struct node *n, uint8_t member, const struct vip vip[VIPS_MAX])
{
    unsigned count = 0;

    assert(member && member < MEMBERS_MAX && member != n->conf.self && !n->sibling[member].replica);
    if (add_sibling(n, member) < 0)
        return -ENOMEM;
    while (n->conf.members[count])
        count++;
    n->conf.members[count] = member;
    for (unsigned slot = 1; slot <= n->conf.vip_count; slot++) {
        memcpy(n->conf.vip[slot].order, vip[slot].order, sizeof(vip[slot].order));
        memcpy(n->vip[slot].conf.order, vip[slot].order, sizeof(vip[slot].order));
    }
    return 0;
}

void siblings_free(struct node *n)
{
    for (unsigned i = 1; i < MEMBERS_MAX; i++) {
        replica_free(n->sibling[i].replica);
        n->sibling[i].replica = NULL;
        n->sibling[i].up = false;
    }
}

void node_link_up(struct node *n, uint8_t member, const struct codec_key *key, struct instant now)
{
    siblings_now(n, now);
    if (node_replica(n, member))
        replica_connected(n->sibling[member].replica, key, now.boot_ns);
}

void node_link_down(struct node *n, uint8_t member, struct instant now)
{
    siblings_now(n, now);
    if (node_replica(n, member))
        replica_disconnected(n->sibling[member].replica);
}

void node_link_frame(struct node *n, uint8_t member, const uint8_t *msg, size_t len,
                     struct instant now)
{
    siblings_now(n, now);
    if (node_replica(n, member))
        replica_receive(n->sibling[member].replica, msg, len, now.boot_ns);
}

uint64_t siblings_tick(struct node *n, struct instant now)
{
    uint64_t next = NEVER;

    for (uint8_t i = 1; i < MEMBERS_MAX; i++) {
        struct sibling *s = &n->sibling[i];

        if (!s->replica)
            continue;
        next = sooner(next, replica_tick(s->replica, now.boot_ns));
        if (s->early && !n->merging && !n->committing) {
            /* All that followed about those sessions was left out, too: from the beginning. */
            s->early = false;
            n->ops.close_link(n->ops.ctx, i, "sessions came before their peers were saved");
        }
    }
    if (n->gap_ended_ns && now.boot_ns >= atomic_load(&n->gate->resume_ns))
        node_gap_look(n, true); /* R12: T_FRESH passed without an answer */
    return next;
}

bool node_drill(struct node *n, uint8_t member, const struct sync_drill *d, struct instant now)
{
    struct sync_msg m = {.kind = SYNC_DRILL, .drill = *d};
    bool sent = false;

    siblings_now(n, now);
    for (uint8_t i = 1; i < MEMBERS_MAX; i++) {
        struct sibling *s = &n->sibling[i];

        if ((member && i != member) || !is_up(s) || !(s->hello.features & SYNC_FEATURE_DRILL))
            continue;
        siblings_send(n, s, &m, NULL, now);
        sent = true;
    }
    node_flush(n, now);
    return sent;
}

void siblings_beat(struct node *n, struct instant now)
{
    for (uint8_t i = 1; i < MEMBERS_MAX; i++)
        if (is_up(&n->sibling[i]))
            replica_beat(n->sibling[i].replica, now.boot_ns);
}

bool node_sibling_drained(const struct node *n, uint8_t member)
{
    return member < MEMBERS_MAX && n->sibling[member].drained;
}

bool node_in_sync(const struct node *n, struct instant now)
{
    for (unsigned i = 1; i < MEMBERS_MAX; i++)
        if (is_up(&n->sibling[i]) && replica_in_sync(n->sibling[i].replica, now.boot_ns))
            return true;
    return false;
}
