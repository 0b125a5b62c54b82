#include "app_internal.h"
#include "base/secret.h"
#include "noise/noise.h"
#include "os/tun.h"
#include "os/udp.h"
#include <signal.h>
#include <string.h>

#define SECRETS_MAX (4u << 20) /* arena slots: reserved, not used */
#define HANDSHAKE_THREADS_MAX 4

struct instant app_now(void)
{
    return (struct instant){.boot_ns = clock_boot_ns(), .real_ns = clock_real_ns()};
}

void app_stop(struct app *a, int status, const char *why)
{
    if (a->stopping)
        return;
    a->stopping = true;
    a->exit_status = status;
    log_info("ending", "reason=%s", why);
    uv_stop(&a->loop);
}

/* ---- before the process turns into a daemon ---- */

void app_set_offloads(struct app *a, unsigned tun)
{
    char use[OFFLOAD_TEXT_LEN], off[OFFLOAD_TEXT_LEN];
    unsigned allowed = a->offloads;

    a->offloads &= tun | udp_offloads();
    log_info("segmentation offloads", "use=%s not=%s", offload_format(a->offloads, use),
             offload_format(allowed & ~a->offloads, off));
}

int app_open(const struct app_options *o, struct app **ret)
{
    struct app *a = calloc(1, sizeof(*a));
    unsigned offloads;
    int r = -ENOMEM;

    if (!a) {
        log_error("no memory", "size=%zu", sizeof(*a));
        return r;
    }
    for (unsigned i = 0; i < WORKERS_MAX; i++)
        a->tun_fds[i] = -1;
    a->uapi_fd = -1;
    a->offloads = o->offloads;
    if (o->conf_path) {
        r = app_cluster_open(a, o->conf_path);
        if (r < 0)
            goto fail;
        *ret = a;
        return 0;
    }
    a->workers = MIN(o->workers ? o->workers : uv_available_parallelism(), WORKERS_MAX);
    snprintf(a->ifname, sizeof(a->ifname), "%s", o->ifname);

    r = noise_init();
    if (r >= 0)
        r = secret_arena_init(SECRETS_MAX, false);
    if (r < 0) {
        log_error("the crypto libraries or the key memory cannot be set up", "error=%s",
                  strerror(-r));
        goto fail;
    }
    if (o->tun_fd >= 0) {
        a->tun_fds[0] = o->tun_fd;
        r = tun_adopt(o->tun_fd, a->offloads, a->ifname, &offloads);
    } else {
        r = tun_open(o->ifname, a->workers, TUN_MTU_DEFAULT, a->offloads, a->tun_fds, a->ifname,
                     &offloads);
    }
    if (r < 0) {
        log_error("the tunnel interface cannot be made; it needs CAP_NET_ADMIN and /dev/net/tun",
                  "interface=%s error=%s", o->ifname, strerror(-r));
        goto fail;
    }
    app_set_offloads(a, offloads);
    a->uapi_fd = o->uapi_fd;
    if (a->uapi_fd < 0) {
        r = uapi_listen(UAPI_DIR, a->ifname, &a->uapi_fd);
        if (r < 0) {
            log_error(r == -EADDRINUSE ? "another process serves this interface"
                                       : "the socket cannot be made",
                      "socket=" UAPI_DIR "/%s.sock error=%s", a->ifname, strerror(-r));
            goto fail;
        }
    }
    *ret = a;
    return 0;
fail:
    app_free(a);
    return r;
}

/* ---- events of the edges ---- */

static void on_fact(void *ctx, const struct fact *f)
{
    struct app *a = ctx;

    node_fact(a->node, f, app_now());
}

static void on_handshake(void *ctx, struct handshake_result *r)
{
    struct app *a = ctx;

    node_handshake(a->node, r, app_now());
}

static void on_failed(void *ctx, const char *what, int err)
{
    log_info("the interface is gone", "part=%s error=%s", what, strerror(-err));
    app_stop(ctx, 0, "the interface was deleted");
}

static void on_signal(uv_signal_t *s, int number)
{
    struct app *a = s->data;

    if (a->cluster && number == SIGHUP)
        app_cluster_reload(a);
    else if (a->cluster)
        app_cluster_signal(a);
    else
        app_stop(a, 0, strsignal(number));
}

void app_link_changed(void *ctx, const struct netlink_link *l, bool present)
{
    struct app *a = ctx;

    /* A link that leaves may only have moved to another namespace: the TUN itself tells. */
    if (present && (l->index == a->ifindex || strcmp(l->name, a->ifname) == 0)) {
        a->ifindex = l->index;
        engine_set_mtu(a->engine, l->mtu);
    }
}

void app_read_mtu(void *ctx)
{
    struct app *a = ctx;
    unsigned mtu;

    if (tun_mtu(a->tun_fds[0], &mtu) == 0)
        engine_set_mtu(a->engine, mtu);
}

static void on_address(void *ctx, uint32_t ifindex, const struct ip_addr *addr, bool present)
{
}

static void on_tick(uv_timer_t *t)
{
    /* Its time brings the loop round; on_turn() does the work. */
}

/* Before the loop sleeps: all that is due, and when to wake up. */
static void on_turn(uv_prepare_t *p)
{
    struct app *a = p->data;
    if (a->cluster)
        app_cluster_turn(a);
    struct instant now = app_now();
    uint64_t next = node_tick(a->node, now);
    if (a->cluster && a->cluster->links)
        links_flush(a->cluster->links); /* what it said leaves now, not in a turn of its own */
    uint64_t wait_ms = next <= now.boot_ns ? 0 : (next - now.boot_ns + NS_PER_MS - 1) / NS_PER_MS;

    if (next == UINT64_MAX)
        uv_timer_stop(&a->tick);
    else
        uv_timer_start(&a->tick, on_tick, MAX(wait_ms, 1), 0);
}

