/* SPDX-License-Identifier: BSD-3-Clause */
/* The word is the tick of the last use, which breaks ties. The score packs what matters first into the high bits:
 *
 *      63        has an expiry
 *      62..27    nearness of it: 2^36 - 1 minus the milliseconds left (2.1 years at most)
 *      26..0     idleness, in 128 ms (198 days); 1 more without an expiry                                */
#include "tiers/policy.h"
#include "tiers/policy_tick.h"

enum {
    LEFT_BITS = 36,
    IDLE_BITS = 27,
    IDLE_LOG = 7, /* 128 ms */
};

static uint64_t strict_score(const struct policy_memory *memory,
                             const struct policy_candidate *candidate, int64_t now_ms)
{
    (void)memory;
    if (candidate->expire_at_ms == 0) {
        return 0;
    }
    const int64_t left_max_ms = (INT64_C(1) << LEFT_BITS) - 1;
    const uint64_t idle = (uint64_t)policy_tick_since_ms(candidate->word, now_ms) >> IDLE_LOG;
    int64_t left_ms = candidate->expire_at_ms - now_ms;
    left_ms = left_ms > 0 ? left_ms : 0;
    uint64_t nearness = (uint64_t)(left_max_ms - (left_ms < left_max_ms ? left_ms : left_max_ms));
    return (UINT64_C(1) << 63) | (nearness << IDLE_BITS) | idle;
}

static uint64_t ttl_score(const struct policy_memory *memory,
                          const struct policy_candidate *candidate, int64_t now_ms)
{
    if (candidate->expire_at_ms == 0) {
        return ((uint64_t)policy_tick_since_ms(candidate->word, now_ms) >> IDLE_LOG) + UINT64_C(1);
    }
    return strict_score(memory, candidate, now_ms);
}

const struct policy policy_ttl = {
    .name = "ttl",
    .first = policy_tick_first,
    .touch = policy_tick_touch,
    .settle = policy_tick_settle,
    .score = ttl_score,
    .adopt = policy_tick_adopt,
    .keep = policy_keep_nothing,
    .probation = policy_tick_probation,
    .coldness = policy_tick_coldness,
    .hotness = policy_tick_hotness,
    .idle_ms = policy_tick_idle_ms,
    .frequency = policy_no_frequency,
};

const struct policy policy_ttl_strict = {
    .name = "ttl-strict",
    .refuses = true,
    .first = policy_tick_first,
    .touch = policy_tick_touch,
    .settle = policy_tick_settle,
    .score = strict_score,
    .adopt = policy_tick_adopt,
    .keep = policy_keep_nothing,
    .probation = policy_tick_probation,
    .coldness = policy_tick_coldness,
    .hotness = policy_tick_hotness,
    .idle_ms = policy_tick_idle_ms,
    .frequency = policy_no_frequency,
};
