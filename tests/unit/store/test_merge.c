/* Records of siblings: all members end with the same peers (P2, P5), whatever came first. */
#include "base/err.h"
#include "lib/test.h"
#include "unit/store/peers.h"
#include <stdio.h>

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static void exchange(struct store **s, unsigned count)
{
    /* Twice: what the last told the first must reach the others too. */
    for (int round = 0; round < 2; round++)
        for (unsigned i = 0; i < count; i++)
            for (unsigned n = 0; n < count; n++)
                if (i != n)
                    merge_all(s[n], s[i]);
}

static void assert_alike(const struct store *a, const struct store *b)
{
    const struct peer *p;
    uint64_t cursor = 0;

    while ((p = store_next(a, &cursor))) {
        const struct peer *q = store_find(b, p->hub, &p->key);

        assert_non_null(q);
        assert_true(same_record(p, q));
        assert_true(
            same_record(store_record(a, p->hub, &p->key), store_record(b, p->hub, &p->key)));
    }
    assert_int_equal(store_disputes(a), store_disputes(b));
}

TEST(peer_added_on_a_is_known_by_b)
{
    struct store *a = memory_store(1), *b = memory_store(2);

    add(a, 1, "10.0.0.0/24");
    assert_int_equal(merge_all(b, a), 1);
    assert_true(serves(b, 1, "10.0.0.0/24"));
    assert_int_equal(merge_all(b, a), 0); /* once more: nothing new */
    assert_int_equal(merge_all(a, b), 0);
    assert_alike(a, b);
    store_close(a);
    store_close(b);
}

TEST(edit_after_a_merge_wins_over_what_was_merged)
{
    struct store *a = memory_store(1), *b = memory_store(2);
    struct store_write *w = store_begin(a);
    char error[STORE_ERROR_LEN];
    struct change *c = change_of(1, NULL);

    /* a's clock is an hour ahead; b, having seen its edit, is causally later. */
    c->peers[0].has_keepalive = true;
    c->peers[0].keepalive_s = 10;
    assert_int_equal(store_apply(a, w, c, NOW_NS + 3600000000000ull, error), 0);
    store_publish(a, w, NULL, NULL);
    change_free(c);
    merge_all(b, a);
    c = change_of(1, NULL);
    c->peers[0].has_keepalive = true;
    c->peers[0].keepalive_s = 20;
    put(b, c);
    merge_all(a, b);
    assert_int_equal(find(a, 1)->keepalive_s, 20);
    assert_alike(a, b);
    store_close(a);
    store_close(b);
}

TEST(removal_reaches_the_sibling_and_frees_the_prefix)
{
    struct store *a = memory_store(1), *b = memory_store(2);

    add(a, 1, "10.0.0.0/24");
    merge_all(b, a);
    drop(a, 1);
    merge_all(b, a);
    assert_false(active(b, 1));
    add(b, 2, "10.0.0.0/24");
    assert_true(serves(b, 2, "10.0.0.0/24"));
    merge_all(a, b);
    assert_true(serves(a, 2, "10.0.0.0/24"));
    store_close(a);
    store_close(b);
}

TEST(prefix_given_to_two_peers_at_once_stays_with_the_earlier)
{
    struct store *s[3] = {memory_store(1), memory_store(2), memory_store(3)};

    add(s[0], 1, "10.0.0.0/24"); /* same instant: member 1 is before member 2 */
    put(s[1], change_of(2, LIST("10.0.0.0/24", "10.0.5.0/24")));
    exchange(s, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(serves(s[i], 1, "10.0.0.0/24"));
        assert_false(serves(s[i], 2, "10.0.0.0/24"));
        assert_true(serves(s[i], 2, "10.0.5.0/24"));
        assert_int_equal(store_disputes(s[i]), 1);
        assert_exclusive(s[i]);
    }
    assert_alike(s[0], s[2]);

    /* The earlier lets go: the other gets what it was given. */
    drop(s[2], 1);
    exchange(s, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(serves(s[i], 2, "10.0.0.0/24"));
        assert_int_equal(store_disputes(s[i]), 0);
        assert_alike(s[0], s[i]);
    }
    for (unsigned i = 0; i < 3; i++)
        store_close(s[i]);
}

