/* SPDX-License-Identifier: BSD-3-Clause */
/* Evicts what costs the most bytes and time for a hit, as policy_learn.h has learned it: the default.
 *
 * The size counts in full, so the policy aims at the most hits, not at the most bytes hit. */
#include "tiers/policy.h"
#include "tiers/policy_memory.h"
#include "tiers/policy_tick.h"

#include <string.h>

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
    const uint16_t age = policy_age(memory->tick, entry.tick);
    policy_learn_use(&memory->learn, entry.group, age);
    entry.group = policy_learn_group_after(entry.group, age);
    entry.tick = memory->tick;
    entry.size = size > 0 ? policy_size_make(size) : entry.size;
    return policy_word_make(entry);
}

static uint64_t density_score(const struct policy_memory *memory,
                              const struct policy_candidate *candidate, int64_t now_ms)
{
    (void)now_ms;
    const struct policy_word entry = policy_word_read(candidate->word);
    const uint16_t age = policy_age(memory->tick, entry.tick);
    const float cost =
        policy_learn_cost(&memory->learn, entry.group, age) * policy_size_read(entry.size);
    uint32_t bits; /* of floats that are not negative, the bits have the same order */
    memcpy(&bits, &cost, sizeof bits);
    return (uint64_t)bits + 1;
}

/* Ages are counted in bytes that came in, so what was idle under another policy is as young as a newcomer. */
static uint32_t density_adopt(const struct policy_memory *memory, size_t size, int64_t idle_ms,
                              int64_t now_ms)
{
    (void)idle_ms;
    (void)now_ms;
    return policy_word_make((struct policy_word){
        .tick = memory->tick, .group = LEARN_GROUP_NEW, .size = policy_size_make(size)});
}

static void density_evicted(struct policy_memory *memory, uint64_t hash, uint32_t word)
{
    const struct policy_word entry = policy_word_read(word);
    policy_ghost_put(&memory->ghost, hash,
                     (struct policy_ghost_entry){.tick = entry.tick, .group = entry.group});
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
    .idle_ms = policy_word_idle_ms,
    .frequency = policy_no_frequency,
};
