/* SPDX-License-Identifier: BSD-3-Clause */
/* The word: the logarithmic counter in the high 8 bits, the time of the last use in the low 15.
 *
 * Time counts 32nds of a minute, so its high 10 bits are the minute that decay goes by (one point per minute begun
 * without a use, as Redis) and the rest tells apart entries of equal count. It wraps after 17 hours; by then no count is
 * left, and what was idle for 8 hours is settled to be idle for just that.
 *
 * Of entries of equal count the one idle longest leaves, in every second draw; in the others any, as in Redis. The first
 * serves recency (1 to 2 points on two traces), the second keeps a part of a loop that is too long for the memory.
 *
 * The counter (Morris, CACM 1978) grows with probability 1 / ((counter - 5) * 10 + 1): 255 stands for about a million
 * uses. New entries start at 5, so that they are not the first to go. */
#include "tiers/policy.h"

enum {
    COUNTER_FIRST = 5,
    COUNTER_MAX = 255,
    GROWTH_FACTOR = 10,
    TIME_BITS = 15,
    TIME_MASK = (1 << TIME_BITS) - 1,
    MINUTE_LOG = 5, /* time units per minute, as a power of two */
    MINUTE_MS = 60000,
    AHEAD = 1 << MINUTE_LOG,
    IDLE_SETTLED = 8 * 60 << MINUTE_LOG,
};

static uint32_t lfu_time(int64_t now_ms)
{
    return (uint32_t)(((uint64_t)now_ms << MINUTE_LOG) / MINUTE_MS) & TIME_MASK;
}

/* Time units since `word`; 0 if it is a little ahead, as when another thread read the clock later. */
static uint32_t lfu_idle(uint32_t word, int64_t now_ms)
{
    uint32_t used_at = word & TIME_MASK;
    uint32_t now = lfu_time(now_ms);
    return ((used_at - now) & TIME_MASK) <= AHEAD ? 0 : (now - used_at) & TIME_MASK;
}

static uint32_t lfu_decayed(uint32_t word, int64_t now_ms)
{
    uint32_t counter = word >> TIME_BITS;
    if (lfu_idle(word, now_ms) == 0) {
        return counter;
    }
    uint32_t minutes_mask = TIME_MASK >> MINUTE_LOG;
    uint32_t used_minute = (word & TIME_MASK) >> MINUTE_LOG;
    uint32_t minutes = ((lfu_time(now_ms) >> MINUTE_LOG) - used_minute) & minutes_mask;
    return counter > minutes ? counter - minutes : 0;
}

static uint32_t lfu_first(struct policy_memory *memory, const struct policy_newcomer *newcomer)
{
    (void)memory;
    return ((uint32_t)COUNTER_FIRST << TIME_BITS) | lfu_time(newcomer->now_ms);
}

static uint32_t lfu_probation(struct policy_memory *memory, const struct policy_newcomer *newcomer,
                              uint8_t heat)
{
    (void)memory;
    const uint32_t counter = heat < COUNTER_FIRST ? COUNTER_FIRST - 1 : heat;
    return counter << TIME_BITS | lfu_time(newcomer->now_ms);
}

static uint64_t lfu_coldness(const struct policy_memory *memory, uint32_t word, int64_t now_ms)
{
    (void)memory;
    const uint64_t rareness = COUNTER_MAX - lfu_decayed(word, now_ms);
    return (rareness << TIME_BITS | lfu_idle(word, now_ms)) + 1;
}

/* A counter that stands k above the first has grown after 1 + 11 + 21 + ... uses, k of them, as is to be expected. */
static uint8_t hotness_of(uint32_t counter)
{
    if (counter < COUNTER_FIRST) {
        return (uint8_t)(POLICY_HOTNESS_NEW - POLICY_HOTNESS_DOUBLE * (COUNTER_FIRST - counter));
    }
    const uint64_t above = counter - COUNTER_FIRST;
    const uint64_t uses = above > 0 ? above + GROWTH_FACTOR * above * (above - 1) / 2 : 0;
    return policy_hotness_within(POLICY_HOTNESS_NEW + (int64_t)policy_steps_of(uses + 1), 1);
}

static uint8_t lfu_hotness(const struct policy_memory *memory, uint32_t word, int64_t now_ms)
{
    (void)memory;
    return hotness_of(lfu_decayed(word, now_ms));
}

