#include "ha/sentinel.h"
#include "base/clock.h"
#include "base/err.h"
#include "ha/health.h"
#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>

#define RT_PRIORITY 10
#define LAST_FILE 1000 /* below the usual limit of 1024 */

struct shared {
    _Atomic uint64_t fit; /* bit n: for the VIP of slot n */
    struct sentinel_beat beat[SENTINEL_BEATS_MAX];
};

struct sentinel {
    struct shared *shared;
    int pipe_fd; /* the daemon's end; closed by its death */
    int lock_fd; /* its post */
};

/* What the child knows. */
struct guard {
    const struct sentinel_config *c;
    struct shared *shared;
    pid_t daemon;
    int pipe_fd, lock_fd;
};

/* ---- whose the post is ---- */

enum { DEED, POST };

static int lock_set(int fd, off_t byte, short type)
{
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

    return fcntl(fd, F_SETLK, &l) < 0 ? -errno : 0;
}

/* Somebody other than @pid has it. */
static bool lock_is_anothers(int fd, off_t byte, pid_t pid)
{
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

    return fcntl(fd, F_GETLK, &l) == 0 && l.l_type != F_UNLCK && l.l_pid != pid;
}

/* Deeds are short, so whoever has the lock is asked again and again. -ETIMEDOUT. */
static int deed_begin(int fd)
{
    struct timespec pause = {.tv_nsec = NS_PER_MS};
    uint64_t until = clock_boot_ns() + SENTINEL_LINGER_NS;
    int r;

    while ((r = lock_set(fd, DEED, F_WRLCK)) == -EAGAIN || r == -EACCES) {
        if (clock_boot_ns() > until)
            return -ETIMEDOUT;
        nanosleep(&pause, NULL);
    }
    return r;
}

static void deed_end(int fd)
{
    int r = lock_set(fd, DEED, F_UNLCK);

    assert(r == 0);
}

/* The daemon takes its post. */
static int post_take(const char *run_dir, int *ret_fd)
{
    char path[PATH_MAX];
    int r;

    snprintf(path, sizeof(path), "%s/" SENTINEL_LOCK, run_dir);
    _cleanup_(closep) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    if ((r = deed_begin(fd)) < 0)
        return r;
    r = lock_set(fd, POST, F_WRLCK);
    deed_end(fd);
    if (r < 0)
        return r == -EAGAIN || r == -EACCES ? -EALREADY : r;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

/* True: it is our daemon's post (which may be about to end), or was and is nobody's yet; deed_end()
 * when what was to be done is done. False: leave everything as it is. */
static bool post_is_ours(const struct guard *g)
{
    /* Who stands still with the lock in its hand must not keep health up. */
    deed_begin(g->lock_fd);
    bool ours = !lock_is_anothers(g->lock_fd, POST, g->daemon);
    if (!ours)
        deed_end(g->lock_fd);
    return ours;
}

/* ---- the watch ---- */

static_assert(VIPS_MAX <= 64, "a bit for each slot");

static uint64_t all_slots(const struct guard *g)
{
    return (UINT64_MAX >> (63 - g->c->vip_count)) & ~1ull;
}

static void withdraw(const struct guard *g)
{
    health_remove_all(g->c->run_dir, g->c->vips + 1, g->c->vip_count);
}

static bool beats_good(struct shared *s, uint64_t now_ns, uint64_t freeze_ns)
{
    for (unsigned i = 0; i < SENTINEL_BEATS_MAX; i++) {
        uint64_t at = atomic_load(&s->beat[i].boot_ns);

        if (at && now_ns > at && now_ns - at > freeze_ns)
            return false;
    }
    return true;
}

/* keepalived has it open for both directions, and the daemon, the only other reader, is dead. So it
 * can be told without reading: the lines are for the daemon that comes next. */
static bool keepalived_gone(const char *run_dir)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/vrrp.fifo", run_dir);
    _cleanup_(closep) int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0;
}

/* The daemon is dead. What keepalived still holds it gives up by itself, for want of health. */
static void after_death(const struct guard *g)
{
    uint64_t until = clock_boot_ns() + SENTINEL_LINGER_NS;
    struct timespec pause = {.tv_nsec = SENTINEL_LOOK_MS * 1000000};

    for (bool first = true; first || clock_boot_ns() < until; first = false) {
        if (!post_is_ours(g))
            return;
        if (first)
            withdraw(g);
        bool gone = keepalived_gone(g->c->run_dir);
        for (unsigned i = 1; gone && i <= g->c->vip_count; i++)
            g->c->remove_vip(&g->c->vips[i]);
        deed_end(g->lock_fd);
        if (gone)
            return;
        nanosleep(&pause, NULL);
    }
}

static bool has(uint64_t slots, unsigned slot)
{
    return slots >> slot & 1;
}

/* Files of @up become those of @want. Returns which are there then: what could not be raised is
 * tried again. */
