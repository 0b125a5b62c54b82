/* A numbered stream of small UDP packets, one after the other, and what came of it.
 *
 *     bench-stream send ADDRESS PORT RATE [COUNT]
 *         RATE packets a second, each with its number and its time; with COUNT in turn to ADDRESS,
 *         ADDRESS + 1, ... of IPv4. Ends when its standard input does, and prints the packets sent.
 *     bench-stream receive ADDRESS PORT FILE
 *         Prints "ready". Writes a struct record of every packet, timed by the kernel, to FILE.
 *         Ends QUIET_MS after its standard input has, and prints the packets that its own socket
 *         dropped.
 *
 * Times are CLOCK_REALTIME. ADDRESS is IPv4 or IPv6. */
#include "bench/moves/numbered.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000ull
#define SOCKET_BYTES (16 << 20)
#define PAYLOAD 64
#define LATE_MAX 16 /* packets that a sender that slept too long still owes */
#define QUIET_MS 500

struct record {
    uint64_t number, sent_ns, received_ns;
};

static uint64_t clock_now(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static int fail(const char *what)
{
    fprintf(stderr, "bench-stream: %s: %s\n", what, strerror(errno));
    return 1;
}

static bool input_open(int wait_ms)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};

    return poll(&in, 1, wait_ms) <= 0;
}

/* A socket of the address's family; @bind_it: to that address. */
static int open_socket(const char *address, const char *port, bool bind_it,
                       struct sockaddr_storage *ret, socklen_t *ret_len)
{
    struct addrinfo hint = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST}, *at;

    if (getaddrinfo(address, port, &hint, &at) != 0)
        return -1;
    int fd = socket(at->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int r = fd >= 0 && bind_it ? bind(fd, at->ai_addr, at->ai_addrlen) : fd;

    memcpy(ret, at->ai_addr, at->ai_addrlen);
    *ret_len = at->ai_addrlen;
    freeaddrinfo(at);
    return r < 0 ? -1 : fd;
}

static int cmd_send(unsigned count, char **argv)
{
    uint64_t rate = strtoull(argv[2], NULL, 10), number = 0;
    struct sockaddr_storage to;
    struct sockaddr_in *v4 = (struct sockaddr_in *)&to;
    socklen_t to_len;
    int fd = open_socket(argv[0], argv[1], false, &to, &to_len);

    if (fd < 0 || !rate || !count || (count > 1 && to.ss_family != AF_INET))
        return fail("send");
    uint32_t first = count > 1 ? ntohl(v4->sin_addr.s_addr) : 0;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &(int){SOCKET_BYTES}, sizeof(int));
    prctl(PR_SET_TIMERSLACK, 1);
    for (uint64_t next = clock_now(CLOCK_MONOTONIC), spacing = NS_PER_S / rate; input_open(0);) {
        uint64_t now = clock_now(CLOCK_MONOTONIC);

        if (now < next) {
            struct timespec t = {(time_t)(next / NS_PER_S), (long)(next % NS_PER_S)};

            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
            continue;
        }
        if (now - next > LATE_MAX * spacing)
            next = now - LATE_MAX * spacing;
        next += spacing;
        union {
            struct numbered head;
            uint8_t bytes[PAYLOAD];
        } p = {.head = {NUMBERED_MAGIC, number, clock_now(CLOCK_REALTIME)}};
        if (count > 1)
            v4->sin_addr.s_addr = htonl(first + (uint32_t)(number % count));
        sendto(fd, &p, sizeof(p), 0, (struct sockaddr *)&to, to_len); /* else lost: not our word */
        number++;
    }
    printf("%llu\n", (unsigned long long)number);
    return 0;
}

/* False: there is no more at the moment. */
static bool receive_one(int fd, FILE *out, uint32_t *dropped)
{
    struct numbered head;
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(struct timespec)) + CMSG_SPACE(sizeof(uint32_t))];
    } control;
    struct iovec piece = {&head, sizeof(head)};
    struct msghdr m = {.msg_iov = &piece,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(fd, &m, MSG_DONTWAIT | MSG_TRUNC);
    struct record r = {0};

    if (n < 0)
        return false;
    if (n < (ssize_t)sizeof(head) || head.magic != NUMBERED_MAGIC)
        return true;
    r.number = head.number;
    r.sent_ns = head.sent_ns;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_level != SOL_SOCKET)
            continue;
        if (c->cmsg_type == SO_TIMESTAMPNS) {
            struct timespec t;

            memcpy(&t, CMSG_DATA(c), sizeof(t));
            r.received_ns = (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
        } else if (c->cmsg_type == SO_RXQ_OVFL) {
            memcpy(dropped, CMSG_DATA(c), sizeof(*dropped));
        }
    }
    fwrite(&r, sizeof(r), 1, out);
    return true;
}

static int cmd_receive(char **argv)
{
    struct sockaddr_storage at;
    socklen_t at_len;
    struct pollfd p[] = {
        {.fd = open_socket(argv[0], argv[1], true, &at, &at_len), .events = POLLIN},
        {.fd = STDIN_FILENO, .events = POLLIN}};
    FILE *out = fopen(argv[2], "we");
    uint32_t dropped = 0;

    if (p[0].fd < 0 || !out)
        return fail("receive");
    setsockopt(p[0].fd, SOL_SOCKET, SO_RCVBUFFORCE, &(int){SOCKET_BYTES}, sizeof(int));
    setsockopt(p[0].fd, SOL_SOCKET, SO_TIMESTAMPNS, &(int){1}, sizeof(int));
    setsockopt(p[0].fd, SOL_SOCKET, SO_RXQ_OVFL, &(int){1}, sizeof(int));
    puts("ready");
    fflush(stdout);
    for (bool ending = false; poll(p, ending ? 1 : 2, ending ? QUIET_MS : -1) > 0;) {
        ending = ending || p[1].revents;
        while (receive_one(p[0].fd, out, &dropped))
            ;
    }
    if (fclose(out) != 0)
        return fail("the file");
    printf("%u\n", dropped);
    return 0;
}

int main(int argc, char **argv)
{
    if ((argc == 5 || argc == 6) && strcmp(argv[1], "send") == 0)
        return cmd_send(argc == 6 ? (unsigned)atoi(argv[5]) : 1, argv + 2);
    if (argc == 5 && strcmp(argv[1], "receive") == 0)
        return cmd_receive(argv + 2);
    fputs("usage: bench-stream send ADDRESS PORT RATE [COUNT]\n"
          "       bench-stream receive ADDRESS PORT FILE\n",
          stderr);
    return 2;
}
