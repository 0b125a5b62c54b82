/* What a reload takes over, and what needs a restart. */
#include "base/err.h"
#include "base/secret.h"
#include "conf/parse.h"
#include "lib/test.h"
#include "unit/conf/sample.h"
#include <stdio.h>
#include <string.h>

/* "" when @text can be taken over from the sample. */
static const char *blocker(const char *text)
{
    static char error[CONF_ERROR_LEN];
    struct conf *now = sample_conf(sample), *next = sample_conf(text);

    *error = 0;
    int r = conf_reload_check(now, next, error);
    assert_int_equal(r, *error ? -EBUSY : 0);
    conf_free(now);
    conf_free(next);
    return error;
}

TEST(same_file_is_taken_over)
{
    assert_string_equal(blocker(sample), "");
}

/* Every key, changed in a file that is good before and after. */
static const struct {
    enum conf_section section;
    const char *name, *old, *text;
} changes[] = {
    {SECTION_NODE, "StateDirectory", "LogLevel = info", "StateDirectory = /s"},
    {SECTION_NODE, "RunDirectory", "LogLevel = info", "RunDirectory = /s"},
    {SECTION_NODE, "Workers", "LogLevel = info", "Workers = 2"},
    {SECTION_NODE, "PinWorkers", "LogLevel = info", "PinWorkers = on"},
    {SECTION_NODE, "Offloads", "LogLevel = info", "Offloads = -uso"},
    {SECTION_NODE, "LogLevel", "LogLevel = info", "LogLevel = debug"},
    {SECTION_NODE, "MemoryLock", "LogLevel = info", "MemoryLock = off"},
    {SECTION_CLUSTER, "Name", "Name = office", "Name = Office"},
    {SECTION_CLUSTER, "ClusterKey", "ClusterKey = k", "ClusterKey = l"},
    {SECTION_CLUSTER, "MembershipEpoch", "Name = office", "Name = office\nMembershipEpoch = 2"},
    {SECTION_CLUSTER, "SoloStartAfter", "Name = office", "Name = office\nSoloStartAfter = 6s"},
    {SECTION_CLUSTER, "SessionKeys", "Name = office", "Name = office\nSessionKeys = off"},
    {SECTION_CLUSTER, "FreezeAfter", "Name = office", "Name = office\nFreezeAfter = 6s"},
    {SECTION_MEMBER, "SyncPublicKey", "SyncPublicKey = O", "SyncPublicKey = P"},
    {SECTION_MEMBER, "SyncAddress", "SyncAddress = 192.168.99.2", "SyncAddress = 192.168.99.3"},
    {SECTION_MEMBER, "OuterAddress", "Id = 2", "Id = 2\nOuterAddress = 203.0.113.9"},
    {SECTION_MEMBER, "InnerAddress", "Id = 2", "Id = 2\nInnerAddress = 203.0.113.9"},
    {SECTION_HUB, "HubId", "HubId = 1", "HubId = 2"},
    {SECTION_HUB, "Interface", "Interface = hub1", "Interface = hub2"},
    {SECTION_HUB, "PrivateKey", "\nPrivateKey = M", "\nPrivateKey = N"},
    {SECTION_HUB, "Address", "10.77.0.1/16,", "10.77.0.2/16,"},
    {SECTION_HUB, "Pool", "HubId = 1", "HubId = 1\nPool = 10.9.0.0/16"},
    {SECTION_HUB, "MTU", "HubId = 1", "HubId = 1\nMTU = 1380"},
    {SECTION_HUB, "FwMark", "HubId = 1", "HubId = 1\nFwMark = 1"},
    {SECTION_VIP, "VipId", "VipId = 1", "VipId = 2"},
    {SECTION_VIP, "Port", "Port = 51820", "Port = 51821"},
    {SECTION_VIP, "Outer", "203.0.113.100/24", "203.0.113.100/25"},
    {SECTION_VIP, "Outer", "203.0.113.100/24 dev eth0", "203.0.113.100/24 dev eth2"},
    {SECTION_VIP, "Inner", "10.0.0.100/24 dev eth1",
     "10.0.0.100/24 dev eth1, 10.0.0.101/24 dev eth1"},
    {SECTION_VIP, "Members", "berlin, paris", "paris, berlin"},
    {SECTION_VIP, "VridOuter", "VridOuter = 51", "VridOuter = 52"},
    {SECTION_VIP, "VridInner", "VridInner = 61", "VridInner = 62"},
    {SECTION_LAN, "Interface", "Interface = eth1", "Interface = eth3"},
    {SECTION_LAN, "Probe", "Probe = 10.0.0.1", "Probe = 10.0.0.1, 10.0.0.2"},
    {SECTION_KEEPALIVED, "AdvertInterval", "100ms", "110ms"},
    {SECTION_FAILOVER, "HoldDown", "[Keepalived]", "[Failover]\nHoldDown = 5s\n[Keepalived]"},
    {SECTION_FAILOVER, "FlapLimit", "[Keepalived]", "[Failover]\nFlapLimit = 0\n[Keepalived]"},
    {SECTION_FAILOVER, "FlapWindow", "[Keepalived]", "[Failover]\nFlapWindow = 5s\n[Keepalived]"},
    {SECTION_FAILOVER, "SuppressTime", "[Keepalived]",
     "[Failover]\nSuppressTime = 5s\n[Keepalived]"},
    {SECTION_FAILOVER, "MaxSuppressTime", "[Keepalived]",
     "[Failover]\nMaxSuppressTime = 60m\n[Keepalived]"},
    {SECTION_CONNTRACKD, "Interface", "[Keepalived]",
     "[Conntrackd]\nInterface = eth2\n[Keepalived]"},
    {SECTION_CONNTRACKD, "Port", "[Keepalived]",
     "[Conntrackd]\nInterface = eth2\nPort = 1\n[Keepalived]"},
    {SECTION_METRICS, "Enabled", "[Keepalived]", "[Metrics]\nEnabled = on\n[Keepalived]"},
    {SECTION_METRICS, "Listen", "[Keepalived]", "[Metrics]\nListen = [::1]:9586\n[Keepalived]"},
    {SECTION_METRICS, "PeerSeries", "[Keepalived]", "[Metrics]\nPeerSeries = 5\n[Keepalived]"},
    {SECTION_DRILL, "Faults", "[Keepalived]", "[Drill]\nFaults = on\n[Keepalived]"},
    {SECTION_DRILL, "Probe", "[Keepalived]", "[Drill]\nProbe = alice, bob\n[Keepalived]"},
    {SECTION_DRILL, "MaxTakeover", "[Keepalived]", "[Drill]\nMaxTakeover = 2s\n[Keepalived]"},
    {SECTION_DRILL, "MaxGap", "[Keepalived]", "[Drill]\nMaxGap = 300ms\n[Keepalived]"},
    {SECTION_DRILL, "MaxLost", "[Keepalived]", "[Drill]\nMaxLost = 0\n[Keepalived]"},
    {SECTION_KEEPALIVED, "RtPriority", "AdvertInterval = 100ms", "RtPriority = 49"},
};

