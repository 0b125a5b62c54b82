/* No value can forge a field, a line, or what a terminal shows. */
#include "base/fields.h"
#include "lib/test.h"
#include <inttypes.h>
#include <string.h>

#define expect(want, ...)                                                                          \
    do {                                                                                           \
        char _text[256];                                                                           \
        size_t _len = fields_format(_text, sizeof(_text), __VA_ARGS__);                            \
        assert_string_equal(_text, want);                                                          \
        assert_int_equal(_len, strlen(want));                                                      \
    } while (0)

TEST(plain_values_stay_as_they_are)
{
    expect("", "%s", "");
    expect("peer=AbC+/9= n=7", "peer=%s n=%d", "AbC+/9=", 7);
    expect("path=/a/b.sock port=51820", "path=%s/%s port=%u", "/a", "b.sock", 51820u);
    expect("name=\xc3\xa4\xe2\x82\xac\xf0\x9f\x9b\xa1", "name=%s",
           "\xc3\xa4\xe2\x82\xac\xf0\x9f\x9b\xa1");
    expect("empty= next=1", "empty=%s next=%d", "", 1);
}

TEST(every_kind_of_number_is_taken_from_the_arguments)
{
    expect("a=-1 b=2 c=-3 d=4 e=ff f=6 g=7 h=0008 i=0.50 j=% k=z",
           "a=%d b=%u c=%ld d=%llu e=%x f=%zu g=%" PRIu64 " h=%04d i=%.2f j=%% k=%c", -1, 2u, -3l,
           4ull, 255, (size_t)6, (uint64_t)7, 8, 0.5, 'z');
    expect("text=abc after=9", "text=%.*s after=%d", 3, "abcdef", 9);
    expect("max=18446744073709551615 min=-9223372036854775808", "max=%llu min=%lld",
           UINT64_MAX + 0ull, (long long)INT64_MIN);
}

TEST(a_value_with_spaces_is_quoted_and_cannot_add_a_field)
{
    expect("error=\"No such file\" n=1", "error=%s n=%d", "No such file", 1);
    expect("name=\"x admin=yes\"", "name=%s", "x admin=yes");
    expect("name=\"x\\\" admin=yes\"", "name=%s", "x\" admin=yes");
    expect("name=\"a\\\\\"", "name=%s", "a\\");
    expect("error=EPERM hint=\"it needs CAP_NET_ADMIN\"", "error=%s hint=it needs CAP_NET_ADMIN",
           "EPERM");
}

TEST(a_value_cannot_end_a_line_or_speak_to_a_terminal)
{
    expect("name=\"a\\x0aerror: forged\"", "name=%s", "a\nerror: forged");
    expect("name=\"\\x1b[2J\\x07\\x7f\\x0d\\x09\"", "name=%s", "\x1b[2J\x07\x7f\r\t");
    expect("name=\"\\xc2\\x9b31m\"", "name=%s",
           "\xc2\x9b"
           "31m"); /* C1: CSI as one character */
    expect("c=\"\\x01\"", "c=%c", 1);
}

TEST(what_is_no_utf8_is_escaped_byte_by_byte)
{
    expect("name=\"\\xff\\xfe\"", "name=%s", "\xff\xfe");
    expect("name=\"\\xc3(\"", "name=%s", "\xc3(");          /* no second byte */
    expect("name=\"a\\xe2\\x82\"", "name=%s", "a\xe2\x82"); /* cut short */
    expect("name=\"\\xc0\\x8a\"", "name=%s", "\xc0\x8a");   /* a newline in two bytes */
    expect("name=\"\\xe0\\x80\\x8a\"", "name=%s", "\xe0\x80\x8a");
    expect("name=\"\\xed\\xa0\\x80\"", "name=%s", "\xed\xa0\x80"); /* half of a pair */
    expect("name=\"\\xf4\\x90\\x80\\x80\"", "name=%s", "\xf4\x90\x80\x80");
    expect("name=\"\\xf8\\x88\\x80\\x80\\x80\"", "name=%s", "\xf8\x88\x80\x80\x80");
    expect("name=\"\\x80\"", "name=%s", "\x80");
}

TEST(text_that_is_ready_is_not_quoted_again)
{
    const char *ready = "vip=a reason=\"two words\" path=\"a\\\\b\\x0a\"";

    expect(ready, "%s", ready);
    expect("a\\x0ab", "%s", "a\nb");
}

TEST(what_does_not_fit_is_left_out_whole)
{
    char text[32];

    /* Whatever the room: no half character, no half escape, quotes in pairs, nothing behind a gap.
     */
    for (size_t room = 1; room <= 24; room++) {
        memset(text, 'Z', sizeof(text));
        size_t len = fields_format(text, room, "n=%s m=%s", "a\xe2\x82\xac \n\"", "b");
        assert_true(len < room);
        assert_int_equal(strlen(text), len);
        assert_int_equal(text[room], 'Z');
        unsigned quotes = 0;
        for (size_t i = 0; i < len; i++) {
            if (text[i] == '\\')
                i += text[i + 1] == 'x' ? 3 : 1;
            else
                quotes += text[i] == '"';
            assert_true(i < len);
        }
        assert_int_equal(quotes % 2, 0);
        assert_true(!strchr(text, '\xe2') || strstr(text, "\xe2\x82\xac"));
        assert_true(!strchr(text, 'm') || strstr(text, "\\\"\" m"));
    }
    assert_int_equal(fields_format(text, sizeof(text), "n=%s m=%s", "a\xe2\x82\xac \n\"", "b"), 19);
    assert_string_equal(text, "n=\"a\xe2\x82\xac \\x0a\\\"\" m=b");
    assert_int_equal(fields_escape(text, 4, "abcdef"), 3);
    assert_string_equal(text, "abc");
}

TEST(a_value_of_any_length_takes_only_its_own_argument)
{
    char text[64], *end;
    static char longest[3 * FIELD_LEN_MAX];

    memset(longest, 'x', sizeof(longest) - 1);
    assert_int_equal(fields_format(text, sizeof(text), "n=%s m=%d", longest, 7), sizeof(text) - 1);
    static char room[2 * FIELD_LEN_MAX];
    fields_format(room, sizeof(room), "n=%s and %s more %d m=%d", longest, longest, 5, 7);
    end = strstr(room, " m=");
    assert_non_null(end);
    assert_string_equal(end, " m=7");
}

TEST_MAIN(T(plain_values_stay_as_they_are), T(every_kind_of_number_is_taken_from_the_arguments),
          T(a_value_with_spaces_is_quoted_and_cannot_add_a_field),
          T(a_value_cannot_end_a_line_or_speak_to_a_terminal),
          T(what_is_no_utf8_is_escaped_byte_by_byte), T(text_that_is_ready_is_not_quoted_again),
          T(what_does_not_fit_is_left_out_whole),
          T(a_value_of_any_length_takes_only_its_own_argument))
