/* SPDX-License-Identifier: BSD-3-Clause */
/* S3-FIFO (Yang et al., SOSP'23) without queues: where an entry would stand in them follows from when it came in.
 *
 * Newcomers are SMALL. Six ticks later (a tenth of a turnover) one that was not used twice is the first to leave, and
 * is remembered as a ghost; if it returns in time it is MAIN. So is one that was used twice. Main entries leave in the
 * order in which they came; each use (three count) is worth another round. How long a round takes is the mean age at
 * which main entries leave.
 *
 * The group in the word: bits 0..1 uses since it came, bit 2 main, bit 3 on probation. The tick is that of coming in. */
#include "tiers/policy.h"
#include "tiers/policy_memory.h"
#include "tiers/policy_tick.h"

enum {
    USES_MAX = 3,
    USES_MASK = 3,
    MAIN = 4,
    PROBATION = 8,
    USES_PROVEN = 2,
    SMALL_TICKS = 6,
    BASE_MAIN = 1 << 16,
    BASE_FAILED = 1 << 20,
    /* Hotness of what has failed is below that of newcomers by up to three doublings, the longer ago the lower. */
    HOTNESS_FAILED = POLICY_HOTNESS_NEW - POLICY_HOTNESS_DOUBLE,
    HOTNESS_FAILED_STEPS = 2 * POLICY_HOTNESS_DOUBLE,
    HOTNESS_MAIN = POLICY_HOTNESS_NEW + 2 * POLICY_HOTNESS_DOUBLE,
};

static uint32_t s3fifo_first(struct policy_memory *memory, const struct policy_newcomer *newcomer)
{
    struct policy_ghost_entry ghost;
    policy_memory_advance(memory, newcomer->size, newcomer->now_ms);
    const bool known = policy_ghost_take(&memory->ghost, newcomer->hash, &ghost);
    return policy_word_make((struct policy_word){.tick = memory->tick, .group = known ? MAIN : 0});
}

static uint32_t s3fifo_probation(struct policy_memory *memory,
                                 const struct policy_newcomer *newcomer, uint8_t heat)
{
    const uint8_t group = heat >= POLICY_HEAT_WARM ? PROBATION | MAIN : PROBATION;
    return policy_word_make((struct policy_word){
        .tick = memory->tick, .group = group, .size = policy_size_make(newcomer->size)});
}

static uint32_t s3fifo_touch(struct policy_memory *memory, uint32_t word, size_t size,
                             int64_t now_ms, uint64_t noise)
{
    (void)size;
    policy_memory_note_use(memory, now_ms);
    (void)noise;
    struct policy_word entry = policy_word_read(word);
    if ((entry.group & PROBATION) != 0) {
        policy_memory_advance(memory, (size_t)policy_size_read(entry.size), now_ms);
        return policy_word_make(
            (struct policy_word){.tick = memory->tick, .group = entry.group & MAIN});
    }
    if ((entry.group & USES_MASK) < USES_MAX) {
        entry.group++;
    }
    return policy_word_make(entry);
}

static bool is_small(uint8_t group)
{
    return (group & MAIN) == 0 && (group & USES_MASK) < USES_PROVEN;
}

static uint64_t s3fifo_coldness(const struct policy_memory *memory, uint32_t word, int64_t now_ms)
{
    (void)now_ms;
    const struct policy_word entry = policy_word_read(word);
    const int age = policy_age(memory->tick, entry.tick);
    if (entry.group == PROBATION) {
        return (uint64_t)(BASE_FAILED + POLICY_AGE_MAX + 1 + age);
    }
    if (is_small(entry.group)) {
        return (uint64_t)(age < SMALL_TICKS ? 1 + age : BASE_FAILED + age);
    }
    const bool came_as_main = (entry.group & MAIN) != 0;
    const int rounds = (entry.group & USES_MASK) - (came_as_main ? 0 : USES_PROVEN);
    const int since = age - (came_as_main ? 0 : SMALL_TICKS);
    return (uint64_t)(BASE_MAIN + since - rounds * (int)memory->main_round);
}

/* Rounds that a main entry is still to live if nobody uses it, in steps: 0 to 4 doublings. */
static int64_t steps_left(const struct policy_memory *memory, struct policy_word entry)
{
    const bool came_as_main = (entry.group & MAIN) != 0;
    const int rounds = 1 + (entry.group & USES_MASK) - (came_as_main ? 0 : USES_PROVEN);
    const int since = policy_age(memory->tick, entry.tick) - (came_as_main ? 0 : SMALL_TICKS);
    const float lived = since > 0 ? (float)since / memory->main_round : 0;
    const float left = (float)rounds - lived;
    return left > 0 ? (int64_t)(left * POLICY_HOTNESS_DOUBLE) : 0;
}

static uint8_t s3fifo_hotness(const struct policy_memory *memory, uint32_t word, int64_t now_ms)
{
    (void)now_ms;
    const struct policy_word entry = policy_word_read(word);
    const int age = policy_age(memory->tick, entry.tick);
    if (entry.group == PROBATION) {
        return 0;
    }
    if (!is_small(entry.group)) {
        return policy_hotness_within(HOTNESS_MAIN + steps_left(memory, entry), HOTNESS_MAIN);
    }
    return (uint8_t)(age < SMALL_TICKS
                         ? POLICY_HOTNESS_NEW + POLICY_HOTNESS_DOUBLE * (entry.group & USES_MASK)
                         : HOTNESS_FAILED - age * HOTNESS_FAILED_STEPS / (POLICY_AGE_MAX + 1));
}

static uint64_t s3fifo_score(const struct policy_memory *memory,
                             const struct policy_candidate *candidate, int64_t now_ms)
{
    return s3fifo_coldness(memory, candidate->word, now_ms);
}

static void s3fifo_evicted(struct policy_memory *memory, uint64_t hash, uint32_t word)
{
    const struct policy_word entry = policy_word_read(word);
    if ((entry.group & PROBATION) != 0) {
        return; /* nobody here knows it */
    }
    if (is_small(entry.group)) {
        policy_ghost_put(&memory->ghost, hash,
                         (struct policy_ghost_entry){.tick = entry.tick, .group = entry.group});
    } else if ((entry.group & USES_MASK) == 0) {
        const float weight = 1.0F / 64;
        const float age = policy_age(memory->tick, entry.tick);
        memory->main_round += (age - memory->main_round) * weight;
    }
}

static uint32_t s3fifo_adopt(struct policy_memory *memory, const struct policy_former *former)
{
    return policy_word_adopt(memory, former, 0);
}

/* The tick is that of coming in. */
static int64_t unknown_idle_ms(const struct policy_memory *memory, uint32_t word, int64_t now_ms)
{
    (void)memory;
    (void)word;
    (void)now_ms;
    return -1;
}

const struct policy policy_s3fifo = {
    .name = "s3fifo",
    .remembers = true,
    .first = s3fifo_first,
    .touch = s3fifo_touch,
    .settle = policy_word_settle,
    .score = s3fifo_score,
    .evicted = s3fifo_evicted,
    .adopt = s3fifo_adopt,
    .keep = policy_word_keep,
    .probation = s3fifo_probation,
    .coldness = s3fifo_coldness,
    .hotness = s3fifo_hotness,
    .idle_ms = unknown_idle_ms,
    .frequency = policy_no_frequency,
};
