#include "os/privilege.h"

#include <cap-ng.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/err.h"

/* LeakSanitizer looks at its own process with clone and ptrace when it ends. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

int privilege_harden(void)
{
    struct rlimit none = {0, 0};

    umask(0077);
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    return 0;
}

/* ---- capabilities ---- */

static bool memlock_lifted(void)
{
    struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY}, now;

    if (setrlimit(RLIMIT_MEMLOCK, &unlimited) == 0)
        return true;
    return getrlimit(RLIMIT_MEMLOCK, &now) == 0 && now.rlim_cur == RLIM_INFINITY;
}

static int keep(const int *wanted, unsigned count)
{
    bool have[8] = {false};
    capng_select_t sets = CAPNG_SELECT_CAPS;

    if (capng_get_caps_process() < 0)
        return -EIO;
    for (unsigned i = 0; i < count; i++)
        have[i] = capng_have_capability(CAPNG_PERMITTED, (unsigned)wanted[i]);
    /* The bounding set matters to exec only, which the filter ends; it needs CAP_SETPCAP. */
    if (capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP))
        sets |= CAPNG_SELECT_BOUNDS;
    sets |= CAPNG_SELECT_AMBIENT;
    capng_clear(CAPNG_SELECT_ALL);
    for (unsigned i = 0; i < count; i++)
        if (have[i] &&
            capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, (unsigned)wanted[i]) < 0)
            return -EIO;
    if (capng_apply(sets) < 0)
        return -EPERM;
    return have[0] ? 0 : -EPERM;
}

int privilege_drop(enum privilege_role role)
{
    static const int of_sentinel[] = {CAP_NET_ADMIN, CAP_IPC_LOCK};
    static const int of_daemon[] = {CAP_NET_ADMIN, CAP_NET_RAW, CAP_NET_BIND_SERVICE, CAP_IPC_LOCK};
    unsigned spare = memlock_lifted() ? 1 : 0; /* the last one */

    if (role == PRIVILEGE_SENTINEL)
        return keep(of_sentinel, ARRAY_LEN(of_sentinel) - spare);
    return keep(of_daemon, ARRAY_LEN(of_daemon) - spare);
}

/* ---- system calls ---- */

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

struct refused {
    int call, err;
};

static const struct refused refused[] = {
    {SCMP_SYS(io_uring_setup), ENOSYS}, /* a newer libuv asks for it and does without */
    {SCMP_SYS(io_uring_enter), ENOSYS},
    {SCMP_SYS(io_uring_register), ENOSYS},
    {SCMP_SYS(clone3), ENOSYS}, /* its flags are out of sight: glibc then takes clone */
    {SCMP_SYS(bpf), EPERM},
};

static const int families_of_daemon[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET};
static const int families_of_sentinel[] = {AF_UNIX, AF_NETLINK};

/* A call that this architecture does not have is no error. */
static int rule_result(int r)
{
    return r == -EDOM || r == -EFAULT ? 0 : r;
}

static int kill_on(scmp_filter_ctx f, const int *calls, unsigned count)
{
    int r = 0;

    for (unsigned i = 0; i < count && r == 0; i++)
        r = rule_result(seccomp_rule_add(f, SCMP_ACT_KILL_PROCESS, calls[i], 0));
    return r;
}

/* socket() of any family but these: the gaps between the allowed ones, in order. */
static int refuse_other_families(scmp_filter_ctx f, const int *allowed, unsigned count)
{
    const uint32_t answer = SCMP_ACT_ERRNO(EAFNOSUPPORT);
    int r = seccomp_rule_add(f, answer, SCMP_SYS(socket), 1,
                             SCMP_A0(SCMP_CMP_GT, (scmp_datum_t)allowed[count - 1]));

    for (int family = 0; family < allowed[count - 1] && r == 0; family++) {
        bool ok = false;

        for (unsigned i = 0; i < count; i++)
            ok = ok || allowed[i] == family;
        if (!ok)
            r = seccomp_rule_add(f, answer, SCMP_SYS(socket), 1,
                                 SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)family));
    }
    return r;
}

/* Memory that is writable and executable at once: injected code. */
static int kill_writable_code(scmp_filter_ctx f)
{
    const int calls[] = {SCMP_SYS(mmap), SCMP_SYS(mprotect), SCMP_SYS(pkey_mprotect)};
    const scmp_datum_t both = PROT_WRITE | PROT_EXEC;
    int r = 0;

    for (unsigned i = 0; i < ARRAY_LEN(calls) && r == 0; i++)
        r = rule_result(seccomp_rule_add(f, SCMP_ACT_KILL_PROCESS, calls[i], 1,
                                         SCMP_A2(SCMP_CMP_MASKED_EQ, both, both)));
    return r;
}

static int add_rules(scmp_filter_ctx f, enum privilege_role role)
{
    int r = kill_on(f, deadly, ARRAY_LEN(deadly));

    if (r == 0 && !SANITIZED)
        r = kill_on(f, deadly_but_for_sanitizers, ARRAY_LEN(deadly_but_for_sanitizers));
    /* Threads, but no processes. */
    if (r == 0 && !SANITIZED)
        r = seccomp_rule_add(f, SCMP_ACT_KILL_PROCESS, SCMP_SYS(clone), 1,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
    for (unsigned i = 0; i < ARRAY_LEN(refused) && r == 0; i++)
        r = rule_result(
            seccomp_rule_add(f, SCMP_ACT_ERRNO((unsigned)refused[i].err), refused[i].call, 0));
    if (r == 0)
        r = kill_writable_code(f);
    if (r == 0 && role == PRIVILEGE_DAEMON)
        r = refuse_other_families(f, families_of_daemon, ARRAY_LEN(families_of_daemon));
    if (r == 0 && role == PRIVILEGE_SENTINEL)
        r = refuse_other_families(f, families_of_sentinel, ARRAY_LEN(families_of_sentinel));
    return r;
}

int privilege_filter(enum privilege_role role)
{
    static bool installed;
    scmp_filter_ctx f;
    int r;

    if (installed)
        return -EEXIST;
    f = seccomp_init(SCMP_ACT_ALLOW);
    if (!f)
        return -ENOMEM;
    r = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);
    if (r == 0)
        r = add_rules(f, role);
    if (r == 0)
        r = seccomp_load(f);
    seccomp_release(f);
    installed = r == 0;
    return r;
}
