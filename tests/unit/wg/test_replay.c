/* The replay window against a plain set of what was seen. */
#include "lib/test.h"
#include "wg/replay.h"
#include <stdlib.h>
#include <string.h>

TEST(each_counter_is_accepted_once)
{
    struct replay r;

    replay_init(&r, 0);
    for (unsigned c = 0; c < 30000; c++) {
        assert_true(replay_check(&r, c));
        assert_true(replay_accept(&r, c));
        assert_false(replay_check(&r, c));
        assert_false(replay_accept(&r, c));
    }
    assert_int_equal(r.next, 30000);
}

TEST(the_window_is_8128_wide)
{
    struct replay r;

    for (unsigned top = 20000; top < 20130; top++) {
        replay_init(&r, 0);
        assert_true(replay_accept(&r, top));
        assert_false(replay_accept(&r, top - REPLAY_WINDOW - 1));
        for (unsigned back = REPLAY_WINDOW; back > 0; back--)
            assert_true(replay_accept(&r, top - back));
        for (unsigned back = 0; back <= REPLAY_WINDOW + 100; back++)
            assert_false(replay_accept(&r, top - back));
    }
}

TEST(the_first_packet_may_be_any)
{
    static const uint64_t first[] = {0, 1, 63, 64, 8127, 8128, 8191, 8192, 1ull << 48, 1ull << 60};

    for (unsigned i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
        struct replay r;
        replay_init(&r, 0);
        assert_true(replay_accept(&r, first[i]));
        assert_false(replay_accept(&r, first[i]));
        assert_true(replay_accept(&r, first[i] + 1));
        if (first[i])
            assert_true(replay_accept(&r, first[i] - 1));
    }
}

TEST(an_adopter_counts_everything_below_its_start_as_seen)
{
    static const uint64_t start[] = {1,    2,    63,    64,         65,         8128,
                                     8191, 8192, 12345, 1ull << 36, 1ull << 48, (1ull << 60) + 17};

    for (unsigned i = 0; i < sizeof(start) / sizeof(start[0]); i++) {
        struct replay r;
        uint64_t s = start[i];
        replay_init(&r, s);
        for (uint64_t back = 1; back <= 9000 && back <= s; back++)
            assert_false(replay_accept(&r, s - back));
        /* and everything from it on is open, in any order */
        for (uint64_t on = 300; on-- > 0;)
            assert_true(replay_accept(&r, s + on));
        for (uint64_t back = 1; back <= 9000 && back <= s; back++)
            assert_false(replay_accept(&r, s - back));
        for (uint64_t on = 300; on-- > 0;)
            assert_false(replay_accept(&r, s + on));
        /* far ahead, where the ring has wrapped over what counted as seen */
        for (uint64_t on = 300; on < 20000; on += 7)
            assert_true(replay_accept(&r, s + on));
    }
}

TEST(jumps_up_to_2_to_the_60_are_taken)
{
    struct replay r;
    uint64_t c = 0;

    replay_init(&r, 0); /* R14: the peer may be a cluster like us */
    for (unsigned bit = 0; bit <= 60; bit++) {
        assert_true(replay_accept(&r, c));
        c += 1ull << bit;
        assert_true(replay_accept(&r, c));
        assert_false(replay_accept(&r, c));
        if (bit > 1)
            assert_true(replay_accept(&r, c - 1));
        c++;
    }
}

TEST(the_highest_counter_of_all_cannot_wrap_the_window)
{
    struct replay r;

    replay_init(&r, 5);
    assert_false(replay_accept(&r, UINT64_MAX));
    assert_true(replay_accept(&r, UINT64_MAX - 1));
    assert_false(replay_accept(&r, UINT64_MAX - 1));
    assert_false(replay_accept(&r, 6));
}

/* ---- against a model ---- */

#define STEPS 40000
#define SPACE 65536 /* of counters, from a base on */

