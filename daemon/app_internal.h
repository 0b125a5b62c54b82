/* app_internal.h - shared by app.c (life), app_node.c (the node's ops) and app_uapi.c.
 *
 * Owner: struct app. Threads: main. */
#pragma once
#include "app.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "control/uapi.h"
#include "engine/engine.h"
#include "node/node.h"
#include "os/netlink.h"
#include "store/store.h"
#include <uv.h>

#define WORKERS_MAX 64
#define PLAIN_HUB 1 /* hub id of the one device in plain mode */

struct app {
    uv_loop_t loop;
    uv_timer_t tick;
    uv_prepare_t turn;
    uv_signal_t signals[2];
    bool loop_open, stopping;
    int exit_status;
    unsigned workers;
    int tun_fds[WORKERS_MAX];
    int uapi_fd;
    char ifname[IFNAME_MAX + 1];
    uint32_t ifindex;
    uint16_t port;
    uint32_t fwmark;
    struct gate gate;
    struct engine *engine;
    struct node *node;
    struct store *store;
    struct netlink_monitor *monitor;
    struct uapi *uapi;
    unsigned commits; /* under way */
};

struct instant app_now(void);
void app_stop(struct app *a, int status, const char *why);
extern const struct node_ops app_node_ops;

/* app_uapi.c */
int app_uapi_start(struct app *a);
