/* A sibling's key that becomes ours, and ours that becomes a sibling's (R1-R10, R12). */
#include "one_key.h"

/* ---- adoption ---- */

TEST(first_touch_adopts_a_fit_replica_and_starts_at_l)
{
    struct keypair *k = replica_of_sibling(1, 640, 10 * NS_PER_S);
    unsigned effects;

    atomic_store(&k->term_known, 3);
    assert_int_equal(rx(k, NOW, 639, &effects),
                     RX_DROP_BELOW_FLOOR); /* R9a: adopted all the same */
    assert_int_equal(effects, EFFECT_ADOPTED | EFFECT_RESCUE);
    assert_int_equal(atomic_load(&k->state), KEYPAIR_OWNED);
    assert_int_equal(atomic_load(&k->limit), 640 | LIMIT_ADOPTED);
    assert_int_equal(atomic_load(&keypair_live(k)->floor), 640);
    assert_int_equal(atomic_load(&keypair_live(k)->ceiling),
                     640); /* R16: there is another holder */
    assert_int_equal(atomic_load(&k->top), 640);
    assert_int_equal(rx(k, NOW, 600, &effects), RX_DROP_BELOW_FLOOR);
    assert_int_equal(effects, 0); /* rescue is asked for once */
    assert_int_equal(counter_term_now(&keypair_live(k)->tx), 1 + 12000 / 250); /* N4, age 12 s */
    atomic_store(&keypair_live(k)->ceiling, 700);
    assert_int_equal(rx(k, NOW, 640, &effects), RX_ACCEPT);
    assert_int_equal(in(k, 640), RX_DROP_REPLAY);
    assert_int_equal(in(k, 645), RX_ACCEPT);
    assert_int_equal(in(k, 641), RX_ACCEPT);
    keypair_free(k);
}

TEST(an_adopter_with_no_other_holder_has_no_ceiling)
{
    struct keypair *k = replica_of_sibling(1, 640, 0);
    unsigned effects;

    atomic_store(&gate.vip[SLOT].others, false);
    assert_int_equal(rx(k, NOW, 640, &effects), RX_ACCEPT);
    assert_int_equal(effects, EFFECT_ADOPTED);
    assert_int_equal(atomic_load(&keypair_live(k)->ceiling), LIMIT_NONE);
    assert_int_equal(in(k, 1000000), RX_ACCEPT);
    keypair_free(k);
}

TEST(an_adopter_with_another_holder_holds_from_its_first_packet_on)
{
    struct keypair *k = replica_of_sibling(1, 640, 0);
    unsigned effects;

    assert_int_equal(rx(k, NOW, 640, &effects), RX_HOLD); /* R16: two backups refuse each other */
    assert_int_equal(effects, EFFECT_ADOPTED | EFFECT_RAISE | EFFECT_FLUSH);
    keypair_free(k);
}

TEST(an_empty_next_is_adopted_with_an_empty_window)
{
    struct keypair *k = replica_of_sibling(1, 0, 0);
    unsigned effects;

    atomic_store(&k->confirmed, false);
    atomic_store(&gate.vip[SLOT].others, false);
    assert_int_equal(rx(k, NOW, 0, &effects), RX_ACCEPT); /* R9a's last sentence, T4 */
    assert_int_equal(effects, EFFECT_ADOPTED | EFFECT_CONFIRMED);
    keypair_free(k);
}

TEST(a_sender_that_touches_first_adopts_too)
{
    struct keypair *k = replica_of_sibling(1, 640, 0);
    uint64_t first;
    unsigned effects;

    atomic_store(&k->term_known, 77);
    struct counter_tag tag = gate_tag(&gate);
    struct counter tx;
    memcpy(&tx, &keypair_live(k)->tx, sizeof(tx));
    assert_false(counter_take(&tx, &tag, 1, &first)); /* N3: whoever asks */
    assert_int_equal(out(k, NOW, &first, &effects), TX_OK);
    assert_int_equal(effects, EFFECT_ADOPTED);
    assert_int_equal(first, counter_compose(78, &tag, (tag.seq & 15u) << 24));
    assert_int_equal(atomic_load(&keypair_live(k)->floor), 640);
    assert_int_equal(out(k, NOW, &first, &effects), TX_OK);
    assert_int_equal(effects, 0);
    assert_int_equal(in(k, 639), RX_DROP_BELOW_FLOOR);
    keypair_free(k);
}

