/* What the coming and going of an address means for the data plane, the neighbours and keepalived's
 * files. */
#include "base/clock.h"
#include "ha/health.h"
#include "unit/node/lone.h"
#include <string.h>

#define LAN_BACK_MS 1000

TEST(a_vip_is_ours_from_the_address_on_and_not_a_moment_longer)
{
    struct hub *h = hub_ready(&alone);

    assert_false(gate_owned(&h->gate, 1));
    hub_tell(h, FAILOVER_WRITER_UP, false);
    hub_tell(h, FAILOVER_LINE_MASTER, false);
    assert_false(gate_owned(&h->gate, 1)); /* a line alone makes no owner (O1) */
    hub_tell(h, FAILOVER_ADDRESS_UP, false);
    assert_true(gate_owned(&h->gate, 1));
    assert_true(atomic_load(&h->gate.vip[1].since_ns) == h->now.boot_ns);
    assert_int_equal(h->announced, 1); /* O7 */
    assert_int_equal(h->owned, 1);
    assert_int_equal(node_counters(h->node)->failovers, 1);
    hub_pass(h, 3000);
    assert_true(gate_owned(&h->gate, 1) && h->reads >= 2); /* looked at again, whatever was told */
    hub_tell(h, FAILOVER_LINE_BACKUP, false);
    assert_false(gate_owned(&h->gate, 1));
    assert_int_equal(h->released, 1);
    hub_free(h);
}

TEST(when_the_other_of_two_lets_go_neighbours_are_told_again)
{
    const struct node_config c = {.solo_start_after_ns = 1, .members = {2}};
    struct sync_claim claim = {.vip = 7, .epoch = 5, .member = 2, .held = true};
    struct hub *h = hub_ready(&c);

    vips_claim_heard(h->node, 2, &claim, h->now);
    claim.held = false;
    vips_claim_heard(h->node, 2, &claim, h->now);
    assert_int_equal(h->announced, 0); /* it is not ours */
    hub_tell(h, FAILOVER_WRITER_UP, false);
    hub_tell(h, FAILOVER_ADDRESS_UP, false);
    assert_int_equal(h->announced, 1);
    claim.held = true;
    vips_claim_heard(h->node, 2, &claim, h->now);
    assert_int_equal(h->announced, 1);
    claim.held = false;
    vips_claim_heard(h->node, 2, &claim, h->now);
    assert_int_equal(h->announced, 2);
    hub_free(h);
}

/* Links that are given up when the VIP of member 2 comes, both siblings silent for @ms. */
static unsigned given_up(uint64_t ms, bool handed_over)
{
    const struct node_config c = {.solo_start_after_ns = 1, .members = {2, 3}};
    struct hub *h = hub_ready(&c);

    vips_claim_heard(h->node, 2,
                     &(struct sync_claim){
                         .vip = 7, .epoch = 5, .member = 2, .held = true, .leaving = handed_over},
                     h->now);
    for (unsigned i = 2; i <= 3; i++) {
        h->node->sibling[i].up = true;
        h->node->sibling[i].heartbeat_ns = 30 * NS_PER_MS;
        atomic_store(&h->gate.member[i].heartbeat_ns, h->now.boot_ns - ms * NS_PER_MS);
    }
    hub_tell(h, FAILOVER_WRITER_UP, false);
    hub_tell(h, FAILOVER_ADDRESS_UP, false);
    unsigned closed = h->closed;
    assert_int_equal(h->node->sibling[2].up, !(closed & 1u << 2));
    hub_free(h);
    return closed;
}

TEST(two_heartbeats_missed_are_enough_for_the_one_that_the_vip_came_from)
{
    assert_int_equal(given_up(50, false), 0);
    assert_int_equal(given_up(60, false), 1u << 2);
    assert_int_equal(given_up(60, true), 0); /* it said that it hands it over */
    assert_int_equal(given_up(180, false), 1u << 2);
    assert_int_equal(given_up(200, true), 1u << 2 | 1u << 3);
}

