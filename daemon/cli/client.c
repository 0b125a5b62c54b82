#include "base/bytes.h"
#include "base/err.h"
#include "cli/cli.h"
#include "conf/conf.h"
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define ANSWER_MS 5000

static int socket_path(const struct cli *c, char *ret, size_t room)
{
    struct conf *conf = NULL;
    char error[CONF_ERROR_LEN];

    snprintf(ret, room, "%s", c->socket ? c->socket : DEFAULT_SOCKET);
    if (c->socket || !c->conf)
        return 0;
    if (conf_load(c->conf, &conf, error) < 0) {
        fprintf(stderr, "guardmount: %s\n", error);
        return -EINVAL;
    }
    snprintf(ret, room, "%s/control.sock", conf->run_dir);
    conf_free(conf);
    return 0;
}

static bool whole(int fd, uint8_t *buf, size_t len)
{
    while (len) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ssize_t n;

        if (poll(&p, 1, ANSWER_MS) <= 0 || (n = read(fd, buf, len)) <= 0)
            return false;
        buf += n;
        len -= (size_t)n;
    }
    return true;
}

int client_ask(const struct cli *c, enum control_kind kind, struct status *ret)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct control_request r = {.version = CONTROL_VERSION, .kind = kind};
    uint8_t request[64], head[4];
    char path[512];
    _cleanup_(freep) uint8_t *buf = NULL;

    if (socket_path(c, path, sizeof(path)) < 0)
        return EXIT_FAILED;
    if (strlen(path) >= sizeof(a.sun_path)) {
        fprintf(stderr, "guardmount: %s: too long for a socket's path\n", path);
        return EXIT_FAILED;
    }
    strcpy(a.sun_path, path);
    _cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
        fprintf(stderr,
                "guardmount: no daemon answers at %s (%s); is guardmountd running? -s names "
                "another socket\n",
                path, strerror(errno));
        return EXIT_UNREACHABLE;
    }
    int len = control_encode_request(&r, request + 4, sizeof(request) - 4);
    store_be32(request, (uint32_t)len);
    if (len < 0 || send(fd, request, 4 + (size_t)len, MSG_NOSIGNAL) != 4 + len ||
        !whole(fd, head, 4) || load_be32(head) > CONTROL_MESSAGE_MAX)
        goto broken;
    size_t want = load_be32(head);
    buf = malloc(want + 1);
    if (!buf || !whole(fd, buf, want))
        goto broken;
    int e = control_decode_reply(buf, want, ret);
    if (e < 0) {
        fprintf(stderr, "guardmount: the daemon refused: %s\n", strerror(-e));
        return EXIT_FAILED;
    }
    return EXIT_GOOD;
broken:
    fprintf(stderr, "guardmount: the daemon at %s did not answer within %d s\n", path,
            ANSWER_MS / 1000);
    return EXIT_UNREACHABLE;
}
