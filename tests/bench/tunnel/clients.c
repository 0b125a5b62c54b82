#include "bench/tunnel/clients.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/secret.h"
#include "noise/noise.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define SOCKET_BYTES (32 << 20)
#define SLOTS_EACH 8 /* static, static-static, initiation (2), sessions (3), one to spare */

static const struct remote *find_remote_id(void *ctx, uint64_t peer_id)
{
    return &((struct client *)ctx)->hub;
}

static const struct initiation *find_initiation(void *ctx, uint32_t index)
{
    struct client *c = ctx;

    return c->initiation.secret && c->initiation.local_index == index ? &c->initiation : NULL;
}

static const struct remote *find_remote_index(void *ctx, uint32_t index)
{
    return find_initiation(ctx, index) ? &((struct client *)ctx)->hub : NULL;
}

static const struct remote *find_remote(void *ctx, const struct public_key *key)
{
    struct client *c = ctx;

    return memcmp(key, &c->hub.public_key, sizeof(*key)) == 0 ? &c->hub : NULL;
}

static bool last_stamp(void *ctx, uint64_t peer_id, uint8_t ret[TAI64N_LEN])
{
    return false;
}

static bool last_mac1(void *ctx, uint64_t peer_id, uint8_t ret[16])
{
    memcpy(ret, ((struct client *)ctx)->mac1, 16);
    return true;
}

/* The index says which client is meant: its place, and a count that tells attempts apart. */
static uint32_t draw_index(void *ctx)
{
    struct client *c = ctx;

    c->attempts += 0x10000;
    return (uint32_t)c->hub.peer_id | c->attempts;
}

static void step(struct client *c, const struct handshake_job *job, struct handshake_result *ret)
{
    struct handshake_env env = {.self = &c->self,
                                .rng = &rng_system,
                                .now_ns = job->queued_ns,
                                .real_ns = clock_real_ns(),
                                .ctx = c,
                                .find_remote = find_remote,
                                .find_remote_id = find_remote_id,
                                .find_initiation = find_initiation,
                                .find_remote_index = find_remote_index,
                                .draw_index = draw_index,
                                .last_stamp = last_stamp,
                                .last_mac1 = last_mac1};

    handshake_run(&env, job, ret);
}

/* ---------------------------------------------------------------- clients */

void client_key(unsigned number, struct secret32 *ret)
{
    blake2s(ret->b, sizeof(ret->b), "bench-handshakes", 16, &number, sizeof(number));
    x25519_clamp(ret->b);
}

static int fail(const char *what)
{
    fprintf(stderr, "bench: %s\n", what);
    return -1;
}

static bool client_init(struct client *c, unsigned place, unsigned number,
                        const struct public_key *hub)
{
    struct secret32 key;

    c->self.private_key = secret_alloc();
    c->hub.secret = secret_alloc();
    if (!c->self.private_key || !c->hub.secret)
        return false;
    client_key(number, &key);
    identity_init(&c->self, &key);
    remote_init(&c->hub, &c->self, hub, NULL);
    c->hub.peer_id = place;
    return true;
}

int clients_init(struct clients *l, const char *address, const char *port, const char *hub_key,
                 const char *source, const char *count)
{
    const char *at = strchr(count, '@');
    unsigned number = at ? (unsigned)atoi(at + 1) : 0;
    struct public_key hub;
    struct in_addr first;

    *l = (struct clients){.to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))},
                          .count = (unsigned)atoi(count)};
    if (inet_pton(AF_INET, address, &l->to.sin_addr) != 1 || !key_from_base64(hub_key, hub.b) ||
        inet_pton(AF_INET, source, &first) != 1 || l->count < 1 || l->count > CLIENTS_MAX)
        return fail("address, key, source or number of clients is wrong");
    l->source = ntohl(first.s_addr);
    l->all = calloc(l->count, sizeof(*l->all));
    l->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (!l->all || l->fd < 0 || secret_arena_init((size_t)l->count * SLOTS_EACH + 64, false) < 0)
        return fail("no memory or socket");
    setsockopt(l->fd, SOL_SOCKET, SO_RCVBUFFORCE, &(int){SOCKET_BYTES}, sizeof(int));
    for (unsigned i = 0; i < l->count; i++)
        if (!client_init(&l->all[i], i, number + i, &hub))
            return fail("no memory for keys");
    return 0;
}

