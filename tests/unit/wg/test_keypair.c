/* Decisions on each packet of a key: order, age, ceiling, ownership (N9, N10, R7, R16). */
#include "one_key.h"

static int plain(void **state)
{
    gate_for_plain(&gate);
    return 0;
}

/* ---- a key of our own ---- */

TEST(a_run_is_judged_packet_by_packet)
{
    struct keypair *k = key_made_here(1, 8);
    const uint64_t counters[] = {0, 2, 2, 1, 8, 3, 0};
    const enum rx_verdict want[] = {RX_ACCEPT, RX_ACCEPT, RX_DROP_REPLAY, RX_ACCEPT,
                                    RX_HOLD,   RX_ACCEPT, RX_DROP_REPLAY};
    enum rx_verdict verdicts[7];
    unsigned effects;

    keypair_receive_run(k, &gate, NOW, counters, 7, verdicts, &effects);
    assert_memory_equal(verdicts, want, sizeof(want));
    assert_int_equal(effects, EFFECT_CONFIRMED | EFFECT_RAISE | EFFECT_FLUSH);
    assert_int_equal(atomic_load(&keypair_live(k)->held), 1);
    assert_int_equal(atomic_load(&keypair_live(k)->rx_packets), 4);
    keypair_free(k);
}

TEST(an_owned_key_accepts_each_counter_once)
{
    struct keypair *k = key_made_here(1, LIMIT_NONE);
    unsigned effects;

    assert_int_equal(rx(k, NOW, 0, &effects), RX_ACCEPT);
    assert_int_equal(effects, EFFECT_CONFIRMED); /* T4: once, by the first data */
    assert_int_equal(rx(k, NOW, 0, &effects), RX_DROP_REPLAY);
    assert_int_equal(effects, 0);
    assert_int_equal(rx(k, NOW, 5, &effects), RX_ACCEPT);
    assert_int_equal(effects, 0);
    assert_int_equal(in(k, 1), RX_ACCEPT);
    assert_int_equal(in(k, 5), RX_DROP_REPLAY);
    assert_int_equal(atomic_load(&k->top), 6);
    assert_int_equal(atomic_load(&keypair_live(k)->rx_packets), 3);
    assert_int_equal(atomic_load(&keypair_live(k)->last_data_ns), NOW);
    assert_true(atomic_load(&k->confirmed));
    keypair_free(k);
}

TEST(news_is_what_an_owner_would_accept_and_asking_marks_nothing)
{
    struct keypair *k = key_made_here(1, LIMIT_NONE);

    assert_true(keypair_is_news(k, 5) && keypair_is_news(k, 5));
    assert_int_equal(in(k, 5), RX_ACCEPT);
    assert_false(keypair_is_news(k, 5));
    assert_true(keypair_is_news(k, 4) && keypair_is_news(k, 6));
    atomic_store(&k->state, KEYPAIR_REPLICA);
    assert_false(keypair_is_news(k, 6));
    keypair_free(k);
}

TEST(a_created_key_sends_from_creator_space)
{
    struct keypair *k = key_made_here(1, LIMIT_FIRST);
    uint64_t first;
    unsigned effects;

    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(out(k, NOW, &first, &effects), TX_OK);
        assert_int_equal(first, i);
        assert_int_equal(effects, 0);
    }
    assert_int_equal(keypair_send(k, &gate, NOW, 64, &first, &effects), TX_OK);
    assert_int_equal(first, 100);
    keypair_free(k);
}

TEST(nothing_is_accepted_or_sent_by_a_key_of_180_s)
{
    struct keypair *k = key_made_here(1, LIMIT_NONE);
    uint64_t first, last = T0 + REJECT_AFTER_TIME_NS - 1;
    unsigned effects;

    assert_int_equal(rx(k, last, 0, &effects), RX_ACCEPT);
    assert_int_equal(out(k, last, &first, &effects), TX_OK);
    assert_int_equal(keypair_open_check(k, &gate, last), RX_ACCEPT);
    assert_int_equal(rx(k, last + 1, 1, &effects), RX_DROP_EXPIRED);
    assert_int_equal(out(k, last + 1, &first, &effects), TX_NO_KEY);
    assert_int_equal(keypair_open_check(k, &gate, last + 1), RX_DROP_EXPIRED);
    assert_int_equal(keypair_age_hi(k, last + 1), REJECT_AFTER_TIME_NS);
    keypair_free(k);
}

