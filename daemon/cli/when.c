#include "cli/when.h"
#include "base/err.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MINUTE_S 60ull
#define DAY_S (24 * 60 * MINUTE_S)
#define SPAN_MAX_S (100 * 365 * DAY_S)

static int parse_span(const char *text, uint64_t now_s, uint64_t *ret)
{
    static const struct {
        char letter;
        uint64_t seconds;
    } units[] = {
        {'m', MINUTE_S}, {'h', 60 * MINUTE_S}, {'d', DAY_S}, {'w', 7 * DAY_S}, {'y', 365 * DAY_S}};
    size_t digits = strspn(text, "0123456789");

    if (!digits || digits > 9 || !text[digits] || text[digits + 1])
        return -EINVAL;
    for (unsigned i = 0; i < ARRAY_LEN(units); i++) {
        uint64_t span = strtoull(text, NULL, 10) * units[i].seconds;

        if (text[digits] != units[i].letter)
            continue;
        if (!span || span > SPAN_MAX_S)
            return -EINVAL;
        *ret = now_s + span;
        return 0;
    }
    return -EINVAL;
}

static int parse_date(const char *text, uint64_t *ret)
{
    static const char *const forms[] = {"%Y-%m-%d", "%Y-%m-%dT%H:%MZ", "%Y-%m-%dT%H:%M:%SZ"};

    for (unsigned i = 0; i < ARRAY_LEN(forms); i++) {
        struct tm tm = {0}, same;
        const char *end = strptime(text, forms[i], &tm);
        time_t at;

        if (!end || *end || tm.tm_year < 70 || tm.tm_year > 1100)
            continue;
        same = tm;
        at = timegm(&same);
        if (same.tm_mday != tm.tm_mday) /* the 30th of February */
            return -EINVAL;
        *ret = (uint64_t)at + (i == 0 ? DAY_S : 0);
        return *ret ? 0 : -EINVAL;
    }
    return -EINVAL;
}

int when_parse(const char *text, uint64_t now_s, uint64_t *ret)
{
    if (strcmp(text, "never") == 0) {
        *ret = 0;
        return 0;
    }
    return parse_span(text, now_s, ret) == 0 ? 0 : parse_date(text, ret);
}
