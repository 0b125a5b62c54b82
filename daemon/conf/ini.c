#include "conf/ini.h"
#include <ctype.h>
#include <string.h>

void ini_open(struct ini *i, const char *text, size_t len)
{
    static const char mark[] = "\xef\xbb\xbf"; /* some editors put it before UTF-8 */

    memset(i, 0, sizeof(*i));
    i->at = text;
    i->end = text + len;
    if (len >= 3 && memcmp(text, mark, 3) == 0)
        i->at += 3;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static void trim(const char **from, const char **to)
{
    while (*from < *to && blank(**from))
        ++*from;
    while (*to > *from && blank((*to)[-1]))
        --*to;
}

static bool put(const char *from, const char *to, char *ret, size_t max)
{
    trim(&from, &to);
    if ((size_t)(to - from) > max)
        return false;
    memcpy(ret, from, (size_t)(to - from));
    ret[to - from] = 0;
    return true;
}

static enum ini_kind bad(struct ini *i, const char *problem)
{
    i->problem = problem;
    return INI_BAD;
}

/* A comment may stand behind a section or a value, after a blank; base64 has no '#'. */
static const char *before_comment(const char *from, const char *to)
{
    for (const char *c = from + 1; c < to; c++)
        if ((*c == '#' || *c == ';') && blank(c[-1]))
            return c;
    return to;
}

static enum ini_kind section(struct ini *i, const char *from, const char *to)
{
    const char *middle = ++from;

    if (to[-1] != ']')
        return bad(i, "a section ends with ']'; write [Section] or [Section NAME]");
    to--;
    while (middle < to && !blank(*middle))
        middle++;
    if (!put(from, middle, i->word, INI_WORD_MAX) || !*i->word)
        return bad(i, "a section has a name of 1 to 63 characters");
    if (!put(middle, to, i->value, INI_WORD_MAX))
        return bad(i, "the name in the brackets is too long; at most 31 characters");
    return INI_SECTION;
}

static enum ini_kind key(struct ini *i, const char *from, const char *to)
{
    const char *equals = memchr(from, '=', (size_t)(to - from));

    if (!equals)
        return bad(i, "expected '[Section]', 'Key = value' or a '# comment'");
    if (!put(from, equals, i->word, INI_WORD_MAX) || !*i->word)
        return bad(i, "a key has 1 to 63 characters");
    if (!put(equals + 1, to, i->value, INI_VALUE_MAX))
        return bad(i, "the value is longer than 4095 characters");
    return INI_KEY;
}

enum ini_kind ini_next(struct ini *i)
{
    while (i->at < i->end) {
        const char *from = i->at, *to = memchr(from, '\n', (size_t)(i->end - from));

        i->at = to ? to + 1 : i->end;
        if (!to)
            to = i->end;
        i->line++;
        trim(&from, &to);
        if (from == to || *from == '#' || *from == ';')
            continue;
        for (const char *c = from; c < to; c++)
            if ((unsigned char)*c < 32 && *c != '\t')
                return bad(i, *c ? "a control character; remove it"
                                 : "a NUL character; save the file as plain text");
        to = before_comment(from, to);
        trim(&from, &to);
        return *from == '[' ? section(i, from, to) : key(i, from, to);
    }
    return INI_END;
}
