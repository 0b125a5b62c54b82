/* Removed peers (P4): forgotten when every member knows of the removal and it is long ago; and one
 * that comes back from a member with an old database is removed anew. */
#include "base/plant.h"
#include "node/internal.h"

#define LOOK_EVERY_NS (600 * NS_PER_S)

/* What every member has said that it has. False: one has not been heard in this life. */
static bool known_everywhere(const struct node *n, struct vector *ret)
{
    *ret = *store_vector(n->store);
    for (unsigned i = 1; i < MEMBERS_MAX; i++) {
        const struct sibling *s = &n->sibling[i];

        if (!s->replica)
            continue;
        if (!s->takes_vectors)
            return false;
        for (unsigned m = 1; m < MEMBERS_MAX; m++)
            ret->seq[m] = MIN(ret->seq[m], s->said.seq[m]);
    }
    return true;
}

uint64_t graves_tick(struct node *n, struct instant now)
{
    struct vector everywhere;

    if (n->conf.self == 0)
        return NEVER;
    if (now.boot_ns < n->graves_at_ns)
        return n->graves_at_ns;
    n->graves_at_ns =
        now.boot_ns + MIN(LOOK_EVERY_NS, store_removed_kept_ns(n->store) / 4 + NS_PER_S);
    if (!known_everywhere(n, &everywhere))
        return n->graves_at_ns;
    if (!n->merging)
        n->merging = store_begin(n->store);
    if (n->merging &&
        store_forget_removed(n->store, n->merging, &everywhere, now.real_ns) == STORE_FORGET_MAX)
        n->graves_at_ns = now.boot_ns + NS_PER_S; /* there are more */
    return n->graves_at_ns;
}

bool graves_haunted(struct node *n, const struct sibling *s, const struct peer *theirs)
{
    struct vector known = *store_vector(n->store);
    struct queued_change *q;
    struct peer_change *pc;

    /* Edits of ours that a lost database had are not known for sure: entropy_hello(). */
    if (!s->refilled)
        known.seq[n->conf.self] = n->own_floor;
    if (PLANTED("ghost-merged") || !store_has_forgotten(n->store, theirs, &known, n->now.real_ns))
        return false;
    if (theirs->state != PEER_ACTIVE)
        return true;
    q = calloc(1, sizeof(*q));
    if (!q)
        return true; /* it comes again, for as long as members differ */
    q->change = change_new(n->conf.hub);
    pc = q->change ? change_add_peer(q->change, &theirs->key) : NULL;
    if (!pc) {
        queued_change_free(q);
        return true;
    }
    pc->bury = true;
    pc->gen = theirs->gen;
    say(n, NODE_WARN, "a sibling has a peer that was removed long ago; it is removed there, too",
        "sibling=%u peer=%s", s->id, key_text(&theirs->key));
    list_append(&n->changes, &q->all);
    return true;
}
