/* store/store.h - peers of all hubs: in memory for main, in SQLite for the next start.
 *
 * Order (P7): store_apply()/store_merge() decide on copies -> the write is committed (WAL,
 * synchronous=FULL, on a pool thread) -> store_publish() swaps the records in and tells what
 * changed. With a full disk a write that revokes has 1 MiB that was set aside (P9). At most one
 * write is under way at a time; more edits may join it until it is committed.
 *
 * Owner:   the node. Threads: main; store_commit() alone runs on a pool thread.
 * Never:   a half-applied set: store_apply() takes a change as a whole or refuses it. */
#pragma once
#include "model/audit.h"
#include "model/change.h"
#include "model/peer.h"
#include "model/vector.h"

#define STORE_ERROR_LEN 256
#define STORE_USER_VERSION 4        /* PRAGMA user_version; a newer database is refused */
#define STORE_RECORDS_MAX 262144u   /* of all hubs, tombstones and revocations included */
#define STORE_PREFIXES_MAX 1048576u /* allowed prefixes of all peers */

struct store;
struct store_write;

/* @path NULL: in memory only (plain mode, simulator); then commits do nothing. @member: 0 in plain
 * mode. On failure @ret_error says which file and what to do. */
int store_open(const char *path, uint8_t member, struct store **ret,
               char ret_error[STORE_ERROR_LEN]);
void store_close(struct store *s);
/* After -EUCLEAN, where siblings will refill an empty database: the damaged files are kept under
 * another name, which @ret says. */
int store_set_aside(const char *path, uint64_t real_ns, char *ret, size_t room);
/* The database as one file, malloc, for store_open() elsewhere or later; what siblings told since
 * is not in it and comes again. Pool thread: it waits for a commit under way. */
int store_backup(struct store *s, uint8_t **ret, size_t *ret_len);

/* The audit log: up to @max entries behind the serial @after, and the last serial that there is.
 * Pool thread, as store_backup(). -ENODATA: there is no database. */
int store_audit(struct store *s, uint64_t after, unsigned max, struct audit_entry *ret,
                unsigned *ret_count, uint64_t *ret_last);

struct store_write *store_begin(struct store *s);
/* Stamp (hlc from @real_ns, never back) and apply to the write's copies. Removal leaves a
 * tombstone (PEER_REMOVED, not revoked); an allowed prefix moves from another peer. Device-level
 * fields of the change are not the store's. With a database each peer that is changed by it, and
 * what the change notes, is an entry of the audit log. */
int store_apply(struct store *s, struct store_write *w, const struct change *c, uint64_t real_ns,
                char ret_error[STORE_ERROR_LEN]);
/* A sibling's record (P2). *ret_changed: ours differs from before. */
int store_merge(struct store *s, struct store_write *w, const struct peer *theirs, uint64_t real_ns,
                bool *ret_changed);
/* Removed peers are remembered so long, and until all members know of it (P4). */
#define STORE_REMOVED_KEPT_NS (30ull * 86400 * 1000000000)
void store_keep_removed(struct store *s, uint64_t ns); /* for tests */
uint64_t store_removed_kept_ns(const struct store *s);
/* With the write's commit those are forgotten that are old and that @everywhere covers: what every
 * member has. How many; STORE_FORGET_MAX: there may be more. */
#define STORE_FORGET_MAX 512u
unsigned store_forget_removed(struct store *s, struct store_write *w,
                              const struct vector *everywhere, uint64_t real_ns);
/* A sibling's record of a peer whose removal was forgotten here: it must not be merged. @known:
 * what is known here for certain. */
bool store_has_forgotten(const struct store *s, const struct peer *theirs,
                         const struct vector *known, uint64_t real_ns);
/* With the write's commit everything up to @v is known here (P12): what @v promises was merged into
 * this write or into one before it. */
void store_write_cover(struct store_write *w, const struct vector *v);
bool store_write_broken(const struct store_write *w); /* no memory: it can only be aborted */
bool store_write_empty(const struct store_write *w);
int store_commit(struct store_write *w); /* pool thread; negative errno or 0 */
/* After a good commit: swap in, calling @changed with the old (NULL: new) and new record of each.
 * Frees @w. */
void store_publish(struct store *s, struct store_write *w,
                   void (*changed)(void *ctx, const struct peer *old, const struct peer *now),
                   void *ctx);
/* After a failed commit, for what must not wait for a disk (P9: revocations; what siblings told):
 * serve it all the same. Each later commit tries to make it durable, and the vector of what
 * siblings may count on waits for that. */
void store_publish_unsaved(struct store *s, struct store_write *w,
                           void (*changed)(void *ctx, const struct peer *old,
                                           const struct peer *now),
                           void *ctx);
unsigned store_unsaved(const struct store *s);            /* records that are not durable: alarm */
void store_abort(struct store *s, struct store_write *w); /* after a failed commit, or unneeded */

/* As served: no prefix is in the list of two active peers (P5). */
const struct peer *store_find(const struct store *s, uint8_t hub, const struct public_key *key);
/* As replicated: what siblings must be sent. Differs from the above only while edits that did not
 * know of each other gave one prefix to two peers: then the later one waits for the earlier one. */
const struct peer *store_record(const struct store *s, uint8_t hub, const struct public_key *key);
/* Another active peer that lists an address of @prefix; NULL: nobody. */
const struct peer *store_overlapping(const struct store *s, uint8_t hub,
                                     const struct public_key *but, const struct ip_prefix *prefix);
unsigned store_disputes(const struct store *s); /* prefixes in such a dispute now: alarm */
/* In a stable order; *cursor starts at 0. NULL: no more. Tombstones included. */
const struct peer *store_next(const struct store *s, uint64_t *cursor);
/* The same as replicated, without those that @v covers. */
const struct peer *store_next_uncovered(const struct store *s, uint64_t *cursor,
                                        const struct vector *v);

/* Which operations are in the records, durably; our own entry is our last edit's. */
const struct vector *store_vector(const struct store *s);
uint64_t store_published(const struct store *s); /* our last edit in the records, durable or not */
/* A sibling has seen operation @seq of ours: no later one may have a lower number. */
void store_raise_seq(struct store *s, uint64_t seq);
/* Of all records as replicated: equal vectors mean equal digests (P12). */
#define STORE_DIGEST_LEN 16
void store_digest(const struct store *s, uint8_t ret[STORE_DIGEST_LEN]);
unsigned store_count(const struct store *s, uint8_t hub, enum peer_state state); /* of peers */

/* Handshake stamps kept with the peer, durable at shutdown (H2, H5). Pool or main, at start/end. */
struct store_stamp {
    uint8_t hub;
    struct public_key key;
    uint8_t received[12];
    uint64_t sent_real_ns;
};
int store_load_stamps(struct store *s, void (*each)(void *ctx, const struct store_stamp *st),
                      void *ctx);
int store_save_stamps(struct store *s, const struct store_stamp *st, unsigned count);
