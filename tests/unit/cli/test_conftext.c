/* A configuration changed in a few places: the places, and that nothing else moves. */
#include "base/err.h"
#include "cli/conftext.h"
#include "lib/test.h"
#include <stdio.h>
#include <string.h>

#define HEAD "# mine\n[node]\nid = 1 # differs\n\n[Cluster]\nSyncPrivateKey = old\n\n"
#define M1 "[Member m1]\nId = 1\n# of m1\n"
#define M2 "\n[Member M2]\nId = 2\nSyncAddress = 192.0.2.2:1\n"
#define REST "\n# the VIP\n[Vip main]\nmembers = m1, m2\nOuter = 192.0.2.9/24 dev eth0\n"
#define KEY_A "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

static void expect(const char *text, const struct conftext_change *c, const char *want)
{
    char out[2048];
    size_t len = 0;

    assert_int_equal(conftext_change(text, strlen(text), c, out, sizeof(out), &len), 0);
    assert_string_equal(out, want);
    assert_int_equal(len, strlen(want));
}

static struct conf_member third(void)
{
    struct conf_member m = {.id = 3, .name = "m3"};

    assert_int_equal(endpoint_parse("192.0.2.3:51900", &m.sync_address), 0);
    return m;
}

TEST(no_change_changes_nothing)
{
    expect(HEAD M1 M2 REST, &(struct conftext_change){0}, HEAD M1 M2 REST);
    expect("", &(struct conftext_change){0}, "");
    expect("[Node]", &(struct conftext_change){0}, "[Node]");
}

TEST(a_member_is_added_behind_the_last_and_is_a_vips_last_choice)
{
    struct conf_member m = third();

    expect(HEAD M1 M2 REST, &(struct conftext_change){.add = &m},
           HEAD M1 M2
           "\n[Member m3]\nId = 3\nSyncPublicKey = " KEY_A "\nSyncAddress = 192.0.2.3:51900\n"
           "\n# the VIP\n[Vip main]\nMembers = m1, m2, m3\nOuter = 192.0.2.9/24 dev eth0\n");
    addr_parse("192.0.2.33", &m.outer_address);
    addr_parse("10.0.0.3", &m.inner_address[0]);
    addr_parse("fd00::3", &m.inner_address[1]);
    m.inner_address_count = 2;
    expect("[Member m1]\nId = 1", &(struct conftext_change){.add = &m},
           "[Member m1]\nId = 1\n\n[Member m3]\nId = 3\nSyncPublicKey = " KEY_A
           "\nSyncAddress = 192.0.2.3:51900\nOuterAddress = 192.0.2.33\nInnerAddress = 10.0.0.3, "
           "fd00::3\n");
}

TEST(a_member_is_removed_and_comments_of_others_stay)
{
    expect(HEAD M1 M2 REST, &(struct conftext_change){.remove = "m2"},
           HEAD M1 "\n# the VIP\n[Vip main]\nMembers = m1\nOuter = 192.0.2.9/24 dev eth0\n");
    expect(HEAD M2 M1, &(struct conftext_change){.remove = "m1"}, HEAD M2 "# of m1\n");
    expect(HEAD M1 M2 REST, &(struct conftext_change){.remove = "m7"},
           HEAD M1 M2 "\n# the VIP\n[Vip main]\nMembers = m1, m2\nOuter = 192.0.2.9/24 dev eth0\n");
}

TEST(what_was_added_is_removed_again)
{
    static const char text[] =
        HEAD M1 M2 "\n# the VIP\n[Vip main]\nMembers = m1, m2\nOuter = 192.0.2.9/24 dev eth0\n";
    struct conf_member m = third();
    char with[2048];
    size_t len;

    assert_int_equal(conftext_change(text, strlen(text), &(struct conftext_change){.add = &m}, with,
                                     sizeof(with), &len),
                     0);
    expect(with, &(struct conftext_change){.remove = "m3"}, text);
}

TEST(a_file_becomes_another_members)
{
    static const struct conftext_rename names[] = {{"eth0", "ens3"}, {"ens3", "eth0"}, {"e", "f"}};
    struct conftext_change c = {
        .self = 2, .private_key = "new", .rename = names, .rename_count = ARRAY_LEN(names)};

    expect(HEAD M1 M2 REST "Inner = 10.0.0.9/8 dev eth01, 10.0.0.8/8  dev eth0 \n"
                           "[Lan a]\nInterface = eth0\nProbe = 192.0.2.1\n[Lan b]\nInterface = e\n",
           &c,
           "# mine\n[node]\nId = 2\n\n[Cluster]\nSyncPrivateKey = new\n\n" M1 M2
           "\n# the VIP\n[Vip main]\nmembers = m1, m2\nOuter = 192.0.2.9/24 dev ens3\n"
           "Inner = 10.0.0.9/8 dev eth01, 10.0.0.8/8  dev ens3\n"
           "[Lan a]\nInterface = ens3\nProbe = 192.0.2.1\n[Lan b]\nInterface = f\n");
}

TEST(what_does_not_fit_is_refused)
{
    struct conf_member m = third();
    struct conftext_change c = {.add = &m};
    char out[512];
    size_t len = 99, need;

    assert_int_equal(conftext_change(M1, strlen(M1), &c, out, sizeof(out), &need), 0);
    for (size_t room = 0; room <= need; room++)
        assert_int_equal(conftext_change(M1, strlen(M1), &c, out, room, &len), -ENOSPC);
    assert_int_equal(len, 99);
    assert_int_equal(conftext_change(M1, strlen(M1), &c, out, need + 1, &len), 0);
}

TEST_MAIN(T(no_change_changes_nothing),
          T(a_member_is_added_behind_the_last_and_is_a_vips_last_choice),
          T(a_member_is_removed_and_comments_of_others_stay), T(what_was_added_is_removed_again),
          T(a_file_becomes_another_members), T(what_does_not_fit_is_refused))
