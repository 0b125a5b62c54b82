#include "proto/codec.h"
#include "base/err.h"
#include "base/secret.h"
#include "proto/memory.h"
#include "proto/sync.pb-c.h"
#include "proto/wire.h"

/* Field numbers of SyncMessage that are kinds; an unknown one must not be passed over (S6). */
#define KIND_TAG_MIN 16
#define KIND_TAG_MAX 127

static const Guardmount__SyncMessage__BodyCase body_of_kind[SYNC_KINDS] = {
    [SYNC_HELLO] = GUARDMOUNT__SYNC_MESSAGE__BODY_HELLO,
    [SYNC_HEARTBEAT] = GUARDMOUNT__SYNC_MESSAGE__BODY_HEARTBEAT,
    [SYNC_ACK] = GUARDMOUNT__SYNC_MESSAGE__BODY_ACK,
    [SYNC_SESSION] = GUARDMOUNT__SYNC_MESSAGE__BODY_SESSION,
    [SYNC_SESSION_GONE] = GUARDMOUNT__SYNC_MESSAGE__BODY_SESSION_GONE,
    [SYNC_LIMIT] = GUARDMOUNT__SYNC_MESSAGE__BODY_LIMIT,
    [SYNC_LIMITS] = GUARDMOUNT__SYNC_MESSAGE__BODY_LIMITS,
    [SYNC_ADOPTED] = GUARDMOUNT__SYNC_MESSAGE__BODY_ADOPTED,
    [SYNC_RELEASED] = GUARDMOUNT__SYNC_MESSAGE__BODY_RELEASED,
    [SYNC_ENDPOINT] = GUARDMOUNT__SYNC_MESSAGE__BODY_ENDPOINT,
    [SYNC_STAMP] = GUARDMOUNT__SYNC_MESSAGE__BODY_STAMP,
    [SYNC_PEER] = GUARDMOUNT__SYNC_MESSAGE__BODY_PEER,
    [SYNC_CLAIM] = GUARDMOUNT__SYNC_MESSAGE__BODY_CLAIM,
    [SYNC_DIRTY] = GUARDMOUNT__SYNC_MESSAGE__BODY_DIRTY,
    [SYNC_VECTOR] = GUARDMOUNT__SYNC_MESSAGE__BODY_VECTOR,
    [SYNC_SNAPSHOT_END] = GUARDMOUNT__SYNC_MESSAGE__BODY_SNAPSHOT_END,
    [SYNC_MOVE] = GUARDMOUNT__SYNC_MESSAGE__BODY_MOVE,
    [SYNC_STRAY] = GUARDMOUNT__SYNC_MESSAGE__BODY_STRAY,
    [SYNC_DRILL] = GUARDMOUNT__SYNC_MESSAGE__BODY_DRILL,
    [SYNC_ASK] = GUARDMOUNT__SYNC_MESSAGE__BODY_ASK,
};

/* ---- what is allowed, both ways ---- */

static bool hello_valid(const struct sync_hello *h)
{
    if (!member_valid(h->member) || !h->version_min || h->version_min > h->version_max ||
        h->vip_count > VIPS_MAX)
        return false;
    for (unsigned i = 0; i < h->vip_count; i++)
        if (!h->vip_id[i] || h->term_on_vip[i] > SYNC_TERM_MAX)
            return false;
    return true;
}

static bool session_valid(const struct session *s)
{
    /* A ceiling shares its word with a mark in bit 63 (R8), so its range is checked here. */
    return id_valid(&s->id) && (unsigned)s->slot <= SLOT_NEXT && s->age_lo_ns <= s->age_hi_ns &&
           s->limit <= SYNC_COUNTER_MAX && s->top <= SYNC_COUNTER_MAX && s->term <= SYNC_TERM_MAX;
}

