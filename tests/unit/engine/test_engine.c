/* Whole engines, on real sockets and TUNs in namespaces of this process. */
#include "base/bytes.h"
#include "base/err.h"
#include "base/secret.h"
#include "engine/internal.h"
#include "hub.h"
#include "lab.h"
#include "noise/noise.h"
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <sys/socket.h>

#include "lib/test.h"

#define PORT 7000
#define A4 "10.77.0.1"
#define B4 "10.77.0.2"
#define A6 "fd77::1"
#define B6 "fd77::2"
#define INDEX 0x01020304

static uv_loop_t loop;

/* ---- waiting ---- */

#define UNTIL(condition)                                                                           \
    do {                                                                                           \
        uint64_t _end = clock_boot_ns() + 10 * NS_PER_S;                                           \
        while (!(condition)) {                                                                     \
            if (clock_boot_ns() > _end)                                                            \
                fail_msg("did not happen: %s", #condition);                                        \
            turn_once();                                                                           \
        }                                                                                          \
    } while (0)

static void turn_once(void)
{
    uv_run(&loop, UV_RUN_NOWAIT);
    usleep(500);
}

static void turn_for(unsigned ms)
{
    uint64_t end = clock_boot_ns() + ms * NS_PER_MS;

    while (clock_boot_ns() < end)
        turn_once();
}

static bool got(int fd, const char *text)
{
    char buf[2048];
    ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

    return n == (ssize_t)strlen(text) && memcmp(buf, text, (size_t)n) == 0;
}

static unsigned count_received(int fd)
{
    char buf[2048];
    unsigned n = 0;

    while (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) >= 0)
        n++;
    return n;
}

/* ---- two engines ---- */

struct pair {
    struct hub *a, *b;
    int a4, b4, a6, b6; /* sockets inside, on PORT */
};

static struct pair pair_with(const struct hub_options *o)
{
    struct hub_options options = *o;
    struct pair p;

    p.a = hub_new(&loop, LAB_A, "gmt0", 1, &options);
    p.b = hub_new(&loop, LAB_B, "gmt0", 2, &options);
    hub_open(p.a, 0);
    hub_open(p.b, 0);
    p.a4 = lab_socket(LAB_A, SOCK_DGRAM, A4, PORT);
    p.b4 = lab_socket(LAB_B, SOCK_DGRAM, B4, PORT);
    p.a6 = lab_socket(LAB_A, SOCK_DGRAM, A6, PORT);
    p.b6 = lab_socket(LAB_B, SOCK_DGRAM, B6, PORT);
    return p;
}

static struct pair pair_new(unsigned workers)
{
    return pair_with(&(struct hub_options){.workers = workers});
}

static void pair_free(struct pair *p)
{
    hub_free(p->a);
    hub_free(p->b);
    lab_close(p->a4);
    lab_close(p->b4);
    lab_close(p->a6);
    lab_close(p->b6);
}

static void pair_talk(struct pair *p)
{
    lab_send_to(p->a4, B4, PORT, "up 4", 4);
    UNTIL(got(p->b4, "up 4")); /* the first one waited for the handshake */
    lab_send_to(p->b4, A4, PORT, "down 4", 6);
    UNTIL(got(p->a4, "down 4"));
    lab_send_to(p->a6, B6, PORT, "up 6", 4);
    UNTIL(got(p->b6, "up 6"));
    lab_send_to(p->b6, A6, PORT, "down 6", 6);
    UNTIL(got(p->a6, "down 6"));
}

static void data_flows(const char *outer, unsigned workers, bool with_psk)
{
    struct secret32 psk = {{1, 2, 3}};
    struct pair p = pair_new(workers);

    hub_join(p.a, 1, p.b, 2, outer, with_psk ? &psk : NULL);
    pair_talk(&p);
    /* One each, unless the machine was so busy that cookies were asked for (H10). */
    assert_true(p.a->results[HANDSHAKE_RESPONSE_VALID] >= 1);
    assert_true(p.b->results[HANDSHAKE_INITIATION_VALID] >= 1);
    assert_true(p.b->effects[3] >= 1); /* EFFECT_CONFIRMED */
    struct engine_counters a = hub_counters(p.a), b = hub_counters(p.b);
    assert_true(a.tx[TX_OK] >= 3 && b.tx[TX_OK] >= 2); /* a: two packets and a keepalive */
    assert_int_equal(a.tx_bytes, b.rx_bytes);
    assert_int_equal(b.tx_bytes, a.rx_bytes);
    assert_int_equal(a.staged_dropped, 0);
    pair_free(&p);
}

/* Eleven datagrams that their sender's kernel keeps in one piece as far as it can. */
static void burst_flows(int from, int to, const char *address)
{
    char text[1050], got_text[2048];
    int size = 100;

    for (unsigned i = 0; i < sizeof(text); i++)
        text[i] = (char)(i * 7 >> 2);
    assert_int_equal(setsockopt(from, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)), 0);
    lab_send_to(from, address, PORT, text, sizeof(text));
    for (size_t at = 0; at < sizeof(text); at += (size_t)size) {
        ssize_t want = (ssize_t)MIN((size_t)size, sizeof(text) - at), n = -1;

        UNTIL((n = recv(to, got_text, sizeof(got_text), MSG_DONTWAIT)) >= 0);
        assert_int_equal(n, want);
        assert_memory_equal(got_text, text + at, (size_t)n);
    }
}

static void bursts_flow(bool no_offloads, struct engine_counters *ret_a,
                        struct engine_counters *ret_b)
{
    struct pair p = pair_with(&(struct hub_options){.workers = 2, .no_offloads = no_offloads});

    hub_join(p.a, 1, p.b, 2, "127.0.0.1", NULL);
    pair_talk(&p);
    burst_flows(p.a4, p.b4, B4);
    burst_flows(p.a6, p.b6, B6);
    *ret_a = hub_counters(p.a);
    *ret_b = hub_counters(p.b);
    pair_free(&p);
}

TEST(a_burst_stays_one_from_end_to_end)
{
    struct engine_counters a, b;

    bursts_flow(false, &a, &b);
    if (!a.tun_cut)
        skip(); /* a kernel without USO on TUNs */
    assert_int_equal(a.tun_cut, 2);
    assert_int_equal(a.tx_bursts, 2);
    assert_int_equal(b.rx_bursts, 2);
    assert_int_equal(b.tun_joined, 2 * 10);
    assert_int_equal(a.tun_malformed + a.tx_fallbacks + b.tun_write_errors, 0);
}

TEST(without_offloads_the_same_datagrams_pass_one_by_one)
{
    struct engine_counters a, b;

    bursts_flow(true, &a, &b);
    assert_int_equal(a.tun_cut + a.tx_bursts + b.rx_bursts + b.tun_joined, 0);
}

TEST(data_flows_both_ways_inside_ipv4)
{
    data_flows("127.0.0.1", 2, false);
}

TEST(data_flows_both_ways_inside_ipv6)
{
    data_flows("::1", 2, false);
}

TEST(data_flows_with_a_preshared_key_and_one_worker)
{
    data_flows("127.0.0.1", 1, true);
}

TEST(one_tun_queue_serves_all_workers)
{
    struct pair p = pair_with(&(struct hub_options){.workers = 3, .single_queue = true});

    hub_join(p.a, 1, p.b, 2, "127.0.0.1", NULL);
    pair_talk(&p);
    for (unsigned i = 0; i < 6; i++) { /* new indices, other workers */
        unsigned sessions = p.b->effects[3];

        turn_for(20); /* a stamp's tick */
        hub_initiate(&p.a->peers[0]);
        UNTIL(p.b->effects[3] == sessions + 1);
        pair_talk(&p);
    }
    pair_free(&p);
}

TEST(packets_that_wait_for_a_key_arrive_in_order_up_to_their_bound)
{
    struct pair p = pair_new(1);
    char text[8];

    hub_join(p.a, 1, p.b, 2, "127.0.0.1", NULL);
    p.a->peers[0].initiating = true; /* not yet */
    for (unsigned i = 0; i < STAGED_PACKETS_MAX + 10; i++) {
        snprintf(text, sizeof(text), "%04u", i);
        lab_send_to(p.a4, B4, PORT, text, 4);
    }
    UNTIL(hub_counters(p.a).staged_dropped == 10);
    hub_initiate(&p.a->peers[0]);
    for (unsigned i = 10; i < STAGED_PACKETS_MAX + 10; i++) { /* the oldest gave way */
        char buf[16];

        snprintf(text, sizeof(text), "%04u", i);
        UNTIL(recv(p.b4, buf, sizeof(buf), MSG_DONTWAIT | MSG_PEEK) > 0);
        assert_true(got(p.b4, text));
    }
    assert_int_equal(atomic_load(&p.a->engine->staged_count), 0);
    assert_int_equal(atomic_load(&p.a->engine->staged_bytes), 0);
    pair_free(&p);
}

