/* app.h - the real parts plugged together: loop, engine, node, store, sockets. The edges only: what
 * is decided is decided in node/.
 *
 * Owner:   main.c: (fork), open, start, run, free. Threads: main. */
#pragma once
#include <stdbool.h>

struct app;

struct app_options {
    const char *conf_path; /* cluster mode; NULL: plain */
    const char *ifname;    /* plain mode */
    int tun_fd, uapi_fd;   /* inherited (WG_TUN_FD, WG_UAPI_FD), or -1 */
    unsigned workers;      /* 0: one per core */
    unsigned offloads;     /* enum offload: what may be used; a cluster's file says it */
};

/* Interface and socket: they are there when this returns. Never fork after it: that would wipe the
 * keys (base/secret.h). On failure it was logged why. */
int app_open(const struct app_options *o, struct app **ret);
int app_start(struct app *a); /* threads */
/* Until a signal, or the interface or its socket file is gone. Exit status of the process. */
int app_run(struct app *a);
void app_free(struct app *a); /* NULL is fine */
