/* conf/errors.h - what is wrong with a file: collected in any order, told in the order of its
 * lines.
 *
 * Owner: the parser. Bounded: what is beyond CONF_ERRORS_MAX is counted. */
#pragma once
#include "conf/conf.h"

struct errors {
    const char *name; /* of the file */
    unsigned count;   /* found; the first CONF_ERRORS_MAX are kept */
    struct {
        unsigned line; /* 0: the file as a whole */
        char text[CONF_ERROR_LINE_MAX];
    } kept[CONF_ERRORS_MAX];
};

__attribute__((format(printf, 3, 4))) void errors_add(struct errors *e, unsigned line,
                                                      const char *format, ...);
void errors_print(const struct errors *e, char ret[CONF_ERROR_LEN]);

/* @text for a message: cut, and without what would move a terminal's cursor. */
#define SHOWN_LEN 48 /* bytes with the NUL */
const char *errors_show(const char *text, char buf[SHOWN_LEN]);
