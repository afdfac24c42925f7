/* SPDX-License-Identifier: BSD-3-Clause */
/* clock.h -- nanoseconds that only go forward. */
#ifndef TERRACE_BENCH_CLOCK_H
#define TERRACE_BENCH_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_S  1000000000ull
#define NS_PER_MS 1000000ull

static inline uint64_t clock_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

#endif
