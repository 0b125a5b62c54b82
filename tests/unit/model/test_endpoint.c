#include "base/err.h"
#include "lib/test.h"
#include "model/endpoint.h"
#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static struct ip_addr addr(const char *text)
{
    struct ip_addr a;

    if (addr_parse(text, &a) < 0)
        fail_msg("'%s' is refused", text);
    return a;
}

static struct ip_prefix prefix(const char *text)
{
    struct ip_prefix p;

    if (prefix_parse(text, &p) < 0)
        fail_msg("'%s' is refused", text);
    return p;
}

TEST(addresses_are_read_and_printed)
{
    static const struct {
        const char *text, *printed;
        bool v4;
    } good[] = {{"10.0.0.1", "10.0.0.1", true},
                {"255.255.255.255", "255.255.255.255", true},
                {"::", "::", false},
                {"FD00:0:0::1", "fd00::1", false},
                {"::ffff:1.2.3.4", "1.2.3.4", true},
                {"fe80::1%lo", "fe80::1%lo", false},
                {"fe80::1%4000000000", "fe80::1%4000000000", false}};
    static const char *const bad[] = {"",
                                      "1.2.3",
                                      "1.2.3.256",
                                      "01.2.3.4",
                                      "1.2.3.4 ",
                                      " 1.2.3.4",
                                      "1.2.3.4%lo",
                                      "::ffff:1.2.3.4%lo",
                                      "::g",
                                      "1::2::3",
                                      "[::1]",
                                      "fe80::1%",
                                      "fe80::1%0",
                                      "fe80::1%no-such-if",
                                      "fe80::1%4294967296",
                                      "example.org",
                                      ("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255%"
                                       "1234567890123456789")};
    char buf[ADDR_TEXT_LEN];
    struct ip_addr a;

    for (unsigned i = 0; i < ARRAY_LEN(good); i++) {
        a = addr(good[i].text);
        assert_string_equal(addr_format(&a, buf), good[i].printed);
        assert_int_equal(addr_is_v4(&a), good[i].v4);
    }
    memset(&a, 0x5a, sizeof(a));
    struct ip_addr before = a;
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        if (addr_parse(bad[i], &a) != -EINVAL || memcmp(&a, &before, sizeof(a)) != 0)
            fail_msg("'%s' is taken, or left something behind", bad[i]);
}

TEST(addresses_of_two_scopes_differ)
{
    struct ip_addr a = addr("fe80::1%1"), b = addr("fe80::1%2"), zero = {0};

    assert_true(addr_equal(&a, &a));
    assert_false(addr_equal(&a, &b));
    assert_true(addr_is_zero(&zero));
    a = addr("0.0.0.0");
    assert_false(addr_is_zero(&a)); /* it is ::ffff:0.0.0.0 */
}

TEST(endpoints_are_read_and_printed)
{
    static const char *const good[] = {"1.2.3.4:1", "255.255.255.255:65535", "[::1]:51820",
                                       "[fe80::1%lo]:5"};
    static const char *const bad[] = {
        "",           "1.2.3.4",    "1.2.3.4:",    "1.2.3.4:0", ":5",         "1.2.3.4:65536",
        "1.2.3.4:-1", "1.2.3.4:5 ", "[1.2.3.4]:5", "::1:5",     "[::1]",      "[::1]5",
        "[::1:5",     "[]:5",       "[::1]:",      "name:5",    "1.2.3.4:5:6"};
    char buf[ENDPOINT_TEXT_LEN];
    struct endpoint e = {0};

    assert_false(endpoint_is_set(&e));
    for (unsigned i = 0; i < ARRAY_LEN(good); i++) {
        if (endpoint_parse(good[i], &e) < 0)
            fail_msg("'%s' is refused", good[i]);
        assert_string_equal(endpoint_format(&e, buf), good[i]);
        assert_true(endpoint_is_set(&e) && endpoint_equal(&e, &e));
    }
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        if (endpoint_parse(bad[i], &e) != -EINVAL)
            fail_msg("'%s' is taken", bad[i]);
}

