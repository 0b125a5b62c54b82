/* Drills: from events to steps, from steps to a verdict, and reports that say the same. */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "cli/drill.h"
#include "lib/test.h"
#include <string.h>

#define NOW (1789000000 * NS_PER_S)
#define NASTY "<b>\"al&ice'</b>"
#define OPEN_MAX 32

static struct status *two_members(void)
{
    struct status *s = status_new();

    s->id = 1;
    s->member_count = 2;
    s->member[0] = (struct status_member){.id = 1, .self = true, .name = "m1", .link = "self"};
    s->member[1] =
        (struct status_member){.id = 2, .name = "berlin", .link = "live", .in_sync = true};
    s->vip_count = 1;
    s->vip[0] = (struct status_vip){.id = 7, .name = "main", .owned = true, .owner = 1};
    for (uint8_t i = 0; i < 3; i++) {
        struct status_peer *p = status_add_peer(s);

        p->public_key.b[0] = i;
        p->vip = i < 2 ? 7 : 8;
        strcpy(p->name, i ? "bob" : NASTY);
    }
    return s;
}

static struct drill *begun(void)
{
    struct status *s = two_members();
    struct drill *d = drill_new();

    strcpy(d->vip, "main");
    strcpy(d->member, "m1");
    strcpy(d->cluster, "office");
    d->vip_id = 7;
    d->repeat = 1;
    d->max_ms = 100;
    d->max_gap_ms = 400;
    d->max_lost = 40;
    d->began_real_ns = NOW;
    assert_int_equal(drill_add_peers(d, s), 0);
    assert_int_equal(d->peer_count, 2); /* the third one is of another VIP */
    status_free(s);
    return d;
}

static void happens(struct drill *d, const char *name, const char *vip, int peer, int64_t ms)
{
    const struct drill_step *s = &d->step[d->step_count - 1];
    struct control_event e = {.real_ns = s->command_real_ns + (uint64_t)(ms * (int64_t)NS_PER_MS)};

    strcpy(e.name, name);
    strcpy(e.field[0].key, "vip");
    strcpy(e.field[0].value, vip);
    e.field_count = 1;
    if (peer >= 0) {
        strcpy(e.field[1].key, "peer");
        key_to_base64((uint8_t[32]){(uint8_t)peer}, e.field[1].value);
        e.field_count = 2;
    }
    drill_event(d, &e);
}

/* There and back as it should be. */
static struct drill *good(void)
{
    struct drill *d = begun();

    drill_begin(d, true, "m1", NOW);
    happens(d, "vip.claimed", "main", -1, 31);
    happens(d, "session.yielded", "main", 0, 33);
    drill_end(d, "berlin", 50, NULL);
    drill_begin(d, false, "berlin", NOW + 4 * NS_PER_S);
    happens(d, "vip.owned", "main", -1, 42);
    happens(d, "session.adopted", "main", 0, 47);
    happens(d, "handshake.done", "main", 1, 77);
    drill_end(d, "m1", 60, NULL);
    d->restored = true;
    return d;
}

/* Of one peer; the asking began half a second before the command. */
static void answers(struct drill *d, uint8_t peer, uint32_t answered, uint32_t lost,
                    uint32_t gap_ms, uint32_t gap_from_ms, uint32_t silent_ms)
{
    struct control_drill c = {.every_ms = 10, .age_ms = 2000, .peer_count = 1};

    c.peer[0] =
        (struct control_drill_peer){{{peer}}, answered, lost, gap_ms, gap_from_ms, silent_ms};
    drill_answers(d, &c, 500);
}

static char *page_of(const struct drill *d)
{
    static char *page;
    static size_t len;
    FILE *f = open_memstream(&page, &len);

    drill_html(d, f);
    fclose(f);
    return page;
}

TEST(a_planned_move_passes_and_tells_what_moved)
{
    struct drill *d = good();
    const struct drill_step *away = &d->step[0], *back = &d->step[1];

    assert_true(drill_passed(d));
    assert_int_equal(away->owner_ms, 31);
    assert_int_equal(away->first_ms, 33);
    assert_int_equal(away->sessions, 1);
    assert_int_equal(away->handshakes, 0);
    assert_int_equal(away->how[DRILL_HOT], 1);
    assert_int_equal(away->how[DRILL_NOTHING], 1);
    assert_int_equal(back->owner_ms, 42);
    assert_int_equal(back->handshakes, 1);
    assert_int_equal(back->how[DRILL_HANDSHAKE], 1);
    assert_int_equal(d->peer[1].step[1].ms, 77);
    drill_free(d);
}

