/* Session keys: installing, replicating, ceilings towards holders, and who owns which. */
#include "base/bytes.h"
#include "base/plant.h"
#include "base/secret.h"
#include "node/internal.h"

#define SWEEP_NS (1 * NS_PER_S)
#define BUSY_NS (100 * NS_PER_MS) /* R5 looks so often; QUIET is twice that */

struct node_key *key_by_id(const struct node *n, const struct key_id *id)
{
    struct node_key *k;
    struct key_id clean;

    memset(&clean, 0, sizeof(clean)); /* hashed as bytes: its padding counts */
    clean.hub = id->hub;
    clean.creator = id->creator;
    clean.instance = id->instance;
    clean.seq = id->seq;
    HASH_FIND(by_id, n->keys_by_id, &clean, sizeof(clean), k);
    return k;
}

struct node_key *key_of(const struct node *n, const struct keypair *kp)
{
    struct node_key *k = key_by_id(n, &kp->id);

    return k && k->kp == kp ? k : NULL;
}

struct node_key *key_by_index(const struct node *n, uint32_t local_index)
{
    struct node_key *k;

    HASH_FIND(by_index, n->keys_by_index, &local_index, sizeof(local_index), k);
    return k;
}

static bool key_owned(const struct node_key *k)
{
    return atomic_load(&k->kp->state) == KEYPAIR_OWNED;
}

bool key_recent(const struct node_key *k, uint64_t now_ns)
{
    uint64_t last = atomic_load(&keypair_live(k->kp)->last_data_ns);

    return last && now_ns - last < SESSION_ACTIVE_NS;
}

void key_set_adoptable(struct node_key *k)
{
    atomic_store(&k->kp->adoptable, !k->dirty && !k->stale && !k->collided && !k->quarantined);
}

/* Only a key that siblings may still hold can come back. */
static void remember(struct node *n, const struct node_key *k)
{
    uint64_t age = keypair_age_hi(k->kp, n->now.boot_ns);
    struct key_past *past;

    if (!clustered(n) || age >= REJECT_AFTER_TIME_NS)
        return;
    HASH_FIND(hh, n->pasts, &k->kp->id, sizeof(k->kp->id), past);
    if (!past) {
        past = calloc(1, sizeof(*past));
        if (!past)
            abort(); /* forgetting it would break N1: a sibling takes over */
        memcpy(&past->id, &k->kp->id, sizeof(past->id)); /* with its padding */
        HASH_ADD(hh, n->pasts, id, sizeof(past->id), past);
    }
    keypair_remember(k->kp, &past->past);
    past->until_ns = n->now.boot_ns + REJECT_AFTER_TIME_NS - age;
}

static void recall(struct node *n, struct keypair *kp)
{
    struct key_past *past;

    HASH_FIND(hh, n->pasts, &kp->id, sizeof(kp->id), past);
    if (past && keypair_recall(kp, &past->past) < 0)
        abort(); /* as in remember() */
}

void keys_forget_pasts(struct node *n, uint64_t now_ns)
{
    struct key_past *past, *next;

    HASH_ITER (hh, n->pasts, past, next)
        if (past->until_ns <= now_ns) {
            HASH_DELETE(hh, n->pasts, past);
            free(past);
        }
}

struct node_key *key_install(struct node *n, struct node_peer *p, struct session *s, uint8_t owner,
                             struct instant now)
{
    struct node_key *k = calloc(1, sizeof(*k));
    struct keypair *kp = NULL;

