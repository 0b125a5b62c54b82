/* fence/fence.h - the fence between groups, kept as the plan says.
 *
 * A plan becomes one transaction, on a pool thread; what it forbids ends in conntrack, too. A plan
 * without groups needs no table, and has none. When the kernel refuses a plan the table before
 * stays in force, and it is tried again. Changes meanwhile are one change; after each the fence
 * rests, so that it never takes more than a fifth of a thread.
 *
 * Owner:   the app. Threads: main; the work itself on a pool thread.
 * Never:   asks for a plan before the one before has been tried. */
#pragma once
#include "fence/nft.h"
#include "fence/plan.h"
#include <stdbool.h>
#include <stdint.h>

struct uv_loop_s;
struct fence;

struct fence_status {
    bool wanted;      /* the last plan has groups */
    bool in_force;    /* a table is, maybe of an older plan */
    bool behind;      /* the last plan was refused */
    uint64_t changes; /* plans that came into force */
    uint64_t refused;
    uint64_t ended;            /* connections */
    char error[NFT_ERROR_LEN]; /* of the last refusal */
};

struct fence_ops {
    void *ctx;
    /* All groups and peers as they are now, not yet closed; NULL: no memory. */
    struct fence_plan *(*plan)(void *ctx);
    /* After each plan that was tried. */
    void (*tried)(void *ctx, const struct fence_status *s);
};

int fence_new(struct uv_loop_s *loop, const struct fence_ops *ops, struct fence **ret);
/* Waits for what is under way; the table goes with it. NULL is fine. */
void fence_free(struct fence *f);
/* Peers or groups may have changed; the plan is asked for a little later. */
void fence_touch(struct fence *f);
/* At a start, before anybody is served: the same, done when it returns. */
void fence_begin(struct fence *f);
const struct fence_status *fence_status(const struct fence *f);
