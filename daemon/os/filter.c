/* The system call filter of os/privilege.h: docs/adr/0008 tells why it is as it is. */
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/err.h"
#include "os/privilege.h"

/* Sanitizers do what a hub never does: LeakSanitizer looks at its own process with clone and ptrace
 * when it ends. Under them only what is deadly to others is filtered. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* What nobody here calls, new libraries neither: whoever does is not us any more. */
static const int deadly[] = {
    SCMP_SYS(execve),
    SCMP_SYS(execveat),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(process_madvise),
    SCMP_SYS(pidfd_getfd),
    SCMP_SYS(kcmp),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(name_to_handle_at),
    SCMP_SYS(mount),
    SCMP_SYS(umount),
    SCMP_SYS(umount2),
    SCMP_SYS(move_mount),
    SCMP_SYS(open_tree),
    SCMP_SYS(fsopen),
    SCMP_SYS(fsmount),
    SCMP_SYS(fspick),
    SCMP_SYS(fsconfig),
    SCMP_SYS(mount_setattr),
    SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),
    SCMP_SYS(unshare),
    SCMP_SYS(setns),
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(delete_module),
    SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load),
    SCMP_SYS(reboot),
    SCMP_SYS(swapon),
    SCMP_SYS(swapoff),
    SCMP_SYS(acct),
    SCMP_SYS(quotactl),
    SCMP_SYS(syslog),
    SCMP_SYS(vhangup),
    SCMP_SYS(personality),
    SCMP_SYS(iopl),
    SCMP_SYS(ioperm),
    SCMP_SYS(modify_ldt),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(add_key),
    SCMP_SYS(request_key),
    SCMP_SYS(keyctl),
    SCMP_SYS(clock_settime),
    SCMP_SYS(settimeofday),
    SCMP_SYS(clock_adjtime),
    SCMP_SYS(adjtimex),
    SCMP_SYS(sethostname),
    SCMP_SYS(setdomainname),
    SCMP_SYS(lookup_dcookie),
    SCMP_SYS(fanotify_init),
};

static const int deadly_but_for_sanitizers[] = {
    SCMP_SYS(ptrace),
    SCMP_SYS(fork),
    SCMP_SYS(vfork),
};

/* What every C program does: memory, threads of its own, signals to itself, time. */
static const int of_any_program[] = {
    SCMP_SYS(arch_prctl),
    SCMP_SYS(brk),
    SCMP_SYS(clock_getres),
    SCMP_SYS(clock_getres_time64),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_gettime64),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(clock_nanosleep_time64),
    SCMP_SYS(close),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(fcntl),
    SCMP_SYS(fcntl64),
    SCMP_SYS(fstat),
    SCMP_SYS(fstat64),
    SCMP_SYS(fstatat64),
    SCMP_SYS(futex),
    SCMP_SYS(futex_time64),
    SCMP_SYS(getegid),
    SCMP_SYS(getegid32),
    SCMP_SYS(geteuid),
    SCMP_SYS(geteuid32),
    SCMP_SYS(getgid),
    SCMP_SYS(getgid32),
    SCMP_SYS(getpid),
    SCMP_SYS(getppid),
    SCMP_SYS(getrandom),
    SCMP_SYS(gettid),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(getuid),
    SCMP_SYS(getuid32),
    SCMP_SYS(lseek),
    SCMP_SYS(_llseek),
    SCMP_SYS(madvise),
    SCMP_SYS(membarrier),
    SCMP_SYS(mlock),
    SCMP_SYS(mlock2),
    SCMP_SYS(mremap),
    SCMP_SYS(munlock),
    SCMP_SYS(munmap),
    SCMP_SYS(nanosleep),
    SCMP_SYS(newfstatat),
    SCMP_SYS(open),
    SCMP_SYS(openat),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(ppoll_time64),
    SCMP_SYS(read),
    SCMP_SYS(readv),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(rseq),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sched_yield),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(sigreturn),
    SCMP_SYS(statx),
    SCMP_SYS(time),
    SCMP_SYS(write),
    SCMP_SYS(writev),
};

