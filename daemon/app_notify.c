/* What the service manager is told: that we are ready, what we do, that every loop lives. */
#include "app_internal.h"
#include <string.h>

#define LOOK_MS 1000

/* "MASTER, 1 of 1 VIP here, 212 peers, 2 of 2 sync links live" */
static void status_line(struct app *a, char ret[NOTIFY_STATUS_LEN + 1])
{
    const struct conf *conf = a->cluster->conf;
    unsigned owned = 0, links = 0, live = 0;
    const char *state = "FAULT";

    for (uint16_t slot = 1; slot <= conf->vip_count; slot++)
        owned += failover_owned(node_failover(a->node, slot));
    for (unsigned i = 1; i < MEMBERS_MAX; i++) {
        const struct replica *r = conf->member[i].id ? node_replica(a->node, (uint8_t)i) : NULL;

        links += r != NULL;
        live += r && replica_state(r) == REPLICA_LIVE;
    }
    if (node_fit(a->node))
        state = owned ? "MASTER" : "BACKUP";
    snprintf(ret, NOTIFY_STATUS_LEN + 1,
             "%s, %u of %u VIP%s here, %u peers, %u of %u sync links live", state, owned,
             conf->vip_count, conf->vip_count == 1 ? "" : "s",
             store_count(a->store, a->cluster->hub->id, PEER_ACTIVE), live, links);
}

static void tell_status(struct app *a)
{
    char line[NOTIFY_STATUS_LEN + 1];

    status_line(a, line);
    if (strcmp(line, a->cluster->told) == 0)
        return;
    memcpy(a->cluster->told, line, sizeof(line));
    notify_status(line);
}

static void on_notifying(uv_timer_t *t)
{
    struct app *a = t->data;
    struct cluster *c = a->cluster;
    uint64_t now = clock_boot_ns(), patience = notify_watchdog_ns() / 2;

    /* Main beats by being here; one worker, or the door, that hangs is enough to be ended for. */
    if (patience && sentinel_all_beat(c->sentinel, 1 + a->workers + 1, now - MIN(now, patience)))
        notify_alive();
    tell_status(a);
}

void app_notify_start(struct app *a)
{
    uint64_t look_ms = LOOK_MS, watchdog_ns = notify_watchdog_ns();

    notify_ready();
    if (!a->cluster)
        return;
    if (watchdog_ns)
        look_ms = MIN(look_ms, MAX(watchdog_ns / 4 / NS_PER_MS, 1));
    uv_timer_init(&a->loop, &a->cluster->notifying);
    a->cluster->notifying.data = a;
    uv_timer_start(&a->cluster->notifying, on_notifying, 0, look_ms);
}
