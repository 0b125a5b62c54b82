/* Commands about peers against a real store: what is done, what is refused and how it is said. The
 * node is a stub that stores at once, or when the test says so. */
#include "app_internal.h"
#include "base/bytes.h"
#include "base/secret.h"
#include "lib/test.h"
#include <stdio.h>
#include <string.h>

static struct app app;
static struct cluster cluster;
static struct conf conf;
static struct control_reply last;
static unsigned answers;
static uint16_t unreached;
static struct {
    struct change *change;
    void *token;
} held[8];
static unsigned held_count;
static bool hold;
static int answer_with;

/* ---- stubs ---- */

struct instant app_now(void)
{
    return (struct instant){.real_ns = 1750000000000000000ull, .boot_ns = 1};
}

const struct identity *node_identity(const struct node *n)
{
    return NULL;
}

uint16_t node_unreached(const struct node *n)
{
    return unreached;
}

static void store_it(struct change *c, void *token)
{
    char error[STORE_ERROR_LEN];
    struct store_write *w = store_begin(app.store);
    int r = store_apply(app.store, w, c, app_now().real_ns, error);

    change_free(c);
    if (r < 0)
        store_abort(app.store, w);
    else
        store_publish(app.store, w, NULL, NULL);
    assert_true(app_peer_done(&app, token, r < 0 ? r : answer_with, error));
}

void node_change(struct node *n, struct change *c, void *token, struct instant now)
{
    if (!hold) {
        store_it(c, token);
        return;
    }
    assert_true(held_count < ARRAY_LEN(held));
    held[held_count].change = c;
    held[held_count++].token = token;
}

void server_reply(struct server_call *call, struct control_reply *reply)
{
    control_reply_done(&last);
    last = *reply;
    answers++;
}

/* ---- asking ---- */

static int setup(void **state)
{
    char error[STORE_ERROR_LEN];

    app = (struct app){.cluster = &cluster};
    cluster = (struct cluster){.conf = &conf, .hub = &conf.hub[0]};
    conf = (struct conf){.self = 1, .hub_count = 1, .vip_count = 1};
    conf.hub[0].id = 1;
    conf.hub[0].mtu = 1420;
    for (int v6 = 0; v6 < 2; v6++)
        assert_int_equal(prefix_parse_host(v6 ? "fd77::1/64" : "10.77.0.1/29",
                                           &conf.hub[0].address[v6].prefix,
                                           &conf.hub[0].address[v6].host),
                         0);
    conf.hub[0].address_count = 2;
    strcpy(conf.member[1].name, "athens");
    strcpy(conf.member[2].name, "berlin");
    strcpy(conf.member[3].name, "cairo");
    struct endpoint vip;
    endpoint_parse("192.0.2.1:51820", &vip);
    conf.vip[0].outer_count = 1;
    conf.vip[0].outer[0].addr = vip.addr;
    conf.vip[0].port = 51820;
    list_init(&cluster.peer_calls);
    list_init(&cluster.peer_waiting);
    hold = false;
    held_count = 0;
    unreached = 0;
    answer_with = 0;
    return store_open(NULL, 1, &app.store, error);
}

static int teardown(void **state)
{
    control_reply_done(&last);
    store_close(app.store);
    assert_int_equal(secret_slots_used(), 0);
    return 0;
}

static void ask(const struct peer_command *c)
{
    struct control_request r = {.kind = CONTROL_PEER, .command = *c};

    app_command(&app, &r, NULL);
}

static void expect_refused(const struct peer_command *c, int err, const char *word)
{
    ask(c);
    assert_int_equal(last.error, err);
    if (!strstr(last.message, word))
        fail_msg("the message says: %s", last.message);
}

static const struct peer_row *expect_row(const struct peer_command *c)
{
    ask(c);
    if (last.error)
        fail_msg("refused: %s", last.message);
    assert_int_equal(last.peers->count, 1);
    return &last.peers->row[0];
}

static struct peer_command add(const char *name, uint8_t key, const char *allowed)
{
    struct peer_command c = {.verb = PEER_ADD, .has_key = true, .key.b = {key}};

    strcpy(c.peer, name);
    c.has_allowed = allowed;
    strcpy(c.allowed, allowed ? allowed : "");
    c.address_auto = !allowed;
    return c;
}

