/* What a good file says. */
#include "base/bytes.h"
#include "base/secret.h"
#include "conf/parse.h"
#include "lib/test.h"
#include "model/offload.h"
#include "unit/conf/sample.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void assert_addr(const struct ip_addr *a, const char *want)
{
    char text[ADDR_TEXT_LEN];

    assert_string_equal(addr_format(a, text), want);
}

TEST(sample_is_read)
{
    struct conf *c = sample_conf(sample);
    const struct conf_hub *h = &c->hub[0];
    const struct vip *v = &c->vip[0];
    char text[KEY_TEXT_LEN + 1];

    assert_string_equal(c->path, "f");
    assert_int_equal(c->self, 1);
    assert_string_equal(c->cluster, "office");
    assert_string_equal(c->member[2].name, "paris");
    assert_int_equal(c->member[3].id, 0);
    assert_addr(&c->member[2].sync_address.addr, "192.168.99.2");
    assert_int_equal(c->member[2].sync_address.port, 51900);
    assert_true(c->hub_count == 1 && c->vip_count == 1 && c->lan_count == 2);
    key_to_base64(h->private_key->b, text);
    assert_string_equal(text, "MLKBO4QPY086q9v4WKmqk5AMGTCtvvU2P7gZN92oUFg=");
    key_to_base64(c->cluster_key->b, text);
    assert_string_equal(text, "kEQAE+NJTHHNVN61HvuzoUQ1XRUQy/Qzbb22uzsiCxk=");
    assert_string_equal(h->ifname, "hub1");
    assert_int_equal(h->address_count, 2);
    assert_addr(&h->address[0].host, "10.77.0.1");
    assert_int_equal(h->address[0].prefix.len, 16);
    assert_true(h->address[1].prefix.v6);
    assert_true(v->hub == 1 && v->id == 1 && v->port == 51820);
    assert_true(v->order[0] == 1 && v->order[1] == 2 && v->order[2] == 0);
    assert_true(v->outer_count == 1 && v->inner_count == 1);
    assert_addr(&v->outer[0].addr, "203.0.113.100");
    assert_string_equal(v->inner[0].ifname, "eth1");
    assert_true(v->vrid_outer == 51 && v->vrid_inner == 61);
    assert_string_equal(c->lan[1].name, "inner");
    assert_int_equal(c->lan[1].probe_count, 1);
    assert_addr(&c->lan[1].probe[0], "10.0.0.1");
    conf_free(c);
    assert_int_equal(secret_slots_used(), 0);
}

TEST(defaults_are_those_of_the_manual)
{
    struct conf *c = sample_conf(sample_with("AdvertInterval = 100ms\n", ""));

    assert_string_equal(c->state_dir, "/var/lib/guardmount");
    assert_string_equal(c->run_dir, "/run/guardmount");
    assert_int_equal(c->workers, 0);
    assert_int_equal(c->offloads, OFFLOAD_ALL);
    assert_int_equal(c->log_level, LOG_LEVEL_INFO);
    assert_true(c->memory_lock_required);
    assert_int_equal(c->membership_epoch, 1);
    assert_int_equal(c->solo_start_after_ms, 5000);
    assert_int_equal(c->freeze_after_ms, 300);
    assert_int_equal(c->advert_ms, 100);
    assert_false(c->unicast);
    assert_int_equal(c->rt_priority, 50);
    assert_int_equal(c->hub[0].mtu, 1420);
    assert_int_equal(c->hub[0].fwmark, 0);
    conf_free(c);
    c = sample_conf(sample_with("Interface = hub1\n", ""));
    assert_string_equal(c->hub[0].ifname, "hub1"); /* of HubId */
    conf_free(c);
}

TEST(every_key_of_the_node_and_the_cluster_is_stored)
{
    struct conf *c = sample_conf(
        sample_with("LogLevel = info\n[Cluster]\n",
                    "loglevel = Silent\nSTATEDIRECTORY = /s\nRunDirectory=/r\nWorkers = "
                    "3\nPinWorkers = yes\nOffloads = udp-gso, TSO\nMemoryLock = off\n"
                    "[cluster]\nMembershipEpoch = 7\nSoloStartAfter = 0\nFreezeAfter = 1s\n"));

    assert_int_equal(c->log_level, LOG_LEVEL_SILENT);
    assert_string_equal(c->state_dir, "/s");
    assert_string_equal(c->run_dir, "/r");
    assert_int_equal(c->workers, 3);
    assert_false(c->memory_lock_required);
    assert_true(c->pin_workers);
    assert_int_equal(c->offloads, OFFLOAD_UDP_GSO | OFFLOAD_TUN_VNET | OFFLOAD_TUN_TSO);
    assert_int_equal(c->membership_epoch, 7);
    assert_int_equal(c->solo_start_after_ms, 0);
    assert_int_equal(c->freeze_after_ms, 1000);
    conf_free(c);
}