static void assert_unfit(struct keypair *k)
{
    uint64_t first;
    unsigned effects;

    assert_int_equal(rx(k, NOW, 1000, &effects), RX_DROP_UNFIT);
    assert_int_equal(effects, EFFECT_UNFIT);
    assert_int_equal(rx(k, NOW, 1001, &effects), RX_DROP_UNFIT);
    assert_int_equal(effects, 0); /* told once a key */
    assert_int_equal(out(k, NOW, &first, &effects), TX_UNFIT);
    assert_int_equal(effects, 0);
    assert_int_equal(atomic_load(&k->state), KEYPAIR_REPLICA);
    assert_int_equal(atomic_load(&k->limit), 640);
    keypair_free(k);
}

TEST(what_main_calls_unfit_is_not_adopted)
{
    struct keypair *k = replica_of_sibling(1, 640, 0);

    atomic_store(&k->adoptable, false); /* N6, I2, R7 */
    assert_unfit(k);
}

TEST(a_replica_of_a_sibling_not_heard_of_lately_is_not_adopted)
{
    atomic_store(&gate.vip[SLOT].since_ns, T0 + FRESH_NS + 1); /* R9 */
    assert_unfit(replica_of_sibling(1, 640, 0));
    atomic_store(&gate.member[SIBLING].heartbeat_ns, 0); /* never heard of */
    atomic_store(&gate.vip[SLOT].since_ns, NS_PER_S);    /* soon after boot */
    assert_unfit(replica_of_sibling(1, 640, 0));
    struct keypair *k = replica_of_sibling(1, 640, 0);
    atomic_store(&k->owner, 0);
    assert_unfit(k);
    k = replica_of_sibling(1, 640, 0);
    atomic_store(&k->owner, MEMBERS_MAX); /* no member: must not be looked up */
    assert_unfit(k);
}

TEST(a_heartbeat_exactly_fresh_enough_will_do)
{
    struct keypair *k = replica_of_sibling(1, 640, 0);
    unsigned effects;

    atomic_store(&gate.vip[SLOT].since_ns, T0 + FRESH_NS);
    rx(k, NOW, 1000, &effects);
    assert_true(effects & EFFECT_ADOPTED);
    keypair_free(k);
}

TEST(the_heartbeat_that_counts_is_the_owners)
{
    struct keypair *k = replica_of_sibling(1, 640, 0);

    atomic_store(&gate.member[3].heartbeat_ns, T0 + FRESH_NS);
    atomic_store(&gate.member[SIBLING].heartbeat_ns, NS_PER_S);
    assert_unfit(k);
    k = replica_of_sibling(1, 640, 0);
    atomic_store(&k->owner, 3);
    unsigned effects;
    rx(k, NOW, 1000, &effects);
    assert_true(effects & EFFECT_ADOPTED);
    keypair_free(k);
}

TEST(a_sender_tells_that_a_replica_is_unfit)
{
    struct keypair *k = replica_of_sibling(1, 640, 0);
    uint64_t first;
    unsigned effects;

    atomic_store(&k->adoptable, false);
    assert_int_equal(out(k, NOW, &first, &effects), TX_UNFIT);
    assert_int_equal(effects, EFFECT_UNFIT);
    keypair_free(k);
}

