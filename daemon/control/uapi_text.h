/* control/uapi_text.h - the text of the cross-platform userspace protocol of WireGuard, version 1:
 * bytes to requests, and a device to the answer of a "get". Pure.
 *
 * Owner:   one parser per connection, one writer per answer.
 * Threads: any, one at a time.
 * Never:   half a set: a request comes out when its empty line was read, and is good as a whole or
 *          an error. Text that held keys is wiped.
 *
 * Bounds: a set beyond them is read to its end, without being kept, and refused. */
#pragma once
#include "model/change.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UAPI_LINE_MAX 255            /* bytes; the longest good line has 100 */
#define UAPI_SET_LEN_MAX (64u << 20) /* bytes */
#define UAPI_PEERS_MAX 131072u       /* peer sections of one set */
#define UAPI_PREFIXES_MAX 1048576u   /* allowed_ip lines of one set */

enum uapi_op {
    UAPI_NONE, /* wants more bytes */
    UAPI_GET,
    UAPI_SET,
    UAPI_UNKNOWN, /* neither get=1 nor set=1: answer and hang up */
};

struct uapi_request {
    enum uapi_op op;
    int err;               /* 0 or negative errno; then there is no change */
    struct change *change; /* of a good set; the taker's to free */
};

struct uapi_parser {
    uint8_t hub;
    enum uapi_op op;
    int err;
    size_t len; /* of the request so far */
    unsigned prefixes;
    struct change *change;
    size_t line_len; /* may pass UAPI_LINE_MAX: then the rest of the line was dropped */
    char line[UAPI_LINE_MAX + 1];
};

void uapi_parser_init(struct uapi_parser *p, uint8_t hub);
void uapi_parser_done(struct uapi_parser *p); /* wipes */
/* Reads up to the end of one request. Returns how many bytes it took: all of them, if
 * ret->op is UAPI_NONE. */
size_t uapi_parse(struct uapi_parser *p, const void *buf, size_t len, struct uapi_request *ret);

/* The answer of a get. Errors are sticky: write all, then look at err (-ENOMEM). */
struct uapi_writer {
    char *text;
    size_t len, room;
    int err;
};

struct uapi_device {
    const struct secret32 *private_key; /* NULL or zero: none */
    uint16_t listen_port;               /* 0: none yet */
    uint32_t fwmark;
};

struct uapi_peer {
    const struct public_key *key;
    const struct secret32 *psk;      /* NULL: none */
    const struct endpoint *endpoint; /* where the peer is now; NULL or unset: not known */
    uint64_t handshake_real_ns;      /* UTC of the last handshake; 0: never */
    uint64_t tx_bytes, rx_bytes;
    uint16_t keepalive_s;
    const struct ip_prefix *allowed;
    unsigned allowed_count;
};

/* The device first, then its peers. */
void uapi_write_device(struct uapi_writer *w, const struct uapi_device *d);
void uapi_write_peer(struct uapi_writer *w, const struct uapi_peer *p);
/* "errno=N" and the empty line; for a get N is positive, for a set it has its sign: wg's readers
 * want it so. @err: 0 or negative. */
void uapi_write_end(struct uapi_writer *w, enum uapi_op op, int err);
void uapi_writer_done(struct uapi_writer *w); /* wipes */
