#include "engine/internal.h"
#include <signal.h>

void *alloc_aligned(size_t len)
{
    void *p;

    if (posix_memalign(&p, 64, len))
        return NULL;
    memset(p, 0, len);
    return p;
}

/* ---- waking main, and what it does then ---- */

void engine_wake_main(struct engine *e)
{
    wake_send(e->wake);
}

static void tell_effects(struct engine *e, uint32_t index)
{
    struct fact f = {.kind = FACT_EFFECTS, .index = index};

    rcu_enter();
    struct index_entry *i = index_find(e, index);
    if (i)
        f.effects = atomic_exchange(&i->effects, 0);
    rcu_leave();
    if (f.effects)
        e->ops.fact(e->ops.ctx, &f);
}

static void tell_peer(struct engine *e, const struct fact *f, unsigned bit)
{
    bool told = false;

    rcu_enter();
    struct peer_entry *p = peer_find(e, f->peer_id);
    if (p)
        told = atomic_fetch_and(&p->facts, ~bit) & bit;
    rcu_leave();
    if (told)
        e->ops.fact(e->ops.ctx, f);
}

/* A key may have come since the packets were staged, as after a responder's first data, which makes
 * its key current on main: then they leave, and nothing is needed. */
static void tell_need_session(struct engine *e, const struct fact *f)
{
    bool need = false;

    rcu_enter();
    struct peer_entry *p = peer_find(e, f->peer_id);
    /* The bit first: what is staged from here on sends a fact of its own. */
    if (p &&
        (atomic_fetch_and(&p->facts, ~(unsigned)PEER_FACT_NEED_SESSION) & PEER_FACT_NEED_SESSION)) {
        if (atomic_load(&p->peer->current))
            staging_flush(&e->main, p, clock_boot_ns());
        need = staging_any(e, p);
    }
    rcu_leave();
    if (need)
        e->ops.fact(e->ops.ctx, f);
}

static void tell(struct engine *e, const struct fact *f)
{
    switch (f->kind) {
    case FACT_EFFECTS:
        tell_effects(e, f->index);
        break;
    case FACT_ARM:
        tell_peer(e, f, PEER_FACT_ARM);
        break;
    case FACT_NEED_SESSION:
        tell_need_session(e, f);
        break;
    case FACT_ENDPOINT:
        tell_peer(e, f, PEER_FACT_ENDPOINT);
        break;
    case FACT_LOST_SOCKET:
        tell_peer(e, f, PEER_FACT_LOST_SOCKET);
        break;
    case FACT_READ_ADDRESSES:
    case FACT_GAP:
    case FACT_UNKNOWN_INDEX:
    case FACT_WRONG_VIP:
    case FACT_DROPPED:
        e->ops.fact(e->ops.ctx, f);
        break;
    }
}

/* A ring ran over. The bits of what did not fit are still set: send those facts again, as many as
 * there is room for, until all are told. Facts of stopped threads need none of it. */
static void scan_index(struct engine *e, struct index_entry *i)
{
    struct fact f = {.kind = FACT_EFFECTS, .index = i->index};

    if (atomic_load(&i->effects) && !ring_push(&e->main.facts, &f))
        atomic_store(&e->main.facts_overrun, true);
}

static void scan_peer(struct engine *e, struct peer_entry *p)
{
    unsigned facts = atomic_exchange(&p->facts, 0);

    if (facts)
        lane_tell_peer(&e->main, p, facts);
}

static void drain_facts(struct engine *e, struct lane *l)
{
    struct fact f;

    /* At most a ring at a time: other work of main's is waiting too. */
    for (unsigned i = 0; i < FACT_RING_RECORDS; i++) {
        if (!ring_pop(&l->facts, &f))
            return;
        /* After what all other threads have said: one of them may have confirmed the key. */
        if (f.kind == FACT_NEED_SESSION && l != &e->main) {
            if (!ring_push(&e->main.facts, &f))
                atomic_store(&e->main.facts_overrun, true);
        } else {
            tell(e, &f);
        }
    }
    engine_wake_main(e);
}

static void deliver_facts(struct engine *e)
{
    bool overrun = false;

    atomic_store_explicit(&e->heard_ns, clock_boot_ns(), memory_order_relaxed);
    for (unsigned i = 0; i < e->worker_count; i++) {
        overrun |= atomic_exchange(&e->workers[i].lane.facts_overrun, false);
        drain_facts(e, &e->workers[i].lane);
    }
    overrun |= atomic_exchange(&e->main.facts_overrun, false);
    drain_facts(e, &e->main);
    if (!overrun)
        return;
    rcu_enter();
    tables_scan(e, scan_index, scan_peer);
    rcu_leave();
    engine_wake_main(e);
}

static void deliver_gaps(struct engine *e)
{
    for (unsigned i = 0; i < e->worker_count; i++) {
        struct worker *w = &e->workers[i];
        uint64_t serial = atomic_load(&w->gap_serial);
        struct fact f = {.kind = FACT_GAP, .index = i, .value_ns = atomic_load(&w->gap_ns)};

        if (serial == w->gap_delivered)
            continue;
        w->gap_delivered = serial;
        e->ops.fact(e->ops.ctx, &f);
    }
}

