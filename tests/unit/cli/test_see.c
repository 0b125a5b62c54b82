/* events and why, as people and scripts see them. */
#include "base/clock.h"
#include "base/err.h"
#include "unit/cli/house.h"
#include <stdio.h>
#include <string.h>

#define T0 1789000000123000000ull /* 2026-09-10T00:26:40.123Z */

static void happened(struct house *h, enum notice_kind kind, uint64_t real_ns)
{
    struct notice n = {.kind = kind, .real_ns = real_ns, .member = 2, .number = 7};

    n.peer.b[0] = 1;
    endpoint_parse("192.0.2.1:5", &n.endpoint);
    n.reason = kind == NOTICE_HANDSHAKE_REFUSED ? REASON_STALE_STAMP : REASON_NONE;
    journal_add(h->journal, &n);
}

TEST(events_are_lines_with_stable_names)
{
    struct house *h = *state;

    assert_string_equal(guardmount(h, "", "events")->out, "");
    happened(h, NOTICE_VIP_OWNED, T0);
    happened(h, NOTICE_HANDSHAKE_REFUSED, T0 + NS_PER_S);
    const struct child *c = guardmount(h, "", "events");
    assert_int_equal(c->status, 0);
    assert_string_equal(
        c->out,
        "2026-09-10T00:26:40.123Z       1  vip.owned             VIP is ours: vip=main epoch=7\n"
        "2026-09-10T00:26:41.123Z       2  handshake.refused     handshake refused: "
        "peer=AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= vip=main endpoint=192.0.2.1:5 "
        "reason=stale-stamp count=7\n");
    assert_null(strstr(guardmount(h, "", "events --since 1")->out, "vip.owned"));
    expect(guardmount(h, "", "events --since=1"), 0, "handshake.refused");
    assert_string_equal(guardmount(h, "", "events --since 2")->out, "");
}

TEST(events_are_json_lines_with_numbers_as_numbers)
{
    struct house *h = *state;
    const char *time, *event, *vip;
    int schema, serial, epoch;

    happened(h, NOTICE_VIP_OWNED, T0);
    json_t *o = json_of(guardmount(h, "", "events --json"));
    assert_int_equal(json_unpack(o, "{s:i, s:i, s:s, s:s, s:s, s:i}", "schema", &schema, "serial",
                                 &serial, "time", &time, "event", &event, "vip", &vip, "epoch",
                                 &epoch),
                     0);
    assert_true(schema == 1 && serial == 1 && epoch == 7);
    assert_string_equal(time, "2026-09-10T00:26:40.123Z");
    assert_string_equal(event, "vip.owned");
    json_decref(o);
}

/* Texts come from a daemon of whatever build. */
TEST(no_text_breaks_out_of_its_json)
{
    static const char hostile[] = "a\"b\\c\td\n{\x01", shown[] = "a\"b\\c?d?{?";
    struct house *h = *state;
    const char *text;

    h->vip_name = hostile;
    happened(h, NOTICE_VIP_OWNED, T0);
    json_t *o = json_of(guardmount(h, "", "events --json"));
    assert_int_equal(json_unpack(o, "{s:s}", "vip", &text), 0);
    assert_string_equal(text, shown);
    json_decref(o);

    strcpy(h->why.name, "alice");
    strcpy(h->why.state, "active");
    strcpy(h->why.allowed, hostile);
    o = json_of(guardmount(h, "", "why alice --json"));
    assert_int_equal(json_unpack(o, "{s:{s:s}}", "facts", "allowed_ips", &text), 0);
    assert_string_equal(text, shown);
    json_decref(o);
}

TEST(events_can_be_asked_for_by_age)
{
    struct house *h = *state;

    happened(h, NOTICE_VIP_OWNED, clock_real_ns() - 7200 * NS_PER_S);
    happened(h, NOTICE_MEMBER_LOST, clock_real_ns());
    const struct child *c = guardmount(h, "", "events --since 1h");
    expect(c, 0, "member.lost");
    assert_null(strstr(c->out, "vip.owned"));
    expect(guardmount(h, "", "events --since 3h"), 0, "vip.owned");
    expect(guardmount(h, "", "events --since 99999999d"), 0, "vip.owned");
}

