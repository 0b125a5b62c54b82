#include "fence/ranges.h"
#include "base/err.h"
#include <assert.h>
#include <string.h>

#define NESTED_MAX 129 /* one prefix of each length may lie around another */

static int order(const struct ip_addr *a, const struct ip_addr *b)
{
    return memcmp(a->b, b->b, sizeof(a->b));
}

/* False: there is none, and @a has become zero. */
static bool step_up(struct ip_addr *a)
{
    for (unsigned i = sizeof(a->b); i-- > 0;)
        if (++a->b[i])
            return true;
    return false;
}

static void step_down(struct ip_addr *a)
{
    for (unsigned i = sizeof(a->b); i-- > 0;)
        if (a->b[i]--)
            return;
}

static struct ip_addr last_of(const struct ip_prefix *p)
{
    struct ip_addr a = p->addr;
    unsigned len = p->v6 ? p->len : p->len + 96u;

    a.scope = 0;
    for (unsigned bit = len; bit < 128; bit++)
        a.b[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
    return a;
}

/* There is room for it. */
static void put(struct ranges *r, const struct ip_addr *first, const struct ip_addr *last,
                uint16_t group)
{
    struct range *end = r->count ? &r->at[r->count - 1] : NULL;
    struct ip_addr next = end ? end->last : *first;

    if (end && end->group == group && step_up(&next) && order(&next, first) == 0)
        end->last = *last;
    else
        r->at[r->count++] = (struct range){*first, *last, group};
}

/* Outer prefixes before those within them. */
static int by_place(const void *a, const void *b)
{
    const struct fence_entry *x = a, *y = b;
    int c = order(&x->prefix.addr, &y->prefix.addr);

    return c ? c : x->prefix.len - y->prefix.len;
}

/* What of the innermost open prefix lies before @until (NULL: all of it). */
static void put_rest(struct ranges *r, const struct range *open, struct ip_addr *from,
                     const struct ip_addr *until)
{
    struct ip_addr last = open->last;

    if (until) {
        last = *until;
        step_down(&last);
    }
    if (order(from, &last) <= 0)
        put(r, from, &last, open->group);
}

static void sweep(const struct fence_entry *e, unsigned count, struct ranges *r)
{
    struct range open[NESTED_MAX];
    unsigned depth = 0;
    struct ip_addr from = {0}; /* all before is done */

    for (unsigned i = 0; i <= count; i++) {
        const struct ip_addr *start = i < count ? &e[i].prefix.addr : NULL;

        while (depth && (!start || order(&open[depth - 1].last, start) < 0)) {
            put_rest(r, &open[depth - 1], &from, NULL);
            from = open[--depth].last;
            if (!step_up(&from)) /* the end of all addresses: what is open ends here, too */
                return;
        }
        if (!start)
            break;
        if (depth && order(&from, start) < 0)
            put_rest(r, &open[depth - 1], &from, start);
        from = *start;
        assert(depth < NESTED_MAX);
        open[depth++] = (struct range){*start, last_of(&e[i].prefix), e[i].group};
    }
}

int ranges_make(const struct fence_entry *entries, unsigned count, bool v6, struct ranges *ret)
{
    _cleanup_(freep) struct fence_entry *e = calloc(count + 1, sizeof(*e));
    /* Each prefix begins one range, and goes on after those within it. */
    _cleanup_(freep) struct range *at = calloc(2 * (size_t)count + 1, sizeof(*at));
    struct ranges r = {.at = at};
    unsigned n = 0;

    if (!e || !at)
        return -ENOMEM;
    for (unsigned i = 0; i < count; i++) {
        if (entries[i].prefix.v6 != v6)
            continue;
        e[n] = entries[i];
        e[n++].prefix.addr.scope = 0;
    }
    qsort(e, n, sizeof(*e), by_place);
    unsigned kept = 0;
    for (unsigned i = 0; i < n; i++)
        if (!kept || !prefix_equal(&e[i].prefix, &e[kept - 1].prefix))
            e[kept++] = e[i];
    sweep(e, kept, &r);
    *ret = (struct ranges){TAKE_PTR(at), r.count};
    return 0;
}

void ranges_done(struct ranges *r)
{
    free(r->at);
    *r = (struct ranges){0};
}

/* The first one that ends at @a or after it. */
static unsigned place_of(const struct ranges *r, const struct ip_addr *a)
{
    unsigned low = 0, high = r->count;

    while (low < high) {
        unsigned mid = low + (high - low) / 2;

        if (order(&r->at[mid].last, a) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

const struct range *ranges_find(const struct ranges *r, const struct ip_addr *a)
{
    unsigned i = place_of(r, a);

    return i < r->count && order(&r->at[i].first, a) <= 0 ? &r->at[i] : NULL;
}

static bool lost(const struct range *before, const struct range *now, const uint16_t *became)
{
    if (now->group == FENCE_OPEN)
        return false;
    return before->group == FENCE_OPEN || became[before->group] != now->group;
}

int ranges_lost(const struct ranges *before, const struct ranges *now, const uint16_t *became,
                struct ranges *ret)
{
    /* Two for each pair that meets, and one after the last of them. */
    struct range *at = calloc(3 * ((size_t)before->count + now->count) + 1, sizeof(*at));
    struct ranges r = {.at = at};

    if (!at)
        return -ENOMEM;
    for (unsigned i = 0; i < before->count; i++) {
        const struct range *b = &before->at[i];
        struct ip_addr from = b->first;
        bool more = true;

        for (unsigned k = place_of(now, &from); more && order(&from, &b->last) <= 0; k++) {
            const struct range *n = k < now->count ? &now->at[k] : NULL;
            struct ip_addr last = b->last;

            if (!n || order(&n->first, &b->last) > 0) { /* nothing of @now any more */
                put(&r, &from, &last, 0);
                break;
            }
            if (order(&from, &n->first) < 0) {
                last = n->first;
                step_down(&last);
                put(&r, &from, &last, 0);
                from = n->first;
            }
            if (order(&n->last, &b->last) < 0)
                last = n->last;
            else
                last = b->last;
            if (lost(b, n, became))
                put(&r, &from, &last, 0);
            from = last;
            more = step_up(&from);
        }
    }
    *ret = r;
    return 0;
}
