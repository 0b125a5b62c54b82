#include "proto/control_see.h"
#include "base/err.h"
#include <string.h>

/* ---- events ---- */

struct wire_events {
    Guardmount__Event event[CONTROL_EVENTS_MAX], *events[CONTROL_EVENTS_MAX];
    Guardmount__EventField field[CONTROL_EVENTS_MAX][NOTICE_FIELDS];
    Guardmount__EventField *fields[CONTROL_EVENTS_MAX][NOTICE_FIELDS];
};

int events_put(Guardmount__ControlReply *w, struct control_events *e, void **ret_memory)
{
    struct wire_events *m = calloc(1, sizeof(*m));

    if (!m)
        return -ENOMEM;
    for (unsigned i = 0; i < e->count; i++) {
        struct control_event *from = &e->event[i];
        Guardmount__Event *to = m->events[i] = &m->event[i];

        guardmount__event__init(to);
        to->serial = from->serial;
        to->real_ns = from->real_ns;
        to->name = from->name;
        for (unsigned f = 0; f < from->field_count; f++) {
            m->fields[i][f] = &m->field[i][f];
            guardmount__event_field__init(m->fields[i][f]);
            m->fields[i][f]->key = from->field[f].key;
            m->fields[i][f]->value = from->field[f].value;
        }
        to->fields = m->fields[i];
        to->n_fields = from->field_count;
    }
    w->events = m->events;
    w->n_events = e->count;
    w->events_last = e->last;
    w->events_missed = e->missed;
    *ret_memory = m;
    return 0;
}

static bool take_event(struct control_events *e, const Guardmount__Event *w)
{
    struct control_event *to = &e->event[e->count];

    if (e->count == CONTROL_EVENTS_MAX || w->n_fields > NOTICE_FIELDS)
        return false;
    e->count++;
    to->serial = w->serial;
    to->real_ns = w->real_ns;
    text_to(to->name, w->name);
    for (size_t i = 0; i < w->n_fields; i++) {
        text_to(to->field[i].key, w->fields[i]->key);
        text_to(to->field[i].value, w->fields[i]->value);
    }
    to->field_count = (unsigned)w->n_fields;
    return true;
}

static int take_events(const Guardmount__ControlReply *w, struct control_reply *ret)
{
    struct control_events *e = ret->events = calloc(1, sizeof(*e));

    if (!e)
        return -ENOMEM;
    e->last = w->events_last;
    e->missed = w->events_missed;
    for (size_t i = 0; i < w->n_events; i++)
        if (!take_event(e, w->events[i]))
            return -EBADMSG;
    return 0;
}

/* ---- the audit log ---- */

int audit_put_all(Guardmount__ControlReply *w, const struct control_audit *a)
{
    size_t each = sizeof(Guardmount__AuditEntry *) + sizeof(Guardmount__AuditEntry);

    w->audit = calloc(a->count + 1, each);
    if (!w->audit)
        return -ENOMEM;
    Guardmount__AuditEntry *entry = (Guardmount__AuditEntry *)(w->audit + a->count);
    for (unsigned i = 0; i < a->count; i++) {
        const struct audit_entry *from = &a->entry[i];

        guardmount__audit_entry__init(&entry[i]);
        entry[i].serial = from->serial;
        entry[i].text = (char *)from->text;
        entry[i].hash = (ProtobufCBinaryData){sizeof(from->hash), (uint8_t *)from->hash};
        w->audit[i] = &entry[i];
    }
    w->n_audit = a->count;
    w->audit_last = a->last;
    return 0;
}

static int take_audit(const Guardmount__ControlReply *w, struct control_reply *ret)
{
    struct control_audit *a = ret->audit = calloc(1, sizeof(*a));

    if (!a)
        return -ENOMEM;
    if (w->n_audit > CONTROL_AUDIT_MAX)
        return -EBADMSG;
    a->last = w->audit_last;
    for (; a->count < w->n_audit; a->count++) {
        const Guardmount__AuditEntry *from = w->audit[a->count];
        struct audit_entry *to = &a->entry[a->count];

        if (from->hash.len != sizeof(to->hash))
            return -EBADMSG;
        to->serial = from->serial;
        text_to(to->text, from->text);
        memcpy(to->hash, from->hash.data, sizeof(to->hash));
    }
    return 0;
}

/* ---- why ---- */

static Guardmount__PeerFact *fact_put(Guardmount__PeerFact *w, struct control_fact *f)
{
    guardmount__peer_fact__init(w);
    w->real_ns = f->real_ns;
    w->count = f->count;
    w->reason = f->reason;
    w->endpoint = f->endpoint;
    w->member = f->member;
    w->vip = f->vip;
    return w;
}

