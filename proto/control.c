#include "proto/control.h"
#include "base/bytes.h"
#include "base/err.h"
#include "proto/control.pb-c.h"
#include <stdio.h>

struct status *status_new(void)
{
    return calloc(1, sizeof(struct status));
}

void status_add_metric(struct status *s, bool counter, const char *name, const char *labels,
                       const char *help, double value)
{
    if (s->metric_count == CONTROL_METRICS_MAX)
        return;
    struct status_metric *m = &s->metric[s->metric_count++];
    m->counter = counter;
    m->value = value;
    snprintf(m->name, sizeof(m->name), "%s", name);
    snprintf(m->labels, sizeof(m->labels), "%s", labels);
    snprintf(m->help, sizeof(m->help), "%s", help);
}

int control_encode_request(const struct control_request *r, uint8_t *buf, size_t room)
{
    Guardmount__ControlRequest w = GUARDMOUNT__CONTROL_REQUEST__INIT;

    w.version = r->version;
    w.hub = r->hub;
    w.kind = (Guardmount__ControlKind)r->kind;
    size_t len = guardmount__control_request__get_packed_size(&w);
    if (len > room)
        return -EMSGSIZE;
    return (int)guardmount__control_request__pack(&w, buf);
}

int control_decode_request(const uint8_t *buf, size_t len, struct control_request *ret)
{
    Guardmount__ControlRequest *w = guardmount__control_request__unpack(NULL, len, buf);

    if (!w)
        return -EBADMSG;
    int r =
        w->hub > HUB_ID_MAX || (int)w->kind < 0 || (int)w->kind > CONTROL_METRICS ? -EBADMSG : 0;
    if (r == 0)
        *ret = (struct control_request){w->version, (uint8_t)w->hub, (enum control_kind)w->kind};
    guardmount__control_request__free_unpacked(w, NULL);
    return r;
}

/* What the reply's pointers point to. */
struct reply {
    Guardmount__ControlReply w;
    Guardmount__StatusMember member[MEMBERS_MAX], *members[MEMBERS_MAX];
    Guardmount__StatusVip vip[VIPS_MAX], *vips[VIPS_MAX];
    Guardmount__StatusHub hub[CONTROL_HUBS_MAX], *hubs[CONTROL_HUBS_MAX];
    Guardmount__Metric metric[CONTROL_METRICS_MAX], *metrics[CONTROL_METRICS_MAX];
};

static void fill(const struct status *s, struct reply *r)
{
    Guardmount__ControlReply *w = &r->w;

    w->id = s->id;
    w->name = (char *)s->name;
    w->daemon_version = (char *)s->version;
    w->cluster = (char *)s->cluster;
    w->fit = s->fit;
    w->in_sync = s->in_sync;
    w->uptime_ms = s->uptime_ms;
    for (unsigned i = 0; i < s->member_count; i++) {
        const struct status_member *m = &s->member[i];
        guardmount__status_member__init(&r->member[i]);
        r->member[i].id = m->id;
        r->member[i].name = (char *)m->name;
        r->member[i].self = m->self;
        r->member[i].link = (char *)m->link;
        r->member[i].in_sync = m->in_sync;
        r->member[i].lag = m->lag;
        r->member[i].rtt_us = m->rtt_us;
        r->member[i].heartbeat_ms = m->heartbeat_ms;
        r->members[i] = &r->member[i];
    }
    for (unsigned i = 0; i < s->vip_count; i++) {
        const struct status_vip *v = &s->vip[i];
        guardmount__status_vip__init(&r->vip[i]);
        r->vip[i].hub = v->hub;
        r->vip[i].id = v->id;
        r->vip[i].name = (char *)v->name;
        r->vip[i].state = (char *)v->state;
        r->vip[i].owned = v->owned;
        r->vip[i].epoch = v->epoch;
        r->vip[i].owner = v->owner;
        r->vip[i].since_ms = v->since_ms;
        r->vips[i] = &r->vip[i];
    }
    for (unsigned i = 0; i < s->hub_count; i++) {
        const struct status_hub *h = &s->hub[i];
        guardmount__status_hub__init(&r->hub[i]);
        r->hub[i].id = h->id;
        r->hub[i].ifname = (char *)h->ifname;
        r->hub[i].public_key = (char *)h->public_key;
        r->hub[i].port = h->port;
        r->hub[i].peers = h->peers;
        r->hub[i].sessions_owned = h->sessions_owned;
        r->hub[i].sessions_replica = h->sessions_replica;
        r->hubs[i] = &r->hub[i];
    }
    for (unsigned i = 0; i < s->metric_count; i++) {
        const struct status_metric *m = &s->metric[i];
        guardmount__metric__init(&r->metric[i]);
        r->metric[i].name = (char *)m->name;
        r->metric[i].labels = (char *)m->labels;
        r->metric[i].help = (char *)m->help;
        r->metric[i].value = m->value;
        r->metric[i].counter = m->counter;
        r->metrics[i] = &r->metric[i];
    }
    w->members = r->members;
    w->n_members = s->member_count;
    w->vips = r->vips;
    w->n_vips = s->vip_count;
    w->hubs = r->hubs;
    w->n_hubs = s->hub_count;
    w->metrics = r->metrics;
    w->n_metrics = s->metric_count;
}

