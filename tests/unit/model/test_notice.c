/* The tables that name events. */
#include "base/err.h"
#include "lib/test.h"
#include "model/notice.h"
#include <ctype.h>
#include <string.h>

static void well_formed(const char *name, bool dot)
{
    const char *at = strchr(name, '.');

    assert_true(*name && (dot ? at && at[1] && !strchr(at + 1, '.') : !at));
    for (; *name; name++)
        assert_true(islower((unsigned char)*name) || *name == '-' || (dot && *name == '.'));
}

TEST(every_kind_has_a_name_of_its_own_and_says_something)
{
    for (unsigned i = 0; i < NOTICE_KINDS; i++) {
        const struct notice_kind_info *k = &notice_kinds[i];

        well_formed(k->name, true);
        assert_ptr_equal(notice_kind_find(k->name), k);
        assert_true(k->fields && k->fields < 1u << NOTICE_FIELDS);
        assert_true(strlen(k->name) < 21 && *k->sentence && *k->help);
        assert_in_range(k->level, LOG_LEVEL_WARN, LOG_LEVEL_DEBUG);
    }
    assert_null(notice_kind_find("vip"));
}

/* They share one place in the struct. */
TEST(no_kind_has_two_numbers_besides_the_member)
{
    for (unsigned i = 0; i < NOTICE_KINDS; i++) {
        unsigned numbers = 0;

        for (unsigned f = NOTICE_FIELD_EPOCH; f < NOTICE_FIELDS; f++)
            numbers += notice_kinds[i].fields >> f & 1;
        assert_in_range(numbers, 0, 1);
    }
    for (unsigned f = 0; f < NOTICE_FIELDS; f++) {
        well_formed(notice_fields[f].name, false);
        assert_ptr_equal(notice_field_find(notice_fields[f].name), &notice_fields[f]);
        assert_int_equal(notice_fields[f].number,
                         f >= NOTICE_FIELD_EPOCH || f == NOTICE_FIELD_MEMBER);
    }
}

TEST(every_reason_says_what_to_do)
{
    for (unsigned i = 0; i < NOTICE_REASONS; i++) {
        const struct notice_reason_info *r = &notice_reasons[i];

        well_formed(r->name, false);
        assert_int_equal(notice_reason_find(r->name), i);
        assert_true(*r->sentence && (*r->remedy || i == REASON_NONE));
    }
    assert_int_equal(notice_reason_find("nonsense"), REASON_OTHER);
}

TEST(the_longest_text_fits)
{
    struct notice n = {.number = UINT64_MAX, .member = 15, .reason = REASON_SOURCE_NOT_ALLOWED};
    char text[NOTICE_TEXT_LEN], vip[32];

    memset(&n.peer, 0xff, sizeof(n.peer));
    memset(vip, 'v', sizeof(vip) - 1);
    vip[sizeof(vip) - 1] = '\0';
    endpoint_parse("[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:65535", &n.endpoint);
    for (n.kind = 0; n.kind < NOTICE_KINDS; n.kind++)
        assert_in_range(strlen(notice_format(&n, vip, text)), 10, NOTICE_TEXT_LEN - 2);
    n.kind = NOTICE_HANDSHAKE_REFUSED;
    assert_string_equal(notice_format(&n, "main", text),
                        "event=handshake.refused "
                        "peer=//////////////////////////////////////////8= vip=main "
                        "endpoint=[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:65535 "
                        "reason=source-not-allowed count=18446744073709551615");
    n.endpoint = (struct endpoint){0};
    n.kind = NOTICE_HANDSHAKE_DONE;
    n.initiator = true;
    n.peer = (struct public_key){{0}};
    assert_string_equal(notice_format(&n, "main", text),
                        "event=handshake.done peer=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= "
                        "vip=main endpoint=- role=initiator");
}

TEST_MAIN(T(every_kind_has_a_name_of_its_own_and_says_something),
          T(no_kind_has_two_numbers_besides_the_member), T(every_reason_says_what_to_do),
          T(the_longest_text_fits))
