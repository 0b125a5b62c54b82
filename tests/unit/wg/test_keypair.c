/* Decisions on each packet of a key: order, adoption, ceiling, ownership (N9, N10, R1-R10, R12,
 * R16). */
#include "fixture.h"

#define NOW (T0 + 2 * NS_PER_S)

static struct gate gate;

static enum rx_verdict rx(struct keypair *k, uint64_t now_ns, uint64_t counter, unsigned *effects)
{
    return keypair_receive(k, &gate, now_ns, counter, effects);
}

/* Verdict of a packet whose effects do not matter here. */
static enum rx_verdict in(struct keypair *k, uint64_t counter)
{
    unsigned effects;

    return rx(k, NOW, counter, &effects);
}

static enum tx_verdict out(struct keypair *k, uint64_t now_ns, uint64_t *first, unsigned *effects)
{
    return keypair_send(k, &gate, now_ns, 1, first, effects);
}

static int cluster(void **state)
{
    gate_for_cluster(&gate);
    return 0;
}

static int plain(void **state)
{
    gate_for_plain(&gate);
    return 0;
}

/* ---- a key that is handed over (R11) ---- */

/* The VIP is about to come from the sibling. */
static void coming(bool owned)
{
    atomic_store(&gate.vip[SLOT].owned, owned);
    atomic_store(&gate.vip[SLOT].from, SIBLING);
}

TEST(a_handed_over_key_accepts_exactly_what_its_owner_had_not)
{
    struct keypair *owner = key_made_here(1, 1000), *k = replica_of_sibling(1, 640, 10 * NS_PER_S);
    struct replay_tail tail;
    unsigned effects;

    for (uint64_t c = 0; c < 600; c++)
        if (c != 590 && c != 3)
            assert_int_equal(in(owner, c), RX_ACCEPT);
    uint64_t top = keypair_hand_over(owner, &tail);
    assert_int_equal(top, 600);
    assert_int_equal(in(owner, 590), RX_DROP_REPLAY); /* it is no longer the owner's to accept */
    assert_true(keypair_released(k, SIBLING, top, &tail, 5));
    atomic_store(&gate.vip[SLOT].others, false);
    assert_int_equal(rx(k, NOW, 590, &effects), RX_ACCEPT);
    assert_int_equal(effects, EFFECT_ADOPTED);
    assert_int_equal(in(k, 590), RX_DROP_REPLAY);
    assert_int_equal(in(k, 3), RX_ACCEPT);
    for (uint64_t c = 0; c < 600; c++)
        assert_int_equal(in(k, c), RX_DROP_REPLAY);
    assert_int_equal(in(k, 600), RX_ACCEPT);
    assert_int_equal(atomic_load(&keypair_live(k)->known_from), 0);
    assert_int_equal(atomic_load(&keypair_live(k)->floor), 600); /* what siblings are told */
    assert_true(counter_term_now(&keypair_live(k)->tx) > 5);
    keypair_free(owner);
    keypair_free(k);
}

TEST(what_an_adopter_never_learned_is_handed_on_as_unknown)
{
    struct keypair *crashed = replica_of_sibling(1, 640, 0);
    struct keypair *k = replica_of_sibling(1, 640, 0);
    struct replay_tail tail;
    unsigned effects;

    atomic_store(&gate.vip[SLOT].others, false);
    assert_true(keypair_adopt(crashed, &gate, NOW));
    assert_int_equal(in(crashed, 641), RX_ACCEPT);
    uint64_t top = keypair_hand_over(crashed, &tail);
    assert_int_equal(tail.known_from, 640);
    assert_true(keypair_released(k, SIBLING, top, &tail, 1));
    assert_int_equal(rx(k, NOW, 600, &effects), RX_DROP_BELOW_FLOOR);
    assert_int_equal(effects, EFFECT_ADOPTED | EFFECT_RESCUE); /* R9a */
    assert_int_equal(in(k, 640), RX_ACCEPT);
    assert_int_equal(in(k, 641), RX_DROP_REPLAY);
    assert_false(keypair_is_news(k, 600));
    keypair_hand_over(k, &tail); /* and from that one to the next */
    assert_int_equal(tail.known_from, 640);
    keypair_free(crashed);
    keypair_free(k);
}

TEST(a_raise_behind_the_last_word_makes_the_window_useless)
{
    struct keypair *k = replica_of_sibling(1, 640, 0);
    struct replay_tail tail = {.words = 1};

    assert_true(keypair_released(k, SIBLING, 600, &tail, 1));
    assert_true(keypair_replica_raise(k, SIBLING, 610, false)); /* acked: we start there */
    assert_int_equal(in(k, 599), RX_DROP_BELOW_FLOOR);
    assert_int_equal(atomic_load(&keypair_live(k)->floor), 610);
    keypair_free(k);
}