TEST(a_full_journal_is_read_in_pieces_and_says_what_it_lost)
{
    struct house *h = *state;

    for (unsigned i = 0; i < JOURNAL_MAX + 10; i++)
        happened(h, NOTICE_MEMBER_LOST, T0);
    const struct child *c = guardmount(h, "", "events | wc -l");
    char lines[16];
    snprintf(lines, sizeof(lines), "%u\n", JOURNAL_MAX);
    assert_string_equal(c->out, lines);
    expect(guardmount(h, "", "events --since 4 | head -1"), 0, "... 6 older events are gone");
    expect(guardmount(h, "", "events --since 4 --json | head -1"), 0,
           "{\"schema\":1,\"missed\":6}");
    /* A number of the daemon's life before this one reads from the beginning. */
    expect(guardmount(h, "", "events --since 999999999 | sed -n 2p"), 0, "    11  member.lost");
}

static void on_later(uv_timer_t *t)
{
    happened(t->data, NOTICE_MEMBER_CONNECTED, T0);
}

TEST(following_shows_what_happens_later)
{
    struct house *h = *state;
    uv_timer_t later;

    happened(h, NOTICE_MEMBER_LOST, T0);
    uv_timer_init(&h->loop, &later);
    later.data = h;
    uv_timer_start(&later, on_later, 300, 0);
    uint64_t begun = clock_boot_ns();
    const struct child *c = guardmount(h, "", "events -f | head -2");
    expect(c, 0, "member.lost");
    expect(c, 0, "member.connected");
    assert_in_range((clock_boot_ns() - begun) / NS_PER_MS, 290, 8000);
    uv_close((uv_handle_t *)&later, NULL);
    uv_run(&h->loop, UV_RUN_NOWAIT);
}

TEST(why_is_one_screen)
{
    struct house *h = *state;
    const char *verdict, *reason;
    int up, count;

    h->why = (struct control_why){
        .hub = 1, .owner = 1, .served = true, .vip_owned = true, .fit = true, .now_real_ns = T0};
    strcpy(h->why.name, "alice");
    strcpy(h->why.state, "active");
    strcpy(h->why.vip, "main");
    strcpy(h->why.vip_state, "active");
    strcpy(h->why.owner_name, "m1");
    strcpy(h->why.allowed, "10.77.0.2/32");
    h->why.handshake_real_ns = T0 - 3600 * NS_PER_S;
    h->why.rx_bytes = 1024;
    h->why.refused = (struct control_fact){.real_ns = T0 - 12 * NS_PER_S, .count = 5};
    strcpy(h->why.refused.reason, "stale-stamp");
    strcpy(h->why.refused.endpoint, "192.0.2.1:5");
    const struct child *c = guardmount(h, "", "why alice");
    assert_int_equal(c->status, 4);
    assert_string_equal(
        c->out,
        "alice AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= is down: its last handshake was "
        "refused 12 s ago from 192.0.2.1:5: the timestamp is not later than the last one that was "
        "accepted\n"
        "  what to do: a copy of an old packet; or the peer's clock went back: set it, or give the "
        "peer a new key\n"
        "\n"
        "  record          active\n"
        "  VIP             main, active here, owner m1\n"
        "  endpoint        not known\n"
        "  last handshake  1 h 0 min ago\n"
        "  traffic         1.0 KiB received, 0 B sent\n"
        "  AllowedIPs      10.77.0.2/32\n"
        "  refused         12 s ago, 192.0.2.1:5, stale-stamp (5 times)\n");
    h->why.vip_owned = false;
    h->why.owner = 2;
    strcpy(h->why.owner_name, "berlin");
    expect(guardmount(h, "", "why alice"), 4,
           " is another member's: its VIP main is served by berlin, not by this member");
    h->why.vip_owned = true;
    json_t *o = json_of(guardmount(h, "", "why alice --json"));
    assert_int_equal(json_unpack(o, "{s:s, s:b, s:{s:{s:s, s:i}}}", "verdict", &verdict, "up", &up,
                                 "facts", "refused", "reason", &reason, "count", &count),
                     0);
    assert_string_equal(verdict, "stale-stamp");
    assert_string_equal(reason, "stale-stamp");
    assert_true(!up && count == 5);
    json_decref(o);

    h->why.has_session = true;
    h->why.session = (struct status_session){.slot = "current", .owned = true, .age_ms = 61000};
    h->why.data_ms = 5000;
    expect(guardmount(h, "NO_COLOR=", "--color=always why alice"), 0, "\033[32mup\033[0m");
    expect(guardmount(h, "", "why alice"), 0, "session         1 min 1 s old, ours, data 5 s ago");
    expect(guardmount(h, "", "why bob"), 1, "no peer is called 'bob'");
}

