/* /metrics over HTTP: one page, two formats, and clients that make no sense. */
#include "base/clock.h"
#include "base/err.h"
#include "control/http.h"
#include "lib/test.h"
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <uv.h>

#define ANSWER_MAX (1 << 16)

struct house {
    uv_loop_t loop;
    struct http *http;
    unsigned asked;
    char answer[ANSWER_MAX];
};

static void scrape(void *ctx, struct status *s)
{
    struct house *h = ctx;

    h->asked++;
    s->fit = true;
    strcpy(s->version, "0.1.0");
    s->vip_count = 1;
    s->vip[0] = (struct status_vip){.hub = 1, .id = 1, .owned = true, .name = "main"};
    s->hub_count = 1;
    s->hub[0] = (struct status_hub){.id = 1, .ifname = "hub0", .peers = 7};
    status_add_metric(s, true, "guardmount_failovers", "hub=\"1\"", "Times that a VIP came.", 3);
}

static struct endpoint loopback(uint16_t port)
{
    struct endpoint e;

    assert_int_equal(addr_parse("127.0.0.1", &e.addr), 0);
    e.port = port;
    return e;
}

static int setup(void **state)
{
    struct house *h = calloc(1, sizeof(*h));
    struct http_ops ops = {h, scrape};
    struct endpoint at = loopback(0);

    assert_int_equal(uv_loop_init(&h->loop), 0);
    assert_int_equal(http_new(&h->loop, &at, &ops, &h->http), 0);
    *state = h;
    return 0;
}

static int teardown(void **state)
{
    struct house *h = *state;

    http_free(h->http);
    uv_run(&h->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&h->loop), 0);
    free(h);
    return 0;
}

static int client_begin(struct house *h)
{
    struct endpoint at = loopback(http_port(h->http));
    struct sockaddr_storage sa;
    socklen_t len = endpoint_to_sockaddr(&at, &sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_true(connect(fd, (struct sockaddr *)&sa, len) == 0 || errno == EINPROGRESS);
    return fd;
}

static int client(struct house *h)
{
    int fd = client_begin(h), err;
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    socklen_t len = sizeof(err);

    assert_int_equal(poll(&p, 1, 5000), 1);
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len), 0);
    assert_int_equal(err, 0);
    return fd;
}

/* All that comes until the other side closes. */
static const char *ask(struct house *h, const char *request)
{
    int fd = client(h);
    uint64_t until = clock_boot_ns() + 5 * NS_PER_S;
    size_t len = 0;
    ssize_t n = -1;

    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    while (n != 0 && clock_boot_ns() < until) {
        uv_run(&h->loop, UV_RUN_NOWAIT);
        n = recv(fd, h->answer + len, ANSWER_MAX - 1 - len, MSG_DONTWAIT);
        len += n > 0 ? (size_t)n : 0;
    }
    close(fd);
    h->answer[len] = '\0';
    if (n != 0)
        fail_msg("no end of the answer: %s", h->answer);
    return h->answer;
}

static void expect(const char *answer, const char *word)
{
    if (!strstr(answer, word))
        fail_msg("no '%s' in:\n%s", word, answer);
}

TEST(who_asks_for_openmetrics_gets_it)
{
    struct house *h = *state;
    const char *a = ask(h, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept: "
                           "application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n\r\n");

    assert_memory_equal(a, "HTTP/1.1 200 ", 13);
    expect(a, "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n");
    expect(a, "\n# TYPE guardmount_failovers counter\n");
    expect(a, "\nguardmount_failovers_total{hub=\"1\"} 3\n");
    assert_string_equal(a + strlen(a) - 6, "# EOF\n");
    assert_int_equal(h->asked, 1);
}

