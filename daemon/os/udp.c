#include "os/udp.h"
#include "base/err.h"
#include "model/offload.h"
#include <assert.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>

/* Enough for one packet info of either family and a segment size. */
union control {
    char buf[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
};
static_assert(CMSG_SPACE(sizeof(struct in_pktinfo)) <= CMSG_SPACE(sizeof(struct in6_pktinfo)),
              "one control buffer serves both families");

static int set_int(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* The forced ones pass net.core.*mem_max but need CAP_NET_ADMIN. */
static void set_buffers(int fd)
{
    if (set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, UDP_BUFFER_BYTES) < 0)
        set_int(fd, SOL_SOCKET, SO_RCVBUF, UDP_BUFFER_BYTES);
    if (set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, UDP_BUFFER_BYTES) < 0)
        set_int(fd, SOL_SOCKET, SO_SNDBUF, UDP_BUFFER_BYTES);
}

static socklen_t bind_address(const struct endpoint *bind, bool v6, struct sockaddr_storage *ret)
{
    if (!addr_is_zero(&bind->addr))
        return endpoint_to_sockaddr(bind, ret);
    memset(ret, 0, sizeof(*ret));
    if (v6) {
        struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)ret;

        sin6->sin6_family = AF_INET6;
        sin6->sin6_port = htons(bind->port);
        return sizeof(*sin6);
    }
    struct sockaddr_in *sin = (struct sockaddr_in *)ret;

    sin->sin_family = AF_INET;
    sin->sin_port = htons(bind->port);
    return sizeof(*sin);
}

unsigned udp_offloads(void)
{
    _cleanup_(closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    unsigned have = 0;

    if (fd < 0)
        return 0;
    if (set_int(fd, IPPROTO_UDP, UDP_GRO, 1) == 0)
        have |= OFFLOAD_UDP_GRO;
    if (set_int(fd, IPPROTO_UDP, UDP_SEGMENT, 1280) == 0)
        have |= OFFLOAD_UDP_GSO;
    return have;
}

int udp_open(const struct endpoint *at, unsigned flags, uint32_t mark, int *ret_fd)
{
    bool v6 = addr_is_zero(&at->addr) ? (flags & UDP_V6) != 0 : !addr_is_v4(&at->addr);
    _cleanup_(closep) int fd =
        socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_storage sa;
    int r = 0;

    if (fd < 0)
        return -errno;
    if (v6)
        r = set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (r == 0 && (flags & UDP_FREEBIND))
        r = v6 ? set_int(fd, IPPROTO_IPV6, IPV6_FREEBIND, 1)
               : set_int(fd, IPPROTO_IP, IP_FREEBIND, 1);
    if (r == 0 && (flags & UDP_PKTINFO))
        r = v6 ? set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
               : set_int(fd, IPPROTO_IP, IP_PKTINFO, 1);
    if (r == 0 && (flags & UDP_REUSEPORT))
        r = set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (r == 0 && mark)
        r = udp_set_mark(fd, mark);
    if (r < 0)
        return r;
    set_buffers(fd);
    if (flags & UDP_JOIN)
        set_int(fd, IPPROTO_UDP, UDP_GRO, 1); /* without it they come one by one */
    socklen_t len = bind_address(at, v6, &sa);
    if (bind(fd, (struct sockaddr *)&sa, len) < 0)
        return -errno;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int udp_bound_port(int fd, uint16_t *ret)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);

    if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
        return -errno;
    if (sa.ss_family == AF_INET6)
        *ret = ntohs(((struct sockaddr_in6 *)&sa)->sin6_port);
    else
        *ret = ntohs(((struct sockaddr_in *)&sa)->sin_port);
    return 0;
}

int udp_set_mark(int fd, uint32_t mark)
{
    return set_int(fd, SOL_SOCKET, SO_MARK, (int)mark);
}