TEST(random_histories_agree_with_a_plain_set)
{
    static bool seen[SPACE];

    for (unsigned seed = 0; seed < 12; seed++) {
        const struct rng *rng = test_rng(seed);
        uint64_t base = seed % 3 == 0 ? 0 : rng_u64(rng) >> 5, next = 0, start;
        struct replay r;

        memset(seen, 0, sizeof(seen));
        start = seed % 2 ? base + test_below(rng, 300) : 0;
        replay_init(&r, start);
        for (uint64_t c = base; c < start; c++)
            seen[c - base] = true;
        next = start;
        for (unsigned i = 0; i < STEPS; i++) {
            uint64_t at = next > base ? next - base : 0, c;
            switch (test_below(rng, 8)) {
            case 0:
                c = at + test_below(rng, 200);
                break;
            case 1:
                c = at > 8300 ? at - 8300 + test_below(rng, 400) : test_below(rng, 400);
                break;
            case 2:
                c = at + 64 * test_below(rng, 4);
                break;
            default:
                c = at > 100 ? at - 100 + test_below(rng, 103) : test_below(rng, 103);
            }
            if (c >= SPACE)
                break;
            bool want = base + c >= next || (next - 1 - (base + c) <= REPLAY_WINDOW && !seen[c]);
            assert_int_equal(replay_check(&r, base + c), want);
            assert_int_equal(replay_accept(&r, base + c), want);
            if (want) {
                seen[c] = true;
                if (base + c >= next)
                    next = base + c + 1;
            }
            assert_int_equal(r.next, next);
        }
    }
}

TEST(a_tail_says_what_was_not_seen_as_far_back_as_it_reaches)
{
    static const uint64_t tops[] = {1, 63, 64, 65, 128, 700, 1088, 9000, (1ull << 48) + 31};
    const struct rng *rng = test_rng(11);

    for (unsigned i = 0; i < sizeof(tops) / sizeof(tops[0]); i++) {
        struct replay from, to;
        struct replay_tail tail;
        uint64_t base = tops[i] > 9000 ? tops[i] - 9000 : 0;

        replay_init(&from, base);
        for (uint64_t c = base; c < tops[i]; c++)
            if (c == tops[i] - 1 || test_below(rng, 4))
                replay_accept(&from, c);
        replay_tail_take(&from, &tail);
        replay_tail_init(&to, from.next, &tail, 0);
        assert_int_equal(to.next, tops[i]);
        for (uint64_t back = 1; back <= 2000 && back <= tops[i]; back++) {
            uint64_t c = tops[i] - back;
            bool covered = c / 64 + REPLAY_TAIL_WORDS > (tops[i] - 1) / 64;
            assert_int_equal(replay_check(&to, c), covered && replay_check(&from, c));
        }
        assert_true(replay_accept(&to, tops[i]));
        assert_true(replay_accept(&to, tops[i] + 200));
        assert_true(replay_accept(&to, tops[i] + 100));
        /* What this process saw itself counts as seen, whatever the other one says. */
        replay_tail_init(&to, from.next, &tail, tops[i]);
        for (uint64_t back = 1; back <= 300 && back <= tops[i]; back++)
            assert_false(replay_check(&to, tops[i] - back));
    }
}

TEST(a_tail_of_a_whole_window_is_empty)
{
    struct replay r;
    struct replay_tail tail;

    replay_init(&r, 0);
    replay_tail_take(&r, &tail);
    assert_int_equal(tail.words, 0);
    for (uint64_t c = 0; c < 3000; c++)
        replay_accept(&r, c);
    replay_tail_take(&r, &tail);
    assert_int_equal(tail.words, 0);
}

TEST_MAIN(T(a_tail_says_what_was_not_seen_as_far_back_as_it_reaches),
          T(a_tail_of_a_whole_window_is_empty), T(each_counter_is_accepted_once),
          T(the_window_is_8128_wide), T(the_first_packet_may_be_any),
          T(an_adopter_counts_everything_below_its_start_as_seen),
          T(jumps_up_to_2_to_the_60_are_taken),
          T(the_highest_counter_of_all_cannot_wrap_the_window),
          T(random_histories_agree_with_a_plain_set))