TEST(an_adopted_key_stops_sending_at_179_s_and_receiving_at_180_s)
{
    struct keypair *k = replica_of_sibling(1, 640, 170 * NS_PER_S), *late;
    uint64_t first, at179 = T0 + 9 * NS_PER_S;
    unsigned effects;

    atomic_store(&gate.vip[SLOT].others, false);
    assert_int_equal(out(k, at179 - 1, &first, &effects), TX_OK);
    assert_int_equal(out(k, at179, &first, &effects), TX_NO_KEY); /* N10 */
    assert_int_equal(rx(k, at179, 700, &effects), RX_ACCEPT);
    assert_int_equal(rx(k, at179 + NS_PER_S, 701, &effects), RX_DROP_EXPIRED);
    late = replica_of_sibling(2, 640, 179 * NS_PER_S);
    assert_int_equal(rx(late, T0 + NS_PER_S, 700, &effects), RX_DROP_EXPIRED); /* R9 */
    assert_int_equal(effects, 0);
    assert_int_equal(atomic_load(&late->state), KEYPAIR_REPLICA);
    keypair_free(k);
    keypair_free(late);
}

/* ---- holders, raises, yields ---- */

TEST(a_raise_is_recorded_until_the_replica_is_adopted)
{
    struct keypair *k = replica_of_sibling(1, 64, 0);

    assert_true(keypair_replica_raise(k, SIBLING, 200, false));
    assert_int_equal(atomic_load(&k->limit), 200);
    assert_true(
        keypair_replica_raise(k, SIBLING, 150, false)); /* an old one: nothing comes down by it */
    assert_int_equal(atomic_load(&k->limit), 200);
    assert_true(keypair_replica_raise(k, SIBLING, 90, true)); /* R5 */
    assert_int_equal(atomic_load(&k->limit), 90);
    in(k, 90);
    assert_false(keypair_replica_raise(k, SIBLING, 300, false)); /* R8, R10 */
    assert_false(keypair_replica_raise(k, SIBLING, 10, true));
    assert_int_equal(atomic_load(&k->limit), 90 | LIMIT_ADOPTED);
    assert_int_equal(atomic_load(&keypair_live(k)->floor), 90);
    keypair_free(k);
}

TEST(nothing_a_sibling_says_looks_like_an_adoption)
{
    struct keypair *k = replica_of_sibling(1, LIMIT_NONE, 0);
    unsigned effects;

    assert_int_equal(atomic_load(&k->limit) & LIMIT_ADOPTED, 0);
    assert_true(keypair_replica_raise(k, SIBLING, LIMIT_ADOPTED | 5, false));
    assert_true(keypair_replica_raise(k, SIBLING, 64, true));
    keypair_yield(k, 3, LIMIT_NONE, 0);
    assert_true(keypair_replica_raise(k, 3, LIMIT_NONE, false));
    assert_true(keypair_replica_raise(k, 3, 100, true));
    assert_int_equal(atomic_load(&k->limit), 100);
    atomic_store(&gate.member[3].heartbeat_ns, T0);
    assert_int_equal(rx(k, NOW, 99, &effects), RX_DROP_BELOW_FLOOR);
    keypair_free(k);
}

TEST(a_key_of_our_own_takes_no_raise)
{
    struct keypair *k = key_made_here(1, 64);

    assert_false(keypair_replica_raise(k, SIBLING, 300, false));
    keypair_free(k);
}

TEST(after_a_yield_it_is_a_replica_from_l_on)
{
    struct keypair *k = key_made_here(1, LIMIT_NONE);
    uint64_t first;
    unsigned effects;

    for (uint64_t c = 0; c < 50; c++)
        in(k, c);
    out(k, NOW, &first, &effects);
    keypair_yield(k, SIBLING, 64, 9);
    assert_int_equal(atomic_load(&k->state), KEYPAIR_REPLICA);
    assert_int_equal(atomic_load(&k->owner), SIBLING);
    assert_int_equal(atomic_load(&k->limit), 64);
    atomic_store(&gate.vip[SLOT].owned, false);
    assert_int_equal(in(k, 60), RX_DROP_NOT_OWNER);
    assert_true(keypair_replica_raise(k, SIBLING, 128, false));

    /* failback */
    atomic_store(&gate.vip[SLOT].owned, true);
    atomic_store(&gate.vip[SLOT].others, false);
    assert_int_equal(in(k, 128), RX_DROP_UNFIT); /* main has to say that it may */
    atomic_store(&k->adoptable, true);
    assert_int_equal(rx(k, NOW, 127, &effects), RX_DROP_BELOW_FLOOR);
    assert_true(effects & EFFECT_ADOPTED);
    assert_int_equal(in(k, 128), RX_ACCEPT);
    assert_int_equal(in(k, 49), RX_DROP_BELOW_FLOOR);
    assert_int_equal(out(k, NOW, &first, &effects), TX_OK);
    assert_true(counter_term(first) >= 10); /* N1, N3, N4: never creator space again */
    keypair_free(k);
}

