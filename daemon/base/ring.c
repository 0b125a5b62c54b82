#include "base/ring.h"
#include "base/err.h"
#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

int ring_init(struct ring *r, size_t record_len, unsigned records_max)
{
    assert(record_len > 0);
    assert(records_max > 0 && (records_max & (records_max - 1)) == 0);

    size_t len;
    if (__builtin_mul_overflow(record_len, (size_t)records_max, &len))
        return -ENOMEM;
    unsigned char *slots = malloc(len);
    if (!slots)
        return -ENOMEM;
    r->slots = slots;
    r->record_len = record_len;
    r->mask = records_max - 1;
    atomic_init(&r->head, 0);
    atomic_init(&r->tail, 0);
    return 0;
}

void ring_done(struct ring *r)
{
    free(r->slots);
    r->slots = NULL;
}

bool ring_push(struct ring *r, const void *record)
{
    unsigned head = atomic_load_explicit(&r->head, memory_order_relaxed);

    /* Acquire: the consumer has read the slot before we overwrite it. */
    if (head - atomic_load_explicit(&r->tail, memory_order_acquire) > r->mask)
        return false;
    memcpy(r->slots + (size_t)(head & r->mask) * r->record_len, record, r->record_len);
    atomic_store_explicit(&r->head, head + 1, memory_order_release);
    return true;
}

bool ring_pop(struct ring *r, void *ret_record)
{
    unsigned tail = atomic_load_explicit(&r->tail, memory_order_relaxed);

    if (atomic_load_explicit(&r->head, memory_order_acquire) == tail)
        return false;
    memcpy(ret_record, r->slots + (size_t)(tail & r->mask) * r->record_len, r->record_len);
    atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
    return true;
}
