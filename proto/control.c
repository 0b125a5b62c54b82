#include "proto/control.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/secret.h"
#include "proto/control.pb-c.h"
#include "proto/control_drill.h"
#include "proto/control_peer.h"
#include "proto/control_see.h"
#include "proto/memory.h"
#include <stdarg.h>
#include <stdio.h>

#define REQUEST_MEMORY_MAX (4 * (size_t)CONTROL_REQUEST_MAX)
#define UNPACKED_MAX (4 * (size_t)CONTROL_REPLY_MAX)

/* ---- texts ---- */

/* Length of the character at @p if it may be shown: no control character, sound UTF-8; else 0. */
static size_t character(const unsigned char *p)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    uint32_t code;

    if (len <= 1)
        return p[0] >= 0x20 && p[0] != 0x7f ? len : 0;
    if (p[0] > 0xf4)
        return 0;
    code = p[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) /* the end of the text, too */
            return 0;
        code = code << 6 | (p[i] & 0x3fu);
    }
    /* Too long a form, halves of UTF-16 pairs, C1 controls. */
    if (code < least[len] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) || code < 0xa0)
        return 0;
    return len;
}

void control_text(char *field, size_t room, const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t at = 0;

    while (*p) {
        size_t good = character(p), len = good ? good : 1;

        if (at + len >= room)
            break;
        if (good)
            memcpy(field + at, p, len);
        else
            field[at] = '?';
        at += len;
        p += len;
    }
    field[at] = '\0';
}

const char *status_labels(char buf[CONTROL_TEXT_MAX + 1], const char *key, const char *value, ...)
{
    const size_t room = CONTROL_TEXT_MAX + 1;
    size_t len = 0;
    va_list args;

    buf[0] = '\0';
    va_start(args, value);
    while (key) {
        size_t begun = len;
        bool fits;

        len += (size_t)snprintf(buf + len, room - len, "%s%s=\"", len ? "," : "", key);
        for (fits = len + 2 <= room; fits && *value; value++) {
            fits = len + 4 <= room; /* an escape, a character, the quote, NUL */
            if (fits && (*value == '"' || *value == '\\' || *value == '\n'))
                buf[len++] = '\\';
            if (fits)
                buf[len++] = *value == '\n' ? 'n' : *value;
        }
        if (!fits) {
            buf[begun] = '\0';
            break;
        }
        buf[len++] = '"';
        buf[len] = '\0';
        key = va_arg(args, const char *);
        value = key ? va_arg(args, const char *) : NULL;
    }
    va_end(args);
    return buf;
}

/* ---- status ---- */

struct status *status_new(void)
{
    return calloc(1, sizeof(struct status));
}

void status_free(struct status *s)
{
    if (s)
        free(s->peer);
    free(s);
}

const char *status_state(const struct status *s)
{
    if (!s->fit)
        return "fault";
    for (unsigned i = 0; i < s->vip_count; i++)
        if (s->vip[i].owned)
            return "master";
    return "backup";
}

void status_add_metric(struct status *s, bool counter, const char *name, const char *labels,
                       const char *help, double value)
{
    struct status_metric *m;

    if (s->metric_count == CONTROL_METRICS_MAX)
        return;
    m = &s->metric[s->metric_count++];
    m->counter = counter;
    m->value = value;
    text_to(m->name, name);
    text_to(m->labels, labels);
    text_to(m->help, help);
}

struct status_peer *status_add_peer(struct status *s)
{
    if (s->peer_count == s->peer_room) {
        unsigned room = s->peer_room ? 2 * s->peer_room : 64;
        struct status_peer *grown =
            s->peer_count < CONTROL_PEERS_MAX ? reallocarray(s->peer, room, sizeof(*grown)) : NULL;

        if (!grown) {
            s->peers_cut = true;
            return NULL;
        }
        s->peer = grown;
        s->peer_room = MIN(room, CONTROL_PEERS_MAX);
    }
    return memset(&s->peer[s->peer_count++], 0, sizeof(*s->peer));
}

void status_add_session(struct status_peer *p, const char *slot, uint16_t term, bool owned,
                        uint64_t age_ms)
{
    struct status_session *x;

    if (p->session_count == CONTROL_SESSIONS_MAX)
        return;
    x = &p->session[p->session_count++];
    *x = (struct status_session){.term = term, .owned = owned, .age_ms = age_ms};
    text_to(x->slot, slot);
}

