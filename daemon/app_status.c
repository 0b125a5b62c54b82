/* What the operator's command is told, from the node and the engine. */
#include "app_internal.h"
#include "base/bytes.h"
#include <string.h>

static void members(struct app *a, struct status *s, struct instant now)
{
    static const char *const links[] = {"down", "greeting", "loading", "live"};
    const struct conf *conf = a->cluster->conf;

    for (unsigned i = 1; i < MEMBERS_MAX; i++) {
        const struct replica *r = node_replica(a->node, (uint8_t)i);
        struct status_member *m = &s->member[s->member_count];

        if (!conf->member[i].id)
            continue;
        s->member_count++;
        m->id = (uint8_t)i;
        m->self = i == conf->self;
        snprintf(m->name, sizeof(m->name), "%s", conf->member[i].name);
        snprintf(m->link, sizeof(m->link), "%s", r ? links[replica_state(r)] : "self");
        if (!r) {
            m->drained = node_all_drained(a->node);
            continue;
        }
        uint64_t heard = atomic_load(&a->gate.member[i].heartbeat_ns);
        m->in_sync = replica_in_sync(r, now.boot_ns);
        m->lag = replica_lag(r);
        m->rtt_us = replica_rtt_ns(r) / NS_PER_US;
        m->drained = node_sibling_drained(a->node, (uint8_t)i);
        m->heartbeat_ms = heard ? (now.boot_ns - heard) / NS_PER_MS : 0;
    }
}

static void vips(struct app *a, struct status *s, struct instant now)
{
    const struct conf *conf = a->cluster->conf;

    for (uint16_t slot = 1; slot <= conf->vip_count; slot++) {
        const struct failover *f = node_failover(a->node, slot);
        struct status_vip *v = &s->vip[s->vip_count++];

        v->hub = conf->vip[slot - 1].hub;
        v->id = conf->vip[slot - 1].id;
        snprintf(v->name, sizeof(v->name), "%s", conf->vip[slot - 1].name);
        snprintf(v->state, sizeof(v->state), "%s", vip_state_name(f->state));
        v->owned = failover_owned(f);
        v->drained = node_drained(a->node, slot);
        snprintf(v->withheld, sizeof(v->withheld), "%s",
                 withheld_name(node_withheld(a->node, slot, now, &v->withheld_ms)));
        v->owner = node_vip_claimant(a->node, slot);
        v->epoch = f->epoch;
        v->since_ms = f->since_ns ? (now.boot_ns - f->since_ns) / NS_PER_MS : 0;
    }
}

static void hub(struct app *a, struct status *s, struct instant now)
{
    struct status_hub *h = &s->hub[s->hub_count++];
    char key[KEY_TEXT_LEN + 1] = "";
    unsigned owned, replicas;

    h->id = a->cluster->hub->id;
    snprintf(h->ifname, sizeof(h->ifname), "%s", a->ifname);
    if (node_identity(a->node))
        key_to_base64(node_identity(a->node)->public_key.b, key);
    snprintf(h->public_key, sizeof(h->public_key), "%s", key);
    h->port = a->port;
    h->peers = store_count(a->store, h->id, PEER_ACTIVE);
    node_key_counts(a->node, &owned, &replicas);
    h->sessions_owned = owned;
    h->sessions_replica = replicas;
    uint64_t failover = node_counters(a->node)->last_failover_boot_ns;
    h->has_last_failover = failover;
    h->last_failover_ms = failover ? (now.boot_ns - failover) / NS_PER_MS : 0;
}

static void add(struct app *a, struct status *s, bool counter, const char *name, const char *label,
                const char *value, const char *help, double number)
{
    char labels[CONTROL_TEXT_MAX + 1];

    if (label)
        snprintf(labels, sizeof(labels), "hub=\"%u\",%s=\"%s\"", a->cluster->hub->id, label, value);
    else
        snprintf(labels, sizeof(labels), "hub=\"%u\"", a->cluster->hub->id);
    status_add_metric(s, counter, name, labels, help, number);
}