TEST(a_time_a_little_before_the_birth_is_no_age)
{
    struct keypair *k = key_made_here(1, LIMIT_NONE);

    assert_int_equal(keypair_age_hi(k, T0 - NS_PER_MS), 0);
    assert_int_equal(keypair_open_check(k, &gate, T0 - NS_PER_MS), RX_ACCEPT);
    keypair_free(k);
}

TEST(a_key_may_be_older_than_this_machine_is_up)
{
    struct session s = session_for(1, 64);
    s.age_hi_ns = 100 * NS_PER_S;
    struct keypair *k = keypair_new_replica(&s, SIBLING, 30 * NS_PER_S);

    assert_int_equal(keypair_age_hi(k, 31 * NS_PER_S), 101 * NS_PER_S); /* T1 */
    keypair_free(k);
}

TEST(a_closed_key_neither_sends_nor_receives)
{
    struct keypair *k = key_made_here(1, LIMIT_NONE);
    uint64_t first;
    unsigned effects;

    keypair_close(k);
    assert_int_equal(in(k, 0), RX_DROP_EXPIRED);
    assert_int_equal(out(k, NOW, &first, &effects), TX_NO_KEY);
    assert_int_equal(keypair_open_check(k, &gate, NOW), RX_DROP_EXPIRED);
    keypair_yield(k, SIBLING, 64, 1); /* and stays closed */
    atomic_store(&k->adoptable, true);
    assert_int_equal(in(k, 100), RX_DROP_EXPIRED);
    keypair_free(k);
}

TEST(counters_that_no_honest_peer_reaches_are_refused)
{
    struct keypair *k = key_made_here(1, LIMIT_NONE);

    assert_int_equal(in(k, 1ull << 62), RX_DROP_EXPIRED);
    assert_int_equal(in(k, UINT64_MAX), RX_DROP_EXPIRED);
    assert_int_equal(in(k, 1ull << 60), RX_ACCEPT); /* R14 */
    keypair_free(k);
}

TEST(what_is_not_ours_is_neither_sent_nor_delivered)
{
    struct keypair *k = key_made_here(1, LIMIT_NONE), *r = replica_of_sibling(2, 64, 0);
    uint64_t first;
    unsigned effects;

    atomic_store(&gate.vip[SLOT].owned, false); /* O1 */
    assert_int_equal(in(k, 0), RX_DROP_NOT_OWNER);
    assert_int_equal(keypair_open_check(k, &gate, NOW), RX_DROP_NOT_OWNER);
    assert_int_equal(out(k, NOW, &first, &effects), TX_NOT_OWNER);
    assert_int_equal(rx(r, NOW, 100, &effects), RX_DROP_NOT_OWNER);
    assert_int_equal(effects, 0);
    assert_int_equal(out(r, NOW, &first, &effects), TX_NOT_OWNER);
    assert_int_equal(effects, 0);
    assert_int_equal(atomic_load(&r->state), KEYPAIR_REPLICA);
    atomic_store(&gate.vip[SLOT].owned, true);
    atomic_store(&k->vip, SLOT + 1); /* of a VIP that a sibling has */
    assert_int_equal(in(k, 0), RX_DROP_NOT_OWNER);
    keypair_close(k); /* never staged, never a handshake, whatever the key is */
    assert_int_equal(out(k, NOW, &first, &effects), TX_NOT_OWNER);
    keypair_free(k);
    keypair_free(r);
}