void status_add_allowed(struct status_peer *p, const char *prefix)
{
    static const char more[] = ",...";
    size_t len = strlen(p->allowed), room = sizeof(p->allowed);
    bool cut = len >= strlen(more) && strcmp(p->allowed + len - strlen(more), more) == 0;

    if (cut)
        return;
    if (len + 1 + strlen(prefix) + sizeof(more) <= room)
        snprintf(p->allowed + len, room - len, "%s%s", len ? "," : "", prefix);
    else
        snprintf(p->allowed + len, room - len, "%s", more);
}

void control_reply_done(struct control_reply *r)
{
    status_free(r->status);
    free(r->openmetrics);
    free(r->events);
    free(r->why);
    free(r->audit);
    peer_rows_free(r->peers);
    free(r->drill);
    if (r->backup)
        secret_wipe(r->backup, r->backup_len);
    free(r->backup);
    *r = (struct control_reply){0};
}

void control_request_done(struct control_request *r)
{
    if (r->batch)
        secret_wipe(r->batch, r->batch_count * sizeof(*r->batch));
    free(r->batch);
    secret_wipe(r, sizeof(*r));
}

/* ---- encoding ---- */

static int frame_alloc(size_t len, size_t max, uint8_t **ret)
{
    uint8_t *frame;

    if (len > max)
        return -EMSGSIZE;
    frame = malloc(CONTROL_HEAD_LEN + len);
    if (!frame)
        return -ENOMEM;
    store_be32(frame, (uint32_t)len);
    *ret = frame;
    return 0;
}

int control_encode_request(const struct control_request *r, uint8_t **ret, size_t *ret_len)
{
    Guardmount__ControlRequest w = GUARDMOUNT__CONTROL_REQUEST__INIT;
    struct wire_command command;
    _cleanup_(freep) Guardmount__PeerCommand **batch = NULL;
    Guardmount__DrillCommand drill;
    uint8_t *frame;
    int err;

    w.version = r->version;
    w.hub = r->hub;
    w.kind = (Guardmount__ControlKind)r->kind;
    w.peers = r->peers;
    w.after = r->after;
    w.wait_ms = r->wait_ms;
    w.peer = (char *)r->peer;
    w.move = (Guardmount__ControlMove)r->move.kind;
    w.move_vip = r->move.vip;
    w.move_member = r->move.member;
    w.move_force = r->move.force;
    if (r->kind == CONTROL_PEER) {
        command_put(&command, &r->command);
        w.command = &command.command;
    }
    if (r->kind == CONTROL_BATCH) {
        batch = commands_put(r->batch, r->batch_count);
        if (!batch)
            return -ENOMEM;
        w.batch = batch;
        w.n_batch = r->batch_count;
    }
    if (r->kind == CONTROL_DRILL) {
        drill_command_put(&drill, &r->drill);
        w.drill = &drill;
    }
    err =
        frame_alloc(guardmount__control_request__get_packed_size(&w), CONTROL_REQUEST_MAX, &frame);
    if (err < 0)
        return err;
    *ret_len = CONTROL_HEAD_LEN + guardmount__control_request__pack(&w, frame + CONTROL_HEAD_LEN);
    *ret = frame;
    return 0;
}

/* The message, and what its pointers point to; texts stay where they are. */
struct wire_reply {
    Guardmount__ControlReply w;
    Guardmount__StatusMember member[MEMBERS_MAX], *members[MEMBERS_MAX];
    Guardmount__StatusVip vip[VIPS_MAX], *vips[VIPS_MAX];
    Guardmount__StatusHub hub[CONTROL_HUBS_MAX], *hubs[CONTROL_HUBS_MAX];
    Guardmount__Metric metric[CONTROL_METRICS_MAX], *metrics[CONTROL_METRICS_MAX];
    Guardmount__StatusPeer *peer, **peers;
    Guardmount__StatusSession *session, **sessions;
    void *events;
    struct wire_why why;
};

