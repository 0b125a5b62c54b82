#include "sync/link.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <uv.h>

#define READ_LEN (256u << 10)
#define QUEUE_FIRST_LEN (16u << 10)
#define QUEUE_KEEP_LEN (1u << 20) /* a bigger buffer is given back when it is empty */
#define BACKLOG 8
#define REASON_LEN 160

struct queue {
    uint8_t *p;
    size_t len, room;
};

struct conn {
    struct list all;
    struct links *links;
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
    struct channel *channel;
    uint8_t member; /* whom the address belongs to; once up, who it proved to be */
    bool dialled, connected, closing, writing;
    bool up, told_down;
    uint64_t dial_until_ns;
    struct queue gathering, flying;
    size_t flown; /* of flying */
    char reason[REASON_LEN];
};

struct member_link {
    struct conn *conn;    /* the one that is up */
    struct conn *dialing; /* the one that we make */
    uint64_t dial_at_ns, back_off_ns;
    uint64_t tokens_ns, tokens; /* of incoming handshakes from its address */
};

enum listening { LISTEN_NOT, LISTEN_OPEN, LISTEN_CLOSING };

struct links {
    struct links_config conf;
    struct links_ops ops;
    uv_loop_t *loop;
    uv_tcp_t listener;
    uv_timer_t timer;
    uv_prepare_t prepare;
    uv_idle_t idle;
    unsigned handles; /* of the four above that are not closed yet */
    enum listening listening;
    uint64_t listen_at_ns;
    bool freeing, ticking;
    struct list conns;
    struct member_link member[MEMBERS_MAX];
    struct links_counters counters;
    uint8_t read_buf[READ_LEN];
};

static void schedule(struct links *l);

/* ---- sockets ---- */

static void address_text(const struct links *l, uint8_t member, char buf[ENDPOINT_TEXT_LEN])
{
    endpoint_format(&l->conf.address[member], buf);
}

/* A socket of our own address's family, bound to it before it is there. */
static int bind_own(struct links *l, uv_tcp_t *tcp, uint16_t port)
{
    struct endpoint own = l->conf.address[l->conf.identity.self];
    struct sockaddr_storage sa;
    int fd, one = 1, r;

    own.port = port;
    endpoint_to_sockaddr(&own, &sa);
    r = uv_fileno((uv_handle_t *)tcp, &fd);
    if (r < 0)
        return r;
    if (sa.ss_family == AF_INET)
        r = setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof(one));
    else
        r = setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &one, sizeof(one));
    if (r < 0)
        return -errno;
    return uv_tcp_bind(tcp, (struct sockaddr *)&sa, sa.ss_family == AF_INET6 ? UV_TCP_IPV6ONLY : 0);
}

static unsigned family(const struct links *l)
{
    return addr_is_v4(&l->conf.address[l->conf.identity.self].addr) ? AF_INET : AF_INET6;
}