    if (k && (owner || peer_wake(&p->wg) == 0)) /* of a replica who adopts it does */
        kp = owner ? keypair_new_replica(s, owner, now.boot_ns) : keypair_new(s, now.boot_ns);
    if (!kp) {
        free(k);
        secret_free(TAKE_PTR(s->keys));
        return NULL;
    }
    s->keys = NULL; /* the keypair's now */
    kp->peer = &p->wg;
    atomic_store(&kp->vip, s->vip);
    if (owner) {
        recall(n, kp);
        keypair_told(kp, n->gate, now.boot_ns);
    }
    k->kp = kp;
    k->peer = p;
    k->slot = s->slot;
    k->dirty = s->dirty;
    k->active = s->active;
    memcpy(k->peer_stamp, s->peer_stamp, TAI64N_LEN);
    int r = n->ops.add_keypair(n->ops.ctx, kp);
    if (r < 0 && !owner) { /* our own new index collides: the peer tries again */
        n->ops.retire(n->ops.ctx, kp, (void (*)(void *))keypair_free);
        free(k);
        return NULL;
    }
    /* I2: a replica whose index collides is held, but not adoptable. */
    k->collided = r < 0;
    lease_init(&k->lease, s->limit);
    list_append(&n->keys, &k->all);
    list_init(&k->busy);
    list_init(&k->raise);
    HASH_ADD_KEYPTR(by_id, n->keys_by_id, &kp->id, sizeof(kp->id), k);
    if (!k->collided)
        HASH_ADD_KEYPTR(by_index, n->keys_by_index, &kp->local_index, sizeof(kp->local_index), k);
    n->key_count++;
    if (owner)
        key_set_adoptable(k);
    else {
        k->ours = true;
        n->owned_count++;
        /* It was made after the last suspicion: it stays in creator space (N3, N9). */
        atomic_store(&keypair_live(kp)->tx_suspicion, atomic_load(&n->gate->suspicion));
        key_apply_ceiling(n, k);
    }
    return k;
}

void key_remove(struct node *n, struct node_key *k, bool tell)
{
    if (tell && clustered(n) && key_owned(k)) {
        struct sync_msg m = {.kind = SYNC_SESSION_GONE, .gone = k->kp->id};
        for (unsigned i = 1; i < MEMBERS_MAX; i++)
            if (k->held_by >> i & 1)
                siblings_send(n, &n->sibling[i], &m, NULL, n->now);
    }
    if (k->ours)
        n->owned_count--;
    for (unsigned i = 1; i < MEMBERS_MAX; i++)
        if (n->sibling[i].next_key == &k->all)
            n->sibling[i].next_key = k->all.next;
    for (unsigned i = 1; i < VIPS_MAX; i++)
        if (n->vip[i].wake_key == &k->all)
            n->vip[i].wake_key = k->all.next;
    for (unsigned i = 1; i < VIPS_MAX; i++)
        if (n->vip[i].settle_key == &k->all)
            n->vip[i].settle_key = k->all.next;
    keypair_close(k->kp);
    remember(n, k);
    peer_forget(&k->peer->wg, k->kp);
    if (!k->collided)
        n->ops.remove_keypair(n->ops.ctx, k->kp);
    list_remove(&k->all);
    list_remove(&k->busy);
    list_remove(&k->raise);
    HASH_DELETE(by_id, n->keys_by_id, k);
    if (!k->collided)
        HASH_DELETE(by_index, n->keys_by_index, k);
    n->key_count--;
    n->ops.retire(n->ops.ctx, k->kp, (void (*)(void *))keypair_free);
    free(k);
}

void keys_remove_out(struct node *n, struct keypair **out, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct node_key *k = key_of(n, out[i]);

        if (k)
            key_remove(n, k, true);
    }
}

/* ---- replication ---- */

/* R15: holders of its old VIP only wipe it, and make room for those of the new one. */
static void dismiss(struct node *n, struct node_key *k, struct instant now)
{
    uint16_t slot = atomic_load(&k->kp->vip), leave = k->held_by & ~k->dismissed;
    struct sync_msg m = {.kind = SYNC_SESSION_GONE, .gone = k->kp->id};
    struct replica_token t = {.kind = TOKEN_GONE, .a = k->kp->local_index, .b = k->stays};

    for (uint8_t i = 1; i < MEMBERS_MAX && !PLANTED("holder-not-counted"); i++)
        if ((leave >> i & 1) && !vip_backup(n, slot, n->conf.self, i) &&
            siblings_send(n, &n->sibling[i], &m, &t, now))
            k->dismissed |= (uint16_t)(1u << i);
}