TEST(others_get_the_older_format)
{
    struct house *h = *state;
    const char *a = ask(h, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");

    expect(a, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
    expect(a, "\n# TYPE guardmount_failovers_total counter\n"
              "# HELP guardmount_failovers_total Times that a VIP came.\n"
              "guardmount_failovers_total{hub=\"1\"} 3\n");
    expect(a, "# TYPE guardmount_build_info gauge\n");
    expect(a, "# TYPE guardmount_node_state gauge\n");
    assert_null(strstr(a, "# EOF"));
}

TEST(promtool_has_nothing_to_say)
{
    struct house *h = *state;
    char path[] = "/tmp/gm-http-XXXXXX", command[128];

    if (system("command -v promtool >/dev/null") != 0)
        skip();
    const char *body = strstr(ask(h, "GET /metrics HTTP/1.0\r\n\r\n"), "\r\n\r\n") + 4;
    int fd = mkstemp(path);
    assert_int_equal(write(fd, body, strlen(body)), strlen(body));
    close(fd);
    snprintf(command, sizeof(command), "promtool check metrics <%s >&2", path);
    int status = system(command);
    unlink(path);
    assert_int_equal(status, 0);
}

TEST(there_is_nothing_else_and_nothing_is_taken)
{
    struct house *h = *state;
    const char *a;

    expect(ask(h, "GET / HTTP/1.0\r\n\r\n"), " 404 ");
    expect(ask(h, "GET /metrics/x HTTP/1.0\r\n\r\n"), " 404 ");
    a = ask(h, "POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: "
               "3\r\n\r\nabc");
    expect(a, " 405 ");
    expect(a, "Allow: GET, HEAD\r\n");
    expect(ask(h, "DELETE /metrics HTTP/1.0\r\n\r\n"), " 405 ");
    assert_int_equal(h->asked, 0);
    a = ask(h, "HEAD /metrics HTTP/1.0\r\n\r\n");
    expect(a, " 200 ");
    assert_null(strstr(a, "guardmount_"));
}

TEST(clients_that_make_no_sense_hold_up_nobody)
{
    struct house *h = *state;
    int stalled[4];

    for (unsigned i = 0; i < ARRAY_LEN(stalled); i++) {
        stalled[i] = client(h);
        assert_int_equal(send(stalled[i], "GET /met", 8, MSG_NOSIGNAL), 8);
    }
    ask(h, "\1\2\3\r\n\r\n\r\n");
    ask(h, "GET\r\n\r\n");
    expect(ask(h, "GET /metrics HTTP/1.0\r\n\r\n"), " 200 ");
    for (unsigned i = 0; i < ARRAY_LEN(stalled); i++)
        close(stalled[i]);
}

TEST(connections_have_a_bound)
{
    struct house *h = *state;
    int fd[2 * HTTP_CONNECTIONS_MAX];

    for (unsigned i = 0; i < ARRAY_LEN(fd); i++)
        fd[i] = client_begin(h);
    for (unsigned i = 0; i < 50; i++)
        uv_run(&h->loop, UV_RUN_NOWAIT);
    for (unsigned i = 0; i < ARRAY_LEN(fd); i++)
        close(fd[i]);
    expect(ask(h, "GET /metrics HTTP/1.0\r\n\r\n"), " 200 ");
}

TEST(an_address_that_cannot_be_used_is_an_error)
{
    struct house *h = *state;
    struct http_ops ops = {h, scrape};
    struct endpoint at = loopback(http_port(h->http));
    struct http *other;

    assert_int_equal(http_new(&h->loop, &at, &ops, &other), -EADDRINUSE);
    addr_parse("192.0.2.1", &at.addr);
    assert_int_equal(http_new(&h->loop, &at, &ops, &other), -EADDRNOTAVAIL);
}

#define TD(name) TS(name, setup, teardown)
TEST_MAIN(TD(who_asks_for_openmetrics_gets_it), TD(others_get_the_older_format),
          TD(promtool_has_nothing_to_say), TD(there_is_nothing_else_and_nothing_is_taken),
          TD(clients_that_make_no_sense_hold_up_nobody), TD(connections_have_a_bound),
          TD(an_address_that_cannot_be_used_is_an_error))
