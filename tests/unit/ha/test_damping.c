/* When a member may bid for a VIP again. */
#include "base/clock.h"
#include "ha/damping.h"
#include "lib/test.h"

static const struct damping_rules rules = {.flap_limit = 3,
                                           .hold_down_ns = 5 * NS_PER_S,
                                           .window_ns = 30 * NS_PER_S,
                                           .suppress_ns = 10 * NS_PER_S,
                                           .suppress_max_ns = 60 * NS_PER_S};
static uint64_t now;

/* Ready since long ago. */
static struct damping stable(void)
{
    struct damping d = {0};

    now = 1000 * NS_PER_S;
    damping_ready(&d, true, now - 100 * NS_PER_S);
    return d;
}

static enum withheld verdict(const struct damping *d, bool owner, uint64_t *ret_s)
{
    uint64_t until_ns = now;
    enum withheld w = damping_verdict(d, &rules, owner, now, &until_ns);

    *ret_s = (until_ns - now) / NS_PER_S;
    return w;
}

static bool is_candidate(const struct damping *d)
{
    uint64_t s;

    return verdict(d, false, &s) == WITHHELD_NOT;
}

static bool flaps(struct damping *d, unsigned times, uint64_t every_s)
{
    bool suppressed = false;

    for (unsigned i = 0; i < times; i++) {
        now += every_s * NS_PER_S;
        suppressed = damping_flap(d, &rules, now);
    }
    return suppressed;
}

TEST(who_came_back_is_held_down_until_it_was_ready_for_so_long)
{
    struct damping d = {0};
    uint64_t s;

    now = 1000 * NS_PER_S;
    damping_ready(&d, true, now);
    now += 2 * NS_PER_S;
    damping_ready(&d, true, now); /* again and again: the time goes on */
    assert_int_equal(verdict(&d, false, &s), WITHHELD_HOLD_DOWN);
    assert_int_equal(s, 3);
    damping_ready(&d, false, now);
    assert_true(is_candidate(&d)); /* the node knows why it is not: it is not in sync */
    damping_ready(&d, true, now);
    now += 4 * NS_PER_S;
    assert_int_equal(verdict(&d, false, &s), WITHHELD_HOLD_DOWN);
    assert_int_equal(s, 1);
    now += NS_PER_S;
    assert_true(is_candidate(&d));
}

TEST(an_owner_is_not_held_down)
{
    struct damping d = {0};
    uint64_t s;

    damping_ready(&d, true, now = 1000 * NS_PER_S);
    assert_int_equal(verdict(&d, true, &s), WITHHELD_NOT);
    assert_int_equal(verdict(&d, false, &s), WITHHELD_HOLD_DOWN);
}

TEST(a_loss_begins_the_hold_down_anew)
{
    struct damping d = stable();
    uint64_t s;

    assert_true(is_candidate(&d));
    assert_false(damping_flap(&d, &rules, now));
    assert_int_equal(verdict(&d, false, &s), WITHHELD_HOLD_DOWN);
    assert_int_equal(s, 5);
}

TEST(flaps_far_apart_are_forgiven)
{
    struct damping d = stable();
    uint64_t s;

    assert_false(flaps(&d, 20, 15)); /* never three within 30 s */
    now += 5 * NS_PER_S;
    assert_int_equal(verdict(&d, true, &s), WITHHELD_NOT);
}

TEST(the_last_flap_within_the_window_suppresses_an_owner_too)
{
    struct damping d = stable();
    uint64_t s;

    assert_false(flaps(&d, 2, 14));
    assert_true(flaps(&d, 1, 14));
    assert_int_equal(verdict(&d, true, &s), WITHHELD_FLAPPING);
    assert_int_equal(s, 10);
    now += 10 * NS_PER_S;
    assert_int_equal(verdict(&d, true, &s), WITHHELD_NOT);
}