static void node_metrics(struct app *a, struct status *s)
{
    const struct node_counters *n = node_counters(a->node);
    static const char adopted[] = "Sessions taken over, by how";

    add(a, s, true, "guardmount_adopted", "mode", "hot", adopted, (double)n->adopted_hot);
    add(a, s, true, "guardmount_adopted", "mode", "warm", adopted, (double)n->adopted_warm);
    add(a, s, true, "guardmount_adopted", "mode", "cold", adopted, (double)n->adopted_cold);
    add(a, s, true, "guardmount_rescues", NULL, NULL,
        "Handshakes begun because a packet was below the adopted ceiling", (double)n->rescues);
    add(a, s, true, "guardmount_handshakes", "result", "responder", "Sessions made",
        (double)n->handshakes_made[0]);
    add(a, s, true, "guardmount_handshakes", "result", "initiator", "Sessions made",
        (double)n->handshakes_made[1]);
    add(a, s, true, "guardmount_initiations_sent", NULL, NULL, "Handshakes begun by the hub",
        (double)n->initiations_sent);
    add(a, s, true, "guardmount_unknown_rescues", NULL, NULL,
        "Handshakes begun because a peer used a session that is not known here",
        (double)n->unknown_rescues);
    add(a, s, true, "guardmount_session_asks", NULL, NULL,
        "Sessions that siblings were asked for, because the peer uses another VIP now",
        (double)n->asked);
    add(a, s, true, "guardmount_session_asks_refused", NULL, NULL,
        "Of these, because of a copy of a packet that was accepted before",
        (double)n->asked_refused);
    add(a, s, true, "guardmount_strays", NULL, NULL,
        "Packets from the LAN passed on to the member that has just got the VIP",
        (double)n->strays);
    add(a, s, true, "guardmount_failovers", NULL, NULL, "Times that a VIP became ours",
        (double)n->failovers);
    add(a, s, true, "guardmount_sessions_unreplicated", NULL, NULL,
        "Sessions used before a sibling had acknowledged them", (double)n->unreplicated);
    add(a, s, true, "guardmount_sessions_yielded", NULL, NULL,
        "Sessions that a sibling took over from us", (double)n->yielded);
    add(a, s, true, "guardmount_ceiling_bypasses", NULL, NULL,
        "Packets accepted beyond the acknowledged ceiling", (double)n->dirty);
    add(a, s, true, "guardmount_stale_vips", NULL, NULL, "Addresses without keepalived removed",
        (double)n->stale_vips);
    add(a, s, true, "guardmount_gaps", NULL, NULL, "Times that the process stood still",
        (double)n->gaps);
    add(a, s, true, "guardmount_alarms", NULL, NULL, "Conditions an operator should look at",
        (double)n->alarms);
    for (unsigned k = 0; k < SYNC_KINDS; k++)
        add(a, s, true, "guardmount_sync_messages", "kind", sync_kind_name((enum sync_kind)k),
            "Messages of siblings", (double)n->sync_messages[k]);
}

static void vip_metrics(struct app *a, struct status *s)
{
    for (unsigned i = 0; i < s->vip_count; i++)
        add(a, s, false, "guardmount_vip_owned", "vip", s->vip[i].name, "1: this member owns it",
            s->vip[i].owned);
    for (unsigned i = 0; i < s->vip_count; i++)
        add(a, s, true, "guardmount_vip_flaps", "vip", s->vip[i].name,
            "Times that it, or this member's health, was lost without anybody wanting it",
            (double)node_flaps(a->node, (uint16_t)(i + 1)));
}

static void sync_metrics(struct app *a, struct status *s)
{
    static const char bytes[] = "Bytes of the sync channel", refused[] = "Sync connections refused";
    const struct links_counters *l = links_counters(a->cluster->links);
    uint64_t lines, junk;

    add(a, s, true, "guardmount_sync_bytes", "dir", "in", bytes, (double)l->bytes_in);
    add(a, s, true, "guardmount_sync_bytes", "dir", "out", bytes, (double)l->bytes_out);
    add(a, s, true, "guardmount_sync_refused", "reason", "address", refused,
        (double)l->refused_address);
    add(a, s, true, "guardmount_sync_refused", "reason", "rate", refused, (double)l->refused_rate);
    add(a, s, true, "guardmount_sync_refused", "reason", "unproven", refused,
        (double)l->refused_unproven);
    add(a, s, true, "guardmount_sync_rekeys", NULL, NULL, "New handshakes inside sync connections",
        (double)l->rekeys);
    fifo_counters(a->cluster->fifo, &lines, &junk);
    add(a, s, true, "guardmount_keepalived_lines", "kind", "understood", "Lines of keepalived",
        (double)lines);
    add(a, s, true, "guardmount_keepalived_lines", "kind", "junk", "Lines of keepalived",
        (double)junk);
}

