#include "control/http.h"
#include "base/err.h"
#include "control/metrics.h"
#include <microhttpd.h>
#include <string.h>
#include <sys/socket.h>
#include <uv.h>

#define BACKLOG 16
#define OPENMETRICS "application/openmetrics-text"

struct http {
    struct http_ops ops;
    struct MHD_Daemon *daemon;
    uv_poll_t poll; /* of libmicrohttpd's epoll descriptor */
    uv_timer_t timer;
    unsigned handles; /* not yet closed by libuv */
    uint16_t port;
};

/* ---- answers ---- */

static enum MHD_Result answer(struct MHD_Connection *c, unsigned status, const char *type,
                              char *text, size_t len, enum MHD_ResponseMemoryMode mode)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(len, text, mode);
    enum MHD_Result done;

    if (!r) {
        if (mode == MHD_RESPMEM_MUST_FREE)
            free(text);
        return MHD_NO;
    }
    MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    done = MHD_queue_response(c, status, r);
    MHD_destroy_response(r);
    return done;
}

static enum MHD_Result say(struct MHD_Connection *c, unsigned status, const char *text)
{
    return answer(c, status, "text/plain; charset=utf-8", (char *)text, strlen(text),
                  MHD_RESPMEM_PERSISTENT);
}

static enum MHD_Result scrape(struct http *h, struct MHD_Connection *c)
{
    const char *accept = MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);
    bool open = accept && strstr(accept, OPENMETRICS), failed;
    struct status *s = status_new();
    char *text = NULL;
    size_t len = 0;
    FILE *out = s ? open_memstream(&text, &len) : NULL;

    if (!out) {
        status_free(s);
        return MHD_NO;
    }
    h->ops.scrape(h->ops.ctx, s);
    if (open)
        metrics_write(s, out);
    else
        metrics_write_plain(s, out);
    status_free(s);
    failed = ferror(out);
    if (fclose(out) != 0 || failed) {
        free(text);
        return MHD_NO;
    }
    return answer(c, MHD_HTTP_OK,
                  open ? OPENMETRICS "; version=1.0.0; charset=utf-8"
                       : "text/plain; version=0.0.4; charset=utf-8",
                  text, len, MHD_RESPMEM_MUST_FREE);
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *body,
                                  size_t *body_len, void **state)
{
    static int begun;

    if (!*state) { /* the head is here; the answer waits for the end of the request */
        *state = &begun;
        return MHD_YES;
    }
    if (*body_len) { /* of no use to us */
        *body_len = 0;
        return MHD_YES;
    }
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return say(c, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
    if (strcmp(url, "/metrics") == 0)
        return scrape(ctx, c);
    return say(c, MHD_HTTP_NOT_FOUND, "guardmountd: see /metrics\n");
}

/* ---- libmicrohttpd on the loop ---- */

static void run(struct http *h);

static void on_timer(uv_timer_t *t)
{
    run(t->data);
}

static void on_readable(uv_poll_t *p, int status, int events)
{
    run(p->data);
}

static void run(struct http *h)
{
    MHD_UNSIGNED_LONG_LONG ms;

    /* Twice: connections that end in the first run make room, and only the next one listens again
     * when there was none. */
    MHD_run(h->daemon);
    MHD_run(h->daemon);
    if (MHD_get_timeout(h->daemon, &ms) == MHD_YES)
        uv_timer_start(&h->timer, on_timer, ms, 0);
    else
        uv_timer_stop(&h->timer);
}

static int listen_at(const struct endpoint *at, int *ret_fd, uint16_t *ret_port)
{
    struct sockaddr_storage sa;
    socklen_t len = endpoint_to_sockaddr(at, &sa);
    _cleanup_(closep) int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct endpoint got;
    int on = 1;

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, BACKLOG) < 0)
        return -errno;
    len = sizeof(sa);
    if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
        return -errno;
    endpoint_from_sockaddr((struct sockaddr *)&sa, &got);
    *ret_port = got.port;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int http_new(uv_loop_t *loop, const struct endpoint *at, const struct http_ops *ops,
             struct http **ret)
{
    struct http *h = calloc(1, sizeof(*h));
    const union MHD_DaemonInfo *info;
    int fd = -1, r;

    if (!h)
        return -ENOMEM;
    h->ops = *ops;
    r = listen_at(at, &fd, &h->port);
    if (r < 0) {
        free(h);
        return r;
    }
    h->daemon = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, h,
                                 MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
                                 (unsigned)HTTP_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
                                 (unsigned)HTTP_IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                                 (size_t)HTTP_CONNECTION_MEMORY, MHD_OPTION_END);
    info = h->daemon ? MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    if (!info || (r = uv_poll_init(loop, &h->poll, info->epoll_fd)) < 0) {
        if (h->daemon)
            MHD_stop_daemon(h->daemon);
        else
            close(fd);
        free(h);
        return r < 0 ? r : -ENOMEM;
    }
    uv_timer_init(loop, &h->timer);
    h->poll.data = h->timer.data = h;
    h->handles = 2;
    uv_poll_start(&h->poll, UV_READABLE, on_readable);
    *ret = h;
    return 0;
}

uint16_t http_port(const struct http *h)
{
    return h->port;
}

static void on_closed(uv_handle_t *handle)
{
    struct http *h = handle->data;

    if (--h->handles == 0)
        free(h);
}

void http_free(struct http *h)
{
    if (!h)
        return;
    uv_poll_stop(&h->poll); /* before its descriptor is closed */
    uv_close((uv_handle_t *)&h->poll, on_closed);
    uv_close((uv_handle_t *)&h->timer, on_closed);
    MHD_stop_daemon(h->daemon);
}
