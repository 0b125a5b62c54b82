/* guardmount audit as people and scripts see it: entries, an export, and a verdict on the chain. */
#include "base/err.h"
#include "lib/test.h"
#include "unit/cli/desk.h"
#include <stdio.h>
#include <string.h>

#define ENTRIES (CONTROL_AUDIT_MAX + 100u) /* more than one answer */

struct house {
    struct desk desk;
    struct audit_entry entry[ENTRIES];
    unsigned first, count; /* of them, as they are there */
};

static void on_command(void *ctx, const struct control_request *r, struct server_call *call)
{
    struct house *h = ctx;
    struct control_reply reply = {.audit = calloc(1, sizeof(*reply.audit))};

    assert_int_equal(r->kind, CONTROL_AUDIT);
    for (unsigned i = h->first; i < h->count && reply.audit->count < CONTROL_AUDIT_MAX; i++)
        if (h->entry[i].serial > r->after)
            reply.audit->entry[reply.audit->count++] = h->entry[i];
    reply.audit->last = h->count ? h->entry[h->count - 1].serial : 0;
    server_reply(call, &reply);
}

static int setup(void **state)
{
    struct house *h = desk_new(sizeof(*h), on_command);
    uint8_t before[AUDIT_HASH_LEN] = {0};

    for (; h->count < ENTRIES; h->count++) {
        struct audit_entry *e = &h->entry[h->count];

        e->serial = h->count + 1;
        snprintf(e->text, sizeof(e->text), "did=peer.add name=p%u.", h->count + 1);
        audit_seal(e, before);
        memcpy(before, e->hash, sizeof(before));
    }
    *state = h;
    return 0;
}

static void expect_not(const struct child *c, const char *word)
{
    assert_int_equal(c->status, 0);
    assert_null(strstr(c->out, word));
}

TEST(list_shows_the_last_entries_or_those_of_a_peer)
{
    struct house *h = *state;

    expect(run(h, "audit list"), 0, "1124  did=peer.add name=p1124.");
    expect(run(h, "audit list"), 0, "1075  did=");
    expect_not(run(h, "audit list"), "1074  did=");
    expect_not(run(h, "audit list -n 1"), "1123  did=");
    expect(run(h, "audit list --all --peer p3."), 0, "     3  did=peer.add name=p3.");
    expect_not(run(h, "audit list --all --peer p3."), "p33.");
    expect(run(h, "-j audit list -n 1"), 0,
           "{\"schema\":1,\"serial\":1124,\"text\":\"did=peer.add name=p1124.\",\"hash\":\"");
}

TEST(log_that_nobody_touched_is_whole_here_and_as_an_export)
{
    struct house *h = *state;

    expect(run(h, "audit verify"), 0, "entries 1 to 1124 are as they were written");
    expect(run(h, "audit export >log && wc -l <log"), 0, "1124");
    h->count = 0; /* the file alone counts */
    expect(run(h, "audit verify log"), 0, "entries 1 to 1124 are as they were written");
    expect(run(h, "audit verify"), 0, "the log is empty");
}

TEST(whatever_was_done_to_it_is_named)
{
    struct house *h = *state;
    struct audit_entry kept = h->entry[4];

    h->entry[4].text[0] = 'D';
    expect(run(h, "audit verify"), 1, "tampered with: entry 5, or the one before it");
    expect(run(h, "-j audit verify"), 1, "\"intact\": false");
    h->entry[4] = kept;
    memset(h->entry[4].hash, 0, sizeof(h->entry[4].hash));
    expect(run(h, "audit verify"), 1, "entry 5, or the one before it");
    h->entry[4] = h->entry[5];
    expect(run(h, "audit verify"), 1, "entry 4 is followed by 6");
    h->entry[4] = kept;
    run(h, "audit export >log");
    expect(run(h, "--help >/dev/null; sed -i s/p5/q5/ log"), 0, "");
    expect(run(h, "audit verify log"), 1, "entry 5, or");
}

TEST(end_that_was_cut_off_shows_against_what_was_noted)
{
    struct house *h = *state;
    char noted[256];
    const struct child *c = run(h, "audit verify");
    const char *at = strstr(c->out, "--expect ");

    assert_non_null(at);
    snprintf(noted, sizeof(noted), "audit verify %.*s", (int)strcspn(at, "\n"), at);
    expect(run(h, noted), 0, "as they were written");
    h->count -= 10;
    expect(run(h, "audit verify"), 0, "entries 1 to 1114");
    expect(run(h, noted), 1, "the log ends with entry 1114; 1124 was noted");
    h->count += 10;
    h->first = 100; /* old ones have been dropped in order */
    expect(run(h, noted), 0, "entries 101 to 1124");
    h->entry[ENTRIES - 1].text[0] = 'D';
    audit_seal(&h->entry[ENTRIES - 1], h->entry[ENTRIES - 2].hash);
    expect(run(h, noted), 1, "entry 1124 is not the one that was noted");
}

TEST(wrong_use_is_refused)
{
    static const struct desk_use wrong[] = {
        {"audit", 2, "say list, export or verify"},
        {"audit frob", 2, "say list, export or verify"},
        {"audit list x", 2, "unexpected 'x'"},
        {"audit verify a b", 2, "unexpected 'b'"},
        {"audit list -n 0", 2, "-n takes a number"},
        {"audit list -n x", 2, "-n takes a number"},
        {"audit verify --expect 12", 2, "--expect takes NUMBER:HASH"},
        {"audit verify --expect 12:zz", 2, "--expect takes NUMBER:HASH"},
        {"audit verify nothing", 1, "nothing: No such file"},
        {"audit --help", 0, "Example:\n  guardmount audit list --peer alice"},
    };
    struct house *h = *state;

    expect_each(h, wrong, ARRAY_LEN(wrong));
    expect(run(h, "--version && echo '{\"serial\":1}' >odd"), 0, "");
    expect(run(h, "audit verify odd"), 1, "odd: entry 1 is none of");
}

#define TH(name) TS(name, setup, desk_teardown)

TEST_MAIN(TH(list_shows_the_last_entries_or_those_of_a_peer),
          TH(log_that_nobody_touched_is_whole_here_and_as_an_export),
          TH(whatever_was_done_to_it_is_named),
          TH(end_that_was_cut_off_shows_against_what_was_noted), TH(wrong_use_is_refused))