int udp_steer(int fd, uint8_t type, unsigned count)
{
    /* Bytes one by one: BPF loads big-endian, the index is little-endian. Offset 0 is the UDP
     * payload; a load past the end makes the program return 0. */
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, type, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, count),           BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 7),
        BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 8),     BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 6),      BPF_STMT(BPF_ALU | BPF_OR | BPF_X, 0),
        BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 8),     BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 5),      BPF_STMT(BPF_ALU | BPF_OR | BPF_X, 0),
        BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 8),     BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 4),      BPF_STMT(BPF_ALU | BPF_OR | BPF_X, 0),
        BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, count), BPF_STMT(BPF_RET | BPF_A, 0),
    };
    struct sock_fprog program = {.len = ARRAY_LEN(code), .filter = code};

    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)) < 0)
        return -errno;
    return 0;
}

/* ---- receiving ---- */

struct udp_rx {
    unsigned count;
    size_t len;
    uint8_t *buffers;
    struct mmsghdr *msgs;
    struct iovec *iovs;
    struct sockaddr_storage *names;
    union control *controls;
    struct udp_datagram *datagrams;
};

struct udp_rx *udp_rx_new(unsigned count, size_t len)
{
    struct udp_rx *rx = calloc(1, sizeof(*rx));

    if (!rx)
        return NULL;
    rx->count = count;
    rx->len = len;
    rx->buffers = malloc(count * len);
    rx->msgs = calloc(count, sizeof(*rx->msgs));
    rx->iovs = calloc(count, sizeof(*rx->iovs));
    rx->names = calloc(count, sizeof(*rx->names));
    rx->controls = calloc(count, sizeof(*rx->controls));
    rx->datagrams = calloc(count, sizeof(*rx->datagrams));
    if (!rx->buffers || !rx->msgs || !rx->iovs || !rx->names || !rx->controls || !rx->datagrams) {
        udp_rx_free(rx);
        return NULL;
    }
    for (unsigned i = 0; i < count; i++) {
        rx->iovs[i] = (struct iovec){.iov_base = rx->buffers + i * len, .iov_len = len};
        rx->msgs[i].msg_hdr = (struct msghdr){.msg_name = &rx->names[i],
                                              .msg_iov = &rx->iovs[i],
                                              .msg_iovlen = 1,
                                              .msg_control = &rx->controls[i]};
    }
    return rx;
}

void udp_rx_free(struct udp_rx *rx)
{
    if (!rx)
        return;
    free(rx->buffers);
    free(rx->msgs);
    free(rx->iovs);
    free(rx->names);
    free(rx->controls);
    free(rx->datagrams);
    free(rx);
}

static void read_control(struct msghdr *m, struct udp_datagram *d)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;

            memcpy(&info, CMSG_DATA(c), sizeof(info));
            d->local.addr = addr_from_v4(&info.ipi_spec_dst);
            d->local_ifindex = (uint32_t)info.ipi_ifindex;
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;

            memcpy(&info, CMSG_DATA(c), sizeof(info));
            d->local.addr = addr_from_v6(
                &info.ipi6_addr, IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr) ? info.ipi6_ifindex : 0);
            d->local_ifindex = (uint32_t)info.ipi6_ifindex;
        } else if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
            int size;

            memcpy(&size, CMSG_DATA(c), sizeof(size));
            if (size > 0 && (size_t)size < d->len)
                d->segment = (size_t)size;
        }
    }
}

int udp_receive(struct udp_rx *rx, int fd, unsigned max, struct udp_datagram **ret)
{
    unsigned count = MIN(max, rx->count);

    for (unsigned i = 0; i < count; i++) {
        rx->msgs[i].msg_hdr.msg_namelen = sizeof(rx->names[i]);
        rx->msgs[i].msg_hdr.msg_controllen = sizeof(rx->controls[i]);
        rx->msgs[i].msg_hdr.msg_flags = 0;
    }
    int n = recvmmsg(fd, rx->msgs, count, MSG_DONTWAIT, NULL);
    if (n < 0)
        return -errno;
    unsigned kept = 0;
    for (int i = 0; i < n; i++) {
        struct udp_datagram *d = &rx->datagrams[kept];

        if (rx->msgs[i].msg_hdr.msg_flags & MSG_TRUNC)
            continue;
        *d = (struct udp_datagram){.buf = rx->iovs[i].iov_base, .len = rx->msgs[i].msg_len};
        if (endpoint_from_sockaddr((struct sockaddr *)&rx->names[i], &d->remote) < 0)
            continue;
        read_control(&rx->msgs[i].msg_hdr, d);
        kept++;
    }
    *ret = rx->datagrams;
    return (int)kept;
}

