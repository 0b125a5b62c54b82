#include "os/netlink.h"

#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/neighbour.h>
#include <netlink/route/route.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/err.h"
#include "os/netlink_object.h"

#ifndef IFF_LOWER_UP
#define IFF_LOWER_UP 0x10000 /* linux/if.h, which does not go together with net/if.h */
#endif
#define DUMP_TRIES 3      /* a dump that a change ran into is taken again */
#define REMOVALS_MAX 8    /* prefix lengths that one address can stand with */
#define FLUSH_ROUNDS 64   /* of FLUSH_BATCH routes */
#define ASK_ANEW_ROUNDS 8 /* of FLUSH_BATCH neighbours: the kernel keeps about as many */
#define FLUSH_BATCH 128

struct netlink {
    struct nl_sock *sock;
    /* The request under way. */
    void (*object)(struct nl_object *o, void *ctx);
    void *ctx;
    int error; /* what the kernel answered, as it said it */
    bool done;
};

#define CLEANUP_OF(type, put)                                                                      \
    static void type##_putp(struct type **o)                                                       \
    {                                                                                              \
        if (*o)                                                                                    \
            put(*o);                                                                               \
    }
CLEANUP_OF(nl_msg, nlmsg_free)
CLEANUP_OF(nl_addr, nl_addr_put)
CLEANUP_OF(rtnl_addr, rtnl_addr_put)
CLEANUP_OF(rtnl_link, rtnl_link_put)
CLEANUP_OF(rtnl_route, rtnl_route_put)

/* ---- a request and its answer ---- */

static void on_object(struct nl_object *o, void *arg)
{
    struct netlink *nl = arg;

    if (nl->object)
        nl->object(o, nl->ctx);
}

static int on_valid(struct nl_msg *msg, void *arg)
{
    nl_msg_parse(msg, on_object, arg); /* what it cannot parse is nothing that we asked for */
    return NL_OK;
}

static int on_end(struct nl_msg *msg, void *arg)
{
    struct netlink *nl = arg;

    nl->done = true;
    return NL_STOP;
}

static int on_error(struct sockaddr_nl *from, struct nlmsgerr *e, void *arg)
{
    struct netlink *nl = arg;

    nl->error = e->error;
    nl->done = true;
    return NL_STOP;
}

static int connect_socket(struct netlink *nl)
{
    struct timeval wait = {.tv_usec = NETLINK_WAIT_MS * 1000};
    int one = 1, fd;

    nl_close(nl->sock);
    if (nl_connect(nl->sock, NETLINK_ROUTE) < 0)
        return -EIO;
    fd = nl_socket_get_fd(nl->sock);
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) < 0)
        return -errno;
    /* So that the kernel filters dumps by interface (4.20); an older one dumps everything, and we
     * look at the interface ourselves anyway. */
    setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof(one));
    return 0;
}

int netlink_open(struct netlink **ret)
{
    struct netlink *nl = calloc(1, sizeof(*nl));
    int r = -ENOMEM;

    if (!nl)
        return -ENOMEM;
    nl->sock = nl_socket_alloc();
    if (!nl->sock)
        goto fail;
    nl_socket_modify_cb(nl->sock, NL_CB_VALID, NL_CB_CUSTOM, on_valid, nl);
    nl_socket_modify_cb(nl->sock, NL_CB_FINISH, NL_CB_CUSTOM, on_end, nl);
    nl_socket_modify_cb(nl->sock, NL_CB_ACK, NL_CB_CUSTOM, on_end, nl);
    nl_socket_modify_err_cb(nl->sock, NL_CB_CUSTOM, on_error, nl);
    r = connect_socket(nl);
    if (r < 0)
        goto fail;
    *ret = nl;
    return 0;
fail:
    netlink_close(nl);
    return r;
}

void netlink_close(struct netlink *nl)
{
    if (!nl)
        return;
    nl_socket_free(nl->sock);
    free(nl);
}

/* Send @msg and hand what comes back to @object. -errno of the kernel; -EAGAIN: take the dump
 * again; anything that leaves the socket out of step opens it anew. */
