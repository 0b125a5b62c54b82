#include "lab.h"
#include "base/err.h"
#include "model/endpoint.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/test.h"

static int command(const char *format, va_list ap)
{
    char text[512];

    vsnprintf(text, sizeof(text), format, ap);
    return system(text);
}

void run(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    int status = command(format, ap);
    va_end(ap);
    if (status)
        fail_msg("command failed with status %d: %s", status, format);
}

bool lab_init(void)
{
    if (geteuid() != 0 || access("/dev/net/tun", R_OK | W_OK) < 0)
        return false;
    if (unshare(CLONE_NEWNS | CLONE_NEWNET) < 0)
        return false;
    /* A /run of our own: named namespaces and UAPI sockets in it end with this process. */
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", "/run", "tmpfs", 0, NULL) < 0 || mkdir("/run/wireguard", 0755) < 0)
        return false;
    return system("ip link set lo up && ip netns add " LAB_A " && ip netns add " LAB_B " && "
                  "ip -n " LAB_A " link set lo up && ip -n " LAB_B " link set lo up") == 0;
}

static int sockets[LAB_SOCKETS_MAX]; /* descriptor + 1 */
static pid_t child;                  /* the last that was started and has not been waited for */

void lab_close(int fd)
{
    for (unsigned i = 0; i < LAB_SOCKETS_MAX; i++)
        if (sockets[i] == fd + 1)
            sockets[i] = 0;
    close(fd);
}

static void remember(int fd)
{
    for (unsigned i = 0; i < LAB_SOCKETS_MAX; i++)
        if (!sockets[i]) {
            sockets[i] = fd + 1;
            return;
        }
    fail_msg("too many sockets");
}

void lab_clean(void)
{
    for (unsigned i = 0; i < LAB_SOCKETS_MAX; i++)
        if (sockets[i])
            lab_close(sockets[i] - 1);
    if (child)
        lab_end(child);
    run("for ns in " LAB_A " " LAB_B "; do ip -n $ns link del gmt0; done 2>/dev/null; "
        "ip link del gmv0 2>/dev/null; true");
}

static void endpoint_of(const char *address, uint16_t port, struct endpoint *ret)
{
    *ret = (struct endpoint){.port = port};
    assert_int_equal(addr_parse(address, &ret->addr), 0);
}

int lab_socket(const char *ns, int type, const char *address, uint16_t port)
{
    _cleanup_(closep) int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    struct sockaddr_storage sa = {0};
    struct endpoint e = {0};
    socklen_t len = 0;
    char path[64];

    assert_true(home >= 0);
    if (address) {
        endpoint_of(address, port, &e);
        len = endpoint_to_sockaddr(&e, &sa);
    }
    if (ns) {
        snprintf(path, sizeof(path), "/run/netns/%s", ns);
        _cleanup_(closep) int there = open(path, O_RDONLY | O_CLOEXEC);
        assert_int_equal(setns(there, CLONE_NEWNET), 0);
    }
    int fd = socket(address ? sa.ss_family : AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (ns)
        assert_int_equal(setns(home, CLONE_NEWNET), 0);
    assert_true(fd >= 0);
    remember(fd);
    if (address)
        assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
    return fd;
}

void lab_connect(int fd, const char *address, uint16_t port)
{
    struct sockaddr_storage sa;
    struct endpoint e;

    endpoint_of(address, port, &e);
    socklen_t len = endpoint_to_sockaddr(&e, &sa);
    bool v6 = sa.ss_family == AF_INET6;
    int on = 1; /* ICMP errors come back as errors of the socket */
    assert_int_equal(setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_RECVERR : IP_RECVERR,
                                &on, sizeof(on)),
                     0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, len), 0);
}

void lab_send_to(int fd, const char *address, uint16_t port, const void *buf, size_t len)
{
    struct sockaddr_storage sa;
    struct endpoint e;

    endpoint_of(address, port, &e);
    socklen_t sa_len = endpoint_to_sockaddr(&e, &sa);
    assert_int_equal(sendto(fd, buf, len, 0, (struct sockaddr *)&sa, sa_len), (ssize_t)len);
}

pid_t lab_start(const char *format, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nothing behind */
        execl("/bin/sh", "sh", "-c", text, NULL);
        _exit(127);
    }
    child = pid;
    return pid;
}

bool lab_exited(pid_t pid, int *ret_status)
{
    if (waitpid(pid, ret_status, WNOHANG) != pid)
        return false;
    child = child == pid ? 0 : child;
    return true;
}

void lab_end(pid_t pid)
{
    kill(pid, SIGTERM);
    waitpid(pid, NULL, 0);
    child = child == pid ? 0 : child;
}
