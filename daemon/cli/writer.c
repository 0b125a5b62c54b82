#include "cli/writer.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fields.h"
#include <assert.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

#define SECONDS_MIN 0.1
#define SECONDS_MAX 3600.0

int cli_fail(int status, const char *format, ...)
{
    va_list args;

    fputs("guardmount: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return status;
}

int cli_json(json_t *o, bool line)
{
    int r = o ? json_dumpf(o, stdout, (line ? JSON_COMPACT : JSON_INDENT(2)) | JSON_PRESERVE_ORDER)
              : -1;

    putchar('\n');
    json_decref(o);
    return r < 0 ? cli_fail(EXIT_FAILED, "the JSON cannot be written") : EXIT_GOOD;
}

bool reader_gone(void)
{
    struct pollfd p = {.fd = STDOUT_FILENO};

    return poll(&p, 1, 0) == 1 && (p.revents & POLLERR);
}

int cli_seconds(const char *text, uint64_t *ret_ns)
{
    char *end;
    double seconds = strtod(text, &end);

    if (end == text || *end || !(seconds >= SECONDS_MIN && seconds <= SECONDS_MAX))
        return -EINVAL;
    *ret_ns = (uint64_t)(seconds * NS_PER_S);
    return 0;
}

void cli_sleep(uint64_t ns)
{
    struct timespec t = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};

    nanosleep(&t, NULL);
}

bool color_wanted(const struct cli *c, FILE *out)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

    if (c->color != COLOR_AUTO)
        return c->color == COLOR_ALWAYS;
    return isatty(fileno(out)) && !(no && *no) && !(term && strcmp(term, "dumb") == 0);
}

const char *tone_on(bool color, enum tone tone)
{
    static const char *const codes[] = {
        [TONE_PLAIN] = "",      [TONE_GOOD] = "\033[32m", [TONE_BAD] = "\033[1;31m",
        [TONE_DIM] = "\033[2m", [TONE_HEAD] = "\033[1m",
    };

    return color ? codes[tone] : "";
}

const char *tone_off(bool color)
{
    return color ? "\033[0m" : "";
}

/* ---- tables ---- */

static void row_begin(struct table *t)
{
    if (t->count == t->room) {
        unsigned room = t->room ? 2 * t->room : 16;
        struct table_row *grown = reallocarray(t->row, room, sizeof(*grown));

        if (!grown) {
            t->failed = true;
            return;
        }
        t->row = grown;
        t->room = room;
    }
    memset(&t->row[t->count++], 0, sizeof(*t->row));
    t->filled = 0;
}

void table_begin(struct table *t, const char *heads)
{
    *t = (struct table){0};
    row_begin(t);
    while (!t->failed && *heads) {
        assert(t->columns < TABLE_COLUMNS_MAX);
        size_t len = strcspn(heads, "|");
        bool right = *heads == '>';

        t->right |= (unsigned)right << t->columns;
        snprintf(t->row[0].text[t->columns], CELL_MAX, "%.*s", (int)(len - right), heads + right);
        t->row[0].tone[t->columns++] = TONE_HEAD;
        heads += len + (heads[len] == '|');
    }
    t->filled = t->columns;
}

void table_cell(struct table *t, enum tone tone, const char *format, ...)
{
    char text[CELL_MAX];
    struct table_row *r;
    va_list args;

    if (!t->failed && t->filled == t->columns)
        row_begin(t);
    if (t->failed)
        return;
    r = &t->row[t->count - 1];
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    fields_escape(r->text[t->filled], CELL_MAX, text); /* names come from other members */
    r->tone[t->filled++] = tone;
}

/* Columns on the screen; where the locale does not know the characters, bytes. */
static int width(const char *text)
{
    wchar_t wide[CELL_MAX];
    size_t n = mbstowcs(wide, text, CELL_MAX);
    int w = n == (size_t)-1 ? -1 : wcswidth(wide, n);

    return w < 0 ? (int)strlen(text) : w;
}

static void print_row(const struct table *t, const struct table_row *r, const int *widths,
                      bool color, FILE *out)
{
    for (unsigned i = 0; i < t->columns; i++) {
        int pad = widths[i] - width(r->text[i]);
        bool right = t->right & 1u << i, last = i + 1 == t->columns;

        fprintf(out, "%*s%s%s%s", right ? pad : 0, "", tone_on(color, r->tone[i]), r->text[i],
                tone_off(color && r->tone[i] != TONE_PLAIN));
        fprintf(out, "%*s", last ? 0 : (right ? 0 : pad) + 2, "");
    }
    fputc('\n', out);
}

void table_end(struct table *t, bool color, FILE *out)
{
    int widths[TABLE_COLUMNS_MAX] = {0};

    for (unsigned n = 0; n < t->count; n++)
        for (unsigned i = 0; i < t->columns; i++)
            widths[i] = MAX(widths[i], width(t->row[n].text[i]));
    for (unsigned n = 0; t->count > 1 && n < t->count; n++)
        print_row(t, &t->row[n], widths, color, out);
    if (t->failed)
        cli_fail(EXIT_FAILED, "no memory for the whole table");
    free(t->row);
    *t = (struct table){0};
}

/* ---- values ---- */

const char *show_age(char buf[SHOWN_LEN], uint64_t ms)
{
    uint64_t s = ms / 1000, min = s / 60, h = min / 60, d = h / 24;

    if (ms < 1000)
        snprintf(buf, SHOWN_LEN, "%" PRIu64 " ms", ms);
    else if (min == 0)
        snprintf(buf, SHOWN_LEN, "%" PRIu64 " s", s);
    else if (h == 0)
        snprintf(buf, SHOWN_LEN, "%" PRIu64 " min %" PRIu64 " s", min, s % 60);
    else if (d == 0)
        snprintf(buf, SHOWN_LEN, "%" PRIu64 " h %" PRIu64 " min", h, min % 60);
    else
        snprintf(buf, SHOWN_LEN, "%" PRIu64 " d %" PRIu64 " h", d, h % 24);
    return buf;
}

const char *show_bytes(char buf[SHOWN_LEN], uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double v = (double)bytes;
    unsigned unit = 0;

    while (v >= 1024 && unit + 1 < ARRAY_LEN(units)) {
        v /= 1024;
        unit++;
    }
    snprintf(buf, SHOWN_LEN, unit ? "%.1f %s" : "%.0f %s", v, units[unit]);
    return buf;
}

const char *show_time(char buf[SHOWN_LEN], uint64_t real_ns)
{
    time_t s = (time_t)(real_ns / NS_PER_S);
    struct tm tm;
    size_t len;

    gmtime_r(&s, &tm);
    len = strftime(buf, SHOWN_LEN, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(buf + len, SHOWN_LEN - len, ".%03uZ", (unsigned)(real_ns % NS_PER_S / NS_PER_MS));
    return buf;
}
