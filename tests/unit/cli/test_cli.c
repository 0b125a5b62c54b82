/* The guardmount command as people and scripts see it: texts, JSON, exit codes. */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "control/listen.h"
#include "control/server.h"
#include "control/stream.h"
#include "lib/test.h"
#include "unit/cli/house.h"
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <uv.h>

TEST(status_is_tables)
{
    struct house *h = *state;

    const struct child *c = guardmount(h, "", "status");
    assert_int_equal(c->status, 0);
    assert_string_equal(
        c->out, "m1: member 1 of office, master, in sync, up 1 h 2 min, version 0.1.0\n"
                "\n"
                "MEMBER  ID  LINK      IN SYNC  LAG      RTT      HEARD\n"
                "m1       1  this one  -          -        -          -\n"
                "berlin   2  live      yes        3  0.25 ms  40 ms ago\n"
                "\n"
                "VIP     ID  HUB  STATE HERE  OWNER   EPOCH    SINCE\n"
                "main     1    1  active      m1          4  1 d 1 h\n"
                "second   2    1  standby     berlin      3        -\n"
                "\n"
                "HUB  INTERFACE   PORT  PEERS  CONNECTED  OWNED  REPLICAS  LAST FAILOVER\n"
                "1    hub0       51820      2          -      5         1        5 s ago\n");
}

TEST(status_tells_why_a_member_does_not_bid_for_a_vip_and_for_how_long)
{
    struct house *h = *state;
    struct status_vip *v = &h->status->vip[1];
    const char *why;
    json_int_t ms;

    strcpy(v->withheld, "not-in-sync");
    expect(guardmount(h, "", "status"), 0, "standby, not-in-sync  berlin");
    expect(guardmount(h, "", "health"), 0, "healthy");
    strcpy(v->withheld, "flapping");
    v->withheld_ms = 65000;
    expect(guardmount(h, "", "status"), 0, "standby, flapping for 1 min 5 s  berlin");
    expect(guardmount(h, "", "health"), 4, "the VIP second came and went here too often");
    json_t *o = json_of(guardmount(h, "", "-j status"));
    assert_int_equal(
        json_unpack(o, "{s:[{}, {s:s, s:I}]}", "vips", "withheld", &why, "withheld_ms", &ms), 0);
    assert_string_equal(why, "flapping");
    assert_int_equal(ms, 65000);
    assert_null(json_object_get(json_array_get(json_object_get(o, "vips"), 0), "withheld"));
    json_decref(o);
}

TEST(peers_are_listed_when_asked_for)
{
    struct house *h = *state;
    const struct child *c = guardmount(h, "LC_ALL=C.UTF-8", "status --peers");

    assert_int_equal(c->status, 0);
    assert_non_null(
        strstr(c->out, "\n"
                       "PEER                                          NAME  ENDPOINT     OWNER     "
                       "   HANDSHAKE  RECEIVED     SENT  SESSIONS\n"
                       "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=  caf\xc3\xa9  192.0.2.1:5  m1 "
                       "     1 h 30 min ago   1.5 KiB  8.0 EiB  current t12, previous t3 replica\n"
                       "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=  -     -            berlin    "
                       "       never       0 B      0 B  -\n"));
}

TEST(colour_is_for_terminals_or_when_told)
{
    struct house *h = *state;

    assert_null(strchr(guardmount(h, "", "status")->out, '\033'));
    assert_non_null(strchr(guardmount(h, "", "status --color=always")->out, '\033'));
    assert_non_null(strchr(guardmount(h, "NO_COLOR=1", "--color always status")->out, '\033'));
    assert_null(strchr(guardmount(h, "", "status --color never")->out, '\033'));
    /* script(1) gives it a terminal. */
    if (system("command -v script >/dev/null") != 0)
        skip();
    char command[512];
    for (int i = 0; i < 3; i++) {
        static const char *const before[] = {"TERM=xterm", "TERM=xterm NO_COLOR=1", "TERM=dumb"};
        snprintf(command, sizeof(command),
                 "env -u NO_COLOR %s script -qec '%s -s %s status' "
                 "/dev/null </dev/null",
                 before[i], GUARDMOUNT, h->path);
        const struct child *c = child_run(&h->loop, command);
        expect(c, 0, "berlin");
        assert_int_equal(strstr(c->out, "\033[") != NULL, i == 0);
    }
}