static void tune(struct conn *c)
{
    unsigned timeout_ms = LINK_USER_TIMEOUT_MS;
    int fd;

    uv_tcp_nodelay(&c->tcp, 1);
    if (uv_fileno((uv_handle_t *)&c->tcp, &fd) == 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
}

/* ---- the end of a connection ---- */

static void tell_down(struct conn *c)
{
    if (!c->up || c->told_down)
        return;
    c->told_down = true;
    if (!c->links->freeing)
        c->links->ops.down(c->links->ops.ctx, c->member, c->reason);
}

static void links_release(struct links *l)
{
    if (l->freeing && !l->handles && l->listening == LISTEN_NOT && list_empty(&l->conns))
        free(l);
}

static void on_conn_closed(uv_handle_t *h)
{
    struct conn *c = h->data;
    struct links *l = c->links;

    tell_down(c); /* from the loop, never from inside a call of the node's */
    channel_free(c->channel);
    free(c->gathering.p);
    free(c->flying.p);
    list_remove(&c->all);
    free(c);
    links_release(l);
}

static uint64_t jittered(const struct links *l, uint64_t ns)
{
    return ns - ns / 4 + rng_u64(l->conf.rng) % (ns / 2);
}

static void plan_dial(struct links *l, uint8_t member)
{
    struct member_link *m = &l->member[member];

    m->dial_at_ns = clock_boot_ns() + jittered(l, m->back_off_ns);
    m->back_off_ns = MIN(2 * m->back_off_ns, LINK_DIAL_MAX_NS);
}

static void conn_close(struct conn *c, const char *reason)
{
    struct links *l = c->links;
    struct member_link *m = &l->member[c->member];

    if (c->closing)
        return;
    c->closing = true;
    snprintf(c->reason, sizeof(c->reason), "%s", reason);
    if (!c->up && c->connected && !l->freeing) {
        char text[ENDPOINT_TEXT_LEN];

        l->counters.handshakes_failed++;
        address_text(l, c->member, text);
        log_warn("sync link not made", "member=%u address=%s reason=%s", c->member, text, reason);
    }
    if (m->conn == c)
        m->conn = NULL;
    if (m->dialing == c) {
        m->dialing = NULL;
        plan_dial(l, c->member);
    }
    uv_close((uv_handle_t *)&c->tcp, on_conn_closed);
    schedule(l);
}

/* ---- writing ---- */

static void write_more(struct conn *c);

static void on_written(uv_write_t *w, int status)
{
    struct conn *c = w->handle->data;

    c->writing = false;
    c->flying.len = c->flown = 0;
    if (c->closing)
        return;
    if (status < 0)
        conn_close(c, uv_strerror(status));
    else
        write_more(c);
}

static void queue_shrink(struct queue *q)
{
    if (q->room <= QUEUE_KEEP_LEN)
        return;
    free(q->p);
    *q = (struct queue){0};
}

/* All that was gathered, in one call. */
static void write_more(struct conn *c)
{
    struct queue t = c->flying;
    int r;

    if (c->closing || c->writing || !c->connected || !c->gathering.len)
        return;
    c->flying = c->gathering;
    c->gathering = t;
    queue_shrink(&c->gathering);
    if (c->up)
        c->links->counters.bytes_out += c->flying.len;
    uv_buf_t buf = uv_buf_init((char *)c->flying.p, (unsigned)c->flying.len);
    r = uv_try_write((uv_stream_t *)&c->tcp, &buf, 1);
    if (r < 0 && r != UV_EAGAIN) {
        conn_close(c, uv_strerror(r));
        return;
    }
    c->flown = r > 0 ? (size_t)r : 0;
    if (c->flown == c->flying.len) {
        c->flying.len = c->flown = 0;
        return;
    }
    buf = uv_buf_init((char *)c->flying.p + c->flown, (unsigned)(c->flying.len - c->flown));
    r = uv_write(&c->write, (uv_stream_t *)&c->tcp, &buf, 1, on_written);
    if (r < 0)
        conn_close(c, uv_strerror(r));
    else
        c->writing = true;
}

void links_flush(struct links *l)
{
    list_for_each (it, &l->conns)
        write_more(list_entry(it, struct conn, all));
    uv_idle_stop(&l->idle);
}

static void on_prepare(uv_prepare_t *p)
{
    links_flush(p->data);
}

/* Only there so that the loop does not sleep between gathering and the next on_prepare(). */
static void on_idle(uv_idle_t *i)
{
    (void)i;
}

static uint8_t *op_reserve(void *ctx, size_t len)
{
    struct conn *c = ctx;
    struct queue *q = &c->gathering;
    uint8_t *p;

    if (q->len + c->flying.len + len > LINK_QUEUE_MAX)
        return NULL;
    if (q->len + len > q->room) {
        size_t room = MAX(q->room, QUEUE_FIRST_LEN);

        while (room < q->len + len)
            room *= 2;
        p = realloc(q->p, room);
        if (!p)
            return NULL;
        q->p = p;
        q->room = room;
    }
    p = q->p + q->len;
    q->len += len;
    uv_idle_start(&c->links->idle, on_idle);
    return p;
}

/* ---- channels ---- */

static void op_up(void *ctx, uint8_t member, const struct codec_key *key)
{
    struct conn *c = ctx;
    struct links *l = c->links;

    /* The older connection of the same member is dead, or its process is. */
    list_for_each (it, &l->conns) {
        struct conn *old = list_entry(it, struct conn, all);

        if (old == c || !old->up || old->member != member)
            continue;
        conn_close(old, "replaced by a newer connection");
        tell_down(old);
    }
    c->up = true;
    c->member = member;
    l->member[member].conn = c;
    l->member[member].back_off_ns = LINK_DIAL_FIRST_NS;
    l->ops.up(l->ops.ctx, member, key);
}

static void op_frame(void *ctx, const uint8_t *msg, size_t len)
{
    struct conn *c = ctx;

    if (!c->closing)
        c->links->ops.frame(c->links->ops.ctx, c->member, msg, len);
}

static void op_failed(void *ctx, const char *reason)
{
    conn_close(ctx, reason);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    struct conn *c = h->data;

    (void)suggested;
    *buf = uv_buf_init((char *)c->links->read_buf, READ_LEN);
}

static void on_read(uv_stream_t *s, ssize_t nread, const uv_buf_t *buf)
{
    struct conn *c = s->data;
    uint64_t now_ns = clock_boot_ns();

    if (c->closing || nread == 0)
        return;
    if (nread < 0) {
        conn_close(c, nread == UV_EOF ? "closed by the other side" : uv_strerror((int)nread));
        return;
    }
    if (c->up)
        c->links->counters.bytes_in += (uint64_t)nread;
    unsigned before = channel_handshakes(c->channel);
    channel_input(c->channel, (const uint8_t *)buf->base, (size_t)nread, now_ns);
    if (before && channel_handshakes(c->channel) > before)
        c->links->counters.rekeys++;
    if (!c->closing)
        channel_tick(c->channel, now_ns); /* S3: enough records may have gone by */
    schedule(c->links);
}

/* @family AF_UNSPEC: the socket comes by accept. */
static struct conn *conn_new(struct links *l, uint8_t member, unsigned family_now)
{
    struct channel_ops ops = {
        .reserve = op_reserve, .up = op_up, .frame = op_frame, .failed = op_failed};
    struct conn *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->links = l;
    c->member = member;
    ops.ctx = c;
    c->channel = channel_new(&l->conf.identity, &ops, l->conf.rng, clock_boot_ns());
    if (!c->channel || uv_tcp_init_ex(l->loop, &c->tcp, family_now) < 0) {
        channel_free(c->channel);
        free(c);
        return NULL;
    }
    c->tcp.data = c;
    list_append(&l->conns, &c->all);
    return c;
}

static bool conn_talk(struct conn *c)
{
    int r = uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);

    c->connected = true;
    if (r < 0) {
        conn_close(c, uv_strerror(r));
        return false;
    }
    return true;
}