/* Sockets (of some families, see below), and the health file. */
static const int of_both[] = {
    SCMP_SYS(bind),        SCMP_SYS(connect),    SCMP_SYS(fchmod),    SCMP_SYS(getpeername),
    SCMP_SYS(getsockname), SCMP_SYS(getsockopt), SCMP_SYS(recvfrom),  SCMP_SYS(recvmsg),
    SCMP_SYS(rename),      SCMP_SYS(renameat),   SCMP_SYS(renameat2), SCMP_SYS(sendmsg),
    SCMP_SYS(sendto),      SCMP_SYS(setsockopt), SCMP_SYS(shutdown),  SCMP_SYS(unlink),
    SCMP_SYS(unlinkat),
};

/* libuv's loops and pool, SQLite, getgrnam() with whatever modules a machine has for it,
 * sd_notify().
 */
static const int of_daemon[] = {
    SCMP_SYS(accept),
    SCMP_SYS(accept4),
    SCMP_SYS(access),
    SCMP_SYS(capget),
    SCMP_SYS(chmod),
    SCMP_SYS(chown),
    SCMP_SYS(close_range),
    SCMP_SYS(dup),
    SCMP_SYS(dup2),
    SCMP_SYS(dup3),
    SCMP_SYS(epoll_create),
    SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_pwait2),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(eventfd),
    SCMP_SYS(eventfd2),
    SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2),
    SCMP_SYS(fadvise64),
    SCMP_SYS(fadvise64_64),
    SCMP_SYS(fallocate),
    SCMP_SYS(fchmodat),
    SCMP_SYS(fchown),
    SCMP_SYS(fchown32),
    SCMP_SYS(fchownat),
    SCMP_SYS(fdatasync),
    SCMP_SYS(flock),
    SCMP_SYS(fstatfs),
    SCMP_SYS(fstatfs64),
    SCMP_SYS(fsync),
    SCMP_SYS(ftruncate),
    SCMP_SYS(ftruncate64),
    SCMP_SYS(getcpu),
    SCMP_SYS(getcwd),
    SCMP_SYS(getdents),
    SCMP_SYS(getdents64),
    SCMP_SYS(getgroups),
    SCMP_SYS(getgroups32),
    SCMP_SYS(getresgid),
    SCMP_SYS(getresgid32),
    SCMP_SYS(getresuid),
    SCMP_SYS(getresuid32),
    SCMP_SYS(getrlimit),
    SCMP_SYS(getrusage),
    SCMP_SYS(get_robust_list),
    SCMP_SYS(inotify_add_watch),
    SCMP_SYS(inotify_init),
    SCMP_SYS(inotify_init1),
    SCMP_SYS(inotify_rm_watch),
    SCMP_SYS(link),
    SCMP_SYS(linkat),
    SCMP_SYS(listen),
    SCMP_SYS(lstat),
    SCMP_SYS(lstat64),
    SCMP_SYS(mincore),
    SCMP_SYS(mkdir),
    SCMP_SYS(mkdirat),
    SCMP_SYS(mknod),
    SCMP_SYS(mknodat),
    SCMP_SYS(msync),
    SCMP_SYS(openat2),
    SCMP_SYS(pipe),
    SCMP_SYS(pipe2),
    SCMP_SYS(prctl),
    SCMP_SYS(pread64),
    SCMP_SYS(preadv),
    SCMP_SYS(preadv2),
    SCMP_SYS(prlimit64),
    SCMP_SYS(pselect6),
    SCMP_SYS(pselect6_time64),
    SCMP_SYS(pwrite64),
    SCMP_SYS(pwritev),
    SCMP_SYS(pwritev2),
    SCMP_SYS(readahead),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(recvmmsg),
    SCMP_SYS(recvmmsg_time64),
    SCMP_SYS(rmdir),
    SCMP_SYS(rt_sigpending),
    SCMP_SYS(rt_sigsuspend),
    SCMP_SYS(rt_sigtimedwait),
    SCMP_SYS(rt_sigtimedwait_time64),
    SCMP_SYS(sched_get_priority_max),
    SCMP_SYS(sched_get_priority_min),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_getattr),
    SCMP_SYS(sched_getparam),
    SCMP_SYS(sched_getscheduler),
    SCMP_SYS(sched_setaffinity),
    SCMP_SYS(sched_setattr),
    SCMP_SYS(select),
    SCMP_SYS(_newselect),
    SCMP_SYS(sendmmsg),
    SCMP_SYS(setrlimit),
    SCMP_SYS(set_tid_address),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(signalfd),
    SCMP_SYS(signalfd4),
    SCMP_SYS(socketpair),
    SCMP_SYS(stat),
    SCMP_SYS(stat64),
    SCMP_SYS(statfs),
    SCMP_SYS(statfs64),
    SCMP_SYS(sync_file_range),
    SCMP_SYS(sysinfo),
    SCMP_SYS(timer_create), /* timers end the freeze of a drill */
    SCMP_SYS(timer_delete),
    SCMP_SYS(timer_settime),
    SCMP_SYS(timer_settime64),
    SCMP_SYS(timerfd_create),
    SCMP_SYS(timerfd_gettime),
    SCMP_SYS(timerfd_gettime64),
    SCMP_SYS(timerfd_settime),
    SCMP_SYS(timerfd_settime64),
    SCMP_SYS(times),
    SCMP_SYS(truncate),
    SCMP_SYS(truncate64),
    SCMP_SYS(ugetrlimit),
    SCMP_SYS(umask),
    SCMP_SYS(uname),
    SCMP_SYS(utime),
    SCMP_SYS(utimensat),
    SCMP_SYS(utimensat_time64),
    SCMP_SYS(utimes),
};