static uint64_t change_health(const struct guard *g, uint64_t up, uint64_t want)
{
    uint64_t all = all_slots(g);
    bool whole = up == all;

    if (!post_is_ours(g))
        return up;
    if (whole && want != all)
        health_remove(g->c->run_dir, HEALTH_OF_ALL);
    for (unsigned slot = 1; slot <= g->c->vip_count; slot++) {
        uint16_t id = g->c->vips[slot].id;

        if (has(up, slot) && !has(want, slot))
            health_remove(g->c->run_dir, id);
        else if (!has(up, slot) && has(want, slot) && health_raise(g->c->run_dir, id) < 0)
            want &= ~(1ull << slot);
    }
    if (!whole && want == all && health_raise(g->c->run_dir, HEALTH_OF_ALL) < 0)
        want &= ~2ull; /* with the first of them again */
    deed_end(g->lock_fd);
    return want;
}

static void watch(const struct guard *g)
{
    struct pollfd p = {.fd = g->pipe_fd, .events = POLLIN};
    struct timespec pause = {.tv_nsec = SENTINEL_LOOK_MS * 1000000};
    bool fell = false;
    uint64_t up = 0, good_since = 0;

    for (;;) {
        int r = ppoll(&p, 1, &pause, NULL);
        uint64_t now = clock_boot_ns();

        if (r > 0)
            break; /* the only thing that happens to the pipe is its end */
        bool frozen = !beats_good(g->shared, now, g->c->freeze_after_ns);
        uint64_t want = frozen ? 0 : atomic_load(&g->shared->fit) & all_slots(g);
        if (frozen)
            fell = true;
        if (!want)
            good_since = 0;
        else if (!good_since)
            good_since = now;
        if (fell && now - good_since < SENTINEL_RISE_NS)
            want &= up; /* falls at once, rises slowly */
        if (want != up)
            up = change_health(g, up, want);
    }
    after_death(g);
}

/* Nothing of the daemon's stays open here, above all not the TUN: it must go with the daemon. */
static bool keep_descriptors(struct guard *g)
{
    int pipe_fd = fcntl(g->pipe_fd, F_DUPFD_CLOEXEC, 5);
    int lock_fd = fcntl(g->lock_fd, F_DUPFD_CLOEXEC, 5);

    if (pipe_fd < 0 || lock_fd < 0 || dup3(pipe_fd, 3, O_CLOEXEC) < 0 ||
        dup3(lock_fd, 4, O_CLOEXEC) < 0 || close_range(5, ~0u, 0) < 0)
        return false;
    g->pipe_fd = 3;
    g->lock_fd = 4;
    return true;
}

static void child(struct guard *g)
{
    sigset_t all;

    /* Ends with the pipe, not with a signal to the group. */
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    prctl(PR_SET_NAME, "gm-sentinel");
    /* What fails here the daemon sees by the end of the pipe (sentinel_alive). */
    if (!keep_descriptors(g))
        _exit(1);
    mlockall(MCL_CURRENT | MCL_FUTURE);
    sched_setscheduler(0, SCHED_RR, &(struct sched_param){.sched_priority = RT_PRIORITY});
    if (g->c->confine() < 0)
        _exit(1);
    if (post_is_ours(g)) {
        withdraw(g);
        deed_end(g->lock_fd);
    }
    watch(g);
    _exit(0);
}

int sentinel_start(const struct sentinel_config *c, struct sentinel **ret)
{
    int fds[2], r;
    struct sentinel *s = calloc(1, sizeof(*s));

    if (!s)
        return -ENOMEM;
    r = post_take(c->run_dir, &s->lock_fd);
    if (r < 0)
        goto fail;
    s->shared =
        mmap(NULL, sizeof(*s->shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s->shared == MAP_FAILED) {
        r = -errno;
        goto fail_lock;
    }
    if (pipe2(fds, O_CLOEXEC) < 0) {
        r = -errno;
        goto fail_map;
    }
    struct guard g = {
        .c = c, .shared = s->shared, .daemon = getpid(), .pipe_fd = fds[0], .lock_fd = s->lock_fd};
    pid_t pid = fork();
    if (pid < 0) {
        r = -errno;
        goto fail_pipe;
    }
    if (pid == 0)
        child(&g);
    close(fds[0]);
    /* What a dead process had open the kernel lets go from the last file to the first, and a TUN
     * takes it tens of milliseconds: the word of our death is not to wait for that. */
    s->pipe_fd = fcntl(fds[1], F_DUPFD_CLOEXEC, LAST_FILE);
    if (s->pipe_fd < 0)
        s->pipe_fd = fds[1];
    else
        close(fds[1]);
    *ret = s;
    return 0;

fail_pipe:
    close(fds[0]);
    close(fds[1]);
fail_map:
    munmap(s->shared, sizeof(*s->shared));
fail_lock:
    close(s->lock_fd);
fail:
    free(s);
    return r;
}

bool sentinel_alive(const struct sentinel *s)
{
    struct pollfd p = {.fd = s->pipe_fd}; /* its end of the pipe closes with it */

    return poll(&p, 1, 0) == 0;
}

void sentinel_set_fit(struct sentinel *s, uint16_t vip_slot, bool fit)
{
    uint64_t bit = 1ull << vip_slot;

    assert(vip_slot && vip_slot < VIPS_MAX);
    if (fit)
        atomic_fetch_or(&s->shared->fit, bit);
    else
        atomic_fetch_and(&s->shared->fit, ~bit);
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
    atomic_store(&s->shared->fit, 0);
    close(s->lock_fd); /* the post is free before the sentinel looks */
    close(s->pipe_fd);
    munmap(s->shared, sizeof(*s->shared));
    free(s);
}
