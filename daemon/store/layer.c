#include "store/layer.h"
#include "base/err.h"
#include <stdlib.h>

_Static_assert(sizeof(struct record_key) == 33, "hashed as bytes: no padding");
_Static_assert(sizeof(struct prefix_key) == 19, "hashed as bytes: no padding");

struct record_key record_key(uint8_t hub, const struct public_key *key)
{
    return (struct record_key){.hub = hub, .key = *key};
}

struct prefix_key prefix_key(uint8_t hub, const struct ip_prefix *prefix)
{
    struct prefix_key k = {.hub = hub, .v6 = prefix->v6, .len = prefix->len};

    memcpy(k.addr, prefix->addr.b, sizeof(k.addr));
    return k;
}

struct draft *layer_find(const struct layer *l, const struct record_key *key)
{
    struct draft *d;

    HASH_FIND(hh, l->drafts, key, sizeof(*key), d);
    return d;
}

struct draft *layer_add(struct layer *l, struct peer *peer, const struct peer *below)
{
    struct draft *d = peer ? calloc(1, sizeof(*d)) : NULL;

    if (!d) {
        peer_free(peer);
        return NULL;
    }
    d->peer = peer;
    d->below = below;
    d->key = record_key(peer->hub, &peer->key);
    HASH_ADD(hh, l->drafts, key, sizeof(d->key), d);
    if (!d->hh.tbl) {
        peer_free(peer);
        free(d);
        return NULL;
    }
    return d;
}

void layer_remove(struct layer *l, struct draft *d)
{
    HASH_DELETE(hh, l->drafts, d);
    peer_free(d->peer);
    free(d);
}

void layer_clear(struct layer *l)
{
    struct draft *d, *next_d;
    struct claim *c, *next_c;

    HASH_ITER (hh, l->drafts, d, next_d)
        layer_remove(l, d);
    HASH_ITER (hh, l->claims, c, next_c) {
        HASH_DELETE(hh, l->claims, c);
        claim_free(c);
    }
    l->disputed = false;
}

void layer_join(struct layer *to, struct layer *from)
{
    struct draft *d, *next_d;
    struct claim *c, *next_c;

    HASH_ITER (hh, from->drafts, d, next_d) {
        struct draft *there = layer_find(to, &d->key);

        HASH_DELETE(hh, from->drafts, d);
        d->below = NULL; /* may be gone before this write is */
        if (there) {     /* its place in the order stays, and what it began as */
            peer_free(there->peer);
            there->peer = d->peer;
            there->allowed_touched |= d->allowed_touched;
            there->shrunk |= d->shrunk;
            there->forgotten = d->forgotten;
            free(d);
            continue;
        }
        HASH_ADD(hh, to->drafts, key, sizeof(d->key), d);
        if (!d->hh.tbl)
            abort();
    }
    HASH_ITER (hh, from->claims, c, next_c) {
        struct claim *there = claim_find(&to->claims, &c->at);

        HASH_DELETE(hh, from->claims, c);
        if (there) {
            HASH_DELETE(hh, to->claims, there);
            claim_free(there);
        }
        c->where = CLAIM_NOWHERE;
        claim_insert(&to->claims, c);
    }
    to->disputed |= from->disputed;
}

bool layer_overlaps(const struct layer *a, const struct layer *b)
{
    const struct draft *d;
    const struct claim *c;

    for (d = a->drafts; d; d = d->hh.next)
        if (layer_find(b, &d->key))
            return true;
    for (c = a->claims; c; c = c->hh.next)
        if (claim_find(&b->claims, &c->at))
            return true;
    return false;
}

struct claim *claim_find(struct claim *const *head, const struct prefix_key *at)
{
    struct claim *c;

    HASH_FIND(hh, *head, at, sizeof(*at), c);
    return c;
}

bool claim_has(const struct claim *c, const struct public_key *key)
{
    for (unsigned i = 0; c && i < c->count; i++)
        if (public_key_equal(&claim_who(c)[i], key))
            return true;
    return false;
}

struct claim *claim_lift(struct layer *l, const struct prefix_key *at, const struct claim *below)
{
    struct claim *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->at = *at;
    c->where = CLAIM_NOWHERE;
    if (below && below->count > 1) {
        c->many = malloc(below->count * sizeof(*c->many));
        if (!c->many) {
            free(c);
            return NULL;
        }
        memcpy(c->many, below->many, below->count * sizeof(*c->many));
        l->disputed = true;
    } else if (below) {
        c->one = below->one;
    }
    c->count = below ? below->count : 0;
    HASH_ADD(hh, l->claims, at, sizeof(c->at), c);
    if (!c->hh.tbl) {
        claim_free(c);
        return NULL;
    }
    return c;
}

int claim_join(struct claim *c, const struct public_key *key)
{
    if (c->count == 0) {
        c->one = *key;
        c->count = 1;
        return 0;
    }
    struct public_key *more = calloc(c->count + 1, sizeof(*more));
    if (!more)
        return -ENOMEM;
    memcpy(more, claim_who(c), c->count * sizeof(*more));
    more[c->count] = *key;
    free(c->many);
    c->many = more;
    c->count++;
    c->where = CLAIM_NOWHERE;
    return 0;
}

void claim_leave(struct claim *c, const struct public_key *key)
{
    unsigned kept = 0;

    if (c->count > 1) {
        for (unsigned i = 0; i < c->count; i++)
            if (!public_key_equal(&c->many[i], key))
                c->many[kept++] = c->many[i];
        c->count = kept;
        if (kept <= 1) { /* claimants differ: one at most has left */
            c->one = c->many[0];
            free(c->many);
            c->many = NULL;
        }
    } else if (c->count == 1 && public_key_equal(&c->one, key)) {
        c->count = 0;
        c->where = CLAIM_NOWHERE;
    }
}

void claim_insert(struct claim **head, struct claim *c)
{
    HASH_ADD(hh, *head, at, sizeof(c->at), c);
    if (!c->hh.tbl)
        abort();
}

void claim_free(struct claim *c)
{
    free(c->many);
    free(c);
}
