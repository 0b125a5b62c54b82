/* What a peer and its keys cost in the tables of the engine, at a number of peers of one's choice:
 *
 *     bench-memory own|replicas PEERS
 *
 * prints a line for each stage: its name, objects added in it, bytes more that are resident, bytes
 * more that malloc holds (its own overhead included), slots more of the key arena. The engine is a
 * real one with one worker and a TUN that nobody writes to; what the node above it keeps of a peer
 * (its record, its timers) is not in it: ./dev bench tunnel --group memory shows the whole. */
#include "base/clock.h"
#include "base/err.h"
#include "base/rng.h"
#include "base/secret.h"
#include "engine/engine.h"
#include "model/offload.h"
#include "noise/noise.h"
#include <assert.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#define PEERS_MAX 2000000u
#define SESSIONS_MAX 3u
#define LOOP_EVERY 4096 /* objects between turns of the loop, which frees what is retired */

struct table {
    uv_loop_t loop;
    struct engine *engine;
    struct gate gate;
    unsigned count;
    struct wg_peer **peer;
    struct keypair **current; /* of each peer */
};

struct usage {
    long resident, held, slots;
};

static struct usage usage_now(void)
{
    struct mallinfo2 m;
    struct usage u = {.slots = (long)secret_slots_used()};
    long pages = 0, all;
    FILE *f = fopen("/proc/self/statm", "r");

    malloc_trim(0); /* what is free is nobody's */
    m = mallinfo2();
    u.held = (long)(m.uordblks + m.hblkhd);
    if (f && fscanf(f, "%ld %ld", &all, &pages) != 2)
        pages = 0;
    if (f)
        fclose(f);
    u.resident = pages * sysconf(_SC_PAGESIZE);
    return u;
}

static void told(const char *stage, unsigned objects, const struct usage *before)
{
    struct usage now = usage_now();

    printf("%s %u %ld %ld %ld\n", stage, objects, now.resident - before->resident,
           now.held - before->held, now.slots - before->slots);
    fflush(stdout);
}

static void turn(struct table *t, unsigned i)
{
    if (i % LOOP_EVERY == 0)
        uv_run(&t->loop, UV_RUN_NOWAIT);
}

static void on_fact(void *ctx, const struct fact *f)
{
}

static void on_handshake(void *ctx, struct handshake_result *r)
{
}

static void on_failed(void *ctx, const char *what, int err)
{
    fprintf(stderr, "bench-memory: %s: %s\n", what, strerror(-err));
    exit(1);
}

static void engine_up(struct table *t)
{
    static const struct engine_ops ops = {
        .fact = on_fact, .handshake = on_handshake, .failed = on_failed};
    int tun[2];

    assert(uv_loop_init(&t->loop) == 0);
    assert(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, tun) == 0);
    t->gate.plain = true;
    atomic_store(&t->gate.vip[VIP_SLOT_PLAIN].owned, true);
    struct engine_config c = {.hub = 1,
                              .workers = 1,
                              .handshake_threads = 1,
                              .tun_fds = tun,
                              .mtu = 1420,
                              .gate = &t->gate};
    int r = engine_new(&t->loop, &c, &ops, &t->engine);
    if (r < 0)
        on_failed(NULL, "engine", r);
}

/* ---------------------------------------------------------------- stages */

static void add_peers(struct table *t)
{
    for (unsigned i = 0; i < t->count; i++) {
        struct wg_peer *p = calloc(1, sizeof(*p));
        struct remote_secret *s = secret_alloc();
        struct ip_prefix prefix = {.len = 32};
        struct public_key key;

        assert(p && s);
        rng_fill(&rng_system, key.b, sizeof(key.b));
        wg_peer_init(p, i + 1, 1, &key);
        /* Without the multiplication of remote_init(): it leaves nothing behind. */
        assert(engine_add_peer(t->engine, p, s) == 0);
        prefix.addr =
            addr_from_v4((const uint8_t[]){10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i});
        assert(allowedips_insert(engine_allowedips(t->engine), &prefix, p) == 0);
        t->peer[i] = p;
        turn(t, i);
    }
}