TEST(monitors_get_one_line_and_their_exit_codes)
{
    struct house *h = *state;

    h->status->hub[0].has_peers_with_session = true;
    h->status->hub[0].peers_with_session = 1;
    const struct child *c = guardmount(h, "", "health --nagios");
    assert_int_equal(c->status, 0);
    assert_string_equal(c->out,
                        "GUARDMOUNT OK - m1 is master | vips=1 peers=2 connected=1 sessions=5\n");
    strcpy(h->status->member[1].link, "down");
    expect(guardmount(h, "", "health --nagios"), 1,
           "GUARDMOUNT WARNING - the link to berlin is down |");
    h->status->vip[1].owner = 0;
    expect(guardmount(h, "", "health --nagios"), 2,
           "GUARDMOUNT CRITICAL - the link to berlin is down; nobody is known to own the VIP "
           "second |");
    expect(child_run(&h->loop, GUARDMOUNT " -s /nonexistent/s health --nagios"), 2,
           "GUARDMOUNT CRITICAL - no daemon answers");
    expect(child_run(&h->loop, GUARDMOUNT " -c /nonexistent/c health --nagios"), 3,
           "GUARDMOUNT UNKNOWN - /nonexistent/c: No such file");
    json_t *o = json_of(guardmount(h, "", "health --json"));
    int critical;
    assert_int_equal(json_unpack(o, "{s:b}", "critical", &critical), 0);
    assert_true(critical);
    json_decref(o);
}

TEST(status_can_be_watched)
{
    struct house *h = *state;

    expect(guardmount(h, "", "status --watch=0.1 | grep -m3 -c ^m1:"), 0, "3\n");
    /* As JSON, an object a line. */
    expect(guardmount(h, "", "status --json --watch=0.1 | head -3 | grep -c '^{.*}$'"), 0, "3\n");
    if (system("command -v script >/dev/null") != 0)
        skip();
    char command[512];
    snprintf(command, sizeof(command),
             "TERM=xterm timeout 1 script -qec '%s -s %s status --watch=0.3' /dev/null </dev/null",
             GUARDMOUNT, h->path);
    const struct child *c = child_run(&h->loop, command);
    const char *second = strstr(c->out + 1, "\033[H\033[2J");
    assert_non_null(second); /* drawn again, in its place */
    assert_non_null(strstr(second, "berlin"));
}

static int never(void *ctx, const struct control_request *r, struct control_why *ret,
                 char message[CONTROL_MESSAGE_LEN])
{
    return -ENOENT;
}

/* The counters of one peer rise by 1 MiB at each look. */
static void busier(void *ctx, const struct control_request *r, struct status *s)
{
    static uint64_t looks;
    struct house *h = ctx;
    struct status_peer *p;

    *s = *h->status;
    looks++;
    for (unsigned i = 0; r->peers && i < 2; i++) {
        p = status_add_peer(s);
        p->hub = 1;
        p->public_key.b[0] = (uint8_t)i;
        strcpy(p->name, i ? "busy" : "quiet");
        p->rx_bytes = i ? looks << 20 : 5;
    }
}

