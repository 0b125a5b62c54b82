#include "proto/control_drill.h"
#include "base/err.h"
#include "proto/control_see.h"

void drill_command_put(Guardmount__DrillCommand *w, const struct drill_command *c)
{
    guardmount__drill_command__init(w);
    w->verb = (Guardmount__DrillVerb)c->verb;
    w->vip = c->vip;
    w->fault = (uint32_t)c->fault;
    w->ms = c->ms;
}

int drill_command_take(const Guardmount__DrillCommand *w, struct drill_command *ret)
{
    if (!w || (unsigned)w->verb >= DRILL_VERBS || !w->vip || w->vip > UINT16_MAX ||
        w->fault >= DRILL_FAULTS)
        return -EBADMSG;
    ret->verb = (enum drill_verb)w->verb;
    ret->vip = (uint16_t)w->vip;
    ret->fault = (enum drill_fault)w->fault;
    ret->ms = w->ms;
    return 0;
}

struct wire_drill {
    Guardmount__DrillReply w;
    Guardmount__DrillPeer peer[CONTROL_DRILL_PEERS_MAX], *peers[CONTROL_DRILL_PEERS_MAX];
};

Guardmount__DrillReply *drill_put(struct control_drill *d)
{
    struct wire_drill *r = calloc(1, sizeof(*r));

    if (!r)
        return NULL;
    guardmount__drill_reply__init(&r->w);
    r->w.peers_cut = d->peers_cut;
    r->w.every_ms = d->every_ms;
    r->w.age_ms = d->age_ms;
    r->w.refused = d->refused;
    r->w.faults = d->faults;
    r->w.max_takeover_ms = d->max_takeover_ms;
    r->w.max_gap_ms = d->max_gap_ms;
    r->w.max_lost = d->max_lost;
    r->w.interfaces = d->interfaces;
    r->w.sync_port = d->sync_port;
    for (unsigned i = 0; i < d->peer_count; i++) {
        struct control_drill_peer *p = &d->peer[i];
        Guardmount__DrillPeer *w = r->peers[i] = &r->peer[i];

        guardmount__drill_peer__init(w);
        w->public_key = (ProtobufCBinaryData){sizeof(p->key.b), p->key.b};
        w->answered = p->answered;
        w->lost = p->lost;
        w->gap_ms = p->gap_ms;
        w->gap_from_ms = p->gap_from_ms;
        w->silent_ms = p->silent_ms;
    }
    r->w.peers = r->peers;
    r->w.n_peers = d->peer_count;
    return &r->w;
}

int drill_take(const Guardmount__DrillReply *w, struct control_drill **ret)
{
    if (w->n_peers > CONTROL_DRILL_PEERS_MAX || w->sync_port > UINT16_MAX)
        return -EBADMSG;
    struct control_drill *d = *ret = calloc(1, sizeof(*d));
    if (!d)
        return -ENOMEM;
    d->peers_cut = w->peers_cut;
    d->every_ms = w->every_ms;
    d->age_ms = w->age_ms;
    text_to(d->refused, w->refused);
    d->faults = w->faults;
    d->max_takeover_ms = w->max_takeover_ms;
    d->max_gap_ms = w->max_gap_ms;
    d->max_lost = w->max_lost;
    text_to(d->interfaces, w->interfaces);
    d->sync_port = (uint16_t)w->sync_port;
    for (size_t i = 0; i < w->n_peers; i++) {
        const Guardmount__DrillPeer *from = w->peers[i];
        struct control_drill_peer *p = &d->peer[d->peer_count++];

        if (from->public_key.len != sizeof(p->key.b))
            return -EBADMSG;
        memcpy(p->key.b, from->public_key.data, sizeof(p->key.b));
        p->answered = from->answered;
        p->lost = from->lost;
        p->gap_ms = from->gap_ms;
        p->gap_from_ms = from->gap_from_ms;
        p->silent_ms = from->silent_ms;
    }
    return 0;
}
