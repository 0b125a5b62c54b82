#include "unit/proto/samples.h"
#include "base/err.h"
#include "base/secret.h"
#include "lib/test.h"
#include <stdlib.h>

static uint64_t number(const struct rng *r)
{
    switch (test_below(r, 6)) {
    case 0:
        return 0;
    case 1:
        return UINT64_MAX;
    case 2:
        return test_below(r, 300);
    default:
        return rng_u64(r);
    }
}

/* MAX() would draw twice. */
static uint64_t at_least(const struct rng *r, uint64_t min)
{
    uint64_t n = number(r);

    return n < min ? min : n;
}

static uint64_t counter(const struct rng *r)
{
    return test_below(r, 5) ? rng_u64(r) >> (4 + test_below(r, 60)) : SYNC_COUNTER_MAX;
}

static uint8_t member(const struct rng *r)
{
    return (uint8_t)(1 + test_below(r, MEMBER_ID_MAX));
}

static uint8_t hub(const struct rng *r)
{
    return (uint8_t)(1 + test_below(r, HUB_ID_MAX));
}

static bool coin(const struct rng *r)
{
    return test_below(r, 2);
}

static struct key_id id(const struct rng *r)
{
    struct key_id k;

    memset(&k, 0, sizeof(k));
    k.hub = hub(r);
    k.creator = member(r);
    k.instance = rng_u64(r);
    k.seq = at_least(r, 1);
    return k;
}

static struct endpoint endpoint(const struct rng *r)
{
    struct endpoint e = {.port = (uint16_t)(1 + test_below(r, 65535))};

    rng_fill(r, e.addr.b, 16);
    e.addr.b[0] |= 1;
    if (coin(r))
        e.addr = addr_from_v4(e.addr.b);
    else if (coin(r))
        e.addr.scope = test_below(r, 100);
    return e;
}

static struct ip_prefix prefix(const struct rng *r, bool v6)
{
    unsigned bits = v6 ? 128 : 32, len = test_below(r, bits + 1);
    uint8_t addr[16];

    rng_fill(r, addr, sizeof(addr));
    for (unsigned b = len; b < bits; b++)
        addr[b / 8] &= (uint8_t) ~(0x80u >> b % 8);
    return (struct ip_prefix){
        .addr = v6 ? addr_from_v6(addr, 0) : addr_from_v4(addr), .len = (uint8_t)len, .v6 = v6};
}

static void text(const struct rng *r, char *ret, unsigned max)
{
    unsigned len = test_below(r, max + 1);

    for (unsigned i = 0; i < len; i++)
        ret[i] = (char)(1 + test_below(r, 255));
    ret[len] = 0;
}

struct peer *sample_peer(const struct rng *r, unsigned v4_prefixes, unsigned v6_prefixes)
{
    struct public_key key;
    struct secret32 psk;

    rng_fill(r, key.b, sizeof(key.b));
    struct peer *p = peer_new(hub(r), &key);
    assert_non_null(p);
    p->gen = number(r);
    for (unsigned f = 0; f < PEER_FIELDS; f++)
        if (coin(r))
            p->version[f] =
                (struct version){number(r), (uint8_t)test_below(r, MEMBERS_MAX), number(r)};
    p->state = (enum peer_state)test_below(r, 3);
    if (coin(r)) {
        rng_fill(r, psk.b, sizeof(psk.b));
        assert_int_equal(peer_set_psk(p, &psk), 0);
    }
    if (coin(r))
        p->endpoint = endpoint(r);
    p->keepalive_s = (uint16_t)number(r);
    p->vip = (uint16_t)number(r);
    text(r, p->name, PEER_NAME_MAX);
    text(r, p->group, PEER_GROUP_MAX);
    p->policy = number(r);
    p->rate_bps = number(r);
    p->quota_bytes = number(r);
    p->disabled = coin(r);
    p->expires_s = number(r);
    p->pending = coin(r);
    p->mtu = (uint16_t)number(r);
    p->is_group = coin(r);
    if (coin(r))
        rng_fill(r, p->replaces.b, sizeof(p->replaces.b));
    for (unsigned t = 0; t < PEER_TEXTS; t++) {
        char said[PEER_TEXT_MAX + 1];
        text(r, said, PEER_TEXT_MAX);
        assert_int_equal(peer_set_text(p, (enum peer_text)t, said), 0);
    }
    p->allowed_count = v4_prefixes + v6_prefixes;
    if (p->allowed_count) {
        p->allowed = calloc(p->allowed_count, sizeof(*p->allowed));
        assert_non_null(p->allowed);
        for (unsigned i = 0; i < p->allowed_count; i++)
            p->allowed[i] = prefix(r, i >= v4_prefixes);
    }
    return p;
}

