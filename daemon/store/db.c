#include "store/db.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/secret.h"
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define APPLICATION_ID 0x474d5044 /* "GMPD" */
#define BUSY_TIMEOUT_MS 2000
#define VERSION_LEN 17 /* hlc, member, seq */
#define VERSIONS_LEN (PEER_FIELDS * VERSION_LEN)

enum statement {
    BEGIN,
    COMMIT,
    ROLLBACK,
    PUT_PEER,
    DROP_PEER,
    PUT_ALLOWED,
    DROP_ALLOWED,
    PUT_CLOCK,
    PUT_KNOWN,
    PUT_STAMP,
    PRUNE_STAMPS,
    STATEMENTS,
};

static const char *const sql[STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [PUT_PEER] =
        ("INSERT INTO peer (hub, key, gen, state, psk, endpoint, keepalive, vip, name,"
         " peer_group, policy, rate_bps, quota_bytes, versions, disabled, expires,"
         " pending, replaces, mtu, is_group, owner, device, note, dns, routes, networks)"
         " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15,"
         " ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26)"
         " ON CONFLICT (hub, key) DO UPDATE SET gen = ?3, state = ?4, psk = ?5,"
         " endpoint = ?6, keepalive = ?7, vip = ?8, name = ?9, peer_group = ?10,"
         " policy = ?11, rate_bps = ?12, quota_bytes = ?13, versions = ?14, disabled = ?15,"
         " expires = ?16, pending = ?17, replaces = ?18, mtu = ?19, is_group = ?20,"
         " owner = ?21, device = ?22, note = ?23, dns = ?24, routes = ?25, networks = ?26"
         " RETURNING id"),
    [DROP_PEER] = "DELETE FROM peer WHERE hub = ?1 AND key = ?2",
    [PUT_ALLOWED] = "INSERT OR IGNORE INTO allowed VALUES (?1, ?2)",
    [DROP_ALLOWED] = "DELETE FROM allowed WHERE peer = ?1 AND prefix = ?2",
    [PUT_CLOCK] = "UPDATE clock SET hlc = max(hlc, ?1), seq = max(seq, ?2)",
    [PUT_KNOWN] = ("INSERT INTO known VALUES (?1, ?2)"
                   " ON CONFLICT (member) DO UPDATE SET seq = max(seq, ?2)"),
    [PUT_STAMP] = "INSERT OR REPLACE INTO stamp VALUES (?1, ?2, ?3, ?4)",
    [PRUNE_STAMPS] = ("DELETE FROM stamp WHERE NOT EXISTS"
                      " (SELECT 1 FROM peer p WHERE p.hub = stamp.hub AND p.key = stamp.key)"),
};

struct db {
    sqlite3 *handle;
    char *path;
    sqlite3_stmt *stmt[STATEMENTS];
    pthread_mutex_t lock; /* held from db_begin() to db_end() */
};

static int error_of(const struct db *d)
{
    int os = sqlite3_system_errno(d->handle);

    switch (sqlite3_extended_errcode(d->handle) & 0xff) {
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_MISMATCH:
    case SQLITE_CONSTRAINT:
        return -EUCLEAN;
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return -EACCES;
    case SQLITE_CANTOPEN:
        return os ? -os : -ENOENT;
    default:
        return os ? -os : -EIO;
    }
}

static int say_error(const struct db *d, int r, const char *todo, char ret_error[STORE_ERROR_LEN])
{
    snprintf(ret_error, STORE_ERROR_LEN, "%s: %s; %s", d->path, sqlite3_errmsg(d->handle), todo);
    return r;
}

/* ---- opening ---- */

static int query_int(const struct db *d, const char *query, int64_t *ret)
{
    sqlite3_stmt *st;
    int r = sqlite3_prepare_v2(d->handle, query, -1, &st, NULL);

    if (r == SQLITE_OK) {
        r = sqlite3_step(st);
        if (r == SQLITE_ROW)
            *ret = sqlite3_column_int64(st, 0);
    }
    int err = r == SQLITE_ROW ? 0 : error_of(d);
    sqlite3_finalize(st);
    return err;
}

