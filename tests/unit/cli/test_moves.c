/* drain, undrain, promote and upgrade-check as people and scripts see them. */
#include "base/err.h"
#include "unit/cli/house.h"
#include <string.h>

TEST(a_drain_waits_and_says_where_the_vips_are)
{
    struct house *h = *state;

    expect(guardmount(h, "", "drain"), 0, "m1: drained\n  VIP main is at berlin\n");
    assert_int_equal(h->moved.kind, MOVE_DRAIN);
    assert_int_equal(h->moved.member, 1);
    assert_int_equal(h->moved.vip, 0);
    assert_false(h->moved.force);
    expect(guardmount(h, "", "undrain"), 0, "m1: no longer drained");
    assert_int_equal(h->moved.kind, MOVE_UNDRAIN);
}

TEST(one_vip_of_another_member_can_be_drained)
{
    struct house *h = *state;

    expect(guardmount(h, "", "drain --vip second --force berlin"), 0, "VIP second is at m1");
    assert_int_equal(h->moved.member, 2);
    assert_int_equal(h->moved.vip, 2);
    assert_true(h->moved.force);
}

TEST(a_promotion_says_when_it_has_arrived)
{
    struct house *h = *state;
    int schema, done;
    const char *action, *owner;

    json_t *o = json_of(guardmount(h, "", "--json promote main berlin"));
    assert_int_equal(json_unpack(o, "{s:i, s:s, s:b, s:[{s:s}]}", "schema", &schema, "action",
                                 &action, "done", &done, "vips", "owner_name", &owner),
                     0);
    assert_int_equal(schema, 1);
    assert_string_equal(action, "promote");
    assert_string_equal(owner, "berlin");
    assert_true(done);
    json_decref(o);
    assert_int_equal(h->moved.member, 2);
    assert_int_equal(h->moved.vip, 1);
}

TEST(a_refusal_is_told_as_it_is)
{
    struct house *h = *state;

    h->refuse = "no sibling in sync could take the VIP main";
    expect(guardmount(h, "", "drain"), 1, "the daemon refused: no sibling in sync");
    expect(guardmount(h, "", "drain nobody"), 1, "there is no member 'nobody'");
    expect(guardmount(h, "", "promote no main"), 1, "there is no VIP 'no'");
}

TEST(upgrade_check_is_safe_when_everything_is_elsewhere_and_in_sync)
{
    struct house *h = *state;

    expect(guardmount(h, "", "upgrade-check"), 4, "it owns the VIP main");
    guardmount(h, "", "drain");
    expect(guardmount(h, "", "upgrade-check"), 0, "m1: safe to restart");
    h->status->member[1].in_sync = false;
    expect(guardmount(h, "", "upgrade-check"), 4, "not in sync with this member");
    h->status->vip[0].owner = 0;
    expect(guardmount(h, "", "--json upgrade-check"), 4, "\"safe\": false");
}

TEST(wrong_use_of_moves_is_exit_code_2)
{
    struct house *h = *state;

    expect(guardmount(h, "", "promote main"), 2, "promote needs a VIP and a member");
    expect(guardmount(h, "", "drain --vip"), 2, "--vip needs the name of a VIP");
    expect(guardmount(h, "", "undrain --force"), 2, "unexpected '--force'");
    expect(guardmount(h, "", "drain a b"), 2, "unexpected 'b'");
    expect(guardmount(h, "", "upgrade-check x"), 2, "takes no arguments");
}

TEST_MAIN(TD(a_drain_waits_and_says_where_the_vips_are),
          TD(one_vip_of_another_member_can_be_drained), TD(a_promotion_says_when_it_has_arrived),
          TD(a_refusal_is_told_as_it_is),
          TD(upgrade_check_is_safe_when_everything_is_elsewhere_and_in_sync),
          TD(wrong_use_of_moves_is_exit_code_2))