static struct keypair *key_make(struct table *t, unsigned i, unsigned n, bool replica)
{
    struct session_keys *keys = secret_alloc();
    struct session s = {.id = {.hub = 1, .creator = 1, .seq = (uint64_t)i * SESSIONS_MAX + n + 1},
                        .keys = keys,
                        .generation = n + 1,
                        .limit = replica ? LIMIT_FIRST : LIMIT_NONE};
    struct keypair *k;

    assert(keys);
    do
        s.local_index = engine_draw_index(t->engine);
    while (engine_index_known(t->engine, s.local_index));
    k = replica ? keypair_new_replica(&s, 2, clock_boot_ns()) : keypair_new(&s, clock_boot_ns());
    assert(k);
    assert(replica || peer_wake(t->peer[i]) == 0);
    assert(peer_endpoint_update(
               t->peer[i],
               &(struct endpoint){.addr = addr_from_v4((const uint8_t[]){192, 0, 2, 1}), .port = 9},
               &(struct endpoint){0}, 0, VIP_SLOT_PLAIN,
               &(struct endpoint_version){.generation = n + 1}) == (n == 0));
    k->peer = t->peer[i];
    assert(engine_add_keypair(t->engine, k) == 0);
    return k;
}

static void add_sessions(struct table *t, unsigned first, unsigned last)
{
    for (unsigned i = 0; i < t->count; i++) {
        for (unsigned n = first; n < last; n++) {
            struct keypair *out[NEXT_SLOTS + 2], *k = key_make(t, i, n, false);

            atomic_store(&k->confirmed, true);
            if (n == 0 || n == 1)
                assert(peer_install_initiated(t->peer[i], k, out) == 0);
            else
                assert(peer_install_next(t->peer[i], k, out) == 0);
            t->current[i] = t->peer[i]->current;
        }
        turn(t, i);
    }
}

/* The first data packet on the current key of each peer. */
static void receive_first(struct table *t)
{
    for (unsigned i = 0; i < t->count; i++) {
        unsigned effects;
        enum rx_verdict v = keypair_receive(t->current[i], &t->gate, clock_boot_ns(), 0, &effects);

        assert(v == RX_ACCEPT);
    }
}

static void add_replicas(struct table *t)
{
    for (unsigned i = 0; i < t->count; i++) {
        struct keypair *out[NEXT_SLOTS + 2], *k = key_make(t, i, 0, true);

        assert(peer_install_replica(t->peer[i], k, SLOT_CURRENT, out) == 0);
        turn(t, i);
    }
}

static struct usage stage(struct table *t, const char *name, unsigned objects,
                          const struct usage *before)
{
    uv_run(&t->loop, UV_RUN_NOWAIT);
    told(name, objects, before);
    return usage_now();
}

/* Own sessions and replicas in processes of their own: what one leaves behind the other must not
 * find. */
static void run(unsigned count, bool replicas)
{
    struct table *t = calloc(1, sizeof(*t));

    assert(t && secret_arena_init((size_t)count * (1 + SESSIONS_MAX) + 1024, false) == 0);
    t->count = count;
    t->peer = calloc(count, sizeof(*t->peer));
    t->current = calloc(count, sizeof(*t->current));
    assert(t->peer && t->current);
    memset(t->peer, 1, count * sizeof(*t->peer)); /* resident before the first look */
    memset(t->current, 1, count * sizeof(*t->current));
    engine_up(t);
    struct usage u = usage_now();

    add_peers(t);
    if (replicas) {
        u = usage_now();
        add_replicas(t);
        stage(t, "replica", count, &u);
        return;
    }
    u = stage(t, "peer", count, &u);
    add_sessions(t, 0, 1);
    u = stage(t, "session", count, &u);
    receive_first(t);
    u = stage(t, "first-data", count, &u);
    add_sessions(t, 1, SESSIONS_MAX);
    stage(t, "more-sessions", count * (SESSIONS_MAX - 1), &u);
}

int main(int argc, char **argv)
{
    unsigned count = argc == 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;

    if (count < 1 || count > PEERS_MAX ||
        (strcmp(argv[1], "own") != 0 && strcmp(argv[1], "replicas") != 0)) {
        fputs("usage: bench-memory own|replicas PEERS\n", stderr);
        return 2;
    }
    if (noise_init() < 0)
        return 1;
    run(count, strcmp(argv[1], "replicas") == 0);
    fflush(stdout);
    _exit(0); /* the tables are not worth the time to take them apart */
}