/* ---- dialling ---- */

static bool we_dial(const struct links *l, uint8_t member)
{
    return l->conf.identity.member[member].known && member < l->conf.identity.self;
}

static void on_connected(uv_connect_t *req, int status)
{
    struct conn *c = req->handle->data;

    if (c->closing)
        return;
    if (status < 0) {
        conn_close(c, uv_strerror(status));
        return;
    }
    if (conn_talk(c))
        channel_start(c->channel, c->member, clock_boot_ns());
    schedule(c->links);
}

static void dial(struct links *l, uint8_t member)
{
    struct sockaddr_storage sa;
    struct conn *c = conn_new(l, member, family(l));
    int r;

    if (!c) {
        plan_dial(l, member);
        return;
    }
    l->counters.dialled++;
    c->dialled = true;
    c->dial_until_ns = clock_boot_ns() + LINK_DIAL_TIMEOUT_NS;
    l->member[member].dialing = c;
    tune(c);
    endpoint_to_sockaddr(&l->conf.address[member], &sa);
    r = bind_own(l, &c->tcp, 0);
    if (r == 0)
        r = uv_tcp_connect(&c->connect, &c->tcp, (struct sockaddr *)&sa, on_connected);
    if (r < 0)
        conn_close(c, uv_strerror(r));
}

void links_dial_now(struct links *l)
{
    for (uint8_t m = 1; m < MEMBERS_MAX; m++) {
        struct member_link *link = &l->member[m];

        if (!we_dial(l, m) || (link->dialing && link->dialing->connected))
            continue;
        if (link->dialing) /* its first SYN is lost, and TCP repeats it after a second */
            conn_close(link->dialing, "dialled anew");
        link->back_off_ns = LINK_DIAL_FIRST_NS;
        link->dial_at_ns = 0;
    }
    schedule(l);
}

/* ---- listening ---- */

static bool somebody_dials_us(const struct links *l)
{
    for (unsigned m = l->conf.identity.self + 1u; m < MEMBERS_MAX; m++)
        if (l->conf.identity.member[m].known)
            return true;
    return false;
}

/* The member that may dial from @from; 0: nobody. */
static uint8_t caller(const struct links *l, const struct endpoint *from)
{
    for (uint8_t m = (uint8_t)(l->conf.identity.self + 1); m < MEMBERS_MAX; m++)
        if (l->conf.identity.member[m].known && addr_equal(&l->conf.address[m].addr, &from->addr))
            return m;
    return 0;
}

