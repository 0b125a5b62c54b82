/* The process that takes VIPs from a daemon that stands still (O3); real processes, a scratch
 * directory. Bounds are loose: machines under test are loaded. */
#include "base/clock.h"
#include "ha/fifo.h"
#include "ha/health.h"
#include "ha/sentinel.h"
#include "lib/test.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_MS 3000

static char dir[64], path[128];
static struct vip vips[2];

static bool exists(const char *name)
{
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

/* Within WAIT_MS; @beat: keep main's loop alive meanwhile. */
static bool becomes(const char *name, bool there, struct sentinel *beat)
{
    for (unsigned ms = 0; ms < WAIT_MS; ms += 5) {
        if (beat)
            sentinel_beats(beat)[0].boot_ns = clock_boot_ns();
        if (exists(name) == there)
            return true;
        usleep(5000);
    }
    return false;
}

static void remove_vip(const struct vip *v)
{
    char mark[128];

    snprintf(mark, sizeof(mark), "%s/removed", dir);
    FILE *f = fopen(mark, "we");
    if (f)
        fclose(f);
}

static void confine(void)
{
}

static int set_up(void **state)
{
    strcpy(dir, "/tmp/gm-sentinel-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int clean_up(void **state)
{
    while (waitpid(-1, NULL, 0) > 0) /* a sentinel outlives its daemon a little */
        ;
    static const char *const names[] = {"health", "weight", "vrrp.fifo", "removed"};

    for (unsigned i = 0; i < 4; i++)
        if (exists(names[i]))
            unlink(path);
    return rmdir(dir);
}

static struct sentinel *start(void)
{
    struct sentinel_config c = {.run_dir = dir,
                                .freeze_after_ns = 200000000,
                                .vips = vips,
                                .vip_count = 1,
                                .remove_vip = remove_vip,
                                .confine = confine};
    struct sentinel *s;

    assert_int_equal(sentinel_start(&c, &s), 0);
    sentinel_beats(s)[0].boot_ns = clock_boot_ns();
    sentinel_set_fit(s, true);
    return s;
}

TEST(health_is_there_while_the_daemon_beats_and_is_fit)
{
    struct sentinel *s = start();

    assert_true(becomes("health", true, s));
    sentinel_set_fit(s, false);
    assert_true(becomes("health", false, s));
    sentinel_set_fit(s, true);
    assert_true(becomes("health", true, s));
    sentinel_end(s);
    assert_true(becomes("health", false, NULL));
}

TEST(a_loop_that_stands_still_loses_health_and_earns_it_back)
{
    struct sentinel *s = start();

    assert_true(becomes("health", true, s));
    assert_true(becomes("health", false, NULL)); /* no beats */
    uint64_t again = clock_boot_ns();
    assert_true(becomes("health", true, s));
    assert_true(clock_boot_ns() - again >= SENTINEL_RISE_NS / 2);
    /* A worker counts as soon as it has begun. */
    sentinel_beats(s)[3].boot_ns = clock_boot_ns();
    assert_true(becomes("health", false, s));
    sentinel_end(s);
}

TEST(a_daemon_that_is_killed_leaves_no_health_and_no_vip_without_keepalived)
{
    int go[2];
    char c;

    assert_int_equal(pipe(go), 0);
    pid_t daemon = fork();
    assert_true(daemon >= 0);
    if (daemon == 0) {
        struct sentinel *s = start();
        bool ok = becomes("health", true, s);

        if (write(go[1], ok ? "y" : "n", 1) == 1)
            for (;;) {
                sentinel_beats(s)[0].boot_ns = clock_boot_ns();
                usleep(5000);
            }
        _exit(1);
    }
    close(go[1]);
    assert_int_equal(read(go[0], &c, 1), 1);
    assert_int_equal(c, 'y');
    kill(daemon, SIGKILL);
    waitpid(daemon, NULL, 0);
    assert_true(becomes("health", false, NULL));
    assert_true(becomes("removed", true, NULL));
    close(go[0]);
}

TEST(a_sentinel_that_dies_is_missed)
{
    struct sentinel *s = start();
    char children[64], line[256] = "";
    pid_t last = -1;

    assert_true(becomes("health", true, s));
    assert_true(sentinel_alive(s));
    snprintf(children, sizeof(children), "/proc/self/task/%d/children", getpid());
    FILE *f = fopen(children, "re");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof(line), f));
    fclose(f);
    for (char *word = strtok(line, " "); word; word = strtok(NULL, " "))
        last = (pid_t)strtol(word, NULL, 10); /* those before it are of earlier tests */
    assert_int_equal(kill(last, SIGKILL), 0);
    waitpid(last, NULL, 0);
    assert_false(sentinel_alive(s));
    sentinel_end(s);
}

TEST(all_beat_when_each_has_begun_and_none_is_old)
{
    struct sentinel *s = start();
    struct sentinel_beat *beat = sentinel_beats(s);

    beat[0].boot_ns = 1000;
    assert_false(sentinel_all_beat(s, 3, 900)); /* two have not begun */
    beat[1].boot_ns = 900;
    beat[2].boot_ns = 899;
    assert_false(sentinel_all_beat(s, 3, 900));
    assert_true(sentinel_all_beat(s, 2, 900)); /* no such loop: not asked for */
    beat[2].boot_ns = 2000;
    assert_true(sentinel_all_beat(s, 3, 900));
    sentinel_end(s);
}

TEST_MAIN(TS(health_is_there_while_the_daemon_beats_and_is_fit, set_up, clean_up),
          TS(a_loop_that_stands_still_loses_health_and_earns_it_back, set_up, clean_up),
          TS(a_daemon_that_is_killed_leaves_no_health_and_no_vip_without_keepalived, set_up,
             clean_up),
          TS(a_sentinel_that_dies_is_missed, set_up, clean_up),
          TS(all_beat_when_each_has_begun_and_none_is_old, set_up, clean_up))
