/* The configuration of keepalived that a member needs: what must stand in it, and that the
 * keepalived of this machine, if there is one, takes it without a warning. */
#include "base/err.h"
#include "ha/conntrackd.h"
#include "ha/fifo.h"
#include "ha/health.h"
#include "ha/render.h"
#include "lib/test.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define KEY "kEQAE+NJTHHNVN61HvuzoUQ1XRUQy/Qzbb22uzsiCxk="
#define BLOCK_MAX 2048

/* A file of @members members; the strings go into [Node], [Vip] and [Keepalived]. */
struct file {
    unsigned self, members;
    const char *node, *vip, *more_vips, *keepalived, *addresses;
    bool sync_v6;
};

static const char pair[] = "Outer = 203.0.113.100/24 dev eth0\n"
                           "Inner = 10.0.0.100/24 dev eth1\n"
                           "VridOuter = 51\nVridInner = 61\n";
static const char public_keys[][45] = {
    "",
    "hxzALjDWgtWyRbVEDbvTmwBBqcMJljZa1qg7h8+41yI=", "ObniiePL4J7tr3jzg+JbRmX9KN7hsiGmIDnQYr57kAw=",
    "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=", "XASDCY1JhUq6tAm3CK4/8LkZtf6TZkfPdE7rVYo7mZ4="};
static const char private_key[] = "GAZvC+TKkBCDFU3az/6/k2RYGqWaMmBKsAF2MGTZi0Q=";

static struct conf *conf_of(const struct file *f)
{
    char text[8192], error[CONF_ERROR_LEN];
    struct conf *c = NULL;
    size_t n = (size_t)snprintf(text, sizeof(text),
                                "[Node]\nId = %u\n%s[Cluster]\nName = office\nClusterKey = " KEY
                                "\nSyncPrivateKey = %s\n",
                                f->self, f->node ? f->node : "", private_key);

    for (unsigned i = 1; i <= f->members; i++) {
        n += (size_t)snprintf(text + n, sizeof(text) - n,
                              "[Member m%u]\nId = %u\nSyncPublicKey = %s\n"
                              "SyncAddress = %s%u%s:51900\n",
                              i, i,
                              public_keys[i == f->self ? 1
                                          : i == 1     ? f->self
                                                       : i],
                              f->sync_v6 ? "[fd99::" : "192.168.99.", i, f->sync_v6 ? "]" : "");
        if (f->addresses)
            n += (size_t)snprintf(text + n, sizeof(text) - n, f->addresses, i, i);
    }
    n += (size_t)snprintf(text + n, sizeof(text) - n,
                          "[Hub main]\nHubId = 1\nInterface = hub1\nPrivateKey = %s\n"
                          "Address = 10.77.0.1/16\n[Vip main]\nVipId = 1\nHub = main\n%s",
                          private_key, f->vip ? f->vip : pair);
    if (!f->vip || !strstr(f->vip, "Members")) {
        n += (size_t)snprintf(text + n, sizeof(text) - n, "Members = m1");
        for (unsigned i = 2; i <= f->members; i++)
            n += (size_t)snprintf(text + n, sizeof(text) - n, ", m%u", i);
    }
    snprintf(text + n, sizeof(text) - n, "\n%s[Keepalived]\n%s", f->more_vips ? f->more_vips : "",
             f->keepalived ? f->keepalived : "");
    if (conf_parse("f", text, strlen(text), &c, error) < 0)
        fail_msg("%s\n%s", error, text);
    return c;
}

static char *rendered(const struct file *f)
{
    _cleanup_(conf_freep) struct conf *c = conf_of(f);
    char error[RENDER_ERROR_LEN] = "", *text = NULL;

    if (render_keepalived(c, &text, error) < 0)
        fail_msg("%s", error);
    return text;
}

static const char *refused(const struct file *f, int want)
{
    static char error[RENDER_ERROR_LEN];
    _cleanup_(conf_freep) struct conf *c = conf_of(f);
    char *text = NULL;

    *error = 0;
    assert_int_equal(render_keepalived(c, &text, error), want);
    assert_null(text);
    assert_null(strchr(error, '\n'));
    return error;
}