static bool take_token(struct member_link *m, uint64_t now_ns)
{
    uint64_t each_ns = NS_PER_S / LINK_HANDSHAKES_PER_S;
    uint64_t earned = (now_ns - m->tokens_ns) / each_ns;

    if (!m->tokens_ns || m->tokens + earned >= LINK_HANDSHAKES_PER_S) {
        m->tokens = LINK_HANDSHAKES_PER_S;
        m->tokens_ns = now_ns;
    } else {
        m->tokens += earned;
        m->tokens_ns += earned * each_ns;
    }
    if (!m->tokens)
        return false;
    m->tokens--;
    return true;
}

/* Who has connected, and whether it may go on. 0: no, counted. */
static uint8_t admit(struct links *l, struct conn *c)
{
    struct sockaddr_storage sa;
    struct endpoint from;
    int len = sizeof(sa);
    unsigned unproven = 0, of_address = 0;

    if (uv_tcp_getpeername(&c->tcp, (struct sockaddr *)&sa, &len) < 0 ||
        endpoint_from_sockaddr((struct sockaddr *)&sa, &from) < 0)
        return 0;
    uint8_t member = caller(l, &from);
    if (!member) {
        l->counters.refused_address++;
        return 0;
    }
    if (!take_token(&l->member[member], clock_boot_ns())) {
        l->counters.refused_rate++;
        return 0;
    }
    list_for_each (it, &l->conns) {
        struct conn *other = list_entry(it, struct conn, all);

        if (other == c || other->dialled || other->up || other->closing)
            continue;
        unproven++;
        of_address += other->member == member;
    }
    if (unproven >= LINK_UNPROVEN_MAX || of_address >= LINK_UNPROVEN_PER_ADDRESS) {
        l->counters.refused_unproven++;
        return 0;
    }
    return member;
}

static void on_listener_closed(uv_handle_t *h)
{
    struct links *l = h->data;

    l->listening = LISTEN_NOT;
    if (l->freeing)
        links_release(l);
    else
        schedule(l);
}

static void stop_listening(struct links *l)
{
    if (l->listening != LISTEN_OPEN)
        return;
    l->listening = LISTEN_CLOSING;
    uv_close((uv_handle_t *)&l->listener, on_listener_closed);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct links *l = listener->data;
    struct conn *c;

    if (status < 0 || l->freeing)
        return;
    c = conn_new(l, 0, AF_UNSPEC);
    if (!c) { /* libuv waits for an accept; begin again when there is memory */
        stop_listening(l);
        return;
    }
    if (uv_accept(listener, (uv_stream_t *)&c->tcp) < 0) {
        conn_close(c, "not accepted");
        return;
    }
    c->member = admit(l, c);
    if (!c->member) {
        conn_close(c, "not admitted");
        return;
    }
    l->counters.accepted++;
    tune(c);
    conn_talk(c);
    schedule(l);
}

static void listen_now(struct links *l)
{
    char text[ENDPOINT_TEXT_LEN];
    int r = uv_tcp_init_ex(l->loop, &l->listener, family(l));

    l->listen_at_ns = clock_boot_ns() + LINK_LISTEN_RETRY_NS;
    if (r == 0) {
        l->listener.data = l;
        l->listening = LISTEN_OPEN;
        r = bind_own(l, &l->listener, l->conf.address[l->conf.identity.self].port);
        if (r == 0)
            r = uv_listen((uv_stream_t *)&l->listener, BACKLOG, on_connection);
        if (r == 0)
            return;
        stop_listening(l);
    }
    address_text(l, l->conf.identity.self, text);
    log_warn("cannot listen for siblings yet", "address=%s error=%s", text, uv_strerror(r));
}

/* ---- time ---- */

