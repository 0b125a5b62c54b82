/* bench/tunnel/busy.h - clients that have a session each, and use it.
 *
 * Owner: the caller. Threads: one. Never: renews a session. */
#pragma once
#include "bench/tunnel/clients.h"

struct aead;

/* Every client gets one; false: not all within the time. */
bool clients_make_sessions(struct clients *l);
/* A small UDP packet from @source to @destination through the tunnel of @c. */
void client_send_data(struct clients *l, struct client *c, struct aead *aead, uint32_t source,
                      uint32_t destination);
/* The same of an ICMP echo request. */
void client_send_ping(struct clients *l, struct client *c, struct aead *aead, uint32_t source,
                      uint32_t destination);
/* Whose data it is; NULL: it is none. */
struct client *clients_data_for(struct clients *l, const uint8_t *message, size_t len);
