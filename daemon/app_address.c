/* An address for a peer: of the pools of one VIP where VIPs have pools, so that new peers are
 * spread over them; else of the networks that the tunnel interface is in. */
#include "app_internal.h"
#include "model/addrpool.h"
#include <stdlib.h>

static bool is_of(const struct vip *v, const struct peer *record)
{
    if (record->vip)
        return record->vip == v->id;
    for (unsigned n = 0; n < record->allowed_count; n++)
        for (unsigned i = 0; i < v->pool_count; i++)
            if (prefix_overlaps(&v->pool[i], &record->allowed[n]))
                return true;
    return false;
}

static unsigned peers_of(const struct app *a, const struct vip *v)
{
    const struct peer *record;
    uint64_t cursor = 0;
    unsigned count = 0;

    while ((record = store_next(a->store, &cursor)))
        count += record->state == PEER_ACTIVE && is_of(v, record);
    return count;
}

/* The VIP that the peer is to use, or that has the fewest peers of those not in @full; NULL: there
 * is none with pools. */
static const struct vip *vip_for(const struct app *a, const struct peer_change *pc, uint64_t full)
{
    const struct conf *c = a->cluster->conf;
    const struct peer *was = store_find(a->store, a->cluster->hub->id, &pc->key);
    uint16_t wanted = pc->has_vip ? pc->vip : was ? was->vip : VIP_ID_NONE;
    const struct vip *best = NULL;
    unsigned least = 0;

    for (unsigned i = 0; i < c->vip_count; i++) {
        const struct vip *v = &c->vip[i];

        if (!v->pool_count || (wanted && v->id != wanted) || full >> i & 1)
            continue;
        unsigned count = peers_of(a, v);
        if (!best || count < least) {
            best = v;
            least = count;
        }
    }
    return best;
}

static int take_from(const struct app *a, struct peer_change *pc, const struct ip_prefix *network)
{
    const struct conf_hub *hub = a->cluster->hub;
    _cleanup_(freep) struct addrpool *pool = malloc(sizeof(*pool));
    struct ip_prefix free_one;
    const struct peer *record;
    uint64_t cursor = 0;

    if (!pool)
        return -ENOMEM;
    addrpool_init(pool, network);
    for (unsigned i = 0; i < hub->address_count; i++) {
        bool v6 = hub->address[i].prefix.v6;
        struct ip_prefix own = {.addr = hub->address[i].host, .len = v6 ? 128 : 32, .v6 = v6};

        addrpool_take(pool, &own);
    }
    while ((record = store_next(a->store, &cursor)))
        for (unsigned n = 0; record->state == PEER_ACTIVE && n < record->allowed_count; n++)
            addrpool_take(pool, &record->allowed[n]);
    for (unsigned n = 0; n < pc->allowed_count; n++)
        addrpool_take(pool, &pc->allowed[n].prefix);
    if (addrpool_pick(pool, &free_one) < 0)
        return -ENOSPC;
    return peer_change_allow(pc, &free_one, false);
}

static int take_each(const struct app *a, struct peer_change *pc, const struct ip_prefix *network,
                     unsigned count)
{
    unsigned picked = 0;

    for (unsigned i = 0; i < count; i++) {
        int r = take_from(a, pc, &network[i]);

        if (r < 0 && r != -ENOSPC)
            return r;
        picked += r >= 0;
    }
    return picked ? 0 : -ENOSPC;
}

int app_take_address(const struct app *a, struct peer_change *pc, const char **ret_where)
{
    const struct conf_hub *hub = a->cluster->hub;
    struct ip_prefix network[CONF_ADDRS_MAX];
    const struct vip *v;
    uint64_t full = 0;
    int r = -ENOENT;

    *ret_where = "[Vip] Pool";
    while ((v = vip_for(a, pc, full))) {
        r = take_each(a, pc, v->pool, v->pool_count);
        if (r >= 0) { /* its file names this one */
            pc->has_vip = true;
            pc->vip = v->id;
        }
        if (r != -ENOSPC)
            return r;
        full |= 1ull << (v - a->cluster->conf->vip);
    }
    if (full)
        return r;
    *ret_where = "[Hub] Address";
    for (unsigned i = 0; i < hub->address_count; i++)
        network[i] = hub->address[i].prefix;
    return hub->address_count ? take_each(a, pc, network, hub->address_count) : -ENOENT;
}