static struct peer_command about(enum peer_verb verb, const char *peer)
{
    struct peer_command c = {.verb = verb};

    strcpy(c.peer, peer);
    return c;
}

TEST(addresses_are_picked_from_each_network_of_the_hub)
{
    struct peer_command c = add("alice", 1, NULL);
    const struct peer_row *row = expect_row(&c);

    assert_int_equal(row->allowed_count, 2);
    assert_string_equal(row->allowed[0], "10.77.0.2/32");
    assert_string_equal(row->allowed[1], "fd77::2/128");
    assert_string_equal(row->state, "enabled");
    assert_string_equal(last.peers->hub_endpoint, "192.0.2.1:51820");
    assert_int_equal(last.peers->hub_mtu, 1420);
    for (uint8_t i = 2; i < 6; i++) {
        char name[16];
        snprintf(name, sizeof(name), "peer%u", i);
        c = add(name, i, NULL);
        assert_int_equal(expect_row(&c)->allowed_count, 2);
    }
    /* The /29 is used up; IPv6 is not. With neither there is nothing to give. */
    c = add("late", 9, NULL);
    assert_int_equal(expect_row(&c)->allowed_count, 1);
    conf.hub[0].address_count = 1;
    c = add("later", 10, NULL);
    expect_refused(&c, -ENOSPC, "no address is free");
    conf.hub[0].address_count = 0;
    expect_refused(&c, -ENOSPC, "has no Address");
}

TEST(new_peers_are_spread_over_the_pools_of_the_vips)
{
    static const char *const pools[] = {"10.1.0.0/30", "10.2.0.0/29"};
    struct endpoint second;

    endpoint_parse("192.0.2.2:51820", &second);
    conf.vip_count = 2;
    conf.vip[1] = conf.vip[0];
    conf.vip[1].outer[0].addr = second.addr;
    for (unsigned i = 0; i < 2; i++) {
        conf.vip[i].id = (uint16_t)(7 + i);
        conf.vip[i].pool_count = 1;
        assert_int_equal(prefix_parse(pools[i], &conf.vip[i].pool[0]), 0);
    }
    struct peer_command c = add("by-hand", 1, "10.1.0.1/32"); /* counts by its address */
    expect_row(&c);
    c = add("alice", 2, NULL);
    const struct peer_row *row = expect_row(&c);
    assert_int_equal(row->allowed_count, 1);
    assert_string_equal(row->allowed[0], "10.2.0.1/32");
    assert_int_equal(row->vip, 8);
    assert_string_equal(last.peers->hub_endpoint, "192.0.2.2:51820"); /* that its file names */
    c = add("bob", 3, NULL);
    row = expect_row(&c);
    assert_string_equal(row->allowed[0], "10.1.0.2/32");
    assert_int_equal(row->vip, 7);
    /* The pool of one is full: the other one has the rest. */
    for (uint8_t i = 0; i < 5; i++) {
        char name[16];
        snprintf(name, sizeof(name), "late%u", i);
        c = add(name, (uint8_t)(10 + i), NULL);
        assert_int_equal(expect_row(&c)->vip, 8);
    }
    c = add("none", 20, NULL);
    expect_refused(&c, -ENOSPC, "networks of [Vip] Pool");
}

TEST(two_peers_never_have_one_name_or_one_key)
{
    struct peer_command c = add("alice", 1, "10.0.0.1/32");

    expect_row(&c);
    c = add("alice", 2, "10.0.0.2/32");
    expect_refused(&c, -EEXIST, "a peer 'alice' is there already");
    c = add("bob", 1, "10.0.0.2/32");
    expect_refused(&c, -EEXIST, "that key is peer 'alice' already");
    c = add("bob", 2, "10.0.0.2/32");
    expect_row(&c);
    c = about(PEER_SET, "bob");
    strcpy(c.name, "alice");
    expect_refused(&c, -EEXIST, "choose another name");
    strcpy(c.name, "bob"); /* its own */
    expect_row(&c);
}

