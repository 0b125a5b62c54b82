/* A packet thread: its loop, its beat, and the orders that main gives it. */
#include "engine/internal.h"
#include <signal.h>
#include <stdio.h>

#define SOCKET_FAULTS_MAX 16 /* poll errors in a row, without a datagram between them */

/* ---- turns and gaps ---- */

static void polls_stop(struct worker *w)
{
    if (w->tun_polled)
        uv_poll_stop(&w->tun_poll);
    list_for_each (it, &w->polls)
        uv_poll_stop(&list_entry(it, struct socket_poll, all)->handle);
}

static void on_tun(uv_poll_t *h, int status, int events);
static void on_socket(uv_poll_t *h, int status, int events);

static void polls_start(struct worker *w)
{
    if (w->tun_polled)
        uv_poll_start(&w->tun_poll, UV_READABLE, on_tun);
    list_for_each (it, &w->polls)
        uv_poll_start(&list_entry(it, struct socket_poll, all)->handle, UV_READABLE, on_socket);
}

static void discard_queued(struct worker *w)
{
    list_for_each (it, &w->polls)
        udp_discard(list_entry(it, struct socket_poll, all)->fd, DISCARD_MAX);
    if (w->tun_fd >= 0)
        tun_discard(w->tun_fd, DISCARD_MAX);
}

/* R12: what queued up while we stood still is old; and until main has redrawn the tag (N9), this
 * thread neither sends nor delivers. */
static void gap_found(struct worker *w, uint64_t gap_ns)
{
    if (!w->paused)
        polls_stop(w);
    w->paused = true;
    discard_queued(w);
    atomic_store(&w->gap_ns, gap_ns);
    atomic_fetch_add(&w->gap_serial, 1);
    engine_wake_main(w->e);
}

/* Looks at the clock at every beginning and end of a turn: a healthy thread does so every BEAT_MS
 * at least, whether there is traffic or not. */
static uint64_t look(struct worker *w)
{
    uint64_t now_ns = clock_boot_ns(), gap_ns = now_ns - w->alive_ns;

    w->alive_ns = now_ns;
    if (w->e->config.beats)
        atomic_store_explicit(&w->e->config.beats[w->id].boot_ns, now_ns, memory_order_relaxed);
    if (w->e->config.gap_check && gap_ns > GAP_NS)
        gap_found(w, gap_ns);
    return now_ns;
}

/* libuv runs poll callbacks inside its polling, so a turn begins in whichever comes first. */
uint64_t worker_turn(struct worker *w)
{
    if (!w->awake) {
        rcu_enter();
        w->awake = true;
    }
    return look(w);
}

static void on_late(uv_timer_t *t);

/* Main is left alone until it has heard nothing from any worker for its patience: what they all
 * have to say then costs one wake-up. */
static void wake_main_late(struct worker *w, uint64_t now_ns)
{
    uint64_t at_ns = atomic_load_explicit(&w->e->heard_ns, memory_order_relaxed) +
                     atomic_load_explicit(&w->e->gate->patience_ns, memory_order_relaxed);

    if (now_ns >= at_ns)
        w->lane.told = true;
    else if (!uv_is_active((uv_handle_t *)&w->late))
        uv_timer_start(&w->late, on_late, (at_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS, 0);
}

static void on_late(uv_timer_t *t)
{
    worker_turn(t->data); /* on_prepare() looks again */
}

/* Before the loop polls, and perhaps sleeps. */
static void on_prepare(uv_prepare_t *h)
{
    struct worker *w = h->data;

    uint64_t now_ns = look(w);
    if (w->lane.told_late && !w->lane.told)
        wake_main_late(w, now_ns);
    lane_wake_main(&w->lane);
    if (w->awake) {
        w->awake = false;
        rcu_leave();
    }
}

static void on_beat(uv_timer_t *t)
{
    worker_turn(t->data);
}

void worker_hold_tick(uv_timer_t *t)
{
    struct worker *w = t->data;
    uint64_t now_ns = worker_turn(w);

    if (!w->paused)
        hold_examine(w, false, now_ns);
}

/* ---- packets ---- */

void worker_tun_failed(struct worker *w, int err)
{
    int none = 0;

    if (w->tun_polled)
        uv_poll_stop(&w->tun_poll);
    w->tun_polled = false;
    if (atomic_compare_exchange_strong(&w->e->failed, &none, err))
        engine_wake_main(w->e);
}

static void on_tun(uv_poll_t *h, int status, int events)
{
    struct worker *w = h->data;
    uint64_t now_ns = worker_turn(w);

    if (status < 0)
        worker_tun_failed(w, -EBADFD); /* libuv says EBADF for any error of the file */
    else if (!w->paused)
        tx_tun(w, now_ns);
}

static void on_socket(uv_poll_t *h, int status, int events)
{
    struct socket_poll *s = h->data;
    struct worker *w = s->w;
    uint64_t now_ns = worker_turn(w);

    if (status < 0) {
        /* An error queued on the socket (say, by the network going down): take it off, go on. */
        int err = 0;
        socklen_t len = sizeof(err);

        getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &len);
        if (s->faults++ < SOCKET_FAULTS_MAX && !w->paused)
            uv_poll_start(h, UV_READABLE, on_socket);
        return;
    }
    s->faults = 0;
    if (w->paused)
        return;
    rx_udp(w, s, now_ns);
    if (w == door_of(w->e))
        door_begin(w);
}