static int run(const struct db *d, const char *text)
{
    return sqlite3_exec(d->handle, text, NULL, NULL, NULL) == SQLITE_OK ? 0 : error_of(d);
}

static int migrate(struct db *d, char ret_error[STORE_ERROR_LEN])
{
    int64_t version = 0, id = 0, tables = 0;
    char end[128];
    int r = query_int(d, "PRAGMA user_version", &version);

    if (r >= 0)
        r = query_int(d, "PRAGMA application_id", &id);
    if (r >= 0)
        r = query_int(d, "SELECT count(*) FROM sqlite_schema", &tables);
    if (r < 0)
        return say_error(d, r,
                         "move the file away (siblings refill an empty database) or restore a "
                         "backup",
                         ret_error);
    if (id != APPLICATION_ID && (id || version || tables)) {
        snprintf(ret_error, STORE_ERROR_LEN,
                 "%s: not a peer database of Guardmount; move it away or set StateDirectory",
                 d->path);
        return -ENOTUNIQ;
    }
    if (version > STORE_USER_VERSION) {
        snprintf(ret_error, STORE_ERROR_LEN,
                 "%s: database version %lld is newer than the version %d that this program knows; "
                 "install the newer Guardmount again, or restore the backup from before it",
                 d->path, (long long)version, STORE_USER_VERSION);
        return -EPROTONOSUPPORT;
    }
    for (; version < STORE_USER_VERSION; version++) {
        snprintf(end, sizeof(end), "PRAGMA application_id = %d; PRAGMA user_version = %lld; COMMIT",
                 APPLICATION_ID, (long long)version + 1);
        r = run(d, "BEGIN IMMEDIATE");
        if (r >= 0)
            r = run(d, db_migrations[version]);
        if (r >= 0)
            r = run(d, end);
        if (r < 0) {
            say_error(d, r, "the database was left as it was; make room or permit writing",
                      ret_error);
            run(d, "ROLLBACK");
            return r;
        }
    }
    return 0;
}

/* Torn pages, lost ones, rows that are in the table and not in its index. A write that was cut
 * short is none of these: the log takes it back. */
static int check(const struct db *d, char ret_error[STORE_ERROR_LEN])
{
    sqlite3_stmt *st;
    int r = sqlite3_prepare_v2(d->handle, "PRAGMA quick_check(1)", -1, &st, NULL);
    const char *found = NULL;

    if (r == SQLITE_OK)
        r = sqlite3_step(st);
    if (r == SQLITE_ROW)
        found = (const char *)sqlite3_column_text(st, 0);
    int err = r != SQLITE_ROW ? error_of(d) : found && strcmp(found, "ok") == 0 ? 0 : -EUCLEAN;
    if (err < 0)
        snprintf(ret_error, STORE_ERROR_LEN,
                 "%s: damaged (%s); move it away (siblings refill an empty database) or restore a "
                 "backup",
                 d->path, found ? found : sqlite3_errmsg(d->handle));
    sqlite3_finalize(st);
    return err;
}

/* The file holds preshared keys: it is made before SQLite would make it, with its own mode. */
static int make_file(const char *path, char ret_error[STORE_ERROR_LEN])
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) {
        int err = -errno;

        snprintf(ret_error, STORE_ERROR_LEN,
                 "%s: %s; check that the directory exists and can be written", path,
                 strerror(errno));
        if (fd >= 0)
            close(fd);
        return err;
    }
    int r = st.st_mode & 077 ? fchmod(fd, 0600) : 0;
    close(fd);
    return r < 0 ? -errno : 0;
}