/* Not: those that push characters into a terminal. */
static const unsigned long requests[] = {
    FIOCLEX,      FIONBIO,       FIONREAD,        TCGETS,         TIOCGWINSZ,     SIOCGIFCONF,
    SIOCGIFFLAGS, SIOCGIFHWADDR, SIOCGIFINDEX,    SIOCGIFMTU,     SIOCGIFNAME,    SIOCGSKNS,
    SIOCSIFFLAGS, SIOCSIFMTU,    SIOCSIFTXQLEN,   TUNGETDEVNETNS, TUNGETFEATURES, TUNGETIFF,
    TUNSETIFF,    TUNSETOFFLOAD, TUNSETVNETHDRSZ,
};

static const int families_of_daemon[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET};
static const int families_of_sentinel[] = {AF_UNIX, AF_NETLINK};

/* A call that this architecture does not have is no error. */
static int rule_result(int r)
{
    return r == -EDOM || r == -EFAULT ? 0 : r;
}

static int rules(scmp_filter_ctx f, uint32_t action, const int *calls, unsigned count)
{
    int r = 0;

    for (unsigned i = 0; i < count && r == 0; i++)
        r = rule_result(seccomp_rule_add(f, action, calls[i], 0));
    return r;
}

/* @call, where argument @which masked by @mask is @value. */
static int rule_where(scmp_filter_ctx f, uint32_t action, int call, unsigned which,
                      scmp_datum_t mask, scmp_datum_t value)
{
    return rule_result(
        seccomp_rule_add(f, action, call, 1, SCMP_CMP(which, SCMP_CMP_MASKED_EQ, mask, value)));
}