TEST(metrics_are_off_and_on_this_machine_unless_the_file_says_otherwise)
{
    char text[ENDPOINT_TEXT_LEN];
    struct conf *c = sample_conf(sample);

    assert_true(!c->metrics && c->metrics_peers == 100);
    assert_string_equal(endpoint_format(&c->metrics_listen, text), "127.0.0.1:9586");
    conf_free(c);
    c = sample_conf(sample_with("[Keepalived]", "[Metrics]\nEnabled = yes\nListen = "
                                                "[2001:db8::1]:99\nPeerSeries = 0\n[Keepalived]"));
    assert_true(c->metrics && c->metrics_peers == 0);
    assert_string_equal(endpoint_format(&c->metrics_listen, text), "[2001:db8::1]:99");
    conf_free(c);
}

TEST(flaps_are_damped_and_nobody_is_held_down_unless_the_file_says_otherwise)
{
    struct conf *c = sample_conf(sample);
    const struct conf_damping *d = &c->damping;

    assert_true(d->hold_down_ms == 0 && d->flap_limit == 5 && d->window_ms == 30000);
    assert_true(d->suppress_ms == 30000 && d->suppress_max_ms == 600000);
    conf_free(c);
    c = sample_conf(sample_with("[Keepalived]",
                                "[Failover]\nHoldDown = 10s\nFlapLimit = 0\nFlapWindow = 1m\n"
                                "SuppressTime = 15\nMaxSuppressTime = 15s\n[Keepalived]"));
    d = &c->damping;
    assert_true(d->hold_down_ms == 10000 && d->flap_limit == 0 && d->window_ms == 60000);
    assert_true(d->suppress_ms == 15000 && d->suppress_max_ms == 15000);
    conf_free(c);
}

#define SECOND_VIP                                                                                 \
    "[Vip second]\nVipId = 2\nHub = main\nOuter = 203.0.113.101/24 dev eth0\nMembers = paris\n"    \
    "VridOuter = 52\n"

TEST(a_vip_needs_the_lans_that_it_is_on_and_those_that_no_vip_is_on)
{
    struct conf *c = sample_conf(sample_with("[Keepalived]", SECOND_VIP
                                             "[Lan uplink]\nInterface = eth2\nProbe = 192.0.2.1\n"
                                             "[Keepalived]"));

    assert_int_equal(conf_lans_of(c, &c->vip[0]), 7);
    assert_int_equal(conf_lans_of(c, &c->vip[1]), 5);
    conf_free(c);
}

TEST(nobody_is_drilled_unless_the_file_says_so)
{
    struct conf *c = sample_conf(sample);

    assert_true(!c->drill_faults && c->drill_takeover_ms == 1000 && c->drill_gap_ms == 2000);
    assert_false(conf_lists_peer(c->drill_probe, "alice"));
    assert_false(conf_lists_peer(c->drill_probe, "none"));
    conf_free(c);
    c = sample_conf(sample_with("[Keepalived]", "[Drill]\nFaults = on\nProbe = alice's pc, bob\n"
                                                "MaxTakeover = 500ms\nMaxGap = 300ms\nMaxLost = 0\n"
                                                "[Keepalived]"));
    assert_true(c->drill_faults && c->drill_takeover_ms == 500 && c->drill_gap_ms == 300);
    assert_int_equal(c->drill_lost, 0);
    assert_true(conf_lists_peer(c->drill_probe, "alice's pc"));
    assert_true(conf_lists_peer(c->drill_probe, "bob"));
    assert_false(conf_lists_peer(c->drill_probe, "bo"));
    assert_false(conf_lists_peer(c->drill_probe, ""));
    conf_free(c);
    assert_true(conf_lists_peer("all", "anybody"));
    assert_non_null(strstr(
        sample_error(sample_with("[Keepalived]", "[Drill]\nProbe = alice,,bob\n[Keepalived]")),
        "names of peers"));
}

TEST(every_key_of_the_hub_and_keepalived_is_stored)
{
    struct conf *c = sample_conf(
        sample_with("[Keepalived]\nAdvertInterval = 100ms\n",
                    "[Keepalived]\nAdvertInterval = 1s\nMode = multicast\nRtPriority = 0\n"));

    assert_true(c->advert_ms == 1000 && !c->unicast && c->rt_priority == 0);
    conf_free(c);
    c = sample_conf(sample_with("Address = 10.77.0.1/16, fd77::1/64\n",
                                "Address = 10.77.0.1/16\nAddress = fd77::1/64\n"
                                "Pool = 10.78.0.0/16\nPool = 10.79.1.2/24, fd78::/64\n"
                                "MTU = 1280\nFwMark = 0xca6c\n"));
    assert_int_equal(c->hub[0].address_count, 2);
    assert_int_equal(c->hub[0].pool_count, 3);
    assert_addr(&c->hub[0].pool[1].addr, "10.79.1.0");
    assert_true(c->hub[0].mtu == 1280 && c->hub[0].fwmark == 0xca6c);
    conf_free(c);
}

