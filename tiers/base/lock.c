/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/base/lock.h"

#include "protocol/check.h"

#include <linux/futex.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    SPINS = 100 /* some microseconds: a dozen operations of others */
};

static void pause_briefly(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static bool try_once(struct lock *lock)
{
    uint32_t is = LOCK_FREE;
    return atomic_load_explicit(&lock->state, memory_order_relaxed) == LOCK_FREE &&
           atomic_compare_exchange_strong_explicit(&lock->state, &is, LOCK_HELD,
                                                   memory_order_acquire, memory_order_relaxed);
}

/* Whoever has slept takes it as awaited: others may sleep still, and nobody counts them. */
void lock_wait(struct lock *lock)
{
    for (int i = 0; i < SPINS; i++) {
        pause_briefly();
        if (try_once(lock)) {
            return;
        }
    }
    while (atomic_exchange_explicit(&lock->state, LOCK_AWAITED, memory_order_acquire) !=
           LOCK_FREE) {
        /* Comes back when it was woken, or at once if the word is another by now, or for a signal. */
        (void)syscall(SYS_futex, &lock->state, FUTEX_WAIT_PRIVATE, LOCK_AWAITED, NULL);
    }
}

void lock_wake(struct lock *lock, uint32_t was)
{
    CHECK(was == LOCK_AWAITED); /* else nobody held it */
    (void)syscall(SYS_futex, &lock->state, FUTEX_WAKE_PRIVATE, 1);
}