TEST(overlap_is_refused_with_the_name_of_the_other_peer)
{
    struct peer_command c = add("branch", 1, "10.1.0.0/16, fd01::/48");

    assert_int_equal(expect_row(&c)->allowed_count, 2);
    c = add("alice", 2, "10.1.2.3/32");
    expect_refused(&c, -EADDRINUSE, "'branch'");
    c = add("wide", 2, "10.0.0.0/8");
    expect_refused(&c, -EADDRINUSE, "'branch'");
    c.overlap = true;
    expect_row(&c);
    c = add("bad", 3, "10.0.0.1/33");
    expect_refused(&c, -EINVAL, "'10.0.0.1/33' is no address");
    c = about(PEER_SET, "branch"); /* with itself is fine */
    c.has_allowed = c.overlap = true;
    strcpy(c.allowed, "10.1.2.0/24");
    assert_int_equal(expect_row(&c)->allowed_count, 1);
}

TEST(set_changes_what_is_named_and_nothing_else)
{
    struct peer_command c = add("alice", 1, "10.0.0.1/32");

    c.has_psk = c.has_keepalive = true;
    c.psk[0] = 7;
    c.keepalive_s = 25;
    expect_row(&c);
    c = about(PEER_SET, "alice");
    strcpy(c.name, "anna");
    const struct peer_row *row = expect_row(&c);
    assert_string_equal(row->name, "anna");
    assert_true(row->has_psk && row->keepalive_s == 25 && row->allowed_count == 1);
    c = about(PEER_SET, "anna");
    c.has_psk = true; /* all zero */
    assert_false(expect_row(&c)->has_psk);
}

TEST(disabled_peer_is_listed_and_enabled_again)
{
    struct peer_command c = add("alice", 1, "10.0.0.1/32");

    expect_row(&c);
    c = about(PEER_DISABLE, "alice");
    assert_string_equal(expect_row(&c)->state, "disabled");
    c = about(PEER_LIST, "");
    assert_string_equal(expect_row(&c)->state, "disabled");
    c = about(PEER_ENABLE, "alice");
    assert_string_equal(expect_row(&c)->state, "enabled");
}

TEST(revoked_key_comes_back_only_when_asked_for)
{
    struct peer_command c = add("alice", 1, "10.0.0.1/32");

    expect_row(&c);
    c = about(PEER_REVOKE, "alice");
    assert_string_equal(expect_row(&c)->state, "revoked");
    assert_string_equal(last.peers->note, "");
    c = add("alice", 1, "10.0.0.1/32");
    expect_refused(&c, -EKEYREVOKED, "peer 'alice') was revoked");
    c.reinstate = true;
    assert_string_equal(expect_row(&c)->state, "enabled");
    c = about(PEER_LIST, "");
    ask(&c);
    assert_int_equal(last.peers->count, 1);
}

TEST(members_that_did_not_confirm_a_revocation_are_named)
{
    struct peer_command c = add("alice", 1, "10.0.0.1/32");

    expect_row(&c);
    unreached = 1u << 2 | 1u << 3;
    answer_with = -ETIMEDOUT;
    c = about(PEER_REVOKE, "alice");
    assert_string_equal(expect_row(&c)->state, "revoked");
    assert_non_null(strstr(last.peers->note, "berlin, cairo"));
    answer_with = -ENOSPC; /* in force, and not durable: done all the same */
    assert_string_equal(expect_row(&c)->state, "revoked");
}

TEST(key_that_nobody_knows_can_be_revoked_and_nothing_else)
{
    static const char key[] = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    struct peer_command c = about(PEER_DISABLE, key);

    expect_refused(&c, -ENOENT, "there is no peer");
    c = about(PEER_SHOW, "nobody");
    expect_refused(&c, -ENOENT, "'guardmount peer list'");
    c = about(PEER_REVOKE, key);
    assert_string_equal(expect_row(&c)->state, "revoked");
    c = about(PEER_SHOW, key);
    assert_string_equal(expect_row(&c)->state, "revoked");
    c = about(PEER_LIST, "");
    ask(&c);
    assert_int_equal(last.peers->count, 0);
    c.gone = true;
    expect_row(&c);
}

TEST(removed_peer_is_gone_and_may_come_again)
{
    struct peer_command c = add("alice", 1, "10.0.0.1/32");

    expect_row(&c);
    c = about(PEER_REMOVE, "alice");
    assert_string_equal(expect_row(&c)->state, "removed");
    expect_refused(&c, -ENOENT, "there is no peer 'alice'");
    c = add("alice", 1, NULL);
    assert_string_equal(expect_row(&c)->allowed[0], "10.77.0.2/32");
}

