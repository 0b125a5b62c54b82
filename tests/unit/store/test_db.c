/* The peer database: what was acknowledged is there after a restart; what cannot be written harms
 * nothing (P7, P9). */
#include "base/clock.h"
#include "base/err.h"
#include "base/secret.h"
#include "lib/in_child.h"
#include "lib/test.h"
#include "unit/store/peers.h"
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static void run_sql(const char *path, const char *sql)
{
    sqlite3 *db;
    char *error = NULL;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s: %s", sql, error);
    sqlite3_close(db);
}

TEST(all_fields_are_there_after_a_restart)
{
    const struct place *at = *state;
    struct store *s = file_store(at->path, 3), *copy = memory_store(3);
    struct public_key key = key_of(1);
    struct peer *p = peer_new(HUB, &key);
    struct store_write *w;
    struct stat st;
    bool changed;

    p->gen = 4;
    p->psk = secret_alloc();
    memset(p->psk, 0xa5, sizeof(*p->psk));
    assert_int_equal(endpoint_parse("198.51.100.7:51820", &p->endpoint), 0);
    p->keepalive_s = 65535;
    p->vip = 65535;
    strcpy(p->name, "anna's phone; DROP TABLE peer");
    memset(p->group, 'g', PEER_GROUP_MAX);
    p->policy = p->rate_bps = p->quota_bytes = p->expires_s = UINT64_MAX;
    p->disabled = p->pending = p->is_group = true;
    p->mtu = 65535;
    p->replaces = key_of(7);
    for (unsigned t = 0; t < PEER_TEXTS; t++) {
        char text[PEER_TEXT_MAX + 1];
        memset(text, 'a' + (int)t, PEER_TEXT_MAX);
        text[PEER_TEXT_MAX] = '\0';
        assert_int_equal(peer_set_text(p, (enum peer_text)t, text), 0);
    }
    for (unsigned f = 0; f < PEER_FIELDS; f++)
        p->version[f] = (struct version){.hlc = 1000 + f, .member = 15, .seq = (1ull << 61) - f};
    for (const char *const *x = LIST("0.0.0.0/0", "::/0", "10.1.2.3/32", "fe80::/10"); *x; x++) {
        struct ip_prefix prefix = prefix_of(*x);
        peer_allow(p, &prefix);
    }
    w = store_begin(s);
    assert_int_equal(store_merge(s, w, p, NOW_NS, &changed), 0);
    assert_int_equal(store_commit(w), 0);
    store_publish(s, w, NULL, NULL);
    put(s, change_of(2, LIST("10.9.0.0/16")));
    drop(s, 2);
    merge_all(copy, s);
    store_close(s);

    assert_int_equal(stat(at->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    s = file_store(at->path, 3);
    assert_true(same_record(find(s, 1), p));
    assert_true(same_record(find(s, 2), find(copy, 2)));
    assert_int_equal(find(s, 2)->state, PEER_REMOVED);
    peer_free(p);
    store_close(copy);
    store_close(s);
}

TEST(clock_never_goes_back_over_a_restart)
{
    const struct place *at = *state;
    struct store *s = file_store(at->path, 1);
    struct version last;

    add(s, 1, NULL);
    last = find(s, 1)->version[0];
    store_close(s);
    s = file_store(at->path, 1);
    struct change *c = change_of(2, NULL);
    struct store_write *w = store_begin(s);
    char error[STORE_ERROR_LEN];
    assert_int_equal(store_apply(s, w, c, NOW_NS / 2, error), 0); /* the wall clock was put back */
    store_publish(s, w, NULL, NULL);
    change_free(c);
    assert_true(find(s, 2)->version[0].hlc > last.hlc);
    assert_true(find(s, 2)->version[0].seq > last.seq);
    store_close(s);
}

TEST(clock_outlives_the_records_that_it_stamped)
{
    const struct place *at = *state;
    struct store *s = file_store(at->path, 0);
    struct store_write *w;
    struct version last;
    char error[STORE_ERROR_LEN];
    struct change *c = change_of(2, NULL);

    add(s, 1, NULL);
    last = find(s, 1)->version[0];
    drop(s, 1); /* plain mode: no tombstone */
    store_close(s);
    s = file_store(at->path, 0);
    w = store_begin(s);
    assert_int_equal(store_apply(s, w, c, 0, error), 0);
    store_publish(s, w, NULL, NULL);
    change_free(c);
    assert_true(find(s, 2)->version[0].hlc > last.hlc);
    store_close(s);
}

TEST(removed_peer_of_plain_mode_leaves_the_file_too)
{
    const struct place *at = *state;
    struct store *s = file_store(at->path, 0);

    add(s, 1, "10.0.0.0/24");
    add(s, 2, "10.0.1.0/24");
    drop(s, 1);
    store_close(s);
    s = file_store(at->path, 0);
    assert_null(find(s, 1));
    assert_true(serves(s, 2, "10.0.1.0/24"));
    store_close(s);
}

TEST(list_is_kept_by_its_differences)
{
    const struct place *at = *state;
    struct store *s = file_store(at->path, 1), *copy = memory_store(1);
    struct ip_prefix gone = prefix_of("10.0.1.0/24");
    struct change *c;

    put(s, change_of(1, LIST("10.0.0.0/24", "10.0.1.0/24", "10.0.0.0/16", "fd00::/64")));
    c = change_of(1, LIST("10.0.2.0/24"));
    peer_change_allow(&c->peers[0], &gone, true);
    put(s, c);
    put(s, change_of(2, LIST("10.0.0.0/16")));
    merge_all(copy, s);
    store_close(s);
    s = file_store(at->path, 1);
    assert_true(same_record(find(s, 1), find(copy, 1)));
    assert_true(same_record(find(s, 2), find(copy, 2)));
    assert_int_equal(find(s, 1)->allowed_count, 3);
    store_close(copy);
    store_close(s);
}

static void expect_refused(const char *path, int err, const char *word)
{
    char error[STORE_ERROR_LEN];
    struct store *s = (struct store *)1;

    assert_int_equal(store_open(path, 1, &s, error), err);
    assert_ptr_equal(s, (struct store *)1);
    if (!strstr(error, word) || !strstr(error, path))
        fail_msg("the message says: %s", error);
}

TEST(newer_database_is_refused_and_left_alone)
{
    const struct place *at = *state;

    store_close(file_store(at->path, 1));
    run_sql(at->path, "PRAGMA user_version = 99");
    expect_refused(at->path, -EPROTONOSUPPORT, "newer");
    run_sql(at->path, "PRAGMA user_version = 4");
    store_close(file_store(at->path, 1));
}

TEST(database_of_another_program_is_refused)
{
    const struct place *at = *state;

    run_sql(at->path, "CREATE TABLE music (song TEXT)");
    expect_refused(at->path, -ENOTUNIQ, "not a peer database");
}

TEST(damaged_database_is_refused)
{
    const struct place *at = *state;
    static const char *const damages[] = {
        "UPDATE peer SET key = 'short'",
        "UPDATE peer SET versions = x'00'",
        "UPDATE peer SET endpoint = 'nowhere'",
        "UPDATE allowed SET prefix = '10.0.0.0/99'",
        "PRAGMA foreign_keys = OFF; UPDATE allowed SET peer = 77",
    };

    for (unsigned i = 0; i < ARRAY_LEN(damages); i++) {
        struct store *s = file_store(at->path, 1);
        struct change *c = change_of(i, LIST("10.0.0.0/24"));

        c->peers[0].has_endpoint = true;
        endpoint_parse("192.0.2.1:1", &c->peers[0].endpoint);
        put(s, c);
        store_close(s);
        run_sql(at->path, damages[i]);
        expect_refused(at->path, -EUCLEAN, "damaged");
        unlink(at->path);
    }
    FILE *f = fopen(at->path, "w");
    for (int i = 0; i < 1000; i++)
        fputs("not a database ", f);
    fclose(f);
    expect_refused(at->path, -EUCLEAN, "move it away");
}

/* Bytes of a page in the middle, as a disk that lies would leave them. */
TEST(torn_page_is_found_and_the_file_kept_aside)
{
    const struct place *at = *state;
    char aside[300] = "", error[STORE_ERROR_LEN];
    struct store *s = file_store(at->path, 1);
    struct stat st;

    for (unsigned i = 0; i < 300; i++)
        add(s, i, NULL);
    store_close(s);
    int fd = open(at->path, O_WRONLY);
    static const char rubbish[700] = {0x11};
    assert_int_equal(pwrite(fd, rubbish, sizeof(rubbish), 4 * 4096 + 1), sizeof(rubbish));
    close(fd);
    expect_refused(at->path, -EUCLEAN, "damaged");
    assert_int_equal(store_set_aside(at->path, 7000000000, aside, sizeof(aside)), 0);
    assert_non_null(strstr(aside, "peers.db.damaged-7"));
    assert_int_equal(stat(aside, &st), 0);
    assert_int_equal(store_open(at->path, 1, &s, error), 0);
    assert_int_equal(store_count(s, HUB, PEER_ACTIVE), 0);
    assert_int_equal(store_vector(s)->seq[1], 0); /* siblings send all, its own edits too */
    store_close(s);
}

TEST(backup_is_a_database_of_its_own)
{
    const struct place *at = *state;
    char copy[300];
    struct store *s = file_store(at->path, 1);
    uint8_t *image = NULL;
    size_t len = 0;

    for (unsigned i = 0; i < 50; i++)
        add(s, i, NULL); /* most of it is in the log, not in the file */
    assert_int_equal(store_backup(s, &image, &len), 0);
    add(s, 99, NULL);
    snprintf(copy, sizeof(copy), "%s/copy.db", at->dir);
    FILE *f = fopen(copy, "w");
    assert_int_equal(fwrite(image, 1, len, f), len);
    fclose(f);
    free(image);
    struct store *c = file_store(copy, 1);
    assert_int_equal(store_count(c, HUB, PEER_ACTIVE), 50);
    assert_true(same_record(find(c, 7), find(s, 7)));
    assert_int_equal(add(c, 60, NULL), 0);
    store_close(c);
    /* On another member: what that one edited and the backup does not know is not claimed. */
    c = file_store(copy, 2);
    assert_int_equal(store_vector(c)->seq[2], 0);
    assert_true(store_vector(c)->seq[1] > 0);
    store_close(c);
    store_close(s);
}

TEST(missing_directory_is_named)
{
    expect_refused("/nonexistent/peers.db", -ENOENT, "directory");
}

/* Fill until a write fails; then make room: nothing is lost, and writing goes on. */
static void fill_until_refused(const char *path, void (*make_room)(void *ctx), void *ctx, int *errs)
{
    struct store *s = file_store(path, 1);
    unsigned peer = 0, refused;
    char name[PEER_NAME_MAX + 1];
    int r = 0;

    memset(name, 'n', PEER_NAME_MAX);
    name[PEER_NAME_MAX] = '\0';
    while (r == 0 && peer < 20000) {
        struct change *c = change_new(HUB);

        for (unsigned n = 0; n < 50; n++) {
            struct public_key key = key_of(peer + n);
            struct peer_change *pc = change_add_peer(c, &key);
            pc->has_name = true;
            strcpy(pc->name, name);
        }
        r = put(s, c);
        if (r == 0)
            peer += 50;
    }
    assert_true(r < 0);
    *errs = r;
    refused = peer;
    assert_true(refused >= 50);
    /* Memory is as the file is: nothing of the refused write is seen. */
    assert_null(find(s, refused));
    assert_int_equal(store_count(s, HUB, PEER_ACTIVE), refused);
    make_room(ctx);
    assert_int_equal(add(s, refused, NULL), 0);
    store_close(s);
    s = file_store(path, 1);
    assert_int_equal(store_count(s, HUB, PEER_ACTIVE), refused + 1);
    for (unsigned i = 0; i <= refused; i++)
        assert_true(active(s, i));
    store_close(s);
}

static void lift_limit(void *ctx)
{
    struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};

    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
}

TEST(write_that_hits_the_file_size_limit_harms_nothing)
{
    const struct place *at = *state;
    struct rlimit limit = {300000, RLIM_INFINITY};
    int err;

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    fill_until_refused(at->path, lift_limit, NULL, &err);
    lift_limit(NULL);
}

static void remove_ballast(void *ctx)
{
    assert_int_equal(unlink(ctx), 0);
}

/* A file system of 1 MiB, in a mount namespace of our own: needs root, else it is left out. */
TEST(full_disk_harms_nothing)
{
    struct place *at = *state;
    char ballast[160];
    int err, status;
    pid_t pid = fork();

    if (pid == 0) {
        FILE *f;

        if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("none", at->dir, "tmpfs", 0, "size=1m") < 0)
            _exit(77);
        snprintf(ballast, sizeof(ballast), "%s/ballast", at->dir);
        f = fopen(ballast, "w");
        for (int i = 0; i < 300; i++)
            fprintf(f, "%1024s", "");
        fclose(f);
        fill_until_refused(at->path, remove_ballast, ballast, &err);
        _exit(err == -ENOSPC ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int end_peer(struct store *s, unsigned peer)
{
    struct change *c = change_of(peer, NULL);

    c->peers[0].revoke = true;
    return put(s, c);
}

static void fill_disk(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    char block[512] = "";

    CHECK(fd >= 0);
    while (write(fd, block, sizeof(block)) > 0)
        ;
    close(fd);
}

/* More pages than what was refused just before may have left in the log. */
static int end_many(struct store *s, unsigned from)
{
    struct change *c = change_new(HUB);

    for (unsigned n = 0; n < 40; n++) {
        struct public_key key = key_of(from + 20 * n);

        change_add_peer(c, &key)->revoke = true;
    }
    return put(s, c);
}

/* Another program takes whatever is there; what is set aside it cannot have. */
static void revoke_on_a_full_disk(const struct place *at)
{
    struct store *s = file_store(at->path, 1);
    char ballast[160];
    unsigned peer = 0;

    while (peer < 800)
        CHECK(add(s, peer++, NULL) == 0);
    snprintf(ballast, sizeof(ballast), "%s/ballast", at->dir);
    fill_disk(ballast);
    for (unsigned round = 0; round < 20; round++) {
        int r = 0;

        while (r == 0 && peer < 20000) /* there may be some room in the files; others take it */
            r = add(s, peer++, NULL);
        CHECK(r == -ENOSPC);
        fill_disk(ballast);
        CHECK(end_many(s, round) == 0);
    }
    CHECK(unlink(ballast) == 0);
    CHECK(add(s, 20000, NULL) == 0); /* and is set aside anew, for the next time */
    fill_disk(ballast);
    store_close(s);
    s = file_store(at->path, 1);
    CHECK(store_count(s, HUB, PEER_REVOKED) == 800);
    CHECK(end_peer(s, 20000) == 0);
    store_close(s);
}

TEST(revocation_has_room_on_a_full_disk)
{
    const struct place *at = *state;
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("none", at->dir, "tmpfs", 0, "size=8m") < 0)
            _exit(77);
        revoke_on_a_full_disk(at);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

#define BATCH 8

static unsigned batch_peer(unsigned op, unsigned n)
{
    return 1u << 20 | op << 3 | n;
}

/* In turn: a peer, several at once, the end of the first, and one of the several goes. */
static int operate(struct store *s, unsigned op)
{
    char prefix[32];
    struct change *c;

    snprintf(prefix, sizeof(prefix), "10.%u.%u.0/24", op >> 8 & 255, op & 255);
    switch (op % 4) {
    case 0:
        return add(s, op, prefix);
    case 1:
        c = change_new(HUB);
        for (unsigned n = 0; n < BATCH; n++) {
            struct public_key key = key_of(batch_peer(op, n));
            change_add_peer(c, &key);
        }
        return put(s, c);
    case 2:
        return end_peer(s, op - 2);
    default:
        return drop(s, batch_peer(op - 2, 0));
    }
}

static unsigned batch_active(const struct store *s, unsigned op)
{
    unsigned count = 0;

    for (unsigned n = 0; n < BATCH; n++)
        count += active(s, batch_peer(op, n));
    return count;
}

/* Has operation @op happened? Never half of one. */
static bool happened(const struct store *s, unsigned op)
{
    const struct peer *p = find(s, op % 4 == 0 ? op : op - 2);

    switch (op % 4) {
    case 0: /* or more happened to it since */
        assert_true(!p || p->state == PEER_REVOKED || p->allowed_count == 1);
        return p != NULL;
    case 1:
        assert_true(batch_active(s, op) == 0 || batch_active(s, op) >= BATCH - 1);
        return batch_active(s, op) > 0;
    case 2:
        return p && p->state == PEER_REVOKED;
    default:
        return batch_active(s, op - 2) == BATCH - 1;
    }
}

/* Writes for ever and says so after each commit. */
static void __attribute__((noreturn)) write_for_ever(const char *path, unsigned from, int fd)
{
    struct store *s = file_store(path, 1);

    for (unsigned op = from;; op++)
        if (operate(s, op) < 0 || write(fd, &op, sizeof(op)) != sizeof(op))
            _exit(1);
}

/* GM_KILLS: for a longer look; ./dev test --long has one. */
static int kills(void)
{
    const char *wanted = getenv("GM_KILLS");

    return wanted ? atoi(wanted) : 10;
}

TEST(acknowledged_operation_survives_kill_9)
{
    const struct place *at = *state;
    const struct rng *r = test_rng(5);
    unsigned next = 0;

    for (int round = 0, last = kills(); round < last; round++) {
        unsigned acked, before = next;
        int fd[2], status;
        pid_t pid;

        assert_int_equal(pipe(fd), 0);
        pid = fork();
        if (pid == 0) {
            close(fd[0]);
            write_for_ever(at->path, next, fd[1]);
        }
        close(fd[1]);
        /* A few commits, then somewhere in the middle of one. */
        for (unsigned want = 3 + test_below(r, 20); want; want--) {
            assert_int_equal(read(fd[0], &acked, sizeof(acked)), sizeof(acked));
            next = acked + 1;
        }
        usleep(test_below(r, 3000));
        kill(pid, SIGKILL);
        while (read(fd[0], &acked, sizeof(acked)) == sizeof(acked))
            next = acked + 1;
        close(fd[0]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);

        struct store *s = file_store(at->path, 1);
        assert_true(next > before);
        for (unsigned op = 0; op < next; op++)
            assert_true(happened(s, op));
        assert_int_equal(store_vector(s)->seq[1], store_published(s));
        /* One more may have been committed and not yet acknowledged. */
        next += happened(s, next);
        store_close(s);
    }
}

TEST(ten_thousand_peers_are_stored_and_read_quickly)
{
    const struct place *at = *state;
    struct store *s = file_store(at->path, 1);
    uint64_t start = clock_boot_ns();
    struct change *c = change_new(HUB);

    for (unsigned i = 0; i < 10000; i++) {
        struct public_key key = key_of(i);
        uint8_t v4[4] = {10, 1, (uint8_t)(i >> 8), (uint8_t)i};
        struct ip_prefix p4 = {.addr = addr_from_v4(v4), .len = 32};

        peer_change_allow(change_add_peer(c, &key), &p4, false);
    }
    assert_int_equal(put(s, c), 0);
    store_close(s);
    s = file_store(at->path, 1);
    assert_int_equal(store_count(s, HUB, PEER_ACTIVE), 10000);
    assert_true(clock_boot_ns() - start < 10 * NS_PER_S);
    store_close(s);
}

static void *commit_on_pool(void *w)
{
    return (void *)(intptr_t)store_commit(w);
}

/* For TSan: what main may do while a commit is under way. */
TEST(commit_runs_beside_main_that_reads_and_merges)
{
    const struct place *at = *state;
    struct store *s = file_store(at->path, 1), *sibling = memory_store(2);

    add(sibling, 500, "10.5.0.0/24");
    for (unsigned i = 0; i < 20; i++) {
        struct change *c = change_of(i, LIST("10.0.0.0/24"));
        struct store_write *w = store_begin(s), *merging = store_begin(s);
        struct public_key key = key_of(500);
        char error[STORE_ERROR_LEN];
        pthread_t thread;
        void *status;
        bool changed;

        assert_int_equal(store_apply(s, w, c, NOW_NS, error), 0);
        change_free(c);
        assert_int_equal(pthread_create(&thread, NULL, commit_on_pool, w), 0);
        assert_int_equal(
            store_merge(s, merging, store_record(sibling, HUB, &key), NOW_NS, &changed), 0);
        assert_null(find(s, i));
        assert_int_equal(store_count(s, HUB, PEER_ACTIVE), i ? i + 1 : 0);
        assert_int_equal(pthread_join(thread, &status), 0);
        assert_int_equal((intptr_t)status, 0);
        store_publish(s, w, NULL, NULL);
        assert_int_equal(store_commit(merging), 0);
        store_publish(s, merging, NULL, NULL);
        assert_true(active(s, i) && active(s, 500));
    }
    store_close(sibling);
    store_close(s);
}

static void note_stamp(void *ctx, const struct store_stamp *st)
{
    struct store_stamp *seen = ctx;

    seen[0].hub++; /* counts */
    seen[1] = *st;
}

TEST(stamps_are_kept_for_peers_that_are_known)
{
    const struct place *at = *state;
    struct store *s = file_store(at->path, 1);
    struct store_stamp seen[2] = {0};
    struct store_stamp st[2] = {
        {.hub = HUB, .key = key_of(1), .received = {1, 2, 3}, .sent_real_ns = NOW_NS},
        {.hub = HUB, .key = key_of(2), .received = {9}},
    };

    add(s, 1, NULL);
    assert_int_equal(store_save_stamps(s, st, 2), 0);
    st[0].received[11] = 7;
    assert_int_equal(store_save_stamps(s, st, 1), 0);
    store_close(s);
    s = file_store(at->path, 1);
    assert_int_equal(store_load_stamps(s, note_stamp, seen), 0);
    assert_int_equal(seen[0].hub, 1);
    assert_memory_equal(seen[1].received, st[0].received, 12);
    assert_true(public_key_equal(&seen[1].key, &st[0].key));
    assert_true(seen[1].sent_real_ns == NOW_NS);
    store_close(s);
}

#define TP(name) TS(name, place_make, place_remove)

TEST_MAIN(TP(all_fields_are_there_after_a_restart), TP(clock_never_goes_back_over_a_restart),
          TP(clock_outlives_the_records_that_it_stamped),
          TP(removed_peer_of_plain_mode_leaves_the_file_too), TP(list_is_kept_by_its_differences),
          TP(newer_database_is_refused_and_left_alone), TP(database_of_another_program_is_refused),
          TP(damaged_database_is_refused), TP(missing_directory_is_named),
          TP(torn_page_is_found_and_the_file_kept_aside), TP(backup_is_a_database_of_its_own),
          TP(write_that_hits_the_file_size_limit_harms_nothing), TP(full_disk_harms_nothing),
          TP(revocation_has_room_on_a_full_disk), TP(acknowledged_operation_survives_kill_9),
          TP(ten_thousand_peers_are_stored_and_read_quickly),
          TP(commit_runs_beside_main_that_reads_and_merges),
          TP(stamps_are_kept_for_peers_that_are_known))
