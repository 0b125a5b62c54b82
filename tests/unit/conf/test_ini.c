#include "conf/ini.h"
#include "lib/test.h"
#include <stdio.h>
#include <string.h>

static struct ini ini;

static void open_text(const char *text)
{
    ini_open(&ini, text, strlen(text));
}

static void expect(enum ini_kind kind, unsigned line, const char *word, const char *value)
{
    assert_int_equal(ini_next(&ini), kind);
    assert_int_equal(ini.line, line);
    assert_string_equal(ini.word, word);
    assert_string_equal(ini.value, value);
}

static void expect_bad(const char *text, size_t len, const char *problem)
{
    ini_open(&ini, text, len);
    assert_int_equal(ini_next(&ini), INI_BAD);
    if (!strstr(ini.problem, problem))
        fail_msg("'%s' is not about '%s'", ini.problem, problem);
}

TEST(sections_and_keys_come_in_order_with_their_lines)
{
    open_text("# first\n\n[Node]\nId = 1\n  Name=a b  \n;x\n[Vip  main ]\nk =\n");
    expect(INI_SECTION, 3, "Node", "");
    expect(INI_KEY, 4, "Id", "1");
    expect(INI_KEY, 5, "Name", "a b");
    expect(INI_SECTION, 7, "Vip", "main");
    expect(INI_KEY, 8, "k", "");
    assert_int_equal(ini_next(&ini), INI_END);
    assert_int_equal(ini_next(&ini), INI_END);
}

TEST(comment_begins_after_a_blank)
{
    open_text("a = 1 # one\nb = 2;3#4 ; two\n[S x] # three\nc = #none\n");
    expect(INI_KEY, 1, "a", "1");
    expect(INI_KEY, 2, "b", "2;3#4");
    expect(INI_SECTION, 3, "S", "x");
    expect(INI_KEY, 4, "c", "");
}

TEST(value_may_hold_equals_signs)
{
    open_text("k = AAA=\n");
    expect(INI_KEY, 1, "k", "AAA=");
}

TEST(windows_line_ends_and_byte_order_mark_are_taken)
{
    open_text("\xef\xbb\xbf[Node]\r\nId = 1\r\n\r\n");
    expect(INI_SECTION, 1, "Node", "");
    expect(INI_KEY, 2, "Id", "1");
    assert_int_equal(ini_next(&ini), INI_END);
}

TEST(last_line_needs_no_end)
{
    open_text("a=1");
    expect(INI_KEY, 1, "a", "1");
    open_text("[");
    assert_int_equal(ini_next(&ini), INI_BAD);
    open_text("");
    assert_int_equal(ini_next(&ini), INI_END);
}

TEST(what_is_no_line_of_the_dialect_is_said)
{
    expect_bad("Id\n", 3, "expected '[Section]', 'Key = value'");
    expect_bad("= 1\n", 4, "a key has 1 to 63");
    expect_bad("[Node\n", 6, "ends with ']'");
    expect_bad("[Node] x\n", 9, "ends with ']'");
    expect_bad("[]\n", 3, "a name of 1 to 63");
    expect_bad("[ x]\n", 5, "a name of 1 to 63");
    expect_bad("a = \x01\n", 6, "a control character");
    expect_bad("a = b\rc\n", 8, "a control character");
    expect_bad("a = \0b\n", 7, "a NUL character");
    expect_bad("\0", 1, "a NUL character");
}

TEST(bad_line_does_not_stop_the_reader)
{
    open_text("nonsense\nId = 1\n");
    assert_int_equal(ini_next(&ini), INI_BAD);
    expect(INI_KEY, 2, "Id", "1");
}

/* "PREFIXxxxSUFFIX" with @n times x. */
static const char *filled(const char *prefix, unsigned n, const char *suffix)
{
    static char text[2 * INI_VALUE_MAX];

    assert_true(n + strlen(prefix) + strlen(suffix) < sizeof(text));
    strcpy(text, prefix);
    memset(text + strlen(prefix), 'x', n);
    strcpy(text + strlen(prefix) + n, suffix);
    return text;
}

TEST(lengths_are_bounded)
{
    open_text(filled("", INI_WORD_MAX, "=1"));
    assert_int_equal(ini_next(&ini), INI_KEY);
    open_text(filled("", INI_WORD_MAX + 1, "=1"));
    assert_int_equal(ini_next(&ini), INI_BAD);
    open_text(filled("[", INI_WORD_MAX, "]"));
    assert_int_equal(ini_next(&ini), INI_SECTION);
    open_text(filled("[", INI_WORD_MAX + 1, "]"));
    assert_int_equal(ini_next(&ini), INI_BAD);
    open_text(filled("[a ", INI_WORD_MAX + 1, "]"));
    assert_int_equal(ini_next(&ini), INI_BAD);
    open_text(filled("a=", INI_VALUE_MAX, ""));
    assert_int_equal(ini_next(&ini), INI_KEY);
    assert_int_equal(strlen(ini.value), INI_VALUE_MAX);
    open_text(filled("a=", INI_VALUE_MAX + 1, ""));
    assert_int_equal(ini_next(&ini), INI_BAD);
}

TEST_MAIN(T(sections_and_keys_come_in_order_with_their_lines), T(comment_begins_after_a_blank),
          T(value_may_hold_equals_signs), T(windows_line_ends_and_byte_order_mark_are_taken),
          T(last_line_needs_no_end), T(what_is_no_line_of_the_dialect_is_said),
          T(bad_line_does_not_stop_the_reader), T(lengths_are_bounded))