TEST(after_a_gap_nothing_moves_before_it_may_resume)
{
    struct keypair *k = key_made_here(1, LIMIT_NONE), *r = replica_of_sibling(2, 64, 0);
    uint64_t first;
    unsigned effects;

    atomic_store(&gate.resume_ns, NOW + 1); /* R12 */
    assert_int_equal(in(k, 0), RX_DROP_STALE);
    assert_int_equal(keypair_open_check(k, &gate, NOW), RX_DROP_STALE);
    assert_int_equal(out(k, NOW, &first, &effects), TX_STALE);
    assert_int_equal(in(r, 100), RX_DROP_STALE);
    assert_int_equal(out(r, NOW, &first, &effects), TX_STALE);
    assert_int_equal(atomic_load(&r->state), KEYPAIR_REPLICA);
    assert_int_equal(rx(k, NOW + 1, 0, &effects), RX_ACCEPT);
    assert_int_equal(out(k, NOW + 1, &first, &effects), TX_OK);
    keypair_free(k);
    keypair_free(r);
}

/* ---- plain mode ---- */

TEST(plain_mode_has_no_ceiling_no_gap_and_no_bump)
{
    struct session s = session_for(1, LIMIT_FIRST);
    struct keypair *k = keypair_new(&s, T0);
    uint64_t first;
    unsigned effects;

    atomic_store(&gate.resume_ns, NOW + NS_PER_S);
    atomic_fetch_add(&gate.suspicion, 1);
    for (uint64_t c = 0; c < 10000; c++) {
        assert_int_equal(rx(k, NOW, c, &effects), RX_ACCEPT);
        assert_int_equal(effects, c ? 0 : EFFECT_CONFIRMED);
    }
    assert_int_equal(out(k, NOW, &first, &effects), TX_OK);
    assert_int_equal(first, 0);
    assert_int_equal(in(k, UINT64_MAX - (1ull << 13)), RX_DROP_EXPIRED);
    assert_int_equal(in(k, UINT64_MAX - (1ull << 13) - 1), RX_ACCEPT);
    atomic_store(&k->vip, 1);
    assert_int_equal(in(k, UINT64_MAX - (1ull << 13) - 2), RX_DROP_NOT_OWNER);
    keypair_free(k);
}

/* ---- ceiling ---- */

TEST(a_packet_at_the_ceiling_waits_and_marks_nothing)
{
    struct keypair *k = key_made_here(1, 64);
    unsigned effects;

    atomic_store(&keypair_live(k)->headroom, 2);
    assert_int_equal(in(k, 62), RX_ACCEPT);
    assert_int_equal(rx(k, NOW, 64, &effects), RX_HOLD); /* R2: c < L only */
    assert_int_equal(effects, EFFECT_RAISE | EFFECT_FLUSH);
    assert_int_equal(atomic_load(&k->top), 65); /* R3: held ones included */
    assert_int_equal(atomic_load(&keypair_live(k)->held), 1);
    assert_int_equal(rx(k, NOW, 63, &effects), RX_ACCEPT);
    assert_int_equal(rx(k, NOW, 200, &effects), RX_HOLD);
    assert_int_equal(atomic_load(&keypair_live(k)->held), 2);

    /* still waiting */
    assert_int_equal(keypair_receive_held(k, &gate, NOW, 64, false, &effects), RX_HOLD);
    assert_int_equal(atomic_load(&keypair_live(k)->held), 2);
    /* acked up to 100 */
    atomic_store(&keypair_live(k)->ceiling, 100);
    assert_int_equal(keypair_receive_held(k, &gate, NOW, 64, false, &effects), RX_ACCEPT);
    assert_int_equal(effects & EFFECT_DIRTY, 0);
    assert_int_equal(keypair_receive_held(k, &gate, NOW, 200, false, &effects), RX_HOLD);
    assert_int_equal(atomic_load(&keypair_live(k)->held), 1);
    assert_int_equal(in(k, 64), RX_DROP_REPLAY); /* now it is marked */
    /* T_HOLD is over (R7) */
    assert_int_equal(keypair_receive_held(k, &gate, NOW, 200, true, &effects), RX_ACCEPT);
    assert_true(effects & EFFECT_DIRTY);
    assert_int_equal(atomic_load(&keypair_live(k)->held), 0);
    assert_int_equal(in(k, 200), RX_DROP_REPLAY);
    keypair_free(k);
}

