/* guardmount import and export as people and scripts see them: the peers of a file become those of
 * a member, or none of them do. */
#include "base/bytes.h"
#include "base/err.h"
#include "lib/test.h"
#include "unit/cli/desk.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOUSE_PEERS 700

struct house {
    struct desk desk;
    struct peer_command peer[HOUSE_PEERS]; /* as they were added */
    unsigned count, batches, refuse_after; /* refuse_after: so many batches; 0: never */
};

static void on_command(void *ctx, const struct control_request *r, struct server_call *call)
{
    struct house *h = ctx;
    struct control_reply reply = {.peers = peer_rows_new()};

    if (r->kind == CONTROL_BATCH && h->refuse_after && h->batches == h->refuse_after) {
        control_reply_done(&reply);
        reply = (struct control_reply){.error = -ENOSPC, .message = "no room for it"};
    } else if (r->kind == CONTROL_BATCH) {
        assert_true(h->count + r->batch_count <= HOUSE_PEERS);
        memcpy(&h->peer[h->count], r->batch, r->batch_count * sizeof(*r->batch));
        h->count += r->batch_count;
        h->batches++;
    } else {
        for (unsigned i = 0; i < h->count; i++)
            desk_put_row(reply.peers, &h->peer[i], r->command.secrets);
    }
    server_reply(call, &reply);
}

static int setup(void **state)
{
    *state = desk_new(sizeof(struct house), on_command);
    return 0;
}

#define KEY(c) "PublicKey = " #c "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
#define PSK "PresharedKey = BQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"

static const char office[] = "[Interface]\n"
                             "PrivateKey = CAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAEA=\n"
                             "Address = 10.0.0.1/24\n"
                             "PostUp = iptables -A FORWARD -i %i -j ACCEPT\n"
                             "\n"
                             "# alice\n"
                             "[Peer]\n" KEY(A) PSK
    "AllowedIPs = 10.0.0.2/32, fd00::2/128\n"
    "# Endpoint = 192.0.2.9:1\n"
    "PersistentKeepalive = 25\n"
    "\n"
    "[Peer] # bob's phone\n" KEY(B) "allowedips = 10.0.0.3\n"
                                    "\n"
                                    "### begin carol ###\n"
                                    "[peer]\n" KEY(C) "AllowedIPs = 10.0.0.4/32 # and\n"
                                                      "AllowedIPs = 10.7.0.9/16\n"
                                                      "Endpoint = 192.0.2.7:51820\n"
                                                      "### end carol ###\n"
                                                      "[Peer]\n"
                                                      "# first words\n"
                                                      "# Name = dave\n"
                                                      "# Disabled = yes\n" KEY(
                                                          D) "Endpoint = vpn.example.org:51820\n"
                                                             "[Peer]\n"
                                                             "# erin\n" KEY(E) "[Peer]\n\n" KEY(F);

TEST(peers_come_with_the_names_of_their_comments)
{
    static const char *const names[] = {"alice", "bob's phone", "carol",
                                        "dave",  "erin",        "peer-FAAAAAAA"};
    struct house *h = *state;

    write_in(h, "wg0.conf", office);
    expect(run(h, "import wg0.conf"), 0, "6 peers added, 0 were here already\n");
    assert_int_equal(h->count, 6);
    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        assert_string_equal(h->peer[i].peer, names[i]);
    assert_string_equal(h->peer[0].allowed, "10.0.0.2/32,fd00::2/128");
    assert_true(h->peer[0].has_psk && h->peer[0].psk[0] == 5 && h->peer[0].keepalive_s == 25);
    assert_string_equal(h->peer[0].endpoint, "");
    assert_string_equal(h->peer[2].allowed, "10.0.0.4/32,10.7.0.0/16");
    assert_string_equal(h->peer[2].endpoint, "192.0.2.7:51820");
    assert_true(h->peer[3].disabled && !h->peer[0].disabled);
    assert_string_equal(h->peer[3].endpoint, "");
}

