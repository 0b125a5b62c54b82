#include "engine/gro.h"
#include "base/bytes.h"
#include "engine/csum.h"
#include <assert.h>
#include <netinet/in.h>
#include <string.h>

#define IPV4_HEADER 20
#define IPV6_HEADER 40
#define TCP_HEADER_MIN 20
#define UDP_HEADER 8
#define TCP_CHECKSUM 16
#define UDP_CHECKSUM 6
#define TCP_FLAGS 13
#define TCP_FIN 0x01
#define TCP_PSH 0x08
#define TCP_ACK 0x10
#define TCP_ECE 0x40
#define TCP_ENDS (TCP_FIN | TCP_PSH) /* may stand on the last of a super-packet only */
#define IPV4_DF 0x4000
#define PACKET_MAX 65535

struct candidate {
    uint8_t *packet;
    size_t len, transport, headers, payload;
    unsigned hash;
    bool v4, tcp, flow; /* flow: it belongs to one */
    bool joins;         /* it may begin or join a super-packet */
};

void gro_init(struct gro *g, bool vnet, bool tcp, bool udp, gro_write_fn *write, void *ctx)
{
    memset(g, 0, sizeof(*g));
    g->vnet = vnet;
    g->tcp = tcp && vnet;
    g->udp = udp && vnet;
    for (unsigned i = 0; i < GRO_FLOWS; i++)
        g->order[i] = &g->flows[i];
    g->write = write;
    g->ctx = ctx;
}

/* ---- what is it? ---- */

static bool look_network(struct candidate *c, unsigned *ret_protocol)
{
    const uint8_t *p = c->packet;

    c->v4 = p[0] >> 4 == 4;
    if (c->v4) {
        /* No options, no fragment; the bit without a meaning is not for us to carry on. */
        if (c->len < IPV4_HEADER || p[0] != 0x45 || (load_be16(p + 6) & ~IPV4_DF))
            return false;
        c->transport = IPV4_HEADER;
        *ret_protocol = p[9];
        return true;
    }
    if (c->len < IPV6_HEADER || p[0] >> 4 != 6)
        return false;
    c->transport = IPV6_HEADER;
    *ret_protocol = p[6];
    return true;
}

static unsigned hash_of(const struct candidate *c)
{
    const uint8_t *p = c->packet;
    uint32_t h = load_be32(p + c->transport) ^ load_be32(p + c->transport - 4);

    return (unsigned)(h ^ load_be32(p + (c->v4 ? 12 : 20)));
}

static void look(const struct gro *g, struct candidate *c)
{
    unsigned protocol;

    if (!look_network(c, &protocol))
        return;
    const uint8_t *t = c->packet + c->transport;
    size_t len = c->len - c->transport;
    if (protocol == IPPROTO_TCP && len >= TCP_HEADER_MIN) {
        size_t header = (size_t)(t[12] >> 4) * 4;

        c->tcp = c->flow = true;
        if (header < TCP_HEADER_MIN || header > len)
            return;
        c->headers = c->transport + header;
        c->joins = g->tcp && len > header && (t[TCP_FLAGS] & ~(TCP_ENDS | TCP_ECE)) == TCP_ACK;
    } else if (protocol == IPPROTO_UDP && len >= UDP_HEADER) {
        c->flow = true;
        c->headers = c->transport + UDP_HEADER;
        /* Without a checksum there is nothing to tell a good packet from a bad one. */
        c->joins = g->udp && len > UDP_HEADER && load_be16(t + 4) == len &&
                   load_be16(t + UDP_CHECKSUM) != 0;
    }
    if (!c->flow)
        return;
    c->payload = c->len - c->headers;
    c->hash = hash_of(c);
}

static bool checksum_ok(const uint8_t *packet, size_t len, size_t transport, bool tcp)
{
    uint64_t sum = csum_pseudo(packet, tcp ? IPPROTO_TCP : IPPROTO_UDP, len - transport);

    return csum_fold(sum + csum_of(packet + transport, len - transport)) == 0xffff;
}