TEST(a_burst_through_all_workers_arrives_whole)
{
    enum { PEERS_FLOWS = 8, EACH = 200 };
    struct pair p = pair_new(3);
    int from[PEERS_FLOWS];
    char data[1200] = {0};
    unsigned received = 0;

    hub_join(p.a, 1, p.b, 2, "127.0.0.1", NULL);
    pair_talk(&p);
    int size = 4 << 20;
    setsockopt(p.b4, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
    for (unsigned f = 0; f < PEERS_FLOWS; f++)
        from[f] = lab_socket(LAB_A, SOCK_DGRAM, A4, (uint16_t)(PORT + 1 + f));
    for (unsigned i = 0; i < EACH; i++)
        for (unsigned f = 0; f < PEERS_FLOWS; f++)
            lab_send_to(from[f], B4, PORT, data, sizeof(data));
    UNTIL((received += count_received(p.b4)) == PEERS_FLOWS * EACH);
    struct engine_counters b = hub_counters(p.b);
    assert_int_equal(b.rx[RX_DROP_REPLAY] + b.rx[RX_DROP_AUTH], 0);
    for (unsigned f = 0; f < PEERS_FLOWS; f++)
        lab_close(from[f]);
    pair_free(&p);
}

TEST(keys_and_peers_change_under_traffic)
{
    struct pair p = pair_new(2);
    struct secret32 psk = {{0}};
    unsigned received = 0, sessions = 0;

    hub_join(p.a, 1, p.b, 2, "127.0.0.1", NULL);
    pair_talk(&p);
    uint64_t end = clock_boot_ns() + 400 * NS_PER_MS, next = 0;
    for (uint32_t i = 0; clock_boot_ns() < end; i++) {
        struct public_key key = {{0x55}};
        struct ip_prefix prefix;

        for (unsigned n = 0; n < 8; n++) {
            lab_send_to(p.a4, B4, PORT, "up", 2);
            lab_send_to(p.b6, A6, PORT, "down", 4);
        }
        if (clock_boot_ns() > next) {
            next = clock_boot_ns() + 20 * NS_PER_MS;
            hub_initiate(&p.a->peers[0]);
        }
        /* A peer that comes and goes, near those that stay. */
        store_le32(key.b + 4, i);
        struct hub_peer *extra = hub_add_peer(p.a, &key, &psk, 3);
        assert_int_equal(prefix_parse("10.77.0.3/32", &prefix), 0);
        assert_true(allowedips_remove(engine_allowedips(p.a->engine), &prefix, extra->wg));
        assert_int_equal(prefix_parse("fd77::3/128", &prefix), 0);
        assert_true(allowedips_remove(engine_allowedips(p.a->engine), &prefix, extra->wg));
        engine_remove_peer(p.a->engine, extra->wg);
        engine_retire(p.a->engine, TAKE_PTR(extra->wg), hub_wg_free);
        p.a->peer_count--;
        turn_once();
        received += count_received(p.b4) + count_received(p.a6);
    }
    sessions = p.b->results[HANDSHAKE_INITIATION_VALID];
    assert_true(sessions > 3);
    assert_true(received > 100);
    struct engine_counters a = hub_counters(p.a), b = hub_counters(p.b);
    assert_int_equal(a.rx[RX_DROP_AUTH] + b.rx[RX_DROP_AUTH], 0);
    assert_int_equal(a.rx[RX_DROP_REPLAY] + b.rx[RX_DROP_REPLAY], 0);
    assert_int_equal(a.rx[RX_DROP_SOURCE] + b.rx[RX_DROP_SOURCE], 0);
    pair_free(&p);
}

TEST(a_peer_that_roams_is_followed)
{
    struct pair p = pair_new(2);

    hub_join(p.a, 1, p.b, 2, "127.0.0.1", NULL);
    pair_talk(&p);
    uint16_t old = p.a->port;
    engine_close_sockets(p.a->engine, p.a->slot);
    hub_open(p.a, 0);
    assert_int_not_equal(p.a->port, old);
    unsigned moved = p.b->facts[FACT_ENDPOINT];
    unsigned sessions = p.b->results[HANDSHAKE_INITIATION_VALID];
    lab_send_to(p.a4, B4, PORT, "here", 4);
    UNTIL(got(p.b4, "here"));
    UNTIL(p.b->facts[FACT_ENDPOINT] == moved + 1);
    lab_send_to(p.b4, A4, PORT, "there", 5);
    UNTIL(got(p.a4, "there"));
    assert_int_equal(p.b->results[HANDSHAKE_INITIATION_VALID], sessions);
    pair_free(&p);
}

TEST(the_mtu_ends_the_padding)
{
    struct pair p = pair_new(1);
    char full[1420 - 28] = {0}; /* IP and UDP headers make it MTU */

    hub_join(p.a, 1, p.b, 2, "127.0.0.1", NULL);
    pair_talk(&p);
    uint64_t before = hub_counters(p.a).tx_bytes;
    lab_send_to(p.a4, B4, PORT, full, sizeof(full));
    UNTIL(recv(p.b4, full, sizeof(full), MSG_DONTWAIT) == sizeof(full));
    assert_int_equal(hub_counters(p.a).tx_bytes - before, 1420 + 32);
    before += 1420 + 32;
    lab_send_to(p.a4, B4, PORT, "12345", 5); /* 33 bytes inside, 48 padded */
    UNTIL(got(p.b4, "12345"));
    assert_int_equal(hub_counters(p.a).tx_bytes - before, 48 + 32);
    pair_free(&p);
}

/* ---- what has no way out ---- */

static bool refused(int fd, int err)
{
    int e = 0;
    socklen_t len = sizeof(e);

    getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len);
    return e == err;
}

TEST(senders_to_nobody_hear_that_the_host_is_unreachable)
{
    struct pair p = pair_new(1);

    lab_connect(p.a4, "10.77.0.99", PORT);
    assert_int_equal(send(p.a4, "x", 1, 0), 1);
    UNTIL(refused(p.a4, EHOSTUNREACH));
    lab_connect(p.a6, "fd77::99", PORT);
    assert_int_equal(send(p.a6, "x", 1, 0), 1);
    UNTIL(refused(p.a6, EHOSTUNREACH));
    /* A peer without an endpoint is as far away. */
    hub_add_peer(p.b, &p.a->key, NULL, 1);
    lab_connect(p.b4, A4, PORT);
    assert_int_equal(send(p.b4, "x", 1, 0), 1);
    UNTIL(refused(p.b4, EHOSTUNREACH));
    assert_true(hub_counters(p.a).tx_no_peer >= 2);
    pair_free(&p);
}

/* ---- packets made by the test: a session with known keys ---- */

struct crafted {
    struct hub *hub;
    struct hub_peer *peer;
    struct keypair *key;
    struct session_keys keys;
    struct aead *aead;
    int outside, inside;
};

static struct crafted crafted_new(const struct hub_options *options)
{
    struct crafted c = {.hub = hub_new(&loop, LAB_A, "gmt0", 1, options),
                        .keys = {.send = {1}, .recv = {2}},
                        .aead = aead_new()};
    struct public_key someone = {{9}};

    hub_open(c.hub, 0);
    c.peer = hub_add_peer(c.hub, &someone, NULL, 2);
    c.key = hub_install(c.peer, &c.keys, INDEX, 77, true);
    c.outside = lab_socket(NULL, SOCK_DGRAM, "127.0.0.1", 0);
    c.inside = lab_socket(LAB_A, SOCK_DGRAM, A4, PORT);
    return c;
}

static void crafted_free(struct crafted *c)
{
    hub_free(c->hub);
    aead_free(c->aead);
    lab_close(c->outside);
    lab_close(c->inside);
}

/* A UDP packet with @text from 10.77.0.@last to A4. */
static size_t inner(uint8_t *out, uint8_t last, const char *text)
{
    size_t len = 28 + strlen(text);
    uint32_t sum = 0;

    memset(out, 0, 28);
    out[0] = 0x45;
    store_be16(out + 2, (uint16_t)len);
    out[8] = 64;
    out[9] = IPPROTO_UDP;
    memcpy(out + 12, (uint8_t[]){10, 77, 0, last, 10, 77, 0, 1}, 8);
    for (unsigned i = 0; i < 20; i += 2)
        sum += load_be16(out + i);
    store_be16(out + 10, (uint16_t) ~((sum & 0xffff) + (sum >> 16)));
    store_be16(out + 20, 1234);
    store_be16(out + 22, PORT);
    store_be16(out + 24, (uint16_t)(len - 20));
    memcpy(out + 28, text, strlen(text));
    return len;
}