uint8_t *control_encode_reply(const struct status *s, int error, size_t *ret_len)
{
    struct reply *r = calloc(1, sizeof(*r));
    uint8_t *buf = NULL;

    if (!r)
        return NULL;
    guardmount__control_reply__init(&r->w);
    r->w.version = CONTROL_VERSION;
    r->w.error = error;
    if (s)
        fill(s, r);
    size_t len = guardmount__control_reply__get_packed_size(&r->w);
    if (len <= CONTROL_MESSAGE_MAX && (buf = malloc(4 + len))) {
        store_be32(buf, (uint32_t)len);
        guardmount__control_reply__pack(&r->w, buf + 4);
        *ret_len = 4 + len;
    }
    free(r);
    return buf;
}

static void text(char *ret, size_t room, const char *from)
{
    snprintf(ret, room, "%s", from ? from : "");
}

static void take(const Guardmount__ControlReply *w, struct status *s)
{
    s->id = (uint8_t)w->id;
    text(s->name, sizeof(s->name), w->name);
    text(s->version, sizeof(s->version), w->daemon_version);
    text(s->cluster, sizeof(s->cluster), w->cluster);
    s->fit = w->fit;
    s->in_sync = w->in_sync;
    s->uptime_ms = w->uptime_ms;
    for (size_t i = 0; i < w->n_members && i < MEMBERS_MAX; i++) {
        const Guardmount__StatusMember *m = w->members[i];
        struct status_member *to = &s->member[s->member_count++];
        to->id = (uint8_t)m->id;
        to->self = m->self;
        to->in_sync = m->in_sync;
        text(to->name, sizeof(to->name), m->name);
        text(to->link, sizeof(to->link), m->link);
        to->lag = m->lag;
        to->rtt_us = m->rtt_us;
        to->heartbeat_ms = m->heartbeat_ms;
    }
    for (size_t i = 0; i < w->n_vips && i < VIPS_MAX; i++) {
        const Guardmount__StatusVip *v = w->vips[i];
        struct status_vip *to = &s->vip[s->vip_count++];
        to->hub = (uint8_t)v->hub;
        to->id = (uint16_t)v->id;
        to->owner = (uint8_t)v->owner;
        to->owned = v->owned;
        text(to->name, sizeof(to->name), v->name);
        text(to->state, sizeof(to->state), v->state);
        to->epoch = v->epoch;
        to->since_ms = v->since_ms;
    }
    for (size_t i = 0; i < w->n_hubs && i < CONTROL_HUBS_MAX; i++) {
        const Guardmount__StatusHub *h = w->hubs[i];
        struct status_hub *to = &s->hub[s->hub_count++];
        to->id = (uint8_t)h->id;
        text(to->ifname, sizeof(to->ifname), h->ifname);
        text(to->public_key, sizeof(to->public_key), h->public_key);
        to->port = (uint16_t)h->port;
        to->peers = h->peers;
        to->sessions_owned = h->sessions_owned;
        to->sessions_replica = h->sessions_replica;
    }
    for (size_t i = 0; i < w->n_metrics; i++)
        status_add_metric(s, w->metrics[i]->counter, w->metrics[i]->name, w->metrics[i]->labels,
                          w->metrics[i]->help, w->metrics[i]->value);
}

int control_decode_reply(const uint8_t *buf, size_t len, struct status *ret)
{
    Guardmount__ControlReply *w = guardmount__control_reply__unpack(NULL, len, buf);

    if (!w)
        return -EBADMSG;
    int r = w->error < 0 ? w->error : 0;
    if (r == 0)
        take(w, ret);
    guardmount__control_reply__free_unpacked(w, NULL);
    return r;
}
