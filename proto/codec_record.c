#include "base/bytes.h"
#include "base/err.h"
#include "base/secret.h"
#include "noise/noise.h"
#include "proto/wire.h"

/* ---- sealing (S5) ---- */

#define SEAL_NONCE_LEN 24
#define SEAL_TAG_LEN 16
#define SEAL_NAME_MAX 48

static void seal(uint8_t *dst, const void *secret, size_t len, const uint8_t *name, size_t name_len,
                 const uint8_t key[32], const struct rng *rng)
{
    rng_fill(rng, dst, SEAL_NONCE_LEN);
    xchachapoly_seal(dst + SEAL_NONCE_LEN, secret, len, name, name_len, dst, key);
}

/* @dst has room for the tag as well and is an arena slot. */
static bool seal_open(uint8_t *dst, const ProtobufCBinaryData *sealed, size_t len,
                      const uint8_t *name, size_t name_len, const uint8_t key[32])
{
    return sealed->len == SEALED_LEN(len) &&
           xchachapoly_open(dst, sealed->data + SEAL_NONCE_LEN, len + SEAL_TAG_LEN, name, name_len,
                            sealed->data, key);
}

/* What sealed keys belong to, so that none can be passed off as another's. */
static size_t name_of_session(uint8_t buf[SEAL_NAME_MAX], const struct key_id *id)
{
    buf[0] = 's';
    buf[1] = id->hub;
    buf[2] = id->creator;
    store_be64(buf + 3, id->instance);
    store_be64(buf + 11, id->seq);
    return 19;
}

static size_t name_of_peer(uint8_t buf[SEAL_NAME_MAX], uint8_t hub, const struct public_key *key)
{
    buf[0] = 'p';
    buf[1] = hub;
    memcpy(buf + 2, key->b, sizeof(key->b));
    return 2 + sizeof(key->b);
}

/* ---- small pieces ---- */

void wire_get_bytes(bool *ok, const ProtobufCBinaryData *b, void *ret, size_t len)
{
    memset(ret, 0, len);
    if (b->len == len)
        memcpy(ret, b->data, len);
    else
        *ok = false;
}

void wire_put_id(Guardmount__KeyId *w, const struct key_id *id)
{
    guardmount__key_id__init(w);
    w->hub = id->hub;
    w->creator = id->creator;
    w->instance = id->instance;
    w->seq = id->seq;
}

void wire_get_id(bool *ok, const Guardmount__KeyId *w, struct key_id *ret)
{
    /* Users hash the whole struct, padding included. */
    memset(ret, 0, sizeof(*ret));
    if (!w) {
        *ok = false;
        return;
    }
    ret->hub = (uint8_t)wire_in(ok, w->hub, 1, HUB_ID_MAX);
    ret->creator = (uint8_t)wire_in(ok, w->creator, 1, MEMBER_ID_MAX);
    ret->instance = w->instance;
    ret->seq = wire_in(ok, w->seq, 1, UINT64_MAX);
}

Guardmount__Endpoint *wire_put_endpoint(Guardmount__Endpoint *w, const struct endpoint *e)
{
    if (!endpoint_is_set(e))
        return NULL;
    guardmount__endpoint__init(w);
    w->address = addr_is_v4(&e->addr) ? wire_bytes(e->addr.b + 12, 4) : wire_bytes(e->addr.b, 16);
    w->port = e->port;
    w->scope = e->addr.scope;
    return w;
}

void wire_get_endpoint(bool *ok, const Guardmount__Endpoint *w, struct endpoint *ret)
{
    memset(ret, 0, sizeof(*ret));
    if (!w)
        return;
    if (w->address.len == 4) {
        ret->addr = addr_from_v4(w->address.data);
        ret->addr.scope = w->scope;
    } else if (w->address.len == 16) {
        ret->addr = addr_from_v6(w->address.data, w->scope);
    } else {
        *ok = false;
    }
    ret->port = (uint16_t)wire_in(ok, w->port, 1, 65535);
    *ok &= !addr_is_zero(&ret->addr);
}

void wire_put_version(Guardmount__EndpointVersion *w, const struct endpoint_version *v)
{
    guardmount__endpoint_version__init(w);
    w->generation = v->generation;
    w->counter = v->counter;
}

void wire_get_version(const Guardmount__EndpointVersion *w, struct endpoint_version *ret)
{
    *ret = (struct endpoint_version){0};
    if (w) {
        ret->generation = w->generation;
        ret->counter = w->counter;
    }
}

/* ---- sessions ---- */

