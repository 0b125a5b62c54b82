/* The audit log in the database: an entry for each thing done here, in the transaction of what it
 * tells of, and a chain that shows what was changed afterwards. */
#include "base/err.h"
#include "lib/test.h"
#include "unit/store/peers.h"
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define ENTRIES 600

static struct audit_entry entries[ENTRIES];

static unsigned read_log(struct store *s, uint64_t after)
{
    uint64_t last;
    unsigned count;

    assert_int_equal(store_audit(s, after, ENTRIES, entries, &count, &last), 0);
    assert_true(!count || entries[count - 1].serial == last || count == ENTRIES);
    return count;
}

/* How many of them follow each other as they were written. */
static unsigned intact(unsigned count)
{
    uint8_t before[AUDIT_HASH_LEN] = {0};
    unsigned i;

    for (i = 0; i < count && entries[i].serial == i + 1 && audit_intact(&entries[i], before); i++)
        memcpy(before, entries[i].hash, sizeof(before));
    return i;
}

static void expect(unsigned i, const char *word)
{
    if (!strstr(entries[i].text, word))
        fail_msg("entry %u is: %s", i, entries[i].text);
}

TEST(each_edit_is_an_entry_and_what_changed_nothing_is_none)
{
    const struct place *at = *state;
    struct store *s = file_store(at->path, 3);
    struct change *c = change_of(1, (const char *const[]){"10.0.0.1/32", NULL});

    strcpy(c->actor, "uid 7");
    assert_int_equal(put(s, c), 0);
    assert_int_equal(add(s, 1, "10.0.0.1/32"), 0); /* it has that */
    assert_int_equal(add(s, 2, "10.0.0.1/32"), 0); /* which robs the first */
    assert_int_equal(drop(s, 2), 0);
    assert_int_equal(read_log(s, 0), 4);
    expect(0, "member=3 by=\"uid 7\" did=peer.add");
    expect(0, "allowed=10.0.0.1/32");
    assert_true(strstr(entries[1].text, "did=peer.set") || strstr(entries[2].text, "did=peer.set"));
    expect(1, "by=daemon");
    expect(3, "did=peer.remove");
    assert_int_equal(intact(4), 4);
    store_close(s);
}

TEST(what_siblings_tell_is_in_their_logs_alone)
{
    const struct place *at = *state;
    struct store *s = file_store(at->path, 1), *other = memory_store(2);

    assert_int_equal(add(other, 1, "10.0.0.1/32"), 0);
    assert_int_equal(merge_all(s, other), 1);
    assert_int_equal(read_log(s, 0), 0);
    store_close(s);
    store_close(other);
}

TEST(note_without_an_edit_is_kept_too)
{
    const struct place *at = *state;
    struct store *s = file_store(at->path, 1);
    struct change *c = change_new(HUB);

    c->did = "vip.drain";
    strcpy(c->details, "main to berlin");
    assert_int_equal(put(s, c), 0);
    assert_int_equal(read_log(s, 0), 1);
    expect(0, "did=vip.drain what=\"main to berlin\"");
    store_close(s);
}

TEST(chain_goes_on_after_a_restart_and_is_read_in_parts)
{
    const struct place *at = *state;
    struct store *s;

    for (unsigned i = 0; i < 20; i++) {
        s = file_store(at->path, 1);
        assert_int_equal(add(s, i, NULL), 0);
        store_close(s);
    }
    s = file_store(at->path, 1);
    assert_int_equal(read_log(s, 15), 5);
    assert_int_equal(entries[0].serial, 16);
    assert_int_equal(read_log(s, 0), 20);
    assert_int_equal(intact(20), 20);
    store_close(s);
}

TEST(refused_edit_leaves_no_entry_and_the_chain_goes_on)
{
    const struct place *at = *state;
    struct rlimit limit = {400000, RLIM_INFINITY}, none = {RLIM_INFINITY, RLIM_INFINITY};
    struct store *s = file_store(at->path, 1);
    unsigned peer = 0;

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    while (peer < ENTRIES && add(s, peer, NULL) == 0)
        peer++;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    assert_in_range(peer, 2, ENTRIES - 2);
    assert_int_equal(read_log(s, 0), peer);
    assert_int_equal(add(s, peer, NULL), 0);
    assert_int_equal(read_log(s, 0), peer + 1);
    assert_int_equal(intact(peer + 1), peer + 1);
    store_close(s);
}

/* P9: in force at once, and told when it can be. */
TEST(entry_of_a_revocation_that_no_disk_took_comes_with_it_later)
{
    const struct place *at = *state;
    struct rlimit limit = {4096, RLIM_INFINITY}, none = {RLIM_INFINITY, RLIM_INFINITY};
    struct store *s = file_store(at->path, 1);
    struct change *c = change_of(1, NULL);
    struct store_write *w = store_begin(s);
    char error[STORE_ERROR_LEN];

    c->peers[0].revoke = true;
    assert_int_equal(store_apply(s, w, c, NOW_NS, error), 0);
    change_free(c);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_true(store_commit(w) < 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    store_publish_unsaved(s, w, NULL, NULL);
    assert_int_equal(read_log(s, 0), 0);
    assert_int_equal(add(s, 2, NULL), 0);
    assert_int_equal(read_log(s, 0), 2);
    expect(0, "did=peer.revoke");
    expect(1, "did=peer.add");
    assert_int_equal(intact(2), 2);
    store_close(s);
}

TEST(what_was_changed_in_the_file_shows)
{
    static const char *const deeds[] = {
        "UPDATE audit SET entry = replace(entry, 'peer.add', 'peer.set') WHERE serial = 5",
        "DELETE FROM audit WHERE serial = 5",
        "UPDATE audit SET hash = x'00' WHERE serial = 5",
    };
    struct place *at = *state;

    for (unsigned i = 0; i < ARRAY_LEN(deeds); i++) {
        struct store *s;
        sqlite3 *db;

        snprintf(at->path, sizeof(at->path), "%s/peers%u.db", at->dir, i);
        s = file_store(at->path, 1);
        for (unsigned peer = 0; peer < 8; peer++)
            assert_int_equal(add(s, peer, NULL), 0);
        store_close(s);
        assert_int_equal(sqlite3_open(at->path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, deeds[i], NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
        s = file_store(at->path, 1);
        assert_int_equal(intact(read_log(s, 0)), 4);
        store_close(s);
    }
}

#define TP(name) TS(name, place_make, place_remove)

TEST_MAIN(TP(each_edit_is_an_entry_and_what_changed_nothing_is_none),
          TP(what_siblings_tell_is_in_their_logs_alone), TP(note_without_an_edit_is_kept_too),
          TP(chain_goes_on_after_a_restart_and_is_read_in_parts),
          TP(refused_edit_leaves_no_entry_and_the_chain_goes_on),
          TP(entry_of_a_revocation_that_no_disk_took_comes_with_it_later),
          TP(what_was_changed_in_the_file_shows))