TEST(a_window_never_goes_back_at_readoption)
{
    struct keypair *k = replica_of_sibling(1, 64, 0);
    unsigned effects;

    atomic_store(&gate.vip[SLOT].others, false);
    for (uint64_t c = 64; c < 900; c++)
        assert_int_equal(in(k, c), RX_ACCEPT);
    keypair_yield(k, 3, 100, 5); /* a stale record of a split brain */
    atomic_store(&gate.member[3].heartbeat_ns, T0);
    assert_true(keypair_replica_raise(k, 3, 70, true));
    for (uint64_t c = 64; c < 900; c++)
        assert_int_equal(in(k, c), RX_DROP_BELOW_FLOOR);
    assert_int_equal(rx(k, NOW, 900, &effects), RX_ACCEPT);
    assert_int_equal(atomic_load(&keypair_live(k)->floor), 900);
    keypair_free(k);
}

TEST(each_stay_of_a_process_sends_in_a_later_term)
{
    struct keypair *k = replica_of_sibling(1, 64, 0);
    uint64_t first, last = 0;
    unsigned effects;

    for (unsigned stay = 0; stay < 50; stay++) {
        for (unsigned i = 0; i < 20; i++) {
            assert_int_equal(out(k, NOW, &first, &effects), TX_OK);
            assert_true(first > last);
            last = first;
        }
        keypair_yield(k, SIBLING, 64, 0); /* and no word of any term */
        assert_int_equal(effects, 0);
    }
    keypair_free(k);
}

TEST(what_was_promised_to_one_owner_is_not_undone_by_another)
{
    struct keypair *k = replica_of_sibling(1, 64, 0);

    assert_true(keypair_replica_raise(k, SIBLING, 200, false)); /* acked to member 2 (R8) */
    keypair_yield(k, 3, 100, 4);                                /* member 3 adopted at its 100 */
    assert_int_equal(atomic_load(&k->limit), 200);
    assert_int_equal(atomic_load(&k->term_known), 4);
    assert_int_equal(atomic_load(&k->term_known), 4);
    keypair_yield(k, 3, 150, 2); /* nor by a repetition of ADOPTED, or a new record */
    assert_int_equal(atomic_load(&k->limit), 200);
    assert_int_equal(atomic_load(&k->term_known), 4);
    assert_true(keypair_replica_raise(k, SIBLING, 120, true)); /* late, of the earlier owner */
    assert_int_equal(atomic_load(&k->limit), 200);
    assert_true(keypair_replica_raise(k, SIBLING, 220, false));
    assert_int_equal(atomic_load(&k->limit), 220);
    assert_true(keypair_replica_raise(k, 3, 300, false));
    assert_true(
        keypair_replica_raise(k, 3, 150, true));   /* R5: its owner may, but member 2, which */
    assert_int_equal(atomic_load(&k->limit), 220); /* may believe the same, has our ack */
    keypair_free(k);
}

TEST(a_packet_that_waited_while_the_key_was_yielded_is_dropped)
{
    struct keypair *k = key_made_here(1, 64);
    unsigned effects;

    assert_int_equal(in(k, 70), RX_HOLD);
    keypair_yield(k, SIBLING, 64, 1);
    atomic_store(&k->adoptable, true);
    assert_int_equal(keypair_receive_held(k, &gate, NOW, 70, true, &effects), RX_DROP_NOT_OWNER);
    assert_int_equal(effects, 0);
    assert_int_equal(atomic_load(&keypair_live(k)->held), 0);
    assert_int_equal(atomic_load(&k->state), KEYPAIR_REPLICA);
    keypair_free(k);
}

