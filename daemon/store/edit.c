/* What an operator's change or a sibling's record makes of the records: decided in a layer of its
 * own, which joins the write only when all of it is good. */
#include "base/err.h"
#include "base/plant.h"
#include "base/secret.h"
#include "store/internal.h"
#include <stdio.h>

/* Versions at or above are refused: clocks of such a year are wrong, and SQLite counts to 2^63. */
#define HLC_MAX (1ull << 62)

struct edit {
    struct store *s;
    struct store_write *w;
    struct layer top;
    bool replace_peers;
    struct version stamp;
    char *error;
};

/* ---- what is seen through the layers ---- */

static const struct peer *below_find(const struct edit *e, const struct record_key *key)
{
    const struct draft *d = layer_find(&e->w->layer, key);
    if (d)
        return d->peer;
    const struct record *r = store_record_of(e->s, key);
    return r ? r->peer : NULL;
}

static const struct peer *view_find(const struct edit *e, const struct record_key *key)
{
    const struct draft *d = layer_find(&e->top, key);

    return d ? d->peer : below_find(e, key);
}

static struct draft *draft_open(struct edit *e, uint8_t hub, const struct public_key *key)
{
    struct record_key k = record_key(hub, key);
    struct draft *d = layer_find(&e->top, &k);
    const struct peer *below;

    if (d)
        return d;
    below = below_find(e, &k);
    return layer_add(&e->top, below ? peer_dup(below) : peer_new(hub, key), below);
}

static const struct claim *claim_below(const struct edit *e, const struct prefix_key *at)
{
    const struct claim *c = claim_find(&e->w->layer.claims, at);

    return c ? c : claim_find(&e->s->claims, at);
}

static const struct claim *claim_view(const struct edit *e, const struct prefix_key *at)
{
    const struct claim *c = claim_find(&e->top.claims, at);

    return c ? c : claim_below(e, at);
}

static struct claim *claim_open(struct edit *e, const struct prefix_key *at)
{
    struct claim *c = claim_find(&e->top.claims, at);

    return c ? c : claim_lift(&e->top, at, claim_below(e, at));
}

/* All is good: the write takes it over, and the clock's reading that is to be stored with it. */
static void join(struct edit *e)
{
    layer_join(&e->w->layer, &e->top);
    e->w->hlc = e->s->hlc;
    e->w->seq = e->s->seq;
}

/* ---- allowed prefixes ---- */

/* The list keeps the entry until draft_compact(): lists may have 130 000. */
static int draft_release(struct edit *e, struct draft *d, const struct ip_prefix *prefix)
{
    struct prefix_key at = prefix_key(d->key.hub, prefix);
    struct claim *c;

    if (!claim_has(claim_view(e, &at), &d->key.key))
        return 0;
    c = claim_open(e, &at);
    if (!c)
        return -ENOMEM;
    claim_leave(c, &d->key.key);
    d->shrunk = d->allowed_touched = true;
    return 0;
}

