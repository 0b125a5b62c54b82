/* engine/rcu.h - read-copy-update for this folder: liburcu's QSBR flavor, and what ThreadSanitizer
 * must be told of it.
 *
 * Threads: a thread that looks at published objects stands between rcu_enter() and rcu_leave()
 *          (they nest); outside it delays no grace period. Workers leave while they poll, handshake
 *          threads while they wait, main whenever it is not in a function of engine.h.
 *
 * ThreadSanitizer does not see into liburcu: the tables' links and the grace periods are invisible
 * to it, so each edge that they make is written down here (nothing without TSan). */
#pragma once
#include <urcu-qsbr.h>
#include <urcu/rculfhash.h>

#if defined(__SANITIZE_THREAD__)
#define RCU_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RCU_TSAN 1
#endif
#endif

#ifdef RCU_TSAN
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
#define rcu_edge_out(addr) __tsan_release(addr)
#define rcu_edge_in(addr) __tsan_acquire(addr)
#else
#define rcu_edge_out(addr) ((void)(addr))
#define rcu_edge_in(addr) ((void)(addr))
#endif

void rcu_enter(void); /* registers the thread at its first time */
void rcu_leave(void);
void rcu_thread_done(void); /* before a thread that ever entered ends */
/* Run @fn on liburcu's thread after a grace period. */
void rcu_after(struct rcu_head *head, void (*fn)(struct rcu_head *head));
/* First thing in such an @fn: what readers did before they left happened before now. */
void rcu_after_begin(struct rcu_head *head);
void rcu_wait(void);  /* a grace period */
void rcu_drain(void); /* until all rcu_after() functions have run */
