/* control/stream.h - clients of a listening Unix socket, each with a buffer of its own: bytes in,
 * one answer at a time out. A client that stalls, or does not read, holds up nobody else.
 *
 * Owner:   whoever made it. Threads: the loop's.
 * Bounds:  STREAM_CLIENTS_MAX connections; one more takes the place of the one that has been idle
 *          longest. While an answer is owed or under way, nothing more is read from its client. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STREAM_CLIENTS_MAX 128
#define STREAM_READ_LEN 65536

typedef struct uv_loop_s uv_loop_t;
struct stream;
struct stream_client;

struct stream_ops {
    void *ctx;
    /* A client came; returns what @data and @closed get as @state, or NULL to send it away. */
    void *(*opened)(void *ctx, struct stream_client *c);
    /* Returns how many bytes were taken: all of them, unless an answer is owed (stream_owe or
     * stream_answer was called); the rest comes again when that has been sent. */
    size_t (*data)(void *ctx, void *state, const uint8_t *buf, size_t len);
    void (*closed)(void *ctx, void *state); /* @c is gone when this returns */
};

/* Takes @fd, also when it fails (then the loop must still run once, for libuv to let go). */
int stream_new(uv_loop_t *loop, int fd, const struct stream_ops *ops, struct stream **ret);
/* Closes all clients (ops.closed is called for each) and frees itself as the loop goes on. */
void stream_free(struct stream *s);

/* "uid 1000": whose program it is. */
void stream_peer(const struct stream_client *c, char *ret, size_t room);
void stream_hang_up(struct stream_client *c); /* ops.closed comes, perhaps only after ops.data */
void stream_owe(struct stream_client *c);     /* an answer will come later */
/* Takes @text (malloc), wipes it when it is sent: in one write if the client's socket takes it. */
void stream_answer(struct stream_client *c, void *text, size_t len, bool then_close);
