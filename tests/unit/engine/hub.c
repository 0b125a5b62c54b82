#include "hub.h"
#include "base/err.h"
#include "base/secret.h"
#include "lab.h"
#include "os/tun.h"
#include "os/udp.h"
#include <stdio.h>

#include "lib/test.h"

#define MTU 1420
#define RETRY_NS (1 * NS_PER_S)

static struct hub_peer *peer_of_id(struct hub *h, uint64_t id)
{
    for (unsigned i = 0; i < h->peer_count; i++)
        if (h->peers[i].wg->id == id)
            return &h->peers[i];
    return NULL;
}

/* ---- keys ---- */

void hub_remove_key(struct hub *h, struct keypair *k)
{
    for (unsigned i = 0; i < h->key_count; i++)
        if (h->keys[i] == k) {
            h->keys[i] = h->keys[--h->key_count];
            keypair_close(k);
            peer_forget(k->peer, k);
            engine_remove_keypair(h->engine, k);
            engine_retire(h->engine, k, (void (*)(void *))keypair_free);
            return;
        }
    fail_msg("no such key");
}

static void remove_keys(struct hub *h, struct keypair **out, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        hub_remove_key(h, out[i]);
}

static struct keypair *install(struct hub_peer *p, struct session_keys *keys, uint32_t local_index,
                               uint32_t remote_index, bool initiator)
{
    struct hub *h = p->hub;
    struct session s = {.id = {.hub = 1, .creator = 1, .seq = h->key_count + 1},
                        .keys = keys,
                        .local_index = local_index,
                        .remote_index = remote_index,
                        .hub_initiated = initiator,
                        .generation = ++p->generation,
                        .limit = LIMIT_NONE,
                        .vip = h->slot};
    struct keypair *k = keypair_new(&s, clock_boot_ns());

    assert_non_null(k);
    assert_int_equal(peer_wake(p->wg), 0);
    assert_true(h->key_count < HUB_KEYS_MAX);
    k->peer = p->wg;
    atomic_store(&k->vip, h->slot);
    assert_int_equal(engine_add_keypair(h->engine, k), 0);
    h->keys[h->key_count++] = k;
    p->sessions++;
    return k;
}

struct keypair *hub_install(struct hub_peer *p, const struct session_keys *keys,
                            uint32_t local_index, uint32_t remote_index, bool initiator)
{
    struct session_keys *slot = secret_alloc();
    struct keypair *out[NEXT_SLOTS + 2];

    *slot = *keys;
    struct keypair *k = install(p, slot, local_index, remote_index, initiator);
    atomic_store(&k->confirmed, initiator);
    remove_keys(p->hub, out,
                initiator ? peer_install_initiated(p->wg, k, out)
                          : peer_install_next(p->wg, k, out));
    return k;
}

/* ---- handshakes ---- */

static void initiation_free(void *v)
{
    struct initiation *i = v;

    secret_free(i->secret);
    secret_free(i->state);
    free(i);
}

static void forget_initiation(struct hub_peer *p)
{
    if (!p->initiation)
        return;
    engine_remove_initiation(p->hub->engine, p->initiation);
    engine_retire(p->hub->engine, TAKE_PTR(p->initiation), initiation_free);
}

void hub_initiate(struct hub_peer *p)
{
    struct handshake_job job = {.kind = HANDSHAKE_INITIATE,
                                .queued_ns = clock_boot_ns(),
                                .peer_id = p->wg->id,
                                .vip = p->hub->slot};

    stamp_from_real(clock_real_ns(), job.stamp);
    assert_int_equal(engine_handshake(p->hub->engine, &job), 0);
    p->initiating = true;
    p->retry_at_ns = clock_boot_ns() + RETRY_NS;
}

static void on_retry(uv_timer_t *t)
{
    struct hub *h = t->data;

    for (unsigned i = 0; i < h->peer_count; i++)
        if (h->peers[i].retry_at_ns && clock_boot_ns() >= h->peers[i].retry_at_ns)
            hub_initiate(&h->peers[i]);
}

static void send_message(struct hub_peer *p, const struct endpoint *to,
                         const struct endpoint *local, uint32_t ifindex, uint8_t *message,
                         unsigned len)
{
    struct message_macs *macs = (struct message_macs *)(message + len - sizeof(*macs));

    engine_set_last_mac1(p->hub->engine, p->wg, macs->mac1);
    if (p->has_cookie)
        handshake_add_mac2(message, len, p->cookie);
    engine_send(p->hub->engine, p->hub->slot, to, local, ifindex, message, len);
}

static void initiation_made(struct hub_peer *p, struct handshake_result *r)
{
    struct initiation *i = malloc(sizeof(*i));
    struct endpoint to, local;
    uint32_t ifindex;

    *i = r->initiation;
    r->initiation.secret = NULL;
    r->initiation.state = NULL;
    forget_initiation(p);
    assert_int_equal(engine_add_initiation(p->hub->engine, i), 0);
    p->initiation = i;
    if (peer_endpoint_get(p->wg, &to, &local, &ifindex))
        send_message(p, &to, &local, ifindex, r->reply, r->reply_len);
}

