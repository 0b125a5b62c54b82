#include "base/err.h"
#include "conf/parse.h"
#include "conf/value.h"
#include "lib/test.h"
#include <stdio.h>
#include <string.h>

TEST(durations_have_units)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {{"300ms", 300},   {"5s", 5000}, {"5", 5000},    {"1m", 60000},
                {"2min", 120000}, {"0", 0},     {"0.1s", 100},  {"1.5m", 90000},
                {"0.010", 10},    {"1.0ms", 1}, {"007s", 7000}, {"999999999m", 59999999940000}};
    static const char *const bad[] = {
        "",    "s",     "-1s", "+1s", "1 s", "1h", "0x10",   "1e3",         "1,5s",         ".5s",
        "1.s", "1.5ms", "nan", "inf", "1ss", " 1", "1\xb5s", "9999999999s", "0.0000000001m"};
    uint64_t ms;

    for (unsigned i = 0; i < ARRAY_LEN(good); i++) {
        if (!value_duration(good[i].text, &ms))
            fail_msg("'%s' is refused", good[i].text);
        assert_int_equal(ms, good[i].ms);
    }
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        if (value_duration(bad[i], &ms))
            fail_msg("'%s' is taken as %llu ms", bad[i], (unsigned long long)ms);
}

TEST(switches_have_words_of_any_case)
{
    static const char *const on[] = {"on", "YES", "True", "1"}, *const off[] = {"off", "no",
                                                                                "FALSE", "0"};
    bool b;

    for (unsigned i = 0; i < 4; i++) {
        b = false;
        assert_true(value_switch(on[i], &b) && b);
        assert_true(value_switch(off[i], &b) && !b);
    }
    assert_false(value_switch("", &b) || value_switch("o", &b) || value_switch("2", &b));
}

TEST(numbers_are_decimal_or_hexadecimal)
{
    uint64_t n;

    assert_true(value_number("18446744073709551615", &n) && n == UINT64_MAX);
    assert_true(value_number("0xca6c", &n) && n == 0xca6c);
    assert_true(value_number("010", &n) && n == 10);
    assert_false(value_number("18446744073709551616", &n) || value_number("", &n) ||
                 value_number("0x", &n) || value_number("-1", &n) || value_number("0x-1", &n) ||
                 value_number("1 ", &n) || value_number("0x10000000000000000", &n));
}

TEST(names_are_words_that_keepalived_takes)
{
    assert_true(value_name("m1") && value_name("a.b_c-D") &&
                value_name("0123456789012345678901234567890"));
    assert_false(value_name("") || value_name("01234567890123456789012345678901") ||
                 value_name("a b") || value_name("a\"b") || value_name("\xc3\xa4") ||
                 value_name("a]") || value_name("a,b"));
    assert_true(value_ifname("wg0") && value_ifname("eth0.100") && value_ifname("123456789012345"));
    assert_false(value_ifname("") || value_ifname("1234567890123456") || value_ifname(".") ||
                 value_ifname("..") || value_ifname("a/b") || value_ifname("a b") ||
                 value_ifname("a:1"));
}

TEST(lists_are_split_at_commas)
{
    const char *at = " a ,bb,, toolong ,";
    char one[4];

    assert_true(value_list_next(&at, one, sizeof(one)));
    assert_string_equal(one, "a");
    assert_true(value_list_next(&at, one, sizeof(one)));
    assert_string_equal(one, "bb");
    for (int i = 0; i < 3; i++) {
        assert_true(value_list_next(&at, one, sizeof(one)));
        assert_string_equal(one, "");
    }
    assert_false(value_list_next(&at, one, sizeof(one)));
}

TEST(vip_addresses_have_a_length_and_an_interface)
{
    static const char *const bad[] = {"",
                                      "10.0.0.1",
                                      "10.0.0.1/24",
                                      "10.0.0.1/24 eth0",
                                      "10.0.0.1 dev eth0",
                                      "10.0.0.1/33 dev eth0",
                                      "10.0.0.1/24 dev 1234567890123456",
                                      "10.0.0.1/24 dev 12345678901234567890",
                                      "10.0.0.1/24 dev eth0 x",
                                      "10.0.0.1/24 deveth0",
                                      "0.0.0.0/24 dev eth0",
                                      "224.0.0.18/24 dev eth0",
                                      "255.255.255.255/32 dev eth0",
                                      "::/64 dev eth0",
                                      "ff02::12/64 dev eth0"};
    struct vip_addr a;
    char text[ADDR_TEXT_LEN];

    assert_true(value_vip_address("10.0.0.1/24  dev\teth0", &a));
    assert_string_equal(addr_format(&a.addr, text), "10.0.0.1");
    assert_int_equal(a.prefix_len, 24);
    assert_string_equal(a.ifname, "eth0");
    assert_true(value_vip_address("fd00::1/64 dev 123456789012345", &a));
    assert_int_equal(a.prefix_len, 64);
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        if (value_vip_address(bad[i], &a))
            fail_msg("'%s' is taken", bad[i]);
}

