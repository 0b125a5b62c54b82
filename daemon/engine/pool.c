/* Handshake threads: bounded queue in, arithmetic of wg/handshake, results to main. */
#include "base/secret.h"
#include "engine/internal.h"
#include <stdio.h>

bool pool_push(struct engine *e, unsigned producer, const struct handshake_job *job)
{
    struct pool *p = &e->pool;

    if (atomic_fetch_add(&p->depth, 1) >= HANDSHAKE_QUEUE_MAX ||
        !ring_push(&p->jobs[producer], job)) {
        atomic_fetch_sub(&p->depth, 1);
        return false;
    }
    /* The door first falls asleep, then looks once more: one of us sees the other. */
    atomic_thread_fence(memory_order_seq_cst);
    if (!atomic_load(&p->door_awake))
        wake_send(&door_of(e)->wake);
    pool_call(p, atomic_load(&p->depth) / JOBS_PER_THREAD);
    return true;
}

void pool_call(struct pool *p, unsigned wanted)
{
    unsigned awake = atomic_load(&p->awake);

    if (awake < MIN(wanted, p->count) &&
        atomic_compare_exchange_strong(&p->awake, &awake, awake + 1))
        sem_post(&p->available);
}

int engine_handshake(struct engine *e, const struct handshake_job *job)
{
    return pool_push(e, e->worker_count, job) ? 0 : -EAGAIN;
}

/* Up to @most. Producers in turn, so that a flood at one socket does not starve the others or main.
 */
static unsigned pop(struct pool *p, struct handshake_job *ret, unsigned most)
{
    unsigned n = 0, empty = 0;

    pthread_mutex_lock(&p->take_lock);
    while (n < most && empty < p->rings) {
        p->turn = (p->turn + 1) % p->rings;
        if (ring_pop(&p->jobs[p->turn], &ret[n])) {
            n++;
            empty = 0;
        } else {
            empty++;
        }
    }
    pthread_mutex_unlock(&p->take_lock);
    return n;
}

/* H10: long or slow is load, and stays load for a second. */
static bool under_load(struct pool *p, unsigned depth, uint64_t queued_ns, uint64_t now_ns)
{
    if (depth > LOAD_DEPTH || now_ns > queued_ns + LOAD_DELAY_NS)
        atomic_store(&p->load_until_ns, now_ns + LOAD_STICKY_NS);
    return now_ns < atomic_load(&p->load_until_ns);
}

/* ---- what the arithmetic may look at; the thread is inside rcu_enter() ---- */

struct view {
    struct engine *e;
    struct remote remote; /* that was asked for last */
};

static const struct remote *remote_of(struct view *v, struct peer_entry *p)
{
    if (!p)
        return NULL;
    v->remote = (struct remote){.peer_id = p->peer->id,
                                .public_key = p->peer->key,
                                .secret = atomic_load_explicit(&p->secret, memory_order_acquire)};
    return v->remote.secret ? &v->remote : NULL;
}

static const struct remote *env_remote(void *ctx, const struct public_key *key)
{
    struct view *v = ctx;

    return remote_of(v, peer_find_key(v->e, key));
}

static const struct remote *env_remote_id(void *ctx, uint64_t peer_id)
{
    struct view *v = ctx;

    return remote_of(v, peer_find(v->e, peer_id));
}

static const struct initiation *env_initiation(void *ctx, uint32_t local_index)
{
    struct index_entry *i = index_find(((struct view *)ctx)->e, local_index);

    return i ? index_initiation(i) : NULL;
}

static const struct remote *env_remote_index(void *ctx, uint32_t local_index)
{
    struct index_entry *i = index_find(((struct view *)ctx)->e, local_index);

    return i ? env_remote_id(ctx, i->peer_id) : NULL;
}

