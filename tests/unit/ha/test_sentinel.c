/* The process that takes VIPs from a daemon that stands still (O3); real processes, a scratch
 * directory. Bounds are loose: machines under test are loaded. */
#include "base/clock.h"
#include "base/err.h"
#include "ha/fifo.h"
#include "ha/health.h"
#include "ha/sentinel.h"
#include "lib/test.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_MS 3000

static char dir[64], path[128];
static const struct vip vips[] = {[1] = {.id = 7}, [2] = {.id = 8}};
/* Long, but for the test of it: who runs the tests may have to wait for a processor. */
static uint64_t freeze_after_ns;
static pid_t daemon_left, stopped_left; /* to be ended when a test fails half-way */

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

static int confine(void)
{
    return 0;
}

static int set_up(void **state)
{
    freeze_after_ns = 5 * NS_PER_S;
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* sentinels of daemons that die are waited for, too */
    strcpy(dir, "/tmp/gm-sentinel-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int clean_up(void **state)
{
    if (daemon_left)
        kill(daemon_left, SIGKILL);
    if (stopped_left)
        kill(stopped_left, SIGCONT);
    daemon_left = stopped_left = 0;
    while (waitpid(-1, NULL, 0) > 0) /* a sentinel outlives its daemon a little */
        ;
    static const char *const names[] = {"health",    "health-7", "health-8",
                                        "vrrp.fifo", "removed",  SENTINEL_LOCK};

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (exists(names[i]))
            unlink(path);
    return rmdir(dir);
}

static struct sentinel *start(void)
{
    struct sentinel_config c = {.run_dir = dir,
                                .freeze_after_ns = freeze_after_ns,
                                .vips = vips,
                                .vip_count = 2,
                                .remove_vip = remove_vip,
                                .confine = confine};
    struct sentinel *s;

    assert_int_equal(sentinel_start(&c, &s), 0);
    sentinel_beats(s)[0].boot_ns = clock_boot_ns();
    for (uint16_t slot = 1; slot <= 2; slot++)
        sentinel_set_fit(s, slot, true);
    return s;
}

TEST(health_is_there_while_the_daemon_beats_and_is_fit)
{
    struct sentinel *s = start();

    assert_true(becomes("health", true, s));
    sentinel_set_fit(s, 1, false);
    assert_true(becomes("health", false, s));
    sentinel_set_fit(s, 1, true);
    assert_true(becomes("health", true, s));
    sentinel_end(s);
    assert_true(becomes("health", false, NULL));
}

TEST(each_vip_has_a_health_of_its_own)
{
    struct sentinel *s = start();

    assert_true(becomes("health", true, s)); /* the last one to come */
    assert_true(exists("health-7") && exists("health-8"));
    sentinel_set_fit(s, 2, false);
    assert_true(becomes("health-8", false, s));
    assert_false(exists("health")); /* the first one to go */
    sentinel_beats(s)[0].boot_ns = clock_boot_ns();
    assert_true(exists("health-7"));
    sentinel_set_fit(s, 2, true);
    assert_true(becomes("health", true, s) && exists("health-8"));
    sentinel_end(s);
    assert_true(becomes("health-8", false, NULL)); /* in the order of the slots */
    assert_false(exists("health-7") || exists("health"));
}

TEST(a_loop_that_stands_still_takes_the_health_of_all)
{
    freeze_after_ns = 200 * NS_PER_MS;
    struct sentinel *s = start();

    assert_true(becomes("health", true, s));
    sentinel_set_fit(s, 1, false);
    assert_true(becomes("health-7", false, s));
    assert_true(becomes("health-8", false, NULL)); /* no beats */
    sentinel_set_fit(s, 1, true);
    assert_true(becomes("health-7", true, s) && becomes("health", true, s));
    sentinel_end(s);
}

TEST(a_loop_that_stands_still_loses_health_and_earns_it_back)
{
    freeze_after_ns = 200 * NS_PER_MS;
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

/* The last child of @parent; those before it are of earlier tests. */
static pid_t last_child(pid_t parent)
{
    char children[64], line[1024] = "";
    pid_t last = -1;

    snprintf(children, sizeof(children), "/proc/%d/task/%d/children", parent, parent);
    FILE *f = fopen(children, "re");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof(line), f));
    fclose(f);
    for (char *word = strtok(line, " "); word; word = strtok(NULL, " "))
        last = (pid_t)strtol(word, NULL, 10);
    return last;
}

/* A daemon of its own process, with health up; it beats until it is killed. */
static pid_t daemon_start(void)
{
    int go[2];
    char c;

    assert_int_equal(pipe(go), 0);
    pid_t daemon = fork();
    assert_true(daemon >= 0);
    daemon_left = daemon;
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
    close(go[0]);
    return daemon;
}

static void daemon_kill(pid_t daemon)
{
    kill(daemon, SIGKILL);
    waitpid(daemon, NULL, 0);
    daemon_left = 0;
}

/* keepalived's end of the FIFO. */
static int keepalived_start(void)
{
    snprintf(path, sizeof(path), "%s/vrrp.fifo", dir);
    assert_int_equal(fifo_create(path), 0);
    int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

TEST(a_daemon_that_is_killed_leaves_no_health_and_no_vip_without_keepalived)
{
    pid_t daemon = daemon_start();

    daemon_kill(daemon);
    assert_true(becomes("health", false, NULL));
    assert_true(becomes("removed", true, NULL));
}

TEST(while_keepalived_is_there_addresses_are_its_own_and_its_lines_are_kept)
{
    static const char line[] = "GROUP \"GM_1\" FAULT 250\n";
    char got[64] = "";
    int keepalived = keepalived_start();
    pid_t daemon = daemon_start();

    daemon_kill(daemon);
    assert_int_equal(write(keepalived, line, strlen(line)), strlen(line));
    assert_true(becomes("health", false, NULL));
    usleep(200000);
    assert_false(exists("removed"));
    assert_int_equal(read(keepalived, got, sizeof(got) - 1), strlen(line));
    assert_string_equal(got, line); /* for the daemon that comes next */
    close(keepalived);
    assert_true(becomes("removed", true, NULL));
}

TEST(a_successor_is_left_alone_by_the_sentinel_before_it)
{
    int keepalived = keepalived_start(); /* for its sake the old one lingers */
    pid_t before = daemon_start();

    daemon_kill(before);
    assert_true(becomes("health", false, NULL));
    struct sentinel *s = start();
    assert_true(becomes("health", true, s));
    close(keepalived); /* what becomes of the VIPs now is for the successor to say */
    for (unsigned ms = 0; ms < 2500; ms += 5) {
        sentinel_beats(s)[0].boot_ns = clock_boot_ns();
        assert_true(exists("health"));
        assert_false(exists("removed"));
        usleep(5000);
    }
    sentinel_end(s);
}

TEST(a_sentinel_that_comes_late_does_not_take_the_successors_health)
{
    pid_t before = daemon_start(), late = last_child(before);

    assert_int_equal(kill(late, SIGSTOP), 0);
    stopped_left = late;
    daemon_kill(before);
    assert_true(exists("health"));
    struct sentinel *s = start();
    assert_true(becomes("health", true, s));
    usleep(50000); /* the new sentinel has begun by taking the old file away */
    assert_true(becomes("health", true, s));
    assert_int_equal(kill(late, SIGCONT), 0);
    stopped_left = 0;
    for (unsigned ms = 0; ms < 300; ms += 5) {
        sentinel_beats(s)[0].boot_ns = clock_boot_ns();
        assert_true(exists("health"));
        assert_false(exists("removed"));
        usleep(5000);
    }
    sentinel_end(s);
}

TEST(a_second_daemon_is_refused_and_does_the_first_no_harm)
{
    pid_t first = daemon_start();
    struct sentinel_config c = {.run_dir = dir,
                                .freeze_after_ns = freeze_after_ns,
                                .vips = vips,
                                .vip_count = 2,
                                .remove_vip = remove_vip,
                                .confine = confine};
    struct sentinel *s = NULL;

    assert_int_equal(sentinel_start(&c, &s), -EALREADY);
    assert_null(s);
    for (unsigned ms = 0; ms < 300; ms += 5) {
        assert_true(exists("health"));
        usleep(5000);
    }
    assert_false(exists("removed"));
    daemon_kill(first);
    assert_true(becomes("removed", true, NULL));
}

static int confine_fails(void)
{
    return -EPERM;
}

TEST(a_sentinel_that_cannot_be_confined_is_none)
{
    struct sentinel_config c = {.run_dir = dir, .confine = confine_fails, .vips = vips};
    struct sentinel *s;

    assert_int_equal(sentinel_start(&c, &s), 0);
    sentinel_set_fit(s, 1, true);
    for (unsigned ms = 0; sentinel_alive(s) && ms < WAIT_MS; ms += 5)
        usleep(5000);
    assert_false(sentinel_alive(s));
    assert_false(exists("health"));
    sentinel_end(s);
}

TEST(a_sentinel_that_dies_is_missed)
{
    struct sentinel *s = start();

    assert_true(becomes("health", true, s));
    assert_true(sentinel_alive(s));
    pid_t last = last_child(getpid());
    assert_int_equal(kill(last, SIGKILL), 0);
    waitpid(last, NULL, 0);
    assert_false(sentinel_alive(s));
    sentinel_end(s);
}

/* The kernel closes the last one first when the daemon dies. */
TEST(the_pipe_is_the_last_of_the_files)
{
    struct sentinel *s = start();
    DIR *files = opendir("/proc/self/fd");
    int last = -1;
    char link[64], target[64];

    assert_non_null(files);
    for (struct dirent *d; (d = readdir(files));)
        last = MAX(last, atoi(d->d_name));
    closedir(files);
    snprintf(link, sizeof(link), "/proc/self/fd/%d", last);
    ssize_t len = readlink(link, target, sizeof(target) - 1);
    bool inherited = !(fcntl(last, F_GETFD) & FD_CLOEXEC);
    sentinel_end(s);
    assert_true(len > 0 && strncmp(target, "pipe:", 5) == 0);
    assert_false(inherited);
    assert_int_equal(fcntl(last, F_GETFD), -1);
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
          TS(each_vip_has_a_health_of_its_own, set_up, clean_up),
          TS(a_loop_that_stands_still_takes_the_health_of_all, set_up, clean_up),
          TS(a_loop_that_stands_still_loses_health_and_earns_it_back, set_up, clean_up),
          TS(a_daemon_that_is_killed_leaves_no_health_and_no_vip_without_keepalived, set_up,
             clean_up),
          TS(while_keepalived_is_there_addresses_are_its_own_and_its_lines_are_kept, set_up,
             clean_up),
          TS(a_successor_is_left_alone_by_the_sentinel_before_it, set_up, clean_up),
          TS(a_sentinel_that_comes_late_does_not_take_the_successors_health, set_up, clean_up),
          TS(a_second_daemon_is_refused_and_does_the_first_no_harm, set_up, clean_up),
          TS(a_sentinel_that_cannot_be_confined_is_none, set_up, clean_up),
          TS(a_sentinel_that_dies_is_missed, set_up, clean_up),
          TS(the_pipe_is_the_last_of_the_files, set_up, clean_up),
          TS(all_beat_when_each_has_begun_and_none_is_old, set_up, clean_up))
