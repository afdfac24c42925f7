/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/policy_tick.h"

uint32_t policy_tick_first(struct policy_memory *memory, const struct policy_newcomer *newcomer)
{
    (void)memory;
    return policy_tick(newcomer->now_ms);
}

uint32_t policy_tick_adopt(struct policy_memory *memory, const struct policy_former *former)
{
    (void)memory;
    const int64_t used_at_ms = former->now_ms - former->idle_ms;
    return former->idle_ms < POLICY_SETTLE_MS ? policy_tick(used_at_ms)
                                              : policy_tick_coarse(used_at_ms);
}

uint16_t policy_keep_nothing(const struct policy_memory *memory, uint32_t word, int64_t now_ms)
{
    (void)memory;
    (void)word;
    (void)now_ms;
    return 0;
}

uint32_t policy_tick_touch(struct policy_memory *memory, uint32_t word, size_t size, int64_t now_ms,
                           uint64_t noise)
{
    (void)size;
    (void)memory;
    (void)word;
    (void)noise;
    return policy_tick(now_ms);
}

uint32_t policy_tick_probation(struct policy_memory *memory, const struct policy_newcomer *newcomer,
                               uint8_t heat)
{
    enum {
        MINUTE_MS = 60 * 1000
    };
    const int64_t idle_ms = (int64_t)(POLICY_HEAT_MAX - heat) * MINUTE_MS;
    return policy_tick_adopt(
        memory, &(struct policy_former){.idle_ms = idle_ms, .now_ms = newcomer->now_ms});
}

uint64_t policy_tick_coldness(const struct policy_memory *memory, uint32_t word, int64_t now_ms)
{
    (void)memory;
    return (uint64_t)policy_tick_since_ms(word, now_ms) + 1;
}

/* In fine ticks, of which there are 15000 in a minute. */
uint8_t policy_tick_hotness(const struct policy_memory *memory, uint32_t word, int64_t now_ms)
{
    enum {
        MINUTE_TICKS = 60 * 1000 / POLICY_TICK_MS
    };
    (void)memory;
    const uint64_t idle = (uint64_t)policy_tick_since_ms(word, now_ms) >> POLICY_TICK_LOG;
    return policy_hotness_within(POLICY_HOTNESS_NEW + (int64_t)policy_steps_of(MINUTE_TICKS) -
                                     (int64_t)policy_steps_of(idle + 1),
                                 1);
}

int64_t policy_tick_idle_ms(const struct policy_memory *memory, uint32_t word, int64_t now_ms)
{
    (void)memory;
    return policy_tick_since_ms(word, now_ms);
}

int policy_no_frequency(uint32_t word, int64_t now_ms)
{
    (void)word;
    (void)now_ms;
    return -1;
}
