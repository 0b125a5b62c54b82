/* What a set of edits makes of the peers. */
#include "base/clock.h"
#include "base/err.h"
#include "base/secret.h"
#include "lib/test.h"
#include "unit/store/peers.h"
#include <stdio.h>

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NET_NODES 65280          /* one peer: as many v4 and as many v6 prefixes */
#define QUICK_NS (30 * NS_PER_S) /* quadratic work would take hours */

static struct secret32 *secret_of(uint8_t first)
{
    struct secret32 *s = secret_alloc();

    assert_non_null(s);
    s->b[0] = first;
    return s;
}

TEST(added_peer_is_found_with_all_that_was_said)
{
    struct store *s = memory_store(1);
    struct change *c = change_of(7, LIST("10.0.0.0/24", "fd00::/64"));
    struct peer_change *pc = &c->peers[0];

    pc->has_psk = pc->has_endpoint = pc->has_keepalive = pc->has_name = true;
    pc->psk = secret_of(9);
    assert_int_equal(endpoint_parse("[2001:db8::1]:4500", &pc->endpoint), 0);
    pc->keepalive_s = 25;
    strcpy(pc->name, "alice");
    struct endpoint endpoint = pc->endpoint;
    assert_int_equal(put(s, c), 0);

    const struct peer *p = find(s, 7);
    assert_non_null(p);
    assert_int_equal(p->state, PEER_ACTIVE);
    assert_int_equal(p->psk->b[0], 9);
    assert_true(endpoint_equal(&p->endpoint, &endpoint));
    assert_int_equal(p->keepalive_s, 25);
    assert_string_equal(p->name, "alice");
    assert_int_equal(p->allowed_count, 2);
    assert_true(serves(s, 7, "fd00::/64"));
    for (int f = 0; f < PEER_FIELDS; f++) {
        assert_int_equal(p->version[f].member, 1);
        assert_true(p->version[f].hlc >= NOW_NS / 1000000 << 16);
    }
    assert_int_equal(store_count(s, HUB, PEER_ACTIVE), 1);
    assert_int_equal(store_count(s, HUB + 1, PEER_ACTIVE), 0);
    store_close(s);
}

TEST(only_fields_that_differ_get_a_new_version)
{
    struct store *s = memory_store(1);
    struct change *c;
    struct version before[PEER_FIELDS];

    assert_int_equal(add(s, 1, "10.0.0.0/24"), 0);
    memcpy(before, find(s, 1)->version, sizeof(before));
    c = change_of(1, LIST("10.0.0.0/24"));
    c->peers[0].has_keepalive = true;
    c->peers[0].keepalive_s = 5;
    assert_int_equal(put(s, c), 0);
    for (int f = 0; f < PEER_FIELDS; f++) {
        int newer = version_compare(&find(s, 1)->version[f], &before[f]);
        assert_int_equal(newer, f == PEER_FIELD_KEEPALIVE);
    }
    store_close(s);
}

TEST(saying_the_same_again_changes_nothing)
{
    struct store *s = memory_store(1);
    char error[STORE_ERROR_LEN];

    for (int again = 0; again < 2; again++) {
        struct change *c = change_of(1, LIST("10.0.0.0/24", "10.0.1.0/24"));
        struct store_write *w = store_begin(s);

        c->replace_peers = true;
        c->peers[0].replace_allowed = true;
        assert_int_equal(store_apply(s, w, c, NOW_NS, error), 0);
        assert_int_equal(store_write_empty(w), again);
        store_publish(s, w, NULL, NULL);
        change_free(c);
    }
    assert_int_equal(find(s, 1)->allowed_count, 2);
    store_close(s);
}

TEST(update_only_of_an_unknown_or_removed_peer_is_skipped)
{
    for (uint8_t member = 0; member < 2; member++) {
        struct store *s = memory_store(member);

        for (int removed = 0; removed < 2; removed++) {
            struct change *c = change_of(3, LIST("10.0.0.0/24"));
            c->peers[0].update_only = true;
            assert_int_equal(put(s, c), 0);
            assert_false(active(s, 3));
            if (!removed) {
                add(s, 3, NULL);
                drop(s, 3);
            }
        }
        add(s, 3, NULL);
        struct change *c = change_of(3, LIST("10.0.0.0/24"));
        c->peers[0].update_only = true;
        assert_int_equal(put(s, c), 0);
        assert_true(serves(s, 3, "10.0.0.0/24"));
        store_close(s);
    }
}

