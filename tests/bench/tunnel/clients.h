/* bench/tunnel/clients.h - many WireGuard clients of one hub in one process, each with a key and a
 * source address of its own: the arithmetic is the daemon's.
 *
 * Owner:   the caller. Threads: one. Never: sleeps, reads an answer that it was not given. */
#pragma once
#include "wg/handshake.h"
#include <netinet/in.h>

#define CLIENTS_MAX 60000

struct client {
    struct identity self;
    struct remote hub;
    struct initiation initiation; /* secret != NULL: in flight */
    uint32_t attempts;            /* tells its indices apart */
    uint64_t sent_ns;
    uint8_t mac1[16], cookie[16];
    bool has_cookie;
    /* Of the last answer. */
    struct session_keys *keys;
    uint32_t hub_index;
    uint64_t counter;
    /* Of the last initiation of the hub; used from its first data on. */
    struct session_keys *next_keys;
    uint32_t next_index, next_hub_index;
};

struct clients {
    struct client *all;
    unsigned count, in_flight;
    int fd;
    struct sockaddr_in to;
    uint32_t source; /* of the first one, host order */
};

/* The key of client @number: the same every time. */
void client_key(unsigned number, struct secret32 *ret);
/* Texts as on the command line; -1 and a message when one is wrong or there is no memory. @count
 * may be COUNT@N: with the keys from N on. */
int clients_init(struct clients *l, const char *address, const char *port, const char *hub_key,
                 const char *source, const char *count);
/* Nothing happens while it waits for an answer already. True: an initiation went out. */
bool client_begin(struct clients *l, struct client *c, uint64_t now);
/* Wait for the answer no more. */
void client_forget(struct clients *l, struct client *c);
/* The hub asks for a session: answered at once. False: it is not for this client. */
bool client_answer(struct clients *l, struct client *c, const uint8_t *message, unsigned len,
                   uint64_t now);
enum client_event { CLIENT_NOTHING, CLIENT_ANSWERED, CLIENT_COOKIE };
/* A datagram; whose it is says its receiver index. *ret_client unless CLIENT_NOTHING. */
enum client_event clients_receive(struct clients *l, const uint8_t *message, unsigned len,
                                  uint64_t now, struct client **ret_client);
/* From that client's address. What a full queue refuses is lost. */
void client_send(struct clients *l, const struct client *c, const void *message, unsigned len);
