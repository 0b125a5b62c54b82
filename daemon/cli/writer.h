/* cli/writer.h - how things are shown: tables, times, bytes, colour.
 *
 * Threads: one. Never: says something by colour alone. */
#pragma once
#include "cli/cli.h"
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

#define TABLE_COLUMNS_MAX 13
#define CELL_MAX 128

enum tone { TONE_PLAIN, TONE_GOOD, TONE_BAD, TONE_DIM, TONE_HEAD };

/* Rows are kept, so that columns are as wide as their widest cell. */
struct table {
    unsigned columns;
    unsigned right; /* bit n: column n is aligned to the right */
    struct table_row {
        char text[TABLE_COLUMNS_MAX][CELL_MAX];
        enum tone tone[TABLE_COLUMNS_MAX];
    } * row;
    unsigned count, room, filled; /* filled: cells of the last row */
    bool failed;                  /* out of memory */
};

/* @heads: names with '|' between, TABLE_COLUMNS_MAX at most; one that begins with '>' is aligned to
 * the right. */
void table_begin(struct table *t, const char *heads);
void table_cell(struct table *t, enum tone tone, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Prints and frees. Nothing but the heads: prints nothing. */
void table_end(struct table *t, bool color, FILE *out);

/* To standard output, and frees it. @line: one line, as one of many. NULL: no memory. An exit code.
 */
int cli_json(json_t *o, bool line);

/* Whoever reads a pipe of ours, such as head, went away. */
bool reader_gone(void);
bool color_wanted(const struct cli *c, FILE *out);
const char *tone_on(bool color, enum tone tone);
const char *tone_off(bool color);

#define SHOWN_LEN 40
const char *show_age(char buf[SHOWN_LEN], uint64_t ms);       /* "350 ms", "12 s", "3 h 4 min" */
const char *show_bytes(char buf[SHOWN_LEN], uint64_t bytes);  /* "1.5 MiB" */
const char *show_time(char buf[SHOWN_LEN], uint64_t real_ns); /* RFC 3339, UTC, milliseconds */
