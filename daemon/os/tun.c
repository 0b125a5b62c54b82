#include "os/tun.h"
#include "base/err.h"
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#ifndef TUN_F_USO4 /* Linux 6.2 */
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

static int socket_for_ioctl(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0 && errno == EAFNOSUPPORT)
        fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

/* An SIOC[GS]IF* request on the interface named in @req. */
static int interface_ioctl(unsigned long request, struct ifreq *req)
{
    _cleanup_(closep) int fd = socket_for_ioctl();

    if (fd < 0)
        return fd;
    return ioctl(fd, request, req) < 0 ? -errno : 0;
}

static int open_queue(struct ifreq *req, int *ret_fd)
{
    _cleanup_(closep) int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return -errno;
    if (ioctl(fd, TUNSETIFF, req) < 0)
        return -errno;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static void close_queues(int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
        fds[i] = -1;
    }
}

static int configure(const char name[IFNAMSIZ], unsigned mtu)
{
    struct ifreq req = {0};
    int r;

    memcpy(req.ifr_name, name, IFNAMSIZ);
    req.ifr_qlen = TUN_QUEUE_LEN;
    r = interface_ioctl(SIOCSIFTXQLEN, &req);
    if (r < 0 || !mtu)
        return r;
    req.ifr_mtu = (int)mtu;
    return interface_ioctl(SIOCSIFMTU, &req);
}

/* Tell the kernel what it may hand over uncut; a kernel refuses a word that it knows not all of. */
static unsigned set_offloads(int fd, unsigned wanted)
{
    const unsigned tso = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6, uso = TUN_F_USO4 | TUN_F_USO6;
    int header = sizeof(struct virtio_net_hdr);

    if (ioctl(fd, TUNSETVNETHDRSZ, &header) < 0)
        header = 0; /* it has this size unless somebody changed it */
    if ((wanted & OFFLOAD_TUN_TSO) && (wanted & OFFLOAD_TUN_USO) &&
        ioctl(fd, TUNSETOFFLOAD, (unsigned long)(tso | uso)) == 0)
        return OFFLOAD_TUN_VNET | OFFLOAD_TUN_TSO | OFFLOAD_TUN_USO;
    if ((wanted & OFFLOAD_TUN_TSO) && ioctl(fd, TUNSETOFFLOAD, (unsigned long)tso) == 0)
        return OFFLOAD_TUN_VNET | OFFLOAD_TUN_TSO;
    if ((wanted & OFFLOAD_TUN_USO) &&
        ioctl(fd, TUNSETOFFLOAD, (unsigned long)(TUN_F_CSUM | uso)) == 0)
        return OFFLOAD_TUN_VNET | OFFLOAD_TUN_USO;
    ioctl(fd, TUNSETOFFLOAD, 0ul);
    return OFFLOAD_TUN_VNET;
}

int tun_open(const char *name, unsigned queues, unsigned mtu, unsigned offloads, int *ret_fds,
             char ret_name[TUN_NAME_MAX + 1], unsigned *ret_offloads)
{
    const short vnet = offloads & OFFLOAD_TUN_VNET ? IFF_VNET_HDR : 0;
    struct ifreq req = {.ifr_flags = (short)(IFF_TUN | IFF_NO_PI | IFF_MULTI_QUEUE | vnet)};
    int fds[TUN_QUEUES_MAX];
    unsigned asked = queues, opened;

    if (strlen(name) >= IFNAMSIZ || queues == 0 || queues > TUN_QUEUES_MAX)
        return -EINVAL;
    for (unsigned i = 0; i < queues; i++)
        fds[i] = -1;
    strcpy(req.ifr_name, name);
    int r = open_queue(&req, &fds[0]);
    if (r == -EINVAL) { /* a device with one queue for ever */
        req.ifr_flags = (short)(IFF_TUN | IFF_NO_PI | vnet);
        r = open_queue(&req, &fds[0]);
        queues = 1;
    }
    if (r < 0)
        return r;
    for (opened = 1; opened < queues; opened++) { /* req now holds the name in full */
        r = open_queue(&req, &fds[opened]);
        if (r < 0)
            goto fail;
    }
    r = configure(req.ifr_name, mtu);
    if (r < 0)
        goto fail;
    *ret_offloads = vnet ? set_offloads(fds[0], offloads) : 0;
    memcpy(ret_fds, fds, asked * sizeof(fds[0]));
    memcpy(ret_name, req.ifr_name, IFNAMSIZ);
    return 0;
fail:
    close_queues(fds, opened);
    return r;
}

int tun_adopt(int fd, unsigned offloads, char ret_name[TUN_NAME_MAX + 1], unsigned *ret_offloads)
{
    struct ifreq req = {0};

    if (ioctl(fd, TUNGETIFF, &req) < 0)
        return errno == ENOTTY || errno == EINVAL ? -ENOTTY : -errno;
    if (!(req.ifr_flags & IFF_TUN) || !(req.ifr_flags & IFF_NO_PI))
        return -EOPNOTSUPP;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return -errno;
    *ret_offloads = req.ifr_flags & IFF_VNET_HDR ? set_offloads(fd, offloads) : 0;
    memcpy(ret_name, req.ifr_name, IFNAMSIZ);
    return 0;
}

/* False only when it is known to live in another network namespace than this thread. */
static bool is_here(int tun)
{
    _cleanup_(closep) int sock = socket_for_ioctl();
    _cleanup_(closep) int theirs = ioctl(tun, TUNGETDEVNETNS);
    _cleanup_(closep) int ours = sock < 0 ? -1 : ioctl(sock, SIOCGSKNS);
    struct stat a, b;

    if (theirs < 0 || ours < 0 || fstat(theirs, &a) < 0 || fstat(ours, &b) < 0)
        return true;
    return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static int named_ioctl(int fd, unsigned long request, struct ifreq *req)
{
    if (ioctl(fd, TUNGETIFF, req) < 0)
        return errno == EBADFD ? -ENODEV : -errno;
    /* Another interface may have its name here. */
    return is_here(fd) ? interface_ioctl(request, req) : -ENODEV;
}

int tun_mtu(int fd, unsigned *ret)
{
    struct ifreq req = {0};
    int r = named_ioctl(fd, SIOCGIFMTU, &req);

    if (r < 0)
        return r;
    *ret = (unsigned)req.ifr_mtu;
    return 0;
}

ssize_t tun_read(int fd, void *buf, size_t len)
{
    ssize_t n = read(fd, buf, len);

    return n < 0 ? -errno : n;
}

int tun_write(int fd, const struct iovec *iov, unsigned n)
{
    return writev(fd, iov, (int)n) < 0 ? -errno : 0;
}

unsigned tun_discard(int fd, unsigned max)
{
    struct virtio_net_hdr room; /* refused with less, where there are such headers */
    unsigned done = 0;

    /* A short read takes the whole packet off the queue. */
    while (done < max && read(fd, &room, sizeof(room)) >= 0)
        done++;
    return done;
}
