/* fence/ranges.h - prefixes that lie in one another, as ranges that do not.
 *
 * An address belongs to the longest prefix that has it, as on the wire; nftables takes no overlap.
 *
 * Owner:   whoever asked for them. Threads: any. Never: mixes the families. */
#pragma once
#include "model/endpoint.h"

#define FENCE_OPEN UINT16_MAX /* as a group: may reach everything */

struct fence_entry {
    struct ip_prefix prefix;
    uint16_t group;
};

struct range {
    struct ip_addr first, last;
    uint16_t group;
};

/* Rising; neighbours that touch have different groups. */
struct ranges {
    struct range *at;
    unsigned count;
};

/* Of the entries of one family; of two equal prefixes one counts. -ENOMEM. */
int ranges_make(const struct fence_entry *entries, unsigned count, bool v6, struct ranges *ret);
void ranges_done(struct ranges *r);
/* The range that has it, or NULL. */
const struct range *ranges_find(const struct ranges *r, const struct ip_addr *a);

/* Where @now forbids what @before did not: addresses that it does not have, or that are in a group
 * other than became[group of before]; open ones keep everything. -ENOMEM. */
int ranges_lost(const struct ranges *before, const struct ranges *now, const uint16_t *became,
                struct ranges *ret);