static size_t seal(struct crafted *c, uint8_t *out, uint64_t counter, uint8_t last,
                   const char *text)
{
    struct aead_op op = {.counter = counter, .src = out + 16, .dst = out + 16};

    memset(out, 0, 16);
    store_le32(out, MESSAGE_DATA);
    store_le32(out + 4, INDEX);
    store_le64(out + 8, counter);
    if (text)
        op.len = (inner(out + 16, last, text) + 15) / 16 * 16;
    aead_seal(c->aead, c->keys.recv, &op, 1);
    return 16 + op.len + 16;
}

static void send_crafted(struct crafted *c, uint64_t counter, uint8_t last, const char *text)
{
    uint8_t message[256] = {0};
    size_t len = seal(c, message, counter, last, text);

    lab_send_to(c->outside, "127.0.0.1", c->hub->port, message, len);
}

TEST(a_packet_is_delivered_once)
{
    struct crafted c = crafted_new(&(struct hub_options){.workers = 2});

    send_crafted(&c, 5, 2, "once");
    UNTIL(got(c.inside, "once"));
    send_crafted(&c, 5, 2, "once");
    UNTIL(hub_counters(c.hub).rx[RX_DROP_REPLAY] == 1);
    UNTIL(c.hub->facts[FACT_DROPPED] == 1);
    assert_int_equal(c.hub->last[FACT_DROPPED].index, RX_DROP_REPLAY);
    assert_int_equal(c.hub->last[FACT_DROPPED].peer_id, c.hub->peers[0].wg->id);
    for (unsigned i = 0; i < 100; i++) /* main is not told of each */
        send_crafted(&c, 5, 2, "once");
    UNTIL(hub_counters(c.hub).rx[RX_DROP_REPLAY] == 101);
    assert_in_range(c.hub->facts[FACT_DROPPED], 1, 3);
    send_crafted(&c, 4, 2, "late"); /* overtaken, but new */
    UNTIL(got(c.inside, "late"));
    assert_int_equal(hub_counters(c.hub).rx[RX_ACCEPT], 2);
    crafted_free(&c);
}

TEST(forged_cut_and_unknown_packets_are_dropped_and_counted)
{
    struct crafted c = crafted_new(&(struct hub_options){.workers = 2});
    uint8_t m[256] = {0};
    size_t len = seal(&c, m, 0, 2, "fine");

    m[len - 1] ^= 1;
    lab_send_to(c.outside, "127.0.0.1", c.hub->port, m, len);
    UNTIL(hub_counters(c.hub).rx[RX_DROP_AUTH] == 1);
    for (size_t cut = 0; cut < 32; cut++)
        lab_send_to(c.outside, "127.0.0.1", c.hub->port, m, cut);
    UNTIL(hub_counters(c.hub).rx[RX_DROP_MALFORMED] == 32);
    m[4] ^= 0x80;
    lab_send_to(c.outside, "127.0.0.1", c.hub->port, m, len);
    UNTIL(hub_counters(c.hub).rx[RX_DROP_UNKNOWN] == 1);
    UNTIL(c.hub->facts[FACT_UNKNOWN_INDEX] == 1);
    assert_int_equal(c.hub->last[FACT_UNKNOWN_INDEX].index, INDEX ^ 0x80);
    m[1] = 1; /* reserved bytes are zero */
    lab_send_to(c.outside, "127.0.0.1", c.hub->port, m, len);
    UNTIL(hub_counters(c.hub).rx[RX_DROP_MALFORMED] == 33);
    send_crafted(&c, 0, 2, "fine"); /* none of it spoilt the window */
    UNTIL(got(c.inside, "fine"));
    crafted_free(&c);
}

TEST(a_source_that_is_not_the_peers_is_not_delivered)
{
    struct crafted c = crafted_new(&(struct hub_options){.workers = 1});
    struct public_key other = {{8}};

    hub_add_peer(c.hub, &other, NULL, 3);
    send_crafted(&c, 0, 3, "another's");
    send_crafted(&c, 1, 9, "nobody's");
    send_crafted(&c, 2, 2, "mine");
    UNTIL(got(c.inside, "mine")); /* the first that arrives */
    struct engine_counters n = hub_counters(c.hub);
    assert_int_equal(n.rx[RX_DROP_SOURCE], 2);
    assert_int_equal(n.rx_no_peer, 1);
    crafted_free(&c);
}

TEST(keepalives_are_accepted_and_go_nowhere)
{
    struct crafted c = crafted_new(&(struct hub_options){.workers = 1});

    send_crafted(&c, 0, 0, NULL);
    UNTIL(hub_counters(c.hub).rx[RX_ACCEPT] == 1);
    assert_int_equal(hub_counters(c.hub).tun_write_errors, 0);
    UNTIL(c.hub->facts[FACT_ENDPOINT] == 1); /* authentic: the endpoint is known now */
    assert_int_equal(engine_send_keepalive(c.hub->engine, c.peer->wg, clock_boot_ns()), TX_OK);
    uint8_t m[64];
    UNTIL(recv(c.outside, m, sizeof(m), MSG_DONTWAIT) == 32);
    assert_int_equal(load_le32(m), MESSAGE_DATA);
    assert_int_equal(load_le32(m + 4), 77);
    struct aead_op op = {.counter = load_le64(m + 8), .src = m + 16, .dst = m + 16};
    assert_int_equal(aead_open(c.aead, c.keys.send, &op, 1), 1);
    crafted_free(&c);
}

TEST(sessions_stay_on_the_worker_of_their_index)
{
    struct hub *h = hub_new(&loop, LAB_A, "gmt0", 1, &(struct hub_options){.workers = 4});
    int outside = lab_socket(NULL, SOCK_DGRAM, "127.0.0.1", 0);
    uint8_t m[32] = {MESSAGE_DATA};

    hub_open(h, 0);
    for (uint32_t i = 0; i < 40; i++) {
        store_le32(m + 4, 0xfffffff0 + i); /* 24 of them past the wrap */
        lab_send_to(outside, "127.0.0.1", h->port, m, sizeof(m));
    }
    UNTIL(hub_counters(h).rx[RX_DROP_UNKNOWN] == 40);
    for (unsigned w = 0; w < 4; w++)
        assert_int_equal(atomic_load(&h->engine->workers[w].lane.stats.rx[RX_DROP_UNKNOWN]), 10);
    for (uint32_t i = 0; i < 7; i++) { /* all of these are 3 modulo 4 */
        store_le32(m + 4, 3 + 4 * i * 1000003);
        lab_send_to(outside, "127.0.0.1", h->port, m, sizeof(m));
    }
    UNTIL(atomic_load(&h->engine->workers[3].lane.stats.rx[RX_DROP_UNKNOWN]) == 17);
    lab_close(outside);
    hub_free(h);
}

/* ---- handshakes ---- */

TEST(under_load_a_cookie_is_asked_for_and_then_served)
{
    struct pair p = pair_new(1);

    hub_join(p.a, 1, p.b, 2, "127.0.0.1", NULL);
    atomic_store(&p.b->engine->pool.load_until_ns, clock_boot_ns() + 5 * NS_PER_S);
    lab_send_to(p.a4, B4, PORT, "up", 2);
    UNTIL(got(p.b4, "up"));
    assert_true(p.a->results[HANDSHAKE_COOKIE_VALID] >= 1);
    assert_int_equal(hub_counters(p.b).handshake[HANDSHAKE_REPLY_COOKIE],
                     p.a->results[HANDSHAKE_COOKIE_VALID]);
    assert_true(p.b->results[HANDSHAKE_INITIATION_VALID] >= 1);
    pair_free(&p);
}

static unsigned answered(const struct hub *h)
{
    return h->results[HANDSHAKE_INITIATION_VALID] +
           (unsigned)hub_counters(h).handshake[HANDSHAKE_REPLY_COOKIE];
}

TEST(a_copy_of_an_initiation_is_dropped_before_it_counts)
{
    struct pair p = pair_new(2);
    int middle = lab_socket(NULL, SOCK_DGRAM, "127.0.0.1", 0);
    struct sockaddr_in at;
    socklen_t at_len = sizeof(at);
    uint8_t m[256];

    getsockname(middle, (struct sockaddr *)&at, &at_len);
    hub_join(p.a, 1, p.b, 2, "127.0.0.1", NULL);
    hub_set_endpoint(&p.a->peers[0], "127.0.0.1", ntohs(at.sin_port));
    hub_initiate(&p.a->peers[0]);
    ssize_t len;
    UNTIL((len = recv(middle, m, sizeof(m), MSG_DONTWAIT)) > 0);
    assert_int_equal(len, sizeof(struct message_initiation));
    for (unsigned i = 0; i < 5; i++)
        lab_send_to(middle, "127.0.0.1", p.b->port, m, (size_t)len);
    UNTIL(hub_counters(p.b).initiation_repeats == 4);
    UNTIL(answered(p.b) == 1);
    m[50] ^= 1; /* and what has no right mac1 goes before that */
    lab_send_to(middle, "127.0.0.1", p.b->port, m, (size_t)len);
    UNTIL(hub_counters(p.b).mac1_bad == 1);
    turn_for(20);
    assert_int_equal(answered(p.b), 1);
    lab_close(middle);
    pair_free(&p);
}