TEST(when_a_lan_is_back_its_neighbours_are_told_again)
{
    const struct node_config c = {.solo_start_after_ns = 1, .lans = {[1] = 1}};
    struct hub *h = hub_ready(&c);

    node_lans(h->node, 3, 3, h->now);
    assert_int_equal(h->announced, 0); /* the VIP is not ours */
    hub_tell(h, FAILOVER_WRITER_UP, false);
    hub_tell(h, FAILOVER_ADDRESS_UP, false);
    assert_int_equal(h->announced, 1);
    node_lans(h->node, 3, 2, h->now);
    assert_int_equal(h->announced, 1); /* nobody would hear it */
    node_lans(h->node, 3, 3, h->now);
    assert_int_equal(h->announced, 2);
    node_lans(h->node, 3, 1, h->now);
    node_lans(h->node, 3, 3, h->now);
    assert_int_equal(h->announced, 2); /* that LAN is not the VIP's */
    hub_free(h);
}

TEST(any_part_of_the_predicate_that_goes_takes_the_vip)
{
    static const enum failover_kind ends[] = {FAILOVER_ADDRESS_DOWN, FAILOVER_LINE_BACKUP,
                                              FAILOVER_LINE_FAULT, FAILOVER_LINE_STOP,
                                              FAILOVER_WRITER_GONE};

    for (unsigned i = 0; i < ARRAY_LEN(ends); i++) {
        struct hub *h = hub_ready(&alone);

        hub_tell(h, FAILOVER_WRITER_UP, false);
        hub_tell(h, FAILOVER_ADDRESS_UP, false);
        hub_tell(h, FAILOVER_TICK, false);
        assert_true(gate_owned(&h->gate, 1));
        hub_tell(h, ends[i], false);
        if (ends[i] == FAILOVER_WRITER_GONE) {
            hub_pass(h, 900); /* keepalived may only have been reloaded */
            assert_true(gate_owned(&h->gate, 1));
            hub_pass(h, 200);
        }
        assert_false(gate_owned(&h->gate, 1));
        hub_free(h);
    }
}

TEST(a_new_stay_never_goes_on_under_the_old_terms)
{
    struct hub *h = hub_ready(&alone);
    uint32_t before = atomic_load(&h->gate.suspicion);

    hub_tell(h, FAILOVER_WRITER_UP, false);
    for (unsigned stay = 1; stay <= 3; stay++) {
        hub_tell(h, FAILOVER_ADDRESS_UP, false);
        hub_tell(h, FAILOVER_TICK, false);
        assert_int_equal(atomic_load(&h->gate.suspicion), before + stay); /* O5, N9 */
        hub_tell(h, FAILOVER_ADDRESS_DOWN, false);
        hub_tell(h, FAILOVER_TICK, false);
    }
    hub_free(h);
}

TEST(a_lesser_master_out_of_contact_is_outbid_at_once_and_not_more_often_than_by_age)
{
    const struct node_config c = {.solo_start_after_ns = 1, .members = {2}};
    struct hub *h = hub_ready(&c);

    hub_tell(h, FAILOVER_LINE_RX_LOWER, false);
    uint32_t before = atomic_load(&h->gate.suspicion); /* not ours: whatever is heard */
    hub_tell(h, FAILOVER_ADDRESS_UP, false);
    assert_int_equal(atomic_load(&h->gate.suspicion), before + 1);
    for (unsigned i = 0; i < 3; i++)
        hub_tell(h, FAILOVER_LINE_RX_LOWER, false);
    assert_int_equal(atomic_load(&h->gate.suspicion), before + 2); /* O5 */
    hub_pass(h, 240);
    hub_tell(h, FAILOVER_LINE_RX_LOWER, false);
    assert_int_equal(atomic_load(&h->gate.suspicion), before + 2);
    hub_pass(h, 10);
    hub_tell(h, FAILOVER_LINE_RX_LOWER, false);
    assert_int_equal(atomic_load(&h->gate.suspicion), before + 3);
    hub_pass(h, 490);
    assert_int_equal(atomic_load(&h->gate.suspicion), before + 3);
    hub_pass(h, 10);
    assert_int_equal(atomic_load(&h->gate.suspicion),
                     before + 4); /* once more, for its last words */
    hub_pass(h, 1000);
    h->node->sibling[2].up = true; /* what it does with us in contact it tells */
    hub_tell(h, FAILOVER_LINE_RX_LOWER, false);
    assert_int_equal(atomic_load(&h->gate.suspicion), before + 4);
    h->node->sibling[2].up = false;
    hub_free(h);
}