TEST(a_drill_passes_only_when_complete_and_put_back)
{
    struct drill *d = good();

    d->restored = false;
    assert_false(drill_passed(d));
    d->restored = true;
    d->repeat = 2;
    assert_false(drill_passed(d));
    drill_free(d);
}

TEST(a_move_slower_than_the_threshold_does_not_pass)
{
    struct drill *d = begun();

    drill_begin(d, true, "m1", NOW);
    happens(d, "vip.claimed", "main", -1, 101);
    drill_end(d, "berlin", 120, NULL);
    assert_false(d->step[0].pass);
    assert_string_equal(d->step[0].reason, "it took 101 ms, more than 100");
    drill_begin(d, false, "berlin", NOW);
    happens(d, "vip.owned", "main", -1, 100);
    drill_end(d, "m1", 120, NULL);
    assert_true(d->step[1].pass);
    drill_free(d);
}

TEST(a_vip_that_does_not_arrive_has_no_time)
{
    struct drill *d = begun();

    drill_begin(d, true, "m1", NOW);
    happens(d, "vip.claimed", "main", -1, 5); /* it did not last */
    drill_end(d, NULL, 12000, "the VIP did not arrive");
    assert_false(d->step[0].pass);
    assert_false(d->step[0].has_owner);
    assert_string_equal(d->step[0].reason, "the VIP did not arrive");
    drill_free(d);
}

TEST(without_an_event_the_status_tells_the_time)
{
    struct drill *d = begun();

    drill_begin(d, true, "m1", NOW);
    drill_missed(d, 3);
    drill_end(d, "berlin", 64, NULL);
    assert_true(d->step[0].pass);
    assert_int_equal(d->step[0].owner_ms, 64);
    assert_false(d->step[0].has_first);
    assert_int_equal(d->step[0].missed, 3);
    drill_free(d);
}

TEST(events_of_other_vips_and_the_other_direction_are_not_counted)
{
    struct drill *d = begun();

    drill_begin(d, true, "m1", NOW);
    happens(d, "vip.claimed", "second", -1, 5);
    happens(d, "session.yielded", "second", 0, 5);
    happens(d, "vip.owned", "main", -1, 5);
    happens(d, "session.adopted", "main", 0, 5);
    drill_end(d, "berlin", 64, NULL);
    assert_int_equal(d->step[0].owner_ms, 64);
    assert_int_equal(d->step[0].sessions, 0);
    assert_int_equal(d->step[0].how[DRILL_NOTHING], 2);
    drill_free(d);
}

TEST(a_refused_session_fails_the_step_unless_a_handshake_mends_it)
{
    struct drill *d = begun();

    drill_begin(d, false, "berlin", NOW);
    happens(d, "session.refused", "main", 0, 5);
    happens(d, "session.refused", "main", 1, 6);
    happens(d, "handshake.done", "main", 1, 9);
    drill_end(d, "m1", 10, NULL);
    assert_false(d->step[0].pass);
    assert_string_equal(d->step[0].reason, "1 peer had no session afterwards");
    assert_int_equal(d->step[0].refused, 2);
    drill_begin(d, false, "berlin", NOW);
    happens(d, "session.refused", "main", 0, 5);
    happens(d, "handshake.done", "main", 0, 9);
    drill_end(d, "m1", 10, NULL);
    assert_true(d->step[1].pass);
    drill_free(d);
}

TEST(a_rekey_after_a_session_moved_does_not_change_how_it_recovered)
{
    struct drill *d = begun();

    drill_begin(d, false, "berlin", NOW);
    happens(d, "session.adopted", "main", 0, -20); /* the clock was set back */
    happens(d, "handshake.done", "main", 0, 900);
    drill_end(d, "m1", 10, NULL);
    assert_int_equal(d->peer[0].step[0].how, DRILL_HOT);
    assert_int_equal(d->peer[0].step[0].ms, 0);
    assert_int_equal(d->step[0].handshakes, 1);
    drill_free(d);
}

