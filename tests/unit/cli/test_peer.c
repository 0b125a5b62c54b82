/* guardmount peer, backup and restore as people and scripts see them. */
#include "base/bytes.h"
#include "base/err.h"
#include "control/server.h"
#include "lib/test.h"
#include "unit/cli/command.h"
#include "unit/control/socket.h"
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <uv.h>

struct house {
    uv_loop_t loop;
    char dir[SOCKET_DIR_LEN], path[SOCKET_PATH_LEN];
    struct server *server;
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
        peer_row_allow(row, "10.77.0.2/32");
        peer_row_allow(row, "10.9.0.0/16");
        strcpy(reply.peers->hub_public_key, "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        strcpy(reply.peers->hub_endpoint, "192.0.2.1:51820");
        reply.peers->hub_mtu = 1420;
        strcpy(reply.peers->note, h->note ? h->note : "");
    }
    server_reply(call, &reply);
}

static int setup(void **state)
{
    struct house *h = calloc(1, sizeof(*h));
    struct server_ops ops = {.ctx = h, .command = on_command};

    assert_true(sodium_init() >= 0);
    h->server = socket_open(&h->loop, h->dir, h->path, &ops);
    *state = h;
    return 0;
}

static int teardown(void **state)
{
    struct house *h = *state;

    socket_close(h->server, &h->loop, h->dir, h->path);
    free(h);
    return 0;
}

static const struct child *run(struct house *h, const char *arguments)
{
    char inside[SOCKET_DIR_LEN + 8];

    snprintf(inside, sizeof(inside), "cd %s &&", h->dir);
    return guardmount_run(&h->loop, h->path, inside, arguments);
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
    snprintf(path, sizeof(path), "%s/a.conf", h->dir);
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
    snprintf(path, sizeof(path), "%s/a.conf", h->dir);
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
             h->dir, h->path);
    expect(child_run(&h->loop, command), 0, "█");
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
    static const enum peer_verb verbs[] = {PEER_DISABLE, PEER_ENABLE, PEER_REVOKE, PEER_REMOVE};
    static const char *const words[] = {"disable", "enable", "revoke", "remove"};
    for (unsigned i = 0; i < ARRAY_LEN(words); i++) {
        char arguments[64];
        snprintf(arguments, sizeof(arguments), "peer %s alice", words[i]);
        expect(run(h, arguments), 0, words[i]);
        assert_int_equal(h->asked.verb, verbs[i]);
        assert_string_equal(h->asked.peer, "alice");
    }
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
        {"backup", "takes one file"},
        {"restore a b", "takes one file"},
    };
    struct house *h = *state;

    for (unsigned i = 0; i < ARRAY_LEN(wrong); i++)
        expect(run(h, wrong[i].arguments), 2, wrong[i].word);
    assert_int_equal(h->asks, 0);
    expect(run(h, "peer set alice --psk-file /nonexistent"), 1, "no key of 44 characters");
    expect(run(h, "peer --help"), 0, "Example:\n  guardmount peer add alice");
    expect(run(h, "help restore"), 0, "Example:\n  systemctl stop guardmount");
    expect(run(h, "backup --help"), 0, "Example:\n  guardmount backup");
}

/* ---- backup and restore ---- */

static void write_conf(const struct house *h)
{
    static const uint8_t key[32] = {8, [31] = 64};
    char text[KEY_TEXT_LEN + 1], public_text[KEY_TEXT_LEN + 1], path[128];
    uint8_t public_key[32];

    snprintf(path, sizeof(path), "%s/g.conf", h->dir);
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
            h->dir, h->dir, text, text, public_text, text);
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

#define TH(name) TS(name, setup, teardown)

TEST_MAIN(TH(client_file_is_what_wg_quick_reads),
          TH(file_of_a_peer_that_is_refused_is_not_left_behind),
          TH(code_of_a_client_is_shown_to_a_terminal_only),
          TH(pictures_are_files_of_the_operator_alone),
          TH(file_that_no_code_holds_is_still_written), TH(fields_are_sent_as_they_are_named),
          TH(unconfirmed_revocation_is_exit_code_4), TH(peers_are_shown_as_table_and_as_json),
          TH(wrong_use_is_exit_code_2_and_asks_nothing),
          TH(backup_is_put_back_when_the_daemon_is_stopped), TH(what_is_no_backup_is_not_put_back))
