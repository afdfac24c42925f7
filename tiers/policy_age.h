/* SPDX-License-Identifier: BSD-3-Clause */
/* policy_age.h -- ages that count room, not time.
 *
 * A TICK of a shard is what fills a sixty-fourth of its budget (policy_memory.h). Under every load an entry that nobody
 * uses lives for about one turnover, 64 ticks, and an idle night ages nobody. Ten bits hold 16 turnovers; what stays
 * untouched for longer is misjudged until it is used. */
#ifndef TERRACE_TIERS_POLICY_AGE_H
#define TERRACE_TIERS_POLICY_AGE_H

#include <stdint.h>

enum {
    POLICY_AGE_BITS = 10,
    POLICY_AGE_MAX = (1 << POLICY_AGE_BITS) - 1,
    POLICY_TICKS_PER_TURNOVER = 64,
};

static inline uint16_t policy_age(uint16_t tick_now, uint16_t tick)
{
    return (uint16_t)(tick_now - tick) & POLICY_AGE_MAX;
}

#endif
