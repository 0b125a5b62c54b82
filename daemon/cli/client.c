#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "cli/cli.h"
#include "conf/conf.h"
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define ANSWER_MS 5000 /* the whole exchange */

/* Where an error's text goes. */
static int fail(char error[CLI_ERROR_LEN], int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int fail(char error[CLI_ERROR_LEN], int status, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(error, CLI_ERROR_LEN, format, args);
    va_end(args);
    return status;
}

static int socket_path(const struct cli *c, char *ret, size_t room, char error[CLI_ERROR_LEN])
{
    struct conf *conf = NULL;
    int n;

    if (c->socket || !c->conf) {
        n = snprintf(ret, room, "%s", c->socket ? c->socket : DEFAULT_SOCKET);
    } else {
        if (conf_load(c->conf, &conf, error) < 0)
            return EXIT_FAILED;
        n = snprintf(ret, room, "%s/control.sock", conf->run_dir);
        conf_free(conf);
    }
    if (n >= (int)room)
        return fail(error, EXIT_USAGE, "%s...: too long for a socket's path", ret);
    return EXIT_GOOD;
}

static int connect_to(const char *path, int *ret_fd, char error[CLI_ERROR_LEN])
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    _cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    memcpy(at.sun_path, path, strlen(path)); /* socket_path() saw to it that it fits */
    if (fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0) {
        *ret_fd = TAKE_FD(fd);
        return EXIT_GOOD;
    }
    if (errno == EACCES || errno == EPERM)
        return fail(error, EXIT_UNREACHABLE,
                    "%s: permission denied; be root, or a member of the group guardmount-admin",
                    path);
    if (errno == ENOENT || errno == ECONNREFUSED)
        return fail(error, EXIT_UNREACHABLE,
                    "no daemon answers at %s; start guardmountd (systemctl start guardmountd), or "
                    "name its socket with -s",
                    path);
    return fail(error, EXIT_UNREACHABLE, "%s: %s", path, strerror(errno));
}

/* All of @buf, out (@events POLLOUT) or in, before @until_ns. -ETIMEDOUT, -EPIPE: it hung up. */
static int transfer(int fd, short events, uint8_t *buf, size_t len, uint64_t until_ns)
{
    while (len) {
        uint64_t now = clock_boot_ns();
        struct pollfd p = {.fd = fd, .events = events};
        int wait_ms = until_ns > now ? (int)((until_ns - now) / NS_PER_MS) + 1 : 0;
        ssize_t n;

        if (poll(&p, 1, wait_ms) == 0)
            return -ETIMEDOUT;
        n = events == POLLOUT ? send(fd, buf, len, MSG_NOSIGNAL) : recv(fd, buf, len, 0);
        if (n == 0)
            return -EPIPE;
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return -errno;
        if (n > 0) {
            buf += n;
            len -= (size_t)n;
        }
    }
    return 0;
}

static int exchange(int fd, const struct control_request *request, struct control_reply *ret)
{
    uint64_t until = clock_boot_ns() + ANSWER_MS * NS_PER_MS;
    _cleanup_(freep) uint8_t *question = NULL, *answer = NULL;
    uint8_t head[CONTROL_HEAD_LEN];
    size_t len;
    int r = control_encode_request(request, &question, &len);

    if (r >= 0)
        r = transfer(fd, POLLOUT, question, len, until);
    if (r >= 0)
        r = transfer(fd, POLLIN, head, sizeof(head), until);
    if (r < 0)
        return r;
    len = load_be32(head);
    if (len > CONTROL_REPLY_MAX)
        return -EBADMSG;
    answer = malloc(len + 1);
    if (!answer)
        return -ENOMEM;
    r = transfer(fd, POLLIN, answer, len, until);
    return r < 0 ? r : control_decode_reply(answer, len, ret);
}

int client_try(const struct cli *c, const struct control_request *request,
               struct control_reply *ret, char error[CLI_ERROR_LEN])
{
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    _cleanup_(closep) int fd = -1;
    int r = socket_path(c, path, sizeof(path), error);

    if (r == EXIT_GOOD)
        r = connect_to(path, &fd, error);
    if (r != EXIT_GOOD)
        return r;
    *ret = (struct control_reply){0};
    r = exchange(fd, request, ret);
    if (r == -ETIMEDOUT)
        return fail(error, EXIT_UNREACHABLE,
                    "the daemon at %s did not answer within %d s; is it stopped?", path,
                    ANSWER_MS / 1000);
    if (r == -EBADMSG || r == -EPROTONOSUPPORT)
        return fail(error, EXIT_UNREACHABLE,
                    "what answers at %s is not a guardmountd of this version (%s)", path,
                    GM_VERSION);
    if (r < 0)
        return fail(error, EXIT_UNREACHABLE, "%s: %s", path, strerror(-r));
    if (ret->error) {
        fail(error, EXIT_FAILED, "the daemon refused: %s", ret->message);
        control_reply_done(ret);
        return EXIT_FAILED;
    }
    return EXIT_GOOD;
}

int client_request(const struct cli *c, const struct control_request *request,
                   struct control_reply *ret)
{
    char error[CLI_ERROR_LEN];
    int r = client_try(c, request, ret, error);

    return r == EXIT_GOOD ? r : cli_fail(r, "%s", error);
}

int client_ask(const struct cli *c, enum control_kind kind, bool peers, struct control_reply *ret)
{
    struct control_request request = {.version = CONTROL_VERSION, .kind = kind, .peers = peers};

    return client_request(c, &request, ret);
}