/* Memory that is writable and executable at once is injected code. */
static int memory_rules(scmp_filter_ctx f)
{
    static const int calls[] = {SCMP_SYS(mmap), SCMP_SYS(mmap2), SCMP_SYS(mprotect),
                                SCMP_SYS(pkey_mprotect)};
    static const scmp_datum_t fine[] = {0, PROT_WRITE, PROT_EXEC};
    const scmp_datum_t both = PROT_WRITE | PROT_EXEC;
    int r = 0;

    for (unsigned i = 0; i < ARRAY_LEN(calls) && r == 0; i++) {
        r = rule_where(f, SCMP_ACT_KILL_PROCESS, calls[i], 2, both, both);
        for (unsigned k = 0; k < ARRAY_LEN(fine) && r == 0 && !SANITIZED; k++)
            r = rule_where(f, SCMP_ACT_ALLOW, calls[i], 2, both, fine[k]);
    }
    return r;
}

/* Threads, but no processes; signals, but to none other. */
static int process_rules(scmp_filter_ctx f)
{
    static const int own[] = {SCMP_SYS(tgkill), SCMP_SYS(rt_tgsigqueueinfo)};
    int r = rule_where(f, SCMP_ACT_KILL_PROCESS, SCMP_SYS(clone), 0, CLONE_THREAD, 0);

    if (r == 0)
        r = rule_where(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 0, CLONE_THREAD, CLONE_THREAD);
    for (unsigned i = 0; i < ARRAY_LEN(own) && r == 0; i++)
        r = rule_where(f, SCMP_ACT_ALLOW, own[i], 0, UINT32_MAX, (scmp_datum_t)getpid());
    return r;
}

static int socket_rules(scmp_filter_ctx f, const int *families, unsigned count)
{
    int r = 0;

    for (unsigned i = 0; i < count && r == 0; i++)
        r = rule_where(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 0, UINT32_MAX,
                       (scmp_datum_t)families[i]);
    for (unsigned i = 0; i < ARRAY_LEN(requests) && r == 0; i++)
        r = rule_where(f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, UINT32_MAX, requests[i]);
    return r;
}

static int allow_rules(scmp_filter_ctx f, enum privilege_role role)
{
    const bool daemon = role == PRIVILEGE_DAEMON;
    int r = rules(f, SCMP_ACT_ALLOW, of_any_program, ARRAY_LEN(of_any_program));

    if (r == 0)
        r = rules(f, SCMP_ACT_ALLOW, of_both, ARRAY_LEN(of_both));
    if (r == 0 && daemon)
        r = rules(f, SCMP_ACT_ALLOW, of_daemon, ARRAY_LEN(of_daemon));
    if (r == 0)
        r = process_rules(f);
    if (r == 0)
        r = daemon ? socket_rules(f, families_of_daemon, ARRAY_LEN(families_of_daemon))
                   : socket_rules(f, families_of_sentinel, ARRAY_LEN(families_of_sentinel));
    return r;
}

static int add_rules(scmp_filter_ctx f, enum privilege_role role)
{
    int r = rules(f, SCMP_ACT_KILL_PROCESS, deadly, ARRAY_LEN(deadly));

    if (r == 0)
        r = memory_rules(f);
    if (r == 0 && !SANITIZED)
        r = rules(f, SCMP_ACT_KILL_PROCESS, deadly_but_for_sanitizers,
                  ARRAY_LEN(deadly_but_for_sanitizers));
    if (r == 0 && !SANITIZED)
        r = allow_rules(f, role);
    return r;
}

int privilege_filter(enum privilege_role role, bool tell)
{
    static bool installed;
    scmp_filter_ctx f;
    int r;

    if (installed)
        return -EEXIST;
    f = seccomp_init(SANITIZED ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(ENOSYS));
    if (!f)
        return -ENOMEM;
    r = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);
    if (r == 0)
        r = add_rules(f, role);
    if (r == 0) {
        /* Both are refinements that an older kernel or library lacks. */
        seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
        seccomp_attr_set(f, SCMP_FLTATR_CTL_LOG, tell);
        r = seccomp_load(f);
    }
    seccomp_release(f);
    installed = r == 0;
    return r;
}
