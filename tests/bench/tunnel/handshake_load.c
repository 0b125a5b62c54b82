/* The handshake load of the tunnel bench: many clients in one process, each with a key and a source
 * address of its own, so that a hub's limits for one address do not hide what it can do.
 *
 *     bench-handshakes keys CLIENTS
 *         Prints their public keys in base64, one a line; the same ones every time.
 *     bench-handshakes run ADDRESS PORT HUB-KEY SOURCE CLIENTS SECONDS RATE
 *         The clients in turn begin handshakes from SOURCE, SOURCE + 1, ...: RATE a second, or with
 *         RATE 0 as soon as one of IN_FLIGHT is answered. After a time to warm up (a hub may ask
 * for cookies first) it prints "warm", and after SECONDS more: answered, cookies, lost, seconds,
 *         and the median and p99 of the time to the answer in microseconds.
 *
 * Every answer is opened, as a client must; the session is never used. */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/secret.h"
#include "noise/noise.h"
#include "wg/handshake.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#define IN_FLIGHT 64
#define CLIENTS_MAX 60000
#define ANSWERS_MAX 4000000
#define WARM_UP_NS (3 * NS_PER_S / 2)
#define LOST_NS NS_PER_S
#define OLDEST_LOOKS 4 /* how many of the oldest are looked at for a loss, each turn */
#define SOCKET_BYTES (32 << 20)
#define BEHIND_MAX 256 /* of an open loop that is late: more is forgiven, not sent at once */

struct client {
    struct identity self;
    struct remote hub;
    struct initiation initiation; /* secret != NULL: in flight */
    uint64_t sent_ns;
    uint8_t mac1[16], cookie[16];
    bool has_cookie;
};

struct load {
    struct client *clients;
    unsigned count, next, oldest, in_flight;
    int fd;
    struct sockaddr_in to;
    uint32_t source; /* first one, host order */
    uint64_t begun, cookies, lost;
    uint32_t *answer_us;
    unsigned answers;
};

static int fail(const char *what)
{
    fprintf(stderr, "bench-handshakes: %s: %s\n", what, strerror(errno));
    return 1;
}

/* ---------------------------------------------------------------- the environment of a step */

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

static bool last_mac1(void *ctx, uint64_t peer_id, uint8_t ret[16])
{
    memcpy(ret, ((struct client *)ctx)->mac1, 16);
    return true;
}

/* The index says which client is meant: its place, and a count that tells attempts apart. */
static uint32_t draw_index(void *ctx)
{
    struct client *c = ctx;

    return (uint32_t)c->hub.peer_id | ((c->initiation.local_index & 0xffff0000) + 0x10000);
}

static void step(struct client *c, const struct handshake_job *job, struct handshake_result *ret)
{
    struct handshake_env env = {.self = &c->self,
                                .rng = &rng_system,
                                .now_ns = job->queued_ns,
                                .real_ns = clock_real_ns(),
                                .ctx = c,
                                .find_remote_id = find_remote_id,
                                .find_initiation = find_initiation,
                                .find_remote_index = find_remote_index,
                                .draw_index = draw_index,
                                .last_mac1 = last_mac1};

    handshake_run(&env, job, ret);
}

/* ---------------------------------------------------------------- clients */

static void client_key(unsigned number, struct secret32 *ret)
{
    blake2s(ret->b, sizeof(ret->b), "bench-handshakes", 16, &number, sizeof(number));
    x25519_clamp(ret->b);
}

static bool clients_init(struct load *l, const struct public_key *hub)
{
    l->clients = calloc(l->count, sizeof(*l->clients));
    if (!l->clients || secret_arena_init((size_t)l->count * 4 + 64, false) < 0)
        return false;
    for (unsigned i = 0; i < l->count; i++) {
        struct client *c = &l->clients[i];
        struct secret32 key;

        c->self.private_key = secret_alloc();
        c->hub.secret = secret_alloc();
        if (!c->self.private_key || !c->hub.secret)
            return false;
        client_key(i, &key);
        identity_init(&c->self, &key);
        remote_init(&c->hub, &c->self, hub, NULL);
        c->hub.peer_id = i;
    }
    return true;
}

