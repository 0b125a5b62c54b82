/* A peer's slots, endpoint and notes (H3, H4, E1-E3). */
#include "fixture.h"

static struct wg_peer peer;
static struct keypair *out[NEXT_SLOTS + 2];

static int fresh(void **state)
{
    wg_peer_done(&peer);
    wg_peer_init(&peer, 42, 3, &(struct public_key){{9}});
    assert_int_equal(peer_wake(&peer), 0);
    return 0;
}

static struct keypair *key(uint64_t generation)
{
    struct keypair *k = key_made_here(generation, LIMIT_NONE);
    return k;
}

static void free_all(struct keypair **k, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        keypair_free(k[i]);
}

TEST(a_new_peer_is_empty)
{
    assert_int_equal(peer.id, 42);
    assert_int_equal(peer.hub, 3);
    assert_int_equal(peer.key.b[0], 9);
    assert_null(atomic_load(&peer.current));
    assert_false(
        peer_endpoint_get(&peer, &(struct endpoint){0}, &(struct endpoint){0}, &(uint32_t){0}));
}

/* A hub may have a million of them. */
TEST(an_idle_peer_shares_what_it_does_not_need)
{
    struct wg_peer idle[2];
    struct endpoint e = {.port = 9, .addr = {{1}}};

    for (unsigned i = 0; i < 2; i++)
        wg_peer_init(&idle[i], i + 1, 1, &(struct public_key){{1}});
    assert_ptr_equal(peer_live(&idle[0]), peer_live(&idle[1]));
    assert_true(sizeof(struct wg_peer) <= 88);
    assert_ptr_equal(peer_slots(&idle[0]), peer_slots(&idle[1]));
    assert_false(
        peer_endpoint_get(&idle[0], &(struct endpoint){0}, &(struct endpoint){0}, &(uint32_t){0}));
    peer_endpoint_clear_local(&idle[0]);
    peer_settle(&idle[0]);
    assert_int_equal(peer_endpoint_set(&idle[0], &e), 0);
    assert_ptr_equal(peer_live(&idle[0]), peer_live(&idle[1]));
    assert_false(
        peer_endpoint_get(&idle[1], &(struct endpoint){0}, &(struct endpoint){0}, &(uint32_t){0}));
    assert_int_equal(peer_wake(&idle[0]), 0); /* it, and only it */
    struct peer_live *once = peer_live(&idle[0]);
    assert_ptr_not_equal(once, peer_live(&idle[1]));
    assert_int_equal(peer_wake(&idle[0]), 0);
    assert_ptr_equal(peer_live(&idle[0]), once);
    wg_peer_done(&idle[0]);
    wg_peer_done(&idle[1]);
}

TEST(a_session_that_a_sibling_made_had_its_handshake_there)
{
    struct keypair *k = replica_of_sibling(1, 64, 40 * NS_PER_S);
    uint64_t real = 1700000000 * NS_PER_S, now = T0 + 2 * NS_PER_S;

    assert_int_equal(peer_handshake_real_ns(&peer, T0, real), 0);
    peer_install_replica(&peer, k, SLOT_CURRENT, out);
    assert_true(peer_handshake_real_ns(&peer, now, real) == real - 42 * NS_PER_S);
    /* An earlier one that was made here counts no more, a later one does. */
    atomic_store(&peer_live(&peer)->handshake_real_ns, real - 100 * NS_PER_S);
    assert_true(peer_handshake_real_ns(&peer, now, real) == real - 42 * NS_PER_S);
    atomic_store(&peer_live(&peer)->handshake_real_ns, real - 7 * NS_PER_S);
    assert_true(peer_handshake_real_ns(&peer, now, real) == real - 7 * NS_PER_S);
    /* Its own is not shown as wandering with each look. */
    atomic_store(&peer_live(&peer)->handshake_real_ns, real - 42 * NS_PER_S - 1);
    assert_true(peer_handshake_real_ns(&peer, now, real) == real - 42 * NS_PER_S - 1);
    keypair_free(k);
}