static int request(struct netlink *nl, struct nl_msg *msg,
                   void (*object)(struct nl_object *o, void *ctx), void *ctx)
{
    int r;

    nl->object = object;
    nl->ctx = ctx;
    nl->error = 0;
    nl->done = false;
    r = nl_send_auto(nl->sock, msg);
    while (r >= 0 && !nl->done)
        r = nl_recvmsgs_default(nl->sock);
    if (nl->done)
        return r == -NLE_DUMP_INTR ? -EAGAIN : nl->error;
    connect_socket(nl);
    switch (r) {
    case -NLE_AGAIN:
        return -ETIMEDOUT;
    case -NLE_DUMP_INTR:
        return -EAGAIN;
    case -NLE_NOMEM:
        return -ENOMEM;
    default:
        return -EIO;
    }
}

static int dump(struct netlink *nl, int type, const void *header, size_t header_len,
                void (*object)(struct nl_object *o, void *ctx), void *ctx)
{
    int r = -EAGAIN;

    for (unsigned i = 0; i < DUMP_TRIES && r == -EAGAIN; i++) {
        _cleanup_(nl_msg_putp) struct nl_msg *msg = nlmsg_alloc_simple(type, NLM_F_DUMP);

        if (!msg || nlmsg_append(msg, (void *)header, header_len, NLMSG_ALIGNTO) < 0)
            return -ENOMEM;
        r = request(nl, msg, object, ctx);
    }
    return r;
}

static struct nl_addr *address_object(const struct ip_addr *a, int prefix_len)
{
    bool v4 = addr_is_v4(a);
    struct nl_addr *o = v4 ? nl_addr_build(AF_INET, (void *)(a->b + 12), 4)
                           : nl_addr_build(AF_INET6, (void *)a->b, 16);

    if (o && prefix_len >= 0)
        nl_addr_set_prefixlen(o, prefix_len);
    return o;
}

/* ---- what libnl parsed, as our structs (shared with the monitor) ---- */

bool object_address(struct nl_object *o, uint32_t *ret_ifindex, struct ip_addr *ret,
                    unsigned *ret_flags)
{
    struct rtnl_addr *a = (struct rtnl_addr *)o;
    struct nl_addr *local;

    if (strcmp(nl_object_get_type(o), "route/addr") != 0)
        return false;
    local = rtnl_addr_get_local(a);
    if (!local)
        return false;
    if (nl_addr_get_family(local) == AF_INET && nl_addr_get_len(local) == 4)
        *ret = addr_from_v4(nl_addr_get_binary_addr(local));
    else if (nl_addr_get_family(local) == AF_INET6 && nl_addr_get_len(local) == 16)
        *ret = addr_from_v6(nl_addr_get_binary_addr(local), 0);
    else
        return false;
    if (nl_addr_iszero(local)) /* what libnl makes of a message without one */
        return false;
    *ret_ifindex = (uint32_t)rtnl_addr_get_ifindex(a);
    *ret_flags = rtnl_addr_get_flags(a);
    return true;
}

bool object_link(struct nl_object *o, struct netlink_link *ret)
{
    struct rtnl_link *l = (struct rtnl_link *)o;
    struct netlink_link link = {0};

    /* A bridge tells of its ports by link messages of its own family: a port that leaves the
     * bridge would look like a link that is gone. */
    if (strcmp(nl_object_get_type(o), "route/link") != 0 || rtnl_link_get_family(l) != AF_UNSPEC ||
        !rtnl_link_get_name(l) || strlen(rtnl_link_get_name(l)) > IFNAME_MAX)
        return false;
    link.index = (uint32_t)rtnl_link_get_ifindex(l);
    strcpy(link.name, rtnl_link_get_name(l));
    link.mtu = rtnl_link_get_mtu(l);
    link.up = rtnl_link_get_flags(l) & IFF_UP;
    link.carrier = rtnl_link_get_carrier(l);
    *ret = link;
    return true;
}