static unsigned first_refusals(struct hub *h)
{
    struct pool *p = &h->engine->pool;

    pthread_mutex_lock(&p->refusal_lock);
    unsigned count = p->refusal_count ? p->refusals[0].count : 0;
    pthread_mutex_unlock(&p->refusal_lock);
    return count;
}

TEST(who_was_refused_is_told_once_with_a_count)
{
    struct pair p = pair_new(1);
    struct engine_refusal rows[ENGINE_REFUSALS_MAX];
    struct public_key stranger = {{9}};

    /* a knows b; b knows somebody else only. */
    hub_add_peer(p.b, &stranger, NULL, 3);
    struct hub_peer *b = hub_add_peer(p.a, &p.b->key, NULL, 2);
    hub_set_endpoint(b, "127.0.0.1", p.b->port);
    for (unsigned i = 1; i <= 3; i++) {
        hub_initiate(b);
        UNTIL(hub_counters(p.b).handshake[HANDSHAKE_DROP_UNKNOWN] == i);
        b->initiating = false;
    }
    UNTIL(first_refusals(p.b) == 3);
    assert_int_equal(engine_take_refusals(p.b->engine, rows), 1);
    assert_true(rows[0].verdict == HANDSHAKE_DROP_UNKNOWN && rows[0].count == 3);
    assert_true(public_key_equal(&rows[0].key, &p.a->key));
    assert_int_equal(rows[0].source.port, p.a->port);
    assert_int_equal(engine_take_refusals(p.b->engine, rows), 0);
    pair_free(&p);
}

TEST(without_an_identity_jobs_fail_and_say_so)
{
    struct pair p = pair_new(1);

    hub_join(p.a, 1, p.b, 2, "127.0.0.1", NULL);
    engine_set_identity(p.a->engine, NULL, NULL);
    hub_initiate(&p.a->peers[0]);
    UNTIL(p.a->results[HANDSHAKE_DROP_UNKNOWN] == 1);
    assert_int_equal(p.a->last_result.peer_id, p.a->peers[0].wg->id);
    pair_free(&p);
}

TEST(the_handshake_queue_is_bounded_and_a_long_one_is_load)
{
    struct pair p = pair_new(1);
    struct pool *pool = &p.a->engine->pool;
    struct handshake_job job = {.kind = HANDSHAKE_INITIATE, .queued_ns = clock_boot_ns()};
    unsigned taken = 0;

    job.peer_id = hub_add_peer(p.a, &p.b->key, NULL, 2)->wg->id;
    engine_set_identity(p.a->engine, NULL, NULL); /* each will fail, and is told so */
    pthread_mutex_lock(&pool->take_lock);         /* nobody serves */
    while (engine_handshake(p.a->engine, &job) == 0)
        taken++;
    pthread_mutex_unlock(&pool->take_lock);
    assert_int_equal(taken, HANDSHAKE_QUEUE_MAX);
    UNTIL(p.a->results[HANDSHAKE_DROP_UNKNOWN] == HANDSHAKE_QUEUE_MAX);
    assert_true(atomic_load(&pool->load_until_ns) > clock_boot_ns());
    assert_int_equal(atomic_load(&pool->depth), 0);
    pair_free(&p);
}

/* ---- addresses ---- */

TEST(vip_sockets_are_bound_before_the_vip_and_answer_from_it)
{
    struct hub *h =
        hub_new(&loop, LAB_A, "gmt0", 1, &(struct hub_options){.workers = 2, .cluster = true});
    struct endpoint vip[2] = {0}, to[2] = {0};
    uint16_t port = 51820;
    uint8_t m[32] = {MESSAGE_DATA};
    int client[2];

    run("ip link add gmv0 type veth peer name gmv1 netns " LAB_B " && "
        "ip addr add 10.9.0.1/24 dev gmv0 && ip link set gmv0 up && "
        "ip -n " LAB_B " addr add 10.9.0.2/24 dev gmv1 && "
        "ip -n " LAB_B " addr add fe80::2/64 dev gmv1 nodad && ip -n " LAB_B " link set gmv1 up");
    assert_int_equal(addr_parse("10.9.0.100", &vip[0].addr), 0);
    assert_int_equal(addr_parse("fe80::100%gmv0", &vip[1].addr), 0);
    assert_int_equal(engine_open_sockets(h->engine, 3, vip, 2, &port), 0);
    client[0] = lab_socket(LAB_B, SOCK_DGRAM, "10.9.0.2", 4000);
    client[1] = lab_socket(LAB_B, SOCK_DGRAM, "::", 4001);
    assert_int_equal(endpoint_parse("10.9.0.2:4000", &to[0]), 0);
    assert_int_equal(endpoint_parse("[fe80::2%gmv0]:4001", &to[1]), 0);
    assert_int_equal(engine_send(h->engine, 3, &to[1], NULL, 0, "x", 1), -EPERM);
    /* Over IPv4 the kernel is a fence as well. */
    atomic_store(&h->gate.vip[3].owned, true);
    assert_true(engine_send(h->engine, 3, &to[0], NULL, 0, "x", 1) < 0);
    atomic_store(&h->gate.vip[3].owned, false);

    run("ip addr add 10.9.0.100/24 dev gmv0 && ip addr add fe80::100/64 dev gmv0 nodad");
    lab_send_to(client[0], "10.9.0.100", port, m, sizeof(m));
    UNTIL(hub_counters(h).rx[RX_DROP_UNKNOWN] == 1);
    UNTIL(h->last[FACT_READ_ADDRESSES].index == 3);
    atomic_store(&h->gate.vip[3].owned, true);
    for (unsigned i = 0; i < 2; i++) {
        struct sockaddr_storage from;
        socklen_t len = sizeof(from);
        struct endpoint source;

        assert_int_equal(engine_send(h->engine, 3, &to[i], NULL, 0, "from the VIP", 12), 0);
        UNTIL(recvfrom(client[i], m, sizeof(m), MSG_DONTWAIT, (struct sockaddr *)&from, &len) ==
              12);
        assert_int_equal(endpoint_from_sockaddr((struct sockaddr *)&from, &source), 0);
        assert_memory_equal(source.addr.b, vip[i].addr.b, 16);
        assert_int_equal(source.port, port);
    }
    run("ip link del gmv0");
    lab_close(client[0]);
    lab_close(client[1]);
    hub_free(h);
}

static uint32_t mark_of(int fd)
{
    uint32_t mark = 0;
    socklen_t len = sizeof(mark);

    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_MARK, &mark, &len), 0);
    return mark;
}

TEST(the_fwmark_is_on_all_sockets_present_and_to_come)
{
    struct hub *h = hub_new(&loop, LAB_A, "gmt0", 1, &(struct hub_options){.workers = 2});
    const struct socket_group *g;

    hub_open(h, 0);
    assert_int_equal(engine_set_fwmark(h->engine, 0xca6c), 0);
    g = h->engine->groups[0];
    assert_int_equal(mark_of(g->addrs[0].fds[1]), 0xca6c);
    assert_int_equal(mark_of(g->addrs[1].fds[0]), 0xca6c);
    engine_close_sockets(h->engine, 0);
    hub_open(h, 0);
    g = h->engine->groups[0];
    assert_int_equal(mark_of(g->addrs[0].fds[0]), 0xca6c);
    assert_int_equal(engine_set_fwmark(h->engine, 0), 0);
    assert_int_equal(mark_of(g->addrs[0].fds[0]), 0);
    hub_free(h);
}

TEST(a_port_in_use_is_refused_and_a_closed_one_is_free_at_once)
{
    struct pair p = pair_new(3);
    uint16_t taken = p.b->port, mine = p.a->port;

    engine_close_sockets(p.a->engine, VIP_SLOT_PLAIN);
    assert_int_equal(engine_open_sockets(p.a->engine, VIP_SLOT_PLAIN, NULL, 0, &taken),
                     -EADDRINUSE);
    for (unsigned i = 0; i < 20; i++) {
        uint16_t again = mine;
        assert_int_equal(engine_open_sockets(p.a->engine, VIP_SLOT_PLAIN, NULL, 0, &again), 0);
        assert_int_equal(engine_open_sockets(p.a->engine, VIP_SLOT_PLAIN, NULL, 0, &again),
                         -EEXIST);
        engine_close_sockets(p.a->engine, VIP_SLOT_PLAIN);
    }
    /* Taken in one family only is taken. */
    int v6 = lab_socket(NULL, SOCK_DGRAM, "::1", mine);
    uint16_t again = mine;
    assert_int_equal(engine_open_sockets(p.a->engine, VIP_SLOT_PLAIN, NULL, 0, &again),
                     -EADDRINUSE);
    lab_close(v6);
    pair_free(&p);
}

