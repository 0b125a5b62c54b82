/* The clients of the takeover bench: many live sessions on the wire, and when each heard what.
 *
 *     bench-sessions ADDRESS PORT HUB-KEY SOURCE CLIENTS RATE INNER-SOURCE INNER-DESTINATION FILE
 *         The clients, at SOURCE, SOURCE + 1, ..., make a session each and use it once; then it
 *         prints "ready". From then on they send RATE packets a second together, in turn, from
 *         INNER-SOURCE, ... to INNER-DESTINATION, and answer handshakes that the hub begins. What
 *         reaches them is written to FILE as struct record. Ends when its standard input does.
 *
 * Of data only packets of bench-stream have a time of sending. Times are CLOCK_REALTIME, those of
 * arrival the kernel's. Sessions are not renewed by the clients: end before they are 120 s old. */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/secret.h"
#include "bench/moves/numbered.h"
#include "bench/tunnel/busy.h"
#include "noise/noise.h"
#include "wg/aead.h"
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define DATAGRAM_MAX 512
#define INNER_HEADERS 28 /* IPv4, UDP */
#define BEHIND_MAX 256
#define RECEIVE_MAX 256 /* datagrams of one turn */

enum what { WHAT_DATA, WHAT_KEEPALIVE, WHAT_ASKED, WHAT_RENEWED };

struct record {
    uint32_t client, what;
    uint64_t sent_ns, received_ns;
};

struct load {
    struct clients clients;
    struct aead *aead;
    FILE *out;
};

struct datagram {
    uint8_t bytes[DATAGRAM_MAX];
    unsigned len;
    uint32_t to; /* host order */
    uint64_t received_ns;
};

static void note(struct load *l, const struct client *c, enum what what, uint64_t sent_ns,
                 const struct datagram *d)
{
    struct record r = {.client = (uint32_t)(c - l->clients.all),
                       .what = what,
                       .sent_ns = sent_ns,
                       .received_ns = d->received_ns};

    fwrite(&r, sizeof(r), 1, l->out);
}

static bool receive(int fd, struct datagram *d)
{
    union {
        struct cmsghdr align;
        uint8_t bytes[256];
    } control;
    struct iovec piece = {d->bytes, sizeof(d->bytes)};
    struct msghdr m = {.msg_iov = &piece,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(fd, &m, MSG_DONTWAIT);

    if (n < 0)
        return false;
    d->len = (unsigned)n;
    d->to = 0;
    d->received_ns = clock_real_ns();
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;

            memcpy(&info, CMSG_DATA(c), sizeof(info));
            d->to = ntohl(info.ipi_addr.s_addr);
        } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS) {
            struct timespec t;

            memcpy(&t, CMSG_DATA(c), sizeof(t));
            d->received_ns = (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
        }
    }
    return true;
}

static bool open_data(struct load *l, const struct session_keys *keys, const struct datagram *d,
                      uint8_t inner[DATAGRAM_MAX], unsigned *ret_len)
{
    const struct message_data *m = (const struct message_data *)d->bytes;
    struct aead_op op = {.counter = load_le64(m->counter),
                         .src = m->encrypted,
                         .dst = inner,
                         .len = d->len - sizeof(*m) - AEAD_TAG_LEN};

    *ret_len = (unsigned)op.len;
    return keys && aead_open(l->aead, keys->recv, &op, 1) == 1;
}

