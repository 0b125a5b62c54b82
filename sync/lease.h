/* sync/lease.h - the receive ceiling of one key that we own, towards its holders (R2-R7, R15, R16).
 * Pure.
 *
 * Owner:   the node's record of a key. Threads: main.
 * A holder that acked L promised: "if I ever adopt this key I start at L". The ceiling is the least
 * L acked by the holders that count; one that is dirty, or gone, counts no more until it acks an L
 * above everything accepted. */
#pragma once
#include "model/ids.h"
#include <stdbool.h>
#include <stdint.h>

#define LEASE_HEADROOM_MIN 2
#define LEASE_HEADROOM_MAX (1u << 20)
#define LEASE_QUIET_NS (200 * 1000000ull) /* QUIET */

struct lease_holder {
    uint8_t member;     /* 0: free */
    bool counts;        /* has the key record and is clean */
    bool dirty;         /* R7: accepted at or above what it acked */
    bool recovering;    /* counts again, but to be told so only when a look at top confirms it */
    bool cleaned;       /* confirmed; not yet taken by lease_take_cleaned() */
    uint64_t acked;     /* L that it acked */
    uint64_t sent;      /* highest L sent to it, not yet acked; 0: none */
    uint32_t void_upto; /* acks of proposals up to this one count no more (R5, R15) */
};

struct lease {
    struct lease_holder holder[HOLDERS_MAX];
    uint64_t proposed;              /* L last proposed to all */
    uint32_t seq;                   /* of proposals (R5) */
    uint32_t headroom;              /* H now */
    double rate_pps;                /* EWMA over 1 s (R4) */
    uint64_t rate_packets, rate_ns; /* sample that it came from */
    uint64_t wide_since_ns;         /* since when L - top > 2H; 0: not */
};

void lease_init(struct lease *l, uint64_t first_limit);
/* L for the key record of a joining holder: nothing accepted so far is above it, and there is room
 * for what comes until its first ack. @top: highest authenticated + 1. */
uint64_t lease_join_limit(const struct lease *l, uint64_t top);
/* The key record with @limit was queued to @member (R15). A holder may be added again: what it
 * acked before is void. The record of a holder that has one already must not say less than
 * l->proposed: it may have acked that. A new one needs room. */
void lease_add_holder(struct lease *l, uint8_t member, uint64_t limit);
void lease_drop_holder(struct lease *l, uint8_t member); /* link down or eviction */
bool lease_has_room(const struct lease *l);              /* for one that is no holder yet */
/* Effective ceiling: UINT64_MAX when nobody counts. */
uint64_t lease_ceiling(const struct lease *l);
/* A sample of the packet count, for the rate. @horizon_ns: T_h now (R4). */
void lease_sample(struct lease *l, uint64_t packets, uint64_t now_ns, uint64_t horizon_ns);
/* A packet had to wait: H doubles (R4). */
void lease_held(struct lease *l);
/* Is a new L to be proposed for @top (highest authenticated + 1)? @flush: a packet waits.
 * True: *ret_limit is what to send to every holder, with l->seq. *ret_lower: the proposal lowers:
 * it binds us at once, no ack is waited for (R5): apply lease_ceiling() before it is sent. */
bool lease_propose(struct lease *l, uint64_t top, uint64_t now_ns, bool flush, uint64_t *ret_limit,
                   bool *ret_lower);
void lease_sent(struct lease *l, uint8_t member, uint64_t limit);
/* @member acked @limit of proposal @seq. */
void lease_acked(struct lease *l, uint8_t member, uint64_t limit, uint32_t seq, uint64_t top);
/* Accepted up to @top beyond the ceiling: marks holders with acked < top dirty; returns a bit set
 * of the members that became dirty just now. */
uint32_t lease_bypassed(struct lease *l, uint64_t top);
/* Was it told so, and not yet that it is clean again? */
bool lease_is_dirty(const struct lease *l, uint8_t member);
/* Members that became clean again since the last call (bit set): they acked an L above all that was
 * accepted, and a later lease_propose(), with the ceiling in force, found that it still is. */
uint32_t lease_take_cleaned(struct lease *l);
