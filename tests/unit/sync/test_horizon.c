/* R3, R4: how far ahead ceilings are raised, and how often a batch of raises leaves. */
#include "lib/test.h"
#include "sync/horizon.h"
#include "sync/lease.h"

#define MS 1000000ull
#define S (1000 * MS)
#define DETECTION (400 * MS) /* of adverts of 100 ms */
#define HOLDER 2

static struct horizon horizon_new(uint64_t detection_ns)
{
    struct horizon h;

    horizon_init(&h, detection_ns, S);
    return h;
}

static void run(struct horizon *h, unsigned seconds, uint64_t raises_per_s)
{
    for (; seconds > 0; seconds--) {
        h->raises += raises_per_s;
        horizon_look(h, h->look_ns + S);
    }
}

TEST(few_busy_sessions_stay_close_to_their_ceilings)
{
    struct horizon h = horizon_new(DETECTION);

    assert_int_equal(horizon_batch_ns(&h), 5 * MS);
    run(&h, 60, 10 * 100); /* ten streams of 1 000 packets/s and more: section 4.3 */
    assert_int_equal(h.ns, 20 * MS);
    assert_int_equal(horizon_batch_ns(&h), 5 * MS);
}

TEST(many_raises_stretch_the_horizon_within_two_seconds)
{
    struct horizon h = horizon_new(DETECTION);

    run(&h, 1, 10000);
    assert_int_equal(h.ns, 200 * MS);
    run(&h, 1, 6000);
    assert_int_equal(h.ns, 250 * MS);
    assert_int_equal(horizon_batch_ns(&h), 250 * MS / 8);
    run(&h, 60, HORIZON_RAISES_MOST_PER_S / 5 * 4); /* not more than four fifths of the most */
    assert_int_equal(h.ns, 250 * MS);
    run(&h, 60, 450); /* nor fewer than what would not swing back */
    assert_int_equal(h.ns, 250 * MS);
    run(&h, 1, 449);
    assert_int_equal(h.ns, 125 * MS);
}

TEST(a_horizon_is_never_longer_than_a_failover_for_what_is_only_dear)
{
    struct horizon fast = horizon_new(120 * MS), fastest = horizon_new(10 * MS);

    run(&fast, 10, 20000);
    assert_int_equal(fast.ns, 120 * MS);
    assert_int_equal(horizon_batch_ns(&fast), 15 * MS);
    run(&fastest, 10, 20000);
    assert_int_equal(fastest.ns, 20 * MS);
    assert_int_equal(horizon_batch_ns(&fastest), 5 * MS);
}

TEST(what_nobody_can_send_stretches_it_further_but_not_without_end)
{
    struct horizon h = horizon_new(DETECTION);

    run(&h, 3, 200000);
    assert_int_equal(h.ns, 1000 * MS);
    assert_int_equal(horizon_batch_ns(&h), 250 * MS / 8);
    run(&h, 60, 200000);
    assert_int_equal(h.ns, HORIZON_FURTHEST_NS);
    run(&h, 60, 50000);
    assert_int_equal(h.ns, HORIZON_FURTHEST_NS);
    run(&h, 60, 20000);
    assert_int_equal(h.ns, 250 * MS);
}

TEST(a_calm_member_comes_back_to_the_least_and_does_not_swing)
{
    struct horizon h = horizon_new(DETECTION);

    run(&h, 2, 20000);
    run(&h, 60, 500); /* half the horizon would be twice that */
    assert_int_equal(h.ns, 250 * MS);
    run(&h, 1, 400);
    assert_int_equal(h.ns, 125 * MS);
    run(&h, 60, 800);
    assert_int_equal(h.ns, 125 * MS);
    run(&h, 5, 0);
    assert_int_equal(h.ns, 20 * MS);
}

TEST(two_looks_at_one_moment_are_one)
{
    struct horizon h = horizon_new(DETECTION);

    h.raises = 1000000;
    horizon_look(&h, S);
    assert_int_equal(h.ns, 20 * MS);
    assert_int_equal(h.raises, 1000000);
}

/* One of @clients alike: constant traffic, every raise acked at the end of its batch. */
static double raises_per_s(unsigned clients, double pps, struct horizon *h)
{
    struct lease l;
    uint64_t asked_ns = 0, from = 0, now;
    const uint64_t seconds = 20;

    lease_init(&l, 64);
    lease_add_holder(&l, HOLDER, 64);
    for (now = S; now < S + seconds * S; now += MS) {
        uint64_t top = (uint64_t)((double)(now - S) / 1e9 * pps), limit;
        bool lower;

        if (!asked_ns && top + l.headroom / 2 > lease_ceiling(&l))
            asked_ns = now;
        if (asked_ns && now >= asked_ns + horizon_batch_ns(h)) {
            asked_ns = 0;
            lease_sample(&l, top, now, h->ns);
            if (lease_propose(&l, top, now, false, &limit, &lower)) {
                h->raises += clients;
                from += now >= S + seconds * S / 2;
                lease_acked(&l, HOLDER, limit, l.seq, top);
            }
        }
        if (now % S == 0)
            horizon_look(h, now);
    }
    return (double)from / ((double)seconds / 2);
}

TEST(a_thousand_busy_clients_raise_a_few_times_a_second_each)
{
    struct horizon h = horizon_new(DETECTION);
    double each = raises_per_s(1000, 20, &h);

    assert_int_equal(h.ns, 250 * MS);
    assert_true(each > 3 && each < 6);
    h = horizon_new(DETECTION);
    each = raises_per_s(1000, 100, &h);
    assert_int_equal(h.ns, 250 * MS);
    assert_true(each > 3 && each < 7);
    h = horizon_new(DETECTION);
    each = raises_per_s(1, 1000, &h); /* but one alone stays within 20 ms */
    assert_int_equal(h.ns, 20 * MS);
    assert_true(each > 50);
}

TEST_MAIN(T(few_busy_sessions_stay_close_to_their_ceilings),
          T(many_raises_stretch_the_horizon_within_two_seconds),
          T(a_horizon_is_never_longer_than_a_failover_for_what_is_only_dear),
          T(what_nobody_can_send_stretches_it_further_but_not_without_end),
          T(a_calm_member_comes_back_to_the_least_and_does_not_swing),
          T(two_looks_at_one_moment_are_one),
          T(a_thousand_busy_clients_raise_a_few_times_a_second_each))