TEST(interface_and_hooks_are_reported_and_no_key_is_shown)
{
    struct house *h = *state;

    write_in(h, "wg0.conf", office);
    const struct child *c = run(h, "import --dry-run wg0.conf");
    expect(c, 0, "wg0.conf:4: PostUp: a hook of wg-quick; not run\n");
    expect(c, 0, "wg0.conf:3: Address: of the interface; not applied");
    expect(c, 0, "Endpoint = vpn.example.org:51820: a host name; left out");
    expect(c, 0, "+ alice  10.0.0.2/32,fd00::2/128  psk\n");
    expect(c, 0, "6 peers would be added");
    assert_null(strstr(c->out, "CAAAA"));
    assert_null(strstr(c->out, "BQAAA"));
    assert_int_equal(h->count, 0);
}

TEST(file_with_an_error_adds_nobody_and_all_errors_are_listed)
{
    struct house *h = *state;

    write_in(h, "wg0.conf",
             "[Peer]\n# Name = a\n" KEY(
                 A) "AllowedIPs = 10.0.0.0/33, 10.0.0.1\n"
                    "[Peer]\n# Name = b\nPublicKey = short\nPersistentKeepalive = 70000\n"
                    "[Peer]\n# Name = c\nAllowedIps = 10.0.0.2\nFrob = 1\n"
                    "[Peer]\n# Name = d\n" KEY(D) "AllowedIPs = 10.0.0.1\n"
                                                  "[Peer]\n# Name = d\n" KEY(
                                                      A) "Endpoint = 192.0.2.1\n[Frob]\nnothing\n");
    const struct child *c = run(h, "import wg0.conf");
    static const char *const said[] = {
        "wg0.conf:4: '10.0.0.0/33' is no address",
        "wg0.conf:7: 'short' is no public key",
        "wg0.conf:8: PersistentKeepalive takes seconds",
        "wg0.conf:12: unknown key 'Frob'",
        "wg0.conf:9: peer 'c' has no PublicKey",
        "wg0.conf:20: '192.0.2.1' is no endpoint",
        "wg0.conf:21: unknown section [Frob]",
        "wg0.conf:22: expected '[Section]'",
        "wg0.conf:17: the key of peer 'd' is that of peer 'a' (line 1)",
        "wg0.conf:17: two peers are called 'd'; the other one is in line 13",
        "wg0.conf:13: 10.0.0.1/32 of peer 'd' overlaps with 10.0.0.1/32 of peer 'a' (line 1)",
        "11 errors in wg0.conf; nothing was added",
    };
    for (unsigned i = 0; i < ARRAY_LEN(said); i++)
        expect(c, 1, said[i]);
    assert_int_equal(h->count, 0);
    json_t *o = json_loads(run(h, "import --json wg0.conf 2>/dev/null")->out, 0, NULL);
    assert_int_equal(json_array_size(json_object_get(o, "errors")), 11);
    assert_int_equal(json_array_size(json_object_get(o, "added")), 0);
    json_decref(o);
}

TEST(what_the_cluster_has_is_compared_too)
{
    struct house *h = *state;

    write_in(h, "wg0.conf", office);
    expect(run(h, "import wg0.conf"), 0, "6 peers added");
    expect(run(h, "import wg0.conf"), 0, "0 peers added, 6 were here already");
    assert_int_equal(h->count, 6);
    write_in(h, "wg0.conf",
             "# anna\n[Peer]\n" KEY(A) "\n# carol\n[Peer]\n" KEY(
                 G) "AllowedIPs = 10.7.1.0/24\n"
                    "# net\n[Peer]\n" KEY(H) "AllowedIPs = 10.0.0.0/30\n");
    const struct child *c = run(h, "import wg0.conf");
    expect(c, 1, "wg0.conf:2: the key of peer 'anna' is that of peer 'alice' (this cluster)");
    expect(c, 1, "two peers are called 'carol'; the other one is in this cluster");
    expect(c, 1, "10.7.1.0/24 of peer 'carol' overlaps with 10.7.0.0/16 of peer 'carol'");
    expect(c, 1, "10.0.0.0/30 of peer 'net' overlaps with 10.0.0.2/32 of peer 'alice'");
    assert_int_equal(h->count, 6);
    write_in(h, "wg0.conf", "# net\n[Peer]\n" KEY(H) "AllowedIPs = 10.0.0.0/30\n");
    expect(run(h, "import --overlap wg0.conf"), 0, "1 peer added");
    assert_true(h->peer[6].overlap);
}