static void put_members(struct wire_reply *r, struct status *s)
{
    for (unsigned i = 0; i < s->member_count; i++) {
        struct status_member *m = &s->member[i];
        Guardmount__StatusMember *w = r->members[i] = &r->member[i];

        guardmount__status_member__init(w);
        w->id = m->id;
        w->name = m->name;
        w->self = m->self;
        w->link = m->link;
        w->in_sync = m->in_sync;
        w->lag = m->lag;
        w->rtt_us = m->rtt_us;
        w->heartbeat_ms = m->heartbeat_ms;
        w->drained = m->drained;
    }
    r->w.members = r->members;
    r->w.n_members = s->member_count;
}

static void put_vips(struct wire_reply *r, struct status *s)
{
    for (unsigned i = 0; i < s->vip_count; i++) {
        struct status_vip *v = &s->vip[i];
        Guardmount__StatusVip *w = r->vips[i] = &r->vip[i];

        guardmount__status_vip__init(w);
        w->hub = v->hub;
        w->id = v->id;
        w->name = v->name;
        w->state = v->state;
        w->owned = v->owned;
        w->epoch = v->epoch;
        w->owner = v->owner;
        w->since_ms = v->since_ms;
        w->drained = v->drained;
        w->withheld = v->withheld;
        w->withheld_ms = v->withheld_ms;
    }
    r->w.vips = r->vips;
    r->w.n_vips = s->vip_count;
}

static void put_hubs(struct wire_reply *r, struct status *s)
{
    for (unsigned i = 0; i < s->hub_count; i++) {
        struct status_hub *h = &s->hub[i];
        Guardmount__StatusHub *w = r->hubs[i] = &r->hub[i];

        guardmount__status_hub__init(w);
        w->id = h->id;
        w->ifname = h->ifname;
        w->public_key = h->public_key;
        w->port = h->port;
        w->peers = h->peers;
        w->sessions_owned = h->sessions_owned;
        w->sessions_replica = h->sessions_replica;
        if (h->has_peers_with_session) {
            w->with_session_case = GUARDMOUNT__STATUS_HUB__WITH_SESSION_PEERS_WITH_SESSION;
            w->peers_with_session = h->peers_with_session;
        }
        if (h->has_last_failover) {
            w->last_failover_case = GUARDMOUNT__STATUS_HUB__LAST_FAILOVER_LAST_FAILOVER_MS;
            w->last_failover_ms = h->last_failover_ms;
        }
    }
    r->w.hubs = r->hubs;
    r->w.n_hubs = s->hub_count;
}

static void put_metrics(struct wire_reply *r, struct status *s)
{
    for (unsigned i = 0; i < s->metric_count; i++) {
        struct status_metric *m = &s->metric[i];
        Guardmount__Metric *w = r->metrics[i] = &r->metric[i];

        guardmount__metric__init(w);
        w->name = m->name;
        w->labels = m->labels;
        w->help = m->help;
        w->value = m->value;
        w->counter = m->counter;
    }
    r->w.metrics = r->metrics;
    r->w.n_metrics = s->metric_count;
}

static void put_peer(Guardmount__StatusPeer *w, struct status_peer *p)
{
    guardmount__status_peer__init(w);
    w->hub = p->hub;
    w->public_key = (ProtobufCBinaryData){sizeof(p->public_key.b), p->public_key.b};
    w->name = p->name;
    w->endpoint = p->endpoint;
    w->vip = p->vip;
    w->owner = p->owner;
    w->handshake_real_ns = p->handshake_real_ns;
    w->rx_bytes = p->rx_bytes;
    w->tx_bytes = p->tx_bytes;
    w->keepalive_s = p->keepalive_s;
    w->allowed = p->allowed;
}

static void put_session(Guardmount__StatusSession *w, struct status_session *x)
{
    guardmount__status_session__init(w);
    w->slot = x->slot;
    w->term = x->term;
    w->owned = x->owned;
    w->age_ms = x->age_ms;
}