/* Of the whole record or of a part: names and prefixes were checked where they were read. */
static bool peer_valid(const struct peer *p, const struct sync_part *part)
{
    if (!p->hub || (unsigned)p->state > PEER_REVOKED || p->allowed_count > SYNC_PREFIXES_MAX ||
        strnlen(p->name, sizeof(p->name)) > PEER_NAME_MAX ||
        strnlen(p->group, sizeof(p->group)) > PEER_GROUP_MAX)
        return false;
    for (unsigned f = 0; f < PEER_FIELDS; f++)
        if (p->version[f].member > MEMBER_ID_MAX)
            return false;
    return !part->offset || part->offset < p->allowed_count;
}

static bool prefixes_valid(const struct peer *p)
{
    for (unsigned i = 0; i < p->allowed_count; i++)
        if (p->allowed[i].len > (p->allowed[i].v6 ? 128 : 32))
            return false;
    return true;
}

static bool limit_valid(const struct sync_limit *l)
{
    return id_valid(&l->id) && l->limit <= SYNC_COUNTER_MAX && l->top <= SYNC_COUNTER_MAX;
}

static bool limits_valid(const struct sync_limits *l)
{
    for (unsigned i = 0; i < l->count && l->count <= SYNC_LIMITS_MAX; i++)
        if (!limit_valid(&l->all[i]))
            return false;
    return l->count >= 1 && l->count <= SYNC_LIMITS_MAX;
}

static bool in_log(enum sync_kind k)
{
    return k != SYNC_HELLO && k != SYNC_HEARTBEAT && k != SYNC_ACK;
}

static bool drill_valid(const struct sync_drill *d)
{
    return (unsigned)d->kind < SYNC_DRILL_KINDS && (unsigned)d->fault < DRILL_FAULTS && d->vip &&
           d->ms <= SYNC_DRILL_MS_MAX && d->age_ms <= d->ms && d->stride <= SYNC_DRILL_STRIDE_MAX &&
           d->answer_count <= SYNC_DRILL_ANSWERS_MAX &&
           (d->kind != SYNC_DRILL_PROBE || d->stride > 0) &&
           (d->kind == SYNC_DRILL_ANSWERS) == (d->answer_count > 0);
}

/* All but what makes sense on one side only. */
static bool valid(const struct sync_msg *m)
{
    if ((unsigned)m->kind >= SYNC_KINDS || in_log(m->kind) != (m->position != 0))
        return false;
    switch (m->kind) {
    case SYNC_HELLO:
        return hello_valid(&m->hello);
    case SYNC_SESSION:
        return session_valid(&m->session);
    case SYNC_SESSION_GONE:
        return id_valid(&m->gone);
    case SYNC_LIMIT:
        return limit_valid(&m->limit);
    case SYNC_LIMITS:
        return limits_valid(&m->limits);
    case SYNC_ADOPTED:
        return id_valid(&m->adopted.id) && m->adopted.term <= SYNC_TERM_MAX &&
               m->adopted.limit <= SYNC_COUNTER_MAX;
    case SYNC_RELEASED:
        return id_valid(&m->released.id) && m->released.term <= SYNC_TERM_MAX &&
               m->released.top <= SYNC_COUNTER_MAX &&
               m->released.tail.known_from <= m->released.top &&
               m->released.tail.words <= REPLAY_TAIL_WORDS;
    case SYNC_ENDPOINT:
        return m->endpoint.hub && endpoint_is_set(&m->endpoint.endpoint);
    case SYNC_STAMP:
        return m->stamp.hub != 0;
    case SYNC_CLAIM:
        return m->claim.vip && member_valid(m->claim.member) && m->claim.term <= SYNC_TERM_MAX;
    case SYNC_DIRTY:
        return id_valid(&m->dirty.id);
    case SYNC_MOVE:
        return (unsigned)m->move.kind < MOVE_KINDS && member_valid(m->move.member);
    case SYNC_STRAY:
        return m->stray.hub && m->stray.len && m->stray.len <= SYNC_STRAY_MAX;
    case SYNC_DRILL:
        return drill_valid(&m->drill);
    case SYNC_ASK:
        return id_valid(&m->ask.id) && m->ask.vip && m->ask.counter <= SYNC_COUNTER_MAX;
    default:
        return true;
    }
}

/* ---- encoding ---- */

