/* Peers: from records of the store to what packet threads see; edits and their commits. */
#include "base/bytes.h"
#include "base/plant.h"
#include "base/secret.h"
#include "node/internal.h"
#include <stdio.h>

struct node_peer *peer_by_key(const struct node *n, const struct public_key *key)
{
    struct node_peer *p;

    HASH_FIND(by_key, n->peers_by_key, key, sizeof(*key), p);
    return p;
}

struct node_peer *peer_by_id(const struct node *n, uint64_t id)
{
    struct node_peer *p;

    HASH_FIND(by_id, n->peers_by_id, &id, sizeof(id), p);
    return p;
}

struct wg_peer *node_peer_find(const struct node *n, const struct public_key *key)
{
    struct node_peer *p = peer_by_key(n, key);

    return p ? &p->wg : NULL;
}

/* Ids rise with insertion, and uthash keeps insertion order. */
struct wg_peer *node_peer_next(const struct node *n, uint64_t *cursor)
{
    struct node_peer *p = *cursor ? peer_by_id(n, *cursor) : NULL;

    if (p) {
        p = p->by_id.next;
    } else {
        for (p = n->peers_by_id; p && p->wg.id <= *cursor; p = p->by_id.next)
            ;
    }
    if (!p)
        return NULL;
    *cursor = p->wg.id;
    return &p->wg;
}

void peer_arm(struct node *n, struct node_peer *p, uint64_t at_ns)
{
    atomic_store(&p->wg.armed, true);
    if (!p->timer.place || at_ns < p->timer.at_ns)
        heap_set(&n->timers, &p->timer, at_ns);
}

struct sync_msg peer_stamps(const struct node *n, const struct node_peer *p)
{
    struct sync_msg m = {.kind = SYNC_STAMP,
                         .stamp = {.hub = n->conf.hub,
                                   .peer = p->wg.key,
                                   .sent_real_ns = p->sent_real_ns,
                                   .generation = p->generation}};

    memcpy(m.stamp.received, p->received, TAI64N_LEN);
    return m;
}

void peer_take_stamp(struct node *n, struct node_peer *p, const uint8_t stamp[TAI64N_LEN])
{
    if (memcmp(stamp, p->received, TAI64N_LEN) <= 0)
        return;
    memcpy(p->received, stamp, TAI64N_LEN);
    n->ops.set_last_stamp(n->ops.ctx, &p->wg, stamp);
}

bool peer_place(const struct node *n, struct node_peer *p, struct instant now, struct sync_msg *ret)
{
    struct endpoint at, local;
    uint32_t ifindex;

    if (!peer_endpoint_get(&p->wg, &at, &local, &ifindex))
        return false;
    *ret = (struct sync_msg){.kind = SYNC_ENDPOINT,
                             .endpoint = {.hub = n->conf.hub,
                                          .peer = p->wg.key,
                                          .endpoint = at,
                                          .version = peer_endpoint_version(&p->wg),
                                          .idle_ms = warm_idle_ns(p, now.boot_ns) / NS_PER_MS,
                                          .vip = vip_id_of_slot(n, atomic_load(&p->wg.vip))}};
    return true;
}

/* E2: on change, at most once a second for a peer. */
void peer_tell_endpoint(struct node *n, struct node_peer *p, struct instant now)
{
    struct sync_msg m;

    if (!p->endpoint_untold || !clustered(n))
        return;
    if (p->endpoint_told_ns && now.boot_ns - p->endpoint_told_ns < ENDPOINT_EVERY_NS) {
        peer_arm(n, p, p->endpoint_told_ns + ENDPOINT_EVERY_NS);
        return;
    }
    p->endpoint_untold = false;
    p->endpoint_told_ns = now.boot_ns;
    if (!peer_place(n, p, now, &m))
        return;
    rescue_learn(n, p, &m.endpoint.endpoint);
    siblings_send_all(n, &m, now);
}

void peer_drop_keys(struct node *n, struct node_peer *p)
{
    list_for_each (it, &n->keys) {
        struct node_key *k = list_entry(it, struct node_key, all);

        if (k->peer == p)
            key_remove(n, k, k->ours);
    }
}

static struct remote_secret *remote_make(struct node *n, const struct node_peer *p,
                                         const struct secret32 *psk)
{
    struct remote r = {.secret = secret_alloc()};

    if (r.secret)
        remote_init(&r, n->identity, &p->wg.key, psk);
    return r.secret;
}

static int prefix_order(const void *a, const void *b)
{
    const struct ip_prefix *x = a, *y = b;
    int c = memcmp(x->addr.b, y->addr.b, sizeof(x->addr.b));

    if (c)
        return c;
    return x->v6 != y->v6 ? x->v6 - y->v6 : x->len - y->len;
}

