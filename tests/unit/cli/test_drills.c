/* drill as people and scripts see it: what it asks for, what it refuses, what it leaves behind. */
#include "base/clock.h"
#include "base/err.h"
#include "unit/cli/house.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define QUICK "drill --vip main --settle 0.1 "

TEST(a_drill_moves_the_vip_there_and_back_and_passes)
{
    struct house *h = *state;

    h->peers_vip = 1;
    expect(guardmount(h, "", QUICK), 0, "passed: VIP main, 2 steps");
    expect(guardmount(h, "", QUICK), 0, "The VIP is where it was.");
    assert_true(h->status->vip[0].owned);
    assert_int_equal(h->moved.kind, MOVE_UNDRAIN); /* put back whatever happened before */
    assert_int_equal(h->moved.vip, 1);
    assert_false(h->status->vip[1].owned);
}

TEST(a_step_is_a_line)
{
    struct house *h = *state;
    const char *text = guardmount(h, "", QUICK)->out, *heads = strstr(text, "  RESULT\n");

    assert_non_null(heads);
    const char *first = strstr(heads, "\n1 drain "), *second = strstr(heads, "\n2 promote ");
    assert_true(first && second);
    assert_memory_equal(second - 4, "pass", 4);
    assert_int_equal(strcspn(second + 1, "\n") - 4, heads + 2 - text); /* under its head */
}

TEST(the_json_tells_each_step_and_each_peer)
{
    struct house *h = *state;
    const char *to, *name, *how;
    int schema, pass, sessions;
    json_t *steps, *peers;

    h->peers_vip = 1;
    guardmount(h, "", QUICK); /* its events are not of the next drill */
    json_t *o = json_of(guardmount(h, "", "--json " QUICK "--repeat 2"));
    assert_int_equal(json_unpack(o, "{s:i, s:b, s:o, s:o}", "schema", &schema, "pass", &pass,
                                 "steps", &steps, "peers", &peers),
                     0);
    assert_int_equal(schema, 2);
    assert_true(pass);
    assert_int_equal(json_array_size(steps), 4);
    assert_int_equal(json_array_size(peers), 2);
    assert_int_equal(
        json_unpack(json_array_get(steps, 0), "{s:s, s:i}", "to", &to, "sessions_moved", &sessions),
        0);
    assert_string_equal(to, "berlin");
    assert_int_equal(sessions, 1);
    assert_int_equal(json_unpack(json_array_get(peers, 0), "{s:s, s:[{s:s}]}", "name", &name,
                                 "steps", "how", &how),
                     0);
    assert_string_equal(name, "caf\xc3\xa9");
    assert_string_equal(how, "hot");
    json_decref(o);
}

TEST(a_report_is_a_whole_page)
{
    struct house *h = *state;
    char command[160], page[65536];

    snprintf(command, sizeof(command), QUICK "--report %s/drill.html", h->dir);
    expect(guardmount(h, "", command), 0, "passed");
    snprintf(command, sizeof(command), "%s/drill.html", h->dir);
    FILE *f = fopen(command, "re");
    assert_non_null(f);
    page[fread(page, 1, sizeof(page) - 1, f)] = '\0';
    fclose(f);
    assert_non_null(strstr(page, "<!DOCTYPE html>"));
    assert_non_null(strstr(page, "</html>"));
    expect(guardmount(h, "", QUICK "--report /nowhere/drill.html"), 1, "/nowhere/drill.html: No");
}

TEST(nothing_moves_when_no_sibling_is_in_sync_unless_forced)
{
    struct house *h = *state;

    h->status->member[1].in_sync = false;
    h->moved.member = 9;
    expect(guardmount(h, "", QUICK), 1, "no sibling in sync could take the VIP main");
    assert_int_equal(h->moved.member, 9); /* nothing was asked for */
    expect(guardmount(h, "", QUICK "--force"), 0, "passed");
}

TEST(a_drill_of_a_vip_that_is_elsewhere_is_refused)
{
    struct house *h = *state;

    expect(guardmount(h, "", "drill --vip second"), 1, "is at berlin: run the drill there");
    expect(guardmount(h, "", "drill --vip none"), 1, "there is no VIP 'none'");
}

TEST(what_the_daemon_refuses_is_no_pass)
{
    struct house *h = *state;

    h->refuse = "not today";
    expect(guardmount(h, "", QUICK), 1, "the daemon refused: not today");
}

TEST(an_interrupted_drill_puts_the_vip_back)
{
    struct house *h = *state;

    expect(guardmount(h, "timeout --preserve-status -s INT 0.7", "drill --vip main --settle 30"), 1,
           "interrupted; the VIP is where it was");
    assert_true(h->status->vip[0].owned);
    assert_int_equal(h->moved.kind, MOVE_PROMOTE);
    assert_int_equal(h->moved.member, 1);
}

TEST(a_slow_move_is_exit_code_4)
{
    struct house *h = *state;

    h->lag_ms = 30;
    expect(guardmount(h, "", QUICK "--max-ms 29"), 4, "more than 29");
    expect(guardmount(h, "", QUICK "--max-ms 500"), 0, "passed");
}

