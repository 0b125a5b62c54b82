/* Two whole engines, and one with a stock peer: data flows, on real sockets and TUNs in namespaces
 * of this process. */
#include "base/bytes.h"
#include "base/secret.h"
#include "engines.h"
#include "noise/noise.h"
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>

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

ENGINES_MAIN(E(a_burst_stays_one_from_end_to_end),
             E(without_offloads_the_same_datagrams_pass_one_by_one),
             E(data_flows_both_ways_inside_ipv4), E(data_flows_both_ways_inside_ipv6),
             E(data_flows_with_a_preshared_key_and_one_worker), E(one_tun_queue_serves_all_workers),
             E(packets_that_wait_for_a_key_arrive_in_order_up_to_their_bound),
             E(a_burst_through_all_workers_arrives_whole), E(keys_and_peers_change_under_traffic),
             E(a_peer_that_roams_is_followed), E(the_mtu_ends_the_padding),
             E(senders_to_nobody_hear_that_the_host_is_unreachable),
             E(wireguard_go_initiates_and_both_ways_ping),
             E(wireguard_go_answers_and_both_ways_ping))
