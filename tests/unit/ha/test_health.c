/* The files that keepalived follows: whole, readable by it, and gone when they must be gone. */
#include "ha/health.h"
#include "lib/test.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WEIGHT_1 WEIGHT_FILE "-1" /* of the VIP 1 */

static char dir[64], path[128];

static const char *in_dir(const char *name)
{
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static int set_up(void **state)
{
    strcpy(dir, "/tmp/gm-health-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int clean_up(void **state)
{
    unlink(in_dir(HEALTH_FILE));
    unlink(in_dir(WEIGHT_1));
    return rmdir(dir); /* fails if anything else was left */
}

static const char *content(const char *name)
{
    static char text[64];
    int fd = open(in_dir(name), O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

    text[n > 0 ? n : 0] = 0;
    if (fd >= 0)
        close(fd);
    return fd < 0 ? NULL : text;
}

TEST(health_is_one_line_that_a_keepalived_of_another_user_can_read)
{
    struct stat st;
    mode_t before = umask(0077); /* the daemon's */

    assert_int_equal(health_raise(dir, HEALTH_OF_ALL), 0);
    umask(before);
    assert_string_equal(content(HEALTH_FILE), "1\n");
    assert_int_equal(stat(in_dir(HEALTH_FILE), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    assert_int_equal(health_raise(dir, HEALTH_OF_ALL), 0);
    assert_int_equal(health_remove(dir, HEALTH_OF_ALL), 0);
    assert_null(content(HEALTH_FILE));
    assert_int_equal(health_remove(dir, HEALTH_OF_ALL),
                     0); /* it is gone: that is all that matters */
    assert_int_equal(health_remove("/nonexistent/directory", 1), -ENOENT);
    assert_int_equal(health_raise("/nonexistent/directory", 1), -ENOENT);
}

TEST(each_vip_has_a_health_and_all_of_them_can_go_at_once)
{
    const struct vip vips[] = {{.id = 1}, {.id = 65535}};

    assert_int_equal(health_raise(dir, 1), 0);
    assert_int_equal(health_raise(dir, 65535), 0);
    assert_string_equal(content(HEALTH_FILE "-1"), "1\n");
    assert_string_equal(content(HEALTH_FILE "-65535"), "1\n");
    assert_null(content(HEALTH_FILE)); /* whose is it to say */
    assert_int_equal(health_remove(dir, 1), 0);
    assert_null(content(HEALTH_FILE "-1"));
    assert_non_null(content(HEALTH_FILE "-65535"));
    assert_int_equal(health_raise(dir, HEALTH_OF_ALL), 0);
    assert_int_equal(health_remove_all(dir, vips, 2), 0); /* clean_up() finds nothing left */
    assert_null(content(HEALTH_FILE));
    assert_int_equal(health_remove_all("/nonexistent/directory", vips, 2), -ENOENT);
}

TEST(weights_are_those_that_keepalived_takes)
{
    static const int good[] = {WEIGHT_FIT, WEIGHT_BEHIND, WEIGHT_DRAIN, WEIGHT_MAX, -WEIGHT_MAX};
    char want[16];

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(weight_write(dir, 1, good[i]), 0);
        snprintf(want, sizeof(want), "%d\n", good[i]);
        assert_string_equal(content(WEIGHT_1), want);
    }
    assert_int_equal(weight_write(dir, 1, WEIGHT_MAX + 1), -ERANGE);
    assert_int_equal(weight_write(dir, 1, -WEIGHT_MAX - 1), -ERANGE);
    assert_string_equal(content(WEIGHT_1), "-253\n");
    assert_int_equal(health_put(dir, "a-name-that-is-much-too-long-for-this", "x"), -ENAMETOOLONG);
}

static _Atomic bool stop;

static void *write_on(void *arg)
{
    for (unsigned i = 0; !atomic_load(&stop); i++)
        if (weight_write(dir, 1, i % 2 ? -100 : 0) < 0)
            abort();
    return NULL;
}

TEST(a_reader_never_sees_half_a_file)
{
    pthread_t writer;

    assert_int_equal(weight_write(dir, 1, 0), 0);
    assert_int_equal(pthread_create(&writer, NULL, write_on, NULL), 0);
    for (unsigned i = 0; i < 5000; i++) {
        const char *text = content(WEIGHT_1);
        assert_non_null(text);
        if (strcmp(text, "0\n") != 0)
            assert_string_equal(text, "-100\n");
    }
    atomic_store(&stop, true);
    pthread_join(writer, NULL);
}

TEST(a_link_in_the_way_is_replaced_and_not_followed)
{
    char victim[128];

    snprintf(victim, sizeof(victim), "%s", in_dir(WEIGHT_1));
    assert_int_equal(weight_write(dir, 1, 7), 0); /* stands for a file of somebody else */
    assert_int_equal(symlink(victim, in_dir(HEALTH_FILE)), 0);
    assert_int_equal(health_raise(dir, HEALTH_OF_ALL), 0);
    assert_string_equal(content(WEIGHT_1), "7\n");
    assert_string_equal(content(HEALTH_FILE), "1\n");
    assert_int_equal(symlink(victim, in_dir("." HEALTH_FILE ".new")), 0);
    assert_int_equal(health_raise(dir, HEALTH_OF_ALL),
                     -ELOOP); /* and of the name it is written under, neither */
    assert_string_equal(content(WEIGHT_1), "7\n");
    unlink(in_dir("." HEALTH_FILE ".new"));
}

TEST(a_write_that_fails_leaves_the_old_file_and_no_rest)
{
    struct stat st;

    assert_int_equal(weight_write(dir, 1, 3), 0);
    /* A directory under the temporary name stands for whatever keeps the new file from being made.
     */
    assert_int_equal(mkdir(in_dir("." WEIGHT_1 ".new"), 0700), 0);
    assert_true(weight_write(dir, 1, 4) < 0);
    assert_string_equal(content(WEIGHT_1), "3\n");
    assert_int_equal(rmdir(in_dir("." WEIGHT_1 ".new")), 0);
    /* And one under the final name: the temporary file does not stay. */
    assert_int_equal(mkdir(in_dir(HEALTH_FILE), 0700), 0);
    assert_true(health_raise(dir, HEALTH_OF_ALL) < 0);
    assert_int_equal(stat(in_dir("." HEALTH_FILE ".new"), &st), -1);
    assert_int_equal(rmdir(in_dir(HEALTH_FILE)), 0);
}

TEST_MAIN(TS(health_is_one_line_that_a_keepalived_of_another_user_can_read, set_up, clean_up),
          TS(each_vip_has_a_health_and_all_of_them_can_go_at_once, set_up, clean_up),
          TS(weights_are_those_that_keepalived_takes, set_up, clean_up),
          TS(a_reader_never_sees_half_a_file, set_up, clean_up),
          TS(a_link_in_the_way_is_replaced_and_not_followed, set_up, clean_up),
          TS(a_write_that_fails_leaves_the_old_file_and_no_rest, set_up, clean_up))