static void handle_data(struct load *l, const struct datagram *d)
{
    const struct message_data *m = (const struct message_data *)d->bytes;
    uint32_t index = load_le32(m->receiver);
    uint8_t inner[DATAGRAM_MAX];
    struct numbered head = {0};
    unsigned len;

    if ((index & 0xffff) >= l->clients.count)
        return;
    struct client *c = &l->clients.all[index & 0xffff];
    bool renewed = c->next_keys && index == c->next_index;

    if (!open_data(l, renewed ? c->next_keys : c->keys, d, inner, &len))
        return;
    if (renewed) {
        secret_free(c->keys);
        c->keys = TAKE_PTR(c->next_keys);
        c->hub_index = c->next_hub_index;
        c->counter = 0;
        note(l, c, WHAT_RENEWED, 0, d);
    }
    if (len >= INNER_HEADERS + sizeof(head))
        memcpy(&head, inner + INNER_HEADERS, sizeof(head));
    if (head.magic == NUMBERED_MAGIC)
        note(l, c, WHAT_DATA, head.sent_ns, d);
    else if (len == 0)
        note(l, c, WHAT_KEEPALIVE, 0, d);
}

static void receive_all(struct load *l)
{
    struct datagram d;

    for (unsigned i = 0; i < RECEIVE_MAX && receive(l->clients.fd, &d); i++) {
        uint32_t place = d.to - l->clients.source;
        uint32_t type =
            d.len >= sizeof(struct message_data) + AEAD_TAG_LEN ? load_le32(d.bytes) : 0;

        if (type == MESSAGE_DATA)
            handle_data(l, &d);
        else if (type == MESSAGE_INITIATION && place < l->clients.count &&
                 client_answer(&l->clients, &l->clients.all[place], d.bytes, d.len,
                               clock_boot_ns()))
            note(l, &l->clients.all[place], WHAT_ASKED, 0, &d);
    }
}

static void serve(struct load *l, uint64_t rate, uint32_t source, uint32_t destination)
{
    struct pollfd p[] = {{.fd = l->clients.fd, .events = POLLIN},
                         {.fd = STDIN_FILENO, .events = POLLIN}};
    uint64_t start = clock_boot_ns(), sent = 0, forgiven = 0;

    while (poll(p, ARRAY_LEN(p), 1) >= 0 && !p[1].revents) {
        uint64_t owed = (clock_boot_ns() - start) * rate / NS_PER_S - sent - forgiven;

        receive_all(l);
        if (owed > BEHIND_MAX) {
            forgiven += owed - BEHIND_MAX;
            owed = BEHIND_MAX;
        }
        for (; owed > 0; owed--, sent++) {
            unsigned i = (unsigned)(sent % l->clients.count);

            client_send_data(&l->clients, &l->clients.all[i], l->aead, source + i, destination);
        }
    }
}

int main(int argc, char **argv)
{
    struct load l = {0};
    struct in_addr source, destination;

    if (argc != 10 || inet_pton(AF_INET, argv[7], &source) != 1 ||
        inet_pton(AF_INET, argv[8], &destination) != 1) {
        fputs("usage: bench-sessions ADDRESS PORT HUB-KEY SOURCE CLIENTS RATE INNER-SOURCE "
              "INNER-DESTINATION FILE\n",
              stderr);
        return 2;
    }
    l.out = fopen(argv[9], "we");
    if (!l.out || noise_init() < 0 ||
        clients_init(&l.clients, argv[1], argv[2], argv[3], argv[4], argv[5]) < 0)
        return 1;
    l.aead = aead_new();
    if (!l.aead)
        return 1;
    if (!clients_make_sessions(&l.clients)) {
        fputs("bench-sessions: not all clients have a session\n", stderr);
        return 1;
    }
    setsockopt(l.clients.fd, IPPROTO_IP, IP_PKTINFO, &(int){1}, sizeof(int));
    setsockopt(l.clients.fd, SOL_SOCKET, SO_TIMESTAMPNS, &(int){1}, sizeof(int));
    for (unsigned i = 0; i < l.clients.count; i++)
        client_send_data(&l.clients, &l.clients.all[i], l.aead, ntohl(source.s_addr) + i,
                         ntohl(destination.s_addr));
    clients_ready();
    serve(&l, strtoull(argv[6], NULL, 10), ntohl(source.s_addr), ntohl(destination.s_addr));
    return fclose(l.out) == 0 ? 0 : 1;
}