TEST(a_session_younger_than_the_step_is_a_handshake_at_the_sibling)
{
    struct drill *d = begun();
    struct status *s = two_members();

    status_add_session(&s->peer[0], "current", 1, false, 2900);
    status_add_session(&s->peer[1], "current", 1, false, 2950); /* perhaps of before */
    status_add_session(&s->peer[2], "current", 1, false, 10);   /* of another VIP */
    drill_begin(d, true, "m1", NOW);
    drill_sessions(d, s, NOW + 3 * NS_PER_S);
    drill_end(d, "berlin", 10, NULL);
    assert_int_equal(d->step[0].handshakes, 1);
    assert_int_equal(d->peer[0].step[0].how, DRILL_HANDSHAKE);
    assert_false(d->peer[0].step[0].has_ms);
    assert_int_equal(d->peer[1].step[0].how, DRILL_NOTHING);
    drill_begin(d, false, "berlin", NOW);
    drill_sessions(d, s, NOW + 3 * NS_PER_S); /* here they are events */
    drill_end(d, "m1", 10, NULL);
    assert_int_equal(d->step[1].handshakes, 0);
    status_free(s);
    drill_free(d);
}

/* As seen by a sibling of the owner, berlin. */
static struct drill *begun_at_sibling(enum drill_method method)
{
    struct status *s = two_members();
    struct drill *d = drill_new();

    s->vip[0].owned = false;
    s->vip[0].owner = 2;
    strcpy(d->vip, "main");
    d->vip_id = 7;
    d->repeat = 1;
    d->method = method;
    d->max_ms = 500;
    d->max_gap_ms = 400;
    d->max_lost = 40;
    assert_int_equal(drill_add_peers(d, s), 0);
    assert_string_equal(d->owner, "berlin");
    assert_int_equal(d->owner_id, 2);
    status_free(s);
    return d;
}

static void lost_member(struct drill *d, const char *number, int64_t ms)
{
    const struct drill_step *s = &d->step[d->step_count - 1];
    struct control_event e = {.real_ns = s->command_real_ns + (uint64_t)ms * NS_PER_MS,
                              .name = "member.lost",
                              .field_count = 1};

    strcpy(e.field[0].key, "member");
    strcpy(e.field[0].value, number);
    drill_event(d, &e);
}

TEST(a_crash_is_detected_before_the_vip_is_here)
{
    struct drill *d = begun_at_sibling(METHOD_KILL);
    const struct drill_step *s = &d->step[0];

    drill_begin(d, true, "berlin", NOW);
    lost_member(d, "3", 1); /* another one */
    lost_member(d, "2", 4);
    happens(d, "vip.owned", "main", -1, 280);
    happens(d, "session.adopted", "main", 0, 281);
    answers(d, 0, 100, 29, 300, 495, 0);
    drill_end(d, "m1", 300, NULL);
    assert_true(s->pass);
    assert_string_equal(drill_action(d, s), "kill");
    assert_int_equal(s->detect_ms, 4);
    assert_int_equal(s->owner_ms, 280);
    assert_int_equal(s->packet_ms, 295);
    assert_int_equal(s->gap_ms, 300);
    assert_int_equal(s->lost, 29);
    assert_int_equal(d->peer[0].step[0].gap_from_ms, -5);
    drill_begin(d, false, "m1", NOW);
    happens(d, "vip.claimed", "main", -1, 30);
    drill_end(d, "berlin", 300, NULL);
    assert_int_equal(d->step[1].owner_ms, 30);
    assert_false(d->step[1].has_packet);
    drill_free(d);
}

TEST(a_vip_that_came_back_by_itself_has_no_times_but_its_gaps_count)
{
    struct drill *d = begun_at_sibling(METHOD_KILL);

    drill_begin(d, false, "m1", NOW);
    d->step[0].returned = true;
    happens(d, "vip.claimed", "main", -1, 9000);
    happens(d, "session.yielded", "main", 0, 9001);
    answers(d, 0, 100, 3, 40, 9500, 0);
    drill_end(d, "berlin", 9100, NULL);
    assert_true(d->step[0].pass);
    assert_string_equal(drill_action(d, &d->step[0]), "returned");
    assert_false(d->step[0].has_owner || d->step[0].has_detect || d->step[0].has_first);
    assert_int_equal(d->step[0].lost, 3);
    assert_int_equal(d->step[0].sessions, 1);
    drill_free(d);
}

