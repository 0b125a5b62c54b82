/* unit/control/socket.h - a control server of the test's, at a socket in a directory of its own. */
#pragma once
#include "control/server.h"
#include <uv.h>

#define SOCKET_DIR_LEN 64
#define SOCKET_PATH_LEN 96

/* Also makes the loop and the directory. */
struct server *socket_open(uv_loop_t *loop, char dir[SOCKET_DIR_LEN], char path[SOCKET_PATH_LEN],
                           const struct server_ops *ops);
/* The socket must be gone with the server. The directory goes with what is in it. */
void socket_close(struct server *s, uv_loop_t *loop, const char *dir, const char *path);