/* A peer may have 130 000 prefixes: both lists sorted, one pass. */
static void apply_allowed(struct node *n, struct node_peer *p, const struct peer *old,
                          const struct peer *now)
{
    unsigned a = 0, b = 0, olds = old ? old->allowed_count : 0, news = now ? now->allowed_count : 0;
    struct ip_prefix *o = calloc(olds + 1, sizeof(*o)), *w = calloc(news + 1, sizeof(*w));

    if (o && w) {
        if (olds)
            memcpy(o, old->allowed, olds * sizeof(*o));
        if (news)
            memcpy(w, now->allowed, news * sizeof(*w));
        qsort(o, olds, sizeof(*o), prefix_order);
        qsort(w, news, sizeof(*w), prefix_order);
        while (a < olds || b < news) {
            int c = a == olds ? 1 : b == news ? -1 : prefix_order(&o[a], &w[b]);

            if (c < 0)
                n->ops.disallow(n->ops.ctx, &o[a++], &p->wg);
            else if (c > 0)
                n->ops.allow(n->ops.ctx, &w[b++], &p->wg);
            else
                a++, b++;
        }
    }
    free(o);
    free(w);
}

static uint16_t home_vip(const struct node *n, const struct peer *record)
{
    if (!clustered(n))
        return VIP_SLOT_PLAIN;
    uint16_t slot = vip_slot_of_id(n, record->vip);
    if (!slot)
        slot = routes_home(n, record);
    return slot ? slot : 1;
}

static struct node_peer *peer_add(struct node *n, const struct peer *record)
{
    struct node_peer *p = calloc(1, sizeof(*p));
    struct remote_secret *r;

    if (!p)
        return NULL;
    wg_peer_init(&p->wg, ++n->peer_serial, record->hub, &record->key);
    p->wg.owner_data = p;
    atomic_store(&p->wg.vip, home_vip(n, record));
    r = remote_make(n, p, record->psk);
    if (!r || n->ops.add_peer(n->ops.ctx, &p->wg, r) < 0) {
        secret_free(r);
        free(p);
        return NULL;
    }
    HASH_ADD_KEYPTR(by_key, n->peers_by_key, &p->wg.key, sizeof(p->wg.key), p);
    HASH_ADD_KEYPTR(by_id, n->peers_by_id, &p->wg.id, sizeof(p->wg.id), p);
    return p;
}

static void node_peer_free(void *v)
{
    struct node_peer *p = v;

    wg_peer_done(&p->wg);
    free(p);
}

static void peer_remove(struct node *n, struct node_peer *p, const struct peer *old)
{
    handshake_forget(n, p);
    peer_drop_keys(n, p);
    apply_allowed(n, p, old, NULL);
    routes_of_peer(n, p, NULL);
    n->ops.drop_staged(n->ops.ctx, &p->wg);
    n->ops.remove_peer(n->ops.ctx, &p->wg);
    heap_remove(&n->timers, &p->timer);
    HASH_DELETE(by_key, n->peers_by_key, p);
    HASH_DELETE(by_id, n->peers_by_id, p);
    secret_wipe(p->cookie, sizeof(p->cookie));
    n->ops.retire(n->ops.ctx, p, node_peer_free);
}

static bool psk_equal(const struct peer *a, const struct peer *b)
{
    if (!a->psk || !b->psk)
        return a->psk == b->psk;
    return secret_equal(a->psk, b->psk, sizeof(*a->psk));
}

static void configure_endpoint(struct node *n, struct node_peer *p, const struct endpoint *e)
{
    if (peer_endpoint_set(&p->wg, e) < 0)
        say(n, NODE_ALARM, "no memory for the endpoint of a peer", "peer=%s", key_text(&p->wg.key));
}

