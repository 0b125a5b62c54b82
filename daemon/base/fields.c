#include "base/fields.h"
#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define SPEC_LEN_MAX 32 /* of one conversion, "%-08.*llu" */

struct out {
    char *at, *end; /* @end is for the NUL */
    bool cut;
};

struct arguments { /* so that functions can share it whatever a va_list is */
    va_list ap;
};

static void out_unit(struct out *o, const char *unit, size_t len)
{
    if (o->cut || (size_t)(o->end - o->at) < len) {
        o->cut = true; /* nothing behind a gap */
        return;
    }
    memcpy(o->at, unit, len);
    o->at += len;
}

/* Length of the printable character at @text; 0: its first byte is to be escaped. */
static size_t character(const uint8_t *text)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = text[0] < 0x80   ? 1
                 : text[0] < 0xc0 ? 0
                 : text[0] < 0xe0 ? 2
                 : text[0] < 0xf0 ? 3
                                  : 4;
    uint32_t point;

    if (len <= 1)
        return len && text[0] >= ' ' && text[0] != 0x7f;
    if (text[0] >= 0xf8)
        return 0;
    point = text[0] & (0xffu >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((text[i] & 0xc0) != 0x80) /* so is the NUL */
            return 0;
        point = point << 6 | (text[i] & 0x3f);
    }
    bool surrogate = point >= 0xd800 && point < 0xe000;
    return point < least[len] || point > 0x10ffff || surrogate || point < 0xa0 ? 0 : len;
}

static void out_text(struct out *o, const char *text, bool quoted)
{
    char escape[5];

    while (*text) {
        size_t len = character((const uint8_t *)text);

        if (len == 0)
            out_unit(o, escape, (size_t)sprintf(escape, "\\x%02x", (uint8_t)*text));
        else if (quoted && (*text == '"' || *text == '\\'))
            out_unit(o, (char[]){'\\', *text}, 2);
        else
            out_unit(o, text, len);
        text += len ? len : 1;
    }
}

static bool needs_quotes(const char *value)
{
    for (; *value; value += character((const uint8_t *)value))
        if (!character((const uint8_t *)value) || strchr(" \"\\", *value))
            return true;
    return false;
}

static void out_value(struct out *o, const char *value)
{
    if (!needs_quotes(value)) {
        out_text(o, value, false);
        return;
    }
    if (o->cut || o->end - o->at < 2) {
        o->cut = true;
        return;
    }
    *o->at++ = '"';
    o->end--; /* kept for the closing one */
    out_text(o, value, true);
    *o->at++ = '"';
    o->end++;
}

/* Length of "name=" at @format, 0: there is none. */
static size_t name_len(const char *format)
{
    size_t len = strspn(format, "abcdefghijklmnopqrstuvwxyz0123456789_");

    return len && format[len] == '=' ? len + 1 : 0;
}

/* One conversion; returns where @format goes on. The sizes are those that the formats of this
 * project use; another one is a broken invariant, since formats are constants. */
static const char *convert(char *ret, size_t room, const char *format, struct arguments *a)
{
    char spec[SPEC_LEN_MAX];
    size_t len = 1 + strspn(format + 1, "-+ #0123456789.*hljzt");
    const char *size = format + 1 + strspn(format + 1, "-+ #0123456789.*");
    int n = 0, star = -1;

    len++;
    assert(len < sizeof(spec));
    memcpy(spec, format, len);
    spec[len] = 0;
    char *asterisk = strchr(spec, '*');
    if (asterisk) { /* width or precision from an argument; not both */
        char rest[SPEC_LEN_MAX];

        assert(!strchr(asterisk + 1, '*'));
        star = va_arg(a->ap, int);
        assert(star >= 0);
        strcpy(rest, asterisk + 1);
        n = snprintf(asterisk, sizeof(spec) - (size_t)(asterisk - spec), "%d%s", star, rest);
        assert(n > 0 && (size_t)n < sizeof(spec) - (size_t)(asterisk - spec));
    }
    switch (format[len - 1]) {
    case '%':
        n = snprintf(ret, room, "%%");
        break;
    case 's':
        n = snprintf(ret, room, spec, va_arg(a->ap, const char *));
        break;
    case 'p':
        n = snprintf(ret, room, spec, va_arg(a->ap, void *));
        break;
    case 'f':
    case 'g':
    case 'e':
        n = snprintf(ret, room, spec, va_arg(a->ap, double));
        break;
    case 'd':
    case 'i':
    case 'u':
    case 'x':
    case 'X':
    case 'o':
    case 'c':
        if (strncmp(size, "ll", 2) == 0)
            n = snprintf(ret, room, spec, va_arg(a->ap, long long));
        else if (*size == 'l')
            n = snprintf(ret, room, spec, va_arg(a->ap, long));
        else if (*size == 'j')
            n = snprintf(ret, room, spec, va_arg(a->ap, intmax_t));
        else if (*size == 'z' || *size == 't')
            n = snprintf(ret, room, spec, va_arg(a->ap, size_t));
        else
            n = snprintf(ret, room, spec, va_arg(a->ap, int));
        break;
    default:
        assert(!"a conversion that logs do not use");
    }
    assert(n >= 0);
    return format + len;
}

/* The value at @format, up to the next field or the end. */
static const char *value(char ret[FIELD_LEN_MAX], const char *format, struct arguments *a)
{
    size_t len = 0;

    while (*format && !(*format == ' ' && name_len(format + 1))) {
        if (*format == '%') { /* also when it is full: the argument is to be taken */
            format = convert(ret + len, FIELD_LEN_MAX - len, format, a);
            len += strlen(ret + len);
        } else {
            if (len < FIELD_LEN_MAX - 1)
                ret[len++] = *format;
            format++;
        }
    }
    ret[len] = 0;
    return format;
}

size_t fields_vformat(char *ret, size_t room, const char *format, va_list ap)
{
    struct out o = {.at = ret, .end = ret + room - 1};
    struct arguments a;
    char text[FIELD_LEN_MAX];

    assert(room > 0);
    va_copy(a.ap, ap);
    while (*format) {
        size_t name = name_len(format);

        out_unit(&o, format, name);
        format = value(text, format + name, &a);
        if (name)
            out_value(&o, text);
        else
            out_text(&o, text, false);
        if (*format == ' ')
            out_unit(&o, format++, 1);
    }
    va_end(a.ap);
    *o.at = 0;
    return (size_t)(o.at - ret);
}

size_t fields_format(char *ret, size_t room, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    size_t len = fields_vformat(ret, room, format, ap);
    va_end(ap);
    return len;
}

size_t fields_escape(char *ret, size_t room, const char *text)
{
    struct out o = {.at = ret, .end = ret + room - 1};

    assert(room > 0);
    out_text(&o, text, false);
    *o.at = 0;
    return (size_t)(o.at - ret);
}
