/* What is wrong with a file, and how it is said: line, key, what is expected, what to do. */
#include "base/bytes.h"
#include "base/err.h"
#include "base/secret.h"
#include "conf/errors.h"
#include "lib/test.h"
#include "unit/conf/sample.h"
#include <stdio.h>
#include <string.h>

#define KEY "kEQAE+NJTHHNVN61HvuzoUQ1XRUQy/Qzbb22uzsiCxk="

struct wrong {
    const char *old, *text; /* in the sample */
    const char *error;      /* all of it */
};

static void expect_all(const struct wrong *w, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const char *error = sample_error(sample_with(w[i].old, w[i].text));

        if (strcmp(error, w[i].error) != 0)
            fail_msg("'%s' for '%s' is told as:\n%s\nnot:\n%s", w[i].text, w[i].old, error,
                     w[i].error);
        assert_int_equal(secret_slots_used(), 0);
    }
}

TEST(values_are_told_with_line_key_and_what_is_expected)
{
    static const struct wrong w[] = {
        {"Id = 1", "Id = 16", "f:2: Id = 16: expected a whole number from 1 to 15"},
        {"Id = 1", "Id = 0", "f:2: Id = 0: expected a whole number from 1 to 15"},
        {"Id = 1", "Id =", "f:2: Id has no value; expected a whole number from 1 to 15"},
        {"LogLevel = info", "LogLevel = loud",
         "f:3: LogLevel = loud: expected silent, error, warn, info or debug"},
        {"LogLevel = info", "Workers = 65",
         "f:3: Workers = 65: expected a whole number from 0 to 64"},
        {"LogLevel = info", "Offloads = -tso, uso",
         "f:3: Offloads = -tso, uso: expected auto, off, those to use of udp-gro, udp-gso, vnet, "
         "tso, uso, or those not to use: -tso, -uso"},
        {"LogLevel = info", "MemoryLock = maybe", "f:3: MemoryLock = maybe: expected on or off"},
        {"LogLevel = info", "RunDirectory = run",
         "f:3: RunDirectory = run: expected an absolute path of at most 90 letters, digits and "
         "/._-+:@"},
        {"LogLevel = info", "StateDirectory = /a b",
         "f:3: StateDirectory = /a b: expected an absolute path of at most 200 letters, digits and "
         "/._-+:@"},
        {"Name = office", "Name = my office",
         "f:5: Name = my office: expected a word of 1 to 31 letters, digits and ._-"},
        {"Name = office", "Name = office\nMembershipEpoch = 4294967296",
         "f:6: MembershipEpoch = 4294967296: expected a whole number from 1 to 4294967295"},
        {"Name = office", "Name = office\nSoloStartAfter = 61m",
         "f:6: SoloStartAfter = 61m: expected a time such as 300ms, 5s or 1m; from 0 ms to 3600 s"},
        {"Name = office", "Name = office\nFreezeAfter = 99ms",
         "f:6: FreezeAfter = 99ms: expected a time such as 300ms, 5s or 1m; from 100 ms to 60 s"},
        {"SyncAddress = 192.168.99.1:51900", "SyncAddress = 192.168.99.1",
         "f:11: SyncAddress = 192.168.99.1: expected ADDRESS:PORT or [ADDRESS]:PORT"},
        {"SyncAddress = 192.168.99.1:51900", "SyncAddress = 0.0.0.0:51900",
         "f:11: SyncAddress = 0.0.0.0:51900: expected ADDRESS:PORT or [ADDRESS]:PORT"},
        {"SyncAddress = 192.168.99.1:51900", "SyncAddress = [fd00::1]:1\nOuterAddress = ff02::1",
         "f:12: OuterAddress = ff02::1: expected an IP address"},
        {"SyncPublicKey = hxzALjDWgtWyRbVEDbvTmwBBqcMJljZa1qg7h8+41yI=", "SyncPublicKey = hxz",
         "f:10: SyncPublicKey = hxz: expected a public key: 44 characters of base64"},
        {"HubId = 1", "HubId = 256", "f:17: HubId = 256: expected a whole number from 1 to 255"},
        {"Interface = hub1", "Interface = a/b",
         "f:18: Interface = a/b: expected the name of a network interface"},
        {"Address = 10.77.0.1/16, fd77::1/64", "Address = 10.77.0.1/33",
         "f:20: Address = 10.77.0.1/33: expected ADDRESS/LENGTH, ... (up to 16)"},
        {"Address = 10.77.0.1/16, fd77::1/64", "Pool = 10.77.0.0/16,",
         "f:20: Pool = 10.77.0.0/16,: expected NETWORK/LENGTH, ... (up to 16)"},
        {"Address = 10.77.0.1/16, fd77::1/64", "MTU = 575",
         "f:20: MTU = 575: expected a whole number from 576 to 65535"},
        {"Address = 10.77.0.1/16, fd77::1/64", "FwMark = 0x100000000",
         "f:20: FwMark = 0x100000000: expected a whole number from 0 to 4294967295"},
        {"Port = 51820", "Port = 65536",
         "f:24: Port = 65536: expected a whole number from 1 to 65535"},
        {"Inner = 10.0.0.100/24 dev eth1", "Inner = 10.0.0.100/24",
         "f:26: Inner = 10.0.0.100/24: expected ADDRESS/LENGTH dev INTERFACE, ... (up to 4)"},
        {"Members = berlin, paris", "Members = berlin,, paris",
         "f:27: Members = berlin,, paris: expected names of members, ... (up to 15)"},
        {"VridOuter = 51", "VridOuter = 256",
         "f:28: VridOuter = 256: expected a whole number from 1 to 255"},
        {"Probe = 203.0.113.1", "Probe = gateway",
         "f:32: Probe = gateway: expected IP addresses, ... (up to 8)"},
        {"AdvertInterval = 100ms", "AdvertInterval = 2s",
         "f:37: AdvertInterval = 2s: expected a time such as 300ms, 5s or 1m; from 10 ms to 1 s"},
        {"AdvertInterval = 100ms", "AdvertInterval = 15ms",
         "f:37: AdvertInterval = 15 ms: expected steps of 10 ms"},
        {"[Keepalived]\nAdvertInterval = 100ms", "[Failover]\nFlapLimit = 17",
         "f:37: FlapLimit = 17: expected a whole number from 0 to 16"},
        {"[Keepalived]\nAdvertInterval = 100ms", "[Failover]\nFlapWindow = 0",
         "f:37: FlapWindow = 0: expected a time such as 300ms, 5s or 1m; from 1000 ms to 3600 s"},
        {"[Keepalived]\nAdvertInterval = 100ms", "[Failover]\nMaxSuppressTime = 29s",
         "f:37: MaxSuppressTime = 29000 ms is below SuppressTime = 30000 ms; make it at least as "
         "long"},
        {"AdvertInterval = 100ms", "Mode = anycast",
         "f:37: Mode = anycast: expected multicast or unicast"},
        {"AdvertInterval = 100ms", "RtPriority = 100",
         "f:37: RtPriority = 100: expected a whole number from 0 to 99"},
    };

    expect_all(w, ARRAY_LEN(w));
}

