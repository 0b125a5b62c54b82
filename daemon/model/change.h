/* model/change.h - a set of edits asked for by an operator or a tool, validated as a whole before
 * any of it is applied.
 *
 * Owner:   whoever parsed it, until node_change() takes it.
 * Threads: main. */
#pragma once
#include "model/audit.h"
#include "model/peer.h"

#define CHANGE_DETAILS_MAX 127

/* What one "set" of the UAPI can say of a peer; flags tell which members are meant. */
struct peer_change {
    struct public_key key;
    bool remove, update_only, replace_allowed;
    bool revoke; /* P3: also of a key that nobody knows, or that is revoked already */
    bool bury;   /* a key that is not known here, in @gen: as if it had been and was removed */
    uint64_t gen;
    bool reinstate; /* of a revoked key, when the peer is added (P3) */
    bool has_psk, has_endpoint, has_keepalive, has_name, has_disabled;
    bool disabled;
    struct secret32 *psk; /* arena slot; all zero: remove it */
    struct endpoint endpoint;
    uint16_t keepalive_s;
    char name[PEER_NAME_MAX + 1];
    bool has_group, has_vip, has_expires, has_pending, has_replaces, has_mtu, has_policy;
    char group[PEER_GROUP_MAX + 1];
    uint16_t vip, mtu;
    enum peer_policy policy;
    uint64_t expires_s;
    bool pending;
    bool is_group; /* of a new record: a group's settings */
    struct public_key replaces;
    bool succeed;           /* take the place of the key that it replaces, and revoke that */
    char *text[PEER_TEXTS]; /* malloc; NULL: as it is, "": none */
    struct allowed_edit {
        struct ip_prefix prefix;
        bool remove; /* "-net/cidr" */
    } * allowed;
    unsigned allowed_count, allowed_room;
};

struct change {
    uint8_t hub;
    bool has_private_key, has_listen_port, has_fwmark, replace_peers;
    struct secret32 *private_key;    /* arena slot; all zero: remove it */
    uint16_t listen_port;            /* 0: random */
    uint32_t fwmark;                 /* 0: off */
    char actor[AUDIT_ACTOR_MAX + 1]; /* for the audit log; "": the daemon itself */
    /* What was done besides, or instead: for the audit log. */
    const char *did; /* static; NULL: nothing */
    char details[CHANGE_DETAILS_MAX + 1];
    struct peer_change *peers;
    unsigned peer_count, peer_room;
};

struct change *change_new(uint8_t hub);
void change_free(struct change *c); /* NULL is fine; wipes */
static inline void change_freep(struct change **c)
{
    change_free(*c);
}
/* The next peer of the set, zeroed; NULL: out of memory. */
struct peer_change *change_add_peer(struct change *c, const struct public_key *key);
int peer_change_text(struct peer_change *p, enum peer_text which, const char *text); /* -ENOMEM */
int peer_change_allow(struct peer_change *p, const struct ip_prefix *prefix, bool remove);
