/* guardmount apply as people and scripts see it: a file says how peers and groups are to be. */
#include "base/bytes.h"
#include "base/err.h"
#include "base/secret.h"
#include "lib/test.h"
#include "unit/cli/desk.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define HOUSE_MAX 100

/* A member: records, and what was asked of it. */
struct house {
    struct desk desk;
    struct peer_command record[HOUSE_MAX]; /* as they are; peer: the name */
    unsigned count, changes;
    struct peer_command last;
    int error;
};

static struct peer_command *find(struct house *h, const struct peer_command *c)
{
    char key[KEY_TEXT_LEN + 1];

    for (unsigned i = 0; i < h->count; i++) {
        key_to_base64(h->record[i].key.b, key);
        if (h->record[i].is_group == c->is_group &&
            strcmp(c->is_group ? h->record[i].peer : key, c->peer) == 0)
            return &h->record[i];
    }
    return NULL;
}

static void set(struct peer_command *r, const struct peer_command *c)
{
    if (*c->name)
        strcpy(r->peer, c->name);
    if (c->has_keepalive)
        r->keepalive_s = c->keepalive_s;
    if (c->has_mtu)
        r->mtu = c->mtu;
    if (c->has_allowed)
        strcpy(r->allowed, c->allowed);
    if (c->has_group)
        strcpy(r->group, c->group);
    if (c->has_disabled)
        r->disabled = c->disabled;
    for (unsigned t = 0; t < PEER_TEXTS; t++)
        if (c->has_text[t])
            strcpy(r->text[t], c->text[t]);
}

static void take(struct house *h, const struct peer_command *c)
{
    struct peer_command *r = find(h, c);

    h->changes++;
    h->last = *c;
    if (c->verb == PEER_ADD)
        h->record[h->count++] = *c;
    else if (c->verb == PEER_SET)
        set(r, c);
    else if (c->verb == PEER_REMOVE)
        *r = h->record[--h->count];
}

static void on_command(void *ctx, const struct control_request *r, struct server_call *call)
{
    struct house *h = ctx;
    struct control_reply reply = {.peers = peer_rows_new()};

    if (r->kind == CONTROL_PEER && r->command.verb == PEER_LIST) {
        for (unsigned i = 0; i < h->count; i++)
            if (h->record[i].is_group == r->command.is_group)
                desk_put_row(reply.peers, &h->record[i], r->command.secrets);
    } else if (h->error) {
        control_reply_done(&reply);
        reply = (struct control_reply){.error = h->error, .message = "peer 'x' was revoked"};
    } else if (r->kind == CONTROL_BATCH) {
        for (unsigned i = 0; i < r->batch_count; i++)
            take(h, &r->batch[i]);
    } else {
        take(h, &r->command);
    }
    server_reply(call, &reply);
}

static int setup(void **state)
{
    *state = desk_new(sizeof(struct house), on_command);
    return 0;
}

#define KEY(c) "\"public_key\": \"" #c "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\""

static const char office[] =
    "{\"schema\": 1, \"groups\": [{\"name\": \"staff\", \"route\": \"10.0.0.0/8\", \"mtu\": 1380,"
    " \"policy\": \"isolate\", \"network\": \"10.1.0.0/16\"}],"
    " \"peers\": [{\"name\": \"alice\", " KEY(
        A) ", \"allowed_ips\": [\"10.77.0.2\", \"fd77::2\"],"
           " \"group\": \"staff\", \"owner\": \"Alice Ames\", \"keepalive_s\": 25,"
           " \"expires\": \"2099-12-24T18:00:00Z\", \"endpoint\": \"192.0.2.7:51820\", \"vip\": 1,"
           " \"preshared_key\": \"BQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"},"
           " {\"name\": \"bob\", " KEY(
               B) ", \"allowed_ips\": [\"10.77.0.3/32\"], \"disabled\": true,"
                  " \"psk\": false}]}";

