/* model/vip.h - a floating address pair as configured. */
#pragma once
#include "model/endpoint.h"
#include "model/ids.h"

#define VIP_NAME_MAX 31
#define IFNAME_MAX 15
#define VIP_ADDRS_MAX 4 /* of one side */
#define VIP_POOLS_MAX 4

struct vip_addr {
    struct ip_addr addr;
    uint8_t prefix_len;
    char ifname[IFNAME_MAX + 1];
};

/* What an operator may want of a VIP: away from a member, allowed again, or to a member. */
enum move_kind { MOVE_DRAIN, MOVE_UNDRAIN, MOVE_PROMOTE, MOVE_KINDS };

/* What a drill may do to the daemon of a member. */
enum drill_fault { DRILL_FAULT_STOP, DRILL_FAULT_KILL, DRILL_FAULT_FREEZE, DRILL_FAULTS };

struct vip {
    uint8_t hub;
    uint16_t id; /* 1..65535 */
    char name[VIP_NAME_MAX + 1];
    struct vip_addr outer[VIP_ADDRS_MAX], inner[VIP_ADDRS_MAX];
    unsigned outer_count, inner_count;
    struct ip_prefix pool[VIP_POOLS_MAX]; /* tunnel networks of its peers, and of nobody else's */
    unsigned pool_count;
    uint16_t port;              /* UDP, host order */
    uint8_t order[MEMBERS_MAX]; /* member ids by preference: owner, backups (S8), others; 0 ends */
    uint8_t vrid_outer, vrid_inner; /* VRRP virtual router ids */
};