unsigned udp_discard(int fd, unsigned max)
{
    struct mmsghdr msgs[64];
    unsigned done = 0;

    memset(msgs, 0, sizeof(msgs));
    while (done < max) {
        int n =
            recvmmsg(fd, msgs, MIN(ARRAY_LEN(msgs), max - done), MSG_DONTWAIT | MSG_TRUNC, NULL);
        if (n <= 0)
            break;
        done += (unsigned)n;
    }
    return done;
}

/* ---- sending ---- */

struct udp_tx {
    unsigned count;
    struct mmsghdr *msgs;
    struct iovec *iovs;
    struct sockaddr_storage *names;
    union control *controls;
};

struct udp_tx *udp_tx_new(unsigned count)
{
    struct udp_tx *tx = calloc(1, sizeof(*tx));

    if (!tx)
        return NULL;
    tx->count = count;
    tx->msgs = calloc(count, sizeof(*tx->msgs));
    tx->iovs = calloc(count, sizeof(*tx->iovs));
    tx->names = calloc(count, sizeof(*tx->names));
    tx->controls = calloc(count, sizeof(*tx->controls));
    if (!tx->msgs || !tx->iovs || !tx->names || !tx->controls) {
        udp_tx_free(tx);
        return NULL;
    }
    return tx;
}

void udp_tx_free(struct udp_tx *tx)
{
    if (!tx)
        return;
    free(tx->msgs);
    free(tx->iovs);
    free(tx->names);
    free(tx->controls);
    free(tx);
}

/* The source address alone: an interface index beside it would overrule the routing table for
 * replies, so it is given for link-local addresses only, which mean nothing without it. */
static size_t write_pktinfo(struct cmsghdr *c, const struct endpoint *local, uint32_t ifindex)
{
    if (addr_is_v4(&local->addr)) {
        struct in_pktinfo info = {0};

        memcpy(&info.ipi_spec_dst, local->addr.b + 12, 4);
        c->cmsg_level = IPPROTO_IP;
        c->cmsg_type = IP_PKTINFO;
        c->cmsg_len = CMSG_LEN(sizeof(info));
        memcpy(CMSG_DATA(c), &info, sizeof(info));
        return CMSG_SPACE(sizeof(info));
    }
    struct in6_pktinfo info = {0};

    memcpy(&info.ipi6_addr, local->addr.b, 16);
    if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
        info.ipi6_ifindex = local->addr.scope ? local->addr.scope : ifindex;
    c->cmsg_level = IPPROTO_IPV6;
    c->cmsg_type = IPV6_PKTINFO;
    c->cmsg_len = CMSG_LEN(sizeof(info));
    memcpy(CMSG_DATA(c), &info, sizeof(info));
    return CMSG_SPACE(sizeof(info));
}

static size_t write_segment(struct cmsghdr *c, size_t segment)
{
    uint16_t size = (uint16_t)segment;

    c->cmsg_level = IPPROTO_UDP;
    c->cmsg_type = UDP_SEGMENT;
    c->cmsg_len = CMSG_LEN(sizeof(size));
    memcpy(CMSG_DATA(c), &size, sizeof(size));
    return CMSG_SPACE(sizeof(size));
}

static bool same_family(const struct endpoint *a, const struct endpoint *b)
{
    return addr_is_v4(&a->addr) == addr_is_v4(&b->addr);
}

static bool has_local(const struct udp_datagram *d)
{
    return !d->local_lost && !addr_is_zero(&d->local.addr) && same_family(&d->local, &d->remote);
}

static void write_control(struct msghdr *m, union control *control, const struct udp_datagram *d)
{
    size_t len = 0;

    m->msg_control = NULL;
    m->msg_controllen = 0;
    if (!has_local(d) && !d->segment)
        return;
    memset(control, 0, sizeof(*control));
    if (has_local(d))
        len = write_pktinfo(&control->align, &d->local, d->local_ifindex);
    if (d->segment)
        len += write_segment((struct cmsghdr *)(control->buf + len), d->segment);
    m->msg_control = control;
    m->msg_controllen = len;
}

