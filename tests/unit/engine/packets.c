#include "packets.h"
#include "base/bytes.h"

static uint32_t sum(uint32_t s, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        s += i % 2 ? p[i] : (uint32_t)p[i] << 8;
        s = (s & 0xffff) + (s >> 16);
    }
    return s;
}

static uint32_t pseudo(const uint8_t *packet, unsigned protocol, size_t len)
{
    uint32_t s = protocol + (uint32_t)len;

    s = (s & 0xffff) + (s >> 16);
    return packet[0] >> 4 == 4 ? sum(s, packet + 12, 8) : sum(s, packet + 8, 32);
}

size_t shape_transport(const struct shape *s)
{
    return s->v6 ? 40 + s->extension : 20 + s->ip_options;
}

static void make_network(const struct shape *s, size_t len, uint8_t *p)
{
    unsigned protocol = s->tcp ? 6 : 17;

    if (s->v6) {
        p[0] = (uint8_t)(0x60 | s->tos >> 4);
        p[1] = (uint8_t)(s->tos << 4);
        store_be16(p + 4, (uint16_t)(len - 40));
        p[6] = s->extension ? 60 : (uint8_t)protocol;
        p[7] = (uint8_t)(64 - s->hop_less);
        memset(p + 8, 0xfd, 16);
        memset(p + 24, 0xfc, 16);
        if (s->extension) {
            p[40] = (uint8_t)protocol;
            p[41] = (uint8_t)(s->extension / 8 - 1);
            p[42] = 1; /* padding */
            p[43] = (uint8_t)(s->extension - 4);
        }
        return;
    }
    p[0] = (uint8_t)(0x45 + s->ip_options / 4);
    p[1] = s->tos;
    store_be16(p + 2, (uint16_t)len);
    store_be16(p + 4, s->id);
    p[6] = s->fragmentable ? 0 : 0x40;
    p[8] = (uint8_t)(64 - s->hop_less);
    p[9] = (uint8_t)protocol;
    memcpy(p + 12, (uint8_t[]){10, 1, 2, 3, 10, 4, 5, 6}, 8);
    memset(p + 20, 1, s->ip_options);
    store_be16(p + 10, (uint16_t)~sum(0, p, 20 + s->ip_options));
}

size_t packet_make(const struct shape *s, size_t payload, uint8_t *ret)
{
    size_t header = s->tcp ? 20 + s->options : 8, transport = shape_transport(s);
    size_t len = transport + header + payload;
    uint8_t *t = ret + transport, *data = t + header;

    memset(ret, 0, len - payload);
    for (size_t i = 0; i < payload; i++)
        data[i] = (uint8_t)((s->skip + i) * 131 >> 3);
    make_network(s, len, ret);
    store_be16(t, (uint16_t)(1000 + s->port));
    store_be16(t + 2, 443);
    if (s->tcp) {
        store_be32(t + 4, s->seq);
        store_be32(t + 8, s->ack);
        t[12] = (uint8_t)(header / 4 << 4);
        t[13] = s->flags ? s->flags : 0x10;
        store_be16(t + 14, s->window);
        memset(t + 20, 1, s->options);
    } else {
        store_be16(t + 4, (uint16_t)(len - transport));
    }
    if (s->no_checksum)
        return len;
    uint16_t check =
        (uint16_t)~sum(pseudo(ret, s->tcp ? 6 : 17, len - transport), t, len - transport);
    store_be16(t + (s->tcp ? 16 : 6), check ? check : 0xffff);
    return len;
}

void packet_open_checksum(const struct shape *s, uint8_t *packet, size_t len)
{
    size_t transport = shape_transport(s);

    store_be16(packet + transport + (s->tcp ? 16 : 6),
               (uint16_t)pseudo(packet, s->tcp ? 6 : 17, len - transport));
}

bool packet_ok(const uint8_t *packet, size_t len)
{
    bool v4 = packet[0] >> 4 == 4;
    unsigned protocol = v4 ? packet[9] : packet[6];
    size_t transport = v4 ? (packet[0] & 15) * 4u : 40;

    if (v4 && (load_be16(packet + 2) != len || sum(0, packet, transport) != 0xffff))
        return false;
    if (!v4 && load_be16(packet + 4) != len - 40)
        return false;
    if (protocol == 60) {
        protocol = packet[40];
        transport += (packet[41] + 1u) * 8;
    }
    if (protocol == 17 && load_be16(packet + transport + 4) != len - transport)
        return false;
    return sum(pseudo(packet, protocol, len - transport), packet + transport, len - transport) ==
           0xffff;
}