bool key_record(struct node *n, struct node_key *k, struct sibling *s, struct instant now,
                struct sync_msg *ret, struct replica_token *ret_token)
{
    struct sync_msg m = {.kind = SYNC_SESSION};
    struct endpoint local;
    uint32_t ifindex;

    if ((n->conf.warm && !PLANTED("keys-leave")) ||
        !vip_backup(n, atomic_load(&k->kp->vip), n->conf.self, s->id) ||
        (k->dismissed >> s->id & 1) || keypair_age_hi(k->kp, now.boot_ns) >= REJECT_AFTER_TIME_NS)
        return false;
    if (!(k->held_by >> s->id & 1) && !lease_has_room(&k->lease) &&
        !PLANTED("holder-not-counted")) {
        dismiss(n, k, now);
        return false;
    }
    keypair_describe(k->kp, now.boot_ns, &m.session);
    m.session.keys = secret_alloc();
    if (!m.session.keys)
        return false;
    memcpy(m.session.keys, k->kp->keys, sizeof(*m.session.keys));
    m.session.peer = k->peer->wg.key;
    m.session.slot = k->slot;
    k->told_slot = atomic_load(&k->kp->vip);
    m.session.vip = vip_id_of_slot(n, k->told_slot);
    m.session.active = key_recent(k, now.boot_ns);
    m.session.dirty = lease_is_dirty(&k->lease, s->id);
    memcpy(m.session.peer_stamp, k->peer->received, TAI64N_LEN);
    /* Where the peer is belongs to the VIP that it talks to (E3); a key of an earlier one would
     * take it back there. */
    if ((k->told_slot == atomic_load(&k->peer->wg.vip) || PLANTED("place-of-another-vip")) &&
        peer_endpoint_get(&k->peer->wg, &m.session.endpoint, &local, &ifindex))
        m.session.endpoint_version = peer_endpoint_version(&k->peer->wg);
    /* Where it would start. One that holds it already may have acked all that was proposed; after
     * an adoption that is the floor, for everybody, until they ack more (R16). */
    m.session.limit = (k->held_by >> s->id & 1) || k->adopting
                          ? k->lease.proposed
                          : lease_join_limit(&k->lease, m.session.top);
    *ret = m;
    *ret_token = (struct replica_token){.kind = TOKEN_KEY, .a = k->kp->local_index};
    return true;
}

/* R15: it counts from the moment the record is queued. */
void key_record_sent(struct node *n, struct node_key *k, struct sibling *s, uint64_t limit)
{
    if (k->held_by >> s->id & 1)
        return;
    k->held_by |= (uint16_t)(1u << s->id);
    lease_add_holder(&k->lease, s->id, limit);
    key_apply_ceiling(n, k);
    key_busy(n, k);
}

bool key_replicate_to(struct node *n, struct node_key *k, struct sibling *s, struct instant now)
{
    struct sync_msg m;
    struct replica_token t;
    bool sent;

    if (!key_record(n, k, s, now, &m, &t))
        return false;
    sent = siblings_send(n, s, &m, &t, now);
    if (sent)
        key_record_sent(n, k, s, m.session.limit);
    sync_msg_clear(&m);
    return sent;
}

void key_replicate(struct node *n, struct node_key *k, struct instant now)
{
    for (unsigned i = 1; i < MEMBERS_MAX; i++)
        if (n->sibling[i].up)
            key_replicate_to(n, k, &n->sibling[i], now);
}

static void forget_holder(struct node *n, struct node_key *k, uint8_t member)
{
    k->held_by &= (uint16_t) ~(1u << member);
    k->dismissed &= (uint16_t) ~(1u << member);
    lease_drop_holder(&k->lease, member);
    if (key_owned(k))
        key_apply_ceiling(n, k);
}

