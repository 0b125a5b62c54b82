#include "engine/wake.h"
#include <pthread.h>
#include <unistd.h>

#include "lib/test.h"

#define SENDS 200000
#define SENDERS 3

static _Atomic uint64_t published;
static uint64_t seen, calls;

static void look(void *ctx)
{
    calls++;
    seen = atomic_load(&published);
    if (seen == (uint64_t)SENDERS * SENDS)
        uv_stop(ctx);
}

static void *sender(void *arg)
{
    for (int i = 0; i < SENDS; i++) {
        atomic_fetch_add(&published, 1);
        wake_send(arg);
    }
    return NULL;
}

/* A wake-up that is lost leaves the loop asleep: the alarm ends the test. */
TEST(whatever_was_written_before_a_send_is_seen)
{
    pthread_t t[SENDERS];
    uv_loop_t loop;
    struct wake w;

    alarm(60);
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(wake_init(&w, &loop, look, &loop), 0);
    for (int i = 0; i < SENDERS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, sender, &w), 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    for (int i = 0; i < SENDERS; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(seen, SENDERS * SENDS);
    assert_true(calls <= (uint64_t)SENDERS * SENDS);
    wake_close(&w, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    wake_done(&w);
    alarm(0);
}

TEST(sends_that_nobody_has_looked_at_are_one_callback)
{
    uv_loop_t loop;
    struct wake w;

    calls = 0;
    atomic_store(&published, 0);
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(wake_init(&w, &loop, look, &loop), 0);
    for (int i = 0; i < 10; i++)
        wake_send(&w);
    uv_run(&loop, UV_RUN_NOWAIT);
    uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(calls, 1);
    wake_send(&w);
    uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(calls, 2);
    wake_close(&w, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    wake_done(&w);
}

TEST_MAIN(T(whatever_was_written_before_a_send_is_seen),
          T(sends_that_nobody_has_looked_at_are_one_callback))
