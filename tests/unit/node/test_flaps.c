/* Who flaps bids less: what counts as a flap, and what the next life remembers of it. */
#include "base/clock.h"
#include "ha/health.h"
#include "unit/node/lone.h"
#include <string.h>

static const struct node_config damped = {.members = {2},
                                          .damping = {.flap_limit = 3,
                                                      .hold_down_ns = 2 * NS_PER_S,
                                                      .window_ns = 60 * NS_PER_S,
                                                      .suppress_ns = 10 * NS_PER_S,
                                                      .suppress_max_ns = 60 * NS_PER_S}};

/* As if a sibling were in sync with us all the time. */
static void pass_in_sync(struct hub *h, uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i += 10) {
        h->node->synced_ns = h->now.boot_ns;
        hub_pass(h, 10);
    }
}

static struct hub *owner_in_sync(void)
{
    struct hub *h = hub_ready(&damped);

    pass_in_sync(h, 3000);
    hub_tell(h, FAILOVER_WRITER_UP, false);
    hub_tell(h, FAILOVER_ADDRESS_UP, false);
    pass_in_sync(h, 10);
    assert_true(gate_owned(&h->gate, 1));
    assert_int_equal(h->weight, WEIGHT_FIT);
    return h;
}

static void lose_and_regain(struct hub *h)
{
    hub_tell(h, FAILOVER_LINE_FAULT, false);
    assert_false(gate_owned(&h->gate, 1));
    hub_tell(h, FAILOVER_ADDRESS_DOWN, false);
    pass_in_sync(h, 100);
    hub_tell(h, FAILOVER_ADDRESS_UP, false);
    assert_true(gate_owned(&h->gate, 1));
    pass_in_sync(h, 1000);
}

TEST(who_came_back_bids_when_it_was_in_sync_for_the_hold_down)
{
    struct hub *h = hub_ready(&damped);
    uint64_t ms;

    pass_in_sync(h, 1000);
    assert_int_equal(h->weight, WEIGHT_BEHIND);
    assert_int_equal(h->withheld.reason, REASON_HOLD_DOWN);
    assert_int_equal(h->withheld.number, 2000);
    assert_int_equal(node_withheld(h->node, 1, h->now, &ms), WITHHELD_HOLD_DOWN);
    assert_in_range(ms, 900, 1100);
    assert_true(h->fit); /* never health */
    pass_in_sync(h, 1100);
    assert_int_equal(h->weight, WEIGHT_FIT);
    assert_int_equal(h->candidate, 1);
    assert_int_equal(node_withheld(h->node, 1, h->now, &ms), WITHHELD_NOT);
    hub_pass(h, 10000);
    assert_int_equal(node_withheld(h->node, 1, h->now, &ms), WITHHELD_NOT_IN_SYNC);
    hub_free(h);
}

TEST(an_owner_that_loses_its_vip_too_often_bids_less_and_still_serves)
{
    struct hub *h = owner_in_sync();
    uint64_t ms;

    for (unsigned i = 0; i < 2; i++)
        lose_and_regain(h);
    assert_int_equal(h->weight, WEIGHT_FIT); /* an owner is not held down */
    lose_and_regain(h);
    assert_int_equal(h->weight, WEIGHT_BEHIND);
    assert_int_equal(node_withheld(h->node, 1, h->now, &ms), WITHHELD_FLAPPING);
    assert_int_equal(h->withheld.reason, REASON_FLAPPING);
    assert_int_equal(h->withheld.number, 10000);
    assert_in_range(ms, 8900, 9100);
    assert_int_equal(node_flaps(h->node, 1), 3);
    assert_true(h->fit && gate_owned(&h->gate, 1)); /* nobody else is there: it goes on (O3) */
    pass_in_sync(h, 9000);
    assert_int_equal(h->weight, WEIGHT_FIT);
    assert_true(gate_owned(&h->gate, 1));
    hub_free(h);
}