TEST(edit_of_a_list_in_dispute_does_not_turn_the_dispute)
{
    struct store *s[2] = {memory_store(1), memory_store(2)};
    struct ip_prefix more = prefix_of("10.0.7.0/24");

    for (unsigned loser = 0; loser < 2; loser++) {
        char text[32];

        snprintf(text, sizeof(text), "10.%u.0.0/24", loser);
        put(s[0], change_of(10 + loser, LIST(text)));
        put(s[1], change_of(20 + loser, LIST(text)));
        exchange(s, 2);
        assert_int_equal(store_disputes(s[0]), 1);
        unsigned who = serves(s[0], 10 + loser, text) ? 10 : 20;
        unsigned edited = (loser ? 30 - who : who) + loser;
        struct change *c = change_of(edited, NULL);
        peer_change_allow(&c->peers[0], &more, false);
        put(s[1], c);
        exchange(s, 2);
        assert_true(serves(s[0], who + loser, text));
        assert_true(serves(s[0], edited, "10.0.7.0/24"));
        assert_int_equal(store_disputes(s[0]), 0);
        assert_alike(s[0], s[1]);
    }
    store_close(s[0]);
    store_close(s[1]);
}

static void note_second(void *ctx, const struct peer *old, const struct peer *now)
{
    struct public_key second = key_of(2);
    unsigned *told = ctx;

    if (public_key_equal(&now->key, &second)) {
        assert_int_equal(old->allowed_count, 0);
        assert_int_equal(now->allowed_count, 1);
        ++*told;
    }
}

TEST(who_waits_for_a_prefix_is_told_when_it_gets_it)
{
    struct store *a = memory_store(1), *b = memory_store(2);
    struct store_write *w;
    char error[STORE_ERROR_LEN];
    struct change *c = change_of(1, NULL);
    unsigned told = 0;

    add(a, 1, "10.0.0.0/24");
    add(b, 2, "10.0.0.0/24");
    merge_all(a, b);
    assert_false(serves(a, 2, "10.0.0.0/24"));
    c->peers[0].replace_allowed = true;
    w = store_begin(a);
    assert_int_equal(store_apply(a, w, c, NOW_NS, error), 0);
    change_free(c);
    store_publish(a, w, note_second, &told);
    assert_int_equal(told, 1);
    assert_true(serves(a, 2, "10.0.0.0/24"));
    store_close(a);
    store_close(b);
}

TEST(merge_that_waits_is_not_undone_by_an_edit_that_overtakes_it)
{
    struct store *a = memory_store(1), *b = memory_store(2);
    struct store_write *waiting;
    struct public_key key = key_of(1);
    struct change *c;
    bool changed;

    add(a, 1, "10.0.0.0/24");
    merge_all(b, a);
    c = change_of(1, NULL);
    c->peers[0].has_name = true;
    strcpy(c->peers[0].name, "from-b");
    put(b, c);
    put(b, change_of(3, LIST("10.0.3.0/24")));

    waiting = store_begin(a);
    assert_int_equal(store_merge(a, waiting, store_record(b, HUB, &key), NOW_NS, &changed), 0);
    key = key_of(3);
    assert_int_equal(store_merge(a, waiting, store_record(b, HUB, &key), NOW_NS, &changed), 0);
    /* Meanwhile an operator of a gives the prefixes elsewhere and sets a keepalive. */
    c = change_of(1, NULL);
    c->peers[0].has_keepalive = true;
    c->peers[0].keepalive_s = 25;
    put(a, c);
    put(a, change_of(2, LIST("10.0.0.0/24", "10.0.3.0/24")));
    assert_int_equal(store_commit(waiting), 0);
    store_publish(a, waiting, NULL, NULL);

    assert_string_equal(find(a, 1)->name, "from-b");
    assert_int_equal(find(a, 1)->keepalive_s, 25);
    assert_false(serves(a, 1, "10.0.0.0/24"));
    assert_true(serves(a, 2, "10.0.0.0/24"));
    assert_exclusive(a);
    merge_all(b, a);
    merge_all(a, b);
    assert_alike(a, b);
    store_close(a);
    store_close(b);
}

TEST(tombstone_with_a_later_list_claims_nothing)
{
    struct store *a = memory_store(1), *b = memory_store(2);
    struct change *c;

    add(a, 1, "10.0.0.0/24");
    merge_all(b, a);
    /* b's clock counts one further, and it has not heard of the removal. */
    add(b, 9, NULL);
    add(b, 1, "10.0.1.0/24");
    drop(a, 1);
    merge_all(a, b);
    merge_all(b, a);
    assert_alike(a, b);
    assert_false(active(a, 1));
    add(a, 2, "10.0.1.0/24");
    assert_true(serves(a, 2, "10.0.1.0/24"));
    assert_int_equal(store_disputes(a), 0);
    /* Made active again it starts with an empty list. */
    c = change_of(1, NULL);
    put(a, c);
    assert_int_equal(find(a, 1)->allowed_count, 0);
    assert_true(serves(a, 2, "10.0.1.0/24"));
    store_close(a);
    store_close(b);
}

