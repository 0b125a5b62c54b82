/* Which address of a network is free. */
#include "base/err.h"
#include "lib/test.h"
#include "model/addrpool.h"

static struct addrpool pool;

static void begin(const char *network)
{
    struct ip_prefix p;

    assert_int_equal(prefix_parse(network, &p), 0);
    addrpool_init(&pool, &p);
}

static void take(const char *prefix)
{
    struct ip_prefix p;

    assert_int_equal(prefix_parse(prefix, &p), 0);
    addrpool_take(&pool, &p);
}

static void expect(const char *address)
{
    char text[PREFIX_TEXT_LEN];
    struct ip_prefix p;

    assert_int_equal(addrpool_pick(&pool, &p), 0);
    assert_string_equal(prefix_format(&p, text), address);
}

TEST(lowest_free_address_is_picked)
{
    begin("10.7.0.0/24");
    expect("10.7.0.1/32");
    take("10.7.0.1/32");
    take("10.7.0.3/32");
    expect("10.7.0.2/32");
    take("10.7.0.0/30");
    expect("10.7.0.4/32");
    take("10.7.0.0/25");
    expect("10.7.0.128/32");
}

TEST(network_and_broadcast_are_never_picked)
{
    struct ip_prefix p;

    begin("10.7.0.0/30");
    take("10.7.0.1/32");
    expect("10.7.0.2/32");
    take("10.7.0.2/32");
    assert_int_equal(addrpool_pick(&pool, &p), -ENOSPC);
    begin("10.7.0.0/32");
    assert_int_equal(addrpool_pick(&pool, &p), -ENOSPC);
}

TEST(default_route_and_other_networks_take_nothing)
{
    begin("10.7.0.0/24");
    take("0.0.0.0/0");
    take("10.0.0.0/8");
    take("10.8.0.1/32");
    take("fd00::/8");
    expect("10.7.0.1/32");
    take("10.7.0.0/24"); /* a peer that has all of it does */
    struct ip_prefix p;
    assert_int_equal(addrpool_pick(&pool, &p), -ENOSPC);
}

TEST(large_networks_are_used_from_their_beginning)
{
    begin("10.0.0.0/8");
    take("10.0.0.0/17");
    expect("10.0.128.0/32");
    take("10.200.0.0/16"); /* beyond what is looked at */
    expect("10.0.128.0/32");
    begin("fd00:1::/64");
    expect("fd00:1::1/128");
    take("fd00:1::/120");
    expect("fd00:1::100/128");
    take("fd00:1:0:0:8000::/65");
    expect("fd00:1::100/128");
}

TEST(overlap_is_of_addresses_of_one_family)
{
    struct ip_prefix a, b;

    prefix_parse("10.0.0.0/8", &a);
    prefix_parse("10.1.2.3/32", &b);
    assert_true(prefix_overlaps(&a, &b) && prefix_overlaps(&b, &a));
    prefix_parse("11.0.0.0/8", &b);
    assert_false(prefix_overlaps(&a, &b));
    prefix_parse("::/0", &b);
    assert_false(prefix_overlaps(&a, &b));
}

TEST_MAIN(T(lowest_free_address_is_picked), T(network_and_broadcast_are_never_picked),
          T(default_route_and_other_networks_take_nothing),
          T(large_networks_are_used_from_their_beginning), T(overlap_is_of_addresses_of_one_family))