TEST(another_master_is_a_reason_to_ask_again_and_one_that_hands_over_is_none)
{
    const struct node_config c = {.solo_start_after_ns = 1, .members = {2}};
    struct sync_claim gone = {.vip = 7, .epoch = 5, .member = 2};
    struct hub *h = hub_ready(&c);

    hub_tell(h, FAILOVER_ADDRESS_UP, false);
    hub_tell(h, FAILOVER_LINE_RX_LOWER, false);
    vips_claim_heard(h->node, 2, &gone, h->now);
    assert_int_equal(h->asked_again, 0); /* it handed over */
    hub_pass(h, 1000);
    for (unsigned i = 0; i < 3; i++)
        hub_tell(h, FAILOVER_LINE_RX_LOWER, false);
    assert_int_equal(h->asked_again, 1);
    hub_pass(h, 240);
    vips_claim_heard(h->node, 2, &gone, h->now);
    assert_int_equal(h->asked_again, 1);
    hub_pass(h, 10);
    vips_claim_heard(h->node, 2, &gone, h->now);
    assert_int_equal(h->asked_again, 2);
    hub_pass(h, 250);
    assert_int_equal(h->asked_again, 3); /* half a second after it was heard */
    hub_pass(h, 250);
    hub_tell(h, FAILOVER_LINE_RX_LOWER, false);
    assert_int_equal(h->asked_again, 4);
    hub_tell(h, FAILOVER_ADDRESS_DOWN, false);
    hub_pass(h, 1000);
    vips_claim_heard(h->node, 2, &gone, h->now);
    assert_int_equal(h->asked_again, 4); /* it is not ours */
    hub_free(h);
}

TEST(who_yields_to_a_master_out_of_contact_asks_again_and_to_another_not)
{
    const struct node_config c = {.solo_start_after_ns = 1, .members = {2}};
    struct hub *h = hub_ready(&c);

    for (unsigned in_contact = 0; in_contact < 2; in_contact++) {
        hub_tell(h, FAILOVER_WRITER_UP, false);
        hub_tell(h, FAILOVER_ADDRESS_UP, false);
        assert_true(gate_owned(&h->gate, 1));
        h->node->sibling[2].up = in_contact;
        hub_tell(h, FAILOVER_LINE_BACKUP, false);
        hub_tell(h, FAILOVER_LINE_BACKUP, false); /* of each instance */
        assert_int_equal(h->asked_again, 1);
        h->node->sibling[2].up = false;
        hub_tell(h, FAILOVER_ADDRESS_DOWN, false);
    }
    hub_free(h);
}

TEST(an_address_without_keepalived_is_removed_and_never_served)
{
    struct hub *h = hub_ready(&alone);

    hub_tell(h, FAILOVER_ADDRESS_UP, true);
    hub_pass(h, 2500);
    assert_in_range(h->removed, 1, 3); /* asked for again while it stays */
    assert_true(node_counters(h->node)->stale_vips == h->removed);
    hub_tell(h, FAILOVER_ADDRESS_DOWN, false);
    unsigned removed = h->removed;
    hub_pass(h, 2500);
    assert_int_equal(h->removed, removed);
    assert_false(gate_owned(&h->gate, 1));
    assert_true(h->announced == 0 && h->owned == 0);
    hub_free(h);
}