/* A dismissed holder is none any more: whoever found no room joins. */
static void replace_holder(struct node *n, struct node_key *k, uint8_t member)
{
    forget_holder(n, k, member);
    for (unsigned i = 1; i < MEMBERS_MAX; i++)
        if (n->sibling[i].up && !(k->held_by >> i & 1))
            key_replicate_to(n, k, &n->sibling[i], n->now);
}

void key_wiped(struct node *n, struct node_key *k, uint8_t member)
{
    if (!(k->dismissed >> member & 1))
        return;
    replace_holder(n, k, member);
    n->ops.wake_held(n->ops.ctx);
}

void keys_vip_changed(struct node *n, struct node_peer *p, struct instant now)
{
    struct keypair *kp = atomic_load(&p->wg.current);
    struct node_key *k = kp ? key_of(n, kp) : NULL;

    if (!k || !k->ours || !k->told_slot || k->told_slot == atomic_load(&kp->vip))
        return;
    dismiss(n, k, now);
    key_replicate(n, k, now);
}

void keys_drop_holder(struct node *n, uint8_t member)
{
    list_for_each (it, &n->keys) {
        struct node_key *k = list_entry(it, struct node_key, all);

        if (!(k->held_by >> member & 1))
            continue;
        if ((k->dismissed >> member & 1) && k->ours)
            replace_holder(n, k, member);
        else
            forget_holder(n, k, member);
    }
    n->ops.wake_held(n->ops.ctx);
}

/* ---- ceilings ---- */

void key_apply_ceiling(struct node *n, struct node_key *k)
{
    atomic_store(&keypair_live(k->kp)->headroom, k->lease.headroom);
    atomic_store(&keypair_live(k->kp)->ceiling, lease_ceiling(&k->lease));
}

void key_busy(struct node *n, struct node_key *k)
{
    if (list_empty(&k->busy))
        list_append(&n->busy, &k->busy);
}

static void want_raise(struct node *n, struct node_key *k, bool flush)
{
    k->want_flush |= flush;
    if (list_empty(&k->raise))
        list_append(&n->raises, &k->raise);
    key_busy(n, k);
}

/* Nobody holds it of us any more. Anew, but proposals go on counting: an ack of an earlier stay
 * must not pass for one of this. */
static void holders_restart(struct node_key *k, uint64_t limit)
{
    uint32_t seq = k->lease.seq;

    lease_init(&k->lease, limit);
    k->lease.seq = seq;
    k->held_by = k->dismissed = 0;
    k->stays++;
}

/* @count of what was proposed, to a sibling that has the records of them all. */
static void tell_limits(struct node *n, struct sibling *s, struct proposal *const *told,
                        unsigned count, struct instant now)
{
    struct sync_limit all[SYNC_LIMITS_MAX];
    struct replica_token tokens[SYNC_LIMITS_MAX];
    struct sync_msg m = {.kind = SYNC_LIMITS, .limits = {.all = all, .count = count}};
    unsigned token_count = 0;

    for (unsigned i = 0; i < count; i++) {
        const struct sync_limit *l = &told[i]->limit;

        all[i] = *l;
        if (!l->lower) /* that binds us at once, and is not waited for (R5) */
            tokens[token_count++] = (struct replica_token){
                .kind = TOKEN_LIMIT,
                .a = (uint64_t)told[i]->key->kp->local_index | (uint64_t)l->seq << 32,
                .b = l->limit};
    }
    if (count == 1)
        m = (struct sync_msg){.kind = SYNC_LIMIT, .limit = all[0]};
    if (!siblings_send_many(n, s, &m, tokens, token_count, now))
        return;
    for (unsigned i = 0; i < count; i++)
        if (!told[i]->limit.lower)
            lease_sent(&told[i]->key->lease, s->id, told[i]->limit.limit);
}

