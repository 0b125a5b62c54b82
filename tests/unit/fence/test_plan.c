#include "base/err.h"
#include "fence/plan.h"
#include "lib/test.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct ip_prefix prefix(const char *text)
{
    struct ip_prefix p;

    assert_int_equal(prefix_parse(text, &p), 0);
    return p;
}

static void add(struct fence_plan *p, const char *text, uint16_t group)
{
    struct ip_prefix allowed = prefix(text);

    assert_int_equal(plan_add(p, &allowed, group), 0);
}

static uint16_t group(struct fence_plan *p, const char *name, const char *network)
{
    struct ip_prefix n = prefix(network);
    int r = plan_add_group(p, name, &n, 1);

    assert_true(r >= 0);
    return (uint16_t)r;
}

static bool lost(const struct fence_plan *before, const struct fence_plan *now, const char *address)
{
    struct ip_addr a;
    struct ranges v4, v6;

    assert_int_equal(addr_parse(address, &a), 0);
    assert_int_equal(plan_lost(before, now, &v4, &v6), 0);
    bool is = ranges_find(addr_is_v4(&a) ? &v4 : &v6, &a);
    ranges_done(&v4);
    ranges_done(&v6);
    return is;
}

static struct fence_plan *contractors(const char *network)
{
    struct fence_plan *p = plan_new(7, "wg0");

    assert_non_null(p);
    uint16_t g = group(p, "contractors", network);
    add(p, "10.9.0.2/32", g);
    add(p, "fd00::2/128", g);
    add(p, "10.9.0.3/32", FENCE_OPEN);
    assert_int_equal(plan_close(p), 0);
    return p;
}

TEST(the_table_is_named_after_the_hub_and_hears_the_tunnel_only)
{
    _cleanup_(plan_freep) struct fence_plan *p = contractors("192.0.2.0/24");
    _cleanup_(freep) char *text = NULL;

    assert_int_equal(plan_text(p, &text), 0);
    assert_ptr_equal(strstr(text, "table inet guardmount_7 {\nflags owner\n}\n"
                                  "delete table inet guardmount_7\n"),
                     text);
    assert_non_null(strstr(text, "iifname \"wg0\" jump from_peers"));
    assert_non_null(strstr(text, "counter drop\n}\nchain to_peers")); /* who is in no set */
    assert_non_null(strstr(text, "set peers4_contractors {\ntype ipv4_addr\nflags interval\n"
                                 "elements = {\n10.9.0.2\n}\n}\n"));
    assert_non_null(strstr(text, "set networks6_contractors {\ntype ipv6_addr\nflags interval\n}"));
}

TEST(names_of_groups_cannot_say_anything_else)
{
    _cleanup_(plan_freep) struct fence_plan *p = plan_new(1, "wg0");
    _cleanup_(freep) char *text = NULL;

    group(p, "a b;}\n_", "192.0.2.0/24");
    assert_int_equal(plan_close(p), 0);
    assert_int_equal(plan_text(p, &text), 0);
    assert_non_null(strstr(text, "set networks4_a_20b_3b_7d_0a_5f {\n"));
}

TEST(an_address_that_is_no_peers_any_more_is_lost)
{
    _cleanup_(plan_freep) struct fence_plan *before = contractors("192.0.2.0/24"),
                                            *now = plan_new(7, "wg0");

    group(now, "contractors", "192.0.2.0/24");
    assert_int_equal(plan_close(now), 0);
    assert_true(lost(before, now, "10.9.0.2"));
    assert_true(lost(before, now, "10.9.0.3"));
    assert_true(lost(before, now, "fd00::2"));
    assert_false(lost(before, now, "192.0.2.1"));
}

TEST(a_group_that_gets_another_network_keeps_its_connections_and_one_that_loses_one_does_not)
{
    _cleanup_(plan_freep) struct fence_plan *before = contractors("192.0.2.0/24"),
                                            *more = plan_new(7, "wg0"),
                                            *other = contractors("198.51.100.0/24");
    struct ip_prefix both[] = {prefix("198.51.100.0/24"), prefix("192.0.2.0/24")};

    group(more, "before", "192.0.2.0/24"); /* the number of the group is another one */
    assert_int_equal(plan_add_group(more, "contractors", both, 2), 1);
    add(more, "10.9.0.2/32", 1);
    assert_int_equal(plan_close(more), 0);
    assert_false(lost(before, more, "10.9.0.2"));
    assert_true(lost(before, other, "10.9.0.2"));
    assert_false(lost(before, other, "10.9.0.3"));
}

