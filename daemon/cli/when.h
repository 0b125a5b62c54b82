/* cli/when.h - points of time as an operator writes them: "30d" from now, or a date (UTC).
 *
 * Threads: any. Never: reads a clock. */
#pragma once
#include <stdint.h>

/* "90m", "12h", "30d", "2w", "1y" (365 days); "2026-12-24" (its end); "2026-12-24T18:00Z";
 * "never". *ret: UTC seconds, 0: never. -EINVAL. */
int when_parse(const char *text, uint64_t now_s, uint64_t *ret);