/* The second looks for a free address only when the first has got its own. */
TEST(two_adds_at_once_get_two_addresses)
{
    struct peer_command c = add("alice", 1, NULL);

    hold = true;
    ask(&c);
    c = add("bob", 2, NULL);
    ask(&c);
    assert_int_equal(held_count, 1);
    store_it(held[0].change, held[0].token);
    assert_int_equal(held_count, 2);
    hold = false;
    store_it(held[1].change, held[1].token);
    assert_string_equal(last.peers->row[0].name, "bob");
    assert_string_equal(last.peers->row[0].allowed[0], "10.77.0.3/32");
}

static void ask_batch(const struct peer_command *c, unsigned count)
{
    struct control_request r = {
        .kind = CONTROL_BATCH, .batch = (struct peer_command *)c, .batch_count = count};

    app_command(&app, &r, NULL);
}

static void expect_batch_refused(struct peer_command *c, unsigned count, int err, const char *word)
{
    ask_batch(c, count);
    assert_int_equal(last.error, err);
    if (!strstr(last.message, word))
        fail_msg("the message says: %s", last.message);
    assert_int_equal(store_count(app.store, 1, PEER_ACTIVE), 1);
}

TEST(batch_is_added_as_a_whole)
{
    struct peer_command c[3] = {add("alice", 1, "10.0.0.1/32"), add("bob", 2, "10.0.0.2/32"),
                                add("branch", 3, "10.1.0.0/16, fd01::/48")};

    c[1].has_psk = c[1].disabled = true;
    c[1].psk[0] = 7;
    ask_batch(c, ARRAY_LEN(c));
    assert_int_equal(last.error, 0);
    assert_int_equal(store_count(app.store, 1, PEER_ACTIVE), 3);
    c[0] = about(PEER_SHOW, "bob");
    const struct peer_row *row = expect_row(&c[0]);
    assert_string_equal(row->state, "disabled");
    assert_true(row->has_psk);
}

/* What is there and what the batch itself says are looked at alike. */
TEST(batch_with_one_bad_peer_adds_none_and_names_it)
{
    struct peer_command there = add("alice", 1, "10.0.0.1/32"), good = add("bob", 2, "10.0.0.2/32");
    static const struct {
        const char *name, *allowed, *word;
        uint8_t key;
        int err;
    } bad[] = {
        {"alice", "10.0.0.3/32", "peer 'alice': a peer 'alice' is there", 3, -EEXIST},
        {"bob", "10.0.0.3/32", "two peers are called 'bob'", 3, -EEXIST},
        {"carol", "10.0.0.3/32", "'bob' and 'carol' have the same key", 2, -EEXIST},
        {"carol", "10.0.0.3/32", "that key is peer 'alice' already", 1, -EEXIST},
        {"carol", "10.0.0.1/32", "what peer 'alice' has", 3, -EADDRINUSE},
        {"carol", "10.0.0.0/24", "what peer 'alice' has", 3, -EADDRINUSE},
        {"carol", "10.0.0.2/31", "what peer 'bob' has", 3, -EADDRINUSE},
        {"carol", NULL, "peer 'carol': many peers at once are added with", 3, -EINVAL},
        {"", "10.0.0.3/32", "needs a name", 3, -EINVAL},
    };

    expect_row(&there);
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        struct peer_command c[2] = {good, add(bad[i].name, bad[i].key, bad[i].allowed)};

        expect_batch_refused(c, 2, bad[i].err, bad[i].word);
    }
    good.verb = PEER_SET;
    expect_batch_refused(&good, 1, -EINVAL, "many peers at once");
}

TEST(batch_waits_for_the_command_before_it)
{
    struct peer_command one = add("alice", 1, NULL), same = add("alice", 2, "10.0.0.9/32");

    hold = true;
    ask(&one);
    ask_batch(&same, 1);
    assert_int_equal(held_count, 1);
    hold = false;
    store_it(held[0].change, held[0].token);
    assert_int_equal(last.error, -EEXIST);
}

/* ---- the life of a peer ---- */

static struct peer_command rotate(const char *peer, uint8_t key)
{
    struct peer_command c = about(PEER_ROTATE, peer);

