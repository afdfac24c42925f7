/* SPDX-License-Identifier: BSD-3-Clause */
/* policy_tick.h -- the time of the last use in the 23 bits of a word, shared by the policies that keep nothing else.
 *
 * The top bit tells the unit of the other 22: fine, 4 ms, which tells entries apart when a small cache is filled within a
 * tenth of a second and wraps after 4.7 hours; coarse, 4.1 s, which wraps after 198 days, about when Redis' own 24-bit
 * clock of seconds does (194 days). A use is told in fine units; what was idle for an hour is settled to coarse ones.
 * Differences are taken modulo 2^22. */
#ifndef TERRACE_TIERS_POLICY_TICK_H
#define TERRACE_TIERS_POLICY_TICK_H

#include "tiers/policy.h"

#include <stdint.h>

enum {
    POLICY_TICK_LOG = 2,
    POLICY_TICK_MS = 1 << POLICY_TICK_LOG,
    POLICY_COARSE_LOG = 12,
    POLICY_COARSE = 1 << (POLICY_WORD_BITS - 1),
    POLICY_TICK_MASK = POLICY_COARSE - 1,
};

static inline uint32_t policy_tick(int64_t now_ms)
{
    return (uint32_t)((uint64_t)now_ms >> POLICY_TICK_LOG) & POLICY_TICK_MASK;
}

/* For uses longer ago than POLICY_SETTLE_MS. */
static inline uint32_t policy_tick_coarse(int64_t used_at_ms)
{
    return POLICY_COARSE |
           ((uint32_t)((uint64_t)used_at_ms >> POLICY_COARSE_LOG) & POLICY_TICK_MASK);
}

/* Since the last use. A word slightly ahead of `now_ms` (another thread read the clock later) counts as just used, not
 * as idle for hours. */
static inline int64_t policy_tick_since_ms(uint32_t word, int64_t now_ms)
{
    enum {
        AHEAD_MS = 60 * 1000
    };
    const int log = (word & POLICY_COARSE) != 0 ? POLICY_COARSE_LOG : POLICY_TICK_LOG;
    const uint32_t now = (uint32_t)((uint64_t)now_ms >> log) & POLICY_TICK_MASK;
    const uint32_t ahead = (word - now) & POLICY_TICK_MASK;
    return (int64_t)ahead << log <= AHEAD_MS ? 0
                                             : (int64_t)((now - word) & POLICY_TICK_MASK) << log;
}

static inline uint32_t policy_tick_settle(const struct policy_memory *memory, uint32_t word,
                                          int64_t now_ms)
{
    (void)memory;
    const int64_t idle_ms = policy_tick_since_ms(word, now_ms);
    if ((word & POLICY_COARSE) != 0 || idle_ms < POLICY_SETTLE_MS) {
        return word;
    }
    return policy_tick_coarse(now_ms - idle_ms);
}

/* The functions of struct policy for such a word. */
uint32_t policy_tick_first(struct policy_memory *memory, const struct policy_newcomer *newcomer);
uint32_t policy_tick_adopt(struct policy_memory *memory, const struct policy_former *former);
uint32_t policy_tick_touch(struct policy_memory *memory, uint32_t word, size_t size, int64_t now_ms,
                           uint64_t noise);
uint32_t policy_tick_probation(struct policy_memory *memory, const struct policy_newcomer *newcomer,
                               uint8_t heat);
uint64_t policy_tick_coldness(const struct policy_memory *memory, uint32_t word, int64_t now_ms);
uint8_t policy_tick_hotness(const struct policy_memory *memory, uint32_t word, int64_t now_ms);
int64_t policy_tick_idle_ms(const struct policy_memory *memory, uint32_t word, int64_t now_ms);

/* For any policy whose word is the idle time: 0. */
uint16_t policy_keep_nothing(const struct policy_memory *memory, uint32_t word, int64_t now_ms);
/* For any policy that keeps no frequency: -1. */
int policy_no_frequency(uint32_t word, int64_t now_ms);

#endif
