/* Anti-entropy of the peers (P12): whatever was away or in between, all members end with the same
 * records.
 *
 * A sibling's vector says what it has. On connecting, and whenever its word shows that it lacks
 * something, it is sent the records that its vector does not cover, and then the vector that it has
 * with them ("covers"). An edit made here goes to every sibling at once, its number behind it.
 * Edits of others are not passed on as they come: members are a full mesh, and where the mesh has a
 * hole, the word of a member that has more makes the other ask by saying what it has. */
#include "base/plant.h"
#include "node/internal.h"
#include <string.h>

#define TELL_EVERY_NS (10 * NS_PER_S)
#define TELL_SOON_NS (1 * NS_PER_S) /* after news: most siblings have them by then */
#define REPLY_GAP_NS (100 * NS_PER_MS)
#define GIVEN_LOST_NS (5 * NS_PER_S) /* what was given so long ago and is not there was lost */
#define UNLIKE_NS (5 * NS_PER_S)     /* that long, and not in passing */
#define SCAN_RECORDS_PER_TURN 256
#define SCAN_QUEUE_LOW (128u << 10) /* S7 */
#define SCAN_TURN_NS (1 * NS_PER_MS)
#define SAVE_RETRY_NS (5 * NS_PER_S)
#define HLC_AHEAD_NS (300 * NS_PER_S) /* P6 */

static bool listens(const struct sibling *s)
{
    return s->replica && s->up && s->takes_vectors;
}

static void tell(struct node *n, struct sibling *s)
{
    struct sync_msg m = {.kind = SYNC_VECTOR, .vector = {.vector = *store_vector(n->store)}};

    if (!listens(s) || PLANTED("no-anti-entropy"))
        return;
    store_digest(n->store, m.vector.digest);
    siblings_send(n, s, &m, NULL, n->now);
}

static void tell_all(struct node *n)
{
    for (unsigned i = 1; i < MEMBERS_MAX; i++)
        tell(n, &n->sibling[i]);
    n->tell_at_ns = n->now.boot_ns + TELL_EVERY_NS;
}

static void give(struct node *n, struct sibling *s, const struct vector *v)
{
    struct sync_msg m = {.kind = SYNC_VECTOR, .vector = {.vector = *v, .covers = true}};

    vector_join(&s->theirs, v);
    s->given_ns = n->now.boot_ns;
    if (listens(s))
        siblings_send(n, s, &m, NULL, n->now);
}

/* ---- records that a sibling lacks ---- */

static void scan_begin(struct node *n, struct sibling *s)
{
    s->scanning = true;
    s->scan_cursor = 0;
    s->scan_from = s->theirs;
    s->scan_to = *store_vector(n->store);
}

/* Edits made here while it ran were either met by it or sent as they came. */
static struct vector scan_end(struct node *n, struct sibling *s)
{
    struct vector v = s->scan_to;

    v.seq[n->conf.self] = MAX(v.seq[n->conf.self], store_published(n->store));
    if (PLANTED("vector-of-the-end"))
        v = *store_vector(n->store);
    s->scanning = false;
    return v;
}

static const struct peer *scan_next(struct node *n, struct sibling *s)
{
    const struct peer *p = store_next_uncovered(n->store, &s->scan_cursor, &s->scan_from);

    return p && PLANTED("served-form-sent") ? store_find(n->store, p->hub, &p->key) : p;
}

static void scan_turn(struct node *n, struct sibling *s)
{
    for (unsigned i = 0; i < SCAN_RECORDS_PER_TURN; i++) {
        const struct peer *record;

        if (n->ops.queued(n->ops.ctx, s->id) >= SCAN_QUEUE_LOW)
            return;
        record = scan_next(n, s);
        if (!record) {
            struct vector v = scan_end(n, s);
            give(n, s, &v);
            return;
        }
        struct sync_msg m = {.kind = SYNC_PEER, .peer = (struct peer *)record};
        if (!siblings_send(n, s, &m, NULL, n->now))
            return; /* the link is going down */
    }
}

