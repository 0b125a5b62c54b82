/* control/journal.h - the last events, numbered, for whoever asks.
 *
 * Owner:   app. Threads: main.
 * Bounds:  JOURNAL_MAX events; a new one takes the place of the oldest. Readers hold nothing: each
 *          says how far it has read, and is told how many it was too slow for.
 * Never:   waits for a reader. */
#pragma once
#include "model/notice.h"

#define JOURNAL_MAX 16384

struct journal;

struct journal *journal_new(void);
void journal_free(struct journal *j); /* NULL is fine */
/* Keeps a copy; its serial number, from 1. */
uint64_t journal_add(struct journal *j, const struct notice *n);
uint64_t journal_last(const struct journal *j); /* serial; 0: none yet */
/* Up to @max events after number @after, oldest first. A number that was never given (of an earlier
 * life of the daemon) reads from the beginning. *ret_missed: events after @after that are gone. */
unsigned journal_read(const struct journal *j, uint64_t after, unsigned max, struct notice *ret,
                      uint64_t *ret_missed);