/* What is due; returns when to look again. */
static uint64_t tick(struct links *l, uint64_t now_ns)
{
    uint64_t next = UINT64_MAX;

    if (somebody_dials_us(l) && l->listening == LISTEN_NOT && now_ns >= l->listen_at_ns)
        listen_now(l);
    for (uint8_t m = 1; m < MEMBERS_MAX; m++) {
        struct member_link *link = &l->member[m];

        if (we_dial(l, m) && !link->dialing && now_ns >= link->dial_at_ns)
            dial(l, m);
    }
    list_for_each (it, &l->conns) {
        struct conn *c = list_entry(it, struct conn, all);
        uint64_t at;

        if (c->closing)
            continue;
        if (c->dialled && !c->connected) {
            if (now_ns >= c->dial_until_ns)
                conn_close(c, "no answer");
            at = c->dial_until_ns;
        } else {
            at = channel_tick(c->channel, now_ns);
        }
        if (!c->closing)
            next = MIN(next, at);
    }
    for (uint8_t m = 1; m < MEMBERS_MAX; m++)
        if (we_dial(l, m) && !l->member[m].dialing)
            next = MIN(next, l->member[m].dial_at_ns);
    if (somebody_dials_us(l) && l->listening == LISTEN_NOT)
        next = MIN(next, l->listen_at_ns);
    return next;
}

static void on_timer(uv_timer_t *t)
{
    schedule(t->data);
}

static void schedule(struct links *l)
{
    uint64_t now_ns, next;

    if (l->freeing || l->ticking)
        return;
    l->ticking = true; /* what tick() closes asks for a schedule as well */
    now_ns = clock_boot_ns();
    next = tick(l, now_ns);
    l->ticking = false;
    if (next == UINT64_MAX) {
        uv_timer_stop(&l->timer);
        return;
    }
    uint64_t in_ms = next > now_ns ? (next - now_ns + NS_PER_MS - 1) / NS_PER_MS : 1;
    uv_timer_start(&l->timer, on_timer, in_ms, 0);
}

/* ---- life ---- */

static void on_handle_closed(uv_handle_t *h)
{
    struct links *l = h->data;

    l->handles--;
    links_release(l);
}

int links_new(uv_loop_t *loop, const struct links_config *c, const struct links_ops *ops,
              struct links **ret)
{
    struct links *l = calloc(1, sizeof(*l));

    if (!l)
        return -ENOMEM;
    l->conf = *c;
    l->ops = *ops;
    l->loop = loop;
    list_init(&l->conns);
    /* None of these can fail: they only fill the struct in. */
    uv_timer_init(loop, &l->timer);
    uv_prepare_init(loop, &l->prepare);
    uv_idle_init(loop, &l->idle);
    l->handles = 3;
    l->timer.data = l->prepare.data = l->idle.data = l;
    uv_prepare_start(&l->prepare, on_prepare);
    for (unsigned m = 0; m < MEMBERS_MAX; m++)
        l->member[m].back_off_ns = LINK_DIAL_FIRST_NS;
    /* The first look is the loop's, so that no op is called before the caller is ready. */
    uv_timer_start(&l->timer, on_timer, 0, 0);
    *ret = l;
    return 0;
}

void links_add(struct links *l, uint8_t member, const uint8_t public_key[32],
               const struct endpoint *address)
{
    assert(member && member < MEMBERS_MAX && !l->conf.identity.member[member].known);
    l->conf.identity.member[member].known = true;
    memcpy(l->conf.identity.member[member].public_key, public_key, 32);
    l->conf.address[member] = *address;
    uv_timer_start(&l->timer, on_timer, 0, 0);
}

void links_free(struct links *l)
{
    if (!l)
        return;
    links_flush(l);
    l->freeing = true;
    list_for_each (it, &l->conns)
        conn_close(list_entry(it, struct conn, all), "this member stops");
    stop_listening(l);
    uv_close((uv_handle_t *)&l->timer, on_handle_closed);
    uv_close((uv_handle_t *)&l->prepare, on_handle_closed);
    uv_close((uv_handle_t *)&l->idle, on_handle_closed);
}

bool links_send(struct links *l, uint8_t member, const uint8_t *msg, size_t len)
{
    struct conn *c = member < MEMBERS_MAX ? l->member[member].conn : NULL;

    return c && channel_send(c->channel, msg, len);
}

size_t links_queued(const struct links *l, uint8_t member)
{
    const struct conn *c = member < MEMBERS_MAX ? l->member[member].conn : NULL;

    return c ? c->gathering.len + c->flying.len - c->flown : 0;
}

void links_close(struct links *l, uint8_t member, const char *reason)
{
    struct conn *c = member < MEMBERS_MAX ? l->member[member].conn : NULL;

    if (!c)
        return;
    write_more(c); /* the last words, if the kernel takes them */
    conn_close(c, reason);
}

const struct links_counters *links_counters(const struct links *l)
{
    return &l->counters;
}