/* ---- life ---- */

int app_start_loop(struct app *a)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    int r = uv_loop_init(&a->loop);

    if (r < 0)
        return r;
    a->loop_open = true;
    uv_timer_init(&a->loop, &a->tick);
    uv_prepare_init(&a->loop, &a->turn);
    a->tick.data = a->turn.data = a;
    for (unsigned i = 0; i < ARRAY_LEN(numbers); i++) {
        uv_signal_init(&a->loop, &a->signals[i]);
        a->signals[i].data = a;
        uv_signal_start(&a->signals[i], on_signal, numbers[i]);
    }
    uv_prepare_start(&a->turn, on_turn);
    return 0;
}

static int start_node(struct app *a)
{
    struct node_config c = {.hub = PLAIN_HUB};
    struct node_ops ops = app_node_ops;
    char error[STORE_ERROR_LEN] = "";
    int r = store_open(NULL, 0, &a->store, error);

    if (r < 0)
        return r;
    ops.ctx = a;
    rng_fill(&rng_system, c.cookie_key, sizeof(c.cookie_key));
    r = node_new(&c, &ops, &rng_system, &a->gate, a->store, app_now(), &a->node);
    secret_wipe(&c, sizeof(c));
    if (r >= 0)
        r = node_set_private_key(a->node, NULL, app_now());
    return r;
}

int app_start_engine(struct app *a, const struct engine_config *c)
{
    struct engine_ops ops = {
        .ctx = a, .fact = on_fact, .handshake = on_handshake, .failed = on_failed};

    return engine_new(&a->loop, c, &ops, &a->engine);
}

static int start_plain(struct app *a)
{
    struct engine_config e = {.hub = PLAIN_HUB,
                              .workers = a->workers,
                              .handshake_threads = MIN(a->workers, HANDSHAKE_THREADS_MAX),
                              .tun_fds = a->tun_fds,
                              .offloads = a->offloads,
                              .mtu = TUN_MTU_DEFAULT,
                              .gate = &a->gate};
    struct netlink_ops nops = {
        .ctx = a, .address = on_address, .link = app_link_changed, .overflow = app_read_mtu};
    int r;

    tun_mtu(a->tun_fds[0], &e.mtu);
    a->gate.plain = true;
    r = app_start_engine(a, &e);
    if (r >= 0)
        r = start_node(a);
    if (r >= 0)
        r = engine_open_sockets(a->engine, VIP_SLOT_PLAIN, NULL, 0, &a->port);
    if (r >= 0)
        r = netlink_monitor_open(&a->loop, &nops, &a->monitor);
    if (r >= 0) {
        app_read_mtu(a); /* it may have changed before the monitor looked */
        r = app_uapi_start(a);
    }
    return r;
}

int app_start(struct app *a)
{
    int r = app_start_loop(a);

    if (r >= 0)
        r = a->cluster ? app_cluster_start(a) : start_plain(a);
    if (r >= 0) {
        app_notify_start(a);
        return 0;
    }
    log_error("the data plane cannot be started", "error=%s", strerror(-r));
    return r;
}

int app_run(struct app *a)
{
    if (!a->stopping)
        uv_run(&a->loop, UV_RUN_DEFAULT);
    return a->exit_status;
}

void app_close_handle(uv_handle_t *h)
{
    if (h->type != UV_UNKNOWN_HANDLE && !uv_is_closing(h))
        uv_close(h, NULL);
}

static void close_walked(uv_handle_t *h, void *arg)
{
    app_close_handle(h);
}

void app_free(struct app *a)
{
    if (!a)
        return;
    uapi_free(a->uapi);
    netlink_monitor_close(a->monitor);
    while (a->commits && uv_run(&a->loop, UV_RUN_ONCE))
        ; /* what was begun is finished */
    if (a->loop_open) {
        uv_prepare_stop(&a->turn);
        uv_timer_stop(&a->tick);
    }
    if (a->engine)
        engine_stop(a->engine);
    app_fence_stop(a);
    if (a->node && a->cluster && node_save(a->node) < 0)
        log_warn("handshake stamps could not be saved", "effect=%s",
                 "harmless: a replayed initiation changes nothing");
    node_free(a->node);
    if (a->engine)
        engine_free(a->engine);
    store_close(a->store);
    app_cluster_free(a);
    if (a->loop_open) {
        uv_close((uv_handle_t *)&a->tick, NULL);
        uv_close((uv_handle_t *)&a->turn, NULL);
        for (unsigned i = 0; i < ARRAY_LEN(a->signals); i++)
            uv_close((uv_handle_t *)&a->signals[i], NULL);
        for (unsigned i = 0; i < 100 && uv_loop_close(&a->loop) == UV_EBUSY; i++) {
            if (i == 50)
                uv_walk(&a->loop, close_walked, NULL);
            uv_run(&a->loop, UV_RUN_NOWAIT);
        }
    }
    for (unsigned i = 0; i < WORKERS_MAX; i++)
        if (a->tun_fds[i] >= 0)
            close(a->tun_fds[i]);
    if (a->uapi_fd >= 0)
        close(a->uapi_fd);
    if (a->cluster)
        conf_free(a->cluster->conf);
    free(a->cluster);
    free(a);
}