TEST(a_peer_that_waits_too_long_or_loses_too_much_fails_the_step)
{
    static const struct {
        uint32_t lost, gap_ms, silent_ms;
        const char *reason;
    } cases[] = {{40, 400, 300, ""},
                 {40, 401, 0, "a peer was without an answer for 401 ms, more than 400"},
                 {41, 400, 0, "41 questions to a peer had no answer, more than 40"},
                 {0, 10, 301, "1 peer did not answer any more"}};

    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct drill *d = begun_at_sibling(METHOD_STOP);

        drill_begin(d, true, "berlin", NOW);
        answers(d, 0, 100, cases[i].lost, cases[i].gap_ms, 500, cases[i].silent_ms);
        answers(d, 1, 0, 0, 0, 0, 2000); /* it never answers such questions */
        drill_end(d, "m1", 300, NULL);
        assert_string_equal(d->step[0].reason, cases[i].reason);
        assert_int_equal(d->step[0].asked, 1);
        drill_free(d);
    }
}

TEST(who_answers_no_more_has_waited_until_the_end)
{
    struct drill *d = begun_at_sibling(METHOD_STOP);

    drill_begin(d, true, "berlin", NOW);
    answers(d, 0, 50, 0, 10, 100, 1500);
    drill_end(d, "m1", 300, NULL);
    assert_int_equal(d->peer[0].step[0].gap_ms, 1500);
    assert_int_equal(d->peer[0].step[0].gap_from_ms, 0);
    assert_false(d->step[0].has_packet);
    drill_free(d);
}

TEST(traffic_tells_of_a_peer_that_is_not_asked)
{
    struct drill *d = begun_at_sibling(METHOD_KILL);
    struct status *s = two_members();

    s->peer[0].rx_bytes = 100;
    s->peer[1].rx_bytes = 0;
    drill_traffic(d, s, 0);
    drill_begin(d, true, "berlin", NOW);
    drill_traffic(d, s, 200);
    assert_false(d->peer[0].step[0].has_data);
    s->peer[1].rx_bytes = 60;
    drill_traffic(d, s, 310);
    s->peer[0].rx_bytes = s->peer[1].rx_bytes = 999;
    drill_traffic(d, s, 420);
    assert_int_equal(d->peer[0].step[0].data_ms, 420);
    assert_int_equal(d->peer[1].step[0].data_ms, 310);
    answers(d, 1, 90, 0, 10, 0, 0); /* it was never gone: its traffic tells nothing */
    drill_end(d, "m1", 200, NULL);
    assert_int_equal(d->step[0].packet_ms, 420);
    drill_begin(d, false, "m1", NOW); /* it goes away: not our traffic */
    drill_traffic(d, s, 10);
    drill_end(d, "berlin", 200, NULL);
    assert_false(d->step[1].has_packet);
    status_free(s);
    drill_free(d);
}

TEST(one_member_is_the_one_to_run_a_scheduled_drill)
{
    struct status *s = two_members();
    struct drill *d = begun();

    s->member_count = 3;
    s->member[2] =
        (struct status_member){.id = 3, .name = "paris", .link = "live", .in_sync = true};
    assert_false(drill_is_others(d, s)); /* the owner drains */
    d->method = METHOD_KILL;
    assert_true(drill_is_others(d, s));
    s->vip[0].owned = false;
    s->vip[0].owner = 2;
    assert_false(drill_is_others(d, s)); /* of 1 and 3 the first */
    s->id = 3;
    s->member[0].self = false;
    strcpy(s->member[0].link, "live");
    s->member[0].in_sync = s->member[2].self = true;
    assert_true(drill_is_others(d, s));
    s->member[0].in_sync = false; /* it could not take the VIP */
    assert_false(drill_is_others(d, s));
    status_free(s);
    drill_free(d);
}

TEST(the_owner_is_back_when_it_could_take_the_vip_again)
{
    struct drill *d = begun_at_sibling(METHOD_KILL);
    struct status *s = two_members();

    s->vip[0].owned = true;
    assert_true(drill_owner_back(d, s));
    strcpy(s->member[1].link, "loading");
    assert_false(drill_owner_back(d, s));
    drill_free(d);
    d = begun(); /* isolated, and the VIP is at berlin */
    d->method = METHOD_ISOLATE;
    strcpy(s->member[1].link, "live");
    s->vip[0].owned = false;
    s->vip[0].owner = 2;
    assert_false(drill_owner_back(d, s));
    s->fit = true;
    assert_true(drill_owner_back(d, s));
    status_free(s);
    drill_free(d);
}

