/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/base/clock.h"

#include "protocol/check.h"

#include <time.h>

enum {
    NS_PER_US = 1000,
    NS_PER_MS = 1000000
};
#define NS_PER_S INT64_C(1000000000)

/* clock_gettime can only fail for a clock that this kernel does not have, which is a bug of ours. */
static int64_t read_ns(clockid_t id)
{
    struct timespec at;
    CHECK(clock_gettime(id, &at) == 0);
    return (int64_t)at.tv_sec * NS_PER_S + at.tv_nsec;
}

void clock_open(struct clock *clock)
{
    /* The wall clock is read between two readings of the boot clock, and the middle taken: a thread that is
     * descheduled here would otherwise shift all its deadlines. Best of a few, for the same reason. */
    int64_t narrowest_ns = INT64_MAX;
    for (int i = 0; i < 4; i++) {
        int64_t before_ns = read_ns(CLOCK_BOOTTIME);
        int64_t unix_ns = read_ns(CLOCK_REALTIME);
        int64_t width_ns = read_ns(CLOCK_BOOTTIME) - before_ns;
        if (width_ns < narrowest_ns) {
            narrowest_ns = width_ns;
            clock->offset_ns = unix_ns - before_ns - width_ns / 2;
        }
    }
}

int64_t clock_now_ms(const struct clock *clock)
{
    return (read_ns(CLOCK_BOOTTIME) + clock->offset_ns) / NS_PER_MS;
}

int64_t clock_unix_us(void)
{
    return read_ns(CLOCK_REALTIME) / NS_PER_US;
}

uint64_t clock_monotonic_ns(void)
{
    return (uint64_t)read_ns(CLOCK_MONOTONIC);
}
