/* SPDX-License-Identifier: BSD-3-Clause */
/* lock.h -- the lock of what is held for one operation on a table.
 *
 * One word: free, held, or held while somebody may sleep (Drepper, "Futexes are tricky", 2011, the third mutex). To take it
 * and to let go of it while nobody else wants it is done in place; pthread's two calls took 75 instructions of each hit.
 * Who finds it taken tries again for a moment before it sleeps: it is held for less than a sleep costs.
 *
 *      FREE --take--> HELD --release--> FREE
 *                      |  somebody waits
 *                      v
 *                   AWAITED --release, and one is woken--> FREE
 *
 * Not recursive, not fair; no condition waits for it.
 *
 * All zeros is free. */
#ifndef TERRACE_TIERS_BASE_LOCK_H
#define TERRACE_TIERS_BASE_LOCK_H

#include <stdatomic.h>
#include <stdint.h>

enum {
    LOCK_FREE,
    LOCK_HELD,
    LOCK_AWAITED
};

struct lock {
    _Atomic uint32_t state;
};

/* What lock_take and lock_release do if others want it, too. `was`: what the release found. */
void lock_wait(struct lock *lock) __attribute__((cold));
void lock_wake(struct lock *lock, uint32_t was) __attribute__((cold));

static inline void lock_take(struct lock *lock)
{
    uint32_t is = LOCK_FREE;
    if (!atomic_compare_exchange_strong_explicit(&lock->state, &is, LOCK_HELD, memory_order_acquire,
                                                 memory_order_relaxed)) {
        lock_wait(lock);
    }
}

static inline void lock_release(struct lock *lock)
{
    const uint32_t was = atomic_exchange_explicit(&lock->state, LOCK_FREE, memory_order_release);
    if (was != LOCK_HELD) {
        lock_wake(lock, was);
    }
}

#endif