struct wire_vector {
    Guardmount__VectorEntry entry[MEMBERS_MAX], *entries[MEMBERS_MAX];
};

/* What the message may need beside itself, on the stack. */
union wire {
    struct {
        Guardmount__Hello body;
        Guardmount__VipTerm vip[VIPS_MAX], *vips[VIPS_MAX];
        struct wire_vector vector;
    } hello;
    Guardmount__Heartbeat heartbeat;
    Guardmount__Ack ack;
    struct wire_session session;
    struct {
        Guardmount__KeyId id;
        union {
            Guardmount__SessionGone gone;
            Guardmount__Limit limit;
            Guardmount__Adopted adopted;
            Guardmount__Released released;
            Guardmount__Dirty dirty;
            Guardmount__KeyAsk ask;
        };
    } key;
    struct wire_limits limits;
    struct {
        Guardmount__EndpointMoved body;
        Guardmount__Endpoint endpoint;
        Guardmount__EndpointVersion version;
    } endpoint;
    Guardmount__Stamp stamp;
    struct wire_peer peer;
    Guardmount__Claim claim;
    Guardmount__Move move;
    Guardmount__Stray stray;
    Guardmount__Drill drill;
    struct {
        Guardmount__Vector body;
        struct wire_vector entries;
    } vector;
    Guardmount__SnapshotEnd end;
};

static size_t put_vector(struct wire_vector *w, const struct vector *v)
{
    size_t count = 0;

    for (unsigned m = 1; m < MEMBERS_MAX; m++) {
        if (!v->seq[m])
            continue;
        guardmount__vector_entry__init(&w->entry[count]);
        w->entry[count].member = m;
        w->entry[count].seq = v->seq[m];
        w->entries[count] = &w->entry[count];
        count++;
    }
    return count;
}

static void put_hello(union wire *w, const struct sync_hello *h)
{
    Guardmount__Hello *b = &w->hello.body;

    guardmount__hello__init(b);
    b->version_min = h->version_min;
    b->version_max = h->version_max;
    b->features = h->features;
    b->member = h->member;
    b->seq = h->seq;
    b->rnd = h->rnd;
    b->instance = wire_bytes(h->instance, sizeof(h->instance));
    b->membership_epoch = h->membership_epoch;
    b->highest_seq_of_you = h->highest_seq_of_you;
    b->session_seq = h->session_seq;
    if (!secret_is_zero(h->seen_instance, sizeof(h->seen_instance)))
        b->seen_instance = wire_bytes(h->seen_instance, sizeof(h->seen_instance));
    b->stamp_floor = h->stamp_floor;
    b->vips = w->hello.vips;
    for (unsigned i = 0; i < h->vip_count; i++) {
        guardmount__vip_term__init(&w->hello.vip[i]);
        w->hello.vip[i].vip = h->vip_id[i];
        w->hello.vip[i].term = h->term_on_vip[i];
        b->vips[b->n_vips++] = &w->hello.vip[i];
    }
    b->vector = w->hello.vector.entries;
    b->n_vector = put_vector(&w->hello.vector, &h->vector);
}

static void put_heartbeat(union wire *w, const struct sync_heartbeat *hb)
{
    Guardmount__Heartbeat *b = &w->heartbeat;

    guardmount__heartbeat__init(b);
    b->seq = hb->seq;
    b->sent_boot_ns = hb->sent_boot_ns;
    b->echo_boot_ns = hb->echo_boot_ns;
    b->echo_held_ns = hb->echo_held_ns;
    b->real_ns = hb->real_ns;
    b->stamp_floor = hb->stamp_floor;
    b->lans_known = hb->lans_known;
    b->lans_alive = hb->lans_alive;
    b->in_sync = hb->in_sync;
    b->ready = hb->ready;
    b->drained = hb->drained;
    b->every_ms = hb->every_ms;
}

static void put_limit(union wire *w, const struct sync_limit *l)
{
    Guardmount__Limit *b = &w->key.limit;

    guardmount__limit__init(b);
    wire_put_id(&w->key.id, &l->id);
    b->id = &w->key.id;
    b->limit = l->limit;
    b->top = l->top;
    b->seq = l->seq;
    b->lower = l->lower;
    b->active = l->active;
}

