/* base/heap.h - binary min-heap of deadlines, intrusive: an entry knows its place.
 *
 * Owner:   whoever embeds the entries. Threads: one. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_entry {
    uint64_t at_ns;
    size_t place; /* index + 1; 0: not in the heap */
};

struct heap {
    struct heap_entry **entries;
    size_t count, room;
};

void heap_done(struct heap *h);
/* Insert, or move to a new deadline. -ENOMEM (only on insert). */
int heap_set(struct heap *h, struct heap_entry *e, uint64_t at_ns);
void heap_remove(struct heap *h, struct heap_entry *e); /* fine when it is not in */
struct heap_entry *heap_first(const struct heap *h);    /* NULL: empty */
