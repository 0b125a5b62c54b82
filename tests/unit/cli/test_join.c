/* cluster invite and join: two machines, which are two folders and two addresses of the loopback.
 */
#include "base/err.h"
#include "lib/test.h"
#include "unit/control/child.h"
#include <stdio.h>
#include <string.h>
#include <uv.h>

/* a and b are the machines. invite leaves the token in $T and waits as process $P. */
#define WORDS                                                                                      \
    "G=" GUARDMOUNT "; A=127.%u.%u.1; B=127.%u.%u.2; on_a='-c a/conf --keepalived a/keepalived'\n" \
    "init() { $G cluster init --install $on_a --name office --member berlin=$A "                   \
    "  --hub-address 10.77.0.1/16 --outer '203.0.113.100/24 dev '${IF:-lo} >/dev/null; }\n"        \
    "invite() { rm -f invited; $G cluster invite $on_a --member paris=$B \"$@\" >invited 2>&1 & "  \
    "P=$!\n"                                                                                       \
    "  until grep -qs gm1_ invited; do kill -0 $P || { cat invited; exit 99; }; sleep 0.01; "      \
    "done\n"                                                                                       \
    "  T=$(grep -o 'gm1_[A-Za-z0-9_-]*' invited); }\n"                                             \
    "join() { $G cluster join -c b/conf --keepalived b/keepalived \"$@\"; }\n"                     \
    "ended() { wait $P; E=$?; cat invited; return $E; }\n"                                         \
    "cd %s; mkdir a b; trap 'r=$?; kill $P 2>/dev/null; rm -rf a b invited; exit $r' EXIT\n"

struct desk {
    uv_loop_t loop;
    char dir[64];
};

static void expect(void **state, const char *script, int status, const char *word)
{
    struct desk *k = *state;
    unsigned x = 1 + (unsigned)getpid() / 250 % 250, y = 1 + (unsigned)getpid() % 250;
    char text[8192];
    const struct child *c;
    int len = snprintf(text, sizeof(text), WORDS, x, y, x, y, k->dir);

    assert_true(snprintf(text + len, sizeof(text) - (size_t)len, "%s", script) <
                (int)sizeof(text) - len);
    c = child_run(&k->loop, text);
    if (c->status != status || !strstr(c->out, word))
        fail_msg("status %lld, not %d; no '%s' in\n%s", (long long)c->status, status, word, c->out);
}

static int setup(void **state)
{
    struct desk *k = calloc(1, sizeof(*k));

    strcpy(k->dir, "/tmp/gm-join-XXXXXX");
    assert_non_null(mkdtemp(k->dir));
    assert_int_equal(uv_loop_init(&k->loop), 0);
    *state = k;
    return 0;
}

static int teardown(void **state)
{
    struct desk *k = *state;

    assert_int_equal(rmdir(k->dir), 0);
    assert_int_equal(uv_loop_close(&k->loop), 0);
    free(k);
    return 0;
}

TEST(a_machine_joins_with_a_token)
{
    expect(state,
           "init && invite && join $T && ended && "
           "for m in a b; do $G check-config $m/conf && "
           "  $G ha render -c $m/conf | cmp - $m/keepalived || exit 9; done\n"
           "stat -c %a a/conf b/conf a/keepalived b/keepalived | tr '\\n' ' '\n"
           "diff a/conf b/conf | grep -o '^[<>] [A-Za-z]* =' | sort | tr '\\n' ';'",
           0, "600 600 644 644 < Id =;< SyncPrivateKey =;> Id =;> SyncPrivateKey =;");
    expect(state, "init && invite && join $T && ended", 0,
           "systemctl reload-or-restart guardmountd");
    expect(state,
           "init && sed -i '/^SyncAddress/aOuterAddress = 203.0.113.1' a/conf && echo "
           "'[Keepalived]\nMode = unicast' >>a/conf && $G ha render -c a/conf -o a/keepalived && "
           "invite --outer-address 203.0.113.2 && join $T && ended && "
           "grep -q 203.0.113.2 a/keepalived",
           0, "guardmount drain && systemctl restart keepalived && guardmount undrain");
    expect(state, "init && invite && echo $T | join - && ended", 0, "paris has joined as member 2");
    expect(state, "init && invite -j && join -j $T && ended", 0,
           "{\"schema\":1,\"joined\":\"paris\"");
}

TEST(a_token_is_good_once)
{
    expect(state, "init && invite && join $T && ended && rm b/conf && join $T", 1,
           "the token was used already");
    expect(state, "init && invite && kill $P && wait $P; join $T", 1,
           "or the invitation was withdrawn");
    expect(state, "init && invite --within 100ms; ended", 1, "has ended, and paris did not come");
}

TEST(a_token_of_another_invitation_opens_nothing_and_closes_nothing)
{
    expect(state,
           "init && invite && O=$T && kill $P; wait $P; invite; join $O; [ $? = 1 -a ! -e b/conf ] "
           "&& join $T && ended",
           0, "did not prove that it made this token");
    expect(
        state,
        "init && invite && O=$T && kill $P; wait $P; invite; join $O 2>/dev/null; join $T && ended",
        0, "somebody at the address of paris did not prove the token");
}

TEST(strangers_are_not_listened_to)
{
    expect(state,
           "init && invite && bash -c \"exec 3<>/dev/tcp/$A/51901; cat <&3; echo closed\" && "
           "join $T && ended && ! grep somebody invited",
           0, "closed");
    /* Whoever has the address and says nothing, or nonsense, is not waited for long. */
    expect(state,
           "init && invite && bash -c 'exec 3<>/dev/tcp/'$A'/51901; head -c 500 /dev/zero >&3' ; "
           "join $T && ended",
           0, "has joined");
}