static void put_ask(union wire *w, const struct sync_ask *a)
{
    Guardmount__KeyAsk *b = &w->key.ask;

    guardmount__key_ask__init(b);
    wire_put_id(&w->key.id, &a->id);
    b->id = &w->key.id;
    b->vip = a->vip;
    b->counter = a->counter;
    b->refused = a->refused;
}

static void put_adopted(union wire *w, const struct sync_adopted *a)
{
    Guardmount__Adopted *b = &w->key.adopted;

    guardmount__adopted__init(b);
    wire_put_id(&w->key.id, &a->id);
    b->id = &w->key.id;
    b->term = a->term;
    b->limit = a->limit;
    b->vip = a->vip;
}

static void put_released(union wire *w, const struct sync_released *r)
{
    Guardmount__Released *b = &w->key.released;

    guardmount__released__init(b);
    wire_put_id(&w->key.id, &r->id);
    b->id = &w->key.id;
    b->top = r->top;
    b->term = r->term;
    b->active = r->active;
    b->n_tail = r->tail.words;
    b->tail = (uint64_t *)r->tail.word; /* it is only read */
    b->known_from = r->tail.known_from;
}

static void put_endpoint(union wire *w, const struct sync_endpoint *e)
{
    Guardmount__EndpointMoved *b = &w->endpoint.body;

    guardmount__endpoint_moved__init(b);
    b->hub = e->hub;
    b->peer = wire_bytes(e->peer.b, sizeof(e->peer.b));
    b->endpoint = wire_put_endpoint(&w->endpoint.endpoint, &e->endpoint);
    wire_put_version(&w->endpoint.version, &e->version);
    b->version = &w->endpoint.version;
    b->vip = e->vip;
    b->idle_ms = e->idle_ms;
}

static void put_vector_message(union wire *w, const struct sync_vector *v)
{
    Guardmount__Vector *b = &w->vector.body;

    guardmount__vector__init(b);
    b->entries = w->vector.entries.entries;
    b->n_entries = put_vector(&w->vector.entries, &v->vector);
    b->covers = v->covers;
    if (!v->covers)
        b->digest = wire_bytes(v->digest, sizeof(v->digest));
}

static void put_claim(union wire *w, const struct sync_claim *c)
{
    Guardmount__Claim *b = &w->claim;

    guardmount__claim__init(b);
    b->vip = c->vip;
    b->epoch = c->epoch;
    b->member = c->member;
    b->held = c->held;
    b->term = c->term;
    b->hub = c->hub;
    b->leaving = c->leaving;
}

static void put_move(union wire *w, const struct sync_move *m)
{
    Guardmount__Move *b = &w->move;

    guardmount__move__init(b);
    b->kind = (Guardmount__MoveKind)m->kind;
    b->vip = m->vip;
    b->member = m->member;
    b->force = m->force;
}

static void put_drill(union wire *w, const struct sync_drill *d)
{
    Guardmount__Drill *b = &w->drill;

    guardmount__drill__init(b);
    b->kind = (Guardmount__DrillKind)d->kind;
    b->run = d->run;
    b->vip = d->vip;
    b->ms = d->ms;
    b->age_ms = d->age_ms;
    b->stride = d->stride;
    b->fault = (Guardmount__DrillFault)d->fault;
    if (d->answer_count)
        b->answers = wire_bytes(d->answers, (size_t)d->answer_count * SYNC_DRILL_ANSWER_LEN);
}

