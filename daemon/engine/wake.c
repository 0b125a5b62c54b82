#include "engine/wake.h"
#include <assert.h>
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct wake *w = poll->data;
    uint64_t sends;

    if (read(w->fd, &sends, sizeof(sends)) < 0 && errno != EAGAIN)
        return;
    /* Cleared first: whoever sends from here on is told of anew. */
    if (atomic_exchange(&w->pending, false))
        w->woken(w->ctx);
}

int wake_init(struct wake *w, uv_loop_t *loop, void (*woken)(void *ctx), void *ctx)
{
    int r;

    *w = (struct wake){.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), .woken = woken, .ctx = ctx};
    if (w->fd < 0)
        return -errno;
    r = uv_poll_init(loop, &w->poll, w->fd);
    if (r < 0) {
        close(w->fd);
        w->fd = -1;
        return r;
    }
    w->poll.data = w;
    return uv_poll_start(&w->poll, UV_READABLE, on_readable);
}

void wake_send(struct wake *w)
{
    static const uint64_t one = 1;

    if (atomic_exchange(&w->pending, true))
        return;
    /* It cannot be full: one send at a time is pending. */
    ssize_t n = write(w->fd, &one, sizeof(one));
    assert(n == sizeof(one));
}

void wake_close(struct wake *w, uv_close_cb closed)
{
    uv_close((uv_handle_t *)&w->poll, closed);
}

void wake_done(struct wake *w)
{
    close(w->fd);
    w->fd = -1;
}
