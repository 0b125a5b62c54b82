#include "unit/cli/house.h"
#include "base/clock.h"
#include "base/err.h"
#include <stdio.h>
#include <string.h>

static void fill(void *ctx, const struct control_request *r, struct status *s)
{
    struct house *h = ctx;

    *s = *h->status;
    for (unsigned i = 0; r->peers && i < h->peers; i++) {
        struct status_peer *p = status_add_peer(s);

        p->hub = 1;
        p->owner = (uint8_t)(i + 1);
        p->vip = h->peers_vip;
        p->public_key.b[0] = (uint8_t)i;
        if (i)
            continue;
        strcpy(p->name, "caf\xc3\xa9");
        strcpy(p->endpoint, "192.0.2.1:5");
        p->handshake_real_ns = clock_real_ns() - 5430 * NS_PER_S;
        p->rx_bytes = 1536;
        p->tx_bytes = UINT64_MAX / 2;
        status_add_allowed(p, "10.0.0.0/24");
        status_add_allowed(p, "fd00::/64");
        status_add_session(p, "current", 12, true, 61000);
        status_add_session(p, "previous", 3, false, 180000);
    }
}

/* As the daemon does, with every VIP of one name. */
static void events(void *ctx, const struct control_request *r, struct control_events *ret)
{
    static struct notice rows[CONTROL_EVENTS_MAX];
    struct house *h = ctx;

    ret->last = journal_last(h->journal);
    ret->count = journal_read(h->journal, r->after, CONTROL_EVENTS_MAX, rows, &ret->missed);
    for (unsigned i = 0; i < ret->count; i++) {
        struct control_event *e = &ret->event[i];

        e->serial = rows[i].serial;
        e->real_ns = rows[i].real_ns;
        strcpy(e->name, notice_kinds[rows[i].kind].name);
        for (unsigned f = 0; f < NOTICE_FIELDS; f++)
            if (notice_kinds[rows[i].kind].fields >> f & 1) {
                strcpy(e->field[e->field_count].key, notice_fields[f].name);
                notice_value(&rows[i], f, h->vip_name, e->field[e->field_count++].value);
            }
    }
}

static uint64_t last_event(void *ctx)
{
    return journal_last(((struct house *)ctx)->journal);
}

static int why(void *ctx, const struct control_request *r, struct control_why *ret,
               char ret_message[CONTROL_MESSAGE_LEN])
{
    struct house *h = ctx;

    if (strcmp(r->peer, h->why.name) != 0) {
        snprintf(ret_message, CONTROL_MESSAGE_LEN, "no peer is called '%s'", r->peer);
        return -ENOENT;
    }
    *ret = h->why;
    return 0;
}

static struct status *healthy(void)
{
    struct status *s = status_new();

    s->id = 1;
    strcpy(s->name, "m1");
    strcpy(s->version, "0.1.0");
    strcpy(s->cluster, "office");
    s->fit = s->in_sync = true;
    s->uptime_ms = 3723000;
    s->member_count = 2;
    s->member[0] = (struct status_member){.id = 1, .self = true, .name = "m1", .link = "self"};
    s->member[1] = (struct status_member){.id = 2,
                                          .name = "berlin",
                                          .link = "live",
                                          .in_sync = true,
                                          .lag = 3,
                                          .rtt_us = 250,
                                          .heartbeat_ms = 40};
    s->vip_count = 2;
    s->vip[0] = (struct status_vip){.hub = 1,
                                    .id = 1,
                                    .owned = true,
                                    .owner = 1,
                                    .name = "main",
                                    .state = "active",
                                    .epoch = 4,
                                    .since_ms = 90061000};
    s->vip[1] = (struct status_vip){
        .hub = 1, .id = 2, .owner = 2, .name = "second", .state = "standby", .epoch = 3};
    s->hub_count = 1;
    s->hub[0] = (struct status_hub){.id = 1,
                                    .ifname = "hub0",
                                    .public_key = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
                                    .port = 51820,
                                    .peers = 2,
                                    .sessions_owned = 5,
                                    .sessions_replica = 1,
                                    .has_last_failover = true,
                                    .last_failover_ms = 5000};
    return s;
}

