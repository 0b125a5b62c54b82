/* guardmount peer, backup and restore as people and scripts see them. */
#include "base/bytes.h"
#include "base/err.h"
#include "cli/when.h"
#include "lib/test.h"
#include "unit/cli/desk.h"
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

struct house {
    struct desk desk;
    struct peer_command asked; /* the last one */
    unsigned asks;
    int error;
    const char *note;
};

/* One peer that looks as it was asked for. */
static void on_command(void *ctx, const struct control_request *r, struct server_call *call)
{
    struct house *h = ctx;
    struct control_reply reply = {.error = h->error};

    h->asks++;
    h->asked = r->command;
    if (h->error) {
        strcpy(reply.message, "peer 'bob' has that address; take another");
    } else if (r->kind == CONTROL_BACKUP) {
        reply.backup = calloc(1, 8192);
        memcpy(reply.backup, "SQLite format 3", 16);
        reply.backup[16] = 16; /* pages of 4096 */
        reply.backup[31] = 2;
        store_be32(reply.backup + 68, 0x474d5044);
        reply.backup_len = 8192;
    } else {
        reply.peers = peer_rows_new();
        struct peer_row *row = peer_rows_add(reply.peers, 2);
        strcpy(row->name, *r->command.peer ? r->command.peer : "alice");
        strcpy(row->state, "enabled");
        row->key = r->command.key;
        row->has_psk = r->command.has_psk;
        row->keepalive_s = r->command.keepalive_s;
        row->expires_s = r->command.expires_s;
        if (r->command.is_group || *r->command.group) { /* a group of the same settings */
            strcpy(reply.peers->dns, "10.0.0.53");
            strcpy(reply.peers->routes, "10.0.0.0/8");
        }
        for (unsigned t = 0; t < PEER_TEXTS; t++)
            peer_row_say(row, (enum peer_text)t, r->command.text[t]);
        peer_row_allow(row, "10.77.0.2/32");
        peer_row_allow(row, "10.9.0.0/16");
        strcpy(reply.peers->hub_public_key, "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        strcpy(reply.peers->hub_endpoint, "192.0.2.1:51820");
        strcpy(reply.peers->vip, "main");
        strcpy(reply.peers->vip, "main");
        reply.peers->hub_mtu = 1420;
        strcpy(reply.peers->note, h->note ? h->note : "");
    }
    server_reply(call, &reply);
}

static int setup(void **state)
{
    struct house *h = desk_new(sizeof(*h), on_command);

    assert_true(sodium_init() >= 0);
    *state = h;
    return 0;
}

TEST(client_file_is_what_wg_quick_reads)
{
    struct house *h = *state;
    char path[128], text[2048] = "", key[KEY_TEXT_LEN + 1] = "";
    uint8_t private_key[32], public_key[32];
    struct stat st;

    expect(
        run(h, "peer add alice --address auto --psk --conf a.conf --dns 10.77.0.1 --keepalive 25"),
        0, "peer alice added; the client's file is a.conf");
    assert_true(h->asked.address_auto && h->asked.has_psk && h->asked.has_key);
    assert_int_equal(h->asked.keepalive_s, 25);
    snprintf(path, sizeof(path), "%s/a.conf", h->desk.dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    FILE *f = fopen(path, "r");
    assert_true(fread(text, 1, sizeof(text) - 1, f) > 0);
    fclose(f);
    assert_non_null(strstr(text, "\nAddress = 10.77.0.2/32\nDNS = 10.77.0.1\nMTU = 1420\n"));
    assert_non_null(strstr(text, "\nEndpoint = 192.0.2.1:51820\nAllowedIPs = 0.0.0.0/0, ::/0\n"));
    assert_non_null(strstr(text, "PersistentKeepalive = 25\n"));
    strncpy(key, strstr(text, "PrivateKey = ") + 13, KEY_TEXT_LEN);
    assert_true(key_from_base64(key, private_key));
    crypto_scalarmult_base(public_key, private_key);
    assert_memory_equal(public_key, h->asked.key.b, 32); /* only the public half was sent */
    strncpy(key, strstr(text, "PresharedKey = ") + 15, KEY_TEXT_LEN);
    assert_true(key_from_base64(key, private_key));
    assert_memory_equal(private_key, h->asked.psk, 32);
    /* A file that is there is somebody's. */
    h->asks = 0;
    expect(run(h, "peer add bob --address auto --conf a.conf"), 1, "is there already");
    assert_int_equal(h->asks, 0);
}

TEST(file_of_a_peer_that_is_refused_is_not_left_behind)
{
    struct house *h = *state;
    char path[128];

    h->error = -EADDRINUSE;
    expect(run(h, "peer add alice --address 10.77.0.2 --conf a.conf"), 1,
           "peer 'bob' has that address");
    snprintf(path, sizeof(path), "%s/a.conf", h->desk.dir);
    assert_int_equal(access(path, F_OK), -1);
}

TEST(code_of_a_client_is_shown_to_a_terminal_only)
{
    struct house *h = *state;
    char command[512];

    expect(run(h, "peer add alice --address auto --qr"), 2, "is no terminal");
    expect(run(h, "peer add alice --address auto --qr --json"), 2, "does not go with --json");
    assert_int_equal(h->asks, 0);
    snprintf(command, sizeof(command),
             "cd %s && script -qec '" GUARDMOUNT " -s %s peer add alice --address auto --qr' "
             "/dev/null",
             h->desk.dir, h->desk.path);
    expect(child_run(&h->desk.loop, command), 0, "█");
    expect(run(h, "version; ls"), 0, "control.sock\n"); /* and no file is left */
}

TEST(pictures_are_files_of_the_operator_alone)
{
    struct house *h = *state;

    expect(run(h, "peer add alice --address auto --qr-png a.png --qr-svg a.svg --conf a.conf && "
                  "stat -c %a a.png a.svg && head -c 4 a.png | tail -c 3 && head -c 4 a.svg"),
           0, "600\n600\nPNG<svg");
    h->asks = 0;
    expect(run(h, "peer add bob --address auto --conf b.conf --qr-png a.png"), 1,
           "a.png is there already");
    assert_int_equal(h->asks, 0);
    expect(run(h, "version; ls b.conf"), 2, "No such file");
}

TEST(file_that_no_code_holds_is_still_written)
{
    struct house *h = *state;

    expect(run(h, "peer add alice --address auto --conf a.conf --qr-svg a.svg --route "
                  "$(head -c 3000 /dev/zero | tr '\\0' 1); cat a.conf; ls a.svg"),
           2, "the client's file is too large; the peer was added");
    expect(run(h, "version; tail -1 a.conf"), 0, "AllowedIPs = 111");
}

TEST(fields_are_sent_as_they_are_named)
{
    struct house *h = *state;

    expect(run(h, "peer set alice --allowed-ips 10.1.0.0/16,10.2.0.0/16 --allowed-ips fd00::/64 "
                  "--name anna --no-psk"),
           0, "peer alice changed");
    assert_int_equal(h->asked.verb, PEER_SET);
    assert_string_equal(h->asked.allowed, "10.1.0.0/16,10.2.0.0/16,fd00::/64");
    assert_string_equal(h->asked.name, "anna");
    assert_true(h->asked.has_psk && h->asked.psk[0] == 0 && !h->asked.has_keepalive);
    expect(run(h, "peer add carol --pubkey AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= --address "
                  "10.77.0.9 --reinstate --overlap"),
           0, "peer carol added\n");
    assert_true(h->asked.key.b[0] == 1 && h->asked.reinstate && h->asked.overlap);
    static const enum peer_verb verbs[] = {PEER_DISABLE, PEER_ENABLE, PEER_REVOKE, PEER_REMOVE,
                                           PEER_APPROVE};
    static const char *const words[] = {"disable", "enable", "revoke", "remove", "approve"};
    for (unsigned i = 0; i < ARRAY_LEN(words); i++) {
        char arguments[64];
        snprintf(arguments, sizeof(arguments), "peer %s alice", words[i]);
        expect(run(h, arguments), 0, words[i]);
        assert_int_equal(h->asked.verb, verbs[i]);
        assert_string_equal(h->asked.peer, "alice");
    }
}

TEST(what_is_noted_of_a_peer_is_sent_and_shown)
{
    struct house *h = *state;
    const char *owner, *expires;
    time_t now = time(NULL);

    expect(run(h, "-j peer add alice --address auto --pending --owner 'Alice Ames' --device phone "
                  "--note=x --group staff --expires 2099-12-24T18:00Z --conf a.conf"),
           0, "");
    assert_true(h->asked.pending && h->asked.has_group && h->asked.has_expires);
    assert_string_equal(h->asked.group, "staff");
    json_t *o = json_loads(run(h, "-j peer set alice --owner 'Alice Ames' --expires "
                                  "2099-12-24T18:00Z")
                               ->out,
                           0, NULL);
    assert_int_equal(json_unpack(o, "{s:{s:s, s:s}}", "peer", "owner", &owner, "expires", &expires),
                     0);
    assert_string_equal(owner, "Alice Ames");
    assert_string_equal(expires, "2099-12-24T18:00:00Z");
    json_decref(o);
    expect(run(h, "peer set alice --expires 30d --group none --device ''"), 0, "changed");
    assert_in_range(h->asked.expires_s, now + 30 * 86400, now + 30 * 86400 + 60);
    assert_true(h->asked.has_group && !*h->asked.group && h->asked.has_text[PEER_DEVICE]);
    expect(run(h, "peer set alice --expires never"), 0, "changed");
    assert_true(h->asked.has_expires && !h->asked.expires_s);
}

TEST(clients_file_says_what_its_group_says)
{
    struct house *h = *state;

    expect(run(h, "peer add alice --address auto --group staff --conf a.conf; cat a.conf"), 0,
           "DNS = 10.0.0.53\n");
    expect(run(h, "version; cat a.conf"), 0, "AllowedIPs = 10.0.0.0/8\n");
    expect(run(h, "peer add bob --address auto --group staff --dns 1.1.1.1 --route all --conf "
                  "b.conf; cat b.conf"),
           0, "DNS = 1.1.1.1\n");
    expect(run(h, "version; cat b.conf"), 0, "AllowedIPs = 0.0.0.0/0, ::/0\n");
}

TEST(rotation_makes_a_key_or_takes_one)
{
    struct house *h = *state;
    struct public_key zero = {{0}};

    expect(run(h, "peer rotate alice --psk --conf a.conf && grep -c Key a.conf"), 0,
           "has a new key, which takes over when it is first used; the client's file is a.conf\n3");
    assert_int_equal(h->asked.verb, PEER_ROTATE);
    assert_true(h->asked.has_psk && !public_key_equal(&h->asked.key, &zero));
    expect(run(h, "peer rotate alice --cancel"), 0, "alice keeps its key");
    assert_true(h->asked.cancel && !h->asked.has_key);
    expect(run(h, "peer move alice main"), 0,
           "belongs to VIP main; its client's file needs\nEndpoint = 192.0.2.1:51820");
    assert_string_equal(h->asked.vip, "main");
}

TEST(groups_are_asked_for_and_shown)
{
    struct house *h = *state;
    const char *dns;

    expect(run(h, "group add staff --route 10.0.0.0/8 --dns 10.0.0.53 --mtu 1380 --keepalive 25"),
           0, "group staff added");
    assert_true(h->asked.is_group && h->asked.verb == PEER_ADD && h->asked.mtu == 1380);
    assert_string_equal(h->asked.text[PEER_ROUTES], "10.0.0.0/8");
    expect(run(h, "group set staff --route all"), 0, "group staff changed");
    assert_true(h->asked.has_text[PEER_ROUTES] && !*h->asked.text[PEER_ROUTES]);
    expect(run(h, "group set staff --policy isolate --network 10.1.0.0/16,10.2.0.5"), 0, "changed");
    assert_true(h->asked.has_policy && h->asked.policy == POLICY_ISOLATE);
    assert_string_equal(h->asked.text[PEER_NETWORKS], "10.1.0.0/16,10.2.0.5");
    expect(run(h, "group set staff --policy open --network none"), 0, "changed");
    assert_true(h->asked.has_policy && h->asked.policy == POLICY_OPEN);
    assert_true(h->asked.has_text[PEER_NETWORKS] && !*h->asked.text[PEER_NETWORKS]);
    expect(run(h, "group set staff --policy closed"), 2, "open or isolate");
    expect(run(h, "group list"), 0, "GROUP");
    json_t *o = json_loads(run(h, "group show staff --json")->out, 0, NULL);
    assert_int_equal(json_unpack(o, "{s:{s:s}}", "group", "dns", &dns), 0);
    json_decref(o);
    expect(run(h, "group remove staff"), 0, "group staff removed");
}

TEST(times_are_spans_or_dates)
{
    static const struct {
        const char *text;
        uint64_t s;
    } good[] = {{"90m", 1000 + 5400},
                {"12h", 1000 + 43200},
                {"2w", 1000 + 14 * 86400},
                {"1y", 1000 + 365 * 86400},
                {"never", 0},
                {"2026-12-24", 1798156800},
                {"2026-12-24T18:00Z", 1798135200},
                {"2028-02-29T00:00:01Z", 1835395201}};
    static const char *const bad[] = {"",
                                      "0d",
                                      "30",
                                      "d",
                                      "-1d",
                                      "3d4h",
                                      "2026-02-30",
                                      "2026-13-01",
                                      "2026-12-24T25:00Z",
                                      "200y",
                                      "1s",
                                      "9999999999d",
                                      "2026-12-24 18:00"};
    uint64_t s;

    for (unsigned i = 0; i < ARRAY_LEN(good); i++) {
        s = 7;
        assert_int_equal(when_parse(good[i].text, 1000, &s), 0);
        assert_int_equal(s, good[i].s);
    }
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(when_parse(bad[i], 1000, &s), -EINVAL);
}

TEST(unconfirmed_revocation_is_exit_code_4)
{
    struct house *h = *state;

    h->note = "revoked here; not confirmed by berlin";
    expect(run(h, "peer revoke alice"), 4, "not confirmed by berlin");
}

TEST(peers_are_shown_as_table_and_as_json)
{
    struct house *h = *state;
    json_error_t where;
    const char *name, *prefix, *peer_state;
    int schema;

    expect(run(h, "peer list --all"), 0, "alice  enabled  10.77.0.2/32, 10.9.0.0/16");
    assert_true(h->asked.gone);
    expect(run(h, "peer show alice"), 0, "allowed ips  10.77.0.2/32\n             10.9.0.0/16\n");
    expect(run(h, "peer show alice"), 0,
           "vip          main, so its client's file has Endpoint = 192.0.2.1:51820\n");
    json_t *o = json_loads(run(h, "peer list --json")->out, 0, &where);
    assert_int_equal(json_unpack(o, "{s:i, s:[{s:s, s:[s], s:s}]}", "schema", &schema, "peers",
                                 "name", &name, "allowed_ips", &prefix, "state", &peer_state),
                     0);
    assert_int_equal(schema, 1);
    assert_string_equal(prefix, "10.77.0.2/32");
    json_decref(o);
    o = json_loads(run(h, "-j peer add bob --address auto --conf b.conf")->out, 0, &where);
    assert_int_equal(json_unpack(o, "{s:{s:s}}", "peer", "name", &name), 0);
    assert_string_equal(name, "bob");
    json_decref(o);
}

TEST(wrong_use_is_exit_code_2_and_asks_nothing)
{
    static const struct {
        const char *arguments, *word;
    } wrong[] = {
        {"peer", "list, show, add"},
        {"peer frob", "list, show, add"},
        {"peer list alice", "unexpected 'alice'"},
        {"peer show", "needs a peer's name or key"},
        {"peer show a b", "unexpected 'b'"},
        {"peer add", "needs a peer's name"},
        {"peer add alice", "say --conf FILE"},
        {"peer add alice --conf x --pubkey AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
         "not both"},
        {"peer add alice --conf x", "--address auto"},
        {"peer add alice --pubkey short --address auto", "'short' is no public key"},
        {"peer add alice --pubkey AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= --psk --address "
         "auto",
         "needs --conf"},
        {"peer add alice --conf x --address auto --name bob", "without --name"},
        {"peer set alice", "nothing to set"},
        {"peer set alice --keepalive 70000", "0 to 65535"},
        {"peer set alice --keepalive", "needs a value"},
        {"peer set alice --frob", "unexpected '--frob'"},
        {"peer set alice --conf x", "belong to 'peer add'"},
        {"peer set alice --qr", "belong to 'peer add'"},
        {"peer add alice --address auto --qr-png", "needs a value"},
        {"peer add alice --qr-png x --pubkey AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
         "not both"},
        {"peer revoke alice --keepalive 5", "takes no fields"},
        {"peer revoke alice --expires 3d", "takes no fields"},
        {"peer set alice --expires soon", "30d, 2w"},
        {"peer add alice --address auto --conf x --expires 2020-01-01", "over already"},
        {"peer set alice --expires", "30d, 2w"},
        {"peer set alice --group ''", "the name of a group"},
        {"peer set alice --pending", "belongs to 'peer add'"},
        {"peer set alice --note $(head -c 300 /dev/zero | tr '\\0' 1)", "255 bytes at most"},
        {"peer rotate alice", "say --conf FILE"},
        {"peer rotate alice --conf x --keepalive 5", "changes the keys"},
        {"peer rotate alice --cancel --conf x", "goes with no key"},
        {"peer move alice", "needs a peer and a VIP"},
        {"peer move alice main second", "unexpected 'second'"},
        {"peer approve", "needs a peer's name or key"},
        {"group", "list, show, add"},
        {"group frob", "list, show, add"},
        {"group list staff", "unexpected 'staff'"},
        {"group add", "needs a group's name"},
        {"group add staff --mtu x", "takes a number"},
        {"group add staff --frob", "unexpected '--frob'"},
        {"group set staff", "nothing to set"},
        {"group remove staff --mtu 1400", "takes no settings"},
        {"backup", "takes one file"},
        {"restore a b", "takes one file"},
    };
    struct house *h = *state;

    for (unsigned i = 0; i < ARRAY_LEN(wrong); i++)
        expect(run(h, wrong[i].arguments), 2, wrong[i].word);
    assert_int_equal(h->asks, 0);
    expect(run(h, "peer set alice --psk-file /nonexistent"), 1, "no key of 44 characters");
    expect(run(h, "peer --help"), 0, "Example:\n  guardmount peer add alice");
    expect(run(h, "group --help"), 0, "Example:\n  guardmount group add staff");
    expect(run(h, "help restore"), 0, "Example:\n  systemctl stop guardmount");
    expect(run(h, "backup --help"), 0, "Example:\n  guardmount backup");
}

/* ---- backup and restore ---- */

static void write_conf(const struct house *h)
{
    static const uint8_t key[32] = {8, [31] = 64};
    char text[KEY_TEXT_LEN + 1], public_text[KEY_TEXT_LEN + 1], path[128];
    uint8_t public_key[32];

    snprintf(path, sizeof(path), "%s/g.conf", h->desk.dir);
    crypto_scalarmult_base(public_key, key);
    key_to_base64(key, text);
    key_to_base64(public_key, public_text);
    FILE *f = fopen(path, "w");
    fchmod(fileno(f), 0600);
    fprintf(f,
            "[Node]\nId = 1\nStateDirectory = %s\nRunDirectory = %s\n"
            "[Cluster]\nName = office\nClusterKey = %s\nSyncPrivateKey = %s\n"
            "[Member m1]\nId = 1\nSyncPublicKey = %s\nSyncAddress = 10.60.3.1:51900\n"
            "[Hub main]\nHubId = 1\nInterface = hub0\nPrivateKey = %s\n"
            "[Vip main]\nVipId = 1\nHub = main\nOuter = 10.60.1.100/24 dev wan0\n"
            "Members = m1\nVridOuter = 51\n",
            h->desk.dir, h->desk.dir, text, text, public_text, text);
    fclose(f);
}

TEST(backup_is_put_back_when_the_daemon_is_stopped)
{
    struct house *h = *state;

    write_conf(h);
    expect(run(h, "backup b && stat -c %a b"), 0, "b: 8192 bytes; preshared keys are in it\n600\n");
    expect(run(h, "version; touch lock; flock lock " GUARDMOUNT " -c g.conf restore b"), 1,
           "the daemon runs; stop it first");
    expect(run(h, "version; echo old >peers.db-wal; " GUARDMOUNT
                  " -c g.conf restore b && cmp b peers.db && ls peers.db*; stat -c %a peers.db"),
           0, "peers.db\n600\n");
}

TEST(what_is_no_backup_is_not_put_back)
{
    struct house *h = *state;

    write_conf(h);
    expect(run(h, "backup b; echo keep >peers.db; head -c 5000 b >cut; " GUARDMOUNT
                  " -c g.conf restore cut"),
           1, "cut short or grown");
    expect(run(h, "version; seq 1000 >other; " GUARDMOUNT " -c g.conf restore other"), 1,
           "no backup of peers");
    expect(run(h, "version; " GUARDMOUNT " -c g.conf restore nothing"), 1, "nothing: No such file");
    expect(run(h, "version; cat peers.db"), 0, "keep");
}

#define TH(name) TS(name, setup, desk_teardown)

TEST_MAIN(TH(client_file_is_what_wg_quick_reads),
          TH(file_of_a_peer_that_is_refused_is_not_left_behind),
          TH(what_is_noted_of_a_peer_is_sent_and_shown), TH(clients_file_says_what_its_group_says),
          TH(rotation_makes_a_key_or_takes_one), TH(groups_are_asked_for_and_shown),
          T(times_are_spans_or_dates), TH(code_of_a_client_is_shown_to_a_terminal_only),
          TH(pictures_are_files_of_the_operator_alone),
          TH(file_that_no_code_holds_is_still_written), TH(fields_are_sent_as_they_are_named),
          TH(unconfirmed_revocation_is_exit_code_4), TH(peers_are_shown_as_table_and_as_json),
          TH(wrong_use_is_exit_code_2_and_asks_nothing),
          TH(backup_is_put_back_when_the_daemon_is_stopped), TH(what_is_no_backup_is_not_put_back))
