/* store/layer.h - edits that are not yet published: records and prefix claims laid over the store.
 *
 * A claim says which active peers list a prefix. One is the rule; two or more is a dispute (P5)
 * between edits that did not know of each other. A layer holds copies of only those records and
 * claims that it changes; a claim with no claimants hides the one below.
 *
 * Owner:   the write (or the one store_apply() under way). Threads: as the write. */
#pragma once
#include "model/peer.h"

#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(entry) ((void)(entry)) /* the callers look at hh.tbl */
#include <uthash.h>

#define CLAIM_NOWHERE UINT32_MAX

struct record_key {
    uint8_t hub;
    struct public_key key;
};

struct prefix_key {
    uint8_t hub, v6, len, addr[16];
};

struct claim {
    UT_hash_handle hh;
    struct prefix_key at;
    unsigned count;
    uint32_t where;          /* place in the list of the peer that took it in this layer */
    struct public_key one;   /* the claimant, if count == 1 */
    struct public_key *many; /* the claimants, if count > 1 */
};

struct draft {
    UT_hash_handle hh;
    struct record_key key;
    struct peer *peer;
    const struct peer *below; /* what the draft began as; NULL: unknown till now */
    unsigned room;            /* of the list, while the edit appends to it */
    bool allowed_touched;     /* the list may differ from below's */
    bool shrunk;              /* the list holds prefixes that the claims give to others */
    bool forgotten;           /* a removed peer, whose record goes */
    bool mentioned;           /* named by the edit, not only robbed of a prefix */
};

struct layer {
    struct draft *drafts;
    struct claim *claims;
    bool disputed; /* some claim here has, or had, more than one claimant */
};

struct record_key record_key(uint8_t hub, const struct public_key *key);
struct prefix_key prefix_key(uint8_t hub, const struct ip_prefix *prefix);

struct draft *layer_find(const struct layer *l, const struct record_key *key);
/* Takes @peer, also when it fails (NULL: out of memory). The key must not be in the layer yet. */
struct draft *layer_add(struct layer *l, struct peer *peer, const struct peer *below);
void layer_remove(struct layer *l, struct draft *d);
void layer_clear(struct layer *l);
/* Move everything of @from into @to, replacing what is there. Ends the process without memory:
 * a few hundred bytes at most are asked for. */
void layer_join(struct layer *to, struct layer *from);
bool layer_overlaps(const struct layer *a, const struct layer *b);

static inline const struct public_key *claim_who(const struct claim *c)
{
    return c->count > 1 ? c->many : &c->one;
}
struct claim *claim_find(struct claim *const *head, const struct prefix_key *at);
bool claim_has(const struct claim *c, const struct public_key *key); /* NULL is fine */
/* A copy for editing in @l of @below (NULL: nobody claims). NULL: out of memory. */
struct claim *claim_lift(struct layer *l, const struct prefix_key *at, const struct claim *below);
int claim_join(struct claim *c, const struct public_key *key);   /* -ENOMEM */
void claim_leave(struct claim *c, const struct public_key *key); /* fine if it has no claim */
void claim_insert(struct claim **head, struct claim *c); /* ends the process without memory */
void claim_free(struct claim *c);