TEST(answers_leave_from_the_address_they_were_sent_to)
{
    struct crafted c = crafted_new(&(struct hub_options){.workers = 1});
    struct sockaddr_in from;
    socklen_t from_len = sizeof(from);
    uint8_t m[256] = {0};

    run("ip addr add 10.9.9.1/32 dev lo");
    size_t len = seal(&c, m, 0, 2, "to an alias");
    lab_send_to(c.outside, "10.9.9.1", c.hub->port, m, len);
    UNTIL(got(c.inside, "to an alias"));
    lab_send_to(c.inside, B4, PORT, "answer", 6);
    UNTIL(recvfrom(c.outside, m, sizeof(m), MSG_DONTWAIT, (struct sockaddr *)&from, &from_len) > 0);
    assert_int_equal(ntohl(from.sin_addr.s_addr), 0x0a090901);
    assert_int_equal(c.hub->facts[FACT_LOST_SOCKET], 0);

    /* The address goes away: answers leave from another one. */
    run("ip addr del 10.9.9.1/32 dev lo");
    lab_send_to(c.inside, B4, PORT, "answer", 6);
    UNTIL(recvfrom(c.outside, m, sizeof(m), MSG_DONTWAIT, (struct sockaddr *)&from, &from_len) > 0);
    assert_int_equal(ntohl(from.sin_addr.s_addr), INADDR_LOOPBACK);
    UNTIL(c.hub->facts[FACT_LOST_SOCKET] == 1);
    assert_int_equal(hub_counters(c.hub).udp_send_errors, 0);
    crafted_free(&c);
}

TEST(an_interface_that_is_deleted_is_reported)
{
    struct hub *h = hub_new(&loop, LAB_A, "gmt0", 1, &(struct hub_options){.workers = 2});

    run("ip -n " LAB_A " link del gmt0");
    UNTIL(h->failed);
    assert_int_equal(h->failed, -EBADFD);
    hub_free(h);
}

/* ---- tables ---- */

TEST(an_index_in_use_is_not_given_away)
{
    struct crafted c = crafted_new(&(struct hub_options){.workers = 1});
    struct engine *e = c.hub->engine;
    struct initiation same = {.peer_id = c.peer->wg->id, .local_index = INDEX},
                      own = {.peer_id = c.peer->wg->id, .local_index = INDEX + 1};
    struct wg_peer stranger = {.id = 99};
    struct keypair other = {.peer = &stranger, .local_index = INDEX + 1},
                   right = {.peer = c.peer->wg, .local_index = INDEX + 1};

    assert_true(engine_index_known(e, INDEX));
    assert_int_equal(engine_add_initiation(e, &same), -EEXIST);
    hub_remove_key(c.hub, c.key);
    assert_true(engine_index_known(e, INDEX)); /* I1: not for 540 s */
    assert_int_equal(engine_add_initiation(e, &same), -EEXIST);

    /* The key of an initiation takes its index over, of that peer only, in either order. */
    assert_int_equal(engine_add_initiation(e, &own), 0);
    assert_int_equal(engine_add_keypair(e, &other), -EEXIST);
    assert_int_equal(engine_add_keypair(e, &right), 0);
    assert_int_equal(engine_add_keypair(e, &right), -EEXIST);
    engine_remove_initiation(e, &own);
    engine_remove_keypair(e, &right);
    assert_int_equal(engine_add_keypair(e, &right), -EEXIST); /* it had one: used up */

    own.local_index = right.local_index = other.local_index = INDEX + 2;
    assert_int_equal(engine_add_initiation(e, &own), 0);
    engine_remove_initiation(e, &own);
    assert_int_equal(engine_add_keypair(e, &other), -EEXIST);
    assert_int_equal(engine_add_keypair(e, &right), 0);
    engine_remove_keypair(e, &right);
    crafted_free(&c);
}

static unsigned freed;
static bool freed_here;
static pthread_t main_thread;

static void count_free(void *object)
{
    freed++;
    freed_here = pthread_equal(pthread_self(), main_thread);
    free(object);
}

TEST(retired_objects_are_freed_on_main)
{
    struct pair p = pair_new(2);

    freed = 0;
    main_thread = pthread_self();
    for (unsigned i = 0; i < 100; i++)
        engine_retire(p.a->engine, malloc(8), count_free);
    UNTIL(freed == 100);
    assert_true(freed_here);
    engine_retire(p.b->engine, malloc(8), count_free);
    pair_free(&p); /* and what is left over, at the end */
    assert_int_equal(freed, 101);
}

TEST(no_effect_is_lost_when_the_ring_overflows)
{
    enum { KEYS = FACT_RING_RECORDS + 1000 };
    struct pair p = pair_new(1);
    struct hub_peer *peer = hub_add_peer(p.a, &p.b->key, NULL, 2);
    struct keypair *keys = calloc(KEYS, sizeof(*keys));
    struct lane *l = &p.a->engine->main;

    for (uint32_t i = 0; i < KEYS; i++) {
        keys[i].peer = peer->wg;
        keys[i].local_index = 1 + i;
        assert_int_equal(engine_add_keypair(p.a->engine, &keys[i]), 0);
    }
    rcu_enter();
    for (uint32_t i = 0; i < KEYS; i++) {
        lane_tell_effects(l, 1 + i, EFFECT_ADOPTED);
        lane_tell_effects(l, 1 + i, EFFECT_DIRTY);
    }
    rcu_leave();
    assert_true(hub_counters(p.a).facts_dropped > 0);
    lane_wake_main(l);
    UNTIL(p.a->effects[0] == KEYS);
    assert_int_equal(p.a->effects[6], KEYS); /* the two of a key came together */
    assert_int_equal(p.a->facts[FACT_EFFECTS], KEYS);
    turn_for(20);
    assert_int_equal(p.a->facts[FACT_EFFECTS], KEYS);
    /* The same for a peer's facts. */
    for (uint32_t i = 0; i < FACT_RING_RECORDS; i++)
        lane_tell(l, &(struct fact){.kind = FACT_UNKNOWN_INDEX});
    rcu_enter();
    lane_tell_peer_id(l, peer->wg->id, PEER_FACT_ARM | PEER_FACT_ENDPOINT);
    rcu_leave();
    lane_wake_main(l);
    UNTIL(p.a->facts[FACT_ARM] == 1 && p.a->facts[FACT_ENDPOINT] == 1);
    for (uint32_t i = 0; i < KEYS; i++)
        engine_remove_keypair(p.a->engine, &keys[i]);
    pair_free(&p);
    free(keys);
}

/* ---- cluster mode ---- */

static void own(struct hub *h, bool yes)
{
    atomic_store(&h->gate.vip[1].since_ns, clock_boot_ns());
    atomic_store(&h->gate.vip[1].owned, yes);
}

static const struct hub_options CLUSTER = {.workers = 1, .cluster = true};

TEST(what_reaches_a_vip_that_is_not_ours_is_dropped_and_looked_into)
{
    struct crafted c = crafted_new(&CLUSTER);

    for (unsigned i = 0; i < 50; i++)
        send_crafted(&c, i, 2, "early");
    UNTIL(hub_counters(c.hub).rx[RX_DROP_NOT_OWNER] == 50);
    UNTIL(c.hub->facts[FACT_READ_ADDRESSES] >= 1);
    assert_int_equal(c.hub->last[FACT_READ_ADDRESSES].index, 1);
    assert_true(c.hub->facts[FACT_READ_ADDRESSES] < 50); /* not one each */
    hub_set_endpoint(c.peer, "127.0.0.1", 9);
    lab_connect(c.inside, B4, PORT);
    assert_int_equal(send(c.inside, "x", 1, 0), 1);
    UNTIL(refused(c.inside, EHOSTUNREACH));
    assert_int_equal(hub_counters(c.hub).tx[TX_NOT_OWNER], 1);
    assert_int_equal(engine_send_keepalive(c.hub->engine, c.peer->wg, clock_boot_ns()),
                     TX_NOT_OWNER);
    assert_int_equal(atomic_load(&c.hub->engine->staged_count), 0);
    own(c.hub, true);
    lab_connect(c.inside, B4, 1234);
    send_crafted(&c, 0, 2, "now");
    UNTIL(got(c.inside, "now"));
    crafted_free(&c);
}

