/* A configuration that is read again while the member runs (SIGHUP). */
#include "app_internal.h"
#include <string.h>

static bool has_address(const struct conf_hub *h, const struct conf_hub_address *want)
{
    for (unsigned i = 0; i < h->address_count; i++)
        if (addr_equal(&h->address[i].host, &want->host) &&
            prefix_equal(&h->address[i].prefix, &want->prefix))
            return true;
    return false;
}

static bool has_pool(const struct conf_hub *h, const struct ip_prefix *want)
{
    for (unsigned i = 0; i < h->pool_count; i++)
        if (prefix_equal(&h->pool[i], want))
            return true;
    return false;
}

/* What @gone has and @kept has not is taken away; the first error is returned. */
static int take_away(struct app *a, const struct conf_hub *gone, const struct conf_hub *kept)
{
    struct netlink *nl = a->cluster->netlink;
    int r = 0, one;

    for (unsigned i = 0; i < gone->address_count; i++)
        if (!has_address(kept, &gone->address[i])) {
            one = netlink_address_remove(nl, a->ifindex, &gone->address[i].host);
            r = r < 0 ? r : one;
        }
    for (unsigned i = 0; i < gone->pool_count; i++)
        if (!has_pool(kept, &gone->pool[i])) {
            struct netlink_route route = {.dst = gone->pool[i], .ifindex = a->ifindex};
            one = netlink_route_remove(nl, &route);
            r = r < 0 ? r : one;
        }
    return r;
}

static void change_hub(struct app *a, const struct conf_hub *now, const struct conf_hub *next)
{
    struct cluster *c = a->cluster;
    int r = take_away(a, now, next), one;

    if (now->mtu != next->mtu) { /* first: below 1280 an IPv6 address is refused */
        one = netlink_link_set_mtu(c->netlink, a->ifindex, next->mtu);
        r = r < 0 ? r : one;
    }
    c->hub = next;
    one = app_set_up_interface(a, c);
    r = r < 0 ? r : one;
    if (now->fwmark != next->fwmark) {
        one = app_node_ops.set_fwmark(a, next->fwmark);
        r = r < 0 ? r : one;
    }
    if (r < 0)
        log_error("the tunnel interface is not all as configured", "interface=%s error=%s",
                  a->ifname, strerror(-r));
}

static void add_members(struct app *a, const struct conf *now, const struct conf *next)
{
    struct vip vip[VIPS_MAX] = {0};

    for (unsigned i = 0; i < next->vip_count; i++)
        vip[i + 1] = next->vip[i];
    for (uint8_t i = 1; i < MEMBERS_MAX; i++) {
        const struct conf_member *m = &next->member[i];

        if (!m->id || now->member[i].id)
            continue;
        if (node_add_member(a->node, i, vip) < 0) {
            log_error("no memory for a new member; a restart knows it", "member=%s", m->name);
            continue;
        }
        links_add(a->cluster->links, i, m->sync_public_key, &m->sync_address);
        log_info("a member was added", "member=%s id=%u", m->name, i);
    }
}

/* As a whole or not at all: a file that is bad, or that asks for what only a start can do, changes
 * nothing. */
static void reload(struct app *a)
{
    struct cluster *c = a->cluster;
    struct conf *now = c->conf, *next = NULL;
    char error[CONF_ERROR_LEN] = "";

    if (conf_load(now->path, &next, error) < 0 || conf_reload_check(now, next, error) < 0) {
        app_log_lines(error);
        log_error("the configuration was not reloaded; the old one stays in force", "path=%s",
                  now->path);
        conf_free(next);
        return;
    }
    conf_keep_keys(now, next);
    c->conf = next;
    change_hub(a, &now->hub[0], &next->hub[0]);
    add_members(a, now, next);
    struct damping_rules damping = app_damping(next);
    node_set_damping(a->node, &damping, app_now());
    conf_free(now);
    log_info("configuration reloaded", "path=%s", next->path);
    log_set_level(next->log_level);
}

void app_cluster_reload(struct app *a)
{
    notify_reloading();
    reload(a);
    notify_ready();
}