TEST(peers_and_groups_become_what_the_file_says)
{
    struct house *h = *state;

    write_in(h, "p.json", office);
    expect(run(h, "apply -f p.json --dry-run"), 0,
           "+ group staff\n+ alice\n+ bob\nwould be: 3 added, 0 changed");
    assert_int_equal(h->changes, 0);
    expect(run(h, "apply -f p.json"), 0, "\n3 added, 0 changed, 0 with a new key, 0 removed");
    assert_int_equal(h->count, 3);
    const struct peer_command *alice = &h->record[1];
    assert_true(h->record[0].is_group && h->record[0].policy == POLICY_ISOLATE);
    assert_string_equal(h->record[0].text[PEER_NETWORKS], "10.1.0.0/16");
    assert_string_equal(alice->allowed, "10.77.0.2/32,fd77::2/128");
    assert_string_equal(alice->text[PEER_OWNER], "Alice Ames");
    assert_true(alice->psk[0] == 5 && alice->has_psk && alice->keepalive_s == 25);
    assert_int_equal(alice->expires_s, 4101818400u);
    assert_true(h->record[2].disabled && h->record[2].has_psk && !h->record[2].psk[0]);
    /* Said again, nothing is to be done. */
    h->changes = 0;
    expect(run(h, "apply -f p.json"), 0, "0 added, 0 changed, 0 with a new key, 0 removed, 3 unch");
    assert_int_equal(h->changes, 0);
}

TEST(export_says_all_that_apply_needs)
{
    struct house *h = *state;

    write_in(h, "p.json", office);
    run(h, "apply -f p.json");
    h->changes = 0;
    expect(run(h, "export >e.json; " GUARDMOUNT " -s $PWD/control.sock apply -f e.json"), 0,
           "0 added, 0 changed, 0 with a new key, 0 removed, 3 unchanged");
    h->count = 0; /* and into an empty cluster */
    expect(run(h, "apply -f e.json"), 0, "3 added");
    expect(run(h, "apply -f p.json --dry-run"), 0, "3 unchanged");
}

TEST(only_what_differs_is_changed_and_said)
{
    struct house *h = *state;
    const char *name;

    write_in(h, "p.json", office);
    run(h, "apply -f p.json");
    write_in(h, "p.json",
             "{\"groups\": [{\"name\": \"staff\", \"mtu\": 1400}], \"peers\": [{\"name\": "
             "\"anna\", " KEY(A) ", \"keepalive_s\": 0, \"allowed_ips\": [\"10.77.0.2/32\"]}]}");
    expect(run(h, "apply -f p.json --dry-run"), 0,
           "~ group staff  mtu 1380 -> 1400\n"
           "~ anna  name \"alice\" -> \"anna\", keepalive_s 25 -> 0, allowed_ips\n");
    json_t *o = json_loads(run(h, "apply -f p.json --json")->out, 0, NULL);
    assert_int_equal(json_unpack(o, "{s:[{s:s}]}", "changed", "name", &name), 0);
    assert_string_equal(name, "staff");
    json_decref(o);
    assert_int_equal(h->last.verb, PEER_SET);
    assert_false(h->last.has_group || h->last.has_psk || h->last.has_disabled);
    assert_string_equal(h->record[1].peer, "anna");
    assert_int_equal(h->record[1].psk[0], 5); /* not said: as it is */
    assert_int_equal(h->count, 3);            /* bob stays */
}

TEST(others_are_removed_only_when_that_is_said)
{
    struct house *h = *state;

    write_in(h, "p.json", office);
    run(h, "apply -f p.json");
    write_in(h, "p.json", "{\"peers\": [{\"name\": \"bob\", " KEY(C) ", \"allowed_ips\": []}]}");
    expect(run(h, "apply -f p.json"), 1, "two peers are called 'bob'; the other one is in this");
    expect(run(h, "apply -f p.json --prune --dry-run"), 0, "+ bob\n- ");
    expect(run(h, "apply -f p.json --prune"), 0, "1 added, 0 changed, 0 with a new key, 2 removed");
    assert_int_equal(h->count, 2);
}