static void client_forget(struct load *l, struct client *c)
{
    secret_free(c->initiation.secret);
    secret_free(c->initiation.state);
    c->initiation.secret = NULL;
    c->initiation.state = NULL;
    l->in_flight--;
}

/* ---------------------------------------------------------------- traffic */

static void send_from(struct load *l, uint32_t source, const uint8_t *message, unsigned len)
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
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    struct in_pktinfo info = {.ipi_spec_dst = {htonl(source)}};

    c->cmsg_level = IPPROTO_IP;
    c->cmsg_type = IP_PKTINFO;
    c->cmsg_len = CMSG_LEN(sizeof(info));
    memcpy(CMSG_DATA(c), &info, sizeof(info));
    sendmsg(l->fd, &m, 0); /* what a full queue refuses is lost, and counted as that */
}

/* The next client that waits for nothing begins. */
static void begin(struct load *l, uint64_t now)
{
    struct client *c = &l->clients[l->next];
    struct handshake_job job = {.kind = HANDSHAKE_INITIATE, .queued_ns = now};
    struct handshake_result r;

    l->next = (l->next + 1) % l->count;
    if (c->initiation.secret)
        return;
    stamp_from_real(clock_real_ns(), job.stamp);
    step(c, &job, &r);
    if (r.verdict == HANDSHAKE_INITIATION_MADE) {
        c->initiation = r.initiation;
        r.initiation.secret = NULL;
        r.initiation.state = NULL;
        memcpy(c->mac1, r.reply + r.reply_len - 32, 16);
        if (c->has_cookie)
            handshake_add_mac2(r.reply, r.reply_len, c->cookie);
        c->sent_ns = now;
        l->in_flight++;
        l->begun++;
        send_from(l, l->source + (uint32_t)(c - l->clients), r.reply, r.reply_len);
    }
    handshake_result_clear(&r);
}

static void receive(struct load *l, const uint8_t *message, unsigned len, uint64_t now)
{
    struct handshake_job job = {.kind = HANDSHAKE_DATAGRAM, .queued_ns = now, .len = len};
    struct handshake_result r;

    if (len != sizeof(struct message_response) && len != sizeof(struct message_cookie))
        return;
    bool cookie = len == sizeof(struct message_cookie);
    uint32_t place = load_le32(message + (cookie ? 4 : 8)) & 0xffff;

    if (place >= l->count)
        return;
    struct client *c = &l->clients[place];

    memcpy(job.message, message, len);
    step(c, &job, &r);
    if (r.verdict == HANDSHAKE_RESPONSE_VALID) {
        if (l->answers < ANSWERS_MAX)
            l->answer_us[l->answers++] = (uint32_t)((now - c->sent_ns) / 1000);
        client_forget(l, c);
    } else if (r.verdict == HANDSHAKE_COOKIE_VALID) {
        memcpy(c->cookie, r.cookie, sizeof(c->cookie));
        c->has_cookie = true;
        l->cookies++;
        client_forget(l, c);
    }
    handshake_result_clear(&r);
}

static void receive_all(struct load *l)
{
    uint8_t buf[256];
    ssize_t n;

    while ((n = recv(l->fd, buf, sizeof(buf), MSG_DONTWAIT)) >= 0)
        receive(l, buf, (unsigned)n, clock_boot_ns());
}

