/* unit/control/child.h - a command run by the shell while a libuv loop of the test goes on. */
#pragma once
#include <stddef.h>
#include <stdint.h>

typedef struct uv_loop_s uv_loop_t;

#define CHILD_OUT_LEN (1 << 16)

struct child {
    char out[CHILD_OUT_LEN]; /* standard output and standard error */
    size_t len;
    int64_t status;
};

/* Good until the next call. Fails the test if the command does not end within 10 s. */
const struct child *child_run(uv_loop_t *loop, const char *command);
/* It succeeds and says exactly @out. */
void child_expect(uv_loop_t *loop, const char *command, const char *out);
