/* fence/plan.h - which group may reach what, as the text of one nftables table.
 *
 * The table hears of packets that come out of the tunnel, and of no others. Connections that exist
 * go on. An isolated group reaches its networks and nothing else; of addresses that are behind the
 * tunnel only those of its own peers, and these too only within its networks. An address that is no
 * peer's reaches nothing: a peer that is being added waits for its place here.
 *
 * Owner:   whoever holds it. Threads: any. Never: touches a socket. */
#pragma once
#include "fence/ranges.h"
#include "model/peer.h"

#define FENCE_IFNAME_MAX 15
#define FENCE_GROUPS_MAX 1024

struct fence_group {
    char name[PEER_GROUP_MAX + 1];
    struct fence_entry *networks;
    unsigned network_count;
};

/* Isolated groups; an entry's group is an index of them, or FENCE_OPEN. */
struct fence_plan {
    struct fence_name *names; /* of all groups: records.c */
    unsigned name_count;
    bool names_sorted;
    uint8_t hub;
    char ifname[FENCE_IFNAME_MAX + 1];
    struct fence_group *groups;
    unsigned group_count;
    struct fence_entry *entries;
    unsigned entry_count, entry_room;
    struct ranges peers4, peers6; /* of the entries, after plan_close() */
};

struct fence_plan *plan_new(uint8_t hub, const char *ifname);
void plan_free(struct fence_plan *p); /* NULL is fine */
static inline void plan_freep(struct fence_plan **p)
{
    plan_free(*p);
}
/* Names differ. The index of the group, or -ENOMEM, -E2BIG. */
int plan_add_group(struct fence_plan *p, const char *name, const struct ip_prefix *networks,
                   unsigned count);
int plan_add(struct fence_plan *p, const struct ip_prefix *prefix, uint16_t group);
int plan_close(struct fence_plan *p); /* nothing is added any more */

/* The same from records (records.c): all groups first, then all peers that are served. A peer of a
 * group that nobody knows reaches nothing; -E2BIG, -ENOMEM. */
int plan_take_group(struct fence_plan *p, const struct peer *group);
int plan_take_peer(struct fence_plan *p, const struct peer *peer);

#define FENCE_TABLE_LEN 24
const char *plan_table(uint8_t hub, char ret[FENCE_TABLE_LEN]);
/* A transaction that leaves this table and no other of that name; *ret is malloc'ed. */
int plan_text(const struct fence_plan *p, char **ret);

/* Addresses whose connections must end when @now follows @before; NULL: who knows what was let
 * through, in a life before this one. */
int plan_lost(const struct fence_plan *before, const struct fence_plan *now, struct ranges *ret_v4,
              struct ranges *ret_v6);
