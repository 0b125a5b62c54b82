/* One machine: a shipped node with a simulated engine, disk, kernel and keepalived around it. The
 * engine here calls the same functions of wg/ as engine/rx and engine/tx do. */
#include "base/bytes.h"
#include "base/err.h"
#include "base/secret.h"
#include "sim/world.h"
#include "store/life.h"
#include <assert.h>
#include <stdio.h>
#include <unistd.h>
#include <uthash.h>

struct entry { /* receiver index → keypair or initiation */
    uint32_t index;
    struct keypair *kp;
    struct initiation *initiation;
    struct receiver *receiver; /* a client's window, in place of ours */
    uint64_t bypassed_ns;
    UT_hash_handle hh;
};

struct remote_entry {
    struct wg_peer *peer;
    struct remote remote;
    uint8_t stamp[TAI64N_LEN];
    uint8_t mac1[16];
    bool has_stamp, has_mac1;
    UT_hash_handle hh;
};

#define STAGED_MAX 128
/* A clock within a day of what was sent before is believed at a start; H5's own 60 s. */
#define STAMP_AHEAD_MAX_NS ((86400 + 62) * NS_PER_S)

struct instant machine_now(const struct machine *m)
{
    uint64_t now = m->world->now_ns;

    if (m->drift_ppm) /* the rate of its clocks is off: <= 1 % */
        now += (uint64_t)((int64_t)(now - m->drift_from_ns) / 1000000 * m->drift_ppm);
    return (struct instant){.boot_ns = now + m->boot_offset_ns,
                            .real_ns = 1700000000 * NS_PER_S + now + (uint64_t)m->clock_ahead_ns};
}

/* ---- tables ---- */

static struct entry *entry_find(struct machine *m, uint32_t index)
{
    struct entry *e;

    HASH_FIND(hh, m->by_index, &index, sizeof(index), e);
    return e;
}

static int entry_add(struct machine *m, uint32_t index, struct keypair *k, struct initiation *i)
{
    struct entry *e = entry_find(m, index);

    if (e)
        return -EEXIST;
    e = calloc(1, sizeof(*e));
    assert(e);
    *e = (struct entry){.index = index, .kp = k, .initiation = i};
    HASH_ADD(hh, m->by_index, index, sizeof(e->index), e);
    return 0;
}

static void entry_remove(struct machine *m, uint32_t index)
{
    struct entry *e = entry_find(m, index);

    if (e) {
        HASH_DELETE(hh, m->by_index, e);
        free(e->receiver);
        free(e);
    }
}

static struct remote_entry *remote_of(struct machine *m, const struct wg_peer *p)
{
    struct remote_entry *r;

    HASH_FIND_PTR(m->remotes, &p, r);
    return r;
}

static struct remote_entry *remote_by_id(struct machine *m, uint64_t id)
{
    for (struct remote_entry *r = m->remotes; r; r = r->hh.next)
        if (r->peer->id == id)
            return r;
    return NULL;
}

/* ---- handshake environment ---- */

static const struct remote *env_remote(void *ctx, const struct public_key *key)
{
    struct machine *m = ctx;

    for (struct remote_entry *r = m->remotes; r; r = r->hh.next)
        if (public_key_equal(&r->peer->key, key))
            return &r->remote;
    return NULL;
}

static const struct remote *env_remote_id(void *ctx, uint64_t id)
{
    struct remote_entry *r = remote_by_id(ctx, id);

    return r ? &r->remote : NULL;
}

static const struct initiation *env_initiation(void *ctx, uint32_t index)
{
    struct entry *e = entry_find(ctx, index);

    return e ? e->initiation : NULL;
}

static const struct remote *env_remote_index(void *ctx, uint32_t index)
{
    struct entry *e = entry_find(ctx, index);

    if (!e)
        return NULL;
    return env_remote_id(ctx, e->kp ? e->kp->peer->id : e->initiation->peer_id);
}

static bool env_last_stamp(void *ctx, uint64_t id, uint8_t ret[TAI64N_LEN])
{
    struct remote_entry *r = remote_by_id(ctx, id);

    if (!r || !r->has_stamp)
        return false;
    memcpy(ret, r->stamp, TAI64N_LEN);
    return true;
}

static bool env_last_mac1(void *ctx, uint64_t id, uint8_t ret[16])
{
    struct remote_entry *r = remote_by_id(ctx, id);

    if (!r || !r->has_mac1)
        return false;
    memcpy(ret, r->mac1, 16);
    return true;
}

static uint32_t env_index(void *ctx)
{
    struct machine *m = ctx;
    uint32_t index;

    do
        index = rng_u32(&m->rng);
    while (entry_find(m, index));
    return index;
}

static void run_handshake(struct machine *m, struct handshake_job *job)
{
    struct handshake_result r = {0};
    struct instant now = machine_now(m);
    struct handshake_env env = {
        .self = m->identity,
        .rng = &m->rng,
        .now_ns = now.boot_ns,
        .real_ns = now.real_ns,
        .cookies = m->cookies,
        .under_load = m->under_load,
        .ctx = m,
        .find_remote = env_remote,
        .find_remote_id = env_remote_id,
        .find_initiation = env_initiation,
        .find_remote_index = env_remote_index,
        .last_stamp = env_last_stamp,
        .draw_index = env_index,
        .last_mac1 = env_last_mac1,
    };

    if (!m->identity)
        return;
    handshake_run(&env, job, &r);
    if (r.verdict == HANDSHAKE_REPLY_COOKIE)
        world_send(m->world, m, m->member ? &m->world->vip[job->vip] : &m->address, &r.source,
                   r.reply, r.reply_len);
    if (r.peer_id)
        node_handshake(m->node, &r, now);
    handshake_result_clear(&r);
}

/* ---- what must hold across members ---- */

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
static void check_committed(struct machine *m, uint16_t slot, uint32_t index)
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
        if (entry_find(o, index))
            return;
    }
    if (asked)
        oracle_violation(w->oracle, w->now_ns, "m%u answers before a sibling has the key",
                         m->member);
}

