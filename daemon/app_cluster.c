/* What only a member of a cluster has: configuration, sentinel, sync links, keepalived's FIFO, the
 * addresses on the interfaces, and an end that drains first. */
#include "app_internal.h"
#include "base/secret.h"
#include "ha/health.h"
#include "noise/noise.h"
#include "os/tun.h"
#include <limits.h>
#include <net/if.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define SECRETS_MAX (4u << 20)
#define HANDSHAKE_THREADS_MAX 4
#define BEAT_MS 50
#define GAP_NS (200 * NS_PER_MS) /* G_GAP */
#define SETTLE_MS 1              /* until an address that just came is in effect */
#define READ_AGAIN_MS 50         /* after a reading that failed */
#define SYNC_FLUSH_MS 30         /* last frames leave before the end */
#define DRAIN_SLACK_NS (300 * NS_PER_MS)

static const char k_cookie_label[] = "guardmount cookie";

/* ---- before any thread ---- */

/* By the sentinel, after our death: with a socket of its own. */
static void remove_vip(const struct vip *v)
{
    struct netlink *nl;

    if (netlink_open(&nl) < 0)
        return;
    netlink_remove_addresses(nl, v->outer, v->outer_count);
    netlink_remove_addresses(nl, v->inner, v->inner_count);
    netlink_close(nl);
}

static int make_directory(const char *path)
{
    if (mkdir(path, 0700) < 0 && errno != EEXIST) {
        int r = -errno;
        log_error("a directory cannot be made", "path=%s error=%s", path, strerror(-r));
        return r;
    }
    return 0;
}

/* One that the kernel does not filter (it may lack the means) is better than none, as for us. */
static int confine_sentinel(void)
{
    int r = privilege_drop(PRIVILEGE_SENTINEL);

    if (r < 0) {
        log_error("the sentinel's capabilities cannot be dropped", "error=%s", strerror(-r));
        return r;
    }
    if ((r = privilege_filter(PRIVILEGE_SENTINEL, log_get_level() == LOG_LEVEL_DEBUG)) < 0)
        log_warn("the kernel does not filter the sentinel's calls", "error=%s", strerror(-r));
    return 0;
}

static int start_sentinel(struct app *a, struct cluster *c)
{
    static struct vip vips[VIPS_MAX]; /* the child keeps looking at it */

    for (unsigned i = 0; i < c->conf->vip_count; i++)
        vips[i + 1] = c->conf->vip[i];
    struct sentinel_config s = {.run_dir = c->conf->run_dir,
                                .freeze_after_ns = c->conf->freeze_after_ms * NS_PER_MS,
                                .vips = vips,
                                .vip_count = c->conf->vip_count,
                                .remove_vip = remove_vip,
                                .confine = confine_sentinel};
    int r = sentinel_start(&s, &c->sentinel);
    if (r == -EALREADY)
        log_error("another guardmountd runs on this run directory", "path=%s", c->conf->run_dir);
    else if (r < 0)
        log_error("the sentinel process cannot be started", "error=%s", strerror(-r));
    return r;
}

static int begin_life(struct app *a, struct cluster *c)
{
    struct instant now = app_now();
    int r = life_begin(c->conf->state_dir, c->conf->self, now.boot_ns, now.real_ns, &c->life);

    if (r == -EALREADY) {
        log_error("another guardmountd runs on this state directory", "path=%s",
                  c->conf->state_dir);
        return r;
    }
    if (r < 0) {
        log_error("the state directory cannot be used", "path=%s error=%s", c->conf->state_dir,
                  strerror(-r));
        return r;
    }
    if (c->life.wait_ns) { /* N7 */
        log_info("started shortly before; waiting", "ms=%llu",
                 (unsigned long long)(c->life.wait_ns / NS_PER_MS));
        nanosleep(&(struct timespec){.tv_sec = (time_t)(c->life.wait_ns / NS_PER_S),
                                     .tv_nsec = (long)(c->life.wait_ns % NS_PER_S)},
                  NULL);
    }
    return 0;
}