TEST(a_peer_that_talks_to_a_sibling_has_no_part_for_traffic)
{
    struct endpoint e = {.port = 9, .addr = {{1}}};
    struct keypair *k[2] = {key(1), key(2)};
    struct peer_live *idle;
    struct wg_peer p;

    wg_peer_init(&p, 1, 1, &(struct public_key){{1}});
    idle = peer_live(&p);
    peer_endpoint_update(&p, &e, &(struct endpoint){0}, 0, 1,
                         &(struct endpoint_version){.generation = 1});
    peer_install_replica(&p, k[0], SLOT_CURRENT, out);
    assert_ptr_equal(peer_live(&p), idle);
    assert_null(p.slots);
    peer_install_replica(&p, k[1], SLOT_CURRENT, out);
    assert_ptr_equal(peer_slots(&p)->previous, k[0]);
    assert_ptr_equal(peer_live(&p), idle);
    wg_peer_done(&p);
    free_all(k, 2);
}

/* ---- slots ---- */

TEST(an_initiated_key_is_current_at_once)
{
    struct keypair *k[4];

    for (unsigned i = 0; i < 4; i++)
        k[i] = key(i + 1);
    assert_int_equal(peer_install_initiated(&peer, k[0], out), 0);
    assert_ptr_equal(atomic_load(&peer.current), k[0]);
    assert_int_equal(peer_install_initiated(&peer, k[1], out), 0);
    assert_ptr_equal(atomic_load(&peer.current), k[1]);
    assert_ptr_equal(peer_slots(&peer)->previous, k[0]);
    assert_int_equal(peer_install_initiated(&peer, k[2], out), 1);
    assert_ptr_equal(out[0], k[0]);
    assert_ptr_equal(peer_slots(&peer)->previous, k[1]);
    /* H4: a responder's key that waits stays where it is */
    assert_int_equal(peer_install_next(&peer, k[3], out), 0);
    struct keypair *last = key(9);
    assert_int_equal(peer_install_initiated(&peer, last, out), 1);
    assert_ptr_equal(peer_slots(&peer)->next[0], k[3]);
    free_all(k, 4);
    keypair_free(last);
}

TEST(an_unconfirmed_handshake_changes_nothing_but_next)
{
    struct keypair *current = key(1), *previous = key(2), *k[6];

    peer_install_initiated(&peer, previous, out);
    peer_install_initiated(&peer, current, out);
    for (unsigned i = 0; i < 6; i++) { /* H3: four at once, the oldest gives way */
        k[i] = key(10 + i);
        unsigned count = peer_install_next(&peer, k[i], out);
        assert_int_equal(count, i < NEXT_SLOTS ? 0 : 1);
        if (count)
            assert_ptr_equal(out[0], k[i - NEXT_SLOTS]);
        assert_ptr_equal(atomic_load(&peer.current), current);
        assert_ptr_equal(peer_slots(&peer)->previous, previous);
    }
    for (unsigned i = 0; i < NEXT_SLOTS; i++)
        assert_ptr_equal(peer_slots(&peer)->next[i], k[i + 2]);
    free_all(k, 6);
    keypair_free(current);
    keypair_free(previous);
}

TEST(a_confirmed_key_is_current_and_older_unconfirmed_ones_fall_out)
{
    struct keypair *current = key(1), *previous = key(2), *k[4];

    peer_install_initiated(&peer, previous, out);
    peer_install_initiated(&peer, current, out);
    for (unsigned i = 0; i < 4; i++) {
        k[i] = key(10 + i);
        peer_install_next(&peer, k[i], out);
    }
    assert_int_equal(peer_confirm(&peer, k[2], out), 3);
    assert_ptr_equal(out[0], k[0]);
    assert_ptr_equal(out[1], k[1]);
    assert_ptr_equal(out[2], previous);
    assert_ptr_equal(atomic_load(&peer.current), k[2]);
    assert_ptr_equal(peer_slots(&peer)->previous, current);
    assert_ptr_equal(peer_slots(&peer)->next[0], k[3]);
    assert_null(peer_slots(&peer)->next[1]);
    assert_int_equal(peer_confirm(&peer, k[2], out), 0); /* it is no next any more */
    assert_int_equal(peer_confirm(&peer, k[0], out), 0);
    assert_int_equal(peer_confirm(&peer, k[3], out), 1);
    assert_ptr_equal(atomic_load(&peer.current), k[3]);
    assert_null(peer_slots(&peer)->next[0]);
    free_all(k, 4);
    keypair_free(current);
    keypair_free(previous);
}