/* ---- orders ---- */

static void run_calls(struct worker *w)
{
    pthread_mutex_lock(&w->call_lock);
    for (struct worker_call *c = w->calls, *next; c; c = next) {
        next = c->next; /* the caller may go as soon as it is done */
        c->result = c->fn(w, c->arg);
        c->done = true;
    }
    w->calls = NULL;
    pthread_cond_broadcast(&w->call_done);
    pthread_mutex_unlock(&w->call_lock);
}

int worker_run(struct worker *w, int (*fn)(struct worker *w, void *arg), void *arg)
{
    struct worker_call c = {.fn = fn, .arg = arg};

    pthread_mutex_lock(&w->call_lock);
    if (!w->gone) {
        c.next = w->calls;
        w->calls = &c;
        wake_send(&w->wake);
        while (!c.done)
            pthread_cond_wait(&w->call_done, &w->call_lock);
    }
    pthread_mutex_unlock(&w->call_lock);
    return c.result;
}

static void on_poll_closed(uv_handle_t *h)
{
    free(h->data);
}

static int add_socket(struct worker *w, struct socket_group *g, const struct socket_addr *addr)
{
    struct socket_poll *s = calloc(1, sizeof(*s));
    int r;

    if (!s)
        return -ENOMEM;
    s->w = w;
    s->group = g;
    s->addr = addr;
    s->fd = addr->fds[w->id];
    r = uv_poll_init(&w->loop, &s->handle, s->fd);
    if (r < 0) {
        free(s);
        return r;
    }
    s->handle.data = s;
    list_append(&w->polls, &s->all);
    return w->paused ? 0 : uv_poll_start(&s->handle, UV_READABLE, on_socket);
}

int worker_add_sockets(struct worker *w, void *socket_group)
{
    struct socket_group *g = socket_group;
    int r = 0;

    for (unsigned a = 0; a < g->addr_count && r == 0; a++)
        r = add_socket(w, g, &g->addrs[a]);
    return r;
}

int worker_remove_sockets(struct worker *w, void *socket_group)
{
    list_for_each (it, &w->polls) {
        struct socket_poll *s = list_entry(it, struct socket_poll, all);

        if (socket_group && s->group != socket_group)
            continue;
        list_remove(&s->all);
        uv_close((uv_handle_t *)&s->handle, on_poll_closed);
    }
    return 0;
}

static void on_wake(void *ctx)
{
    struct worker *w = ctx;
    uint64_t now_ns = worker_turn(w);

    run_calls(w);
    if (atomic_load(&w->stop)) {
        uv_stop(&w->loop);
        return;
    }
    if (atomic_exchange(&w->discard, false))
        discard_queued(w);
    if (w->paused && atomic_load(&w->resume_upto) >= atomic_load(&w->gap_serial)) {
        w->paused = false;
        polls_start(w);
    }
    if (!w->paused && atomic_exchange(&w->examine_held, false))
        hold_examine(w, true, now_ns);
    if (w == door_of(w->e))
        door_begin(w);
}

/* ---- life ---- */

static void close_handle(uv_handle_t *h, void *ctx)
{
    if (!uv_is_closing(h))
        uv_close(h, NULL);
}

