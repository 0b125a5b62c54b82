/* status, metrics. */
#include "base/err.h"
#include "cli/cli.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define JSON_SCHEMA 1

static json_t *members_json(const struct status *s)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < s->member_count; i++) {
        const struct status_member *m = &s->member[i];
        json_array_append_new(list, json_pack("{s:i,s:s,s:b,s:s,s:b,s:I,s:I,s:I}", "id", m->id,
                                              "name", m->name, "self", m->self, "link", m->link,
                                              "in_sync", m->in_sync, "lag", (json_int_t)m->lag,
                                              "rtt_us", (json_int_t)m->rtt_us, "heartbeat_ms",
                                              (json_int_t)m->heartbeat_ms));
    }
    return list;
}

static json_t *status_json(const struct status *s)
{
    json_t *vips = json_array(), *hubs = json_array();

    for (unsigned i = 0; i < s->vip_count; i++) {
        const struct status_vip *v = &s->vip[i];
        json_array_append_new(vips,
                              json_pack("{s:i,s:i,s:s,s:s,s:b,s:I,s:i,s:I}", "hub", v->hub, "id",
                                        v->id, "name", v->name, "state", v->state, "owned",
                                        v->owned, "epoch", (json_int_t)v->epoch, "owner", v->owner,
                                        "since_ms", (json_int_t)v->since_ms));
    }
    for (unsigned i = 0; i < s->hub_count; i++) {
        const struct status_hub *h = &s->hub[i];
        json_array_append_new(hubs, json_pack("{s:i,s:s,s:s,s:i,s:i,s:i,s:i}", "id", h->id,
                                              "interface", h->ifname, "public_key", h->public_key,
                                              "port", h->port, "peers", (int)h->peers,
                                              "sessions_owned", (int)h->sessions_owned,
                                              "sessions_replica", (int)h->sessions_replica));
    }
    return json_pack("{s:i,s:i,s:s,s:s,s:s,s:b,s:b,s:I,s:o,s:o,s:o}", "schema", JSON_SCHEMA, "id",
                     s->id, "name", s->name, "version", s->version, "cluster", s->cluster, "fit",
                     s->fit, "in_sync", s->in_sync, "uptime_ms", (json_int_t)s->uptime_ms,
                     "members", members_json(s), "vips", vips, "hubs", hubs);
}

static void status_text(const struct status *s)
{
    printf("%s (member %u of %s): %s, %s, up %llu s\n\n", s->name, s->id, s->cluster,
           s->fit ? "fit" : "not fit", s->in_sync ? "in sync" : "not in sync",
           (unsigned long long)(s->uptime_ms / 1000));
    printf("%-12s %-4s %-9s %-8s %8s %8s\n", "MEMBER", "ID", "LINK", "IN SYNC", "LAG", "RTT us");
    for (unsigned i = 0; i < s->member_count; i++) {
        const struct status_member *m = &s->member[i];
        if (m->self)
            printf("%-12s %-4u %-9s %-8s %8s %8s\n", m->name, m->id, "(this)", "-", "-", "-");
        else
            printf("%-12s %-4u %-9s %-8s %8llu %8llu\n", m->name, m->id, m->link,
                   m->in_sync ? "yes" : "no", (unsigned long long)m->lag,
                   (unsigned long long)m->rtt_us);
    }
    printf("\n%-12s %-4s %-10s %-8s %-6s %8s\n", "VIP", "ID", "STATE", "OWNED", "OWNER", "EPOCH");
    for (unsigned i = 0; i < s->vip_count; i++) {
        const struct status_vip *v = &s->vip[i];
        printf("%-12s %-4u %-10s %-8s %-6u %8llu\n", v->name, v->id, v->state,
               v->owned ? "yes" : "no", v->owner, (unsigned long long)v->epoch);
    }
    printf("\n%-12s %-6s %-6s %-10s %s\n", "HUB", "PORT", "PEERS", "SESSIONS", "REPLICAS");
    for (unsigned i = 0; i < s->hub_count; i++) {
        const struct status_hub *h = &s->hub[i];
        printf("%-12s %-6u %-6u %-10u %u\n", h->ifname, h->port, h->peers, h->sessions_owned,
               h->sessions_replica);
    }
}

int cmd_status(const struct cli *c, int argc, char **argv)
{
    _cleanup_(freep) struct status *s = status_new();
    int r = s ? client_ask(c, CONTROL_STATUS, s) : EXIT_FAILED;

    if (r != EXIT_GOOD)
        return r;
    if (c->json) {
        json_t *j = status_json(s);
        json_dumpf(j, stdout, JSON_INDENT(1));
        printf("\n");
        json_decref(j);
    } else {
        status_text(s);
    }
    return EXIT_GOOD;
}

/* OpenMetrics 1.0: rows of one name stand together. */
int cmd_metrics(const struct cli *c, int argc, char **argv)
{
    _cleanup_(freep) struct status *s = status_new();
    int r = s ? client_ask(c, CONTROL_METRICS, s) : EXIT_FAILED;
    const char *last = "";

    if (r != EXIT_GOOD)
        return r;
    for (unsigned i = 0; i < s->metric_count; i++) {
        const struct status_metric *m = &s->metric[i];

        if (strcmp(last, m->name) != 0)
            printf("# TYPE %s %s\n# HELP %s %s\n", m->name, m->counter ? "counter" : "gauge",
                   m->name, m->help);
        last = m->name;
        printf("%s%s%s%s%s %.17g\n", m->name, m->counter ? "_total" : "", *m->labels ? "{" : "",
               m->labels, *m->labels ? "}" : "", m->value);
    }
    printf("# EOF\n");
    return EXIT_GOOD;
}
