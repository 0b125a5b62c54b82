/* wg/timers.h - the timers of one peer (WireGuard paper section 6), as one pure step.
 *
 * Owner:   the node's record of the peer. Threads: main.
 * A step reads the peer's facts, says what must be done now and when to look again. Facts that
 * arise later ask for something KEEPALIVE_TIMEOUT ahead at the soonest, so an armed peer that is
 * looked at that often misses nothing. */
#pragma once
#include "base/rng.h"
#include "wg/peer.h"

enum timers_action {
    TIMERS_KEEPALIVE = 1 << 0, /* passive or persistent keepalive */
    TIMERS_INITIATE = 1 << 1,  /* new handshake, or its retry */
    TIMERS_GAVE_UP = 1 << 2,   /* 90 s of retries: drop what is staged */
    TIMERS_ZERO = 1 << 3,      /* 540 s without a new session: wipe all keys */
    TIMERS_REKEY = 1 << 4,     /* (unused by the plain protocol; reserved for T3) */
};

struct timers {
    uint64_t retry_at_ns; /* of the handshake under way; 0: none */
    uint64_t first_attempt_ns;
    unsigned attempts;
    uint64_t last_initiation_ns; /* REKEY_TIMEOUT between initiations */
    uint64_t unanswered_jitter_ns;
    uint64_t session_ns;    /* last session made; 0: none */
    uint64_t persistent_ns; /* last persistent keepalive asked for */
    bool zeroed;
};

/* Events. */
/* Something wants a session. False: one is under way, or the last was < REKEY_TIMEOUT ago. @fresh:
 * a new reason, so that the 90 s start again. */
bool timers_may_initiate(struct timers *t, uint64_t now_ns, bool fresh);
void timers_initiation_sent(struct timers *t, const struct rng *rng, uint64_t now_ns);
void timers_session_made(struct timers *t, struct wg_peer *p, uint64_t now_ns);

struct timers_todo {
    unsigned actions;
    uint64_t
        next_ns; /* look again at the latest; 0: nothing runs, and the step disarmed the peer */
};
struct timers_todo timers_step(struct timers *t, struct wg_peer *p, const struct rng *rng,
                               uint64_t now_ns);