static bool is_time(const json_t *o)
{
    const char *t = json_string_value(o);

    return t && strlen(t) == 24 && t[10] == 'T' && t[23] == 'Z';
}

TEST(json_has_the_documented_keys)
{
    struct house *h = *state;
    json_t *o = json_of(guardmount(h, "", "status --json --peers"));
    int schema, id, owner, port, heartbeat;
    json_int_t tx;
    const char *name, *cluster, *node_state, *link, *vip, *key, *prefix, *slot;
    json_t *since, *last, *started, *failover, *handshake;
    int fit, in_sync, owned, cut;

    assert_int_equal(json_unpack(o, "{s:i, s:i, s:s, s:s, s:s, s:b, s:b, s:o, s:b}", "schema",
                                 &schema, "id", &id, "name", &name, "cluster", &cluster, "state",
                                 &node_state, "fit", &fit, "in_sync", &in_sync, "started", &started,
                                 "peers_cut", &cut),
                     0);
    assert_int_equal(schema, 1);
    assert_string_equal(node_state, "master");
    assert_true(fit && in_sync && !cut && is_time(started));
    assert_int_equal(json_unpack(o, "{s:[{}, {s:s, s:i, s:o}]}", "members", "link", &link,
                                 "heartbeat_ms", &heartbeat, "last_heartbeat", &last),
                     0);
    assert_string_equal(link, "live");
    assert_true(is_time(last) && heartbeat == 40);
    assert_int_equal(json_unpack(o, "{s:[{s:s, s:b, s:i, s:o}]}", "vips", "name", &vip, "owned",
                                 &owned, "owner", &owner, "since", &since),
                     0);
    assert_true(owned && owner == 1 && is_time(since));
    assert_int_equal(
        json_unpack(o, "{s:[{s:i, s:o}]}", "hubs", "port", &port, "last_failover", &failover), 0);
    assert_true(port == 51820 && is_time(failover));
    assert_int_equal(json_unpack(o, "{s:[{s:s, s:I, s:[s], s:[{s:s}], s:o}]}", "peers",
                                 "public_key", &key, "tx_bytes", &tx, "allowed_ips", &prefix,
                                 "sessions", "slot", &slot, "last_handshake", &handshake),
                     0);
    assert_true(tx == (json_int_t)(UINT64_MAX / 2) && is_time(handshake));
    assert_string_equal(prefix, "10.0.0.0/24");
    assert_string_equal(slot, "current");
    json_decref(o);

    o = json_of(guardmount(h, "", "-j status"));
    assert_null(json_object_get(o, "peers"));
    json_decref(o);
}

TEST(health_has_an_exit_code_and_reasons)
{
    struct house *h = *state;
    json_t *o;
    int good;

    expect(guardmount(h, "", "health"), 0, "healthy\n");
    assert_string_equal(guardmount(h, "", "health -q")->out, "");
    h->status->member[1].in_sync = false;
    expect(guardmount(h, "", "health"), 4, "berlin is not in sync");
    strcpy(h->status->member[1].link, "down");
    expect(guardmount(h, "", "health"), 4, "the link to berlin is down");
    h->status->vip[1].owner = 0;
    expect(guardmount(h, "", "health"), 4, "own the VIP second");
    h->status->fit = h->status->in_sync = false;
    strcpy(h->status->note, "in quarantine");
    expect(guardmount(h, "", "health"), 4, "not fit to serve");
    expect(guardmount(h, "", "status"), 0, "note: in quarantine");
    const struct child *c = guardmount(h, "", "health --quiet");
    assert_int_equal(c->status, 4);
    assert_string_equal(c->out, "");
    c = guardmount(h, "", "health --json");
    assert_int_equal(c->status, 4);
    o = json_of(c);
    assert_int_equal(json_unpack(o, "{s:b}", "healthy", &good), 0);
    assert_false(good);
    assert_int_equal(json_array_size(json_object_get(o, "reasons")), 5);
    json_decref(o);
}

