/* wg/spin.h - the short lock of packet threads: one byte, held for tens of instructions.
 *
 * Owner:   the struct that embeds it; 0 is free.
 * Threads: any. Nests only as keypair.rx_lock -> counter.lock.
 * Never:   held over a system call, a callback, or an allocation but for what a first touch makes.
 */
#pragma once
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>

#define SPIN_TURNS 64 /* then the holder was probably preempted: give it the processor */

static inline void spin_lock(_Atomic uint8_t *lock)
{
    while (atomic_exchange_explicit(lock, 1, memory_order_acquire)) {
        for (unsigned turns = 1; atomic_load_explicit(lock, memory_order_relaxed); turns++) {
            if (turns % SPIN_TURNS == 0)
                sched_yield();
#if defined(__x86_64__) || defined(__i386__)
            else
                __builtin_ia32_pause();
#endif
        }
    }
}

static inline void spin_unlock(_Atomic uint8_t *lock)
{
    atomic_store_explicit(lock, 0, memory_order_release);
}