void peers_record_changed(void *ctx, const struct peer *old, const struct peer *now)
{
    struct node *n = ctx;
    struct node_peer *p = peer_by_key(n, now ? &now->key : &old->key);
    bool fresh = false;

    if (now)
        tenure_learn(n, now);
    if (!now || !peer_enabled(now, n->now.real_ns / NS_PER_S)) {
        if (p)
            peer_remove(n, p, old);
        return;
    }
    if (!p) {
        p = peer_add(n, now);
        if (!p) {
            say(n, NODE_ALARM, "no memory for a peer; it is stored but not served", "peer=%s",
                key_text(&now->key));
            return;
        }
        fresh = true;
    }
    const struct peer *before = fresh ? NULL : old;
    if (before && !psk_equal(before, now)) {
        struct remote_secret *r = remote_make(n, p, now->psk);
        if (r)
            n->ops.set_remote(n->ops.ctx, &p->wg, r);
    }
    apply_allowed(n, p, before, now);
    routes_of_peer(n, p, now);
    if (endpoint_is_set(&now->endpoint) &&
        (!before || !endpoint_equal(&before->endpoint, &now->endpoint)))
        configure_endpoint(n, p, &now->endpoint);
    uint16_t was = atomic_exchange(&p->wg.keepalive_s, now->keepalive_s);
    if (now->keepalive_s && !was && gate_owned(n->gate, atomic_load(&p->wg.vip))) {
        /* Turning it on sends one at once, which starts a handshake when there is no key. */
        if (n->ops.send_keepalive(n->ops.ctx, &p->wg, n->now.boot_ns) == TX_NO_KEY)
            handshake_initiate(n, p, true, false, n->now);
        peer_arm(n, p, n->now.boot_ns + NS_PER_S);
    }
}

void peers_free_all(struct node *n)
{
    struct node_peer *p = n->peers_by_id, *next;

    for (; p; p = next) {
        next = p->by_id.next;
        peer_remove(n, p, NULL);
    }
}

/* ---- the hub's key ---- */

static void identity_free(struct identity *id)
{
    secret_free(id->private_key);
    free(id);
}

int node_set_private_key(struct node *n, const struct secret32 *key, struct instant now)
{
    struct identity *id = NULL;
    struct cookie_secret *cookies = NULL;

    siblings_now(n, now);
    if (key && !secret_is_zero(key, sizeof(*key))) {
        id = calloc(1, sizeof(*id));
        if (!id)
            return -ENOMEM;
        id->private_key = secret_alloc();
        if (!id->private_key) {
            free(id);
            return -ENOMEM;
        }
        id->hub = n->conf.hub;
        memcpy(id->private_key, key, sizeof(*key));
        identity_init(id, key);
    }
    cookies = calloc(1, sizeof(*cookies));
    if (!cookies) {
        if (id)
            identity_free(id);
        return -ENOMEM;
    }
    memcpy(cookies->key, n->conf.cookie_key, sizeof(cookies->key));
    if (PLANTED("cookies-of-its-own"))
        rng_fill(n->rng, cookies->key, sizeof(cookies->key));

    n->identity = id;
    n->ops.set_identity(n->ops.ctx, id, cookies); /* retires the old ones */
    struct node_peer *p, *next;
    for (p = n->peers_by_id; p; p = next) {
        next = p->by_id.next;
        const struct peer *record = store_find(n->store, n->conf.hub, &p->wg.key);

        if (id && public_key_equal(&id->public_key, &p->wg.key)) {
            peer_remove(n, p, record);
            continue;
        }
        /* Sessions made with the old key end with it. */
        handshake_forget(n, p);
        peer_drop_keys(n, p);
        struct remote_secret *r = remote_make(n, p, record ? record->psk : NULL);
        if (r)
            n->ops.set_remote(n->ops.ctx, &p->wg, r);
    }
    return 0;
}

/* ---- edits ---- */

void queued_change_free(struct queued_change *q)
{
    if (!q)
        return;
    change_free(q->change);
    free(q);
}

static void change_end(struct node *n, struct queued_change *q, int err, const char *message)
{
    n->ops.change_done(n->ops.ctx, q->token, err, message);
    queued_change_free(q);
}

/* ---- revocations: done here, and then awaited elsewhere (P8) ---- */

static bool revoked_there(const struct node *n, const struct queued_change *q, unsigned member)
{
    if (PLANTED("acked-is-revoked"))
        return n->sibling[member].theirs.seq[n->conf.self] >= q->seq;
    return n->sibling[member].said.seq[n->conf.self] >= q->seq;
}

static bool revoke_awaited(const struct node *n, const struct queued_change *q)
{
    if (n->now.boot_ns >= q->deadline_ns)
        return false;
    for (unsigned i = 1; i < MEMBERS_MAX; i++)
        if (n->sibling[i].replica && n->sibling[i].up && n->sibling[i].takes_vectors &&
            !revoked_there(n, q, i))
            return true;
    return false;
}

static void revoke_end(struct node *n, struct queued_change *q)
{
    const char *message = "";
    int err = q->err;

    n->unreached = 0;
    for (unsigned i = 1; i < MEMBERS_MAX; i++)
        if (n->sibling[i].replica && !revoked_there(n, q, i))
            n->unreached |= (uint16_t)(1u << i);
    if (err < 0) {
        message = "revoked, but the peer database cannot be written: a restart forgets it unless a "
                  "sibling knows; make room, it is tried again by itself";
    } else if (n->unreached) {
        err = -ETIMEDOUT;
        message = "revoked here, but not every member has confirmed it";
    }
    change_end(n, q, err, message);
    n->unreached = 0;
}