TEST(removal_leaves_a_tombstone_in_a_cluster_and_nothing_in_plain_mode)
{
    for (uint8_t member = 0; member < 2; member++) {
        struct store *s = memory_store(member);
        struct change *c = change_of(1, LIST("10.0.0.0/24"));

        c->peers[0].has_psk = true;
        c->peers[0].psk = secret_of(1);
        put(s, c);
        assert_int_equal(drop(s, 1), 0);
        assert_int_equal(store_count(s, HUB, PEER_ACTIVE), 0);
        assert_int_equal(store_count(s, HUB, PEER_REMOVED), member);
        if (member) {
            assert_int_equal(find(s, 1)->allowed_count, 0);
            assert_null(find(s, 1)->psk);
        } else {
            assert_null(find(s, 1));
        }
        /* A peer that nobody knows leaves none either. */
        assert_int_equal(drop(s, 2), 0);
        assert_null(find(s, 2));
        /* Its prefix is free. */
        assert_int_equal(add(s, 5, "10.0.0.0/24"), 0);
        assert_true(serves(s, 5, "10.0.0.0/24"));
        store_close(s);
    }
}

TEST(removed_peer_comes_back_with_nothing_of_its_former_life)
{
    struct store *s = memory_store(1);
    struct change *c = change_of(1, LIST("10.0.0.0/24"));
    struct version before[PEER_FIELDS];

    c->peers[0].has_psk = c->peers[0].has_keepalive = c->peers[0].has_name = true;
    c->peers[0].psk = secret_of(1);
    c->peers[0].keepalive_s = 25;
    strcpy(c->peers[0].name, "old");
    put(s, c);
    drop(s, 1);
    memcpy(before, find(s, 1)->version, sizeof(before));
    assert_int_equal(add(s, 1, "10.0.1.0/24"), 0);

    const struct peer *p = find(s, 1);
    assert_int_equal(p->state, PEER_ACTIVE);
    assert_int_equal(p->gen, 0);
    assert_null(p->psk);
    assert_int_equal(p->keepalive_s, 0);
    assert_string_equal(p->name, "");
    assert_int_equal(p->allowed_count, 1);
    for (int f = 0; f < PEER_FIELDS; f++)
        assert_true(version_compare(&p->version[f], &before[f]) > 0);
    store_close(s);
}

/* There is no command for it yet: a sibling's record says so. */
static void revoke_peer(struct store *s, unsigned peer)
{
    struct public_key key = key_of(peer);
    const struct peer *seen = store_find(s, HUB, &key);
    struct peer *p = seen ? peer_dup(seen) : peer_new(HUB, &key);
    struct store_write *w = store_begin(s);
    bool changed;

    p->state = PEER_REVOKED;
    p->version[PEER_FIELD_STATE] = (struct version){.hlc = 1ull << 60, .member = 9, .seq = 1};
    assert_int_equal(store_merge(s, w, p, NOW_NS, &changed), 0);
    assert_true(changed);
    store_publish(s, w, NULL, NULL);
    peer_free(p);
}

TEST(revoked_key_is_refused_and_the_set_with_it)
{
    struct store *s = memory_store(1);
    struct change *c = change_of(1, LIST("10.0.0.0/24"));
    struct public_key revoked = key_of(2);
    struct store_write *w = store_begin(s);
    char error[STORE_ERROR_LEN];

    add(s, 2, "10.0.9.0/24");
    revoke_peer(s, 2);
    change_add_peer(c, &revoked);
    assert_int_equal(store_apply(s, w, c, NOW_NS, error), -EKEYREVOKED);
    assert_non_null(strstr(error, "revoked"));
    assert_true(store_write_empty(w));
    store_publish(s, w, NULL, NULL);
    assert_null(find(s, 1));
    assert_int_equal(find(s, 2)->state, PEER_REVOKED);
    change_free(c);
    /* Removing it, or updating it if it were there, is no error and no change. */
    assert_int_equal(drop(s, 2), 0);
    assert_int_equal(find(s, 2)->state, PEER_REVOKED);
    /* What it had is free. */
    assert_int_equal(add(s, 3, "10.0.9.0/24"), 0);
    assert_true(serves(s, 3, "10.0.9.0/24"));
    store_close(s);
}

