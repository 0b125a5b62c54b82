/* guardmountd: arguments, environment, daemonizing. See docs/man/guardmountd.8.scd. */
#include "app.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/log.h"
#include "model/offload.h"
#include "os/privilege.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_USAGE 2
#define GO_ON (-1)

static void usage(FILE *out)
{
    fputs("Usage: guardmountd [-f|--foreground] INTERFACE-NAME\n"
          "       guardmountd [-f|--foreground] -c FILE\n"
          "       guardmountd --version\n"
          "\n"
          "With a name: a userspace WireGuard; makes the TUN interface and serves wg's socket for "
          "it.\n"
          "With -c: a member of a Guardmount cluster, as guardmount.conf(5) says.\n"
          "\n"
          "Example: guardmountd wg0 && wg setconf wg0 /etc/wireguard/wg0.conf\n"
          "Example: guardmountd -f -c /etc/guardmount/guardmount.conf\n"
          "\n"
          "Environment: WG_PROCESS_FOREGROUND=1, WG_TUN_FD, WG_UAPI_FD,\n"
          "             LOG_LEVEL=silent|error|warn|info|verbose|debug (default: error)\n"
          "             GUARDMOUNT_OFFLOADS=auto|off|LIST, without -c (default: auto)\n",
          out);
}

/* An inherited descriptor named by @variable; -1: none. False: it is no number. */
static bool inherited(const char *variable, int *ret)
{
    const char *text = getenv(variable);
    uint64_t fd;

    *ret = -1;
    if (!text || !*text)
        return true;
    if (!parse_u64(text, 0, 1 << 20, &fd) || fcntl((int)fd, F_GETFD) < 0) {
        fprintf(stderr, "guardmountd: %s=%s is not an open file descriptor\n", variable, text);
        return false;
    }
    fcntl((int)fd, F_SETFD, FD_CLOEXEC);
    *ret = (int)fd;
    return true;
}

static bool name_ok(const char *name)
{
    size_t len = strlen(name);

    return len > 0 && len <= 15 && !strchr(name, '/') && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0 && !strpbrk(name, " \t\n");
}

/* Before the first key: a fork wipes the memory that holds them. The parent ends when the child
 * says that interface and socket are there, or has ended without that. */
static int fork_off(int *ret_ready)
{
    int ends[2];
    char byte;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid > 0) {
        close(ends[1]);
        _exit(read(ends[0], &byte, 1) == 1 ? 0 : 1);
    }
    close(ends[0]);
    *ret_ready = ends[1];
    return setsid() < 0 ? -errno : 0;
}

/* With LOG_LEVEL set it keeps its output. */
static int daemonize(int ready, bool keep_output)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null < 0 || chdir("/") < 0)
        return -errno;
    dup2(null, STDIN_FILENO);
    if (!keep_output) {
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
    }
    close(null);
    if (write(ready, "", 1) != 1)
        return -errno;
    close(ready);
    return 0;
}

/* What to end with; GO_ON: nothing is wrong. */
static int take_arguments(int argc, char **argv, struct app_options *o, bool *foreground)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--version") == 0 || strcmp(argv[i], "-V") == 0) {
            printf("guardmountd %s\n", GM_VERSION);
            return 0;
        }
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            usage(stdout);
            return 0;
        }
        if (strcmp(argv[i], "-c") == 0 && i + 1 < argc) {
            o->conf_path = argv[++i];
        } else if (strcmp(argv[i], "-f") == 0 || strcmp(argv[i], "--foreground") == 0) {
            *foreground = true;
        } else if (argv[i][0] == '-' || o->ifname) {
            fprintf(stderr,
                    strcmp(argv[i], "-c") == 0 ? "guardmountd: %s needs the name of a file\n"
                                               : "guardmountd: unexpected argument '%s'\n",
                    argv[i]);
            usage(stderr);
            return EXIT_USAGE;
        } else {
            o->ifname = argv[i];
        }
    }
    if (!o->ifname == !o->conf_path) { /* one of them */
        usage(stderr);
        return EXIT_USAGE;
    }
    if (o->ifname && !name_ok(o->ifname)) {
        fprintf(stderr,
                "guardmountd: '%s' cannot be an interface name: 1 to 15 characters, no "
                "blank, no '/'\n",
                o->ifname);
        return EXIT_USAGE;
    }
    return GO_ON;
}

