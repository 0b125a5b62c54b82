#include "control/server.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/secret.h"
#include "control/commands.h"
#include "control/listen.h"
#include "control/stream.h"
#include <grp.h>
#include <uv.h>

#define LOOK_MS 50 /* so often whether there is news for who waits */

struct server {
    uv_timer_t *look; /* lives until libuv has closed it */
    struct list waiters;
    unsigned waiting;
    struct server_ops ops;
    struct stream *stream;
    char *path;
    struct listen_file file;
};

struct server_call {
    struct session *session; /* NULL: the client is gone */
};

struct session {
    struct server *server;
    struct server_call *call; /* open */
    struct stream_client *client;
    struct list waiter; /* server.waiters: @asked is answered later */
    struct control_request asked;
    uint64_t until_ns;
    size_t len; /* of head and body, so far */
    uint8_t head[CONTROL_HEAD_LEN];
    uint8_t *body; /* as long as the head says */
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

/* ---- commands ---- */

void server_reply(struct server_call *call, struct control_reply *reply)
{
    struct session *s = call->session;
    uint8_t *frame = NULL;
    size_t len = 0;

    if (s) {
        s->call = NULL;
        if (control_encode_reply(reply, &frame, &len) < 0)
            stream_hang_up(s->client);
        else
            stream_answer(s->client, frame, len, false);
    }
    control_reply_done(reply);
    free(call);
}

static bool is_command(const struct control_request *r)
{
    return r->kind == CONTROL_PEER || r->kind == CONTROL_BATCH || r->kind == CONTROL_BACKUP ||
           r->kind == CONTROL_AUDIT;
}

static void run_command(struct session *s, const struct control_request *r)
{
    struct server_call *call = calloc(1, sizeof(*call));

    if (!call) {
        answer(s, NULL, -ENOMEM);
        return;
    }
    call->session = s;
    s->call = call;
    stream_owe(s->client);
    s->server->ops.command(s->server->ops.ctx, r, call);
}

/* ---- requests that wait for an event ---- */

static void end_wait(struct session *s)
{
    if (list_empty(&s->waiter))
        return;
    list_remove(&s->waiter);
    if (--s->server->waiting == 0)
        uv_timer_stop(s->server->look);
}

static void on_look(uv_timer_t *t)
{
    struct server *v = t->data;
    uint64_t now = clock_boot_ns(), last = v->ops.last_event(v->ops.ctx);

    list_for_each (it, &v->waiters) {
        struct session *s = list_entry(it, struct session, waiter);

        if (last == s->asked.after && now < s->until_ns)
            continue;
        end_wait(s);
        answer(s, &s->asked, 0);
    }
}

/* False: it is answered at once. Another number than the last one is news: a lower one, or one of
 * an earlier life. */
static bool wait_for_event(struct session *s, const struct control_request *r)
{
    struct server *v = s->server;

    if (r->kind != CONTROL_EVENTS || !r->wait_ms || v->waiting == SERVER_WAITERS_MAX ||
        v->ops.last_event(v->ops.ctx) != r->after)
        return false;
    s->asked = *r;
    s->until_ns = clock_boot_ns() + r->wait_ms * NS_PER_MS;
    stream_owe(s->client);
    list_append(&v->waiters, &s->waiter);
    if (v->waiting++ == 0)
        uv_timer_start(v->look, on_look, LOOK_MS, LOOK_MS);
    return true;
}

/* Bytes that the frame still wants; 0: it is whole. -EMSGSIZE, -ENOMEM. */
static ssize_t wanted(struct session *s)
{
    size_t len;

    if (s->len < CONTROL_HEAD_LEN)
        return (ssize_t)(CONTROL_HEAD_LEN - s->len);
    len = load_be32(s->head);
    if (len > CONTROL_REQUEST_MAX)
        return -EMSGSIZE;
    if (!s->body && !(s->body = malloc(len + 1)))
        return -ENOMEM;
    return (ssize_t)(CONTROL_HEAD_LEN + len - s->len);
}

/* A command holds preshared keys. */
static void drop_frame(struct session *s)
{
    if (s->body && s->len > CONTROL_HEAD_LEN)
        secret_wipe(s->body, s->len - CONTROL_HEAD_LEN);
    free(s->body);
    s->body = NULL;
    s->len = 0;
}

static size_t on_data(void *ctx, void *state, const uint8_t *buf, size_t len)
{
    struct session *s = state;
    struct control_request r = {0};
    size_t taken = 0;
    ssize_t more;
    int error;

    while ((more = wanted(s)) > 0 && taken < len) {
        size_t take = MIN((size_t)more, len - taken);
        uint8_t *to =
            s->len < CONTROL_HEAD_LEN ? s->head + s->len : s->body + s->len - CONTROL_HEAD_LEN;

        memcpy(to, buf + taken, take);
        s->len += take;
        taken += take;
    }
    if (more > 0)
        return taken;
    error = more < 0 ? (int)more : control_decode_request(s->body, s->len - CONTROL_HEAD_LEN, &r);
    drop_frame(s);
    stream_peer(s->client, r.actor, sizeof(r.actor));
    memcpy(r.move.actor, r.actor, sizeof(r.actor));
    if (error < 0)
        answer(s, NULL, error);
    else if (is_command(&r))
        run_command(s, &r);
    else if (!wait_for_event(s, &r))
        answer(s, &r, 0);
    control_request_done(&r);
    return taken;
}

static void *on_opened(void *ctx, struct stream_client *c)
{
    struct session *s = calloc(1, sizeof(*s));

    if (s) {
        s->server = ctx;
        s->client = c;
        list_init(&s->waiter);
    }
    return s;
}

static void on_closed(void *ctx, void *state)
{
    struct session *s = state;

    end_wait(s);
    if (s->call)
        s->call->session = NULL;
    drop_frame(s);
    free(s);
}

static void on_look_closed(uv_handle_t *h)
{
    free(h);
}

int server_new(uv_loop_t *loop, const char *path, const struct server_ops *ops, struct server **ret)
{
    const struct group *admin = getgrnam(CONTROL_GROUP);
    struct server *s = calloc(1, sizeof(*s));
    struct stream_ops on = {s, on_opened, on_data, on_closed};
    int fd, r = -ENOMEM;

    if (!s || !(s->path = strdup(path)) || !(s->look = malloc(sizeof(*s->look))))
        goto fail;
    s->ops = *ops;
    list_init(&s->waiters);
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
    uv_timer_init(loop, s->look);
    s->look->data = s;
    *ret = s;
    return 0;
fail:
    if (s) {
        free(s->path);
        free(s->look);
    }
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
    uv_close((uv_handle_t *)s->look, on_look_closed);
    free(s->path);
    free(s);
}
