/* SPDX-License-Identifier: BSD-3-Clause */
/* The word is the tick of the last use. */
#include "tiers/policy.h"
#include "tiers/policy_tick.h"

static uint64_t lru_score(const struct policy_memory *memory,
                          const struct policy_candidate *candidate, int64_t now_ms)
{
    (void)memory;
    return (uint64_t)policy_tick_since_ms(candidate->word, now_ms) + 1;
}

static uint64_t volatile_lru_score(const struct policy_memory *memory,
                                   const struct policy_candidate *candidate, int64_t now_ms)
{
    return candidate->expire_at_ms == 0 ? 0 : lru_score(memory, candidate, now_ms);
}

const struct policy policy_lru = {
    .name = "lru",
    .first = policy_tick_first,
    .touch = policy_tick_touch,
    .settle = policy_tick_settle,
    .score = lru_score,
    .adopt = policy_tick_adopt,
    .keep = policy_keep_nothing,
    .probation = policy_tick_probation,
    .coldness = policy_tick_coldness,
    .hotness = policy_tick_hotness,
    .idle_ms = policy_tick_idle_ms,
    .frequency = policy_no_frequency,
};

const struct policy policy_volatile_lru = {
    .name = "volatile-lru",
    .refuses = true,
    .first = policy_tick_first,
    .touch = policy_tick_touch,
    .settle = policy_tick_settle,
    .score = volatile_lru_score,
    .adopt = policy_tick_adopt,
    .keep = policy_keep_nothing,
    .probation = policy_tick_probation,
    .coldness = policy_tick_coldness,
    .hotness = policy_tick_hotness,
    .idle_ms = policy_tick_idle_ms,
    .frequency = policy_no_frequency,
};