TEST(unicast_takes_the_members_addresses)
{
    static char text[8192];

    snprintf(text, sizeof(text), "%sMode = UNICAST\n",
             sample_with("[Member paris]\n", "OuterAddress = 203.0.113.1\nInnerAddress=10.0.0.2\n"
                                             "[Member paris]\nOuterAddress = 203.0.113.2\n"
                                             "InnerAddress = fe80::2\n"));
    struct conf *c = sample_conf(text);
    assert_true(c->unicast);
    assert_addr(&c->member[1].outer_address, "203.0.113.1");
    assert_addr(&c->member[2].inner_address[0], "fe80::2");
    conf_free(c);
}

TEST(lan_without_probes_asks_the_siblings)
{
    static char text[8192];
    char *at;

    strcpy(text, sample_with("[Member paris]\n", "[Member paris]\nOuterAddress = 203.0.113.2\n"
                                                 "InnerAddress = 10.0.0.3\n"));
    at = strstr(text, "Probe = 203.0.113.1\n");
    memset(at, ' ', strcspn(at, "\n"));
    struct conf *c = sample_conf(text);
    assert_int_equal(c->lan[0].probe_count, 1);
    assert_addr(&c->lan[0].probe[0], "203.0.113.2");
    assert_int_equal(c->lan[1].probe_count, 1);
    assert_addr(&c->lan[1].probe[0], "10.0.0.1");
    conf_free(c);
}

TEST(fifteen_members_and_sixty_three_vips_are_taken)
{
    static char text[1 << 16];
    char key[KEY_TEXT_LEN + 1];
    size_t n = (size_t)snprintf(text, sizeof(text), "%s", sample);

    for (unsigned i = 3; i <= MEMBER_ID_MAX; i++) {
        uint8_t raw[32] = {(uint8_t)i};

        key_to_base64(raw, key);
        n += (size_t)snprintf(text + n, sizeof(text) - n,
                              "[Member m%u]\nId=%u\nSyncPublicKey=%s\nSyncAddress=10.0.0.%u:5\n", i,
                              i, key, i);
    }
    for (unsigned i = 2; i < VIPS_MAX; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n,
                              "[Vip v%u]\nVipId=%u\nHub=MAIN\nOuter=203.0.113.%u/24 dev eth0\n"
                              "Members=m3, Paris, m15\nVridOuter=%u\n",
                              i, i, i, i + 100);
    struct conf *c = sample_conf(text);
    assert_int_equal(c->vip_count, VIPS_MAX - 1);
    assert_int_equal(c->member[15].id, 15);
    assert_true(c->vip[62].order[0] == 3 && c->vip[62].order[1] == 2 && c->vip[62].order[2] == 15 &&
                c->vip[62].hub == 1);
    conf_free(c);
    snprintf(text + n, sizeof(text) - n, "[Vip w]\n");
    assert_non_null(strstr(sample_error(text), "too many [Vip] sections; there may be 63"));
    snprintf(text + n, sizeof(text) - n, "[Member w]\n");
    assert_non_null(strstr(sample_error(text), "too many [Member] sections; there may be 15"));
}

TEST(reference_has_every_section_and_key)
{
    char *text = NULL, want[64];
    size_t len;
    FILE *f = open_memstream(&text, &len);

    conf_print_reference(f);
    fclose(f);
    for (int s = 0; s < SECTIONS; s++) {
        snprintf(want, sizeof(want), "## [%s", conf_sections[s].name);
        assert_non_null(strstr(text, want));
    }
    for (unsigned i = 0; i < conf_key_count; i++) {
        snprintf(want, sizeof(want), "*%s* = ", conf_keys[i].name);
        assert_non_null(strstr(text, want));
    }
    free(text);
}

TEST_MAIN(T(sample_is_read), T(defaults_are_those_of_the_manual),
          T(every_key_of_the_node_and_the_cluster_is_stored),
          T(metrics_are_off_and_on_this_machine_unless_the_file_says_otherwise),
          T(flaps_are_damped_and_nobody_is_held_down_unless_the_file_says_otherwise),
          T(a_vip_needs_the_lans_that_it_is_on_and_those_that_no_vip_is_on),
          T(nobody_is_drilled_unless_the_file_says_so),
          T(every_key_of_the_hub_and_keepalived_is_stored), T(unicast_takes_the_members_addresses),
          T(lan_without_probes_asks_the_siblings),
          T(fifteen_members_and_sixty_three_vips_are_taken), T(reference_has_every_section_and_key))