TEST(two_copies_that_wait_are_delivered_once)
{
    struct keypair *k = key_made_here(1, 64);
    unsigned effects;

    assert_int_equal(in(k, 70), RX_HOLD);
    assert_int_equal(in(k, 70), RX_HOLD);
    atomic_store(&keypair_live(k)->ceiling, 100);
    assert_int_equal(keypair_receive_held(k, &gate, NOW, 70, false, &effects), RX_ACCEPT);
    assert_int_equal(keypair_receive_held(k, &gate, NOW, 70, false, &effects), RX_DROP_REPLAY);
    assert_int_equal(atomic_load(&keypair_live(k)->held), 0);
    keypair_free(k);
}

TEST(a_replay_is_dropped_before_the_ceiling_is_asked)
{
    struct keypair *k = key_made_here(1, 64);
    unsigned effects;

    assert_int_equal(in(k, 60), RX_ACCEPT);
    atomic_store(&keypair_live(k)->ceiling, 10); /* R5: it came down, below what was seen */
    assert_int_equal(rx(k, NOW, 60, &effects), RX_DROP_REPLAY);
    assert_int_equal(effects, 0);
    assert_int_equal(atomic_load(&keypair_live(k)->held), 0);
    keypair_free(k);
}

TEST(beyond_64_that_wait_packets_are_accepted_and_the_key_is_dirty)
{
    struct keypair *k = key_made_here(1, 64);
    unsigned effects;

    for (unsigned i = 0; i < HELD_PER_KEY_MAX; i++)
        assert_int_equal(in(k, 100 + i), RX_HOLD);
    assert_int_equal(rx(k, NOW, 300, &effects), RX_ACCEPT); /* R6: normal profile */
    assert_true(effects & EFFECT_DIRTY);
    assert_int_equal(atomic_load(&keypair_live(k)->held), HELD_PER_KEY_MAX);
    assert_int_equal(keypair_receive_held(k, &gate, NOW, 100, true, &effects), RX_ACCEPT);
    assert_int_equal(in(k, 301), RX_HOLD); /* room again */
    keypair_free(k);
}

TEST(a_raise_is_asked_for_once_within_half_the_headroom)
{
    struct keypair *k = key_made_here(1, 100);
    unsigned effects;

    atomic_store(&keypair_live(k)->headroom, 20);
    atomic_store(&k->confirmed, true);
    for (uint64_t c = 0; c < 90; c++) {
        assert_int_equal(rx(k, NOW, c, &effects), RX_ACCEPT);
        assert_int_equal(effects, 0); /* main would find that there is room (lease_propose()) */
    }
    assert_int_equal(rx(k, NOW, 90, &effects), RX_ACCEPT); /* top 90 >= 100 - 10 (R3) */
    assert_int_equal(effects, EFFECT_RAISE);
    assert_int_equal(rx(k, NOW, 91, &effects), RX_ACCEPT);
    assert_int_equal(effects, 0); /* asked already */
    atomic_store(&keypair_live(k)->raise_asked, false);
    assert_int_equal(rx(k, NOW, 92, &effects), RX_ACCEPT);
    assert_int_equal(effects, EFFECT_RAISE);
    atomic_store(&keypair_live(k)->ceiling, LIMIT_NONE); /* nobody to ask */
    atomic_store(&keypair_live(k)->raise_asked, false);
    assert_int_equal(rx(k, NOW, 95, &effects), RX_ACCEPT);
    assert_int_equal(effects, 0);
    keypair_free(k);
}

/* ---- suspicion ---- */

TEST(suspicion_bumps_a_key_once_before_it_sends)
{
    struct keypair *k = key_made_here(1, 64);
    struct counter_tag tag = gate_tag(&gate);
    uint64_t first;
    unsigned effects;

    assert_int_equal(out(k, NOW, &first, &effects), TX_OK);
    tag.rnd = 0x99;
    gate_set_tag(&gate, tag);
    assert_int_equal(out(k, NOW, &first, &effects), TX_OK);
    assert_int_equal(counter_term(first), 0);
    atomic_fetch_add(&gate.suspicion, 1); /* N9 */
    assert_int_equal(out(k, NOW, &first, &effects), TX_OK);
    /* above any sibling that took over by age meanwhile: it is two seconds old */
    assert_int_equal(first, counter_compose(9, &tag, (tag.seq & 15u) << 24));
    assert_int_equal(out(k, NOW, &first, &effects), TX_OK);
    assert_int_equal(first, counter_compose(9, &tag, ((tag.seq & 15u) << 24) + 1));
    atomic_fetch_add(&gate.suspicion, 5); /* false alarms while it did not send cost one term */
    assert_int_equal(out(k, NOW, &first, &effects), TX_OK);
    assert_int_equal(counter_term(first), 10);
    atomic_store(&k->term_known, 50);
    atomic_fetch_add(&gate.suspicion, 1);
    assert_int_equal(out(k, NOW, &first, &effects), TX_OK);
    assert_int_equal(counter_term(first), 51);
    keypair_free(k);
}

