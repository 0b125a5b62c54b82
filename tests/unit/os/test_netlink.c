/* What the kernel says of links and addresses, as our structs; and what we ask of it, tried on a
 * namespace of its own. */
#include "base/clock.h"
#include "base/err.h"
#include "lib/in_child.h"
#include "lib/test.h"
#include "os/netlink.h"
#include "os/netlink_object.h"
#include <linux/if_addr.h>
#include <net/if.h>
#include <netlink/msg.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <uv.h>

/* ---- messages ---- */

struct taken {
    unsigned addresses, links;
    uint32_t ifindex;
    struct ip_addr addr;
    unsigned flags;
    struct netlink_link link;
};

static void take(struct nl_object *o, void *ctx)
{
    struct taken *t = ctx;

    t->addresses += object_address(o, &t->ifindex, &t->addr, &t->flags);
    t->links += object_link(o, &t->link);
}

/* What comes of a message of @type with @header and one attribute. */
static struct taken taken_of(int type, const void *header, size_t header_len, int attribute,
                             const void *value, size_t value_len)
{
    struct taken t = {0};
    struct nl_msg *m = nlmsg_alloc_simple(type, 0);

    assert_non_null(m);
    assert_int_equal(nlmsg_append(m, (void *)header, header_len, NLMSG_ALIGNTO), 0);
    if (value)
        assert_int_equal(nla_put(m, attribute, (int)value_len, value), 0);
    nlmsg_set_proto(m, NETLINK_ROUTE);
    nl_msg_parse(m, take, &t);
    nlmsg_free(m);
    return t;
}

TEST(an_address_of_either_family_is_read)
{
    static const uint8_t v4[4] = {192, 0, 2, 7}, v6[16] = {0xfe, 0x80, [15] = 5};
    struct ifaddrmsg h = {.ifa_family = AF_INET, .ifa_prefixlen = 24, .ifa_index = 7};
    struct taken t = taken_of(RTM_NEWADDR, &h, sizeof(h), IFA_LOCAL, v4, sizeof(v4));

    assert_int_equal(t.addresses, 1);
    assert_int_equal(t.links, 0);
    assert_int_equal(t.ifindex, 7);
    struct ip_addr want = addr_from_v4(v4);
    assert_true(addr_equal(&t.addr, &want));
    h = (struct ifaddrmsg){
        .ifa_family = AF_INET6, .ifa_prefixlen = 64, .ifa_index = 9, .ifa_flags = IFA_F_TENTATIVE};
    t = taken_of(RTM_NEWADDR, &h, sizeof(h), IFA_ADDRESS, v6, sizeof(v6));
    assert_int_equal(t.addresses, 1);
    want = addr_from_v6(v6, 0);
    assert_true(addr_equal(&t.addr, &want) && t.ifindex == 9);
    assert_false(address_is_usable(t.flags));
}

TEST(an_address_message_that_is_not_whole_is_none)
{
    static const uint8_t v4[4] = {192, 0, 2, 7};
    struct ifaddrmsg h = {.ifa_family = AF_INET, .ifa_prefixlen = 24, .ifa_index = 7};

    assert_int_equal(taken_of(RTM_NEWADDR, &h, sizeof(h), 0, NULL, 0).addresses, 0);
    assert_int_equal(taken_of(RTM_NEWADDR, &h, sizeof(h), IFA_LOCAL, v4, 3).addresses, 0);
    assert_int_equal(taken_of(RTM_NEWADDR, &h, 4, 0, NULL, 0).addresses, 0);
    assert_int_equal(taken_of(RTM_NEWADDR, "", 0, 0, NULL, 0).addresses, 0);
}