TEST(endpoints_come_back_from_socket_addresses)
{
    static const char *const texts[] = {"1.2.3.4:1", "[2001:db8::1]:2", "[fe80::1%1]:3"};
    struct sockaddr_storage sa;
    struct endpoint e, back;

    for (unsigned i = 0; i < ARRAY_LEN(texts); i++) {
        assert_int_equal(endpoint_parse(texts[i], &e), 0);
        assert_int_equal(endpoint_to_sockaddr(&e, &sa),
                         i == 0 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
        assert_int_equal(sa.ss_family, i == 0 ? AF_INET : AF_INET6);
        assert_int_equal(endpoint_from_sockaddr((struct sockaddr *)&sa, &back), 0);
        assert_true(endpoint_equal(&e, &back));
    }
    sa.ss_family = AF_UNIX;
    assert_int_equal(endpoint_from_sockaddr((struct sockaddr *)&sa, &back), -EAFNOSUPPORT);
    assert_true(endpoint_equal(&e, &back));
}

TEST(prefixes_lose_their_host_bits)
{
    static const struct {
        const char *text, *printed;
    } good[] = {{"10.1.2.3/8", "10.0.0.0/8"},
                {"10.1.2.3", "10.1.2.3/32"},
                {"10.1.2.3/0", "0.0.0.0/0"},
                {"10.255.2.3/13", "10.248.0.0/13"},
                {"fd00:1:2:3::5/64", "fd00:1:2:3::/64"},
                {"::1", "::1/128"},
                {"ff::/0", "::/0"},
                {"ffff::/1", "8000::/1"}};
    static const char *const bad[] = {
        "",      "/8",    "10.0.0.0/",    "10.0.0.0/33",   "::/129",
        "::/-1", "::/1x", "10.0.0.0/8/8", "fe80::1%lo/64", "10.0.0.0 /8"};
    char buf[PREFIX_TEXT_LEN];
    struct ip_prefix p;

    for (unsigned i = 0; i < ARRAY_LEN(good); i++) {
        p = prefix(good[i].text);
        assert_string_equal(prefix_format(&p, buf), good[i].printed);
    }
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        if (prefix_parse(bad[i], &p) != -EINVAL)
            fail_msg("'%s' is taken", bad[i]);
}

TEST(interface_address_keeps_its_host_part)
{
    struct ip_addr host, want = addr("10.1.2.3");
    struct ip_prefix p, net = prefix("10.1.0.0/16");

    assert_int_equal(prefix_parse_host("10.1.2.3/16", &p, &host), 0);
    assert_true(prefix_equal(&p, &net) && addr_equal(&host, &want));
}

TEST(prefix_contains_its_own_family_only)
{
    struct ip_prefix all4 = prefix("0.0.0.0/0"), all6 = prefix("::/0"), net = prefix("10.8.0.0/13"),
                     net6 = prefix("fd00::8000/113"), link = prefix("fe80::/64");
    struct ip_addr v4 = addr("10.15.255.255"), out = addr("10.16.0.0"), v6 = addr("fd00::8001"),
                   out6 = addr("fd00::7fff"), scoped = addr("fe80::1%lo");

    assert_true(prefix_contains(&all4, &v4) && !prefix_contains(&all4, &v6));
    assert_true(prefix_contains(&all6, &v6) && !prefix_contains(&all6, &v4));
    assert_true(prefix_contains(&net, &v4) && !prefix_contains(&net, &out));
    assert_true(prefix_contains(&net6, &v6) && !prefix_contains(&net6, &out6));
    assert_true(prefix_contains(&link, &scoped));
    assert_false(prefix_equal(&all4, &all6));
}

TEST_MAIN(T(addresses_are_read_and_printed), T(addresses_of_two_scopes_differ),
          T(endpoints_are_read_and_printed), T(endpoints_come_back_from_socket_addresses),
          T(prefixes_lose_their_host_bits), T(interface_address_keeps_its_host_part),
          T(prefix_contains_its_own_family_only))
