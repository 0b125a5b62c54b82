/* The control socket: what goes in comes out, and bad clients harm nobody. */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "control/server.h"
#include "lib/test.h"
#include "unit/control/socket.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <uv.h>

#define STEP_NS (5 * NS_PER_S)

struct house {
    uv_loop_t loop;
    char dir[SOCKET_DIR_LEN], path[SOCKET_PATH_LEN];
    struct server *server;
    unsigned asked, peers; /* rows that the next answer has */
    uint64_t last_event;
    struct control_request last;
};

static void fill(void *ctx, const struct control_request *r, struct status *s)
{
    struct house *h = ctx;

    h->asked++;
    h->last = *r;
    s->id = 3;
    strcpy(s->name, "m3");
    s->fit = true;
    s->hub_count = 1;
    s->hub[0] = (struct status_hub){.id = 1, .ifname = "hub0", .peers = h->peers};
    for (unsigned i = 0; r->peers && i < h->peers; i++) {
        struct status_peer *p = status_add_peer(s);
        if (!p)
            break;
        p->hub = 1;
        memcpy(p->public_key.b, &i, sizeof(i));
        status_add_allowed(p, "10.0.0.0/24");
        status_add_session(p, "current", 7, true, 1000);
    }
}

static void fill_events(void *ctx, const struct control_request *r, struct control_events *ret)
{
    struct house *h = ctx;

    h->last = *r;
    ret->last = h->last_event;
    if (r->after < h->last_event) {
        ret->count = 1;
        ret->event[0].serial = h->last_event;
        strcpy(ret->event[0].name, "vip.owned");
    }
}

static uint64_t last_event(void *ctx)
{
    return ((struct house *)ctx)->last_event;
}

static int fill_why(void *ctx, const struct control_request *r, struct control_why *ret,
                    char ret_message[CONTROL_MESSAGE_LEN])
{
    strcpy(ret->name, r->peer);
    if (strcmp(r->peer, "alice") == 0)
        return 0;
    strcpy(ret_message, "nobody");
    return -ENOENT;
}

/* The answer is how much of what was sent is there. */
static void take_batch(void *ctx, const struct control_request *r, struct server_call *call)
{
    struct control_reply reply = {.peers = peer_rows_new()};

    char self[32];

    snprintf(self, sizeof(self), "uid %u", getuid());
    assert_string_equal(r->actor, self);
    assert_int_equal(r->kind, CONTROL_BATCH);
    for (unsigned i = 0; i < r->batch_count; i++) {
        const struct peer_command *c = &r->batch[i];

        assert_true(c->verb == PEER_ADD && c->has_key && c->key.b[0] == (uint8_t)i);
        assert_int_equal(strlen(c->allowed), strlen(c->peer) * 100);
    }
    snprintf(reply.peers->note, sizeof(reply.peers->note), "%u", r->batch_count);
    server_reply(call, &reply);
}

static int setup(void **state)
{
    struct house *h = calloc(1, sizeof(*h));
    struct server_ops ops = {h, fill, fill_events, last_event, fill_why, .command = take_batch};

    h->server = socket_open(&h->loop, h->dir, h->path, &ops);
    *state = h;
    return 0;
}

static int teardown(void **state)
{
    struct house *h = *state;

    socket_close(h->server, &h->loop, h->dir, h->path);
    free(h);
    return 0;
}

static int client(const struct house *h)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    strcpy(at.sun_path, h->path);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    return fd;
}

/* False: the server hung up first. */
static bool read_exactly(struct house *h, int fd, uint8_t *buf, size_t len)
{
    uint64_t until = clock_boot_ns() + STEP_NS;

    while (len && clock_boot_ns() < until) {
        ssize_t n;

        uv_run(&h->loop, UV_RUN_NOWAIT);
        n = recv(fd, buf, len, 0);
        if (n == 0)
            return false;
        if (n > 0) {
            buf += n;
            len -= (size_t)n;
        }
    }
    assert_int_equal(len, 0);
    return true;
}

static struct control_reply read_reply(struct house *h, int fd)
{
    struct control_reply r;
    uint8_t head[CONTROL_HEAD_LEN], *buf;
    size_t len;

