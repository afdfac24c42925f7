/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/policy_memory.h"

enum {
    GROUPS_PER_TICK = LEARN_GROUPS / 2,
    GROUPS_AT_ONCE = 2,
    TICK_LONGEST_S = 60,
    AGE_SETTLED = POLICY_AGE_MAX / 4 * 3,
};

void policy_memory_reset(struct policy_memory *memory)
{
    policy_ghost_clear(&memory->ghost);
    *memory = (struct policy_memory){.tick_bytes = memory->tick_bytes,
                                     .main_round = POLICY_TICKS_PER_TURNOVER,
                                     .ghost = memory->ghost};
    policy_learn_init(&memory->learn);
}

struct policy_memory *policy_memory_new(struct arena *arena)
{
    struct policy_memory *memory = arena_alloc_pages(arena, sizeof *memory);
    if (memory != NULL) {
        *memory = (struct policy_memory){.tick_bytes = 1, .ghost = {.arena = arena}};
        policy_memory_reset(memory);
    }
    return memory;
}

void policy_memory_free(struct policy_memory *memory)
{
    if (memory != NULL) {
        policy_ghost_clear(&memory->ghost);
        arena_free_raw(memory->ghost.arena, memory);
    }
}

void policy_memory_set_budget(struct policy_memory *memory, size_t shard_bytes_max)
{
    const size_t tick_bytes = shard_bytes_max / POLICY_TICKS_PER_TURNOVER;
    memory->tick_bytes = tick_bytes > 0 ? tick_bytes : 1;
}

size_t policy_memory_bytes(const struct policy_memory *memory)
{
    return policy_ghost_bytes(&memory->ghost);
}

static void compute_some(struct policy_memory *memory)
{
    for (unsigned i = 0; i < GROUPS_AT_ONCE && memory->groups_due > 0; i++) {
        policy_learn_compute(&memory->learn, memory->group_next);
        memory->group_next = (uint8_t)((memory->group_next + 1) % LEARN_GROUPS);
        memory->groups_due--;
    }
}

static void tick_on(struct policy_memory *memory, size_t ticks, uint32_t now_s)
{
    memory->tick = (uint16_t)(memory->tick + ticks) & POLICY_AGE_MAX;
    memory->used_at_s[memory->tick] = now_s;
    memory->groups_due = GROUPS_PER_TICK;
}

void policy_memory_note_second(struct policy_memory *memory, uint32_t now_s)
{
    uint32_t *used_at_s = &memory->used_at_s[memory->tick];
    if (memory->tick_began_s + TICK_LONGEST_S <= now_s) {
        tick_on(memory, 1, now_s);
        memory->tick_began_s = now_s;
    } else if (*used_at_s < now_s) { /* else another thread read the clock later */
        *used_at_s = now_s;
    }
}

void policy_memory_advance(struct policy_memory *memory, size_t bytes, int64_t now_ms)
{
    memory->tick_bytes_added += bytes;
    if (memory->tick_bytes_added >= memory->tick_bytes) {
        const uint32_t now_s = (uint32_t)((uint64_t)now_ms / 1000);
        tick_on(memory, memory->tick_bytes_added / memory->tick_bytes, now_s);
        memory->tick_began_s = now_s;
        memory->tick_bytes_added %= memory->tick_bytes;
    }
    policy_memory_note_use(memory, now_ms);
    compute_some(memory);
}

/* --- the word ----------------------------------------------------------------------------------------------------- */

/* 4 steps in each power of two: what is divided by the power leaves 1 to 2, and that minus 1, in fourths. */
uint8_t policy_size_make(size_t bytes)
{
    const size_t least = bytes < POLICY_SIZE_STEPS ? POLICY_SIZE_STEPS : bytes;
    const unsigned log = 63 - (unsigned)__builtin_clzll(least);
    const size_t step = (least >> (log - 2)) & (POLICY_SIZE_STEPS - 1);
    const size_t size = log * POLICY_SIZE_STEPS + step;
    return (uint8_t)(size < POLICY_WORD_SIZE_MASK ? size : POLICY_WORD_SIZE_MASK);
}

uint16_t policy_word_keep(const struct policy_memory *memory, uint32_t word, int64_t now_ms)
{
    (void)now_ms;
    const struct policy_word entry = policy_word_read(word);
    return (uint16_t)(policy_age(memory->tick, entry.tick) | entry.group << POLICY_AGE_BITS);
}

/* The ticks before the first are those of the former life. */
static void note_former_use(struct policy_memory *memory, uint16_t tick, int64_t used_at_ms)
{
    const uint32_t used_at_s = used_at_ms > 0 ? (uint32_t)(used_at_ms / 1000) : 0;
    if (memory->used_at_s[tick] < used_at_s) {
        memory->used_at_s[tick] = used_at_s;
    }
}

uint32_t policy_word_adopt(struct policy_memory *memory, const struct policy_former *former,
                           uint8_t group_new)
{
    struct policy_word entry = {
        .tick = memory->tick, .group = group_new, .size = policy_size_make(former->size)};
    if (former->kept != POLICY_KEPT_NONE) {
        const uint16_t age = (uint16_t)former->kept & POLICY_AGE_MAX;
        entry.tick = (uint16_t)(memory->tick - age) & POLICY_AGE_MAX;
        entry.group = (uint8_t)((unsigned)former->kept >> POLICY_AGE_BITS) & POLICY_WORD_GROUP_MASK;
        note_former_use(memory, entry.tick, former->now_ms - former->idle_ms);
    }
    return policy_word_make(entry);
}

uint32_t policy_word_settle(const struct policy_memory *memory, uint32_t word, int64_t now_ms)
{
    (void)now_ms;
    struct policy_word entry = policy_word_read(word);
    if (policy_age(memory->tick, entry.tick) <= AGE_SETTLED) {
        return word;
    }
    entry.tick = (uint16_t)(memory->tick - AGE_SETTLED) & POLICY_AGE_MAX;
    return policy_word_make(entry);
}

int64_t policy_word_idle_ms(const struct policy_memory *memory, uint32_t word, int64_t now_ms)
{
    const int64_t used_at_ms = (int64_t)memory->used_at_s[policy_word_read(word).tick] * 1000;
    return used_at_ms < now_ms ? now_ms - used_at_ms : 0;
}