/* An address that packets can be sent from. */
bool address_is_usable(unsigned flags)
{
    return !(flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) || flags & IFA_F_OPTIMISTIC;
}

/* ---- links ---- */

static void take_link(struct nl_object *o, void *ctx)
{
    object_link(o, ctx);
}

int netlink_link_read(struct netlink *nl, const char *ifname, struct netlink_link *ret)
{
    _cleanup_(nl_msg_putp) struct nl_msg *msg = NULL;
    struct netlink_link link = {0};
    unsigned ifindex = if_nametoindex(ifname);
    int r;

    if (!ifindex)
        return -ENODEV;
    if (rtnl_link_build_get_request((int)ifindex, NULL, &msg) < 0)
        return -ENOMEM;
    r = request(nl, msg, take_link, &link);
    if (r < 0)
        return r;
    if (!link.index)
        return -ENODEV;
    *ret = link;
    return 0;
}

static int change_link(struct netlink *nl, uint32_t ifindex, struct rtnl_link *changes)
{
    _cleanup_(rtnl_link_putp) struct rtnl_link *which = rtnl_link_alloc();
    _cleanup_(nl_msg_putp) struct nl_msg *msg = NULL;

    if (!which)
        return -ENOMEM;
    rtnl_link_set_ifindex(which, (int)ifindex);
    if (rtnl_link_build_change_request(which, changes, 0, &msg) < 0)
        return -ENOMEM;
    return request(nl, msg, NULL, NULL);
}

int netlink_link_set_up(struct netlink *nl, uint32_t ifindex, bool up)
{
    _cleanup_(rtnl_link_putp) struct rtnl_link *changes = rtnl_link_alloc();

    if (!changes)
        return -ENOMEM;
    if (up)
        rtnl_link_set_flags(changes, IFF_UP);
    else
        rtnl_link_unset_flags(changes, IFF_UP);
    return change_link(nl, ifindex, changes);
}

int netlink_link_set_mtu(struct netlink *nl, uint32_t ifindex, unsigned mtu)
{
    _cleanup_(rtnl_link_putp) struct rtnl_link *changes = rtnl_link_alloc();

    if (!changes)
        return -ENOMEM;
    rtnl_link_set_mtu(changes, mtu);
    return change_link(nl, ifindex, changes);
}

/* ---- addresses ---- */

int netlink_address_add(struct netlink *nl, uint32_t ifindex, const struct ip_addr *a,
                        uint8_t prefix_len)
{
    _cleanup_(rtnl_addr_putp) struct rtnl_addr *object = rtnl_addr_alloc();
    _cleanup_(nl_addr_putp) struct nl_addr *local = address_object(a, prefix_len);
    _cleanup_(nl_msg_putp) struct nl_msg *msg = NULL;
    int r;

    if (!object || !local)
        return -ENOMEM;
    rtnl_addr_set_ifindex(object, (int)ifindex);
    if (rtnl_addr_set_local(object, local) < 0)
        return -EINVAL;
    if (!addr_is_v4(a))
        rtnl_addr_set_flags(object, IFA_F_NODAD);
    if (rtnl_addr_build_add_request(object, NLM_F_EXCL, &msg) < 0)
        return -ENOMEM;
    r = request(nl, msg, NULL, NULL);
    return r == -EEXIST ? 0 : r;
}

/* Addresses of one interface that are equal to one that we look for. */
struct search {
    const struct ip_addr *addr;
    uint32_t ifindex;
    uint8_t prefix_len[REMOVALS_MAX];
    unsigned found;
};

static void take_same_address(struct nl_object *o, void *ctx)
{
    struct search *s = ctx;
    struct ip_addr a;
    uint32_t ifindex;
    unsigned flags;

    if (!object_address(o, &ifindex, &a, &flags) || ifindex != s->ifindex ||
        memcmp(a.b, s->addr->b, sizeof(a.b)) != 0 || s->found == REMOVALS_MAX)
        return;
    s->prefix_len[s->found++] = (uint8_t)rtnl_addr_get_prefixlen((struct rtnl_addr *)o);
}