static int put_peers(struct wire_reply *r, struct status *s)
{
    size_t sessions = 0, at = 0;

    for (unsigned i = 0; i < s->peer_count; i++)
        sessions += s->peer[i].session_count;
    r->peer = calloc(s->peer_count + 1, sizeof(*r->peer));
    r->peers = calloc(s->peer_count + 1, sizeof(*r->peers));
    r->session = calloc(sessions + 1, sizeof(*r->session));
    r->sessions = calloc(sessions + 1, sizeof(*r->sessions));
    if (!r->peer || !r->peers || !r->session || !r->sessions)
        return -ENOMEM;
    for (unsigned i = 0; i < s->peer_count; i++) {
        put_peer(r->peers[i] = &r->peer[i], &s->peer[i]);
        r->peer[i].sessions = &r->sessions[at];
        r->peer[i].n_sessions = s->peer[i].session_count;
        for (unsigned n = 0; n < s->peer[i].session_count; n++, at++)
            put_session(r->sessions[at] = &r->session[at], &s->peer[i].session[n]);
    }
    r->w.peers = r->peers;
    r->w.n_peers = s->peer_count;
    r->w.peers_cut = s->peers_cut;
    return 0;
}

static int put_status(struct wire_reply *r, struct status *s)
{
    r->w.id = s->id;
    r->w.name = s->name;
    r->w.daemon_version = s->version;
    r->w.cluster = s->cluster;
    r->w.note = s->note;
    r->w.fit = s->fit;
    r->w.in_sync = s->in_sync;
    r->w.uptime_ms = s->uptime_ms;
    put_members(r, s);
    put_vips(r, s);
    put_hubs(r, s);
    put_metrics(r, s);
    return put_peers(r, s);
}

int control_encode_reply(const struct control_reply *reply, uint8_t **ret, size_t *ret_len)
{
    struct wire_reply *r = calloc(1, sizeof(*r));
    uint8_t *frame = NULL;
    int err = 0;

    if (!r)
        return -ENOMEM;
    guardmount__control_reply__init(&r->w);
    r->w.version = CONTROL_VERSION;
    r->w.error = reply->error;
    r->w.text = (char *)reply->message;
    r->w.openmetrics = (ProtobufCBinaryData){reply->openmetrics_len, (uint8_t *)reply->openmetrics};
    if (reply->status)
        err = put_status(r, reply->status);
    if (err >= 0 && reply->events)
        err = events_put(&r->w, reply->events, &r->events);
    if (err >= 0 && reply->audit)
        err = audit_put_all(&r->w, reply->audit);
    r->w.backup = (ProtobufCBinaryData){reply->backup_len, reply->backup};
    if (err >= 0 && reply->peers) {
        r->w.peer = rows_put(reply->peers);
        err = r->w.peer ? 0 : -ENOMEM;
    }
    if (err >= 0 && reply->drill) {
        r->w.drill = drill_put(reply->drill);
        err = r->w.drill ? 0 : -ENOMEM;
    }
    if (reply->why)
        r->w.why = why_put(&r->why, reply->why);
    if (err >= 0)
        err = frame_alloc(guardmount__control_reply__get_packed_size(&r->w), CONTROL_REPLY_MAX,
                          &frame);
    if (err >= 0) {
        *ret_len =
            CONTROL_HEAD_LEN + guardmount__control_reply__pack(&r->w, frame + CONTROL_HEAD_LEN);
        *ret = frame;
    }
    free(r->peer);
    free(r->peers);
    free(r->session);
    free(r->sessions);
    free(r->events);
    free(r->w.peer);
    free(r->w.audit);
    free(r->w.drill);
    free(r);
    return err;
}

/* ---- decoding ---- */

static bool kind_known(unsigned kind)
{
    return kind <= CONTROL_METRICS || kind == CONTROL_MOVE || kind == CONTROL_EVENTS ||
           kind == CONTROL_WHY || kind == CONTROL_PEER || kind == CONTROL_BACKUP ||
           kind == CONTROL_BATCH || kind == CONTROL_AUDIT || kind == CONTROL_DRILL;
}

