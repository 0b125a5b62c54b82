/* The file itself: who may read it, what it is, how large. */
#include "base/err.h"
#include "base/secret.h"
#include "lib/test.h"
#include "unit/conf/sample.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct place {
    char dir[64], path[96];
};

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof(*p));

    strcpy(p->dir, "/tmp/gm-conf-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->path, sizeof(p->path), "%s/a.conf", p->dir);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;

    unlink(p->path);
    assert_int_equal(rmdir(p->dir), 0);
    free(p);
    return 0;
}

static void write_file(const char *path, mode_t mode, const char *text, size_t len)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_int_equal(fchmod(fileno(f), mode), 0);
    assert_int_equal(fwrite(text, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static void expect(const char *path, int status, const char *words)
{
    char error[CONF_ERROR_LEN] = "";
    struct conf *c = NULL;

    assert_int_equal(conf_load(path, &c, error), status);
    if (!strstr(error, words))
        fail_msg("'%s' is not in: %s", words, error);
    assert_int_equal(c != NULL, status == 0);
    conf_free(c);
    assert_int_equal(secret_slots_used(), 0);
}

TEST(file_of_mode_0600_is_read)
{
    struct place *p = *state;

    write_file(p->path, 0600, sample, strlen(sample));
    expect(p->path, 0, "");
    chmod(p->path, 0400);
    expect(p->path, 0, "");
}

TEST(file_that_others_can_read_or_write_is_refused)
{
    static const mode_t modes[] = {0644, 0640, 0620, 0604, 0601};
    struct place *p = *state;
    char want[64];

    write_file(p->path, 0600, sample, strlen(sample));
    for (unsigned i = 0; i < ARRAY_LEN(modes); i++) {
        chmod(p->path, modes[i]);
        snprintf(want, sizeof(want), "has mode %04o, and holds keys; run: chmod 600", modes[i]);
        expect(p->path, -EPERM, want);
    }
}

TEST(file_of_another_user_is_refused)
{
    struct place *p = *state;

    write_file(p->path, 0600, sample, strlen(sample));
    if (geteuid() != 0 || chown(p->path, 12345, 0) < 0)
        skip();
    expect(p->path, -EPERM, "belongs to user 12345");
}

/* The positive case needs the group: the packages' test has it. */
TEST(file_for_a_group_other_than_the_services_is_refused)
{
    struct place *p = *state;

    write_file(p->path, 0640, sample, strlen(sample));
    if (geteuid() != 0 || chown(p->path, 0, 12345) < 0)
        skip();
    expect(p->path, -EPERM, "has mode 0640");
}

TEST(credential_of_the_service_is_read_although_its_access_list_looks_wide)
{
    struct place *p = *state;
    char other[80];

    write_file(p->path, 0440, sample, strlen(sample));
    expect(p->path, -EPERM, "has mode 0440");
    setenv("CREDENTIALS_DIRECTORY", p->dir, 1);
    expect(p->path, 0, "");
    chmod(p->path, 0444); /* but not by everybody, nor written by a group */
    expect(p->path, -EPERM, "has mode 0444");
    chmod(p->path, 0460);
    expect(p->path, -EPERM, "has mode 0460");
    chmod(p->path, 0440);
    snprintf(other, sizeof(other), "%s-", p->dir); /* not that folder, nor one above it */
    setenv("CREDENTIALS_DIRECTORY", other, 1);
    expect(p->path, -EPERM, "has mode 0440");
    setenv("CREDENTIALS_DIRECTORY", "/tmp", 1);
    expect(p->path, -EPERM, "has mode 0440");
    unsetenv("CREDENTIALS_DIRECTORY");
}

TEST(what_is_no_file_is_said)
{
    struct place *p = *state;

    expect(p->path, -ENOENT, "No such file or directory");
    expect(p->dir, -EISDIR, "is a directory");
    expect("/dev/null", -EINVAL, "is no regular file");
    assert_int_equal(mkfifo(p->path, 0600), 0); /* nobody writes: must not wait */
    expect(p->path, -EINVAL, "is no regular file");
}

TEST(symbolic_link_is_judged_by_its_target)
{
    struct place *p = *state;
    char target[128];

    snprintf(target, sizeof(target), "%s/target", p->dir);
    write_file(target, 0600, sample, strlen(sample));
    assert_int_equal(symlink(target, p->path), 0);
    expect(p->path, 0, "");
    chmod(target, 0644);
    expect(p->path, -EPERM, "has mode 0644");
    unlink(target);
    expect(p->path, -ENOENT, "No such file");
}

TEST(size_and_path_are_bounded)
{
    struct place *p = *state;
    static char large[(256 << 10) + 1], path[CONF_PATH_MAX + 2];

    memset(large, '\n', sizeof(large));
    write_file(p->path, 0600, large, sizeof(large));
    expect(p->path, -EFBIG, "larger than 256 KiB");
    memcpy(large, sample, strlen(sample));
    write_file(p->path, 0600, large, sizeof(large) - 1);
    expect(p->path, 0, "");
    memset(path, 'x', CONF_PATH_MAX + 1);
    expect(path, -ENAMETOOLONG, "at most 255");
}

TEST(empty_file_and_bad_bytes_are_told_with_the_path)
{
    struct place *p = *state;
    char want[192];

    write_file(p->path, 0600, "", 0);
    snprintf(want, sizeof(want), "%s: there is no [Node] section", p->path);
    expect(p->path, -EINVAL, want);
    write_file(p->path, 0600, "[Node]\nId = \0001\n", 15);
    snprintf(want, sizeof(want), "%s:2: a NUL character", p->path);
    expect(p->path, -EINVAL, want);
}

#define TP(name) TS(name, setup, teardown)

TEST_MAIN(TP(file_of_mode_0600_is_read), TP(file_that_others_can_read_or_write_is_refused),
          TP(file_of_another_user_is_refused),
          TP(file_for_a_group_other_than_the_services_is_refused),
          TP(credential_of_the_service_is_read_although_its_access_list_looks_wide),
          TP(what_is_no_file_is_said), TP(symbolic_link_is_judged_by_its_target),
          TP(size_and_path_are_bounded), TP(empty_file_and_bad_bytes_are_told_with_the_path))