static void sample_vector(const struct rng *r, struct vector *v)
{
    for (unsigned m = 1; m < MEMBERS_MAX; m++)
        if (coin(r))
            v->seq[m] = 1 + (number(r) & (SYNC_SEQ_MAX - 1));
}

static void sample_hello(const struct rng *r, struct sync_hello *h)
{
    h->version_min = 1 + test_below(r, 5);
    h->version_max = h->version_min + test_below(r, 5);
    h->features = number(r);
    h->member = member(r);
    h->seq = number(r);
    h->rnd = (uint8_t)number(r);
    rng_fill(r, h->instance, sizeof(h->instance));
    h->membership_epoch = number(r);
    h->highest_seq_of_you = number(r);
    if (coin(r))
        rng_fill(r, h->seen_instance, sizeof(h->seen_instance));
    h->session_seq = number(r);
    h->stamp_floor = number(r);
    h->vip_count = test_below(r, VIPS_MAX + 1);
    for (unsigned i = 0; i < h->vip_count; i++) {
        h->vip_id[i] = (uint16_t)(1 + test_below(r, 65535));
        h->term_on_vip[i] = (uint16_t)test_below(r, SYNC_TERM_MAX + 1);
    }
    sample_vector(r, &h->vector);
}

static void sample_heartbeat(const struct rng *r, struct sync_heartbeat *h)
{
    h->seq = number(r);
    h->sent_boot_ns = number(r);
    h->echo_boot_ns = number(r);
    h->echo_held_ns = number(r);
    h->real_ns = number(r);
    h->stamp_floor = number(r);
    h->lans_known = (uint32_t)number(r);
    h->lans_alive = (uint32_t)number(r);
    h->in_sync = coin(r);
    h->ready = coin(r);
    h->drained = coin(r);
    h->every_ms = (uint32_t)number(r);
}

static void sample_session(const struct rng *r, struct session *s)
{
    s->id = id(r);
    rng_fill(r, s->peer.b, sizeof(s->peer.b));
    s->keys = secret_alloc();
    assert_non_null(s->keys);
    rng_fill(r, s->keys, sizeof(*s->keys));
    s->local_index = rng_u32(r);
    s->remote_index = (uint32_t)number(r);
    s->hub_initiated = coin(r);
    s->slot = (enum session_slot)test_below(r, 3);
    s->confirmed = coin(r);
    s->age_lo_ns = number(r);
    s->age_hi_ns = at_least(r, s->age_lo_ns);
    s->generation = number(r);
    rng_fill(r, s->peer_stamp, sizeof(s->peer_stamp));
    s->limit = counter(r);
    s->top = counter(r);
    s->term = (uint16_t)test_below(r, SYNC_TERM_MAX + 1);
    s->vip = (uint16_t)number(r);
    if (coin(r))
        s->endpoint = endpoint(r);
    s->endpoint_version = (struct endpoint_version){number(r), number(r)};
    s->dirty = coin(r);
    s->active = coin(r);
}

static struct sync_limit limit(const struct rng *r)
{
    return (struct sync_limit){.id = id(r),
                               .limit = counter(r),
                               .top = counter(r),
                               .seq = (uint32_t)number(r),
                               .lower = coin(r),
                               .active = coin(r)};
}

static void sample_limits(const struct rng *r, struct sync_msg *m)
{
    unsigned count = (unsigned)(1 + test_below(r, coin(r) ? 3 : SYNC_LIMITS_MAX));
    struct sync_limit *all = calloc(count, sizeof(*all));

    for (unsigned i = 0; i < count; i++)
        all[i] = limit(r);
    m->limits = (struct sync_limits){.all = all, .count = count};
    m->owned = all;
}

static bool limit_equal(const struct sync_limit *a, const struct sync_limit *b)
{
    return key_id_equal(&a->id, &b->id) && a->limit == b->limit && a->top == b->top &&
           a->seq == b->seq && a->lower == b->lower && a->active == b->active;
}

static bool limits_equal(const struct sync_limits *a, const struct sync_limits *b)
{
    for (unsigned i = 0; i < a->count && a->count == b->count; i++)
        if (!limit_equal(&a->all[i], &b->all[i]))
            return false;
    return a->count == b->count;
}