static int dump_addresses(struct netlink *nl, int family, uint32_t ifindex,
                          void (*object)(struct nl_object *o, void *ctx), void *ctx)
{
    struct ifaddrmsg filter = {.ifa_family = (uint8_t)family, .ifa_index = ifindex};

    return dump(nl, RTM_GETADDR, &filter, sizeof(filter), object, ctx);
}

static int family_of(const struct ip_addr *a)
{
    return addr_is_v4(a) ? AF_INET : AF_INET6;
}

static int remove_exactly(struct netlink *nl, uint32_t ifindex, const struct ip_addr *a,
                          uint8_t prefix_len)
{
    _cleanup_(rtnl_addr_putp) struct rtnl_addr *object = rtnl_addr_alloc();
    _cleanup_(nl_addr_putp) struct nl_addr *local = address_object(a, prefix_len);
    _cleanup_(nl_msg_putp) struct nl_msg *msg = NULL;
    int r;

    if (!object || !local)
        return -ENOMEM;
    rtnl_addr_set_ifindex(object, (int)ifindex);
    if (rtnl_addr_set_local(object, local) < 0)
        return -EINVAL;
    if (rtnl_addr_build_delete_request(object, 0, &msg) < 0)
        return -ENOMEM;
    r = request(nl, msg, NULL, NULL);
    return r == -EADDRNOTAVAIL ? 0 : r;
}

int netlink_address_remove(struct netlink *nl, uint32_t ifindex, const struct ip_addr *a)
{
    struct search s = {.addr = a, .ifindex = ifindex};
    int r = dump_addresses(nl, family_of(a), ifindex, take_same_address, &s);

    if (r == -ENODEV)
        return 0;
    for (unsigned i = 0; i < s.found && r == 0; i++)
        r = remove_exactly(nl, ifindex, a, s.prefix_len[i]);
    return r;
}

/* The wanted addresses of one interface and family. */
struct presence {
    const struct vip_addr *want;
    unsigned count;
    uint32_t ifindex[NETLINK_WANT_MAX];
    bool present[NETLINK_WANT_MAX];
};

static void take_present(struct nl_object *o, void *ctx)
{
    struct presence *p = ctx;
    struct ip_addr a;
    uint32_t ifindex;
    unsigned flags;

    if (!object_address(o, &ifindex, &a, &flags) || !address_is_usable(flags))
        return;
    for (unsigned i = 0; i < p->count; i++)
        if (p->ifindex[i] == ifindex && memcmp(a.b, p->want[i].addr.b, sizeof(a.b)) == 0)
            p->present[i] = true;
}

/* One dump answers for all addresses of the same interface and family. */
static bool asked_before(const struct presence *p, unsigned i)
{
    for (unsigned k = 0; k < i; k++)
        if (p->ifindex[k] == p->ifindex[i] &&
            addr_is_v4(&p->want[k].addr) == addr_is_v4(&p->want[i].addr))
            return true;
    return false;
}

static void take_route_type(struct nl_object *o, void *ctx)
{
    if (strcmp(nl_object_get_type(o), "route/route") == 0)
        *(int *)ctx = rtnl_route_get_type((struct rtnl_route *)o);
}

static bool is_link_local(const struct ip_addr *a)
{
    return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

/* Whether what is sent to @a is delivered here: the kernel tells of an address before it has the
 * route. */
static int is_delivered(struct netlink *nl, uint32_t ifindex, const struct ip_addr *a)
{
    bool v4 = addr_is_v4(a);
    struct rtmsg header = {.rtm_family = (uint8_t)family_of(a), .rtm_dst_len = v4 ? 32 : 128};
    _cleanup_(nl_msg_putp) struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETROUTE, 0);
    int type = RTN_UNSPEC, r;

    if (!msg || nlmsg_append(msg, &header, sizeof(header), NLMSG_ALIGNTO) < 0 ||
        nla_put(msg, RTA_DST, v4 ? 4 : 16, v4 ? a->b + 12 : a->b) < 0 ||
        (is_link_local(a) && nla_put_u32(msg, RTA_OIF, ifindex) < 0))
        return -ENOMEM;
    r = request(nl, msg, take_route_type, &type);
    if (r == -ENETUNREACH || r == -EHOSTUNREACH)
        return false;
    return r < 0 ? r : type == RTN_LOCAL;
}