TEST(late_data_on_an_older_next_does_not_displace_a_newer_current)
{
    struct keypair *theirs = key(1), *ours = key(2), *previous = key(3);

    peer_install_initiated(&peer, previous, out); /* its generation is of no matter here */
    previous->generation = 0;
    peer_install_next(&peer, theirs, out);
    peer_install_initiated(&peer, ours, out);
    assert_int_equal(peer_confirm(&peer, theirs, out), 1);
    assert_ptr_equal(out[0], previous);
    assert_ptr_equal(atomic_load(&peer.current), ours);
    assert_ptr_equal(peer_slots(&peer)->previous, theirs);
    assert_null(peer_slots(&peer)->next[0]);
    keypair_free(theirs);
    keypair_free(ours);
    keypair_free(previous);
}

TEST(a_key_can_be_forgotten_in_every_slot)
{
    struct keypair *k[6];

    for (unsigned i = 0; i < 6; i++)
        k[i] = key(i + 1);
    peer_install_initiated(&peer, k[0], out);
    peer_install_initiated(&peer, k[1], out);
    for (unsigned i = 2; i < 6; i++)
        peer_install_next(&peer, k[i], out);
    assert_true(peer_forget(&peer, k[3]));
    assert_ptr_equal(peer_slots(&peer)->next[1], k[4]);
    assert_ptr_equal(peer_slots(&peer)->next[2], k[5]);
    assert_null(peer_slots(&peer)->next[3]);
    assert_false(peer_forget(&peer, k[3]));
    assert_true(peer_forget(&peer, k[1]));
    assert_null(atomic_load(&peer.current));
    assert_true(peer_forget(&peer, k[0]));
    assert_null(peer_slots(&peer)->previous);
    assert_true(peer_forget(&peer, k[2]));
    assert_true(peer_forget(&peer, k[4]));
    assert_true(peer_forget(&peer, k[5]));
    assert_null(peer_slots(&peer)->next[0]);
    assert_null(peer.slots); /* they went with the last key in them */
    free_all(k, 6);
}

TEST(replicas_go_where_their_record_says)
{
    struct keypair *a = key(1), *b = key(2), *c = key(3), *n = key(4);

    assert_int_equal(peer_install_replica(&peer, b, SLOT_CURRENT, out), 0);
    assert_int_equal(peer_install_replica(&peer, a, SLOT_PREVIOUS, out), 0);
    assert_int_equal(peer_install_replica(&peer, n, SLOT_NEXT, out), 0);
    assert_ptr_equal(atomic_load(&peer.current), b);
    assert_ptr_equal(peer_slots(&peer)->previous, a);
    assert_ptr_equal(peer_slots(&peer)->next[0], n);
    /* the same record again changes nothing */
    assert_int_equal(peer_install_replica(&peer, b, SLOT_CURRENT, out), 0);
    assert_ptr_equal(peer_slots(&peer)->previous, a);
    /* a confirmed one moves as it did at its owner */
    assert_int_equal(peer_install_replica(&peer, n, SLOT_CURRENT, out), 1);
    assert_ptr_equal(out[0], a);
    assert_ptr_equal(atomic_load(&peer.current), n);
    assert_ptr_equal(peer_slots(&peer)->previous, b);
    assert_null(peer_slots(&peer)->next[0]);
    /* the owner says that the present one is only its previous: room for the next */
    assert_int_equal(peer_install_replica(&peer, n, SLOT_PREVIOUS, out), 1);
    assert_ptr_equal(out[0], b);
    assert_null(atomic_load(&peer.current));
    /* an older key never replaces a newer one */
    struct keypair *newer = key(9);
    assert_int_equal(peer_install_replica(&peer, newer, SLOT_CURRENT, out), 0);
    assert_int_equal(peer_install_replica(&peer, c, SLOT_CURRENT, out), 1);
    assert_ptr_equal(out[0], n);
    assert_ptr_equal(atomic_load(&peer.current), newer);
    assert_ptr_equal(peer_slots(&peer)->previous, c);
    keypair_free(a);
    keypair_free(b);
    keypair_free(c);
    keypair_free(n);
    keypair_free(newer);
}

