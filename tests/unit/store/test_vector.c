/* What a member knows of the others' edits (P12), revocations (P2, P3), and what is served although
 * no disk took it (P9). */
#include "base/err.h"
#include "base/secret.h"
#include "lib/test.h"
#include "unit/store/peers.h"
#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static int revoke_peer(struct store *s, unsigned peer)
{
    struct change *c = change_of(peer, NULL);

    c->peers[0].revoke = true;
    return put(s, c);
}

static int reinstate(struct store *s, unsigned peer)
{
    struct change *c = change_of(peer, NULL);

    c->peers[0].reinstate = true;
    return put(s, c);
}

/* What @from sends to a sibling that said @v, and the vector behind it. */
static unsigned send(struct store *to, const struct store *from, const struct vector *v)
{
    struct store_write *w = store_begin(to);
    const struct peer *p;
    uint64_t cursor = 0;
    unsigned count = 0;

    while ((p = store_next_uncovered(from, &cursor, v))) {
        bool changed;

        assert_int_equal(store_merge(to, w, p, NOW_NS, &changed), 0);
        count++;
    }
    store_write_cover(w, store_vector(from));
    assert_int_equal(store_commit(w), 0);
    store_publish(to, w, NULL, NULL);
    return count;
}

static void assert_alike(const struct store *a, const struct store *b)
{
    uint8_t x[STORE_DIGEST_LEN], y[STORE_DIGEST_LEN];

    store_digest(a, x);
    store_digest(b, y);
    assert_memory_equal(x, y, sizeof(x));
    assert_true(vector_equal(store_vector(a), store_vector(b)));
}

TEST(sibling_is_sent_what_its_vector_does_not_cover)
{
    struct store *a = memory_store(1), *b = memory_store(2), *c = memory_store(3);

    for (unsigned i = 0; i < 5; i++)
        add(a, i, NULL);
    assert_int_equal(send(b, a, store_vector(b)), 5);
    assert_int_equal(send(b, a, store_vector(b)), 0);
    add(b, 7, "10.0.0.0/24");
    add(a, 3, "10.0.1.0/24"); /* a field more of one that is known */
    assert_int_equal(send(b, a, store_vector(b)), 1);
    assert_int_equal(send(a, b, store_vector(a)), 1);
    assert_alike(a, b);
    /* What c never heard of a comes from b. */
    assert_int_equal(send(c, b, store_vector(c)), 6);
    assert_true(serves(c, 3, "10.0.1.0/24"));
    assert_alike(a, c);
    store_close(a);
    store_close(b);
    store_close(c);
}

TEST(digests_tell_records_apart_and_not_the_order_of_prefixes)
{
    struct store *a = memory_store(1), *b = memory_store(2);
    uint8_t x[STORE_DIGEST_LEN], y[STORE_DIGEST_LEN];
    const struct peer *p;
    bool changed;

    put(a, change_of(1, LIST("10.0.0.0/24", "10.0.1.0/24", "fd00::/64")));
    p = find(a, 1);
    for (unsigned other = 0; other < 3; other++) {
        struct peer *q = peer_dup(p);
        struct store_write *w;

        if (other == 0) {
            struct ip_prefix first = q->allowed[0];
            q->allowed[0] = q->allowed[2];
            q->allowed[2] = first;
        } else if (other == 1) {
            q->allowed[1].len = 25;
        } else {
            q->keepalive_s = 9; /* the same versions, another content: what a fault would leave */
        }
        b = (store_close(b), memory_store(2));
        w = store_begin(b);
        assert_int_equal(store_merge(b, w, q, NOW_NS, &changed), 0);
        store_publish(b, w, NULL, NULL);
        peer_free(q);
        store_digest(a, x);
        store_digest(b, y);
        assert_int_equal(memcmp(x, y, sizeof(x)) == 0, other == 0);
    }
    store_close(a);
    store_close(b);
}

TEST(revoked_peer_keeps_its_name_and_nothing_to_be_served_with)
{
    struct store *s = memory_store(1);
    struct change *c = change_of(1, LIST("10.0.0.0/24"));

    c->peers[0].has_name = c->peers[0].has_psk = true;
    strcpy(c->peers[0].name, "anna");
    c->peers[0].psk = secret_alloc();
    memset(c->peers[0].psk, 1, sizeof(*c->peers[0].psk));
    put(s, c);
    assert_int_equal(revoke_peer(s, 1), 0);
    assert_int_equal(find(s, 1)->state, PEER_REVOKED);
    assert_string_equal(find(s, 1)->name, "anna");
    assert_null(find(s, 1)->psk);
    assert_int_equal(find(s, 1)->allowed_count, 0);
    assert_int_equal(add(s, 2, "10.0.0.0/24"), 0);
    assert_true(serves(s, 2, "10.0.0.0/24"));
    assert_int_equal(add(s, 1, NULL), -EKEYREVOKED);
    /* Of a key that nobody knows, too: it never gets in. */
    assert_int_equal(revoke_peer(s, 9), 0);
    assert_int_equal(add(s, 9, NULL), -EKEYREVOKED);
    store_close(s);
}