TEST(an_adopter_is_up_to_date_with_suspicion)
{
    struct keypair *k = replica_of_sibling(1, 64, 0);
    uint64_t first;
    unsigned effects;

    atomic_fetch_add(&gate.suspicion, 3);
    assert_int_equal(out(k, NOW, &first, &effects), TX_OK);
    assert_int_equal(counter_term(first), 1 + 2000 / 250);
    assert_int_equal(atomic_load(&keypair_live(k)->tx_suspicion), 3);
    keypair_free(k);
}

TEST(a_key_without_terms_left_receives_but_does_not_send)
{
    struct keypair *k = replica_of_sibling(1, 64, 0);
    uint64_t first;
    unsigned effects;

    atomic_store(&gate.vip[SLOT].others, false);
    atomic_store(&k->term_known, 4095);
    assert_int_equal(out(k, NOW, &first, &effects), TX_NO_KEY);
    assert_int_equal(in(k, 64), RX_ACCEPT);
    atomic_fetch_add(&gate.suspicion, 1);
    assert_int_equal(out(k, NOW, &first, &effects), TX_NO_KEY);
    assert_int_equal(out(k, NOW, &first, &effects), TX_NO_KEY);
    keypair_free(k);
}

TEST(the_last_term_asks_for_a_new_key)
{
    struct keypair *k = replica_of_sibling(1, 64, 0);
    uint64_t first;
    unsigned effects;

    atomic_store(&k->term_known, 4094);
    assert_int_equal(out(k, NOW, &first, &effects), TX_OK);
    assert_int_equal(effects, EFFECT_ADOPTED | EFFECT_REKEY);
    assert_int_equal(out(k, NOW, &first, &effects), TX_OK);
    assert_int_equal(effects, 0);
    keypair_free(k);
}

/* ---- rekey ---- */

TEST(the_initiator_rekeys_on_send_after_120_s_once)
{
    struct keypair *k = key_made_here(1, LIMIT_NONE), *responder = key_made_here(2, LIMIT_NONE);
    uint64_t first, at = T0 + REKEY_AFTER_TIME_NS;
    unsigned effects;

    k->hub_initiated = true;
    assert_int_equal(out(k, at, &first, &effects), TX_OK);
    assert_int_equal(effects, 0);
    assert_int_equal(out(k, at + 1, &first, &effects), TX_OK);
    assert_int_equal(effects, EFFECT_REKEY);
    assert_int_equal(out(k, at + 2, &first, &effects), TX_OK);
    assert_int_equal(effects, 0);
    assert_int_equal(out(responder, at + NS_PER_S, &first, &effects), TX_OK);
    assert_int_equal(effects, 0); /* H7 */
    keypair_free(k);
    keypair_free(responder);
}

TEST(the_initiator_rekeys_on_receive_after_165_s_if_the_key_is_current)
{
    struct keypair *k = key_made_here(1, LIMIT_NONE), *responder = key_made_here(2, LIMIT_NONE);
    struct wg_peer peer;
    uint64_t at = T0 + 165 * NS_PER_S;
    unsigned effects;

    wg_peer_init(&peer, 1, 1, &(struct public_key){{1}});
    k->peer = responder->peer = &peer;
    k->hub_initiated = true;
    atomic_store(&k->confirmed, true);
    atomic_store(&responder->confirmed, true);
    assert_int_equal(rx(k, at + 1, 0, &effects), RX_ACCEPT);
    assert_int_equal(effects, 0); /* an older key: the current one looks after itself */
    atomic_store(&peer.current, k);
    assert_int_equal(rx(k, at, 1, &effects), RX_ACCEPT);
    assert_int_equal(effects, 0);
    assert_int_equal(rx(k, at + 1, 2, &effects), RX_ACCEPT);
    assert_int_equal(effects, EFFECT_REKEY);
    assert_int_equal(rx(k, at + 2, 3, &effects), RX_ACCEPT);
    assert_int_equal(effects, 0);
    atomic_store(&peer.current, responder);
    assert_int_equal(rx(responder, at + 1, 0, &effects), RX_ACCEPT);
    assert_int_equal(effects, 0);
    keypair_free(k);
    keypair_free(responder);
}