TEST(of_two_keys_that_were_numbered_alike_the_later_one_is_current)
{
    struct keypair *earlier = key(2), *later = key(2);

    atomic_store(&earlier->born_ns, 5 * NS_PER_S);
    atomic_store(&later->born_ns, 6 * NS_PER_S);
    peer_install_replica(&peer, earlier, SLOT_CURRENT, out);
    assert_int_equal(peer_install_replica(&peer, later, SLOT_CURRENT, out), 0);
    assert_ptr_equal(atomic_load(&peer.current), later);
    assert_ptr_equal(peer_slots(&peer)->previous, earlier);
    assert_int_equal(peer_install_replica(&peer, earlier, SLOT_CURRENT, out), 0);
    assert_ptr_equal(atomic_load(&peer.current), later); /* whichever is told last */
    free_all((struct keypair *[]){earlier, later}, 2);
}

TEST(next_keys_are_ordered_by_age_however_they_come)
{
    struct keypair *a = key(1), *b = key(2), *c = key(3);

    peer_install_replica(&peer, c, SLOT_NEXT, out);
    peer_install_replica(&peer, a, SLOT_NEXT, out);
    peer_install_replica(&peer, b, SLOT_NEXT, out);
    assert_ptr_equal(peer_slots(&peer)->next[0], a);
    assert_ptr_equal(peer_slots(&peer)->next[1], b);
    assert_ptr_equal(peer_slots(&peer)->next[2], c);
    assert_int_equal(peer_confirm(&peer, b, out), 1);
    assert_ptr_equal(out[0], a);
    assert_ptr_equal(peer_slots(&peer)->next[0], c);
    keypair_free(a);
    keypair_free(b);
    keypair_free(c);
}

/* ---- endpoint ---- */

static struct endpoint at(const char *text)
{
    struct endpoint e = {0};
    assert_int_equal(endpoint_parse(text, &e), 0);
    return e;
}

static bool update(const char *text, uint64_t generation, uint64_t counter, uint16_t vip)
{
    struct endpoint e = at(text), local = at("10.0.0.1:51820");
    struct endpoint_version v = {.generation = generation, .counter = counter};

    return peer_endpoint_update(&peer, &e, &local, 7, vip, &v);
}

static void assert_at(const char *text)
{
    struct endpoint e, local, want = at(text);
    uint32_t ifindex;

    assert_true(peer_endpoint_get(&peer, &e, &local, &ifindex));
    assert_true(endpoint_equal(&e, &want));
}

TEST(the_endpoint_follows_the_newest_packet_only)
{
    assert_true(update("192.0.2.1:1000", 5, 100, 1));
    assert_false(update("192.0.2.1:1000", 5, 101, 1)); /* did not move */
    assert_false(update("192.0.2.9:9", 5, 100, 1));    /* E1: an older packet */
    assert_false(update("192.0.2.9:9", 5, 101, 1));
    assert_at("192.0.2.1:1000");
    assert_true(update("192.0.2.2:1000", 5, 102, 1));
    assert_false(update("192.0.2.9:9", 4, 1 << 20, 1)); /* an older key */
    assert_at("192.0.2.2:1000");
    assert_true(update("[2001:db8::1]:4", 6, 0, 1)); /* a newer key starts low */
    assert_at("[2001:db8::1]:4");
    assert_false(update("192.0.2.9:9", 5, 1 << 20, 1));
    assert_true(update("[2001:db8::1]:4", 6, 1, 2)); /* E3: the VIP is part of it */
    assert_int_equal(atomic_load(&peer.vip), 2);
}