static void message_prepare(struct msghdr *m, struct iovec *iov, struct sockaddr_storage *name,
                            union control *control, const struct udp_datagram *d)
{
    memset(m, 0, sizeof(*m));
    m->msg_namelen = endpoint_to_sockaddr(&d->remote, name);
    m->msg_name = name;
    *iov = (struct iovec){.iov_base = d->buf, .iov_len = d->len};
    m->msg_iov = iov;
    m->msg_iovlen = 1;
    write_control(m, control, d);
}

/* What a source address that is no longer ours makes sendmsg() say. */
static bool local_is_lost(int err)
{
    return err == EINVAL || err == EADDRNOTAVAIL || err == ENETUNREACH;
}

/* EIO: the device computes no checksums. The others: a segment is longer than the path's MTU, which
 * a single datagram, by fragmentation, may be. */
static bool burst_is_refused(int err)
{
    return err == EIO || err == EINVAL || err == EMSGSIZE;
}

static unsigned datagrams_of(const struct udp_datagram *d)
{
    return d->segment ? (unsigned)((d->len + d->segment - 1) / d->segment) : 1;
}

/* One by one; how many failed. */
static unsigned send_cut(int fd, struct msghdr *m, struct udp_datagram *d)
{
    struct udp_datagram one = *d;
    unsigned failed = 0;

    one.segment = 0;
    for (size_t at = 0; at < d->len; at += d->segment) {
        struct iovec iov = {.iov_base = d->buf + at, .iov_len = MIN(d->segment, d->len - at)};

        m->msg_iov = &iov;
        write_control(m, m->msg_control, &one);
        if (sendmsg(fd, m, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
            continue;
        if (has_local(&one) && local_is_lost(errno)) {
            d->local_lost = one.local_lost = true;
            write_control(m, m->msg_control, &one);
            if (sendmsg(fd, m, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
                continue;
        }
        d->err = errno;
        failed++;
    }
    return failed;
}

unsigned udp_send(struct udp_tx *tx, int fd, struct udp_datagram *d, unsigned count,
                  bool *no_bursts, unsigned *fallbacks)
{
    unsigned at = 0, failed = 0;

    for (unsigned i = 0; i < count; i++)
        message_prepare(&tx->msgs[i].msg_hdr, &tx->iovs[i], &tx->names[i], &tx->controls[i], &d[i]);
    while (at < count) {
        struct msghdr *m = &tx->msgs[at].msg_hdr;
        int n = -1;

        if (!d[at].segment || !*no_bursts) {
            n = sendmmsg(fd, tx->msgs + at, count - at, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (n > 0) {
                at += (unsigned)n;
                continue;
            }
            if (errno == EINTR)
                continue;
        }
        if (d[at].segment && (*no_bursts || burst_is_refused(errno))) {
            *no_bursts |= errno == EIO;
            ++*fallbacks;
            failed += send_cut(fd, m, &d[at++]);
            continue;
        }
        if (has_local(&d[at]) && local_is_lost(errno)) {
            d[at].local_lost = true;
            write_control(m, &tx->controls[at], &d[at]);
            continue;
        }
        d[at].err = errno;
        failed += datagrams_of(&d[at++]);
    }
    return failed;
}

int udp_send_one(int fd, const struct endpoint *to, const struct endpoint *local,
                 uint32_t local_ifindex, const void *buf, size_t len)
{
    struct udp_datagram d = {
        .buf = (uint8_t *)buf, .len = len, .remote = *to, .local_ifindex = local_ifindex};
    struct sockaddr_storage name;
    union control control;
    struct iovec iov;
    struct msghdr m;

    if (local)
        d.local = *local;
    message_prepare(&m, &iov, &name, &control, &d);
    if (sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
        return 0;
    if (!m.msg_controllen || !local_is_lost(errno))
        return -errno;
    m.msg_control = NULL;
    m.msg_controllen = 0;
    return sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}