static void fence_metrics(struct app *a, struct status *s)
{
    const struct fence_status *f = fence_status(a->cluster->fence);

    add(a, s, false, "guardmount_fence_in_force", NULL, NULL,
        "1: a table of nftables keeps isolated groups apart", f->in_force);
    add(a, s, false, "guardmount_fence_behind", NULL, NULL,
        "1: the kernel refused the last change of groups", f->behind);
    add(a, s, true, "guardmount_fence_changes", NULL, NULL, "Changes that came into force",
        (double)f->changes);
    add(a, s, true, "guardmount_connections_ended", NULL, NULL,
        "Tracked connections of peers that may not have them any more", (double)f->ended);
}

static void engine_metrics(struct app *a, struct status *s)
{
    static const struct {
        enum rx_verdict verdict;
        const char *reason;
    } reasons[] = {
        {RX_DROP_AUTH, "auth"},           {RX_DROP_EXPIRED, "expired"},
        {RX_DROP_REPLAY, "replay"},       {RX_DROP_BELOW_FLOOR, "below_ceiling"},
        {RX_DROP_NOT_OWNER, "not_owner"}, {RX_DROP_UNFIT, "unfit"},
        {RX_DROP_STALE, "stale"},         {RX_DROP_SOURCE, "src_not_allowed"},
        {RX_DROP_MALFORMED, "malformed"}, {RX_DROP_UNKNOWN, "unknown_index"},
    };
    static const char dropped[] = "Packets dropped, by reason";
    struct engine_counters e;

    engine_counters(a->engine, &e);
    for (unsigned i = 0; i < ARRAY_LEN(reasons); i++)
        add(a, s, true, "guardmount_packets_dropped", "reason", reasons[i].reason, dropped,
            (double)e.rx[reasons[i].verdict]);
    add(a, s, true, "guardmount_packets_dropped", "reason", "no_peer", dropped,
        (double)e.tx_no_peer);
    add(a, s, true, "guardmount_packets_dropped", "reason", "tx_not_owner", dropped,
        (double)e.tx[TX_NOT_OWNER]);
    add(a, s, true, "guardmount_packets_dropped", "reason", "mac1", dropped, (double)e.mac1_bad);
    add(a, s, true, "guardmount_packets_dropped", "reason", "queue_full", dropped,
        (double)e.handshake_queue_full);
    add(a, s, true, "guardmount_packets_received", NULL, NULL, "Data packets accepted",
        (double)e.rx[RX_ACCEPT]);
    add(a, s, true, "guardmount_packets_sent", NULL, NULL, "Data packets sent",
        (double)e.tx[TX_OK]);
    add(a, s, true, "guardmount_bursts_received", NULL, NULL,
        "Receives that held several datagrams (UDP GRO)", (double)e.rx_bursts);
    add(a, s, true, "guardmount_bursts_sent", NULL, NULL,
        "Sends of several datagrams (UDP segmentation)", (double)e.tx_bursts);
    add(a, s, true, "guardmount_burst_fallbacks", NULL, NULL,
        "Bursts that the path refused and that left as single datagrams", (double)e.tx_fallbacks);
    add(a, s, true, "guardmount_tun_joined", NULL, NULL,
        "Packets written to the interface within a super-packet", (double)e.tun_joined);
    add(a, s, true, "guardmount_tun_cut", NULL, NULL, "Super-packets read from the interface",
        (double)e.tun_cut);
    add(a, s, true, "guardmount_packets_held", NULL, NULL,
        "Packets that waited for a sibling's acknowledgement", (double)e.rx[RX_HOLD]);
}

/* Text is dear: main must not stand still for as long as series of 20000 peers would take. */
static unsigned peer_rows(const struct control_request *r)
{
    unsigned most = r->kind == CONTROL_METRICS ? CONF_METRICS_PEERS_MAX : CONTROL_PEERS_MAX;

    return !r->peers ? 0 : r->peers_max ? MIN(r->peers_max, most) : most;
}