    c.has_key = true;
    c.key.b[0] = key;
    return c;
}

/* As the node does at the first handshake with @key. */
static void use_key(uint8_t key)
{
    struct public_key k = {{key}};
    struct change *c = change_new(1);
    struct store_write *w = store_begin(app.store);
    char error[STORE_ERROR_LEN];

    change_add_peer(c, &k)->succeed = true;
    assert_int_equal(store_apply(app.store, w, c, app_now().real_ns, error), 0);
    store_publish(app.store, w, NULL, NULL);
    change_free(c);
}

TEST(peer_that_waits_for_approval_is_pending_until_then)
{
    struct peer_command c = add("alice", 1, NULL);

    c.pending = true;
    assert_string_equal(expect_row(&c)->state, "pending");
    c = about(PEER_APPROVE, "alice");
    assert_string_equal(expect_row(&c)->state, "enabled");
    assert_string_equal(expect_row(&c)->state, "enabled");
    c = about(PEER_APPROVE, "nobody");
    expect_refused(&c, -ENOENT, "no peer 'nobody'");
}

TEST(peer_expires_and_is_prolonged)
{
    uint64_t now_s = app_now().real_ns / 1000000000;
    struct peer_command c = add("guest", 1, NULL);

    c.has_expires = true;
    c.expires_s = now_s + 60;
    assert_string_equal(expect_row(&c)->state, "enabled");
    c = about(PEER_SET, "guest");
    c.has_expires = true;
    c.expires_s = now_s - 1; /* now, that is */
    assert_string_equal(expect_row(&c)->state, "expired");
    c.expires_s = 0;
    assert_string_equal(expect_row(&c)->state, "enabled");
}

TEST(old_key_works_until_the_new_one_is_used)
{
    struct peer_command c = add("alice", 1, "10.0.0.1/32"), list = about(PEER_LIST, "");
    const struct peer_row *row;

    c.has_text[PEER_OWNER] = true;
    strcpy(c.text[PEER_OWNER], "Alice Ames");
    expect_row(&c);
    c = rotate("alice", 2);
    row = expect_row(&c); /* what the client's file is made of */
    assert_string_equal(row->allowed[0], "10.0.0.1/32");
    assert_int_equal(row->key.b[0], 2);
    ask(&list);
    assert_int_equal(last.peers->count, 2);
    row = last.peers->row;
    assert_string_equal(row[0].state, "enabled");
    assert_true(row[0].has_next && row[0].next.b[0] == 2 && row[0].allowed_count == 1);
    assert_string_equal(row[1].state, "next");
    assert_true(row[1].has_replaces && row[1].replaces.b[0] == 1 && row[1].allowed_count == 0);
    /* Said again: the key that was never used goes. */
    c = rotate("alice", 3);
    expect_row(&c);
    use_key(2);
    use_key(3);
    c = about(PEER_SHOW, "alice");
    row = expect_row(&c);
    assert_int_equal(row->key.b[0], 3);
    assert_string_equal(row->state, "enabled");
    assert_string_equal(row->allowed[0], "10.0.0.1/32");
    assert_string_equal(row->text[PEER_OWNER], "Alice Ames");
    assert_false(row->has_next || row->has_replaces);
    c = rotate("alice", 1);
    expect_refused(&c, -EKEYREVOKED, "peer 'alice') was revoked");
}

TEST(rotation_that_makes_no_sense_is_refused)
{
    struct peer_command c = add("alice", 1, "10.0.0.1/32");

    c.has_psk = true;
    c.psk[0] = 7;
    expect_row(&c);
    c = rotate("alice", 2);
    expect_refused(&c, -EINVAL, "has a preshared key");
    c.has_psk = true; /* all zero: none */
    assert_false(expect_row(&c)->has_psk);
    c = rotate("AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", 4);
    expect_refused(&c, -EINVAL, "waits to take the place of another");
    c = rotate("alice", 1);
    c.has_psk = true;
    expect_refused(&c, -EEXIST, "that key is peer 'alice' already");
    c = about(PEER_ROTATE, "alice");
    c.has_psk = true;
    expect_refused(&c, -EINVAL, "needs the new public key");
    c = about(PEER_ROTATE, "alice");
    c.cancel = true;
    assert_int_equal(expect_row(&c)->key.b[0], 1);
    expect_refused(&c, -ENOENT, "no new key waits for peer 'alice'");
}