TEST(packets_beyond_the_ceiling_wait_for_the_ack)
{
    struct crafted c = crafted_new(&CLUSTER);

    own(c.hub, true);
    atomic_store(&keypair_live(c.key)->ceiling, 1);
    send_crafted(&c, 0, 2, "below");
    UNTIL(got(c.inside, "below"));
    /* Where the machine is busy, the hold time may be over before the ack comes: several times. */
    uint64_t least_ns = UINT64_MAX;
    unsigned times = 0;
    for (; least_ns > HOLD_NS / 2 && times < 50; times++) {
        uint64_t began_ns = clock_boot_ns();

        send_crafted(&c, 1 + times, 2, "above");
        UNTIL(c.hub->effects[2] == 1 + times);                  /* EFFECT_FLUSH */
        atomic_store(&keypair_live(c.key)->ceiling, 2 + times); /* the ack */
        engine_wake_held(c.hub->engine);
        UNTIL(got(c.inside, "above"));
        least_ns = MIN(least_ns, clock_boot_ns() - began_ns);
    }
    assert_true(least_ns < HOLD_NS / 2);    /* it was the ack that let it in */
    assert_true(c.hub->effects[6] < times); /* EFFECT_DIRTY */
    assert_int_equal(hub_counters(c.hub).rx[RX_HOLD], times);
    assert_int_equal(atomic_load(&keypair_live(c.key)->held), 0);
    assert_int_equal(atomic_load(&c.hub->engine->held_count), 0);
    crafted_free(&c);
}

TEST(a_packet_waits_no_longer_than_the_hold_time_and_makes_the_key_dirty)
{
    struct crafted c = crafted_new(&CLUSTER);

    own(c.hub, true);
    atomic_store(&keypair_live(c.key)->ceiling, 1);
    uint64_t sent_ns = clock_boot_ns();
    send_crafted(&c, 1, 2, "one");
    send_crafted(&c, 2, 2, "two");
    UNTIL(got(c.inside, "one"));
    assert_true(clock_boot_ns() - sent_ns >= HOLD_NS - NS_PER_MS);
    UNTIL(got(c.inside, "two"));
    UNTIL(c.hub->effects[6] >= 1);
    assert_int_equal(hub_counters(c.hub).rx[RX_ACCEPT], 2);
    assert_int_equal(atomic_load(&c.hub->engine->held_count), 0);
    crafted_free(&c);
}

TEST(what_exceeds_the_bound_of_held_packets_is_accepted)
{
    struct crafted c = crafted_new(&CLUSTER);

    own(c.hub, true);
    atomic_store(&keypair_live(c.key)->ceiling, 1);
    atomic_store(&c.hub->engine->held_count, HELD_MAX);
    send_crafted(&c, 1, 2, "too much");
    UNTIL(got(c.inside, "too much"));
    assert_true(hub_counters(c.hub).rx[RX_HOLD] == 1);
    UNTIL(c.hub->effects[6] == 1);
    assert_int_equal(atomic_load(&c.hub->engine->held_count), HELD_MAX);
    assert_int_equal(atomic_load(&c.hub->engine->workers[0].held_count), 0);
    crafted_free(&c);
}

TEST(held_packets_of_a_key_that_goes_are_dropped)
{
    struct crafted c = crafted_new(&CLUSTER);

    own(c.hub, true);
    atomic_store(&keypair_live(c.key)->ceiling, 1);
    for (unsigned i = 0; i < 10; i++)
        send_crafted(&c, 1 + i, 2, "gone");
    UNTIL(hub_counters(c.hub).rx[RX_HOLD] > 0);
    hub_remove_key(c.hub, c.key);
    UNTIL(atomic_load(&c.hub->engine->held_count) == 0);
    crafted_free(&c);
}

TEST(packets_both_ways_wait_for_a_vip_that_is_handed_over)
{
    struct crafted c = crafted_new(&CLUSTER);
    struct replay_tail tail = {0};

    /* A sibling's key, on its way here (R11). */
    c.hub->gate.fresh_ns = NS_PER_S;
    keypair_yield(c.key, 2, 5, 1);
    atomic_store(&c.key->adoptable, true);
    atomic_store(&c.hub->gate.member[2].heartbeat_ns, clock_boot_ns());
    atomic_store(&c.hub->gate.vip[1].from, 2);
    hub_set_endpoint(c.peer, "127.0.0.1", 9);
    own(c.hub, true);
    send_crafted(&c, 3, 2, "below its limit");
    UNTIL(hub_counters(c.hub).rx[RX_HOLD] == 1);
    lab_connect(c.inside, B4, PORT);
    assert_int_equal(send(c.inside, "x", 1, 0), 1);
    UNTIL(hub_counters(c.hub).tx[TX_TRANSIT] == 1);
    UNTIL(atomic_load(&c.hub->engine->staged_count) == 1);
    turn_for(20); /* longer than the time of a packet that waits for an ack */
    assert_int_equal(atomic_load(&keypair_live(c.key)->held), 1);
    assert_int_equal(c.hub->facts[FACT_NEED_SESSION], 0);
    lab_connect(c.inside, B4, 1234);
    assert_true(keypair_released(c.key, 2, 3, &tail, 1));
    engine_wake_held(c.hub->engine);
    engine_flush_staged(c.hub->engine, c.peer->wg, clock_boot_ns());
    UNTIL(got(c.inside, "below its limit"));
    UNTIL(hub_counters(c.hub).tx[TX_OK] == 1);
    assert_int_equal(atomic_load(&c.hub->engine->staged_count), 0);
    assert_int_equal(atomic_load(&c.hub->engine->held_count), 0);
    crafted_free(&c);
}

TEST(packets_for_a_key_that_a_rival_took_are_staged_for_main_to_pass_on)
{
    struct crafted c = crafted_new(&CLUSTER);

    c.hub->gate.fresh_ns = NS_PER_S;
    keypair_yield(c.key, 2, 5, 1);
    atomic_store(&c.key->adoptable, true);
    atomic_store(&c.hub->gate.member[2].heartbeat_ns, clock_boot_ns());
    atomic_store(&c.hub->gate.vip[1].rivals, 1 << 2);
    hub_set_endpoint(c.peer, "127.0.0.1", 9);
    own(c.hub, true);
    keypair_told(c.key, &c.hub->gate, clock_boot_ns());
    lab_connect(c.inside, B4, PORT);
    assert_int_equal(send(c.inside, "x", 1, 0), 1);
    UNTIL(c.hub->facts[FACT_NEED_SESSION] == 1);
    assert_true(hub_counters(c.hub).tx[TX_THEIRS] >= 1);
    assert_int_equal(hub_counters(c.hub).tx[TX_OK], 0);
    assert_int_equal(atomic_load(&c.hub->engine->staged_count), 1);
    assert_int_equal(atomic_load(&c.key->state), KEYPAIR_REPLICA);
    atomic_store(&c.hub->gate.vip[1].rivals, 0);
    engine_flush_staged(c.hub->engine, c.peer->wg, clock_boot_ns());
    UNTIL(hub_counters(c.hub).tx[TX_OK] == 1);
    assert_int_equal(atomic_load(&c.hub->engine->staged_count), 0);
    crafted_free(&c);
}

TEST(data_on_another_vip_under_a_siblings_key_is_told)
{
    struct crafted c = crafted_new(&CLUSTER);

    own(c.hub, true);
    atomic_store(&c.key->vip, 2);
    send_crafted(&c, 0, 2, "stray");
    UNTIL(c.hub->facts[FACT_WRONG_VIP] == 1);
    assert_int_equal(c.hub->last[FACT_WRONG_VIP].index, INDEX);
    assert_int_equal(c.hub->last[FACT_WRONG_VIP].effects, 1);  /* the VIP */
    assert_int_equal(c.hub->last[FACT_WRONG_VIP].value_ns, 0); /* the counter */
    assert_true(endpoint_is_set(&c.hub->last[FACT_WRONG_VIP].source));
    assert_int_equal(hub_counters(c.hub).rx[RX_DROP_NOT_OWNER], 1);
    turn_for(20);
    assert_false(got(c.inside, "stray"));
    /* Nor does it help that the key's VIP is ours, when the one that it came to is not. */
    atomic_store(&c.hub->gate.vip[2].owned, true);
    own(c.hub, false);
    send_crafted(&c, 0, 2, "stray");
    UNTIL(hub_counters(c.hub).rx[RX_DROP_NOT_OWNER] == 2);
    /* E3: when both are ours, the key follows its peer. */
    own(c.hub, true);
    send_crafted(&c, 1, 2, "moved");
    UNTIL(got(c.inside, "moved"));
    assert_int_equal(atomic_load(&c.key->vip), 1);
    crafted_free(&c);
}

struct stall {
    struct worker_call call;
    sem_t began, over;
};

static int stand_still(struct worker *w, void *arg)
{
    struct stall *s = arg;

    sem_post(&s->began);
    sem_wait(&s->over);
    return 0;
}

static int cpu_of(struct worker *w, void *arg)
{
    cpu_set_t mine;

    if (sched_getaffinity(0, sizeof(mine), &mine) < 0 || CPU_COUNT(&mine) != 1)
        return -1;
    return sched_getcpu();
}