TEST(edit_that_had_not_seen_the_revocation_loses_whatever_its_clock)
{
    struct store *a = memory_store(1), *b = memory_store(2);
    struct store_write *w;
    struct change *c;
    char error[STORE_ERROR_LEN];

    add(a, 1, NULL);
    merge_all(b, a);
    revoke_peer(a, 1);
    c = change_of(1, LIST("10.0.0.0/24")); /* an hour later, by a clock that is an hour ahead */
    w = store_begin(b);
    assert_int_equal(store_apply(b, w, c, NOW_NS + 3600000000000ull, error), 0);
    store_publish(b, w, NULL, NULL);
    change_free(c);
    drop(b, 1);
    add(b, 1, NULL); /* all fields anew, even later */
    merge_all(a, b);
    merge_all(b, a);
    assert_int_equal(find(a, 1)->state, PEER_REVOKED);
    assert_int_equal(find(b, 1)->state, PEER_REVOKED);
    store_close(a);
    store_close(b);
}

TEST(reinstatement_has_seen_the_revocation_and_wins)
{
    struct store *a = memory_store(1), *b = memory_store(2);

    add(a, 1, NULL);
    revoke_peer(a, 1);
    merge_all(b, a);
    assert_int_equal(reinstate(b, 1), 0);
    assert_int_equal(find(b, 1)->gen, 1);
    merge_all(a, b);
    assert_true(active(a, 1));
    store_close(a);
    store_close(b);
}

TEST(second_revocation_beats_a_reinstatement_that_it_did_not_know_of)
{
    struct store *a = memory_store(1), *b = memory_store(2);

    add(a, 1, NULL);
    revoke_peer(a, 1);
    merge_all(b, a);
    reinstate(b, 1);
    revoke_peer(a, 1);
    merge_all(a, b);
    merge_all(b, a);
    assert_int_equal(find(a, 1)->state, PEER_REVOKED);
    assert_int_equal(find(b, 1)->state, PEER_REVOKED);
    store_close(a);
    store_close(b);
}

TEST(disabled_peer_keeps_its_prefixes)
{
    struct store *s = memory_store(1);
    struct change *c = change_of(1, LIST("10.0.0.0/24"));

    c->peers[0].has_disabled = c->peers[0].disabled = true;
    put(s, c);
    assert_false(peer_enabled(find(s, 1), 0));
    assert_true(serves(s, 1, "10.0.0.0/24"));
    c = change_of(1, NULL);
    c->peers[0].has_disabled = true;
    put(s, c);
    assert_true(peer_enabled(find(s, 1), 0));
    store_close(s);
}

/* ---- durable or not ---- */

/* A commit that failed. */
static void revoke_unsaved(struct store *s, unsigned peer)
{
    struct change *c = change_of(peer, NULL);
    struct store_write *w = store_begin(s);
    char error[STORE_ERROR_LEN];

    c->peers[0].revoke = true;
    assert_int_equal(store_apply(s, w, c, NOW_NS, error), 0);
    change_free(c);
    store_publish_unsaved(s, w, NULL, NULL);
}

TEST(vector_outlives_a_restart)
{
    const struct place *at = *state;
    struct store *s = file_store(at->path, 2), *a = memory_store(1);

    add(a, 1, NULL);
    send(s, a, store_vector(s));
    add(s, 2, NULL);
    struct vector before = *store_vector(s);
    assert_true(before.seq[1] && before.seq[2]);
    store_close(s);
    s = file_store(at->path, 2);
    assert_true(vector_equal(store_vector(s), &before));
    assert_int_equal(store_published(s), before.seq[2]);
    store_close(s);
    store_close(a);
}

