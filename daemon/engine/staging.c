/* Packets that wait for a key: bounded for a peer and in all; what is too much pushes out the
 * oldest of its peer. */
#include "engine/internal.h"

static void drop(struct engine *e, struct staged *s)
{
    atomic_fetch_sub_explicit(&e->staged_count, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&e->staged_bytes, (unsigned)s->room, memory_order_relaxed);
    free(s);
}

/* Under the peer's lock. */
static struct staged *take_first(struct peer_entry *p)
{
    struct staged *last = p->staged_last, *s = last ? last->next : NULL;

    if (!s)
        return NULL;
    if (s == last)
        p->staged_last = NULL;
    else
        last->next = s->next;
    p->staged_count--;
    return s;
}

static void put_first(struct peer_entry *p, struct staged *s)
{
    if (p->staged_last) {
        s->next = p->staged_last->next;
        p->staged_last->next = s;
    } else {
        p->staged_last = s->next = s;
    }
    p->staged_count++;
}

static void append(struct peer_entry *p, struct staged *s)
{
    put_first(p, s);
    p->staged_last = s; /* a ring: its oldest is now behind the newest */
}

/* NULL: over the bounds of all peers, or no memory. */
static struct staged *copy(struct engine *e, const uint8_t *packet, size_t len)
{
    size_t room = HEADROOM + len + PACKET_TAILROOM;
    struct staged *s = NULL;

    unsigned count = atomic_fetch_add_explicit(&e->staged_count, 1, memory_order_relaxed);
    unsigned bytes =
        atomic_fetch_add_explicit(&e->staged_bytes, (unsigned)room, memory_order_relaxed);
    if (count < STAGED_ALL_MAX && bytes + room <= STAGED_BYTES_MAX)
        s = malloc(sizeof(*s) + room);
    if (!s) {
        atomic_fetch_sub_explicit(&e->staged_count, 1, memory_order_relaxed);
        atomic_fetch_sub_explicit(&e->staged_bytes, (unsigned)room, memory_order_relaxed);
        return NULL;
    }
    s->next = NULL;
    s->len = len;
    s->room = room;
    memcpy(s->data + HEADROOM, packet, len);
    return s;
}

bool staging_add(struct lane *l, struct peer_entry *p, const uint8_t *packet, size_t len)
{
    struct staged *s = copy(l->e, packet, len), *old = NULL;

    if (!s) {
        count_add(&l->stats.staged_dropped, 1);
        return false;
    }
    pthread_mutex_lock(peer_lock(l->e, p));
    if (p->removed) {
        old = s;
    } else {
        if (p->staged_count >= STAGED_PACKETS_MAX)
            old = take_first(p);
        append(p, s);
    }
    pthread_mutex_unlock(peer_lock(l->e, p));
    if (old) {
        drop(l->e, old);
        count_add(&l->stats.staged_dropped, 1);
    }
    return old != s;
}

static void drop_all(struct lane *l, struct staged *batch[], unsigned n)
{
    count_add(&l->stats.staged_dropped, n);
    for (unsigned i = 0; i < n; i++)
        drop(l->e, batch[i]);
}

bool staging_any(struct engine *e, struct peer_entry *p)
{
    pthread_mutex_lock(peer_lock(e, p));
    bool any = p->staged_count > 0;
    pthread_mutex_unlock(peer_lock(e, p));
    return any;
}

static unsigned take_batch(struct engine *e, struct peer_entry *p, struct staged *ret[BATCH_MAX])
{
    unsigned n = 0;

    pthread_mutex_lock(peer_lock(e, p));
    while (n < BATCH_MAX && (ret[n] = take_first(p)))
        n++;
    pthread_mutex_unlock(peer_lock(e, p));
    return n;
}

/* Back to the head of the queue, in their order. */
static void put_back(struct lane *l, struct peer_entry *p, struct staged *batch[], unsigned n)
{
    pthread_mutex_lock(peer_lock(l->e, p));
    bool removed = p->removed;
    for (unsigned i = n; i-- > 0 && !removed;)
        put_first(p, batch[i]);
    pthread_mutex_unlock(peer_lock(l->e, p));
    if (removed)
        drop_all(l, batch, n);
}

void staging_flush(struct lane *l, struct peer_entry *p, uint64_t now_ns)
{
    struct staged *batch[BATCH_MAX];
    struct packet packets[BATCH_MAX];
    struct route route;
    enum tx_verdict v = TX_OK;
    unsigned n;

    if (!lane_route(l, p->peer, &route))
        return;
    while (v == TX_OK && (n = take_batch(l->e, p, batch))) {
        for (unsigned i = 0; i < n; i++)
            packets[i] = (struct packet){.data = batch[i]->data,
                                         .len = batch[i]->len,
                                         .padded = lane_padded(l->e, batch[i]->len)};
        v = lane_seal(l, p->peer, &route, packets, n, now_ns);
        if (tx_waits(v)) {
            put_back(l, p, batch, n);
            return;
        }
        lane_send(l);
        if (v != TX_OK)
            count_add(&l->stats.staged_dropped, n);
        for (unsigned i = 0; i < n; i++)
            drop(l->e, batch[i]);
    }
}

void staging_drop(struct lane *l, struct peer_entry *p)
{
    struct staged *batch[BATCH_MAX];
    unsigned n;

    while ((n = take_batch(l->e, p, batch)))
        drop_all(l, batch, n);
}

void staging_close(struct lane *l, struct peer_entry *p)
{
    pthread_mutex_lock(peer_lock(l->e, p));
    p->removed = true;
    pthread_mutex_unlock(peer_lock(l->e, p));
    staging_drop(l, p);
}

void staging_take(struct engine *e, struct peer_entry *p, staged_fn *fn, void *ctx)
{
    struct staged *batch[BATCH_MAX];
    unsigned n;

    while ((n = take_batch(e, p, batch)))
        for (unsigned i = 0; i < n; i++) {
            fn(ctx, batch[i]->data + HEADROOM, batch[i]->len);
            drop(e, batch[i]);
        }
}