static void loop_end(struct worker *w)
{
    worker_remove_sockets(w, NULL);
    uv_walk(&w->loop, close_handle, NULL);
    uv_run(&w->loop, UV_RUN_DEFAULT);
}

/* To the CPU of its number, counted among those allowed. Without effect where that is refused. */
static void pin(const struct worker *w)
{
    cpu_set_t allowed, one;

    if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
        return;
    unsigned nth = w->id % (unsigned)CPU_COUNT(&allowed);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &allowed) || nth-- > 0)
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
        return;
    }
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    char name[16];

    bool door = w == door_of(w->e);

    if (door)
        snprintf(name, sizeof(name), "gm-door");
    else
        snprintf(name, sizeof(name), "gm-worker-%u", w->id);
    pthread_setname_np(pthread_self(), name);
    if (door)
        slice_lengthen(); /* data goes before handshakes */
    else if (w->e->config.pin_workers)
        pin(w);
    w->alive_ns = clock_boot_ns();
    uv_run(&w->loop, UV_RUN_DEFAULT);

    loop_end(w);
    if (w->awake) {
        w->awake = false;
        rcu_leave();
    }
    rcu_thread_done();
    return NULL;
}

static int loop_init(struct worker *w)
{
    struct engine *e = w->e;
    int r = uv_loop_init(&w->loop);

    if (r < 0)
        return r;
    w->loop_made = true;
    uv_prepare_init(&w->loop, &w->prepare);
    uv_timer_init(&w->loop, &w->beat);
    uv_timer_init(&w->loop, &w->hold_timer);
    uv_timer_init(&w->loop, &w->late);
    w->prepare.data = w->beat.data = w->late.data = w->hold_timer.data = w->tun_poll.data = w;
    r = wake_init(&w->wake, &w->loop, on_wake, w);
    if (r == 0)
        r = door_init(w);
    if (r < 0)
        return r;
    uv_prepare_start(&w->prepare, on_prepare);
    if (e->config.gap_check || e->config.beats)
        uv_timer_start(&w->beat, on_beat, 0, BEAT_MS);
    if (w->tun_fd < 0)
        return 0;
    r = uv_poll_init(&w->loop, &w->tun_poll, w->tun_fd);
    if (r < 0)
        return r;
    w->tun_polled = true;
    return uv_poll_start(&w->tun_poll, UV_READABLE, on_tun);
}

int worker_init(struct worker *w, struct engine *e, unsigned id)
{
    w->e = e;
    w->id = id;
    w->gone = true; /* until its thread runs */
    w->tun_fd = w == door_of(e) ? -1 : e->config.tun_fds[id];
    w->tun_write_fd = w->tun_fd >= 0 ? w->tun_fd : e->config.tun_fds[0];
    list_init(&w->polls);
    list_init(&w->held);
    pthread_mutex_init(&w->call_lock, NULL);
    pthread_cond_init(&w->call_done, NULL);
    int r = lane_init(&w->lane, e, id);
    if (r < 0)
        return r;
    w->receives = RECEIVES_MAX;
    w->udp = udp_rx_new(RECEIVES_MAX, IO_BUFFER_LEN);
    w->repeats = repeats_new();
    if (!w->udp || !w->repeats)
        return -ENOMEM;
    rx_init(w);
    r = tx_init(w);
    return r < 0 ? r : loop_init(w);
}

int worker_start(struct worker *w)
{
    w->gone = false;
    int r = -pthread_create(&w->thread, NULL, worker_main, w);
    w->started = r == 0;
    w->gone = r != 0;
    return r;
}

void worker_stop(struct worker *w)
{
    if (!w->started)
        return;
    pthread_mutex_lock(&w->call_lock);
    w->gone = true;
    pthread_mutex_unlock(&w->call_lock);
    atomic_store(&w->stop, true);
    wake_send(&w->wake);
    pthread_join(w->thread, NULL);
    w->started = false;
    w->loop_ended = true;
}

void worker_done(struct worker *w)
{
    if (!w->e)
        return;
    worker_stop(w);
    if (w->loop_made) {
        if (!w->loop_ended)
            loop_end(w);
        uv_loop_close(&w->loop);
        wake_done(&w->wake);
    }
    hold_free(w);
    lane_done(&w->lane);
    udp_rx_free(w->udp);
    tx_done(w);
    free(w->repeats);
    pthread_mutex_destroy(&w->call_lock);
    pthread_cond_destroy(&w->call_done);
}
