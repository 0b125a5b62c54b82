/* Routes of the LAN's packets for peers: a VIP's pools lead to the tunnel at its owner, and to the
 * owner's LAN address at its siblings; a peer in the pool of one VIP that talks to another one has
 * routes of its own. A takeover changes as many routes as the VIP has pools and such peers.
 *
 * No packet goes in circles (ADR 0010): a member routes to a sibling only if that one's claim is
 * higher, by (epoch, member), than every claim of its own. What is known of a claim never exceeds
 * the claimant's last one, so along any chain of members claims rise, and a packet passes the same
 * member again only if a takeover happened meanwhile. */
#include "base/plant.h"
#include "node/internal.h"

#define AGAIN_NS (1 * NS_PER_S) /* after a route that the kernel did not take */

struct excepted {
    struct list all;
    struct ip_prefix dst;
    uint16_t slot;
    uint64_t peer_id;
};

static bool has_pools(const struct node *n)
{
    for (uint16_t slot = 1; slot <= n->conf.vip_count; slot++)
        if (n->conf.vip[slot].pool_count)
            return true;
    return false;
}

uint8_t node_route(const struct node *n, uint16_t slot)
{
    const struct vip_run *v = &n->vip[slot];
    uint8_t to = v->claimant, self = n->conf.self;

    if (gate_owned(n->gate, slot) || !to || to == self || !v->claimant_epoch)
        return self;
    if (PLANTED("routes-to-lower-claims"))
        return to;
    return claim_outranks(v->claimant_epoch, to, v->failover.epoch, self) ? to : self;
}

static void put(struct node *n, uint16_t slot, const struct ip_prefix *dst, uint8_t to)
{
    if (n->ops.route(n->ops.ctx, slot, dst, to) < 0 && !n->routes_again_ns)
        n->routes_again_ns = n->now.boot_ns + AGAIN_NS;
}

/* Who gets a peer's packets from us hears first why. It takes that, or knows better and says so
 * (siblings.c); two that differ would send them back and forth. */
static void explain(struct node *n, struct node_peer *p, uint8_t to)
{
    struct sync_msg m;

    if (p && to && to != n->conf.self && !PLANTED("guests-unexplained") &&
        peer_place(n, p, n->now, &m))
        siblings_send(n, &n->sibling[to], &m, NULL, n->now);
}

static void put_all(struct node *n, uint16_t slot)
{
    struct vip_run *v = &n->vip[slot];

    for (unsigned i = 0; i < v->conf.pool_count; i++)
        put(n, slot, &v->conf.pool[i], v->route_to);
    list_for_each (it, &n->excepted) {
        struct excepted *e = list_entry(it, struct excepted, all);

        if (e->slot != slot)
            continue;
        explain(n, peer_by_id(n, e->peer_id), v->route_to);
        put(n, slot, &e->dst, v->route_to);
    }
}

void routes_sibling_down(struct node *n)
{
    list_for_each (it, &n->excepted) {
        struct excepted *e = list_entry(it, struct excepted, all);

        explain(n, peer_by_id(n, e->peer_id), n->vip[e->slot].route_to);
    }
}

void routes_look(struct node *n, uint16_t slot)
{
    uint8_t to = node_route(n, slot);

    if (n->vip[slot].route_to == to || !has_pools(n))
        return;
    n->vip[slot].route_to = to;
    put_all(n, slot);
}

void node_routes_again(struct node *n, struct instant now)
{
    siblings_now(n, now);
    n->routes_again_ns = 0;
    for (uint16_t slot = 1; slot <= n->conf.vip_count; slot++)
        if (n->vip[slot].route_to)
            put_all(n, slot);
}

uint64_t routes_tick(struct node *n, struct instant now)
{
    if (n->routes_again_ns && now.boot_ns >= n->routes_again_ns)
        node_routes_again(n, now);
    return n->routes_again_ns ? n->routes_again_ns : NEVER;
}

/* ---- peers that use another VIP than that of their pool ---- */

/* The VIP whose pool has @dst; 0: none, or it is a whole pool. */
static uint16_t slot_of(const struct node *n, const struct ip_prefix *dst)
{
    for (uint16_t slot = 1; slot <= n->conf.vip_count; slot++)
        for (unsigned i = 0; i < n->conf.vip[slot].pool_count; i++) {
            const struct ip_prefix *pool = &n->conf.vip[slot].pool[i];

            if (pool->v6 == dst->v6 && dst->len > pool->len && prefix_contains(pool, &dst->addr))
                return slot;
        }
    return 0;
}

uint16_t routes_home(const struct node *n, const struct peer *record)
{
    for (unsigned i = 0; i < record->allowed_count; i++) {
        uint16_t slot = slot_of(n, &record->allowed[i]);

        if (slot)
            return slot;
    }
    return 0;
}

static bool is_wanted(const struct node *n, const struct excepted *e, const struct peer *record,
                      uint16_t slot)
{
    return record && e->slot == slot && slot_of(n, &e->dst) != slot && peer_allows(record, &e->dst);
}

static void except(struct node *n, const struct node_peer *p, const struct ip_prefix *dst,
                   uint16_t slot)
{
    list_for_each (it, &n->excepted) {
        struct excepted *e = list_entry(it, struct excepted, all);

        if (e->peer_id == p->wg.id && prefix_equal(&e->dst, dst))
            return;
    }
    struct excepted *e = n->excepted_count < NODE_EXCEPTED_MAX ? calloc(1, sizeof(*e)) : NULL;
    if (!e) {
        if (!n->excepted_full)
            say(n, NODE_ALARM, "too many peers use another VIP than that of their pool",
                "most=%u effect=%s", NODE_EXCEPTED_MAX,
                "the LAN reaches the others only by that VIP's owner");
        n->excepted_full = true;
        return;
    }
    *e = (struct excepted){.dst = *dst, .slot = slot, .peer_id = p->wg.id};
    list_append(&n->excepted, &e->all);
    n->excepted_count++;
    put(n, slot, dst, n->vip[slot].route_to);
}

/* @record NULL: the peer goes. */
static void look_at_peer(struct node *n, struct node_peer *p, const struct peer *record)
{
    uint16_t slot = atomic_load(&p->wg.vip);

    if (p->routed_slot != slot)
        explain(n, p, n->vip[slot].route_to);
    p->routed_slot = slot;
    list_for_each (it, &n->excepted) {
        struct excepted *e = list_entry(it, struct excepted, all);

        if (e->peer_id != p->wg.id || is_wanted(n, e, record, slot))
            continue;
        /* Another peer may have been given the prefix meanwhile: look_at_peer() of it comes after,
         * since a prefix is taken from one before it is given to the next (P5). */
        n->ops.route(n->ops.ctx, e->slot, &e->dst, 0);
        list_remove(&e->all);
        n->excepted_count--;
        n->excepted_full = false;
        free(e);
    }
    for (unsigned i = 0; record && i < record->allowed_count; i++) {
        uint16_t home = slot_of(n, &record->allowed[i]);

        if (home && home != slot)
            except(n, p, &record->allowed[i], slot);
    }
}

void routes_of_peer(struct node *n, struct node_peer *p, const struct peer *record)
{
    if (clustered(n) && has_pools(n))
        look_at_peer(n, p, record);
}

void routes_peer_moved(struct node *n, struct node_peer *p)
{
    if (p->routed_slot != atomic_load(&p->wg.vip))
        routes_of_peer(n, p, store_find(n->store, n->conf.hub, &p->wg.key));
}

void routes_free(struct node *n)
{
    list_for_each (it, &n->excepted)
        free(list_entry(it, struct excepted, all));
    list_init(&n->excepted);
}
