/* The journal of events and the table of verdicts: bounded, and honest about what was lost. */
#include "base/clock.h"
#include "base/err.h"
#include "control/journal.h"
#include "control/verdicts.h"
#include "lib/test.h"
#include <string.h>

#define T0 (1700000000 * NS_PER_S)

static struct notice notice_of(enum notice_kind kind, unsigned peer, uint64_t after_s)
{
    struct notice n = {.kind = kind, .real_ns = T0 + after_s * NS_PER_S, .number = 1};

    memcpy(n.peer.b, &peer, sizeof(peer));
    return n;
}

TEST(a_reader_goes_on_where_it_was)
{
    struct journal *j = journal_new();
    struct notice n = notice_of(NOTICE_PEER_ROAMED, 1, 0), got[4];
    uint64_t missed;

    assert_int_equal(journal_last(j), 0);
    assert_int_equal(journal_read(j, 0, 4, got, &missed), 0);
    for (unsigned i = 1; i <= 6; i++) {
        n.number = i;
        assert_int_equal(journal_add(j, &n), i);
    }
    assert_int_equal(journal_read(j, 0, 4, got, &missed), 4);
    assert_int_equal(got[3].serial, 4);
    assert_int_equal(journal_read(j, 4, 4, got, &missed), 2);
    assert_true(got[1].serial == 6 && got[1].number == 6 && missed == 0);
    assert_int_equal(journal_read(j, 6, 4, got, &missed), 0);
    journal_free(j);
}

TEST(the_oldest_events_go_first_and_are_counted)
{
    struct journal *j = journal_new();
    struct notice n = notice_of(NOTICE_PEER_ROAMED, 1, 0), got[2];
    uint64_t missed;

    for (unsigned i = 0; i < JOURNAL_MAX + 5; i++)
        journal_add(j, &n);
    assert_int_equal(journal_read(j, 0, 2, got, &missed), 2);
    assert_true(missed == 5 && got[0].serial == 6 && got[1].serial == 7);
    assert_int_equal(journal_read(j, 3, 2, got, &missed), 2);
    assert_true(missed == 2 && got[0].serial == 6);
    assert_int_equal(journal_read(j, 5, 2, got, &missed), 2);
    assert_true(missed == 0 && got[0].serial == 6);
    journal_free(j);
}

TEST(a_number_of_an_earlier_life_reads_from_the_beginning)
{
    struct journal *j = journal_new();
    struct notice n = notice_of(NOTICE_PEER_ROAMED, 1, 0), got[2];
    uint64_t missed;

    journal_add(j, &n);
    assert_int_equal(journal_read(j, 1000, 2, got, &missed), 1);
    assert_true(missed == 0 && got[0].serial == 1);
    journal_free(j);
}

static bool refused(struct verdicts *v, unsigned peer, uint64_t after_s, enum notice_reason reason,
                    uint64_t *ret_count)
{
    struct notice n = notice_of(NOTICE_HANDSHAKE_REFUSED, peer, after_s);
    bool told;

    n.reason = reason;
    told = verdicts_note(v, &n);
    *ret_count = n.number;
    return told;
}

static const struct verdict *find(struct verdicts *v, unsigned peer)
{
    struct notice n = notice_of(NOTICE_PEER_ROAMED, peer, 0);

    return verdicts_find(v, &n.peer);
}

TEST(the_same_refusal_is_told_every_ten_seconds_with_a_count)
{
    struct verdicts *v = verdicts_new(4);
    uint64_t count;

    assert_true(refused(v, 1, 0, REASON_BAD_AUTH, &count));
    assert_int_equal(count, 1);
    for (unsigned s = 1; s < VERDICT_AGAIN_S; s++)
        assert_false(refused(v, 1, s, REASON_BAD_AUTH, &count));
    assert_true(refused(v, 2, 5, REASON_BAD_AUTH, &count)); /* another peer */
    assert_true(refused(v, 1, VERDICT_AGAIN_S, REASON_BAD_AUTH, &count));
    assert_int_equal(count, VERDICT_AGAIN_S);
    assert_true(refused(v, 1, VERDICT_AGAIN_S, REASON_STALE_STAMP, &count)); /* another reason */
    assert_int_equal(count, 1);
    const struct verdict *of = find(v, 1);
    assert_true(of->refused.count == VERDICT_AGAIN_S + 2 &&
                of->refused.reason == REASON_STALE_STAMP &&
                of->refused.real_ns == T0 + VERDICT_AGAIN_S * NS_PER_S);
    verdicts_free(v);
}