TEST(replace_peers_leaves_what_is_listed_and_as_it_is_listed)
{
    struct store *s = memory_store(1);
    struct public_key second = key_of(2), third = key_of(3);
    struct change *c = change_of(1, LIST("10.0.1.0/24"));

    c->peers[0].has_psk = c->peers[0].has_keepalive = true;
    c->peers[0].psk = secret_of(4);
    c->peers[0].keepalive_s = 25;
    put(s, c);
    add(s, 2, "10.0.2.0/24");
    add(s, 3, "10.0.3.0/24");

    c = change_of(1, LIST("10.0.7.0/24"));
    c->replace_peers = true;
    change_add_peer(c, &second)->update_only = true; /* nothing is there to update any more */
    change_add_peer(c, &third)->remove = true;
    assert_int_equal(put(s, c), 0);
    assert_int_equal(store_count(s, HUB, PEER_ACTIVE), 1);
    assert_true(serves(s, 1, "10.0.7.0/24"));
    assert_int_equal(find(s, 1)->allowed_count, 1);
    assert_null(find(s, 1)->psk);
    assert_int_equal(find(s, 1)->keepalive_s, 0);
    store_close(s);
}

TEST(replace_peers_is_of_one_hub)
{
    struct store *s = memory_store(1);
    struct public_key key = key_of(1);
    struct change *c = change_new(2);

    change_add_peer(c, &key);
    put(s, c);
    add(s, 1, "10.0.0.0/24");
    c = change_new(HUB);
    c->replace_peers = true;
    put(s, c);
    assert_int_equal(store_count(s, HUB, PEER_ACTIVE), 0);
    assert_int_equal(store_count(s, 2, PEER_ACTIVE), 1);
    store_close(s);
}

TEST(allowed_prefix_moves_from_one_peer_to_the_other)
{
    struct store *s = memory_store(1);
    struct version before;

    assert_int_equal(put(s, change_of(1, LIST("10.0.0.0/24", "10.0.1.0/24"))), 0);
    before = find(s, 1)->version[PEER_FIELD_ALLOWED];
    assert_int_equal(add(s, 2, "10.0.0.0/24"), 0);
    assert_true(serves(s, 2, "10.0.0.0/24"));
    assert_false(serves(s, 1, "10.0.0.0/24"));
    assert_true(serves(s, 1, "10.0.1.0/24"));
    assert_true(version_compare(&find(s, 1)->version[PEER_FIELD_ALLOWED], &before) > 0);
    assert_exclusive(s);
    store_close(s);
}

TEST(last_mention_in_a_set_gets_the_prefix)
{
    struct store *s = memory_store(1);
    struct public_key first = key_of(1);
    struct ip_prefix x = prefix_of("10.0.0.0/24");
    struct change *c;
    struct peer_change *again;

    add(s, 1, "10.0.0.0/24");
    c = change_of(2, LIST("10.0.0.0/24", "10.0.5.0/24"));
    again = change_add_peer(c, &first);
    peer_change_allow(again, &x, false);
    peer_change_allow(again, &x, true);
    peer_change_allow(again, &x, false);
    peer_change_allow(again, &x, false);
    assert_int_equal(put(s, c), 0);
    assert_int_equal(find(s, 1)->allowed_count, 1);
    assert_int_equal(find(s, 2)->allowed_count, 1);
    assert_true(serves(s, 1, "10.0.0.0/24"));
    assert_true(serves(s, 2, "10.0.5.0/24"));
    store_close(s);
}

TEST(minus_takes_a_prefix_from_this_peer_only)
{
    struct store *s = memory_store(1);
    struct ip_prefix x = prefix_of("10.0.0.0/24"), y = prefix_of("10.0.9.0/24");
    struct change *c;

    put(s, change_of(1, LIST("10.0.0.0/24", "10.0.1.0/24")));
    add(s, 2, "10.0.9.0/24");
    c = change_of(1, NULL);
    peer_change_allow(&c->peers[0], &x, true);
    peer_change_allow(&c->peers[0], &y, true);
    assert_int_equal(put(s, c), 0);
    assert_false(serves(s, 1, "10.0.0.0/24"));
    assert_true(serves(s, 1, "10.0.1.0/24"));
    assert_true(serves(s, 2, "10.0.9.0/24"));
    store_close(s);
}