/* The same of what the environment says. */
static int take_environment(struct app_options *o)
{
    const char *offloads = getenv("GUARDMOUNT_OFFLOADS"), *level_text = getenv("LOG_LEVEL");
    enum log_level level = LOG_LEVEL_ERROR;

    if (level_text && *level_text && log_level_parse(level_text, &level) < 0) {
        fprintf(stderr,
                "guardmountd: LOG_LEVEL=%s is none of silent, error, warn, info, verbose, "
                "debug\n",
                level_text);
        return EXIT_USAGE;
    }
    if (offloads && *offloads && offload_parse(offloads, &o->offloads) < 0) {
        fprintf(stderr, "guardmountd: GUARDMOUNT_OFFLOADS=%s: expected " OFFLOAD_EXPECTED "\n",
                offloads);
        return EXIT_USAGE;
    }
    log_set_level(level);
    log_set_tag(o->ifname ? o->ifname : "guardmountd");
    if (o->conf_path && offloads && *offloads)
        log_warn("GUARDMOUNT_OFFLOADS is ignored", "hint=%s",
                 "a member follows Offloads in [Node] of its configuration");
    if (!inherited("WG_TUN_FD", &o->tun_fd) || !inherited("WG_UAPI_FD", &o->uapi_fd))
        return EXIT_USAGE;
    return GO_ON;
}

/* One that comes before the loop listens waits for it. */
static void block_ends(sigset_t *ret)
{
    sigemptyset(ret);
    sigaddset(ret, SIGTERM);
    sigaddset(ret, SIGINT);
    sigaddset(ret, SIGHUP);
    sigprocmask(SIG_BLOCK, ret, NULL);
}

int main(int argc, char **argv)
{
    const char *level_text = getenv("LOG_LEVEL"), *fg = getenv("WG_PROCESS_FOREGROUND");
    struct app_options o = {.offloads = OFFLOAD_ALL};
    bool foreground = fg && strcmp(fg, "1") == 0;
    struct app *a;
    sigset_t ends;
    int ready = -1, r = take_arguments(argc, argv, &o, &foreground);

    if (r == GO_ON)
        r = take_environment(&o);
    if (r != GO_ON)
        return r;
    if ((r = privilege_harden()) < 0) { /* K3 */
        log_error("the process cannot be closed to others", "error=%s", strerror(-r));
        return 1;
    }

    block_ends(&ends);
    if (!foreground && (r = fork_off(&ready)) < 0) {
        log_error("cannot turn into a daemon", "error=%s", strerror(-r));
        return 1;
    }
    if (app_open(&o, &a) < 0)
        return 1;
    if (!foreground && (r = daemonize(ready, level_text && *level_text)) < 0) {
        log_error("cannot turn into a daemon", "error=%s", strerror(-r));
        app_free(a);
        return 1;
    }
    /* Without CAP_NET_ADMIN it may still serve a TUN that somebody else opened. */
    if ((r = privilege_drop(PRIVILEGE_DAEMON)) < 0 && (r != -EPERM || o.conf_path)) {
        log_error("capabilities cannot be dropped to those that are needed",
                  "error=%s hint=it needs CAP_NET_ADMIN", strerror(-r));
        app_free(a);
        return 1;
    }
    int status = app_start(a) < 0;
    if (status == 0 &&
        (r = privilege_filter(PRIVILEGE_DAEMON, log_get_level() == LOG_LEVEL_DEBUG)) < 0)
        log_warn("the kernel does not filter our system calls", "error=%s", strerror(-r));
    sigprocmask(SIG_UNBLOCK, &ends, NULL);
    if (status == 0)
        status = app_run(a);
    app_free(a);
    return status;
}
