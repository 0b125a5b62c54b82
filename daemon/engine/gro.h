/* engine/gro.h - joins packets of one flow into super-packets for the TUN, by the rules of the
 * kernel's own GRO: TCP segments that follow each other with the same flags, window and options,
 * UDP datagrams of equal size; the same TOS, ECN, TTL and DF; no fragments, no IP options.
 *
 * A super-packet leaves with its checksum open, so the kernel would make good what was bad. A
 * packet is therefore joined only if its checksum is right; what travels alone is not looked at.
 *
 * Owner:   a worker. Threads: its own. Never: allocates, copies payload. It changes headers of
 *          packets that it was given, which must stay where they are until gro_flush(). */
#pragma once
#include "engine/gso.h"
#include <sys/uio.h>

#define GRO_FLOWS 16
#define GRO_SEGMENTS 64

struct gro;
/* @iov begins with a virtio header if gro_init() was told so. */
typedef void gro_write_fn(void *ctx, const struct iovec *iov, unsigned n);

struct gro_flow {
    unsigned count;
    uint8_t *packet; /* the first */
    size_t len;      /* of all, as one packet */
    uint16_t headers, transport, size;
    bool v4, tcp, ended, checked;
    uint8_t tail_flags; /* TCP: of the last */
    uint16_t last_id;
    struct iovec iov[GRO_SEGMENTS];
};

struct gro {
    bool vnet, tcp, udp;
    gro_write_fn *write;
    void *ctx;
    unsigned flow_count;
    unsigned hashes[GRO_FLOWS]; /* of order[], apart from it: one cache line to look through */
    struct gro_flow *order[GRO_FLOWS]; /* by their first packet; behind flow_count: free */
    struct gro_flow flows[GRO_FLOWS];
    uint64_t joined; /* packets that left behind another one */
};

void gro_init(struct gro *g, bool vnet, bool tcp, bool udp, gro_write_fn *write, void *ctx);
/* A packet whose length is the one in its IP header. With virtio headers, VNET_HDR_LEN bytes before
 * it are overwritten. */
void gro_add(struct gro *g, uint8_t *packet, size_t len);
void gro_flush(struct gro *g);