TEST(a_link_is_read_and_the_message_of_a_bridges_port_is_none)
{
    struct ifinfomsg h = {.ifi_family = AF_UNSPEC, .ifi_index = 3, .ifi_flags = IFF_UP};
    struct taken t = taken_of(RTM_NEWLINK, &h, sizeof(h), IFLA_IFNAME, "eth0", 5);

    assert_int_equal(t.links, 1);
    assert_int_equal(t.addresses, 0);
    assert_string_equal(t.link.name, "eth0");
    assert_true(t.link.index == 3 && t.link.up);
    h.ifi_flags = 0;
    assert_false(taken_of(RTM_NEWLINK, &h, sizeof(h), IFLA_IFNAME, "eth0", 5).link.up);
    assert_int_equal(taken_of(RTM_NEWLINK, &h, sizeof(h), 0, NULL, 0).links, 0); /* no name */
    assert_int_equal(taken_of(RTM_NEWLINK, &h, 8, 0, NULL, 0).links, 0);
    h.ifi_family = AF_BRIDGE;
    assert_int_equal(taken_of(RTM_NEWLINK, &h, sizeof(h), IFLA_IFNAME, "eth0", 5).links, 0);
}

TEST(an_address_is_usable_when_packets_may_leave_from_it)
{
    assert_true(address_is_usable(0) && address_is_usable(IFA_F_PERMANENT));
    assert_false(address_is_usable(IFA_F_TENTATIVE));
    assert_false(address_is_usable(IFA_F_DADFAILED | IFA_F_PERMANENT));
    assert_true(address_is_usable(IFA_F_TENTATIVE | IFA_F_OPTIMISTIC));
}

/* ---- a kernel ---- */