TEST(losses_that_somebody_wanted_are_no_flaps)
{
    const struct sync_move drain = {.kind = MOVE_DRAIN, .vip = 7, .member = 1, .force = true};
    const struct sync_move promotion = {.kind = MOVE_PROMOTE, .vip = 7, .member = 2};
    struct sync_claim claim = {.vip = 7, .epoch = 9, .member = 2, .held = true};
    struct sync_move undrain = drain;
    struct hub *h = owner_in_sync();
    char reason[MOVE_REASON_LEN];

    undrain.kind = MOVE_UNDRAIN;
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(node_move(h->node, &drain, reason, h->now), 0);
        hub_tell(h, FAILOVER_ADDRESS_DOWN, false);
        pass_in_sync(h, 100);
        assert_int_equal(node_move(h->node, &undrain, reason, h->now), 0);
        hub_tell(h, FAILOVER_ADDRESS_UP, false);
        assert_true(gate_owned(&h->gate, 1));
    }
    vips_claim_heard(h->node, 2, &claim, h->now); /* a sibling is to have it, and has it */
    moves_heard(h->node, 2, &promotion, h->now);
    claim.epoch = 10;
    vips_claim_heard(h->node, 2, &claim, h->now);
    pass_in_sync(h, 100);
    assert_false(gate_owned(&h->gate, 1));
    assert_int_equal(node_flaps(h->node, 1), 0);
    node_shutdown(h->node, h->now);
    assert_int_equal(node_flaps(h->node, 1), 0);
    hub_free(h);
}

TEST(health_that_comes_and_goes_is_a_flap_each_time_and_no_more)
{
    struct hub *h = owner_in_sync();
    uint64_t ms;

    for (unsigned i = 0; i < 3; i++) {
        node_engine_fit(h->node, false, h->now);
        assert_false(gate_owned(&h->gate, 1));
        hub_tell(h, FAILOVER_LINE_FAULT, false); /* keepalived's answer */
        hub_tell(h, FAILOVER_ADDRESS_DOWN, false);
        pass_in_sync(h, 100);
        assert_int_equal(node_flaps(h->node, 1), i + 1);
        node_engine_fit(h->node, true, h->now);
        pass_in_sync(h, 1000);
    }
    assert_int_equal(node_withheld(h->node, 1, h->now, &ms), WITHHELD_FLAPPING);
    assert_int_equal(h->weight, WEIGHT_BEHIND);
    assert_true(h->fit);
    hub_free(h);
}

TEST(a_cable_that_keepalived_sees_before_our_probes_is_one_flap)
{
    struct hub *h = owner_in_sync();

    hub_tell(h, FAILOVER_LINE_FAULT, false);
    hub_tell(h, FAILOVER_ADDRESS_DOWN, false);
    pass_in_sync(h, 600);
    node_engine_fit(h->node, false, h->now);
    assert_int_equal(node_flaps(h->node, 1), 1);
    pass_in_sync(h, 600);
    node_engine_fit(h->node, true, h->now);
    node_engine_fit(h->node, false, h->now);
    assert_int_equal(node_flaps(h->node, 1), 2);
    hub_free(h);
}

TEST(who_yields_to_a_member_that_outranks_it_did_not_flap)
{
    struct node_config c = damped;
    struct sync_claim claim = {.vip = 7, .epoch = 9, .member = 2, .held = true};

    memcpy(c.vip[1].order, ((uint8_t[]){2, 3, 1}), 3);
    for (unsigned late = 0; late < 2; late++) {
        struct hub *h = hub_ready(&c);

        pass_in_sync(h, 3000);
        hub_tell(h, FAILOVER_WRITER_UP, false);
        hub_tell(h, FAILOVER_ADDRESS_UP, false);
        hub_tell(h, FAILOVER_LINE_BACKUP, false);
        assert_int_equal(node_flaps(h->node, 1), 1);
        pass_in_sync(h, late ? 1100 : 100);
        vips_claim_heard(h->node, 2, &claim, h->now);
        assert_int_equal(node_flaps(h->node, 1), late);
        pass_in_sync(h, 10);
        assert_int_equal(h->weight, late ? WEIGHT_BEHIND : WEIGHT_FIT); /* of its hold-down */
        hub_free(h);
    }
}