void app_log_lines(char *text)
{
    char *rest = text;

    for (char *line; (line = strsep(&rest, "\n"));)
        log_error(line, NULL);
}

static int load_conf(struct cluster *c, const char *conf_path)
{
    char error[CONF_ERROR_LEN] = "", path[PATH_MAX + CONF_PATH_MAX + 2];
    int r;

    /* A reload finds it from the root directory, too. */
    if (*conf_path == '/' || !getcwd(path, PATH_MAX))
        *path = 0;
    else
        strcat(path, "/");
    snprintf(path + strlen(path), CONF_PATH_MAX + 2, "%s", conf_path);
    r = conf_load(path, &c->conf, error);
    if (r < 0) {
        app_log_lines(error);
        return r;
    }
    if (c->conf->memory_lock_required && secret_arena_require_lock() < 0) { /* K3 */
        log_error("the memory of keys cannot be locked", "hint=%s",
                  "raise RLIMIT_MEMLOCK (LimitMEMLOCK= of the unit, `ulimit -l`) or give it "
                  "CAP_IPC_LOCK; MemoryLock = off in [Node] goes on without");
        return -EPERM;
    }
    return 0;
}

int app_cluster_open(struct app *a, const char *conf_path)
{
    struct cluster *c = calloc(1, sizeof(*c));
    unsigned offloads;
    int r = noise_init();

    a->cluster = c;
    if (!c || r < 0)
        return -ENOMEM;
    c->life.lock_fd = -1;
    r = secret_arena_init(SECRETS_MAX, false);
    if (r < 0) {
        log_error("the memory of keys cannot be set up", "error=%s", strerror(-r));
        return r;
    }
    if ((r = load_conf(c, conf_path)) < 0)
        return r;
    log_set_level(c->conf->log_level);
    log_set_tag(c->conf->member[c->conf->self].name);
    c->hub = &c->conf->hub[0];
    a->workers = MIN(c->conf->workers ? c->conf->workers : uv_available_parallelism(), WORKERS_MAX);
    if ((r = make_directory(c->conf->run_dir)) < 0 ||
        (r = make_directory(c->conf->state_dir)) < 0 || (r = start_sentinel(a, c)) < 0 ||
        (r = begin_life(a, c)) < 0)
        return r;
    a->offloads = c->conf->offloads;
    r = tun_open(c->hub->ifname, a->workers, c->hub->mtu, a->offloads, a->tun_fds, a->ifname,
                 &offloads);
    if (r < 0) {
        log_error("the tunnel interface cannot be made", "interface=%s error=%s", c->hub->ifname,
                  strerror(-r));
        return r;
    }
    app_set_offloads(a, offloads);
    r = uapi_listen(UAPI_DIR, a->ifname, &a->uapi_fd);
    if (r < 0)
        log_error("the socket cannot be made", "socket=" UAPI_DIR "/%s.sock error=%s", a->ifname,
                  strerror(-r));
    return r;
}

/* ---- the tunnel interface ---- */

int app_set_up_interface(struct app *a, struct cluster *c)
{
    struct netlink_link link;
    int r = netlink_link_read(c->netlink, a->ifname, &link);

    if (r < 0)
        return r;
    a->ifindex = link.index;
    for (unsigned i = 0; i < c->hub->address_count && r >= 0; i++)
        r = netlink_address_add(c->netlink, link.index, &c->hub->address[i].host,
                                c->hub->address[i].prefix.len);
    if (r >= 0)
        r = netlink_link_set_up(c->netlink, link.index, true);
    for (unsigned i = 0; i < c->hub->pool_count && r >= 0; i++)
        r = netlink_route_put(
            c->netlink, &(struct netlink_route){.dst = c->hub->pool[i], .ifindex = link.index});
    if (r < 0)
        log_error("the tunnel interface cannot be set up", "interface=%s error=%s", a->ifname,
                  strerror(-r));
    return r;
}

/* ---- addresses and keepalived ---- */

uint16_t app_vip_slot(const struct cluster *c, uint16_t id)
{
    for (unsigned i = 0; i < c->conf->vip_count; i++)
        if (c->conf->vip[i].id == id)
            return (uint16_t)(i + 1);
    return 0;
}