/* Every proposal to every holder that has the record: one message, where it is understood. */
static void proposals_tell(struct node *n, struct instant now)
{
    struct proposal *told[SYNC_LIMITS_MAX];

    for (unsigned i = 1; i < MEMBERS_MAX && n->proposal_count; i++) {
        struct sibling *s = &n->sibling[i];
        unsigned count = 0, step;

        for (unsigned p = 0; p < n->proposal_count; p++)
            if (n->proposals[p].key->held_by >> i & 1)
                told[count++] = &n->proposals[p];
        step = s->hello.features & SYNC_FEATURE_LIMITS ? count : 1;
        for (unsigned from = 0; from < count; from += step)
            tell_limits(n, s, told + from, step, now);
    }
    n->proposal_count = 0;
}

static void propose(struct node *n, struct node_key *k, bool flush, struct instant now)
{
    uint64_t top = atomic_load(&k->kp->top), limit;
    bool lower;

    /* Of a key that was released, the last word is said: a raise would undo it (R11). */
    if (!gate_owned(n->gate, atomic_load(&k->kp->vip)))
        return;
    if (!lease_propose(&k->lease, top, now.boot_ns, flush, &limit, &lower))
        return;
    n->horizon.raises++;
    if (lower) /* binds us first, then they may start lower (R5) */
        key_apply_ceiling(n, k);
    atomic_store(&keypair_live(k->kp)->headroom, k->lease.headroom);
    n->proposals[n->proposal_count++] =
        (struct proposal){.key = k,
                          .limit = {.id = k->kp->id,
                                    .limit = limit,
                                    .top = top,
                                    .seq = k->lease.seq,
                                    .lower = lower,
                                    .active = key_recent(k, now.boot_ns)}};
    if (n->proposal_count == SYNC_LIMITS_MAX)
        proposals_tell(n, now);
}

void keys_raise(struct node *n, struct instant now)
{
    bool due = now.boot_ns >= n->limits_at_ns;

    list_for_each (it, &n->raises) {
        struct node_key *k = list_entry(it, struct node_key, raise);

        if (!due && !k->want_flush)
            continue; /* R3: a batch at a time; R6: but a packet that waits flushes at once */
        list_remove(&k->raise);
        atomic_store(&keypair_live(k->kp)->raise_asked, false);
        if (key_owned(k)) {
            if (k->want_flush)
                lease_held(&k->lease);
            lease_sample(&k->lease, atomic_load(&keypair_live(k->kp)->rx_packets), now.boot_ns,
                         n->horizon.ns);
            propose(n, k, k->want_flush, now);
        }
        k->want_flush = false;
    }
    proposals_tell(n, now);
    if (due)
        n->limits_at_ns = now.boot_ns + horizon_batch_ns(&n->horizon);
}

/* ---- ownership ---- */

struct sync_msg key_adopted_message(const struct node *n, const struct node_key *k)
{
    return (struct sync_msg){.kind = SYNC_ADOPTED,
                             .adopted = {.id = k->kp->id,
                                         .term = counter_term_now(&keypair_live(k->kp)->tx),
                                         .limit = atomic_load(&keypair_live(k->kp)->floor),
                                         .vip = vip_id_of_slot(n, atomic_load(&k->kp->vip))}};
}

void key_tell_adopted(struct node *n, struct node_key *k, struct instant now)
{
    struct sync_msg m = key_adopted_message(n, k);

    if (!clustered(n))
        return;
    siblings_send_all(n, &m, now);
    if (!PLANTED("no-holder-after-adoption"))
        key_replicate(n, k, now);
}

/* A worker touched the replica first and made it ours (R8); siblings must hear of it (R10), and
 * those that remain are holders again (R16). */
