/* What doctor makes of the facts of a machine: one thing wrong, one finding with its remedy. */
#include "base/err.h"
#include "cli/doctor.h"
#include "lib/test.h"
#include <stdio.h>
#include <string.h>

static struct conf conf;
static struct status status;
static struct doctor d;

/* A member where nothing is wrong. */
static struct host healthy(void)
{
    struct host h = {.conf_path = "/etc/guardmount/guardmount.conf",
                     .conf = &conf,
                     .root = true,
                     .status = &status,
                     .forward4 = 1,
                     .forward6 = 1,
                     .rmem_max = 16 << 20,
                     .wmem_max = 16 << 20,
                     .iface_count = 2,
                     .clock_known = true,
                     .clock_synchronised = true,
                     .keepalived_installed = true,
                     .keepalived_running = true,
                     .keepalived_conf = "/etc/keepalived/keepalived.conf",
                     .keepalived_ours = true,
                     .keepalived_current = true,
                     .state_dir_known = true,
                     .state_dir_mode = 0700,
                     .memlock_known = true,
                     .memlock = 8 << 20,
                     .daemon_runs = true};

    h.iface[0] = (struct host_if){
        .name = "wan0", .present = true, .up = true, .outer = true, .mtu = 1500, .rp_filter = 2};
    h.iface[1] = (struct host_if){.name = "lan0", .present = true, .up = true, .mtu = 1500};
    h.port_count = 1;
    h.port[0] = (struct host_port){.what = "UDP 192.0.2.1:51820 of VIP main", .err = EADDRINUSE};
    h.sibling_count = 1;
    h.sibling[0] = (struct host_sibling){.name = "berlin"};
    h.ruleset = (char *)"";
    h.path_count = 1;
    h.path[0] = (struct host_path){
        .to = "192.0.2.254", .ifname = "wan0", .wants = 1480, .fits = 1480, .overhead = 60};
    h.address_count = 1;
    h.address[0] = (struct host_address){
        .text = "192.0.2.1", .vip = "main", .ifname = "wan0", .wants = "wan0", .vip_id = 1};

    memset(&status, 0, sizeof(status));
    status.id = 1;
    status.vip_count = 1;
    status.vip[0] = (struct status_vip){.id = 1, .owned = true, .owner = 1};

    memset(&conf, 0, sizeof(conf));
    conf.self = 1;
    strcpy(conf.state_dir, "/var/lib/guardmount");
    conf.memory_lock_required = true;
    conf.member[1] = (struct conf_member){.id = 1, .sync_address.port = 51900};
    conf.member[2].id = 2;
    conf.hub_count = 1;
    conf.hub[0] = (struct conf_hub){
        .id = 1, .name = "main", .ifname = "hub0", .mtu = 1420, .address_count = 2};
    conf.hub[0].address[1].prefix.v6 = true;
    conf.vip_count = 1;
    conf.vip[0] = (struct vip){.port = 51820, .hub = 1, .id = 1, .name = "main", .outer_count = 1};
    addr_parse("192.0.2.1", &conf.vip[0].outer[0].addr);
    strcpy(conf.vip[0].outer[0].ifname, "wan0");
    return h;
}

/* The one finding that is a fault. */
static void sick(const struct host *h, const char *check, enum severity severity, const char *word,
                 const char *remedy)
{
    const struct finding *found = NULL;

    doctor_judge(h, &d);
    for (unsigned i = 0; i < d.count; i++)
        if (d.finding[i].severity >= FINDING_WARN) {
            if (found)
                fail_msg("two findings: %s; %s", found->text, d.finding[i].text);
            found = &d.finding[i];
        }
    assert_non_null(found);
    assert_int_equal(d.faults, 1);
    assert_string_equal(found->check, check);
    assert_int_equal(found->severity, severity);
    if (!strstr(found->text, word) || !strstr(found->remedy, remedy))
        fail_msg("no '%s' and '%s' in: %s; %s", word, remedy, found->text, found->remedy);
}

TEST(nothing_is_wrong_with_a_healthy_machine)
{
    struct host h = healthy();

    doctor_judge(&h, &d);
    for (unsigned i = 0; i < d.count; i++)
        if (d.finding[i].severity != FINDING_GOOD || *d.finding[i].remedy)
            fail_msg("%s: %s", d.finding[i].check, d.finding[i].text);
    assert_int_equal(d.faults, 0);
    assert_in_range(d.count, 14, FINDINGS_MAX);
}