int db_open(const char *path, struct db **ret, char ret_error[STORE_ERROR_LEN])
{
    struct db *d = calloc(1, sizeof(*d));
    int r = d ? make_file(path, ret_error) : -ENOMEM;

    if (r < 0) {
        free(d);
        return r;
    }
    pthread_mutex_init(&d->lock, NULL);
    d->path = strdup(path);
    if (!d->path) {
        r = -ENOMEM;
        goto fail;
    }
    if (sqlite3_open_v2(path, &d->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX, NULL) !=
        SQLITE_OK) {
        r = say_error(d, error_of(d), "check the file and its directory", ret_error);
        goto fail;
    }
    sqlite3_busy_timeout(d->handle, BUSY_TIMEOUT_MS);
    r = run(d, "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA foreign_keys = ON;"
               "PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY;"
               "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
               "PRAGMA wal_autocheckpoint = 200;" /* fits into the reserve: store_commit() */
               "PRAGMA journal_size_limit = 8388608;");
    if (r < 0) {
        say_error(d, r,
                  "if it is damaged, move it away (siblings refill an empty database) or restore a "
                  "backup",
                  ret_error);
        goto fail;
    }
    r = check(d, ret_error);
    if (r >= 0)
        r = migrate(d, ret_error);
    for (int i = 0; r >= 0 && i < STATEMENTS; i++)
        if (sqlite3_prepare_v3(d->handle, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &d->stmt[i],
                               NULL) != SQLITE_OK)
            r = say_error(d, error_of(d), "the database lacks a table: restore a backup",
                          ret_error);
    if (r < 0)
        goto fail;
    *ret = d;
    return 0;
fail:
    db_close(d);
    return r;
}

void db_close(struct db *d)
{
    if (!d)
        return;
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(d->stmt[i]);
    sqlite3_close(d->handle);
    pthread_mutex_destroy(&d->lock);
    free(d->path);
    free(d);
}

struct sqlite3 *db_handle(const struct db *d)
{
    return d->handle;
}

int db_error(const struct db *d)
{
    return error_of(d);
}

/* ---- writing ---- */

/* Steps a statement whose values are bound; a row's first column goes to @ret_id. */
static int step(struct db *d, enum statement which, int64_t *ret_id)
{
    sqlite3_stmt *st = d->stmt[which];
    int r = sqlite3_step(st);
    int err;

    if (r == SQLITE_ROW && ret_id) {
        *ret_id = sqlite3_column_int64(st, 0);
        r = sqlite3_step(st);
    }
    err = r == SQLITE_DONE ? 0 : error_of(d);
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
    return err;
}

int db_begin(struct db *d)
{
    int r;

    pthread_mutex_lock(&d->lock);
    r = step(d, BEGIN, NULL);
    if (r < 0)
        pthread_mutex_unlock(&d->lock);
    return r;
}

int db_end(struct db *d, int r)
{
    if (r >= 0)
        r = step(d, COMMIT, NULL);
    /* Some errors (a full disk) have rolled back already. */
    if (r < 0 && !sqlite3_get_autocommit(d->handle))
        step(d, ROLLBACK, NULL);
    pthread_mutex_unlock(&d->lock);
    return r;
}

