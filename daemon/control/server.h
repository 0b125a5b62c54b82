/* control/server.h - the socket that the operator's command talks to.
 *
 * Owner:   app. Threads: main. Never: holds up the loop: a client that stalls waits alone. */
#pragma once
#include "proto/control.h"

#define CONTROL_GROUP "guardmount-admin"

typedef struct uv_loop_s uv_loop_t;
struct server;

struct server_ops {
    void *ctx;
    /* Fill @ret (zeroed) for r->hub (0: all). Rows of status_add_metric() are wanted for
     * CONTROL_METRICS only, rows of status_add_peer() only if r->peers. */
    void (*status)(void *ctx, const struct control_request *r, struct status *ret);
};

/* Mode 0660, group guardmount-admin where there is one. -EADDRINUSE: a live daemon answers there.
 */
int server_new(uv_loop_t *loop, const char *path, const struct server_ops *ops,
               struct server **ret);
void server_free(struct server *s); /* NULL is fine; removes the socket file if it is still ours */
