/* model/ids.h - the numbers that name things across the cluster. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define MEMBER_ID_MAX 15 /* members are 1..15; 0: nobody */
#define MEMBERS_MAX 16   /* size of arrays indexed by member id */
#define HUB_ID_MAX 255   /* hubs are 1..255 */
#define VIP_ID_NONE 0    /* plain mode: no floating address */
#define VIPS_MAX 64      /* of one process; VIP ids are 16 bits on the wire */
#define HOLDERS_MAX 2    /* designated backups of a VIP (S8) */

struct public_key {
    uint8_t b[32];
};

static inline bool public_key_equal(const struct public_key *a, const struct public_key *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

/* A session key's name for ever: never its receiver index (failover.md, Words). Packed, since every
 * key that is held has one. */
struct key_id {
    uint64_t instance; /* of the creator's process: 64 random bits */
    uint64_t seq;      /* the instance's session sequence, from 1 */
    uint8_t hub;
    uint8_t creator; /* member that completed the handshake */
} __attribute__((packed));

static inline bool key_id_equal(const struct key_id *a, const struct key_id *b)
{
    return a->hub == b->hub && a->creator == b->creator && a->instance == b->instance &&
           a->seq == b->seq;
}