int netlink_read_addresses(struct netlink *nl, const struct vip_addr *want, unsigned count,
                           unsigned *ret_present)
{
    struct presence p = {.want = want, .count = count};
    unsigned present = 0;
    int r;

    if (count > NETLINK_WANT_MAX)
        return -EINVAL;
    for (unsigned i = 0; i < count; i++)
        p.ifindex[i] = if_nametoindex(want[i].ifname);
    for (unsigned i = 0; i < count; i++) {
        if (!p.ifindex[i] || asked_before(&p, i))
            continue;
        r = dump_addresses(nl, family_of(&want[i].addr), p.ifindex[i], take_present, &p);
        if (r < 0 && r != -ENODEV) /* it went away just now */
            return r;
    }
    for (unsigned i = 0; i < count; i++) {
        if (!p.present[i])
            continue;
        r = is_delivered(nl, p.ifindex[i], &want[i].addr);
        if (r < 0)
            return r;
        if (!r)
            return NETLINK_SETTLING;
        present++;
    }
    *ret_present = present;
    return 0;
}

int netlink_remove_addresses(struct netlink *nl, const struct vip_addr *unwanted, unsigned count)
{
    int first = 0;

    for (unsigned i = 0; i < count; i++) {
        uint32_t ifindex = if_nametoindex(unwanted[i].ifname);
        int r = ifindex ? netlink_address_remove(nl, ifindex, &unwanted[i].addr) : 0;

        if (r < 0 && first == 0)
            first = r;
    }
    return first;
}

/* ---- routes ---- */

static int route_object(const struct netlink_route *r, struct rtnl_route **ret)
{
    _cleanup_(rtnl_route_putp) struct rtnl_route *o = rtnl_route_alloc();
    _cleanup_(nl_addr_putp) struct nl_addr *dst = address_object(&r->dst.addr, r->dst.len);
    struct rtnl_nexthop *hop;

    if (!o || !dst)
        return -ENOMEM;
    rtnl_route_set_family(o, r->dst.v6 ? AF_INET6 : AF_INET);
    if (rtnl_route_set_dst(o, dst) < 0)
        return -EINVAL;
    rtnl_route_set_table(o, r->table ? r->table : r->local ? RT_TABLE_LOCAL : RT_TABLE_MAIN);
    rtnl_route_set_protocol(o, RTPROT_GUARDMOUNT);
    rtnl_route_set_type(o, r->local ? RTN_LOCAL : RTN_UNICAST);
    if (r->metric)
        rtnl_route_set_priority(o, r->metric);
    if (!r->ifindex) {
        rtnl_route_set_scope(o, RT_SCOPE_NOWHERE);
        *ret = TAKE_PTR(o);
        return 0;
    }
    hop = rtnl_route_nh_alloc();
    if (!hop)
        return -ENOMEM;
    rtnl_route_nh_set_ifindex(hop, (int)r->ifindex);
    if (!addr_is_zero(&r->gateway)) {
        _cleanup_(nl_addr_putp) struct nl_addr *via = address_object(&r->gateway, -1);

        if (!via) {
            rtnl_route_nh_free(hop);
            return -ENOMEM;
        }
        rtnl_route_nh_set_gateway(hop, via);
    }
    rtnl_route_add_nexthop(o, hop); /* o's from here on */
    rtnl_route_set_scope(o, (uint8_t)rtnl_route_guess_scope(o));
    *ret = TAKE_PTR(o);
    return 0;
}

int netlink_route_put(struct netlink *nl, const struct netlink_route *r)
{
    _cleanup_(rtnl_route_putp) struct rtnl_route *o = NULL;
    _cleanup_(nl_msg_putp) struct nl_msg *msg = NULL;
    int err = route_object(r, &o);

    if (err < 0)
        return err;
    if (rtnl_route_build_add_request(o, NLM_F_CREATE | NLM_F_REPLACE, &msg) < 0)
        return -ENOMEM;
    return request(nl, msg, NULL, NULL);
}