TEST(what_a_sibling_accepted_meanwhile_is_not_accepted_again)
{
    struct keypair *k = key_made_here(1, 1000), *fresh = key_made_here(2, 1000);

    atomic_store(&gate.vip[SLOT].others, false);
    for (uint64_t c = 0; c < 20; c++)
        assert_int_equal(in(k, c), RX_ACCEPT);
    assert_int_equal(in(k, 40), RX_ACCEPT);
    keypair_outbid(k, 3, 30, &gate); /* 20..29 may be among what it took */
    for (uint64_t c = 0; c <= 40; c++)
        assert_int_not_equal(in(k, c), RX_ACCEPT);
    assert_int_equal(in(k, 41), RX_ACCEPT);
    keypair_outbid(k, 3, 60, &gate);
    assert_int_not_equal(in(k, 59), RX_ACCEPT);
    assert_int_equal(in(k, 60), RX_ACCEPT);
    /* One that has no window yet remembers it, too. */
    keypair_outbid(fresh, 3, 5, &gate);
    assert_int_not_equal(in(fresh, 4), RX_ACCEPT);
    assert_int_equal(in(fresh, 5), RX_ACCEPT);
    keypair_free(k);
    keypair_free(fresh);
}

TEST(an_outbid_key_sends_above_the_siblings_term)
{
    struct keypair *k = key_made_here(1, 64), *r = replica_of_sibling(2, 64, 0);
    uint64_t first;
    unsigned effects;

    assert_int_equal(out(k, NOW, &first, &effects), TX_OK);
    assert_int_equal(counter_term(first), 0);
    keypair_outbid(k, 30, 0, &gate); /* O5 */
    assert_int_equal(out(k, NOW, &first, &effects), TX_OK);
    assert_int_equal(counter_term(first), 31);
    keypair_outbid(k, 10, 0, &gate);
    assert_int_equal(out(k, NOW, &first, &effects), TX_OK);
    assert_int_equal(counter_term(first), 32);
    keypair_outbid(r, 60, 0, &gate); /* a replica only learns */
    assert_int_equal(counter_term_now(&keypair_live(r)->tx), 0);
    assert_int_equal(out(r, NOW, &first, &effects), TX_OK);
    assert_int_equal(counter_term(first), 61);
    keypair_free(k);
    keypair_free(r);
}

TEST(the_final_top_is_above_all_that_was_accepted)
{
    struct keypair *k = key_made_here(1, 64), *r = replica_of_sibling(2, 640, 0);

    assert_int_equal(keypair_final_top(k), 0);
    in(k, 12);
    assert_int_equal(in(k, 90), RX_HOLD); /* was not delivered */
    assert_int_equal(keypair_final_top(k), 13);
    in(r, 3);
    assert_int_equal(keypair_final_top(r), 640);
    keypair_free(k);
    keypair_free(r);
}

TEST(a_record_that_comes_back_remembers_what_this_process_did)
{
    struct keypair *k = replica_of_sibling(1, 64, 0), *again;
    struct keypair_past past;
    uint64_t first, second;
    unsigned effects;

    atomic_store(&gate.vip[SLOT].others, false);
    atomic_store(&k->term_known, 100);
    assert_int_equal(in(k, 700), RX_ACCEPT);
    assert_int_equal(out(k, NOW, &first, &effects), TX_OK);
    keypair_close(k);
    keypair_remember(k, &past);
    keypair_free(k);

    again = replica_of_sibling(1, 64, 0); /* a stale record: L 64, no term */
    assert_int_equal(keypair_recall(again, &past), 0);
    assert_int_equal(in(again, 700), RX_DROP_BELOW_FLOOR);
    assert_int_equal(in(again, 701), RX_ACCEPT);
    assert_int_equal(out(again, NOW, &second, &effects), TX_OK);
    assert_true(counter_term(second) > counter_term(first));
    keypair_free(again);
}