static void objects(struct drill *d, const struct status *s, const char *word)
{
    char buf[DRILL_TEXT_MAX];
    const char *said = drill_objection(d, s, buf);

    if (!word ? said != NULL : !said || !strstr(said, word))
        fail_msg("not '%s': %s", word ? word : "nothing", said ? said : "nothing");
}

TEST(a_drill_is_refused_when_it_would_cost_somebody_something)
{
    struct status *s = two_members();
    struct drill *d = begun();

    objects(d, s, NULL);
    s->member[1].in_sync = false;
    objects(d, s, "no sibling in sync");
    d->forced = true;
    objects(d, s, NULL);
    d->forced = false;
    s->member[1].in_sync = s->member[1].drained = true;
    objects(d, s, "no sibling in sync");
    s->member[1].drained = false;
    strcpy(s->member[1].link, "loading");
    objects(d, s, "no sibling in sync");
    strcpy(s->member[1].link, "live");
    s->vip[0].drained = true;
    objects(d, s, "is drained here");
    s->vip[0].owned = false;
    s->vip[0].owner = 2;
    objects(d, s, "is at berlin");
    d->method = METHOD_KILL;
    objects(d, s, "is drained here");
    s->vip[0].drained = false;
    objects(d, s, NULL);
    s->member[1].in_sync = false;
    objects(d, s, "not in sync with the owner");
    s->vip[0].owner = 0;
    objects(d, s, "nobody has the VIP");
    s->vip[0].owned = true;
    objects(d, s, "on a sibling in sync (none is in sync now)");
    strcpy(d->vip, "none");
    objects(d, s, "no VIP 'none'");
    status_free(s);
    drill_free(d);
}

/* ---- the page ---- */

static bool is_void(const char *tag, size_t len)
{
    return len == 4 && memcmp(tag, "meta", 4) == 0;
}

