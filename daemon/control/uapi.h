/* control/uapi.h - the socket that wg, wg-quick and wgctrl speak to: IFNAME.sock.
 *
 * Owner:   app. Threads: main.
 * Life:    listen (before the process turns into a daemon, if it does) -> new -> free. The socket
 *          file's removal by somebody else is told (ops.deleted): the tools mean "end" by it. */
#pragma once
#include "control/uapi_text.h"

#define UAPI_DIR "/var/run/wireguard"

typedef struct uv_loop_s uv_loop_t;
struct uapi;
struct uapi_call;

struct uapi_ops {
    void *ctx;
    /* Write the device and its peers. Negative errno: that is the answer instead. */
    int (*get)(void *ctx, struct uapi_writer *w);
    /* Takes @c. uapi_reply(@call) must follow once, at once or later (after the commit). */
    void (*set)(void *ctx, struct change *c, struct uapi_call *call);
    void (*deleted)(void *ctx); /* once */
};

/* Makes @dir (0755) if need be. -EADDRINUSE: a live process has that name. */
int uapi_listen(const char *dir, const char *ifname, int *ret_fd);
/* Takes @fd, a listening socket: of uapi_listen() or handed in (WG_UAPI_FD). -ENOENT: its
 * file has been removed already. */
int uapi_new(uv_loop_t *loop, uint8_t hub, int fd, const struct uapi_ops *ops, struct uapi **ret);
/* Removes the socket file if it is still ours. Calls that are open may still be replied to. */
void uapi_free(struct uapi *u);

/* @err: 0 or negative errno. The client may be gone. Frees @call. */
void uapi_reply(struct uapi_call *call, int err);
