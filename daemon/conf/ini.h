/* conf/ini.h - the INI dialect of WireGuard and systemd, line by line. Pure.
 *
 * Owner:   the caller of the text; lines point into it. Threads: any. Never: allocates.
 *
 *   [Section name]      the name is optional
 *   Key = value         keys of any case; the value runs to a '#' or ';' after a blank, or the end
 *   # comment           or ; */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#define INI_WORD_MAX 63
#define INI_VALUE_MAX 4095

enum ini_kind { INI_SECTION, INI_KEY, INI_END, INI_BAD };

struct ini {
    const char *at, *end;
    unsigned line; /* of what ini_next() returned */
    /* What it returned. */
    char word[INI_WORD_MAX + 1];   /* section or key */
    char value[INI_VALUE_MAX + 1]; /* the section's name or the key's value */
    const char *problem;           /* INI_BAD */
};

void ini_open(struct ini *i, const char *text, size_t len);
enum ini_kind ini_next(struct ini *i);