void wire_put_stamp(Guardmount__Stamp *w, const struct sync_stamp *st)
{
    guardmount__stamp__init(w);
    w->hub = st->hub;
    w->peer = wire_bytes(st->peer.b, sizeof(st->peer.b));
    w->received = wire_bytes(st->received, sizeof(st->received));
    w->sent_real_ns = st->sent_real_ns;
    w->generation = st->generation;
}

void wire_get_stamp(bool *ok, const Guardmount__Stamp *w, struct sync_stamp *ret)
{
    ret->hub = (uint8_t)wire_in(ok, w->hub, 1, HUB_ID_MAX);
    wire_get_bytes(ok, &w->peer, ret->peer.b, sizeof(ret->peer.b));
    wire_get_bytes(ok, &w->received, ret->received, sizeof(ret->received));
    ret->sent_real_ns = w->sent_real_ns;
    ret->generation = w->generation;
}

void wire_put_session(struct wire_session *w, const struct session *s, const struct codec_key *key,
                      const struct rng *rng)
{
    Guardmount__SessionRecord *r = &w->record;
    uint8_t name[SEAL_NAME_MAX];
    size_t name_len = name_of_session(name, &s->id);

    seal(w->sealed, s->keys, sizeof(*s->keys), name, name_len, key->send, rng);
    guardmount__session_record__init(r);
    wire_put_id(&w->id, &s->id);
    r->id = &w->id;
    r->peer = wire_bytes(s->peer.b, sizeof(s->peer.b));
    r->sealed_keys = wire_bytes(w->sealed, sizeof(w->sealed));
    r->local_index = s->local_index;
    r->remote_index = s->remote_index;
    r->hub_initiated = s->hub_initiated;
    r->slot = (Guardmount__SessionSlot)s->slot;
    r->confirmed = s->confirmed;
    r->age_lo_ns = s->age_lo_ns;
    r->age_hi_ns = s->age_hi_ns;
    r->generation = s->generation;
    r->peer_stamp = wire_bytes(s->peer_stamp, sizeof(s->peer_stamp));
    r->limit = s->limit;
    r->top = s->top;
    r->term = s->term;
    r->vip = s->vip;
    r->endpoint = wire_put_endpoint(&w->endpoint, &s->endpoint);
    wire_put_version(&w->version, &s->endpoint_version);
    r->endpoint_version = &w->version;
    r->dirty = s->dirty;
    r->active = s->active;
}

int wire_get_session(const Guardmount__SessionRecord *w, const struct codec_key *key,
                     struct session *ret)
{
    struct session s = {0};
    uint8_t name[SEAL_NAME_MAX];
    bool ok = true;

    wire_get_id(&ok, w->id, &s.id);
    wire_get_bytes(&ok, &w->peer, s.peer.b, sizeof(s.peer.b));
    s.local_index = w->local_index;
    s.remote_index = w->remote_index;
    s.hub_initiated = w->hub_initiated;
    s.slot = (enum session_slot)wire_in(&ok, (uint64_t)w->slot, SLOT_CURRENT, SLOT_NEXT);
    s.confirmed = w->confirmed;
    s.age_lo_ns = w->age_lo_ns;
    s.age_hi_ns = w->age_hi_ns;
    s.generation = w->generation;
    wire_get_bytes(&ok, &w->peer_stamp, s.peer_stamp, sizeof(s.peer_stamp));
    s.limit = w->limit;
    s.top = w->top;
    s.term = (uint16_t)wire_in(&ok, w->term, 0, SYNC_TERM_MAX);
    s.vip = (uint16_t)wire_in(&ok, w->vip, 0, UINT16_MAX);
    wire_get_endpoint(&ok, w->endpoint, &s.endpoint);
    wire_get_version(w->endpoint_version, &s.endpoint_version);
    s.dirty = w->dirty;
    s.active = w->active;
    if (!ok || w->sealed_keys.len != SEALED_LEN(sizeof(*s.keys)))
        return -EBADMSG;
    s.keys = secret_alloc();
    if (!s.keys)
        return -ENOMEM;
    size_t name_len = name_of_session(name, &s.id);
    if (!seal_open((uint8_t *)s.keys, &w->sealed_keys, sizeof(*s.keys), name, name_len,
                   key->recv)) {
        secret_free(s.keys);
        return -EKEYREJECTED;
    }
    *ret = s;
    return 0;
}

/* ---- peers ---- */

#define PREFIX_V6 64 /* added to the length */

static size_t put_prefix(uint8_t *dst, const struct ip_prefix *p)
{
    size_t len = p->v6 ? 16 : 4;

    *dst = (uint8_t)(p->len + (p->v6 ? PREFIX_V6 : 0));
    memcpy(dst + 1, p->addr.b + 16 - len, len);
    return 1 + len;
}