bool entropy_snapshot_next(struct node *n, struct sibling *s, struct sync_msg *ret)
{
    const struct peer *record;

    if (s->snapshot_told)
        return false;
    record = scan_next(n, s);
    if (record) {
        *ret = (struct sync_msg){.kind = SYNC_PEER, .peer = peer_dup(record)};
        if (ret->peer)
            return true;
        s->scanning = false; /* no memory: it must not believe that it has all */
        s->snapshot_told = true;
        return false;
    }
    struct vector v = scan_end(n, s);
    s->snapshot_told = true;
    if (!s->takes_vectors)
        return false;
    vector_join(&s->theirs, &v);
    s->given_ns = n->now.boot_ns;
    *ret = (struct sync_msg){.kind = SYNC_VECTOR, .vector = {.vector = v, .covers = true}};
    return true;
}

/* ---- connections ---- */

void entropy_init(struct node *n, struct instant now)
{
    n->own_floor = store_published(n->store);
    n->tell_at_ns = now.boot_ns + TELL_EVERY_NS;
}

/* A database that was lost or restored lacks edits of our own too. Until a sibling has told us what
 * it has, ours are known up to where this life found them, whatever was edited since. */
void entropy_hello(const struct node *n, const struct sibling *s, struct sync_hello *ret)
{
    ret->features =
        SYNC_FEATURE_VECTOR | SYNC_FEATURE_DRILL | SYNC_FEATURE_ASK | SYNC_FEATURE_LIMITS;
    ret->vector = *store_vector(n->store);
    if (!s->refilled)
        ret->vector.seq[n->conf.self] = n->own_floor;
}

void entropy_greeted(struct node *n, struct sibling *s)
{
    s->takes_vectors = s->hello.features & SYNC_FEATURE_VECTOR;
    s->said = s->theirs = s->hello.vector;
    s->unsure = s->snapshot_told = false;
    s->unlike_since_ns = s->replied_ns = 0;
    store_raise_seq(n->store, s->hello.vector.seq[n->conf.self]);
    scan_begin(n, s);
}

void entropy_snapshot_heard(struct sibling *s)
{
    s->refilled = !s->unsure;
}

/* ---- what siblings tell ---- */

static void look_at_clock(struct node *n, struct sibling *s, const struct peer *theirs)
{
    uint64_t newest = 0;

    for (unsigned f = 0; f < PEER_FIELDS; f++)
        newest = MAX(newest, theirs->version[f].hlc);
    if (s->hlc_alarm || (newest >> 16) * NS_PER_MS <= n->now.real_ns + HLC_AHEAD_NS)
        return;
    s->hlc_alarm = true;
    say(n, NODE_ALARM,
        "an edit of peers is dated in the future; check the time service of all members",
        "sibling=%u peer=%s ahead_s=%llu", s->id, key_text(&theirs->key),
        (unsigned long long)(((newest >> 16) * NS_PER_MS - n->now.real_ns) / NS_PER_S));
}

void entropy_heard_peer(struct node *n, struct sibling *s, const struct peer *theirs)
{
    bool changed;
    int r;

    if (PLANTED("edits-not-merged"))
        return;
    look_at_clock(n, s, theirs);
    if (graves_haunted(n, s, theirs))
        return;
    if (!n->merging)
        n->merging = store_begin(n->store);
    r = n->merging ? store_merge(n->store, n->merging, theirs, n->now.real_ns, &changed) : -ENOMEM;
    if (r >= 0)
        return;
    s->unsure = true;
    say(n, NODE_ALARM, "a sibling's peer cannot be taken over; members differ from now on",
        "sibling=%u peer=%s error=%s", s->id, key_text(&theirs->key), strerror(-r));
}