TEST(metrics_are_openmetrics)
{
    struct house *h = *state;

    expect(guardmount(h, "", "metrics"), 0, "wireguard_peer_receive_bytes_total{");
    const struct child *c = guardmount(h, "", "metrics --no-peers");
    expect(c, 0, "guardmount_vip_owned{hub=\"1\",vip=\"main\"} 1\n");
    assert_null(strstr(c->out, "wireguard_peer_receive_bytes_total{"));
    assert_string_equal(c->out + c->len - 6, "# EOF\n");
}

TEST(absent_daemon_is_exit_code_3_and_says_what_to_do)
{
    struct house *h = *state;

    expect(child_run(&h->loop, GUARDMOUNT " -s /nonexistent/sock status"), 3, "start guardmountd");
    expect(child_run(&h->loop, GUARDMOUNT " --socket=/nonexistent/sock health -q"), 3,
           "systemctl start guardmountd)");
}

static size_t say_garbage(void *ctx, void *state, const uint8_t *buf, size_t len)
{
    struct stream_client **c = state;

    stream_answer(*c, strdup((const char *)ctx), strlen(ctx), true);
    return len;
}

static void *keep_client(void *ctx, struct stream_client *c)
{
    struct stream_client **keep = malloc(sizeof(c));

    *keep = c;
    return keep;
}

static void drop_client(void *ctx, void *state)
{
    free(state);
}

TEST(other_programs_on_the_socket_are_exit_code_3)
{
    static const char *const answers[] = {"HTTP/1.1 400 Bad Request\r\n\r\n", "x"};
    struct house *h = *state;
    char path[96], command[256];

    snprintf(path, sizeof(path), "%s/other.sock", h->dir);
    for (unsigned i = 0; i < ARRAY_LEN(answers); i++) {
        struct stream_ops ops = {(void *)answers[i], keep_client, say_garbage, drop_client};
        struct stream *s;
        int fd;

        assert_int_equal(listen_unix(path, 0600, (gid_t)-1, &fd), 0);
        assert_int_equal(stream_new(&h->loop, fd, &ops, &s), 0);
        snprintf(command, sizeof(command), GUARDMOUNT " -s %s status", path);
        expect(child_run(&h->loop, command), 3, path);
        stream_free(s);
        unlink(path);
    }
}

TEST(wrong_use_is_exit_code_2_with_a_hint)
{
    static const struct {
        const char *arguments, *word;
    } wrong[] = {
        {"", "Usage: guardmount"},
        {"statsu", "did you mean 'guardmount status'"},
        {"stat", "did you mean 'guardmount status'"},
        {"metrcs", "did you mean 'guardmount metrics'"},
        {"check-confg", "did you mean 'guardmount check-config'"},
        {"xyzzy", "'guardmount help' lists all"},
        {"0123456789012345678901234567890123456789012345678901234567890123456789", "unknown"},
        {"--frob status", "unknown option '--frob'"},
        {"status --frob", "unexpected '--frob'"},
        {"health x", "unexpected 'x'"},
        {"metrics x", "unexpected 'x'"},
        {"ha", "guardmount ha render"},
        {"ha rendre", "guardmount ha render"},
        {"ha render -o", "-o needs a file"},
        {"ha render x", "unexpected 'x'"},
        {"ha render --conntrackd -o", "-o needs a file"},
        {"genkey --frob", "--cluster"},
        {"check-config a b", "one file"},
        {"version 2", "no arguments"},
        {"status -c", "needs a value"},
        {"--color=pink status", "not 'pink'"},
        {"help frob", "unknown command 'frob'"},
        {"foo", "unknown command 'foo'; 'guardmount help' lists all"},
    };
    struct house *h = *state;
    char command[256];

    for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
        snprintf(command, sizeof(command), GUARDMOUNT " %s", wrong[i].arguments);
        expect(child_run(&h->loop, command), 2, wrong[i].word);
    }
}

