/* The UDP load of the tunnel bench: a sender that keeps a rate, and a receiver that counts.
 *
 *     bench-udp send ADDRESS PORT PAYLOAD SECONDS RATE BURST
 *         RATE packets a second, 0: as fast as it goes; BURST packets leave in one piece (UDP
 *         segmentation), spaced evenly. Prints the packets sent and the seconds that it took.
 *     bench-udp count PORT PAYLOAD SECONDS
 *         Counts until nothing came for QUIET_MS, SECONDS at most. Prints packets, and how many of
 *         them its own socket dropped: those are the receiver's fault, not the tunnel's. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

#define NS_PER_S 1000000000ull
#define MESSAGES_MAX 16 /* of one sendmmsg or recvmmsg */
#define SEGMENTS_MAX 64
#define BURST_BYTES_MAX 64000
#define PAYLOAD_MAX 1472
#define SOCKET_BYTES (64 << 20)
#define LATE_BURSTS_MAX 4
#define QUIET_MS 300
#define FIRST_WAIT_MS 3000

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void sleep_until(uint64_t ns)
{
    struct timespec t = {(time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S)};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}

static int fail(const char *what)
{
    fprintf(stderr, "bench-udp: %s: %s\n", what, strerror(errno));
    return 1;
}

static int udp_socket(int buffer_option)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, buffer_option, &(int){SOCKET_BYTES}, sizeof(int));
    return fd;
}

/* ---------------------------------------------------------------- send */

struct sender {
    int fd;
    unsigned payload, burst;
    uint64_t sent;
    struct mmsghdr messages[MESSAGES_MAX];
    struct iovec pieces[MESSAGES_MAX];
    uint8_t data[BURST_BYTES_MAX];
};

/* A full queue on the way ends the attempt. */
static void send_some(struct sender *s, unsigned bursts)
{
    int done = sendmmsg(s->fd, s->messages, bursts, 0);

    if (done > 0)
        s->sent += (uint64_t)done * s->burst;
}

/* Evenly spaced bursts. What a sender that slept too long owes is forgiven, but for a few bursts:
 * paid at once it would be a flood that the receiver takes for loss. */
static int run_sender(struct sender *s, double seconds, uint64_t rate)
{
    uint64_t start = now_ns(), end = start + (uint64_t)(seconds * NS_PER_S), now;
    uint64_t spacing = rate ? s->burst * NS_PER_S / rate : 0, next = start;

    while ((now = now_ns()) < end) {
        if (rate && now < next) {
            sleep_until(next < end ? next : end);
            continue;
        }
        if (rate && now - next > LATE_BURSTS_MAX * spacing)
            next = now - LATE_BURSTS_MAX * spacing;
        send_some(s, rate ? 1 : MESSAGES_MAX);
        next += spacing;
    }
    printf("%llu %.6f\n", (unsigned long long)s->sent, (double)(now - start) / NS_PER_S);
    return 0;
}

static int cmd_send(char **argv)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    static struct sender sender;
    struct sender *s = &sender;

    if (inet_pton(AF_INET, argv[0], &to.sin_addr) != 1)
        return fail("address");
    s->payload = (unsigned)atoi(argv[2]);
    s->burst = (unsigned)atoi(argv[5]);
    if (s->payload < 1 || s->payload > PAYLOAD_MAX || s->burst < 1)
        return fail("payload or burst out of range");
    if (s->burst > SEGMENTS_MAX)
        s->burst = SEGMENTS_MAX;
    if (s->burst > BURST_BYTES_MAX / s->payload)
        s->burst = BURST_BYTES_MAX / s->payload;
    for (unsigned i = 0; i < MESSAGES_MAX; i++) {
        s->pieces[i] = (struct iovec){s->data, (size_t)s->burst * s->payload};
        s->messages[i].msg_hdr.msg_iov = &s->pieces[i];
        s->messages[i].msg_hdr.msg_iovlen = 1;
    }
    s->fd = udp_socket(SO_SNDBUF);
    if (s->fd < 0 || connect(s->fd, (struct sockaddr *)&to, sizeof(to)) < 0)
        return fail("socket");
    if (s->burst > 1 &&
        setsockopt(s->fd, SOL_UDP, UDP_SEGMENT, &(int){(int)s->payload}, sizeof(int)) < 0)
        return fail("UDP_SEGMENT");
    prctl(PR_SET_TIMERSLACK, 1);
    return run_sender(s, atof(argv[3]), strtoull(argv[4], NULL, 10));
}

/* ---------------------------------------------------------------- count */

struct receiver {
    struct mmsghdr messages[MESSAGES_MAX];
    struct iovec pieces[MESSAGES_MAX];
    uint8_t data[MESSAGES_MAX]; /* nobody reads it */
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(uint32_t)) + CMSG_SPACE(sizeof(int))];
    } control[MESSAGES_MAX];
    uint64_t packets;
    uint32_t dropped;
};

/* A length with MSG_TRUNC is that of the datagram, or of all that GRO joined: nothing is copied. */
static int receive_some(struct receiver *v, int fd, unsigned payload)
{
    for (unsigned i = 0; i < MESSAGES_MAX; i++) {
        v->pieces[i] = (struct iovec){&v->data[i], 1};
        v->messages[i].msg_hdr = (struct msghdr){.msg_iov = &v->pieces[i],
                                                 .msg_iovlen = 1,
                                                 .msg_control = &v->control[i],
                                                 .msg_controllen = sizeof(v->control[i])};
    }
    int n = recvmmsg(fd, v->messages, MESSAGES_MAX, MSG_DONTWAIT | MSG_TRUNC, NULL);

    for (int i = 0; i < n; i++) {
        struct msghdr *h = &v->messages[i].msg_hdr;

        v->packets += v->messages[i].msg_len / payload;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c))
            if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL)
                memcpy(&v->dropped, CMSG_DATA(c), sizeof(v->dropped));
    }
    return n;
}

static int cmd_count(char **argv)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[0]))};
    unsigned payload = (unsigned)atoi(argv[1]);
    uint64_t end = now_ns() + (uint64_t)(atof(argv[2]) * NS_PER_S);
    static struct receiver receiver;
    struct receiver *v = &receiver;
    struct pollfd p = {.fd = udp_socket(SO_RCVBUFFORCE), .events = POLLIN};

    if (payload < 1 || p.fd < 0 || bind(p.fd, (struct sockaddr *)&at, sizeof(at)) < 0)
        return fail("socket");
    setsockopt(p.fd, SOL_SOCKET, SO_RXQ_OVFL, &(int){1}, sizeof(int));
    setsockopt(p.fd, SOL_UDP, UDP_GRO, &(int){1}, sizeof(int));
    puts("ready");
    fflush(stdout);
    while (now_ns() < end) {
        if (poll(&p, 1, v->packets ? QUIET_MS : FIRST_WAIT_MS) <= 0)
            break;
        while (receive_some(v, p.fd, payload) == MESSAGES_MAX)
            ;
    }
    printf("%llu %u\n", (unsigned long long)v->packets, v->dropped);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 8 && strcmp(argv[1], "send") == 0)
        return cmd_send(argv + 2);
    if (argc == 5 && strcmp(argv[1], "count") == 0)
        return cmd_count(argv + 2);
    fputs("usage: bench-udp send ADDRESS PORT PAYLOAD SECONDS RATE BURST\n"
          "       bench-udp count PORT PAYLOAD SECONDS\n",
          stderr);
    return 2;
}
