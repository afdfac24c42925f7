/* SPDX-License-Identifier: BSD-3-Clause */
/* Evicts what costs the most bytes and time for a hit, as policy_learn.h has learned it: the default.
 *
 * The size counts in full, so the policy aims at the most hits, not at the most bytes hit.
 *
 * Entries on probation are in groups that uses lead to never: of one use after a wait, of which there are three. */
#include "tiers/policy.h"
#include "tiers/policy_memory.h"
#include "tiers/policy_tick.h"

#include <string.h>

enum {
    PROBATION_COLD = 0,
    PROBATION_WARM = LEARN_USES,
    PROBATION_HOT = 2 * LEARN_USES,
    PROBATION_HOT_AS = LEARN_GROUPS - 1, /* the most uses, the longest wait */
};
#define PROBATION_COST 1e20F /* above whatever is learned */

static bool is_on_probation(uint8_t group)
{
    return group % LEARN_USES == 0 && group != LEARN_GROUP_NEW;
}

static uint32_t density_probation(struct policy_memory *memory,
                                  const struct policy_newcomer *newcomer, uint8_t heat)
{
    const uint8_t group = heat >= POLICY_HEAT_HOT    ? PROBATION_HOT
                          : heat >= POLICY_HEAT_WARM ? PROBATION_WARM
                                                     : PROBATION_COLD;
    return policy_word_make((struct policy_word){
        .tick = memory->tick, .group = group, .size = policy_size_make(newcomer->size)});
}

static uint32_t density_first(struct policy_memory *memory, const struct policy_newcomer *newcomer)
{
    struct policy_ghost_entry ghost;
    uint8_t group = LEARN_GROUP_NEW;
    policy_memory_advance(memory, newcomer->size, newcomer->now_ms);
    if (policy_ghost_take(&memory->ghost, newcomer->hash, &ghost)) {
        const uint16_t age = policy_age(memory->tick, ghost.tick);
        group = policy_learn_group_after(ghost.group, age);
        policy_learn_use(&memory->learn, ghost.group, age);
    } else {
        policy_learn_newcomer(&memory->learn);
    }
    return policy_word_make((struct policy_word){
        .tick = memory->tick, .group = group, .size = policy_size_make(newcomer->size)});
}

static uint32_t density_touch(struct policy_memory *memory, uint32_t word, size_t size,
                              int64_t now_ms, uint64_t noise)
{
    (void)noise;
    policy_memory_note_use(memory, now_ms);
    struct policy_word entry = policy_word_read(word);
    entry.size = size > 0 ? policy_size_make(size) : entry.size;
    if (is_on_probation(entry.group)) {
        policy_memory_advance(memory, (size_t)policy_size_read(entry.size), now_ms);
        policy_learn_newcomer(&memory->learn);
        entry.group = LEARN_GROUP_NEW;
    } else {
        const uint16_t age = policy_age(memory->tick, entry.tick);
        policy_learn_use(&memory->learn, entry.group, age);
        entry.group = policy_learn_group_after(entry.group, age);
    }
    entry.tick = memory->tick;
    return policy_word_make(entry);
}

/* The cost of a place per byte. */
static float cost_of(const struct policy_memory *memory, uint8_t group, uint16_t age)
{
    if (!is_on_probation(group)) {
        return policy_learn_cost(&memory->learn, group, age);
    }
    return group == PROBATION_COLD
               ? PROBATION_COST * (float)(1 + age)
               : policy_learn_cost(&memory->learn,
                                   group == PROBATION_HOT ? PROBATION_HOT_AS : LEARN_GROUP_NEW,
                                   age);
}

static uint64_t density_coldness(const struct policy_memory *memory, uint32_t word, int64_t now_ms)
{
    (void)now_ms;
    const struct policy_word entry = policy_word_read(word);
    const uint16_t age = policy_age(memory->tick, entry.tick);
    const float cost = cost_of(memory, entry.group, age) * policy_size_read(entry.size);
    uint32_t bits; /* of floats that are not negative, the bits have the same order */
    memcpy(&bits, &cost, sizeof bits);
    return (uint64_t)bits + 1;
}

/* Of a float, exponent and the three highest bits of the mantissa are its logarithm in eighths. */
static uint8_t density_hotness(const struct policy_memory *memory, uint32_t word, int64_t now_ms)
{
    enum {
        EIGHTHS_SHIFT = 20,
        STEPS_OF_ONE = 127 * POLICY_HOTNESS_DOUBLE,
        TICKS_NEW = 4 * POLICY_TICKS_PER_TURNOVER
    };
    (void)now_ms;
    const struct policy_word entry = policy_word_read(word);
    if (entry.group == PROBATION_COLD) {
        return 0;
    }
    const float ticks =
        cost_of(memory, entry.group, policy_age(memory->tick, entry.tick)); /* for a use */
    uint32_t bits;
    memcpy(&bits, &ticks, sizeof bits);
    const int64_t steps = (int64_t)(bits >> EIGHTHS_SHIFT) - STEPS_OF_ONE;
    return policy_hotness_within(POLICY_HOTNESS_NEW + (int64_t)policy_steps_of(TICKS_NEW) - steps,
                                 1);
}

static uint64_t density_score(const struct policy_memory *memory,
                              const struct policy_candidate *candidate, int64_t now_ms)
{
    return density_coldness(memory, candidate->word, now_ms);
}

static uint32_t density_adopt(struct policy_memory *memory, const struct policy_former *former)
{
    return policy_word_adopt(memory, former, LEARN_GROUP_NEW);
}

static void density_evicted(struct policy_memory *memory, uint64_t hash, uint32_t word)
{
    const struct policy_word entry = policy_word_read(word);
    if (!is_on_probation(entry.group)) {
        policy_ghost_put(&memory->ghost, hash,
                         (struct policy_ghost_entry){.tick = entry.tick, .group = entry.group});
    }
}

const struct policy policy_density = {
    .name = "density",
    .remembers = true,
    .first = density_first,
    .touch = density_touch,
    .settle = policy_word_settle,
    .score = density_score,
    .evicted = density_evicted,
    .adopt = density_adopt,
    .keep = policy_word_keep,
    .probation = density_probation,
    .coldness = density_coldness,
    .hotness = density_hotness,
    .idle_ms = policy_word_idle_ms,
    .frequency = policy_no_frequency,
};
