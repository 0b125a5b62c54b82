/* The arena of keys (K1-K3): wiped when freed and on fork, guarded, locked when that is asked for.
 *
 * There is one arena a process, so each test has a child of its own. */
#include "base/secret.h"
#include "lib/in_child.h"
#include "lib/test.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void slots_come_zeroed_and_go_wiped(void)
{
    uint8_t *slot[300];

    CHECK(secret_arena_init(300, false) == 0);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 300; i++) {
            slot[i] = secret_alloc();
            CHECK(slot[i] && secret_is_zero(slot[i], SECRET_SLOT_LEN));
            memset(slot[i], (int)(i % 255) + 1, SECRET_SLOT_LEN);
        }
        CHECK(secret_slots_used() == 300);
        for (unsigned i = 0; i < 300; i++) /* none is part of another */
            for (unsigned k = 0; k < SECRET_SLOT_LEN; k++)
                CHECK(slot[i][k] == i % 255 + 1);
        for (unsigned i = 0; i < 300; i++) {
            secret_free(slot[i]);
            CHECK(secret_is_zero(slot[i], SECRET_SLOT_LEN));
        }
        CHECK(secret_slots_used() == 0);
    }
    secret_free(NULL);
}

TEST(a_slot_comes_zeroed_and_is_wiped_when_it_is_freed)
{
    assert_int_equal(in_child(slots_come_zeroed_and_go_wiped), 0);
}

static void full(void)
{
    unsigned n = 0;

    CHECK(secret_arena_init(0, false) == -EINVAL);
    CHECK(secret_arena_init(SIZE_MAX, false) == -EINVAL);
    CHECK(secret_arena_init(10, false) == 0);
    CHECK(secret_arena_init(10, false) == -EALREADY);
    void *one = secret_alloc();
    while (secret_alloc())
        CHECK(++n < 10000);
    secret_free(one);
    CHECK(secret_alloc() == one);
    CHECK(!secret_alloc());
}

TEST(a_full_arena_refuses)
{
    assert_int_equal(in_child(full), 0);
}

static uint8_t foreign[2 * SECRET_SLOT_LEN];

static void free_twice(void)
{
    void *slot = secret_alloc();

    secret_alloc();
    secret_free(slot);
    secret_free(slot);
}

static void free_the_middle(void)
{
    secret_free((uint8_t *)secret_alloc() + 8);
}

static void free_never_given(void)
{
    secret_free((uint8_t *)secret_alloc() + SECRET_SLOT_LEN);
}

static void aborted(int signal_number)
{
    (void)signal_number;
    /* What was not ours is as it was. */
    for (unsigned i = 0; i < sizeof(foreign); i++)
        if (foreign[i] != 0x77)
            _exit(1);
    _exit(0);
}

static void free_foreign(void)
{
    secret_alloc();
    memset(foreign, 0x77, sizeof(foreign));
    signal(SIGABRT, aborted);
    secret_free(foreign);
    _exit(1);
}

TEST(a_free_of_what_is_not_in_use_ends_the_process)
{
    assert_int_equal(in_child(free_twice), SIGABRT);
    assert_int_equal(in_child(free_the_middle), SIGABRT);
    assert_int_equal(in_child(free_never_given), SIGABRT);
}

TEST(a_free_of_foreign_memory_does_not_write_to_it)
{
    assert_int_equal(in_child(free_foreign), 0);
}

static void fork_wipes(void)
{
    uint8_t *slot = secret_alloc();
    int status;

    memset(slot, 5, SECRET_SLOT_LEN);
    pid_t pid = fork();
    if (pid == 0)
        _exit(secret_is_zero(slot, SECRET_SLOT_LEN) ? 0 : 1);
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(slot[0] == 5);
}

TEST(a_child_does_not_inherit_keys)
{
    assert_int_equal(in_child(fork_wipes), 0);
}

static void step_before(void)
{
    uint8_t *first = secret_alloc();

    *(volatile uint8_t *)(first - 1) = 1;
}

static void step_behind(void)
{
    uint8_t *last = NULL;

    CHECK(secret_arena_init(1024, false) == 0); /* whole pages, so that the last slot ends at one */
    for (uint8_t *slot; (slot = secret_alloc());)
        last = slot;
    *(volatile uint8_t *)(last + SECRET_SLOT_LEN) = 1;
}