TEST(what_ends_a_peer_ends_the_key_that_waits)
{
    struct peer_command c = add("alice", 1, "10.0.0.1/32"), list = about(PEER_LIST, "");

    expect_row(&c);
    c = rotate("alice", 2);
    expect_row(&c);
    c = about(PEER_REVOKE, "alice");
    expect_row(&c);
    ask(&list);
    assert_int_equal(last.peers->count, 0);
    c = rotate("alice", 3);
    expect_refused(&c, -ENOENT, "is revoked");
}

TEST(moved_peer_is_told_where_its_hub_is)
{
    struct peer_command c = add("alice", 1, "10.0.0.1/32");
    struct endpoint second;

    conf.vip[0].id = 1;
    strcpy(conf.vip[0].name, "main");
    conf.vip[1] = conf.vip[0];
    conf.vip[1].id = 2;
    strcpy(conf.vip[1].name, "second");
    endpoint_parse("192.0.2.2:51820", &second);
    conf.vip[1].outer[0].addr = second.addr;
    conf.vip_count = 2;
    expect_row(&c);
    c = about(PEER_MOVE, "alice");
    strcpy(c.vip, "third");
    expect_refused(&c, -ENOENT, "no VIP 'third'; there is main, second");
    strcpy(c.vip, "second");
    assert_int_equal(expect_row(&c)->vip, 2);
    assert_string_equal(last.peers->hub_endpoint, "192.0.2.2:51820");
    assert_string_equal(last.peers->vip, "second");
    strcpy(c.vip, "1");
    assert_int_equal(expect_row(&c)->vip, 1);
}

TEST(one_set_says_all_that_a_file_can)
{
    struct peer_command c = add("alice", 1, "10.0.0.1/32");

    conf.vip[0].id = 7;
    strcpy(c.endpoint, "192.0.2.5:51820");
    strcpy(c.vip, "7");
    c.disabled = c.pending = true;
    const struct peer_row *row = expect_row(&c);
    assert_true(row->disabled && row->pending && row->vip == 7);
    c = about(PEER_SET, "alice");
    c.has_disabled = c.has_pending = c.no_endpoint = true;
    strcpy(c.vip, "0");
    row = expect_row(&c);
    assert_false(row->disabled || row->pending || row->vip);
    assert_string_equal(row->endpoint, "");
    c = about(PEER_SET, "alice");
    strcpy(c.vip, "8");
    expect_refused(&c, -ENOENT, "no VIP '8'");
}

/* ---- groups ---- */

static struct peer_command group(enum peer_verb verb, const char *name)
{
    struct peer_command c = about(verb, name);

    c.is_group = true;
    return c;
}

TEST(group_gives_new_clients_what_they_are_to_have)
{
    struct peer_command c = group(PEER_ADD, "staff"), list = about(PEER_LIST, "");

    c.has_keepalive = c.has_mtu = c.has_text[PEER_DNS] = c.has_text[PEER_ROUTES] = true;
    c.keepalive_s = 25;
    c.mtu = 1380;
    strcpy(c.text[PEER_DNS], "10.0.0.53");
    strcpy(c.text[PEER_ROUTES], "10.0.0.0/8, fd00::/8");
    assert_string_equal(expect_row(&c)->name, "staff");
    ask(&list);
    assert_int_equal(last.peers->count, 0);
    c = add("alice", 1, NULL);
    c.has_group = true;
    strcpy(c.group, "staff");
    const struct peer_row *row = expect_row(&c);
    assert_true(row->keepalive_s == 25 && last.peers->hub_mtu == 1380);
    assert_string_equal(row->group, "staff");
    assert_string_equal(last.peers->dns, "10.0.0.53");
    assert_string_equal(last.peers->routes, "10.0.0.0/8, fd00::/8");
    c = group(PEER_LIST, "");
    assert_string_equal(expect_row(&c)->name, "staff");
    assert_int_equal(store_count(app.store, 1, PEER_ACTIVE), 1);
}

