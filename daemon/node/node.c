#include "base/bytes.h"
#include "base/fields.h"
#include "base/secret.h"
#include "node/internal.h"
#include <stdarg.h>
#include <stdio.h>

void say(struct node *n, enum node_log level, const char *sentence, const char *format, ...)
{
    char fields[512];
    va_list ap;

    va_start(ap, format);
    fields_vformat(fields, sizeof(fields), format, ap);
    va_end(ap);
    if (level == NODE_ALARM)
        n->counters.alarms++;
    n->ops.log(n->ops.ctx, level, sentence, fields);
}

void note(struct node *n, struct notice notice)
{
    notice.real_ns = n->now.real_ns;
    n->ops.notice(n->ops.ctx, &notice);
}

void note_peer(struct node *n, struct node_peer *p, uint16_t slot, struct notice notice)
{
    struct endpoint local;
    uint32_t ifindex;

    notice.peer = p->wg.key;
    notice.vip = vip_id_of_slot(n, slot);
    if (!endpoint_is_set(&notice.endpoint))
        peer_endpoint_get(&p->wg, &notice.endpoint, &local, &ifindex);
    note(n, notice);
}

const char *key_text(const struct public_key *k)
{
    static char text[KEY_TEXT_LEN + 1];

    key_to_base64(k->b, text);
    return text;
}

uint16_t vip_slot_of_id(const struct node *n, uint16_t id)
{
    for (unsigned slot = 1; slot <= n->conf.vip_count; slot++)
        if (n->conf.vip[slot].id == id)
            return (uint16_t)slot;
    return 0;
}

uint16_t vip_id_of_slot(const struct node *n, uint16_t slot)
{
    return slot && slot <= n->conf.vip_count ? n->conf.vip[slot].id : VIP_ID_NONE;
}

bool vip_holder(const struct node *n, uint16_t slot, uint8_t member)
{
    if (!slot || slot > n->conf.vip_count)
        return false;
    for (unsigned i = 0; i <= HOLDERS_MAX && n->conf.vip[slot].order[i]; i++)
        if (n->conf.vip[slot].order[i] == member)
            return true;
    return false;
}

bool vip_backup(const struct node *n, uint16_t slot, uint8_t owner, uint8_t member)
{
    unsigned before = 0;

    for (unsigned i = 0; i < MEMBERS_MAX && n->conf.vip[slot].order[i]; i++) {
        if (n->conf.vip[slot].order[i] == owner)
            continue;
        if (n->conf.vip[slot].order[i] == member)
            return before < HOLDERS_MAX;
        before++;
    }
    return false;
}

bool clustered(const struct node *n)
{
    return n->conf.self != 0;
}

int node_new(const struct node_config *c, const struct node_ops *ops, const struct rng *rng,
             struct gate *gate, struct store *store, struct instant now, struct node **ret)
{
    struct node *n = calloc(1, sizeof(*n));

    if (!n)
        return -ENOMEM;
    n->conf = *c;
    if (!c->heartbeat_ns)
        n->conf.heartbeat_ns = HEARTBEAT_NS;
    n->ops = *ops;
    n->rng = rng;
    n->gate = gate;
    n->store = store;
    memcpy(&n->instance64, c->instance, sizeof(n->instance64));
    list_init(&n->keys);
    list_init(&n->busy);
    list_init(&n->raises);
    list_init(&n->pendings);
    list_init(&n->changes);
    list_init(&n->revokes);
    list_init(&n->asks);
    list_init(&n->excepted);
    n->started_ns = now.boot_ns;
    n->engine_fit = true;
    n->rescue_seed = rng_u64(rng);
    n->rescue_seen_ns = now.boot_ns;

    /* H5: the anchor is the floor, or now when the clock is within a day of it. */
    n->stamp_floor = c->stamp_floor;
    n->anchor_real_ns = now.real_ns;
    if (c->stamp_floor && (now.real_ns + 86400 * NS_PER_S < c->stamp_floor ||
                           c->stamp_floor + 86400 * NS_PER_S < now.real_ns))
        n->anchor_real_ns = c->stamp_floor;
    n->anchor_boot_ns = now.boot_ns;