int control_decode_request(const uint8_t *buf, size_t len, struct control_request *ret)
{
    Guardmount__ControlRequest *w;
    struct control_request q = {0};
    struct memory m;
    int r = 0;

    if (len > CONTROL_REQUEST_MAX)
        return -EBADMSG;
    memory_init(&m, REQUEST_MEMORY_MAX);
    w = guardmount__control_request__unpack(&m.allocator, len, buf);
    if (!w)
        return m.exhausted ? -ENOMEM : -EBADMSG;
    if (w->version != CONTROL_VERSION || !kind_known(w->kind))
        r = -EPROTONOSUPPORT;
    else if (w->hub > HUB_ID_MAX || (unsigned)w->move >= MOVE_KINDS || w->move_vip > UINT16_MAX ||
             w->move_member > MEMBER_ID_MAX)
        r = -EBADMSG;
    else
        q = (struct control_request){.version = w->version,
                                     .hub = (uint8_t)w->hub,
                                     .kind = (enum control_kind)w->kind,
                                     .peers = w->peers,
                                     .move = {(enum move_kind)w->move, (uint16_t)w->move_vip,
                                              (uint8_t)w->move_member, w->move_force},
                                     .after = w->after,
                                     .wait_ms = MIN(w->wait_ms, CONTROL_WAIT_MAX_MS)};
    if (r >= 0)
        text_to(q.peer, w->peer);
    if (r >= 0 && q.kind == CONTROL_PEER)
        r = command_take(w->command, &q.command);
    if (r >= 0 && q.kind == CONTROL_BATCH)
        r = commands_take(w->batch, w->n_batch, &q.batch, &q.batch_count);
    if (r >= 0 && q.kind == CONTROL_DRILL)
        r = drill_command_take(w->drill, &q.drill);
    guardmount__control_request__free_unpacked(w, &m.allocator);
    if (r >= 0)
        *ret = q;
    secret_wipe(&q, sizeof(q));
    return r;
}

static bool take_member(struct status *s, const Guardmount__StatusMember *w)
{
    struct status_member *m;

    if (s->member_count == MEMBERS_MAX || w->id > MEMBER_ID_MAX)
        return false;
    m = &s->member[s->member_count++];
    m->id = (uint8_t)w->id;
    m->self = w->self;
    m->in_sync = w->in_sync;
    text_to(m->name, w->name);
    text_to(m->link, w->link);
    m->lag = w->lag;
    m->rtt_us = w->rtt_us;
    m->heartbeat_ms = w->heartbeat_ms;
    m->drained = w->drained;
    return true;
}

static bool take_vip(struct status *s, const Guardmount__StatusVip *w)
{
    struct status_vip *v;

    if (s->vip_count == VIPS_MAX || w->hub > HUB_ID_MAX || w->id > UINT16_MAX ||
        w->owner > MEMBER_ID_MAX)
        return false;
    v = &s->vip[s->vip_count++];
    v->hub = (uint8_t)w->hub;
    v->id = (uint16_t)w->id;
    v->owner = (uint8_t)w->owner;
    v->owned = w->owned;
    text_to(v->name, w->name);
    text_to(v->state, w->state);
    v->epoch = w->epoch;
    v->since_ms = w->since_ms;
    v->drained = w->drained;
    text_to(v->withheld, w->withheld);
    v->withheld_ms = w->withheld_ms;
    return true;
}

static bool take_hub(struct status *s, const Guardmount__StatusHub *w)
{
    struct status_hub *h;

    if (s->hub_count == CONTROL_HUBS_MAX || w->id > HUB_ID_MAX || w->port > UINT16_MAX)
        return false;
    h = &s->hub[s->hub_count++];
    h->id = (uint8_t)w->id;
    text_to(h->ifname, w->ifname);
    text_to(h->public_key, w->public_key);
    h->port = (uint16_t)w->port;
    h->peers = w->peers;
    h->sessions_owned = w->sessions_owned;
    h->sessions_replica = w->sessions_replica;
    if (w->with_session_case == GUARDMOUNT__STATUS_HUB__WITH_SESSION_PEERS_WITH_SESSION) {
        h->has_peers_with_session = true;
        h->peers_with_session = w->peers_with_session;
    }
    if (w->last_failover_case == GUARDMOUNT__STATUS_HUB__LAST_FAILOVER_LAST_FAILOVER_MS) {
        h->has_last_failover = true;
        h->last_failover_ms = w->last_failover_ms;
    }
    return true;
}

