/* Operators at work on all members at once, and what the stores must never do about it: serve a
 * revoked peer where the revocation was confirmed, serve one prefix for two peers, end up unlike.
 *
 * The oracles look at the records and at the data plane's table, and at nothing that decides. */
#include "base/bytes.h"
#include "base/err.h"
#include "base/secret.h"
#include "sim/world.h"
#include <assert.h>
#include <stdio.h>

#define PREFIXES 6 /* 10.50.n.0/24: few, so that they are fought for */

struct public_key peers_key(unsigned n)
{
    struct public_key k = {{0}};

    k.b[0] = (uint8_t)(n + 1);
    k.b[31] = 0x40;
    return k;
}

static struct ip_prefix pool_prefix(unsigned n)
{
    struct ip_prefix p;
    char text[32];

    snprintf(text, sizeof(text), "10.50.%u.0/24", n);
    prefix_parse(text, &p);
    return p;
}

/* ---- operators ---- */

static void say_allowed(struct world *w, struct peer_change *p)
{
    unsigned count = (unsigned)world_random(w, 3);

    p->replace_allowed = world_random(w, 2);
    for (unsigned i = 0; i < count; i++) {
        struct ip_prefix prefix = pool_prefix((unsigned)world_random(w, PREFIXES));
        peer_change_allow(p, &prefix, world_random(w, 5) == 0);
    }
}

static void say_fields(struct machine *m, struct peer_change *p)
{
    struct world *w = m->world;
    uint64_t now_s = machine_now(m).real_ns / NS_PER_S;

    if (world_random(w, 2)) {
        p->has_name = true;
        snprintf(p->name, sizeof(p->name), "peer-%llu", (unsigned long long)world_random(w, 1000));
    }
    if (world_random(w, 3) == 0) {
        p->has_keepalive = true;
        p->keepalive_s = (uint16_t)world_random(w, 100);
    }
    if (world_random(w, 4) == 0) {
        p->has_disabled = true;
        p->disabled = world_random(w, 2);
    }
    if (world_random(w, 4) == 0) {
        p->has_expires = true; /* soon, or it was a while ago */
        p->expires_s = world_random(w, 2) ? now_s - 5 + world_random(w, 15) : 0;
    }
    if (world_random(w, 8) == 0) {
        p->has_pending = true;
        p->pending = world_random(w, 2);
    }
    if (world_random(w, 6) == 0) {
        unsigned t = (unsigned)world_random(w, PEER_TEXTS);
        peer_change_text(p, (enum peer_text)t, world_random(w, 2) ? "anna" : "");
    }
    if (world_random(w, 4) == 0) {
        p->has_replaces = true;
        p->replaces = peers_key((unsigned)world_random(w, SIM_POOL_PEERS));
    }
    if (world_random(w, 4) == 0) {
        struct rng r = w->machine[0].rng;

        p->has_psk = true;
        p->psk = secret_alloc();
        assert(p->psk);
        rng_fill(&r, p->psk, sizeof(*p->psk));
    }
}

void peers_edit(struct machine *m)
{
    struct world *w = m->world;
    struct change *c = change_new(1);
    unsigned n = (unsigned)world_random(w, SIM_POOL_PEERS);
    struct public_key key = peers_key(n);
    struct peer_change *p = change_add_peer(c, &key);
    bool revoke = false;

    assert(c && p);
    switch (world_random(w, 11)) {
    case 0:
        p->revoke = revoke = true;
        break;
    case 1:
        p->remove = true;
        break;
    case 2:
        p->reinstate = true;
        say_allowed(w, p);
        break;
    case 3:
    case 4:
        p->update_only = true;
        say_fields(m, p);
        break;
    case 10: /* as if its first handshake were done here */
        p->succeed = true;
        break;
    default:
        say_fields(m, p);
        say_allowed(w, p);
        break;
    }
    world_trace(w, "m%u edits peer %u%s%s%s%s", m->member, n, p->revoke ? ": revoke" : "",
                p->remove ? ": remove" : "", p->reinstate ? ": reinstate" : "",
                p->succeed ? ": succeed" : "");
    m->revokes_open[n] += revoke;
    node_change(m->node, c, (void *)(uintptr_t)(revoke ? n + 1 : SIM_POOL_PEERS + 1),
                machine_now(m));
}

void peers_say(struct machine *m, unsigned n, bool remove)
{
    struct change *c = change_new(1);
    struct public_key key = peers_key(n);
    struct peer_change *p = change_add_peer(c, &key);

    assert(c && p);
    p->remove = remove;
    node_change(m->node, c, (void *)(uintptr_t)(SIM_POOL_PEERS + 1), machine_now(m));
}

/* @unreached: members that did not confirm it. */
void peers_revoked(struct machine *m, unsigned n, int err, uint16_t unreached)
{
    struct world *w = m->world;
    struct public_key key = peers_key(n);
    const struct peer *p = store_record(m->store, 1, &key);

    /* Of two under way only the later tells which generation it is about. */
    if (--m->revokes_open[n])
        return;
    if (!p || p->state != PEER_REVOKED) {
        /* Not ours any more when a reinstatement was merged while siblings were awaited. */
        if (!p || p->gen == 0)
            oracle_violation(w->oracle, w->now_ns, "m%u answers a revocation that it does not have",
                             m->member);
        return;
    }
    world_trace(w, "m%u revoked peer %u, gen %llu, err %d, unreached %x", m->member, n,
                (unsigned long long)p->gen, err, unreached);
    for (unsigned i = 0; i < w->members; i++) {
        struct machine *o = &w->machine[i];
        bool durable = o != m || err == 0 || err == -ETIMEDOUT;

        if (!(unreached >> o->member & 1) && durable)
            o->revoked_gen[n] = MAX(o->revoked_gen[n], p->gen + 1);
    }
    w->revocations++;
}