int codec_encode(const struct sync_msg *m, const struct codec_key *key, const struct rng *rng,
                 uint8_t *buf, size_t room)
{
    Guardmount__SyncMessage s = GUARDMOUNT__SYNC_MESSAGE__INIT;
    union wire w;

    if (!valid(m))
        return -EINVAL;
    s.position = m->position;
    s.body_case = body_of_kind[m->kind];
    /* The members of the oneof share one pointer. */
    switch (m->kind) {
    case SYNC_HELLO:
        put_hello(&w, &m->hello);
        s.hello = &w.hello.body;
        break;
    case SYNC_HEARTBEAT:
        put_heartbeat(&w, &m->heartbeat);
        s.heartbeat = &w.heartbeat;
        break;
    case SYNC_ACK:
        guardmount__ack__init(&w.ack);
        w.ack.position = m->ack.position;
        s.ack = &w.ack;
        break;
    case SYNC_SESSION:
        if (!m->session.keys)
            return -EINVAL;
        wire_put_session(&w.session, &m->session, key, rng);
        s.session = &w.session.record;
        break;
    case SYNC_SESSION_GONE:
        guardmount__session_gone__init(&w.key.gone);
        wire_put_id(&w.key.id, &m->gone);
        w.key.gone.id = &w.key.id;
        s.session_gone = &w.key.gone;
        break;
    case SYNC_LIMIT:
        put_limit(&w, &m->limit);
        s.limit = &w.key.limit;
        break;
    case SYNC_LIMITS:
        wire_put_limits(&w.limits, &m->limits);
        s.limits = &w.limits.body;
        break;
    case SYNC_ADOPTED:
        put_adopted(&w, &m->adopted);
        s.adopted = &w.key.adopted;
        break;
    case SYNC_RELEASED:
        put_released(&w, &m->released);
        s.released = &w.key.released;
        break;
    case SYNC_ENDPOINT:
        put_endpoint(&w, &m->endpoint);
        s.endpoint = &w.endpoint.body;
        break;
    case SYNC_STAMP:
        wire_put_stamp(&w.stamp, &m->stamp);
        s.stamp = &w.stamp;
        break;
    case SYNC_PEER:
        if (!m->peer || !peer_valid(m->peer, &m->part) || !prefixes_valid(m->peer))
            return -EINVAL;
        wire_put_peer(&w.peer, m->peer, m->part.offset, key, rng);
        s.peer = &w.peer.record;
        break;
    case SYNC_CLAIM:
        put_claim(&w, &m->claim);
        s.claim = &w.claim;
        break;
    case SYNC_DIRTY:
        guardmount__dirty__init(&w.key.dirty);
        wire_put_id(&w.key.id, &m->dirty.id);
        w.key.dirty.id = &w.key.id;
        w.key.dirty.dirty = m->dirty.dirty;
        s.dirty = &w.key.dirty;
        break;
    case SYNC_VECTOR:
        put_vector_message(&w, &m->vector);
        s.vector = &w.vector.body;
        break;
    case SYNC_SNAPSHOT_END:
        guardmount__snapshot_end__init(&w.end);
        s.snapshot_end = &w.end;
        break;
    case SYNC_MOVE:
        put_move(&w, &m->move);
        s.move = &w.move;
        break;
    case SYNC_STRAY:
        guardmount__stray__init(&w.stray);
        w.stray.hub = m->stray.hub;
        w.stray.peer = wire_bytes(m->stray.peer.b, sizeof(m->stray.peer.b));
        w.stray.packet = wire_bytes(m->stray.packet, m->stray.len);
        s.stray = &w.stray;
        break;
    case SYNC_DRILL:
        put_drill(&w, &m->drill);
        s.drill = &w.drill;
        break;
    case SYNC_ASK:
        put_ask(&w, &m->ask);
        s.ask = &w.key.ask;
        break;
    case SYNC_KINDS:
        return -EINVAL;
    }
    size_t len = guardmount__sync_message__get_packed_size(&s);
    if (len > room || len > SYNC_FRAME_MAX)
        return -EMSGSIZE;
    return (int)guardmount__sync_message__pack(&s, buf);
}

/* ---- decoding ---- */

/* Each member at most once, none of them 0. */
static void get_vector(bool *ok, Guardmount__VectorEntry *const *entries, size_t count,
                       struct vector *ret)
{
    *ok &= count < MEMBERS_MAX;
    for (size_t i = 0; *ok && i < count; i++) {
        uint64_t member = wire_in(ok, entries[i]->member, 1, MEMBER_ID_MAX);
        uint64_t seq = wire_in(ok, entries[i]->seq, 1, SYNC_SEQ_MAX);

        if (!*ok)
            break;
        *ok = ret->seq[member] == 0;
        ret->seq[member] = seq;
    }
}

