#include "conf/errors.h"
#include "base/err.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define KEY_RUN_MIN 40 /* characters of base64; a whole key has 43 and a "=" */

void errors_add(struct errors *e, unsigned line, const char *format, ...)
{
    va_list ap;
    unsigned at;
    int n;

    if (e->count++ >= CONF_ERRORS_MAX)
        return;
    for (at = e->count - 1; line && at > 0; at--) {
        if (e->kept[at - 1].line && e->kept[at - 1].line <= line)
            break;
        e->kept[at] = e->kept[at - 1];
    }
    char *text = e->kept[at].text;
    e->kept[at].line = line;
    n = line ? snprintf(text, CONF_ERROR_LINE_MAX, "%s:%u: ", e->name, line)
             : snprintf(text, CONF_ERROR_LINE_MAX, "%s: ", e->name);
    if (n < 0 || n >= CONF_ERROR_LINE_MAX)
        return;
    va_start(ap, format);
    vsnprintf(text + n, CONF_ERROR_LINE_MAX - (size_t)n, format, ap);
    va_end(ap);
}

void errors_print(const struct errors *e, char ret[CONF_ERROR_LEN])
{
    size_t len = 0;

    *ret = 0;
    for (unsigned i = 0; i < MIN(e->count, CONF_ERRORS_MAX); i++)
        len += (size_t)snprintf(ret + len, CONF_ERROR_LEN - len, "%s%s", i ? "\n" : "",
                                e->kept[i].text);
    if (e->count > CONF_ERRORS_MAX)
        snprintf(ret + len, CONF_ERROR_LEN - len, "\n%s: and %u more; correct these first", e->name,
                 e->count - CONF_ERRORS_MAX);
}

/* Whatever key it was meant for: it may be a secret that went astray. */
static bool may_be_key(const char *text)
{
    static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    while (*text) {
        size_t run = strspn(text, base64);

        if (run >= KEY_RUN_MIN)
            return true;
        text += run + (text[run] != 0);
    }
    return false;
}

const char *errors_show(const char *text, char buf[SHOWN_LEN])
{
    size_t n = strnlen(text, SHOWN_LEN);

    if (may_be_key(text))
        return strcpy(buf, "(not shown, it may be a key)");
    snprintf(buf, SHOWN_LEN, n < SHOWN_LEN ? "%s" : "%.44s...", text);
    for (unsigned char *c = (unsigned char *)buf; *c; c++)
        if (*c < 32 || *c >= 127)
            *c = '?';
    return buf;
}