static void initiation_valid(struct hub_peer *p, struct handshake_result *r)
{
    struct keypair *out[NEXT_SLOTS + 2];

    engine_set_last_stamp(p->hub->engine, p->wg, r->stamp);
    struct keypair *k = install(p, TAKE_PTR(r->keys), r->local_index, r->remote_index, false);
    remove_keys(p->hub, out, peer_install_next(p->wg, k, out));
    send_message(p, &r->source, &r->local, r->local_ifindex, r->reply, r->reply_len);
}

static void response_valid(struct hub_peer *p, struct handshake_result *r)
{
    struct keypair *out[NEXT_SLOTS + 2];

    if (!p->initiation || p->initiation->local_index != r->initiation_index)
        return;
    forget_initiation(p);
    p->initiating = false;
    p->retry_at_ns = 0;
    struct keypair *k = install(p, TAKE_PTR(r->keys), r->local_index, r->remote_index, true);
    atomic_store(&k->confirmed, true);
    remove_keys(p->hub, out, peer_install_initiated(p->wg, k, out));
    engine_flush_staged(p->hub->engine, p->wg, clock_boot_ns());
    engine_send_keepalive(p->hub->engine, p->wg, clock_boot_ns());
}

static void on_handshake(void *ctx, struct handshake_result *r)
{
    struct hub *h = ctx;
    struct hub_peer *p = peer_of_id(h, r->peer_id);

    h->results[r->verdict]++;
    h->last_result = *r;
    assert_non_null(p);
    switch (r->verdict) {
    case HANDSHAKE_INITIATION_MADE:
        initiation_made(p, r);
        break;
    case HANDSHAKE_INITIATION_VALID:
        initiation_valid(p, r);
        break;
    case HANDSHAKE_RESPONSE_VALID:
        response_valid(p, r);
        break;
    case HANDSHAKE_COOKIE_VALID:
        memcpy(p->cookie, r->cookie, sizeof(p->cookie));
        p->has_cookie = true;
        if (p->initiation && p->initiation->local_index == r->initiation_index)
            hub_initiate(p);
        break;
    default:
        break;
    }
}

/* ---- facts ---- */

static void confirmed(struct hub *h, uint32_t index)
{
    struct keypair *out[NEXT_SLOTS + 2];

    for (unsigned i = 0; i < h->key_count; i++)
        if (h->keys[i]->local_index == index) {
            struct wg_peer *p = h->keys[i]->peer;

            remove_keys(h, out, peer_confirm(p, h->keys[i], out));
            engine_flush_staged(h->engine, p, clock_boot_ns());
            return;
        }
}

static void on_fact(void *ctx, const struct fact *f)
{
    struct hub *h = ctx;
    struct hub_peer *p;

    h->facts[f->kind]++;
    h->last[f->kind] = *f;
    if (f->kind == FACT_EFFECTS) {
        for (unsigned bit = 0; bit < ARRAY_LEN(h->effects); bit++)
            h->effects[bit] += f->effects >> bit & 1;
        if (f->effects & EFFECT_CONFIRMED)
            confirmed(h, f->index);
    } else if (f->kind == FACT_NEED_SESSION) {
        p = peer_of_id(h, f->peer_id);
        assert_non_null(p);
        if (!p->initiating)
            hub_initiate(p);
    } else if (f->kind == FACT_GAP && h->resume_by_itself) {
        engine_resume(h->engine);
    }
}

static void on_failed(void *ctx, const char *what, int err)
{
    struct hub *h = ctx;

    h->failed = err;
}

/* ---- life ---- */

static void set_identity(struct hub *h)
{
    struct identity *id = calloc(1, sizeof(*id));
    struct cookie_secret *cookies = calloc(1, sizeof(*cookies));

    rng_fill(&rng_system, h->private_key.b, 32);
    h->private_key.b[0] &= 248;
    h->private_key.b[31] = (uint8_t)((h->private_key.b[31] & 127) | 64);
    id->hub = 1;
    id->private_key = secret_alloc();
    identity_init(id, &h->private_key);
    h->key = id->public_key;
    rng_fill(&rng_system, cookies->key, sizeof(cookies->key));
    engine_set_identity(h->engine, id, cookies);
}

