/* store/audit.h - the audit log in the peer database: an entry is in the same transaction as what
 * it tells of.
 *
 * Owner:   the store. Threads: as the database's transactions.
 * Bounds:  AUDIT_KEPT entries; the oldest go, and the chain then begins behind them. */
#pragma once
#include "model/audit.h"

#define AUDIT_KEPT 262144u

struct db;
struct audit;

/* Entries that are not yet written. */
struct audit_notes {
    struct audit_note {
        struct audit_note *next;
        char text[AUDIT_TEXT_MAX + 1];
    } * first, *last;
};

/* A note to be filled in; NULL: no memory. */
char *audit_note(struct audit_notes *n);
void audit_notes_join(struct audit_notes *to, struct audit_notes *from); /* empties @from */
void audit_notes_clear(struct audit_notes *n);

int audit_open(struct db *db, struct audit **ret);
void audit_close(struct audit *a); /* NULL is fine; before the database */
/* Between db_begin() and db_end(), whose result goes to audit_end(). */
int audit_put(struct audit *a, const struct audit_notes *n);
void audit_end(struct audit *a, int r);
/* A transaction of its own: up to @max entries behind the serial @after. */
int audit_read(struct audit *a, uint64_t after, unsigned max, struct audit_entry *ret,
               unsigned *ret_count, uint64_t *ret_last);
