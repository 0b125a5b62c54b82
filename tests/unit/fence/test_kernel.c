/* The fence on the kernel's nftables and conntrack, in a namespace of its own. */
#include "base/err.h"
#include "fence/conntrack.h"
#include "fence/fence.h"
#include "lib/in_child.h"
#include "lib/test.h"
#include <netlink/netfilter/ct.h>
#include <netlink/netfilter/nfnl.h>
#include <netlink/netlink.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <uv.h>

static const char *ifname = "wg0";
static unsigned isolated; /* groups of the next plan */
static unsigned tries;
static struct fence_status last;

static struct fence_plan *make_plan(void *ctx)
{
    struct fence_plan *p = plan_new(3, ifname);
    struct ip_prefix network, peer;
    char name[32], text[32];

    CHECK(p && prefix_parse("192.0.2.0/24", &network) == 0);
    for (unsigned i = 0; i < isolated; i++) {
        snprintf(name, sizeof(name), "group %u", i);
        snprintf(text, sizeof(text), "10.9.%u.0/24", i);
        CHECK(prefix_parse(text, &peer) == 0);
        CHECK(plan_add_group(p, name, &network, 1) == (int)i);
        CHECK(plan_add(p, &peer, (uint16_t)i) == 0);
        snprintf(text, sizeof(text), "fd00:%u::/64", i);
        CHECK(prefix_parse(text, &peer) == 0);
        CHECK(plan_add(p, &peer, (uint16_t)i) == 0);
    }
    return p;
}

static void on_tried(void *ctx, const struct fence_status *s)
{
    last = *s;
    tries++;
}

static struct fence *start(uv_loop_t *loop)
{
    static const struct fence_ops ops = {.plan = make_plan, .tried = on_tried};
    struct fence *f;

    CHECK(unshare(CLONE_NEWNET) == 0);
    CHECK(uv_loop_init(loop) == 0);
    CHECK(fence_new(loop, &ops, &f) == 0);
    return f;
}

static void end(struct fence *f, uv_loop_t *loop)
{
    fence_free(f);
    while (uv_loop_close(loop) == UV_EBUSY)
        uv_run(loop, UV_RUN_NOWAIT);
}

static bool shell(const char *command)
{
    return system(command) == 0;
}

static void until_tried(uv_loop_t *loop, unsigned count)
{
    while (tries < count)
        uv_run(loop, UV_RUN_ONCE);
}

static void others_leave_it_alone(void)
{
    uv_loop_t loop;
    struct fence *f = start(&loop);

    CHECK(shell("nft 'add table inet mine; add chain inet mine c'"));
    isolated = 2;
    fence_begin(f);
    CHECK(last.wanted && last.in_force && !last.behind);
    CHECK(shell("nft list set inet guardmount_3 peers4_group_201 | grep -q 10.9.1.0/24"));
    CHECK(shell("nft list set inet guardmount_3 peers6_group_201 | grep -q fd00:1::/64"));
    CHECK(shell("nft list chain inet mine c >/dev/null"));
    CHECK(!shell("nft delete table inet guardmount_3 2>/dev/null"));
    CHECK(shell("nft flush ruleset; nft list chain inet guardmount_3 of_group_201 >/dev/null"));
    fence_touch(f); /* over itself */
    until_tried(&loop, 2);
    CHECK(last.in_force && last.changes == 2);
    end(f, &loop);
    CHECK(shell("test -z \"$(nft list tables)\""));
}

TEST(the_table_is_ours_alone_and_goes_with_us)
{
    if (geteuid() != 0)
        skip();
    assert_int_equal(in_child(others_leave_it_alone), 0);
}

static void no_group_no_table(void)
{
    uv_loop_t loop;
    struct fence *f = start(&loop);

    fence_begin(f);
    CHECK(!last.wanted && !last.in_force && !last.behind);
    CHECK(shell("test -z \"$(nft list tables)\""));
    isolated = 1;
    for (unsigned i = 0; i < 5; i++)
        fence_touch(f);
    until_tried(&loop, 2);
    CHECK(last.in_force);
    isolated = 0;
    fence_touch(f);
    until_tried(&loop, 3);
    CHECK(!last.in_force);
    CHECK(shell("test -z \"$(nft list tables)\""));
    end(f, &loop);
}

TEST(there_is_a_table_while_a_group_is_isolated)
{
    if (geteuid() != 0)
        skip();
    assert_int_equal(in_child(no_group_no_table), 0);
}