TEST(role_survives_adoption)
{
    struct session s = session_for(1, 64);
    s.hub_initiated = true;
    s.age_hi_ns = 121 * NS_PER_S;
    struct keypair *k = keypair_new_replica(&s, SIBLING, T0);
    uint64_t first;
    unsigned effects;

    atomic_store(&k->vip, SLOT);
    atomic_store(&k->adoptable, true);
    assert_int_equal(out(k, NOW, &first, &effects), TX_OK);
    assert_int_equal(effects, EFFECT_ADOPTED | EFFECT_REKEY); /* T2 */
    keypair_free(k);
}

/* ---- description ---- */

TEST(a_description_is_what_a_sibling_needs)
{
    struct keypair *k = key_made_here(1, 64), *r = replica_of_sibling(2, 640, 5 * NS_PER_S);
    struct session s = {0};

    in(k, 9);
    atomic_store(&k->term_known, 4);
    keypair_describe(k, T0 + 7 * NS_PER_S, &s);
    assert_true(key_id_equal(&s.id, &k->id));
    assert_int_equal(s.limit, 64);
    assert_int_equal(s.top, 10);
    assert_int_equal(s.term, 4);
    assert_int_equal(s.age_hi_ns, 7 * NS_PER_S);
    assert_true(s.confirmed);
    assert_int_equal(s.local_index, 0x1001);
    assert_int_equal(s.remote_index, 0x2001);
    in(r, 700);
    keypair_describe(r, T0, &s);
    assert_int_equal(s.term, counter_term_now(&keypair_live(r)->tx));
    assert_int_equal(s.age_hi_ns, 5 * NS_PER_S);
    assert_int_equal(s.limit, 640);
    keypair_yield(r, SIBLING, 720, 0);
    keypair_describe(r, T0, &s);
    assert_int_equal(s.limit, 720);
    keypair_free(k);
    keypair_free(r);
}

TEST_MAIN(C(a_run_is_judged_packet_by_packet), C(an_owned_key_accepts_each_counter_once),
          C(news_is_what_an_owner_would_accept_and_asking_marks_nothing),
          C(a_created_key_sends_from_creator_space),
          C(nothing_is_accepted_or_sent_by_a_key_of_180_s),
          C(a_time_a_little_before_the_birth_is_no_age),
          C(a_key_may_be_older_than_this_machine_is_up), C(a_closed_key_neither_sends_nor_receives),
          C(counters_that_no_honest_peer_reaches_are_refused),
          C(what_is_not_ours_is_neither_sent_nor_delivered),
          C(after_a_gap_nothing_moves_before_it_may_resume),
          TS(plain_mode_has_no_ceiling_no_gap_and_no_bump, plain, NULL),
          C(a_packet_at_the_ceiling_waits_and_marks_nothing),
          C(two_copies_that_wait_are_delivered_once),
          C(a_replay_is_dropped_before_the_ceiling_is_asked),
          C(beyond_64_that_wait_packets_are_accepted_and_the_key_is_dirty),
          C(a_raise_is_asked_for_once_within_half_the_headroom),
          C(suspicion_bumps_a_key_once_before_it_sends), C(an_adopter_is_up_to_date_with_suspicion),
          C(a_key_without_terms_left_receives_but_does_not_send),
          C(the_last_term_asks_for_a_new_key), C(the_initiator_rekeys_on_send_after_120_s_once),
          C(the_initiator_rekeys_on_receive_after_165_s_if_the_key_is_current),
          C(role_survives_adoption), C(a_description_is_what_a_sibling_needs))