static bool take_peer(struct status *s, const Guardmount__StatusPeer *w)
{
    bool good = w->hub <= HUB_ID_MAX && w->vip <= UINT16_MAX && w->owner <= MEMBER_ID_MAX &&
                w->keepalive_s <= UINT16_MAX && w->n_sessions <= CONTROL_SESSIONS_MAX &&
                w->public_key.len == sizeof(struct public_key);
    struct status_peer *p = good ? status_add_peer(s) : NULL;

    if (!p)
        return false;
    p->hub = (uint8_t)w->hub;
    p->owner = (uint8_t)w->owner;
    p->vip = (uint16_t)w->vip;
    p->keepalive_s = (uint16_t)w->keepalive_s;
    memcpy(p->public_key.b, w->public_key.data, sizeof(p->public_key.b));
    text_to(p->name, w->name);
    text_to(p->endpoint, w->endpoint);
    text_to(p->allowed, w->allowed);
    p->handshake_real_ns = w->handshake_real_ns;
    p->rx_bytes = w->rx_bytes;
    p->tx_bytes = w->tx_bytes;
    for (size_t i = 0; i < w->n_sessions; i++) {
        const Guardmount__StatusSession *x = w->sessions[i];
        if (x->term > UINT16_MAX)
            return false;
        status_add_session(p, x->slot, (uint16_t)x->term, x->owned, x->age_ms);
    }
    return true;
}

static int take_status(const Guardmount__ControlReply *w, struct status *s)
{
    bool good = w->id <= MEMBER_ID_MAX && w->n_metrics <= CONTROL_METRICS_MAX;

    s->id = (uint8_t)w->id;
    text_to(s->name, w->name);
    text_to(s->version, w->daemon_version);
    text_to(s->cluster, w->cluster);
    text_to(s->note, w->note);
    s->fit = w->fit;
    s->in_sync = w->in_sync;
    s->uptime_ms = w->uptime_ms;
    for (size_t i = 0; good && i < w->n_members; i++)
        good = take_member(s, w->members[i]);
    for (size_t i = 0; good && i < w->n_vips; i++)
        good = take_vip(s, w->vips[i]);
    for (size_t i = 0; good && i < w->n_hubs; i++)
        good = take_hub(s, w->hubs[i]);
    for (size_t i = 0; good && i < w->n_peers; i++)
        good = take_peer(s, w->peers[i]);
    for (size_t i = 0; good && i < w->n_metrics; i++)
        status_add_metric(s, w->metrics[i]->counter, w->metrics[i]->name, w->metrics[i]->labels,
                          w->metrics[i]->help, w->metrics[i]->value);
    s->peers_cut |= w->peers_cut;
    return good ? 0 : -EBADMSG;
}

static int take_reply(const Guardmount__ControlReply *w, struct control_reply *ret)
{
    if (w->version != CONTROL_VERSION)
        return -EPROTONOSUPPORT;
    if (w->error > 0)
        return -EBADMSG;
    ret->error = w->error;
    text_to(ret->message, w->text);
    if (w->openmetrics.len) {
        ret->openmetrics = malloc(w->openmetrics.len + 1);
        if (!ret->openmetrics)
            return -ENOMEM;
        memcpy(ret->openmetrics, w->openmetrics.data, w->openmetrics.len);
        ret->openmetrics[w->openmetrics.len] = '\0';
        ret->openmetrics_len = w->openmetrics.len;
    }
    if (w->backup.len) {
        ret->backup = malloc(w->backup.len);
        if (!ret->backup)
            return -ENOMEM;
        memcpy(ret->backup, w->backup.data, w->backup.len);
        ret->backup_len = w->backup.len;
    }
    int r = w->peer ? rows_take(w->peer, &ret->peers) : 0;
    if (r >= 0 && w->drill)
        r = drill_take(w->drill, &ret->drill);
    if (r >= 0)
        r = see_take(w, ret);
    if (r < 0)
        return r;
    ret->status = status_new();
    return ret->status ? take_status(w, ret->status) : -ENOMEM;
}

int control_decode_reply(const uint8_t *buf, size_t len, struct control_reply *ret)
{
    struct control_reply reply = {0};
    Guardmount__ControlReply *w;
    struct memory m;
    int r;

    if (len > CONTROL_REPLY_MAX)
        return -EBADMSG;
    memory_init(&m, UNPACKED_MAX);
    w = guardmount__control_reply__unpack(&m.allocator, len, buf);
    if (!w)
        return m.exhausted ? -ENOMEM : -EBADMSG;
    r = take_reply(w, &reply);
    guardmount__control_reply__free_unpacked(w, &m.allocator);
    if (r < 0)
        control_reply_done(&reply);
    else
        *ret = reply;
    return r;
}