static uint32_t lfu_touch(struct policy_memory *memory, uint32_t word, size_t size, int64_t now_ms,
                          uint64_t noise)
{
    (void)memory;
    (void)size;
    uint32_t counter = lfu_decayed(word, now_ms);
    if (counter < COUNTER_MAX) {
        uint64_t above = counter > COUNTER_FIRST ? counter - COUNTER_FIRST : 0;
        uint64_t odds = above * GROWTH_FACTOR + 1;
        counter += (((noise >> 32) * odds) >> 32) == 0;
    }
    return (counter << TIME_BITS) | lfu_time(now_ms);
}

static uint32_t lfu_settle(const struct policy_memory *memory, uint32_t word, int64_t now_ms)
{
    (void)memory;
    if (lfu_idle(word, now_ms) <= IDLE_SETTLED) {
        return word;
    }
    return lfu_decayed(word, now_ms) << TIME_BITS | ((lfu_time(now_ms) - IDLE_SETTLED) & TIME_MASK);
}

static uint64_t lfu_score(const struct policy_memory *memory,
                          const struct policy_candidate *candidate, int64_t now_ms)
{
    (void)memory;
    const uint64_t rareness = COUNTER_MAX - lfu_decayed(candidate->word, now_ms);
    const bool by_idleness = (candidate->noise & 1) == 0;
    const uint64_t tie = by_idleness ? lfu_idle(candidate->word, now_ms)
                                     : policy_spread(candidate->noise) & TIME_MASK;
    return (rareness << TIME_BITS | tie) + 1;
}

static uint64_t volatile_lfu_score(const struct policy_memory *memory,
                                   const struct policy_candidate *candidate, int64_t now_ms)
{
    return candidate->expire_at_ms == 0 ? 0 : lfu_score(memory, candidate, now_ms);
}

/* What was kept has lost the points of its idle time already. */
static uint32_t lfu_adopt(struct policy_memory *memory, const struct policy_former *former)
{
    (void)memory;
    const int64_t idle_max_ms = (int64_t)IDLE_SETTLED * MINUTE_MS >> MINUTE_LOG;
    const int64_t used_at_ms =
        former->now_ms - (former->idle_ms < idle_max_ms ? former->idle_ms : idle_max_ms);
    const uint32_t word = (uint32_t)COUNTER_MAX << TIME_BITS | lfu_time(used_at_ms);
    const uint32_t lost = COUNTER_MAX - lfu_decayed(word, former->now_ms);
    const uint32_t counter =
        former->kept == POLICY_KEPT_NONE ? (uint32_t)COUNTER_FIRST : (uint32_t)former->kept + lost;
    return (counter < COUNTER_MAX ? counter : (uint32_t)COUNTER_MAX) << TIME_BITS |
           lfu_time(used_at_ms);
}

static uint16_t lfu_keep(const struct policy_memory *memory, uint32_t word, int64_t now_ms)
{
    (void)memory;
    return (uint16_t)lfu_decayed(word, now_ms);
}

static int64_t lfu_idle_ms(const struct policy_memory *memory, uint32_t word, int64_t now_ms)
{
    (void)memory;
    return (int64_t)lfu_idle(word, now_ms) * MINUTE_MS >> MINUTE_LOG;
}

static int lfu_frequency(uint32_t word, int64_t now_ms)
{
    return (int)lfu_decayed(word, now_ms);
}

const struct policy policy_lfu = {
    .name = "lfu",
    .draws = true,
    .first = lfu_first,
    .touch = lfu_touch,
    .settle = lfu_settle,
    .score = lfu_score,
    .adopt = lfu_adopt,
    .keep = lfu_keep,
    .probation = lfu_probation,
    .coldness = lfu_coldness,
    .hotness = lfu_hotness,
    .idle_ms = lfu_idle_ms,
    .frequency = lfu_frequency,
};

const struct policy policy_volatile_lfu = {
    .name = "volatile-lfu",
    .draws = true,
    .refuses = true,
    .first = lfu_first,
    .touch = lfu_touch,
    .settle = lfu_settle,
    .score = volatile_lfu_score,
    .adopt = lfu_adopt,
    .keep = lfu_keep,
    .probation = lfu_probation,
    .coldness = lfu_coldness,
    .hotness = lfu_hotness,
    .idle_ms = lfu_idle_ms,
    .frequency = lfu_frequency,
};