TEST(pinned_workers_stay_on_cpus_of_their_own)
{
    struct pair p = pair_with(&(struct hub_options){.workers = 2, .pin_workers = true});
    cpu_set_t allowed;

    assert_int_equal(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
    int first = worker_run(&p.a->engine->workers[0], cpu_of, NULL),
        second = worker_run(&p.a->engine->workers[1], cpu_of, NULL);
    assert_true(first >= 0 && second >= 0);
    assert_true(CPU_ISSET(first, &allowed) && CPU_ISSET(second, &allowed));
    assert_true(first != second || CPU_COUNT(&allowed) == 1);
    pair_free(&p);
}

/* The worker does nothing until stall_end(). */
static void stall_begin(struct stall *s, struct worker *w)
{
    *s = (struct stall){.call = {.fn = stand_still, .arg = s}};
    sem_init(&s->began, 0, 0);
    sem_init(&s->over, 0, 0);
    pthread_mutex_lock(&w->call_lock);
    w->calls = &s->call;
    wake_send(&w->wake);
    pthread_mutex_unlock(&w->call_lock);
    sem_wait(&s->began);
}

static void stall_end(struct stall *s, struct worker *w)
{
    sem_post(&s->over);
    pthread_mutex_lock(&w->call_lock);
    while (!s->call.done)
        pthread_cond_wait(&w->call_done, &w->call_lock);
    pthread_mutex_unlock(&w->call_lock);
}

TEST(what_is_queued_can_be_thrown_away)
{
    struct crafted c = crafted_new(&(struct hub_options){.workers = 1});
    struct worker *w = &c.hub->engine->workers[0];
    struct stall stall;

    hub_set_endpoint(c.peer, "127.0.0.1", 9);
    stall_begin(&stall, w);
    for (unsigned i = 0; i < 20; i++) {
        send_crafted(&c, i, 2, "queued");
        lab_send_to(c.inside, B4, PORT, "queued", 6);
    }
    engine_discard_queued(c.hub->engine);
    stall_end(&stall, w);
    turn_for(20); /* the discarding comes right behind */
    send_crafted(&c, 20, 2, "after");
    UNTIL(got(c.inside, "after"));
    struct engine_counters n = hub_counters(c.hub);
    assert_int_equal(n.rx[RX_ACCEPT], 1);
    assert_int_equal(n.tx[TX_OK], 0);
    crafted_free(&c);
}

TEST(what_a_worker_stages_for_a_peer_that_is_gone_is_dropped)
{
    struct crafted c = crafted_new(&(struct hub_options){.workers = 1});
    struct engine *e = c.hub->engine;
    uint8_t packet[64];
    size_t len = inner(packet, 2, "too late");

    rcu_enter(); /* as one that found the peer just before */
    struct peer_entry *p = peer_find(e, c.peer->wg->id);
    assert_true(staging_add(&e->main, p, packet, len));
    engine_remove_peer(e, c.peer->wg);
    assert_int_equal(atomic_load(&e->staged_count), 0);
    assert_false(staging_add(&e->main, p, packet, len));
    rcu_leave();
    assert_int_equal(atomic_load(&e->staged_count), 0);
    assert_int_equal(atomic_load(&e->staged_bytes), 0);
    assert_int_equal(hub_counters(c.hub).staged_dropped, 2);
    crafted_free(&c);
}

TEST(a_confirmed_key_comes_before_the_wish_for_one)
{
    struct crafted c = crafted_new(&(struct hub_options){.workers = 2});
    struct worker *w = c.hub->engine->workers;
    struct stall stall[2];
    uint8_t packet[64];

    hub_set_endpoint(c.peer, "127.0.0.1", 9);
    hub_remove_key(c.hub, c.key);
    hub_install(c.peer, &c.keys, INDEX + 1, 78, false);
    stall_begin(&stall[0], &w[0]); /* so that this thread may speak for them */
    stall_begin(&stall[1], &w[1]);
    rcu_enter();
    struct peer_entry *p = peer_find(c.hub->engine, c.peer->wg->id);
    size_t len = inner(packet, 2, "an answer");
    assert_true(staging_add(&w[0].lane, p, packet, len));
    lane_tell_peer(&w[0].lane, p, PEER_FACT_NEED_SESSION);
    lane_tell_effects(&w[1].lane, INDEX + 1, EFFECT_CONFIRMED);
    rcu_leave();
    engine_wake_main(c.hub->engine);
    UNTIL(c.hub->effects[3] == 1 && atomic_load(&c.hub->engine->staged_count) == 0);
    stall_end(&stall[0], &w[0]);
    stall_end(&stall[1], &w[1]);
    turn_for(10);
    assert_int_equal(c.hub->facts[FACT_NEED_SESSION], 0);
    assert_int_equal(hub_counters(c.hub).tx[TX_OK], 1);
    crafted_free(&c);
}

/* ---- the door ---- */

TEST(what_is_no_data_comes_in_at_the_door)
{
    struct hub *h = hub_new(&loop, LAB_A, "gmt0", 1, &(struct hub_options){.workers = 4});
    int outside = lab_socket(NULL, SOCK_DGRAM, "127.0.0.1", 0);
    struct stats *door = &door_of(h->engine)->lane.stats;
    uint8_t m[32] = {MESSAGE_INITIATION}, other[9] = {0x5a};

    hub_open(h, 0);
    for (uint32_t i = 0; i < 40; i++) {
        store_le32(m + 4, i);
        lab_send_to(outside, "127.0.0.1", h->port, m, sizeof(m));
    }
    lab_send_to(outside, "127.0.0.1", h->port, other, sizeof(other));
    lab_send_to(outside, "127.0.0.1", h->port, other, 1);
    UNTIL(atomic_load(&door->handshake[HANDSHAKE_DROP_MALFORMED]) == 40);
    UNTIL(atomic_load(&door->rx[RX_DROP_MALFORMED]) == 2);
    assert_int_equal(hub_counters(h).rx[RX_DROP_MALFORMED], 2);
    lab_close(outside);
    hub_free(h);
}

/* A burst goes where its first datagram goes. */
TEST(data_behind_a_handshake_message_in_a_burst_is_delivered)
{
    struct crafted c = crafted_new(&(struct hub_options){.workers = 2});
    struct stats *door = &door_of(c.hub->engine)->lane.stats;
    uint8_t m[512] = {MESSAGE_INITIATION};
    int segment = sizeof(struct message_initiation);
    size_t len = seal(&c, m + segment, 0, 2, "behind");

    assert_true(len < (size_t)segment);
    assert_int_equal(setsockopt(c.outside, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment)), 0);
    lab_send_to(c.outside, "127.0.0.1", c.hub->port, m, (size_t)segment + len);
    UNTIL(got(c.inside, "behind"));
    UNTIL(hub_counters(c.hub).mac1_bad == 1);
    assert_int_equal(atomic_load(&door->rx[RX_ACCEPT]), 1);
    crafted_free(&c);
}

static unsigned served(const struct pool_thread *t)
{
    return (unsigned)atomic_load(&t->stats.handshake[HANDSHAKE_DROP_UNKNOWN]);
}

TEST(the_door_serves_few_handshakes_alone_and_other_threads_help_with_many)
{
    struct pair p = pair_new(1);
    struct pool *pool = &p.a->engine->pool;
    struct handshake_job job = {.kind = HANDSHAKE_INITIATE, .queued_ns = clock_boot_ns()};
    const unsigned many = 10 * JOBS_PER_THREAD;
    struct stall stall;

    job.peer_id = hub_add_peer(p.a, &p.b->key, NULL, 2)->wg->id;
    engine_set_identity(p.a->engine, NULL, NULL); /* each will fail, and is told so */
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(engine_handshake(p.a->engine, &job), 0);
        UNTIL(p.a->results[HANDSHAKE_DROP_UNKNOWN] == i + 1);
    }
    assert_int_equal(served(&pool->door), 3);
    stall_begin(&stall, door_of(p.a->engine));
    for (unsigned i = 0; i < many; i++)
        assert_int_equal(engine_handshake(p.a->engine, &job), 0);
    UNTIL(served(&pool->threads[0]) + served(&pool->threads[1]) >= many - JOBS_PER_THREAD);
    assert_int_equal(served(&pool->door), 3);
    stall_end(&stall, door_of(p.a->engine));
    UNTIL(p.a->results[HANDSHAKE_DROP_UNKNOWN] == 3 + many);
    pair_free(&p);
}