static int remove_route(struct netlink *nl, struct rtnl_route *o)
{
    _cleanup_(nl_msg_putp) struct nl_msg *msg = NULL;
    int r;

    if (rtnl_route_build_del_request(o, 0, &msg) < 0)
        return -ENOMEM;
    r = request(nl, msg, NULL, NULL);
    return r == -ESRCH ? 0 : r;
}

int netlink_route_remove(struct netlink *nl, const struct netlink_route *r)
{
    _cleanup_(rtnl_route_putp) struct rtnl_route *o = NULL;
    int err = route_object(r, &o);

    return err < 0 ? err : remove_route(nl, o);
}

struct found_routes {
    struct rtnl_route *route[FLUSH_BATCH];
    unsigned count;
};

static void take_own_route(struct nl_object *o, void *ctx)
{
    struct found_routes *f = ctx;

    if (strcmp(nl_object_get_type(o), "route/route") != 0 || f->count == FLUSH_BATCH ||
        rtnl_route_get_protocol((struct rtnl_route *)o) != RTPROT_GUARDMOUNT)
        return;
    nl_object_get(o);
    f->route[f->count++] = (struct rtnl_route *)o;
}

int netlink_routes_flush(struct netlink *nl)
{
    static const int families[] = {AF_INET, AF_INET6};

    for (unsigned i = 0; i < ARRAY_LEN(families); i++) {
        for (unsigned round = 0; round < FLUSH_ROUNDS; round++) {
            struct rtmsg filter = {.rtm_family = (uint8_t)families[i],
                                   .rtm_protocol = RTPROT_GUARDMOUNT};
            struct found_routes f = {0};
            int r = dump(nl, RTM_GETROUTE, &filter, sizeof(filter), take_own_route, &f);

            for (unsigned k = 0; k < f.count; k++) {
                if (r == 0)
                    r = remove_route(nl, f.route[k]);
                rtnl_route_put(f.route[k]);
            }
            if (r < 0)
                return r;
            if (f.count < FLUSH_BATCH)
                break;
        }
    }
    return 0;
}

/* ---- neighbours ---- */

struct found_neighbours {
    struct rtnl_neigh *neighbour[FLUSH_BATCH];
    unsigned count;
};

static void take_unresolved(struct nl_object *o, void *ctx)
{
    struct found_neighbours *f = ctx;

    if (strcmp(nl_object_get_type(o), "route/neigh") != 0 || f->count == FLUSH_BATCH ||
        rtnl_neigh_get_state((struct rtnl_neigh *)o) != NUD_INCOMPLETE)
        return;
    nl_object_get(o);
    f->neighbour[f->count++] = (struct rtnl_neigh *)o;
}

static int forget_neighbour(struct netlink *nl, struct rtnl_neigh *o)
{
    _cleanup_(nl_msg_putp) struct nl_msg *msg = NULL;
    int r;

    if (rtnl_neigh_build_delete_request(o, 0, &msg) < 0)
        return -ENOMEM;
    r = request(nl, msg, NULL, NULL);
    return r == -ENOENT ? 0 : r;
}

int netlink_neighbours_ask_anew(struct netlink *nl)
{
    for (unsigned round = 0; round < ASK_ANEW_ROUNDS; round++) {
        struct ndmsg all = {.ndm_family = AF_UNSPEC};
        struct found_neighbours f = {0};
        int r = dump(nl, RTM_GETNEIGH, &all, sizeof(all), take_unresolved, &f);

        for (unsigned i = 0; i < f.count; i++) {
            if (r == 0)
                r = forget_neighbour(nl, f.neighbour[i]);
            rtnl_neigh_put(f.neighbour[i]);
        }
        if (r < 0 || f.count < FLUSH_BATCH)
            return r;
    }
    return 0;
}