static void on_settling(uv_timer_t *t)
{
    struct app *a = t->data;

    a->cluster->reads = UINT64_MAX;
}

static void read_addresses(struct app *a, uint16_t slot)
{
    struct cluster *c = a->cluster;
    const struct vip *v = &c->conf->vip[slot - 1];
    unsigned present = 0;

    fifo_drain(c->fifo); /* what keepalived said before the addresses are believed */
    int r = netlink_read_addresses(c->netlink, v->outer, v->outer_count, &present);
    if (r) {
        uv_timer_start(&c->settling, on_settling, r == NETLINK_SETTLING ? SETTLE_MS : READ_AGAIN_MS,
                       0);
        return;
    }
    node_vip(a->node, slot,
             &(struct failover_event){.kind = present == v->outer_count ? FAILOVER_ADDRESS_UP
                                                                        : FAILOVER_ADDRESS_DOWN,
                                      .at_start = c->reading_at_start},
             app_now());
}

void app_cluster_turn(struct app *a)
{
    struct cluster *c = a->cluster;

    /* A reading may ask for another one; what is still open then waits for the next turn. */
    for (unsigned round = 0; round < 4 && c->reads; round++) {
        uint64_t reads = c->reads;

        c->reads = 0;
        for (uint16_t slot = 1; slot <= c->conf->vip_count; slot++)
            if (reads >> slot & 1)
                read_addresses(a, slot);
    }
    c->reading_at_start = false;
}

static void read_all(void *ctx)
{
    struct app *a = ctx;

    a->cluster->reads = UINT64_MAX;
}

static void on_address(void *ctx, uint32_t ifindex, const struct ip_addr *addr, bool present)
{
    read_all(ctx); /* cheap, and the only truth is a reading */
}

static void on_link(void *ctx, const struct netlink_link *l, bool present)
{
    struct app *a = ctx;

    app_link_changed(ctx, l, present);
    if (present && l->up) /* what led over it is gone */
        node_routes_again(a->node, app_now());
    read_all(ctx);
}

static void on_fifo_writer(void *ctx, bool present)
{
    struct app *a = ctx;

    for (uint16_t slot = 1; slot <= a->cluster->conf->vip_count; slot++)
        node_vip(
            a->node, slot,
            &(struct failover_event){.kind = present ? FAILOVER_WRITER_UP : FAILOVER_WRITER_GONE},
            app_now());
}

static void on_fifo_line(void *ctx, const struct fifo_line *line)
{
    struct app *a = ctx;
    struct failover_event e;
    enum fifo_part part;
    uint16_t vip, slot;

    if (!fifo_vip(line, &vip, &part) || !(slot = app_vip_slot(a->cluster, vip)))
        return;
    switch (line->state) {
    case FIFO_MASTER:
        if (part != FIFO_WHOLE)
            return;
        e.kind = FAILOVER_LINE_MASTER;
        break;
    case FIFO_BACKUP:
        e.kind = FAILOVER_LINE_BACKUP;
        break;
    case FIFO_FAULT:
        e.kind = FAILOVER_LINE_FAULT;
        break;
    case FIFO_STOP:
        e.kind = FAILOVER_LINE_STOP;
        break;
    case FIFO_RX_LOWER:
        e.kind = FAILOVER_LINE_RX_LOWER;
        break;
    default:
        return;
    }
    log_debug("keepalived said", "vip=%u state=%s group=%d", vip, fifo_state_name(line->state),
              line->group);
    node_vip(a->node, slot, &e, app_now());
}

/* ---- ops of the node that only a member has ---- */

static void op_transmit(void *ctx, uint8_t member, const uint8_t *msg, size_t len)
{
    links_send(((struct app *)ctx)->cluster->links, member, msg, len);
}

static size_t op_queued(void *ctx, uint8_t member)
{
    return links_queued(((struct app *)ctx)->cluster->links, member);
}