void key_adopted(struct node *n, struct node_key *k, struct instant now)
{
    struct node_peer *p = k->peer;
    uint64_t floor = atomic_load(&keypair_live(k->kp)->floor);

    if (k->ours || !key_owned(k))
        return;
    k->ours = true;
    note_peer(n, p, atomic_load(&k->kp->vip),
              (struct notice){.kind = NOTICE_SESSION_ADOPTED,
                              .member = atomic_load(&k->kp->owner),
                              .number = counter_term_now(&keypair_live(k->kp)->tx)});
    n->counters.adopted_hot++;
    n->owned_count++;
    holders_restart(k, floor);
    k->adopting = true;
    key_tell_adopted(n, k, now);
    k->adopting = false;
    key_apply_ceiling(n, k);
    want_raise(n, k, true);
    /* T3: a session key that travelled is replaced soon, spread so that not all come at once. One
     * that was handed over with all that belongs to it is as good here as it was there (R11). */
    if (atomic_load(&keypair_live(k->kp)->known_from) && (key_recent(k, now.boot_ns) || k->active))
        p->rekey_at_ns =
            now.boot_ns + REKEY_SOON_MIN_NS + rng_u64(n->rng) % (REKEY_SOON_NS - REKEY_SOON_MIN_NS);
    peer_arm(n, p, now.boot_ns + NS_PER_S);
}

static void become_replica(struct node *n, struct node_key *k, uint8_t owner, uint64_t limit,
                           uint16_t term)
{
    keypair_yield(k->kp, owner, limit, term);
    if (k->ours)
        n->owned_count--;
    k->ours = k->released = false;
    list_remove(&k->busy);
    list_remove(&k->raise);
    holders_restart(k, limit);
    n->ops.wake_held(n->ops.ctx);
}

/* A sibling says that it owns @k. We hold it as its replica from now on; whoever is touched next
 * while it owns the VIP adopts again, so two members that both yield lose nothing. */
void key_yield(struct node *n, struct node_key *k, uint8_t owner, uint64_t limit, uint16_t term)
{
    bool was_ours = k->ours;

    if (PLANTED("adoption-unheard"))
        return;
    become_replica(n, k, owner, limit, term);
    keypair_told(k->kp, n->gate, n->now.boot_ns);
    k->dirty = false; /* its new owner tells if it is */
    /* R15: its record follows if it counts us among its holders. If not, as when the places of
     * holders are taken, it asks us for nothing. */
    k->stale =
        !PLANTED("told-is-asked") || !vip_backup(n, atomic_load(&k->kp->vip), owner, n->conf.self);
    key_set_adoptable(k);
    if (was_ours) {
        n->counters.yielded++;
        note_peer(n, k->peer, atomic_load(&k->kp->vip),
                  (struct notice){.kind = NOTICE_SESSION_YIELDED, .member = owner, .number = term});
    }
}

void key_doubt(struct node *n, struct node_key *k, uint8_t member)
{
    become_replica(n, k, member, keypair_final_top(k->kp),
                   counter_term_now(&keypair_live(k->kp)->tx));
    k->stale = true; /* if it lives, its snapshot makes it good again */
    key_set_adoptable(k);
}

void key_heard_adopted(struct node *n, struct node_key *k, uint8_t member,
                       const struct sync_adopted *a)
{
    uint16_t slot = vip_slot_of_id(n, a->vip);

    if (slot)
        atomic_store(&k->kp->vip, slot);
    key_yield(n, k, member, a->limit, a->term);
    /* R15: its owner counts us as a holder only where the VIP's list does. What we keep otherwise
     * would be adopted below what was accepted meanwhile. */
    if (!vip_backup(n, atomic_load(&k->kp->vip), member, n->conf.self))
        key_remove(n, k, false);
}