TEST(without_a_configuration_the_rest_is_looked_at)
{
    struct host h = healthy();

    h.conf = NULL;
    strcpy(h.conf_error, "x.conf:3: unknown key\nx.conf:4: more");
    sick(&h, "configuration", FINDING_FAIL, "x.conf:3: unknown key", "check-config");
    assert_null(strstr(d.finding[0].text, "more"));
    assert_in_range(d.count, 5, 8);
    h.conf_missing = true;
    sick(&h, "configuration", FINDING_FAIL, "x.conf:3", "guardmount cluster join, or init");
}

TEST(the_kernel_is_judged)
{
    struct host h = healthy();

    h.tun = ENOENT;
    sick(&h, "tun", FINDING_FAIL, "/dev/net/tun", "modprobe tun");
    h = healthy();
    h.forward4 = 0;
    sick(&h, "forwarding", FINDING_FAIL, "net.ipv4.ip_forward", "net.ipv4.ip_forward=1");
    h = healthy();
    h.forward6 = 0;
    sick(&h, "forwarding", FINDING_FAIL, "net.ipv6", "net.ipv6.conf.all.forwarding=1");
    conf.hub[0].address_count = 1; /* no IPv6 in the tunnel: then it does not matter */
    doctor_judge(&h, &d);
    assert_int_equal(d.faults, 0);
    h = healthy();
    h.rp_filter_all = 1;
    sick(&h, "rp-filter", FINDING_WARN, "lan0", "lan0.rp_filter=2"); /* wan0 is loose */
    h = healthy();
    h.iface[0].rp_filter = 1;
    sick(&h, "rp-filter", FINDING_WARN, "wan0", "all.rp_filter=2");
    h = healthy();
    h.redirects_all = 1; /* not on the outside */
    sick(&h, "redirects", FINDING_WARN, "lan0", "lan0.send_redirects=0");
    h = healthy();
    h.clock_synchronised = false;
    sick(&h, "clock", FINDING_WARN, "nothing synchronises", "chrony");
}

TEST(the_lock_limit_is_judged_by_what_the_configuration_says)
{
    struct host h = healthy();

    h.memlock = 64 << 10;
    sick(&h, "memlock", FINDING_FAIL, "64.0 KiB", "LimitMEMLOCK");
    conf.memory_lock_required = false;
    sick(&h, "memlock", FINDING_WARN, "swap", "LimitMEMLOCK");
    h.may_lock = true;
    doctor_judge(&h, &d);
    assert_int_equal(d.faults, 0);
}

TEST(interfaces_and_their_mtu_are_judged)
{
    struct host h = healthy();

    h.iface[1].up = false;
    sick(&h, "interfaces", FINDING_FAIL, "lan0 is down", "ip link");
    h.iface[1].present = false;
    sick(&h, "interfaces", FINDING_FAIL, "lan0 is not there", "name");
    h = healthy();
    h.iface[0].mtu = 1479;
    sick(&h, "mtu", FINDING_WARN, "needs 1480", "MTU = 1419");
    h.iface[0].mtu = 1480;
    doctor_judge(&h, &d);
    assert_int_equal(d.faults, 0);
    addr_parse("2001:db8::1", &conf.vip[0].outer[0].addr);
    sick(&h, "mtu", FINDING_WARN, "needs 1500", "MTU = 1400");
}

TEST(ports_are_the_daemons_or_free)
{
    struct host h = healthy();

    h.daemon_runs = false;
    sick(&h, "ports", FINDING_FAIL, "UDP 192.0.2.1:51820 of VIP main", "ss -lpn");
    h = healthy();
    h.port[0].err = EADDRNOTAVAIL;
    sick(&h, "ports", FINDING_FAIL, "cannot be bound", "must be on the machine");
}

TEST(siblings_are_reached_or_not)
{
    struct host h = healthy();

    h.sibling[0].err = ECONNREFUSED;
    sick(&h, "siblings", FINDING_WARN, "berlin", "start guardmountd there");
    h.sibling[0].err = ETIMEDOUT;
    sick(&h, "siblings", FINDING_FAIL, "berlin", "firewalls");
}

