/* SPDX-License-Identifier: BSD-3-Clause */
/* policy_tick.h -- the time of the last use in one 32-bit word, shared by the policies that keep nothing else.
 *
 * A tick is 4 ms: fine enough to tell entries apart when a small cache is filled within a tenth of a second, and it
 * wraps after 198 days, about when Redis' own 24-bit clock of seconds does (194 days). Differences are taken modulo
 * 2^32, so an entry is misjudged only if it stayed untouched for longer than that. */
#ifndef TERRACE_TIERS_POLICY_TICK_H
#define TERRACE_TIERS_POLICY_TICK_H

#include <stdint.h>

enum {
    POLICY_TICK_LOG = 2,
    POLICY_TICK_MS = 1 << POLICY_TICK_LOG
};

static inline uint32_t policy_tick(int64_t now_ms)
{
    return (uint32_t)((uint64_t)now_ms >> POLICY_TICK_LOG);
}

/* Ticks since `word`. A word slightly ahead of `now_ms` (another thread read the clock later) counts as just used, not
 * as idle for 198 days. */
static inline uint32_t policy_tick_idle(uint32_t word, int64_t now_ms)
{
    enum {
        AHEAD = 60 * 1000 / POLICY_TICK_MS
    };
    uint32_t now = policy_tick(now_ms);
    return word - now <= AHEAD ? 0 : now - word;
}

#endif
