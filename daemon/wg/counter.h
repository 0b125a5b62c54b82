/* wg/counter.h - the send counter's layout and its one allocator (failover.md section 3, N1-N8).
 *
 *   63..60 zero | 59..48 term | 47..40 rnd | 39..32 seq | 31..28 member | 27..0 low
 *   creator space: term 0, bits 47..0 one plain counter from 0
 *
 * Owner:   struct keypair. Threads: any; lock-free for takes. The next value only rises.
 * Never:   hands out a counter twice, or one that another process of the cluster could hand out. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define COUNTER_TERM_MAX 4095
#define COUNTER_RUN_MAX 256      /* packets of one take */
#define AGE_TERM_NS 250000000ull /* T_AGE */

/* This process's own part of the layout (N2, N5). */
struct counter_tag {
    uint8_t member; /* 1..15; 0 in plain mode, where only creator space is used */
    uint8_t seq;    /* low 8 bits of the durable start counter */
    uint8_t rnd;    /* drawn at process start, redrawn on suspicion (N9) */
};

/* One that nothing can be taken from, before it is adopted. */
#define COUNTER_REPLICA (1ull << 51) /* in the allocator's own form */
#define COUNTER_OF_REPLICA                                                                         \
    {                                                                                              \
        .next = COUNTER_REPLICA                                                                    \
    }

struct counter {
    _Atomic uint64_t next; /* in the allocator's own form, see counter.c */
    _Atomic uint32_t stay; /* low at which the present term began */
    _Atomic uint8_t lock;  /* for moves to a new term */
};

uint16_t counter_term(uint64_t counter);
uint64_t counter_compose(uint16_t term, const struct counter_tag *tag, uint32_t low);

/* Start in creator space: only the process that made the ephemeral (N3). */
void counter_start(struct counter *c);
/* Not sendable until counter_adopt(): a replica. */
void counter_start_replica(struct counter *c);
/* N4: move to term 1 + max(@term_known, age_hi / T_AGE), at least term(next) + 1, under @tag.
 * The first stay begins at (seq & 15) << 24, each later one at round_up(low, 8192) + 8192.
 * False: terms are used up (the key cannot send any more), or plain mode. */
bool counter_adopt(struct counter *c, const struct counter_tag *tag, uint16_t term_known,
                   uint64_t age_hi_ns);
/* N9: a new term with a redrawn tag, for whichever process owns the key now. False: not sendable.
 */
bool counter_bump(struct counter *c, const struct counter_tag *tag);
/* A run of @n (1..COUNTER_RUN_MAX) counters. A run that would cross bit 27 (bit 47 in creator
 * space) is discarded and a new term begins (N8). False: not sendable. */
bool counter_take(struct counter *c, const struct counter_tag *tag, unsigned n,
                  uint64_t *ret_first);
/* Highest term this allocator has reached. */
uint16_t counter_term_now(const struct counter *c);
/* Packets sent in creator space or within the term, for REKEY_AFTER_MESSAGES and statistics. */
uint64_t counter_sent(const struct counter *c);
/* Counters are running out: the last term, or half of creator space. Time for a new key. */
bool counter_scarce(const struct counter *c);

/* N1: what this process has used of a key outlives the key's record. A replica that is made again
 * of a key that this process had within 180 s resumes with what was saved; it is not sendable until
 * counter_adopt(). */
uint64_t counter_save(const struct counter *c);
void counter_resume(struct counter *c, uint64_t saved);
