/* The small things that everything stands on: clean-up, randomness, lists, rings, state tables. */
#include "base/err.h"
#include "base/fsm.h"
#include "base/list.h"
#include "base/ring.h"
#include "base/rng.h"
#include "lib/test.h"
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

TEST(what_is_taken_is_not_cleaned_up)
{
    int kept, dropped;
    char *text;

    {
        _cleanup_(closep) int a = open("/dev/null", O_RDONLY | O_CLOEXEC);
        _cleanup_(closep) int b = open("/dev/null", O_RDONLY | O_CLOEXEC);
        _cleanup_(closep) int none = -1;
        _cleanup_(freep) char *t = strdup("kept");
        _cleanup_(freep) char *unused = strdup("dropped");

        dropped = b;
        kept = TAKE_FD(a);
        text = TAKE_PTR(t);
        assert_true(a == -1 && none == -1 && !t && unused);
    }
    assert_true(fcntl(kept, F_GETFD) >= 0);
    assert_true(fcntl(dropped, F_GETFD) < 0);
    assert_string_equal(text, "kept");
    close(kept);
    free(text);
}

TEST(the_kernel_fills_every_byte_anew_and_a_child_shares_none)
{
    uint8_t a[1000] = {0}, b[1000] = {0}, childs[16];
    int ends[2];

    rng_fill(&rng_system, a, sizeof(a));
    rng_fill(&rng_system, b, sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
    for (unsigned i = 0; i + 16 <= sizeof(a); i += 16) /* 2^-128 that one is zero by chance */
        assert_memory_not_equal(a + i, ((uint8_t[16]){0}), 16);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        rng_fill(&rng_system, childs, sizeof(childs));
        _exit(write(ends[1], childs, sizeof(childs)) != sizeof(childs));
    }
    rng_fill(&rng_system, a, 16);
    assert_int_equal(read(ends[0], childs, sizeof(childs)), sizeof(childs));
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_memory_not_equal(a, childs, 16); /* N12: nothing is pooled */
    close(ends[0]);
    close(ends[1]);
}

TEST(a_list_keeps_its_order_and_bears_removal_on_the_way)
{
    struct item {
        int n;
        struct list list;
    } items[10];
    struct list head;
    int seen = 0, next = 0;

    list_init(&head);
    assert_true(list_empty(&head));
    for (int i = 0; i < 10; i++) {
        items[i].n = i;
        list_append(&head, &items[i].list);
    }
    list_for_each (it, &head) {
        struct item *item = list_entry(it, struct item, list);

        assert_int_equal(item->n, next++);
        if (item->n % 2)
            list_remove(it);
    }
    list_for_each (it, &head)
        seen += list_entry(it, struct item, list)->n;
    assert_int_equal(seen, 0 + 2 + 4 + 6 + 8);
    for (int i = 0; i < 10; i++) /* what is out already may be removed again */
        list_remove(&items[i].list);
    assert_true(list_empty(&head));
}

#define RECORDS 200000

static void *produce(void *arg)
{
    struct ring *r = arg;

    for (uint64_t i = 0; i < RECORDS;) {
        uint64_t record[3] = {i, ~i, i * 3};

        if (ring_push(r, record))
            i++;
        else
            sched_yield();
    }
    return NULL;
}

TEST(a_ring_loses_nothing_between_two_threads_and_keeps_its_bound)
{
    struct ring r;
    uint64_t record[3] = {0};
    pthread_t thread;

    assert_int_equal(ring_init(&r, sizeof(record), 64), 0);
    assert_false(ring_pop(&r, record));
    for (unsigned i = 0; i < 64; i++)
        assert_true(ring_push(&r, record));
    assert_false(ring_push(&r, record));
    for (unsigned i = 0; i < 64; i++)
        assert_true(ring_pop(&r, record));
    assert_false(ring_pop(&r, record));
    atomic_store(&r.head, UINT32_MAX - 100); /* it counts on through the end of its numbers */
    atomic_store(&r.tail, UINT32_MAX - 100);
    assert_int_equal(pthread_create(&thread, NULL, produce, &r), 0);
    for (uint64_t i = 0; i < RECORDS;) {
        if (!ring_pop(&r, record)) {
            sched_yield();
            continue;
        }
        assert_true(record[0] == i && record[1] == ~i && record[2] == i * 3);
        i++;
    }
    pthread_join(thread, NULL);
    ring_done(&r);
    assert_int_equal(ring_init(&r, SIZE_MAX / 2, 4), -ENOMEM);
}

TEST(a_move_that_the_table_forbids_ends_the_process)
{
    static const struct fsm_state table[] = {{"a", TO(1)}, {"b", TO(0) | TO(2)}, {"c", 0}};
    int at = 0, status;

    fsm_move(table, &at, 1);
    fsm_move(table, &at, 2);
    assert_int_equal(at, 2);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0});
        signal(SIGABRT, SIG_DFL);
        fsm_move(table, &at, 0);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

TEST_MAIN(T(what_is_taken_is_not_cleaned_up),
          T(the_kernel_fills_every_byte_anew_and_a_child_shares_none),
          T(a_list_keeps_its_order_and_bears_removal_on_the_way),
          T(a_ring_loses_nothing_between_two_threads_and_keeps_its_bound),
          T(a_move_that_the_table_forbids_ends_the_process))
