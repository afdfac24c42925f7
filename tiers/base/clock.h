/* SPDX-License-Identifier: BSD-3-Clause */
/* clock.h -- one clock for deadlines, stamps and the horizon.
 *
 * now = CLOCK_BOOTTIME + (unix time - boot time, measured once when the clock was opened), in milliseconds. So times
 * read as Unix times (EXPIREAT, TTL), yet they run on while a machine sleeps and never jump when somebody sets the wall
 * clock: a bound on staleness must not depend on NTP. What this costs: after a step of the wall clock, EXPIREAT is off
 * by the step until the node restarts.
 *
 * Loops read it ONCE per batch, after the last receive of the iteration and before the first lookup, and hand the
 * number down; nothing below the roof reads a clock. Tests hand down numbers of their own. */
#ifndef TERRACE_TIERS_BASE_CLOCK_H
#define TERRACE_TIERS_BASE_CLOCK_H

#include <stdint.h>

struct clock {
    int64_t offset_ns; /* unix minus boot */
};

void clock_open(struct clock *clock);
int64_t clock_now_ms(const struct clock *clock); /* Unix milliseconds as above; any thread */
int64_t clock_unix_us(void);                     /* the wall clock itself, for TIME */
uint64_t clock_monotonic_ns(void);               /* for durations */

#endif