TEST(health_is_the_engines_and_a_start_without_siblings_waits_for_them)
{
    const struct node_config c = {.solo_start_after_ns = 5 * NS_PER_S, .members = {2}};
    struct hub *h = hub_ready(&c);

    hub_pass(h, 4500);
    assert_false(h->fit); /* a sibling may come yet */
    hub_pass(h, 1000);
    assert_true(h->fit);
    assert_int_equal(h->weight, WEIGHT_BEHIND); /* it serves, and yields to who is in sync */
    node_engine_fit(h->node, false, h->now);
    hub_pass(h, 10);
    assert_false(h->fit);
    node_engine_fit(h->node, true, h->now);
    hub_pass(h, 10);
    assert_true(h->fit);
    hub_free(h);
    h = hub_ready(&alone);
    assert_true(h->fit);
    hub_free(h);
}

/* A sibling that reaches both LANs of which we reach one. */
static void lans(struct hub *h, uint32_t alive)
{
    struct sibling *s = &h->node->sibling[2];

    s->up = true;
    s->lans_known = s->lans_alive = 3;
    atomic_store(&h->gate.member[2].heartbeat_ns, h->now.boot_ns);
    node_lans(h->node, 3, alive, h->now);
}

TEST(a_dead_lan_takes_the_health_of_the_vips_that_need_it_and_no_other)
{
    struct node_config c = {.members = {2}, .vip_count = 2, .lans = {[1] = 1, [2] = 3}};
    struct hub *h;
    uint64_t ms;

    c.vip[2] = (struct vip){.hub = 1, .id = 8, .port = 51820, .order = {1, 2}, .outer_count = 1};
    h = hub_ready(&c);
    lans(h, 3);
    assert_true(h->fit && h->second_fit && node_fit(h->node));
    lans(h, 1);
    assert_true(h->fit && !h->second_fit);
    assert_false(node_fit(h->node));
    assert_int_equal(node_withheld(h->node, 2, h->now, &ms), WITHHELD_UNFIT);
    assert_int_equal(node_withheld(h->node, 1, h->now, &ms), WITHHELD_NOT_IN_SYNC);
    assert_non_null(strstr(h->log, "giving up the VIP: vip=other"));
    lans(h, 2);
    assert_false(h->fit || h->second_fit);
    lans(h, 3);
    h->node->sibling[2].up = false;
    hub_pass(h, LAN_BACK_MS - 100);
    assert_false(h->fit || h->second_fit); /* fall at once, rise slowly */
    hub_pass(h, 200);
    assert_true(h->fit && h->second_fit);
    node_engine_fit(h->node, false, h->now); /* that is of all of them */
    assert_false(h->fit || h->second_fit);
    hub_free(h);
}

TEST(an_owner_does_not_lose_weight_because_it_is_alone)
{
    const struct node_config c = {.solo_start_after_ns = 1, .members = {2}};
    struct hub *h = hub_ready(&c);

    hub_pass(h, 100);
    assert_int_equal(h->weight, WEIGHT_BEHIND);
    hub_tell(h, FAILOVER_WRITER_UP, false);
    hub_tell(h, FAILOVER_ADDRESS_UP, false);
    hub_pass(h, 100);
    assert_true(gate_owned(&h->gate, 1));
    int owner = h->weight;
    hub_pass(h, 10000);
    assert_int_equal(h->weight, owner);
    hub_free(h);
}

TEST(a_member_that_comes_later_is_a_holder_and_moves_nothing)
{
    struct vip vip[VIPS_MAX] = {[1] = {.order = {1, 2, 3}}};
    struct hub *h = hub_ready(&alone);

    hub_tell(h, FAILOVER_WRITER_UP, false);
    hub_tell(h, FAILOVER_ADDRESS_UP, false);
    hub_pass(h, 10);
    assert_true(gate_owned(&h->gate, 1));
    assert_false(vip_holder(h->node, 1, 3));
    assert_int_equal(node_add_member(h->node, 3, vip), 0);
    assert_true(vip_holder(h->node, 1, 3));
    assert_non_null(node_replica(h->node, 3));
    hub_pass(h, 10000);
    assert_true(gate_owned(&h->gate, 1) && h->fit);
    assert_int_equal(h->weight, WEIGHT_FIT);
    assert_int_equal(h->released, 0);
    hub_free(h);
}