static void compare_digests(struct node *n, struct sibling *s, const struct sync_vector *v)
{
    uint8_t ours[STORE_DIGEST_LEN];

    store_digest(n->store, ours);
    if (!vector_equal(&v->vector, store_vector(n->store)) ||
        memcmp(ours, v->digest, sizeof(ours)) == 0) {
        if (s->unlike_alarm && vector_equal(&v->vector, store_vector(n->store))) {
            s->unlike_alarm = false;
            say(n, NODE_INFO, "the peers are alike again", "sibling=%u", s->id);
        }
        s->unlike_since_ns = 0;
        return;
    }
    /* Records may be on their way, ahead of the vector that goes with them. */
    if (!s->unlike_since_ns || !vector_equal(&s->unlike_at, &v->vector)) {
        s->unlike_since_ns = n->now.boot_ns;
        s->unlike_at = v->vector;
        return;
    }
    if (n->now.boot_ns - s->unlike_since_ns < UNLIKE_NS)
        return;
    s->unlike_since_ns = 0;
    if (!s->unlike_alarm)
        say(n, NODE_ALARM,
            "the peers differ from a sibling's though both know the same edits; all are sent again",
            "sibling=%u", s->id);
    s->unlike_alarm = true;
    s->theirs = (struct vector){0};
}

void entropy_heard_vector(struct node *n, struct sibling *s, const struct sync_vector *v)
{
    const struct vector *ours = store_vector(n->store);

    if (v->covers) {
        if (s->unsure)
            return;
        if (!n->merging)
            n->merging = store_begin(n->store);
        if (!n->merging)
            return; /* it is told again, when our next word shows that we lack it */
        store_write_cover(n->merging, &v->vector);
        n->cover_from |= (uint16_t)(1u << s->id);
        return;
    }
    s->said = v->vector;
    if (n->now.boot_ns - s->given_ns >= GIVEN_LOST_NS)
        s->theirs = v->vector;
    else
        vector_join(&s->theirs, &v->vector);
    revokes_look(n);
    compare_digests(n, s, v);
    if (!s->scanning && !vector_covers(&s->theirs, ours))
        scan_begin(n, s);
    if (!vector_covers(ours, &v->vector) && n->now.boot_ns - s->replied_ns >= REPLY_GAP_NS) {
        s->replied_ns = n->now.boot_ns;
        tell(n, s);
    }
}

/* ---- what happened here ---- */

void entropy_edited(struct node *n)
{
    struct vector v = {0};

    v.seq[n->conf.self] = store_published(n->store);
    for (unsigned i = 1; i < MEMBERS_MAX; i++)
        if (listens(&n->sibling[i]) && !n->sibling[i].scanning)
            give(n, &n->sibling[i], &v);
    n->tell_at_ns = MIN(n->tell_at_ns, n->now.boot_ns + TELL_SOON_NS);
}

/* The one whose edit it was waits for our word (P8). */
void entropy_merged(struct node *n)
{
    for (unsigned i = 1; i < MEMBERS_MAX; i++)
        if (n->committing_from >> i & 1)
            tell(n, &n->sibling[i]);
    n->tell_at_ns = MIN(n->tell_at_ns, n->now.boot_ns + TELL_SOON_NS);
}

uint64_t entropy_tick(struct node *n, struct instant now)
{
    uint64_t next;

    if (n->conf.self == 0)
        return NEVER;
    if (now.boot_ns >= n->tell_at_ns)
        tell_all(n);
    next = n->tell_at_ns;
    for (unsigned i = 1; i < MEMBERS_MAX; i++) {
        struct sibling *s = &n->sibling[i];

        /* While the snapshot runs it is the one that asks for records. */
        if (!listens(s) || !s->scanning || !s->snapshot_told)
            continue;
        scan_turn(n, s);
        if (s->scanning)
            next = MIN(next, now.boot_ns + SCAN_TURN_NS);
    }
    if (store_unsaved(n->store)) {
        if (!n->retry_at_ns)
            n->retry_at_ns = now.boot_ns + SAVE_RETRY_NS;
        if (now.boot_ns >= n->retry_at_ns && !n->merging) {
            n->merging = store_begin(n->store);
            n->retry_at_ns = now.boot_ns + SAVE_RETRY_NS;
        }
        next = MIN(next, n->retry_at_ns);
    } else {
        n->retry_at_ns = 0;
    }
    return next;
}