static void get_vector_message(bool *ok, const Guardmount__Vector *b, struct sync_vector *v)
{
    get_vector(ok, b->entries, b->n_entries, &v->vector);
    v->covers = b->covers;
    if (!v->covers)
        wire_get_bytes(ok, &b->digest, v->digest, sizeof(v->digest));
}

static void get_hello(bool *ok, const Guardmount__Hello *b, struct sync_hello *h)
{
    h->version_min = b->version_min;
    h->version_max = b->version_max;
    h->features = b->features;
    h->member = (uint8_t)wire_in(ok, b->member, 1, MEMBER_ID_MAX);
    h->seq = b->seq;
    h->rnd = (uint8_t)wire_in(ok, b->rnd, 0, UINT8_MAX);
    wire_get_bytes(ok, &b->instance, h->instance, sizeof(h->instance));
    h->membership_epoch = b->membership_epoch;
    h->highest_seq_of_you = b->highest_seq_of_you;
    if (b->seen_instance.len)
        wire_get_bytes(ok, &b->seen_instance, h->seen_instance, sizeof(h->seen_instance));
    h->session_seq = b->session_seq;
    h->stamp_floor = b->stamp_floor;
    h->vip_count = (unsigned)wire_in(ok, b->n_vips, 0, VIPS_MAX);
    for (unsigned i = 0; *ok && i < h->vip_count; i++) {
        h->vip_id[i] = (uint16_t)wire_in(ok, b->vips[i]->vip, 1, UINT16_MAX);
        h->term_on_vip[i] = (uint16_t)wire_in(ok, b->vips[i]->term, 0, SYNC_TERM_MAX);
    }
    get_vector(ok, b->vector, b->n_vector, &h->vector);
}

static void get_heartbeat(const Guardmount__Heartbeat *b, struct sync_heartbeat *hb)
{
    hb->seq = b->seq;
    hb->sent_boot_ns = b->sent_boot_ns;
    hb->echo_boot_ns = b->echo_boot_ns;
    hb->echo_held_ns = b->echo_held_ns;
    hb->real_ns = b->real_ns;
    hb->stamp_floor = b->stamp_floor;
    hb->lans_known = b->lans_known;
    hb->lans_alive = b->lans_alive;
    hb->in_sync = b->in_sync;
    hb->ready = b->ready;
    hb->drained = b->drained;
    hb->every_ms = b->every_ms;
}

static void get_limit(bool *ok, const Guardmount__Limit *b, struct sync_limit *l)
{
    wire_get_id(ok, b->id, &l->id);
    l->limit = b->limit;
    l->top = b->top;
    l->seq = b->seq;
    l->lower = b->lower;
    l->active = b->active;
}

static void get_ask(bool *ok, const Guardmount__KeyAsk *b, struct sync_ask *a)
{
    wire_get_id(ok, b->id, &a->id);
    a->vip = (uint16_t)wire_in(ok, b->vip, 1, UINT16_MAX);
    a->counter = wire_in(ok, b->counter, 0, SYNC_COUNTER_MAX);
    a->refused = b->refused;
}

static void get_adopted(bool *ok, const Guardmount__Adopted *b, struct sync_adopted *a)
{
    wire_get_id(ok, b->id, &a->id);
    a->term = (uint16_t)wire_in(ok, b->term, 0, SYNC_TERM_MAX);
    a->limit = b->limit;
    a->vip = (uint16_t)wire_in(ok, b->vip, 0, UINT16_MAX);
}