TEST(an_end_in_order_releases_and_takes_health_away)
{
    struct hub *h = hub_ready(&alone);

    hub_tell(h, FAILOVER_WRITER_UP, false);
    hub_tell(h, FAILOVER_ADDRESS_UP, false);
    assert_true(gate_owned(&h->gate, 1));
    node_shutdown(h->node, h->now);
    assert_false(gate_owned(&h->gate, 1));
    assert_int_equal(h->released, 1);
    node_tick(h->node, h->now);
    assert_false(h->fit);
    hub_free(h);
}

TEST(what_is_sent_to_a_vip_on_its_way_is_kept_until_it_is_let_go)
{
    const struct sync_move drain = {.kind = MOVE_DRAIN, .vip = 7, .member = 1, .force = true};
    struct sync_move undrain = drain;
    struct hub *h = hub_ready(&alone);
    char reason[MOVE_REASON_LEN];

    undrain.kind = MOVE_UNDRAIN;
    hub_tell(h, FAILOVER_WRITER_UP, false);
    hub_tell(h, FAILOVER_ADDRESS_UP, false);
    assert_false(h->kept);
    assert_int_equal(node_move(h->node, &drain, reason, h->now), 0);
    assert_true(h->kept);
    assert_int_equal(node_move(h->node, &undrain, reason, h->now), 0);
    assert_false(h->kept); /* it stays after all */
    assert_int_equal(node_move(h->node, &drain, reason, h->now), 0);
    hub_pass(h, MOVE_WITHIN_NS / NS_PER_MS + 10);
    assert_false(h->kept); /* nobody came */
    assert_int_equal(node_move(h->node, &undrain, reason, h->now), 0);
    assert_int_equal(node_move(h->node, &drain, reason, h->now), 0);
    hub_tell(h, FAILOVER_ADDRESS_DOWN, false);
    assert_true(h->kept && gate_owned(&h->gate, 1)); /* keepalived has taken it away already */
    hub_pass(h, 10);
    assert_false(h->kept || gate_owned(&h->gate, 1));
    hub_free(h);
}

/* ---- moves that a sibling is asked for ---- */

/* 2 has the VIP, 3 stands by; both said so in their last heartbeats. */
static struct hub *third_of_three(void)
{
    const struct node_config c = {
        .solo_start_after_ns = 1, .members = {2, 3}, .vip[1].order = {1, 2, 3, 4}};
    const struct sync_claim claim = {.vip = 7, .epoch = 5, .member = 2, .held = true};
    struct hub *h = hub_ready(&c);

    for (uint8_t i = 2; i <= 3; i++)
        h->node->sibling[i].up = h->node->sibling[i].ready = true;
    vips_claim_heard(h->node, 2, &claim, h->now);
    return h;
}

static int move_of(struct hub *h, enum move_kind kind, uint8_t member, bool force,
                   char reason[MOVE_REASON_LEN])
{
    const struct sync_move m = {.kind = kind, .vip = 7, .member = member, .force = force};

    return node_move(h->node, &m, reason, h->now);
}

