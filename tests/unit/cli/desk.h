/* unit/cli/desk.h - a control server of the test's, and commands run in its directory.
 *
 * A test's own state begins with a struct desk. Owner: the test. Threads: one. */
#pragma once
#include "control/server.h"
#include "unit/cli/command.h"
#include "unit/control/socket.h"
#include <uv.h>

struct desk {
    uv_loop_t loop;
    char dir[SOCKET_DIR_LEN], path[SOCKET_PATH_LEN];
    struct server *server;
};

typedef void desk_command(void *state, const struct control_request *r, struct server_call *call);

/* @size bytes, zero but for the desk at their begin; @answer gets them as its context. */
void *desk_new(size_t size, desk_command *answer);
int desk_teardown(void **state); /* what desk_new() returned */

const struct child *run(void *state, const char *arguments);
void write_in(const void *state, const char *name, const char *text);

struct desk_use { /* a command line, and how it ends */
    const char *arguments;
    int status;
    const char *word;
};
void expect_each(void *state, const struct desk_use *use, unsigned count);

/* What a member lists of a peer that was added by @c. */
void desk_put_row(struct peer_rows *rows, const struct peer_command *c, bool secrets);
