/* Files that outlive a life, and those that keepalived reads. */
#include "base/err.h"
#include "ha/health.h"
#include "lib/test.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[] = "/tmp/gm-health-XXXXXX";

static const char *content(const char *name)
{
    static char text[64];
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "r");
    if (!f)
        return NULL;
    text[fread(text, 1, sizeof(text) - 1, f)] = 0;
    fclose(f);
    return text;
}

TEST(each_vip_has_a_weight_of_its_own)
{
    assert_int_equal(weight_write(dir, 1, WEIGHT_DRAIN), 0);
    assert_int_equal(weight_write(dir, 65535, WEIGHT_PROMOTE), 0);
    assert_string_equal(content("weight-1"), "-100\n");
    assert_string_equal(content("weight-65535"), "100\n");
    assert_int_equal(weight_write(dir, 1, 254), -ERANGE);
    assert_string_equal(content("weight-1"), "-100\n");
}

TEST(what_is_drained_is_known_to_the_next_life)
{
    const uint16_t vips[] = {1, 300, 65535};
    uint16_t back[8];

    assert_int_equal(drained_load(dir, back, 8), 0);
    assert_int_equal(drained_save(dir, vips, 3), 0);
    assert_int_equal(drained_load(dir, back, 8), 3);
    assert_memory_equal(back, vips, sizeof(vips));
    assert_int_equal(drained_load(dir, back, 2), 2);
    assert_int_equal(drained_save(dir, NULL, 0), 0);
    assert_int_equal(drained_load(dir, back, 8), 0);
    assert_true(drained_save("/nonexistent", vips, 1) < 0);
}

TEST(a_drained_file_with_other_things_in_it_is_read_as_far_as_it_goes)
{
    uint16_t back[8];

    assert_int_equal(health_put(dir, DRAINED_FILE, "7 0 70000 8 what 9\n"), 0);
    assert_int_equal(drained_load(dir, back, 8), 2);
    assert_int_equal(back[0], 7);
    assert_int_equal(back[1], 8);
}

static int set_up(void **state)
{
    return mkdtemp(dir) ? 0 : -1;
}

static int clean_up(void **state)
{
    static const char *const names[] = {"weight-1", "weight-65535", DRAINED_FILE};
    char path[128];

    for (unsigned i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        unlink(path);
    }
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(each_vip_has_a_weight_of_its_own), T(what_is_drained_is_known_to_the_next_life),
        T(a_drained_file_with_other_things_in_it_is_read_as_far_as_it_goes)};

    return cmocka_run_group_tests(tests, set_up, clean_up);
}
