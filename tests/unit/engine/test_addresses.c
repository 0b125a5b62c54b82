/* A whole engine's sockets: where they are bound, and from where answers leave. */
#include "engines.h"
#include <netinet/in.h>

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

ENGINES_MAIN(E(vip_sockets_are_bound_before_the_vip_and_answer_from_it),
             E(the_fwmark_is_on_all_sockets_present_and_to_come),
             E(a_port_in_use_is_refused_and_a_closed_one_is_free_at_once),
             E(answers_leave_from_the_address_they_were_sent_to),
             E(an_interface_that_is_deleted_is_reported))