TEST(replace_allowed_drops_what_is_not_named)
{
    struct store *s = memory_store(1);
    struct change *c = change_of(1, LIST("10.0.1.0/24", "10.0.2.0/24"));

    put(s, change_of(1, LIST("10.0.0.0/24", "10.0.1.0/24")));
    c->peers[0].replace_allowed = true;
    put(s, c);
    assert_int_equal(find(s, 1)->allowed_count, 2);
    assert_true(serves(s, 1, "10.0.1.0/24"));
    assert_true(serves(s, 1, "10.0.2.0/24"));
    assert_false(serves(s, 1, "10.0.0.0/24"));
    store_close(s);
}

TEST(zero_preshared_key_removes_it)
{
    struct store *s = memory_store(1);

    for (uint8_t first = 1; first < 2; first--) {
        struct change *c = change_of(1, NULL);
        c->peers[0].has_psk = true;
        c->peers[0].psk = secret_of(first);
        put(s, c);
        assert_int_equal(find(s, 1)->psk != NULL, first);
    }
    store_close(s);
}

struct seen {
    unsigned calls;
    bool was[8], is[8];
};

static void note(void *ctx, const struct peer *old, const struct peer *now)
{
    struct seen *seen = ctx;
    unsigned peer;

    memcpy(&peer, now->key.b, sizeof(peer));
    seen->calls++;
    seen->was[peer] = old && old->state == PEER_ACTIVE;
    seen->is[peer] = now->state == PEER_ACTIVE;
}

TEST(edits_that_join_a_write_build_on_each_other)
{
    struct store *s = memory_store(0);
    char error[STORE_ERROR_LEN];
    struct seen seen = {0};
    struct store_write *w;
    struct change *c;

    add(s, 4, "10.0.0.0/24");
    w = store_begin(s);
    for (unsigned peer = 1; peer <= 3; peer++) {
        c = change_of(peer, LIST("10.0.0.0/24"));
        assert_int_equal(store_apply(s, w, c, NOW_NS, error), 0);
        change_free(c);
    }
    c = change_of(2, NULL);
    c->peers[0].remove = true;
    assert_int_equal(store_apply(s, w, c, NOW_NS, error), 0);
    change_free(c);
    assert_null(find(s, 3)); /* nothing is seen before it is published */
    store_publish(s, w, note, &seen);
    assert_int_equal(seen.calls, 4);
    assert_true(!seen.was[3] && seen.is[3]);
    assert_true(!seen.was[2] && !seen.is[2]);
    assert_true(seen.was[4] && seen.is[4]);
    assert_true(serves(s, 3, "10.0.0.0/24"));
    assert_null(find(s, 2));
    assert_exclusive(s);
    store_close(s);
}

TEST(aborted_write_leaves_nothing)
{
    struct store *s = memory_store(0);
    char error[STORE_ERROR_LEN];
    struct store_write *w;
    struct change *c = change_of(2, LIST("10.0.0.0/24"));

    add(s, 1, "10.0.0.0/24");
    w = store_begin(s);
    assert_int_equal(store_apply(s, w, c, NOW_NS, error), 0);
    store_abort(s, w);
    change_free(c);
    assert_null(find(s, 2));
    assert_true(serves(s, 1, "10.0.0.0/24"));
    assert_int_equal(add(s, 3, "10.0.0.0/24"), 0);
    assert_exclusive(s);
    store_close(s);
}

TEST(order_of_peers_is_stable_while_others_come_and_go)
{
    struct store *s = memory_store(0);
    uint64_t cursor = 0;
    const struct peer *p;
    unsigned n = 0, peer;

    for (unsigned i = 0; i < 200; i++)
        add(s, i, NULL);
    while (n < 50 && (p = store_next(s, &cursor)))
        n++;
    for (unsigned i = 0; i < 200; i++)
        if (i != 160 && i != 170)
            drop(s, i);
    add(s, 300, NULL);
    for (const unsigned *want = (const unsigned[]){160, 170, 300}; want[0]; want++) {
        p = store_next(s, &cursor);
        assert_non_null(p);
        memcpy(&peer, p->key.b, sizeof(peer));
        assert_int_equal(peer, *want);
        if (*want == 300)
            break;
    }
    assert_null(store_next(s, &cursor));
    store_close(s);
}

