/* Entries of the audit log: what they say, and that a chain of them cannot be changed unseen. */
#include "base/bytes.h"
#include "base/err.h"
#include "lib/test.h"
#include "model/audit.h"
#include <stdio.h>
#include <string.h>

static const struct audit_origin origin = {1750000000123456789ull, 2, "uid 1000"};
static const struct version stamp = {7, 2, 9};

static struct peer *alice(void)
{
    struct public_key key = {{1}};
    struct peer *p = peer_new(1, &key);
    struct ip_prefix prefix;

    for (unsigned f = 0; f < PEER_FIELDS; f++)
        p->version[f] = stamp;
    strcpy(p->name, "alice");
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(prefix_parse(i ? "fd00::1" : "10.0.0.1", &prefix), 0);
        assert_int_equal(peer_allow(p, &prefix), 0);
    }
    return p;
}

static void expect(const struct peer *before, const struct peer *now, const char *rest)
{
    char text[AUDIT_TEXT_MAX + 1], wanted[AUDIT_TEXT_MAX + 1];

    audit_write_peer(text, &origin, before, now, &stamp);
    snprintf(wanted, sizeof(wanted), "at=2025-06-15T15:06:40Z member=2 by=\"uid 1000\" did=%s",
             rest);
    assert_string_equal(text, wanted);
}

#define ALICE "peer=AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= name=alice"

TEST(new_peer_is_told_with_what_it_has)
{
    struct peer *p = alice();

    expect(NULL, p, "peer.add " ALICE " allowed=10.0.0.1/32,fd00::1/128");
    p->keepalive_s = 25;
    p->pending = true;
    p->expires_s = 1800000000;
    assert_int_equal(peer_set_text(p, PEER_OWNER, "Ada \"L\""), 0);
    expect(NULL, p,
           "peer.add " ALICE " keepalive=25 allowed=10.0.0.1/32,fd00::1/128 "
           "expires=2027-01-15T08:00:00Z pending=yes owner=\"Ada \\\"L\\\"\"");
    peer_free(p);
}

TEST(edit_is_told_by_the_fields_that_it_touched)
{
    struct peer *was = alice(), *now = alice();

    for (unsigned f = 0; f < PEER_FIELDS; f++)
        now->version[f] = (struct version){1, 1, 1};
    now->allowed_count = 0;
    now->version[PEER_FIELD_ALLOWED] = now->version[PEER_FIELD_DISABLED] = stamp;
    now->disabled = true;
    expect(was, now, "peer.set " ALICE " allowed=none disabled=yes");
    strcpy(now->name, "anna");
    now->version[PEER_FIELD_NAME] = stamp;
    expect(was, now,
           "peer.set peer=AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= name=anna was=alice "
           "allowed=none disabled=yes");
    strcpy(now->name, "alice");
    was->pending = true;
    now->version[PEER_FIELD_PENDING] = stamp;
    now->version[PEER_FIELD_DISABLED] = now->version[PEER_FIELD_ALLOWED] = (struct version){0};
    expect(was, now, "peer.approve " ALICE " pending=no");
    peer_free(was);
    peer_free(now);
}

TEST(end_of_a_peer_is_told_with_its_name)
{
    struct peer *was = alice(), *now = alice();

    now->state = PEER_REVOKED;
    expect(was, now, "peer.revoke " ALICE);
    expect(now, was, "peer.reinstate " ALICE " allowed=10.0.0.1/32,fd00::1/128");
    now->state = PEER_REMOVED;
    now->name[0] = '\0';
    expect(was, now, "peer.remove " ALICE);
    was->is_group = true;
    expect(was, now, "group.remove " ALICE);
    peer_free(was);
    peer_free(now);
}

TEST(long_texts_leave_a_sound_entry)
{
    char text[AUDIT_TEXT_MAX + 1], many[PEER_TEXT_MAX + 1];
    struct peer *p = alice();

    memset(many, '"', PEER_TEXT_MAX);
    many[PEER_TEXT_MAX] = '\0';
    for (int t = 0; t < PEER_TEXTS; t++)
        assert_int_equal(peer_set_text(p, (enum peer_text)t, many), 0);
    audit_write_peer(text, &origin, NULL, p, &stamp);
    assert_in_range(strlen(text), AUDIT_TEXT_MAX - 16, AUDIT_TEXT_MAX);
    peer_free(p);
}

/* As `printf '%064d 1 hello' 0 | b2sum -l 256` says. */
TEST(hash_is_that_of_b2sum)
{
    struct audit_entry e = {.serial = 1, .text = "hello"};
    const uint8_t nothing[AUDIT_HASH_LEN] = {0};
    char hex[2 * AUDIT_HASH_LEN + 1];

    audit_seal(&e, nothing);
    hex_encode(e.hash, sizeof(e.hash), hex);
    hex[2 * AUDIT_HASH_LEN] = '\0';
    assert_string_equal(hex, "9ef698588f651a6ddf51f48469c6ce7c09226f731a582b906715a95dc53b8112");
}

TEST(whatever_is_changed_in_an_entry_shows)
{
    struct audit_entry e = {.serial = 4, .text = "hello"}, other;
    uint8_t before[AUDIT_HASH_LEN] = {5}, others[AUDIT_HASH_LEN] = {6};

    audit_seal(&e, before);
    assert_true(audit_intact(&e, before));
    assert_false(audit_intact(&e, others));
    other = e;
    other.serial++;
    assert_false(audit_intact(&other, before));
    other = e;
    other.text[0] = 'H';
    assert_false(audit_intact(&other, before));
    other = e;
    other.hash[31] ^= 1;
    assert_false(audit_intact(&other, before));
}

TEST_MAIN(T(new_peer_is_told_with_what_it_has), T(edit_is_told_by_the_fields_that_it_touched),
          T(end_of_a_peer_is_told_with_its_name), T(long_texts_leave_a_sound_entry),
          T(hash_is_that_of_b2sum), T(whatever_is_changed_in_an_entry_shows))