TEST(keepalived_is_judged)
{
    struct host h = healthy();

    h.keepalived_ours = false;
    sick(&h, "keepalived", FINDING_FAIL, "no instances", "includer");
    h = healthy();
    h.keepalived_current = false;
    sick(&h, "keepalived", FINDING_WARN, "not what the configuration asks", "ha render");
    h.keepalived_one_health = true;
    sick(&h, "keepalived", FINDING_WARN, "by an earlier version", "ha render");
    h = healthy();
    h.daemon_one_health = true;
    sick(&h, "keepalived", FINDING_FAIL, "older than this command", "restart guardmountd");
    h = healthy();
    h.keepalived_test = 4;
    strcpy(h.keepalived_says, "(Line 3) Unknown keyword");
    sick(&h, "keepalived", FINDING_FAIL, "Unknown keyword", "correct it");
    h = healthy();
    h.keepalived_running = false;
    h.address_count = 0;
    sick(&h, "keepalived", FINDING_FAIL, "does not run", "systemctl");
    h.keepalived_installed = false;
    sick(&h, "keepalived", FINDING_FAIL, "not installed", "install");
    conf.vip_count = 0;
    doctor_judge(&h, &d);
    assert_int_equal(d.faults, 0);
}

TEST(a_vip_in_the_wrong_place_is_named)
{
    struct host h = healthy();

    strcpy(h.address[0].ifname, "lo");
    sick(&h, "vips", FINDING_FAIL, "on lo instead of wan0", "only keepalived");
    h = healthy();
    status.vip[0] = (struct status_vip){.id = 1, .owner = 2};
    sick(&h, "vips", FINDING_FAIL, "another member claims it", "adverts");
    status.vip[0].owner = 1; /* it is just coming or going */
    doctor_judge(&h, &d);
    assert_int_equal(d.faults, 0);
    h.keepalived_running = false;
    doctor_judge(&h, &d);
    assert_int_equal(d.faults, 2); /* keepalived's own finding, and the address */
}

TEST(a_firewall_that_names_nothing_of_ours_is_a_finding)
{
    static char closed[] =
        "table inet filter {\n\tchain input {\n\t\ttype filter hook input priority "
        "0; policy drop;\n\t\ttcp dport 51900 accept\n\t\tip protocol 112 "
        "accept\n\t}\n}\n",
                forward[] = "table inet filter {\n\tchain forward {\n\t\ttype filter hook forward "
                            "priority 0; policy drop;\n\t}\n}\n",
                whole[] =
                    "table inet filter {\n\tchain input {\n\t\ttype filter hook input priority "
                    "0; policy drop;\n\t\tiifname \"lan0\" accept\n\t}\n}\n";
    struct host h = healthy();

    h.ruleset = closed;
    sick(&h, "firewall", FINDING_WARN, "UDP port 51820 of VIP main", "udp dport 51820 accept");
    *strstr(closed, "112") = '2';
    conf.vip[0].port = 51900;
    sick(&h, "firewall", FINDING_WARN, "VRRP (112)", "ip protocol 112");
    conf.member[2].id = 0; /* nobody to speak VRRP with */
    doctor_judge(&h, &d);
    assert_int_equal(d.faults, 0);
    h = healthy();
    h.ruleset = forward;
    sick(&h, "firewall", FINDING_WARN, "none names hub0", "oifname \"hub0\" accept");
    h.ruleset = whole;
    doctor_judge(&h, &d);
    assert_int_equal(d.faults, 0);
    h.ruleset = NULL;
    doctor_judge(&h, &d);
    assert_int_equal(d.faults, 0);
}

TEST(a_translation_without_its_connections_on_the_siblings_is_named)
{
    struct host h = healthy();

    h.ruleset = (char *)"table ip nat {\n\tchain p {\n\t\tmasquerade\n\t}\n}\n";
    sick(&h, "nat", FINDING_WARN, "connections through the translation break", "add [Conntrackd]");
    strcpy(conf.conntrackd_ifname, "sync0");
    sick(&h, "nat", FINDING_WARN, "connections through the translation break", "--conntrackd");
    *conf.conntrackd_ifname = 0;
    h.conntrackd_running = true;
    doctor_judge(&h, &d);
    assert_int_equal(d.faults, 0);
    h.conntrackd_running = false;
    conf.member[2].id = 0; /* nobody for them to move to */
    doctor_judge(&h, &d);
    assert_int_equal(d.faults, 0);
}

