/* os/netlink_object.h - what libnl parsed, as our structs; between netlink.c and netlink_monitor.c.
 */
#pragma once
#include "os/netlink.h"

struct nl_object;

/* False: it is something else, or not complete. */
bool object_address(struct nl_object *o, uint32_t *ret_ifindex, struct ip_addr *ret,
                    unsigned *ret_flags);
bool object_link(struct nl_object *o, struct netlink_link *ret);
bool address_is_usable(unsigned flags);
