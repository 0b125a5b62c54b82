/* control/verdicts.h - what was last held against each peer: a side table for `guardmount why`, and
 * what keeps a peer that is refused all the time from filling the log.
 *
 * Owner:   app. Threads: main.
 * Bounds:  a fixed number of rows; the row that was touched longest ago makes room. A peer that is
 *          well has none: a handshake that is done takes its row away. */
#pragma once
#include "model/notice.h"

#define VERDICTS_MAX 1024     /* peers */
#define VERDICTS_STRANGERS 64 /* keys that are no peer's */
#define VERDICT_AGAIN_S 10    /* the same refusal of the same peer is told so often at most */

struct verdicts;

struct verdict {
    struct public_key key;
    /* real_ns: UTC of the last one, 0: none; count: since the last session. */
    struct verdict_fact {
        uint64_t real_ns, count;
        enum notice_reason reason;
        struct endpoint endpoint;
        uint16_t vip; /* id */
        uint8_t member;
    } refused, data, session;       /* handshake.refused, data.refused, session.refused */
    struct verdict_fact answered;   /* handshake.answered: not confirmed by the peer */
    struct verdict_fact unanswered; /* handshake.unanswered; count: attempts */
};

struct verdicts *verdicts_new(unsigned max); /* NULL: no memory */
void verdicts_free(struct verdicts *v);      /* NULL is fine */
/* Takes in what is about one peer. False: the same was told a moment ago, so it is kept and not to
 * be told again; the next one that is told has the count of all since. */
bool verdicts_note(struct verdicts *v, struct notice *n);
const struct verdict *verdicts_find(const struct verdicts *v, const struct public_key *key);
