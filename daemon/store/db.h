/* store/db.h - the peer database: SQLite in WAL mode, synchronous=FULL (P7).
 *
 * Owner:   the store. Threads: any one at a time; a lock keeps transactions apart.
 * Secrets: preshared keys are in the file (mode 0600, secure_delete) and pass through SQLite's
 *          page cache; transport keys never come here (K7).
 * Errors:  -ENOSPC, -EROFS, -EIO, -EUCLEAN (damaged), -EBUSY (locked by another program), ... */
#pragma once
#include "model/peer.h"
#include "store/store.h"

struct db;
struct sqlite3;

/* [n] leads from user_version n to n + 1. Never edit one that was released: add one. (schema.c) */
extern const char *const db_migrations[STORE_USER_VERSION];

struct db_clock {
    uint64_t hlc, seq;
};

int db_open(const char *path, struct db **ret, char ret_error[STORE_ERROR_LEN]);
void db_close(struct db *d);
/* For statements of others, in their own transactions; the error of the last call. */
struct sqlite3 *db_handle(const struct db *d);
int db_error(const struct db *d);
/* All records; @each takes the peer. */
int db_load(struct db *d, int (*each)(void *ctx, struct peer *p), void *ctx,
            struct db_clock *ret_clock, struct vector *ret_known, char ret_error[STORE_ERROR_LEN]);

/* One transaction: begin, puts, end. db_end() commits if @r is 0, else rolls back; it returns @r or
 * the error of the commit. */
int db_begin(struct db *d);
/* @before: the record that the database holds now, NULL: none. */
int db_put(struct db *d, const struct peer *p, const struct peer *before);
int db_drop(struct db *d, const struct peer *p);
int db_put_clock(struct db *d, const struct db_clock *clock);
int db_put_vector(struct db *d, const struct vector *v); /* entries never go back */
int db_put_stamp(struct db *d, const struct store_stamp *st);
int db_prune_stamps(struct db *d); /* of peers that have no record */
int db_end(struct db *d, int r);

/* What the log holds goes to its places, which may take room, and the log gives back its own. */
void db_checkpoint(struct db *d);

int db_serialize(struct db *d, uint8_t **ret, size_t *ret_len); /* malloc */

int db_load_stamps(struct db *d, void (*each)(void *ctx, const struct store_stamp *st), void *ctx);
