/* model/peer.h - the replicated, durable record of one peer (failover.md section 7).
 *
 * Owner:   the store; others hold const pointers for the length of a call.
 * Threads: main.
 * Never:   prints or logs the preshared key. */
#pragma once
#include "model/endpoint.h"
#include "model/ids.h"

struct secret32;

/* Which write won a field: causally later, ties by (hlc, member) (P2). */
struct version {
    uint64_t hlc; /* hybrid logical clock: UTC ms << 16 | counter */
    uint8_t member;
    uint64_t seq; /* of the member's operation log */
};

enum peer_state { PEER_ACTIVE, PEER_REMOVED, PEER_REVOKED };

enum peer_field {
    PEER_FIELD_STATE,
    PEER_FIELD_PSK,
    PEER_FIELD_ENDPOINT,
    PEER_FIELD_KEEPALIVE,
    PEER_FIELD_ALLOWED,
    PEER_FIELD_VIP,
    PEER_FIELD_NAME,
    PEER_FIELD_GROUP,
    PEER_FIELD_POLICY,
    PEER_FIELD_RATE, /* reserved up to QUOTA: replicated and kept, not yet used */
    PEER_FIELD_QUOTA,
    PEER_FIELD_DISABLED,
    PEER_FIELD_EXPIRES,
    PEER_FIELD_PENDING,
    PEER_FIELD_REPLACES,
    PEER_FIELD_MTU,
    PEER_FIELD_TEXT, /* the first of PEER_TEXTS */
    PEER_FIELDS = PEER_FIELD_TEXT + 6,
};

/* What is only shown, and of a group what its clients' files say; the networks are those that an
 * isolated group may reach, prefixes with commas. */
enum peer_text {
    PEER_OWNER,
    PEER_DEVICE,
    PEER_NOTE,
    PEER_DNS,
    PEER_ROUTES,
    PEER_NETWORKS,
    PEER_TEXTS,
};
_Static_assert(PEER_FIELD_TEXT + PEER_TEXTS == PEER_FIELDS, "each text is a field");

#define PEER_NAME_MAX 63
#define PEER_GROUP_MAX 63
#define PEER_TEXT_MAX 255 /* bytes of an owner, a device, ... */

/* Of a group: whether the fence lets its peers reach everything, or its networks only. */
enum peer_policy { POLICY_OPEN, POLICY_ISOLATE };

struct peer {
    uint8_t hub;
    struct public_key key;
    uint64_t gen; /* raised by reinstatement after a revocation (P3) */
    struct version version[PEER_FIELDS];
    enum peer_state state;
    struct secret32 *psk;     /* arena slot, NULL: none */
    struct endpoint endpoint; /* as configured; where the peer is now is the engine's */
    uint16_t keepalive_s;     /* persistent keepalive, 0: off */
    uint16_t vip;             /* the VIP its client configuration names; 0: any */
    char name[PEER_NAME_MAX + 1];
    char group[PEER_GROUP_MAX + 1];
    uint64_t policy;                /* enum peer_policy; what this version does not know isolates */
    uint64_t rate_bps, quota_bytes; /* reserved */
    bool disabled;                  /* keeps its prefixes and is not served */
    bool pending;                   /* the same, until somebody approves it */
    bool is_group;                  /* no peer: the settings of the group that is called @name */
    uint64_t expires_s;             /* UTC; not served from then on; 0: never */
    struct public_key replaces; /* zero, or the key whose place it takes when it is first used */
    uint16_t mtu;               /* of a group's clients; 0: the hub's */
    char *text[PEER_TEXTS];     /* NULL: empty */
    struct ip_prefix *allowed;
    unsigned allowed_count;
};

struct peer *peer_new(uint8_t hub, const struct public_key *key);
struct peer *peer_dup(const struct peer *p); /* NULL: out of memory */
void peer_free(struct peer *p);              /* NULL is fine; wipes */
static inline void peer_freep(struct peer **p)
{
    peer_free(*p);
}
int peer_set_psk(struct peer *p, const struct secret32 *psk);   /* NULL or all zero: none */
int peer_allow(struct peer *p, const struct ip_prefix *prefix); /* no doubles */
bool peer_allows(const struct peer *p, const struct ip_prefix *prefix);

int peer_set_text(struct peer *p, enum peer_text which, const char *text); /* cut; -ENOMEM */
static inline const char *peer_text(const struct peer *p, enum peer_text which)
{
    return p->text[which] ? p->text[which] : "";
}

static inline bool peer_expired(const struct peer *p, uint64_t real_s)
{
    return p->expires_s && real_s >= p->expires_s;
}

/* To be served now, as far as the record says. */
static inline bool peer_enabled(const struct peer *p, uint64_t real_s)
{
    return p->state == PEER_ACTIVE && !p->is_group && !p->disabled && !p->pending &&
           !peer_expired(p, real_s);
}
static inline bool peer_is_heir(const struct peer *p)
{
    static const struct public_key none;

    return !public_key_equal(&p->replaces, &none);
}

/* <0, 0, >0 by (hlc, member, seq). */
int version_compare(const struct version *a, const struct version *b);

/* Merge @theirs into @mine by P2: higher gen wins whole; in one gen revoked beats all, else each
 * field by version. True: @mine changed. Deterministic, commutative, idempotent. -ENOMEM. */
int peer_merge(struct peer *mine, const struct peer *theirs, bool *ret_changed);