/* @body in a child with a namespace of its own, a pair of interfaces in it, gmt0 and gmt1. */
static void in_namespace(void (*body)(struct netlink *nl))
{
    int status;

    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct netlink *nl;

        if (unshare(CLONE_NEWNET) < 0)
            _exit(77); /* not root: nothing to try it on */
        CHECK(system("ip link add gmt0 type veth peer name gmt1 && ip link set gmt1 up") == 0);
        CHECK(netlink_open(&nl) == 0);
        body(nl);
        netlink_close(nl);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static struct ip_addr address(const char *text)
{
    struct ip_addr a;

    CHECK(addr_parse(text, &a) == 0);
    return a;
}

static struct vip_addr on(const char *ifname, const char *text)
{
    struct vip_addr v = {.addr = address(text), .prefix_len = 24};

    strcpy(v.ifname, ifname);
    return v;
}

static void links(struct netlink *nl)
{
    struct netlink_link l = {.mtu = 77};

    CHECK(netlink_link_read(nl, "gmt9", &l) == -ENODEV && l.mtu == 77);
    CHECK(netlink_link_read(nl, "gmt0", &l) == 0);
    CHECK(strcmp(l.name, "gmt0") == 0 && l.index == if_nametoindex("gmt0") && !l.up &&
          l.mtu == 1500);
    CHECK(netlink_link_set_up(nl, l.index, true) == 0);
    CHECK(netlink_link_set_mtu(nl, l.index, 1380) == 0);
    CHECK(netlink_link_read(nl, "gmt0", &l) == 0 && l.up && l.mtu == 1380);
    CHECK(netlink_link_set_up(nl, l.index, false) == 0);
    CHECK(netlink_link_read(nl, "gmt0", &l) == 0 && !l.up);
    CHECK(netlink_link_set_up(nl, 4711, true) < 0 && netlink_link_set_mtu(nl, l.index, 1) < 0);
}

TEST(links_are_read_and_changed)
{
    in_namespace(links);
}

static unsigned present(struct netlink *nl, const struct vip_addr *want, unsigned count)
{
    unsigned n = 99;
    int r;

    for (unsigned i = 0; (r = netlink_read_addresses(nl, want, count, &n)) == NETLINK_SETTLING; i++)
        CHECK(i < 1000 && usleep(1000) == 0);
    CHECK(r == 0);
    return n;
}

static void addresses(struct netlink *nl)
{
    const struct vip_addr want[] = {on("gmt0", "192.0.2.7"), on("gmt0", "2001:db8::7"),
                                    on("gmt1", "192.0.2.8"), on("gmt9", "192.0.2.9")};
    uint32_t index[2] = {if_nametoindex("gmt0"), if_nametoindex("gmt1")};

    CHECK(netlink_link_set_up(nl, index[0], true) == 0);
    CHECK(present(nl, want, 4) == 0);
    CHECK(netlink_address_add(nl, index[0], &want[0].addr, 24) == 0);
    CHECK(netlink_address_add(nl, index[0], &want[0].addr, 24) == 0); /* it is there */
    CHECK(present(nl, want, 4) == 1);
    /* Without duplicate detection: it serves at once. */
    CHECK(netlink_address_add(nl, index[0], &want[1].addr, 64) == 0);
    CHECK(present(nl, want, 2) == 2);
    /* On another interface than it belongs to it does not count. */
    CHECK(netlink_address_add(nl, index[0], &want[2].addr, 24) == 0);
    CHECK(present(nl, want, 4) == 2);
    CHECK(netlink_address_add(nl, index[1], &want[2].addr, 24) == 0);
    CHECK(present(nl, want, 4) == 3);
    /* Nor does one that the kernel is still looking for twins of. */
    const struct vip_addr tentative = on("gmt1", "2001:db8::99");
    CHECK(system("ip addr add 2001:db8::99/64 dev gmt1") == 0);
    unsigned n;
    CHECK(netlink_read_addresses(nl, &tentative, 1, &n) == 0 && n == 0);

    CHECK(netlink_address_remove(nl, index[0], &want[0].addr) == 0); /* any prefix length */
    CHECK(netlink_address_remove(nl, index[0], &want[0].addr) == 0); /* it is gone */
    CHECK(present(nl, want, 1) == 0);
    CHECK(netlink_remove_addresses(nl, want, 3) == 0);
    CHECK(present(nl, want, 3) == 0);
    netlink_remove_addresses(nl, want, 4); /* one of no interface does not keep it from the rest */
}

TEST(addresses_count_where_they_belong_and_when_they_serve)
{
    in_namespace(addresses);
}

static void all_are_tried(struct netlink *nl)
{
    const struct vip_addr want[] = {on("gmt9", "192.0.2.9"), on("gmt0", "192.0.2.7")};
    uint32_t index = if_nametoindex("gmt0");

    CHECK(netlink_link_set_up(nl, index, true) == 0);
    CHECK(netlink_address_add(nl, index, &want[1].addr, 24) == 0);
    CHECK(present(nl, want, 2) == 1);
    netlink_remove_addresses(nl, want, 2);
    CHECK(present(nl, want, 2) == 0);
}

TEST(a_vip_is_taken_off_though_another_address_fails)
{
    in_namespace(all_are_tried);
}

static bool route_is(const char *destination, const char *words)
{
    char command[256];

    snprintf(command, sizeof(command), "ip route show table all %s | grep -q '%s'", destination,
             words);
    return system(command) == 0;
}

static void routes(struct netlink *nl)
{
    uint32_t index = if_nametoindex("gmt0");
    const struct ip_addr own = address("192.0.2.7");
    struct netlink_route r = {.ifindex = index, .metric = 50};

    CHECK(prefix_parse("10.77.0.0/16", &r.dst) == 0);
    CHECK(netlink_link_set_up(nl, index, true) == 0 &&
          netlink_address_add(nl, index, &own, 24) == 0);
    CHECK(netlink_route_put(nl, &r) == 0 && netlink_route_put(nl, &r) == 0);
    CHECK(route_is("10.77.0.0/16", "dev gmt0 proto 71"));
    r.gateway = address("192.0.2.1"); /* replaced, not added */
    CHECK(netlink_route_put(nl, &r) == 0);
    CHECK(route_is("10.77.0.0/16", "via 192.0.2.1"));
    CHECK(system("test $(ip route show 10.77.0.0/16 | wc -l) = 1") == 0);
    CHECK(netlink_route_remove(nl, &r) == 0 && netlink_route_remove(nl, &r) == 0);
    CHECK(!route_is("10.77.0.0/16", "gmt0"));
    CHECK(netlink_route_put(nl, &r) == 0); /* wherever it leads */
    CHECK(netlink_route_remove(nl, &(struct netlink_route){.dst = r.dst, .metric = 50}) == 0);
    CHECK(!route_is("10.77.0.0/16", "gmt0"));
    /* Of others nothing is touched. */
    CHECK(system("ip route add 10.78.0.0/16 dev gmt0 metric 50") == 0);
    CHECK(prefix_parse("10.78.0.0/16", &r.dst) == 0);
    r.gateway = (struct ip_addr){0};
    CHECK(netlink_route_remove(nl, &r) == 0);
    CHECK(route_is("10.78.0.0/16", "gmt0"));
    /* To be delivered here beside an address that comes and goes. */
    struct netlink_route local = {.ifindex = index, .metric = 1, .local = true};
    CHECK(prefix_parse("192.0.2.99/32", &local.dst) == 0 && netlink_route_put(nl, &local) == 0);
    CHECK(system("ip addr add 192.0.2.99/24 dev gmt0 && ip addr del 192.0.2.99/24 dev gmt0") == 0);
    CHECK(system("ip route get 192.0.2.99 | grep -q '^local'") == 0);
    CHECK(netlink_route_remove(nl, &local) == 0);
    CHECK(system("ip route get 192.0.2.99 | grep -q '^local'") != 0);
    CHECK(prefix_parse("2001:db8::99/128", &local.dst) == 0 && netlink_route_put(nl, &local) == 0);
    CHECK(system("ip -6 route get 2001:db8::99 | grep -q '^local'") == 0);
    CHECK(netlink_route_remove(nl, &local) == 0);
    CHECK(system("ip -6 route get 2001:db8::99 2>&1 | grep -q '^local'") != 0);
    /* What an earlier process left in whatever table. */
    CHECK(prefix_parse("10.79.0.0/16", &r.dst) == 0 && netlink_route_put(nl, &r) == 0);
    r.table = 4711;
    CHECK(netlink_route_put(nl, &r) == 0);
    CHECK(prefix_parse("2001:db8:1::/48", &r.dst) == 0 && netlink_route_put(nl, &r) == 0);
    CHECK(netlink_routes_flush(nl) == 0);
    CHECK(!route_is("10.79.0.0/16", "gmt0") && !route_is("2001:db8:1::/48", "gmt0"));
    CHECK(route_is("10.78.0.0/16", "gmt0"));
}

TEST(routes_of_ours_are_put_replaced_and_flushed_and_no_others)
{
    in_namespace(routes);
}

/* One packet to @text, which nobody answers for. */
static void send_to(const char *text)
{
    struct endpoint to = {.addr = address(text), .port = 9};
    struct sockaddr_storage sa;
    socklen_t len = endpoint_to_sockaddr(&to, &sa);
    int fd = socket(sa.ss_family, SOCK_DGRAM, 0);

    CHECK(fd >= 0 && sendto(fd, "", 1, 0, (struct sockaddr *)&sa, len) == 1 && close(fd) == 0);
}

static bool asks_for(const char *text)
{
    char command[128];

    snprintf(command, sizeof(command), "ip neigh show nud incomplete | grep -q '^%s '", text);
    return system(command) == 0;
}

static void neighbours(struct netlink *nl)
{
    uint32_t index = if_nametoindex("gmt0");
    const struct ip_addr v4 = address("192.0.2.7"), v6 = address("2001:db8::7");

    CHECK(netlink_link_set_up(nl, index, true) == 0);
    CHECK(netlink_address_add(nl, index, &v4, 24) == 0);
    CHECK(netlink_address_add(nl, index, &v6, 64) == 0);
    CHECK(netlink_neighbours_ask_anew(nl) == 0); /* there is none */
    CHECK(system("ip neigh add 192.0.2.8 lladdr 02:00:00:00:00:01 dev gmt0 nud reachable") == 0);
    CHECK(system("ip neigh add 192.0.2.9 dev gmt0 nud failed") == 0);
    send_to("192.0.2.10");
    send_to("2001:db8::10");
    CHECK(asks_for("192.0.2.10") && asks_for("2001:db8::10"));
    CHECK(netlink_neighbours_ask_anew(nl) == 0);
    CHECK(!asks_for("192.0.2.10") && !asks_for("2001:db8::10"));
    CHECK(system("ip neigh show 192.0.2.8 dev gmt0 | grep -q REACHABLE") == 0);
    send_to("192.0.2.10");
    CHECK(asks_for("192.0.2.10"));        /* at once */
    for (unsigned i = 20; i < 220; i++) { /* more than one dump's worth */
        char text[32];
        snprintf(text, sizeof(text), "192.0.2.%u", i);
        send_to(text);
    }
    CHECK(netlink_neighbours_ask_anew(nl) == 0);
    CHECK(system("test -z \"$(ip neigh show nud incomplete)\"") == 0);
}

TEST(neighbours_asked_for_in_vain_are_forgotten_and_no_others)
{
    in_namespace(neighbours);
}

/* ---- the monitor ---- */

struct heard {
    unsigned came, went, links;
    struct ip_addr last;
};

static void on_address(void *ctx, uint32_t ifindex, const struct ip_addr *a, bool there)
{
    struct heard *h = ctx;

    if (!addr_is_v4(a))
        return; /* link-local ones that the kernel makes */
    h->last = *a;
    h->came += there;
    h->went += !there;
}

static void on_link(void *ctx, const struct netlink_link *l, bool there)
{
    ((struct heard *)ctx)->links++;
}

static void on_overflow(void *ctx)
{
}

static bool hears(uv_loop_t *loop, const unsigned *what, unsigned count)
{
    uint64_t until = clock_boot_ns() + 3 * NS_PER_S;

    while (*what < count && clock_boot_ns() < until) {
        uv_run(loop, UV_RUN_NOWAIT);
        usleep(1000);
    }
    return *what >= count;
}

static void monitor(struct netlink *nl)
{
    struct heard h = {0};
    const struct netlink_ops ops = {
        .ctx = &h, .address = on_address, .link = on_link, .overflow = on_overflow};
    const struct ip_addr a = address("192.0.2.7");
    uint32_t index = if_nametoindex("gmt0");
    struct netlink_monitor *m = NULL;
    uv_loop_t loop;

    CHECK(uv_loop_init(&loop) == 0 && netlink_monitor_open(&loop, &ops, &m) == 0);
    CHECK(netlink_link_set_up(nl, index, true) == 0 && hears(&loop, &h.links, 1));
    CHECK(netlink_address_add(nl, index, &a, 24) == 0 && hears(&loop, &h.came, 1));
    CHECK(addr_equal(&h.last, &a));
    CHECK(netlink_address_remove(nl, index, &a) == 0 && hears(&loop, &h.went, 1));
    netlink_monitor_close(m);
    CHECK(uv_run(&loop, UV_RUN_DEFAULT) == 0 && uv_loop_close(&loop) == 0);
}

TEST(the_monitor_tells_what_comes_and_goes)
{
    in_namespace(monitor);
}

TEST_MAIN(T(an_address_of_either_family_is_read), T(an_address_message_that_is_not_whole_is_none),
          T(a_link_is_read_and_the_message_of_a_bridges_port_is_none),
          T(an_address_is_usable_when_packets_may_leave_from_it), T(links_are_read_and_changed),
          T(addresses_count_where_they_belong_and_when_they_serve),
          T(a_vip_is_taken_off_though_another_address_fails),
          T(routes_of_ours_are_put_replaced_and_flushed_and_no_others),
          T(neighbours_asked_for_in_vain_are_forgotten_and_no_others),
          T(the_monitor_tells_what_comes_and_goes))
