/* What neighbours are told (O7), and asked: where the VIPs are now, and whether they are there
 * again. */
#include "app_internal.h"
#include <string.h>

static void announce_vip(struct app *a, uint16_t slot)
{
    struct cluster *c = a->cluster;
    const struct vip *v = &c->conf->vip[slot - 1];

    if (!failover_owned(node_failover(a->node, slot)))
        return;
    for (unsigned i = 0; i < v->outer_count; i++)
        announce_send(c->announce, v->outer[i].ifname, &v->outer[i].addr);
    for (unsigned i = 0; i < v->inner_count; i++)
        announce_send(c->announce, v->inner[i].ifname, &v->inner[i].addr);
}

static void on_announcing(uv_timer_t *t)
{
    struct app *a = t->data;
    struct cluster *c = a->cluster;
    bool more = false;

    for (uint16_t slot = 1; slot <= c->conf->vip_count; slot++) {
        if (!c->announce_left[slot])
            continue;
        announce_vip(a, slot);
        more |= --c->announce_left[slot] > 0;
    }
    if (!more)
        uv_timer_stop(t);
}

void app_announce(void *ctx, uint16_t slot)
{
    struct cluster *c = ((struct app *)ctx)->cluster;

    if (!c->announce)
        return;
    c->announce_left[slot] = ANNOUNCE_REPEATS;
    uv_timer_start(&c->announcing, on_announcing, 0, ANNOUNCE_EVERY_MS);
}

void app_ask_again(void *ctx)
{
    struct cluster *c = ((struct app *)ctx)->cluster;
    int r =
        netlink_neighbours_ask_anew(c->netlink); /* before siblings are dialled: they are some */

    if (r < 0)
        log_warn("neighbours are not asked anew; the kernel asks once a second", "error=%s",
                 strerror(-r));
    links_dial_now(c->links);
}