TEST(a_worker_that_stood_still_discards_and_waits_for_main)
{
    struct hub_options options = {.workers = 2, .cluster = true, .gap_check = true};
    struct crafted c = crafted_new(&options);
    struct worker *w = &c.hub->engine->workers[INDEX % 2];

    own(c.hub, true);
    hub_set_endpoint(c.peer, "127.0.0.1", 9);
    c.hub->resume_by_itself = false;
    send_crafted(&c, 0, 2, "before");
    UNTIL(got(c.inside, "before"));
    /* While it sleeps, packets queue up on both sides. */
    struct stall stall;
    stall_begin(&stall, w);
    for (unsigned i = 0; i < 5; i++)
        send_crafted(&c, 1 + i, 2, "queued");
    usleep(GAP_NS / NS_PER_US + 50000);
    stall_end(&stall, w);
    UNTIL(c.hub->facts[FACT_GAP] == 1);
    assert_int_equal(c.hub->last[FACT_GAP].index, w->id);
    assert_true(c.hub->last[FACT_GAP].value_ns > GAP_NS);
    /* It beats, but does nothing else. */
    send_crafted(&c, 10, 2, "paused");
    uint64_t beat = atomic_load(&c.hub->beats[w->id].boot_ns);
    turn_for(120);
    assert_true(atomic_load(&c.hub->beats[w->id].boot_ns) > beat);
    assert_int_equal(hub_counters(c.hub).rx[RX_ACCEPT], 1);
    engine_resume(c.hub->engine);
    UNTIL(got(c.inside, "paused"));
    assert_int_equal(hub_counters(c.hub).rx[RX_ACCEPT], 2); /* the five are gone */
    assert_int_equal(c.hub->facts[FACT_GAP], 1);
    crafted_free(&c);
}

/* ---- a stock peer ---- */

struct stock {
    pid_t daemon;
    struct public_key key;
    char psk[KEY_TEXT_LEN + 1];
    struct secret32 psk_bytes;
};

/* wireguard-go in namespace b, with B's inner addresses, reached over a veth pair. */
static struct stock stock_new(const struct hub *h, const char *endpoint)
{
    struct stock s;
    struct secret32 private_key;
    char private_text[KEY_TEXT_LEN + 1], key_text[KEY_TEXT_LEN + 1];

    rng_fill(&rng_system, private_key.b, 32);
    x25519_clamp(private_key.b);
    x25519_public(s.key.b, private_key.b);
    rng_fill(&rng_system, s.psk_bytes.b, 32);
    key_to_base64(private_key.b, private_text);
    key_to_base64(s.psk_bytes.b, s.psk);
    key_to_base64(h->key.b, key_text);
    run("ip link add gmv0 type veth peer name gmv1 netns " LAB_B " && "
        "ip addr add 10.9.0.1/24 dev gmv0 && ip addr add fd09::1/64 dev gmv0 nodad && "
        "ip link set gmv0 up && ip -n " LAB_B " addr add 10.9.0.2/24 dev gmv1 && "
        "ip -n " LAB_B " addr add fd09::2/64 dev gmv1 nodad && ip -n " LAB_B " link set gmv1 up");
    s.daemon = lab_start("exec ip netns exec " LAB_B " wireguard-go -f gmwg >/dev/null 2>&1");
    UNTIL(access("/run/wireguard/gmwg.sock", F_OK) == 0);
    run("echo %s >/run/gm-key && echo %s >/run/gm-psk && "
        "ip netns exec " LAB_B " wg set gmwg listen-port 51999 private-key /run/gm-key peer %s "
        "preshared-key /run/gm-psk allowed-ips 10.77.0.1/32,fd77::1/128 %s%s",
        private_text, s.psk, key_text, endpoint ? "endpoint " : "", endpoint ? endpoint : "");
    run("ip -n " LAB_B " addr add 10.77.0.2/24 dev gmwg && "
        "ip -n " LAB_B " addr add fd77::2/64 dev gmwg nodad && ip -n " LAB_B " link set gmwg up");
    return s;
}

static void stock_free(struct stock *s)
{
    lab_end(s->daemon);
    run("ip link del gmv0");
}

static void ping(const char *ns, const char *address)
{
    int status = -1;
    pid_t pid =
        lab_start("exec ip netns exec %s ping -q -c 2 -i 0.05 -W 3 %s >/dev/null", ns, address);

    UNTIL(lab_exited(pid, &status));
    assert_int_equal(status, 0);
}

TEST(wireguard_go_initiates_and_both_ways_ping)
{
    struct hub *h = hub_new(&loop, LAB_A, "gmt0", 1, &(struct hub_options){.workers = 2});
    char endpoint[32];

    hub_open(h, 0);
    snprintf(endpoint, sizeof(endpoint), "10.9.0.1:%u", h->port);
    struct stock s = stock_new(h, endpoint);
    hub_add_peer(h, &s.key, &s.psk_bytes, 2);
    ping(LAB_B, A4);
    assert_int_equal(h->results[HANDSHAKE_INITIATION_VALID], 1);
    ping(LAB_A, B4);
    ping(LAB_A, B6);
    ping(LAB_B, A6);
    assert_int_equal(h->results[HANDSHAKE_INITIATION_MADE], 0);
    assert_int_equal(hub_counters(h).rx[RX_DROP_AUTH], 0);
    stock_free(&s);
    hub_free(h);
}

TEST(wireguard_go_answers_and_both_ways_ping)
{
    struct hub *h = hub_new(&loop, LAB_A, "gmt0", 1, &(struct hub_options){.workers = 2});

    hub_open(h, 0);
    struct stock s = stock_new(h, NULL);
    hub_set_endpoint(hub_add_peer(h, &s.key, &s.psk_bytes, 2), "fd09::2", 51999);
    ping(LAB_A, B4);
    assert_int_equal(h->results[HANDSHAKE_RESPONSE_VALID], 1);
    ping(LAB_B, A4);
    ping(LAB_B, A6);
    assert_int_equal(h->results[HANDSHAKE_INITIATION_VALID], 0);
    stock_free(&s);
    hub_free(h);
}

/* What a test that failed has left. */
static int clean(void **state)
{
    lab_clean();
    return 0;
}

#define E(name) TS(name, clean, NULL)

int main(void)
{
    const struct CMUnitTest tests[] = {
        E(a_burst_stays_one_from_end_to_end),
        E(without_offloads_the_same_datagrams_pass_one_by_one),
        E(data_flows_both_ways_inside_ipv4),
        E(data_flows_both_ways_inside_ipv6),
        E(data_flows_with_a_preshared_key_and_one_worker),
        E(one_tun_queue_serves_all_workers),
        E(packets_that_wait_for_a_key_arrive_in_order_up_to_their_bound),
        E(a_burst_through_all_workers_arrives_whole),
        E(keys_and_peers_change_under_traffic),
        E(a_peer_that_roams_is_followed),
        E(the_mtu_ends_the_padding),
        E(senders_to_nobody_hear_that_the_host_is_unreachable),
        E(a_packet_is_delivered_once),
        E(forged_cut_and_unknown_packets_are_dropped_and_counted),
        E(a_source_that_is_not_the_peers_is_not_delivered),
        E(keepalives_are_accepted_and_go_nowhere),
        E(sessions_stay_on_the_worker_of_their_index),
        E(under_load_a_cookie_is_asked_for_and_then_served),
        E(a_copy_of_an_initiation_is_dropped_before_it_counts),
        E(who_was_refused_is_told_once_with_a_count),
        E(without_an_identity_jobs_fail_and_say_so),
        E(the_handshake_queue_is_bounded_and_a_long_one_is_load),
        E(what_is_no_data_comes_in_at_the_door),
        E(data_behind_a_handshake_message_in_a_burst_is_delivered),
        E(the_door_serves_few_handshakes_alone_and_other_threads_help_with_many),
        E(vip_sockets_are_bound_before_the_vip_and_answer_from_it),
        E(the_fwmark_is_on_all_sockets_present_and_to_come),
        E(a_port_in_use_is_refused_and_a_closed_one_is_free_at_once),
        E(answers_leave_from_the_address_they_were_sent_to),
        E(an_interface_that_is_deleted_is_reported),
        E(an_index_in_use_is_not_given_away),
        E(retired_objects_are_freed_on_main),
        E(no_effect_is_lost_when_the_ring_overflows),
        E(what_reaches_a_vip_that_is_not_ours_is_dropped_and_looked_into),
        E(packets_beyond_the_ceiling_wait_for_the_ack),
        E(a_packet_waits_no_longer_than_the_hold_time_and_makes_the_key_dirty),
        E(what_exceeds_the_bound_of_held_packets_is_accepted),
        E(held_packets_of_a_key_that_goes_are_dropped),
        E(packets_both_ways_wait_for_a_vip_that_is_handed_over),
        E(packets_for_a_key_that_a_rival_took_are_staged_for_main_to_pass_on),
        E(data_on_another_vip_under_a_siblings_key_is_told),
        E(what_is_queued_can_be_thrown_away),
        E(pinned_workers_stay_on_cpus_of_their_own),
        E(what_a_worker_stages_for_a_peer_that_is_gone_is_dropped),
        E(a_confirmed_key_comes_before_the_wish_for_one),
        E(a_worker_that_stood_still_discards_and_waits_for_main),
        E(wireguard_go_initiates_and_both_ways_ping),
        E(wireguard_go_answers_and_both_ways_ping),
    };

    test_init();
    if (!lab_init()) {
        print_message("skipped: needs root, network namespaces and /dev/net/tun\n");
        return 77;
    }
    noise_init();
    uv_loop_init(&loop);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    uv_loop_close(&loop);
    return failed;
}
