/* store/internal.h - shared by store.c, edit.c and db.c; for nobody else. */
#pragma once
#include "store/audit.h"
#include "store/db.h"
#include "store/layer.h"
#include "store/reserve.h"
#include "store/store.h"

#define HLC_COUNTER_BITS 16 /* below milliseconds */

struct record {
    UT_hash_handle hh;
    struct record_key key;
    uint64_t order;      /* of first appearance; the cursor of store_next() */
    struct peer *peer;   /* as replicated and stored */
    struct peer *served; /* without the prefixes that a dispute gives to others; NULL: the same */
    unsigned disputes;   /* prefixes of it that other active peers list too */
    bool unsaved;        /* published without a commit */
    uint8_t digest[STORE_DIGEST_LEN];
    /* While store_publish() runs: */
    struct record *next_touched;
    bool touched, drafted, forgotten;
    struct peer *old_peer, *old_served;
};

struct store {
    uint8_t member;
    struct db *db; /* NULL: in memory only */
    struct reserve reserve;
    uint64_t removed_kept_ns;
    struct audit *audit;           /* NULL: in memory only, or plain mode */
    struct audit_notes owed_notes; /* of what was published without a commit */
    struct record *records;
    struct claim *claims; /* of active peers; never with no claimants */
    unsigned disputed;    /* claims with more than one claimant */
    uint64_t hlc, seq;    /* of the newest stamp */
    uint64_t published;   /* our last edit that is in the records */
    struct vector vector; /* durable */
    struct vector owed;   /* will be, with the records that are unsaved */
    unsigned unsaved;
    uint8_t digest[STORE_DIGEST_LEN]; /* of all records: their sum modulo 2 */
    struct place {
        uint64_t order;
        struct record *record; /* NULL: dropped */
    } * places;                /* by order */
    size_t place_count, place_room, place_holes;
    uint64_t orders;
    struct store_write *writes; /* open ones */
};

struct store_write {
    struct store *store;
    struct store_write *next;
    struct layer layer;
    uint64_t hlc, seq; /* the store's at the last edit; the commit runs on another thread */
    uint64_t edit_seq; /* of the last edit in it; 0: merges only */
    struct vector cover;
    bool covers;
    struct audit_notes notes;
    bool stale; /* store_publish() of another write went through its records */
    int broken; /* negative errno: rebasing failed, the commit must too */
};

struct record *store_record_of(const struct store *s, const struct record_key *key);

/* edit.c: the record as it is seen through the write. */
int edit_merge(struct store *s, struct store_write *w, const struct peer *theirs,
               bool *ret_changed);
/* P5: of several that list a prefix, the assignment with the earlier (HLC, member) keeps it. */
bool claim_wins(const struct peer *a, const struct peer *b);

/* digest.c */
void record_digest(const struct peer *p, uint8_t ret[STORE_DIGEST_LEN]);