static void refused_then_not(void)
{
    uv_loop_t loop;
    struct fence *f = start(&loop);

    isolated = 1;
    fence_begin(f);
    ifname = "\"";
    isolated = 2;
    fence_touch(f);
    until_tried(&loop, 2);
    CHECK(last.behind && last.in_force && last.refused == 1 && *last.error);
    CHECK(shell("nft list chain inet guardmount_3 of_group_200 >/dev/null"));
    ifname = "wg0";
    until_tried(&loop, 3); /* by itself */
    CHECK(!last.behind);
    CHECK(shell("nft list chain inet guardmount_3 of_group_201 >/dev/null"));
    end(f, &loop);
}

TEST(a_plan_that_is_refused_leaves_the_one_before_and_is_tried_again)
{
    if (geteuid() != 0)
        skip();
    assert_int_equal(in_child(refused_then_not), 0);
}

/* ---- conntrack ---- */

static void set_addr(struct nfnl_ct *ct, int (*set)(struct nfnl_ct *, int, struct nl_addr *),
                     int reply, const char *text)
{
    struct nl_addr *a;

    CHECK(nl_addr_parse(text, AF_UNSPEC, &a) == 0);
    CHECK(set(ct, reply, a) == 0);
    nl_addr_put(a);
}

/* A datagram flow; @nat: where answers go. */
static void add_connection(struct nl_sock *s, int family, const char *from, const char *to,
                           const char *nat)
{
    struct nfnl_ct *ct = nfnl_ct_alloc();

    CHECK(ct);
    nfnl_ct_set_family(ct, (uint8_t)family);
    nfnl_ct_set_proto(ct, IPPROTO_UDP);
    set_addr(ct, nfnl_ct_set_src, 0, from);
    set_addr(ct, nfnl_ct_set_dst, 0, to);
    set_addr(ct, nfnl_ct_set_src, 1, to);
    set_addr(ct, nfnl_ct_set_dst, 1, nat);
    for (int reply = 0; reply <= 1; reply++) {
        nfnl_ct_set_src_port(ct, reply, 1000);
        nfnl_ct_set_dst_port(ct, reply, 1000);
    }
    nfnl_ct_set_timeout(ct, 60);
    CHECK(nfnl_ct_add(s, ct, NLM_F_CREATE) == 0);
    nfnl_ct_put(ct);
}

static unsigned connections(struct nl_sock *s)
{
    struct nl_cache *all;

    CHECK(nfnl_ct_alloc_cache(s, &all) == 0);
    int count = nl_cache_nitems(all);
    nl_cache_free(all);
    return (unsigned)count;
}

static void two_peers_end(void)
{
    struct fence_entry e[2] = {0};
    struct ranges v4, v6;
    struct nl_sock *s = nl_socket_alloc();

    CHECK(unshare(CLONE_NEWNET) == 0);
    CHECK(s && nfnl_connect(s) == 0);
    add_connection(s, AF_INET, "10.9.0.2", "192.0.2.1", "10.9.0.2");
    add_connection(s, AF_INET, "192.0.2.9", "10.9.0.2", "192.0.2.9");
    add_connection(s, AF_INET, "203.0.113.1", "198.51.100.7", "10.9.0.2"); /* behind a NAT */
    add_connection(s, AF_INET6, "fd00::2", "2001:db8::1", "fd00::2");
    add_connection(s, AF_INET, "10.9.0.3", "192.0.2.1", "10.9.0.3");
    add_connection(s, AF_INET6, "fd00::3", "2001:db8::1", "fd00::3");
    CHECK(connections(s) == 6);
    CHECK(prefix_parse("10.9.0.2/32", &e[0].prefix) == 0);
    CHECK(prefix_parse("fd00::2/128", &e[1].prefix) == 0);
    CHECK(ranges_make(e, 2, false, &v4) == 0 && ranges_make(e, 2, true, &v6) == 0);
    CHECK(conntrack_end(&v4, &v6) == 4);
    CHECK(connections(s) == 2);
    ranges_done(&v4);
    ranges_done(&v6);
    nl_socket_free(s);
}

TEST(connections_of_some_addresses_end_and_others_stay)
{
    if (geteuid() != 0)
        skip();
    assert_int_equal(in_child(two_peers_end), 0);
}

TEST_MAIN(T(the_table_is_ours_alone_and_goes_with_us),
          T(there_is_a_table_while_a_group_is_isolated),
          T(a_plan_that_is_refused_leaves_the_one_before_and_is_tried_again),
          T(connections_of_some_addresses_end_and_others_stay))