static int draft_release_all(struct edit *e, struct draft *d)
{
    for (unsigned i = 0; i < d->peer->allowed_count; i++) {
        int r = draft_release(e, d, &d->peer->allowed[i]);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Everybody else that lists the prefix loses it: WireGuard's rule. */
static int others_release(struct edit *e, const struct draft *d, const struct ip_prefix *prefix)
{
    struct prefix_key at = prefix_key(d->key.hub, prefix);
    const struct claim *c;

    while ((c = claim_view(e, &at)) && c->count > claim_has(c, &d->key.key)) {
        const struct public_key *who = claim_who(c);
        const struct public_key *other = public_key_equal(who, &d->key.key) ? who + 1 : who;
        struct draft *o = draft_open(e, d->key.hub, other);
        int r = o ? draft_release(e, o, prefix) : -ENOMEM;

        if (r < 0)
            return r;
    }
    return 0;
}

/* Room grows by half, so that a long list is not copied once for each prefix. */
static int allowed_append(struct draft *d, const struct ip_prefix *prefix)
{
    struct peer *p = d->peer;

    if (p->allowed_count >= d->room) {
        unsigned room = p->allowed_count + p->allowed_count / 2 + 8;
        struct ip_prefix *more = reallocarray(p->allowed, room, sizeof(*more));

        if (!more)
            return -ENOMEM;
        p->allowed = more;
        d->room = room;
    }
    p->allowed[p->allowed_count++] = *prefix;
    return 0;
}

static int draft_take(struct edit *e, struct draft *d, const struct ip_prefix *prefix)
{
    struct prefix_key at = prefix_key(d->key.hub, prefix);
    int r = others_release(e, d, prefix);

    if (r < 0 || claim_has(claim_view(e, &at), &d->key.key))
        return r;
    if (HASH_COUNT(e->s->claims) + HASH_COUNT(e->w->layer.claims) + HASH_COUNT(e->top.claims) >=
        STORE_PREFIXES_MAX) {
        snprintf(e->error, STORE_ERROR_LEN, "more than %u allowed prefixes in all",
                 STORE_PREFIXES_MAX);
        return -E2BIG;
    }
    struct claim *c = claim_open(e, &at);
    r = c ? claim_join(c, &d->key.key) : -ENOMEM;
    if (r < 0)
        return r;
    c->where = d->peer->allowed_count;
    d->allowed_touched = true;
    return allowed_append(d, prefix);
}

/* Drop the entries that the claims do not give to the peer, and the earlier of two alike. */
static void draft_compact(struct edit *e, struct draft *d)
{
    unsigned kept = 0;

    if (!d->shrunk)
        return;
    for (uint32_t i = 0; i < d->peer->allowed_count; i++) {
        struct prefix_key at = prefix_key(d->key.hub, &d->peer->allowed[i]);
        const struct claim *c = claim_find(&e->top.claims, &at);

        if (c && (!claim_has(c, &d->key.key) || (c->where != CLAIM_NOWHERE && c->where != i)))
            continue;
        d->peer->allowed[kept++] = d->peer->allowed[i];
    }
    d->peer->allowed_count = kept;
}

static bool draft_allowed_differs(const struct edit *e, const struct draft *d)
{
    const struct peer *was = d->below;

    if (!d->allowed_touched)
        return false;
    if (d->peer->allowed_count != (was && was->state == PEER_ACTIVE ? was->allowed_count : 0))
        return true;
    for (unsigned i = 0; i < d->peer->allowed_count; i++) {
        struct prefix_key at = prefix_key(d->key.hub, &d->peer->allowed[i]);
        if (!claim_has(claim_below(e, &at), &d->key.key))
            return true;
    }
    return false;
}

bool claim_wins(const struct peer *a, const struct peer *b)
{
    int c = version_compare(&a->version[PEER_FIELD_ALLOWED], &b->version[PEER_FIELD_ALLOWED]);

    return c ? c < 0 : memcmp(&a->key, &b->key, sizeof(a->key)) < 0;
}

/* Of those that list the prefix, is it this one's? (P5) */
static bool draft_wins(const struct edit *e, const struct draft *d, const struct prefix_key *at)
{
    const struct claim *c = claim_view(e, at);

    for (unsigned n = 0; c && n < c->count; n++) {
        struct record_key other = record_key(d->key.hub, &claim_who(c)[n]);
        const struct peer *p = view_find(e, &other);

        if (p && !public_key_equal(&p->key, &d->key.key) && claim_wins(p, d->peer))
            return false;
    }
    return true;
}

/* An edit of a list that is in dispute ends the dispute as it stands: the new version of the list
 * must not turn it. */
static int draft_settle(struct edit *e, struct draft *d)
{
    for (unsigned i = 0; i < d->peer->allowed_count; i++) {
        const struct ip_prefix *prefix = &d->peer->allowed[i];
        struct prefix_key at = prefix_key(d->key.hub, prefix);
        const struct claim *c = claim_view(e, &at);
        int r;

        if (!c || c->count < 2 || !claim_has(c, &d->key.key))
            continue;
        r = draft_wins(e, d, &at) ? others_release(e, d, prefix) : draft_release(e, d, prefix);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- an operator's change ---- */

static int draft_reset(struct edit *e, struct draft *d)
{
    struct peer *p = d->peer;
    int r = draft_release_all(e, d);

    if (r < 0)
        return r;
    peer_set_psk(p, NULL);
    p->endpoint = (struct endpoint){0};
    p->keepalive_s = 0;
    return 0;
}

/* What only an operator of this program says of a peer; not its name. */
static void draft_forget(struct peer *p)
{
    p->vip = 0;
    p->policy = p->rate_bps = p->quota_bytes = 0;
    p->disabled = p->pending = false;
    p->expires_s = 0;
    p->mtu = 0;
    p->replaces = (struct public_key){{0}};
    for (unsigned t = 0; t < PEER_TEXTS; t++)
        peer_set_text(p, (enum peer_text)t, "");
    memset(p->group, 0, sizeof(p->group));
}

static int draft_remove(struct edit *e, struct draft *d)
{
    int r = draft_reset(e, d);

    if (r < 0)
        return r;
    draft_forget(d->peer);
    d->peer->state = PEER_REMOVED;
    memset(d->peer->name, 0, sizeof(d->peer->name));
    return 0;
}

/* P3: in the highest generation seen; of one that is revoked already in the next, which beats a
 * reinstatement that did not know of this one. The name stays, for the operator. */
static int draft_revoke(struct edit *e, struct draft *d)
{
    char name[sizeof(d->peer->name)];
    int r;

    memcpy(name, d->peer->name, sizeof(name));
    if (d->peer->state != PEER_ACTIVE) /* a tombstone's list (of a merge) is not in the claims */
        d->peer->allowed_count = 0;
    r = draft_remove(e, d);
    if (r < 0)
        return r;
    memcpy(d->peer->name, name, sizeof(name));
    if (d->below && d->below->state == PEER_REVOKED && !PLANTED("no-second-revocation"))
        d->peer->gen = d->below->gen + 1;
    d->peer->state = PEER_REVOKED;
    return 0;
}

static int edit_allowed(struct edit *e, struct draft *d, const struct peer_change *pc)
{
    int r = pc->replace_allowed ? draft_release_all(e, d) : 0;

    for (unsigned i = 0; r >= 0 && i < pc->allowed_count; i++) {
        const struct allowed_edit *a = &pc->allowed[i];
        r = a->remove ? draft_release(e, d, &a->prefix) : draft_take(e, d, &a->prefix);
    }
    return r;
}

static int draft_inherit(struct draft *to, const struct peer *from)
{
    struct peer *p = to->peer;

    memcpy(p->name, from->name, sizeof(p->name));
    memcpy(p->group, from->group, sizeof(p->group));
    p->endpoint = from->endpoint;
    p->keepalive_s = from->keepalive_s;
    p->vip = from->vip;
    p->policy = from->policy;
    p->rate_bps = from->rate_bps;
    p->quota_bytes = from->quota_bytes;
    p->disabled = from->disabled;
    p->pending = from->pending;
    p->expires_s = from->expires_s;
    p->mtu = from->mtu;
    p->replaces = (struct public_key){{0}};
    for (unsigned t = 0; t < PEER_TEXTS; t++)
        if (peer_set_text(p, (enum peer_text)t, peer_text(from, (enum peer_text)t)) < 0)
            return -ENOMEM;
    return 0;
}

/* A rotated key is used for the first time: it gets all that the old one has, in the same write
 * that revokes the old one, so that no member ever sees both with it, or neither. An old one that
 * is gone by now leaves it nothing. */
static int edit_succeed(struct edit *e, uint8_t hub, const struct peer *heir)
{
    struct record_key old_key = record_key(hub, &heir->replaces);
    const struct peer *seen = view_find(e, &old_key);
    struct draft *d, *old;
    int r;

    if (heir->state != PEER_ACTIVE || !peer_is_heir(heir) || heir == seen || !seen ||
        seen->state != PEER_ACTIVE || seen->is_group)
        return 0;
    old = draft_open(e, hub, &seen->key);
    d = draft_open(e, hub, &heir->key);
    if (!old || !d)
        return -ENOMEM;
    r = draft_inherit(d, old->peer);
    for (unsigned i = 0; r >= 0 && i < old->peer->allowed_count; i++) {
        struct prefix_key at = prefix_key(hub, &old->peer->allowed[i]);

        if (claim_has(claim_view(e, &at), &old->key.key) && draft_wins(e, old, &at))
            r = draft_take(e, d, &old->peer->allowed[i]);
    }
    return r < 0 ? r : draft_revoke(e, old);
}

static int edit_fields(struct peer *p, const struct peer_change *pc)
{
    int r = pc->has_psk ? peer_set_psk(p, pc->psk) : 0;

    if (pc->has_endpoint)
        p->endpoint = pc->endpoint;
    if (pc->has_keepalive)
        p->keepalive_s = pc->keepalive_s;
    if (pc->has_disabled)
        p->disabled = pc->disabled;
    if (pc->has_name)
        snprintf(p->name, sizeof(p->name), "%s", pc->name);
    if (pc->has_group)
        snprintf(p->group, sizeof(p->group), "%s", pc->group);
    if (pc->has_vip)
        p->vip = pc->vip;
    if (pc->has_expires)
        p->expires_s = pc->expires_s;
    if (pc->has_pending)
        p->pending = pc->pending;
    if (pc->has_replaces)
        p->replaces = pc->replaces;
    if (pc->has_mtu)
        p->mtu = pc->mtu;
    if (pc->has_policy)
        p->policy = pc->policy;
    for (unsigned t = 0; r >= 0 && t < PEER_TEXTS; t++)
        if (pc->text[t])
            r = peer_set_text(p, (enum peer_text)t, pc->text[t]);
    return r;
}

static int edit_peer(struct edit *e, uint8_t hub, const struct peer_change *pc)
{
    struct record_key key = record_key(hub, &pc->key);
    const struct peer *seen = view_find(e, &key);
    bool active = seen && seen->state == PEER_ACTIVE;
    struct draft *d;
    int r;

    if (pc->bury) {
        d = seen ? NULL : draft_open(e, hub, &pc->key);
        if (d) {
            d->peer->state = PEER_REMOVED;
            d->peer->gen = pc->gen;
        }
        return d || seen ? 0 : -ENOMEM;
    }
    if (pc->succeed)
        return seen ? edit_succeed(e, hub, seen) : 0;
    if (seen && active && seen->is_group != pc->is_group) {
        snprintf(e->error, STORE_ERROR_LEN, "a peer and a group cannot have one key");
        return -EINVAL;
    }
    if (!pc->revoke && !active && (pc->remove || pc->update_only))
        return 0;
    if (seen && seen->state == PEER_REVOKED && !pc->revoke && !pc->reinstate) {
        snprintf(e->error, STORE_ERROR_LEN, "the peer's key was revoked; it must be reinstated");
        return -EKEYREVOKED;
    }
    d = draft_open(e, hub, &pc->key);
    if (!d)
        return -ENOMEM;
    if (pc->revoke)
        return draft_revoke(e, d);
    if (pc->remove)
        return draft_remove(e, d);
    if (!active) {
        /* A tombstone's list (of a merge) is not in the claims: it simply goes. */
        d->peer->allowed_count = 0;
        r = draft_reset(e, d);
        if (seen && seen->state == PEER_REVOKED)
            d->peer->gen = seen->gen + 1;
        draft_forget(d->peer);
        d->peer->state = PEER_ACTIVE;
        d->peer->is_group = pc->is_group;
    } else {
        /* With replace_peers the set says all there is to say of a peer. */
        r = e->replace_peers && !d->mentioned ? draft_reset(e, d) : 0;
    }
    d->mentioned = true;
    if (r >= 0)
        r = edit_fields(d->peer, pc);
    return r < 0 ? r : edit_allowed(e, d, pc);
}

struct listed {
    UT_hash_handle hh;
    const struct public_key *key;
};

static int edit_remove_unlisted(struct edit *e, const struct change *c)
{
    struct listed *listed = NULL, *nodes = calloc(c->peer_count + 1, sizeof(*nodes));
    struct listed *l;
    int r = nodes ? 0 : -ENOMEM;

    for (unsigned i = 0; r >= 0 && i < c->peer_count; i++) {
        const struct peer_change *pc = &c->peers[i];

        /* After "replace", an update of what is not there any more does nothing. */
        if (pc->remove || pc->update_only)
            continue;
        HASH_FIND(hh, listed, &pc->key, sizeof(pc->key), l);
        if (l)
            continue;
        nodes[i].key = &pc->key;
        HASH_ADD_KEYPTR(hh, listed, nodes[i].key, sizeof(*nodes[i].key), &nodes[i]);
        if (!nodes[i].hh.tbl)
            r = -ENOMEM;
    }
    for (const struct record *rec = e->s->records; r >= 0 && rec; rec = rec->hh.next) {
        const struct peer *seen;
        struct draft *d;

        if (rec->key.hub != c->hub)
            continue;
        HASH_FIND(hh, listed, &rec->key.key, sizeof(rec->key.key), l);
        seen = l ? NULL : view_find(e, &rec->key);
        if (!seen || seen->state != PEER_ACTIVE || seen->is_group)
            continue;
        d = draft_open(e, c->hub, &rec->key.key);
        r = d ? draft_remove(e, d) : -ENOMEM;
    }
    /* Those that an earlier edit of the same write made. */
    for (const struct draft *w = e->w->layer.drafts; r >= 0 && w; w = w->hh.next) {
        struct draft *d;

        if (w->key.hub != c->hub || w->peer->state != PEER_ACTIVE || w->peer->is_group ||
            layer_find(&e->top, &w->key))
            continue;
        HASH_FIND(hh, listed, &w->key.key, sizeof(w->key.key), l);
        if (l)
            continue;
        d = draft_open(e, c->hub, &w->key.key);
        r = d ? draft_remove(e, d) : -ENOMEM;
    }
    HASH_CLEAR(hh, listed);
    free(nodes);
    return r;
}

static bool psk_differs(const struct peer *a, const struct peer *b)
{
    if (!a->psk || !b->psk)
        return a->psk != b->psk;
    return !secret_equal(a->psk, b->psk, sizeof(*a->psk));
}

/* Stamp the fields that differ (P1). False: none does. */
static bool draft_stamp(struct edit *e, struct draft *d)
{
    const struct peer *was = d->below;
    struct peer *p = d->peer;
    uint64_t differ = 0;

    if (!was || p->state != was->state || p->gen != was->gen) {
        /* A peer that comes or goes does so with all its fields: none of an older life, stamped
         * elsewhere, may come back. */
        differ = (1u << PEER_FIELDS) - 1;
    } else {
        if (psk_differs(p, was))
            differ |= 1u << PEER_FIELD_PSK;
        if (!endpoint_equal(&p->endpoint, &was->endpoint))
            differ |= 1u << PEER_FIELD_ENDPOINT;
        if (p->keepalive_s != was->keepalive_s)
            differ |= 1u << PEER_FIELD_KEEPALIVE;
        if (draft_allowed_differs(e, d))
            differ |= 1u << PEER_FIELD_ALLOWED;
        if (p->vip != was->vip)
            differ |= 1u << PEER_FIELD_VIP;
        if (strcmp(p->name, was->name) != 0)
            differ |= 1u << PEER_FIELD_NAME;
        if (strcmp(p->group, was->group) != 0)
            differ |= 1u << PEER_FIELD_GROUP;
        if (p->policy != was->policy)
            differ |= 1u << PEER_FIELD_POLICY;
        if (p->rate_bps != was->rate_bps)
            differ |= 1u << PEER_FIELD_RATE;
        if (p->quota_bytes != was->quota_bytes)
            differ |= 1u << PEER_FIELD_QUOTA;
        if (p->disabled != was->disabled)
            differ |= 1u << PEER_FIELD_DISABLED;
        if (p->expires_s != was->expires_s)
            differ |= 1u << PEER_FIELD_EXPIRES;
        if (p->pending != was->pending)
            differ |= 1u << PEER_FIELD_PENDING;
        if (!public_key_equal(&p->replaces, &was->replaces))
            differ |= 1u << PEER_FIELD_REPLACES;
        if (p->mtu != was->mtu)
            differ |= 1u << PEER_FIELD_MTU;
        for (unsigned t = 0; t < PEER_TEXTS; t++)
            if (strcmp(peer_text(p, (enum peer_text)t), peer_text(was, (enum peer_text)t)) != 0)
                differ |= 1u << (PEER_FIELD_TEXT + t);
    }
    for (unsigned f = 0; f < PEER_FIELDS; f++)
        if (differ & 1u << f)
            p->version[f] = e->stamp;
    return differ != 0;
}

static int edit_finish(struct edit *e)
{
    struct draft *d, *next;
    unsigned fresh = 0;
    bool stamped = false;

    /* Settling may open drafts of others; they come behind, and are settled in their turn. */
    for (d = e->top.drafts; d; d = d->hh.next) {
        bool dispute = e->s->disputed || e->w->layer.disputed || e->top.disputed;

        if (dispute && d->allowed_touched && d->peer->state == PEER_ACTIVE) {
            int r = draft_settle(e, d);
            if (r < 0)
                return r;
        }
    }
    HASH_ITER (hh, e->top.drafts, d, next) {
        draft_compact(e, d);
        if (!draft_stamp(e, d))
            layer_remove(&e->top, d);
        else if (stamped = true, !d->below)
            fresh++;
    }
    if (!stamped) {
        layer_clear(&e->top);
        return 0;
    }
    if (HASH_COUNT(e->s->records) + HASH_COUNT(e->w->layer.drafts) + fresh > STORE_RECORDS_MAX) {
        snprintf(e->error, STORE_ERROR_LEN, "more than %u peers, removed ones included",
                 STORE_RECORDS_MAX);
        return -E2BIG;
    }
    e->s->hlc = e->stamp.hlc;
    e->s->seq = e->stamp.seq;
    return 0;
}

/* Each record that the change has made different, whatever the command was. */
static int note_edits(const struct edit *e, const struct change *c, uint64_t real_ns)
{
    struct audit_origin origin = {real_ns, e->s->member, c->actor};

    if (!e->s->audit)
        return 0;
    for (const struct draft *d = e->top.drafts; d; d = d->hh.next) {
        char *text = audit_note(&e->w->notes);

        if (!text)
            return -ENOMEM;
        audit_write_peer(text, &origin, d->below, d->peer, &e->stamp);
    }
    if (c->did) {
        char *text = audit_note(&e->w->notes);

        if (!text)
            return -ENOMEM;
        audit_write(text, &origin, c->did, c->details);
    }
    return 0;
}

int store_apply(struct store *s, struct store_write *w, const struct change *c, uint64_t real_ns,
                char ret_error[STORE_ERROR_LEN])
{
    uint64_t clock = real_ns / 1000000 << HLC_COUNTER_BITS;
    /* From the clock too: what a database that was lost or restored counted is not used again. */
    uint64_t seq = MAX(s->seq + 1, s->member ? real_ns / 1000000 : 0);
    struct edit e = {
        .s = s,
        .w = w,
        .replace_peers = c->replace_peers,
        .stamp = {.hlc = MAX(s->hlc + 1, clock), .member = s->member, .seq = seq},
        .error = ret_error,
    };
    int r;

    ret_error[0] = '\0';
    r = c->replace_peers ? edit_remove_unlisted(&e, c) : 0;
    for (unsigned i = 0; r >= 0 && i < c->peer_count; i++)
        r = edit_peer(&e, c->hub, &c->peers[i]);
    if (r >= 0)
        r = edit_finish(&e);
    if (r >= 0)
        r = note_edits(&e, c, real_ns);
    if (r < 0) {
        layer_clear(&e.top);
        if (!ret_error[0])
            snprintf(ret_error, STORE_ERROR_LEN, "%s", strerror(-r));
        return r;
    }
    join(&e);
    if (s->seq == seq)
        w->edit_seq = seq;
    return 0;
}

/* ---- a sibling's record ---- */

static bool same_versions(const struct peer *a, const struct peer *b)
{
    if (a->gen != b->gen || a->state != b->state)
        return false;
    for (unsigned f = 0; f < PEER_FIELDS; f++)
        if (version_compare(&a->version[f], &b->version[f]) != 0)
            return false;
    return true;
}

/* From what the record claimed before to what it claims now. Doubles in the list go. */
static int merge_claims(struct edit *e, struct draft *d)
{
    const struct peer *was = d->below;
    unsigned kept = 0;

    if (was && was->state == PEER_ACTIVE)
        for (unsigned i = 0; i < was->allowed_count; i++) {
            int r = draft_release(e, d, &was->allowed[i]);
            if (r < 0)
                return r;
        }
    d->allowed_touched = true;
    if (d->peer->state != PEER_ACTIVE)
        return 0;
    for (uint32_t i = 0; i < d->peer->allowed_count; i++) {
        struct prefix_key at = prefix_key(d->key.hub, &d->peer->allowed[i]);
        struct claim *c = claim_open(e, &at);
        int r;

        if (!c)
            return -ENOMEM;
        if (claim_has(c, &d->key.key))
            continue;
        r = claim_join(c, &d->key.key);
        if (r < 0)
            return r;
        e->top.disputed |= c->count > 1;
        d->peer->allowed[kept++] = d->peer->allowed[i];
    }
    d->peer->allowed_count = kept;
    return 0;
}

static int merge_record(struct edit *e, const struct peer *theirs, bool *ret_changed)
{
    struct record_key key = record_key(theirs->hub, &theirs->key);
    const struct peer *mine = below_find(e, &key);
    struct draft *d;
    int r;

    if (mine && same_versions(mine, theirs)) {
        *ret_changed = false;
        return 0;
    }
    if (!mine && HASH_COUNT(e->s->records) + HASH_COUNT(e->w->layer.drafts) >= STORE_RECORDS_MAX)
        return -E2BIG;
    d = layer_add(&e->top, peer_dup(mine ? mine : theirs), mine);
    if (!d)
        return -ENOMEM;
    if (mine) {
        r = peer_merge(d->peer, theirs, ret_changed);
        if (r < 0 || !*ret_changed)
            return r;
    } else {
        *ret_changed = true;
    }
    if (!mine || mine->state != d->peer->state || mine->gen != d->peer->gen ||
        version_compare(&mine->version[PEER_FIELD_ALLOWED],
                        &d->peer->version[PEER_FIELD_ALLOWED]) != 0)
        return merge_claims(e, d);
    return 0;
}

int edit_merge(struct store *s, struct store_write *w, const struct peer *theirs, bool *ret_changed)
{
    struct edit e = {.s = s, .w = w};
    uint64_t newest = s->hlc;
    bool changed = false;
    int r;

    for (unsigned f = 0; f < PEER_FIELDS; f++) {
        if (theirs->version[f].hlc >= HLC_MAX || theirs->version[f].seq >= HLC_MAX)
            return -ERANGE;
        newest = MAX(newest, theirs->version[f].hlc);
    }
    r = merge_record(&e, theirs, &changed);
    if (r < 0 || !changed) {
        layer_clear(&e.top);
    } else {
        s->hlc = newest; /* what is stamped here from now on is causally later */
        join(&e);
    }
    if (r >= 0)
        *ret_changed = changed;
    return r;
}
