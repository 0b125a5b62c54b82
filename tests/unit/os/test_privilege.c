/* What is left of a process that made itself small; in children, since nothing is given back. */
#include "base/clock.h"
#include "base/err.h"
#include "lib/in_child.h"
#include "lib/test.h"
#include "os/fault.h"
#include "os/netlink.h"
#include "os/privilege.h"
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <uv.h>

static void need_root(void)
{
    if (geteuid() != 0)
        skip();
}

/* ---- hardening and capabilities ---- */

static void harden(void)
{
    struct rlimit core;

    CHECK(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
    CHECK(privilege_harden() == 0);
    CHECK(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
    CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    CHECK(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur == 0 && core.rlim_max == 0);
    CHECK(umask(0) == 0077);
}

TEST(a_hardened_process_leaves_no_core_and_is_not_traced)
{
    assert_int_equal(in_child(harden), 0);
}

static uint64_t caps(const char *which)
{
    char line[256];
    unsigned long long bits = ~0ull;
    FILE *f = fopen("/proc/self/status", "re");

    CHECK(f);
    while (fgets(line, sizeof(line), f))
        if (strncmp(line, which, strlen(which)) == 0)
            CHECK(sscanf(line + strlen(which), ":%llx", &bits) == 1);
    fclose(f);
    return bits;
}

#define BIT(cap) (1ull << (cap))

static void all_sets_are(uint64_t want)
{
    struct rlimit lock;

    /* Only where the limit of locked memory stands is the capability for it kept. */
    CHECK(getrlimit(RLIMIT_MEMLOCK, &lock) == 0);
    if (lock.rlim_cur != RLIM_INFINITY)
        want |= BIT(CAP_IPC_LOCK);
    CHECK(caps("CapEff") == want && caps("CapPrm") == want);
    CHECK(caps("CapInh") == 0 && caps("CapAmb") == 0 && caps("CapBnd") == 0);
}

static void drop_to_daemon(void)
{
    CHECK(privilege_drop(PRIVILEGE_DAEMON) == 0);
    all_sets_are(BIT(CAP_NET_ADMIN) | BIT(CAP_NET_RAW) | BIT(CAP_NET_BIND_SERVICE));
}

static void drop_to_sentinel(void)
{
    CHECK(privilege_drop(PRIVILEGE_SENTINEL) == 0);
    all_sets_are(BIT(CAP_NET_ADMIN));
}

static void drop_with_a_fixed_limit(void)
{
    struct rlimit small = {1 << 20, 1 << 20};

    /* Nobody may lift it: CAP_SYS_RESOURCE is gone, as in a container. */
    CHECK(setrlimit(RLIMIT_MEMLOCK, &small) == 0);
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    CHECK(syscall(SYS_capget, &head, data) == 0);
    data[0].effective &= ~(uint32_t)BIT(CAP_SYS_RESOURCE);
    data[0].permitted &= ~(uint32_t)BIT(CAP_SYS_RESOURCE);
    CHECK(syscall(SYS_capset, &head, data) == 0);
    CHECK(privilege_drop(PRIVILEGE_DAEMON) == 0);
    all_sets_are(BIT(CAP_NET_ADMIN) | BIT(CAP_NET_RAW) | BIT(CAP_NET_BIND_SERVICE));
    CHECK(caps("CapEff") & BIT(CAP_IPC_LOCK));
}

TEST(each_role_keeps_its_capabilities_and_no_other)
{
    need_root();
    assert_int_equal(in_child(drop_to_daemon), 0);
    assert_int_equal(in_child(drop_to_sentinel), 0);
    assert_int_equal(in_child(drop_with_a_fixed_limit), 0);
}

static void drop_what_is_not_there(void)
{
    if (geteuid() == 0)
        CHECK(setgid(65534) == 0 && setuid(65534) == 0);
    CHECK(privilege_drop(PRIVILEGE_DAEMON) == -EPERM);
    CHECK(caps("CapEff") == 0 && caps("CapPrm") == 0);
}

TEST(without_net_admin_dropping_says_so)
{
    assert_int_equal(in_child(drop_what_is_not_there), 0);
}

/* ---- the filter ---- */

static enum privilege_role role;

static void filter(void)
{
    CHECK(privilege_filter(role, false) == 0);
}

static const enum privilege_role roles[] = {PRIVILEGE_DAEMON, PRIVILEGE_SENTINEL};

#define DEADLY(name, call)                                                                         \
    static void name(void)                                                                         \
    {                                                                                              \
        filter();                                                                                  \
        call;                                                                                      \
    }

DEADLY(new_program, execl("/bin/true", "true", NULL))
DEADLY(other_memory, syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0))
DEADLY(mounting, syscall(SYS_mount, "none", "/nonexistent", "tmpfs", 0, NULL))
DEADLY(namespaces, syscall(SYS_unshare, CLONE_NEWNET))
DEADLY(modules, syscall(SYS_init_module, NULL, 0, ""))
DEADLY(clocks, syscall(SYS_clock_settime, CLOCK_REALTIME, NULL))
DEADLY(handles, syscall(SYS_open_by_handle_at, -1, NULL, 0))
DEADLY(keyrings, syscall(SYS_keyctl, 0, 0, 0, 0, 0))
DEADLY(writable_code, (void)mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))

