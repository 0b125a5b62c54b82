/* The UDP sockets of VIP slots: opening them as whole reuseport groups, and finding the right one.
 */
#include "engine/internal.h"

#define PORT_TRIES 16

static void group_free(struct socket_group *g)
{
    if (!g)
        return;
    for (unsigned a = 0; a < g->addr_count; a++)
        for (unsigned i = 0; i < PACKET_THREADS_MAX; i++)
            if (g->addrs[a].fds[i] >= 0)
                close(g->addrs[a].fds[i]);
    free(g);
}

static struct socket_group *group_new(uint16_t slot, const struct endpoint *addrs, unsigned count)
{
    struct socket_group *g = calloc(1, sizeof(*g));

    if (!g)
        return NULL;
    g->slot = slot;
    g->addr_count = count ? count : 2;
    for (unsigned a = 0; a < g->addr_count; a++) {
        struct socket_addr *s = &g->addrs[a];

        s->any = count == 0;
        if (s->any)
            s->v6 = a == 1;
        else {
            s->at = addrs[a];
            s->v6 = !addr_is_v4(&addrs[a].addr);
        }
        for (unsigned i = 0; i < PACKET_THREADS_MAX; i++)
            s->fds[i] = -1;
    }
    return g;
}

static unsigned open_flags(const struct socket_addr *s)
{
    unsigned family = s->v6 ? UDP_V6 : 0;

    return family | (s->any ? UDP_PKTINFO : UDP_FREEBIND);
}

/* Sockets without SO_REUSEPORT refuse a port that anybody holds; with it, another process of ours
 * could join the group unseen. Settles the port, and drops IPv6 where the kernel has none. */
static int group_probe(struct socket_group *g, uint16_t port)
{
    int fds[SOCKET_ADDRS_MAX], r = 0;
    unsigned opened = 0;

    for (unsigned a = 0; a < g->addr_count && r == 0; a++) {
        struct socket_addr *s = &g->addrs[a];

        s->at.port = port;
        r = udp_open(&s->at, open_flags(s), 0, &fds[opened]);
        if (r == -EAFNOSUPPORT && s->any && s->v6) {
            g->addr_count = a;
            r = 0;
            break;
        }
        if (r == 0)
            r = udp_bound_port(fds[opened++], &port);
    }
    for (unsigned i = 0; i < opened; i++)
        close(fds[i]);
    if (r < 0)
        return r;
    g->port = port;
    for (unsigned a = 0; a < g->addr_count; a++)
        g->addrs[a].at.port = port;
    return 0;
}

static int group_open(struct engine *e, struct socket_group *g, uint16_t port)
{
    unsigned join = e->config.offloads & OFFLOAD_UDP_GRO ? UDP_JOIN : 0;
    int r;
    unsigned tries = port ? 1 : PORT_TRIES; /* a random IPv4 port may be taken in IPv6 */

    do {
        r = group_probe(g, port);
    } while (r == -EADDRINUSE && --tries);
    for (unsigned a = 0; a < g->addr_count && r == 0; a++) {
        struct socket_addr *s = &g->addrs[a];

        /* All of a group are bound first: the steering program counts them in this order. */
        for (unsigned i = 0; i < e->worker_count && r == 0; i++)
            r = udp_open(&s->at, open_flags(s) | UDP_REUSEPORT | join, e->mark, &s->fds[i]);
        if (r == 0)
            r = udp_steer(s->fds[0], MESSAGE_DATA, e->config.workers);
    }
    return r;
}

static void group_unserve(struct engine *e, struct socket_group *g)
{
    for (unsigned i = 0; i < e->worker_count; i++)
        worker_run(&e->workers[i], worker_remove_sockets, g);
    rcu_wait(); /* nobody sends from them any more */
    group_free(g);
}

int engine_open_sockets(struct engine *e, uint16_t vip_slot, const struct endpoint *addrs,
                        unsigned count, uint16_t *port)
{
    struct socket_group *g;

    if (vip_slot >= VIPS_MAX || count > SOCKET_ADDRS_MAX)
        return -EINVAL;
    if (atomic_load(&e->groups[vip_slot]))
        return -EEXIST;
    g = group_new(vip_slot, addrs, count);
    if (!g)
        return -ENOMEM;
    int r = group_open(e, g, *port);
    if (r < 0) {
        group_free(g);
        return r;
    }
    for (unsigned i = 0; i < e->worker_count && r == 0; i++)
        r = worker_run(&e->workers[i], worker_add_sockets, g);
    if (r < 0) {
        group_unserve(e, g);
        return r;
    }
    *port = g->port;
    atomic_store_explicit(&e->groups[vip_slot], g, memory_order_release);
    return 0;
}

void engine_close_sockets(struct engine *e, uint16_t vip_slot)
{
    struct socket_group *g = NULL;

    if (vip_slot < VIPS_MAX)
        g = atomic_exchange(&e->groups[vip_slot], NULL);
    if (g)
        group_unserve(e, g);
}

void sockets_close_all(struct engine *e)
{
    for (uint16_t slot = 0; slot < VIPS_MAX; slot++)
        engine_close_sockets(e, slot);
}

int engine_set_fwmark(struct engine *e, uint32_t mark)
{
    int r = 0;

    for (unsigned slot = 0; slot < VIPS_MAX; slot++) {
        struct socket_group *g = atomic_load(&e->groups[slot]);

        for (unsigned a = 0; g && a < g->addr_count; a++)
            for (unsigned i = 0; i < e->worker_count && r == 0; i++)
                r = udp_set_mark(g->addrs[a].fds[i], mark);
    }
    if (r == 0)
        e->mark = mark;
    return r;
}

static bool is_link_local(const struct ip_addr *a)
{
    return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

struct socket_addr *sockets_find(const struct engine *e, uint16_t slot, const struct endpoint *to,
                                 const struct endpoint *local)
{
    struct socket_group *g =
        slot < VIPS_MAX ? atomic_load_explicit(&e->groups[slot], memory_order_acquire) : NULL;
    struct socket_addr *found = NULL;
    bool v6 = !addr_is_v4(&to->addr);

    for (unsigned a = 0; g && a < g->addr_count; a++) {
        struct socket_addr *s = &g->addrs[a];

        if (s->v6 != v6)
            continue;
        if (s->any || (local && addr_equal(&s->at.addr, &local->addr)))
            return s;
        if (!found && is_link_local(&s->at.addr) == is_link_local(&to->addr) &&
            s->at.addr.scope == (is_link_local(&to->addr) ? to->addr.scope : 0))
            found = s;
    }
    return found;
}

int engine_send(struct engine *e, uint16_t vip_slot, const struct endpoint *to,
                const struct endpoint *local, uint32_t local_ifindex, const void *buf, size_t len)
{
    int r = -ENETUNREACH;

    /* The last gate before the wire, for all that is no data (O1, R12). */
    if (!gate_owned(e->gate, vip_slot) || clock_boot_ns() < atomic_load(&e->gate->resume_ns))
        return -EPERM;
    rcu_enter();
    const struct socket_addr *from = sockets_find(e, vip_slot, to, local);
    if (from)
        r = udp_send_one(from->fds[0], to, from->any ? local : NULL, local_ifindex, buf, len);
    rcu_leave();
    if (r < 0)
        atomic_fetch_add_explicit(&e->send_errors, 1, memory_order_relaxed);
    return r;
}