TEST(pages_before_and_behind_are_guarded)
{
    if (SANITIZED)
        skip();
    assert_int_equal(in_child(step_before), SIGSEGV);
    assert_int_equal(in_child(step_behind), SIGSEGV);
}

/* Is the page of @p marked so in /proc/self/smaps? */
static bool page_has(const void *p, const char *flag)
{
    FILE *f = fopen("/proc/self/smaps", "r");
    char line[512];
    bool in = false, has = false;

    CHECK(f != NULL);
    while (fgets(line, sizeof(line), f)) {
        unsigned long from, to;

        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            in = (uintptr_t)p >= from && (uintptr_t)p < to;
        else if (in && strncmp(line, "VmFlags:", 8) == 0)
            has = strstr(line, flag) != NULL;
    }
    fclose(f);
    return has;
}

static void locked_and_not_dumped(void)
{
    struct rlimit enough = {1 << 20, 1 << 20};

    setrlimit(RLIMIT_MEMLOCK, &enough);
    if (secret_arena_init(64, true) < 0)
        _exit(0); /* a machine that lets nobody lock */
    void *slot = secret_alloc();
    CHECK(secret_arena_locked() && secret_arena_require_lock() == 0);
    CHECK(page_has(slot, " lo ") && page_has(slot, " dd ") && page_has(slot, " wf"));
}

TEST(pages_are_locked_and_left_out_of_a_core_dump)
{
    if (SANITIZED)
        skip();
    assert_int_equal(in_child(locked_and_not_dumped), 0);
}

/* Without the capability that makes the limit void. */
static void lock_nothing(void)
{
    struct rlimit none = {0};

    if (setrlimit(RLIMIT_MEMLOCK, &none) < 0 || (geteuid() == 0 && setuid(65534) < 0))
        _exit(0);
    CHECK(secret_arena_init(64, true) == -EPERM || secret_arena_init(64, true) == -ENOMEM);
    CHECK(secret_slots_used() == 0);
    CHECK(secret_arena_init(64, false) == 0); /* the override of the configuration */
    CHECK(secret_alloc());
    CHECK(!secret_arena_locked() && secret_arena_require_lock() == -EPERM);
}

TEST(memory_that_cannot_be_locked_is_refused_where_it_must_be)
{
    if (SANITIZED)
        skip();
    assert_int_equal(in_child(lock_nothing), 0);
}

static void *churn(void *arg)
{
    uint8_t mark = (uint8_t)(uintptr_t)arg;

    for (unsigned i = 0; i < 5000; i++) {
        uint8_t *slot = secret_alloc();
        CHECK(slot && secret_is_zero(slot, SECRET_SLOT_LEN));
        memset(slot, mark, SECRET_SLOT_LEN);
        CHECK(slot[0] == mark && slot[SECRET_SLOT_LEN - 1] == mark);
        secret_free(slot);
    }
    return NULL;
}

static void threads(void)
{
    pthread_t t[4];

    for (uintptr_t i = 0; i < 4; i++)
        CHECK(pthread_create(&t[i], NULL, churn, (void *)(i + 1)) == 0);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    CHECK(secret_slots_used() == 0);
}

TEST(threads_never_get_one_slot_twice)
{
    assert_int_equal(in_child(threads), 0);
}

TEST(secrets_are_compared_whole)
{
    uint8_t a[32] = {0}, b[32] = {0};

    assert_true(secret_equal(a, b, 32) && secret_is_zero(a, 32));
    for (unsigned i = 0; i < 32; i++) {
        b[i] = 0x80;
        assert_false(secret_equal(a, b, 32));
        assert_false(secret_is_zero(b, 32));
        assert_true(secret_equal(a, b, i));
        secret_wipe(b, 32);
    }
    struct secret32 s = {{1, 2, 3}};
    secret_clear(&s);
    assert_true(secret_is_zero(&s, 32));
}

TEST_MAIN(T(a_slot_comes_zeroed_and_is_wiped_when_it_is_freed), T(a_full_arena_refuses),
          T(a_free_of_what_is_not_in_use_ends_the_process),
          T(a_free_of_foreign_memory_does_not_write_to_it), T(a_child_does_not_inherit_keys),
          T(pages_before_and_behind_are_guarded), T(pages_are_locked_and_left_out_of_a_core_dump),
          T(memory_that_cannot_be_locked_is_refused_where_it_must_be),
          T(threads_never_get_one_slot_twice), T(secrets_are_compared_whole))