TEST(a_configured_endpoint_holds_until_the_peer_is_heard_again)
{
    struct endpoint e = at("198.51.100.1:5"), got, local;
    uint32_t ifindex;

    update("192.0.2.1:1000", 5, 100, 1);
    peer_endpoint_set(&peer, &e);
    assert_at("198.51.100.1:5");
    assert_true(peer_endpoint_get(&peer, &got, &local, &ifindex));
    assert_true(addr_is_zero(&local.addr));
    assert_false(update("192.0.2.1:1000", 5, 99, 1)); /* not by an old packet */
    assert_at("198.51.100.1:5");
    assert_true(update("192.0.2.1:1000", 5, 101, 1));
    assert_true(peer_endpoint_get(&peer, &got, &local, &ifindex));
    assert_false(addr_is_zero(&local.addr));
    assert_int_equal(ifindex, 7);
    peer_endpoint_clear_local(&peer);
    assert_true(peer_endpoint_get(&peer, &got, &local, &ifindex));
    assert_true(addr_is_zero(&local.addr));
    assert_int_equal(ifindex, 0);
    assert_at("192.0.2.1:1000");
}

/* ---- notes ---- */

TEST(notes_keep_the_facts_that_timers_go_by)
{
    const struct peer_live *live = peer_live(&peer);

    assert_true(peer_note_sent(&peer, 100, true, 128)); /* arms */
    assert_false(peer_note_sent(&peer, 200, true, 128));
    assert_int_equal(atomic_load(&live->data_sent_ns), 100); /* the first unanswered */
    assert_false(peer_note_received(&peer, 300, false, 32));
    assert_int_equal(atomic_load(&live->data_sent_ns), 0);
    assert_false(peer_note_received(&peer, 400, true, 128)); /* is armed */
    assert_false(atomic_load(&peer.more_received));
    peer_note_received(&peer, 500, true, 128);
    assert_int_equal(atomic_load(&live->data_received_ns), 400);
    assert_true(atomic_load(&peer.more_received));
    peer_note_sent(&peer, 600, false, 32); /* a keepalive or a handshake message settles it */
    assert_int_equal(atomic_load(&live->data_received_ns), 0);
    assert_false(atomic_load(&peer.more_received));
    assert_int_equal(atomic_load(&live->data_sent_ns), 0);
    assert_int_equal(atomic_load(&live->traffic_ns), 600);
    assert_int_equal(atomic_load(&live->tx_bytes), 288);
    assert_int_equal(atomic_load(&live->rx_bytes), 288);
}

TEST(a_fact_that_stands_while_disarmed_arms_again)
{
    const struct peer_live *live = peer_live(&peer);

    assert_true(peer_note_sent(&peer, 100, true, 1));
    atomic_store(&peer.armed, false); /* the VIP was away: main stopped looking */
    assert_true(peer_note_sent(&peer, 200, true, 1));
    assert_false(peer_note_sent(&peer, 300, true, 1));
    assert_int_equal(atomic_load(&live->data_sent_ns), 100);
}

#define F(name) TS(name, fresh, NULL)

TEST_MAIN(F(a_new_peer_is_empty), F(an_idle_peer_shares_what_it_does_not_need),
          F(a_session_that_a_sibling_made_had_its_handshake_there),
          F(a_peer_that_talks_to_a_sibling_has_no_part_for_traffic),
          F(an_initiated_key_is_current_at_once),
          F(an_unconfirmed_handshake_changes_nothing_but_next),
          F(a_confirmed_key_is_current_and_older_unconfirmed_ones_fall_out),
          F(late_data_on_an_older_next_does_not_displace_a_newer_current),
          F(a_key_can_be_forgotten_in_every_slot), F(replicas_go_where_their_record_says),
          F(of_two_keys_that_were_numbered_alike_the_later_one_is_current),
          F(next_keys_are_ordered_by_age_however_they_come),
          F(the_endpoint_follows_the_newest_packet_only),
          F(a_configured_endpoint_holds_until_the_peer_is_heard_again),
          F(notes_keep_the_facts_that_timers_go_by),
          F(a_fact_that_stands_while_disarmed_arms_again))
