/* Removed peers leave a record, so that nobody who missed the removal brings them back. It goes
 * when nobody can have missed it (P4). */
#include "base/err.h"
#include "store/internal.h"

static uint64_t newest_ns(const struct peer *p)
{
    uint64_t hlc = 0;

    for (unsigned f = 0; f < PEER_FIELDS; f++)
        hlc = MAX(hlc, p->version[f].hlc);
    return (hlc >> HLC_COUNTER_BITS) * 1000000;
}

static bool is_old(const struct store *s, const struct peer *p, uint64_t real_ns)
{
    return newest_ns(p) + s->removed_kept_ns <= real_ns;
}

void store_keep_removed(struct store *s, uint64_t ns)
{
    s->removed_kept_ns = ns;
}

uint64_t store_removed_kept_ns(const struct store *s)
{
    return s->removed_kept_ns;
}

unsigned store_forget_removed(struct store *s, struct store_write *w,
                              const struct vector *everywhere, uint64_t real_ns)
{
    unsigned count = 0;

    for (const struct record *r = s->records; r && count < STORE_FORGET_MAX; r = r->hh.next) {
        struct draft *d;

        /* One with a generation was revoked before: that is never forgotten. */
        if (r->peer->state != PEER_REMOVED || r->peer->gen || r->unsaved ||
            !is_old(s, r->peer, real_ns) || !vector_covers_peer(everywhere, r->peer) ||
            !vector_covers_peer(&s->vector, r->peer) || layer_find(&w->layer, &r->key))
            continue;
        d = layer_add(&w->layer, peer_dup(r->peer), NULL);
        if (!d)
            break; /* later */
        d->forgotten = true;
        count++;
    }
    return count;
}

/* All that wrote it is known here, and yet it is not there: it was removed, and that forgotten. */
bool store_has_forgotten(const struct store *s, const struct peer *theirs,
                         const struct vector *known, uint64_t real_ns)
{
    struct record_key key = record_key(theirs->hub, &theirs->key);

    return theirs->state != PEER_REVOKED && is_old(s, theirs, real_ns) &&
           vector_covers_peer(known, theirs) && !store_record_of(s, &key);
}