static void op_close_link(void *ctx, uint8_t member, const char *reason)
{
    links_close(((struct app *)ctx)->cluster->links, member, reason);
}

static void op_read_addresses(void *ctx, uint16_t slot)
{
    ((struct app *)ctx)->cluster->reads |= 1ull << slot;
}

static void op_remove_stale(void *ctx, uint16_t slot)
{
    struct cluster *c = ((struct app *)ctx)->cluster;
    const struct vip *v = &c->conf->vip[slot - 1];

    netlink_remove_addresses(c->netlink, v->outer, v->outer_count);
    netlink_remove_addresses(c->netlink, v->inner, v->inner_count);
    c->reads |= 1ull << slot;
}

/* The route leads to the tunnel: when this process ends the interface goes, and takes it along. */
static void op_keep_address(void *ctx, uint16_t slot, bool keep)
{
    struct app *a = ctx;
    struct cluster *c = a->cluster;
    const struct vip *v = &c->conf->vip[slot - 1];

    for (unsigned i = 0; i < v->outer_count; i++) {
        const struct ip_addr *addr = &v->outer[i].addr;
        bool v6 = !addr_is_v4(addr);
        struct netlink_route route = {.dst = {.addr = *addr, .len = v6 ? 128 : 32, .v6 = v6},
                                      .ifindex = a->ifindex,
                                      .metric = 1, /* keepalived's has 0 */
                                      .local = true};
        int r = (keep ? netlink_route_put : netlink_route_remove)(c->netlink, &route);
        if (r < 0)
            log_warn("packets to a VIP on its way may be lost", "vip=%s error=%s", v->name,
                     strerror(-r));
    }
}

static void op_set_weight(void *ctx, uint16_t slot, int weight)
{
    struct cluster *c = ((struct app *)ctx)->cluster;
    uint16_t vip = c->conf->vip[slot - 1].id;
    int r = weight_write(c->conf->run_dir, vip, weight);
    if (r < 0)
        log_error("the weight file cannot be written", "path=%s/" WEIGHT_FILE "-%u error=%s",
                  c->conf->run_dir, vip, strerror(-r));
}

/* The interface on which siblings send each other packets for peers of the VIP. */
static uint32_t lan_of(const struct vip *v, bool v6)
{
    const struct vip_addr *on = &v->inner[0];

    for (unsigned i = 0; i < v->inner_count; i++)
        if (addr_is_v4(&v->inner[i].addr) != v6)
            on = &v->inner[i];
    return if_nametoindex(on->ifname);
}

static int op_route(void *ctx, uint16_t slot, const struct ip_prefix *dst, uint8_t to)
{
    struct app *a = ctx;
    struct cluster *c = a->cluster;
    struct netlink_route route = {.dst = *dst};
    int r;

    if (to == c->conf->self) {
        route.ifindex = a->ifindex;
    } else if (to) {
        const struct ip_addr *via = conf_inner_address(&c->conf->member[to], dst->v6);

        if (!via)
            return 0; /* conf/check.c saw to it */
        route.gateway = *via;
        if (!(route.ifindex = lan_of(&c->conf->vip[slot - 1], dst->v6)))
            return -ENODEV;
    }
    r = to ? netlink_route_put(c->netlink, &route) : netlink_route_remove(c->netlink, &route);
    if (r < 0) {
        char text[PREFIX_TEXT_LEN];

        log_warn("a route cannot be set; trying again", "destination=%s member=%u error=%s",
                 prefix_format(dst, text), to, strerror(-r));
    }
    return r;
}

static void op_set_fit(void *ctx, uint16_t slot, bool fit)
{
    sentinel_set_fit(((struct app *)ctx)->cluster->sentinel, slot, fit);
}

/* ---- the sync links ---- */

static void on_link_up(void *ctx, uint8_t member, const struct codec_key *key)
{
    node_link_up(((struct app *)ctx)->node, member, key, app_now());
}

static void on_link_down(void *ctx, uint8_t member, const char *reason)
{
    log_info("sync link down", "member=%u reason=%s", member, reason);
    node_link_down(((struct app *)ctx)->node, member, app_now());
}