/* ---- does it belong to this flow, and does it follow? ---- */

static bool same_flow(const struct gro_flow *f, const struct candidate *c)
{
    const uint8_t *a = f->packet, *b = c->packet;

    if (f->v4 != c->v4 || f->tcp != c->tcp)
        return false;
    return memcmp(a + f->transport, b + f->transport, 4) == 0 &&
           (c->v4 ? memcmp(a + 12, b + 12, 8) == 0 : memcmp(a + 8, b + 8, 32) == 0);
}

/* RFC 6864: the identification of a packet that may not be fragmented means nothing, so a constant
 * one may come out as a rising one; any other must be what segmentation makes of it. */
static bool network_follows(const struct gro_flow *f, const struct candidate *c)
{
    const uint8_t *a = f->packet, *b = c->packet;

    if (!c->v4)
        return memcmp(a, b, 4) == 0 && a[7] == b[7]; /* class and label; hop limit */
    uint16_t id = load_be16(b + 4);
    bool rises = id == (uint16_t)(f->last_id + 1);
    bool constant = (load_be16(b + 6) & IPV4_DF) && id == f->last_id;
    return a[1] == b[1] && memcmp(a + 6, b + 6, 3) == 0 && (rises || constant);
}

static bool tcp_follows(const struct gro_flow *f, const struct candidate *c)
{
    const uint8_t *a = f->packet + f->transport, *b = c->packet + f->transport;
    uint32_t sent = (uint32_t)(f->len - f->headers);

    return load_be32(b + 4) == load_be32(a + 4) + sent && memcmp(a + 8, b + 8, 4) == 0 && /* ack */
           a[12] == b[12] && (a[TCP_FLAGS] & ~TCP_ENDS) == (b[TCP_FLAGS] & ~TCP_ENDS) &&
           memcmp(a + 14, b + 14, 2) == 0 && memcmp(a + 18, b + 18, 2) == 0 && /* window, urgent */
           memcmp(a + TCP_HEADER_MIN, b + TCP_HEADER_MIN,
                  (size_t)(f->headers - f->transport - TCP_HEADER_MIN)) == 0;
}

static bool follows(const struct gro_flow *f, const struct candidate *c)
{
    return c->joins && !f->ended && f->headers == c->headers && c->payload <= f->size &&
           f->count < GRO_SEGMENTS && f->len + c->payload <= PACKET_MAX && network_follows(f, c) &&
           (!f->tcp || tcp_follows(f, c));
}

/* ---- out ---- */

static void write_alone(struct gro *g, uint8_t *packet, size_t len)
{
    size_t header = g->vnet ? VNET_HDR_LEN : 0;
    struct iovec iov = {.iov_base = packet - header, .iov_len = header + len};

    memset(packet - header, 0, header);
    g->write(g->ctx, &iov, 1);
}

static void write_super(struct gro *g, struct gro_flow *f)
{
    uint8_t *p = f->packet, *t = p + f->transport;
    unsigned offset = f->tcp ? TCP_CHECKSUM : UDP_CHECKSUM;
    struct virtio_net_hdr v = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                               .gso_type = VIRTIO_NET_HDR_GSO_UDP_L4,
                               .hdr_len = f->headers,
                               .gso_size = f->size,
                               .csum_start = f->transport,
                               .csum_offset = (uint16_t)offset};

    if (f->v4) {
        store_be16(p + 2, (uint16_t)f->len);
        csum_ipv4_header(p);
    } else {
        store_be16(p + 4, (uint16_t)(f->len - IPV6_HEADER));
    }
    if (f->tcp) {
        v.gso_type = f->v4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
        t[TCP_FLAGS] |= f->tail_flags;
    } else {
        store_be16(t + 4, (uint16_t)(f->len - f->transport));
    }
    uint16_t open =
        csum_fold(csum_pseudo(p, f->tcp ? IPPROTO_TCP : IPPROTO_UDP, f->len - f->transport));
    memcpy(t + offset, &open, sizeof(open));
    memcpy(p - sizeof(v), &v, sizeof(v));
    f->iov[0].iov_base = p - sizeof(v);
    f->iov[0].iov_len += sizeof(v);
    g->joined += f->count - 1;
    g->write(g->ctx, f->iov, f->count);
}

