#include "model/addrpool.h"
#include "base/bytes.h"
#include "base/err.h"

static unsigned width(const struct ip_prefix *p)
{
    return p->v6 ? 128 : 32;
}

bool prefix_overlaps(const struct ip_prefix *a, const struct ip_prefix *b)
{
    if (a->v6 != b->v6)
        return false;
    return a->len <= b->len ? prefix_contains(a, &b->addr) : prefix_contains(b, &a->addr);
}

void addrpool_init(struct addrpool *p, const struct ip_prefix *network)
{
    unsigned bits = width(network) - network->len;

    *p = (struct addrpool){.network = *network, .hosts = bits < 16 ? 1u << bits : ADDRPOOL_HOSTS};
    p->taken[0] |= 1; /* the network itself, and IPv6's router anycast */
    if (!network->v6 && bits < 16)
        p->taken[(p->hosts - 1) / 8] |= (uint8_t)(1u << (p->hosts - 1) % 8);
}

/* Place of an address that the network contains; ADDRPOOL_HOSTS: beyond what is used of it. */
static uint32_t host_of(const struct addrpool *p, const struct ip_addr *a)
{
    uint64_t difference = load_be64(a->b + 8) - load_be64(p->network.addr.b + 8);

    if (memcmp(a->b, p->network.addr.b, 8) != 0 || difference >= p->hosts)
        return ADDRPOOL_HOSTS;
    return (uint32_t)difference;
}

void addrpool_take(struct addrpool *p, const struct ip_prefix *prefix)
{
    unsigned bits = width(prefix) - prefix->len;
    uint32_t first, count;

    if (!prefix_overlaps(&p->network, prefix))
        return;
    if (prefix->len <= p->network.len) { /* a default route takes no address */
        if (prefix->len == p->network.len)
            memset(p->taken, 0xff, sizeof(p->taken));
        return;
    }
    first = host_of(p, &prefix->addr);
    count = bits < 16 ? 1u << bits : ADDRPOOL_HOSTS;
    for (uint32_t i = first; i < p->hosts && i - first < count; i++)
        p->taken[i / 8] |= (uint8_t)(1u << i % 8);
}

int addrpool_pick(const struct addrpool *p, struct ip_prefix *ret)
{
    for (uint32_t i = 0; i < p->hosts; i++) {
        if (p->taken[i / 8] >> i % 8 & 1)
            continue;
        *ret = p->network;
        store_be64(ret->addr.b + 8, load_be64(p->network.addr.b + 8) + i);
        ret->len = (uint8_t)width(&p->network);
        return 0;
    }
    return -ENOSPC;
}