void key_release(struct node *n, struct node_key *k, struct instant now)
{
    struct sync_msg m = {.kind = SYNC_RELEASED,
                         .released = {.id = k->kp->id,
                                      .term = counter_term_now(&keypair_live(k->kp)->tx),
                                      .active = key_recent(k, now.boot_ns)}};
    uint64_t top = keypair_hand_over(k->kp, &m.released.tail);

    m.released.top = top;
    /* If the VIP comes back before anybody adopts, their L is where we must stop again. */
    k->lease.proposed = top;
    for (unsigned i = 1; i < MEMBERS_MAX; i++)
        if (k->held_by >> i & 1) {
            siblings_send(n, &n->sibling[i], &m, NULL, now);
            lease_drop_holder(&k->lease, (uint8_t)i);
            lease_add_holder(&k->lease, (uint8_t)i, top);
        }
    key_apply_ceiling(n, k);
}

/* @k became its peer's current key; @out fell out of the slots. Siblings hear of the previous one
 * first, so that it makes room. */
void key_made_current(struct node *n, struct node_key *k, struct keypair **out, unsigned count,
                      struct instant now)
{
    struct wg_peer *p = &k->peer->wg;

    /* Crossing handshakes: the newer one is current (H4). */
    k->slot = atomic_load(&p->current) == k->kp ? SLOT_CURRENT : SLOT_PREVIOUS;
    atomic_store(&k->kp->confirmed, true);
    atomic_store(&peer_live(p)->handshake_real_ns, now.real_ns);
    note_peer(n, k->peer, atomic_load(&k->kp->vip),
              (struct notice){.kind = NOTICE_HANDSHAKE_DONE, .initiator = k->kp->hub_initiated});
    timers_session_made(&k->peer->timers, p, now.boot_ns);
    k->peer->rekey_at_ns = k->peer->urgent_at_ns = 0; /* T3, H8 and R9a are done with it */
    k->peer->tries = 0;
    keys_remove_out(n, out, count);
    const struct keypair *out_of_use = peer_slots(p)->previous;
    struct node_key *previous = out_of_use ? key_of(n, out_of_use) : NULL;
    if (previous) {
        previous->slot = SLOT_PREVIOUS;
        if (previous->ours)
            key_replicate(n, previous, now);
    }
    key_replicate(n, k, now);
    tenure_session_made(n, k->peer);
}

static enum notice_reason unfit_reason(const struct node_key *k)
{
    return k->dirty         ? REASON_DIRTY
           : k->quarantined ? REASON_QUARANTINE
           : k->collided    ? REASON_INDEX_COLLISION
           : k->stale       ? REASON_OUTDATED
                            : REASON_TOO_OLD;
}

/* H8: what cannot be adopted is dropped, and the hub starts anew from the endpoint. */
static void unfit(struct node *n, struct node_key *k, struct instant now)
{
    struct node_peer *p = k->peer;

    if (key_owned(k))
        return;
    n->counters.adopted_warm++;
    note_peer(n, p, atomic_load(&k->kp->vip),
              (struct notice){.kind = NOTICE_SESSION_REFUSED,
                              .member = atomic_load(&k->kp->owner),
                              .reason = unfit_reason(k)});
    key_remove(n, k, false);
    /* Somebody touched it: the peer is there, or somebody wants to reach it. */
    handshake_urgently(n, p, now);
}

void key_effects(struct node *n, struct node_key *k, unsigned effects, struct instant now)
{
    struct node_peer *p = k->peer;
    struct keypair *out[NEXT_SLOTS + 2];

    if (effects & EFFECT_ADOPTED)
        key_adopted(n, k, now);
    if (effects & EFFECT_CONFIRMED) {
        unsigned count = peer_confirm(&p->wg, k->kp, out);
        key_made_current(n, k, out, count, now);
        n->ops.flush_staged(n->ops.ctx, &p->wg, now.boot_ns);
    }
    if ((effects & (EFFECT_RAISE | EFFECT_FLUSH)) && key_owned(k))
        want_raise(n, k, effects & EFFECT_FLUSH);
    if ((effects & EFFECT_DIRTY) && key_owned(k)) {
        uint32_t which = lease_bypassed(&k->lease, atomic_load(&k->kp->top));
        struct sync_msg m = {.kind = SYNC_DIRTY, .dirty = {.id = k->kp->id, .dirty = true}};

        n->counters.dirty++;
        for (unsigned i = 1; i < MEMBERS_MAX; i++)
            if (which >> i & 1)
                siblings_send(n, &n->sibling[i], &m, NULL, now);
        key_apply_ceiling(n, k);
        want_raise(n, k, true); /* an ack above all that was accepted makes it clean again */
        n->ops.wake_held(n->ops.ctx);
    }
    if (effects & EFFECT_RESCUE) { /* R9a */
        n->counters.rescues++;
        handshake_anew(n, p, now);
    }
    if (effects & EFFECT_REKEY) {
        n->counters.rekeys++;
        if (!handshake_initiate(n, p, true, false, now)) { /* the worker asks once a key */
            p->rekey_at_ns = now.boot_ns + NS_PER_S;
            peer_arm(n, p, p->rekey_at_ns);
        }
    }
    if (effects & EFFECT_UNFIT)
        unfit(n, k, now);
}

