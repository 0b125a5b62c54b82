#include "control/stream.h"
#include "base/err.h"
#include "base/list.h"
#include "base/secret.h"
#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <uv.h>

struct stream {
    uv_pipe_t listener;
    struct stream_ops ops;
    struct list clients; /* by last sign of life: the longest idle first */
    unsigned count;
    unsigned handles; /* not yet closed by libuv: the listener, clients */
    bool closing;
    bool starved; /* a connection waits for memory */
};

struct stream_client {
    struct list all;
    uv_pipe_t pipe;
    struct stream *stream;
    void *state;
    bool owes;    /* an answer is owed or under way */
    bool in_data; /* ops.data is running: it must not be entered again */
    bool then_close, closing;
    bool hung_up; /* to be closed when ops.data has returned */
    uv_write_t write;
    void *text;
    size_t text_len;
    size_t begin, end; /* bytes of buf not yet taken */
    uint8_t buf[STREAM_READ_LEN];
};

static void on_allocate(uv_handle_t *h, size_t suggested, uv_buf_t *ret)
{
    struct stream_client *c = h->data;

    *ret = uv_buf_init((char *)c->buf, sizeof(c->buf));
}

static void on_connection(uv_stream_t *listener, int status);

static void stream_unref(struct stream *s)
{
    if (--s->handles == 0)
        free(s);
}

static void on_closed(uv_handle_t *h)
{
    struct stream_client *c = h->data;
    struct stream *s = c->stream;

    secret_wipe(c->buf, sizeof(c->buf));
    if (c->text) {
        secret_wipe(c->text, c->text_len);
        free(c->text);
    }
    free(c);
    if (s->starved && !s->closing) {
        s->starved = false;
        on_connection((uv_stream_t *)&s->listener, 0);
    }
    stream_unref(s);
}

static void client_close(struct stream_client *c)
{
    if (c->closing)
        return;
    c->closing = true;
    list_remove(&c->all);
    c->stream->count--;
    if (c->state)
        c->stream->ops.closed(c->stream->ops.ctx, c->state);
    c->state = NULL;
    uv_close((uv_handle_t *)&c->pipe, on_closed);
}

static void on_read(uv_stream_t *pipe, ssize_t n, const uv_buf_t *buf);

/* Hand over what is there until an answer is owed; then wait with reading. */
static void client_run(struct stream_client *c)
{
    struct stream *s = c->stream;

    if (c->in_data)
        return;
    while (!c->closing && !c->owes && c->begin < c->end) {
        size_t taken;

        c->in_data = true;
        taken = s->ops.data(s->ops.ctx, c->state, c->buf + c->begin, c->end - c->begin);
        c->in_data = false;
        if (c->hung_up)
            client_close(c);
        secret_wipe(c->buf + c->begin, taken); /* a set holds keys */
        c->begin += taken;
        assert(c->begin == c->end || c->owes || c->closing);
    }
    if (c->closing)
        return;
    if (c->owes)
        uv_read_stop((uv_stream_t *)&c->pipe);
    else if (uv_read_start((uv_stream_t *)&c->pipe, on_allocate, on_read) < 0 &&
             !uv_is_active((uv_handle_t *)&c->pipe))
        client_close(c);
}

static void on_read(uv_stream_t *pipe, ssize_t n, const uv_buf_t *buf)
{
    struct stream_client *c = pipe->data;

    if (n == 0)
        return;
    if (n < 0) {
        client_close(c);
        return;
    }
    list_remove(&c->all);
    list_append(&c->stream->clients, &c->all);
    c->begin = 0;
    c->end = (size_t)n;
    client_run(c);
}

static void on_written(uv_write_t *w, int status)
{
    struct stream_client *c = w->data;

    secret_wipe(c->text, c->text_len);
    free(TAKE_PTR(c->text));
    c->owes = false;
    if (c->closing)
        return;
    if (status < 0 || c->then_close)
        client_close(c);
    else
        client_run(c);
}

void stream_owe(struct stream_client *c)
{
    c->owes = true;
}

void stream_answer(struct stream_client *c, void *text, size_t len, bool then_close)
{
    uv_buf_t buf = uv_buf_init(text, (unsigned)len);

    assert(!c->text);
    c->owes = true;
    c->then_close = then_close;
    c->text = text;
    c->text_len = len;
    c->write.data = c;
    if (uv_write(&c->write, (uv_stream_t *)&c->pipe, &buf, 1, on_written) < 0)
        stream_hang_up(c);
}

void stream_peer(const struct stream_client *c, char *ret, size_t room)
{
    struct ucred who = {0};
    socklen_t len = sizeof(who);
    int fd = -1;

    if (uv_fileno((const uv_handle_t *)&c->pipe, &fd) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
        snprintf(ret, room, "unknown");
    else
        snprintf(ret, room, "uid %u", who.uid);
}

void stream_hang_up(struct stream_client *c)
{
    c->hung_up = c->owes = true;
    if (!c->in_data)
        client_close(c);
}

/* Someone must go: the longest idle of those that are not waiting for us. */
static void make_room(struct stream *s)
{
    list_for_each (it, &s->clients) {
        struct stream_client *c = list_entry(it, struct stream_client, all);

        if (!c->owes || c->text) { /* the answer is written and not read: its own fault */
            client_close(c);
            return;
        }
    }
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct stream *s = listener->data;
    struct stream_client *c;

    if (status < 0 || s->closing)
        return;
    if (s->count >= STREAM_CLIENTS_MAX)
        make_room(s);
    c = calloc(1, sizeof(*c));
    if (!c) { /* libuv waits for uv_accept(): when a client's memory comes back */
        s->starved = true;
        return;
    }
    c->stream = s;
    c->pipe.data = c;
    if (uv_pipe_init(listener->loop, &c->pipe, 0) < 0) {
        free(c);
        return;
    }
    s->handles++;
    s->count++;
    list_append(&s->clients, &c->all);
    if (uv_accept(listener, (uv_stream_t *)&c->pipe) < 0 || s->count > STREAM_CLIENTS_MAX ||
        !(c->state = s->ops.opened(s->ops.ctx, c)) ||
        uv_read_start((uv_stream_t *)&c->pipe, on_allocate, on_read) < 0)
        client_close(c);
}

static void on_listener_closed(uv_handle_t *h)
{
    stream_unref(h->data);
}

int stream_new(uv_loop_t *loop, int fd, const struct stream_ops *ops, struct stream **ret)
{
    struct stream *s = calloc(1, sizeof(*s));
    int r;

    if (!s) {
        close(fd);
        return -ENOMEM;
    }
    s->ops = *ops;
    s->handles = 1;
    s->listener.data = s;
    list_init(&s->clients);
    /* A client that hangs up while we write is an error of the write, not our end. */
    signal(SIGPIPE, SIG_IGN);
    r = uv_pipe_init(loop, &s->listener, 0);
    if (r < 0) {
        close(fd);
        free(s);
        return r;
    }
    r = uv_pipe_open(&s->listener, fd);
    if (r < 0)
        close(fd);
    else
        r = uv_listen((uv_stream_t *)&s->listener, STREAM_CLIENTS_MAX, on_connection);
    if (r < 0) {
        s->closing = true;
        uv_close((uv_handle_t *)&s->listener, on_listener_closed);
        return r;
    }
    *ret = s;
    return 0;
}

void stream_free(struct stream *s)
{
    if (!s)
        return;
    s->closing = true;
    list_for_each (it, &s->clients)
        client_close(list_entry(it, struct stream_client, all));
    uv_close((uv_handle_t *)&s->listener, on_listener_closed);
}
