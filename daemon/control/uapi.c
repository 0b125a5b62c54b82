#include "control/uapi.h"
#include "base/err.h"
#include "base/log.h"
#include "control/listen.h"
#include "control/stream.h"
#include "model/vip.h"
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <uv.h>

struct uapi {
    uint8_t hub;
    struct uapi_ops ops;
    struct stream *stream;
    uv_fs_event_t watch;
    char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1]; /* "": not known */
    struct listen_file file;
    bool told;
};

struct uapi_session {
    struct uapi *uapi;
    struct stream_client *client;
    struct uapi_call *call; /* a set under way */
    struct uapi_parser parser;
};

struct uapi_call {
    struct uapi_session *session; /* NULL: the client is gone */
};

/* ---- the socket's file ---- */

static bool good_ifname(const char *name)
{
    static const char good[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_=+.-";
    size_t len = strlen(name);

    return len >= 1 && len <= IFNAME_MAX && strspn(name, good) == len && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

static int make_dir(const char *dir)
{
    mode_t was = umask(0022);
    int r = mkdir(dir, 0755) < 0 && errno != EEXIST ? -errno : 0;

    umask(was);
    return r;
}

int uapi_listen(const char *dir, const char *ifname, int *ret_fd)
{
    char path[512];
    int r;

    if (!good_ifname(ifname))
        return -EINVAL;
    r = make_dir(dir);
    if (r < 0)
        return r;
    if (snprintf(path, sizeof(path), "%s/%s.sock", dir, ifname) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    return listen_unix(path, 0700, (gid_t)-1, ret_fd);
}

static void check_file(struct uapi *u)
{
    if (u->told || !u->path[0] || listen_file_is(u->path, &u->file))
        return;
    u->told = true;
    u->ops.deleted(u->ops.ctx);
}

/* A bound socket's inode lives on: its link count changes, no more. So every event is a question.
 */
static void on_watch(uv_fs_event_t *w, const char *name, int events, int status)
{
    check_file(w->data);
}

static int watch_file(struct uapi *u, int fd)
{
    struct sockaddr_un at;
    socklen_t len = sizeof(at);
    int r;

    memset(&at, 0, sizeof(at));
    if (getsockname(fd, (struct sockaddr *)&at, &len) < 0 || at.sun_family != AF_UNIX)
        return -ENOTSOCK;
    memcpy(u->path, at.sun_path, sizeof(at.sun_path));
    if (!u->path[0])
        return 0; /* handed in, and has no file */
    r = listen_file_of(u->path, &u->file);
    if (r < 0)
        return r;
    r = uv_fs_event_start(&u->watch, on_watch, u->path, 0);
    if (r < 0)
        log_warn("removal of the socket file will not be noticed", "path=%s error=%s", u->path,
                 uv_strerror(r));
    return 0;
}

/* ---- requests ---- */

static void answer(struct uapi_session *s, struct uapi_writer *w, enum uapi_op op, int err)
{
    if (err < 0)
        uapi_writer_done(w); /* half an answer is none */
    uapi_write_end(w, op, err);
    if (w->err) {
        uapi_writer_done(w);
        stream_hang_up(s->client);
        return;
    }
    stream_answer(s->client, w->text, w->len, op == UAPI_UNKNOWN);
}

static void answer_errno(struct uapi_session *s, enum uapi_op op, int err)
{
    struct uapi_writer w = {0};

    answer(s, &w, op, err);
}

static void request_get(struct uapi_session *s)
{
    struct uapi *u = s->uapi;
    struct uapi_writer w = {0};
    int r = u->ops.get(u->ops.ctx, &w);

    answer(s, &w, UAPI_GET, r < 0 ? r : w.err);
}

static void request_set(struct uapi_session *s, struct change *c)
{
    struct uapi *u = s->uapi;
    struct uapi_call *call = calloc(1, sizeof(*call));

    if (!call) {
        change_free(c);
        answer_errno(s, UAPI_SET, -ENOMEM);
        return;
    }
    call->session = s;
    s->call = call;
    stream_owe(s->client);
    stream_peer(s->client, c->actor, sizeof(c->actor));
    u->ops.set(u->ops.ctx, c, call);
}

void uapi_reply(struct uapi_call *call, int err)
{
    if (call->session) {
        call->session->call = NULL;
        answer_errno(call->session, UAPI_SET, err);
    }
    free(call);
}

static size_t on_data(void *ctx, void *state, const uint8_t *buf, size_t len)
{
    struct uapi_session *s = state;
    struct uapi_request r;
    size_t taken = uapi_parse(&s->parser, buf, len, &r);

    if (r.op == UAPI_NONE)
        return taken;
    if (r.err)
        answer_errno(s, r.op, r.err);
    else if (r.op == UAPI_GET)
        request_get(s);
    else
        request_set(s, r.change);
    return taken;
}

static void *on_opened(void *ctx, struct stream_client *c)
{
    struct uapi *u = ctx;
    struct uapi_session *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->uapi = u;
    s->client = c;
    uapi_parser_init(&s->parser, u->hub);
    return s;
}

static void on_closed(void *ctx, void *state)
{
    struct uapi_session *s = state;

    if (s->call)
        s->call->session = NULL;
    uapi_parser_done(&s->parser);
    free(s);
}

/* ---- life ---- */

static void on_watch_closed(uv_handle_t *h)
{
    free(h->data);
}

int uapi_new(uv_loop_t *loop, uint8_t hub, int fd, const struct uapi_ops *ops, struct uapi **ret)
{
    struct uapi *u = calloc(1, sizeof(*u));
    struct stream_ops on = {u, on_opened, on_data, on_closed};
    int r = u ? uv_fs_event_init(loop, &u->watch) : -ENOMEM;

    if (r < 0) {
        close(fd);
        free(u);
        return r;
    }
    u->watch.data = u;
    u->hub = hub;
    u->ops = *ops;
    r = watch_file(u, fd);
    if (r < 0)
        close(fd);
    else
        r = stream_new(loop, fd, &on, &u->stream);
    if (r < 0) {
        uv_close((uv_handle_t *)&u->watch, on_watch_closed);
        return r;
    }
    *ret = u;
    return 0;
}

void uapi_free(struct uapi *u)
{
    if (!u)
        return;
    if (u->path[0] && listen_file_is(u->path, &u->file))
        unlink(u->path);
    stream_free(u->stream);
    uv_close((uv_handle_t *)&u->watch, on_watch_closed);
}
