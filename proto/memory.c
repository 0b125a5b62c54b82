#include "proto/memory.h"
#include "base/secret.h"
#include <stdlib.h>

/* In front of each piece, so that free knows what to wipe; keeps the piece aligned. */
struct piece {
    _Alignas(max_align_t) size_t len;
};

static void *piece_alloc(void *ctx, size_t len)
{
    struct memory *m = ctx;
    struct piece *p;

    if (len > m->max || m->used > m->max - len)
        return NULL;
    p = malloc(sizeof(*p) + len);
    if (!p) {
        m->exhausted = true;
        return NULL;
    }
    p->len = len;
    m->used += len;
    return p + 1;
}

static void piece_free(void *ctx, void *at)
{
    struct memory *m = ctx;
    struct piece *p = at;

    if (!p)
        return;
    p--;
    m->used -= p->len;
    secret_wipe(p + 1, p->len);
    free(p);
}

void memory_init(struct memory *m, size_t max)
{
    *m = (struct memory){.allocator = {.alloc = piece_alloc, .free = piece_free}, .max = max};
    m->allocator.allocator_data = m;
}
