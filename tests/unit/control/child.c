#include "unit/control/child.h"
#include "base/clock.h"
#include "base/err.h"
#include "lib/test.h"
#include <stdio.h>
#include <string.h>
#include <uv.h>

#define CHILD_NS (10 * NS_PER_S)
#define COMMAND_LEN 2048

struct run {
    struct child *child;
    unsigned open; /* handles */
};

static void on_closed(uv_handle_t *h)
{
    struct run *r = h->data;

    r->open--;
}

static void on_exit_status(uv_process_t *p, int64_t status, int sig)
{
    struct run *r = p->data;

    r->child->status = sig ? 128 + sig : status;
    uv_close((uv_handle_t *)p, on_closed);
}

static void on_allocate(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    *buf = uv_buf_init(malloc(suggested), (unsigned)suggested);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct child *c = ((struct run *)s->data)->child;

    if (n > 0) {
        size_t take = MIN((size_t)n, sizeof(c->out) - 1 - c->len);
        memcpy(c->out + c->len, buf->base, take);
        c->len += take;
    }
    free(buf->base);
    if (n < 0)
        uv_close((uv_handle_t *)s, on_closed);
}

static void on_late(uv_timer_t *t)
{
    uv_stop(t->loop);
}

const struct child *child_run(uv_loop_t *loop, const char *command)
{
    static struct child c;
    struct run r = {.child = &c, .open = 2};
    uv_process_t process = {.data = &r};
    uv_pipe_t out;
    uv_timer_t late;
    uv_stdio_container_t io[] = {
        {.flags = UV_IGNORE},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&out},
    };
    char merged[COMMAND_LEN];
    char *args[] = {"sh", "-c", merged, NULL};
    uv_process_options_t options = {
        .file = "sh", .args = args, .exit_cb = on_exit_status, .stdio = io, .stdio_count = 2};

    assert_true(snprintf(merged, sizeof(merged), "exec 2>&1; %s", command) < COMMAND_LEN);
    memset(&c, 0, sizeof(c));
    uv_pipe_init(loop, &out, 0);
    out.data = &r;
    uv_timer_init(loop, &late);
    late.data = &r;
    uv_timer_start(&late, on_late, CHILD_NS / NS_PER_MS, 0);
    assert_int_equal(uv_spawn(loop, &process, &options), 0);
    assert_int_equal(uv_read_start((uv_stream_t *)&out, on_allocate, on_read), 0);
    uint64_t until = clock_boot_ns() + CHILD_NS;
    while (r.open && clock_boot_ns() < until)
        uv_run(loop, UV_RUN_ONCE);
    if (r.open)
        fail_msg("does not end: %s", command);
    r.open = 1;
    uv_close((uv_handle_t *)&late, on_closed);
    while (r.open)
        uv_run(loop, UV_RUN_ONCE);
    return &c;
}

void child_expect(uv_loop_t *loop, const char *command, const char *out)
{
    const struct child *c = child_run(loop, command);

    if (c->status != 0 || strcmp(c->out, out) != 0)
        fail_msg("%s: status %lld\n%s\ninstead of\n%s", command, (long long)c->status, c->out, out);
}
