/* os/tun.h - TUN devices: one queue a worker.
 *
 * Owner:   the caller of the fds. Threads: a queue's reader one; tun_write() any.
 * Never:   uses the interface's name after opening (it may be renamed, or moved to another network
 *          namespace, where only the fds still reach it); logs.
 *
 * With OFFLOAD_TUN_VNET every read and write begins with a struct virtio_net_hdr, and with TSO and
 * USO it may be a super-packet: many segments of one flow (engine/gso.h, engine/gro.h). */
#pragma once
#include "model/offload.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TUN_NAME_MAX 15
#define TUN_MTU_DEFAULT 1420
#define TUN_QUEUE_LEN                                                                              \
    2000 /* txqueuelen: a burst of one worker's pause (performance.md section 7) */
#define TUN_PACKET_MAX 65535
#define TUN_QUEUES_MAX 256 /* the kernel's own bound */

/* Create or attach TUN @name with @queues queues, into ret_fds[queues]; a new one gets
 * TUN_QUEUE_LEN and @mtu (0: left as it is). A device that exists and has one queue only is
 * attached with that: the other fds are -1. @ret_offloads: those of @offloads that the kernel has.
 */
int tun_open(const char *name, unsigned queues, unsigned mtu, unsigned offloads, int *ret_fds,
             char ret_name[TUN_NAME_MAX + 1], unsigned *ret_offloads);
/* Take over a queue that somebody else opened (WG_TUN_FD), with virtio headers if it has them.
 * -EOPNOTSUPP: it carries packet information, -ENOTTY: not a TUN. */
int tun_adopt(int fd, unsigned offloads, char ret_name[TUN_NAME_MAX + 1], unsigned *ret_offloads);
/* By the fd's present name in the caller's namespace; -ENODEV when it was moved away. */
int tun_mtu(int fd, unsigned *ret);

/* One packet or super-packet; its length, or -errno: -EAGAIN nothing there, -EBADFD the device is
 * gone. */
ssize_t tun_read(int fd, void *buf, size_t len);
struct iovec;
int tun_write(int fd, const struct iovec *iov, unsigned n);
/* Throw away what is queued, at most @max packets. */
unsigned tun_discard(int fd, unsigned max);
