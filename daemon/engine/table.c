/* Tables that all threads read and main writes: receiver indices and peers. */
#include "base/secret.h"
#include "engine/internal.h"

/* A table grows in the background, by grace periods: while main fills it there is no time for that,
 * and chains of 64 buckets made 100 000 peers take four times as long. */
#define BUCKETS_FIRST 16384

static unsigned long hash_u64(uint64_t v)
{
    v ^= v >> 32;
    v *= 0x9e3779b97f4a7c15ull; /* 2^64 / golden ratio: spreads serial numbers */
    return (unsigned long)(v ^ v >> 29);
}

static unsigned long hash_key(const struct public_key *key)
{
    uint64_t v;

    /* A curve point's bytes are as good as random, and only the operator adds keys. */
    memcpy(&v, key->b, sizeof(v));
    return hash_u64(v);
}

static struct index_entry *index_of_node(struct cds_lfht_node *n)
{
    struct index_entry *i = caa_container_of(n, struct index_entry, node);

    rcu_edge_in(i);
    return i;
}

static struct peer_entry *peer_of_id_node(struct cds_lfht_node *n)
{
    struct peer_entry *p = caa_container_of(n, struct peer_entry, by_id);

    rcu_edge_in(p);
    return p;
}

static int match_index(struct cds_lfht_node *n, const void *key)
{
    return index_of_node(n)->index == *(const uint32_t *)key;
}

static int match_id(struct cds_lfht_node *n, const void *key)
{
    return peer_of_id_node(n)->peer->id == *(const uint64_t *)key;
}

static int match_key(struct cds_lfht_node *n, const void *key)
{
    struct peer_entry *p = caa_container_of(n, struct peer_entry, by_key);

    rcu_edge_in(p);
    return public_key_equal(&p->peer->key, key);
}

static struct cds_lfht_node *find(struct cds_lfht *table, unsigned long hash,
                                  cds_lfht_match_fct match, const void *key)
{
    struct cds_lfht_iter it;

    cds_lfht_lookup(table, hash, match, key, &it);
    return cds_lfht_iter_get_node(&it);
}

struct index_entry *index_find(const struct engine *e, uint32_t index)
{
    struct cds_lfht_node *n = find(e->by_index, hash_u64(index), match_index, &index);

    return n ? index_of_node(n) : NULL;
}

struct peer_entry *peer_find(const struct engine *e, uint64_t id)
{
    struct cds_lfht_node *n = find(e->by_id, hash_u64(id), match_id, &id);

    return n ? peer_of_id_node(n) : NULL;
}

struct peer_entry *peer_find_key(const struct engine *e, const struct public_key *key)
{
    struct cds_lfht_node *n = find(e->by_key, hash_key(key), match_key, key);

    return n ? caa_container_of(n, struct peer_entry, by_key) : NULL;
}

pthread_mutex_t *peer_lock(struct engine *e, const struct peer_entry *p)
{
    return &e->peer_locks[hash_u64((uintptr_t)p) % PEER_LOCKS];
}

/* ---- receiver indices ---- */

static void index_free(struct rcu_head *head)
{
    struct index_entry *i = caa_container_of(head, struct index_entry, rcu);

    rcu_after_begin(head);
    free(i);
}

static void index_unlink(struct engine *e, struct index_entry *i)
{
    cds_lfht_del(e->by_index, &i->node);
    e->index_count--;
    rcu_after(&i->rcu, index_free);
}

static uint64_t use_of(const void *object, enum index_use as)
{
    uint64_t at = (uintptr_t)object;

    assert(at && at % INDEX_USES == 0);
    return at | as;
}

/* Visible from here on. */
static int index_link(struct engine *e, uint32_t index, uint64_t peer_id, uint64_t use)
{
    struct index_entry *i = calloc(1, sizeof(*i));

    if (!i)
        return -ENOMEM;
    cds_lfht_node_init(&i->node);
    i->index = index;
    i->peer_id = peer_id;
    atomic_init(&i->use, use);
    rcu_edge_out(i);
    cds_lfht_add(e->by_index, hash_u64(i->index), &i->node);
    e->index_count++;
    return 0;
}

static uint64_t free_at_ns(const struct index_entry *i)
{
    return atomic_load(&i->use) - INDEX_RESERVED;
}

/* All reservations last equally long, so the oldest ends first. */
static void reserved_expire(struct engine *e, uint64_t now_ns)
{
    list_for_each (it, &e->reserved) {
        struct index_entry *i = list_entry(it, struct index_entry, reserved);

        if (free_at_ns(i) > now_ns && e->reserved_count <= RESERVED_MAX)
            break;
        list_remove(&i->reserved);
        e->reserved_count--;
        index_unlink(e, i);
    }
}

