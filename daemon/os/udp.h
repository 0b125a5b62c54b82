/* os/udp.h - UDP sockets as the data plane wants them: batches, packet info, reuseport steering.
 *
 * Owner:   the caller of each fd and of each struct. Threads: an fd any; udp_rx and udp_tx one.
 * Never:   allocates after udp_rx_new() and udp_tx_new(), logs, keeps state of its own.
 *
 * A "burst" is several datagrams of one flow in one buffer, all of @segment bytes but the last,
 * which may be shorter: what UDP_GRO delivers and UDP_SEGMENT sends in one go through the stack. */
#pragma once
#include "model/endpoint.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UDP_PAYLOAD_MAX 65535
#define UDP_BURST_MAX 65487         /* bytes: 65535 less IPv6 and UDP headers */
#define UDP_SEGMENTS_MAX 64         /* the bound of all kernels that have it */
#define UDP_BUFFER_BYTES (8u << 20) /* SO_RCVBUFFORCE, SO_SNDBUFFORCE */

enum udp_flags {
    UDP_REUSEPORT = 1 << 0,
    UDP_FREEBIND = 1 << 1, /* bind before the address arrives */
    UDP_PKTINFO = 1 << 2,  /* tell the local address of each datagram */
    UDP_V6 = 1 << 3,       /* family of a wildcard; else that of the address decides */
    UDP_JOIN = 1 << 4,     /* receive bursts, if the kernel can */
};

/* OFFLOAD_UDP_GRO and OFFLOAD_UDP_GSO, as far as this kernel has them. */
unsigned udp_offloads(void);

/* A bound, non-blocking socket; IPv6 ones take IPv6 only. @at: a zero address is the wildcard of
 * the family in @flags; port 0: the kernel's choice. */
int udp_open(const struct endpoint *at, unsigned flags, uint32_t mark, int *ret_fd);
int udp_bound_port(int fd, uint16_t *ret);
int udp_set_mark(int fd, uint32_t mark);
/* Steer the fd's whole reuseport group, of @count + 1 sockets in order of their binding. Datagrams
 * whose first byte is @type go to the socket that payload bytes 4..7 (le32) modulo @count say: the
 * receiver index in data messages, so that a session stays on one socket. All others go to the
 * last one, where copies of one initiation meet, wherever they come from (H11). A burst goes where
 * its first datagram goes. */
int udp_steer(int fd, uint8_t type, unsigned count);

struct udp_datagram {
    uint8_t *buf;
    size_t len;
    size_t segment; /* of a burst; 0: one datagram */
    struct endpoint remote;
    struct endpoint local; /* received: only with UDP_PKTINFO. Sent: source to use, zero: any */
    uint32_t local_ifindex;
    int err;         /* sent: 0, or the errno that some of it failed with */
    bool local_lost; /* sent: not from @local, which does not work any more */
};

struct udp_rx;
/* @count buffers of @len bytes each; memory is touched only as far as datagrams reach. */
struct udp_rx *udp_rx_new(unsigned count, size_t len);
void udp_rx_free(struct udp_rx *rx);
/* What is there, up to @max buffers' worth, valid until the next call. Number, or -errno (-EAGAIN:
 * nothing). A datagram longer than the buffers is left out. */
int udp_receive(struct udp_rx *rx, int fd, unsigned max, struct udp_datagram **ret);
/* Throw away what is queued, at most @max datagrams. */
unsigned udp_discard(int fd, unsigned max);

struct udp_tx;
struct udp_tx *udp_tx_new(unsigned count);
void udp_tx_free(struct udp_tx *tx);
/* Send all, in order, from one socket; one that fails does not stop the others. Results in err and
 * local_lost of each. Returns how many datagrams failed, those in bursts counted one by one. @count
 * at most the one of udp_tx_new(). A burst that the path refuses goes out in single datagrams, and
 * is counted in @fallbacks; *no_bursts (the socket's) becomes true when the device cannot do it. */
unsigned udp_send(struct udp_tx *tx, int fd, struct udp_datagram *d, unsigned count,
                  bool *no_bursts, unsigned *fallbacks);
/* One datagram without a udp_tx; 0 or -errno. */
int udp_send_one(int fd, const struct endpoint *to, const struct endpoint *local,
                 uint32_t local_ifindex, const void *buf, size_t len);
