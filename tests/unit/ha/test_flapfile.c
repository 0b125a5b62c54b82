/* What a life remembers of the flaps of the one before it. */
#include "base/err.h"
#include "ha/flapfile.h"
#include "ha/health.h"
#include "lib/test.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BOOT "5b1e6c0a-0000-4000-8000-00000000000a"
#define HEAD "guardmount flaps 1 boot " BOOT "\n"
#define NOW 5000

static char dir[] = "/tmp/gm-flaps-XXXXXX";
static struct flap_memory back[3];

static int load(void)
{
    memset(back, 0xff, sizeof(back));
    return flapfile_load(dir, BOOT, NOW, back, 3);
}

TEST(what_is_saved_comes_back)
{
    struct flap_memory all[3] = {
        {.vip = 1, .fit = true},
        {.vip = 300, .damping = {.level = 4, .until_ns = UINT64_MAX}},
        {.vip = 65535, .fit = true, .damping = {.flaps = DAMPING_FLAPS_MAX, .until_ns = 9}},
    };

    for (unsigned i = 0; i < DAMPING_FLAPS_MAX; i++)
        all[2].damping.flap_ns[i] = NOW - DAMPING_FLAPS_MAX + i + 1;
    assert_int_equal(flapfile_save(dir, BOOT, all, 3), 0);
    assert_int_equal(load(), 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(back[i].vip, all[i].vip);
        assert_int_equal(back[i].fit, all[i].fit);
        assert_memory_equal(&back[i].damping, &all[i].damping, sizeof(all[i].damping));
    }
    assert_int_equal(flapfile_load(dir, BOOT, NOW, back, 2), -EBADMSG);
    assert_int_equal(flapfile_save(dir, BOOT, NULL, 0), 0);
    assert_int_equal(load(), 0);
}

TEST(the_largest_times_fit_into_a_row)
{
    struct flap_memory all[1] = {
        {.vip = 65535,
         .fit = true,
         .damping = {.flaps = DAMPING_FLAPS_MAX, .level = UINT32_MAX, .until_ns = UINT64_MAX}}};

    for (unsigned i = 0; i < DAMPING_FLAPS_MAX; i++)
        all[0].damping.flap_ns[i] = UINT64_MAX;
    assert_int_equal(flapfile_save(dir, BOOT, all, 1), 0);
    assert_int_equal(flapfile_load(dir, BOOT, UINT64_MAX, back, 3), 1);
    assert_memory_equal(&back[0].damping, &all[0].damping, sizeof(all[0].damping));
}

TEST(another_boot_and_no_file_are_no_flaps)
{
    const struct flap_memory one = {.vip = 1, .fit = true};

    assert_int_equal(flapfile_save(dir, BOOT, &one, 1), 0);
    assert_int_equal(flapfile_load(dir, "another", NOW, back, 3), 0);
    assert_int_equal(flapfile_load("/nonexistent", BOOT, NOW, back, 3), 0);
    assert_true(flapfile_save("/nonexistent", BOOT, &one, 1) < 0);
}

TEST(of_a_damaged_file_nothing_is_believed)
{
    static const char *const bad[] = {
        "",
        "guardmount flaps 2 boot " BOOT "\nend\n",
        HEAD,
        HEAD "7 1 0 0\n", /* cut off */
        HEAD "7 1 0 0\nen",
        HEAD "7 1 0 0",
        HEAD "7 1 0\nend\n",
        HEAD "70000 1 0 0\nend\n",
        HEAD "7 2 0 0\nend\n",
        HEAD "7 1 4294967296 0\nend\n",
        HEAD "7 1 0 18446744073709551616\nend\n",
        HEAD "7 1 0 -1\nend\n",
        HEAD "7 1 0 0x10\nend\n",
        HEAD "7 1 0 0 5001\nend\n",  /* to come */
        HEAD "7 1 0 0 30 20\nend\n", /* in no order */
        HEAD "7 1 0 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\nend\n",
        HEAD "1 0 0 0\n2 0 0 0\n3 0 0 0\n4 0 0 0\nend\n",
    };

    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(health_put(dir, FLAPS_FILE, bad[i]), 0);
        if (load() != -EBADMSG)
            fail_msg("'%s' is taken", bad[i]);
    }
    assert_int_equal(health_put(dir, FLAPS_FILE, HEAD "7 1 0 0 20 5000\nend\n"), 0);
    assert_int_equal(load(), 1);
}

static int set_up(void **state)
{
    return mkdtemp(dir) ? 0 : -1;
}

static int clean_up(void **state)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/" FLAPS_FILE, dir);
    unlink(path);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_is_saved_comes_back), T(the_largest_times_fit_into_a_row),
        T(another_boot_and_no_file_are_no_flaps), T(of_a_damaged_file_nothing_is_believed)};

    return cmocka_run_group_tests(tests, set_up, clean_up);
}
