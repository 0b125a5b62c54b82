/* bench/tunnel/busy.h - clients that have a session each, and use it.
 *
 * Owner: the caller. Threads: one. Never: renews a session. */
#pragma once
#include "bench/tunnel/clients.h"

struct aead;

/* Every client gets one; false: not all within the time. */
bool clients_make_sessions(struct clients *l);
/* Tells who waits for it that measuring begins. */
void clients_ready(void);

/* A command line: ADDRESS PORT HUB-KEY SOURCE CLIENTS SECONDS PACE INNER-SOURCE INNER-DESTINATION
 */
struct busy {
    struct clients clients;
    double seconds;
    uint64_t pace;                /* how fast; each program says what it is */
    uint32_t source, destination; /* inside, host order */
};

/* Reads it and makes the sessions. Not 0: an exit status; why, is said. @program: its name, @pace:
 * that of its argument. */
int busy_init(struct busy *b, int argc, char **argv, const char *program, const char *pace);
/* A small UDP packet from @source to @destination through the tunnel of @c. */
void client_send_data(struct clients *l, struct client *c, struct aead *aead, uint32_t source,
                      uint32_t destination);
/* The same of an ICMP echo request. */
void client_send_ping(struct clients *l, struct client *c, struct aead *aead, uint32_t source,
                      uint32_t destination);
/* Whose data it is; NULL: it is none. */
struct client *clients_data_for(struct clients *l, const uint8_t *message, size_t len);