/* ---- what must hold at every instant ---- */

static const struct peer *server_of(const struct machine *m, const struct ip_prefix *prefix)
{
    const struct peer *p, *found = NULL;
    uint64_t cursor = 0;

    while ((p = store_next(m->store, &cursor))) {
        if (p->state != PEER_ACTIVE || !peer_allows(p, prefix))
            continue;
        if (found)
            oracle_violation(m->world->oracle, m->world->now_ns,
                             "m%u serves one prefix for %s and %s", m->member, found->name,
                             p->name);
        found = p;
    }
    return found;
}

void peers_check(struct machine *m)
{
    struct world *w = m->world;
    uint64_t now_s = machine_now(m).real_ns / NS_PER_S, ticked_s = m->ticked_real_ns / NS_PER_S;

    if (!m->alive || !m->member)
        return;
    for (unsigned n = 0; n < SIM_POOL_PEERS; n++) {
        struct public_key key = peers_key(n);
        const struct peer *p = store_record(m->store, 1, &key);
        bool served = node_peer_find(m->node, &key) != NULL;

        /* revoked_gen is one more than the generation that was revoked; 0: none was. */
        if (served && p->gen < m->revoked_gen[n])
            oracle_violation(w->oracle, w->now_ns,
                             "m%u serves peer %u, whose revocation it confirmed", m->member, n);
        /* Expiry is seen by a tick, or when the record changes. */
        if (served != (p && peer_enabled(p, now_s)) && served != (p && peer_enabled(p, ticked_s)))
            oracle_violation(w->oracle, w->now_ns, "m%u: peer %u is%s served against its record",
                             m->member, n, served ? "" : " not");
    }
    for (unsigned i = 0; i < PREFIXES; i++) {
        struct ip_prefix prefix = pool_prefix(i);
        const struct peer *p = server_of(m, &prefix);
        const struct wg_peer *there = allowedips_find4(&m->allowed, prefix.addr.b + 12);

        if (p && !node_peer_find(m->node, &p->key))
            p = NULL; /* whether that is right was looked at above */
        if (!p != !there || (p && !public_key_equal(&p->key, &there->key)))
            oracle_violation(w->oracle, w->now_ns,
                             "m%u: 10.50.%u.0/24 goes to another than the record says", m->member,
                             i);
    }
}

/* ---- and at the end ---- */

static bool alike(const struct peer *a, const struct peer *b)
{
    /* One may have forgotten the removal already. */
    if (!a || !b)
        return (!a || a->state == PEER_REMOVED) && (!b || b->state == PEER_REMOVED);
    for (unsigned f = 0; f < PEER_FIELDS; f++)
        if (a->version[f].hlc != b->version[f].hlc ||
            a->version[f].member != b->version[f].member || a->version[f].seq != b->version[f].seq)
            return false;
    if (a->gen != b->gen || a->state != b->state || !a->psk != !b->psk ||
        a->keepalive_s != b->keepalive_s || a->disabled != b->disabled ||
        a->expires_s != b->expires_s || a->pending != b->pending ||
        !public_key_equal(&a->replaces, &b->replaces) || strcmp(a->name, b->name) != 0 ||
        a->allowed_count != b->allowed_count)
        return false;
    if (a->psk && memcmp(a->psk, b->psk, sizeof(*a->psk)) != 0)
        return false;
    for (unsigned t = 0; t < PEER_TEXTS; t++)
        if (strcmp(peer_text(a, (enum peer_text)t), peer_text(b, (enum peer_text)t)) != 0)
            return false;
    for (unsigned i = 0; i < a->allowed_count; i++)
        if (!peer_allows(b, &a->allowed[i]))
            return false;
    return true;
}

void peers_converged(struct world *w)
{
    struct machine *first = NULL;

    for (unsigned i = 0; i < w->members; i++) {
        struct machine *m = &w->machine[i];

        if (!m->alive)
            continue;
        if (!first) {
            first = m;
            continue;
        }
        for (unsigned n = 0; n < SIM_POOL_PEERS + w->clients; n++) {
            struct public_key key =
                n < SIM_POOL_PEERS ? peers_key(n) : w->machine[w->members + n - SIM_POOL_PEERS].key;
            const struct peer *a = store_record(first->store, 1, &key),
                              *b = store_record(m->store, 1, &key);

            if (!alike(a, b))
                oracle_violation(w->oracle, w->now_ns,
                                 "stores differ: members %u and %u have %s and %s for peer %u",
                                 first->member, m->member, a ? a->name : "nothing",
                                 b ? b->name : "nothing", n);
            else if (!alike(store_find(first->store, 1, &key), store_find(m->store, 1, &key)))
                oracle_violation(w->oracle, w->now_ns,
                                 "members %u and %u serve peer %u differently", first->member,
                                 m->member, n);
        }
        if (!vector_equal(store_vector(first->store), store_vector(m->store)))
            oracle_violation(w->oracle, w->now_ns, "members %u and %u know different edits",
                             first->member, m->member);
        if (store_unsaved(m->store))
            oracle_violation(w->oracle, w->now_ns, "m%u has peers that are not durable", m->member);
    }
}