TEST(structure_is_told)
{
    static const struct wrong w[] = {
        {"[Node]\nId = 1\n", "Id = 1\nX = 2\n[Node]\nId = 1\n",
         "f:1: a key stands before the first section; begin with [Node]"},
        {"[Keepalived]", "[Keepalive]",
         "f:36: unknown section [Keepalive]; did you mean [Keepalived]?"},
        {"[Keepalived]", "[Interface]",
         "f:36: unknown section [Interface]; guardmount.conf(5) lists all"},
        {"[Keepalived]", "[Keepalived x]", "f:36: [Keepalived] takes no name; write [Keepalived]"},
        {"[Lan outer]", "[Lan]", "f:30: [Lan] needs a name; write [Lan NAME]"},
        {"[Lan outer]", "[Lan a b]",
         "f:30: [Lan a b]: expected a name of 1 to 31 letters, digits and ._-"},
        {"[Lan inner]", "[Lan OUTER]",
         "f:33: [Lan OUTER] stands in line 30 already; remove one of them"},
        {"[Lan inner]\nInterface = eth1\nProbe = 10.0.0.1\n", "[Node]\nId = 2\n",
         "f:33: [Node] stands in line 1 already; put all its keys there"},
        {"[Vip main]", "[Hub second]\nHubId = 2\n[Vip main]",
         "f:21: too many [Hub] sections; there may be 1"},
        {"Port = 51820", "Ports = 51820",
         "f:24: unknown key 'Ports' in [Vip]; did you mean 'Port'?"},
        {"Port = 51820", "AllowedIPs = 0.0.0.0/0",
         "f:24: unknown key 'AllowedIPs' in [Vip]; guardmount.conf(5) lists all"},
        {"Port = 51820", "AdvertInterval = 1s",
         "f:24: AdvertInterval stands in [Vip]; it belongs into [Keepalived]"},
        {"VipId = 1", "Vipid2 = 1", "f:22: unknown key 'Vipid2' in [Vip]; did you mean 'VipId'?"},
        {"Port = 51820", "port = 1\nPORT = 1",
         "f:25: Port stands in line 24 already; remove one of "
         "them"},
        {"Port = 51820", "Port 51820",
         "f:24: expected '[Section]', 'Key = value' or a '# comment'"},
        {"VipId = 1\n", "",
         "f:21: [Vip main] lacks VipId; add 'VipId = ', expected a whole number from 1 to 65535"},
    };

    expect_all(w, ARRAY_LEN(w));
}