static void get_released(bool *ok, const Guardmount__Released *b, struct sync_released *r)
{
    wire_get_id(ok, b->id, &r->id);
    r->top = b->top;
    r->term = (uint16_t)wire_in(ok, b->term, 0, SYNC_TERM_MAX);
    r->active = b->active;
    r->tail.words = (unsigned)wire_in(ok, b->n_tail, 0, REPLAY_TAIL_WORDS);
    for (unsigned i = 0; i < r->tail.words; i++)
        r->tail.word[i] = b->tail[i];
    r->tail.known_from = b->known_from;
}

static void get_endpoint(bool *ok, const Guardmount__EndpointMoved *b, struct sync_endpoint *e)
{
    e->hub = (uint8_t)wire_in(ok, b->hub, 1, HUB_ID_MAX);
    wire_get_bytes(ok, &b->peer, e->peer.b, sizeof(e->peer.b));
    wire_get_endpoint(ok, b->endpoint, &e->endpoint);
    wire_get_version(b->version, &e->version);
    e->vip = (uint16_t)wire_in(ok, b->vip, 0, UINT16_MAX);
    e->idle_ms = b->idle_ms;
}

static void get_claim(bool *ok, const Guardmount__Claim *b, struct sync_claim *c)
{
    c->vip = (uint16_t)wire_in(ok, b->vip, 1, UINT16_MAX);
    c->epoch = b->epoch;
    c->member = (uint8_t)wire_in(ok, b->member, 1, MEMBER_ID_MAX);
    c->held = b->held;
    c->term = (uint16_t)wire_in(ok, b->term, 0, SYNC_TERM_MAX);
    c->hub = (uint8_t)wire_in(ok, b->hub, 0, HUB_ID_MAX);
    c->leaving = b->leaving;
}

static void get_move(bool *ok, const Guardmount__Move *b, struct sync_move *m)
{
    m->kind = (enum move_kind)wire_in(ok, (uint64_t)b->kind, 0, MOVE_KINDS - 1);
    m->vip = (uint16_t)wire_in(ok, b->vip, 0, UINT16_MAX);
    m->member = (uint8_t)wire_in(ok, b->member, 1, MEMBER_ID_MAX);
    m->force = b->force;
}

static int get_stray(bool *ok, const Guardmount__Stray *b, struct sync_msg *m)
{
    struct sync_stray *s = &m->stray;

    s->hub = (uint8_t)wire_in(ok, b->hub, 1, HUB_ID_MAX);
    wire_get_bytes(ok, &b->peer, s->peer.b, sizeof(s->peer.b));
    s->len = wire_in(ok, b->packet.len, 1, SYNC_STRAY_MAX);
    if (!*ok)
        return 0;
    m->owned = malloc(s->len);
    if (!m->owned)
        return -ENOMEM;
    s->packet = memcpy(m->owned, b->packet.data, s->len);
    return 0;
}

static int get_drill(bool *ok, const Guardmount__Drill *b, struct sync_msg *m)
{
    struct sync_drill *d = &m->drill;

    d->kind = (enum sync_drill_kind)wire_in(ok, (uint64_t)b->kind, 0, SYNC_DRILL_KINDS - 1);
    d->run = b->run;
    d->vip = (uint16_t)wire_in(ok, b->vip, 1, UINT16_MAX);
    d->ms = (uint32_t)wire_in(ok, b->ms, 0, SYNC_DRILL_MS_MAX);
    d->age_ms = (uint32_t)wire_in(ok, b->age_ms, 0, d->ms);
    d->stride = (uint16_t)wire_in(ok, b->stride, 0, SYNC_DRILL_STRIDE_MAX);
    d->fault = (enum drill_fault)wire_in(ok, (uint64_t)b->fault, 0, DRILL_FAULTS - 1);
    d->answer_count =
        (unsigned)wire_in(ok, b->answers.len / SYNC_DRILL_ANSWER_LEN, 0, SYNC_DRILL_ANSWERS_MAX);
    *ok &= b->answers.len % SYNC_DRILL_ANSWER_LEN == 0;
    if (!*ok || !d->answer_count)
        return 0;
    m->owned = malloc(b->answers.len);
    if (!m->owned)
        return -ENOMEM;
    d->answers = memcpy(m->owned, b->answers.data, b->answers.len);
    return 0;
}