TEST(a_promotion_ends_what_was_withheld)
{
    const struct sync_move promote = {.kind = MOVE_PROMOTE, .vip = 7, .member = 1, .force = true};
    struct hub *h = owner_in_sync();
    char reason[MOVE_REASON_LEN];
    uint64_t ms;

    for (unsigned i = 0; i < 3; i++)
        lose_and_regain(h);
    hub_tell(h, FAILOVER_LINE_BACKUP, false);
    pass_in_sync(h, 100);
    assert_int_equal(h->weight, WEIGHT_BEHIND);
    assert_int_equal(node_move(h->node, &promote, reason, h->now), 0);
    assert_int_equal(h->weight, WEIGHT_PROMOTE);
    assert_int_equal(node_withheld(h->node, 1, h->now, &ms), WITHHELD_NOT);
    hub_tell(h, FAILOVER_LINE_MASTER, false);
    pass_in_sync(h, 1000);
    assert_true(gate_owned(&h->gate, 1));
    hub_tell(h, FAILOVER_LINE_BACKUP, false);
    pass_in_sync(h, 10);
    assert_int_equal(node_withheld(h->node, 1, h->now, &ms), WITHHELD_HOLD_DOWN); /* one loss */
    hub_free(h);
}

/* The next life, so much later; it knows what the last one kept. */
static struct hub *next_life(struct hub *h, const struct node_config *with, uint64_t after_ms)
{
    struct node_config c = *with;

    c.flap_count = h->kept_count;
    memcpy(c.flaps, h->flaps, h->kept_count * sizeof(c.flaps[0]));
    uint64_t boot_ns = h->now.boot_ns + after_ms * NS_PER_MS;
    hub_free(h);
    h = hub_new_at(&c, boot_ns);
    hub_pass(h, 10);
    return h;
}

TEST(a_daemon_that_crashes_again_and_again_flaps)
{
    struct hub *h = owner_in_sync();
    uint64_t ms;

    for (unsigned i = 0; i < 2; i++) {
        h = next_life(h, &damped, 4000);
        node_engine_fit(h->node, true, h->now);
        assert_non_null(strstr(h->log, "counts as a flap"));
        pass_in_sync(h, 3000);
        assert_int_equal(h->weight, WEIGHT_FIT);
    }
    h = next_life(h, &damped, 4000);
    node_engine_fit(h->node, true, h->now);
    pass_in_sync(h, 10);
    assert_int_equal(node_withheld(h->node, 1, h->now, &ms), WITHHELD_FLAPPING);
    assert_in_range(ms, 9900, 10000);
    assert_int_equal(h->weight, WEIGHT_BEHIND);
    assert_true(h->fit); /* never health */
    h = next_life(h, &damped, 4000);
    node_engine_fit(h->node, true, h->now); /* it is counted once, and time goes on */
    pass_in_sync(h, 10);
    assert_int_equal(node_withheld(h->node, 1, h->now, &ms), WITHHELD_FLAPPING);
    assert_in_range(ms, 5900, 6000);
    pass_in_sync(h, 6000);
    assert_int_equal(h->weight, WEIGHT_FIT);
    hub_free(h);
}

TEST(a_life_that_was_never_fit_has_nothing_to_lose)
{
    struct node_config waits = damped;
    struct hub *h = owner_in_sync();

    waits.solo_start_after_ns = 60 * NS_PER_S;
    for (unsigned i = 0; i < 3; i++) {
        h = next_life(h, &waits, 1000);
        assert_int_equal(node_flaps(h->node, 1), i == 0); /* of the owner's life */
    }
    assert_int_equal(h->flaps[0].damping.flaps, 1);
    hub_free(h);
}

