/* SPDX-License-Identifier: BSD-3-Clause */
/* The word is the tick of the last use. */
#include "tiers/policy.h"
#include "tiers/policy_tick.h"

static uint32_t lru_touch(uint32_t word, int64_t now_ms, uint64_t noise)
{
    (void)word;
    (void)noise;
    return policy_tick(now_ms);
}

static uint64_t lru_score(uint32_t word, int64_t expire_at_ms, int64_t now_ms)
{
    (void)expire_at_ms;
    return (uint64_t)policy_tick_idle_ms(word, now_ms);
}

static int64_t lru_idle_ms(uint32_t word, int64_t now_ms)
{
    return policy_tick_idle_ms(word, now_ms);
}

static int lru_frequency(uint32_t word, int64_t now_ms)
{
    (void)word;
    (void)now_ms;
    return -1;
}

const struct policy policy_lru = {
    .name = "lru",
    .first = policy_tick,
    .touch = lru_touch,
    .settle = policy_tick_settle,
    .score = lru_score,
    .idle_ms = lru_idle_ms,
    .frequency = lru_frequency,
};
