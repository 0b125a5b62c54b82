#include "store/store.h"
#include "base/err.h"
#include "base/plant.h"
#include "base/secret.h"
#include "model/addrpool.h"
#include "store/internal.h"
#include <assert.h>
#include <limits.h>
#include <stdio.h>

/* What must not fail once a write is durable: memory follows the disk, or the process ends and the
 * next start reads the disk. A few hundred bytes a peer are asked for. */
static void *must(void *p)
{
    if (!p)
        abort();
    return p;
}

struct record *store_record_of(const struct store *s, const struct record_key *key)
{
    struct record *r;

    HASH_FIND(hh, s->records, key, sizeof(*key), r);
    return r;
}

static const struct peer *record_served(const struct record *r)
{
    return r->served ? r->served : r->peer;
}

/* ---- records and their order ---- */

static struct record *record_add(struct store *s, const struct record_key *key)
{
    struct record *r = must(calloc(1, sizeof(*r)));

    r->key = *key;
    r->order = ++s->orders;
    HASH_ADD(hh, s->records, key, sizeof(r->key), r);
    if (!r->hh.tbl)
        abort();
    if (s->place_count == s->place_room) {
        s->place_room = s->place_room ? 2 * s->place_room : 64;
        s->places = must(reallocarray(s->places, s->place_room, sizeof(*s->places)));
    }
    s->places[s->place_count++] = (struct place){r->order, r};
    return r;
}

