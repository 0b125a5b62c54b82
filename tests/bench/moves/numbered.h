/* bench/moves/numbered.h - the head of each packet of bench-stream: it tells which one it is, and
 * when it was sent.
 *
 * Owner: none; a layout on the wire of one machine. Threads: any. Never: more than that. */
#pragma once
#include <stdint.h>

#define NUMBERED_MAGIC 0x6d726473746d6f76

struct numbered {
    uint64_t magic, number, sent_ns; /* CLOCK_REALTIME */
};