    assert_true(read_exactly(h, fd, head, sizeof(head)));
    len = load_be32(head);
    buf = malloc(len + 1);
    assert_true(read_exactly(h, fd, buf, len));
    assert_int_equal(control_decode_reply(buf, len, &r), 0);
    free(buf);
    return r;
}

static void send_pieces(int fd, const struct control_request *r, size_t piece, struct house *h)
{
    uint8_t *frame;
    size_t len;

    assert_int_equal(control_encode_request(r, &frame, &len), 0);
    for (size_t at = 0; at < len; at += piece) {
        assert_true(send(fd, frame + at, MIN(piece, len - at), MSG_NOSIGNAL) > 0);
        uv_run(&h->loop, UV_RUN_NOWAIT);
    }
    free(frame);
}

static void send_request(int fd, enum control_kind kind, bool peers, size_t piece, struct house *h)
{
    struct control_request r = {CONTROL_VERSION, 0, kind, peers};

    send_pieces(fd, &r, piece, h);
}

static struct control_reply ask(struct house *h, enum control_kind kind, bool peers)
{
    int fd = client(h);

    send_request(fd, kind, peers, SIZE_MAX / 2, h);
    struct control_reply r = read_reply(h, fd);
    close(fd);
    return r;
}

TEST(socket_is_for_root_and_one_group)
{
    struct house *h = *state;
    struct stat st;

    assert_int_equal(stat(h->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
}

TEST(second_server_is_refused)
{
    struct house *h = *state;
    struct server_ops ops = {h, fill, fill_events, last_event, fill_why};
    struct server *s;

    assert_int_equal(server_new(&h->loop, h->path, &ops, &s), -EADDRINUSE);
    assert_int_equal(server_new(&h->loop, "/nonexistent/control.sock", &ops, &s), -ENOENT);
}

TEST(status_has_peers_only_when_asked_for)
{
    struct house *h = *state;

    h->peers = 3;
    for (int peers = 0; peers < 2; peers++) {
        struct control_reply r = ask(h, CONTROL_STATUS, peers);
        assert_int_equal(r.error, 0);
        assert_string_equal(r.status->name, "m3");
        assert_int_equal(r.status->hub[0].peers, 3);
        assert_int_equal(r.status->peer_count, peers ? 3 : 0);
        control_reply_done(&r);
    }
}

TEST(metrics_come_as_text)
{
    struct house *h = *state;
    struct control_reply r = ask(h, CONTROL_METRICS, false);

    assert_int_equal(h->last.kind, CONTROL_METRICS);
    assert_non_null(strstr(r.openmetrics, "guardmount_peers{"));
    assert_string_equal(r.openmetrics + r.openmetrics_len - 6, "# EOF\n");
    control_reply_done(&r);
}

TEST(request_may_come_a_byte_at_a_time_and_be_followed_by_others)
{
    struct house *h = *state;
    int fd = client(h);

    for (int i = 0; i < 3; i++)
        send_request(fd, CONTROL_STATUS, false, 1, h);
    for (int i = 0; i < 3; i++) {
        struct control_reply r = read_reply(h, fd);
        assert_int_equal(r.error, 0);
        control_reply_done(&r);
    }
    assert_int_equal(h->asked, 3);
    close(fd);
}

TEST(batch_comes_in_pieces_and_one_without_commands_is_refused)
{
    struct house *h = *state;
    struct control_request r = {CONTROL_VERSION, 0, CONTROL_BATCH};
    struct control_reply reply;
    int fd = client(h);

    r.batch_count = CONTROL_BATCH_MAX;
    r.batch = calloc(r.batch_count, sizeof(*r.batch));
    for (unsigned i = 0; i < r.batch_count; i++) {
        struct peer_command *c = &r.batch[i];

        *c = (struct peer_command){.verb = PEER_ADD, .has_key = true, .key.b = {(uint8_t)i}};
        snprintf(c->peer, sizeof(c->peer), "p%u", i);
        memset(c->allowed, '1', strlen(c->peer) * 100);
    }
    for (int twice = 0; twice < 2; twice++) {
        send_pieces(fd, &r, 9000, h);
        reply = read_reply(h, fd);
        assert_int_equal(reply.error, 0);
        assert_string_equal(reply.peers->note, "256");
        control_reply_done(&reply);
    }
    struct control_request none = {CONTROL_VERSION, 0, CONTROL_BATCH};
    send_pieces(fd, &none, 9000, h);
    reply = read_reply(h, fd);
    assert_int_equal(reply.error, -EBADMSG);
    control_reply_done(&reply);
    control_request_done(&r);
    close(fd);
}

TEST(more_peers_than_the_bound_are_cut_and_said_to_be)
{
    struct house *h = *state;
    struct control_reply r;

    h->peers = CONTROL_PEERS_MAX + 5;
    r = ask(h, CONTROL_STATUS, true);
    assert_int_equal(r.status->peer_count, CONTROL_PEERS_MAX);
    assert_true(r.status->peers_cut);
    control_reply_done(&r);
}

TEST(clients_that_make_no_sense_are_told_and_sent_away)
{
    static const struct {
        const char *bytes;
        size_t len;
        int error;
    } bad[] = {
        {"\xff\xff\xff\xff", 4, -EMSGSIZE},
        {"\0\4\0\1", 4, -EMSGSIZE},
        {"\0\0\0\3\xff\xff\xff", 7, -EBADMSG},
        {"\0\0\0\0", 4, -EPROTONOSUPPORT},                 /* no version */
        {"\0\0\0\2\x08\x09", 6, -EPROTONOSUPPORT},         /* version 9 */
        {"\0\0\0\4\x08\x01\x18\x09", 8, -EPROTONOSUPPORT}, /* kind 9 */
        {"\0\0\0\5\x08\x01\x10\xff\x7f", 9, -EBADMSG},     /* hub 16383 */
        {"GET / HTTP/1.1\r\n\r\n", 18, -EMSGSIZE},
    };
    struct house *h = *state;

    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        int fd = client(h);
        uint8_t more;

        assert_int_equal(send(fd, bad[i].bytes, bad[i].len, MSG_NOSIGNAL), bad[i].len);
        struct control_reply r = read_reply(h, fd);
        assert_int_equal(r.error, bad[i].error);
        assert_true(r.message[0]);
        control_reply_done(&r);
        uint64_t until = clock_boot_ns() + STEP_NS;
        ssize_t n;
        do {
            uv_run(&h->loop, UV_RUN_NOWAIT);
            n = recv(fd, &more, 1, 0);
        } while (n < 0 && errno == EAGAIN && clock_boot_ns() < until);
        assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
        close(fd);
    }
    assert_int_equal(h->asked, 0);
}

TEST(stalled_and_deaf_clients_hold_up_nobody)
{
    struct house *h = *state;
    int stalled = client(h), deaf = client(h);

    h->peers = 5000;
    assert_int_equal(send(stalled, "\0\0\0", 3, MSG_NOSIGNAL), 3);
    for (int i = 0; i < 20; i++)
        send_request(deaf, CONTROL_STATUS, true, 1000, h);
    assert_true(h->asked <= 2);
    struct control_reply r = ask(h, CONTROL_STATUS, false);
    assert_int_equal(r.error, 0);
    control_reply_done(&r);
    close(stalled);
    close(deaf);
}

/* ---- events ---- */

static int waiter(struct house *h, uint64_t after, uint32_t wait_ms)
{
    struct control_request r = {
        .version = CONTROL_VERSION, .kind = CONTROL_EVENTS, .after = after, .wait_ms = wait_ms};
    int fd = client(h);

    send_pieces(fd, &r, SIZE_MAX / 2, h);
    for (int i = 0; i < 3; i++)
        uv_run(&h->loop, UV_RUN_NOWAIT);
    return fd;
}

static bool answered(struct house *h, int fd)
{
    char byte;

    uv_run(&h->loop, UV_RUN_NOWAIT);
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

TEST(who_waits_is_answered_when_something_happens)
{
    struct house *h = *state;

    h->last_event = 7;
    int fd = waiter(h, 7, 3000);
    assert_false(answered(h, fd));
    struct control_reply r = ask(h, CONTROL_STATUS, false); /* others do not wait for it */
    assert_int_equal(r.error, 0);
    control_reply_done(&r);
    h->last_event = 8;
    r = read_reply(h, fd);
    assert_true(r.events->count == 1 && r.events->event[0].serial == 8 && r.events->last == 8);
    control_reply_done(&r);
    /* The same connection goes on with other questions. */
    send_request(fd, CONTROL_STATUS, false, SIZE_MAX / 2, h);
    r = read_reply(h, fd);
    assert_non_null(r.status);
    control_reply_done(&r);
    close(fd);
}

TEST(what_is_there_is_answered_at_once)
{
    struct house *h = *state;

    h->last_event = 7;
    for (uint64_t after = 6; after <= 9; after += 3) { /* 9: of an earlier life */
        int fd = waiter(h, after, 3000);
        struct control_reply r;

        assert_true(answered(h, fd));
        r = read_reply(h, fd);
        assert_int_equal(r.events->last, 7);
        control_reply_done(&r);
        close(fd);
    }
    int fd = waiter(h, 7, 0);
    assert_true(answered(h, fd));
    close(fd);
}

TEST(waiting_ends_with_an_empty_answer)
{
    struct house *h = *state;
    uint64_t begun = clock_boot_ns();

    int fd = waiter(h, 0, 200);
    struct control_reply r = read_reply(h, fd);
    assert_null(r.events);
    assert_int_equal(r.error, 0);
    control_reply_done(&r);
    assert_in_range((clock_boot_ns() - begun) / NS_PER_MS, 190, 2000);
    close(fd);
}

TEST(so_many_may_wait_and_those_that_left_take_no_place_for_long)
{
    struct house *h = *state;
    int fd[SERVER_WAITERS_MAX + 1];

    for (unsigned i = 0; i < SERVER_WAITERS_MAX; i++) {
        fd[i] = waiter(h, 0, 1000);
        assert_false(answered(h, fd[i]));
    }
    fd[SERVER_WAITERS_MAX] = waiter(h, 0, 1000);
    assert_true(answered(h, fd[SERVER_WAITERS_MAX]));
    for (unsigned i = 0; i <= SERVER_WAITERS_MAX; i++)
        close(fd[i]);
    uint64_t until = clock_boot_ns() + 1200 * NS_PER_MS;
    while (clock_boot_ns() < until)
        uv_run(&h->loop, UV_RUN_NOWAIT);
    fd[0] = waiter(h, 0, 3000);
    assert_false(answered(h, fd[0]));
    close(fd[0]); /* and it is still waiting when the server ends */
}

TEST(why_is_asked_by_name)
{
    struct house *h = *state;
    struct control_request r = {.version = CONTROL_VERSION, .kind = CONTROL_WHY, .peer = "alice"};
    int fd = client(h);
    struct control_reply reply;

    send_pieces(fd, &r, SIZE_MAX / 2, h);
    reply = read_reply(h, fd);
    assert_true(reply.error == 0 && strcmp(reply.why->name, "alice") == 0);
    control_reply_done(&reply);
    strcpy(r.peer, "bob");
    send_pieces(fd, &r, SIZE_MAX / 2, h);
    reply = read_reply(h, fd);
    assert_true(reply.error == -ENOENT && !reply.why);
    assert_string_equal(reply.message, "nobody");
    control_reply_done(&reply);
    close(fd);
}

/* ---- the codec alone ---- */

static int way(const struct control_reply *r, struct control_reply *ret)
{
    uint8_t *frame;
    size_t len;

    assert_int_equal(control_encode_reply(r, &frame, &len), 0);
    int err = control_decode_reply(frame + CONTROL_HEAD_LEN, len - CONTROL_HEAD_LEN, ret);
    free(frame);
    return err;
}

TEST(events_and_facts_survive_the_way)
{
    struct control_why y = {
        .hub = 1, .owner = 2, .served = true, .vip_owned = true, .fit = true, .now_real_ns = 5};
    struct control_events *e = calloc(1, sizeof(*e));
    struct control_reply there, r = {.events = e, .why = &y};

    e->last = UINT64_MAX;
    e->missed = 3;
    for (; e->count < CONTROL_EVENTS_MAX; e->count++) {
        struct control_event *x = &e->event[e->count];
        x->serial = e->count + 1;
        x->real_ns = 9;
        strcpy(x->name, "peer.roamed");
        for (; x->field_count < NOTICE_FIELDS; x->field_count++) {
            strcpy(x->field[x->field_count].key, "endpoint");
            strcpy(x->field[x->field_count].value, "192.0.2.1:5");
        }
    }
    memset(y.key.b, 7, sizeof(y.key.b));
    strcpy(y.name, "alice");
    strcpy(y.state, "active");
    strcpy(y.vip, "main");
    strcpy(y.vip_state, "standby");
    strcpy(y.owner_name, "berlin");
    strcpy(y.endpoint, "192.0.2.1:5");
    strcpy(y.allowed, "10.0.0.0/24");
    strcpy(y.group, "guests");
    strcpy(y.networks, "10.1.0.0/16");
    y.isolated = true;
    y.handshake_real_ns = 1;
    y.stamp_real_ns = 2;
    y.rx_bytes = 3;
    y.tx_bytes = 4;
    y.keepalive_s = 25;
    y.has_session = true;
    y.session = (struct status_session){.slot = "current", .term = 9, .owned = true, .age_ms = 8};
    y.data_ms = 6;
    y.attempts = 10;
    y.attempts_ms = 11;
    struct control_fact *facts[] = {&y.refused, &y.answered, &y.unanswered, &y.data_refused,
                                    &y.session_refused};
    for (unsigned i = 0; i < ARRAY_LEN(facts); i++) {
        *facts[i] = (struct control_fact){.real_ns = i + 1, .count = i + 10, .member = 15};
        strcpy(facts[i]->reason, "stale-stamp");
        strcpy(facts[i]->endpoint, "[::1]:5");
        strcpy(facts[i]->vip, "main");
    }
    assert_int_equal(way(&r, &there), 0);
    assert_memory_equal(there.events, e, sizeof(*e));
    assert_memory_equal(there.why, &y, sizeof(y));
    control_reply_done(&there);

    y.session_refused.member = MEMBERS_MAX;
    assert_int_equal(way(&r, &there), -EBADMSG);
    free(e);
}

TEST(what_a_drill_asks_and_is_told_survives_the_way)
{
    struct control_request there, q = {.version = CONTROL_VERSION,
                                       .kind = CONTROL_DRILL,
                                       .peers = true,
                                       .drill = {DRILL_FAULT, 7, DRILL_FAULT_FREEZE, 3000}};
    struct control_drill *d = calloc(1, sizeof(*d));
    struct control_reply back, r = {.drill = d};
    uint8_t *frame;
    size_t len;

    assert_int_equal(control_encode_request(&q, &frame, &len), 0);
    assert_int_equal(
        control_decode_request(frame + CONTROL_HEAD_LEN, len - CONTROL_HEAD_LEN, &there), 0);
    free(frame);
    assert_memory_equal(&there.drill, &q.drill, sizeof(q.drill));
    assert_true(there.peers);
    q.drill.vip = 0;
    assert_int_equal(control_encode_request(&q, &frame, &len), 0);
    assert_int_equal(
        control_decode_request(frame + CONTROL_HEAD_LEN, len - CONTROL_HEAD_LEN, &there), -EBADMSG);
    free(frame);

    *d = (struct control_drill){.every_ms = 10,
                                .age_ms = 11,
                                .refused = "berlin",
                                .faults = true,
                                .max_takeover_ms = 12,
                                .max_gap_ms = 13,
                                .max_lost = 14,
                                .interfaces = "eth0,eth1",
                                .sync_port = 51900,
                                .peers_cut = true};
    for (; d->peer_count < CONTROL_DRILL_PEERS_MAX; d->peer_count++)
        d->peer[d->peer_count] =
            (struct control_drill_peer){{{(uint8_t)d->peer_count}}, 1, 2, 3, 4, 5};
    assert_int_equal(way(&r, &back), 0);
    assert_memory_equal(back.drill, d, sizeof(*d));
    control_reply_done(&back);
    free(d);
}

TEST(everything_survives_the_way)
{
    struct control_reply there = {.status = status_new()}, back;
    struct status *s = there.status, *b;
    struct status_peer *p;
    uint8_t *frame;
    size_t len;

    *s = (struct status){.id = 15, .fit = true, .in_sync = true, .uptime_ms = UINT64_MAX};
    strcpy(s->name, "m15");
    strcpy(s->version, "9.9");
    strcpy(s->cluster, "büro");
    strcpy(s->note, "quarantine");
    s->member_count = 1;
    s->member[0] = (struct status_member){15, true, true, "m15", "live", 1, 2, 3};
    s->vip_count = 1;
    s->vip[0] = (struct status_vip){255,
                                    7,
                                    UINT16_MAX,
                                    true,
                                    "main",
                                    "active",
                                    UINT64_MAX,
                                    5,
                                    .withheld = "flapping",
                                    .withheld_ms = 6};
    s->hub_count = 1;
    s->hub[0] = (struct status_hub){.id = 255,
                                    .ifname = "hub0",
                                    .public_key = "key",
                                    .port = UINT16_MAX,
                                    .peers = 1,
                                    .sessions_owned = 2,
                                    .sessions_replica = 3,
                                    .has_peers_with_session = true,
                                    .has_last_failover = true};
    p = status_add_peer(s);
    *p = (struct status_peer){.hub = 1,
                              .owner = 2,
                              .public_key = {{9}},
                              .name = "anna",
                              .endpoint = "[2001:db8::1]:5",
                              .vip = 1,
                              .keepalive_s = 25,
                              .handshake_real_ns = UINT64_MAX,
                              .rx_bytes = 1,
                              .tx_bytes = UINT64_MAX,
                              .allowed = "::/0"};
    status_add_session(p, "current", 4095, true, 10);
    status_add_session(p, "previous", 0, false, 20);
    assert_int_equal(control_encode_reply(&there, &frame, &len), 0);
    assert_int_equal(load_be32(frame), len - CONTROL_HEAD_LEN);
    assert_int_equal(control_decode_reply(frame + CONTROL_HEAD_LEN, len - CONTROL_HEAD_LEN, &back),
                     0);
    b = back.status;
    /* Said again it is the same message, byte for byte. */
    uint8_t *again;
    size_t again_len;
    assert_int_equal(control_encode_reply(&back, &again, &again_len), 0);
    assert_int_equal(again_len, len);
    assert_memory_equal(again, frame, len);
    free(again);
    assert_int_equal(b->peer[0].session[1].age_ms, 20);
    assert_true(b->peer[0].tx_bytes == UINT64_MAX && b->peer[0].public_key.b[0] == 9);
    assert_true(b->vip[0].epoch == UINT64_MAX && b->vip[0].owner == 7);
    assert_string_equal(b->vip[0].withheld, "flapping");
    assert_true(b->vip[0].withheld_ms == 6);
    assert_true(b->hub[0].sessions_replica == 3 && b->hub[0].has_last_failover);
    assert_true(b->member[0].heartbeat_ms == 3 && b->member[0].rtt_us == 2);
    assert_string_equal(b->cluster, s->cluster);
    assert_string_equal(b->note, s->note);
    assert_true(b->uptime_ms == UINT64_MAX && b->fit && b->in_sync && b->id == 15);
    /* Every shorter message is refused or is another one; none is read beyond its end. */
    for (size_t cut = 0; cut < len - CONTROL_HEAD_LEN; cut++) {
        struct control_reply r;
        uint8_t *exact = malloc(cut + 1);

        memcpy(exact, frame + CONTROL_HEAD_LEN, cut);
        exact = realloc(exact, cut ? cut : 1);
        if (control_decode_reply(exact, cut, &r) == 0)
            control_reply_done(&r);
        free(exact);
    }
    free(frame);
    control_reply_done(&there);
    control_reply_done(&back);
}

TEST(what_terminals_must_not_see_is_taken_out)
{
    static const struct {
        const char *there, *back;
    } texts[] = {
        {"plain", "plain"},
        {"caf\xc3\xa9", "caf\xc3\xa9"},
        {"\xf0\x9f\x94\x91 key", "\xf0\x9f\x94\x91 key"},
        {"\x1b[31mred", "?[31mred"},
        {"a\tb\nc\x7f", "a?b?c?"},
        {"\xc2\x9b"
         "31m",
         "??31m"}, /* C1 */
        {"\xff\xfe", "??"},
        {"\xc0\xaf", "??"},           /* too long a form */
        {"\xe2\x82", "??"},           /* cut */
        {"\xed\xa0\x80", "???"},      /* half of a UTF-16 pair */
        {"\xf4\x90\x80\x80", "????"}, /* beyond Unicode */
    };

    for (unsigned i = 0; i < ARRAY_LEN(texts); i++) {
        struct control_reply there = {.status = status_new()}, back;
        struct status_peer *p = status_add_peer(there.status);
        uint8_t *frame;
        size_t len;

        snprintf(p->name, sizeof(p->name), "%s", texts[i].there);
        assert_int_equal(control_encode_reply(&there, &frame, &len), 0);
        assert_int_equal(
            control_decode_reply(frame + CONTROL_HEAD_LEN, len - CONTROL_HEAD_LEN, &back), 0);
        assert_string_equal(back.status->peer[0].name, texts[i].back);
        free(frame);
        control_reply_done(&there);
        control_reply_done(&back);
    }
}

TEST(text_is_cut_between_characters)
{
    struct status *s = status_new();
    char text[80];

    memset(text, 'x', sizeof(text));
    strcpy(text + 62, "\xc3\xa9");
    status_add_metric(s, false, text, "", "", 0);
    assert_int_equal(sizeof(s->metric[0].name), 64);
    assert_int_equal(strlen(s->metric[0].name), 62); /* two bytes and the NUL do not fit */
    strcpy(text + 61, "\xc3\xa9more");
    status_add_metric(s, false, text, "", "", 0);
    assert_string_equal(s->metric[1].name + 61, "\xc3\xa9");
    status_free(s);
}

TEST(rows_beyond_a_bound_are_left_out)
{
    struct status *s = status_new();
    struct status_peer *p = status_add_peer(s);

    for (unsigned i = 0; i < CONTROL_METRICS_MAX + 10; i++)
        status_add_metric(s, true, "x", "", "", 1);
    assert_int_equal(s->metric_count, CONTROL_METRICS_MAX);
    for (unsigned i = 0; i < CONTROL_SESSIONS_MAX + 3; i++)
        status_add_session(p, "current", 1, true, 1);
    assert_int_equal(p->session_count, CONTROL_SESSIONS_MAX);
    for (unsigned i = 0; i < 200; i++)
        status_add_allowed(p, "10.0.0.0/24");
    size_t len = strlen(p->allowed);
    assert_true(len <= CONTROL_ALLOWED_MAX);
    assert_string_equal(p->allowed + len - 15, "10.0.0.0/24,...");
    status_free(s);
}

#define TD(name) TS(name, setup, teardown)

TEST_MAIN(TD(who_waits_is_answered_when_something_happens), TD(what_is_there_is_answered_at_once),
          TD(waiting_ends_with_an_empty_answer),
          TD(so_many_may_wait_and_those_that_left_take_no_place_for_long), TD(why_is_asked_by_name),
          T(events_and_facts_survive_the_way), T(what_a_drill_asks_and_is_told_survives_the_way),
          TD(socket_is_for_root_and_one_group), TD(second_server_is_refused),
          TD(status_has_peers_only_when_asked_for), TD(metrics_come_as_text),
          TD(request_may_come_a_byte_at_a_time_and_be_followed_by_others),
          TD(batch_comes_in_pieces_and_one_without_commands_is_refused),
          TD(more_peers_than_the_bound_are_cut_and_said_to_be),
          TD(clients_that_make_no_sense_are_told_and_sent_away),
          TD(stalled_and_deaf_clients_hold_up_nobody), T(everything_survives_the_way),
          T(what_terminals_must_not_see_is_taken_out), T(text_is_cut_between_characters),
          T(rows_beyond_a_bound_are_left_out))