TEST(what_only_the_whole_shows_is_told_at_its_line)
{
    static const struct wrong w[] = {
        {"Id = 1", "Id = 3", "f:2: Id = 3, and no [Member] has that Id"},
        {"Id = 1", "Id = 2",
         "f:7: SyncPrivateKey is not that of SyncPublicKey in [Member paris]; use the pair that "
         "'guardmount genkey' prints"},
        {"Id = 2", "Id = 1",
         "f:13: Id = 1 is [Member berlin]'s already; give each member its own\n"
         "f:27: Members names 'paris' twice"},
        {"SyncAddress = 192.168.99.2", "SyncAddress = 192.168.99.1",
         "f:15: SyncAddress is [Member berlin]'s already; give each member its own"},
        {"SyncPublicKey = ObniiePL4J7tr3jzg+JbRmX9KN7hsiGmIDnQYr57kAw=",
         "SyncPublicKey = hxzALjDWgtWyRbVEDbvTmwBBqcMJljZa1qg7h8+41yI=",
         "f:14: SyncPublicKey is [Member berlin]'s already; run 'guardmount genkey' on each "
         "member"},
        {"Interface = hub1", "MTU = 1279",
         "f:18: MTU = 1279 is too small for IPv6 in [Hub main]; at least 1280"},
        {"Hub = main", "Hub = maine", "f:23: Hub = maine, and there is no [Hub maine]"},
        {"berlin, paris", "berlin, rome",
         "f:27: Members names 'rome', and there is no [Member rome]"},
        {"berlin, paris", "Paris, PARIS", "f:27: Members names 'PARIS' twice"},
        {"VridInner = 61\n", "", "f:21: [Vip main] has Inner addresses and lacks VridInner"},
        {"100/24 dev eth1", "100/24 dev eth0\nVridInner = 51\n#",
         "f:27: VridInner = 51 is VridOuter too, on one interface; give each its own\n"
         "f:31: VridInner stands in line 27 already; remove one of them"},
        {"Inner = 10.0.0.100/24", "Inner = 203.0.113.100/24",
         "f:26: 203.0.113.100 is [Vip main]'s already; each address stands once"},
        {"[Lan outer]",
         "[Vip b]\nVipId = 1\nHub = main\nOuter = 203.0.113.101/24 dev eth0, 10.0.0.100/24 dev "
         "eth1\nMembers = paris\nVridOuter = 51\nVridInner = 61\n[Lan outer]",
         "f:31: VipId = 1 is [Vip main]'s already; give each its own\n"
         "f:33: 10.0.0.100 is [Vip main]'s already; each address stands once\n"
         "f:35: VridOuter = 51 is [Vip main]'s already; give each its own\n"
         "f:36: VridInner = 61 is [Vip main]'s already; give each its own"},
        {"Members = berlin, paris\n", "Pool = 10.1.0.0/24, 10.1.0.128/25\nMembers = berlin\n",
         "f:27: Pool = 10.1.0.128/25 overlaps one of [Vip main]; a network has one VIP"},
        {"Members = berlin, paris\n", "Pool = fd01::/64\nMembers = berlin, paris\n",
         "f:27: Pool = fd01::/64 needs an IPv6 InnerAddress in [Member berlin]: its siblings route "
         "the pool there\n"
         "f:27: Pool = fd01::/64 needs an IPv6 InnerAddress in [Member paris]: its siblings route "
         "the pool there"},
        {"Inner = 10.0.0.100/24 dev eth1\nMembers = berlin, paris\n",
         "Pool = 10.1.0.0/24\nMembers = berlin\n",
         "f:26: [Vip main] has a Pool and lacks Inner addresses"},
        {"[Member paris]\n", "InnerAddress = 10.0.0.1, 10.0.0.2\n[Member paris]\n",
         "f:12: InnerAddress has two addresses of one family; give one of each"},
        {"Interface = eth1", "Interface = eth0",
         "f:34: Interface = eth0 is [Lan outer]'s already; one section for each LAN"},
        {"AdvertInterval = 100ms", "Mode = unicast",
         "f:8: Mode = unicast needs OuterAddress in [Member berlin]\n"
         "f:8: Mode = unicast needs InnerAddress in [Member berlin]\n"
         "f:12: Mode = unicast needs OuterAddress in [Member paris]\n"
         "f:12: Mode = unicast needs InnerAddress in [Member paris]"},
    };

    expect_all(w, ARRAY_LEN(w));
}

