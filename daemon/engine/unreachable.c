/* ICMP and ICMPv6 "host unreachable" (RFC 792, RFC 4443), as the kernel's WireGuard answers what it
 * cannot send. The error comes from the unreachable address itself: the TUN's own address is not
 * known here, and this one passes a reverse path filter. */
#include "engine/internal.h"
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>

#define V4_ERROR_MAX 576  /* RFC 1812, 4.3.2.3 */
#define V6_ERROR_MAX 1280 /* RFC 4443, 2.4 (c) */
#define V6_HEADERS_MAX 8
static_assert(V6_ERROR_MAX <= UNREACHABLE_LEN_MAX && V4_ERROR_MAX <= UNREACHABLE_LEN_MAX,
              "both fit");

static uint32_t sum(uint32_t s, const uint8_t *p, size_t len)
{
    for (; len > 1; p += 2, len -= 2)
        s += load_be16(p);
    return len ? s + (uint32_t)(p[0] << 8) : s;
}

static uint16_t fold(uint32_t s)
{
    while (s >> 16)
        s = (s & 0xffff) + (s >> 16);
    return (uint16_t)~s;
}

/* Never about an error, a part of a packet, or to a group (RFC 1122, 3.2.2). */
static bool v4_may_answer(const uint8_t *packet, size_t len)
{
    size_t header = (size_t)(packet[0] & 15) * 4;
    const uint8_t *source = packet + 12, *destination = packet + 16;

    if (header < sizeof(struct iphdr) || header > len)
        return false;
    if (load_be16(packet + 6) & IP_OFFMASK)
        return false;
    if (source[0] == 0 || source[0] >= 224 || source[0] == 127 || destination[0] >= 224)
        return false;
    if (packet[9] != IPPROTO_ICMP)
        return true;
    if (len < header + 1)
        return false;
    uint8_t type = packet[header];
    return type == ICMP_ECHO || type == ICMP_ECHOREPLY || type == ICMP_TIMESTAMP ||
           type == ICMP_TIMESTAMPREPLY;
}

static size_t v4_make(const uint8_t *packet, size_t len, uint8_t *ret)
{
    size_t quoted = MIN(len, V4_ERROR_MAX - sizeof(struct iphdr) - ICMP_MINLEN);
    size_t total = sizeof(struct iphdr) + ICMP_MINLEN + quoted;
    uint8_t *icmp = ret + sizeof(struct iphdr);

    memset(ret, 0, sizeof(struct iphdr) + ICMP_MINLEN);
    ret[0] = 0x45;
    ret[1] = 0xc0; /* internetwork control, as the kernel's errors */
    store_be16(ret + 2, (uint16_t)total);
    ret[8] = IPDEFTTL;
    ret[9] = IPPROTO_ICMP;
    memcpy(ret + 12, packet + 16, 4);
    memcpy(ret + 16, packet + 12, 4);
    store_be16(ret + 10, fold(sum(0, ret, sizeof(struct iphdr))));
    icmp[0] = ICMP_DEST_UNREACH;
    icmp[1] = ICMP_HOST_UNREACH;
    memcpy(icmp + ICMP_MINLEN, packet, quoted);
    store_be16(icmp + 2, fold(sum(0, icmp, ICMP_MINLEN + quoted)));
    return total;
}

static bool v6_may_answer(const uint8_t *packet, size_t len)
{
    static const uint8_t unspecified[16];
    const uint8_t *source = packet + 8, *destination = packet + 24;
    uint8_t next = packet[6];
    size_t at = sizeof(struct ip6_hdr);

    if (source[0] == 0xff || destination[0] == 0xff || memcmp(source, unspecified, 16) == 0)
        return false;
    for (unsigned i = 0; i < V6_HEADERS_MAX; i++) {
        if (next == IPPROTO_ICMPV6)
            return at < len && packet[at] >= ICMP6_INFOMSG_MASK; /* no error */
        if (next == IPPROTO_FRAGMENT) {
            if (at + 8 > len || (load_be16(packet + at + 2) & 0xfff8))
                return false;
            next = packet[at];
            at += 8;
        } else if (next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS) {
            if (at + 2 > len)
                return false;
            next = packet[at];
            at += ((size_t)packet[at + 1] + 1) * 8;
        } else {
            return true;
        }
    }
    return false;
}

static size_t v6_make(const uint8_t *packet, size_t len, uint8_t *ret)
{
    const size_t header = sizeof(struct icmp6_hdr);
    size_t quoted = MIN(len, V6_ERROR_MAX - sizeof(struct ip6_hdr) - header);
    uint8_t *icmp = ret + sizeof(struct ip6_hdr);

    memset(ret, 0, sizeof(struct ip6_hdr) + header);
    ret[0] = 0x60;
    store_be16(ret + 4, (uint16_t)(header + quoted));
    ret[6] = IPPROTO_ICMPV6;
    ret[7] = IPDEFTTL;
    memcpy(ret + 8, packet + 24, 16);
    memcpy(ret + 24, packet + 8, 16);
    icmp[0] = ICMP6_DST_UNREACH;
    icmp[1] = ICMP6_DST_UNREACH_ADDR;
    memcpy(icmp + header, packet, quoted);
    uint32_t pseudo = sum(0, ret + 8, 32) + (uint32_t)(header + quoted) + IPPROTO_ICMPV6;
    store_be16(icmp + 2, fold(sum(pseudo, icmp, header + quoted)));
    return sizeof(struct ip6_hdr) + header + quoted;
}

size_t unreachable_make(const uint8_t *packet, size_t len, uint8_t ret[UNREACHABLE_LEN_MAX])
{
    if (len >= sizeof(struct iphdr) && packet[0] >> 4 == 4)
        return v4_may_answer(packet, len) ? v4_make(packet, len, ret) : 0;
    if (len >= sizeof(struct ip6_hdr) && packet[0] >> 4 == 6)
        return v6_may_answer(packet, len) ? v6_make(packet, len, ret) : 0;
    return 0;
}