TEST(paths_are_absolute_bounded_and_plain)
{
    const struct conf_key *k = conf_key_find(SECTION_NODE, "RunDirectory");
    char longest[CONF_PATH_MAX + 2] = "/";
    struct conf c = {0};

    assert_true(value_store(k, "/run/guard_mount-1.x", &c));
    assert_string_equal(c.run_dir, "/run/guard_mount-1.x");
    assert_false(value_store(k, "run", &c) || value_store(k, "", &c) ||
                 value_store(k, "/a b", &c) || value_store(k, "/a\"b", &c) ||
                 value_store(k, "/a{", &c));
    memset(longest + 1, 'x', k->max);
    assert_false(value_store(k, longest, &c));
    longest[k->max] = 0;
    assert_true(value_store(k, longest, &c));
}

TEST(keys_are_exactly_base64)
{
    static const char *const bad[] = {
        "",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=", /* bits left */
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ("AAAAAAAAAAAAAAAAAAAAAAAAAAAA\xc1"
         "AAAAAAAAAAAAAA="),
        "-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "AAAAAAAAAAAAAAAAAAAAAA AAAAAAAAAAAAAAAAAAAA="};
    const struct conf_key *k = conf_key_find(SECTION_MEMBER, "SyncPublicKey");
    struct conf_member m = {.sync_public_key = {0xff}};

    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        if (value_store(k, bad[i], &m))
            fail_msg("'%s' is taken", bad[i]);
    assert_int_equal(m.sync_public_key[0], 0xff);
    assert_true(value_store(k, "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", &m));
    assert_int_equal(m.sync_public_key[0], 1);
}

TEST(every_default_is_a_value_and_every_key_says_what_it_expects)
{
    static union {
        struct conf conf;
        struct conf_member member;
        struct vip_draft vip;
    } base;
    char expected[VALUE_EXPECTED_LEN];

    for (unsigned i = 0; i < conf_key_count; i++) {
        const struct conf_key *k = &conf_keys[i];

        if (k->fallback && !value_store(k, k->fallback, &base))
            fail_msg("%s: its default is refused", k->name);
        if (k->required && (k->fallback || k->computed))
            fail_msg("%s is required and has a default", k->name);
        assert_true(strlen(value_expected(k, expected)) > 5);
        assert_true(strlen(expected) < VALUE_EXPECTED_LEN - 1);
    }
}

TEST(near_misses_are_found_and_far_ones_are_not)
{
    assert_string_equal(conf_section_near("Cluser"), "Cluster");
    assert_string_equal(conf_section_near("hub"), "Hub");
    assert_null(conf_section_near("Interface"));
    assert_string_equal(conf_key_near(SECTION_HUB, "privatkey"), "PrivateKey");
    assert_string_equal(conf_key_near(SECTION_VIP, "vrid"), "VridOuter");
    assert_null(conf_key_near(SECTION_VIP, "Hops")); /* half of Hub is not Hub */
    assert_null(conf_key_near(SECTION_HUB, "AllowedIPs"));
    assert_null(conf_key_near(SECTION_HUB, "0123456789012345678901234567890123456789012345678901234"
                                           "567890123456789"));
    assert_int_equal(conf_section_find("KEEPALIVED"), SECTION_KEEPALIVED);
    assert_int_equal(conf_section_find("Keepalive"), -1);
    assert_non_null(conf_key_find(SECTION_NODE, "loglevel"));
    assert_null(conf_key_find(SECTION_NODE, "Port"));
}

TEST_MAIN(T(durations_have_units), T(switches_have_words_of_any_case),
          T(numbers_are_decimal_or_hexadecimal), T(names_are_words_that_keepalived_takes),
          T(lists_are_split_at_commas), T(vip_addresses_have_a_length_and_an_interface),
          T(paths_are_absolute_bounded_and_plain), T(keys_are_exactly_base64),
          T(every_default_is_a_value_and_every_key_says_what_it_expects),
          T(near_misses_are_found_and_far_ones_are_not))
