/* os/privilege.h - what this process may do, made small in steps (K3; K4 comes later).
 *
 * Owner:   app. Threads: main, before any other thread exists (capabilities are a thread's own);
 *          the system call filter reaches all threads.
 * Never:   gives anything back.
 *
 * Order: privilege_harden() first of all; sentinel_start(), sockets, files and devices that need
 * root; privilege_drop(); privilege_filter() when the loops are made. */
#pragma once
#include <stdbool.h>

enum privilege_role {
    PRIVILEGE_DAEMON,   /* CAP_NET_ADMIN, CAP_NET_RAW, CAP_NET_BIND_SERVICE (a `set` may ask for a
                         * low port), CAP_IPC_LOCK only where RLIMIT_MEMLOCK cannot be lifted */
    PRIVILEGE_SENTINEL, /* CAP_NET_ADMIN: it takes addresses off interfaces; CAP_IPC_LOCK as above
                         */
};

/* No core dumps, no ptrace by others, no new privileges, files for the owner only. */
int privilege_harden(void);
/* Keep the role's capabilities, as far as they are there; -EPERM: CAP_NET_ADMIN is not. */
int privilege_drop(enum privilege_role role);
/* From now on only system calls that this role is known to need, with the arguments that matter
 * checked: socket families, ioctl requests, signals to itself only, threads but no processes. What
 * no library does by itself (new programs, other processes' memory, mounts, namespaces, kernel
 * modules, clocks, tracing, writable code) ends the process; everything else, io_uring and clone3
 * among it, answers ENOSYS, on which a library falls back. @tell: the kernel's audit log then names
 * each call that was refused. Twice is -EEXIST. */
int privilege_filter(enum privilege_role role, bool tell);