void revokes_look(struct node *n)
{
    list_for_each (it, &n->revokes) {
        struct queued_change *q = list_entry(it, struct queued_change, all);

        if (revoke_awaited(n, q))
            continue;
        list_remove(&q->all);
        revoke_end(n, q);
    }
}

uint64_t revokes_tick(struct node *n, struct instant now)
{
    uint64_t next = NEVER;

    revokes_look(n);
    list_for_each (it, &n->revokes)
        next = MIN(next, list_entry(it, struct queued_change, all)->deadline_ns);
    return next;
}

uint16_t node_unreached(const struct node *n)
{
    return n->unreached;
}

static void revoke_await(struct node *n, struct queued_change *q, int err)
{
    q->err = err;
    q->seq = store_published(n->store);
    q->deadline_ns = n->now.boot_ns + REVOKE_WAIT_NS;
    list_append(&n->revokes, &q->all);
    revokes_look(n);
}

/* A peer with our own key is silently left out, as the kernel does. */
static void drop_own_key(struct node *n, struct change *c, const struct public_key *own)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < c->peer_count; i++) {
        if (public_key_equal(&c->peers[i].key, own)) {
            secret_free(c->peers[i].psk);
            free(c->peers[i].allowed);
            continue;
        }
        c->peers[kept++] = c->peers[i];
    }
    c->peer_count = kept;
}

/* Device fields: in a cluster the configuration file has the say; the same value is no change. */
static int change_device(struct node *n, struct change *c, struct instant now,
                         const char **ret_message)
{
    int r = 0;

    if (clustered(n)) {
        bool same =
            !c->has_private_key || (n->identity && c->private_key &&
                                    secret_equal(c->private_key, n->identity->private_key, 32));
        if (!same || (c->has_listen_port && c->listen_port != n->conf.vip[1].port)) {
            *ret_message = "key and port of a cluster's hub are set in its configuration file";
            return -EPERM;
        }
    } else if (c->has_listen_port) {
        r = n->ops.set_port(n->ops.ctx, c->listen_port);
        if (r < 0) {
            *ret_message = "the port cannot be used";
            return r;
        }
    }
    if (c->has_fwmark) {
        r = n->ops.set_fwmark(n->ops.ctx, c->fwmark);
        if (r < 0) {
            *ret_message = "the mark cannot be set";
            return r;
        }
    }
    bool same_key =
        n->identity && c->private_key && secret_equal(c->private_key, n->identity->private_key, 32);
    if (c->has_private_key && !clustered(n) && !same_key) /* a new one ends all sessions */
        r = node_set_private_key(n, c->private_key, now);
    return r;
}

/* The next edit, or the merges that came in, when no commit is under way. */
static void changes_pump(struct node *n, struct instant now)
{
    while (!n->committing && !list_empty(&n->changes)) {
        struct queued_change *q = list_entry(n->changes.next, struct queued_change, all);
        struct store_write *w = store_begin(n->store);
        char error[STORE_ERROR_LEN] = "";
        const char *message = error;

        list_remove(&q->all);
        if (!w) {
            change_end(n, q, -ENOMEM, "no memory");
            continue;
        }
        struct public_key own = {0};
        if (q->change->has_private_key && q->change->private_key)
            x25519_public(own.b, q->change->private_key->b);
        else if (n->identity)
            own = n->identity->public_key;
        drop_own_key(n, q->change, &own);
        int r = store_apply(n->store, w, q->change, now.real_ns, error);
        if (r >= 0)
            r = change_device(n, q->change, now, &message);
        if (r < 0) {
            store_abort(n->store, w);
            change_end(n, q, r, message);
            continue;
        }
        n->committing = w;
        n->committing_change = q;
        n->ops.commit(n->ops.ctx, w);
    }
    if (!n->committing && n->merging) {
        if (store_write_empty(n->merging) && !store_unsaved(n->store)) {
            store_abort(n->store, TAKE_PTR(n->merging));
            return;
        }
        n->committing = TAKE_PTR(n->merging);
        n->committing_from = n->cover_from;
        n->cover_from = 0;
        n->ops.commit(n->ops.ctx, n->committing);
    }
}

void peers_store_flush(struct node *n, struct instant now)
{
    changes_pump(n, now);
}

