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
#include "bench/tunnel/busy.h"
#include "noise/noise.h"
#include "wg/aead.h"
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

#define BEHIND_MAX 256

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

            client_send_data(l, &l->all[i], aead, source + i, destination);
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
    if (!clients_make_sessions(&l)) {
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