/* ---- time ---- */

static void sweep(struct node *n, struct instant now)
{
    list_for_each (it, &n->keys) {
        struct node_key *k = list_entry(it, struct node_key, all);
        uint64_t age = keypair_age_hi(k->kp, now.boot_ns);

        if (PLANTED("keys-kept"))
            continue;
        if (!key_owned(k) && age >= REJECT_AFTER_TIME_NS)
            key_remove(n, k, false); /* T5 */
        else if (age >= KEY_ZERO_NS)
            key_remove(n, k, true);
        else if (k->ours)
            warm_tell(n, k, now);
    }
    keys_forget_pasts(n, now.boot_ns);
    if (n->quarantine_until_ns && now.boot_ns >= n->quarantine_until_ns) {
        n->quarantine_until_ns = 0;
        list_for_each (it, &n->keys) {
            struct node_key *k = list_entry(it, struct node_key, all);
            k->quarantined = false;
            key_set_adoptable(k);
        }
    }
    horizon_look(&n->horizon, now.boot_ns);
    atomic_store(&n->gate->patience_ns, horizon_batch_ns(&n->horizon));
}

uint64_t keys_tick(struct node *n, struct instant now)
{
    if (now.boot_ns >= n->sweep_at_ns) {
        sweep(n, now);
        n->sweep_at_ns = now.boot_ns + SWEEP_NS;
    }
    if (now.boot_ns >= n->busy_at_ns) {
        list_for_each (it, &n->busy) {
            struct node_key *k = list_entry(it, struct node_key, busy);
            uint32_t cleaned = lease_take_cleaned(&k->lease);

            for (unsigned i = 1; i < MEMBERS_MAX; i++)
                if (cleaned >> i & 1) {
                    struct sync_msg m = {.kind = SYNC_DIRTY, .dirty = {.id = k->kp->id}};
                    siblings_send(n, &n->sibling[i], &m, NULL, now);
                }
            lease_sample(&k->lease, atomic_load(&keypair_live(k->kp)->rx_packets), now.boot_ns,
                         n->horizon.ns);
            propose(n, k, false, now);
            key_apply_ceiling(n, k);
            /* Down to the least headroom and silent: nothing left to lower. */
            if (k->lease.headroom <= LEASE_HEADROOM_MIN && !k->lease.wide_since_ns &&
                now.boot_ns - atomic_load(&keypair_live(k->kp)->last_data_ns) > NS_PER_S)
                list_remove(&k->busy);
        }
        proposals_tell(n, now);
        n->busy_at_ns = now.boot_ns + BUSY_NS;
    }
    uint64_t next = MIN(n->sweep_at_ns, list_empty(&n->busy) ? NEVER : n->busy_at_ns);
    return list_empty(&n->raises) ? next : MIN(next, n->limits_at_ns);
}

void node_key_counts(const struct node *n, unsigned *ret_owned, unsigned *ret_replicas)
{
    *ret_owned = n->owned_count;
    *ret_replicas = n->key_count - n->owned_count;
}