    gate->plain = !clustered(n);
    gate->fresh_ns = c->fresh_ns ? c->fresh_ns : FRESH_DEFAULT_NS;
    /* T_FRESH is the detection time and a second. */
    horizon_init(&n->horizon, gate->fresh_ns - MIN(gate->fresh_ns, NS_PER_S), now.boot_ns);
    atomic_store(&gate->patience_ns, horizon_batch_ns(&n->horizon));
    struct counter_tag tag = {.member = c->self, .seq = (uint8_t)c->seq};
    if (clustered(n))
        rng_fill(rng, &tag.rnd, 1);
    gate_set_tag(gate, tag);
    if (clustered(n) && !c->seq_proved) {
        n->quarantine_until_ns = now.boot_ns + QUARANTINE_NS;
        say(n, NODE_WARN, "only keys made after joining will be adopted for a while",
            "reason=%s seconds=%llu", c->unproved_reason ? c->unproved_reason : "unproved",
            (unsigned long long)(QUARANTINE_NS / NS_PER_S));
    }
    vips_init(n, now);
    flaps_init(n, now);
    entropy_init(n, now);
    int r = siblings_init(n);
    if (r < 0) {
        free(n);
        return r;
    }
    *ret = n;
    return 0;
}

void node_free(struct node *n)
{
    if (!n)
        return;
    siblings_free(n);
    for (uint16_t slot = 1; slot < VIPS_MAX; slot++)
        warm_end(n, slot);
    list_for_each (it, &n->pendings)
        free(list_entry(it, struct pending, all));
    list_for_each (it, &n->changes)
        queued_change_free(list_entry(it, struct queued_change, all));
    list_for_each (it, &n->revokes)
        queued_change_free(list_entry(it, struct queued_change, all));
    queued_change_free(n->committing_change);
    if (n->merging)
        store_abort(n->store, n->merging);
    if (n->committing)
        store_abort(n->store, n->committing);
    peers_free_all(n);
    routes_free(n);
    asks_free(n);
    keys_forget_pasts(n, NEVER);
    heap_done(&n->timers);
    free(n);
}

uint64_t node_tick(struct node *n, struct instant now)
{
    uint64_t next = NEVER;

    siblings_now(n, now);
    struct heap_entry *e;
    unsigned budget = 4096; /* timers of one turn; the rest waits for the next */
    while ((e = heap_first(&n->timers)) && e->at_ns <= now.boot_ns && budget--) {
        struct node_peer *p = list_entry(e, struct node_peer, timer);
        uint16_t vip = atomic_load(&p->wg.vip);

        heap_remove(&n->timers, e);
        if (!gate_owned(n->gate, vip)) {
            /* A member that does not hold the VIP sends nothing: look again when it does. */
            atomic_store(&p->wg.armed, false);
            continue;
        }
        peer_tell_endpoint(n, p, now);
        struct keypair *cur = atomic_load(&p->wg.current);
        bool ours = !cur || atomic_load(&cur->state) != KEYPAIR_REPLICA;
        unsigned attempts = p->timers.attempts;
        struct timers_todo todo = timers_step(&p->timers, &p->wg, n->rng, now.boot_ns);

        if (todo.actions & TIMERS_ZERO)
            peer_drop_keys(n, p);
        if (todo.actions & TIMERS_GAVE_UP) {
            note_peer(n, p, vip,
                      (struct notice){.kind = NOTICE_HANDSHAKE_UNANSWERED, .number = attempts});
            n->ops.drop_staged(n->ops.ctx, &p->wg);
            handshake_forget(n, p);
        }
        if ((todo.actions & TIMERS_KEEPALIVE) && ours)
            if (n->ops.send_keepalive(n->ops.ctx, &p->wg, now.boot_ns) == TX_NO_KEY)
                handshake_initiate(n, p, true, false, now);
        if (todo.actions & TIMERS_INITIATE)
            handshake_initiate(n, p, false, false, now);
        if (p->rekey_at_ns && now.boot_ns >= p->rekey_at_ns) { /* T3 */
            p->rekey_at_ns = 0;
            if (cur &&
                now.boot_ns - atomic_load(&keypair_live(cur)->last_data_ns) < SESSION_ACTIVE_NS &&
                !handshake_initiate(n, p, true, false, now))
                p->rekey_at_ns = now.boot_ns + NS_PER_S;
        }
        uint64_t at = todo.next_ns;
        if (p->rekey_at_ns && (!at || p->rekey_at_ns < at))
            at = p->rekey_at_ns;
        uint64_t urgent = handshake_urgent_tick(n, p, now);
        if (urgent && (!at || urgent < at))
            at = urgent;
        if (at)
            peer_arm(n, p, MAX(at, now.boot_ns + NS_PER_MS));
        else
            atomic_store(&p->wg.armed, false);
    }
    if ((e = heap_first(&n->timers)))
        next = MIN(next, e->at_ns);
    next = sooner(next, pendings_tick(n, now));
    next = sooner(next, keys_tick(n, now));
    next = sooner(next, vips_tick(n, now));
    next = sooner(next, siblings_tick(n, now));
    next = sooner(next, entropy_tick(n, now));
    next = sooner(next, revokes_tick(n, now));
    next = sooner(next, routes_tick(n, now));
    next = sooner(next, asks_tick(n, now));
    next = sooner(next, tenure_tick(n, now));
    next = sooner(next, graves_tick(n, now));
    readiness(n, now);
    node_flush(n, now);
    return next;
}