TEST(revocation_that_no_disk_took_is_in_force_and_saved_by_the_next_commit)
{
    const struct place *at = *state;
    struct store *s = file_store(at->path, 1);

    put(s, change_of(1, LIST("10.0.0.0/24", "10.0.1.0/24")));
    uint64_t known = store_vector(s)->seq[1];
    revoke_unsaved(s, 1);
    assert_int_equal(find(s, 1)->state, PEER_REVOKED);
    assert_int_equal(store_unsaved(s), 1);
    assert_true(store_published(s) > known);
    assert_int_equal(store_vector(s)->seq[1], known); /* nobody may count on it */
    add(s, 2, NULL);
    assert_int_equal(store_unsaved(s), 0);
    assert_true(store_vector(s)->seq[1] > known);
    store_close(s);
    s = file_store(at->path, 1);
    assert_int_equal(find(s, 1)->state, PEER_REVOKED);
    assert_int_equal(find(s, 1)->allowed_count, 0);
    store_close(s);
}

TEST(unsaved_revocation_is_gone_after_a_crash_and_its_number_is_not_used_again)
{
    const struct place *at = *state;
    struct store *s = file_store(at->path, 1);
    struct change *c = change_of(2, NULL);
    struct store_write *w;
    char error[STORE_ERROR_LEN];

    add(s, 1, NULL);
    revoke_unsaved(s, 1);
    uint64_t lost = store_published(s);
    store_close(s);
    s = file_store(at->path, 1);
    assert_true(active(s, 1));
    w = store_begin(s);
    assert_int_equal(store_apply(s, w, c, NOW_NS + 5000000, error), 0); /* 5 ms later */
    store_publish(s, w, NULL, NULL);
    change_free(c);
    assert_true(store_published(s) > lost);
    store_close(s);
}

static struct change *heir_of(unsigned heir, unsigned old)
{
    struct change *c = change_of(heir, LIST(NULL));

    c->peers[0].has_replaces = true;
    c->peers[0].replaces = key_of(old);
    return c;
}

static int succeed(struct store *s, unsigned heir)
{
    struct change *c = change_of(heir, LIST(NULL));

    c->peers[0].succeed = true;
    return put(s, c);
}

TEST(heir_takes_all_in_the_write_that_revokes_the_old_key)
{
    struct store *a = memory_store(1), *b = memory_store(2);
    struct change *c = change_of(1, LIST("10.0.0.0/24", "10.0.1.0/24"));
    struct peer_change *p = &c->peers[0];

    p->has_name = p->has_group = p->has_expires = p->has_keepalive = true;
    strcpy(p->name, "anna");
    strcpy(p->group, "staff");
    p->expires_s = 99;
    p->keepalive_s = 25;
    assert_int_equal(peer_change_text(p, PEER_NOTE, "her phone"), 0);
    put(a, c);
    put(a, heir_of(2, 1));
    assert_true(serves(a, 1, "10.0.0.0/24"));
    merge_all(b, a);

    assert_int_equal(succeed(a, 2), 0);
    assert_int_equal(find(a, 1)->state, PEER_REVOKED);
    assert_true(serves(a, 2, "10.0.0.0/24") && serves(a, 2, "10.0.1.0/24"));
    assert_string_equal(find(a, 2)->name, "anna");
    assert_string_equal(find(a, 2)->group, "staff");
    assert_string_equal(peer_text(find(a, 2), PEER_NOTE), "her phone");
    assert_true(find(a, 2)->expires_s == 99 && find(a, 2)->keepalive_s == 25);
    assert_false(peer_is_heir(find(a, 2)));
    /* A member that sees it happen as well comes to the same, and no prefix is disputed. */
    assert_int_equal(succeed(b, 2), 0);
    merge_all(b, a);
    merge_all(a, b);
    assert_true(same_record(find(a, 1), find(b, 1)) && same_record(find(a, 2), find(b, 2)));
    assert_int_equal(store_disputes(a), 0);
    assert_exclusive(b);
    store_close(a);
    store_close(b);
}

TEST(heir_of_a_revoked_key_gets_nothing)
{
    struct store *s = memory_store(1);

    add(s, 1, "10.0.0.0/24");
    put(s, heir_of(2, 1));
    revoke_peer(s, 1);
    assert_int_equal(succeed(s, 2), 0);
    assert_int_equal(find(s, 2)->allowed_count, 0);
    assert_int_equal(find(s, 1)->state, PEER_REVOKED);
    /* Nor is a key its own heir. */
    add(s, 3, "10.0.3.0/24");
    put(s, heir_of(3, 3));
    assert_int_equal(succeed(s, 3), 0);
    assert_true(serves(s, 3, "10.0.3.0/24"));
    store_close(s);
}

TEST(heir_gets_of_a_disputed_list_what_the_old_key_had)
{
    struct store *a = memory_store(1), *b = memory_store(2);

    add(a, 1, "10.0.0.0/24");
    put(a, heir_of(2, 1));
    put(b, change_of(3, LIST("10.0.0.0/24", "10.0.9.0/24")));
    merge_all(a, b);
    merge_all(b, a);
    bool first = serves(a, 1, "10.0.0.0/24");
    assert_int_equal(succeed(a, 2), 0);
    assert_true(serves(a, first ? 2 : 3, "10.0.0.0/24"));
    assert_exclusive(a);
    store_close(a);
    store_close(b);
}