/* What stands between the braces of @head in @text, a line each without indent, " | " between. */
static const char *block(const char *text, const char *head)
{
    static char body[4][BLOCK_MAX];
    static unsigned turn;
    char want[128], *out = body[turn++ % 4];
    int depth = 0;
    size_t n = 0;

    snprintf(want, sizeof(want), "%s {\n", head);
    for (const char *at = text; (at = strstr(at, want)); at++) {
        if (at != text && at[-1] != '\n' && at[-1] != ' ')
            continue;
        out[0] = 0;
        for (const char *line = at, *end; *line; line = end + 1) {
            end = strchr(line, '\n');
            line += strspn(line, " ");
            depth += end[-1] == '{' ? 1 : 0;
            depth -= *line == '}' ? 1 : 0;
            if (depth == 0)
                return out;
            if (line != at)
                n += (size_t)snprintf(out + n, BLOCK_MAX - n, "%s%.*s", n ? " | " : "",
                                      (int)(end - line), line);
        }
    }
    return NULL;
}

static void assert_has(const char *text, const char *what)
{
    if (!text || !strstr(text, what))
        fail_msg("'%s' is not in:\n%s", what, text ? text : "(no such block)");
}

static void assert_has_not(const char *text, const char *what)
{
    if (text && strstr(text, what))
        fail_msg("'%s' is in:\n%s", what, text);
}

TEST(a_vip_of_two_sides_is_two_instances_in_a_sync_group)
{
    _cleanup_(freep) char *t = rendered(&(struct file){.self = 1, .members = 2});

    assert_string_equal(block(t, "vrrp_instance GM_1_OUTER"),
                        "state BACKUP | interface eth0 | virtual_router_id 51 | priority 253 | "
                        "advert_int 0.10 | virtual_ipaddress { | 203.0.113.100/24 dev eth0 | }");
    assert_string_equal(block(t, "vrrp_instance GM_1_INNER"),
                        "state BACKUP | interface eth1 | virtual_router_id 61 | priority 253 | "
                        "advert_int 0.10 | virtual_ipaddress { | 10.0.0.100/24 dev eth1 | }");
    /* Trackers of the group: on a member of a group keepalived ignores their weights. */
    assert_string_equal(
        block(t, "vrrp_sync_group GM_1"),
        "group { | GM_1_OUTER | GM_1_INNER | } | "
        "track_file { | gm_health_1 | gm_weight_1 | } | track_interface { | hub1 | }");
    assert_has_not(t, "nopreempt"); /* weights could not move the VIP */
    assert_has_not(t, "unicast");
    assert_has_not(t, "authentication");
}

TEST(keepalived_is_told_of_the_fifo_and_of_both_files)
{
    _cleanup_(freep) char *t =
        rendered(&(struct file){.self = 1, .members = 2, .node = "RunDirectory = /run/gm-x\n"});
    const char *global = block(t, "global_defs");

    assert_has(global, "vrrp_version 3");
    assert_has(global, "vrrp_notify_fifo /run/gm-x/vrrp.fifo");
    assert_has(global, "router_id m1");
    assert_has(global, "enable_script_security");
    assert_has(global, "vrrp_garp_master_refresh 10");
    /* "reverse" without "init_file": what is missing or 0 is FAULT. */
    assert_string_equal(block(t, "track_file gm_health_1"),
                        "file /run/gm-x/" HEALTH_FILE "-1 | weight 0 reverse");
    assert_string_equal(block(t, "track_file gm_weight_1"),
                        "file /run/gm-x/" WEIGHT_FILE "-1 | weight 1");
}

TEST(its_names_are_those_that_the_fifo_reader_knows)
{
    _cleanup_(freep) char *t = rendered(&(struct file){.self = 1, .members = 2});
    static const struct {
        const char *head;
        enum fifo_part part;
    } all[] = {{"vrrp_sync_group GM_1", FIFO_WHOLE},
               {"vrrp_instance GM_1_OUTER", FIFO_OUTER},
               {"vrrp_instance GM_1_INNER", FIFO_INNER}};

    for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
        struct fifo_line line = {0};
        enum fifo_part part;
        uint16_t vip;

        assert_non_null(block(t, all[i].head));
        strcpy(line.name, strchr(all[i].head, ' ') + 1);
        assert_true(fifo_vip(&line, &vip, &part));
        assert_int_equal(vip, 1);
        assert_int_equal(part, all[i].part);
    }
}