TEST(wrong_use_of_a_drill_is_exit_code_2)
{
    struct house *h = *state;

    expect(guardmount(h, "", "drill"), 2, "drill needs a VIP");
    expect(guardmount(h, "", QUICK "--repeat 51"), 2, "--repeat takes 1 to 50");
    expect(guardmount(h, "", QUICK "--repeat 0"), 2, "--repeat takes 1 to 50");
    expect(guardmount(h, "", QUICK "--max-ms -5"), 2, "--max-ms takes 1 to 60000");
    expect(guardmount(h, "", QUICK "--method bribe"), 2, "methods are drain, stop, kill, freeze");
    expect(guardmount(h, "", QUICK "--hold 9"), 2, "--hold takes 0.5 to 8 seconds");
    expect(guardmount(h, "", QUICK "--settle 31"), 2, "--settle takes 0.1 to 30 seconds");
    expect(guardmount(h, "", QUICK "--max-gap 0"), 2, "--max-gap takes 1 to 60000");
    expect(guardmount(h, "", QUICK "--max-lost x"), 2, "--max-lost takes 1 to 100000");
    expect(guardmount(h, "", QUICK "--report"), 2, "--report needs the name of a file");
    expect(guardmount(h, "", QUICK "berlin"), 2, "unexpected 'berlin'");
}

static void give_vip_to_berlin(struct house *h)
{
    h->status->vip[0].owned = false;
    h->status->vip[0].owner = 2;
    h->peers_vip = 1;
}

TEST(a_fault_of_the_owner_is_drilled_from_a_sibling_and_the_vip_given_back)
{
    struct house *h = *state;

    expect(guardmount(h, "", QUICK "--method kill"), 1,
           "no member can watch its own daemon fail: run the drill on a sibling in sync (berlin)");
    give_vip_to_berlin(h);
    h->drill.every_ms = 1;
    uint64_t began_ns = clock_boot_ns();
    expect(guardmount(h, "", QUICK "--method freeze --hold 0.5"), 0, "1 freeze");
    /* It is let go after the half second, and not asked to take the VIP while it comes to itself.
     */
    assert_true(clock_boot_ns() - began_ns >= 1500 * NS_PER_MS);
    assert_int_equal(h->drilled.verb, DRILL_ASK); /* of the way back */
    assert_int_equal(h->moved.kind, MOVE_PROMOTE);
    assert_int_equal(h->moved.member, 2);
    assert_int_equal(h->moved.vip, 2); /* which went along */
    assert_true(!h->status->vip[0].owned && !h->status->vip[1].owned);
    expect(guardmount(h, "", QUICK "--method kill"), 0, "passed: VIP main, 2 steps");
    expect(guardmount(h, "", QUICK "--method isolate"), 1, "is at berlin: run the drill there");
}

TEST(a_fault_that_the_owner_refuses_is_no_pass)
{
    struct house *h = *state;

    give_vip_to_berlin(h);
    strcpy(h->drill.refused, "berlin");
    expect(guardmount(h, "", QUICK "--method stop"), 4, "berlin refuses: Faults in [Drill]");
    assert_int_equal(h->drilled.fault, DRILL_FAULT_STOP);
    assert_int_equal(h->status->vip[0].owner, 2);
}

TEST(thresholds_come_from_the_configuration_unless_they_are_given)
{
    struct house *h = *state;

    h->peers_vip = 1;
    h->drill.every_ms = 1;
    h->drill.peer_count = 1; /* the first peer */
    h->drill.peer[0] =
        (struct control_drill_peer){.answered = 50, .lost = 7, .gap_ms = 80, .gap_from_ms = 500};
    expect(guardmount(h, "", QUICK), 0, "passed");
    expect(guardmount(h, "", QUICK "--max-gap 79"), 4, "for 80 ms, more than 79");
    expect(guardmount(h, "", QUICK "--max-lost 6"), 4, "7 questions to a peer had no answer");
    h->drill.max_gap_ms = 70;
    expect(guardmount(h, "", QUICK), 4, "for 80 ms, more than 70");
    expect(guardmount(h, "", QUICK "--max-gap 80"), 0, "passed");
}

TEST(of_many_that_are_told_to_by_a_timer_one_runs_the_drill)
{
    struct house *h = *state;

    expect(guardmount(h, "", QUICK "--scheduled --method kill"), 0, "another member's");
    json_t *o = json_of(guardmount(h, "", "--json " QUICK "--scheduled --method kill"));
    assert_true(json_is_true(json_object_get(o, "skipped")));
    json_decref(o);
    expect(guardmount(h, "", QUICK "--scheduled --report /nowhere/x"), 1, "/nowhere/x");
    give_vip_to_berlin(h);
    expect(guardmount(h, "", QUICK "--scheduled --report /nowhere/x"), 0, "another member's");
    expect(guardmount(h, "", QUICK "--scheduled --method kill"), 0, "passed");
}

TEST(nothing_is_cut_off_by_what_is_no_name_of_an_interface)
{
    struct house *h = *state;

    if (geteuid() != 0)
        skip();
    strcpy(h->drill.interfaces, "eth0\" } drop");
    expect(guardmount(h, "", QUICK "--method isolate"), 1, "does not say which interfaces");
    *h->drill.interfaces = '\0';
    expect(guardmount(h, "", QUICK "--method isolate"), 1, "does not say which interfaces");
}

TEST_MAIN(TD(a_fault_of_the_owner_is_drilled_from_a_sibling_and_the_vip_given_back),
          TD(a_fault_that_the_owner_refuses_is_no_pass),
          TD(thresholds_come_from_the_configuration_unless_they_are_given),
          TD(of_many_that_are_told_to_by_a_timer_one_runs_the_drill),
          TD(nothing_is_cut_off_by_what_is_no_name_of_an_interface),
          TD(a_drill_moves_the_vip_there_and_back_and_passes), TD(a_step_is_a_line),
          TD(the_json_tells_each_step_and_each_peer), TD(a_report_is_a_whole_page),
          TD(nothing_moves_when_no_sibling_is_in_sync_unless_forced),
          TD(a_drill_of_a_vip_that_is_elsewhere_is_refused), TD(what_the_daemon_refuses_is_no_pass),
          TD(an_interrupted_drill_puts_the_vip_back), TD(a_slow_move_is_exit_code_4),
          TD(wrong_use_of_a_drill_is_exit_code_2))
