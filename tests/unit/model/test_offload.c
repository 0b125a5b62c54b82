/* Names of offloads as the operator writes and reads them. */
#include "base/err.h"
#include "lib/test.h"
#include "model/offload.h"

static unsigned set_of(const char *text)
{
    unsigned set = 77;

    return offload_parse(text, &set) == 0 ? set : 99;
}

TEST(all_none_or_a_list)
{
    assert_int_equal(set_of("auto"), OFFLOAD_ALL);
    assert_int_equal(set_of("on"), OFFLOAD_ALL);
    assert_int_equal(set_of("off"), 0);
    assert_int_equal(set_of("udp-gro"), OFFLOAD_UDP_GRO);
    assert_int_equal(set_of("udp-gso,udp-gro"), OFFLOAD_UDP_GRO | OFFLOAD_UDP_GSO);
    assert_int_equal(set_of("tso"), OFFLOAD_TUN_TSO | OFFLOAD_TUN_VNET); /* needs the headers */
    assert_int_equal(set_of("udp-gro,udp-gso,vnet,tso,uso"), OFFLOAD_ALL);
    assert_int_equal(set_of("UDP-GRO , Vnet"), OFFLOAD_UDP_GRO | OFFLOAD_TUN_VNET);
}

TEST(all_but_those_with_a_minus)
{
    assert_int_equal(set_of("-uso"), OFFLOAD_ALL & ~OFFLOAD_TUN_USO);
    assert_int_equal(set_of("-udp-gso, -udp-gro"),
                     OFFLOAD_TUN_VNET | OFFLOAD_TUN_TSO | OFFLOAD_TUN_USO);
    assert_int_equal(set_of("-vnet"), OFFLOAD_UDP_GRO | OFFLOAD_UDP_GSO); /* needed by two others */
}

TEST(anything_else_is_refused_and_changes_nothing)
{
    static const char *const bad[] = {"",         ",",     "tso,", ",tso", "tso uso",
                                      "-",        "ts",    "tsox", "none", "tso,-uso",
                                      "-uso,tso", "- uso", "--uso"};
    unsigned set = 77;

    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(offload_parse(bad[i], &set), -EINVAL);
    assert_int_equal(set, 77);
}

TEST(a_set_reads_as_the_list_that_makes_it)
{
    char text[OFFLOAD_TEXT_LEN];

    assert_string_equal(offload_format(0, text), "none");
    assert_string_equal(offload_format(OFFLOAD_ALL, text), "udp-gro,udp-gso,vnet,tso,uso");
    assert_int_equal(set_of(offload_format(OFFLOAD_ALL, text)), OFFLOAD_ALL);
    assert_string_equal(offload_format(OFFLOAD_UDP_GSO, text), "udp-gso");
}

TEST_MAIN(T(all_none_or_a_list), T(all_but_those_with_a_minus),
          T(anything_else_is_refused_and_changes_nothing), T(a_set_reads_as_the_list_that_makes_it))
