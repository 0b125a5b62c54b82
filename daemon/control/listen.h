/* control/listen.h - a listening Unix socket at a path: stale ones are taken away, live ones are
 * left alone.
 *
 * Threads: main, before others run: the process's umask is changed for a moment. */
#pragma once
#include <stdbool.h>
#include <sys/types.h>

#define LISTEN_BACKLOG 128

/* @mode: of the socket file; nobody else can connect at any time. @gid: its group, (gid_t)-1: as it
 * comes. -EADDRINUSE: a live process answers there. -EEXIST: something is there that is not a
 * socket. */
int listen_unix(const char *path, mode_t mode, gid_t gid, int *ret_fd);

/* Which file a path or a bound socket is; the socket file may be removed or replaced under us. */
struct listen_file {
    dev_t dev;
    ino_t ino;
};
int listen_file_of(const char *path, struct listen_file *ret);
bool listen_file_is(const char *path, const struct listen_file *f);
