#include "fence/fence.h"
#include "base/clock.h"
#include "base/err.h"
#include "fence/conntrack.h"
#include <stdio.h>
#include <string.h>
#include <uv.h>

#define TOUCH_MS 1 /* what changes together is one change */
#define RETRY_MS 500
#define REST_FACTOR 4 /* after a change it rests so many times as long as that took */

struct fence {
    uv_loop_t *loop;
    struct fence_ops ops;
    struct fence_status status;
    struct fence_plan *before; /* the last one that was not refused */
    uv_timer_t *timer;         /* runs while it rests; freed by its close */
    bool working, touched;
    struct job {
        uv_work_t work;
        struct fence *fence;
        struct nft *nft; /* with the table; NULL: none */
        const struct fence_plan *before;
        struct fence_plan *plan;
        int error, ended;
        uint64_t took_ns;
        char message[NFT_ERROR_LEN];
    } job;
};

static int put_table(struct job *j)
{
    _cleanup_(freep) char *text = NULL;
    int r = j->plan ? plan_close(j->plan) : -ENOMEM;

    if (r >= 0 && !j->plan->group_count) {
        nft_close(TAKE_PTR(j->nft));
        return 0;
    }
    if (r >= 0)
        r = plan_text(j->plan, &text);
    if (r >= 0 && !j->nft)
        r = nft_open(&j->nft);
    if (r >= 0)
        return nft_run(j->nft, text, j->message);
    snprintf(j->message, sizeof(j->message), "%s", strerror(-r));
    return r;
}

/* After the table: what is let through anew is let through by it. */
static void end_lost(struct job *j)
{
    struct ranges v4, v6;
    int r = plan_lost(j->before, j->plan, &v4, &v6);

    if (r >= 0) {
        r = conntrack_end(&v4, &v6);
        ranges_done(&v4);
        ranges_done(&v6);
    }
    j->ended = r;
}

static void work(struct job *j)
{
    uint64_t from = clock_boot_ns();

    j->ended = 0;
    j->error = put_table(j);
    if (j->error >= 0)
        end_lost(j);
    j->took_ns = clock_boot_ns() - from;
}

static void rest(struct fence *f, uint64_t ms);

static void finish(struct fence *f)
{
    struct job *j = &f->job;
    struct fence_status *s = &f->status;
    uint64_t rest_ms = REST_FACTOR * j->took_ns / NS_PER_MS + 1;

    f->working = false;
    s->behind = j->error < 0;
    if (s->behind) {
        s->refused++;
        memcpy(s->error, j->message, sizeof(s->error));
        f->touched = true;
        rest_ms = RETRY_MS;
    } else {
        s->changes++;
        s->in_force = j->plan->group_count > 0;
        s->ended += (uint64_t)MAX(j->ended, 0);
        plan_free(f->before);
        f->before = TAKE_PTR(j->plan);
    }
    plan_free(TAKE_PTR(j->plan));
    rest(f, rest_ms);
    f->ops.tried(f->ops.ctx, s);
}

static void on_work(uv_work_t *w)
{
    work(w->data);
}

static void on_worked(uv_work_t *w, int status)
{
    finish(((struct job *)w->data)->fence);
}

static void take_plan(struct fence *f)
{
    f->touched = false;
    f->working = true;
    f->job.before = f->before;
    f->job.plan = f->ops.plan(f->ops.ctx);
    if (f->job.plan)
        f->status.wanted = f->job.plan->group_count > 0;
}

static void on_timer(uv_timer_t *t)
{
    struct fence *f = t->data;

    if (!f->touched)
        return;
    take_plan(f);
    uv_queue_work(f->loop, &f->job.work, on_work, on_worked);
}

static void rest(struct fence *f, uint64_t ms)
{
    uv_timer_start(f->timer, on_timer, ms, 0);
}

void fence_touch(struct fence *f)
{
    f->touched = true;
    if (!f->working && !uv_is_active((uv_handle_t *)f->timer))
        rest(f, TOUCH_MS);
}

void fence_begin(struct fence *f)
{
    take_plan(f);
    work(&f->job);
    finish(f);
}

int fence_new(struct uv_loop_s *loop, const struct fence_ops *ops, struct fence **ret)
{
    struct fence *f = calloc(1, sizeof(*f));
    uv_timer_t *t = calloc(1, sizeof(*t));

    if (!f || !t) {
        free(f);
        free(t);
        return -ENOMEM;
    }
    f->loop = loop;
    f->ops = *ops;
    f->timer = t;
    f->job.fence = f;
    f->job.work.data = &f->job;
    uv_timer_init(loop, t);
    t->data = f;
    *ret = f;
    return 0;
}

static void on_closed(uv_handle_t *h)
{
    free(h);
}

void fence_free(struct fence *f)
{
    if (!f)
        return;
    while (f->working)
        uv_run(f->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)f->timer, on_closed);
    nft_close(f->job.nft);
    plan_free(f->before);
    free(f);
}

const struct fence_status *fence_status(const struct fence *f)
{
    return &f->status;
}
