#include "lib/test.h"
#include "os/slice.h"
#include <linux/sched.h>
#include <linux/sched/types.h> /* not <sched.h> beside it: both have struct sched_param */
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct sched_attr mine(void)
{
    struct sched_attr a = {.size = sizeof(a)};

    assert_int_equal(syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0), 0);
    return a;
}

TEST(a_slice_is_lengthened_and_nothing_else_changes)
{
    assert_int_equal(setpriority(PRIO_PROCESS, 0, 19), 0);
    struct sched_attr before = mine();
    assert_int_equal(slice_lengthen(), 0);
    struct sched_attr after = mine();
    assert_int_equal(after.sched_policy, before.sched_policy);
    assert_int_equal(after.sched_nice, 19);
    if (before.sched_runtime) /* Linux 6.12 and later tell it */
        assert_true(after.sched_runtime > 4 * before.sched_runtime);
}

TEST_MAIN(T(a_slice_is_lengthened_and_nothing_else_changes))