TEST(a_peer_that_came_by_wg_is_told_by_its_key)
{
    struct house *h = *state;

    write_in(h, "wg0.conf", "# a\n[Peer]\n" KEY(A) "AllowedIPs = 10.0.0.0/24\n");
    expect(run(h, "import wg0.conf"), 0, "1 peer added, 0 were here already");
    h->peer[0].peer[0] = '\0';
    const struct child *c = run(h, "import wg0.conf");
    expect(c, 1,
           "wg0.conf:2: peer 'a' is here already, without a name: guardmount peer set "
           "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= --name a\n");
    expect(c, 1, "1 error in wg0.conf; nothing was added"); /* not that it overlaps with itself */
    write_in(h, "wg0.conf", "# b\n[Peer]\n" KEY(B) "AllowedIPs = 10.0.0.9\n");
    expect(run(h, "import wg0.conf"), 1,
           "of peer 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=' (this cluster)");
}

TEST(nested_networks_of_two_peers_are_found_behind_those_of_one)
{
    struct house *h = *state;

    write_in(h, "wg0.conf",
             "# a\n[Peer]\n" KEY(A) "AllowedIPs = 10.0.0.0/8, 10.1.0.0/16, 10.3.0.0/16\n"
                                    "# b\n[Peer]\n" KEY(B) "AllowedIPs = 10.2.0.0/16\n");
    expect(run(h, "import wg0.conf"), 1, "10.2.0.0/16 of peer 'b' overlaps with 10.0.0.0/8");
    write_in(h, "wg0.conf",
             "# a\n[Peer]\n" KEY(A) "AllowedIPs = 10.0.0.0/8, 10.1.0.0/16\n"
                                    "# b\n[Peer]\n" KEY(B) "AllowedIPs = 11.0.0.0/8, ::/0\n");
    expect(run(h, "import wg0.conf"), 0, "2 peers added");
}

TEST(export_is_imported_as_the_same_peers)
{
    struct house *h = *state;
    struct peer_command before[6];

    write_in(h, "wg0.conf", office);
    expect(run(h, "import wg0.conf"), 0, "6 peers added");
    memcpy(before, h->peer, sizeof(before));
    expect(run(h, "export --wg >out.conf"), 0, "");
    expect(run(h, "import --json out.conf"), 0, "\"unchanged\": 6");
    h->count = 0;
    memset(h->peer, 0, sizeof(h->peer));
    expect(run(h, "import out.conf"), 0, "6 peers added, 0 were here already\n");
    assert_memory_equal(before, h->peer, sizeof(before));
}

