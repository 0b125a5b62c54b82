/* A key on its way from one owner to the next, and one that two contest (R10, R11). */
#include "one_key.h"

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

TEST_MAIN(C(a_handed_over_key_accepts_exactly_what_its_owner_had_not),
          C(what_an_adopter_never_learned_is_handed_on_as_unknown),
          C(a_raise_behind_the_last_word_makes_the_window_useless),
          C(only_the_owner_hands_over_and_only_what_was_not_adopted),
          C(packets_of_a_key_on_its_way_wait_for_the_owners_last_word),
          C(a_packet_to_a_peer_takes_no_key_from_a_rival_that_hears_it),
          C(a_contest_ends_with_the_rivals_claim_its_life_its_key_our_vip_or_by_itself),
          C(packets_that_waited_for_a_key_in_vain_start_at_its_l),
          C(keys_of_other_siblings_do_not_wait_for_the_one_that_leaves),
          C(as_many_packets_wait_for_a_key_as_the_bound_says))