TEST(waiting_key_is_a_rotation)
{
    struct house *h = *state;

    write_in(h, "p.json", office);
    run(h, "apply -f p.json");
    write_in(h, "p.json",
             "{\"peers\": [{\"name\": \"\", " KEY(
                 D) ", \"replaces\": "
                    "\"BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\", \"psk\": false}]}");
    expect(run(h, "apply -f p.json"), 0, "1 with a new key");
    assert_true(h->last.verb == PEER_ROTATE && h->last.has_key);
    assert_string_equal(h->last.peer, "BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
}

TEST(all_that_is_wrong_is_listed_and_nothing_is_changed)
{
    struct house *h = *state;

    write_in(
        h, "p.json",
        "{\"peers\": [{\"name\": \"a\"}, {\"name\": \"b\", " KEY(
            B) ", \"keepalive\": 5},"
               "{\"name\": \"c\", " KEY(C) ", \"allowed_ips\": [\"10.0.0.0/8\"]},"
                                           "{\"name\": \"d\", " KEY(
                                               D) ", \"allowed_ips\": [\"10.1.2.3\"]},"
                                                  "{\"name\": \"e\", " KEY(
                                                      E) ", \"expires\": \"30d\"},"
                                                         "{\"name\": \"f\", " KEY(
                                                             F) ", \"psk\": true}, 7],"
                                                                "\"groups\": [{\"mtu\": 1400}]}");
    const struct child *c = run(h, "apply -f p.json");
    expect(c, 1, "entry 1: groups: a group needs a \"name\"");
    expect(c, 1, "entry 1: a peer needs its \"public_key\"");
    expect(c, 1, "entry 2: unknown key \"keepalive\"");
    expect(c, 1, "entry 4: 10.1.2.3/32 of peer 'd' overlaps with 10.0.0.0/8 of peer 'c' (entry 3)");
    expect(c, 1, "entry 5: \"expires\" takes a date");
    expect(c, 1, "entry 6: \"psk\" is true, and no");
    expect(c, 1, "entry 7: a peer is an object");
    expect(c, 1, "7 errors in p.json; nothing was changed");
    assert_int_equal(h->changes, 0);
}

TEST(refusal_is_told_and_the_rest_can_follow)
{
    struct house *h = *state;

    write_in(h, "p.json", office);
    h->error = -EKEYREVOKED;
    expect(run(h, "apply -f p.json"), 1, "peer 'x' was revoked; say it again when that is mended");
    h->error = 0;
    expect(run(h, "apply -f p.json"), 0, "3 added");
}

TEST(wrong_use_is_refused)
{
    static const struct desk_use wrong[] = {
        {"apply", 2, "needs -f FILE"},
        {"apply p.json", 2, "unexpected 'p.json'"},
        {"apply -f", 2, "needs -f FILE"},
        {"apply -f p.json -f q.json", 2, "unexpected '-f'"},
        {"apply -f nothing.json", 1, "nothing.json"},
        {"apply -f p.json", 1, "p.json:1: "},
        {"apply -f /dev/null", 1, "/dev/null:"},
        {"apply --help", 0, "Example:\n  guardmount apply -f peers.json --dry-run"},
    };
    struct house *h = *state;

    write_in(h, "p.json", "{\"peers\": [}");
    expect_each(h, wrong, ARRAY_LEN(wrong));
    write_in(h, "p.json", "{\"peer\": []}");
    expect(run(h, "apply -f p.json"), 1, "no {\"peers\": [...]");
}

#define TH(name) TS(name, setup, desk_teardown)

TEST_MAIN(TH(peers_and_groups_become_what_the_file_says), TH(export_says_all_that_apply_needs),
          TH(only_what_differs_is_changed_and_said), TH(others_are_removed_only_when_that_is_said),
          TH(waiting_key_is_a_rotation), TH(all_that_is_wrong_is_listed_and_nothing_is_changed),
          TH(refusal_is_told_and_the_rest_can_follow), TH(wrong_use_is_refused))
