/* A batch of receive ceilings: columns, so that packing and unpacking allocate for the batch, not
 * for each of them. */
#include "base/err.h"
#include "proto/wire.h"
#include <stdlib.h>

void wire_put_limits(struct wire_limits *w, const struct sync_limits *l)
{
    Guardmount__Limits *b = &w->body;

    guardmount__limits__init(b);
    for (unsigned i = 0; i < l->count; i++) {
        const struct sync_limit *one = &l->all[i];

        w->hub[i] = one->id.hub;
        w->creator[i] = one->id.creator;
        w->instance[i] = one->id.instance;
        w->session_seq[i] = one->id.seq;
        w->limit[i] = one->limit;
        w->top[i] = one->top;
        w->seq[i] = one->seq;
        w->lower[i] = one->lower;
        w->active[i] = one->active;
    }
    b->n_hub = b->n_creator = b->n_instance = b->n_session_seq = l->count;
    b->n_limit = b->n_top = b->n_seq = b->n_lower = b->n_active = l->count;
    b->hub = w->hub;
    b->creator = w->creator;
    b->instance = w->instance;
    b->session_seq = w->session_seq;
    b->limit = w->limit;
    b->top = w->top;
    b->seq = w->seq;
    b->lower = w->lower;
    b->active = w->active;
}

static bool columns_fit(const Guardmount__Limits *b)
{
    const size_t lengths[] = {b->n_creator, b->n_instance, b->n_session_seq, b->n_limit,
                              b->n_top,     b->n_seq,      b->n_lower,       b->n_active};

    for (unsigned i = 0; i < ARRAY_LEN(lengths); i++)
        if (lengths[i] != b->n_hub)
            return false;
    return b->n_hub >= 1 && b->n_hub <= SYNC_LIMITS_MAX;
}

int wire_get_limits(const Guardmount__Limits *b, struct sync_msg *ret)
{
    bool ok = columns_fit(b);
    struct sync_limit *all = ok ? calloc(b->n_hub, sizeof(*all)) : NULL;

    if (!all)
        return ok ? -ENOMEM : -EBADMSG;
    for (unsigned i = 0; i < b->n_hub; i++) {
        struct sync_limit *one = &all[i];

        one->id.hub = (uint8_t)wire_in(&ok, b->hub[i], 1, UINT8_MAX);
        one->id.creator = (uint8_t)wire_in(&ok, b->creator[i], 1, MEMBER_ID_MAX);
        one->id.instance = b->instance[i];
        one->id.seq = b->session_seq[i];
        one->limit = b->limit[i];
        one->top = b->top[i];
        one->seq = b->seq[i];
        one->lower = b->lower[i];
        one->active = b->active[i];
    }
    if (!ok) {
        free(all);
        return -EBADMSG;
    }
    ret->limits = (struct sync_limits){.all = all, .count = (unsigned)b->n_hub};
    ret->owned = all;
    return 0;
}
