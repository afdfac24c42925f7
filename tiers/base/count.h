/* SPDX-License-Identifier: BSD-3-Clause */
/* count.h -- a number that one thread counts, or several under one lock, and any may read: relaxed, without a lock prefix. */
#ifndef TERRACE_TIERS_BASE_COUNT_H
#define TERRACE_TIERS_BASE_COUNT_H

#include <stdatomic.h>
#include <stdint.h>

static inline void count_add(_Atomic uint64_t *number, uint64_t n)
{
    const uint64_t before = atomic_load_explicit(number, memory_order_relaxed);
    atomic_store_explicit(number, before + n, memory_order_relaxed);
}

#endif
