/* The door: a packet thread without a TUN queue, whose sockets get all that is no data. It reads,
 * checks and serves handshakes, so that one message wakes one thread: those that wait together, up
 * to HANDSHAKE_BATCH_MAX; what came meanwhile is read next. Data workers never see them, but inside
 * a burst that began with data. */
#include "engine/internal.h"

struct worker *door_of(struct engine *e)
{
    return &e->workers[e->config.workers];
}

/* Once a turn, after its sockets were looked at: at most one batch's arithmetic. */
static void on_serving(uv_idle_t *h)
{
    struct worker *w = h->data;
    struct pool *p = &w->e->pool;
    bool more = w->more;

    worker_turn(w);
    w->more = false;
    if (more) { /* a flood: reading comes first, so that what is worth it gets through (H10) */
        pool_tell(&p->door);
        pool_call(p, atomic_load(&p->depth) > 0);
        return;
    }
    if (pool_serve(&p->door))
        return;
    pool_tell(&p->door);
    uv_idle_stop(h);
    atomic_store(&p->door_awake, false);
    /* Who pushed before it could see this did not wake us. */
    atomic_thread_fence(memory_order_seq_cst);
    if (pool_serve(&p->door))
        door_begin(w);
    else if (atomic_load(&p->depth) > 0) /* main has enough results: one that may wait for it */
        pool_call(p, 1);
}

void door_begin(struct worker *w)
{
    atomic_store(&w->e->pool.door_awake, true);
    if (!uv_is_active((uv_handle_t *)&w->serving))
        uv_idle_start(&w->serving, on_serving);
}

int door_init(struct worker *w)
{
    w->serving.data = w;
    return uv_idle_init(&w->loop, &w->serving);
}