void db_checkpoint(struct db *d)
{
    pthread_mutex_lock(&d->lock);
    sqlite3_wal_checkpoint_v2(d->handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    pthread_mutex_unlock(&d->lock);
}

static void bind_key(sqlite3_stmt *st, int at, const struct public_key *key)
{
    char text[KEY_TEXT_LEN + 1];

    key_to_base64(key->b, text);
    sqlite3_bind_text(st, at, text, -1, SQLITE_TRANSIENT);
}

static void encode_versions(const struct peer *p, uint8_t out[VERSIONS_LEN])
{
    for (unsigned f = 0; f < PEER_FIELDS; f++, out += VERSION_LEN) {
        store_be64(out, p->version[f].hlc);
        out[8] = p->version[f].member;
        store_be64(out + 9, p->version[f].seq);
    }
}

static int put_peer(struct db *d, const struct peer *p, int64_t *ret_id)
{
    sqlite3_stmt *st = d->stmt[PUT_PEER];
    char endpoint[ENDPOINT_TEXT_LEN];
    uint8_t versions[VERSIONS_LEN];

    encode_versions(p, versions);
    sqlite3_bind_int(st, 1, p->hub);
    bind_key(st, 2, &p->key);
    sqlite3_bind_int64(st, 3, (int64_t)p->gen);
    sqlite3_bind_int(st, 4, p->state);
    if (p->psk)
        sqlite3_bind_blob(st, 5, p->psk->b, sizeof(p->psk->b), SQLITE_STATIC);
    if (endpoint_is_set(&p->endpoint))
        sqlite3_bind_text(st, 6, endpoint_format(&p->endpoint, endpoint), -1, SQLITE_STATIC);
    sqlite3_bind_int(st, 7, p->keepalive_s);
    sqlite3_bind_int(st, 8, p->vip);
    sqlite3_bind_text(st, 9, p->name, -1, SQLITE_STATIC);
    sqlite3_bind_text(st, 10, p->group, -1, SQLITE_STATIC);
    sqlite3_bind_int64(st, 11, (int64_t)p->policy);
    sqlite3_bind_int64(st, 12, (int64_t)p->rate_bps);
    sqlite3_bind_int64(st, 13, (int64_t)p->quota_bytes);
    sqlite3_bind_blob(st, 14, versions, sizeof(versions), SQLITE_STATIC);
    sqlite3_bind_int(st, 15, p->disabled);
    sqlite3_bind_int64(st, 16, (int64_t)p->expires_s);
    sqlite3_bind_int(st, 17, p->pending);
    if (peer_is_heir(p))
        bind_key(st, 18, &p->replaces);
    else
        sqlite3_bind_text(st, 18, "", -1, SQLITE_STATIC);
    sqlite3_bind_int(st, 19, p->mtu);
    sqlite3_bind_int(st, 20, p->is_group);
    for (int t = 0; t < PEER_TEXTS; t++)
        sqlite3_bind_text(st, 21 + t, peer_text(p, (enum peer_text)t), -1, SQLITE_STATIC);
    return step(d, PUT_PEER, ret_id);
}

static int edit_prefix(struct db *d, enum statement which, int64_t id, const struct ip_prefix *p)
{
    char text[PREFIX_TEXT_LEN];

    sqlite3_bind_int64(d->stmt[which], 1, id);
    sqlite3_bind_text(d->stmt[which], 2, prefix_format(p, text), -1, SQLITE_STATIC);
    return step(d, which, NULL);
}

static int prefix_order(const void *a, const void *b)
{
    const struct ip_prefix *x = a, *y = b;
    int c = memcmp(x->addr.b, y->addr.b, sizeof(x->addr.b));

    return c ? c : x->v6 != y->v6 ? x->v6 - y->v6 : x->len - y->len;
}

static struct ip_prefix *sorted(const struct peer *p)
{
    unsigned count = p ? p->allowed_count : 0;
    struct ip_prefix *list = calloc(count + 1, sizeof(*list));

    if (list && count) {
        memcpy(list, p->allowed, count * sizeof(*list));
        qsort(list, count, sizeof(*list), prefix_order);
    }
    return list;
}

/* Only the differences: one prefix more on a peer that has 130 000 is one row. */
static int put_allowed(struct db *d, int64_t id, const struct peer *p, const struct peer *before)
{
    _cleanup_(freep) struct ip_prefix *now = sorted(p), *was = sorted(before);
    unsigned n = 0, w = 0, was_count = before ? before->allowed_count : 0;
    int r = now && was ? 0 : -ENOMEM;

    while (r >= 0 && (n < p->allowed_count || w < was_count)) {
        int c = n == p->allowed_count ? 1 : w == was_count ? -1 : prefix_order(&now[n], &was[w]);

        if (c < 0)
            r = edit_prefix(d, PUT_ALLOWED, id, &now[n++]);
        else if (c > 0)
            r = edit_prefix(d, DROP_ALLOWED, id, &was[w++]);
        else
            n++, w++;
    }
    return r;
}

int db_put(struct db *d, const struct peer *p, const struct peer *before)
{
    int64_t id = 0;
    int r = put_peer(d, p, &id);

    return r < 0 ? r : put_allowed(d, id, p, before);
}

int db_drop(struct db *d, const struct peer *p)
{
    sqlite3_bind_int(d->stmt[DROP_PEER], 1, p->hub);
    bind_key(d->stmt[DROP_PEER], 2, &p->key);
    return step(d, DROP_PEER, NULL);
}

int db_put_clock(struct db *d, const struct db_clock *clock)
{
    sqlite3_bind_int64(d->stmt[PUT_CLOCK], 1, (int64_t)clock->hlc);
    sqlite3_bind_int64(d->stmt[PUT_CLOCK], 2, (int64_t)clock->seq);
    return step(d, PUT_CLOCK, NULL);
}

int db_put_vector(struct db *d, const struct vector *v)
{
    int r = 0;

    for (unsigned m = 1; r >= 0 && m < MEMBERS_MAX; m++) {
        if (!v->seq[m])
            continue;
        sqlite3_bind_int(d->stmt[PUT_KNOWN], 1, (int)m);
        sqlite3_bind_int64(d->stmt[PUT_KNOWN], 2, (int64_t)v->seq[m]);
        r = step(d, PUT_KNOWN, NULL);
    }
    return r;
}

int db_put_stamp(struct db *d, const struct store_stamp *stamp)
{
    sqlite3_stmt *st = d->stmt[PUT_STAMP];

    sqlite3_bind_int(st, 1, stamp->hub);
    bind_key(st, 2, &stamp->key);
    sqlite3_bind_blob(st, 3, stamp->received, sizeof(stamp->received), SQLITE_STATIC);
    sqlite3_bind_int64(st, 4, (int64_t)stamp->sent_real_ns);
    return step(d, PUT_STAMP, NULL);
}

int db_prune_stamps(struct db *d)
{
    return step(d, PRUNE_STAMPS, NULL);
}

int db_serialize(struct db *d, uint8_t **ret, size_t *ret_len)
{
    sqlite3_int64 len = 0;
    unsigned char *image;
    uint8_t *copy = NULL;

    pthread_mutex_lock(&d->lock); /* no transaction is under way on this handle */
    image = sqlite3_serialize(d->handle, "main", &len, 0);
    pthread_mutex_unlock(&d->lock);
    if (image)
        copy = malloc((size_t)len);
    if (copy) {
        memcpy(copy, image, (size_t)len);
        /* Bytes 18 and 19: written by a rollback journal; a copy has no log beside it. */
        copy[18] = copy[19] = 1;
        secret_wipe(image, (size_t)len);
        *ret = copy;
        *ret_len = (size_t)len;
    }
    sqlite3_free(image);
    return copy ? 0 : -ENOMEM;
}

/* ---- reading ---- */

static bool column_text(sqlite3_stmt *st, int at, char *ret, size_t room)
{
    const char *text = (const char *)sqlite3_column_text(st, at);
    size_t len = text ? strlen(text) : 0;

    if (!text || len >= room || len != (size_t)sqlite3_column_bytes(st, at))
        return false;
    memcpy(ret, text, len + 1);
    return true;
}

static bool column_key(sqlite3_stmt *st, int at, struct public_key *ret)
{
    char text[KEY_TEXT_LEN + 1];

    return column_text(st, at, text, sizeof(text)) && key_from_base64(text, ret->b);
}

static bool column_blob(sqlite3_stmt *st, int at, void *ret, size_t len)
{
    const void *blob = sqlite3_column_blob(st, at);

    if (!blob || (size_t)sqlite3_column_bytes(st, at) != len)
        return false;
    memcpy(ret, blob, len);
    return true;
}

/* Of an older program: the fields of its time. */
static bool column_versions(sqlite3_stmt *st, int at, struct version ret[PEER_FIELDS])
{
    const uint8_t *v = sqlite3_column_blob(st, at);
    size_t len = (size_t)sqlite3_column_bytes(st, at);

    if (!v || len % VERSION_LEN || len > VERSIONS_LEN)
        return false;
    for (unsigned f = 0; f < len / VERSION_LEN; f++, v += VERSION_LEN)
        ret[f] = (struct version){.hlc = load_be64(v), .member = v[8], .seq = load_be64(v + 9)};
    return true;
}

/* A scope that names an interface which is not there (any more) is left out. */
static bool column_endpoint(sqlite3_stmt *st, int at, struct endpoint *ret)
{
    char text[ENDPOINT_TEXT_LEN], bare[ENDPOINT_TEXT_LEN];

    if (!column_text(st, at, text, sizeof(text)))
        return false;
    if (endpoint_parse(text, ret) >= 0)
        return true;
    size_t head = strcspn(text, "%"), tail = strcspn(text, "]");
    if (tail < head)
        return false;
    snprintf(bare, sizeof(bare), "%.*s%s", (int)head, text, text + tail);
    return endpoint_parse(bare, ret) >= 0;
}

/* -EBADMSG: the row makes no sense. */
static int read_peer(sqlite3_stmt *st, struct peer **ret)
{
    _cleanup_(peer_freep) struct peer *p = NULL;
    struct public_key key;
    int hub = sqlite3_column_int(st, 1);

    if (hub < 1 || hub > HUB_ID_MAX || !column_key(st, 2, &key))
        return -EBADMSG;
    p = peer_new((uint8_t)hub, &key);
    if (!p)
        return -ENOMEM;
    p->gen = (uint64_t)sqlite3_column_int64(st, 3);
    p->state = (enum peer_state)sqlite3_column_int(st, 4);
    if (sqlite3_column_type(st, 5) != SQLITE_NULL) {
        struct secret32 psk;
        bool good = column_blob(st, 5, psk.b, sizeof(psk.b));
        int r = good ? peer_set_psk(p, &psk) : -EBADMSG;

        secret_clear(&psk);
        if (r < 0)
            return r;
    }
    if (sqlite3_column_type(st, 6) != SQLITE_NULL && !column_endpoint(st, 6, &p->endpoint))
        return -EBADMSG;
    p->keepalive_s = (uint16_t)sqlite3_column_int(st, 7);
    p->vip = (uint16_t)sqlite3_column_int(st, 8);
    if (!column_text(st, 9, p->name, sizeof(p->name)) ||
        !column_text(st, 10, p->group, sizeof(p->group)))
        return -EBADMSG;
    p->policy = (uint64_t)sqlite3_column_int64(st, 11);
    p->rate_bps = (uint64_t)sqlite3_column_int64(st, 12);
    p->quota_bytes = (uint64_t)sqlite3_column_int64(st, 13);
    p->disabled = sqlite3_column_int(st, 15);
    if (!column_versions(st, 14, p->version))
        return -EBADMSG;
    p->expires_s = (uint64_t)sqlite3_column_int64(st, 16);
    p->pending = sqlite3_column_int(st, 17);
    if (sqlite3_column_bytes(st, 18) && !column_key(st, 18, &p->replaces))
        return -EBADMSG;
    p->mtu = (uint16_t)sqlite3_column_int(st, 19);
    p->is_group = sqlite3_column_int(st, 20);
    for (int t = 0; t < PEER_TEXTS; t++) {
        char text[PEER_TEXT_MAX + 1];

        if (!column_text(st, 21 + t, text, sizeof(text)))
            return -EBADMSG;
        if (peer_set_text(p, (enum peer_text)t, text) < 0)
            return -ENOMEM;
    }
    *ret = TAKE_PTR(p);
    return 0;
}

/* The rows of one peer; @allowed stands at its first one, or beyond. */
static int read_allowed(const struct db *d, sqlite3_stmt *allowed, int *row, int64_t id,
                        struct peer *p)
{
    unsigned room = 0;

    while (*row == SQLITE_ROW && sqlite3_column_int64(allowed, 0) == id) {
        char text[PREFIX_TEXT_LEN];

        if (p->allowed_count == room) {
            struct ip_prefix *more;

            room = room ? 2 * room : 4;
            more = reallocarray(p->allowed, room, sizeof(*more));
            if (!more)
                return -ENOMEM;
            p->allowed = more;
        }
        if (!column_text(allowed, 1, text, sizeof(text)) ||
            prefix_parse(text, &p->allowed[p->allowed_count]) < 0)
            return -EBADMSG;
        p->allowed_count++;
        *row = sqlite3_step(allowed);
    }
    return *row == SQLITE_ROW || *row == SQLITE_DONE ? 0 : error_of(d);
}

static int read_all(const struct db *d, int (*each)(void *ctx, struct peer *p), void *ctx)
{
    sqlite3_stmt *peers = NULL, *allowed = NULL;
    int row, prefix_row, r = 0;

    if (sqlite3_prepare_v2(
            d->handle,
            "SELECT id, hub, key, gen, state, psk, endpoint, keepalive, vip, name,"
            " peer_group, policy, rate_bps, quota_bytes, versions, disabled, expires, pending,"
            " replaces, mtu, is_group, owner, device, note, dns, routes, networks"
            " FROM peer ORDER BY id",
            -1, &peers, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(d->handle, "SELECT peer, prefix FROM allowed ORDER BY peer, prefix", -1,
                           &allowed, NULL) != SQLITE_OK) {
        r = error_of(d);
        goto out;
    }
    prefix_row = sqlite3_step(allowed);
    while (r >= 0 && (row = sqlite3_step(peers)) != SQLITE_DONE) {
        _cleanup_(peer_freep) struct peer *p = NULL;

        if (row != SQLITE_ROW) {
            r = error_of(d);
            break;
        }
        r = read_peer(peers, &p);
        if (r >= 0)
            r = read_allowed(d, allowed, &prefix_row, sqlite3_column_int64(peers, 0), p);
        if (r >= 0)
            r = each(ctx, TAKE_PTR(p));
    }
    if (r >= 0 && prefix_row == SQLITE_ROW) /* rows of no peer */
        r = -EBADMSG;
out:
    sqlite3_finalize(peers);
    sqlite3_finalize(allowed);
    return r;
}

static int read_known(const struct db *d, struct vector *ret)
{
    sqlite3_stmt *st;
    int row, r = 0;

    if (sqlite3_prepare_v2(d->handle, "SELECT member, seq FROM known", -1, &st, NULL) != SQLITE_OK)
        return error_of(d);
    while ((row = sqlite3_step(st)) == SQLITE_ROW) {
        int member = sqlite3_column_int(st, 0);

        if (member < 1 || member > MEMBER_ID_MAX)
            r = -EBADMSG;
        else
            ret->seq[member] = (uint64_t)sqlite3_column_int64(st, 1);
    }
    if (row != SQLITE_DONE)
        r = error_of(d);
    sqlite3_finalize(st);
    return r;
}

int db_load(struct db *d, int (*each)(void *ctx, struct peer *p), void *ctx,
            struct db_clock *ret_clock, struct vector *ret_known, char ret_error[STORE_ERROR_LEN])
{
    int64_t hlc = 0, seq = 0;
    int r = query_int(d, "SELECT hlc FROM clock", &hlc);

    if (r >= 0)
        r = query_int(d, "SELECT seq FROM clock", &seq);
    if (r >= 0)
        r = read_known(d, ret_known);
    if (r >= 0)
        r = read_all(d, each, ctx);
    if (r == -EBADMSG || r == -EUCLEAN) {
        snprintf(ret_error, STORE_ERROR_LEN,
                 "%s: damaged (%s); move it away (siblings refill an empty database) or restore a "
                 "backup",
                 d->path, r == -EBADMSG ? "a row makes no sense" : sqlite3_errmsg(d->handle));
        return -EUCLEAN;
    }
    if (r < 0) {
        snprintf(ret_error, STORE_ERROR_LEN, "%s: cannot be read: %s", d->path, strerror(-r));
        return r;
    }
    *ret_clock = (struct db_clock){.hlc = (uint64_t)hlc, .seq = (uint64_t)seq};
    return 0;
}

int db_load_stamps(struct db *d, void (*each)(void *ctx, const struct store_stamp *st), void *ctx)
{
    sqlite3_stmt *st;
    int row, r = 0;

    if (sqlite3_prepare_v2(d->handle, "SELECT hub, key, received, sent_ns FROM stamp", -1, &st,
                           NULL) != SQLITE_OK)
        return error_of(d);
    while ((row = sqlite3_step(st)) == SQLITE_ROW) {
        struct store_stamp stamp = {.hub = (uint8_t)sqlite3_column_int(st, 0)};

        /* A stamp lost is harmless (H3): a row that makes no sense is passed over. */
        if (!column_key(st, 1, &stamp.key) ||
            !column_blob(st, 2, stamp.received, sizeof(stamp.received)))
            continue;
        stamp.sent_real_ns = (uint64_t)sqlite3_column_int64(st, 3);
        each(ctx, &stamp);
    }
    if (row != SQLITE_DONE)
        r = error_of(d);
    sqlite3_finalize(st);
    return r;
}