static void free_retired(struct engine *e)
{
    struct retired *next;

    pthread_mutex_lock(&e->retired_lock);
    struct retired *r = e->retired_ready;
    e->retired_ready = NULL;
    pthread_mutex_unlock(&e->retired_lock);
    for (; r; r = next) {
        next = r->next;
        r->free_fn(r->object);
        free(r);
    }
}

static void on_wake(void *ctx)
{
    struct engine *e = ctx;

    free_retired(e);
    if (e->stopped)
        return;
    deliver_gaps(e); /* first: what follows may depend on the tag that is redrawn for it */
    deliver_facts(e);
    pool_deliver(e);
    int err = atomic_load(&e->failed);
    if (err && !e->failed_told) {
        e->failed_told = true;
        e->ops.failed(e->ops.ctx, "tun", err);
    }
}

/* ---- retiring ---- */

static void after_grace(struct rcu_head *head)
{
    struct retired *r = caa_container_of(head, struct retired, rcu);

    rcu_after_begin(head);
    struct engine *e = r->e;
    pthread_mutex_lock(&e->retired_lock);
    bool first = !e->retired_ready;
    r->next = e->retired_ready;
    e->retired_ready = r;
    if (first)
        engine_wake_main(e); /* under the lock: engine_free() takes it before the handle goes */
    pthread_mutex_unlock(&e->retired_lock);
}

void engine_retire(struct engine *e, void *object, void (*free_fn)(void *))
{
    struct retired *r = malloc(sizeof(*r));

    if (!r) { /* the slow way */
        rcu_wait();
        free_fn(object);
        return;
    }
    *r = (struct retired){.e = e, .object = object, .free_fn = free_fn};
    rcu_after(&r->rcu, after_grace);
}

static void retire_node(void *ctx, void *node, void (*free_fn)(void *))
{
    engine_retire(ctx, node, free_fn);
}

/* ---- life ---- */

static void on_wake_closed(uv_handle_t *h)
{
    struct wake *w = h->data;

    wake_done(w);
    free(w);
}

static void engine_destroy(struct engine *e)
{
    if (e->wake) {
        if (e->started)
            engine_stop(e);
        for (unsigned i = 0; i < e->worker_count; i++)
            worker_done(&e->workers[i]);
        if (e->pool.rings)
            pool_done(e);
        lane_done(&e->main);
        allowedips_done(&e->allowedips);
        tables_done(e); /* waits for all that was retired */
        free_retired(e);
        wake_close(e->wake, on_wake_closed);
    }
    free(e->workers);
    pthread_mutex_destroy(&e->retired_lock);
    free(e);
}

static int engine_init(struct engine *e, uv_loop_t *main_loop)
{
    int r;

    e->wake = calloc(1, sizeof(*e->wake));
    if (!e->wake)
        return -ENOMEM;
    r = wake_init(e->wake, main_loop, on_wake, e);
    if (r < 0) {
        free(TAKE_PTR(e->wake));
        return r;
    }
    r = tables_init(e);
    if (r < 0)
        return r;
    allowedips_init(&e->allowedips, retire_node, e);
    r = lane_init(&e->main, e, 0);
    if (r < 0)
        return r;
    r = pool_init(e);
    for (unsigned i = 0; i < e->worker_count && r == 0; i++)
        r = worker_init(&e->workers[i], e, i);
    return r;
}

/* Signals are main's business. */
static int start_threads(struct engine *e)
{
    sigset_t all, before;
    int r = 0;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    e->started = true;
    rcu_enter();
    get_default_call_rcu_data(); /* starts liburcu's thread */
    rcu_leave();
    for (unsigned i = 0; i < e->worker_count && r == 0; i++)
        r = worker_start(&e->workers[i]);
    if (r == 0)
        r = pool_start(e);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r;
}

int engine_new(uv_loop_t *main_loop, const struct engine_config *c, const struct engine_ops *ops,
               struct engine **ret)
{
    struct engine *e;
    int r;

    if (c->workers < 1 || c->workers > WORKERS_MAX || c->handshake_threads < 1 ||
        c->handshake_threads > POOL_THREADS_MAX || c->tun_fds[0] < 0)
        return -EINVAL;
    e = alloc_aligned(sizeof(*e));
    if (!e)
        return -ENOMEM;
    e->config = *c;
    e->ops = *ops;
    e->gate = c->gate;
    e->mtu = c->mtu;
    pthread_mutex_init(&e->retired_lock, NULL);
    e->workers = alloc_aligned((c->workers + 1) * sizeof(*e->workers));
    r = e->workers ? 0 : -ENOMEM;
    if (r == 0) {
        e->worker_count = c->workers + 1;
        r = engine_init(e, main_loop);
    }
    if (r == 0)
        r = start_threads(e);
    if (r < 0) {
        engine_destroy(e);
        return r;
    }
    e->config.tun_fds = NULL;
    *ret = e;
    return 0;
}

