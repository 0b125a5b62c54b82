/* base/ring.h - bounded ring of fixed-size records between one producer and one consumer thread.
 *
 * Threads: one thread pushes, one thread pops.
 * Never:   blocks or allocates after ring_init(); a full ring refuses, and the pusher counts it. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct ring {
    unsigned char *slots;
    size_t record_len;
    unsigned mask;
    _Alignas(64) _Atomic unsigned head; /* next to write; the producer's */
    _Alignas(64) _Atomic unsigned tail; /* next to read; the consumer's */
};

/* @records_max: a power of two. */
int ring_init(struct ring *r, size_t record_len, unsigned records_max);
void ring_done(struct ring *r);
bool ring_push(struct ring *r, const void *record);
bool ring_pop(struct ring *r, void *ret_record);
