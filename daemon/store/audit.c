#include "store/audit.h"
#include "base/err.h"
#include "store/db.h"
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRUNE_EVERY 1024u /* entries */

struct audit_head {
    uint64_t serial;
    uint8_t hash[AUDIT_HASH_LEN];
};

struct audit {
    struct db *db;
    sqlite3_stmt *put, *prune, *head, *read;
    struct audit_head now, committed; /* committed: before the transaction */
};

/* ---- notes ---- */

char *audit_note(struct audit_notes *n)
{
    struct audit_note *note = calloc(1, sizeof(*note));

    if (!note)
        return NULL;
    if (n->last)
        n->last->next = note;
    else
        n->first = note;
    n->last = note;
    return note->text;
}

void audit_notes_join(struct audit_notes *to, struct audit_notes *from)
{
    if (!from->first)
        return;
    if (to->last)
        to->last->next = from->first;
    else
        to->first = from->first;
    to->last = from->last;
    *from = (struct audit_notes){0};
}

void audit_notes_clear(struct audit_notes *n)
{
    struct audit_note *note, *next;

    for (note = n->first; note; note = next) {
        next = note->next;
        free(note);
    }
    *n = (struct audit_notes){0};
}

/* ---- the table ---- */

/* One that somebody has made nonsense of does not match the chain: zeros. */
static void take_hash(sqlite3_stmt *st, int at, uint8_t ret[AUDIT_HASH_LEN])
{
    const void *blob = sqlite3_column_blob(st, at);

    memset(ret, 0, AUDIT_HASH_LEN);
    if (blob && sqlite3_column_bytes(st, at) == AUDIT_HASH_LEN)
        memcpy(ret, blob, AUDIT_HASH_LEN);
}

static int read_head(struct audit *a, struct audit_head *ret)
{
    int row = sqlite3_step(a->head), r = row == SQLITE_DONE ? 0 : db_error(a->db);

    *ret = (struct audit_head){0};
    if (row == SQLITE_ROW) {
        ret->serial = (uint64_t)sqlite3_column_int64(a->head, 0);
        take_hash(a->head, 1, ret->hash);
        r = 0;
    }
    sqlite3_reset(a->head);
    return r;
}

int audit_open(struct db *db, struct audit **ret)
{
    struct audit *a = calloc(1, sizeof(*a));
    const struct {
        sqlite3_stmt **st;
        const char *sql;
    } all[] = {
        {&a->put, "INSERT INTO audit VALUES (?1, ?2, ?3)"},
        {&a->prune, "DELETE FROM audit WHERE serial <= ?1"},
        {&a->head, "SELECT serial, hash FROM audit ORDER BY serial DESC LIMIT 1"},
        {&a->read,
         "SELECT serial, entry, hash FROM audit WHERE serial > ?1 ORDER BY serial LIMIT ?2"},
    };
    int r = a ? 0 : -ENOMEM;

    if (a)
        a->db = db;
    for (unsigned i = 0; r >= 0 && i < ARRAY_LEN(all); i++)
        if (sqlite3_prepare_v3(db_handle(db), all[i].sql, -1, SQLITE_PREPARE_PERSISTENT, all[i].st,
                               NULL) != SQLITE_OK)
            r = db_error(db);
    if (r >= 0)
        r = read_head(a, &a->now);
    if (r < 0) {
        audit_close(a);
        return r;
    }
    a->committed = a->now;
    *ret = a;
    return 0;
}

void audit_close(struct audit *a)
{
    if (!a)
        return;
    sqlite3_finalize(a->put);
    sqlite3_finalize(a->prune);
    sqlite3_finalize(a->head);
    sqlite3_finalize(a->read);
    free(a);
}

static int run(struct audit *a, sqlite3_stmt *st)
{
    int r = sqlite3_step(st) == SQLITE_DONE ? 0 : db_error(a->db);

    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
    return r;
}

static int put_one(struct audit *a, const char *text)
{
    struct audit_entry e = {.serial = a->now.serial + 1};
    int r;

    memcpy(e.text, text, sizeof(e.text));
    audit_seal(&e, a->now.hash);
    sqlite3_bind_int64(a->put, 1, (int64_t)e.serial);
    sqlite3_bind_text(a->put, 2, e.text, -1, SQLITE_STATIC);
    sqlite3_bind_blob(a->put, 3, e.hash, sizeof(e.hash), SQLITE_STATIC);
    r = run(a, a->put);
    if (r < 0)
        return r;
    a->now.serial = e.serial;
    memcpy(a->now.hash, e.hash, sizeof(e.hash));
    if (e.serial % PRUNE_EVERY || e.serial <= AUDIT_KEPT)
        return 0;
    sqlite3_bind_int64(a->prune, 1, (int64_t)(e.serial - AUDIT_KEPT));
    return run(a, a->prune);
}

int audit_put(struct audit *a, const struct audit_notes *n)
{
    int r = 0;

    for (const struct audit_note *note = n->first; r >= 0 && note; note = note->next)
        r = put_one(a, note->text);
    return r;
}

void audit_end(struct audit *a, int r)
{
    if (r < 0)
        a->now = a->committed;
    else
        a->committed = a->now;
}

int audit_read(struct audit *a, uint64_t after, unsigned max, struct audit_entry *ret,
               unsigned *ret_count, uint64_t *ret_last)
{
    struct audit_head head;
    unsigned count = 0;
    int row, r = db_begin(a->db);

    if (r < 0)
        return r;
    sqlite3_bind_int64(a->read, 1, (int64_t)MIN(after, (uint64_t)INT64_MAX));
    sqlite3_bind_int64(a->read, 2, max);
    while ((row = sqlite3_step(a->read)) == SQLITE_ROW) {
        struct audit_entry *e = &ret[count++];
        const unsigned char *text = sqlite3_column_text(a->read, 1);

        *e = (struct audit_entry){.serial = (uint64_t)sqlite3_column_int64(a->read, 0)};
        snprintf(e->text, sizeof(e->text), "%s", text ? (const char *)text : "");
        take_hash(a->read, 2, e->hash);
    }
    if (row != SQLITE_DONE)
        r = db_error(a->db);
    sqlite3_reset(a->read);
    if (r >= 0)
        r = read_head(a, &head);
    *ret_last = head.serial;
    *ret_count = count;
    return db_end(a->db, r);
}
