/* proto/wire.h - records between plain structs and generated types; private to the codec.
 *
 * put: fills the generated struct on the caller's stack; bytes fields point into the source.
 * get: false or -errno when a value is out of range; *ret is untouched then. */
#pragma once
#include "proto/codec.h"
#include "proto/sync.pb-c.h"

#define SEALED_LEN(len) (24 + (len) + 16) /* nonce, text, tag */

/* A number that must fit where it goes; @ok is sticky. */
static inline uint64_t wire_in(bool *ok, uint64_t value, uint64_t min, uint64_t max)
{
    *ok &= value >= min && value <= max;
    return value;
}

/* What is allowed, both ways. */
static inline bool member_valid(uint8_t member)
{
    return member >= 1 && member <= MEMBER_ID_MAX;
}

static inline bool id_valid(const struct key_id *id)
{
    return id->hub && member_valid(id->creator) && id->seq;
}

static inline ProtobufCBinaryData wire_bytes(const void *p, size_t len)
{
    return (ProtobufCBinaryData){.len = len, .data = (uint8_t *)p};
}

/* Exactly @len bytes, or @ok is false and @ret all zero. */
void wire_get_bytes(bool *ok, const ProtobufCBinaryData *b, void *ret, size_t len);

void wire_put_id(Guardmount__KeyId *w, const struct key_id *id);
void wire_get_id(bool *ok, const Guardmount__KeyId *w, struct key_id *ret); /* NULL: not @ok */
/* @w, or NULL: none is known. */
Guardmount__Endpoint *wire_put_endpoint(Guardmount__Endpoint *w, const struct endpoint *e);
void wire_get_endpoint(bool *ok, const Guardmount__Endpoint *w, struct endpoint *ret);
void wire_put_version(Guardmount__EndpointVersion *w, const struct endpoint_version *v);
void wire_get_version(const Guardmount__EndpointVersion *w, struct endpoint_version *ret);
void wire_put_stamp(Guardmount__Stamp *w, const struct sync_stamp *st);
void wire_get_stamp(bool *ok, const Guardmount__Stamp *w, struct sync_stamp *ret);

struct wire_session {
    Guardmount__SessionRecord record;
    Guardmount__KeyId id;
    Guardmount__Endpoint endpoint;
    Guardmount__EndpointVersion version;
    uint8_t sealed[SEALED_LEN(sizeof(struct session_keys))];
};

void wire_put_session(struct wire_session *w, const struct session *s, const struct codec_key *key,
                      const struct rng *rng);
int wire_get_session(const Guardmount__SessionRecord *w, const struct codec_key *key,
                     struct session *ret);

#define WIRE_PREFIX_LEN_MAX 17

struct wire_peer {
    Guardmount__PeerRecord record;
    Guardmount__FieldVersion version[PEER_FIELDS], *versions[PEER_FIELDS];
    Guardmount__Endpoint endpoint;
    uint8_t sealed[SEALED_LEN(32)];
    uint8_t allowed[SYNC_PART_PREFIXES * WIRE_PREFIX_LEN_MAX];
};

void wire_put_peer(struct wire_peer *w, const struct peer *p, uint32_t offset,
                   const struct codec_key *key, const struct rng *rng);
int wire_get_peer(const Guardmount__PeerRecord *w, const struct codec_key *key, struct peer **ret,
                  struct sync_part *ret_part);

struct wire_limits {
    Guardmount__Limits body;
    uint32_t hub[SYNC_LIMITS_MAX], creator[SYNC_LIMITS_MAX], seq[SYNC_LIMITS_MAX];
    uint64_t instance[SYNC_LIMITS_MAX], session_seq[SYNC_LIMITS_MAX], limit[SYNC_LIMITS_MAX],
        top[SYNC_LIMITS_MAX];
    protobuf_c_boolean lower[SYNC_LIMITS_MAX], active[SYNC_LIMITS_MAX];
};

void wire_put_limits(struct wire_limits *w, const struct sync_limits *l);
int wire_get_limits(const Guardmount__Limits *b, struct sync_msg *ret); /* the message owns them */
