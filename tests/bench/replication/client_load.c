/* Busy clients of the replication bench: each has a session and sends small packets in its turn.
 *
 *     bench-clients ADDRESS PORT HUB-KEY SOURCE CLIENTS SECONDS RATE INNER-SOURCE INNER-DESTINATION
 *         The clients, at SOURCE, SOURCE + 1, ..., make a session each; then it prints "ready" and
 *         they send RATE packets a second together for SECONDS, from INNER-SOURCE,
 *         INNER-SOURCE + 1, ... to INNER-DESTINATION. At the end it prints the packets sent.
 *
 * Sessions are not renewed: SECONDS has to end before they are 120 s old. */
#include "base/bytes.h"
#include "base/clock.h"
#include "bench/tunnel/clients.h"
#include "noise/noise.h"
#include "wg/aead.h"
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

#define IN_FLIGHT 16 /* sessions that are being made: no load that a hub asks cookies for */
#define SESSIONS_WITHIN_NS (20 * NS_PER_S)
#define AGAIN_NS NS_PER_S
#define INNER_LEN 64 /* IPv4, UDP and 36 bytes: voice */
#define BEHIND_MAX 256
#define DISCARD_PORT 9

union data_packet {
    struct message_data message;
    uint8_t bytes[sizeof(struct message_data) + INNER_LEN + AEAD_TAG_LEN];
};

static void receive_all(struct clients *l, unsigned *ready)
{
    struct client *c;
    uint8_t buf[256];
    ssize_t n;

    while ((n = recv(l->fd, buf, sizeof(buf), MSG_DONTWAIT)) >= 0) {
        enum client_event e = clients_receive(l, buf, (unsigned)n, clock_boot_ns(), &c);

        if (e == CLIENT_ANSWERED)
            (*ready)++;
        else if (e == CLIENT_COOKIE)
            client_begin(l, c, clock_boot_ns());
    }
}

/* False: not all within the time. */
static bool make_sessions(struct clients *l)
{
    uint64_t end = clock_boot_ns() + SESSIONS_WITHIN_NS;
    struct pollfd p = {.fd = l->fd, .events = POLLIN};
    unsigned ready = 0, next = 0;

    while (ready < l->count && clock_boot_ns() < end) {
        for (unsigned i = 0; i < l->count && l->in_flight < IN_FLIGHT; i++) {
            struct client *c = &l->all[next];

            next = (next + 1) % l->count;
            if (!c->keys && !c->initiation.secret)
                client_begin(l, c, clock_boot_ns());
        }
        poll(&p, 1, 10);
        receive_all(l, &ready);
        for (unsigned i = 0; i < l->count; i++)
            if (l->all[i].initiation.secret && clock_boot_ns() > l->all[i].sent_ns + AGAIN_NS)
                client_forget(l, &l->all[i]);
    }
    return ready == l->count;
}

static uint16_t header_sum(const uint8_t header[20])
{
    uint32_t sum = 0;

    for (unsigned i = 0; i < 20; i += 2)
        sum += load_be16(header + i);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void inner_packet(uint8_t p[INNER_LEN], uint32_t source, uint32_t destination)
{
    memset(p, 0, INNER_LEN);
    p[0] = 0x45;
    store_be16(p + 2, INNER_LEN);
    p[8] = 64; /* TTL */
    p[9] = IPPROTO_UDP;
    store_be32(p + 12, source);
    store_be32(p + 16, destination);
    store_be16(p + 10, header_sum(p));
    store_be16(p + 20, DISCARD_PORT);
    store_be16(p + 22, DISCARD_PORT);
    store_be16(p + 24, INNER_LEN - 20); /* without a checksum, as IPv4 allows */
}

static void send_data(struct clients *l, struct client *c, struct aead *aead, uint32_t source,
                      uint32_t destination)
{
    uint8_t inner[INNER_LEN];
    union data_packet m = {.bytes = {0}};

    inner_packet(inner, source, destination);
    store_le32(m.message.type, MESSAGE_DATA);
    store_le32(m.message.receiver, c->hub_index);
    store_le64(m.message.counter, c->counter);
    struct aead_op op = {
        .counter = c->counter++, .src = inner, .dst = m.message.encrypted, .len = INNER_LEN};

    aead_seal(aead, c->keys->send, &op, 1);
    client_send(l, c, &m, sizeof(m));
}

/* In turn, evenly spaced; returns the number of packets. */
static uint64_t send_all(struct clients *l, double seconds, uint64_t rate, uint32_t source,
                         uint32_t destination)
{
    uint64_t start = clock_boot_ns(), end = start + (uint64_t)(seconds * NS_PER_S), now;
    uint64_t sent = 0, forgiven = 0;
    struct aead *aead = aead_new();

    while (aead && (now = clock_boot_ns()) < end) {
        uint64_t due = (now - start) * rate / NS_PER_S, owed = due - sent - forgiven;

        if (owed > BEHIND_MAX) {
            forgiven += owed - BEHIND_MAX;
            owed = BEHIND_MAX;
        }
        for (; owed > 0; owed--, sent++) {
            unsigned i = (unsigned)(sent % l->count);

            send_data(l, &l->all[i], aead, source + i, destination);
        }
        nanosleep(&(struct timespec){.tv_nsec = (long)(NS_PER_S / rate)}, NULL);
    }
    aead_free(aead);
    return sent;
}

int main(int argc, char **argv)
{
    struct clients l;
    struct in_addr source, destination;
    uint64_t rate = argc == 10 ? strtoull(argv[7], NULL, 10) : 0;

    if (argc != 10 || rate < 2 || inet_pton(AF_INET, argv[8], &source) != 1 ||
        inet_pton(AF_INET, argv[9], &destination) != 1) {
        fputs("usage: bench-clients ADDRESS PORT HUB-KEY SOURCE CLIENTS SECONDS RATE INNER-SOURCE "
              "INNER-DESTINATION\n",
              stderr);
        return 2;
    }
    if (noise_init() < 0 || clients_init(&l, argv[1], argv[2], argv[3], argv[4], argv[5]) < 0)
        return 1;
    if (!make_sessions(&l)) {
        fputs("bench-clients: not all clients have a session\n", stderr);
        return 1;
    }
    prctl(PR_SET_TIMERSLACK, 1);
    puts("ready");
    fflush(stdout);
    printf("%llu\n", (unsigned long long)send_all(&l, atof(argv[6]), rate, ntohl(source.s_addr),
                                                  ntohl(destination.s_addr)));
    return 0;
}