static bool host_bits_zero(const uint8_t *addr, unsigned addr_len, unsigned prefix_len)
{
    for (unsigned bit = prefix_len; bit < 8 * addr_len; bit++)
        if (addr[bit / 8] >> (7 - bit % 8) & 1)
            return false;
    return true;
}

static bool get_prefix(struct cursor *c, struct ip_prefix *ret)
{
    const uint8_t *kind = cursor_take(c, 1), *addr;

    if (!kind)
        return false;
    bool v6 = *kind >= PREFIX_V6;
    unsigned len = v6 ? *kind - PREFIX_V6 : *kind, addr_len = v6 ? 16 : 4;
    addr = cursor_take(c, addr_len);
    if (!addr || len > 8 * addr_len || !host_bits_zero(addr, addr_len, len))
        return false;
    *ret = (struct ip_prefix){
        .addr = v6 ? addr_from_v6(addr, 0) : addr_from_v4(addr), .len = (uint8_t)len, .v6 = v6};
    return true;
}

static int get_allowed(struct peer *p, const ProtobufCBinaryData *b)
{
    struct cursor c = cursor_of(b->data, b->len);
    struct ip_prefix prefix, *all;
    unsigned count = 0;

    if (!b->len)
        return 0;
    for (; cursor_left(&c); count++)
        if (!get_prefix(&c, &prefix))
            return -EBADMSG;
    all = calloc(count, sizeof(*all));
    if (!all)
        return -ENOMEM;
    p->allowed = all;
    p->allowed_count = count;
    c = cursor_of(b->data, b->len);
    for (unsigned i = 0; i < count; i++)
        get_prefix(&c, &all[i]);
    return 0;
}

static bool get_text(const ProtobufCBinaryData *b, char *ret, size_t max)
{
    if (b->len > max || memchr(b->len ? b->data : (const uint8_t *)"x", 0, b->len))
        return false;
    if (b->len)
        memcpy(ret, b->data, b->len);
    ret[b->len] = 0;
    return true;
}

static bool version_is_set(const struct version *v)
{
    return v->hlc || v->member || v->seq;
}

static ProtobufCBinaryData *text_of(Guardmount__PeerRecord *r, enum peer_text which)
{
    ProtobufCBinaryData *const place[PEER_TEXTS] = {
        [PEER_OWNER] = &r->owner, [PEER_DEVICE] = &r->device, [PEER_NOTE] = &r->note,
        [PEER_DNS] = &r->dns,     [PEER_ROUTES] = &r->routes, [PEER_NETWORKS] = &r->networks};

    return place[which];
}

void wire_put_peer(struct wire_peer *w, const struct peer *p, uint32_t offset,
                   const struct codec_key *key, const struct rng *rng)
{
    Guardmount__PeerRecord *r = &w->record;
    uint32_t count = MIN(p->allowed_count - offset, SYNC_PART_PREFIXES);
    uint8_t name[SEAL_NAME_MAX];
    size_t len = 0;

    guardmount__peer_record__init(r);
    r->hub = p->hub;
    r->key = wire_bytes(p->key.b, sizeof(p->key.b));
    for (uint32_t i = 0; i < count; i++)
        len += put_prefix(w->allowed + len, &p->allowed[offset + i]);
    r->allowed = wire_bytes(w->allowed, len);
    r->allowed_offset = offset;
    r->allowed_total = p->allowed_count;
    if (offset)
        return;
    r->gen = p->gen;
    r->versions = w->versions;
    for (uint32_t f = 0; f < PEER_FIELDS; f++) {
        if (!version_is_set(&p->version[f]))
            continue;
        Guardmount__FieldVersion *v = &w->version[r->n_versions];
        guardmount__field_version__init(v);
        v->field = f;
        v->hlc = p->version[f].hlc;
        v->member = p->version[f].member;
        v->seq = p->version[f].seq;
        w->versions[r->n_versions++] = v;
    }
    r->state = (Guardmount__PeerState)p->state;
    if (p->psk) {
        size_t name_len = name_of_peer(name, p->hub, &p->key);
        seal(w->sealed, p->psk, sizeof(*p->psk), name, name_len, key->send, rng);
        r->sealed_psk = wire_bytes(w->sealed, sizeof(w->sealed));
    }
    r->endpoint = wire_put_endpoint(&w->endpoint, &p->endpoint);
    r->keepalive_s = p->keepalive_s;
    r->vip = p->vip;
    r->name = wire_bytes(p->name, strlen(p->name));
    r->group = wire_bytes(p->group, strlen(p->group));
    r->policy = p->policy;
    r->rate_bps = p->rate_bps;
    r->quota_bytes = p->quota_bytes;
    r->disabled = p->disabled;
    r->expires_s = p->expires_s;
    r->pending = p->pending;
    if (peer_is_heir(p))
        r->replaces = wire_bytes(p->replaces.b, sizeof(p->replaces.b));
    r->mtu = p->mtu;
    r->is_group = p->is_group;
    for (unsigned t = 0; t < PEER_TEXTS; t++) {
        const char *text = peer_text(p, (enum peer_text)t);
        *text_of(r, (enum peer_text)t) = wire_bytes(text, strlen(text));
    }
}