void node_flush(struct node *n, struct instant now)
{
    siblings_now(n, now);
    keys_raise(n, now);
    if (n->wake_due) {
        n->wake_due = false;
        n->ops.wake_held(n->ops.ctx);
    }
    for (unsigned m = 1; m < MEMBERS_MAX; m++)
        if (n->sibling[m].replica)
            replica_flush(n->sibling[m].replica, now.boot_ns);
    peers_store_flush(n, now);
    flaps_keep(n);
}

void node_engine_fit(struct node *n, bool fit, struct instant now)
{
    n->engine_fit = fit;
    for (uint16_t slot = 1; slot <= n->conf.vip_count; slot++)
        node_vip(n, slot, &(struct failover_event){.kind = FAILOVER_ENGINE, .fit = fit}, now);
    readiness(n, now);
}

/* REASON_NONE: nothing that a peer or an operator could do anything about. */
static enum notice_reason drop_reason(enum rx_verdict v)
{
    switch (v) {
    case RX_DROP_EXPIRED:
        return REASON_EXPIRED;
    case RX_DROP_REPLAY:
        return REASON_REPLAY;
    case RX_DROP_BELOW_FLOOR:
        return REASON_BELOW_CEILING;
    case RX_DROP_NOT_OWNER:
        return REASON_WRONG_MEMBER;
    case RX_DROP_UNFIT:
        return REASON_NOT_ADOPTABLE;
    case RX_DROP_SOURCE:
        return REASON_SOURCE_NOT_ALLOWED;
    default:
        return REASON_NONE;
    }
}

void node_fact(struct node *n, const struct fact *f, struct instant now)
{
    struct node_peer *p;
    struct node_key *k;

    siblings_now(n, now);
    switch (f->kind) {
    case FACT_EFFECTS:
        k = key_by_index(n, f->index);
        if (k)
            key_effects(n, k, f->effects, now);
        break;
    case FACT_ARM:
        p = peer_by_id(n, f->peer_id);
        if (p)
            peer_arm(n, p, now.boot_ns + NS_PER_S);
        break;
    case FACT_NEED_SESSION:
        p = peer_by_id(n, f->peer_id);
        if (p && !moves_pass_on(n, p, now))
            handshake_initiate(n, p, true, false, now);
        break;
    case FACT_ENDPOINT:
        p = peer_by_id(n, f->peer_id);
        if (p) {
            note_peer(n, p, atomic_load(&p->wg.vip), (struct notice){.kind = NOTICE_PEER_ROAMED});
            p->endpoint_untold = true;
            peer_tell_endpoint(n, p, now);
            routes_peer_moved(n, p);
            keys_vip_changed(n, p, now);
        }
        break;
    case FACT_READ_ADDRESSES:
        if (f->index && f->index <= n->conf.vip_count)
            n->ops.read_addresses(n->ops.ctx, (uint16_t)f->index);
        break;
    case FACT_GAP:
        node_gap(n, f->value_ns, now);
        break;
    case FACT_LOST_SOCKET:
        p = peer_by_id(n, f->peer_id);
        if (p)
            peer_endpoint_clear_local(&p->wg);
        break;
    case FACT_DROPPED:
        p = peer_by_id(n, f->peer_id);
        if (p)
            handshake_try_at(n, p, f, now);
        if (p && drop_reason((enum rx_verdict)f->index))
            note_peer(n, p, atomic_load(&p->wg.vip),
                      (struct notice){.kind = NOTICE_DATA_REFUSED,
                                      .reason = drop_reason((enum rx_verdict)f->index),
                                      .number = 1});
        break;
    case FACT_UNKNOWN_INDEX:
        rescue_unknown(n, (uint16_t)f->value_ns, &f->source, now);
        break;
    case FACT_WRONG_VIP: /* not delivered; counted by the engine */
        asks_wrong_vip(n, f, now);
        break;
    }
}

const struct node_counters *node_counters(const struct node *n)
{
    return &n->counters;
}

const struct identity *node_identity(const struct node *n)
{
    return n->identity;
}

uint64_t node_stamp_floor(const struct node *n)
{
    return n->stamp_floor;
}

bool node_fit(const struct node *n)
{
    if (!clustered(n))
        return n->fit;
    for (uint16_t slot = 1; slot <= n->conf.vip_count; slot++)
        if (!n->vip[slot].fit)
            return false;
    return true;
}