TEST(each_time_takes_twice_as_long_up_to_the_bound)
{
    static const unsigned want_s[] = {10, 20, 40, 60, 60, 60};
    struct damping d = stable();
    uint64_t s;

    for (unsigned i = 0; i < sizeof(want_s) / sizeof(want_s[0]); i++) {
        assert_true(flaps(&d, 3, 1));
        assert_int_equal(verdict(&d, false, &s), WITHHELD_FLAPPING);
        assert_int_equal(s, want_s[i]);
        now += s * NS_PER_S;
        assert_int_equal(verdict(&d, true, &s), WITHHELD_NOT);
    }
    for (unsigned i = 0; i < 100; i++) /* nothing runs over, however long that goes on */
        flaps(&d, 3, 1);
    assert_int_equal(verdict(&d, false, &s), WITHHELD_FLAPPING);
    assert_int_equal(s, 60);
}

TEST(who_goes_on_flapping_while_suppressed_stays_so)
{
    struct damping d = stable();
    uint64_t s;

    flaps(&d, 3, 1);
    flaps(&d, 3, 1);
    assert_int_equal(verdict(&d, false, &s), WITHHELD_FLAPPING);
    assert_int_equal(s, 20);
}

TEST(after_a_calm_it_begins_anew)
{
    struct damping d = stable();
    uint64_t s;

    flaps(&d, 3, 1);
    now += 10 * NS_PER_S + 56 * NS_PER_S; /* its time, and flaps before the calm is long enough */
    flaps(&d, 3, 1);
    assert_int_equal(verdict(&d, false, &s), WITHHELD_FLAPPING);
    assert_int_equal(s, 20);
    now += 20 * NS_PER_S + 59 * NS_PER_S; /* its time, and the calm */
    flaps(&d, 3, 1);
    assert_int_equal(verdict(&d, false, &s), WITHHELD_FLAPPING);
    assert_int_equal(s, 10);
}

TEST(the_operator_makes_it_a_candidate_at_once)
{
    struct damping d = stable();

    flaps(&d, 3, 1);
    assert_false(is_candidate(&d));
    damping_forget(&d, &rules, now);
    assert_true(is_candidate(&d));
    assert_false(flaps(&d, 2, 1));
}

TEST(a_limit_of_none_counts_nothing_and_a_lower_one_holds_at_once)
{
    struct damping_rules r = rules;
    struct damping d = stable();
    uint64_t until_ns;

    r.flap_limit = 0;
    r.hold_down_ns = 0;
    for (unsigned i = 0; i < 100; i++)
        assert_false(damping_flap(&d, &r, now));
    assert_int_equal(damping_verdict(&d, &r, false, now, &until_ns), WITHHELD_NOT);
    r.flap_limit = DAMPING_FLAPS_MAX;
    for (unsigned i = 1; i < DAMPING_FLAPS_MAX; i++)
        assert_false(damping_flap(&d, &r, now));
    r.flap_limit = 2;
    assert_true(damping_flap(&d, &r, now));
    assert_int_equal(damping_verdict(&d, &r, false, now, &until_ns), WITHHELD_FLAPPING);
    r.flap_limit = 0; /* switched off: at once */
    assert_int_equal(damping_verdict(&d, &r, false, now, &until_ns), WITHHELD_NOT);
}

TEST_MAIN(T(who_came_back_is_held_down_until_it_was_ready_for_so_long),
          T(an_owner_is_not_held_down), T(a_loss_begins_the_hold_down_anew),
          T(flaps_far_apart_are_forgiven),
          T(the_last_flap_within_the_window_suppresses_an_owner_too),
          T(each_time_takes_twice_as_long_up_to_the_bound),
          T(who_goes_on_flapping_while_suppressed_stays_so), T(after_a_calm_it_begins_anew),
          T(the_operator_makes_it_a_candidate_at_once),
          T(a_limit_of_none_counts_nothing_and_a_lower_one_holds_at_once))