static struct change *huge_change(unsigned peer)
{
    struct change *c = change_of(peer, NULL);

    for (unsigned i = 0; i < NET_NODES; i++) {
        uint8_t v4[4] = {10, (uint8_t)(1 + (i >> 8)), (uint8_t)i, 0};
        uint8_t v6[16] = {0xfd, 0, (uint8_t)(1 + (i >> 8)), (uint8_t)i};
        struct ip_prefix p4 = {.addr = addr_from_v4(v4), .len = 32};
        struct ip_prefix p6 = {.addr = addr_from_v6(v6, 0), .len = 64, .v6 = true};

        assert_int_equal(peer_change_allow(&c->peers[0], &p4, false), 0);
        assert_int_equal(peer_change_allow(&c->peers[0], &p6, false), 0);
    }
    return c;
}

TEST(peer_with_130560_prefixes_is_quick)
{
    struct store *s = memory_store(1);
    uint64_t start = clock_boot_ns();
    struct change *c;

    assert_int_equal(put(s, huge_change(1)), 0);
    assert_int_equal(find(s, 1)->allowed_count, 2 * NET_NODES);
    c = huge_change(1); /* setconf again: nothing differs */
    c->replace_peers = c->peers[0].replace_allowed = true;
    assert_int_equal(put(s, c), 0);
    assert_int_equal(find(s, 1)->allowed_count, 2 * NET_NODES);
    assert_int_equal(put(s, huge_change(2)), 0); /* all of them move */
    assert_int_equal(find(s, 1)->allowed_count, 0);
    assert_int_equal(find(s, 2)->allowed_count, 2 * NET_NODES);
    assert_int_equal(drop(s, 2), 0);
    assert_true(clock_boot_ns() - start < QUICK_NS);
    store_close(s);
}

TEST(ten_thousand_peers_are_quick)
{
    struct store *s = memory_store(0);
    uint64_t start = clock_boot_ns();

    for (int again = 0; again < 2; again++) {
        struct change *c = change_new(HUB);

        c->replace_peers = true;
        for (unsigned i = 0; i < 10000; i++) {
            struct public_key key = key_of(i + (again ? 5000 : 0));
            uint8_t v4[4] = {10, 1, (uint8_t)(i >> 8), (uint8_t)i};
            struct ip_prefix p4 = {.addr = addr_from_v4(v4), .len = 32};

            peer_change_allow(change_add_peer(c, &key), &p4, false);
        }
        assert_int_equal(put(s, c), 0);
        assert_int_equal(store_count(s, HUB, PEER_ACTIVE), 10000);
    }
    assert_true(clock_boot_ns() - start < QUICK_NS);
    store_close(s);
}

TEST(no_secret_is_left_behind)
{
    size_t before = secret_slots_used();
    struct store *s = memory_store(1);

    for (unsigned i = 1; i < 20; i++) {
        struct change *c = change_of(i % 5, NULL);
        c->peers[0].has_psk = true;
        c->peers[0].psk = secret_of((uint8_t)i);
        put(s, c);
    }
    drop(s, 1);
    store_close(s);
    assert_int_equal(secret_slots_used(), before);
}

TEST_MAIN(T(added_peer_is_found_with_all_that_was_said),
          T(only_fields_that_differ_get_a_new_version), T(saying_the_same_again_changes_nothing),
          T(update_only_of_an_unknown_or_removed_peer_is_skipped),
          T(removal_leaves_a_tombstone_in_a_cluster_and_nothing_in_plain_mode),
          T(removed_peer_comes_back_with_nothing_of_its_former_life),
          T(revoked_key_is_refused_and_the_set_with_it),
          T(replace_peers_leaves_what_is_listed_and_as_it_is_listed),
          T(replace_peers_is_of_one_hub), T(allowed_prefix_moves_from_one_peer_to_the_other),
          T(last_mention_in_a_set_gets_the_prefix), T(minus_takes_a_prefix_from_this_peer_only),
          T(replace_allowed_drops_what_is_not_named), T(zero_preshared_key_removes_it),
          T(edits_that_join_a_write_build_on_each_other), T(aborted_write_leaves_nothing),
          T(order_of_peers_is_stable_while_others_come_and_go),
          T(peer_with_130560_prefixes_is_quick), T(ten_thousand_peers_are_quick),
          T(no_secret_is_left_behind))