static void code_made_writable(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(p != MAP_FAILED);
    filter();
    mprotect(p, 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
}

static void new_process(void)
{
    filter();
    if (fork() == 0)
        _exit(0);
}

static void tracing(void)
{
    filter();
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

TEST(what_only_an_intruder_does_ends_the_process)
{
    static void (*const deadly[])(void) = {
        new_program, other_memory, mounting, namespaces,    modules,
        clocks,      handles,      keyrings, writable_code, code_made_writable};

    for (unsigned r = 0; r < ARRAY_LEN(roles); r++) {
        role = roles[r];
        for (unsigned i = 0; i < ARRAY_LEN(deadly); i++)
            if (in_child(deadly[i]) != SIGSYS)
                fail_msg("number %u of role %u lives", i, role);
        if (SANITIZED)
            continue;
        assert_int_equal(in_child(new_process), SIGSYS);
        assert_int_equal(in_child(tracing), SIGSYS);
    }
}

#define REFUSED(call) CHECK((errno = 0, (call) < 0) && errno == ENOSYS)

static void not_of_the_list(void)
{
    pid_t parent = getppid();

    filter();
    CHECK(privilege_filter(role, false) == -EEXIST);
    REFUSED(syscall(SYS_io_uring_setup, 8, NULL));
    REFUSED(syscall(SYS_clone3, NULL, 0));
    REFUSED(syscall(SYS_bpf, 0, NULL, 0));
    REFUSED(socket(AF_ALG, SOCK_SEQPACKET, 0));
    REFUSED(socket(AF_VSOCK, SOCK_STREAM, 0));
    REFUSED(ioctl(0, TIOCSTI, "x"));
    REFUSED(kill(parent, 0));
    REFUSED(syscall(SYS_tgkill, parent, parent, 0));
    REFUSED(syscall(SYS_setuid, 0));
    REFUSED(syscall(SYS_capset, NULL, NULL));
    REFUSED(setpriority(PRIO_PROCESS, 0, 0));
    REFUSED(symlink("/etc/passwd", "/tmp/gm-never"));
    REFUSED(memfd_create("x", 0));
    REFUSED(syscall(SYS_landlock_create_ruleset, NULL, 0, 0)); /* stands for what is yet to come */
    if (role == PRIVILEGE_SENTINEL) {
        REFUSED(socket(AF_INET, SOCK_DGRAM, 0));
        REFUSED(socket(AF_PACKET, SOCK_RAW, 0));
        REFUSED(mkdir("/tmp/gm-never", 0700));
        REFUSED(syscall(SYS_epoll_create1, 0));
        REFUSED(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
    }
}

TEST(what_is_not_of_the_list_looks_as_if_the_kernel_did_not_have_it)
{
    if (SANITIZED)
        skip();
    for (unsigned r = 0; r < ARRAY_LEN(roles); r++) {
        role = roles[r];
        assert_int_equal(in_child(not_of_the_list), 0);
    }
}

static _Atomic int stage;

static void *older_thread(void *arg)
{
    while (stage == 0)
        sched_yield();
    execl("/bin/true", "true", NULL);
    return NULL;
}

static void threads_that_were_there(void)
{
    pthread_t t;

    CHECK(pthread_create(&t, NULL, older_thread, NULL) == 0);
    filter();
    stage = 1;
    pthread_join(t, NULL);
}

TEST(threads_that_were_there_before_are_filtered_too)
{
    role = PRIVILEGE_DAEMON;
    assert_int_equal(in_child(threads_that_were_there), SIGSYS);
}

static void dying(void)
{
    filter();
    abort();
}

TEST(a_broken_invariant_still_ends_it_as_one)
{
    for (unsigned r = 0; r < ARRAY_LEN(roles); r++) {
        role = roles[r];
        assert_int_equal(in_child(dying), SIGABRT);
    }
}

/* ---- and what must go on working ---- */

static char dir[64], path[96];

static const char *in_dir(const char *name)
{
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static void *thread(void *arg)
{
    char name[16];

    prctl(PR_SET_NAME, "gm-test");
    pthread_getname_np(pthread_self(), name, sizeof(name));
    return malloc(300000) ? arg : NULL; /* more than a heap of a thread begins with */
}

static void pool_work(uv_work_t *w)
{
    int fd = open(in_dir("work"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    CHECK(fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && ftruncate(fd, 4096) == 0);
    CHECK(pwrite(fd, "x", 1, 100) == 1 && fdatasync(fd) == 0 && fsync(fd) == 0);
    void *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(map != MAP_FAILED && munmap(map, 4096) == 0 && close(fd) == 0);
    CHECK(unlink(in_dir("work")) == 0);
}

static void on_timer(uv_timer_t *t)
{
    uv_close((uv_handle_t *)t, NULL);
}

static void on_signal(uv_signal_t *s, int number)
{
    uv_close((uv_handle_t *)s, NULL);
}

static void daemon_lives(void)
{
    uv_loop_t loop;
    uv_timer_t timer;
    uv_signal_t on_term;
    uv_work_t work[4];
    pthread_t t[4];
    char bytes[64];
    void *got;

    CHECK(uv_loop_init(&loop) == 0 && uv_timer_init(&loop, &timer) == 0);
    filter();
    for (unsigned i = 0; i < 4; i++)
        CHECK(pthread_create(&t[i], NULL, thread, &t) == 0);
    for (unsigned i = 0; i < 4; i++)
        CHECK(pthread_join(t[i], &got) == 0 && got);
    CHECK(uv_timer_start(&timer, on_timer, 5, 0) == 0);
    CHECK(uv_signal_init(&loop, &on_term) == 0 &&
          uv_signal_start(&on_term, on_signal, SIGTERM) == 0);
    CHECK(uv_queue_work(&loop, &work[0], pool_work, NULL) == 0); /* the pool's threads start here */
    CHECK(raise(SIGTERM) == 0);
    CHECK(uv_run(&loop, UV_RUN_DEFAULT) == 0);
    uint64_t before_ns = clock_boot_ns();
    CHECK(fault_freeze(20) == 0);
    CHECK(clock_boot_ns() - before_ns >= 20 * NS_PER_MS);
    CHECK(getrandom(bytes, sizeof(bytes), 0) == sizeof(bytes));
    CHECK(getgrnam("root") && !getgrnam("gm-no-such-group"));
    int watch = inotify_init1(IN_CLOEXEC);
    CHECK(watch >= 0 && inotify_add_watch(watch, dir, IN_DELETE) >= 0);
    CHECK(mkfifo(in_dir("fifo"), 0600) == 0 && unlink(path) == 0);
    CHECK(mlock(bytes, sizeof(bytes)) == 0 || errno == ENOMEM || errno == EPERM);
    static const int families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};
    for (unsigned i = 0; i < ARRAY_LEN(families); i++) {
        int fd = socket(families[i], SOCK_DGRAM | SOCK_CLOEXEC, 0);
        CHECK(fd >= 0 || errno == EAFNOSUPPORT); /* a kernel without IPv6 */
        close(fd);
    }
    CHECK(if_nametoindex("lo") == 1);
    struct netlink *nl;
    struct netlink_link link;
    CHECK(netlink_open(&nl) == 0);
    CHECK(netlink_link_read(nl, "lo", &link) == 0 && link.index == 1);
    netlink_close(nl);
}

static void sentinel_lives(void)
{
    struct timespec pause = {.tv_nsec = 1000};
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    struct netlink *nl;
    struct netlink_link link;

    filter();
    int at = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    CHECK(at >= 0);
    int fd = openat(at, "new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    CHECK(fd >= 0 && write(fd, "1\n", 2) == 2 && fchmod(fd, 0644) == 0);
    CHECK(renameat(at, "new", at, "health") == 0 && unlinkat(at, "health", 0) == 0);
    CHECK(fcntl(fd, F_SETLK, &lock) == 0 && fcntl(fd, F_GETLK, &lock) == 0);
    CHECK(ppoll(NULL, 0, &pause, NULL) == 0 && nanosleep(&pause, NULL) == 0);
    CHECK(netlink_open(&nl) == 0);
    CHECK(netlink_link_read(nl, "lo", &link) == 0);
    struct vip_addr none = {
        .addr = addr_from_v4((const uint8_t[]){192, 0, 2, 77}), .prefix_len = 32, .ifname = "lo"};
    netlink_remove_addresses(nl, &none, 1); /* which is not there */
    netlink_close(nl);
    fprintf(stderr, "%s", "");
}

static void daemon_kills_itself(void)
{
    filter();
    fault_kill();
}

TEST(a_drill_kills_the_process_behind_the_filter)
{
    role = PRIVILEGE_DAEMON;
    assert_int_equal(in_child(daemon_kills_itself), SIGKILL);
}

TEST(each_role_can_do_its_work_behind_the_filter)
{
    strcpy(dir, "/tmp/gm-privilege-XXXXXX");
    assert_non_null(mkdtemp(dir));
    role = PRIVILEGE_DAEMON;
    int daemon = in_child(daemon_lives);
    role = PRIVILEGE_SENTINEL;
    int sentinel = in_child(sentinel_lives);
    assert_int_equal(rmdir(dir), 0);
    assert_int_equal(daemon, 0);
    assert_int_equal(sentinel, 0);
}

TEST_MAIN(T(a_hardened_process_leaves_no_core_and_is_not_traced),
          T(each_role_keeps_its_capabilities_and_no_other), T(without_net_admin_dropping_says_so),
          T(what_only_an_intruder_does_ends_the_process),
          T(what_is_not_of_the_list_looks_as_if_the_kernel_did_not_have_it),
          T(threads_that_were_there_before_are_filtered_too),
          T(a_broken_invariant_still_ends_it_as_one),
          T(a_drill_kills_the_process_behind_the_filter),
          T(each_role_can_do_its_work_behind_the_filter))
