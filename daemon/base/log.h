/* base/log.h - logs are sentences with fields: log_info("session adopted", "peer=%s lag_ms=%u",
 * ...).
 *
 * Threads: any but the packet workers' hot paths, which never log.
 * Never:   prints key material (K5).
 * Form:    "<time> <tag> <level>: sentence: field=value ..." to stderr, or to journald with
 *          PRIORITY and without a time when the process is connected to it. Values are quoted and
 *          escaped as base/fields.h tells, so what came from the network cannot forge a field or a
 *          line. A message of one place is limited to LOG_BURST a second. */
#pragma once
#include <stdint.h>

enum log_level {
    LOG_LEVEL_SILENT,
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARN,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG
};

void log_set_level(enum log_level level);
enum log_level log_get_level(void);
/* "silent", "error", "warn", "info", "verbose", "debug"; -EINVAL for anything else. */
int log_level_parse(const char *text, enum log_level *ret);
void log_set_tag(const char *text); /* printed before each line, e.g. the interface's name */

#define LOG_BURST 20      /* lines of one place a second; how many were left out is said later */
#define LOG_LINE_MAX 1024 /* bytes, its end included; what is longer is cut */

/* A place in the source that logs; static, zeroed. */
struct log_place {
    _Atomic uint64_t window; /* second << 32 | lines asked for in it */
};

void log_write(struct log_place *place, enum log_level level, const char *sentence,
               const char *fields, ...) __attribute__((format(printf, 4, 5)));

#define log_at(level, ...)                                                                         \
    ({                                                                                             \
        static struct log_place _log_place;                                                        \
        if ((level) <= log_get_level())                                                            \
            log_write(&_log_place, level, __VA_ARGS__);                                            \
    })
#define log_error(...) log_at(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_at(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_at(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_LEVEL_DEBUG, __VA_ARGS__)