TEST(top_shows_rates_once_or_full_screen)
{
    struct house *h = *state;
    struct server_ops ops = {.ctx = h, .status = busier, .why = never};
    char command[512];
    const char *name;
    json_int_t rate;

    server_free(h->server);
    assert_int_equal(server_new(&h->loop, h->path, &ops, &h->server), 0);
    const struct child *c = guardmount(h, "", "top --once -d 0.2");
    expect(c, 0, "PEER ");
    assert_true(strstr(c->out, "\nbusy ") < strstr(c->out, "\nquiet "));
    assert_non_null(strstr(c->out, "MiB/s"));
    json_t *o = json_of(guardmount(h, "", "top --once -d 0.2 --json"));
    assert_int_equal(
        json_unpack(o, "{s:[{s:s, s:I}]}", "peers", "name", &name, "rx_bytes_per_s", &rate), 0);
    assert_string_equal(name, "busy");
    assert_in_range(rate, (1 << 20) / 2, (1 << 20) * 5); /* at 0.2 s, or later */
    json_decref(o);

    expect(guardmount(h, "", "top </dev/null"), 1, "top needs a terminal");
    if (system("command -v script >/dev/null") != 0)
        skip();
    snprintf(
        command, sizeof(command),
        "(sleep 1; echo nq) | TERM=%s script -qec 'stty rows 24 cols 100; %s -s %s top -d 0.2' "
        "/dev/null",
        "xterm", GUARDMOUNT, h->path);
    c = child_run(&h->loop, command);
    expect(c, 0, "busy");
    expect(c, 0, "MiB/s");
    expect(c, 0, "by sum");
    snprintf(command, sizeof(command),
             "TERM=nonsense script -qec '%s -s %s top' /dev/null </dev/null", GUARDMOUNT, h->path);
    expect(child_run(&h->loop, command), 1, "TERM=nonsense");
}

TEST(wrong_use_is_exit_code_2)
{
    static const struct {
        const char *arguments, *word;
    } wrong[] = {
        {"events --since", "not ''"},
        {"events --since x", "such as 10m"},
        {"events --since 5w", "not '5w'"},
        {"events --since -5", "not '-5'"},
        {"events --since 99999999999999999999999", "not '9999"},
        {"events -x", "unexpected '-x'"},
        {"why", "takes one peer"},
        {"doctor x", "unexpected 'x'"},
        {"status --watch=0", "0.1 to 3600"},
        {"status --watch=x", "not 'x'"},
        {"status --watch=1e9", "not '1e9'"},
        {"health --nagios -q", "leave out"},
        {"health --nagios --json", "leave out"},
        {"top --by size", "not 'size'"},
        {"top -d 0", "0.1 to 3600"},
        {"top -d", "not ''"},
        {"top --json", "JSON is for --once"},
        {"top x", "unexpected 'x'"},
        {"doctor --keepalived", "needs a file"},
        {"why a b", "takes one peer"},
        {"why --all", "takes one peer"},
        {"why ''", "is no name or key"},
        {"why 0123456789012345678901234567890123456789012345678901234567890123456789",
         "is no name or key"},
    };
    struct house *h = *state;

    for (unsigned i = 0; i < ARRAY_LEN(wrong); i++)
        expect(guardmount(h, "", wrong[i].arguments), 2, wrong[i].word);
}

TEST_MAIN(TD(events_are_lines_with_stable_names), TD(events_are_json_lines_with_numbers_as_numbers),
          TD(no_text_breaks_out_of_its_json), TD(events_can_be_asked_for_by_age),
          TD(a_full_journal_is_read_in_pieces_and_says_what_it_lost),
          TD(following_shows_what_happens_later), TD(why_is_one_screen),
          TD(monitors_get_one_line_and_their_exit_codes), TD(status_can_be_watched),
          TD(top_shows_rates_once_or_full_screen), TD(wrong_use_is_exit_code_2))