/* I1: an index that was in use stays out of it until no packet of the old key can be around. */
static void index_reserve(struct engine *e, struct index_entry *i, bool was_initiation)
{
    uint64_t now_ns = clock_boot_ns();

    i->was_initiation = was_initiation;
    atomic_store(&i->use, (now_ns + KEY_ZERO_NS) / INDEX_USES * INDEX_USES + INDEX_RESERVED);
    list_append(&e->reserved, &i->reserved);
    e->reserved_count++;
    reserved_expire(e, now_ns);
}

static int add_keypair(struct engine *e, struct keypair *k)
{
    struct index_entry *i = index_find(e, k->local_index);

    if (!i)
        return index_link(e, k->local_index, k->peer->id, use_of(k, INDEX_KEYPAIR));
    /* The initiator's session keeps the index of its initiation. */
    if (index_keypair(i) || i->peer_id != k->peer->id)
        return -EEXIST;
    if (!index_initiation(i)) {
        if (!i->was_initiation)
            return -EEXIST;
        list_remove(&i->reserved);
        e->reserved_count--;
        i->was_initiation = false;
    }
    atomic_store(&i->effects, 0);
    atomic_store_explicit(&i->use, use_of(k, INDEX_KEYPAIR), memory_order_release);
    return 0;
}

int engine_add_keypair(struct engine *e, struct keypair *k)
{
    rcu_enter();
    int r = add_keypair(e, k);
    rcu_leave();
    return r;
}

void engine_remove_keypair(struct engine *e, struct keypair *k)
{
    rcu_enter();
    struct index_entry *i = index_find(e, k->local_index);
    if (i && index_keypair(i) == k)
        index_reserve(e, i, false);
    rcu_leave();
}

static int add_initiation(struct engine *e, struct initiation *i)
{
    if (index_find(e, i->local_index))
        return -EEXIST;
    return index_link(e, i->local_index, i->peer_id, use_of(i, INDEX_INITIATION));
}

int engine_add_initiation(struct engine *e, struct initiation *i)
{
    rcu_enter();
    int r = add_initiation(e, i);
    rcu_leave();
    return r;
}

void engine_remove_initiation(struct engine *e, struct initiation *i)
{
    rcu_enter();
    struct index_entry *entry = index_find(e, i->local_index);
    if (entry && index_initiation(entry) == i)
        index_reserve(e, entry, true);
    rcu_leave();
}

bool engine_index_known(struct engine *e, uint32_t index)
{
    rcu_enter();
    bool known = index_find(e, index) != NULL;
    rcu_leave();
    return known;
}

uint32_t engine_draw_index(struct engine *e)
{
    uint32_t index;

    do {
        index = rng_u32(&rng_system);
    } while (engine_index_known(e, index));
    return index;
}

/* ---- peers ---- */

static void peer_entry_free(struct rcu_head *head)
{
    struct peer_entry *p = caa_container_of(head, struct peer_entry, rcu);

    rcu_after_begin(head);
    free(p);
}

static int add_peer(struct engine *e, struct wg_peer *p, struct remote_secret *s)
{
    struct peer_entry *entry;

    if (peer_find(e, p->id) || peer_find_key(e, &p->key))
        return -EEXIST;
    entry = calloc(1, sizeof(*entry));
    if (!entry)
        return -ENOMEM;
    cds_lfht_node_init(&entry->by_id);
    cds_lfht_node_init(&entry->by_key);
    entry->peer = p;
    atomic_store(&entry->secret, s);
    rcu_edge_out(entry);
    cds_lfht_add(e->by_id, hash_u64(p->id), &entry->by_id);
    cds_lfht_add(e->by_key, hash_key(&p->key), &entry->by_key);
    e->peer_count++;
    return 0;
}

int engine_add_peer(struct engine *e, struct wg_peer *p, struct remote_secret *s)
{
    rcu_enter();
    int err = add_peer(e, p, s);
    rcu_leave();
    return err;
}

void engine_set_remote(struct engine *e, struct wg_peer *p, struct remote_secret *s)
{
    struct remote_secret *old = s;

    rcu_enter();
    struct peer_entry *entry = peer_find(e, p->id);
    if (entry)
        old = atomic_exchange(&entry->secret, s);
    rcu_leave();
    if (old)
        engine_retire(e, old, secret_free);
}

