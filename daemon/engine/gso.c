#include "engine/gso.h"
#include "base/bytes.h"
#include "base/err.h"
#include "engine/csum.h"
#include <netinet/in.h>
#include <string.h>

#define IPV4_HEADER_MIN 20
#define IPV6_HEADER 40
#define TCP_HEADER_MIN 20
#define UDP_HEADER 8
#define TCP_CHECKSUM 16 /* offsets in the headers */
#define UDP_CHECKSUM 6
#define TCP_FLAGS 13
#define TCP_FIN 0x01
#define TCP_PSH 0x08
#define TCP_CWR 0x80

static size_t tcp_header_len(const uint8_t *tcp)
{
    return (size_t)(tcp[12] >> 4) * 4;
}

static int begin_whole(struct gso *g, const struct virtio_net_hdr *v)
{
    g->count = 1;
    if (!(v->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
        return 0;
    if ((size_t)v->csum_start + v->csum_offset + 2 > g->len)
        return -EINVAL;
    g->transport = v->csum_start;
    g->checksum = (unsigned)v->csum_start + v->csum_offset;
    return 0;
}

/* An IPv6 packet may have extension headers: the kernel says where the transport begins. */
static bool network_ok(const struct gso *g)
{
    const uint8_t *p = g->packet;

    if (!g->v4)
        return p[0] >> 4 == 6 && g->transport >= IPV6_HEADER;
    return p[0] >> 4 == 4 && g->transport == (p[0] & 15) * 4u && g->transport >= IPV4_HEADER_MIN &&
           (load_be16(p + 6) & 0x3fff) == 0 && p[9] == (g->tcp ? IPPROTO_TCP : IPPROTO_UDP);
}

static int begin_cut(struct gso *g, const struct virtio_net_hdr *v)
{
    size_t min = g->tcp ? TCP_HEADER_MIN : UDP_HEADER;
    unsigned offset = g->tcp ? TCP_CHECKSUM : UDP_CHECKSUM;

    g->transport = v->csum_start;
    g->size = v->gso_size;
    if (!(v->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || v->csum_offset != offset || !g->size ||
        g->len < IPV4_HEADER_MIN || g->len < g->transport + min || !network_ok(g))
        return -EINVAL;
    g->headers = g->transport + (g->tcp ? tcp_header_len(g->packet + g->transport) : min);
    if (g->headers < g->transport + min || g->headers >= g->len)
        return -EINVAL;
    g->checksum = (unsigned)g->transport + offset;
    g->count = (unsigned)((g->len - g->headers + g->size - 1) / g->size);
    return 0;
}

int gso_begin(struct gso *g, const struct virtio_net_hdr *v, const uint8_t *packet, size_t len)
{
    *g = (struct gso){.packet = packet, .len = len};
    if (len > UINT16_MAX)
        return -EINVAL;
    switch (v->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
    case VIRTIO_NET_HDR_GSO_NONE:
        return begin_whole(g, v);
    case VIRTIO_NET_HDR_GSO_TCPV4:
        g->tcp = g->v4 = true;
        return begin_cut(g, v);
    case VIRTIO_NET_HDR_GSO_TCPV6:
        g->tcp = true;
        return begin_cut(g, v);
    case VIRTIO_NET_HDR_GSO_UDP_L4:
        g->v4 = len && packet[0] >> 4 == 4;
        return begin_cut(g, v);
    default:
        return -EINVAL;
    }
}

static size_t payload_len(const struct gso *g, unsigned i)
{
    size_t at = g->headers + i * g->size;

    return MIN(g->size, g->len - at);
}

size_t gso_len(const struct gso *g, unsigned i)
{
    return g->headers ? g->headers + payload_len(g, i) : g->len;
}

/* RFC 768: a sum of zero is sent as its other form. TCP takes both. */
static void put_checksum(uint8_t *at, uint64_t sum)
{
    uint16_t c = (uint16_t)~csum_fold(sum);

    if (c == 0)
        c = 0xffff;
    memcpy(at, &c, sizeof(c));
}

static void write_whole(const struct gso *g, uint8_t *ret)
{
    if (!g->checksum) {
        memcpy(ret, g->packet, g->len);
        return;
    }
    memcpy(ret, g->packet, g->transport);
    /* The field holds the pseudo header's sum. */
    put_checksum(ret + g->checksum,
                 csum_copy(ret + g->transport, g->packet + g->transport, g->len - g->transport));
}

static void write_network(const struct gso *g, unsigned i, size_t len, uint8_t *ret)
{
    if (!g->v4) {
        store_be16(ret + 4, (uint16_t)(len - IPV6_HEADER));
        return;
    }
    store_be16(ret + 2, (uint16_t)len);
    store_be16(ret + 4, (uint16_t)(load_be16(g->packet + 4) + i));
    csum_ipv4_header(ret);
}

static void write_tcp(const struct gso *g, unsigned i, uint8_t *tcp)
{
    store_be32(tcp + 4, load_be32(tcp + 4) + i * (uint32_t)g->size);
    if (i > 0)
        tcp[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
    if (i + 1 < g->count)
        tcp[TCP_FLAGS] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
}

void gso_write(const struct gso *g, unsigned i, uint8_t *ret)
{
    uint8_t *transport = ret + g->transport;

    if (!g->headers) {
        write_whole(g, ret);
        return;
    }
    size_t payload = payload_len(g, i), len = g->headers + payload;
    memcpy(ret, g->packet, g->headers);
    uint64_t sum = csum_copy(ret + g->headers, g->packet + g->headers + i * g->size, payload);
    write_network(g, i, len, ret);
    if (g->tcp)
        write_tcp(g, i, transport);
    else
        store_be16(transport + 4, (uint16_t)(len - g->transport));
    /* The field holds the sum of a pseudo header that has the whole length: exchange that. It stays
     * in the sum, since the addresses in it may not be those of this header (a routing header). */
    sum += csum_of(transport, g->headers - g->transport);
    sum += csum_be16((unsigned)(len - g->transport));
    sum += (uint16_t)~csum_be16((unsigned)(g->len - g->transport));
    put_checksum(ret + g->checksum, sum);
}