TEST(fast_adverts_come_with_real_time_scheduling)
{
    _cleanup_(freep) char *slow = rendered(&(struct file){
        .self = 1, .members = 2, .keepalived = "AdvertInterval = 100ms\nRtPriority = 0\n"});
    _cleanup_(freep) char *fast = rendered(&(struct file){
        .self = 1, .members = 2, .keepalived = "AdvertInterval = 90ms\nRtPriority = 0\n"});
    _cleanup_(freep) char *second =
        rendered(&(struct file){.self = 1, .members = 2, .keepalived = "AdvertInterval = 1s\n"});
    _cleanup_(freep) char *own = rendered(&(struct file){
        .self = 1, .members = 2, .keepalived = "AdvertInterval = 30ms\nRtPriority = 20\n"});

    assert_has_not(slow, "vrrp_rt_priority");
    assert_has_not(slow, "vrrp_rlimit_rttime");
    assert_has(block(slow, "vrrp_instance GM_1_OUTER"), "advert_int 0.10");
    assert_has(block(fast, "global_defs"), "vrrp_rt_priority 50");
    assert_has(block(fast, "global_defs"), "vrrp_rlimit_rttime 1000000");
    assert_has(block(fast, "vrrp_instance GM_1_OUTER"), "advert_int 0.09");
    assert_has(block(second, "vrrp_instance GM_1_INNER"), "advert_int 1.00");
    assert_has(block(own, "global_defs"), "vrrp_rt_priority 20");
    assert_has(block(own, "vrrp_instance GM_1_INNER"), "advert_int 0.03");
}

TEST(priorities_follow_the_order_of_the_members_and_weights_cross_them)
{
    unsigned priority[5];

    for (unsigned self = 1; self <= 4; self++) {
        _cleanup_(conf_freep) struct conf *c = conf_of(&(struct file){.self = self, .members = 4});
        char want[32];
        _cleanup_(freep) char *t = rendered(&(struct file){.self = self, .members = 4});

        priority[self] = render_priority(c, &c->vip[0], (uint8_t)self);
        snprintf(want, sizeof(want), "priority %u |", priority[self]);
        assert_has(block(t, "vrrp_instance GM_1_OUTER"), want);
        assert_has(block(t, "vrrp_instance GM_1_INNER"), want);
        assert_int_equal(render_priority(c, &c->vip[0], 9), 0);
    }
    assert_true(priority[1] >= priority[2] && priority[2] > priority[3] &&
                priority[3] > priority[4]);
    /* A preferred one that is not in sync is below a third that is; drained, below all behind. */
    assert_true((int)priority[1] + WEIGHT_BEHIND < (int)priority[3] + WEIGHT_FIT);
    assert_true((int)priority[1] + WEIGHT_DRAIN < (int)priority[4] + WEIGHT_FIT);
    assert_true((int)priority[1] + WEIGHT_DRAIN < (int)priority[3] + WEIGHT_BEHIND);
    /* VRRP's: 255 is another thing, 0 gives up; and keepalived stops at 254, where only one that is
     * promoted may be. */
    for (unsigned i = 1; i <= 4; i++)
        assert_true((int)priority[i] + WEIGHT_DRAIN > 0 && priority[i] < 254);
    assert_true((int)priority[4] + WEIGHT_PROMOTE >= 254);
}

