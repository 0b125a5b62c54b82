/* sync/link.h - the channels of this member over TCP, on one libuv loop.
 *
 * Of a pair the member with the higher id dials, so only members that somebody dials listen, on
 * their own sync address alone (bound with IP_FREEBIND: it may arrive later), and take connections
 * from addresses of such members alone, LINK_HANDSHAKES_PER_S each (S7). A new connection that has
 * proved itself replaces the older one of the same member.
 *
 * Owner:   app. Threads: main.
 * Never:   blocks; calls an op from inside links_send(), links_close() or links_flush(). */
#pragma once
#include "model/endpoint.h"
#include "sync/channel.h"

typedef struct uv_loop_s uv_loop_t;

#define LINK_HANDSHAKES_PER_S 5 /* of one address; also the burst */
#define LINK_UNPROVEN_MAX 8     /* incoming connections that are not up yet */
#define LINK_UNPROVEN_PER_ADDRESS 2
#define LINK_QUEUE_MAX (16u << 20) /* bytes; above it the connection is given up */
#define LINK_DIAL_TIMEOUT_NS (500 * 1000000ull)
#define LINK_DIAL_FIRST_NS (100 * 1000000ull) /* back-off, doubling, with jitter of a quarter */
#define LINK_DIAL_MAX_NS (500 * 1000000ull)
#define LINK_LISTEN_RETRY_NS (1000 * 1000000ull)
#define LINK_USER_TIMEOUT_MS 1000 /* TCP_USER_TIMEOUT */

struct links;

struct links_config {
    struct channel_identity identity;     /* copied; its keys stay the caller's */
    struct endpoint address[MEMBERS_MAX]; /* sync addresses, own included */
    const struct rng *rng;
};

struct links_ops {
    void *ctx;
    /* @key is valid, and kept right, until down() returns. */
    void (*up)(void *ctx, uint8_t member, const struct codec_key *key);
    void (*down)(void *ctx, uint8_t member, const char *reason);
    void (*frame)(void *ctx, uint8_t member, const uint8_t *msg, size_t len);
};

struct links_counters {
    uint64_t accepted, refused_address, refused_rate, refused_unproven;
    uint64_t dialled, handshakes_failed, rekeys;
    uint64_t bytes_in, bytes_out; /* of connections that are up */
};

/* -ENOMEM, or -errno of libuv. A listener that cannot be bound yet is tried again. */
int links_new(uv_loop_t *loop, const struct links_config *c, const struct links_ops *ops,
              struct links **ret);
/* What is queued is written if the kernel takes it at once. No op is called any more; the memory
 * goes when the loop has run the close callbacks. NULL is fine. */
void links_free(struct links *l);

/* A member that was not known: it is dialled, or may dial, from the loop on. */
void links_add(struct links *l, uint8_t member, const uint8_t public_key[32],
               const struct endpoint *address);

/* False: no link is up, or it has just failed (down() follows). */
bool links_send(struct links *l, uint8_t member, const uint8_t *msg, size_t len);
size_t links_queued(const struct links *l, uint8_t member); /* bytes not yet in the kernel */
/* down() follows from the loop. */
void links_close(struct links *l, uint8_t member, const char *reason);
/* There is a sign that siblings can be reached again: those that are being dialled in vain, or will
 * be later, are dialled now. */
void links_dial_now(struct links *l);
/* Write what was gathered now; otherwise it is written once per turn of the loop. */
void links_flush(struct links *l);

const struct links_counters *links_counters(const struct links *l);