TEST(change_of_a_key_is_taken_over_or_named_as_the_manual_says)
{
    for (unsigned i = 0; i < ARRAY_LEN(changes); i++) {
        const struct conf_key *k = conf_key_find(changes[i].section, changes[i].name);
        const char *error = blocker(sample_with(changes[i].old, changes[i].text));
        char want[64];

        assert_non_null(k);
        snprintf(want, sizeof(want), "] %s changed; restart needed", k->name);
        /* HubId is part of the VIP's as well, hence the search. */
        if (k->live ? *error != 0 : !strstr(error, want))
            fail_msg("%s, live %d: '%s'", k->name, k->live, error);
    }
}

TEST(member_that_changes_its_identity_is_named)
{
    assert_string_equal(blocker(sample_with("Name = office", "Name = centre")),
                        "f: [Cluster] Name changed; restart needed");
    assert_string_equal(blocker(sample_with("SyncAddress = 192.168.99.2:51900",
                                            "SyncAddress = 192.168.99.2:51901")),
                        "f: [Member paris] SyncAddress changed; restart needed");
}

#define ROME                                                                                       \
    "[Member rome]\nId = 3\nSyncPublicKey = kEQAE+NJTHHNVN61HvuzoUQ1XRUQy/Qzbb22uzsiCxk=\n"        \
    "SyncAddress = 192.168.99.3:1\n"

#define VRIDS "\nVridOuter = 51\nVridInner = 61\n"

TEST(members_may_come_and_be_a_vips_last_choice)
{
    static const char was[] = "Members = berlin, paris" VRIDS;

    assert_string_equal(blocker(sample_with("[Hub main]", ROME "[Hub main]")), "");
    assert_string_equal(blocker(sample_with(was, "Members = berlin, paris, rome" VRIDS ROME)), "");
    assert_string_equal(blocker(sample_with(was, "Members = berlin, rome, paris" VRIDS ROME)),
                        "f: [Vip main] Members changed; restart needed");
    assert_string_equal(blocker(sample_with(was, "Members = berlin" VRIDS ROME)),
                        "f: [Vip main] Members changed; restart needed");
}

TEST(sections_that_come_or_go_need_a_restart)
{
    static const char lan[] = "[Lan inner]\nInterface = eth1\nProbe = 10.0.0.1\n";

    assert_string_equal(blocker(sample_with(lan, "")), "f: [Lan inner] is gone; restart needed");
    assert_string_equal(blocker(sample_with("[Vip main]", "[Vip Main]")),
                        "f: [Vip main] is another one; restart needed");
    assert_string_equal(
        blocker(sample_with("[Lan outer]", "[Vip b]\nVipId = 2\nHub = main\nOuter = "
                                           "203.0.113.101/24 dev eth0\nMembers = paris\n"
                                           "VridOuter = 52\n[Lan outer]")),
        "f: [Vip b] is new; restart needed");
}

TEST(all_that_needs_a_restart_is_told)
{
    const char *error = blocker(sample_with("Name = office", "Name = a\nFreezeAfter = 2s\n"
                                                             "MembershipEpoch = 9"));

    assert_string_equal(error, "f: [Cluster] Name changed; restart needed\n"
                               "f: [Cluster] MembershipEpoch changed; restart needed\n"
                               "f: [Cluster] FreezeAfter changed; restart needed");
}

TEST(keys_keep_their_place_in_memory)
{
    struct conf *now = sample_conf(sample), *next = sample_conf(sample);
    const struct secret32 *cluster = now->cluster_key, *own = now->sync_private_key,
                          *hub = now->hub[0].private_key;
    struct secret32 copy = *cluster;

    conf_keep_keys(now, next);
    conf_free(now);
    assert_ptr_equal(next->cluster_key, cluster);
    assert_ptr_equal(next->sync_private_key, own);
    assert_ptr_equal(next->hub[0].private_key, hub);
    assert_memory_equal(cluster, &copy, sizeof(copy));
    conf_free(next);
    assert_int_equal(secret_slots_used(), 0);
}

TEST_MAIN(T(same_file_is_taken_over), T(change_of_a_key_is_taken_over_or_named_as_the_manual_says),
          T(member_that_changes_its_identity_is_named),
          T(members_may_come_and_be_a_vips_last_choice), T(sections_that_come_or_go_need_a_restart),
          T(all_that_needs_a_restart_is_told), T(keys_keep_their_place_in_memory))