TEST(only_the_owner_hands_over_and_only_what_was_not_adopted)
{
    struct keypair *k = replica_of_sibling(1, 640, 0);
    struct replay_tail tail = {.words = 1};

    assert_false(keypair_released(k, 3, 600, &tail, 1));
    assert_int_equal(atomic_load(&k->limit), 640);
    assert_int_equal(in(k, 650), RX_HOLD); /* adopted */
    assert_false(keypair_released(k, SIBLING, 600, &tail, 1));
    assert_int_equal(atomic_load(&keypair_live(k)->floor), 640);
    keypair_free(k);
}

TEST(packets_of_a_key_on_its_way_wait_for_the_owners_last_word)
{
    struct keypair *k = replica_of_sibling(1, 640, 0);
    struct replay_tail tail = {0};
    uint64_t first;
    unsigned effects;

    coming(false); /* the address is not here yet */
    assert_int_equal(keypair_open_check(k, &gate, NOW), RX_ACCEPT);
    assert_int_equal(in(k, 601), RX_HOLD);
    assert_int_equal(out(k, NOW, &first, &effects), TX_TRANSIT);
    coming(true); /* but not all that belongs to it */
    assert_int_equal(in(k, 602), RX_HOLD);
    assert_int_equal(out(k, NOW, &first, &effects), TX_TRANSIT);
    assert_int_equal(keypair_receive_held(k, &gate, NOW, 601, false, &effects), RX_HOLD);
    assert_int_equal(keypair_receive_held(k, &gate, NOW, 601, true, &effects), RX_HOLD);
    assert_int_equal(atomic_load(&k->state), KEYPAIR_REPLICA);
    assert_int_equal(atomic_load(&keypair_live(k)->held), 2);
    atomic_store(&gate.vip[SLOT].others, false);
    assert_true(keypair_released(k, SIBLING, 600, &tail, 1));
    assert_int_equal(keypair_receive_held(k, &gate, NOW, 601, false, &effects), RX_ACCEPT);
    assert_int_equal(effects, EFFECT_ADOPTED);
    assert_int_equal(keypair_receive_held(k, &gate, NOW, 602, false, &effects), RX_ACCEPT);
    assert_int_equal(atomic_load(&keypair_live(k)->held), 0);
    assert_int_equal(out(k, NOW, &first, &effects), TX_OK);
    keypair_free(k);
}

/* R10: both have the VIP, and a sibling said that it took the key. */
static struct keypair *contested(void)
{
    struct keypair *k = replica_of_sibling(1, 640, 0);

    atomic_store(&gate.vip[SLOT].rivals, 1 << SIBLING);
    atomic_store(&gate.vip[SLOT].since_ns, NOW - NS_PER_S);
    atomic_store(&gate.member[SIBLING].heartbeat_ns, NOW - 100 * NS_PER_MS);
    keypair_told(k, &gate, NOW - NS_PER_S);
    return k;
}

TEST(a_packet_to_a_peer_takes_no_key_from_a_rival_that_hears_it)
{
    struct keypair *k = contested();
    uint64_t first;
    unsigned effects;

    assert_int_equal(out(k, NOW, &first, &effects), TX_THEIRS);
    assert_int_equal(atomic_load(&k->state), KEYPAIR_REPLICA);
    assert_int_equal(in(k, 650), RX_HOLD); /* what the peer sends does */
    assert_int_equal(atomic_load(&k->state), KEYPAIR_OWNED);
    assert_int_equal(out(k, NOW, &first, &effects), TX_OK);
    keypair_free(k);
}

TEST(a_contest_ends_with_the_rivals_claim_its_life_its_key_our_vip_or_by_itself)
{
    for (unsigned how = 0; how < 5; how++) {
        struct keypair *k = contested();
        struct replay_tail tail = {.words = 1};
        uint64_t first;
        unsigned effects;

        assert_true(keypair_contested(k, &gate, NOW));
        if (how == 0)
            atomic_store(&gate.vip[SLOT].rivals, 0);
        else if (how == 1)
            atomic_store(&gate.member[SIBLING].heartbeat_ns, NOW - NS_PER_S);
        else if (how == 2)
            assert_true(keypair_released(k, SIBLING, 640, &tail, 1));
        else if (how == 3)
            atomic_store(&gate.vip[SLOT].since_ns, NOW - NS_PER_S / 2);
        else
            keypair_told(k, &gate, NOW - CONTEST_NS);
        assert_int_equal(out(k, NOW, &first, &effects), TX_OK);
        keypair_free(k);
    }
}

TEST(packets_that_waited_for_a_key_in_vain_start_at_its_l)
{
    struct keypair *k = replica_of_sibling(1, 640, 0), *gone = replica_of_sibling(2, 640, 0);
    unsigned effects;

    atomic_store(&gate.vip[SLOT].others, false);
    coming(true);
    assert_int_equal(in(k, 641), RX_HOLD);
    atomic_store(&gate.vip[SLOT].from, 0); /* 30 ms are over */
    assert_int_equal(keypair_receive_held(k, &gate, NOW, 641, true, &effects), RX_ACCEPT);
    assert_int_equal(atomic_load(&keypair_live(k)->floor), 640);
    /* Another one's VIP stays where it is. */
    coming(false);
    assert_int_equal(in(gone, 641), RX_HOLD);
    assert_int_equal(keypair_receive_held(gone, &gate, NOW, 641, true, &effects),
                     RX_DROP_NOT_OWNER);
    assert_int_equal(atomic_load(&keypair_live(gone)->held), 0);
    assert_int_equal(atomic_load(&gone->state), KEYPAIR_REPLICA);
    keypair_free(k);
    keypair_free(gone);
}