TEST(export_as_json_tells_all_fields)
{
    struct house *h = *state;
    const char *name, *psk, *network, *endpoint, *third;
    int schema;

    write_in(h, "wg0.conf", office);
    run(h, "import wg0.conf");
    json_t *o = json_loads(run(h, "export")->out, 0, NULL);
    assert_int_equal(json_unpack(o, "{s:i, s:[{s:s, s:s, s:[s]}, {}, {s:s}, {s:s}]}", "schema",
                                 &schema, "peers", "name", &name, "preshared_key", &psk,
                                 "allowed_ips", &network, "endpoint", &endpoint, "state", &third),
                     0);
    assert_string_equal(psk, "BQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    assert_string_equal(endpoint, "192.0.2.7:51820");
    assert_string_equal(third, "disabled");
    json_decref(o);
}

/* Two requests, and what is left. */
static void write_many(const struct house *h)
{
    static char text[HOUSE_PEERS * 160];
    size_t len = 0;

    for (unsigned i = 0; i < 2 * CONTROL_BATCH_MAX + 8; i++) {
        uint8_t key[32] = {1, (uint8_t)i, (uint8_t)(i >> 8)};
        char b64[KEY_TEXT_LEN + 1];

        key_to_base64(key, b64);
        len += (size_t)snprintf(text + len, sizeof(text) - len,
                                "[Peer]\n# Name = p%u\nPublicKey = %s\nAllowedIPs = 10.1.%u.%u\n",
                                i, b64, i >> 8, i & 255);
    }
    write_in(h, "wg0.conf", text);
}

TEST(refusal_in_the_middle_says_where_and_the_rest_can_follow)
{
    struct house *h = *state;

    write_many(h);
    h->refuse_after = 1;
    const struct child *c = run(h, "import wg0.conf");
    expect(c, 1, "wg0.conf:1025-2045: the daemon refused: no room for it; say the import");
    expect(c, 1, "256 peers added");
    h->refuse_after = 0;
    expect(run(h, "import wg0.conf"), 0, "264 peers added, 256 were here already");
    assert_int_equal(h->batches, 3);
    assert_string_equal(h->peer[519].peer, "p519");
    assert_string_equal(h->peer[519].allowed, "10.1.2.7/32");
}

TEST(peers_come_from_an_interface_that_is_up)
{
    struct house *h = *state;
    char *was = strdup(getenv("PATH")), path[4096];

    write_in(h, "wg0.conf", office);
    snprintf(path, sizeof(path), "%s:%s", h->desk.dir, was);
    setenv("PATH", path, 1);
    /* A `wg` that knows of one interface. */
    expect(run(h, "version; printf '#!/bin/sh\n[ \"$*\" = \"showconf wg0\" ] && cat %s/wg0.conf' "
                  "\"$PWD\" >wg && chmod +x wg && " GUARDMOUNT " -s $PWD/control.sock import "
                  "--interface wg0"),
           0, "6 peers added");
    assert_int_equal(h->count, 6);
    expect(run(h, "import --interface=wg0"), 0, "0 peers added, 6 were here already");
    expect(run(h, "import --interface wg1"), 1, "'wg showconf wg1' tells nothing");
    expect(run(h, "import --interface 'wg0;true'"), 2, "'wg0;true' is no name of an interface");
    expect(run(h, "import --interface=-x"), 2, "no name of an interface");
    setenv("PATH", was, 1);
    free(was);
}

TEST(wrong_use_is_refused)
{
    static const struct desk_use wrong[] = {
        {"import", 2, "takes one file"},
        {"import a b", 2, "unexpected 'b'"},
        {"import --interface", 2, "or --interface"},
        {"import wg0.conf --interface wg0", 2, "unexpected '--interface'"},
        {"import --frob a", 2, "unexpected '--frob'"},
        {"import nothing.conf", 1, "nothing.conf: No such file"},
        {"import .", 1, "no plain file"},
        {"import /dev/null", 1, "no plain file"},
        {"export frob", 2, "takes --wg"},
        {"export --wg --json", 2, "not both"},
        {"import --help", 0, "Example:\n  guardmount import --dry-run"},
        {"export --help", 0, "Example:\n  (umask 077"},
    };
    struct house *h = *state;

    expect_each(h, wrong, ARRAY_LEN(wrong));
    write_in(h, "wg0.conf", "[Interface]\nListenPort = 1\n");
    expect(run(h, "import wg0.conf"), 1, "there is no [Peer] in it");
    write_in(h, "wg0.conf", "[Peer]\n# Name = \xff\xfe\n" KEY(A));
    expect(run(h, "import wg0.conf"), 1, "is no UTF-8");
    write_in(h, "wg0.conf", "[Peer]\n# Name = a\x1b[31m\n" KEY(A));
    expect(run(h, "import wg0.conf"), 1, "a control character in a name");
    assert_int_equal(h->count, 0);
}

#define TH(name) TS(name, setup, desk_teardown)

TEST_MAIN(TH(peers_come_with_the_names_of_their_comments),
          TH(interface_and_hooks_are_reported_and_no_key_is_shown),
          TH(file_with_an_error_adds_nobody_and_all_errors_are_listed),
          TH(what_the_cluster_has_is_compared_too), TH(a_peer_that_came_by_wg_is_told_by_its_key),
          TH(nested_networks_of_two_peers_are_found_behind_those_of_one),
          TH(export_is_imported_as_the_same_peers), TH(export_as_json_tells_all_fields),
          TH(refusal_in_the_middle_says_where_and_the_rest_can_follow),
          TH(peers_come_from_an_interface_that_is_up), TH(wrong_use_is_refused))