TEST(a_machine_that_cannot_be_the_member_says_so_to_both)
{
    expect(state,
           "IF=nosuch0; init && cp a/conf was && invite && join $T; r=$?; ended; e=$?; "
           "cmp a/conf was && rm was && [ ! -e b/conf ] && exit $r$e",
           11, "paris cannot use it: it has no interface nosuch0; join with --dev nosuch0=NAME");
    expect(state,
           "IF=nosuch0; init && invite && join --dev eth9=x,nosuch0=lo $T && ended && grep ^Outer "
           "b/conf",
           0, "Outer = 203.0.113.100/24 dev lo");
    expect(state, "init && invite --member x=192.0.2.77 2>&1", 99, "--member is given twice");
    expect(state, "init && sed -i s/$B/192.0.2.77/ a/conf; B=192.0.2.77; invite && join $T", 1,
           "the invitation is for the machine with this address");
}

TEST(what_belongs_to_somebody_is_left_alone)
{
    expect(state, "echo mine >b/conf; init && invite && join $T; r=$?; cat b/conf; exit $r", 1,
           "a member already");
    expect(state, "echo mine >a/conf; init; r=$?; cat a/conf; exit $r", 1, "File exists");
    expect(state,
           "echo '# my own' >b/keepalived; init && invite && join $T && cat b/keepalived && "
           "$G ha render -c b/conf | cmp - b/conf.d/guardmount.conf",
           0, "includer b/conf.d/guardmount.conf");
    expect(state,
           "init && chmod 640 a/conf && chgrp 12345 a/conf; chmod 600 a/conf; invite && join "
           "$T && ended >/dev/null && stat -c %a a/conf",
           0, "600");
}

TEST(what_cannot_work_is_told_before_anybody_waits)
{
    expect(state, "init && $G cluster invite $on_a --member berlin=$B", 1,
           "nothing was changed: a/conf:");
    expect(state, "init && $G cluster invite $on_a --member paris=$A", 1,
           "SyncAddress is [Member berlin]'s already");
    expect(state, "init && $G cluster invite $on_a --member paris=$B --id 1", 1, "Id = 1 is");
    expect(state,
           "init && sed -i '/^SyncAddress/aOuterAddress = 203.0.113.1' a/conf && "
           "echo '[Keepalived]\nMode = unicast' >>a/conf; $G cluster invite $on_a "
           "--member paris=$B",
           1, "needs OuterAddress in [Member paris]");
    expect(state, "init && invite && $G cluster invite $on_a --member rome=127.0.0.9", 1,
           "is another invitation open?");
    expect(state, "$G cluster invite $on_a --member paris=$B", 1, "a/conf: No such file");
}

TEST(members_are_admitted_and_removed_by_name)
{
    expect(state,
           "init && cp a/conf was && invite && join $T && ended >/dev/null && cp a/conf with && "
           "K=$(sed -n 's/^SyncPublicKey = //p' a/conf | tail -n 1) && "
           "$G cluster remove $on_a PARIS | grep 'systemctl restart' && cmp a/conf was && $G "
           "cluster admit $on_a --member "
           "paris=$B --id 2 --key $K && cmp a/conf with && rm was with",
           0, "paris admitted");
    expect(state, "init && $G cluster remove $on_a berlin", 1, "is this machine");
    expect(state, "init && $G cluster remove $on_a rome", 1, "there is no [Member rome]");
    expect(state, "init && $G cluster admit $on_a --member paris=$B --id 2 --key x", 2,
           "expected a SyncPublicKey");
    expect(state, "init && invite && join $T && ended && $G cluster members -c a/conf", 0,
           "stopped");
    expect(state, "init && $G cluster status -c a/conf", 4, "no guardmountd answers here");
    expect(state, "init && $G cluster status -j -c a/conf", 4,
           "\"healthy\":false,\"count\":1,\"good\":0");
}

TEST(wrong_words_are_refused)
{
    static const struct {
        const char *arguments, *word;
    } wrong[] = {
        {"join", "TOKEN is missing"},
        {"join gm1_x", "no whole token"},
        {"join gm9_x", "another version"},
        {"join gm1_x gm1_y", "unexpected 'gm1_y'"},
        {"join --dev eth0 gm1_x", "expected THERE=HERE"},
        {"join - </dev/null", "no token on standard input"},
        {"invite frob", "unexpected 'frob'"},
        {"invite --member", "--member needs a value"},
        {"admit", "--id and --key are missing"},
        {"remove", "NAME is missing"},
        {"members --all", "unexpected '--all'"},
        {"init --install --name x --outer '192.0.2.1/24 dev e' --hub-address 10.0.0.1/8",
         "--install takes one --member"},
        {"init --keepalived", "--keepalived needs a file"},
    };
    char script[256];

    for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
        snprintf(script, sizeof(script), "$G cluster %s", wrong[i].arguments);
        expect(state, script, 2, wrong[i].word);
    }
    expect(state, "init && $G cluster invite $on_a", 2, "--member NAME=ADDRESS is missing");
    expect(state, "init && $G cluster invite $on_a --member paris=$B --within 25h", 2,
           "--within: exp");
}

#define TD(name) TS(name, setup, teardown)
TEST_MAIN(TD(a_machine_joins_with_a_token), TD(a_token_is_good_once),
          TD(a_token_of_another_invitation_opens_nothing_and_closes_nothing),
          TD(strangers_are_not_listened_to),
          TD(a_machine_that_cannot_be_the_member_says_so_to_both),
          TD(what_belongs_to_somebody_is_left_alone),
          TD(what_cannot_work_is_told_before_anybody_waits),
          TD(members_are_admitted_and_removed_by_name), TD(wrong_words_are_refused))
