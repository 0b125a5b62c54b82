/* engine/wake.h - one thread wakes the loop of another.
 *
 * Owner: who calls wake_init(). Threads: wake_send() any, all else the loop's own.
 * Never:   waits. uv_async_send() of libuv before 1.45 does: the loop that it wakes spins until the
 *          waker has finished, so one thread without a CPU stops two (ADR 0007).
 *
 * What was written before wake_send() is seen by the callback that follows it; several sends may be
 * one callback. */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <uv.h>

struct wake {
    uv_poll_t poll;
    int fd; /* eventfd(2) */
    _Atomic bool pending;
    void (*woken)(void *ctx);
    void *ctx;
};

int wake_init(struct wake *w, uv_loop_t *loop, void (*woken)(void *ctx), void *ctx);
void wake_send(struct wake *w);
/* The loop lets go; @closed may be NULL, and may call wake_done(). */
void wake_close(struct wake *w, uv_close_cb closed);
void wake_done(struct wake *w); /* after the last wake_send() */
