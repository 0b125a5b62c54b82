#include "os/privilege.h"

#include <cap-ng.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/err.h"

int privilege_harden(void)
{
    struct rlimit none = {0, 0};

    umask(0077);
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    return 0;
}

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
