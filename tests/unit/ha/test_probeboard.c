/* What is said of questions and answers: gaps, losses, and who is silent. */
#include "ha/probeboard.h"
#include "ha/tunnelprobe.h"
#include "lib/test.h"
#include <string.h>

static struct probeboard *board_of(const char *slots)
{
    struct probeboard *b = probeboard_new(2);

    assert_non_null(b);
    for (unsigned i = 0; slots[i]; i++)
        if (slots[i] == '#')
            probeboard_mark(b, 1, i);
    return b;
}

static void says(const char *slots, struct probe_sum want)
{
    struct probeboard *b = board_of(slots);
    struct probe_sum got = probeboard_sum(b, 1, (unsigned)strlen(slots));

    assert_int_equal(got.answered, want.answered);
    assert_int_equal(got.lost, want.lost);
    assert_int_equal(got.gap, want.gap);
    assert_int_equal(got.gap_from, want.gap_from);
    assert_int_equal(got.silent, want.silent);
    assert_int_equal(probeboard_sum(b, 0, (unsigned)strlen(slots)).answered, 0);
    probeboard_free(b);
}

TEST(a_gap_is_between_two_questions_that_were_answered)
{
    says("####", (struct probe_sum){.answered = 4, .gap = 1});
    says("##...##.##", (struct probe_sum){.answered = 6, .lost = 4, .gap = 4, .gap_from = 1});
    says("...##", (struct probe_sum){.answered = 2, .gap = 1, .gap_from = 3});
}

TEST(who_answers_no_more_is_silent_and_has_lost_nothing_yet)
{
    says("##.##....",
         (struct probe_sum){.answered = 4, .lost = 1, .gap = 2, .gap_from = 1, .silent = 4});
    says(".....", (struct probe_sum){.silent = 5});
}

TEST(an_answer_counts_once_whoever_heard_it)
{
    struct probeboard *b = board_of("#.#");

    probeboard_mark(b, 1, 2);
    probeboard_mark(b, 1, 1); /* word of it came late */
    assert_int_equal(probeboard_sum(b, 1, 3).answered, 3);
    assert_int_equal(probeboard_sum(b, 1, 3).lost, 0);
    probeboard_free(b);
}

TEST(what_is_beyond_the_board_is_passed_over)
{
    struct probeboard *b = board_of("#");

    probeboard_mark(b, 1, PROBE_SLOTS_MAX);
    probeboard_mark(b, 1, UINT32_MAX);
    probeboard_mark(b, 2, 0);
    probeboard_mark(b, 1, PROBE_SLOTS_MAX - 1);
    assert_int_equal(probeboard_sum(b, 1, UINT32_MAX).answered, 2);
    assert_int_equal(probeboard_sum(b, 1, UINT32_MAX).silent, 0);
    probeboard_free(b);
}

TEST(no_tick_asks_more_peers_than_the_bound)
{
    for (unsigned peers = 0; peers <= TUNNELPROBE_PEERS_MAX; peers++) {
        unsigned stride = tunnelprobe_stride(peers);

        assert_true(stride >= 1 && (peers + stride - 1) / stride <= TUNNELPROBE_ASKED_MAX);
    }
    assert_int_equal(tunnelprobe_stride(TUNNELPROBE_ASKED_MAX), 1);
}

TEST_MAIN(T(a_gap_is_between_two_questions_that_were_answered),
          T(who_answers_no_more_is_silent_and_has_lost_nothing_yet),
          T(an_answer_counts_once_whoever_heard_it), T(what_is_beyond_the_board_is_passed_over),
          T(no_tick_asks_more_peers_than_the_bound))
