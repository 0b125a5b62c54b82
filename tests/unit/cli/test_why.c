/* Why a peer is down: each cause has its verdict, and the nearest one wins. */
#include "base/clock.h"
#include "cli/why.h"
#include "lib/test.h"
#include <string.h>

#define NOW (1789000000 * NS_PER_S)

static struct control_why served(void)
{
    struct control_why y = {.hub = 1,
                            .owner = 1,
                            .served = true,
                            .vip_owned = true,
                            .fit = true,
                            .now_real_ns = NOW,
                            .state = "active",
                            .vip = "main",
                            .vip_state = "active",
                            .owner_name = "m1",
                            .endpoint = "192.0.2.1:5"};

    return y;
}

static struct control_fact fact(unsigned age_s, const char *reason)
{
    struct control_fact f = {.real_ns = NOW - age_s * NS_PER_S, .count = 3};

    strcpy(f.reason, reason);
    strcpy(f.endpoint, "198.51.100.7:1234");
    return f;
}

static struct why judge(const struct control_why *y, const char *code, const char *word)
{
    struct why w;

    why_judge(y, &w);
    assert_in_range(w.count, 1, WHY_FINDINGS_MAX);
    assert_string_equal(w.finding[0].code, code);
    if (!strstr(w.finding[0].sentence, word))
        fail_msg("no '%s' in: %s", word, w.finding[0].sentence);
    assert_int_equal(w.up, strcmp(code, "up") == 0);
    assert_true(w.up || *w.finding[0].remedy);
    return w;
}

TEST(a_young_session_is_up_and_an_old_one_is_not)
{
    struct control_why y = served();

    y.has_session = true;
    y.handshake_real_ns = NOW - 179 * NS_PER_S;
    y.session.age_ms = 179999;
    judge(&y, "up", "2 min 59 s");
    y.session.age_ms = 180000;
    judge(&y, "silent", "its last handshake was 2 min 59 s ago");
}

TEST(what_the_record_says_comes_first)
{
    struct control_why y = served();

    y.has_session = true;
    y.refused = fact(2, "unknown-peer");
    strcpy(y.state, "revoked");
    struct why w = judge(&y, "revoked", "is revoked");
    assert_non_null(strstr(w.finding[0].remedy, "never comes back"));
    assert_int_equal(w.count, 2);
    assert_non_null(strstr(w.finding[1].sentence, "198.51.100.7:1234"));
    strcpy(y.state, "disabled");
    judge(&y, "disabled", "is disabled");
    strcpy(y.state, "expired");
    w = judge(&y, "expired", "is expired");
    assert_non_null(strstr(w.finding[0].remedy, "--expires"));
    strcpy(y.state, "pending");
    w = judge(&y, "pending", "is pending");
    assert_non_null(strstr(w.finding[0].remedy, "peer approve"));
    strcpy(y.state, "unknown");
    w = judge(&y, "unknown-peer", "no peer has");
    assert_int_equal(w.count, 2);
    y = served();
    y.served = false;
    judge(&y, "not-served", "room");
}

TEST(where_the_vip_is_comes_next)
{
    struct control_why y = served();

    y.vip_owned = false;
    y.owner = 2;
    strcpy(y.owner_name, "berlin");
    struct why w = judge(&y, "wrong-member", "served by berlin");
    assert_non_null(strstr(w.finding[0].remedy, "on berlin"));
    y.owner = 0;
    strcpy(y.vip_state, "standby");
    judge(&y, "no-owner", "standby here");
    y.fit = false;
    judge(&y, "not-ready", "not fit");
}

TEST(the_latest_attempt_decides)
{
    struct control_why y = served();

    y.unanswered = fact(30, "none");
    judge(&y, "no-answer", "192.0.2.1:5");
    y.answered = fact(20, "none");
    judge(&y, "unconfirmed", "answered 3 times, the last 20 s ago");
    y.refused = fact(10, "bad-auth");
    struct why w = judge(&y, "bad-auth", "refused 10 s ago from 198.51.100.7:1234");
    assert_non_null(strstr(w.finding[0].remedy, "preshared key"));
    y.answered = fact(5, "none");
    judge(&y, "unconfirmed", "5 s ago");
    y.unanswered = fact(1, "none");
    judge(&y, "no-answer", "gets no answer");
}

TEST(nothing_tried_is_told_apart)
{
    struct control_why y = served();

    judge(&y, "never", "nothing came");
    y.attempts = 3;
    judge(&y, "no-answer", "gets no answer");
    y.attempts = 0;
    y.endpoint[0] = '\0';
    judge(&y, "no-endpoint", "does not know where");
}

TEST(a_clock_that_was_ahead_is_named)
{
    struct control_why y = served();

    y.refused = fact(1, "stale-stamp");
    y.stamp_real_ns = NOW - NS_PER_S;
    assert_int_equal(judge(&y, "stale-stamp", "not later").count, 1);
    y.stamp_real_ns = NOW + 3600 * NS_PER_S;
    struct why w = judge(&y, "stale-stamp", "not later");
    assert_string_equal(w.finding[1].code, "clock-was-ahead");
    assert_non_null(strstr(w.finding[1].sentence, "1 h 0 min ahead"));
    y.refused = fact(1, "too-soon");
    assert_int_equal(judge(&y, "too-soon", "20 ms").count, 1);
}

TEST(what_was_refused_lately_is_told_besides)
{
    struct control_why y = served();

    y.has_session = true;
    y.session.age_ms = 1000;
    y.data_refused = fact(59, "source-not-allowed");
    y.session_refused = fact(61, "dirty");
    y.refused = fact(3, "too-soon");
    struct why w = judge(&y, "up", "1 s");
    assert_int_equal(w.count, 3);
    assert_string_equal(w.finding[1].code, "source-not-allowed");
    assert_non_null(strstr(w.finding[1].remedy, "AllowedIPs"));
    assert_string_equal(w.finding[2].code, "too-soon");
}

/* A newer daemon may know more of them. */
TEST(a_peer_that_is_fenced_in_is_told_what_it_reaches)
{
    struct control_why y = served();
    struct why w;

    y.has_session = y.isolated = true;
    strcpy(y.group, "guests");
    why_judge(&y, &w);
    assert_true(w.up && w.count == 2);
    assert_string_equal(w.finding[1].code, "isolated");
    assert_non_null(strstr(w.finding[1].sentence, "guests is isolated: it reaches no network"));
    strcpy(y.networks, "192.0.2.0/24");
    why_judge(&y, &w);
    assert_non_null(strstr(w.finding[1].sentence, "reaches 192.0.2.0/24 and nothing else"));
    y.isolated = false;
    why_judge(&y, &w);
    assert_int_equal(w.count, 1);
}

TEST(a_reason_that_is_not_known_here_is_shown_all_the_same)
{
    struct control_why y = served();

    y.refused = fact(1, "of-the-future");
    judge(&y, "of-the-future", "another cause");
}

TEST_MAIN(T(a_young_session_is_up_and_an_old_one_is_not), T(what_the_record_says_comes_first),
          T(where_the_vip_is_comes_next), T(the_latest_attempt_decides),
          T(nothing_tried_is_told_apart), T(a_clock_that_was_ahead_is_named),
          T(what_was_refused_lately_is_told_besides),
          T(a_peer_that_is_fenced_in_is_told_what_it_reaches),
          T(a_reason_that_is_not_known_here_is_shown_all_the_same))