void sample_msg(const struct rng *r, enum sync_kind kind, struct sync_msg *ret)
{
    struct sync_msg m;

    memset(&m, 0, sizeof(m));
    m.kind = kind;
    if (kind != SYNC_HELLO && kind != SYNC_HEARTBEAT && kind != SYNC_ACK)
        m.position = at_least(r, 1);
    switch (kind) {
    case SYNC_HELLO:
        sample_hello(r, &m.hello);
        break;
    case SYNC_HEARTBEAT:
        sample_heartbeat(r, &m.heartbeat);
        break;
    case SYNC_ACK:
        m.ack.position = number(r);
        break;
    case SYNC_SESSION:
        sample_session(r, &m.session);
        break;
    case SYNC_SESSION_GONE:
        m.gone = id(r);
        break;
    case SYNC_LIMIT:
        m.limit = limit(r);
        break;
    case SYNC_LIMITS:
        sample_limits(r, &m);
        break;
    case SYNC_ADOPTED:
        m.adopted = (struct sync_adopted){.id = id(r),
                                          .term = (uint16_t)test_below(r, SYNC_TERM_MAX + 1),
                                          .limit = counter(r),
                                          .vip = (uint16_t)test_below(r, UINT16_MAX + 1)};
        break;
    case SYNC_ASK:
        m.ask = (struct sync_ask){.id = id(r),
                                  .vip = (uint16_t)(1 + test_below(r, UINT16_MAX)),
                                  .counter = counter(r),
                                  .refused = coin(r)};
        break;
    case SYNC_RELEASED:
        m.released = (struct sync_released){.id = id(r),
                                            .top = counter(r),
                                            .term = (uint16_t)test_below(r, SYNC_TERM_MAX + 1),
                                            .active = coin(r)};
        m.released.tail.known_from = test_below(r, m.released.top + 1);
        m.released.tail.words = (unsigned)test_below(r, REPLAY_TAIL_WORDS + 1);
        for (unsigned i = 0; i < m.released.tail.words; i++)
            m.released.tail.word[i] = number(r);
        break;
    case SYNC_ENDPOINT:
        m.endpoint = (struct sync_endpoint){.hub = hub(r),
                                            .endpoint = endpoint(r),
                                            .version = {number(r), number(r)},
                                            .vip = (uint16_t)number(r),
                                            .idle_ms = number(r)};
        rng_fill(r, m.endpoint.peer.b, 32);
        break;
    case SYNC_STAMP:
        m.stamp =
            (struct sync_stamp){.hub = hub(r), .sent_real_ns = number(r), .generation = number(r)};
        rng_fill(r, m.stamp.peer.b, 32);
        rng_fill(r, m.stamp.received, TAI64N_LEN);
        break;
    case SYNC_PEER:
        m.peer = sample_peer(r, test_below(r, 20), test_below(r, 20));
        break;
    case SYNC_CLAIM:
        m.claim = (struct sync_claim){.vip = (uint16_t)(1 + test_below(r, 65535)),
                                      .epoch = number(r),
                                      .member = member(r),
                                      .held = coin(r),
                                      .term = (uint16_t)test_below(r, SYNC_TERM_MAX + 1),
                                      .hub = (uint8_t)test_below(r, 256),
                                      .leaving = coin(r)};
        break;
    case SYNC_STRAY:
        m.stray = (struct sync_stray){.hub = hub(r), .len = 1 + test_below(r, 2000)};
        rng_fill(r, m.stray.peer.b, 32);
        m.owned = malloc(m.stray.len);
        assert_non_null(m.owned);
        rng_fill(r, m.owned, m.stray.len);
        m.stray.packet = m.owned;
        break;
    case SYNC_DRILL:
        m.drill = (struct sync_drill){.kind = (enum sync_drill_kind)test_below(r, SYNC_DRILL_KINDS),
                                      .run = number(r),
                                      .vip = (uint16_t)(1 + test_below(r, 65535)),
                                      .ms = test_below(r, SYNC_DRILL_MS_MAX + 1),
                                      .stride = (uint16_t)(1 + test_below(r, 1000)),
                                      .fault = (enum drill_fault)test_below(r, DRILL_FAULTS)};
        m.drill.age_ms = test_below(r, m.drill.ms + 1);
        if (m.drill.kind != SYNC_DRILL_ANSWERS)
            break;
        m.drill.answer_count = 1 + test_below(r, 50);
        m.owned = malloc((size_t)m.drill.answer_count * SYNC_DRILL_ANSWER_LEN);
        assert_non_null(m.owned);
        rng_fill(r, m.owned, (size_t)m.drill.answer_count * SYNC_DRILL_ANSWER_LEN);
        m.drill.answers = m.owned;
        break;
    case SYNC_MOVE:
        m.move = (struct sync_move){.kind = (enum move_kind)test_below(r, MOVE_KINDS),
                                    .vip = (uint16_t)number(r),
                                    .member = member(r),
                                    .force = coin(r)};
        break;
    case SYNC_DIRTY:
        m.dirty = (struct sync_dirty){.id = id(r), .dirty = coin(r)};
        break;
    case SYNC_VECTOR:
        sample_vector(r, &m.vector.vector);
        m.vector.covers = coin(r);
        if (!m.vector.covers)
            rng_fill(r, m.vector.digest, sizeof(m.vector.digest));
        break;
    default:
        break;
    }
    *ret = m;
}

