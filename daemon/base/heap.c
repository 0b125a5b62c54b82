#include "base/heap.h"
#include "base/err.h"
#include <string.h>

static void put(struct heap *h, size_t i, struct heap_entry *e)
{
    h->entries[i] = e;
    e->place = i + 1;
}

static void sift_up(struct heap *h, size_t i)
{
    struct heap_entry *e = h->entries[i];

    while (i > 0 && h->entries[(i - 1) / 2]->at_ns > e->at_ns) {
        put(h, i, h->entries[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    put(h, i, e);
}

static void sift_down(struct heap *h, size_t i)
{
    struct heap_entry *e = h->entries[i];

    for (;;) {
        size_t c = 2 * i + 1;

        if (c >= h->count)
            break;
        if (c + 1 < h->count && h->entries[c + 1]->at_ns < h->entries[c]->at_ns)
            c++;
        if (h->entries[c]->at_ns >= e->at_ns)
            break;
        put(h, i, h->entries[c]);
        i = c;
    }
    put(h, i, e);
}

void heap_done(struct heap *h)
{
    free(h->entries);
    *h = (struct heap){0};
}

int heap_set(struct heap *h, struct heap_entry *e, uint64_t at_ns)
{
    if (!e->place) {
        if (h->count == h->room) {
            size_t room = h->room ? 2 * h->room : 64;
            struct heap_entry **grown = realloc(h->entries, room * sizeof(*grown));

            if (!grown)
                return -ENOMEM;
            h->entries = grown;
            h->room = room;
        }
        e->at_ns = at_ns;
        put(h, h->count++, e);
        sift_up(h, e->place - 1);
        return 0;
    }
    uint64_t before = e->at_ns;
    e->at_ns = at_ns;
    if (at_ns < before)
        sift_up(h, e->place - 1);
    else
        sift_down(h, e->place - 1);
    return 0;
}

void heap_remove(struct heap *h, struct heap_entry *e)
{
    if (!e->place)
        return;
    size_t i = e->place - 1;
    struct heap_entry *last = h->entries[--h->count];

    e->place = 0;
    if (last == e)
        return;
    put(h, i, last);
    sift_up(h, i);
    sift_down(h, last->place - 1);
}

struct heap_entry *heap_first(const struct heap *h)
{
    return h->count ? h->entries[0] : NULL;
}
