/* P4: what is left of removed peers goes when nobody needs it any more, and not before. */
#include "base/err.h"
#include "lib/test.h"
#include "unit/store/peers.h"
#include <stdio.h>
#include <string.h>

#define LATER_NS (NOW_NS + STORE_REMOVED_KEPT_NS + 1000000000)

static unsigned forget(struct store *s, const struct vector *everywhere, uint64_t real_ns)
{
    struct store_write *w = store_begin(s);
    unsigned count = store_forget_removed(s, w, everywhere, real_ns);

    assert_int_equal(store_commit(w), 0);
    store_publish(s, w, NULL, NULL);
    return count;
}

static int end_peer(struct store *s, unsigned peer)
{
    struct change *c = change_of(peer, NULL);

    c->peers[0].revoke = true;
    return put(s, c);
}

TEST(removal_is_forgotten_when_it_is_old_and_known_everywhere)
{
    const struct place *at = *state;
    struct store *s = file_store(at->path, 1);
    struct vector all, before;

    assert_int_equal(add(s, 1, "10.0.0.1/32"), 0);
    before = *store_vector(s);
    assert_int_equal(drop(s, 1), 0);
    all = *store_vector(s);
    assert_int_equal(forget(s, &all, LATER_NS - 2000000000), 0); /* too young */
    assert_int_equal(forget(s, &before, LATER_NS), 0);           /* a member lacks it */
    assert_non_null(find(s, 1));
    assert_int_equal(forget(s, &all, LATER_NS), 1);
    assert_null(find(s, 1));
    store_close(s);
    s = file_store(at->path, 1);
    assert_null(find(s, 1));
    assert_true(vector_equal(store_vector(s), &all)); /* that it happened is not forgotten */
    assert_int_equal(add(s, 1, "10.0.0.1/32"), 0);
    assert_true(active(s, 1));
    store_close(s);
}

TEST(peers_that_are_there_and_revocations_are_never_forgotten)
{
    const struct place *at = *state;
    struct store *s = file_store(at->path, 1);
    struct change *c;

    assert_int_equal(add(s, 1, NULL), 0);
    assert_int_equal(add(s, 2, NULL), 0);
    assert_int_equal(end_peer(s, 2), 0);
    assert_int_equal(end_peer(s, 3), 0); /* was revoked, came back and was removed */
    c = change_of(3, NULL);
    c->peers[0].reinstate = true;
    assert_int_equal(put(s, c), 0);
    assert_int_equal(drop(s, 3), 0);
    assert_int_equal(forget(s, store_vector(s), LATER_NS), 0);
    assert_non_null(find(s, 3));
    store_close(s);
}

TEST(who_has_forgotten_and_who_has_not_are_alike)
{
    struct store *a = memory_store(1), *b = memory_store(2);
    uint8_t of_a[STORE_DIGEST_LEN], of_b[STORE_DIGEST_LEN];
    struct vector all;

    add(a, 1, NULL);
    add(a, 2, NULL);
    drop(a, 1);
    merge_all(b, a);
    all = *store_vector(a);
    assert_int_equal(forget(a, &all, LATER_NS), 1);
    store_digest(a, of_a);
    store_digest(b, of_b);
    assert_memory_equal(of_a, of_b, sizeof(of_a));
    drop(b, 2);
    store_digest(b, of_b);
    assert_memory_not_equal(of_a, of_b, sizeof(of_a));
    store_close(a);
    store_close(b);
}

TEST(many_go_in_rounds)
{
    struct store *s = memory_store(1);
    struct change *c = change_new(HUB);

    for (int remove = 0; remove < 2; remove++) {
        c = remove ? change_new(HUB) : c;
        for (unsigned n = 0; n < STORE_FORGET_MAX + 8; n++) {
            struct public_key key = key_of(n);
            change_add_peer(c, &key)->remove = remove;
        }
        assert_int_equal(put(s, c), 0);
    }
    struct vector all = *store_vector(s);
    assert_int_equal(forget(s, &all, LATER_NS), STORE_FORGET_MAX);
    assert_int_equal(forget(s, &all, LATER_NS), 8);
    assert_int_equal(forget(s, &all, LATER_NS), 0);
    store_close(s);
}

/* A member with an old database still has it. */
TEST(forgotten_peer_is_recognised_and_buried_again)
{
    struct store *s = memory_store(1), *old = memory_store(2);
    struct vector all;

    add(s, 1, "10.0.0.1/32");
    merge_all(old, s);
    drop(s, 1);
    all = *store_vector(s);
    const struct peer *ghost = find(old, 1);
    assert_false(store_has_forgotten(s, ghost, &all, LATER_NS)); /* it is remembered */
    assert_int_equal(forget(s, &all, LATER_NS), 1);
    assert_true(store_has_forgotten(s, ghost, &all, LATER_NS));
    assert_false(store_has_forgotten(s, ghost, &all, NOW_NS)); /* young: rather a lost edit */
    assert_false(store_has_forgotten(s, ghost, &(struct vector){{0}}, LATER_NS));
    struct change *c = change_of(1, NULL);
    c->peers[0].bury = true;
    assert_int_equal(put(s, c), 0);
    assert_int_equal(find(s, 1)->state, PEER_REMOVED);
    assert_int_equal(merge_all(old, s), 1);
    assert_int_equal(find(old, 1)->state, PEER_REMOVED);
    /* What came meanwhile is not buried. */
    add(s, 2, NULL);
    c = change_of(2, NULL);
    c->peers[0].bury = true;
    assert_int_equal(put(s, c), 0);
    assert_true(active(s, 2));
    store_close(s);
    store_close(old);
}

#define TP(name) TS(name, place_make, place_remove)

TEST_MAIN(TP(removal_is_forgotten_when_it_is_old_and_known_everywhere),
          TP(peers_that_are_there_and_revocations_are_never_forgotten),
          T(who_has_forgotten_and_who_has_not_are_alike), T(many_go_in_rounds),
          T(forgotten_peer_is_recognised_and_buried_again))