TEST(vips_with_different_owners_are_taken_back_by_them)
{
    struct file f = {.self = 1,
                     .members = 2,
                     .more_vips =
                         "[Vip second]\nVipId = 2\nHub = main\nPort = 51821\n"
                         "Outer = 203.0.113.101/24 dev eth0\nInner = 10.0.0.101/24 dev eth1\n"
                         "VridOuter = 52\nVridInner = 62\nMembers = m2, m1\n"};
    _cleanup_(freep) char *t = rendered(&f);

    assert_has(block(t, "vrrp_instance GM_1_OUTER"), "priority 253 |");
    assert_has(block(t, "vrrp_instance GM_2_OUTER"), "priority 252 |");
    assert_has(block(t, "vrrp_sync_group GM_2"), "GM_2_OUTER | GM_2_INNER");
    assert_has(block(t, "vrrp_sync_group GM_2"), "gm_health_2 | gm_weight_2");
}

TEST(a_vip_with_one_side_is_one_instance_with_trackers_of_its_own)
{
    _cleanup_(freep) char *t = rendered(&(struct file){
        .self = 1, .members = 2, .vip = "Outer = 203.0.113.100/24 dev eth0\nVridOuter = 51\n"});

    assert_has_not(t, "vrrp_sync_group"); /* a group of one is a warning, and that is fatal */
    assert_string_equal(block(t, "vrrp_instance GM_1"),
                        "state BACKUP | interface eth0 | virtual_router_id 51 | priority 253 | "
                        "advert_int 0.10 | track_file { | gm_health_1 | gm_weight_1 | } | "
                        "track_interface { | hub1 | } | "
                        "virtual_ipaddress { | 203.0.113.100/24 dev eth0 | }");
}

TEST(further_addresses_are_excluded_from_the_adverts_and_their_nics_tracked)
{
    _cleanup_(freep) char *t = rendered(
        &(struct file){.self = 2,
                       .members = 2,
                       .vip = "Outer = 2001:db8::100/64 dev eth0, 203.0.113.100/24 dev eth2\n"
                              "Inner = 10.0.0.100/24 dev eth1, 10.0.1.100/24 dev eth1\n"
                              "VridOuter = 51\nVridInner = 61\n"});

    /* One address in the adverts on every member, IPv4 where there is one. */
    assert_has(block(t, "vrrp_instance GM_1_OUTER"),
               "interface eth2 | virtual_router_id 51 | priority 253 | advert_int 0.10 | "
               "virtual_ipaddress { | 203.0.113.100/24 dev eth2 | } | "
               "virtual_ipaddress_excluded { | 2001:db8::100/64 dev eth0 | }");
    assert_has(block(t, "vrrp_instance GM_1_INNER"),
               "virtual_ipaddress { | 10.0.0.100/24 dev eth1 | } | "
               "virtual_ipaddress_excluded { | 10.0.1.100/24 dev eth1 | }");
    assert_has(block(t, "vrrp_sync_group GM_1"), "track_interface { | hub1 | eth0 | }");
}

TEST(unicast_names_every_other_member_and_checks_where_adverts_come_from)
{
    struct file f = {.self = 2,
                     .members = 3,
                     .keepalived = "Mode = unicast\n",
                     .addresses = "OuterAddress = 203.0.113.%u\nInnerAddress = 10.0.0.%u\n"};
    _cleanup_(freep) char *t = rendered(&f);

    assert_has(block(t, "vrrp_instance GM_1_OUTER"),
               "unicast_src_ip 203.0.113.2 | check_unicast_src | "
               "unicast_peer { | 203.0.113.1 | 203.0.113.3 | }");
    assert_has(block(t, "vrrp_instance GM_1_INNER"),
               "unicast_src_ip 10.0.0.2 | check_unicast_src | "
               "unicast_peer { | 10.0.0.1 | 10.0.0.3 | }");
    f.members = 1;
    f.self = 1;
    _cleanup_(freep) char *alone = rendered(&f);
    assert_has_not(alone, "unicast"); /* there is nobody to name */
    f = (struct file){.self = 1, .members = 2};
    _cleanup_(conf_freep) struct conf *c = conf_of(&f);
    char error[RENDER_ERROR_LEN], *text = NULL;
    c->unicast = true;
    assert_int_equal(render_keepalived(c, &text, error), -EINVAL);
    assert_has(error, "VIP main has no Outer address of the family");
    c->member[1].outer_address = c->member[2].outer_address = c->vip[0].outer[0].addr;
    c->member[1].inner_address[0] = c->vip[0].inner[0].addr;
    assert_int_equal(render_keepalived(c, &text, error), -EINVAL);
    assert_has(error, "member m2 needs an IPv4 InnerAddress");
}