TEST(list_with_doubles_is_taken_once)
{
    struct store *a = memory_store(1), *b = memory_store(2);
    struct public_key key = key_of(1);
    struct store_write *w = store_begin(b);
    struct peer *p;
    bool changed;

    put(a, change_of(1, LIST("10.0.0.0/24", "10.0.1.0/24")));
    p = peer_dup(store_record(a, HUB, &key));
    p->allowed[1] = p->allowed[0];
    assert_int_equal(store_merge(b, w, p, NOW_NS, &changed), 0);
    store_publish(b, w, NULL, NULL);
    assert_int_equal(find(b, 1)->allowed_count, 1);
    assert_int_equal(store_disputes(b), 0);
    peer_free(p);
    store_close(a);
    store_close(b);
}

TEST(clock_of_an_absurd_year_is_refused)
{
    struct store *s = memory_store(1);
    struct store_write *w = store_begin(s);
    struct public_key key = key_of(1);
    struct peer *p = peer_new(HUB, &key);
    bool changed;

    p->version[PEER_FIELD_NAME].hlc = UINT64_MAX - 1;
    assert_int_equal(store_merge(s, w, p, NOW_NS, &changed), -ERANGE);
    assert_true(store_write_empty(w));
    store_abort(s, w);
    peer_free(p);
    store_close(s);
}

static void random_edit(struct store *s, const struct rng *r)
{
    char text[32];
    struct change *c = change_of(test_below(r, 12), NULL);
    struct peer_change *pc = &c->peers[0];

    for (unsigned n = test_below(r, 4); n; n--) {
        snprintf(text, sizeof(text), "10.0.%u.0/24", test_below(r, 10));
        struct ip_prefix p = prefix_of(text);
        peer_change_allow(pc, &p, test_below(r, 4) == 0);
    }
    pc->remove = test_below(r, 6) == 0;
    pc->update_only = test_below(r, 6) == 0;
    pc->replace_allowed = test_below(r, 4) == 0;
    c->replace_peers = test_below(r, 30) == 0;
    pc->has_keepalive = test_below(r, 2) == 0;
    pc->keepalive_s = (uint16_t)test_below(r, 100);
    assert_int_equal(put(s, c), 0);
}

/* A sibling's record on its way: single ones, in any order, also old ones. */
static void random_gossip(struct store *to, const struct store *from, const struct rng *r)
{
    struct public_key key = key_of(test_below(r, 12));
    const struct peer *p = store_record(from, HUB, &key);
    struct store_write *w = store_begin(to);
    bool changed;

    if (p)
        assert_int_equal(store_merge(to, w, p, NOW_NS, &changed), 0);
    if (test_below(r, 3) == 0)
        random_edit(to, r); /* overtakes */
    store_publish(to, w, NULL, NULL);
}

TEST(members_that_edit_at_random_end_alike)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        const struct rng *r = test_rng(seed);
        struct store *s[3] = {memory_store(1), memory_store(2), memory_store(3)};

        for (unsigned step = 0; step < 120; step++) {
            unsigned at = test_below(r, 3);

            random_edit(s[at], r);
            random_gossip(s[test_below(r, 3)], s[at], r);
            assert_exclusive(s[test_below(r, 3)]);
        }
        exchange(s, 3);
        for (unsigned i = 0; i < 3; i++) {
            assert_exclusive(s[i]);
            assert_alike(s[0], s[i]);
            assert_alike(s[i], s[0]);
        }
        for (unsigned i = 0; i < 3; i++)
            store_close(s[i]);
    }
}

TEST_MAIN(T(peer_added_on_a_is_known_by_b), T(edit_after_a_merge_wins_over_what_was_merged),
          T(removal_reaches_the_sibling_and_frees_the_prefix),
          T(prefix_given_to_two_peers_at_once_stays_with_the_earlier),
          T(edit_of_a_list_in_dispute_does_not_turn_the_dispute),
          T(who_waits_for_a_prefix_is_told_when_it_gets_it),
          T(merge_that_waits_is_not_undone_by_an_edit_that_overtakes_it),
          T(tombstone_with_a_later_list_claims_nothing), T(list_with_doubles_is_taken_once),
          T(clock_of_an_absurd_year_is_refused), T(members_that_edit_at_random_end_alike))
