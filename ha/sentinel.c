#include "ha/sentinel.h"
#include "base/clock.h"
#include "base/err.h"
#include "ha/health.h"
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>

#define RT_PRIORITY 10

struct shared {
    _Atomic bool fit;
    struct sentinel_beat beat[SENTINEL_BEATS_MAX];
};

struct sentinel {
    struct shared *shared;
    int pipe_fd; /* the daemon's end; closed by its death */
};

static bool beats_good(struct shared *s, uint64_t now_ns, uint64_t freeze_ns)
{
    for (unsigned i = 0; i < SENTINEL_BEATS_MAX; i++) {
        uint64_t at = atomic_load(&s->beat[i].boot_ns);

        if (at && now_ns > at && now_ns - at > freeze_ns)
            return false;
    }
    return true;
}

/* Nobody has it open for writing: end of file at once. */
static bool keepalived_gone(const char *run_dir)
{
    char path[512], byte;
    bool gone = false;

    snprintf(path, sizeof(path), "%s/vrrp.fifo", run_dir);
    _cleanup_(closep) int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return true;
    for (unsigned i = 0; i < 65536; i++) {
        ssize_t n = read(fd, &byte, 1); /* lines that nobody will read any more */
        if (n > 0)
            continue;
        gone = n == 0;
        break;
    }
    return gone;
}

/* The daemon is dead. What keepalived still holds it gives up by itself, for want of health. */
static void after_death(const struct sentinel_config *c)
{
    uint64_t until = clock_boot_ns() + SENTINEL_LINGER_NS;
    struct timespec pause = {.tv_nsec = SENTINEL_LOOK_MS * 1000000};

    do {
        if (keepalived_gone(c->run_dir)) {
            for (unsigned i = 1; i <= c->vip_count; i++)
                c->remove_vip(&c->vips[i]);
            return;
        }
        nanosleep(&pause, NULL);
    } while (clock_boot_ns() < until);
}

static void watch(const struct sentinel_config *c, struct shared *s, int pipe_fd)
{
    struct pollfd p = {.fd = pipe_fd, .events = POLLIN};
    struct timespec pause = {.tv_nsec = SENTINEL_LOOK_MS * 1000000};
    bool up = false, fell = false;
    uint64_t good_since = 0;

    for (;;) {
        int r = ppoll(&p, 1, &pause, NULL);
        uint64_t now = clock_boot_ns();

        if (r > 0)
            break; /* the only thing that happens to the pipe is its end */
        bool frozen = !beats_good(s, now, c->freeze_after_ns);
        bool good = !frozen && atomic_load(&s->fit);
        if (frozen)
            fell = true;
        if (!good) {
            good_since = 0;
            if (up)
                health_remove(c->run_dir);
            up = false;
            continue;
        }
        if (!good_since)
            good_since = now;
        if (!up && (!fell || now - good_since >= SENTINEL_RISE_NS))
            up = health_raise(c->run_dir) == 0;
    }
    health_remove(c->run_dir);
    after_death(c);
}

static void child(const struct sentinel_config *c, struct shared *s, int pipe_fd)
{
    sigset_t all;

    /* Ends with the pipe, not with a signal to the group. */
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    prctl(PR_SET_NAME, "gm-sentinel");
    if (pipe_fd != 3)
        dup2(pipe_fd, 3);
    close_range(4, ~0u, 0); /* above all the TUN: it must go with the daemon */
    mlockall(MCL_CURRENT | MCL_FUTURE);
    sched_setscheduler(0, SCHED_RR, &(struct sched_param){.sched_priority = RT_PRIORITY});
    c->confine();
    health_remove(c->run_dir);
    watch(c, s, 3);
    _exit(0);
}

int sentinel_start(const struct sentinel_config *c, struct sentinel **ret)
{
    int fds[2];
    struct sentinel *s = calloc(1, sizeof(*s));

    if (!s)
        return -ENOMEM;
    s->shared =
        mmap(NULL, sizeof(*s->shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s->shared == MAP_FAILED || pipe2(fds, O_CLOEXEC) < 0) {
        int r = -errno;

        if (s->shared != MAP_FAILED)
            munmap(s->shared, sizeof(*s->shared));
        free(s);
        return r;
    }
    pid_t pid = fork();
    if (pid < 0) {
        int r = -errno;
        close(fds[0]);
        close(fds[1]);
        free(s);
        return r;
    }
    if (pid == 0)
        child(c, s->shared, fds[0]);
    close(fds[0]);
    s->pipe_fd = fds[1];
    *ret = s;
    return 0;
}

bool sentinel_alive(const struct sentinel *s)
{
    struct pollfd p = {.fd = s->pipe_fd}; /* its end of the pipe closes with it */

    return poll(&p, 1, 0) == 0;
}

void sentinel_set_fit(struct sentinel *s, bool fit)
{
    atomic_store(&s->shared->fit, fit);
}

bool sentinel_all_beat(const struct sentinel *s, unsigned count, uint64_t since_ns)
{
    for (unsigned i = 0; i < count; i++) {
        uint64_t at = atomic_load(&s->shared->beat[i].boot_ns);

        if (!at || at < since_ns)
            return false;
    }
    return true;
}

struct sentinel_beat *sentinel_beats(struct sentinel *s)
{
    return s->shared->beat;
}

void sentinel_end(struct sentinel *s)
{
    if (!s)
        return;
    atomic_store(&s->shared->fit, false);
    close(s->pipe_fd);
    munmap(s->shared, sizeof(*s->shared));
    free(s);
}