/* First place with an order above @order. */
static size_t place_after(const struct store *s, uint64_t order)
{
    size_t low = 0, high = s->place_count;

    /* Nothing was ever dropped, as a rule: then the order tells the place. Lists of all peers are
     * walked for many a command. */
    if (order < high && s->places[order].order == order + 1)
        return (size_t)order;
    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (s->places[mid].order > order)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

static void record_drop(struct store *s, struct record *r)
{
    s->places[place_after(s, r->order - 1)].record = NULL;
    HASH_DELETE(hh, s->records, r);
    peer_free(r->peer);
    peer_free(r->served);
    free(r);
    if (++s->place_holes <= s->place_count / 2)
        return;
    size_t kept = 0;
    for (size_t i = 0; i < s->place_count; i++)
        if (s->places[i].record)
            s->places[kept++] = s->places[i];
    s->place_count = kept;
    s->place_holes = 0;
}

/* ---- publication ---- */

struct publication {
    struct record *first, *last;
};

static void touch(struct publication *p, struct record *r)
{
    if (r->touched)
        return;
    r->touched = true;
    r->next_touched = NULL;
    if (p->last)
        p->last->next_touched = r;
    else
        p->first = r;
    p->last = r;
}

/* A claimant's number of disputes, and a look at what it may serve. */
static void recount(struct store *s, struct publication *p, const struct claim *c, int by)
{
    for (unsigned i = 0; i < c->count; i++) {
        struct record_key key = {.hub = c->at.hub, .key = claim_who(c)[i]};
        struct record *r = store_record_of(s, &key);

        assert(r);
        r->disputes += (unsigned)by;
        touch(p, r);
    }
    s->disputed += (unsigned)by;
}

static void take_claims(struct store *s, struct publication *p, struct layer *l)
{
    struct claim *c, *next;

    HASH_ITER (hh, l->claims, c, next) {
        struct claim *was = claim_find(&s->claims, &c->at);

        if (was) {
            if (was->count > 1)
                recount(s, p, was, -1);
            HASH_DELETE(hh, s->claims, was);
            claim_free(was);
        }
        HASH_DELETE(hh, l->claims, c);
        if (!c->count) {
            claim_free(c);
            continue;
        }
        if (c->count > 1)
            recount(s, p, c, 1);
        claim_insert(&s->claims, c);
    }
}

static bool record_keeps(const struct store *s, const struct record *r,
                         const struct ip_prefix *prefix)
{
    struct prefix_key at = prefix_key(r->key.hub, prefix);
    const struct claim *c = claim_find(&s->claims, &at);

    for (unsigned i = 0; c && c->count > 1 && i < c->count; i++) {
        struct record_key key = {.hub = at.hub, .key = claim_who(c)[i]};
        const struct record *other = store_record_of(s, &key);

        if (other && other != r && claim_wins(other->peer, r->peer))
            return false;
    }
    return true;
}

/* No prefix is ever served for two peers (P5). */
static void record_serve(const struct store *s, struct record *r)
{
    struct peer *served;
    unsigned kept = 0;

    r->served = NULL;
    if (!r->disputes || r->peer->state != PEER_ACTIVE || PLANTED("prefix-of-two"))
        return;
    served = must(peer_dup(r->peer));
    for (unsigned i = 0; i < served->allowed_count; i++)
        if (record_keeps(s, r, &served->allowed[i]))
            served->allowed[kept++] = served->allowed[i];
    served->allowed_count = kept;
    r->served = served;
}

static bool same_allowed(const struct peer *a, const struct peer *b)
{
    if (a->allowed_count != b->allowed_count)
        return false;
    for (unsigned i = 0; i < a->allowed_count; i++)
        if (!prefix_equal(&a->allowed[i], &b->allowed[i]))
            return false;
    return true;
}

/* Plain mode compares itself with nobody. */
static void take_digest(struct store *s, struct record *r)
{
    uint8_t was[STORE_DIGEST_LEN];

    if (!s->member)
        return;
    memcpy(was, r->digest, sizeof(was));
    /* Who has forgotten a removed peer holds the same as who has not yet. */
    if (r->peer->state == PEER_REMOVED)
        memset(r->digest, 0, sizeof(r->digest));
    else
        record_digest(r->peer, r->digest);
    for (unsigned i = 0; i < STORE_DIGEST_LEN; i++)
        s->digest[i] ^= was[i] ^ r->digest[i];
}

static void mark_unsaved(struct store *s, struct record *r, bool unsaved)
{
    s->unsaved += (unsigned)unsaved - (unsigned)r->unsaved;
    r->unsaved = unsaved;
}

static void take_layer(struct store *s, struct layer *l, bool unsaved,
                       void (*changed)(void *ctx, const struct peer *old, const struct peer *now),
                       void *ctx)
{
    struct publication p = {0};
    struct draft *d, *next;

    /* Peers that lose prefixes first: siblings then see the loss before the gain. */
    for (int pass = 0; pass < 2; pass++)
        HASH_ITER (hh, l->drafts, d, next) {
            struct record *r;

            if (pass == 0 && !d->shrunk)
                continue;
            r = store_record_of(s, &d->key);
            if (!r)
                r = record_add(s, &d->key);
            touch(&p, r);
            r->drafted = true;
            r->old_peer = r->peer;
            r->peer = TAKE_PTR(d->peer);
            bool forgotten = d->forgotten; /* only when the disk has forgotten it, too */
            r->forgotten = forgotten && !unsaved;
            layer_remove(l, d);
            take_digest(s, r);
            mark_unsaved(s, r, unsaved && !forgotten);
        }
    take_claims(s, &p, l);
    for (struct record *r = p.first; r; r = r->next_touched) {
        r->old_served = r->served;
        record_serve(s, r);
    }
    for (struct record *r = p.first, *following; r; r = following) {
        const struct peer *old = r->old_served ? r->old_served : r->drafted ? r->old_peer : r->peer;
        const struct peer *now = record_served(r);

        following = r->next_touched;
        if (changed && (r->drafted || !same_allowed(old, now)))
            changed(ctx, old, now);
        peer_free(r->old_served);
        peer_free(r->old_peer);
        r->old_peer = r->old_served = NULL;
        r->touched = r->drafted = false;
        /* Plain mode has no sibling that could bring a removed peer back: no tombstone. */
        if ((s->member == 0 && r->peer->state == PEER_REMOVED) || r->forgotten)
            record_drop(s, r);
    }
}

/* Another write was published below this one: what it holds is merged anew. */
static void rebase(struct store *s, struct store_write *w)
{
    struct layer old = w->layer;

    w->layer = (struct layer){0};
    for (const struct draft *d = old.drafts; d && !w->broken; d = d->hh.next) {
        bool changed;
        w->broken = edit_merge(s, w, d->peer, &changed);
    }
    layer_clear(&old);
}

static void write_unlink(struct store *s, struct store_write *w)
{
    struct store_write **at = &s->writes;

    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
}

static void write_free(struct store_write *w)
{
    layer_clear(&w->layer);
    audit_notes_clear(&w->notes);
    free(w);
}

static void publish(struct store *s, struct store_write *w, bool unsaved,
                    void (*changed)(void *ctx, const struct peer *old, const struct peer *now),
                    void *ctx)
{
    struct store_write *other;

    s->published = MAX(s->published, w->edit_seq);
    write_unlink(s, w);
    for (other = s->writes; other; other = other->next)
        other->stale = layer_overlaps(&other->layer, &w->layer);
    take_layer(s, &w->layer, unsaved, changed, ctx);
    for (other = s->writes; other; other = other->next)
        if (other->stale)
            rebase(s, other);
    write_free(w);
}

/* What the write makes known here: all that its siblings promised, and our own edits. */
static struct vector write_vector(const struct store *s, const struct store_write *w)
{
    struct vector v = w->cover;

    if (s->member)
        v.seq[s->member] = MAX(v.seq[s->member], w->edit_seq);
    vector_join(&v, &s->owed);
    return v;
}

void store_publish(struct store *s, struct store_write *w,
                   void (*changed)(void *ctx, const struct peer *old, const struct peer *now),
                   void *ctx)
{
    struct vector known = write_vector(s, w);

    vector_join(&s->vector, &known);
    s->owed = (struct vector){0};
    audit_notes_clear(&s->owed_notes);
    if (s->unsaved)
        for (struct record *r = s->records; r; r = r->hh.next)
            mark_unsaved(s, r, false);
    publish(s, w, false, changed, ctx);
}

void store_publish_unsaved(struct store *s, struct store_write *w,
                           void (*changed)(void *ctx, const struct peer *old,
                                           const struct peer *now),
                           void *ctx)
{
    struct vector known = write_vector(s, w);

    if (PLANTED("unsaved-counted"))
        vector_join(&s->vector, &known);
    vector_join(&s->owed, &known);
    audit_notes_join(&s->owed_notes, &w->notes);
    publish(s, w, true, changed, ctx);
}

unsigned store_unsaved(const struct store *s)
{
    return s->unsaved;
}

void store_abort(struct store *s, struct store_write *w)
{
    write_unlink(s, w);
    write_free(w);
}

/* ---- writes ---- */

struct store_write *store_begin(struct store *s)
{
    struct store_write *w = calloc(1, sizeof(*w));

    if (!w)
        return NULL;
    w->store = s;
    w->next = s->writes;
    s->writes = w;
    return w;
}

bool store_write_broken(const struct store_write *w)
{
    return w->broken < 0;
}

void store_write_cover(struct store_write *w, const struct vector *v)
{
    vector_join(&w->cover, v);
    w->covers = true;
}

bool store_write_empty(const struct store_write *w)
{
    return !w->layer.drafts && !w->broken && !w->covers && !w->notes.first;
}

int store_merge(struct store *s, struct store_write *w, const struct peer *theirs, uint64_t real_ns,
                bool *ret_changed)
{
    return edit_merge(s, w, theirs, ret_changed);
}

/* What the database has of an unsaved record is not known here. */
static int put_anew(struct db *d, const struct peer *p)
{
    int r = db_drop(d, p);

    return r < 0 ? r : db_put(d, p, NULL);
}

static int commit(struct store_write *w)
{
    const struct store *s = w->store;
    struct db_clock clock = {.hlc = w->hlc, .seq = w->seq};
    struct vector known = write_vector(s, w);
    int r;

    r = db_begin(s->db);
    if (r < 0)
        return r;
    if (s->unsaved)
        for (const struct record *rec = s->records; r >= 0 && rec; rec = rec->hh.next)
            if (rec->unsaved && !layer_find(&w->layer, &rec->key))
                r = put_anew(s->db, rec->peer);
    for (const struct draft *d = w->layer.drafts; r >= 0 && d; d = d->hh.next) {
        const struct record *rec = store_record_of(s, &d->key);
        bool drop = (s->member == 0 && d->peer->state == PEER_REMOVED) || d->forgotten;

        if (rec && rec->unsaved)
            r = put_anew(s->db, d->peer);
        else
            r = drop ? db_drop(s->db, d->peer) : db_put(s->db, d->peer, rec ? rec->peer : NULL);
    }
    if (r >= 0)
        r = db_put_clock(s->db, &clock);
    if (r >= 0 && s->member)
        r = db_put_vector(s->db, &known);
    if (r >= 0 && s->audit)
        r = audit_put(s->audit, &s->owed_notes);
    if (r >= 0 && s->audit)
        r = audit_put(s->audit, &w->notes);
    r = db_end(s->db, r);
    if (s->audit)
        audit_end(s->audit, r);
    return r;
}

static bool write_revokes(const struct store_write *w)
{
    const struct store *s = w->store;

    for (const struct draft *d = w->layer.drafts; d; d = d->hh.next)
        if (d->peer->state == PEER_REVOKED)
            return true;
    for (const struct record *r = s->unsaved ? s->records : NULL; r; r = r->hh.next)
        if (r->unsaved && r->peer->state == PEER_REVOKED)
            return true;
    return false;
}

static bool no_room(int err)
{
    return err == -ENOSPC || err == -EDQUOT;
}

/* Main changes no record while a commit is under way: it is what follows it that does. */
int store_commit(struct store_write *w)
{
    struct store *s = w->store;
    int r;

    if (w->broken)
        return w->broken;
    if (!s->db || (store_write_empty(w) && !s->unsaved))
        return 0;
    r = commit(w);
    if (no_room(r)) {
        reserve_spend(&s->reserve);
        db_checkpoint(s->db);
        reserve_refill(&s->reserve);
        r = commit(w);
    }
    if (no_room(r) && write_revokes(w) && reserve_spend(&s->reserve))
        r = commit(w);
    reserve_refill(&s->reserve);
    return r;
}

/* ---- opening ---- */

struct loading {
    struct store *s;
    struct store_write *w;
};

static int load_peer(void *ctx, struct peer *p)
{
    struct loading *l = ctx;
    bool changed;
    int r = edit_merge(l->s, l->w, p, &changed);

    peer_free(p);
    return r;
}

static int store_load(struct store *s, char ret_error[STORE_ERROR_LEN])
{
    struct loading l = {.s = s, .w = store_begin(s)};
    struct db_clock clock;
    struct vector known = {0};
    int r;

    if (!l.w)
        return -ENOMEM;
    r = db_load(s->db, load_peer, &l, &clock, &known, ret_error);
    if (r < 0) {
        store_abort(s, l.w);
        return r;
    }
    s->hlc = MAX(s->hlc, clock.hlc);
    s->seq = clock.seq;
    /* Of the first version, or of another member's backup: the clock is not about what is known. */
    l.w->edit_seq = vector_equal(&known, &(struct vector){0}) ? clock.seq : known.seq[s->member];
    store_write_cover(l.w, &known);
    store_publish(s, l.w, NULL, NULL);
    return 0;
}

int store_open(const char *path, uint8_t member, struct store **ret,
               char ret_error[STORE_ERROR_LEN])
{
    struct store *s = calloc(1, sizeof(*s));
    int r;

    ret_error[0] = '\0';
    if (!s) {
        snprintf(ret_error, STORE_ERROR_LEN, "%s: no memory for the peers", path ? path : "peers");
        return -ENOMEM;
    }
    s->member = member;
    s->removed_kept_ns = STORE_REMOVED_KEPT_NS;
    if (path) {
        r = db_open(path, &s->db, ret_error);
        if (r >= 0)
            r = store_load(s, ret_error);
        if (r >= 0 && member)
            r = audit_open(s->db, &s->audit);
        if (r >= 0 && member)
            reserve_open(&s->reserve, path);
        if (r < 0) {
            if (!ret_error[0])
                snprintf(ret_error, STORE_ERROR_LEN, "%s: peers cannot be loaded: %s", path,
                         strerror(-r));
            store_close(s);
            return r;
        }
    }
    *ret = s;
    return 0;
}

int store_set_aside(const char *path, uint64_t real_ns, char *ret, size_t room)
{
    static const char *const suffixes[] = {"-wal", "-shm", ""};
    char from[PATH_MAX], to[PATH_MAX];

    if (snprintf(ret, room, "%s.damaged-%llu", path, (unsigned long long)(real_ns / 1000000000)) >=
        (int)room)
        return -ENAMETOOLONG;
    for (unsigned i = 0; i < ARRAY_LEN(suffixes); i++) {
        if (snprintf(from, sizeof(from), "%s%s", path, suffixes[i]) >= (int)sizeof(from) ||
            snprintf(to, sizeof(to), "%s%s", ret, suffixes[i]) >= (int)sizeof(to))
            return -ENAMETOOLONG;
        if (rename(from, to) < 0 && errno != ENOENT)
            return -errno;
    }
    return 0;
}

int store_backup(struct store *s, uint8_t **ret, size_t *ret_len)
{
    return s->db ? db_serialize(s->db, ret, ret_len) : -ENODATA;
}

int store_audit(struct store *s, uint64_t after, unsigned max, struct audit_entry *ret,
                unsigned *ret_count, uint64_t *ret_last)
{
    return s->audit ? audit_read(s->audit, after, max, ret, ret_count, ret_last) : -ENODATA;
}

void store_close(struct store *s)
{
    struct record *r, *next_r;
    struct claim *c, *next_c;

    if (!s)
        return;
    while (s->writes)
        store_abort(s, s->writes);
    HASH_ITER (hh, s->records, r, next_r) {
        HASH_DELETE(hh, s->records, r);
        peer_free(r->peer);
        peer_free(r->served);
        free(r);
    }
    HASH_ITER (hh, s->claims, c, next_c) {
        HASH_DELETE(hh, s->claims, c);
        claim_free(c);
    }
    free(s->places);
    audit_notes_clear(&s->owed_notes);
    audit_close(s->audit);
    db_close(s->db);
    free(s);
}

/* ---- looking ---- */

const struct peer *store_find(const struct store *s, uint8_t hub, const struct public_key *key)
{
    struct record_key k = record_key(hub, key);
    const struct record *r = store_record_of(s, &k);

    return r ? record_served(r) : NULL;
}

const struct peer *store_record(const struct store *s, uint8_t hub, const struct public_key *key)
{
    struct record_key k = record_key(hub, key);
    const struct record *r = store_record_of(s, &k);

    return r ? r->peer : NULL;
}

static const struct peer *claimed_by_other(const struct store *s, const struct claim *c,
                                           const struct public_key *but)
{
    for (unsigned i = 0; c && i < c->count; i++)
        if (!public_key_equal(&claim_who(c)[i], but))
            return store_find(s, c->at.hub, &claim_who(c)[i]);
    return NULL;
}

const struct peer *store_overlapping(const struct store *s, uint8_t hub,
                                     const struct public_key *but, const struct ip_prefix *prefix)
{
    const struct peer *found = NULL;

    for (unsigned len = 0; len <= prefix->len && !found; len++) {
        struct ip_prefix around = prefix_around(prefix, (uint8_t)len);
        struct prefix_key at = prefix_key(hub, &around);

        found = claimed_by_other(s, claim_find(&s->claims, &at), but);
    }
    /* What is inside of it; in one address there is nothing more. */
    if (found || prefix->len == (prefix->v6 ? 128 : 32))
        return found;
    for (const struct claim *c = s->claims; c && !found; c = c->hh.next) {
        struct ip_prefix theirs = {.len = c->at.len, .v6 = c->at.v6};

        memcpy(theirs.addr.b, c->at.addr, sizeof(theirs.addr.b));
        if (c->at.hub == hub && theirs.len > prefix->len && prefix_overlaps(prefix, &theirs))
            found = claimed_by_other(s, c, but);
    }
    return found;
}

const struct peer *store_next(const struct store *s, uint64_t *cursor)
{
    for (size_t i = place_after(s, *cursor); i < s->place_count; i++)
        if (s->places[i].record) {
            *cursor = s->places[i].order;
            return record_served(s->places[i].record);
        }
    return NULL;
}

const struct peer *store_next_uncovered(const struct store *s, uint64_t *cursor,
                                        const struct vector *v)
{
    for (size_t i = place_after(s, *cursor); i < s->place_count; i++) {
        const struct record *r = s->places[i].record;

        if (!r || vector_covers_peer(v, r->peer))
            continue;
        *cursor = s->places[i].order;
        return r->peer;
    }
    return NULL;
}

const struct vector *store_vector(const struct store *s)
{
    return &s->vector;
}

uint64_t store_published(const struct store *s)
{
    return s->published;
}

void store_raise_seq(struct store *s, uint64_t seq)
{
    s->seq = MAX(s->seq, seq);
}

void store_digest(const struct store *s, uint8_t ret[STORE_DIGEST_LEN])
{
    memcpy(ret, s->digest, STORE_DIGEST_LEN);
}

unsigned store_count(const struct store *s, uint8_t hub, enum peer_state state)
{
    unsigned count = 0;

    for (const struct record *r = s->records; r; r = r->hh.next)
        count += r->key.hub == hub && r->peer->state == state && !r->peer->is_group;
    return count;
}

unsigned store_disputes(const struct store *s)
{
    return s->disputed;
}

/* ---- stamps ---- */

int store_load_stamps(struct store *s, void (*each)(void *ctx, const struct store_stamp *st),
                      void *ctx)
{
    return s->db ? db_load_stamps(s->db, each, ctx) : 0;
}

int store_save_stamps(struct store *s, const struct store_stamp *st, unsigned count)
{
    int r;

    if (!s->db)
        return 0;
    r = db_begin(s->db);
    if (r < 0)
        return r;
    for (unsigned i = 0; r >= 0 && i < count; i++)
        r = db_put_stamp(s->db, &st[i]);
    if (r >= 0)
        r = db_prune_stamps(s->db);
    return db_end(s->db, r);
}
