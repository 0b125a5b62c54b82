/* cli/rates.h - bytes per second of each peer, from counters that are read now and then. Pure.
 *
 * Owner: the caller. Threads: one. */
#pragma once
#include "proto/control.h"

enum rate_order { RATE_BY_SUM, RATE_BY_RX, RATE_BY_TX, RATE_BY_NAME, RATE_ORDERS };
extern const char *const rate_order_names[RATE_ORDERS]; /* "sum", "rx", ... */

struct rate_row {
    const struct status_peer *peer;
    bool known;    /* false: the first time that it is seen, or its counters began anew */
    double rx, tx; /* bytes a second; 0 when not known */
};

struct rates;

struct rates *rates_new(void);
void rates_free(struct rates *r); /* NULL is fine */
/* What was counted since the last call, @ret[count] in the order of @peer; rows point into @peer.
 * @now_ns is a clock that never goes back. -ENOMEM: nothing was learned. */
int rates_step(struct rates *r, const struct status_peer *peer, unsigned count, uint64_t now_ns,
               struct rate_row *ret);
/* The busiest first; equal ones by name, then by key, so that rows stay where they are. */
void rates_sort(struct rate_row *rows, unsigned count, enum rate_order order);
