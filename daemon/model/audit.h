/* model/audit.h - entries of the audit log, and the chain of hashes that they make. Pure.
 *
 * A member's entries count from 1. The hash of one is BLAKE2b-256 over "PREVIOUS SERIAL TEXT", with
 * PREVIOUS the hash before it in hex (of the first: 64 zeros), so that `b2sum -l 256` tells the
 * same. Whoever changes or takes out an entry must change all that follow.
 *
 * Text:    fields as of base/fields.h: at= (UTC) member= by= did= and what it was done to. No
 *          secret is in it: of a preshared key only that there is one.
 * Owner:   whoever made it. Threads: any. */
#pragma once
#include "model/peer.h"

#define AUDIT_TEXT_MAX 511 /* bytes */
#define AUDIT_HASH_LEN 32
#define AUDIT_ACTOR_MAX 31

struct audit_entry {
    uint64_t serial;
    char text[AUDIT_TEXT_MAX + 1];
    uint8_t hash[AUDIT_HASH_LEN];
};

/* Set the hash from what is before it (zeros: nothing). */
void audit_seal(struct audit_entry *e, const uint8_t previous[AUDIT_HASH_LEN]);
/* Is it what was sealed behind @previous? */
bool audit_intact(const struct audit_entry *e, const uint8_t previous[AUDIT_HASH_LEN]);

/* Who did it, where and when. */
struct audit_origin {
    uint64_t real_ns;
    uint8_t member;
    const char *actor; /* "": the daemon itself */
};

void audit_write(char ret[AUDIT_TEXT_MAX + 1], const struct audit_origin *o, const char *did,
                 const char *details);
/* From @before (NULL: nothing was there) to @now; what was changed has the version @stamp. */
void audit_write_peer(char ret[AUDIT_TEXT_MAX + 1], const struct audit_origin *o,
                      const struct peer *before, const struct peer *now,
                      const struct version *stamp);