TEST(at_a_start_isolated_peers_lose_what_a_life_before_let_through)
{
    _cleanup_(plan_freep) struct fence_plan *now = contractors("192.0.2.0/24");

    assert_true(lost(NULL, now, "10.9.0.2"));
    assert_false(lost(NULL, now, "10.9.0.3"));
    assert_false(lost(NULL, now, "192.0.2.1"));
}

/* ---- from records ---- */

static struct peer *record(const char *name, const char *group, const char *allowed)
{
    static uint8_t number;
    struct public_key key = {{++number}};
    struct peer *p = peer_new(7, &key);

    assert_non_null(p);
    snprintf(p->name, sizeof(p->name), "%s", name);
    snprintf(p->group, sizeof(p->group), "%s", group);
    if (allowed) {
        struct ip_prefix a = prefix(allowed);
        assert_int_equal(peer_allow(p, &a), 0);
    }
    return p;
}

static void take_group(struct fence_plan *p, const char *name, uint64_t policy,
                       const char *networks)
{
    _cleanup_(peer_freep) struct peer *g = record(name, "", NULL);

    g->is_group = true;
    g->policy = policy;
    assert_int_equal(peer_set_text(g, PEER_NETWORKS, networks), 0);
    assert_int_equal(plan_take_group(p, g), 0);
}

static void take_peer(struct fence_plan *p, const char *group, const char *allowed)
{
    _cleanup_(peer_freep) struct peer *r = record("somebody", group, allowed);

    assert_int_equal(plan_take_peer(p, r), 0);
}

static uint16_t group_at(const struct fence_plan *p, const char *address)
{
    struct ip_addr a;

    assert_int_equal(addr_parse(address, &a), 0);
    const struct range *r = ranges_find(&p->peers4, &a);
    assert_non_null(r);
    return r->group;
}

TEST(a_group_is_isolated_by_its_policy_and_one_that_nobody_knows_too)
{
    _cleanup_(plan_freep) struct fence_plan *p = plan_new(7, "wg0");

    take_group(p, "staff", POLICY_OPEN, "192.0.2.0/24");
    take_group(p, "guests", POLICY_ISOLATE, "");
    take_group(p, "agents", 17, "198.51.100.0/24, nonsense,203.0.113.0/24"); /* of a later one */
    take_peer(p, "staff", "10.9.0.1/32");
    take_peer(p, "", "10.9.0.2/32");
    take_peer(p, "guests", "10.9.0.3/32");
    take_peer(p, "agents", "10.9.0.4/32");
    take_peer(p, "lost", "10.9.0.5/32");
    take_peer(p, "lost", "10.9.0.6/32");
    assert_int_equal(plan_close(p), 0);
    assert_int_equal(p->group_count, 3);
    assert_int_equal(group_at(p, "10.9.0.1"), FENCE_OPEN);
    assert_int_equal(group_at(p, "10.9.0.2"), FENCE_OPEN);
    assert_string_equal(p->groups[group_at(p, "10.9.0.3")].name, "guests");
    assert_int_equal(p->groups[group_at(p, "10.9.0.4")].network_count, 2);
    assert_int_equal(group_at(p, "10.9.0.5"), group_at(p, "10.9.0.6"));
    assert_string_equal(p->groups[group_at(p, "10.9.0.5")].name, "lost");
    assert_int_equal(p->groups[group_at(p, "10.9.0.5")].network_count, 0);
}

TEST_MAIN(
    T(a_group_is_isolated_by_its_policy_and_one_that_nobody_knows_too),
    T(the_table_is_named_after_the_hub_and_hears_the_tunnel_only),
    T(names_of_groups_cannot_say_anything_else), T(an_address_that_is_no_peers_any_more_is_lost),
    T(a_group_that_gets_another_network_keeps_its_connections_and_one_that_loses_one_does_not),
    T(at_a_start_isolated_peers_lose_what_a_life_before_let_through))