void client_forget(struct clients *l, struct client *c)
{
    secret_free(TAKE_PTR(c->initiation.secret));
    secret_free(TAKE_PTR(c->initiation.state));
    l->in_flight--;
}

void client_send(struct clients *l, const struct client *c, const void *message, unsigned len)
{
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
    } control = {0};
    struct iovec piece = {(void *)message, len};
    struct msghdr m = {.msg_name = &l->to,
                       .msg_namelen = sizeof(l->to),
                       .msg_iov = &piece,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof(control)};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    struct in_pktinfo info = {.ipi_spec_dst = {htonl(l->source + (uint32_t)(c - l->all))}};

    h->cmsg_level = IPPROTO_IP;
    h->cmsg_type = IP_PKTINFO;
    h->cmsg_len = CMSG_LEN(sizeof(info));
    memcpy(CMSG_DATA(h), &info, sizeof(info));
    sendmsg(l->fd, &m, 0);
}

bool client_begin(struct clients *l, struct client *c, uint64_t now)
{
    struct handshake_job job = {.kind = HANDSHAKE_INITIATE, .queued_ns = now};
    struct handshake_result r;
    bool made;

    if (c->initiation.secret)
        return false;
    stamp_from_real(clock_real_ns(), job.stamp);
    step(c, &job, &r);
    made = r.verdict == HANDSHAKE_INITIATION_MADE;
    if (made) {
        c->initiation = r.initiation;
        r.initiation.secret = NULL;
        r.initiation.state = NULL;
        memcpy(c->mac1, r.reply + r.reply_len - 32, 16);
        if (c->has_cookie)
            handshake_add_mac2(r.reply, r.reply_len, c->cookie);
        c->sent_ns = now;
        l->in_flight++;
        client_send(l, c, r.reply, r.reply_len);
    }
    handshake_result_clear(&r);
    return made;
}

bool client_answer(struct clients *l, struct client *c, const uint8_t *message, unsigned len,
                   uint64_t now)
{
    struct handshake_job job = {.kind = HANDSHAKE_DATAGRAM, .queued_ns = now, .len = len};
    struct handshake_result r;

    if (len != sizeof(struct message_initiation))
        return false;
    memcpy(job.message, message, len);
    step(c, &job, &r);
    bool ok = r.verdict == HANDSHAKE_INITIATION_VALID;
    if (ok) {
        secret_free(c->next_keys);
        c->next_keys = TAKE_PTR(r.keys);
        c->next_index = r.local_index;
        c->next_hub_index = r.remote_index;
        client_send(l, c, r.reply, r.reply_len);
    }
    handshake_result_clear(&r);
    return ok;
}

enum client_event clients_receive(struct clients *l, const uint8_t *message, unsigned len,
                                  uint64_t now, struct client **ret_client)
{
    struct handshake_job job = {.kind = HANDSHAKE_DATAGRAM, .queued_ns = now, .len = len};
    enum client_event event = CLIENT_NOTHING;
    struct handshake_result r;

    if (len != sizeof(struct message_response) && len != sizeof(struct message_cookie))
        return CLIENT_NOTHING;
    bool cookie = len == sizeof(struct message_cookie);
    uint32_t place = load_le32(message + (cookie ? 4 : 8)) & 0xffff;

    if (place >= l->count)
        return CLIENT_NOTHING;
    struct client *c = &l->all[place];

    memcpy(job.message, message, len);
    step(c, &job, &r);
    if (r.verdict == HANDSHAKE_RESPONSE_VALID) {
        event = CLIENT_ANSWERED;
        secret_free(c->keys);
        c->keys = TAKE_PTR(r.keys);
        c->hub_index = r.remote_index;
        c->counter = 0;
        client_forget(l, c);
    } else if (r.verdict == HANDSHAKE_COOKIE_VALID) {
        event = CLIENT_COOKIE;
        memcpy(c->cookie, r.cookie, sizeof(c->cookie));
        c->has_cookie = true;
        client_forget(l, c);
    }
    handshake_result_clear(&r);
    if (event != CLIENT_NOTHING)
        *ret_client = c;
    return event;
}