struct hub *hub_new(uv_loop_t *loop, const char *ns, const char *ifname, unsigned n,
                    const struct hub_options *options)
{
    struct hub *h = calloc(1, sizeof(*h));
    struct engine_ops ops = {
        .ctx = h, .fact = on_fact, .handshake = on_handshake, .failed = on_failed};

    h->loop = loop;
    h->ns = ns;
    h->workers = options->workers;
    h->slot = options->cluster ? 1 : VIP_SLOT_PLAIN;
    h->resume_by_itself = true;
    h->gate.plain = !options->cluster;
    h->gate.fresh_ns = 4 * NS_PER_S;
    gate_set_tag(&h->gate, (struct counter_tag){.member = options->cluster ? 1 : 0});
    for (unsigned i = 0; i < HUB_WORKERS_MAX; i++)
        h->tun[i] = -1;
    unsigned offloads = options->no_offloads ? 0 : OFFLOAD_ALL, tun;
    assert_int_equal(tun_open(ifname, options->single_queue ? 1 : h->workers, MTU, offloads, h->tun,
                              h->ifname, &tun),
                     0);
    /* The daemon's TUN may be moved away from it; here it always is. */
    run("ip link set %s netns %s", ifname, ns);
    run("ip -n %s addr add 10.77.0.%u/24 dev %s && ip -n %s addr add fd77::%x/64 dev %s nodad && "
        "ip -n %s link set %s up",
        ns, n, ifname, ns, n, ifname, ns, ifname);
    struct engine_config config = {.hub = 1,
                                   .workers = h->workers,
                                   .pin_workers = options->pin_workers,
                                   .handshake_threads = 2,
                                   .tun_fds = h->tun,
                                   .offloads = offloads & (tun | udp_offloads()),
                                   .mtu = MTU,
                                   .gate = &h->gate,
                                   .beats = h->beats,
                                   .gap_check = options->gap_check};
    assert_int_equal(engine_new(loop, &config, &ops, &h->engine), 0);
    set_identity(h);
    h->retry = calloc(1, sizeof(*h->retry));
    h->retry->data = h;
    uv_timer_init(loop, h->retry);
    uv_timer_start(h->retry, on_retry, 50, 50);
    return h;
}

void hub_open(struct hub *h, uint16_t port)
{
    struct endpoint vip[2] = {0};

    assert_int_equal(addr_parse("127.0.0.1", &vip[0].addr), 0);
    assert_int_equal(addr_parse("::1", &vip[1].addr), 0);
    h->port = port;
    assert_int_equal(engine_open_sockets(h->engine, h->slot, vip, h->gate.plain ? 0 : 2, &h->port),
                     0);
}

void hub_free(struct hub *h)
{
    engine_stop(h->engine);
    uv_close((uv_handle_t *)h->retry, (uv_close_cb)free);
    while (h->key_count)
        hub_remove_key(h, h->keys[0]);
    for (unsigned i = 0; i < h->peer_count; i++) {
        forget_initiation(&h->peers[i]);
        engine_remove_peer(h->engine, h->peers[i].wg);
        engine_retire(h->engine, h->peers[i].wg, hub_wg_free);
    }
    engine_free(h->engine);
    uv_run(h->loop, UV_RUN_NOWAIT); /* the engine's last handle closes */
    for (unsigned i = 0; i < h->workers; i++)
        if (h->tun[i] >= 0)
            close(h->tun[i]);
    free(h);
}

void hub_wg_free(void *wg)
{
    wg_peer_done(wg);
    free(wg);
}

struct hub_peer *hub_add_peer(struct hub *h, const struct public_key *key,
                              const struct secret32 *psk, unsigned n)
{
    struct hub_peer *p = &h->peers[h->peer_count];
    struct remote r = {.secret = secret_alloc()};
    struct identity self = {.private_key = &h->private_key, .public_key = h->key};
    struct ip_prefix prefix;
    char text[32];

    assert_true(h->peer_count < HUB_PEERS_MAX);
    p->hub = h;
    p->wg = calloc(1, sizeof(*p->wg));
    wg_peer_init(p->wg, h->peer_count + 1, 1, key);
    atomic_store(&p->wg->vip, h->slot);
    h->peer_count++;
    remote_init(&r, &self, key, psk);
    assert_int_equal(engine_add_peer(h->engine, p->wg, r.secret), 0);
    snprintf(text, sizeof(text), "10.77.0.%u/32", n);
    assert_int_equal(prefix_parse(text, &prefix), 0);
    assert_int_equal(allowedips_insert(engine_allowedips(h->engine), &prefix, p->wg), 0);
    snprintf(text, sizeof(text), "fd77::%x/128", n);
    assert_int_equal(prefix_parse(text, &prefix), 0);
    assert_int_equal(allowedips_insert(engine_allowedips(h->engine), &prefix, p->wg), 0);
    return p;
}

void hub_set_endpoint(struct hub_peer *p, const char *address, uint16_t port)
{
    struct endpoint e = {.port = port};

    assert_int_equal(addr_parse(address, &e.addr), 0);
    assert_int_equal(peer_endpoint_set(p->wg, &e), 0);
}

void hub_join(struct hub *a, unsigned a_n, struct hub *b, unsigned b_n, const char *b_address,
              const struct secret32 *psk)
{
    hub_set_endpoint(hub_add_peer(a, &b->key, psk, b_n), b_address, b->port);
    hub_add_peer(b, &a->key, psk, a_n);
}

struct engine_counters hub_counters(const struct hub *h)
{
    struct engine_counters c;

    engine_counters(h->engine, &c);
    return c;
}
