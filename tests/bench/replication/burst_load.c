/* Idle clients of the replication bench: each has a session and, after a while of silence, sends a
 * burst of pings.
 *
 *     bench-bursts ADDRESS PORT HUB-KEY SOURCE CLIENTS SECONDS IDLE-MS INNER-SOURCE DESTINATION
 *         The clients, at SOURCE, SOURCE + 1, ..., make a session each; then it prints "ready".
 *         For SECONDS each sends bursts, one client after another, with IDLE-MS of silence between
 *         two of the same client, and pings DESTINATION from INNER-SOURCE, INNER-SOURCE + 1, ...
 *         At the end it prints the time from the begin of its burst to each answer, in
 *         microseconds, one a line. What was not answered is not in it.
 *
 * Sessions are not renewed: SECONDS has to end before they are 120 s old. */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "bench/tunnel/busy.h"
#include "wg/aead.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define BURST 10

struct answers {
    uint64_t *burst_ns; /* when that client last began */
    uint32_t *us;
    size_t count, room;
};

static void receive_all(struct clients *l, struct answers *a)
{
    uint8_t buf[2048];
    ssize_t n;

    while ((n = recv(l->fd, buf, sizeof(buf), MSG_DONTWAIT)) >= 0) {
        const struct client *c = clients_data_for(l, buf, (size_t)n);

        if (c && a->count < a->room && a->burst_ns[c - l->all])
            a->us[a->count++] = (uint32_t)((clock_boot_ns() - a->burst_ns[c - l->all]) / NS_PER_US);
    }
}

static void burst_all(struct busy *b, struct answers *a, uint64_t idle_ns)
{
    uint64_t next = clock_boot_ns(), end = next + (uint64_t)(b->seconds * NS_PER_S), now;
    struct clients *l = &b->clients;
    struct pollfd p = {.fd = l->fd, .events = POLLIN};
    struct aead *aead = aead_new();
    unsigned turn = 0;

    while (aead && (now = clock_boot_ns()) < end) {
        if (now >= next) {
            unsigned i = turn++ % l->count;

            next += idle_ns / l->count;
            a->burst_ns[i] = now;
            for (unsigned n = 0; n < BURST; n++)
                client_send_ping(l, &l->all[i], aead, b->source + i, b->destination);
        }
        now = clock_boot_ns();
        uint64_t wait = next > now ? next - now : 0;
        struct timespec t = {.tv_sec = (time_t)(wait / NS_PER_S),
                             .tv_nsec = (long)(wait % NS_PER_S)};
        ppoll(&p, 1, &t, NULL);
        receive_all(l, a);
    }
    aead_free(aead);
}

int main(int argc, char **argv)
{
    struct busy b;
    int status = busy_init(&b, argc, argv, "bench-bursts", "IDLE-MS");

    if (status)
        return status;
    struct answers a = {.room = (size_t)(b.seconds * 1000 / (double)b.pace + 2) * b.clients.count *
                                BURST};
    a.burst_ns = calloc(b.clients.count, sizeof(*a.burst_ns));
    a.us = calloc(a.room, sizeof(*a.us));
    if (!a.burst_ns || !a.us) {
        fputs("bench-bursts: no memory\n", stderr);
        return 1;
    }
    clients_ready();
    burst_all(&b, &a, b.pace * NS_PER_MS);
    for (size_t i = 0; i < a.count; i++)
        printf("%u\n", a.us[i]);
    free(a.burst_ns);
    free(a.us);
    return 0;
}