static bool has_unknown_kind(const ProtobufCMessage *m)
{
    for (unsigned i = 0; i < m->n_unknown_fields; i++)
        if (m->unknown_fields[i].tag >= KIND_TAG_MIN && m->unknown_fields[i].tag <= KIND_TAG_MAX)
            return true;
    return false;
}

static int get_body(const Guardmount__SyncMessage *s, const struct codec_key *key,
                    struct sync_msg *m)
{
    bool ok = true;
    int r = 0;

    switch (m->kind) {
    case SYNC_HELLO:
        get_hello(&ok, s->hello, &m->hello);
        break;
    case SYNC_HEARTBEAT:
        get_heartbeat(s->heartbeat, &m->heartbeat);
        break;
    case SYNC_ACK:
        m->ack.position = s->ack->position;
        break;
    case SYNC_SESSION:
        r = wire_get_session(s->session, key, &m->session);
        break;
    case SYNC_SESSION_GONE:
        wire_get_id(&ok, s->session_gone->id, &m->gone);
        break;
    case SYNC_LIMIT:
        get_limit(&ok, s->limit, &m->limit);
        break;
    case SYNC_LIMITS:
        r = wire_get_limits(s->limits, m);
        break;
    case SYNC_ADOPTED:
        get_adopted(&ok, s->adopted, &m->adopted);
        break;
    case SYNC_RELEASED:
        get_released(&ok, s->released, &m->released);
        break;
    case SYNC_ENDPOINT:
        get_endpoint(&ok, s->endpoint, &m->endpoint);
        break;
    case SYNC_STAMP:
        wire_get_stamp(&ok, s->stamp, &m->stamp);
        break;
    case SYNC_PEER:
        r = wire_get_peer(s->peer, key, &m->peer, &m->part);
        break;
    case SYNC_CLAIM:
        get_claim(&ok, s->claim, &m->claim);
        break;
    case SYNC_DIRTY:
        wire_get_id(&ok, s->dirty->id, &m->dirty.id);
        m->dirty.dirty = s->dirty->dirty;
        break;
    case SYNC_VECTOR:
        get_vector_message(&ok, s->vector, &m->vector);
        break;
    case SYNC_SNAPSHOT_END:
        break;
    case SYNC_MOVE:
        get_move(&ok, s->move, &m->move);
        break;
    case SYNC_STRAY:
        r = get_stray(&ok, s->stray, m);
        break;
    case SYNC_DRILL:
        r = get_drill(&ok, s->drill, m);
        break;
    case SYNC_ASK:
        get_ask(&ok, s->ask, &m->ask);
        break;
    case SYNC_KINDS:
        return -EPROTO;
    }
    return r < 0 ? r : ok ? 0 : -EBADMSG;
}

int codec_decode(const uint8_t *buf, size_t len, const struct codec_key *key, struct sync_msg *ret)
{
    Guardmount__SyncMessage *s;
    struct sync_msg m;
    struct memory memory;
    int r;

    if (len > SYNC_FRAME_MAX)
        return -EBADMSG;
    memory_init(&memory, MEMORY_LEN_MAX);
    s = guardmount__sync_message__unpack(&memory.allocator, len, buf);
    if (!s)
        return memory.exhausted ? -ENOMEM : -EBADMSG;
    memset(&m, 0, sizeof(m));
    m.kind = SYNC_KINDS;
    for (unsigned k = 0; k < SYNC_KINDS; k++)
        if (s->body_case == body_of_kind[k])
            m.kind = (enum sync_kind)k;
    m.position = s->position;
    if (has_unknown_kind(&s->base)) {
        r = -EPROTO;
    } else if (m.kind == SYNC_KINDS) {
        r = -EBADMSG; /* no body at all */
    } else {
        r = get_body(s, key, &m);
        if (r == 0 && !valid(&m)) {
            sync_msg_clear(&m);
            r = -EBADMSG;
        }
    }
    guardmount__sync_message__free_unpacked(s, &memory.allocator);
    if (r < 0)
        return r;
    *ret = m;
    return 0;
}