static bool env_last_stamp(void *ctx, uint64_t peer_id, uint8_t ret[TAI64N_LEN])
{
    struct engine *e = ((struct view *)ctx)->e;
    struct peer_entry *p = peer_find(e, peer_id);

    if (!p)
        return false;
    pthread_mutex_lock(peer_lock(e, p));
    bool has = p->has_stamp;
    memcpy(ret, p->stamp, TAI64N_LEN);
    pthread_mutex_unlock(peer_lock(e, p));
    return has;
}

static bool env_last_mac1(void *ctx, uint64_t peer_id, uint8_t ret[16])
{
    struct engine *e = ((struct view *)ctx)->e;
    struct peer_entry *p = peer_find(e, peer_id);

    if (!p)
        return false;
    pthread_mutex_lock(peer_lock(e, p));
    bool has = p->has_mac1;
    memcpy(ret, p->mac1, 16);
    pthread_mutex_unlock(peer_lock(e, p));
    return has;
}

static uint32_t env_draw_index(void *ctx)
{
    return engine_draw_index(((struct view *)ctx)->e);
}

/* ---- results ---- */

static bool main_wants(const struct handshake_job *job, const struct handshake_result *r)
{
    return job->kind == HANDSHAKE_INITIATE || r->verdict == HANDSHAKE_INITIATION_VALID ||
           r->verdict == HANDSHAKE_RESPONSE_VALID || r->verdict == HANDSHAKE_COOKIE_VALID;
}

/* What main has no use for but to tell people. */
static void refusal_add(struct pool *p, const struct handshake_result *r)
{
    struct engine_refusal *row = p->refusals;

    if (!r->has_key)
        return;
    pthread_mutex_lock(&p->refusal_lock);
    while (row < p->refusals + p->refusal_count &&
           (row->verdict != r->verdict || !public_key_equal(&row->key, &r->key)))
        row++;
    if (row == p->refusals + p->refusal_count && p->refusal_count < ENGINE_REFUSALS_MAX) {
        p->refusal_count++;
        *row = (struct engine_refusal){.verdict = r->verdict, .key = r->key};
    }
    if (row < p->refusals + p->refusal_count) {
        row->vip_slot = r->vip;
        row->source = r->source;
        row->count++;
    }
    pthread_mutex_unlock(&p->refusal_lock);
}

unsigned engine_take_refusals(struct engine *e, struct engine_refusal ret[ENGINE_REFUSALS_MAX])
{
    struct pool *p = &e->pool;

    pthread_mutex_lock(&p->refusal_lock);
    unsigned count = p->refusal_count;
    memcpy(ret, p->refusals, count * sizeof(*ret));
    p->refusal_count = 0;
    pthread_mutex_unlock(&p->refusal_lock);
    return count;
}

static void result_free(struct result_node *n)
{
    handshake_result_clear(&n->r);
    secret_wipe(n, sizeof(*n));
    free(n);
}

/* Who serves has room for all that may come of it before it takes a job: to wait with a result in
 * the hand is nobody's, least of all the door's, for which main may be waiting. */
static unsigned reserve(struct pool *p, bool patient)
{
    pthread_mutex_lock(&p->result_lock);
    while (patient && p->result_count + p->reserved >= RESULTS_MAX && !atomic_load(&p->stop))
        pthread_cond_wait(&p->result_room, &p->result_lock);
    unsigned room = RESULTS_MAX - MIN(p->result_count + p->reserved, RESULTS_MAX);
    room = MIN(room, HANDSHAKE_BATCH_MAX);
    p->reserved += room;
    pthread_mutex_unlock(&p->result_lock);
    return room;
}

void pool_tell(struct pool_thread *t)
{
    if (t->untold)
        engine_wake_main(t->e);
    t->untold = false;
    t->served = 0;
}

/* The results of a batch that @reserved room, as far as main wants them. */
static void results_push(struct pool_thread *t, struct result_node *const *nodes, unsigned n,
                         unsigned reserved)
{
    struct pool *p = &t->e->pool;

    pthread_mutex_lock(&p->result_lock);
    for (unsigned i = 0; i < n; i++) {
        nodes[i]->next = NULL;
        if (p->last)
            p->last->next = nodes[i];
        else
            p->first = nodes[i];
        p->last = nodes[i];
    }
    p->result_count += n;
    p->reserved -= reserved;
    if (n < reserved)
        pthread_cond_broadcast(&p->result_room);
    pthread_mutex_unlock(&p->result_lock);
    t->untold |= n > 0;
}