static bool version_equal(const struct endpoint_version *a, const struct endpoint_version *b)
{
    return a->generation == b->generation && a->counter == b->counter;
}

static bool hello_equal(const struct sync_hello *a, const struct sync_hello *b)
{
    if (a->vip_count != b->vip_count)
        return false;
    for (unsigned i = 0; i < a->vip_count; i++)
        if (a->vip_id[i] != b->vip_id[i] || a->term_on_vip[i] != b->term_on_vip[i])
            return false;
    return a->version_min == b->version_min && a->version_max == b->version_max &&
           a->features == b->features && a->member == b->member && a->seq == b->seq &&
           a->rnd == b->rnd && memcmp(a->instance, b->instance, 16) == 0 &&
           memcmp(a->seen_instance, b->seen_instance, 16) == 0 &&
           a->membership_epoch == b->membership_epoch &&
           a->highest_seq_of_you == b->highest_seq_of_you && a->session_seq == b->session_seq &&
           a->stamp_floor == b->stamp_floor && vector_equal(&a->vector, &b->vector);
}

static bool heartbeat_equal(const struct sync_heartbeat *a, const struct sync_heartbeat *b)
{
    return a->seq == b->seq && a->sent_boot_ns == b->sent_boot_ns &&
           a->echo_boot_ns == b->echo_boot_ns && a->echo_held_ns == b->echo_held_ns &&
           a->real_ns == b->real_ns && a->stamp_floor == b->stamp_floor &&
           a->lans_known == b->lans_known && a->lans_alive == b->lans_alive &&
           a->in_sync == b->in_sync && a->ready == b->ready && a->drained == b->drained &&
           a->every_ms == b->every_ms;
}

static bool session_equal(const struct session *a, const struct session *b)
{
    return key_id_equal(&a->id, &b->id) && public_key_equal(&a->peer, &b->peer) &&
           memcmp(a->keys, b->keys, sizeof(*a->keys)) == 0 && a->local_index == b->local_index &&
           a->remote_index == b->remote_index && a->hub_initiated == b->hub_initiated &&
           a->slot == b->slot && a->confirmed == b->confirmed && a->age_lo_ns == b->age_lo_ns &&
           a->age_hi_ns == b->age_hi_ns && a->generation == b->generation &&
           memcmp(a->peer_stamp, b->peer_stamp, TAI64N_LEN) == 0 && a->limit == b->limit &&
           a->top == b->top && a->term == b->term && a->vip == b->vip &&
           endpoint_equal(&a->endpoint, &b->endpoint) &&
           version_equal(&a->endpoint_version, &b->endpoint_version) && a->dirty == b->dirty &&
           a->active == b->active;
}

static bool peer_equal(const struct peer *a, const struct peer *b)
{
    for (unsigned t = 0; t < PEER_TEXTS; t++)
        if (strcmp(peer_text(a, (enum peer_text)t), peer_text(b, (enum peer_text)t)) != 0)
            return false;
    for (unsigned f = 0; f < PEER_FIELDS; f++)
        if (version_compare(&a->version[f], &b->version[f]) != 0)
            return false;
    if (a->allowed_count != b->allowed_count || !a->psk != !b->psk)
        return false;
    if (a->psk && memcmp(a->psk, b->psk, sizeof(*a->psk)) != 0)
        return false;
    for (unsigned i = 0; i < a->allowed_count; i++)
        if (!prefix_equal(&a->allowed[i], &b->allowed[i]))
            return false;
    return a->hub == b->hub && public_key_equal(&a->key, &b->key) && a->gen == b->gen &&
           a->state == b->state && endpoint_equal(&a->endpoint, &b->endpoint) &&
           a->keepalive_s == b->keepalive_s && a->vip == b->vip && strcmp(a->name, b->name) == 0 &&
           strcmp(a->group, b->group) == 0 && a->policy == b->policy &&
           a->rate_bps == b->rate_bps && a->quota_bytes == b->quota_bytes &&
           a->disabled == b->disabled && a->expires_s == b->expires_s && a->pending == b->pending &&
           a->mtu == b->mtu && a->is_group == b->is_group &&
           public_key_equal(&a->replaces, &b->replaces);
}

