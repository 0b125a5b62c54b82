#include "control/server.h"
#include "base/bytes.h"
#include "base/err.h"
#include "control/commands.h"
#include "control/listen.h"
#include "control/stream.h"
#include <grp.h>

struct server {
    struct server_ops ops;
    struct stream *stream;
    char *path;
    struct listen_file file;
};

struct session {
    struct server *server;
    struct stream_client *client;
    size_t len;
    uint8_t frame[CONTROL_HEAD_LEN + CONTROL_REQUEST_MAX];
};

static void answer(struct session *s, const struct control_request *r, int error)
{
    struct control_reply reply;
    uint8_t *frame = NULL;
    size_t len = 0;
    int err;

    command_run(&s->server->ops, r, error, &reply);
    err = control_encode_reply(&reply, &frame, &len);
    control_reply_done(&reply);
    if (err < 0) {
        command_run(&s->server->ops, NULL, err, &reply);
        err = control_encode_reply(&reply, &frame, &len);
    }
    if (err < 0)
        stream_hang_up(s->client);
    else
        stream_answer(s->client, frame, len, !r); /* who cannot be understood is sent away */
}

/* Bytes that the frame still wants; 0: it is whole. -EMSGSIZE. */
static ssize_t wanted(const struct session *s)
{
    size_t len;

    if (s->len < CONTROL_HEAD_LEN)
        return (ssize_t)(CONTROL_HEAD_LEN - s->len);
    len = load_be32(s->frame);
    return len > CONTROL_REQUEST_MAX ? -EMSGSIZE : (ssize_t)(CONTROL_HEAD_LEN + len - s->len);
}

static size_t on_data(void *ctx, void *state, const uint8_t *buf, size_t len)
{
    struct session *s = state;
    struct control_request r;
    size_t taken = 0;
    ssize_t more;
    int error;

    while ((more = wanted(s)) > 0 && taken < len) {
        size_t take = MIN((size_t)more, len - taken);

        memcpy(s->frame + s->len, buf + taken, take);
        s->len += take;
        taken += take;
    }
    if (more > 0)
        return taken;
    error = more < 0 ? (int)more
                     : control_decode_request(s->frame + CONTROL_HEAD_LEN,
                                              s->len - CONTROL_HEAD_LEN, &r);
    s->len = 0;
    answer(s, error < 0 ? NULL : &r, error);
    return taken;
}

static void *on_opened(void *ctx, struct stream_client *c)
{
    struct session *s = calloc(1, sizeof(*s));

    if (s) {
        s->server = ctx;
        s->client = c;
    }
    return s;
}

static void on_closed(void *ctx, void *state)
{
    free(state);
}

int server_new(uv_loop_t *loop, const char *path, const struct server_ops *ops, struct server **ret)
{
    const struct group *admin = getgrnam(CONTROL_GROUP);
    struct server *s = calloc(1, sizeof(*s));
    struct stream_ops on = {s, on_opened, on_data, on_closed};
    int fd, r = -ENOMEM;

    if (!s || !(s->path = strdup(path)))
        goto fail;
    s->ops = *ops;
    r = listen_unix(path, 0660, admin ? admin->gr_gid : (gid_t)-1, &fd);
    if (r < 0)
        goto fail;
    r = listen_file_of(path, &s->file);
    if (r < 0) {
        close(fd);
        goto fail;
    }
    r = stream_new(loop, fd, &on, &s->stream);
    if (r < 0) {
        unlink(path);
        goto fail;
    }
    *ret = s;
    return 0;
fail:
    if (s)
        free(s->path);
    free(s);
    return r;
}

void server_free(struct server *s)
{
    if (!s)
        return;
    if (listen_file_is(s->path, &s->file))
        unlink(s->path);
    stream_free(s->stream);
    free(s->path);
    free(s);
}
