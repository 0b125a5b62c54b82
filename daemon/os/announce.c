#include "os/announce.h"

#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <netinet/ip6.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/err.h"

struct announce {
    int packet; /* sends frames only: bound to no protocol, so nothing is received */
};

struct place {
    int ifindex;
    uint8_t mac[ETH_ALEN];
    bool router;
};

static const uint8_t all_nodes_mac[ETH_ALEN] = {0x33, 0x33, 0, 0, 0, 1};
static const uint8_t broadcast_mac[ETH_ALEN] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const uint8_t all_nodes[16] = {0xff, 0x02, [15] = 0x01};

int announce_open(struct announce **ret)
{
    struct announce *a = calloc(1, sizeof(*a));

    if (!a)
        return -ENOMEM;
    a->packet = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (a->packet < 0) {
        int r = -errno;

        free(a);
        return r;
    }
    *ret = a;
    return 0;
}

void announce_close(struct announce *a)
{
    if (!a)
        return;
    close(a->packet);
    free(a);
}

static bool forwards_v6(const char *ifname)
{
    char path[64 + IFNAMSIZ], value = '0';
    _cleanup_(closep) int fd = -1;

    snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/forwarding", ifname);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && read(fd, &value, 1) == 1 && value != '0';
}

static int find_place(struct announce *a, const char *ifname, bool v6, struct place *ret)
{
    struct ifreq request = {0};

    if (strlen(ifname) >= IFNAMSIZ)
        return -ENODEV;
    strcpy(request.ifr_name, ifname);
    if (ioctl(a->packet, SIOCGIFINDEX, &request) < 0)
        return -errno;
    ret->ifindex = request.ifr_ifindex;
    if (ioctl(a->packet, SIOCGIFHWADDR, &request) < 0)
        return -errno;
    if (request.ifr_hwaddr.sa_family != ARPHRD_ETHER)
        return -EOPNOTSUPP;
    memcpy(ret->mac, request.ifr_hwaddr.sa_data, ETH_ALEN);
    ret->router = v6 && forwards_v6(ifname);
    return 0;
}

static int send_frame(struct announce *a, const struct place *p, uint16_t protocol,
                      const uint8_t to[ETH_ALEN], const void *payload, size_t len)
{
    struct sockaddr_ll sll = {.sll_family = AF_PACKET,
                              .sll_protocol = htons(protocol),
                              .sll_ifindex = p->ifindex,
                              .sll_halen = ETH_ALEN};

    memcpy(sll.sll_addr, to, ETH_ALEN);
    if (sendto(a->packet, payload, len, 0, (struct sockaddr *)&sll, sizeof(sll)) < 0)
        return -errno;
    return 0;
}

size_t announce_arp(uint16_t operation, const uint8_t mac[ETH_ALEN], const uint8_t ip[4],
                    uint8_t ret[ANNOUNCE_LEN_MAX])
{
    struct ether_arp arp = {.ea_hdr = {.ar_hrd = htons(ARPHRD_ETHER),
                                       .ar_pro = htons(ETH_P_IP),
                                       .ar_hln = ETH_ALEN,
                                       .ar_pln = 4,
                                       .ar_op = htons(operation)}};

    memcpy(arp.arp_sha, mac, ETH_ALEN);
    memcpy(arp.arp_spa, ip, 4);
    /* The target's hardware address means nothing in a request (RFC 5227 section 3). */
    if (operation == ARPOP_REPLY)
        memcpy(arp.arp_tha, broadcast_mac, ETH_ALEN);
    memcpy(arp.arp_tpa, ip, 4);
    memcpy(ret, &arp, sizeof(arp));
    return sizeof(arp);
}

static int send_arp(struct announce *a, const struct place *p, uint16_t operation,
                    const uint8_t ip[4])
{
    uint8_t arp[ANNOUNCE_LEN_MAX];
    size_t len = announce_arp(operation, p->mac, ip, arp);

    return send_frame(a, p, ETH_P_ARP, broadcast_mac, arp, len);
}

/* ICMPv6 checksum over the pseudo header and @len bytes (RFC 8200 section 8.1); @len is even. */
static uint16_t checksum(const struct ip6_hdr *ip, const void *payload, size_t len)
{
    const uint8_t *addrs = (const uint8_t *)&ip->ip6_src, *bytes = payload;
    uint32_t sum = (uint32_t)len + IPPROTO_ICMPV6;

    for (unsigned i = 0; i < 32; i += 2)
        sum += load_be16(addrs + i);
    for (size_t i = 0; i < len; i += 2)
        sum += load_be16(bytes + i);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons((uint16_t)~sum);
}

size_t announce_na(bool router, const uint8_t mac[ETH_ALEN], const uint8_t addr[16],
                   uint8_t ret[ANNOUNCE_LEN_MAX])
{
    struct {
        struct ip6_hdr ip;
        struct nd_neighbor_advert na;
        struct nd_opt_hdr option;
        uint8_t mac[ETH_ALEN];
    } __attribute__((packed)) m = {0};
    size_t len = sizeof(m) - sizeof(m.ip);
    struct ip6_hdr ip = {0};

    _Static_assert(sizeof(m) <= ANNOUNCE_LEN_MAX, "room for an advertisement");
    ip.ip6_flow = htonl(6u << 28);
    ip.ip6_plen = htons((uint16_t)len);
    ip.ip6_nxt = IPPROTO_ICMPV6;
    ip.ip6_hlim = 255; /* else receivers drop it (RFC 4861 section 7.1.2) */
    memcpy(&ip.ip6_src, addr, 16);
    memcpy(&ip.ip6_dst, all_nodes, 16);
    m.na.nd_na_type = ND_NEIGHBOR_ADVERT;
    m.na.nd_na_flags_reserved = ND_NA_FLAG_OVERRIDE | (router ? ND_NA_FLAG_ROUTER : 0);
    memcpy(&m.na.nd_na_target, addr, 16);
    m.option.nd_opt_type = ND_OPT_TARGET_LINKADDR;
    m.option.nd_opt_len = 1;
    memcpy(m.mac, mac, ETH_ALEN);
    m.na.nd_na_cksum = checksum(&ip, &m.na, len);
    m.ip = ip;
    memcpy(ret, &m, sizeof(m));
    return sizeof(m);
}

static int send_advertisement(struct announce *a, const struct place *p, const uint8_t addr[16])
{
    uint8_t na[ANNOUNCE_LEN_MAX];
    size_t len = announce_na(p->router, p->mac, addr, na);

    return send_frame(a, p, ETH_P_IPV6, all_nodes_mac, na, len);
}

int announce_send(struct announce *a, const char *ifname, const struct ip_addr *addr)
{
    bool v4 = addr_is_v4(addr);
    struct place p = {0};
    int r = find_place(a, ifname, !v4, &p);

    if (r < 0)
        return r;
    if (!v4)
        return send_advertisement(a, &p, addr->b);
    r = send_arp(a, &p, ARPOP_REQUEST, addr->b + 12);
    return r < 0 ? r : send_arp(a, &p, ARPOP_REPLY, addr->b + 12);
}