static struct result_node *take_results(struct pool *p)
{
    pthread_mutex_lock(&p->result_lock);
    struct result_node *n = p->first;
    p->first = p->last = NULL;
    p->result_count = 0;
    pthread_cond_broadcast(&p->result_room);
    pthread_mutex_unlock(&p->result_lock);
    return n;
}

void pool_deliver(struct engine *e)
{
    struct result_node *next;

    for (struct result_node *n = take_results(&e->pool); n; n = next) {
        next = n->next;
        e->ops.handshake(e->ops.ctx, &n->r);
        result_free(n);
    }
}

/* ---- the threads ---- */

struct batch {
    struct handshake_job jobs[HANDSHAKE_BATCH_MAX];
    struct result_node *nodes[HANDSHAKE_BATCH_MAX];
    unsigned n;
};

static void run(struct pool_thread *t, const struct batch *b, bool load, uint64_t now_ns)
{
    struct engine *e = t->e;
    struct view view = {.e = e};
    struct handshake_result *results[HANDSHAKE_BATCH_MAX];
    struct handshake_env env = {
        .self = atomic_load_explicit(&e->identity, memory_order_acquire),
        .rng = &rng_system,
        .now_ns = now_ns,
        .real_ns = clock_real_ns(),
        .under_load = load,
        .cookies = atomic_load_explicit(&e->cookies, memory_order_acquire),
        .ratelimit = e->pool.ratelimit,
        .ctx = &view,
        .find_remote = env_remote,
        .find_remote_id = env_remote_id,
        .find_initiation = env_initiation,
        .find_remote_index = env_remote_index,
        .last_stamp = env_last_stamp,
        .draw_index = env_draw_index,
        .last_mac1 = env_last_mac1,
    };

    for (unsigned i = 0; i < b->n; i++) {
        results[i] = &b->nodes[i]->r;
        results[i]->verdict = HANDSHAKE_DROP_UNKNOWN;
    }
    if (env.self && env.cookies)
        handshake_run_batch(&env, b->jobs, results, b->n);
    for (unsigned i = 0; i < b->n; i++) {
        struct handshake_result *r = results[i];

        if (b->jobs[i].kind == HANDSHAKE_INITIATE)
            r->peer_id =
                b->jobs[i].peer_id; /* also of one that failed: main waits for the answer */
        count_add(&t->stats.handshake[r->verdict], 1);
        if (r->verdict == HANDSHAKE_REPLY_COOKIE)
            engine_send(e, r->vip, &r->source, &r->local, r->local_ifindex, r->reply, r->reply_len);
    }
}

/* Where there is no memory for a result it is as if the message was lost; an initiation's timer
 * asks again. */
static void take_nodes(struct batch *b)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < b->n; i++) {
        b->jobs[kept] = b->jobs[i];
        b->nodes[kept] = calloc(1, sizeof(*b->nodes[kept]));
        kept += b->nodes[kept] != NULL;
    }
    b->n = kept;
}

/* To main or to nobody. */
static void conclude(struct pool_thread *t, struct batch *b, unsigned reserved)
{
    unsigned wanted = 0;

    for (unsigned i = 0; i < b->n; i++) {
        struct result_node *n = b->nodes[i];

        if (main_wants(&b->jobs[i], &n->r)) {
            b->nodes[wanted++] = n;
        } else {
            refusal_add(&t->e->pool, &n->r);
            result_free(n);
        }
    }
    results_push(t, b->nodes, wanted, reserved);
}

