#include "base/log.h"
#include "base/clock.h"
#include "base/fields.h"
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LEFT_OUT_LEN 48 /* room for "(n like it left out)" and the end of the line */

static _Atomic int current = LOG_LEVEL_INFO;
static char tag[64];

void log_set_level(enum log_level level)
{
    atomic_store(&current, level);
}

enum log_level log_get_level(void)
{
    return (enum log_level)atomic_load(&current);
}

int log_level_parse(const char *text, enum log_level *ret)
{
    static const struct {
        const char *name;
        enum log_level level;
    } names[] = {{"silent", LOG_LEVEL_SILENT}, {"error", LOG_LEVEL_ERROR},
                 {"warn", LOG_LEVEL_WARN},     {"info", LOG_LEVEL_INFO},
                 {"verbose", LOG_LEVEL_DEBUG}, {"debug", LOG_LEVEL_DEBUG}};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(text, names[i].name) == 0) {
            *ret = names[i].level;
            return 0;
        }
    return -EINVAL;
}

void log_set_tag(const char *text)
{
    fields_escape(tag, sizeof(tag), text);
}

/* systemd tells by device and inode that stderr is its journal. */
static int to_journal(void)
{
    static _Atomic int known = -1;
    const char *e;
    struct stat st;
    unsigned long long dev, ino;

    if (atomic_load(&known) < 0) {
        e = getenv("JOURNAL_STREAM");
        atomic_store(&known, e && sscanf(e, "%llu:%llu", &dev, &ino) == 2 &&
                                 fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev &&
                                 st.st_ino == ino);
    }
    return atomic_load(&known);
}

/* How many lines of @place were left out in the seconds before, when this one may pass; -1: it may
 * not. */
static int64_t place_passes(struct log_place *place)
{
    uint64_t second = clock_boot_ns() / NS_PER_S, seen = atomic_load(&place->window), next;

    do {
        next = seen >> 32 == (second & UINT32_MAX) ? seen + 1 : second << 32 | 1;
    } while (!atomic_compare_exchange_weak(&place->window, &seen, next));
    if ((uint32_t)next > LOG_BURST)
        return -1;
    return (uint32_t)next == 1 && (uint32_t)seen > LOG_BURST ? (uint32_t)seen - LOG_BURST : 0;
}

/* A journal has its own clock; a file or a terminal has none. UTC, to the millisecond (RFC 3339).
 */
static size_t stamp(char *line, size_t len)
{
    struct timespec now;
    struct tm utc;
    size_t n;

    clock_gettime(CLOCK_REALTIME, &now);
    n = strftime(line, len, "%FT%T", gmtime_r(&now.tv_sec, &utc));
    return n + (size_t)snprintf(line + n, len - n, ".%03lluZ ",
                                (unsigned long long)now.tv_nsec / NS_PER_MS);
}

void log_write(struct log_place *place, enum log_level level, const char *sentence,
               const char *fields, ...)
{
    static const char *const names[] = {"", "error", "warn", "info", "debug"};
    static const int priorities[] = {0, 3, 4, 6, 7};
    char line[LOG_LINE_MAX];
    const size_t room = sizeof(line) - LEFT_OUT_LEN;
    int64_t left_out;
    size_t n;

    if (level > log_get_level() || level == LOG_LEVEL_SILENT ||
        (left_out = place_passes(place)) < 0)
        return;
    if (to_journal())
        n = (size_t)sprintf(line, "<%d>", priorities[level]);
    else {
        n = stamp(line, sizeof(line));
        n += (size_t)sprintf(line + n, "%s%s%s: ", tag, *tag ? " " : "", names[level]);
    }
    n += fields_escape(line + n, room - n, sentence);
    if (fields && *fields && n + 3 < room) {
        va_list ap;

        va_start(ap, fields);
        size_t len = fields_vformat(line + n + 2, room - n - 2, fields, ap);
        va_end(ap);
        if (len) {
            memcpy(line + n, ": ", 2);
            n += 2 + len;
        }
    }
    if (left_out)
        n += (size_t)snprintf(line + n, sizeof(line) - n, " (%lld like it left out)",
                              (long long)left_out);
    line[n++] = '\n';
    /* One write, so that lines of several threads do not mix; a log that cannot be written is lost.
     */
    if (write(STDERR_FILENO, line, n) < 0)
        return;
}