TEST(every_command_has_help_with_an_example)
{
    static const char *const names[] = {"status",  "health", "metrics", "events",       "why",
                                        "doctor",  "top",    "ha",      "check-config", "genkey",
                                        "version", "help",   "cluster"};
    struct house *h = *state;
    char command[256], example[64];

    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(example, sizeof(example), "Example:\n  guardmount %s", names[i]);
        snprintf(command, sizeof(command), GUARDMOUNT " %s --help", names[i]);
        expect(child_run(&h->loop, command), 0, example);
        snprintf(command, sizeof(command), GUARDMOUNT " help %s", names[i]);
        expect(child_run(&h->loop, command), 0, example);
        snprintf(example, sizeof(example), "\n  %s ", names[i]);
        expect(child_run(&h->loop, GUARDMOUNT " --help"), 0, example);
    }
    expect(child_run(&h->loop, GUARDMOUNT " --version"), 0, "guardmount " GM_VERSION "\n");
    expect(child_run(&h->loop, GUARDMOUNT " version"), 0, "guardmount " GM_VERSION "\n");
}

TEST(full_output_is_an_error)
{
    struct house *h = *state;

    expect(guardmount(h, "", "status >/dev/full"), 1, "cannot be written");
}

static void key_after(const char *text, const char *name, uint8_t ret[32])
{
    char key[KEY_TEXT_LEN + 1] = "";
    const char *at = strstr(text, name);

    assert_non_null(at);
    strncpy(key, at + strlen(name), KEY_TEXT_LEN);
    assert_true(key_from_base64(key, ret));
}

TEST(keys_are_pairs_and_differ)
{
    struct house *h = *state;
    uint8_t private_key[32], public_key[32], want[32], cluster[2][32];

    const struct child *c = child_run(&h->loop, GUARDMOUNT " genkey");
    assert_int_equal(c->status, 0);
    key_after(c->out, "\nSyncPrivateKey = ", private_key);
    key_after(c->out, "\nSyncPublicKey = ", public_key);
    assert_int_equal(crypto_scalarmult_base(want, private_key), 0);
    assert_memory_equal(want, public_key, 32);
    for (int i = 0; i < 2; i++)
        key_after(child_run(&h->loop, GUARDMOUNT " genkey --cluster")->out,
                  "\nClusterKey = ", cluster[i]);
    assert_memory_not_equal(cluster[0], cluster[1], 32);
}

/* ---- with a configuration ---- */

static void write_conf(const struct house *h, const char *path, const char *more)
{
    static const uint8_t key[32] = {8, [31] = 64};
    char text[KEY_TEXT_LEN + 1];
    FILE *f = fopen(path, "w");

    key_to_base64(key, text);
    assert_non_null(f);
    assert_int_equal(fchmod(fileno(f), 0600), 0);
    fprintf(f,
            "[Node]\nId = 1\nStateDirectory = %s\nRunDirectory = %s\n"
            "[Cluster]\nName = office\nClusterKey = %s\nSyncPrivateKey = %s\nMembershipEpoch = 1\n",
            h->dir, h->dir, text, text);
    for (int id = 1; id <= 2; id++) {
        uint8_t private_key[32] = {8, [31] = 64}, public_key[32];
        private_key[1] = (uint8_t)(id - 1);
        crypto_scalarmult_base(public_key, private_key);
        key_to_base64(public_key, text);
        fprintf(f,
                "[Member m%d]\nId = %d\nSyncPublicKey = %s\nSyncAddress = 10.60.3.%d:51900\n"
                "OuterAddress = 10.60.1.%d\nInnerAddress = 10.60.2.%d\n",
                id, id, text, id, id, id);
    }
    key_to_base64(key, text);
    fprintf(f,
            "[Hub main]\nHubId = 1\nInterface = hub0\nPrivateKey = %s\n"
            "Address = 10.77.0.1/24, fd77::1/64\nMTU = 1420\n"
            "[Vip main]\nVipId = 1\nHub = main\nPort = 51820\n"
            "Outer = 10.60.1.100/24 dev wan0\nInner = 10.60.2.100/24 dev lan0\n"
            "Members = m1, m2\nVridOuter = 51\nVridInner = 61\n%s",
            text, more);
    fclose(f);
}