TEST(what_a_sibling_would_refuse_is_refused_at_once)
{
    struct hub *h = third_of_three();
    struct sibling *third = &h->node->sibling[3];
    char reason[MOVE_REASON_LEN];

    /* In sync it is not here, so all is forced. */
    assert_int_equal(move_of(h, MOVE_PROMOTE, 3, false, reason), -EAGAIN);
    assert_non_null(strstr(reason, "that member is not in sync with this one"));
    assert_int_equal(move_of(h, MOVE_PROMOTE, 3, true, reason), 0);
    third->drained = true;
    assert_int_equal(move_of(h, MOVE_PROMOTE, 3, true, reason), -EBUSY);
    assert_string_equal(reason, "that member is drained; 'guardmount undrain' first");
    assert_int_equal(move_of(h, MOVE_UNDRAIN, 3, false, reason), 0);
    third->drained = third->ready = false;
    assert_int_equal(move_of(h, MOVE_PROMOTE, 3, true, reason), -EAGAIN);
    assert_string_equal(reason, "that member is not fit to serve");
    h->node->conf.vip[1].order[2] = 0;
    assert_int_equal(move_of(h, MOVE_PROMOTE, 3, true, reason), -EPERM);
    assert_non_null(strstr(reason, "not among the Members of the VIP main"));
    third->drained = true;
    assert_int_equal(move_of(h, MOVE_PROMOTE, 2, true, reason), 0); /* it has it */
    hub_free(h);
}

TEST(a_sibling_is_not_drained_when_nobody_is_left_to_go_on)
{
    struct hub *h = third_of_three();
    char reason[MOVE_REASON_LEN];

    assert_int_equal(orders_may_drain(h->node, 1, 2, reason, h->now), 0); /* we could */
    assert_int_equal(orders_may_drain(h->node, 1, 3, reason, h->now), 0); /* it has no VIP */
    assert_int_equal(move_of(h, MOVE_DRAIN, 1, false, reason), 0);
    assert_int_equal(orders_may_drain(h->node, 1, 2, reason, h->now), -EAGAIN);
    assert_non_null(strstr(reason, "could take the VIP main"));
    assert_int_equal(orders_may_drain(h->node, 0, 3, reason, h->now), 0);
    assert_int_equal(move_of(h, MOVE_UNDRAIN, 1, false, reason), 0);
    node_engine_fit(h->node, false, h->now);
    assert_int_equal(orders_may_drain(h->node, 0, 2, reason, h->now), -EAGAIN);
    hub_free(h);
}

TEST(what_the_node_says_is_text_that_nobody_forges)
{
    const struct node_config c = {.unproved_reason = "x\n\x1b[2Jerror: forged", .members = {2}};
    struct hub *h = hub_new(&c);

    hub_pass(h, 10);
    assert_null(strchr(h->log, '\x1b'));
    assert_non_null(strstr(h->log, "reason=\"x\\x0a\\x1b[2Jerror: forged\""));
    hub_free(h);
}

TEST_MAIN(T(a_vip_is_ours_from_the_address_on_and_not_a_moment_longer),
          T(when_the_other_of_two_lets_go_neighbours_are_told_again),
          T(when_a_lan_is_back_its_neighbours_are_told_again),
          T(two_heartbeats_missed_are_enough_for_the_one_that_the_vip_came_from),
          T(any_part_of_the_predicate_that_goes_takes_the_vip),
          T(a_new_stay_never_goes_on_under_the_old_terms),
          T(a_lesser_master_out_of_contact_is_outbid_at_once_and_not_more_often_than_by_age),
          T(another_master_is_a_reason_to_ask_again_and_one_that_hands_over_is_none),
          T(who_yields_to_a_master_out_of_contact_asks_again_and_to_another_not),
          T(an_address_without_keepalived_is_removed_and_never_served),
          T(health_is_the_engines_and_a_start_without_siblings_waits_for_them),
          T(a_dead_lan_takes_the_health_of_the_vips_that_need_it_and_no_other),
          T(an_owner_does_not_lose_weight_because_it_is_alone),
          T(a_member_that_comes_later_is_a_holder_and_moves_nothing),
          T(an_end_in_order_releases_and_takes_health_away),
          T(what_is_sent_to_a_vip_on_its_way_is_kept_until_it_is_let_go),
          T(what_a_sibling_would_refuse_is_refused_at_once),
          T(a_sibling_is_not_drained_when_nobody_is_left_to_go_on),
          T(what_the_node_says_is_text_that_nobody_forges))