static bool get_versions(const Guardmount__PeerRecord *w, struct peer *p)
{
    uint32_t seen = 0;
    bool ok = true;

    for (size_t i = 0; i < w->n_versions; i++) {
        const Guardmount__FieldVersion *v = w->versions[i];

        if (v->field >= PEER_FIELDS)
            continue; /* of a field that we do not have yet */
        ok &= !(seen >> v->field & 1);
        seen |= 1u << v->field;
        p->version[v->field] =
            (struct version){.hlc = v->hlc,
                             .member = (uint8_t)wire_in(&ok, v->member, 0, MEMBER_ID_MAX),
                             .seq = v->seq};
    }
    return ok;
}

int wire_get_peer(const Guardmount__PeerRecord *w, const struct codec_key *key, struct peer **ret,
                  struct sync_part *ret_part)
{
    struct public_key public_key;
    bool ok = true;
    int r;

    uint8_t hub = (uint8_t)wire_in(&ok, w->hub, 1, HUB_ID_MAX);
    wire_get_bytes(&ok, &w->key, public_key.b, sizeof(public_key.b));
    if (!ok)
        return -EBADMSG;
    _cleanup_(peer_freep) struct peer *p = peer_new(hub, &public_key);
    if (!p)
        return -ENOMEM;
    p->gen = w->gen;
    ok &= get_versions(w, p);
    p->state = (enum peer_state)wire_in(&ok, (uint64_t)w->state, PEER_ACTIVE, PEER_REVOKED);
    wire_get_endpoint(&ok, w->endpoint, &p->endpoint);
    p->keepalive_s = (uint16_t)wire_in(&ok, w->keepalive_s, 0, UINT16_MAX);
    p->vip = (uint16_t)wire_in(&ok, w->vip, 0, UINT16_MAX);
    ok &= get_text(&w->name, p->name, PEER_NAME_MAX);
    ok &= get_text(&w->group, p->group, PEER_GROUP_MAX);
    p->policy = w->policy;
    p->rate_bps = w->rate_bps;
    p->quota_bytes = w->quota_bytes;
    p->disabled = w->disabled;
    p->expires_s = w->expires_s;
    p->pending = w->pending;
    if (w->replaces.len)
        wire_get_bytes(&ok, &w->replaces, p->replaces.b, sizeof(p->replaces.b));
    p->mtu = (uint16_t)wire_in(&ok, w->mtu, 0, UINT16_MAX);
    p->is_group = w->is_group;
    for (unsigned t = 0; ok && t < PEER_TEXTS; t++) {
        char text[PEER_TEXT_MAX + 1];

        ok &=
            get_text(text_of((Guardmount__PeerRecord *)w, (enum peer_text)t), text, PEER_TEXT_MAX);
        if (ok && peer_set_text(p, (enum peer_text)t, text) < 0)
            return -ENOMEM;
    }
    if (!ok)
        return -EBADMSG;
    r = get_allowed(p, &w->allowed);
    if (r < 0)
        return r;
    uint32_t total = (uint32_t)wire_in(&ok, w->allowed_total, 0, SYNC_PREFIXES_MAX);
    uint32_t offset = (uint32_t)wire_in(&ok, w->allowed_offset, 0, total);
    /* Every part but the first brings something, so parts of one record come to an end. */
    ok &= p->allowed_count <= total - offset && (!offset || p->allowed_count) &&
          (p->allowed_count || !total);
    if (!ok)
        return -EBADMSG;
    if (w->sealed_psk.len) {
        uint8_t name[SEAL_NAME_MAX];
        size_t name_len = name_of_peer(name, hub, &public_key);

        if (w->sealed_psk.len != SEALED_LEN(sizeof(*p->psk)))
            return -EBADMSG;
        p->psk = secret_alloc();
        if (!p->psk)
            return -ENOMEM;
        if (!seal_open(p->psk->b, &w->sealed_psk, sizeof(*p->psk), name, name_len, key->recv))
            return -EKEYREJECTED;
    }
    *ret_part = (struct sync_part){.offset = offset, .total = total};
    *ret = TAKE_PTR(p);
    return 0;
}
