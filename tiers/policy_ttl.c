/* SPDX-License-Identifier: BSD-3-Clause */
/* The word is the tick of the last use, which breaks ties. The score packs what matters first into the high bits:
 *
 *      63        has an expiry
 *      62..27    nearness of it: 2^36 - 1 minus the milliseconds left (2.1 years at most)
 *      26..0     idleness, in 128 ms (198 days)                                                                     */
#include "tiers/policy.h"
#include "tiers/policy_tick.h"

enum {
    LEFT_BITS = 36,
    IDLE_BITS = 27,
    IDLE_LOG = 7, /* 128 ms */
};

static uint32_t ttl_touch(uint32_t word, int64_t now_ms, uint64_t noise)
{
    (void)word;
    (void)noise;
    return policy_tick(now_ms);
}

static uint64_t ttl_score(uint32_t word, int64_t expire_at_ms, int64_t now_ms)
{
    const int64_t left_max_ms = (INT64_C(1) << LEFT_BITS) - 1;
    uint64_t idle = (uint64_t)policy_tick_idle_ms(word, now_ms) >> IDLE_LOG;
    if (expire_at_ms == 0) {
        return idle;
    }
    int64_t left_ms = expire_at_ms > now_ms ? expire_at_ms - now_ms : 0;
    uint64_t nearness = (uint64_t)(left_max_ms - (left_ms < left_max_ms ? left_ms : left_max_ms));
    return (UINT64_C(1) << 63) | (nearness << IDLE_BITS) | idle;
}

static int64_t ttl_idle_ms(uint32_t word, int64_t now_ms)
{
    return policy_tick_idle_ms(word, now_ms);
}

static int ttl_frequency(uint32_t word, int64_t now_ms)
{
    (void)word;
    (void)now_ms;
    return -1;
}

const struct policy policy_ttl = {
    .name = "ttl",
    .first = policy_tick,
    .touch = ttl_touch,
    .settle = policy_tick_settle,
    .score = ttl_score,
    .idle_ms = ttl_idle_ms,
    .frequency = ttl_frequency,
};
