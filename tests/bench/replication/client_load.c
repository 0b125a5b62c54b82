/* Busy clients of the replication bench: each has a session and sends small packets in its turn.
 *
 *     bench-clients ADDRESS PORT HUB-KEY SOURCE CLIENTS SECONDS RATE INNER-SOURCE INNER-DESTINATION
 *         The clients, at SOURCE, SOURCE + 1, ..., make a session each; then it prints "ready" and
 *         they send RATE packets a second together for SECONDS, from INNER-SOURCE,
 *         INNER-SOURCE + 1, ... to INNER-DESTINATION. At the end it prints the packets sent.
 *
 * Sessions are not renewed: SECONDS has to end before they are 120 s old. */
#include "base/clock.h"
#include "bench/tunnel/busy.h"
#include "wg/aead.h"
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define BEHIND_MAX 256

/* In turn, evenly spaced; returns the number of packets. */
static uint64_t send_all(struct busy *b)
{
    uint64_t start = clock_boot_ns(), end = start + (uint64_t)(b->seconds * NS_PER_S), now;
    uint64_t sent = 0, forgiven = 0;
    struct clients *l = &b->clients;
    struct aead *aead = aead_new();

    while (aead && (now = clock_boot_ns()) < end) {
        uint64_t due = (now - start) * b->pace / NS_PER_S, owed = due - sent - forgiven;

        if (owed > BEHIND_MAX) {
            forgiven += owed - BEHIND_MAX;
            owed = BEHIND_MAX;
        }
        for (; owed > 0; owed--, sent++) {
            unsigned i = (unsigned)(sent % l->count);

            client_send_data(l, &l->all[i], aead, b->source + i, b->destination);
        }
        uint64_t pause = NS_PER_S / b->pace;
        nanosleep(&(struct timespec){.tv_sec = (time_t)(pause / NS_PER_S),
                                     .tv_nsec = (long)(pause % NS_PER_S)},
                  NULL);
    }
    aead_free(aead);
    return sent;
}

int main(int argc, char **argv)
{
    struct busy b;
    int status = busy_init(&b, argc, argv, "bench-clients", "RATE");

    if (status)
        return status;
    clients_ready();
    printf("%" PRIu64 "\n", send_all(&b));
    return 0;
}
