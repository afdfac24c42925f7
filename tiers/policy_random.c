/* SPDX-License-Identifier: BSD-3-Clause */
/* Policies that do not choose. The word is the tick of the last use, for OBJECT IDLETIME. */
#include "tiers/policy.h"
#include "tiers/policy_tick.h"

static uint64_t random_score(const struct policy_memory *memory,
                             const struct policy_candidate *candidate, int64_t now_ms)
{
    (void)memory;
    (void)now_ms;
    return policy_spread(candidate->noise) | 1;
}

static uint64_t volatile_random_score(const struct policy_memory *memory,
                                      const struct policy_candidate *candidate, int64_t now_ms)
{
    return candidate->expire_at_ms == 0 ? 0 : random_score(memory, candidate, now_ms);
}

static uint64_t noeviction_score(const struct policy_memory *memory,
                                 const struct policy_candidate *candidate, int64_t now_ms)
{
    (void)memory;
    (void)candidate;
    (void)now_ms;
    return 0;
}

const struct policy policy_random = {
    .name = "random",
    .first = policy_tick_first,
    .touch = policy_tick_touch,
    .settle = policy_tick_settle,
    .score = random_score,
    .adopt = policy_tick_adopt,
    .keep = policy_keep_nothing,
    .probation = policy_tick_probation,
    .coldness = policy_tick_coldness,
    .hotness = policy_tick_hotness,
    .idle_ms = policy_tick_idle_ms,
    .frequency = policy_no_frequency,
};

const struct policy policy_volatile_random = {
    .name = "volatile-random",
    .refuses = true,
    .first = policy_tick_first,
    .touch = policy_tick_touch,
    .settle = policy_tick_settle,
    .score = volatile_random_score,
    .adopt = policy_tick_adopt,
    .keep = policy_keep_nothing,
    .probation = policy_tick_probation,
    .coldness = policy_tick_coldness,
    .hotness = policy_tick_hotness,
    .idle_ms = policy_tick_idle_ms,
    .frequency = policy_no_frequency,
};

const struct policy policy_noeviction = {
    .name = "noeviction",
    .refuses = true,
    .first = policy_tick_first,
    .touch = policy_tick_touch,
    .settle = policy_tick_settle,
    .score = noeviction_score,
    .adopt = policy_tick_adopt,
    .keep = policy_keep_nothing,
    .probation = policy_tick_probation,
    .coldness = policy_tick_coldness,
    .hotness = policy_tick_hotness,
    .idle_ms = policy_tick_idle_ms,
    .frequency = policy_no_frequency,
};
