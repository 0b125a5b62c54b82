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
#include "bench/tunnel/clients.h"
#include "noise/noise.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#define IN_FLIGHT 64
#define ANSWERS_MAX 4000000
#define WARM_UP_NS (3 * NS_PER_S / 2)
#define LOST_NS NS_PER_S
#define OLDEST_LOOKS 4 /* how many of the oldest are looked at for a loss, each turn */
#define BEHIND_MAX 256 /* of an open loop that is late: more is forgiven, not sent at once */

struct load {
    struct clients clients;
    unsigned next, oldest;
    uint64_t begun, cookies, lost;
    uint32_t *answer_us;
    unsigned answers;
};

/* The next client in turn. */
static void begin(struct load *l)
{
    if (client_begin(&l->clients, &l->clients.all[l->next], clock_boot_ns()))
        l->begun++;
    l->next = (l->next + 1) % l->clients.count;
}

static void receive_all(struct load *l)
{
    struct client *c;
    uint8_t buf[256];
    ssize_t n;

    while ((n = recv(l->clients.fd, buf, sizeof(buf), MSG_DONTWAIT)) >= 0) {
        uint64_t now = clock_boot_ns();
        enum client_event e = clients_receive(&l->clients, buf, (unsigned)n, now, &c);

        if (e == CLIENT_COOKIE)
            l->cookies++;
        else if (e == CLIENT_ANSWERED && l->answers < ANSWERS_MAX)
            l->answer_us[l->answers++] = (uint32_t)((now - c->sent_ns) / 1000);
    }
}

/* They began in turn: the oldest one is where `next` was longest ago. */
static void give_up_old(struct load *l, uint64_t now)
{
    for (unsigned i = 0; i < OLDEST_LOOKS && l->oldest != l->next; i++) {
        struct client *c = &l->clients.all[l->oldest];

        if (c->initiation.secret) {
            if (now < c->sent_ns + LOST_NS)
                return;
            client_forget(&l->clients, c);
            l->lost++;
        }
        l->oldest = (l->oldest + 1) % l->clients.count;
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
    struct pollfd p = {.fd = l->clients.fd, .events = POLLIN};

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
        if (!rate && l->clients.in_flight < IN_FLIGHT)
            owed = IN_FLIGHT - l->clients.in_flight;
        for (; owed > 0; owed--) {
            begin(l);
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
    struct load l = {.answer_us = calloc(ANSWERS_MAX, sizeof(*l.answer_us))};

    if (!l.answer_us || clients_init(&l.clients, argv[0], argv[1], argv[2], argv[3], argv[4]) < 0)
        return 1;
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
        return 1;
    if (argc == 3 && strcmp(argv[1], "keys") == 0)
        return cmd_keys((unsigned)atoi(argv[2]));
    if (argc == 9 && strcmp(argv[1], "run") == 0)
        return cmd_run(argv + 2);
    fputs("usage: bench-handshakes keys CLIENTS\n"
          "       bench-handshakes run ADDRESS PORT HUB-KEY SOURCE CLIENTS SECONDS RATE\n",
          stderr);
    return 2;
}