Guardmount__PeerWhy *why_put(struct wire_why *r, struct control_why *y)
{
    Guardmount__PeerWhy *w = &r->w;

    guardmount__peer_why__init(w);
    w->hub = y->hub;
    w->public_key = (ProtobufCBinaryData){sizeof(y->key.b), y->key.b};
    w->name = y->name;
    w->state = y->state;
    w->served = y->served;
    w->now_real_ns = y->now_real_ns;
    w->vip = y->vip;
    w->vip_owned = y->vip_owned;
    w->vip_state = y->vip_state;
    w->owner = y->owner;
    w->owner_name = y->owner_name;
    w->fit = y->fit;
    w->endpoint = y->endpoint;
    w->handshake_real_ns = y->handshake_real_ns;
    w->stamp_real_ns = y->stamp_real_ns;
    w->rx_bytes = y->rx_bytes;
    w->tx_bytes = y->tx_bytes;
    w->keepalive_s = y->keepalive_s;
    w->allowed = y->allowed;
    w->group = y->group;
    w->isolated = y->isolated;
    w->networks = y->networks;
    if (y->has_session) {
        guardmount__status_session__init(&r->session);
        r->session.slot = y->session.slot;
        r->session.term = y->session.term;
        r->session.owned = y->session.owned;
        r->session.age_ms = y->session.age_ms;
        w->session = &r->session;
    }
    w->data_ms = y->data_ms;
    w->attempts = y->attempts;
    w->attempts_ms = y->attempts_ms;
    w->refused = fact_put(&r->fact[0], &y->refused);
    w->answered = fact_put(&r->fact[1], &y->answered);
    w->unanswered = fact_put(&r->fact[2], &y->unanswered);
    w->data_refused = fact_put(&r->fact[3], &y->data_refused);
    w->session_refused = fact_put(&r->fact[4], &y->session_refused);
    return w;
}

static bool fact_take(struct control_fact *f, const Guardmount__PeerFact *w)
{
    if (!w)
        return true;
    if (w->member > MEMBER_ID_MAX)
        return false;
    f->real_ns = w->real_ns;
    f->count = w->count;
    f->member = (uint8_t)w->member;
    text_to(f->reason, w->reason);
    text_to(f->endpoint, w->endpoint);
    text_to(f->vip, w->vip);
    return true;
}

static int take_why(const Guardmount__PeerWhy *w, struct control_reply *ret)
{
    struct control_why *y = ret->why = calloc(1, sizeof(*y));

    if (!y)
        return -ENOMEM;
    if (w->hub > HUB_ID_MAX || w->owner > MEMBER_ID_MAX || w->keepalive_s > UINT16_MAX ||
        w->public_key.len != sizeof(y->key.b) || (w->session && w->session->term > UINT16_MAX))
        return -EBADMSG;
    y->hub = (uint8_t)w->hub;
    y->owner = (uint8_t)w->owner;
    y->keepalive_s = (uint16_t)w->keepalive_s;
    memcpy(y->key.b, w->public_key.data, sizeof(y->key.b));
    text_to(y->name, w->name);
    text_to(y->state, w->state);
    text_to(y->vip, w->vip);
    text_to(y->vip_state, w->vip_state);
    text_to(y->owner_name, w->owner_name);
    text_to(y->endpoint, w->endpoint);
    text_to(y->allowed, w->allowed);
    text_to(y->group, w->group);
    text_to(y->networks, w->networks);
    y->isolated = w->isolated;
    y->served = w->served;
    y->vip_owned = w->vip_owned;
    y->fit = w->fit;
    y->now_real_ns = w->now_real_ns;
    y->handshake_real_ns = w->handshake_real_ns;
    y->stamp_real_ns = w->stamp_real_ns;
    y->rx_bytes = w->rx_bytes;
    y->tx_bytes = w->tx_bytes;
    y->data_ms = w->data_ms;
    y->attempts = w->attempts;
    y->attempts_ms = w->attempts_ms;
    if (w->session) {
        y->has_session = true;
        y->session.term = (uint16_t)w->session->term;
        y->session.owned = w->session->owned;
        y->session.age_ms = w->session->age_ms;
        text_to(y->session.slot, w->session->slot);
    }
    return fact_take(&y->refused, w->refused) && fact_take(&y->answered, w->answered) &&
                   fact_take(&y->unanswered, w->unanswered) &&
                   fact_take(&y->data_refused, w->data_refused) &&
                   fact_take(&y->session_refused, w->session_refused)
               ? 0
               : -EBADMSG;
}

int see_take(const Guardmount__ControlReply *w, struct control_reply *ret)
{
    int r = w->n_events || w->events_last ? take_events(w, ret) : 0;

    if (r >= 0 && (w->n_audit || w->audit_last))
        r = take_audit(w, ret);
    return r < 0 || !w->why ? r : take_why(w->why, ret);
}