/* Its secret is the caller's to retire. */
static struct remote_secret *peer_unlink(struct engine *e, struct peer_entry *p)
{
    struct remote_secret *s = atomic_exchange(&p->secret, NULL);

    staging_close(&e->main, p);
    cds_lfht_del(e->by_id, &p->by_id);
    cds_lfht_del(e->by_key, &p->by_key);
    e->peer_count--;
    rcu_after(&p->rcu, peer_entry_free);
    return s;
}

void engine_remove_peer(struct engine *e, struct wg_peer *p)
{
    struct remote_secret *s = NULL;

    rcu_enter();
    struct peer_entry *entry = peer_find(e, p->id);
    if (entry && entry->peer == p)
        s = peer_unlink(e, entry);
    rcu_leave();
    if (s)
        engine_retire(e, s, secret_free);
}

void engine_set_last_stamp(struct engine *e, struct wg_peer *p, const uint8_t stamp[TAI64N_LEN])
{
    rcu_enter();
    struct peer_entry *entry = peer_find(e, p->id);
    if (entry) {
        pthread_mutex_lock(peer_lock(e, entry));
        memcpy(entry->stamp, stamp, TAI64N_LEN);
        entry->has_stamp = true;
        pthread_mutex_unlock(peer_lock(e, entry));
    }
    rcu_leave();
}

void engine_set_last_mac1(struct engine *e, struct wg_peer *p, const uint8_t mac1[16])
{
    rcu_enter();
    struct peer_entry *entry = peer_find(e, p->id);
    if (entry) {
        pthread_mutex_lock(peer_lock(e, entry));
        memcpy(entry->mac1, mac1, sizeof(entry->mac1));
        entry->has_mac1 = true;
        pthread_mutex_unlock(peer_lock(e, entry));
    }
    rcu_leave();
}

/* ---- identity ---- */

static void identity_free(void *v)
{
    struct identity *id = v;

    secret_free(id->private_key);
    secret_wipe(id, sizeof(*id));
    free(id);
}

static void cookies_free(void *v)
{
    secret_wipe(v, sizeof(struct cookie_secret));
    free(v);
}

void engine_set_identity(struct engine *e, struct identity *id, struct cookie_secret *cookies)
{
    struct identity *old_id = atomic_exchange(&e->identity, id);
    struct cookie_secret *old_cookies = atomic_exchange(&e->cookies, cookies);

    if (old_id && old_id != id)
        engine_retire(e, old_id, identity_free);
    if (old_cookies && old_cookies != cookies)
        engine_retire(e, old_cookies, cookies_free);
}

/* ---- all of them ---- */

void tables_scan(struct engine *e, void (*index)(struct engine *e, struct index_entry *i),
                 void (*peer)(struct engine *e, struct peer_entry *p))
{
    struct cds_lfht_iter it;
    struct cds_lfht_node *n;

    cds_lfht_for_each(e->by_index, &it, n) index(e, index_of_node(n));
    cds_lfht_for_each(e->by_id, &it, n) peer(e, peer_of_id_node(n));
}

static struct cds_lfht *table_new(void)
{
    return cds_lfht_new(BUCKETS_FIRST, BUCKETS_FIRST, 0, CDS_LFHT_AUTO_RESIZE | CDS_LFHT_ACCOUNTING,
                        NULL);
}

int tables_init(struct engine *e)
{
    for (unsigned i = 0; i < PEER_LOCKS; i++)
        pthread_mutex_init(&e->peer_locks[i], NULL);
    list_init(&e->reserved);
    e->by_index = table_new();
    e->by_key = table_new();
    e->by_id = table_new();
    return e->by_index && e->by_key && e->by_id ? 0 : -ENOMEM;
}

static void table_free(struct cds_lfht *table)
{
    if (table)
        cds_lfht_destroy(table, NULL);
}

/* The threads are gone. */
void tables_done(struct engine *e)
{
    struct cds_lfht_iter it;
    struct cds_lfht_node *n;

    rcu_enter();
    if (e->by_index)
        cds_lfht_for_each(e->by_index, &it, n) index_unlink(e, index_of_node(n));
    if (e->by_id)
        cds_lfht_for_each(e->by_id, &it, n) secret_free(peer_unlink(e, peer_of_id_node(n)));
    rcu_leave();
    list_init(&e->reserved); /* they went with the others */
    engine_set_identity(e, NULL, NULL);
    rcu_drain();
    table_free(e->by_index);
    table_free(e->by_key);
    table_free(e->by_id);
    for (unsigned i = 0; i < PEER_LOCKS; i++)
        pthread_mutex_destroy(&e->peer_locks[i]);
}