TEST(configuration_is_checked)
{
    struct house *h = *state;
    char conf[96], command[256], where[192];

    snprintf(conf, sizeof(conf), "%s/good.conf", h->dir);
    write_conf(h, conf, "");
    snprintf(command, sizeof(command), GUARDMOUNT " check-config %s", conf);
    expect(child_run(&h->loop, command), 0, "good: member m1 of office, 1 hub, 1 VIP\n");
    snprintf(command, sizeof(command), GUARDMOUNT " -c %s check-config", conf);
    expect(child_run(&h->loop, command), 0, "good");
    write_conf(h, conf, "Vrid = 5\nHops = 1\n");
    snprintf(where, sizeof(where), "%s:37: unknown key 'Vrid'", conf);
    expect(child_run(&h->loop, command), 1, where);
    snprintf(where, sizeof(where), "%s:38: unknown key 'Hops'", conf);
    expect(child_run(&h->loop, command), 1, where);
    /* Good for the daemon, and nothing that keepalived could be told. */
    write_conf(h, conf,
               "[Vip six]\nVipId = 2\nHub = main\nOuter = fd60::100/64 dev wan0\n"
               "Members = m1, m2\nVridOuter = 52\n[Keepalived]\nMode = unicast\n");
    snprintf(where, sizeof(where), "%s: Mode = unicast: VIP six has no Outer address", conf);
    expect(child_run(&h->loop, command), 1, where);
}

TEST(socket_is_found_through_the_configuration)
{
    struct house *h = *state;
    char conf[96], command[256];

    snprintf(conf, sizeof(conf), "%s/good.conf", h->dir);
    write_conf(h, conf, "");
    snprintf(command, sizeof(command), GUARDMOUNT " -c %s status", conf);
    expect(child_run(&h->loop, command), 0, "m1: member 1 of office");
    snprintf(command, sizeof(command), GUARDMOUNT " -c %s/none.conf status", h->dir);
    expect(child_run(&h->loop, command), 1, "none.conf");
}

TEST(keepalived_file_is_replaced_as_a_whole_or_not_at_all)
{
    struct house *h = *state;
    char conf[96], out[96], command[640], before[128];

    snprintf(conf, sizeof(conf), "%s/good.conf", h->dir);
    snprintf(out, sizeof(out), "%s/keepalived.conf", h->dir);
    write_conf(h, conf, "");
    snprintf(command, sizeof(command), GUARDMOUNT " ha render -c %s", conf);
    expect(child_run(&h->loop, command), 0, "vrrp_instance");
    snprintf(command, sizeof(command),
             "echo old >%s; " GUARDMOUNT " ha render -c %s -o %s && cat %s", out, conf, out, out);
    expect(child_run(&h->loop, command), 0, "vrrp_instance");
    assert_null(strstr(child_run(&h->loop, command)->out, "old"));

    write_conf(h, conf, "Vrid = 5\n");
    snprintf(command, sizeof(command), "echo old >%s; " GUARDMOUNT " ha render -c %s -o %s", out,
             conf, out);
    assert_int_equal(child_run(&h->loop, command)->status, 1);
    snprintf(before, sizeof(before), "cat %s", out);
    child_expect(&h->loop, before, "old\n");
    write_conf(h, conf, "");
    snprintf(command, sizeof(command), GUARDMOUNT " ha render -c %s -o %s/none/x", conf, h->dir);
    expect(child_run(&h->loop, command), 1, "left as it was");
}

TEST_MAIN(TD(status_is_tables),
          TD(status_tells_why_a_member_does_not_bid_for_a_vip_and_for_how_long),
          TD(peers_are_listed_when_asked_for), TD(colour_is_for_terminals_or_when_told),
          TD(json_has_the_documented_keys), TD(health_has_an_exit_code_and_reasons),
          TD(metrics_are_openmetrics), TD(absent_daemon_is_exit_code_3_and_says_what_to_do),
          TD(other_programs_on_the_socket_are_exit_code_3),
          TD(wrong_use_is_exit_code_2_with_a_hint), TD(every_command_has_help_with_an_example),
          TD(full_output_is_an_error), TD(keys_are_pairs_and_differ), TD(configuration_is_checked),
          TD(socket_is_found_through_the_configuration),
          TD(keepalived_file_is_replaced_as_a_whole_or_not_at_all))