TEST(keys_of_other_siblings_do_not_wait_for_the_one_that_leaves)
{
    struct keypair *k = replica_of_sibling(1, 640, 0), *own = key_made_here(2, 100);
    unsigned effects;

    coming(true);
    atomic_store(&gate.vip[SLOT].from, 3);
    atomic_store(&gate.vip[SLOT].others, false);
    assert_int_equal(rx(k, NOW, 641, &effects), RX_ACCEPT);
    coming(true);
    assert_int_equal(in(own, 1), RX_ACCEPT);
    keypair_free(k);
    keypair_free(own);
}

TEST(as_many_packets_wait_for_a_key_as_the_bound_says)
{
    struct keypair *k = replica_of_sibling(1, 64, 0);

    coming(true);
    for (unsigned i = 0; i < TRANSIT_PER_KEY_MAX; i++)
        assert_int_equal(in(k, 100 + i), RX_HOLD);
    assert_int_equal(in(k, 5000), RX_DROP_NOT_OWNER);
    keypair_held_dropped(k);
    assert_int_equal(in(k, 5000), RX_HOLD);
    keypair_free(k);
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

#define C(name) TS(name, cluster, NULL)

TEST_MAIN(
    C(a_handed_over_key_accepts_exactly_what_its_owner_had_not),
    C(what_an_adopter_never_learned_is_handed_on_as_unknown),
    C(a_raise_behind_the_last_word_makes_the_window_useless),
    C(only_the_owner_hands_over_and_only_what_was_not_adopted),
    C(packets_of_a_key_on_its_way_wait_for_the_owners_last_word),
    C(a_packet_to_a_peer_takes_no_key_from_a_rival_that_hears_it),
    C(a_contest_ends_with_the_rivals_claim_its_life_its_key_our_vip_or_by_itself),
    C(packets_that_waited_for_a_key_in_vain_start_at_its_l),
    C(keys_of_other_siblings_do_not_wait_for_the_one_that_leaves),
    C(as_many_packets_wait_for_a_key_as_the_bound_says), C(a_run_is_judged_packet_by_packet),
    C(an_owned_key_accepts_each_counter_once),
    C(news_is_what_an_owner_would_accept_and_asking_marks_nothing),
    C(a_created_key_sends_from_creator_space), C(nothing_is_accepted_or_sent_by_a_key_of_180_s),
    C(a_time_a_little_before_the_birth_is_no_age), C(a_key_may_be_older_than_this_machine_is_up),
    C(a_closed_key_neither_sends_nor_receives), C(counters_that_no_honest_peer_reaches_are_refused),
    C(what_is_not_ours_is_neither_sent_nor_delivered),
    C(after_a_gap_nothing_moves_before_it_may_resume),
    TS(plain_mode_has_no_ceiling_no_gap_and_no_bump, plain, NULL),
    C(a_packet_at_the_ceiling_waits_and_marks_nothing), C(two_copies_that_wait_are_delivered_once),
    C(a_replay_is_dropped_before_the_ceiling_is_asked),
    C(beyond_64_that_wait_packets_are_accepted_and_the_key_is_dirty),
    C(a_raise_is_asked_for_once_within_half_the_headroom),
    C(first_touch_adopts_a_fit_replica_and_starts_at_l),
    C(an_adopter_with_no_other_holder_has_no_ceiling),
    C(an_adopter_with_another_holder_holds_from_its_first_packet_on),
    C(an_empty_next_is_adopted_with_an_empty_window), C(a_sender_that_touches_first_adopts_too),
    C(what_main_calls_unfit_is_not_adopted),
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
    C(an_outbid_key_sends_above_the_siblings_term), C(the_final_top_is_above_all_that_was_accepted),
    C(a_record_that_comes_back_remembers_what_this_process_did),
    C(replicas_share_what_only_a_key_in_use_needs),
    C(a_record_of_a_replica_that_nothing_touched_brings_nothing_back),
    C(suspicion_bumps_a_key_once_before_it_sends), C(an_adopter_is_up_to_date_with_suspicion),
    C(a_key_without_terms_left_receives_but_does_not_send), C(the_last_term_asks_for_a_new_key),
    C(the_initiator_rekeys_on_send_after_120_s_once),
    C(the_initiator_rekeys_on_receive_after_165_s_if_the_key_is_current), C(role_survives_adoption),
    C(a_description_is_what_a_sibling_needs))
