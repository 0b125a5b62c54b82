#include "control/verdicts.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include <uthash.h>

#define AGAIN_NS (VERDICT_AGAIN_S * NS_PER_S)

struct row {
    struct verdict verdict;
    struct told {
        uint64_t real_ns, quiet; /* of the last one that was told; how many were not since */
        enum notice_reason reason;
    } refused, data;
    struct list age; /* verdicts.rows, the one touched last at the end */
    UT_hash_handle hh;
};

struct verdicts {
    unsigned max;
    struct list rows;
    struct row *by_key;
};

struct verdicts *verdicts_new(unsigned max)
{
    struct verdicts *v = calloc(1, sizeof(*v));

    if (v) {
        v->max = max;
        list_init(&v->rows);
    }
    return v;
}

static void row_free(struct verdicts *v, struct row *r)
{
    HASH_DEL(v->by_key, r);
    list_remove(&r->age);
    free(r);
}

void verdicts_free(struct verdicts *v)
{
    if (!v)
        return;
    list_for_each (it, &v->rows)
        row_free(v, list_entry(it, struct row, age));
    free(v);
}

static struct row *row_find(const struct verdicts *v, const struct public_key *key)
{
    struct row *r;

    HASH_FIND(hh, v->by_key, key, sizeof(*key), r);
    return r;
}

/* NULL: no memory; then nothing is known of the peer. */
static struct row *row_of(struct verdicts *v, const struct public_key *key)
{
    struct row *r = row_find(v, key);

    if (r) {
        list_remove(&r->age);
    } else {
        if (HASH_COUNT(v->by_key) == v->max)
            row_free(v, list_entry(v->rows.next, struct row, age));
        r = calloc(1, sizeof(*r));
        if (!r)
            return NULL;
        r->verdict.key = *key;
        HASH_ADD(hh, v->by_key, verdict.key, sizeof(*key), r);
    }
    list_append(&v->rows, &r->age);
    return r;
}

/* A refusal: is it news? */
static bool news(struct told *t, struct notice *n)
{
    /* The clock may have been set back meanwhile. */
    bool lately = n->real_ns >= t->real_ns && n->real_ns - t->real_ns < AGAIN_NS;

    if (t->reason == n->reason && lately) {
        t->quiet += n->number;
        return false;
    }
    if (t->reason == n->reason)
        n->number += t->quiet;
    *t = (struct told){.real_ns = n->real_ns, .reason = n->reason};
    return true;
}

static void keep(struct verdict_fact *f, const struct notice *n, uint64_t count)
{
    *f = (struct verdict_fact){.real_ns = n->real_ns,
                               .count = f->count + count,
                               .reason = n->reason,
                               .endpoint = n->endpoint,
                               .vip = n->vip,
                               .member = n->member};
}

/* Kinds that say something against a peer, or that it is well. */
static bool is_verdict(enum notice_kind kind)
{
    return kind == NOTICE_SESSION_REFUSED || kind == NOTICE_DATA_REFUSED ||
           (kind >= NOTICE_HANDSHAKE_ANSWERED && kind <= NOTICE_HANDSHAKE_UNANSWERED);
}

bool verdicts_note(struct verdicts *v, struct notice *n)
{
    struct row *r;

    if (!is_verdict(n->kind))
        return true;
    if (n->kind == NOTICE_HANDSHAKE_DONE) {
        r = row_find(v, &n->peer);
        if (r)
            row_free(v, r);
        return true;
    }
    r = row_of(v, &n->peer);
    if (!r)
        return true;
    switch (n->kind) {
    case NOTICE_HANDSHAKE_REFUSED:
        keep(&r->verdict.refused, n, n->number);
        return news(&r->refused, n);
    case NOTICE_DATA_REFUSED:
        keep(&r->verdict.data, n, n->number);
        return news(&r->data, n);
    case NOTICE_SESSION_REFUSED:
        keep(&r->verdict.session, n, 1);
        return true;
    case NOTICE_HANDSHAKE_ANSWERED:
        keep(&r->verdict.answered, n, 1);
        return true;
    default: /* handshake.unanswered */
        keep(&r->verdict.unanswered, n, n->number);
        return true;
    }
}

const struct verdict *verdicts_find(const struct verdicts *v, const struct public_key *key)
{
    const struct row *r = row_find(v, key);

    return r ? &r->verdict : NULL;
}