bool sample_equal(const struct sync_msg *a, const struct sync_msg *b)
{
    if (a->kind != b->kind || a->position != b->position)
        return false;
    switch (a->kind) {
    case SYNC_HELLO:
        return hello_equal(&a->hello, &b->hello);
    case SYNC_HEARTBEAT:
        return heartbeat_equal(&a->heartbeat, &b->heartbeat);
    case SYNC_ACK:
        return a->ack.position == b->ack.position;
    case SYNC_SESSION:
        return session_equal(&a->session, &b->session);
    case SYNC_SESSION_GONE:
        return key_id_equal(&a->gone, &b->gone);
    case SYNC_LIMIT:
        return limit_equal(&a->limit, &b->limit);
    case SYNC_LIMITS:
        return limits_equal(&a->limits, &b->limits);
    case SYNC_ADOPTED:
        return key_id_equal(&a->adopted.id, &b->adopted.id) && a->adopted.term == b->adopted.term &&
               a->adopted.limit == b->adopted.limit && a->adopted.vip == b->adopted.vip;
    case SYNC_RELEASED:
        return key_id_equal(&a->released.id, &b->released.id) &&
               a->released.top == b->released.top && a->released.term == b->released.term &&
               a->released.active == b->released.active &&
               a->released.tail.known_from == b->released.tail.known_from &&
               a->released.tail.words == b->released.tail.words &&
               memcmp(a->released.tail.word, b->released.tail.word,
                      a->released.tail.words * sizeof(uint64_t)) == 0;
    case SYNC_ENDPOINT:
        return a->endpoint.hub == b->endpoint.hub &&
               public_key_equal(&a->endpoint.peer, &b->endpoint.peer) &&
               endpoint_equal(&a->endpoint.endpoint, &b->endpoint.endpoint) &&
               version_equal(&a->endpoint.version, &b->endpoint.version) &&
               a->endpoint.vip == b->endpoint.vip && a->endpoint.idle_ms == b->endpoint.idle_ms;
    case SYNC_STAMP:
        return a->stamp.hub == b->stamp.hub && public_key_equal(&a->stamp.peer, &b->stamp.peer) &&
               memcmp(a->stamp.received, b->stamp.received, TAI64N_LEN) == 0 &&
               a->stamp.sent_real_ns == b->stamp.sent_real_ns &&
               a->stamp.generation == b->stamp.generation;
    case SYNC_PEER:
        return peer_equal(a->peer, b->peer);
    case SYNC_CLAIM:
        return a->claim.vip == b->claim.vip && a->claim.epoch == b->claim.epoch &&
               a->claim.member == b->claim.member && a->claim.held == b->claim.held &&
               a->claim.term == b->claim.term && a->claim.hub == b->claim.hub &&
               a->claim.leaving == b->claim.leaving;
    case SYNC_ASK:
        return key_id_equal(&a->ask.id, &b->ask.id) && a->ask.vip == b->ask.vip &&
               a->ask.counter == b->ask.counter && a->ask.refused == b->ask.refused;
    case SYNC_STRAY:
        return a->stray.hub == b->stray.hub && public_key_equal(&a->stray.peer, &b->stray.peer) &&
               a->stray.len == b->stray.len &&
               memcmp(a->stray.packet, b->stray.packet, a->stray.len) == 0;
    case SYNC_DRILL:
        return a->drill.kind == b->drill.kind && a->drill.run == b->drill.run &&
               a->drill.vip == b->drill.vip && a->drill.ms == b->drill.ms &&
               a->drill.age_ms == b->drill.age_ms && a->drill.stride == b->drill.stride &&
               a->drill.fault == b->drill.fault && a->drill.answer_count == b->drill.answer_count &&
               (!a->drill.answer_count ||
                memcmp(a->drill.answers, b->drill.answers,
                       (size_t)a->drill.answer_count * SYNC_DRILL_ANSWER_LEN) == 0);
    case SYNC_MOVE:
        return a->move.kind == b->move.kind && a->move.vip == b->move.vip &&
               a->move.member == b->move.member && a->move.force == b->move.force;
    case SYNC_VECTOR:
        return vector_equal(&a->vector.vector, &b->vector.vector) &&
               a->vector.covers == b->vector.covers &&
               memcmp(a->vector.digest, b->vector.digest, sizeof(a->vector.digest)) == 0;
    case SYNC_DIRTY:
        return key_id_equal(&a->dirty.id, &b->dirty.id) && a->dirty.dirty == b->dirty.dirty;
    default:
        return true;
    }
}