/* ---- memory ---- */

/* A sibling may hold a million of them. */
TEST(replicas_share_what_only_a_key_in_use_needs)
{
    struct keypair *k[2] = {replica_of_sibling(1, 64, 0), replica_of_sibling(2, 64, 0)};
    struct keypair_live *shared = keypair_live(k[0]);
    struct peer_live *idle;
    struct wg_peer peer;

    wg_peer_init(&peer, 1, 1, &(struct public_key){{1}});
    idle = peer_live(&peer);
    k[0]->peer = &peer;
    assert_true(sizeof(struct keypair) <= 104);
    assert_true(keypair_replica_raise(k[0], SIBLING, 640, false));
    keypair_yield(k[0], SIBLING, 700, 3);
    assert_int_equal(keypair_final_top(k[0]), 0);
    assert_ptr_equal(keypair_live(k[0]), shared);
    assert_ptr_equal(keypair_live(k[1]), shared);
    assert_ptr_equal(peer_live(&peer), idle);

    assert_int_equal(in(k[0], 710), RX_HOLD); /* touched: it has its own, and so has its peer */
    struct keypair_live *own = keypair_live(k[0]);
    assert_ptr_not_equal(own, shared);
    assert_ptr_not_equal(peer_live(&peer), idle);
    assert_ptr_equal(keypair_live(k[1]), shared);
    keypair_yield(k[0], SIBLING, 800, 4);
    assert_ptr_equal(keypair_live(k[0]), own); /* what was done with it is not forgotten */
    for (unsigned i = 0; i < 2; i++)
        keypair_free(k[i]);
    wg_peer_done(&peer);
}

TEST(a_record_of_a_replica_that_nothing_touched_brings_nothing_back)
{
    struct keypair *k = replica_of_sibling(1, 64, 0), *again = replica_of_sibling(1, 64, 0);
    struct keypair_past past;

    keypair_close(k);
    keypair_remember(k, &past);
    assert_int_equal(keypair_recall(again, &past), 0);
    assert_ptr_equal(keypair_live(again), keypair_live(k));
    keypair_free(k);
    keypair_free(again);
}

TEST_MAIN(C(first_touch_adopts_a_fit_replica_and_starts_at_l),
          C(an_adopter_with_no_other_holder_has_no_ceiling),
          C(an_adopter_with_another_holder_holds_from_its_first_packet_on),
          C(an_empty_next_is_adopted_with_an_empty_window),
          C(a_sender_that_touches_first_adopts_too), C(what_main_calls_unfit_is_not_adopted),
          C(a_replica_of_a_sibling_not_heard_of_lately_is_not_adopted),
          C(a_heartbeat_exactly_fresh_enough_will_do), C(the_heartbeat_that_counts_is_the_owners),
          C(a_sender_tells_that_a_replica_is_unfit),
          C(an_adopted_key_stops_sending_at_179_s_and_receiving_at_180_s),
          C(a_raise_is_recorded_until_the_replica_is_adopted),
          C(nothing_a_sibling_says_looks_like_an_adoption), C(a_key_of_our_own_takes_no_raise),
          C(after_a_yield_it_is_a_replica_from_l_on), C(a_window_never_goes_back_at_readoption),
          C(each_stay_of_a_process_sends_in_a_later_term),
          C(what_was_promised_to_one_owner_is_not_undone_by_another),
          C(a_packet_that_waited_while_the_key_was_yielded_is_dropped),
          C(what_a_sibling_accepted_meanwhile_is_not_accepted_again),
          C(an_outbid_key_sends_above_the_siblings_term),
          C(the_final_top_is_above_all_that_was_accepted),
          C(a_record_that_comes_back_remembers_what_this_process_did),
          C(replicas_share_what_only_a_key_in_use_needs),
          C(a_record_of_a_replica_that_nothing_touched_brings_nothing_back))