static void write_flow(struct gro *g, struct gro_flow *f)
{
    if (f->count == 1)
        write_alone(g, f->packet, f->len);
    else
        write_super(g, f);
}

static void drop_flow(struct gro *g, unsigned i)
{
    struct gro_flow *f = g->order[i];
    unsigned behind = --g->flow_count - i;

    write_flow(g, f);
    memmove(&g->order[i], &g->order[i + 1], behind * sizeof(g->order[0]));
    memmove(&g->hashes[i], &g->hashes[i + 1], behind * sizeof(g->hashes[0]));
    g->order[g->flow_count] = f;
}

void gro_flush(struct gro *g)
{
    for (unsigned i = 0; i < g->flow_count; i++)
        write_flow(g, g->order[i]);
    g->flow_count = 0;
}

/* ---- in ---- */

static void begin_flow(struct gro *g, const struct candidate *c)
{
    if (g->flow_count == GRO_FLOWS)
        drop_flow(g, 0);
    struct gro_flow *f = g->order[g->flow_count];
    g->hashes[g->flow_count++] = c->hash;
    f->count = 1;
    f->packet = c->packet;
    f->len = c->len;
    f->headers = (uint16_t)c->headers;
    f->transport = (uint16_t)c->transport;
    f->size = (uint16_t)c->payload;
    f->v4 = c->v4;
    f->tcp = c->tcp;
    f->ended = f->checked = false;
    f->tail_flags = 0;
    f->last_id = load_be16(c->packet + 4);
    f->iov[0] = (struct iovec){.iov_base = c->packet, .iov_len = c->len};
    if (c->tcp)
        f->ended = c->packet[c->transport + TCP_FLAGS] & TCP_ENDS;
}

static void join_flow(struct gro_flow *f, const struct candidate *c)
{
    f->iov[f->count++] = (struct iovec){.iov_base = c->packet + c->headers, .iov_len = c->payload};
    f->len += c->payload;
    f->last_id = load_be16(c->packet + 4);
    f->ended = c->payload < f->size;
    if (c->tcp) {
        f->tail_flags = c->packet[c->transport + TCP_FLAGS] & TCP_ENDS;
        f->ended |= f->tail_flags != 0;
    }
}

static bool try_join(struct gro_flow *f, const struct candidate *c)
{
    if (!follows(f, c))
        return false;
    if (!f->checked && !checksum_ok(f->packet, f->len, f->transport, f->tcp)) {
        f->ended = true;
        return false;
    }
    f->checked = true;
    if (!checksum_ok(c->packet, c->len, c->transport, c->tcp))
        return false;
    join_flow(f, c);
    return true;
}

void gro_add(struct gro *g, uint8_t *packet, size_t len)
{
    struct candidate c = {.packet = packet, .len = len};

    look(g, &c);
    if (!c.flow) {
        /* It may be a fragment of any flow: nothing overtakes it, and it overtakes nothing. */
        gro_flush(g);
        write_alone(g, packet, len);
        return;
    }
    for (unsigned i = 0; i < g->flow_count; i++) {
        if (g->hashes[i] != c.hash || !same_flow(g->order[i], &c))
            continue;
        if (try_join(g->order[i], &c))
            return;
        drop_flow(g, i); /* first what came before */
        break;
    }
    if (c.joins)
        begin_flow(g, &c);
    else
        write_alone(g, packet, len);
}