bool pool_serve(struct pool_thread *t)
{
    struct pool *p = &t->e->pool;
    struct batch b;
    bool load = false;
    unsigned room = reserve(p, t != &p->door);

    b.n = atomic_load(&p->stop) ? 0 : pop(p, b.jobs, room);
    if (b.n == 0) {
        results_push(t, NULL, 0, room);
        pool_tell(t);
        return false;
    }
    uint64_t now_ns = clock_boot_ns();
    for (unsigned i = 0; i < b.n; i++)
        load |= under_load(p, atomic_fetch_sub(&p->depth, 1), b.jobs[i].queued_ns, now_ns);
    take_nodes(&b);
    rcu_enter();
    run(t, &b, load, now_ns);
    rcu_leave();
    t->served += b.n;
    conclude(t, &b, room);
    if (t->served >= SERVED_AT_ONCE)
        pool_tell(t);
    return true;
}

static void *pool_main(void *arg)
{
    struct pool_thread *t = arg;
    struct pool *p = &t->e->pool;
    char name[16];

    snprintf(name, sizeof(name), "gm-handshake-%u", (unsigned)(t - p->threads));
    pthread_setname_np(pthread_self(), name);
    slice_lengthen(); /* data goes before handshakes */
    for (;;) {
        while (sem_wait(&p->available) < 0)
            ;
        if (atomic_load(&p->stop))
            break;
        while (pool_serve(t))
            ;
        atomic_fetch_sub(&p->awake, 1);
    }
    rcu_thread_done();
    return NULL;
}

int pool_init(struct engine *e)
{
    struct pool *p = &e->pool;

    p->count = e->config.handshake_threads;
    p->door.e = e;
    p->rings = e->worker_count + 1;
    sem_init(&p->available, 0, 0);
    pthread_mutex_init(&p->take_lock, NULL);
    pthread_mutex_init(&p->result_lock, NULL);
    pthread_mutex_init(&p->refusal_lock, NULL);
    pthread_cond_init(&p->result_room, NULL);
    p->ratelimit = ratelimit_new(rng_u64(&rng_system));
    p->jobs = alloc_aligned(p->rings * sizeof(*p->jobs));
    if (!p->ratelimit || !p->jobs)
        return -ENOMEM;
    for (unsigned i = 0; i < p->rings; i++) {
        int r = ring_init(&p->jobs[i], sizeof(struct handshake_job), HANDSHAKE_QUEUE_MAX);
        if (r < 0)
            return r;
    }
    return 0;
}

int pool_start(struct engine *e)
{
    for (unsigned i = 0; i < e->pool.count; i++) {
        struct pool_thread *t = &e->pool.threads[i];

        t->e = e;
        int r = -pthread_create(&t->thread, NULL, pool_main, t);
        if (r < 0)
            return r;
        t->started = true;
    }
    return 0;
}

void pool_stop(struct engine *e)
{
    struct pool *p = &e->pool;

    pthread_mutex_lock(&p->result_lock); /* nobody is between looking at stop and waiting */
    atomic_store(&p->stop, true);
    pthread_cond_broadcast(&p->result_room);
    pthread_mutex_unlock(&p->result_lock);
    for (unsigned i = 0; i < p->count; i++)
        sem_post(&p->available);
    for (unsigned i = 0; i < p->count; i++) {
        if (p->threads[i].started)
            pthread_join(p->threads[i].thread, NULL);
        p->threads[i].started = false;
    }
}

void pool_done(struct engine *e)
{
    struct pool *p = &e->pool;
    struct result_node *next;

    for (struct result_node *n = take_results(p); n; n = next) {
        next = n->next;
        result_free(n);
    }
    for (unsigned i = 0; p->jobs && i < p->rings; i++)
        ring_done(&p->jobs[i]);
    free(p->jobs);
    ratelimit_free(p->ratelimit);
    sem_destroy(&p->available);
    pthread_mutex_destroy(&p->take_lock);
    pthread_mutex_destroy(&p->result_lock);
    pthread_mutex_destroy(&p->refusal_lock);
    pthread_cond_destroy(&p->result_room);
}