/* What the member sees of a move: the VIP, and a session of the first peer. */
static void note_move(struct house *h, const struct status_vip *v, uint8_t from)
{
    uint64_t at_ns = clock_real_ns() + h->lag_ms * NS_PER_MS;
    struct notice vip = {.real_ns = at_ns,
                         .kind = v->owned ? NOTICE_VIP_OWNED : NOTICE_VIP_CLAIMED,
                         .vip = v->id,
                         .member = v->owner,
                         .number = v->epoch};
    struct notice session = {.real_ns = at_ns,
                             .kind = v->owned ? NOTICE_SESSION_ADOPTED : NOTICE_SESSION_YIELDED,
                             .vip = v->id,
                             .member = v->owned ? from : v->owner};

    journal_add(h->journal, &vip);
    journal_add(h->journal, &session);
}

static int move(void *ctx, const struct control_move *m, char ret_message[CONTROL_MESSAGE_LEN])
{
    struct house *h = ctx;
    struct status *s = h->status;

    h->moved = *m;
    if (h->refuse) {
        snprintf(ret_message, CONTROL_MESSAGE_LEN, "%s", h->refuse);
        return -EAGAIN;
    }
    for (unsigned i = 0; i < s->vip_count && m->kind != MOVE_UNDRAIN; i++) {
        struct status_vip *v = &s->vip[i];

        if (m->vip && v->id != m->vip)
            continue;
        uint8_t from = v->owner;
        v->owner = m->kind == MOVE_PROMOTE ? m->member : (uint8_t)(3 - m->member);
        v->owned = v->owner == s->id;
        if (v->owner != from)
            note_move(h, v, from);
    }
    return 0;
}

static int drill(void *ctx, const struct control_request *r, struct control_drill *ret,
                 char ret_message[CONTROL_MESSAGE_LEN])
{
    struct house *h = ctx;
    *ret = h->drill;
    if (r->drill.verb == DRILL_LOOK)
        return 0;
    if (r->drill.verb == DRILL_ASK && r->drill.ms == 0)
        return 0; /* the end of it */
    h->drilled = r->drill;
    uint8_t from = h->status->vip[0].owner;
    for (unsigned i = 0; i < h->status->vip_count && r->drill.verb == DRILL_FAULT; i++) {
        struct status_vip *v = &h->status->vip[i];

        if (v->owner != from || *h->drill.refused)
            continue;
        v->owned = true;
        v->owner = h->status->id;
        note_move(h, v, from);
    }
    return 0;
}

int house_setup(void **state)
{
    struct house *h = calloc(1, sizeof(*h));
    struct server_ops ops = {h, fill, events, last_event, why, move, drill};

    h->server = socket_open(&h->loop, h->dir, h->path, &ops);
    h->status = healthy();
    h->journal = journal_new();
    assert_non_null(h->journal);
    h->peers = 2;
    h->vip_name = "main";
    h->drill = (struct control_drill){
        .max_takeover_ms = 1000, .max_gap_ms = 2000, .max_lost = 100, .interfaces = "no such"};
    *state = h;
    return 0;
}

int house_teardown(void **state)
{
    struct house *h = *state;

    socket_close(h->server, &h->loop, h->dir, h->path);
    free(h->status);
    journal_free(h->journal);
    free(h);
    return 0;
}

const struct child *guardmount(struct house *h, const char *before, const char *arguments)
{
    return guardmount_run(&h->loop, h->path, before, arguments);
}

json_t *json_of(const struct child *c)
{
    json_error_t error;
    json_t *o = json_loads(c->out, 0, &error);

    if (!o)
        fail_msg("no JSON: %s\n%s", error.text, c->out);
    return o;
}
