/* Values in a line of log: whatever they hold, the line is one line of printable text, its quotes
 * come in pairs, and a reader gets back exactly what was put in.
 *
 * Input: how much room there is, then the value. */
#include "base/fields.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_MAX 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static unsigned digit(char c)
{
    must((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'));
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* What a reader makes of a value; where it ends. */
static const char *read_value(const char *text, char ret[VALUE_MAX + 1])
{
    size_t n = 0;

    if (*text != '"') {
        for (; *text && *text != ' '; text++)
            ret[n++] = *text;
        ret[n] = 0;
        return text;
    }
    for (text++; *text != '"'; text++) {
        must(*text != 0);
        if (*text != '\\') {
            ret[n++] = *text;
        } else if (*++text == 'x') {
            ret[n++] = (char)(digit(text[1]) << 4 | digit(text[2]));
            text += 2;
        } else {
            must(*text == '"' || *text == '\\');
            ret[n++] = *text;
        }
    }
    ret[n] = 0;
    return text + 1;
}

static void check_text(const char *text, size_t len, size_t room)
{
    must(len < room && strlen(text) == len);
    for (size_t i = 0; i < len; i++) {
        uint8_t c = (uint8_t)text[i];

        must(c >= ' ' && c != 0x7f);
        if (c == 0xc2) /* C1 in UTF-8; as the second byte of something longer it cannot be */
            must((uint8_t)text[i + 1] >= 0xa0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char value[VALUE_MAX + 1], back[VALUE_MAX + 1], text[16 * VALUE_MAX];

    if (len < 1)
        return 0;
    size_t n = len - 1 < VALUE_MAX ? len - 1 : VALUE_MAX;
    memcpy(value, data + 1, n);
    value[n] = 0;

    size_t got = fields_format(text, sizeof(text), "a=%s after=%d", value, 7);
    check_text(text, got, sizeof(text));
    must(strncmp(text, "a=", 2) == 0);
    must(strcmp(read_value(text + 2, back), " after=7") == 0);
    must(strcmp(back, value) == 0);

    size_t room = 1 + data[0];
    char *exact = malloc(room); /* writing behind the end is seen */
    must(exact != NULL);
    got = fields_format(exact, room, "a=%s after=%d", value, 7);
    check_text(exact, got, room);
    if (got > 2 && exact[2] == '"') {
        read_value(exact + 2, back);
        must(strncmp(back, value, strlen(back)) == 0); /* cut, never changed */
    }
    got = fields_escape(exact, room, value);
    check_text(exact, got, room);
    free(exact);
    return 0;
}
