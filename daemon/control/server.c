#include "control/server.h"
#include "base/bytes.h"
#include "base/err.h"
#include "control/listen.h"
#include "control/stream.h"
#include <grp.h>

#define REQUEST_MAX 256

struct server {
    struct stream *stream;
    struct server_ops ops;
    char *path;
};

struct client {
    struct server *server;
    struct stream_client *c;
    uint8_t buf[4 + REQUEST_MAX];
    size_t len;
};

static void *opened(void *ctx, struct stream_client *c)
{
    struct client *k = calloc(1, sizeof(*k));

    if (k) {
        k->server = ctx;
        k->c = c;
    }
    return k;
}

static void answer(struct client *k, const uint8_t *buf, size_t len)
{
    struct control_request r;
    struct status *s = NULL;
    size_t reply_len = 0;
    int error = control_decode_request(buf, len, &r);

    if (error >= 0 && r.version != CONTROL_VERSION)
        error = -EPROTONOSUPPORT;
    if (error >= 0 && !(s = status_new()))
        error = -ENOMEM;
    if (error >= 0)
        k->server->ops.status(k->server->ops.ctx, &r, s);
    uint8_t *reply = control_encode_reply(s, error, &reply_len);
    free(s);
    if (reply)
        stream_answer(k->c, reply, reply_len, false);
    else
        stream_hang_up(k->c);
}

static size_t data(void *ctx, void *state, const uint8_t *buf, size_t len)
{
    struct client *k = state;
    size_t taken = 0;

    while (taken < len) {
        k->buf[k->len++] = buf[taken++];
        if (k->len < 4)
            continue;
        size_t want = load_be32(k->buf);
        if (want > REQUEST_MAX) {
            stream_hang_up(k->c);
            return len;
        }
        if (k->len == 4 + want) {
            k->len = 0;
            answer(k, k->buf + 4, want);
            break;
        }
    }
    return taken;
}

static void closed(void *ctx, void *state)
{
    free(state);
}

int server_new(uv_loop_t *loop, const char *path, const struct server_ops *ops, struct server **ret)
{
    struct group *g = getgrnam("guardmount-admin");
    struct server *s = calloc(1, sizeof(*s));
    int fd, r = -ENOMEM;

    if (s && (s->path = strdup(path))) {
        s->ops = *ops;
        r = listen_unix(path, 0660, g ? g->gr_gid : (gid_t)-1, &fd);
        struct stream_ops sops = {.ctx = s, .opened = opened, .data = data, .closed = closed};
        if (r >= 0)
            r = stream_new(loop, fd, &sops, &s->stream);
    }
    if (r < 0) {
        if (s)
            free(s->path);
        free(s);
        return r;
    }
    *ret = s;
    return 0;
}

void server_free(struct server *s)
{
    if (!s)
        return;
    unlink(s->path);
    stream_free(s->stream);
    free(s->path);
    free(s);
}
