/* engine/gso.h - cuts a super-packet of the TUN into packets of the size that its sender chose, and
 * completes checksums that the kernel left open (virtio 1.1, 5.1.6.2; RFC 9293 for what changes
 * from one TCP segment to the next).
 *
 * Owner:   a value on the stack; it points into the packet. Threads: one.
 * Never:   allocates, writes to the packet, reads or writes outside what was checked by
 * gso_begin().
 */
#pragma once
#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VNET_HDR_LEN sizeof(struct virtio_net_hdr)
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4 /* Linux 6.2 */
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

struct gso {
    const uint8_t *packet;
    size_t len;
    size_t transport;  /* offset of the TCP or UDP header, or of what is to be summed */
    size_t headers;    /* bytes that each segment begins with; of a whole packet: none */
    size_t size;       /* payload of each segment but the last */
    unsigned count;    /* 1: the packet as it is */
    unsigned checksum; /* offset of an open checksum; 0: there is none */
    bool tcp, v4;
};

/* 0, or -EINVAL: header and packet do not fit together. */
int gso_begin(struct gso *g, const struct virtio_net_hdr *v, const uint8_t *packet, size_t len);
/* Length of packet @i of g->count, at most 65535. */
size_t gso_len(const struct gso *g, unsigned i);
void gso_write(const struct gso *g, unsigned i, uint8_t *ret);
