/* A line of log is one line, one write, and no more of them than are bearable. */
#include "base/log.h"
#include "lib/test.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char said[64 * LOG_LINE_MAX];
static int saved, reader;

/* Between these two, stderr goes to @said. */
static void listen_begin(void)
{
    int ends[2];

    saved = dup(STDERR_FILENO);
    assert_true(saved >= 0 && pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    close(ends[1]);
    reader = ends[0];
}

/* Each line begins with the time, in UTC: checked here, and left out of what is compared. */
static void without_times(char *text)
{
    static const char form[] = "0000-00-00T00:00:00.000Z ";
    const size_t len = sizeof(form) - 1;
    char *to = text;

    while (*text) {
        const char *end = strchr(text, '\n');

        assert_true(end && (size_t)(end - text) > len);
        for (size_t i = 0; i < len; i++)
            assert_true(form[i] == '0' ? isdigit((unsigned char)text[i]) : text[i] == form[i]);
        size_t rest = (size_t)(end + 1 - text) - len;
        memmove(to, text + len, rest);
        to += rest;
        text += len + rest;
    }
    *to = 0;
}

static const char *listen_end(void)
{
    size_t len = 0;
    ssize_t n;

    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    while ((n = read(reader, said + len, sizeof(said) - 1 - len)) > 0)
        len += (size_t)n;
    close(reader);
    said[len] = 0;
    without_times(said);
    return said;
}

static unsigned lines(const char *text)
{
    unsigned n = 0;

    for (; (text = strchr(text, '\n')); text++)
        n++;
    return n;
}

TEST(a_line_is_time_level_sentence_and_fields)
{
    listen_begin();
    log_warn("sync link down", "member=%u reason=%s", 2, "no answer");
    log_info("started", NULL);
    log_info("ended", "%s", "");
    assert_string_equal(listen_end(), "warn: sync link down: member=2 reason=\"no answer\"\n"
                                      "info: started\ninfo: ended\n");
}

TEST(a_name_from_outside_forges_no_line)
{
    listen_begin();
    log_info("peer added\nerror: forged", "name=%s", "x\nerror: forged too\x1b[31m");
    assert_string_equal(listen_end(), "info: peer added\\x0aerror: forged: "
                                      "name=\"x\\x0aerror: forged too\\x1b[31m\"\n");
}

TEST(a_tag_stands_before_each_line_and_is_escaped_too)
{
    log_set_tag("wg0\n");
    listen_begin();
    log_error("gone", NULL);
    assert_string_equal(listen_end(), "wg0\\x0a error: gone\n");
    log_set_tag("");
}

TEST(a_line_that_is_too_long_is_cut_and_still_ends)
{
    static char text[4 * LOG_LINE_MAX];

    memset(text, 'y', sizeof(text) - 1);
    listen_begin();
    log_info("long", "text=%s", text);
    log_info(text, "text=%s", text);
    const char *got = listen_end();
    assert_int_equal(lines(got), 2);
    for (const char *at = got, *end; *at; at = end + 1) {
        end = strchr(at, '\n');
        assert_in_range(end + 1 - at, LOG_LINE_MAX / 2, LOG_LINE_MAX);
    }
}

TEST(a_place_that_says_too_much_is_silenced_and_tells_how_much)
{
    static struct log_place place;
    unsigned asked = 0;
    const char *told = NULL;

    /* The clock is the machine's: a second may end in the middle, so all is counted over three. */
    listen_begin();
    for (unsigned second = 0; second < 2; second++) {
        for (unsigned i = 0; i < 50; i++, asked++)
            log_write(&place, LOG_LEVEL_INFO, "again", "n=%u", asked);
        usleep(1100 * 1000);
    }
    log_write(&place, LOG_LEVEL_INFO, "again", "n=%u", asked);
    const char *got = listen_end();
    assert_in_range(lines(got), 2 * LOG_BURST, 4 * LOG_BURST + 1);
    unsigned left_out = 0;
    for (told = got; (told = strstr(told, " (")); told++)
        left_out += (unsigned)strtoul(told + 2, NULL, 10);
    assert_int_equal(lines(got) + left_out, asked + 1);
}

TEST(levels_are_named_and_kept)
{
    enum log_level level = LOG_LEVEL_WARN;

    assert_int_equal(log_level_parse("loud", &level), -EINVAL);
    assert_int_equal(log_level_parse("", &level), -EINVAL);
    assert_int_equal(level, LOG_LEVEL_WARN);
    assert_int_equal(log_level_parse("verbose", &level), 0);
    assert_int_equal(level, LOG_LEVEL_DEBUG);
    listen_begin();
    log_debug("not asked for", NULL);
    log_set_level(LOG_LEVEL_SILENT);
    log_error("not heard", NULL);
    log_set_level(LOG_LEVEL_DEBUG);
    log_debug("heard", NULL);
    log_set_level(LOG_LEVEL_INFO);
    assert_string_equal(listen_end(), "debug: heard\n");
}

TEST_MAIN(T(a_line_is_time_level_sentence_and_fields), T(a_name_from_outside_forges_no_line),
          T(a_tag_stands_before_each_line_and_is_escaped_too),
          T(a_line_that_is_too_long_is_cut_and_still_ends),
          T(a_place_that_says_too_much_is_silenced_and_tells_how_much),
          T(levels_are_named_and_kept))