static void on_link_frame(void *ctx, uint8_t member, const uint8_t *msg, size_t len)
{
    node_link_frame(((struct app *)ctx)->node, member, msg, len, app_now());
}

static int start_links(struct app *a, struct cluster *c)
{
    struct links_config l = {.identity = {.self = c->conf->self,
                                          .membership_epoch = c->conf->membership_epoch,
                                          .cluster_key = c->conf->cluster_key,
                                          .private_key = c->conf->sync_private_key},
                             .rng = &rng_system};
    struct links_ops ops = {
        .ctx = a, .up = on_link_up, .down = on_link_down, .frame = on_link_frame};

    snprintf(l.identity.cluster, sizeof(l.identity.cluster), "%s", c->conf->cluster);
    for (unsigned i = 1; i < MEMBERS_MAX; i++) {
        const struct conf_member *m = &c->conf->member[i];

        if (!m->id)
            continue;
        l.address[i] = m->sync_address;
        l.identity.member[i].known = i != c->conf->self;
        memcpy(l.identity.member[i].public_key, m->sync_public_key, 32);
    }
    return links_new(&a->loop, &l, &ops, &c->links);
}

/* ---- start ---- */

static_assert(CONF_FLAPS_MAX <= DAMPING_FLAPS_MAX, "each of them is kept");

struct damping_rules app_damping(const struct conf *conf)
{
    const struct conf_damping *d = &conf->damping;

    return (struct damping_rules){.flap_limit = d->flap_limit,
                                  .hold_down_ns = d->hold_down_ms * NS_PER_MS,
                                  .window_ns = d->window_ms * NS_PER_MS,
                                  .suppress_ns = d->suppress_ms * NS_PER_MS,
                                  .suppress_max_ns = d->suppress_max_ms * NS_PER_MS};
}

static int start_node(struct app *a, struct cluster *c)
{
    struct node_config n = {
        .hub = c->hub->id,
        .self = c->conf->self,
        .membership_epoch = c->conf->membership_epoch,
        .vip_count = c->conf->vip_count,
        .warm = !c->conf->session_keys,
        .solo_start_after_ns = c->conf->solo_start_after_ms * NS_PER_MS,
        .damping = app_damping(c->conf),
        .heartbeat_ns = MIN(c->conf->advert_ms * NS_PER_MS, HEARTBEAT_NS),
        .fresh_ns = 3 * c->conf->advert_ms * NS_PER_MS + NS_PER_S + c->conf->advert_ms * NS_PER_MS,
    };
    struct node_ops ops = app_node_ops;
    uint8_t epoch[8];
    unsigned count = 0;
    int r;

    r = app_open_store(a);
    if (r < 0)
        return r;
    for (unsigned i = 1; i < MEMBERS_MAX; i++)
        if (c->conf->member[i].id && i != c->conf->self)
            n.members[count++] = (uint8_t)i;
    for (unsigned i = 0; i < c->conf->vip_count; i++) {
        n.vip[i + 1] = c->conf->vip[i];
        n.lans[i + 1] = conf_lans_of(c->conf, &c->conf->vip[i]);
    }
    app_life_recall(a, &n);
    rng_fill(&rng_system, n.instance, sizeof(n.instance));
    /* C1: K_cookie = KDF(K_cluster, membership epoch) */
    for (unsigned i = 0; i < 8; i++)
        epoch[i] = (uint8_t)(c->conf->membership_epoch >> (8 * i));
    uint8_t label[sizeof(k_cookie_label) - 1 + sizeof(epoch)];
    memcpy(label, k_cookie_label, sizeof(k_cookie_label) - 1);
    memcpy(label + sizeof(k_cookie_label) - 1, epoch, sizeof(epoch));
    hmac_blake2s(n.cookie_key, c->conf->cluster_key, 32, label, sizeof(label));

    ops.ctx = a;
    ops.transmit = op_transmit;
    ops.queued = op_queued;
    ops.close_link = op_close_link;
    ops.read_addresses = op_read_addresses;
    ops.remove_stale = op_remove_stale;
    ops.keep_address = op_keep_address;
    ops.announce = app_announce;
    ops.ask_again = app_ask_again;
    ops.set_weight = op_set_weight;
    ops.route = op_route;
    ops.drill = app_drill_heard;
    ops.set_fit = op_set_fit;
    app_life_ops(&ops);
    r = node_new(&n, &ops, &rng_system, &a->gate, a->store, app_now(), &a->node);
    secret_wipe(&n, sizeof(n));
    if (r >= 0)
        r = node_set_private_key(a->node, c->hub->private_key, app_now());
    if (r >= 0)
        node_load(a->node, app_now());
    return r;
}

