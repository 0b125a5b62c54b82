#include "base/err.h"
#include "fence/ranges.h"
#include "lib/test.h"
#include <string.h>

#define GROUPS 3

static struct fence_entry entry(const char *prefix, uint16_t group)
{
    struct fence_entry e = {.group = group};

    assert_int_equal(prefix_parse(prefix, &e.prefix), 0);
    return e;
}

static struct ranges ranges_of(const struct fence_entry *e, unsigned count, bool v6)
{
    struct ranges r;

    assert_int_equal(ranges_make(e, count, v6, &r), 0);
    return r;
}

static void assert_range(const struct range *r, const char *first, const char *last, uint16_t group)
{
    char text[ADDR_TEXT_LEN];

    assert_string_equal(addr_format(&r->first, text), first);
    assert_string_equal(addr_format(&r->last, text), last);
    assert_int_equal(r->group, group);
}

TEST(a_prefix_within_another_cuts_it)
{
    const struct fence_entry e[] = {entry("10.0.0.0/24", 1), entry("10.0.0.8/30", 2)};
    struct ranges r = ranges_of(e, 2, false);

    assert_int_equal(r.count, 3);
    assert_range(&r.at[0], "10.0.0.0", "10.0.0.7", 1);
    assert_range(&r.at[1], "10.0.0.8", "10.0.0.11", 2);
    assert_range(&r.at[2], "10.0.0.12", "10.0.0.255", 1);
    ranges_done(&r);
}

TEST(neighbours_of_one_group_are_one_range)
{
    const struct fence_entry e[] = {entry("10.0.0.3/32", 1), entry("10.0.0.2/32", 1),
                                    entry("10.0.0.4/32", 2)};
    struct ranges r = ranges_of(e, 3, false);

    assert_int_equal(r.count, 2);
    assert_range(&r.at[0], "10.0.0.2", "10.0.0.3", 1);
    ranges_done(&r);
}

TEST(the_whole_of_either_family_is_one_range)
{
    const struct fence_entry e[] = {entry("0.0.0.0/0", 1), entry("::/0", 2)};
    struct ranges r = ranges_of(e, 2, false);

    assert_int_equal(r.count, 1);
    assert_range(&r.at[0], "0.0.0.0", "255.255.255.255", 1);
    ranges_done(&r);
    r = ranges_of(e, 2, true);
    assert_int_equal(r.count, 1);
    assert_range(&r.at[0], "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 2);
    ranges_done(&r);
}

TEST(a_prefix_at_the_end_of_all_addresses_cuts_too)
{
    const struct fence_entry e[] = {entry("ff00::/8", 1),
                                    entry("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", 2)};
    struct ranges r = ranges_of(e, 2, true);

    assert_int_equal(r.count, 2);
    assert_range(&r.at[1], "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 2);
    ranges_done(&r);
}

/* ---- against the longest prefix, looked for one by one ---- */

static const struct fence_entry *longest(const struct fence_entry *e, unsigned count,
                                         const struct ip_addr *a)
{
    const struct fence_entry *best = NULL;

    for (unsigned i = 0; i < count; i++)
        if (prefix_contains(&e[i].prefix, a) && (!best || e[i].prefix.len > best->prefix.len))
            best = &e[i];
    return best;
}

/* In one /24, so that they meet; no two are equal. */
static unsigned random_entries(const struct rng *rng, struct fence_entry *ret, unsigned most)
{
    unsigned count = 0;

    for (unsigned i = 0; i < most; i++) {
        uint8_t b[4] = {10, 0, 0, (uint8_t)test_below(rng, 256)};
        struct fence_entry e = {.prefix = {.len = (uint8_t)(24 + test_below(rng, 9))},
                                .group = (uint16_t)test_below(rng, GROUPS + 1)};
        bool there = false;

        if (e.group == GROUPS)
            e.group = FENCE_OPEN;
        b[3] &= (uint8_t)(0xff00 >> (e.prefix.len - 24));
        e.prefix.addr = addr_from_v4(b);
        for (unsigned k = 0; k < count; k++)
            there |= prefix_equal(&ret[k].prefix, &e.prefix);
        if (!there)
            ret[count++] = e;
    }
    return count;
}

TEST(each_address_is_in_the_group_of_its_longest_prefix)
{
    const struct rng *rng = test_rng(1);
    struct fence_entry e[24];

    for (unsigned round = 0; round < 500; round++) {
        unsigned count = random_entries(rng, e, ARRAY_LEN(e));
        struct ranges r = ranges_of(e, count, false);

        for (unsigned k = 1; k < r.count; k++)
            assert_true(memcmp(r.at[k - 1].last.b, r.at[k].first.b, 16) < 0);
        for (unsigned low = 0; low < 256; low++) {
            struct ip_addr a = addr_from_v4((uint8_t[4]){10, 0, 0, (uint8_t)low});
            const struct fence_entry *want = longest(e, count, &a);
            const struct range *got = ranges_find(&r, &a);

            assert_int_equal(got != NULL, want != NULL);
            assert_true(!got || got->group == want->group);
        }
        ranges_done(&r);
    }
}

TEST(what_is_lost_is_what_had_more_before)
{
    static const uint16_t became[GROUPS] = {1, FENCE_OPEN, 2};
    const struct rng *rng = test_rng(2);
    struct fence_entry e[12], f[12];

    for (unsigned round = 0; round < 500; round++) {
        unsigned es = random_entries(rng, e, ARRAY_LEN(e)),
                 fs = random_entries(rng, f, ARRAY_LEN(f));
        struct ranges before = ranges_of(e, es, false), now = ranges_of(f, fs, false), lost;

        assert_int_equal(ranges_lost(&before, &now, became, &lost), 0);
        for (unsigned low = 0; low < 256; low++) {
            struct ip_addr a = addr_from_v4((uint8_t[4]){10, 0, 0, (uint8_t)low});
            const struct fence_entry *old = longest(e, es, &a), *new = longest(f, fs, &a);
            bool kept = !old || (new &&new->group == FENCE_OPEN) ||
                        (new && old->group != FENCE_OPEN &&became[old->group] == new->group);

            assert_int_equal(ranges_find(&lost, &a) != NULL, !kept);
        }
        ranges_done(&before);
        ranges_done(&now);
        ranges_done(&lost);
    }
}

TEST_MAIN(T(a_prefix_within_another_cuts_it), T(neighbours_of_one_group_are_one_range),
          T(the_whole_of_either_family_is_one_range),
          T(a_prefix_at_the_end_of_all_addresses_cuts_too),
          T(each_address_is_in_the_group_of_its_longest_prefix),
          T(what_is_lost_is_what_had_more_before))
