/* ha/probeboard.h - which questions to which peers were answered, while a VIP moves. Pure.
 *
 * Time is cut into slots: in each of them whoever has the VIP asks each peer once. A slot without
 * an answer is a packet that a host in the LAN would have lost: whether the question was lost, the
 * answer, or nobody was there to ask, is the same to that host. So it does not matter which member
 * asked, who heard the answer, and when word of it came.
 *
 * Owner:   who made it. Threads: one.
 * Bounds:  PROBE_SLOTS_MAX slots; answers beyond them are passed over. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define PROBE_SLOTS_MAX 12000 /* two minutes of 10 ms */

struct probeboard;
struct probeboard *probeboard_new(unsigned peers); /* NULL: no memory */
void probeboard_free(struct probeboard *b);        /* NULL is fine */
void probeboard_mark(struct probeboard *b, unsigned peer, uint32_t slot);

struct probe_sum { /* in slots */
    unsigned answered;
    unsigned lost;          /* without an answer, between two that have one */
    unsigned gap, gap_from; /* from the last answered slot to the next one, at their worst */
    unsigned silent;        /* since the last answer; all of them when there was none */
};

/* Of the first @slots; the last of them may still be answered, so leave them out. */
struct probe_sum probeboard_sum(const struct probeboard *b, unsigned peer, unsigned slots);