void node_change(struct node *n, struct change *c, void *token, struct instant now)
{
    struct queued_change *q = calloc(1, sizeof(*q));

    siblings_now(n, now);
    if (!q) {
        change_free(c);
        n->ops.change_done(n->ops.ctx, token, -ENOMEM, "no memory");
        return;
    }
    q->change = c;
    q->token = token;
    for (unsigned i = 0; i < c->peer_count; i++)
        q->revokes |= c->peers[i].revoke;
    list_append(&n->changes, &q->all);
    node_flush(n, now);
}

static void published(void *ctx, const struct peer *old, const struct peer *now)
{
    struct node *n = ctx;

    peers_record_changed(n, old, now);
    /* As replicated, which may be more than is served (P5). What came from a sibling is not sent
     * on: where somebody lacks it, anti-entropy finds out. */
    if (n->committing_change && clustered(n) && now) {
        const struct peer *record = store_record(n->store, now->hub, &now->key);
        struct sync_msg m = {.kind = SYNC_PEER, .peer = (struct peer *)record};

        siblings_send_all(n, &m, n->now);
    }
}

/* P9: a revocation, and what siblings told, are served whether or not the disk takes them. */
static bool take_write(struct node *n, struct store_write *w, int err)
{
    const struct queued_change *q = n->committing_change;

    if (err >= 0) {
        store_publish(n->store, w, published, n);
        return true;
    }
    if (store_write_broken(w) || (q && !q->revokes)) {
        say(n, NODE_ALARM, "peers could not be stored; nothing was changed", "error=%s",
            strerror(-err));
        for (unsigned i = 1; !q && i < MEMBERS_MAX; i++)
            n->sibling[i].unsure = true; /* what it told is lost */
        store_abort(n->store, w);
        return false;
    }
    say(n, NODE_ALARM, "peers could not be stored; they are served all the same, and tried again",
        "error=%s", strerror(-err));
    store_publish_unsaved(n->store, w, published, n);
    return true;
}

void node_committed(struct node *n, struct store_write *w, int err, struct instant now)
{
    struct queued_change *q = n->committing_change;

    siblings_now(n, now);
    bool taken = take_write(n, w, err);
    /* An endpoint named again is taken even when the record had it: the peer may have roamed. */
    for (unsigned i = 0; taken && q && i < q->change->peer_count; i++) {
        const struct peer_change *pc = &q->change->peers[i];
        struct node_peer *p = peer_by_key(n, &pc->key);
        if (p && pc->has_endpoint)
            configure_endpoint(n, p, &pc->endpoint);
    }
    n->committing = NULL;
    n->committing_change = NULL;
    if (clustered(n) && taken && q)
        entropy_edited(n);
    else if (clustered(n) && taken)
        entropy_merged(n);
    n->committing_from = 0;
    if (q && taken && q->revokes && clustered(n))
        revoke_await(n, q, err);
    else if (q)
        change_end(n, q, err, err < 0 ? "the peer database cannot be written" : "");
    node_flush(n, now);
}

/* ---- start and end ---- */

static void stamp_loaded(void *ctx, const struct store_stamp *st)
{
    struct node *n = ctx;
    struct node_peer *p = peer_by_key(n, &st->key);

    n->stamp_floor = MAX(n->stamp_floor, st->sent_real_ns);
    if (!p)
        return;
    p->sent_real_ns = MAX(p->sent_real_ns, st->sent_real_ns);
    peer_take_stamp(n, p, st->received);
}

void node_load(struct node *n, struct instant now)
{
    uint64_t cursor = 0;
    const struct peer *record;

    siblings_now(n, now);
    for (uint16_t slot = 1; slot <= n->conf.vip_count; slot++)
        routes_look(n, slot);
    while ((record = store_next(n->store, &cursor)))
        if (record->hub == n->conf.hub)
            peers_record_changed(n, NULL, record);
    store_load_stamps(n->store, stamp_loaded, n);
}

int node_save(struct node *n)
{
    unsigned count = 0, room = HASH_CNT(by_id, n->peers_by_id);
    _cleanup_(freep) struct store_stamp *all = calloc(room + 1, sizeof(*all));

    if (!all)
        return -ENOMEM;
    for (struct node_peer *p = n->peers_by_id; p; p = p->by_id.next) {
        if (!p->sent_real_ns && secret_is_zero(p->received, TAI64N_LEN))
            continue;
        all[count].hub = n->conf.hub;
        all[count].key = p->wg.key;
        memcpy(all[count].received, p->received, TAI64N_LEN);
        all[count++].sent_real_ns = p->sent_real_ns;
    }
    return store_save_stamps(n->store, all, count);
}