TEST(that_a_sibling_has_the_vip_excuses_no_crash)
{
    struct node_config c = damped;
    struct sync_claim claim = {.vip = 7, .epoch = 9, .member = 2, .held = true};

    memcpy(c.vip[1].order, ((uint8_t[]){2, 3, 1}), 3);
    struct hub *h = next_life(owner_in_sync(), &c, 4000);
    vips_claim_heard(h->node, 2, &claim, h->now);
    assert_int_equal(node_flaps(h->node, 1), 1);
    hub_free(h);
}

TEST(an_end_in_order_is_no_flap_and_what_was_before_is_remembered)
{
    struct hub *h = owner_in_sync();
    uint64_t ms;

    for (unsigned i = 0; i < 2; i++)
        lose_and_regain(h);
    for (unsigned i = 0; i < 3; i++) {
        node_shutdown(h->node, h->now);
        h = next_life(h, &damped, 4000);
        node_engine_fit(h->node, true, h->now);
        assert_null(strstr(h->log, "counts as a flap"));
        assert_int_equal(node_flaps(h->node, 1), 0);
        pass_in_sync(h, 3000);
        assert_int_equal(h->weight, WEIGHT_FIT);
    }
    node_engine_fit(h->node, false, h->now); /* the third one */
    node_engine_fit(h->node, true, h->now);
    assert_int_equal(node_withheld(h->node, 1, h->now, &ms), WITHHELD_FLAPPING);
    hub_free(h);
}

TEST(what_was_suppressed_for_longer_than_is_allowed_now_is_cut)
{
    struct node_config c = damped;
    struct hub *h;
    uint64_t ms;

    c.flaps[0] = (struct flap_memory){.vip = 7, .damping = {.until_ns = UINT64_MAX}};
    c.flaps[1] = (struct flap_memory){.vip = 9999, .fit = true}; /* that we have no more */
    c.flap_count = 2;
    h = hub_ready(&c);
    pass_in_sync(h, 10);
    assert_int_equal(node_withheld(h->node, 1, h->now, &ms), WITHHELD_FLAPPING);
    assert_in_range(ms, 59000, 60000);
    hub_free(h);
}

TEST(other_rules_are_in_force_at_once)
{
    const struct damping_rules none = {0};
    struct hub *h = owner_in_sync();
    uint64_t ms;

    for (unsigned i = 0; i < 3; i++)
        lose_and_regain(h);
    assert_int_equal(node_withheld(h->node, 1, h->now, &ms), WITHHELD_FLAPPING);
    node_set_damping(h->node, &none, h->now);
    assert_int_equal(node_withheld(h->node, 1, h->now, &ms), WITHHELD_NOT);
    assert_int_equal(h->weight, WEIGHT_FIT);
    hub_free(h);
}

TEST_MAIN(T(who_came_back_bids_when_it_was_in_sync_for_the_hold_down),
          T(an_owner_that_loses_its_vip_too_often_bids_less_and_still_serves),
          T(losses_that_somebody_wanted_are_no_flaps),
          T(health_that_comes_and_goes_is_a_flap_each_time_and_no_more),
          T(a_cable_that_keepalived_sees_before_our_probes_is_one_flap),
          T(who_yields_to_a_member_that_outranks_it_did_not_flap),
          T(a_promotion_ends_what_was_withheld), T(a_daemon_that_crashes_again_and_again_flaps),
          T(a_life_that_was_never_fit_has_nothing_to_lose),
          T(that_a_sibling_has_the_vip_excuses_no_crash),
          T(an_end_in_order_is_no_flap_and_what_was_before_is_remembered),
          T(what_was_suppressed_for_longer_than_is_allowed_now_is_cut),
          T(other_rules_are_in_force_at_once))