static int open_vip_sockets(struct app *a, struct cluster *c)
{
    for (unsigned i = 0; i < c->conf->vip_count; i++) {
        const struct vip *v = &c->conf->vip[i];
        struct endpoint addrs[VIP_ADDRS_MAX];
        uint16_t port = v->port;

        for (unsigned j = 0; j < v->outer_count; j++)
            addrs[j] = (struct endpoint){v->outer[j].addr, v->port};
        int r = engine_open_sockets(a->engine, (uint16_t)(i + 1), addrs, v->outer_count, &port);
        if (r < 0) {
            log_error("the sockets of a VIP cannot be bound", "vip=%s port=%u error=%s", v->name,
                      v->port, strerror(-r));
            return r;
        }
    }
    a->port = c->conf->vip[0].port;
    return 0;
}

static void on_beat(uv_timer_t *t)
{
    struct app *a = t->data;
    struct cluster *c = a->cluster;
    struct instant now = app_now();

    if (c->beat_ns && now.boot_ns - c->beat_ns > GAP_NS + BEAT_MS * NS_PER_MS)
        node_gap(a->node, now.boot_ns - c->beat_ns, now);
    c->beat_ns = now.boot_ns;
    if (!sentinel_alive(c->sentinel)) {
        /* Without it a later freeze would go unnoticed: give the VIPs up now (O3). */
        health_remove_all(c->conf->run_dir, c->conf->vip, c->conf->vip_count);
        log_error("the sentinel process is gone; ending", "hint=%s", "a restart makes a new one");
        app_stop(a, 1, "no sentinel");
        return;
    }
    atomic_store(&sentinel_beats(c->sentinel)[0].boot_ns, now.boot_ns);
    app_take_refusals(a);
    app_life_look(a, now.boot_ns);
}

static void on_lans(void *ctx, uint32_t known, uint32_t alive)
{
    struct app *a = ctx;

    node_lans(a->node, known, alive, app_now());
}

static int start_lanprobe(struct app *a, struct cluster *c)
{
    struct lanprobe_ops ops = {.ctx = a, .changed = on_lans};
    int r =
        lanprobe_start(&a->loop, c->conf->lan, c->conf->lan_count, &rng_system, &ops, &c->lanprobe);

    if (r < 0)
        log_error("the probes of the LANs cannot be started",
                  "error=%s hint=needs CAP_NET_RAW, and the interfaces of [Lan] must exist",
                  strerror(-r));
    return r;
}