TEST(a_clock_that_goes_back_silences_nobody)
{
    struct verdicts *v = verdicts_new(4);
    uint64_t count;

    assert_true(refused(v, 1, 1000, REASON_BAD_AUTH, &count));
    assert_true(refused(v, 1, 0, REASON_BAD_AUTH, &count));
    verdicts_free(v);
}

TEST(a_peer_that_is_well_has_no_row)
{
    struct verdicts *v = verdicts_new(4);
    struct notice n = notice_of(NOTICE_HANDSHAKE_ANSWERED, 1, 0);
    uint64_t count;

    assert_true(verdicts_note(v, &n));
    assert_int_equal(find(v, 1)->answered.count, 1);
    refused(v, 1, 1, REASON_TOO_SOON, &count);
    assert_int_equal(find(v, 1)->answered.count, 1); /* one does not undo the other */
    n = notice_of(NOTICE_HANDSHAKE_DONE, 1, 2);
    assert_true(verdicts_note(v, &n));
    assert_null(find(v, 1));
    assert_true(verdicts_note(v, &n));
    assert_null(find(v, 1));
    n = notice_of(NOTICE_PEER_ROAMED, 1, 3);
    assert_true(verdicts_note(v, &n));
    assert_null(find(v, 1));
    verdicts_free(v);
}

TEST(each_kind_has_its_place)
{
    static const enum notice_kind kinds[] = {NOTICE_HANDSHAKE_REFUSED, NOTICE_DATA_REFUSED,
                                             NOTICE_SESSION_REFUSED, NOTICE_HANDSHAKE_ANSWERED,
                                             NOTICE_HANDSHAKE_UNANSWERED};
    struct verdicts *v = verdicts_new(4);

    for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
        struct notice n = notice_of(kinds[i], 1, i);
        n.reason = REASON_REPLAY;
        assert_true(verdicts_note(v, &n));
    }
    const struct verdict *of = find(v, 1);
    assert_int_equal(of->refused.real_ns, T0);
    assert_int_equal(of->data.real_ns, T0 + 1 * NS_PER_S);
    assert_int_equal(of->session.real_ns, T0 + 2 * NS_PER_S);
    assert_int_equal(of->answered.real_ns, T0 + 3 * NS_PER_S);
    assert_int_equal(of->unanswered.real_ns, T0 + 4 * NS_PER_S);
    verdicts_free(v);
}

TEST(the_row_touched_longest_ago_makes_room)
{
    struct verdicts *v = verdicts_new(3);
    uint64_t count;

    for (unsigned peer = 1; peer <= 3; peer++)
        refused(v, peer, 0, REASON_BAD_AUTH, &count);
    refused(v, 1, 1, REASON_BAD_AUTH, &count);
    refused(v, 4, 2, REASON_BAD_AUTH, &count);
    assert_true(find(v, 1) && !find(v, 2) && find(v, 3) && find(v, 4));
    for (unsigned peer = 10; peer < 10000; peer++)
        refused(v, peer, 3, REASON_BAD_AUTH, &count);
    assert_true(!find(v, 1) && !find(v, 9996) && find(v, 9997) && find(v, 9999));
    verdicts_free(v);
}

TEST_MAIN(T(a_reader_goes_on_where_it_was), T(the_oldest_events_go_first_and_are_counted),
          T(a_number_of_an_earlier_life_reads_from_the_beginning),
          T(the_same_refusal_is_told_every_ten_seconds_with_a_count),
          T(a_clock_that_goes_back_silences_nobody), T(a_peer_that_is_well_has_no_row),
          T(each_kind_has_its_place), T(the_row_touched_longest_ago_makes_room))