TEST(expired_or_unapproved_peer_keeps_its_prefixes)
{
    struct store *s = memory_store(1);
    struct change *c = change_of(1, LIST("10.0.0.0/24"));

    c->peers[0].has_expires = c->peers[0].has_pending = c->peers[0].pending = true;
    c->peers[0].expires_s = 100;
    put(s, c);
    assert_false(peer_enabled(find(s, 1), 99));
    c = change_of(1, LIST(NULL));
    c->peers[0].has_pending = true;
    put(s, c);
    assert_true(peer_enabled(find(s, 1), 99));
    assert_false(peer_enabled(find(s, 1), 100));
    assert_int_equal(find(s, 1)->allowed_count, 1);
    store_close(s);
}

TEST(groups_are_not_replaced_with_the_peers)
{
    struct store *s = memory_store(1);
    struct change *c = change_of(1, LIST(NULL));

    c->peers[0].is_group = true;
    put(s, c);
    c = change_of(2, LIST("10.0.0.0/24"));
    c->replace_peers = true;
    put(s, c);
    assert_true(find(s, 1)->is_group && find(s, 1)->state == PEER_ACTIVE);
    assert_false(peer_enabled(find(s, 1), 0));
    assert_int_equal(add(s, 1, "10.0.1.0/24"), -EINVAL);
    store_close(s);
}

TEST(database_of_the_first_version_is_taken_over)
{
    const struct place *at = *state;
    struct store *s = file_store(at->path, 1);
    sqlite3 *db;

    put(s, change_of(1, LIST("10.0.0.0/24")));
    struct peer *before = peer_dup(find(s, 1));
    store_close(s);
    assert_int_equal(sqlite3_open(at->path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db,
                     "DROP TABLE known; DROP TABLE audit; ALTER TABLE peer DROP COLUMN disabled;"
                     "ALTER TABLE peer DROP COLUMN expires;"
                     "ALTER TABLE peer DROP COLUMN pending;"
                     "ALTER TABLE peer DROP COLUMN replaces;"
                     "ALTER TABLE peer DROP COLUMN mtu;"
                     "ALTER TABLE peer DROP COLUMN owner;"
                     "ALTER TABLE peer DROP COLUMN device;"
                     "ALTER TABLE peer DROP COLUMN note;"
                     "ALTER TABLE peer DROP COLUMN dns;"
                     "ALTER TABLE peer DROP COLUMN routes;"
                     "ALTER TABLE peer DROP COLUMN networks;"
                     "ALTER TABLE peer DROP COLUMN is_group;"
                     "UPDATE peer SET versions = substr(versions, 1, 11 * 17);"
                     "PRAGMA user_version = 1",
                     NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(db);
    s = file_store(at->path, 1);
    for (unsigned f = PEER_FIELD_DISABLED; f < PEER_FIELDS; f++) /* nobody has said these yet */
        before->version[f] = (struct version){0};
    assert_true(same_record(find(s, 1), before));
    assert_int_equal(store_vector(s)->seq[1], store_published(s));
    assert_true(store_published(s) > 0);
    peer_free(before);
    store_close(s);
}

#define TP(name) TS(name, place_make, place_remove)

TEST_MAIN(T(sibling_is_sent_what_its_vector_does_not_cover),
          T(digests_tell_records_apart_and_not_the_order_of_prefixes),
          T(revoked_peer_keeps_its_name_and_nothing_to_be_served_with),
          T(edit_that_had_not_seen_the_revocation_loses_whatever_its_clock),
          T(reinstatement_has_seen_the_revocation_and_wins),
          T(second_revocation_beats_a_reinstatement_that_it_did_not_know_of),
          T(disabled_peer_keeps_its_prefixes),
          T(heir_takes_all_in_the_write_that_revokes_the_old_key),
          T(heir_of_a_revoked_key_gets_nothing),
          T(heir_gets_of_a_disputed_list_what_the_old_key_had),
          T(expired_or_unapproved_peer_keeps_its_prefixes),
          T(groups_are_not_replaced_with_the_peers), TP(vector_outlives_a_restart),
          TP(revocation_that_no_disk_took_is_in_force_and_saved_by_the_next_commit),
          TP(unsaved_revocation_is_gone_after_a_crash_and_its_number_is_not_used_again),
          TP(database_of_the_first_version_is_taken_over))
