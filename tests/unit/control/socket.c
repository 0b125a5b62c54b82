#include "unit/control/socket.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/test.h"

struct server *socket_open(uv_loop_t *loop, char dir[SOCKET_DIR_LEN], char path[SOCKET_PATH_LEN],
                           const struct server_ops *ops)
{
    struct server *s;

    strcpy(dir, "/tmp/gm-control-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, SOCKET_PATH_LEN, "%s/control.sock", dir);
    assert_int_equal(uv_loop_init(loop), 0);
    assert_int_equal(server_new(loop, path, ops, &s), 0);
    return s;
}

void socket_close(struct server *s, uv_loop_t *loop, const char *dir, const char *path)
{
    char command[SOCKET_DIR_LEN + 8];

    server_free(s);
    uv_run(loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(loop), 0);
    assert_int_equal(access(path, F_OK), -1);
    snprintf(command, sizeof(command), "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}