TEST(what_would_collide_on_the_wire_is_refused)
{
    struct file f = {.self = 1,
                     .members = 2,
                     .more_vips =
                         "[Vip second]\nVipId = 2\nHub = main\nPort = 51821\n"
                         "Outer = 203.0.113.101/24 dev eth0\nInner = 10.0.0.101/24 dev eth1\n"
                         "VridOuter = 52\nVridInner = 62\nMembers = m1, m2\n"};
    _cleanup_(conf_freep) struct conf *c = conf_of(&f);
    char error[RENDER_ERROR_LEN], *text = NULL;

    c->vip[1].vrid_outer = 51;
    assert_int_equal(render_keepalived(c, &text, error), -EINVAL);
    assert_null(text);
    assert_has(error, "virtual router id 51 is used twice on eth0");
    c->vip[1].vrid_outer = 61; /* the same number on another NIC is another router */
    assert_int_equal(render_keepalived(c, &text, error), 0);
    free(text);
    f = (struct file){.self = 3,
                      .members = 3,
                      .vip = "Outer = 203.0.113.100/24 dev eth0\nVridOuter = 51\n"
                             "Members = m1, m2"};
    assert_has(refused(&f, -ENOENT), "no VIP lists member m3");
}

TEST(words_that_would_change_the_meaning_of_the_file_are_refused)
{
    static const char *const bad[] = {"/run/a b",   "/run/a\n}", "run",     "",
                                      "/run/\"x\"", "/run/$x",   "/run/#x", "/run/{"};
    _cleanup_(conf_freep) struct conf *c = conf_of(&(struct file){.self = 1, .members = 2});
    char error[RENDER_ERROR_LEN], *text = NULL;

    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        strcpy(c->run_dir, bad[i]);
        assert_int_equal(render_keepalived(c, &text, error), -EINVAL);
    }
    strcpy(c->run_dir, "/run/guardmount");
    strcpy(c->vip[0].outer[0].ifname, "eth0 }");
    assert_int_equal(render_keepalived(c, &text, error), -EINVAL);
    strcpy(c->vip[0].outer[0].ifname, "eth0");
    strcpy(c->member[1].name, "m1\n");
    assert_int_equal(render_keepalived(c, &text, error), -EINVAL);
    strcpy(c->member[1].name, "m1");
    for (unsigned ms = 0; ms <= 1010; ms += 5) {
        c->advert_ms = ms;
        int r = render_keepalived(c, &text, error);
        assert_int_equal(r, ms >= 10 && ms <= 1000 && ms % 10 == 0 ? 0 : -EINVAL);
        if (r == 0)
            free(TAKE_PTR(text));
    }
    assert_null(text);
}

/* ---- the program itself ---- */