TEST(group_is_isolated_with_networks_that_are_networks)
{
    struct peer_command c = group(PEER_ADD, "guests");

    assert_int_equal(expect_row(&c)->policy, POLICY_OPEN);
    c = group(PEER_SET, "guests");
    c.has_policy = c.has_text[PEER_NETWORKS] = true;
    c.policy = POLICY_ISOLATE;
    strcpy(c.text[PEER_NETWORKS], "192.0.2.0/24, 10.1.2.3");
    const struct peer_row *row = expect_row(&c);
    assert_int_equal(row->policy, POLICY_ISOLATE);
    assert_string_equal(row->text[PEER_NETWORKS], "192.0.2.0/24, 10.1.2.3");
    strcpy(c.text[PEER_NETWORKS], "192.0.2.0/24,everything");
    expect_refused(&c, -EINVAL, "'everything' is no network");
    c = group(PEER_SET, "guests"); /* what is not said stays */
    c.has_mtu = true;
    c.mtu = 1380;
    assert_int_equal(expect_row(&c)->policy, POLICY_ISOLATE);
}

TEST(group_that_is_used_or_wrong_is_refused)
{
    struct peer_command c = add("alice", 1, "10.0.0.1/32");

    c.has_group = true;
    strcpy(c.group, "staff");
    expect_refused(&c, -ENOENT, "'guardmount group add staff' makes it");
    struct peer_command g = group(PEER_ADD, "staff");
    g.has_mtu = true;
    g.mtu = 500;
    expect_refused(&g, -EINVAL, "1280 or more");
    g = group(PEER_ADD, "staff");
    g.has_text[PEER_ROUTES] = true;
    strcpy(g.text[PEER_ROUTES], "10.0.0.0/8,nonsense");
    expect_refused(&g, -EINVAL, "'nonsense' is no network");
    g = group(PEER_ADD, "none");
    expect_refused(&g, -EINVAL, "other than 'none'");
    g = group(PEER_ADD, "staff");
    expect_row(&g);
    expect_refused(&g, -EEXIST, "a group 'staff' is there already");
    expect_row(&c);
    g = group(PEER_REMOVE, "staff");
    expect_refused(&g, -EBUSY, "peer 'alice' is in group 'staff'");
    c = about(PEER_SET, "alice");
    c.has_group = true;
    assert_string_equal(expect_row(&c)->group, "");
    expect_row(&g);
    expect_refused(&g, -ENOENT, "no group 'staff'");
    g = group(PEER_ADD, "staff"); /* nothing of its former life */
    assert_int_equal(expect_row(&g)->mtu, 0);
    g = group(PEER_DISABLE, "staff");
    expect_refused(&g, -EINVAL, "listed, shown, added");
    /* A peer of a group's name is another thing. */
    c = add("staff", 5, "10.0.0.5/32");
    expect_row(&c);
    c = about(PEER_REVOKE, "staff");
    assert_int_equal(expect_row(&c)->key.b[0], 5);
}

#define TC(name) TS(name, setup, teardown)

TEST_MAIN(TC(addresses_are_picked_from_each_network_of_the_hub),
          TC(new_peers_are_spread_over_the_pools_of_the_vips),
          TC(two_peers_never_have_one_name_or_one_key),
          TC(overlap_is_refused_with_the_name_of_the_other_peer),
          TC(set_changes_what_is_named_and_nothing_else),
          TC(disabled_peer_is_listed_and_enabled_again),
          TC(revoked_key_comes_back_only_when_asked_for),
          TC(members_that_did_not_confirm_a_revocation_are_named),
          TC(key_that_nobody_knows_can_be_revoked_and_nothing_else),
          TC(removed_peer_is_gone_and_may_come_again), TC(two_adds_at_once_get_two_addresses),
          TC(batch_is_added_as_a_whole), TC(batch_with_one_bad_peer_adds_none_and_names_it),
          TC(batch_waits_for_the_command_before_it),
          TC(peer_that_waits_for_approval_is_pending_until_then), TC(peer_expires_and_is_prolonged),
          TC(old_key_works_until_the_new_one_is_used), TC(rotation_that_makes_no_sense_is_refused),
          TC(what_ends_a_peer_ends_the_key_that_waits), TC(moved_peer_is_told_where_its_hub_is),
          TC(one_set_says_all_that_a_file_can), TC(group_gives_new_clients_what_they_are_to_have),
          TC(group_is_isolated_with_networks_that_are_networks),
          TC(group_that_is_used_or_wrong_is_refused))
