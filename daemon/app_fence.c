/* The fence between groups: what the store says of them, as a plan; what came of it. */
#include "app_internal.h"
#include <string.h>

static struct fence_plan *op_plan(void *ctx)
{
    struct app *a = ctx;
    _cleanup_(plan_freep) struct fence_plan *p = plan_new(a->cluster->hub->id, a->ifname);
    uint64_t now_s = app_now().real_ns / NS_PER_S, cursor = 0;
    const struct peer *r;

    if (!p)
        return NULL;
    while ((r = store_next(a->store, &cursor)))
        if (r->hub == p->hub && r->is_group && r->state == PEER_ACTIVE && plan_take_group(p, r) < 0)
            return NULL;
    for (cursor = 0; (r = store_next(a->store, &cursor));)
        if (r->hub == p->hub && peer_enabled(r, now_s) && plan_take_peer(p, r) < 0)
            return NULL;
    return TAKE_PTR(p);
}

/* A member that cannot keep the groups apart at all leaves the VIPs to one that can. */
static void op_tried(void *ctx, const struct fence_status *s)
{
    struct app *a = ctx;
    struct cluster *c = a->cluster;
    bool open = s->wanted && !s->in_force;

    if (s->behind && !c->fence_behind)
        log_error(open ? "the groups are not kept apart; this member takes no VIP"
                       : "a change of groups is not in force; the fence before it is",
                  "error=%s hint=%s", s->error, "guardmount doctor");
    else if (!s->behind && c->fence_behind)
        log_info("the fence between groups is in force", "table=guardmount_%u", c->hub->id);
    c->fence_behind = s->behind;
    if (open != c->fence_open)
        node_engine_fit(a->node, !open, app_now());
    c->fence_open = open;
}

int app_fence_start(struct app *a)
{
    struct fence_ops ops = {.ctx = a, .plan = op_plan, .tried = op_tried};
    int r = fence_new(&a->loop, &ops, &a->cluster->fence);

    if (r >= 0)
        fence_begin(a->cluster->fence);
    return r;
}

void app_fence_touch(struct app *a)
{
    if (a->cluster && a->cluster->fence)
        fence_touch(a->cluster->fence);
}

/* The packet threads have ended: nothing is let through any more. */
void app_fence_stop(struct app *a)
{
    if (a->cluster)
        fence_free(TAKE_PTR(a->cluster->fence));
}
