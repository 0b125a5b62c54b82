/* fence/conntrack.h - connections that the kernel tracks, by libnl.
 *
 * Owner:   none: a socket for each call. Threads: any. Never: touches those of other addresses. */
#pragma once
#include "fence/ranges.h"

/* Ends the connections from and to these addresses; the number of them, or negative errno. */
int conntrack_end(const struct ranges *v4, const struct ranges *v6);