TEST(several_vips_want_pools)
{
    struct host h = healthy();

    doctor_judge(&h, &d);
    assert_int_equal(d.faults, 0);
    conf.vip[1] = conf.vip[0];
    conf.vip_count = 2;
    conf.vip[1].pool_count = 1;
    sick(&h, "pools", FINDING_WARN, "VIP main has no Pool", "as Pool");
}

TEST(a_path_that_takes_less_than_a_full_packet_is_named)
{
    struct host h = healthy();

    h.path[0].fits = 1400;
    sick(&h, "path-mtu", FINDING_WARN, "1480 bytes do not reach 192.0.2.254 by wan0", "MTU = 1340");
}

TEST(an_address_that_somebody_else_has_is_named)
{
    struct host h = healthy();

    h.address_count = 0;
    h.stranger_count = 1;
    h.stranger[0] =
        (struct host_address){.text = "192.0.2.1", .vip = "main", .wants = "wan0", .vip_id = 1};
    status.vip[0] = (struct status_vip){.id = 1};
    sick(&h, "vips", FINDING_FAIL, "192.0.2.1 of VIP main answers on wan0", "ip neighbour");
    status.member_count = 1; /* a sibling that we do not hear may have it */
    strcpy(status.member[0].link, "down");
    doctor_judge(&h, &d);
    assert_int_equal(d.faults, 0);
    strcpy(status.member[0].link, "live");
    doctor_judge(&h, &d);
    assert_int_equal(d.faults, 1);
    status.vip[0].owner = 2;
    doctor_judge(&h, &d);
    assert_int_equal(d.faults, 0);
    h.status = NULL;
    doctor_judge(&h, &d);
    assert_int_equal(d.faults, 1); /* that no daemon answers */
    conf.member[2].id = 0;
    doctor_judge(&h, &d);
    assert_int_equal(d.faults, 2);
}

TEST(files_and_the_daemon_are_judged)
{
    struct host h = healthy();

    h.conf_dir_open = true;
    sick(&h, "configuration", FINDING_FAIL, "folder of /etc/guardmount", "chmod go-w");
    h = healthy();

    h.state_dir_mode = 0755;
    sick(&h, "state-directory", FINDING_WARN, "mode 0755", "chmod 0700");
    h = healthy();
    h.status = NULL;
    sick(&h, "daemon", FINDING_WARN, "no guardmountd", "systemctl");
}

TEST(more_findings_than_there_is_room_for_are_counted)
{
    struct host h = healthy();

    for (; h.iface_count < HOST_IFS_MAX; h.iface_count++)
        snprintf(h.iface[h.iface_count].name, 16, "x%u", h.iface_count);
    h.rp_filter_all = h.redirects_all = 1;
    for (h.port_count = 0; h.port_count < HOST_PORTS_MAX; h.port_count++)
        h.port[h.port_count] = (struct host_port){.what = "TCP", .err = EACCES};
    doctor_judge(&h, &d);
    assert_int_equal(d.count, FINDINGS_MAX);
    assert_int_equal(d.faults,
                     (HOST_IFS_MAX - 2) + (HOST_IFS_MAX - 1) + (HOST_IFS_MAX - 1) + HOST_PORTS_MAX);
}

TEST_MAIN(T(nothing_is_wrong_with_a_healthy_machine),
          T(without_a_configuration_the_rest_is_looked_at), T(the_kernel_is_judged),
          T(the_lock_limit_is_judged_by_what_the_configuration_says),
          T(interfaces_and_their_mtu_are_judged), T(ports_are_the_daemons_or_free),
          T(siblings_are_reached_or_not), T(keepalived_is_judged),
          T(a_vip_in_the_wrong_place_is_named), T(files_and_the_daemon_are_judged),
          T(a_firewall_that_names_nothing_of_ours_is_a_finding),
          T(a_translation_without_its_connections_on_the_siblings_is_named),
          T(several_vips_want_pools), T(a_path_that_takes_less_than_a_full_packet_is_named),
          T(an_address_that_somebody_else_has_is_named),
          T(more_findings_than_there_is_room_for_are_counted))