/* R2, R8: what an owner accepts lies below what everybody would start at who may adopt. */
static void check_ceiling(struct machine *m, const struct keypair *k, uint64_t counter,
                          unsigned effects)
{
    struct world *w = m->world;
    struct entry *own = entry_find(m, k->local_index);

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
            in_touch(m, o, atomic_load(&k->vip)) ? entry_find(o, k->local_index) : NULL;

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

/* ---- ops ---- */

static void op_send(void *ctx, uint16_t vip, const struct endpoint *to,
                    const struct endpoint *local, uint32_t ifindex, const void *buf, size_t len)
{
    struct machine *m = ctx;

    if (m->member && len == sizeof(struct message_response) && load_le32(buf) == MESSAGE_RESPONSE)
        check_committed(m, vip, load_le32((const uint8_t *)buf + 4));
    world_send(m->world, m, vip ? &m->world->vip[vip] : &m->address, to, buf, len);
}

static int op_handshake(void *ctx, const struct handshake_job *job)
{
    struct machine *m = ctx;
    struct event *e = world_event(m->world, 100 * NS_PER_US, EVENT_HANDSHAKE, m);

    e->ptr = malloc(sizeof(*job));
    assert(e->ptr);
    memcpy(e->ptr, job, sizeof(*job));
    return 0;
}

static void op_set_identity(void *ctx, struct identity *id, struct cookie_secret *cookies)
{
    struct machine *m = ctx;

    if (m->identity)
        secret_free(m->identity->private_key);
    free(m->identity);
    free(m->cookies);
    m->identity = id;
    m->cookies = cookies;
}

static int op_add_peer(void *ctx, struct wg_peer *p, struct remote_secret *s)
{
    struct machine *m = ctx;
    struct remote_entry *e = calloc(1, sizeof(*e));

    assert(e);
    e->peer = p;
    e->remote = (struct remote){.peer_id = p->id, .public_key = p->key, .secret = s};
    HASH_ADD_PTR(m->remotes, peer, e);
    return 0;
}

static void op_set_remote(void *ctx, struct wg_peer *p, struct remote_secret *s)
{
    struct remote_entry *e = remote_of(ctx, p);

    if (!e) {
        secret_free(s);
        return;
    }
    secret_free(e->remote.secret);
    e->remote.secret = s;
}

static void op_remove_peer(void *ctx, struct wg_peer *p)
{
    struct machine *m = ctx;
    struct remote_entry *e = remote_of(m, p);

    if (!e)
        return;
    HASH_DELETE(hh, m->remotes, e);
    secret_free(e->remote.secret);
    free(e);
}

static int op_allow(void *ctx, const struct ip_prefix *prefix, struct wg_peer *p)
{
    struct machine *m = ctx;

    return allowedips_insert(&m->allowed, prefix, p);
}

static void op_disallow(void *ctx, const struct ip_prefix *prefix, struct wg_peer *p)
{
    struct machine *m = ctx;

    allowedips_remove(&m->allowed, prefix, p);
}

static int op_add_keypair(void *ctx, struct keypair *k)
{
    return entry_add(ctx, k->local_index, k, NULL);
}

static void op_remove_keypair(void *ctx, struct keypair *k)
{
    entry_remove(ctx, k->local_index);
}

static int op_add_initiation(void *ctx, struct initiation *i)
{
    return entry_add(ctx, i->local_index, NULL, i);
}

static void op_remove_initiation(void *ctx, struct initiation *i)
{
    entry_remove(ctx, i->local_index);
}

/* H5: a client that was given a stamp of next year would hear no initiation until then. A start
 * may begin at the end of what the life before it had reserved. */
static void check_stamp(struct machine *m, uint64_t stamp_ns)
{
    struct world *w = m->world;
    uint64_t most = 1700000000 * NS_PER_S + w->now_ns + STAMP_AHEAD_MAX_NS +
                    (w->lives - w->members - w->clients) * STAMP_RESERVE_NS;

    if (!m->member && stamp_ns > most)
        oracle_violation(w->oracle, w->now_ns, "client %u is given a stamp %.0f s ahead",
                         m->number + 1, (double)(stamp_ns - most) / 1e9);
}

static void op_set_last_stamp(void *ctx, struct wg_peer *p, const uint8_t stamp[TAI64N_LEN])
{
    struct remote_entry *r = remote_of(ctx, p);

    if (r) {
        memcpy(r->stamp, stamp, TAI64N_LEN);
        r->has_stamp = true;
    }
    check_stamp(ctx, stamp_to_real(stamp));
}

static void op_set_last_mac1(void *ctx, struct wg_peer *p, const uint8_t mac1[16])
{
    struct remote_entry *r = remote_of(ctx, p);

    if (r) {
        memcpy(r->mac1, mac1, 16);
        r->has_mac1 = true;
    }
}

static void op_retire(void *ctx, void *object, void (*free_fn)(void *))
{
    free_fn(object); /* one thread: nobody else holds it */
}

static void tell(struct machine *m, struct fact f)
{
    node_fact(m->node, &f, machine_now(m));
}

/* Seal and send one packet; @packet NULL: a keepalive. */
static enum tx_verdict transmit(struct machine *m, struct wg_peer *p, const uint8_t *packet,
                                size_t len)
{
    struct instant now = machine_now(m);
    struct keypair *k = atomic_load(&p->current);
    uint8_t buf[sizeof(struct message_data) + SIM_PACKET_LEN + 32];
    struct endpoint to, local;
    uint32_t ifindex;
    unsigned effects = 0;
    uint64_t counter;

    if (!k)
        return gate_owned(&m->gate, atomic_load(&p->vip)) ? TX_NO_KEY : TX_NOT_OWNER;
    enum tx_verdict v = keypair_send(k, &m->gate, now.boot_ns, 1, &counter, &effects);
    uint32_t index = k->local_index;
    if (v != TX_OK)
        world_trace(m->world, "%c%u cannot send on %08x: verdict %d", m->member ? 'm' : 'c',
                    m->number + 1, index, v);
    if (v == TX_OK && peer_endpoint_get(p, &to, &local, &ifindex)) {
        size_t padded = (len + MESSAGE_PADDING - 1) / MESSAGE_PADDING * MESSAGE_PADDING;
        struct message_data *d = (struct message_data *)buf;
        uint8_t plain[SIM_PACKET_LEN + 16] = {0};

        store_le32(d->type, MESSAGE_DATA);
        store_le32(d->receiver, k->remote_index);
        store_le64(d->counter, counter);
        if (packet)
            memcpy(plain, packet, len);
        struct aead_op op = {.counter = counter, .src = plain, .dst = d->encrypted, .len = padded};
        aead_seal(m->aead, k->keys->send, &op, 1);
        world_send(m->world, m, m->member ? &m->world->vip[atomic_load(&p->vip)] : &m->address, &to,
                   buf, sizeof(*d) + padded + AEAD_TAG_LEN);
        if (peer_note_sent(p, now.boot_ns, packet != NULL, (unsigned)padded + 32))
            tell(m, (struct fact){.kind = FACT_ARM, .peer_id = p->id});
    }
    if (effects)
        tell(m, (struct fact){.kind = FACT_EFFECTS, .index = index, .effects = effects});
    return v;
}

static enum tx_verdict op_keepalive(void *ctx, struct wg_peer *p, uint64_t now_ns)
{
    return transmit(ctx, p, NULL, 0);
}

static void op_flush_staged(void *ctx, struct wg_peer *p, uint64_t now_ns)
{
    struct machine *m = ctx;
    struct staged **at = &m->staged, *s;

    while ((s = *at)) {
        if (s->peer_id != p->id) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        enum tx_verdict v = transmit(m, p, s->packet, SIM_PACKET_LEN);
        if (v == TX_NO_KEY || v == TX_UNFIT || v == TX_TRANSIT) { /* still waiting */
            s->next = *at;
            *at = s;
            return;
        }
        m->staged_count--;
        free(s);
    }
}

static void op_take_staged(void *ctx, struct wg_peer *p,
                           void (*fn)(void *fn_ctx, const uint8_t *packet, size_t len),
                           void *fn_ctx)
{
    struct machine *m = ctx;
    struct staged **at = &m->staged, *s;

    while ((s = *at)) {
        if (s->peer_id != p->id) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        m->staged_count--;
        if (fn)
            fn(fn_ctx, s->packet, SIM_PACKET_LEN);
        free(s);
    }
}

static void op_drop_staged(void *ctx, struct wg_peer *p)
{
    op_take_staged(ctx, p, NULL, NULL);
}

static void stage(struct machine *m, const struct wg_peer *p, const uint8_t *packet)
{
    struct staged *s, **at = &m->staged;

    if (m->staged_count >= STAGED_MAX)
        return;
    s = calloc(1, sizeof(*s));
    assert(s);
    s->peer_id = p->id;
    memcpy(s->packet, packet, SIM_PACKET_LEN);
    while (*at)
        at = &(*at)->next;
    *at = s;
    m->staged_count++;
}

static void op_stage(void *ctx, struct wg_peer *p, const uint8_t *packet, size_t len)
{
    if (len == SIM_PACKET_LEN)
        stage(ctx, p, packet);
}

static void op_wake_held(void *ctx)
{
    struct machine *m = ctx;

    world_event(m->world, 1000, EVENT_TICK, m)->a = 1;
}

static void op_discard(void *ctx)
{
    struct machine *m = ctx;
    struct held *h;

    while ((h = m->held)) {
        m->held = h->next;
        free(h);
    }
}

static void op_resume(void *ctx)
{
}

static int op_set_port(void *ctx, uint16_t port)
{
    return 0;
}

static int op_set_fwmark(void *ctx, uint32_t mark)
{
    return 0;
}

static void op_transmit(void *ctx, uint8_t to, const uint8_t *msg, size_t len)
{
    struct machine *m = ctx, *other = &m->world->machine[to - 1];

    if (m->world->warm)
        oracle_warm_frame(m->world->oracle, m->world->now_ns, m->member, msg, len);
    if (!m->link_up[to])
        return;
    if (m->world->cut_sync[m->member][to]) {
        m->link_lossy[to] = true; /* it is over at the next frame that gets through */
        return;
    }
    /* TCP: in order, whatever the queue does with equal times. */
    uint64_t at =
        MAX(m->world->now_ns + SIM_LAN_DELAY_NS + m->world->sync_lag_ns, m->frame_at_ns[to] + 1);
    m->frame_at_ns[to] = at;
    struct event *e = world_event(m->world, 0, EVENT_FRAME, other);
    heap_set(&m->world->events, &e->entry, at);
    e->a = m->member;
    e->b = m->link_serial[to];
    e->bytes = malloc(len);
    assert(e->bytes);
    memcpy(e->bytes, msg, len);
    e->len = len;
}

static size_t op_queued(void *ctx, uint8_t to)
{
    struct machine *m = ctx;

    /* Now and then too much for more of a snapshot, so that it takes turns. */
    return m->world->operators && world_random(m->world, 3) == 0 ? 256u << 10 : 0;
}

static void op_close_link(void *ctx, uint8_t to, const char *reason)
{
    struct machine *m = ctx;

    world_trace(m->world, "m%u closes the link to m%u: %s", m->member, to, reason);
    struct event *e = world_event(m->world, 1, EVENT_LINK, m);
    e->a = to;
    e->b = 0; /* down */
}

static void op_commit(void *ctx, struct store_write *w)
{
    struct machine *m = ctx;

    world_event(m->world, 500 * NS_PER_US, EVENT_COMMIT, m)->ptr = w;
}

static void op_change_done(void *ctx, void *token, int err, const char *message)
{
    struct machine *m = ctx;

    unsigned n = (unsigned)(uintptr_t)token; /* 0: of no pool peer; its number + 1: a revocation */
    bool said = err == -EKEYREVOKED || (m->disk_full && err == -ENOSPC);

    if (n && n <= SIM_POOL_PEERS && (err == 0 || err == -ETIMEDOUT || err == -ENOSPC))
        peers_revoked(m, n - 1, err, node_unreached(m->node));
    else if (err < 0 && !(n && said))
        oracle_violation(m->world->oracle, m->world->now_ns, "an edit was refused: %s", message);
}

static void op_read_addresses(void *ctx, uint16_t vip)
{
    struct machine *m = ctx;

    m->wants_addresses |= 1u << vip;
}

static void op_remove_stale(void *ctx, uint16_t vip)
{
    struct machine *m = ctx;

    m->address_present[vip] = false;
    m->wants_addresses |= 1u << vip;
}

static int op_route(void *ctx, uint16_t slot, const struct ip_prefix *dst, uint8_t to)
{
    struct machine *m = ctx;
    struct world *w = m->world;

    if (dst->len == 32) {
        m->guest_route[dst->addr.b[15] - 1] = to;
        return 0;
    }
    world_trace(w, "m%u routes VIP %u to m%u", m->member, slot, to);
    m->route[slot] = to;
    world_check_routes(w, slot);
    return 0;
}

static void op_keep_address(void *ctx, uint16_t vip, bool keep)
{
    ((struct machine *)ctx)->address_kept[vip] = keep;
}

static void op_announce(void *ctx, uint16_t vip)
{
    struct machine *m = ctx;

    struct world *w = m->world;

    if (m->address_present[vip])
        vrrp_event(m, world_random(w, SIM_ANNOUNCE_LATE_NS), vip, VRRP_ANNOUNCE);
}

static void op_set_weight(void *ctx, uint16_t slot, int weight)
{
    struct machine *m = ctx;

    m->vrrp[slot].weight = weight;
}

static int op_save_drained(void *ctx, const uint16_t *vips, unsigned count)
{
    struct machine *m = ctx;

    m->drained = 0;
    for (unsigned i = 0; i < count; i++)
        m->drained |= 1u << vips[i];
    return 0;
}

static void op_set_fit(void *ctx, bool fit)
{
    struct machine *m = ctx;

    m->fit = fit;
}

static int op_raise_seq(void *ctx, uint64_t seen, uint64_t *ret)
{
    struct machine *m = ctx;

    m->seq = *ret = MAX(m->seq, seen) + 1;
    return 0;
}

static void op_reserve(void *ctx, uint64_t real_ns)
{
    struct machine *m = ctx;

    if (real_ns > m->stamps_until_ns)
        m->stamps_until_ns = real_ns + STAMP_RESERVE_NS;
}

static void op_log(void *ctx, enum node_log level, const char *sentence, const char *fields)
{
    struct machine *m = ctx;

    /* That repair is for what was lost from a disk; anything else must not need it. */
    if (!m->world->rolled_back && strstr(sentence, "differ from a sibling's though both know"))
        oracle_violation(m->world->oracle, m->world->now_ns, "m%u: %s", m->member, sentence);
    world_trace(m->world, "%c%u %s: %s", m->member ? 'm' : 'c', m->number + 1, sentence, fields);
}

/* What the tables promise of a notice is in it: a reason where one belongs, a sibling's number. */
static void op_notice(void *ctx, const struct notice *n)
{
    struct machine *m = ctx;
    const struct notice_kind_info *kind = &notice_kinds[n->kind];
    bool wants_reason = kind->fields >> NOTICE_FIELD_REASON & 1;
    char text[NOTICE_TEXT_LEN];

    if (wants_reason != (n->reason != REASON_NONE) || n->reason == REASON_OTHER ||
        n->member > m->world->members || !n->real_ns)
        oracle_violation(m->world->oracle, m->world->now_ns, "an event without sense: %s",
                         notice_format(n, "vip", text));
    world_trace(m->world, "%c%u %s: %s", m->member ? 'm' : 'c', m->number + 1, kind->sentence,
                notice_format(n, "vip", text));
}

static const struct node_ops ops_template = {
    .send = op_send,
    .handshake = op_handshake,
    .set_identity = op_set_identity,
    .add_peer = op_add_peer,
    .set_remote = op_set_remote,
    .remove_peer = op_remove_peer,
    .allow = op_allow,
    .disallow = op_disallow,
    .add_keypair = op_add_keypair,
    .remove_keypair = op_remove_keypair,
    .add_initiation = op_add_initiation,
    .remove_initiation = op_remove_initiation,
    .set_last_stamp = op_set_last_stamp,
    .set_last_mac1 = op_set_last_mac1,
    .retire = op_retire,
    .send_keepalive = op_keepalive,
    .flush_staged = op_flush_staged,
    .drop_staged = op_drop_staged,
    .take_staged = op_take_staged,
    .stage = op_stage,
    .wake_held = op_wake_held,
    .discard_queued = op_discard,
    .resume = op_resume,
    .set_port = op_set_port,
    .set_fwmark = op_set_fwmark,
    .transmit = op_transmit,
    .queued = op_queued,
    .close_link = op_close_link,
    .commit = op_commit,
    .change_done = op_change_done,
    .read_addresses = op_read_addresses,
    .remove_stale = op_remove_stale,
    .keep_address = op_keep_address,
    .announce = op_announce,
    .route = op_route,
    .set_weight = op_set_weight,
    .save_drained = op_save_drained,
    .set_fit = op_set_fit,
    .raise_seq = op_raise_seq,
    .reserve_stamps = op_reserve,
    .log = op_log,
    .notice = op_notice,
};

/* ---- packets ---- */

static void deliver(struct machine *m, const uint8_t *packet, size_t len, bool again)
{
    struct world *w = m->world;
    uint64_t id;

    if (len < SIM_PACKET_LEN)
        return;
    memcpy(&id, packet + 28, sizeof(id));
    oracle_delivered(w->oracle, w->now_ns, id, m->member != 0, again);
    if (id & SIM_FORBIDDEN)
        oracle_violation(w->oracle, w->now_ns, "a packet from a source that is not its sender's");
    world_note(w, &id, sizeof(id));
    /* The inner address's last byte names the client on both sides. */
    unsigned c = m->member ? packet[15] : packet[19];
    if (c < 1 || c > w->clients)
        return;
    struct machine *client = &w->machine[w->members + c - 1];
    if (!m->member && m != client)
        oracle_violation(w->oracle, w->now_ns, "client %u gets a packet of client %u",
                         m->number + 1, client->number + 1);
    if (m->member)
        client->last_up_ns = w->now_ns;
    else
        client->last_down_ns = w->now_ns;
}

/* After the window has accepted it: whose it is, timers, endpoint, delivery. @wire: as it came. */
static void accepted(struct machine *m, struct keypair *k, uint64_t counter, unsigned effects,
                     const struct endpoint *from, uint16_t slot, const uint8_t *wire,
                     size_t wire_len, const uint8_t *plain)
{
    struct wg_peer *p = k->peer;
    struct world *w = m->world;
    struct instant now = machine_now(m);
    struct oracle_who who = machine_who(m);
    size_t len = wire_len - MESSAGE_DATA_OVERHEAD;
    bool from_attacker = endpoint_equal(from, &w->attacker_address);
    bool again = oracle_accepted(w->oracle, w->now_ns, &who, wire, wire_len, from_attacker);

    check_ceiling(m, k, counter, effects);
    w->attacker_believed |= from_attacker && m->member;
    struct endpoint_version v = {.generation = k->generation, .counter = counter};
    size_t inner = 0;

    if (peer_endpoint_update(p, from, &(struct endpoint){0}, 0, slot, &v)) {
        atomic_store(&k->vip, slot); /* E3 */
        tell(m, (struct fact){.kind = FACT_ENDPOINT, .peer_id = p->id});
    }
    if (peer_note_received(p, now.boot_ns, len > 0, (unsigned)len + 32))
        tell(m, (struct fact){.kind = FACT_ARM, .peer_id = p->id});
    if (len && allowedips_find_src(&m->allowed, plain, len, &inner) == p && inner)
        deliver(m, plain, inner, again);
}

static void hold(struct machine *m, struct keypair *k, const struct event *ev, uint16_t slot,
                 const uint8_t *plain)
{
    struct held *h = calloc(1, sizeof(*h)), **at = &m->held;

    assert(h && ev->len <= sizeof(h->wire));
    h->index = k->local_index;
    h->deadline_ns = m->world->now_ns + HOLD_NS;
    h->from = ev->from;
    h->slot = slot;
    h->len = ev->len;
    memcpy(h->wire, ev->bytes, ev->len);
    memcpy(h->plain, plain, ev->len - MESSAGE_DATA_OVERHEAD);
    while (*at)
        at = &(*at)->next;
    *at = h;
    world_event(m->world, HOLD_NS + NS_PER_MS, EVENT_TICK, m)->a = 1;
}

static uint64_t counter_of(const uint8_t *wire)
{
    return load_le64(((const struct message_data *)wire)->counter);
}

static void look_at_held(struct machine *m)
{
    struct held **at = &m->held, *h;

    while ((h = *at)) {
        struct entry *e = entry_find(m, h->index);
        struct instant now = machine_now(m);
        uint64_t counter = counter_of(h->wire);
        uint32_t index = h->index;
        unsigned effects = 0;
        enum rx_verdict v = RX_DROP_UNKNOWN;

        if (e && e->kp)
            v = keypair_receive_held(e->kp, &m->gate, now.boot_ns, counter,
                                     m->world->now_ns >= h->deadline_ns, &effects);
        if (v == RX_HOLD) {
            at = &h->next;
            if (effects)
                tell(m, (struct fact){.kind = FACT_EFFECTS, .index = index, .effects = effects});
            continue;
        }
        *at = h->next;
        if (v == RX_ACCEPT)
            accepted(m, e->kp, counter, effects, &h->from, h->slot, h->wire, h->len, h->plain);
        else
            world_trace(m->world, "%c%u drops held counter %016llx of %08x: verdict %d",
                        m->member ? 'm' : 'c', m->number + 1, (unsigned long long)counter, index,
                        v);
        free(h);
        if (effects)
            tell(m, (struct fact){.kind = FACT_EFFECTS, .index = index, .effects = effects});
    }
}

/* A client has its own kind of window; ours behind it takes what that takes. */
static bool stock_window(struct machine *m, struct entry *e, const struct event *ev)
{
    if (m->member)
        return true;
    if (!e->receiver) {
        e->receiver = calloc(1, sizeof(*e->receiver));
        assert(e->receiver);
        e->receiver->kind = m->receiver;
    }
    if (receiver_accept(e->receiver, counter_of(ev->bytes)))
        return true;
    oracle_dropped_by(m->world->oracle, m->world->now_ns, ev->bytes, receiver_names[m->receiver]);
    return false;
}

static void receive_data(struct machine *m, struct event *ev, uint16_t slot)
{
    const struct message_data *d = (const struct message_data *)ev->bytes;
    struct instant now = machine_now(m);
    uint8_t plain[2048];

    if (ev->len < MESSAGE_DATA_OVERHEAD || ev->len > sizeof(plain))
        return;
    struct entry *e = entry_find(m, load_le32(d->receiver));
    if (!e || !e->kp) {
        tell(m, (struct fact){.kind = FACT_UNKNOWN_INDEX,
                              .index = load_le32(d->receiver),
                              .value_ns = slot,
                              .source = ev->from});
        return;
    }
    struct keypair *k = e->kp;
    enum rx_verdict early = keypair_open_check(k, &m->gate, now.boot_ns);
    bool wrong_vip = early == RX_DROP_NOT_OWNER && gate_owned(&m->gate, slot);
    if (early != RX_ACCEPT && !wrong_vip)
        return;
    uint64_t counter = counter_of(ev->bytes);
    struct aead_op op = {.counter = counter,
                         .src = d->encrypted,
                         .dst = plain,
                         .len = ev->len - MESSAGE_DATA_OVERHEAD};
    aead_open(m->aead, k->keys->recv, &op, 1);
    if (!op.ok || !stock_window(m, e, ev))
        return;
    if (wrong_vip) {
        tell(m, (struct fact){.kind = FACT_WRONG_VIP,
                              .index = k->local_index,
                              .peer_id = k->peer->id,
                              .effects = slot,
                              .value_ns = counter,
                              .source = ev->from});
        return;
    }
    unsigned effects = 0;
    uint32_t index = k->local_index;
    uint64_t peer_id = k->peer->id;
    enum rx_verdict v = keypair_receive(k, &m->gate, now.boot_ns, counter, &effects);
    if (v != RX_ACCEPT && v != RX_HOLD)
        world_trace(m->world, "%c%u drops counter %016llx of %08x: verdict %d",
                    m->member ? 'm' : 'c', m->number + 1, (unsigned long long)counter, index, v);
    if (v == RX_HOLD)
        hold(m, k, ev, slot, plain);
    else if (v == RX_ACCEPT)
        accepted(m, k, counter, effects, &ev->from, slot, ev->bytes, ev->len, plain);
    else if (!m->member) { /* its own window took it: a stock client would have */
        struct oracle_who who = machine_who(m);
        oracle_accepted(m->world->oracle, m->world->now_ns, &who, ev->bytes, ev->len, false);
    }
    if (effects)
        tell(m, (struct fact){.kind = FACT_EFFECTS, .index = index, .effects = effects});
    if (v != RX_ACCEPT && v != RX_HOLD)
        tell(m, (struct fact){.kind = FACT_DROPPED,
                              .index = v,
                              .peer_id = peer_id,
                              .value_ns = counter,
                              .source = ev->from});
}

static void receive(struct machine *m, struct event *e)
{
    uint16_t slot = m->member ? world_slot(m->world, &e->to) : VIP_SLOT_PLAIN;

    if (e->len < 4)
        return;
    if (m->member && !gate_owned(&m->gate, slot)) {
        tell(m, (struct fact){.kind = FACT_READ_ADDRESSES, .index = slot});
        if (!gate_owned(&m->gate, slot) && !gate_coming(&m->gate, slot))
            return;
    }
    if (load_le32(e->bytes) == MESSAGE_DATA) {
        receive_data(m, e, slot);
        return;
    }
    if (!m->identity || e->len > HANDSHAKE_LEN_MAX)
        return;
    if (load_le32(e->bytes) != MESSAGE_COOKIE &&
        !handshake_mac1_ok(m->identity, e->bytes, (unsigned)e->len))
        return;
    struct handshake_job job = {
        .kind = HANDSHAKE_DATAGRAM, .vip = slot, .source = e->from, .len = (unsigned)e->len};
    memcpy(job.message, e->bytes, e->len);
    op_handshake(m, &job);
}

void machine_inner(struct machine *m, const uint8_t *packet, size_t len)
{
    struct wg_peer *p = allowedips_find_dst(&m->allowed, packet, len);

    if (!p)
        return;
    enum tx_verdict v = transmit(m, p, packet, len);
    bool left = v == TX_NOT_OWNER && gate_left(&m->gate, atomic_load(&p->vip));
    if (v != TX_NO_KEY && v != TX_UNFIT && v != TX_TRANSIT && !left)
        return;
    stage(m, p, packet);
    if (v != TX_TRANSIT)
        tell(m, (struct fact){.kind = FACT_NEED_SESSION, .peer_id = p->id});
}

/* ---- life ---- */

static void machine_tick(struct machine *m)
{
    struct instant now = machine_now(m);
    m->ticked_real_ns = now.real_ns;
    uint64_t next = node_tick(m->node, now);
    uint64_t wait = next <= now.boot_ns ? NS_PER_MS : MIN(next - now.boot_ns, 50 * NS_PER_MS);

    m->tick_at_ns = m->world->now_ns + wait;
    world_event(m->world, wait, EVENT_TICK, m);
}

void machine_settle(struct machine *m)
{
    for (unsigned i = 0; i < 4 && m->wants_addresses && m->alive; i++) {
        unsigned wanted = m->wants_addresses;

        m->wants_addresses = 0;
        for (uint16_t slot = 1; slot <= m->world->vips; slot++)
            if (wanted >> slot & 1)
                node_vip(m->node, slot,
                         &(struct failover_event){.kind = m->address_present[slot]
                                                              ? FAILOVER_ADDRESS_UP
                                                              : FAILOVER_ADDRESS_DOWN},
                         machine_now(m));
    }
}

static void link_change(struct machine *m, struct event *e)
{
    struct world *w = m->world;
    uint8_t to = (uint8_t)e->a;
    struct machine *other = &w->machine[to - 1];

    if (!e->b) { /* down, both sides hear of it when they can */
        if (!m->link_up[to])
            return;
        m->link_up[to] = false;
        node_link_down(m->node, to, machine_now(m));
        if (other->alive && other->link_up[m->member]) {
            struct event *o = world_event(w, SIM_LAN_DELAY_NS, EVENT_LINK, other);
            o->a = m->member;
        }
    } else {
        struct codec_key *key = &m->link_key[to]; /* read as long as the link is up */
        if (m->link_up[to])
            node_link_down(m->node, to, machine_now(m));
        m->link_up[to] = true;
        m->link_lossy[to] = false;
        m->linked_ns[to] = w->now_ns;
        m->link_serial[to] = e->b;
        memcpy(key->send, &e->b, sizeof(e->b));
        memcpy(key->recv, &e->b, sizeof(e->b));
        node_link_up(m->node, to, key, machine_now(m));
    }
}

/* Both ends dial now and then; a link comes up when nothing is in the way. */
static void dial(struct machine *m)
{
    struct world *w = m->world;

    for (uint8_t to = 1; to <= w->members; to++) {
        struct machine *other = &w->machine[to - 1];

        if (to >= m->member || m->link_up[to] || !other->alive || other->frozen ||
            other->frozen_daemon || other->link_up[m->member] || w->cut_sync[m->member][to] ||
            w->cut_sync[to][m->member])
            continue;
        uint64_t serial = ++w->order;
        struct event *a = world_event(w, SIM_LAN_DELAY_NS, EVENT_LINK, m);
        struct event *b = world_event(w, SIM_LAN_DELAY_NS, EVENT_LINK, other);
        a->a = to;
        b->a = m->member;
        a->b = b->b = serial;
    }
}

void machine_event(struct machine *m, struct event *e)
{
    struct world *w = m->world;
    struct instant now = machine_now(m);

    switch (e->kind) {
    case EVENT_DATAGRAM:
        receive(m, e);
        break;
    case EVENT_INNER:
        if (m->alive)
            machine_inner(m, e->bytes, e->len);
        break;
    case EVENT_FRAME:
        if (m->link_up[e->a] && m->link_serial[e->a] == e->b && !w->cut_sync[e->a][m->member])
            node_link_frame(m->node, (uint8_t)e->a, e->bytes, e->len, now);
        break;
    case EVENT_LINK:
        link_change(m, e);
        break;
    case EVENT_HANDSHAKE:
        run_handshake(m, e->ptr);
        free(e->ptr);
        e->ptr = NULL;
        break;
    case EVENT_COMMIT:
        node_committed(m->node, e->ptr, m->disk_full ? -ENOSPC : store_commit(e->ptr), now);
        if (w->operators)
            peers_check(m);
        break;
    case EVENT_TICK:
        if (e->a) {
            look_at_held(m);
        } else {
            if (m->member)
                dial(m);
            if (w->now_ns - m->checked_ns >= NS_PER_S) {
                m->checked_ns = w->now_ns;
                machine_check(m);
            }
            machine_tick(m);
        }
        break;
    default:
        break;
    }
    if (m->alive) {
        node_flush(m->node, machine_now(m));
        machine_settle(m);
    }
}

/* NULL: in memory. */
static const char *database_path(const struct machine *m, const char *suffix, char buf[256])
{
    if (!m->world->disk || !m->member)
        return NULL;
    snprintf(buf, 256, "%s/member%u.db%s", m->world->disk, m->member, suffix);
    return buf;
}

static void copy_file(const char *from, const char *to)
{
    FILE *in = fopen(from, "r"), *out = fopen(to, "w");
    char buf[65536];
    size_t n;

    assert(in && out);
    while ((n = fread(buf, 1, sizeof(buf), in)) > 0)
        assert(fwrite(buf, 1, n, out) == n);
    fclose(in);
    fclose(out);
}

/* To what it was at an earlier death; the first time that is kept. */
void machine_roll_back(struct machine *m)
{
    char path[256], kept[256];

    assert(!m->alive && !m->store);
    if (!database_path(m, "", path) || !database_path(m, ".kept", kept))
        return;
    if (!m->has_backup) {
        copy_file(path, kept);
        m->has_backup = true;
        return;
    }
    world_trace(m->world, "m%u's disk is rolled back", m->member);
    copy_file(kept, path);
    m->world->rolled_back = true;
    memset(m->revoked_gen, 0, sizeof(m->revoked_gen));
}

int machine_start(struct machine *m)
{
    struct world *w = m->world;
    struct node_config c = {.hub = 1, .fresh_ns = FRESH_DEFAULT_NS};
    struct node_ops ops = ops_template;
    char error[STORE_ERROR_LEN];
    struct secret32 private_key;

    ops.ctx = m;
    m->life++;
    m->life_id = ++w->lives;
    m->alive = true;
    m->frozen = m->frozen_daemon = false;
    m->fit = false;
    m->gate = (struct gate){0};
    memset(m->link_up, 0, sizeof(m->link_up));
    memset(m->revokes_open, 0, sizeof(m->revokes_open));
    for (unsigned slot = 1; slot <= w->vips; slot++) {
        m->vrrp[slot].master = m->address_present[slot] = m->address_kept[slot] = false;
        m->vrrp[slot].heard_ns = w->now_ns;
        m->route[slot] = 0;
    }
    memset(m->guest_route, 0, sizeof(m->guest_route));
    if (!m->aead)
        m->aead = aead_new();
    char path[256];
    if (!m->store && store_open(database_path(m, "", path), m->member, &m->store, error) < 0) {
        printf("%s\n", error);
        return -ENOMEM;
    }
    if (w->operators) /* removals are forgotten within the run */
        store_keep_removed(m->store, SIM_REMOVED_KEPT_NS);
    allowedips_init(&m->allowed, NULL, NULL);
    if (m->member) {
        c.self = m->member;
        for (unsigned i = 1, n = 0; i <= w->members; i++)
            if (i != m->member)
                c.members[n++] = (uint8_t)i;
        c.membership_epoch = 1;
        c.vip_count = w->vips;
        c.warm = w->warm;
        for (uint16_t slot = 1; slot <= w->vips; slot++) {
            struct vip *v = &c.vip[slot];

            *v = (struct vip){.hub = 1, .id = slot, .name = "main", .port = 51820};
            if (m->drained >> slot & 1)
                c.drained[c.drained_count++] = slot;
            for (unsigned i = 0; i < w->members; i++)
                v->order[world_place(w, slot, (uint8_t)(i + 1))] = (uint8_t)(i + 1);
            if (w->vips > 1) {
                prefix_parse("10.77.0.0/24", &v->pool[0]);
                v->pool[0].addr.b[14] = (uint8_t)slot;
                v->pool_count = 1;
            }
        }
        rng_fill(&m->rng, c.instance, sizeof(c.instance));
        c.seq_proved = m->seq > 0 && !m->seq_lost;
        c.unproved_reason = m->seq_lost ? "state lost" : "first start";
        m->seq = (m->seq_lost ? m->seq_from : m->seq) + 1;
        m->seq_lost = false;
        c.seq = m->seq;
        c.stamp_floor = m->stamps_until_ns;
        c.solo_start_after_ns = 5 * NS_PER_S;
        memcpy(c.cookie_key, w->cookie_key, 32);
        memcpy(private_key.b, w->hub_private, 32);
    } else {
        uint8_t seed[32];
        memcpy(seed, w->hub_private, 32);
        seed[1] = (uint8_t)(seed[1] + 1 + m->number); /* its own, the same in every life */
        memcpy(private_key.b, seed, 32);
        rng_fill(&m->rng, c.cookie_key, 32);
    }
    struct instant now = machine_now(m);
    int r = node_new(&c, &ops, &m->rng, &m->gate, m->store, now, &m->node);
    if (r < 0)
        return r;
    node_set_private_key(m->node, &private_key, now);
    m->key = node_identity(m->node)->public_key;
    node_load(m->node, now);
    if (m->member) {
        for (uint16_t slot = 1; slot <= w->vips; slot++) {
            node_vip(m->node, slot, &(struct failover_event){.kind = FAILOVER_WRITER_UP}, now);
            if (!w->operators)
                vrrp_event(m, SIM_ADVERT_NS, slot, VRRP_ADVERT);
        }
        if (w->operators)
            peers_check(m);
    }
    world_event(w, 1, EVENT_TICK, m);
    return 0;
}

void machine_crash(struct machine *m)
{
    struct remote_entry *r, *r2;
    struct entry *e, *e2;

    m->alive = false;
    memset(m->address_present, 0, sizeof(m->address_present));
    memset(m->address_kept, 0, sizeof(m->address_kept));
    if (m->world->arp[1] == m->member)
        world_trace(m->world, "m%u crashes with the VIP", m->member);
    op_discard(m);
    while (m->staged) {
        struct staged *s = m->staged;
        m->staged = s->next;
        free(s);
    }
    m->staged_count = 0;
    node_free(m->node);
    m->node = NULL;
    HASH_ITER (hh, m->by_index, e, e2) {
        HASH_DELETE(hh, m->by_index, e);
        free(e->receiver);
        free(e);
    }
    HASH_ITER (hh, m->remotes, r, r2) {
        HASH_DELETE(hh, m->remotes, r);
        secret_free(r->remote.secret);
        free(r);
    }
    if (m->identity) {
        secret_free(m->identity->private_key);
        free(m->identity);
    }
    m->identity = NULL;
    free(m->cookies);
    m->cookies = NULL;
    allowedips_done(&m->allowed);
    for (unsigned i = 0; i < m->queued_count; i++) {
        if (m->queued[i]->kind == EVENT_HANDSHAKE)
            free(m->queued[i]->ptr);
        free(m->queued[i]->bytes);
        free(m->queued[i]);
    }
    m->queued_count = m->queued_datagrams = 0;
    if (m->world->disk && m->member) /* what was not durable is gone */
        store_close(TAKE_PTR(m->store));
    m->life++;                                        /* its events are void from now on */
    for (unsigned i = 1; i <= m->world->members; i++) /* TCP resets, or times out */
        if (m->member && i != m->member && m->world->machine[i - 1].alive) {
            struct event *ev =
                world_event(m->world, NS_PER_S, EVENT_LINK, &m->world->machine[i - 1]);
            ev->a = m->member;
        }
}

void machine_freeze(struct machine *m, bool daemon_only)
{
    if (daemon_only)
        m->frozen_daemon = true;
    else
        m->frozen = true;
    m->froze_ns = m->world->now_ns;
}

void machine_thaw(struct machine *m)
{
    if (!m->frozen && !m->frozen_daemon)
        return;
    bool daemon_only = m->frozen_daemon;
    m->frozen = m->frozen_daemon = false;
    /* Addresses first: keepalived, if it lived, has taken the VIP away meanwhile (R12). */
    oracle_slept(m->world->oracle, m->member);
    node_gap(m->node, m->world->now_ns - m->froze_ns, machine_now(m));
    machine_settle(m);
    unsigned n = m->queued_count;
    m->queued_count = m->queued_datagrams = 0;
    for (unsigned i = 0; i < n; i++) {
        struct event *e = m->queued[i];
        bool stale = e->kind == EVENT_DATAGRAM; /* thrown away unread */
        if (!stale && m->alive && e->life == m->life)
            machine_event(m, e);
        free(e->bytes);
        free(e);
    }
    (void)daemon_only;
}

void machine_add_peers(struct machine *m)
{
    struct world *w = m->world;
    struct change *c = change_new(1);
    struct ip_prefix prefix;
    char text[32];

    assert(c);
    if (m->member) {
        for (unsigned i = 0; i < w->clients; i++) {
            struct peer_change *p = change_add_peer(c, &w->machine[w->members + i].key);
            snprintf(text, sizeof(text), "10.77.%u.%u/32",
                     w->vips > 1 ? w->machine[w->members + i].home : 0, i + 1);
            prefix_parse(text, &prefix);
            peer_change_allow(p, &prefix, false);
            if (i == 0) { /* and all that the others have not */
                prefix_parse("10.77.0.0/24", &prefix);
                peer_change_allow(p, &prefix, false);
            }
        }
    } else {
        struct peer_change *p = change_add_peer(c, &w->machine[0].key);
        prefix_parse("0.0.0.0/0", &prefix);
        peer_change_allow(p, &prefix, false);
        p->has_endpoint = true;
        p->endpoint = w->vip[m->talks];
        if (world_random(w, 3) == 0) {
            p->has_keepalive = true;
            p->keepalive_s = 5;
        }
    }
    node_change(m->node, c, NULL, machine_now(m));
}
