/* control/server.h - the socket that the operator's command talks to.
 *
 * Owner:   app. Threads: main. Never: holds up the loop: a client that stalls waits alone. */
#pragma once
#include "proto/control.h"

#define CONTROL_GROUP "guardmount-admin"

typedef struct uv_loop_s uv_loop_t;
struct server;
struct server_call;

struct server_ops {
    void *ctx;
    /* Fill @ret (zeroed) for r->hub (0: all). Rows of status_add_metric() are wanted for
     * CONTROL_METRICS only, rows of status_add_peer() only if r->peers. */
    void (*status)(void *ctx, const struct control_request *r, struct status *ret);
    /* CONTROL_EVENTS: fill @ret (zeroed). last_event: highest serial that there is. */
    void (*events)(void *ctx, const struct control_request *r, struct control_events *ret);
    uint64_t (*last_event)(void *ctx);
    /* CONTROL_WHY: fill @ret (zeroed). -ENOENT and the like, with what to do about it. */
    int (*why)(void *ctx, const struct control_request *r, struct control_why *ret,
               char ret_message[CONTROL_MESSAGE_LEN]);
    /* CONTROL_MOVE: begun (0), or negative errno with what to do about it. */
    int (*move)(void *ctx, const struct control_move *m, char ret_message[CONTROL_MESSAGE_LEN]);
    /* CONTROL_DRILL: what is asked for was begun, and how things are (@ret is zeroed). */
    int (*drill)(void *ctx, const struct control_request *r, struct control_drill *ret,
                 char ret_message[CONTROL_MESSAGE_LEN]);
    /* CONTROL_PEER, CONTROL_BATCH, CONTROL_BACKUP, CONTROL_AUDIT: server_reply(@call) must follow
     * once, at once or later; @r is gone then. */
    void (*command)(void *ctx, const struct control_request *r, struct server_call *call);
};

/* Takes what @reply owns. The client may be gone. Frees @call. */
void server_reply(struct server_call *call, struct control_reply *reply);

/* Requests for events may wait for one (CONTROL_WAIT_MAX_MS at most), this many of them. */
#define SERVER_WAITERS_MAX 32

/* Mode 0660, group guardmount-admin where there is one. -EADDRINUSE: a live daemon answers there.
 */
int server_new(uv_loop_t *loop, const char *path, const struct server_ops *ops,
               struct server **ret);
void server_free(struct server *s); /* NULL is fine; removes the socket file if it is still ours */
