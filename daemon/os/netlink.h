/* os/netlink.h - links, addresses and routes of this network namespace, by libnl-route.
 *
 * Owner:   whoever opened. Threads: one for each struct netlink; the monitor: its loop's.
 * Never:   waits longer than NETLINK_WAIT_MS for an answer; runs a program; keeps a cache: every
 *          answer is the kernel's of this moment.
 *
 * Requests (struct netlink) go out on a socket of their own and are answered in the call; a dump of
 * one interface's addresses takes some 30 us. The monitor only says that something changed:
 * what is true now is read by a request (O1), so a lost or late event does no harm. */
#pragma once
#include "model/endpoint.h"
#include "model/vip.h"
#include <stdbool.h>
#include <stdint.h>

#define NETLINK_WAIT_MS 200
#define NETLINK_EVENT_BUFFER (1 << 20) /* bytes of events that may queue up for the monitor */
#define NETLINK_EVENTS_MAX 64          /* receives in one turn of the loop */
#define RTPROT_GUARDMOUNT 0x47         /* 'G', our routes' mark: /etc/iproute2/rt_protos.d */

struct netlink;
int netlink_open(struct netlink **ret);
void netlink_close(struct netlink *nl); /* NULL is fine */

struct netlink_link {
    uint32_t index;
    char name[IFNAME_MAX + 1];
    unsigned mtu;
    bool up; /* as an operator set it */
    bool carrier;
};

/* -ENODEV: there is none of that name. */
int netlink_link_read(struct netlink *nl, const char *ifname, struct netlink_link *ret);
int netlink_link_set_up(struct netlink *nl, uint32_t ifindex, bool up);
int netlink_link_set_mtu(struct netlink *nl, uint32_t ifindex, unsigned mtu);

/* An address that is there already, or is not, is no error. IPv6 ones skip duplicate detection:
 * they must work at once. */
int netlink_address_add(struct netlink *nl, uint32_t ifindex, const struct ip_addr *a,
                        uint8_t prefix_len);
/* Whatever its prefix length is. */
int netlink_address_remove(struct netlink *nl, uint32_t ifindex, const struct ip_addr *a);

/* How many of @want are usable here now, each on its own interface; a tentative or duplicate IPv6
 * address is not, nor is one of an interface that does not exist. @count up to NETLINK_WANT_MAX.
 * NETLINK_SETTLING: one is there, but what is sent to it is not delivered yet; ask again in a
 * millisecond. (Who asks for a neighbour's link address in that moment loses the answer, and waits
 * a second for the next.) */
#define NETLINK_WANT_MAX (2 * VIP_ADDRS_MAX)
#define NETLINK_SETTLING 1
int netlink_read_addresses(struct netlink *nl, const struct vip_addr *want, unsigned count,
                           unsigned *ret_present);
/* Take all of @unwanted off their interfaces (stale VIPs); tries all, the first error is returned.
 */
int netlink_remove_addresses(struct netlink *nl, const struct vip_addr *unwanted, unsigned count);

struct netlink_route {
    struct ip_prefix dst;
    uint32_t ifindex;
    struct ip_addr gateway; /* zero: none, the destination is on the link */
    uint32_t table;         /* 0: main */
    uint32_t metric;        /* 0: the kernel's default */
    bool local;             /* what is sent there is delivered here */
};

/* Add, or replace ours or anybody's of the same destination, table and metric. */
int netlink_route_put(struct netlink *nl, const struct netlink_route *r);
/* Only one of ours; none is no error. Its @ifindex 0: wherever it leads. */
int netlink_route_remove(struct netlink *nl, const struct netlink_route *r);
/* All routes with our mark, in every table: what an earlier process left. */
int netlink_routes_flush(struct netlink *nl);

/* Forget neighbours whose link address is being asked for in vain. The kernel asks once a second;
 * who could not answer until now is asked anew by the next packet, and not up to a second later.
 * What was queued for them is dropped. */
int netlink_neighbours_ask_anew(struct netlink *nl);

typedef struct uv_loop_s uv_loop_t;
struct netlink_monitor;

struct netlink_ops {
    void *ctx;
    void (*address)(void *ctx, uint32_t ifindex, const struct ip_addr *a, bool present);
    void (*link)(void *ctx, const struct netlink_link *l, bool present);
    void (*overflow)(void *ctx); /* events were lost: read everything again */
};

int netlink_monitor_open(uv_loop_t *loop, const struct netlink_ops *ops,
                         struct netlink_monitor **ret);
/* NULL is fine; freed when the loop has closed its handle. */
void netlink_monitor_close(struct netlink_monitor *m);
