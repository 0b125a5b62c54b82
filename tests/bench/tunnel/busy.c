#include "bench/tunnel/busy.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "noise/noise.h"
#include "wg/aead.h"
#include <arpa/inet.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#define IN_FLIGHT 16 /* sessions that are being made: no load that a hub asks cookies for */
#define SESSIONS_WITHIN_NS (60 * NS_PER_S)
#define AGAIN_NS NS_PER_S
#define INNER_LEN 64 /* IPv4, UDP and 36 bytes: voice */
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

bool clients_make_sessions(struct clients *l)
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

void clients_ready(void)
{
    prctl(PR_SET_TIMERSLACK, 1);
    puts("ready");
    fflush(stdout);
}

int busy_init(struct busy *b, int argc, char **argv, const char *program, const char *pace)
{
    struct in_addr source, destination;

    *b = (struct busy){.pace = argc == 10 ? strtoull(argv[7], NULL, 10) : 0};
    if (!b->pace || inet_pton(AF_INET, argv[8], &source) != 1 ||
        inet_pton(AF_INET, argv[9], &destination) != 1) {
        fprintf(stderr,
                "usage: %s ADDRESS PORT HUB-KEY SOURCE CLIENTS SECONDS %s INNER-SOURCE "
                "INNER-DESTINATION\n",
                program, pace);
        return 2;
    }
    b->seconds = atof(argv[6]);
    b->source = ntohl(source.s_addr);
    b->destination = ntohl(destination.s_addr);
    if (noise_init() < 0 ||
        clients_init(&b->clients, argv[1], argv[2], argv[3], argv[4], argv[5]) < 0)
        return 1;
    if (clients_make_sessions(&b->clients))
        return 0;
    fprintf(stderr, "%s: not all clients have a session\n", program);
    return 1;
}

static uint16_t checksum(const uint8_t *p, size_t len)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < len; i += 2)
        sum += load_be16(p + i);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void inner_packet(uint8_t p[INNER_LEN], uint8_t protocol, uint32_t source,
                         uint32_t destination)
{
    memset(p, 0, INNER_LEN);
    p[0] = 0x45;
    store_be16(p + 2, INNER_LEN);
    p[8] = 64; /* TTL */
    p[9] = protocol;
    store_be32(p + 12, source);
    store_be32(p + 16, destination);
    store_be16(p + 10, checksum(p, 20));
}

static void send_inner(struct clients *l, struct client *c, struct aead *aead,
                       const uint8_t inner[INNER_LEN])
{
    union data_packet m = {.bytes = {0}};

    store_le32(m.message.type, MESSAGE_DATA);
    store_le32(m.message.receiver, c->hub_index);
    store_le64(m.message.counter, c->counter);
    struct aead_op op = {
        .counter = c->counter++, .src = inner, .dst = m.message.encrypted, .len = INNER_LEN};

    aead_seal(aead, c->keys->send, &op, 1);
    client_send(l, c, &m, sizeof(m));
}

void client_send_data(struct clients *l, struct client *c, struct aead *aead, uint32_t source,
                      uint32_t destination)
{
    uint8_t inner[INNER_LEN];

    inner_packet(inner, IPPROTO_UDP, source, destination);
    store_be16(inner + 20, DISCARD_PORT);
    store_be16(inner + 22, DISCARD_PORT);
    store_be16(inner + 24, INNER_LEN - 20); /* without a checksum, as IPv4 allows */
    send_inner(l, c, aead, inner);
}

void client_send_ping(struct clients *l, struct client *c, struct aead *aead, uint32_t source,
                      uint32_t destination)
{
    uint8_t inner[INNER_LEN];

    inner_packet(inner, IPPROTO_ICMP, source, destination);
    inner[20] = ICMP_ECHO;
    store_be16(inner + 22, checksum(inner + 20, INNER_LEN - 20));
    send_inner(l, c, aead, inner);
}

struct client *clients_data_for(struct clients *l, const uint8_t *message, size_t len)
{
    uint32_t place = len > sizeof(struct message_data) ? load_le32(message + 4) & 0xffff : 0;

    if (len <= sizeof(struct message_data) + AEAD_TAG_LEN || load_le32(message) != MESSAGE_DATA ||
        place >= l->count)
        return NULL;
    return &l->all[place];
}