static void on_status(void *ctx, const struct control_request *r, struct status *s)
{
    struct app *a = ctx;
    const struct conf *conf = a->cluster->conf;
    struct instant now = app_now();

    s->id = conf->self;
    snprintf(s->name, sizeof(s->name), "%s", conf->member[conf->self].name);
    snprintf(s->version, sizeof(s->version), "%s", GM_VERSION);
    snprintf(s->cluster, sizeof(s->cluster), "%s", conf->cluster);
    s->fit = node_fit(a->node);
    s->in_sync = node_in_sync(a->node, now);
    if (node_all_drained(a->node))
        snprintf(s->note, sizeof(s->note), "%s",
                 "drained: it takes a VIP only when nobody else can (guardmount undrain)");
    const struct fence_status *fence = fence_status(a->cluster->fence);
    if (fence->behind)
        snprintf(s->note, sizeof(s->note), "%s; the log says why",
                 fence->in_force ? "the last change of groups is not in force"
                                 : "groups cannot be kept apart here, so it takes no VIP");
    s->uptime_ms = (now.boot_ns - a->cluster->started_ns) / NS_PER_MS;
    members(a, s, now);
    vips(a, s, now);
    hub(a, s, now);
    app_fill_peers(a, s, peer_rows(r), now);
    if (r->kind != CONTROL_METRICS)
        return;
    status_add_metric(s, false, "guardmount_build_info", "version=\"" GM_VERSION "\"", "Build", 1);
    for (unsigned i = 0; i < s->member_count; i++)
        if (!s->member[i].self)
            add(a, s, false, "guardmount_sync_peer_up", "member", s->member[i].name,
                "1: snapshots both ways have ended", strcmp(s->member[i].link, "live") == 0);
    vip_metrics(a, s);
    add(a, s, false, "guardmount_sync_sessions", "role", "owned", "Session keys in memory",
        s->hub[0].sessions_owned);
    add(a, s, false, "guardmount_sync_sessions", "role", "replica", "Session keys in memory",
        s->hub[0].sessions_replica);
    node_metrics(a, s);
    sync_metrics(a, s);
    fence_metrics(a, s);
    engine_metrics(a, s);
}

/* One answer of /metrics. */
static void on_scrape(void *ctx, struct status *s)
{
    struct app *a = ctx;
    unsigned peers = a->cluster->conf->metrics_peers;

    on_status(
        ctx,
        &(struct control_request){.kind = CONTROL_METRICS, .peers = peers > 0, .peers_max = peers},
        s);
}

static int start_http(struct app *a)
{
    const struct conf *conf = a->cluster->conf;
    struct http_ops ops = {a, on_scrape};
    char text[ENDPOINT_TEXT_LEN];

    if (!conf->metrics)
        return 0;
    int r = http_new(&a->loop, &conf->metrics_listen, &ops, &a->cluster->http);
    if (r < 0)
        log_error("metrics cannot be served", "listen=%s error=%s",
                  endpoint_format(&conf->metrics_listen, text), strerror(-r));
    return r;
}

static int on_move(void *ctx, const struct control_move *m, char ret_message[CONTROL_MESSAGE_LEN])
{
    struct app *a = ctx;
    struct sync_move move = {.kind = m->kind,
                             .vip = m->vip,
                             .member = m->member ? m->member : a->cluster->conf->self,
                             .force = m->force};
    char reason[MOVE_REASON_LEN] = "";
    int r = node_move(a->node, &move, reason, app_now());

    snprintf(ret_message, CONTROL_MESSAGE_LEN, "%s", reason);
    if (r >= 0) {
        static const char *const did[MOVE_KINDS] = {[MOVE_DRAIN] = "vip.drain",
                                                    [MOVE_UNDRAIN] = "vip.undrain",
                                                    [MOVE_PROMOTE] = "vip.promote"};
        char details[CHANGE_DETAILS_MAX + 1];

        snprintf(details, sizeof(details), "%s, member %s%s",
                 m->vip ? app_vip_name(a, m->vip) : "all",
                 a->cluster->conf->member[move.member].name, m->force ? ", forced" : "");
        app_note(a, m->actor, did[m->kind], details);
    }
    return r;
}

int app_status_start(struct app *a)
{
    struct server_ops ops = {.ctx = a,
                             .status = on_status,
                             .events = app_fill_events,
                             .last_event = app_last_event,
                             .why = app_fill_why,
                             .move = on_move,
                             .drill = app_drill_run,
                             .command = app_command};
    char path[CONF_PATH_MAX + 16];

    a->cluster->started_ns = clock_boot_ns();
    list_init(&a->cluster->peer_calls);
    list_init(&a->cluster->peer_waiting);
    snprintf(path, sizeof(path), "%s/control.sock", a->cluster->conf->run_dir);
    int r = server_new(&a->loop, path, &ops, &a->cluster->server);
    if (r < 0)
        log_error("the control socket cannot be made", "path=%s error=%s", path, strerror(-r));
    return r < 0 ? r : start_http(a);
}

void app_status_stop(struct app *a)
{
    server_free(a->cluster->server);
    http_free(a->cluster->http);
    app_events_free(a);
}