int app_cluster_start(struct app *a)
{
    struct cluster *c = a->cluster;
    struct engine_config e = {.hub = c->hub->id,
                              .workers = a->workers,
                              .pin_workers = c->conf->pin_workers,
                              .handshake_threads = MIN(a->workers, HANDSHAKE_THREADS_MAX),
                              .tun_fds = a->tun_fds,
                              .offloads = a->offloads,
                              .mtu = c->hub->mtu,
                              .gate = &a->gate,
                              .beats = (struct beat *)&sentinel_beats(c->sentinel)[1],
                              .gap_check = true};
    struct netlink_ops nops = {
        .ctx = a, .address = on_address, .link = on_link, .overflow = read_all};
    struct fifo_ops fops = {.ctx = a, .line = on_fifo_line, .writer = on_fifo_writer};
    char path[CONF_PATH_MAX + 16];
    int r;

    uv_timer_init(&a->loop, &c->beat);
    uv_timer_init(&a->loop, &c->announcing);
    uv_timer_init(&a->loop, &c->settling);
    uv_timer_init(&a->loop, &c->ending);
    app_drill_open(a);
    c->beat.data = c->announcing.data = c->settling.data = c->ending.data = a;
    if ((r = netlink_open(&c->netlink)) < 0)
        return r;
    if (netlink_routes_flush(c->netlink) < 0)
        log_warn("routes of an earlier run may be left", NULL);
    if ((r = app_set_up_interface(a, c)) < 0)
        return r;
    if (announce_open(&c->announce) < 0)
        log_warn("neighbours will not be told by us where a VIP is; keepalived tells them",
                 "needs=%s", "CAP_NET_RAW");
    if ((r = app_start_engine(a, &e)) < 0 || (r = app_events_open(a)) < 0 ||
        (r = start_node(a, c)) < 0 || (r = app_fence_start(a)) < 0 ||
        (r = open_vip_sockets(a, c)) < 0)
        return r;
    if (c->hub->fwmark)
        app_node_ops.set_fwmark(a, c->hub->fwmark);
    uv_timer_start(&c->beat, on_beat, 0, BEAT_MS);
    if ((r = netlink_monitor_open(&a->loop, &nops, &a->monitor)) < 0 || (r = start_links(a, c)) < 0)
        return r;
    snprintf(path, sizeof(path), "%s/vrrp.fifo", c->conf->run_dir);
    c->reading_at_start = true;
    c->reads = UINT64_MAX;
    r = fifo_open(&a->loop, path, &fops, &c->fifo);
    if (r < 0) {
        log_error("keepalived's FIFO cannot be opened", "path=%s error=%s", path, strerror(-r));
        return r;
    }
    app_cluster_turn(a);
    if ((r = start_lanprobe(a, c)) < 0)
        return r;
    r = app_status_start(a);
    return r < 0 ? r : app_uapi_start(a);
}

/* ---- end ---- */

static void on_ended(uv_timer_t *t)
{
    app_stop(t->data, 0, "SIGTERM");
}

static void on_draining(uv_timer_t *t)
{
    struct app *a = t->data;
    struct cluster *c = a->cluster;
    struct instant now = app_now();

    if (node_drain(a->node, now) && now.boot_ns < c->drain_until_ns)
        return;
    node_shutdown(a->node, now);
    links_flush(c->links);
    uv_timer_start(t, on_ended, SYNC_FLUSH_MS, 0);
}

/* Make before break: the VIPs move by weight while we still serve; then the last counters go out.
 */
void app_cluster_signal(struct app *a)
{
    struct cluster *c = a->cluster;

    if (c->drain_until_ns) {
        app_stop(a, 0, "a second signal");
        return;
    }
    c->drain_until_ns = clock_boot_ns() + 4 * c->conf->advert_ms * NS_PER_MS + DRAIN_SLACK_NS;
    notify_stopping();
    log_info("draining", "up_to_ms=%llu",
             (unsigned long long)((c->drain_until_ns - clock_boot_ns()) / NS_PER_MS));
    uv_timer_start(&c->ending, on_draining, 0, 5);
}

void app_cluster_free(struct app *a)
{
    struct cluster *c = a->cluster;

    if (!c)
        return;
    if (c->conf && c->sentinel)
        sentinel_end(c->sentinel);
    app_drill_stop(a);
    app_status_stop(a);
    links_free(c->links);
    fifo_close(c->fifo);
    lanprobe_stop(c->lanprobe);
    if (c->netlink)
        netlink_routes_flush(c->netlink); /* nobody would follow the VIPs with them any more */
    netlink_close(c->netlink);
    announce_close(c->announce);
    if (a->loop_open) {
        app_close_handle((uv_handle_t *)&c->beat);
        app_close_handle((uv_handle_t *)&c->announcing);
        app_close_handle((uv_handle_t *)&c->settling);
        app_close_handle((uv_handle_t *)&c->ending);
        app_close_handle((uv_handle_t *)&c->notifying);
    }
    life_end(&c->life);
}