TEST(missing_sections_come_last)
{
    assert_string_equal(sample_error("[Node]\nId = x\n"),
                        "f:2: Id = x: expected a whole number from 1 to 15\n"
                        "f: there is no [Cluster] section; guardmount.conf(5) has an example\n"
                        "f: there is no [Member NAME] section; guardmount.conf(5) has an example\n"
                        "f: there is no [Hub NAME] section; guardmount.conf(5) has an example\n"
                        "f: there is no [Vip NAME] section; guardmount.conf(5) has an example");
}

TEST(errors_are_in_the_order_of_lines_and_bounded)
{
    char text[1024] = "", error[CONF_ERROR_LEN];
    struct errors e = {.name = "f"};
    const char *at;
    unsigned lines = 1, last = 0, line;

    for (unsigned i = 0; i < 30; i++)
        strcat(text, "[x]\n");
    at = sample_error(text);
    assert_non_null(strstr(at, "f:16: unknown section [x]"));
    assert_null(strstr(at, "f:17:"));
    assert_non_null(
        strstr(at, "\nf: and 19 more; correct these first")); /* 5 sections are missing */
    for (const char *c = at; *c; c++)
        lines += *c == '\n';
    assert_int_equal(lines, CONF_ERRORS_MAX + 1);

    for (unsigned i = 0; i < CONF_ERRORS_MAX; i++)
        errors_add(&e, i == 3 ? 0 : 1 + i * 7 % 16, "%.400s", "x");
    errors_print(&e, error);
    for (at = error; sscanf(at, "f:%u:", &line) == 1; at = strchr(at, '\n') + 1) {
        assert_true(line >= last);
        last = line;
    }
    assert_memory_equal(at, "f: x", 4); /* of no line: behind all others */
}

TEST(longest_errors_fit)
{
    char name[CONF_PATH_MAX + 1], error[CONF_ERROR_LEN], fill[2 * CONF_ERROR_LINE_MAX];
    struct errors e = {.name = name};

    memset(name, 'n', CONF_PATH_MAX);
    name[CONF_PATH_MAX] = 0;
    memset(fill, 'x', sizeof(fill) - 1);
    fill[sizeof(fill) - 1] = 0;
    for (unsigned i = 1; i < 100; i++)
        errors_add(&e, 4000000000, "%s", fill);
    errors_print(&e, error);
    assert_non_null(strstr(error, "and 83 more; correct these first"));
}

TEST(keys_never_get_into_an_error)
{
    static const struct {
        const char *old, *text;
    } leaks[] = {
        {"ClusterKey = " KEY, "ClusterKey =\n" KEY},
        {"ClusterKey = " KEY, "ClusterKey = \"" KEY "\""},
        {"ClusterKey = " KEY, "ClusterKey = x" KEY},
        {"ClusterKey = " KEY, "ClusterKey " KEY},
        {"ClusterKey = " KEY, KEY},
        {"ClusterKey = " KEY, "[" KEY "]"},
        {"Name = office", "Name = x" KEY},
        {"Id = 1", "Id = " KEY},
        {"[Lan outer]", "[Lan " KEY "]"},
        {"ClusterKey = " KEY, "SyncPrivateKey = " KEY "\nSyncPrivateKey = " KEY},
    };

    for (unsigned i = 0; i < ARRAY_LEN(leaks); i++) {
        const char *error = sample_error(sample_with(leaks[i].old, leaks[i].text));

        assert_true(*error);
        if (strstr(error, "kEQAE") || strstr(error, "UQ1XRUQ"))
            fail_msg("'%s' is told: %s", leaks[i].text, error);
    }
}

TEST(values_are_shown_without_control_characters_and_cut)
{
    char shown[SHOWN_LEN];
    const char *error = sample_error(
        sample_with("Name = office", "Name = \xc2\x9b"
                                     "31m 0123456789 0123456789 0123456789 0123456789x"));

    assert_non_null(strstr(error, "Name = ??31m 01234"));
    assert_non_null(strstr(error, "...: expected"));
    assert_null(strstr(error, "6789x"));
    assert_string_equal(errors_show("a\tb\x7f", shown), "a?b?");
}

TEST_MAIN(T(values_are_told_with_line_key_and_what_is_expected), T(structure_is_told),
          T(what_only_the_whole_shows_is_told_at_its_line), T(missing_sections_come_last),
          T(errors_are_in_the_order_of_lines_and_bounded), T(longest_errors_fit),
          T(keys_never_get_into_an_error), T(values_are_shown_without_control_characters_and_cut))