/* 0: it takes @text and says nothing; what it says goes to @log. */
static int keepalived_takes(const char *text, char *log, size_t room)
{
    char dir[] = "/tmp/gm-render-XXXXXX", conf[64], told[64], pid_file[3][64];
    int status;

    assert_non_null(mkdtemp(dir));
    snprintf(conf, sizeof(conf), "%s/conf", dir);
    snprintf(told, sizeof(told), "%s/log", dir);
    for (unsigned i = 0; i < 3; i++)
        snprintf(pid_file[i], sizeof(pid_file[i]), "%s/pid%u", dir, i);
    FILE *f = fopen(conf, "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0 && fclose(f) == 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char option[96];

        snprintf(option, sizeof(option), "--config-test=%s", told);
        execlp("keepalived", "keepalived", "-f", conf, "-p", pid_file[0], "-r", pid_file[1], "-c",
               pid_file[2], option, NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    f = fopen(told, "re");
    size_t n = f ? fread(log, 1, room - 1, f) : 0;
    log[n] = 0;
    if (f)
        fclose(f);
    unlink(told);
    unlink(conf);
    rmdir(dir);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(keepalived_takes_every_kind_without_a_warning)
{
    static const struct file files[] = {
        {.self = 1, .members = 2, .keepalived = "AdvertInterval = 30ms\n"},
        {.self = 2,
         .members = 3,
         .keepalived = "Mode = unicast\n",
         .addresses = "OuterAddress = 203.0.113.%u\nInnerAddress = 10.0.0.%u\n"},
        {.self = 1, .members = 2, .vip = "Outer = 203.0.113.100/24 dev eth0\nVridOuter = 51\n"},
        {.self = 1, .members = 1},
        {.self = 2,
         .members = 2,
         .vip = "Outer = 2001:db8::100/64 dev eth0, 203.0.113.100/24 dev eth2\n"
                "Inner = 10.0.0.100/24 dev eth1, 10.0.1.100/24 dev eth1\n"
                "VridOuter = 51\nVridInner = 61\n",
         .more_vips = "[Vip second]\nVipId = 2\nHub = main\nPort = 51821\n"
                      "Outer = fe80::5/64 dev eth0\nInner = 10.0.0.101/24 dev eth1\n"
                      "VridOuter = 52\nVridInner = 62\nMembers = m2, m1\n"}};
    char log[4096];

    if (geteuid() != 0 || keepalived_takes("", log, sizeof(log)) == 127)
        skip(); /* there is none, or it would warn of what only root may do */
    assert_int_not_equal(keepalived_takes("vrrp_instance x {\n    nonsense\n}\n", log, sizeof(log)),
                         0); /* it does look */
    for (unsigned i = 0; i < ARRAY_LEN(files); i++) {
        _cleanup_(freep) char *t = rendered(&files[i]);

        if (keepalived_takes(t, log, sizeof(log)) != 0)
            fail_msg("file %u: %s\n%s", i, log, t);
    }
}

/* ---- conntrackd's ---- */

#define CONNTRACKD "[Conntrackd]\nInterface = sync0\n"

static char *conntrackd_of(const struct file *f, int want, char error[RENDER_ERROR_LEN])
{
    _cleanup_(conf_freep) struct conf *c = conf_of(f);
    char *text = NULL;

    *error = 0;
    assert_int_equal(render_conntrackd(c, &text, error), want);
    return text;
}

TEST(two_members_speak_conntrackds_acknowledged_protocol)
{
    char error[RENDER_ERROR_LEN];
    _cleanup_(freep) char *t = conntrackd_of(
        &(struct file){.self = 2, .members = 2, .keepalived = CONNTRACKD "Port = 99\n"}, 0, error);

    assert_string_equal(block(t, "Mode FTFW"), "DisableExternalCache On | StartupResync On");
    assert_string_equal(block(t, "UDP"),
                        "IPv4_address 192.168.99.2 | IPv4_Destination_Address 192.168.99.1 | "
                        "Port 99 | Interface sync0 | Checksum On");
    assert_has_not(t, "Multicast");
}

TEST(more_members_speak_multicast)
{
    char error[RENDER_ERROR_LEN];
    _cleanup_(freep) char *t =
        conntrackd_of(&(struct file){.self = 3, .members = 3, .keepalived = CONNTRACKD}, 0, error);

    assert_string_equal(block(t, "Mode NOTRACK"), "DisableExternalCache On | StartupResync On");
    assert_string_equal(block(t, "Multicast"),
                        "IPv4_address 225.0.0.50 | Group 3780 | IPv4_interface 192.168.99.3 | "
                        "Interface sync0 | Checksum On");
    assert_has_not(t, "UDP {");
}

TEST(connections_of_members_and_of_the_tunnel_itself_are_not_told)
{
    char error[RENDER_ERROR_LEN];
    /* The own address on the LAN is that of the sync channel: it stands there once. */
    _cleanup_(freep) char *t = conntrackd_of(
        &(struct file){.self = 1,
                       .members = 2,
                       .keepalived = CONNTRACKD,
                       .addresses = "OuterAddress = 203.0.113.%u\nInnerAddress = 192.168.99.%u\n"},
        0, error);

    assert_string_equal(block(t, "Address Ignore"),
                        "IPv4_address 127.0.0.1 | IPv6_address ::1 | IPv4_address 192.168.99.1 | "
                        "IPv4_address 203.0.113.1 | IPv4_address 192.168.99.2 | "
                        "IPv4_address 203.0.113.2 | IPv4_address 203.0.113.100");
}

TEST(nor_are_those_of_vips_of_both_families_whose_siblings_speak_ipv6)
{
    char error[RENDER_ERROR_LEN];
    struct file f = {.self = 1,
                     .members = 2,
                     .keepalived = CONNTRACKD,
                     .addresses = "OuterAddress = 2001:db8::%u\n# member %u has no other one\n",
                     .vip = "Outer = 2001:db8::100/64 dev eth0, 203.0.113.100/24 dev eth2\n"
                            "Inner = fd00::100/64 dev eth1\nVridOuter = 51\nVridInner = 61\n",
                     .more_vips = "[Vip second]\nVipId = 2\nHub = main\nPort = 51821\n"
                                  "Outer = 2001:db8::101/64 dev eth0\nVridOuter = 52\n"
                                  "Members = m2, m1\n",
                     .sync_v6 = true};
    _cleanup_(freep) char *two = conntrackd_of(&f, 0, error);

    /* A VIP's address on the LAN is that of no connection that is tracked. */
    assert_string_equal(block(two, "Address Ignore"),
                        "IPv4_address 127.0.0.1 | IPv6_address ::1 | IPv6_address fd99::1 | "
                        "IPv6_address 2001:db8::1 | IPv6_address fd99::2 | "
                        "IPv6_address 2001:db8::2 | IPv6_address 2001:db8::100 | "
                        "IPv4_address 203.0.113.100 | IPv6_address 2001:db8::101");
    assert_string_equal(block(two, "UDP"),
                        "IPv6_address fd99::1 | IPv6_Destination_Address fd99::2 | Port 3780 | "
                        "Interface sync0 | Checksum On");
    f.members = 3;
    f.addresses = NULL;
    _cleanup_(freep) char *three = conntrackd_of(&f, 0, error);
    assert_string_equal(block(three, "Multicast"),
                        "IPv6_address ff15::50 | Group 3780 | Interface sync0 | Checksum On");
}

TEST(conntrackd_is_rendered_when_it_is_asked_for_and_there_is_a_sibling)
{
    char error[RENDER_ERROR_LEN];

    conntrackd_of(&(struct file){.self = 1, .members = 2}, -ENOENT, error);
    assert_has(error, "no [Conntrackd] section");
    conntrackd_of(&(struct file){.self = 1, .members = 1, .keepalived = CONNTRACKD}, -ENOENT,
                  error);
    assert_has(error, "no sibling");
}

TEST_MAIN(T(two_members_speak_conntrackds_acknowledged_protocol), T(more_members_speak_multicast),
          T(connections_of_members_and_of_the_tunnel_itself_are_not_told),
          T(nor_are_those_of_vips_of_both_families_whose_siblings_speak_ipv6),
          T(conntrackd_is_rendered_when_it_is_asked_for_and_there_is_a_sibling),
          T(a_vip_of_two_sides_is_two_instances_in_a_sync_group),
          T(keepalived_is_told_of_the_fifo_and_of_both_files),
          T(its_names_are_those_that_the_fifo_reader_knows),
          T(fast_adverts_come_with_real_time_scheduling),
          T(priorities_follow_the_order_of_the_members_and_weights_cross_them),
          T(vips_with_different_owners_are_taken_back_by_them),
          T(a_vip_with_one_side_is_one_instance_with_trackers_of_its_own),
          T(further_addresses_are_excluded_from_the_adverts_and_their_nics_tracked),
          T(unicast_names_every_other_member_and_checks_where_adverts_come_from),
          T(what_would_collide_on_the_wire_is_refused),
          T(words_that_would_change_the_meaning_of_the_file_are_refused),
          T(keepalived_takes_every_kind_without_a_warning))