void engine_stop(struct engine *e)
{
    if (e->stopped)
        return;
    e->stopped = true;
    sockets_close_all(e);
    pool_stop(e);
    for (unsigned i = 0; i < e->worker_count; i++)
        worker_stop(&e->workers[i]);
}

void engine_free(struct engine *e)
{
    if (e)
        engine_destroy(e);
}

/* ---- settings, orders, figures ---- */

void engine_set_mtu(struct engine *e, unsigned mtu)
{
    atomic_store(&e->mtu, mtu);
}

struct allowedips *engine_allowedips(struct engine *e)
{
    return &e->allowedips;
}

enum tx_verdict engine_send_keepalive(struct engine *e, struct wg_peer *p, uint64_t now_ns)
{
    uint8_t message[HEADROOM + PACKET_TAILROOM];
    struct packet empty = {.data = message};
    enum tx_verdict v = TX_NO_KEY;
    struct route route;

    rcu_enter();
    if (lane_route(&e->main, p, &route))
        v = lane_seal(&e->main, p, &route, &empty, 1, now_ns);
    lane_send(&e->main);
    rcu_leave();
    lane_wake_main(&e->main);
    return v;
}

void engine_flush_staged(struct engine *e, struct wg_peer *p, uint64_t now_ns)
{
    rcu_enter();
    struct peer_entry *entry = peer_find(e, p->id);
    if (entry)
        staging_flush(&e->main, entry, now_ns);
    rcu_leave();
    lane_wake_main(&e->main);
}

void engine_drop_staged(struct engine *e, struct wg_peer *p)
{
    rcu_enter();
    struct peer_entry *entry = peer_find(e, p->id);
    if (entry)
        staging_drop(&e->main, entry);
    rcu_leave();
}

void engine_take_staged(struct engine *e, struct wg_peer *p, staged_fn *fn, void *ctx)
{
    rcu_enter();
    struct peer_entry *entry = peer_find(e, p->id);
    if (entry)
        staging_take(e, entry, fn, ctx);
    rcu_leave();
}

void engine_stage(struct engine *e, struct wg_peer *p, const uint8_t *packet, size_t len)
{
    rcu_enter();
    struct peer_entry *entry = peer_find(e, p->id);
    if (entry && len <= TUN_PACKET_MAX)
        staging_add(&e->main, entry, packet, len);
    rcu_leave();
}

void engine_wake_held(struct engine *e)
{
    for (unsigned i = 0; i < e->worker_count; i++) {
        struct worker *w = &e->workers[i];

        if (e->stopped || !atomic_load(&w->held_count))
            continue; /* one that is being added looks at the raised ceiling itself, or at its timer
                       */
        atomic_store(&w->examine_held, true);
        wake_send(&w->wake);
    }
}

void engine_discard_queued(struct engine *e)
{
    for (unsigned i = 0; i < e->worker_count && !e->stopped; i++) {
        atomic_store(&e->workers[i].discard, true);
        wake_send(&e->workers[i].wake);
    }
}

void engine_resume(struct engine *e)
{
    for (unsigned i = 0; i < e->worker_count && !e->stopped; i++) {
        struct worker *w = &e->workers[i];

        atomic_store(&w->resume_upto, w->gap_delivered);
        wake_send(&w->wake);
    }
}

static void sum(struct engine_counters *to, const struct stats *s)
{
    for (unsigned i = 0; i < RX_VERDICTS; i++)
        to->rx[i] += atomic_load_explicit(&s->rx[i], memory_order_relaxed);
    for (unsigned i = 0; i < TX_VERDICTS; i++)
        to->tx[i] += atomic_load_explicit(&s->tx[i], memory_order_relaxed);
    for (unsigned i = 0; i < ARRAY_LEN(to->handshake); i++)
        to->handshake[i] += atomic_load_explicit(&s->handshake[i], memory_order_relaxed);
#define ADD(name) to->name += atomic_load_explicit(&s->name, memory_order_relaxed)
    ADD(rx_no_peer);
    ADD(tx_no_peer);
    ADD(mac1_bad);
    ADD(handshake_queue_full);
    ADD(staged_dropped);
    ADD(facts_dropped);
    ADD(rx_bytes);
    ADD(tx_bytes);
    ADD(udp_send_errors);
    ADD(tun_write_errors);
    ADD(initiation_repeats);
    ADD(rx_bursts);
    ADD(tx_bursts);
    ADD(tx_fallbacks);
    ADD(tun_joined);
    ADD(tun_cut);
    ADD(tun_malformed);
#undef ADD
}

void engine_counters(const struct engine *e, struct engine_counters *ret)
{
    struct engine_counters c = {0};

    for (unsigned i = 0; i < e->worker_count; i++)
        sum(&c, &e->workers[i].lane.stats);
    sum(&c, &e->pool.door.stats);
    for (unsigned i = 0; i < e->pool.count; i++)
        sum(&c, &e->pool.threads[i].stats);
    sum(&c, &e->main.stats);
    c.udp_send_errors += atomic_load(&e->send_errors);
    *ret = c;
}