/* Every tag is closed in its order, every value is quoted, every & begins an entity. */
static void check_page(const char *page)
{
    static const char *const entities[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
    const char *open[OPEN_MAX];
    size_t len[OPEN_MAX];
    unsigned depth = 0;

    assert_int_equal(strncmp(page, "<!DOCTYPE html>", 15), 0);
    for (const char *p = page + 15; *p; p++) {
        if (*p == '&') {
            bool known = false;

            for (unsigned i = 0; i < ARRAY_LEN(entities); i++)
                known |= strncmp(p, entities[i], strlen(entities[i])) == 0;
            assert_true(known);
        }
        if (*p != '<')
            continue;
        bool closes = p[1] == '/', quoted = false;
        const char *tag = p + 1 + closes, *end = tag;
        size_t n = strcspn(tag, " />");
        for (; *end && (quoted || *end != '>'); end++)
            quoted ^= *end == '"';
        assert_int_equal(*end, '>');
        if (closes) {
            assert_in_range(depth, 1, OPEN_MAX);
            depth--;
            assert_true(len[depth] == n && memcmp(open[depth], tag, n) == 0);
        } else if (end[-1] != '/' && !is_void(tag, n)) {
            assert_in_range(depth, 0, OPEN_MAX - 1);
            open[depth] = tag;
            len[depth++] = n;
        }
        p = end;
    }
    assert_int_equal(depth, 0);
}

TEST(the_page_is_well_formed_and_names_are_escaped)
{
    struct drill *d = good();
    char *page;

    strcpy(d->step[0].to, "<i>&");
    strcpy(d->cluster, "a\"b");
    page = page_of(d);
    check_page(page);
    assert_null(strstr(page, "<b>"));
    assert_null(strstr(page, "<i>"));
    assert_non_null(strstr(page, "&lt;b&gt;&quot;al&amp;ice&#39;&lt;/b&gt;"));
    assert_non_null(strstr(page, "<td>&lt;i&gt;&amp;</td>"));
    assert_non_null(strstr(page, "1 to &lt;i&gt;&amp;</text>"));
    assert_non_null(strstr(page, "a&quot;b"));
    free(page);
    drill_free(d);
}

TEST(the_page_needs_no_other_file_and_no_script)
{
    static const char *const outside[] = {"://",     "src=",    "href=", "url(",
                                          "@import", "<script", "<link"};
    struct drill *d = good();
    char *page = page_of(d);

    for (unsigned i = 0; i < ARRAY_LEN(outside); i++)
        assert_null(strstr(page, outside[i]));
    assert_non_null(strstr(page, "prefers-color-scheme:dark"));
    assert_non_null(strstr(page, "<svg "));
    free(page);
    drill_free(d);
}

static void cell(char *row, size_t room, const json_t *step, const char *key)
{
    const json_t *n = json_object_get(step, key);
    size_t len = strlen(row);

    if (n)
        snprintf(row + len, room - len, "<td class=\"n\" data-key=\"%s\">%lld</td>", key,
                 (long long)json_integer_value(n));
    else
        snprintf(row + len, room - len, "<td class=\"n\" data-key=\"%s\">-</td>", key);
}

TEST(the_page_has_the_numbers_of_the_json)
{
    static const char *const keys[] = {"detection_ms",    "owner_ms",     "first_session_ms",
                                       "first_packet_ms", "worst_gap_ms", "worst_lost",
                                       "sessions_moved",  "handshakes",   "refused"};
    struct drill *d = good();
    d->repeat = 2;
    drill_begin(d, true, "m1", NOW + 9 * NS_PER_S);
    happens(d, "session.yielded", "main", 1, 5);
    answers(d, 1, 90, 30, 310, 500, 0);
    drill_end(d, NULL, 12000, "the VIP did not arrive");
    char *page = page_of(d);
    const char *at = strstr(page, "<table id=\"steps\">");
    json_t *o = drill_json(d), *steps = json_object_get(o, "steps");

    check_page(page);
    assert_non_null(o);
    assert_int_equal(json_array_size(steps), 3);
    for (size_t i = 0; i < 3; i++) {
        const json_t *step = json_array_get(steps, i);
        char row[1024] = "";

        for (unsigned k = 0; k < ARRAY_LEN(keys); k++)
            cell(row, sizeof(row), step, keys[k]);
        strcat(row, json_is_true(json_object_get(step, "pass")) ? "<td class=\"pass\">pass</td>"
                                                                : "<td class=\"fail\">fail: ");
        at = strstr(at, row);
        if (!at)
            fail_msg("step %zu: no %s in:\n%s", i + 1, row, page);
    }
    assert_false(json_is_true(json_object_get(o, "pass")));
    assert_non_null(strstr(page, "<td>handshake 77 ms</td>"));
    assert_non_null(strstr(page, "<td>hot 5 ms, gap <b data-key=\"gap_ms\">310</b> ms, lost "
                                 "<b data-key=\"lost\">30</b></td>"));
    assert_non_null(strstr(page, "class=\"gap\""));
    json_decref(o);
    free(page);
    drill_free(d);
}

TEST(marks_of_the_drawing_stay_within_it)
{
    struct drill *d = good();
    char *page;

    d->peer[1].step[0] =
        (struct drill_cell){.how = DRILL_HANDSHAKE, .has_ms = true, .ms = 5000}; /* the longest */
    page = page_of(d);
    assert_non_null(strstr(page, "M810 "));
    assert_non_null(strstr(page, "class=\"limit\""));
    free(page);
    drill_free(d);
}

TEST_MAIN(T(a_vip_that_came_back_by_itself_has_no_times_but_its_gaps_count),
          T(a_crash_is_detected_before_the_vip_is_here),
          T(a_peer_that_waits_too_long_or_loses_too_much_fails_the_step),
          T(who_answers_no_more_has_waited_until_the_end),
          T(traffic_tells_of_a_peer_that_is_not_asked),
          T(one_member_is_the_one_to_run_a_scheduled_drill),
          T(the_owner_is_back_when_it_could_take_the_vip_again),
          T(a_planned_move_passes_and_tells_what_moved),
          T(a_drill_passes_only_when_complete_and_put_back),
          T(a_move_slower_than_the_threshold_does_not_pass),
          T(a_vip_that_does_not_arrive_has_no_time), T(without_an_event_the_status_tells_the_time),
          T(events_of_other_vips_and_the_other_direction_are_not_counted),
          T(a_refused_session_fails_the_step_unless_a_handshake_mends_it),
          T(a_rekey_after_a_session_moved_does_not_change_how_it_recovered),
          T(a_session_younger_than_the_step_is_a_handshake_at_the_sibling),
          T(a_drill_is_refused_when_it_would_cost_somebody_something),
          T(the_page_is_well_formed_and_names_are_escaped),
          T(the_page_needs_no_other_file_and_no_script), T(the_page_has_the_numbers_of_the_json),
          T(marks_of_the_drawing_stay_within_it))