/* They began in turn: the oldest one is where `next` was longest ago. */
static void give_up_old(struct load *l, uint64_t now)
{
    for (unsigned i = 0; i < OLDEST_LOOKS && l->oldest != l->next; i++) {
        struct client *c = &l->clients[l->oldest];

        if (c->initiation.secret) {
            if (now < c->sent_ns + LOST_NS)
                return;
            client_forget(l, c);
            l->lost++;
        }
        l->oldest = (l->oldest + 1) % l->count;
    }
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static void run(struct load *l, uint64_t rate, double seconds)
{
    uint64_t start = clock_boot_ns(), warm = start + WARM_UP_NS, now, forgiven = 0;
    uint64_t end = warm + (uint64_t)(seconds * NS_PER_S);
    bool measured = false;
    struct pollfd p = {.fd = l->fd, .events = POLLIN};

    while ((now = clock_boot_ns()) < end) {
        if (!measured && now >= warm) {
            measured = true;
            l->cookies = l->lost = l->answers = 0;
            warm = now;
            puts("warm");
            fflush(stdout);
        }
        uint64_t due = rate ? (now - start) * rate / NS_PER_S : 0, owed = 0;

        if (rate && due > l->begun + forgiven)
            owed = due - l->begun - forgiven;
        if (owed > BEHIND_MAX) {
            forgiven += owed - BEHIND_MAX;
            owed = BEHIND_MAX;
        }
        if (!rate && l->in_flight < IN_FLIGHT)
            owed = IN_FLIGHT - l->in_flight;
        for (; owed > 0; owed--) {
            begin(l, clock_boot_ns());
            receive_all(l);
        }
        ppoll(&p, 1, &(struct timespec){.tv_nsec = rate ? 200000 : 5000000}, NULL);
        receive_all(l);
        give_up_old(l, clock_boot_ns());
    }
    qsort(l->answer_us, l->answers, sizeof(*l->answer_us), by_size);
    unsigned last = l->answers ? l->answers - 1 : 0;
    unsigned p99 = (unsigned)(0.99 * l->answers);
    printf("%u %llu %llu %.6f %u %u\n", l->answers, (unsigned long long)l->cookies,
           (unsigned long long)l->lost, (double)(now - warm) / NS_PER_S,
           l->answer_us[l->answers / 2], l->answer_us[p99 < last ? p99 : last]);
}

static int cmd_run(char **argv)
{
    struct load l = {.to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))},
                     .count = (unsigned)atoi(argv[4])};
    struct public_key hub;
    struct in_addr source;

    if (inet_pton(AF_INET, argv[0], &l.to.sin_addr) != 1 || !key_from_base64(argv[2], hub.b) ||
        inet_pton(AF_INET, argv[3], &source) != 1 || l.count < 1 || l.count > CLIENTS_MAX) {
        errno = EINVAL;
        return fail("arguments");
    }
    l.source = ntohl(source.s_addr);
    l.answer_us = calloc(ANSWERS_MAX, sizeof(*l.answer_us));
    l.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (!l.answer_us || l.fd < 0 || !clients_init(&l, &hub))
        return fail("start");
    setsockopt(l.fd, SOL_SOCKET, SO_RCVBUFFORCE, &(int){SOCKET_BYTES}, sizeof(int));
    prctl(PR_SET_TIMERSLACK, 1);
    run(&l, strtoull(argv[6], NULL, 10), atof(argv[5]));
    return 0;
}

static int cmd_keys(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct secret32 key;
        uint8_t public_key[32];
        char text[KEY_TEXT_LEN + 1];

        client_key(i, &key);
        x25519_public(public_key, key.b);
        key_to_base64(public_key, text);
        puts(text);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (noise_init() < 0)
        return fail("libraries");
    if (argc == 3 && strcmp(argv[1], "keys") == 0)
        return cmd_keys((unsigned)atoi(argv[2]));
    if (argc == 9 && strcmp(argv[1], "run") == 0)
        return cmd_run(argv + 2);
    fputs("usage: bench-handshakes keys CLIENTS\n"
          "       bench-handshakes run ADDRESS PORT HUB-KEY SOURCE CLIENTS SECONDS RATE\n",
          stderr);
    return 2;
}
