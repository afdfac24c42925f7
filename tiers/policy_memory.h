/* SPDX-License-Identifier: BSD-3-Clause */
/* policy_memory.h -- what a policy knows of one shard beyond the words in its entries.
 *
 * The word of policies that go by it: 10 bits tick of the last use (policy_age.h), 5 bits group (theirs), 7 bits size, in
 * fourths of a power of two.
 *
 * For OBJECT IDLETIME it notes when each tick was last used. A tick lasts a minute at most while entries are used, so
 * idle times are true to a minute, for 12 turnovers of the budget or 12 hours of use; what was idle for longer is
 * said to be so for that long.
 *
 * Threads: under the shard's lock.
 * Size:    three pages of the arena, and of ghosts what policy_memory_bytes says (4 bytes per resident entry). */
#ifndef TERRACE_TIERS_POLICY_MEMORY_H
#define TERRACE_TIERS_POLICY_MEMORY_H

#include "tiers/policy.h"
#include "tiers/policy_ghost.h"
#include "tiers/policy_learn.h"

#include <string.h>

struct policy_memory {
    uint16_t tick;
    uint8_t group_next; /* to be computed next */
    uint8_t groups_due; /* how many are to be computed in this tick */
    float main_round;   /* s3fifo: ticks that a main entry lives if it is not used */
    uint32_t used_at_s[POLICY_AGE_MAX + 1]; /* by tick: when entries were last used in it */
    uint32_t tick_began_s;
    size_t tick_bytes;       /* bytes that make a tick */
    size_t tick_bytes_added; /* since it began */
    struct policy_ghost ghost;
    struct policy_learn learn;
};

struct policy_memory *policy_memory_new(struct arena *arena); /* arena borrowed; NULL: no memory */
void policy_memory_free(struct policy_memory *memory);
/* Forgets everything, as for another policy. */
void policy_memory_reset(struct policy_memory *memory);
void policy_memory_set_budget(struct policy_memory *memory, size_t shard_bytes_max);
size_t policy_memory_bytes(const struct policy_memory *memory); /* of ghosts */
/* The clock goes on: so many bytes came in. */
void policy_memory_advance(struct policy_memory *memory, size_t bytes, int64_t now_ms);
/* An entry is used; of many in one second the first has something to note. */
void policy_memory_note_second(struct policy_memory *memory, uint32_t now_s) __attribute__((cold));
static inline void policy_memory_note_use(struct policy_memory *memory, int64_t now_ms)
{
    const uint32_t now_s = (uint32_t)((uint64_t)now_ms / 1000);
    if (memory->used_at_s[memory->tick] != now_s) {
        policy_memory_note_second(memory, now_s);
    }
}

/* --- the word ----------------------------------------------------------------------------------------------------- */

struct policy_word {
    uint16_t tick;
    uint8_t group;
    uint8_t size; /* of policy_size_make */
};

enum {
    POLICY_WORD_GROUP_SHIFT = POLICY_AGE_BITS,
    POLICY_WORD_GROUP_MASK = 31,
    POLICY_WORD_SIZE_SHIFT = POLICY_WORD_GROUP_SHIFT + 5,
    POLICY_WORD_SIZE_MASK = 127,
    POLICY_SIZE_STEPS = 4, /* in a power of two */
};

static inline uint32_t policy_word_make(struct policy_word word)
{
    return word.tick | (uint32_t)word.group << POLICY_WORD_GROUP_SHIFT |
           (uint32_t)word.size << POLICY_WORD_SIZE_SHIFT;
}

static inline struct policy_word policy_word_read(uint32_t word)
{
    return (struct policy_word){
        .tick = word & POLICY_AGE_MAX,
        .group = (word >> POLICY_WORD_GROUP_SHIFT) & POLICY_WORD_GROUP_MASK,
        .size = (word >> POLICY_WORD_SIZE_SHIFT) & POLICY_WORD_SIZE_MASK,
    };
}

uint8_t policy_size_make(size_t bytes);
/* The middle of a step, 1 and an odd number of eighths times the power: made of a float's own exponent and mantissa. */
static inline float policy_size_read(uint8_t size)
{
    enum {
        EXPONENT_ZERO = 127,
        EXPONENT_SHIFT = 23,
        EIGHTHS_SHIFT = 20
    };
    const uint32_t exponent = EXPONENT_ZERO + (uint32_t)size / POLICY_SIZE_STEPS;
    const uint32_t eighths = (uint32_t)size % POLICY_SIZE_STEPS * 2 + 1;
    const uint32_t bits = exponent << EXPONENT_SHIFT | eighths << EIGHTHS_SHIFT;
    float bytes;
    memcpy(&bytes, &bits, sizeof bytes);
    return bytes;
}

/* Group and age are what is kept. Ages are counted in bytes that came in, so what was idle under another policy is of the group
 * of newcomers, and as young. */
uint16_t policy_word_keep(const struct policy_memory *memory, uint32_t word, int64_t now_ms);
uint32_t policy_word_adopt(struct policy_memory *memory, const struct policy_former *former,
                           uint8_t group_new);
uint32_t policy_word_settle(const struct policy_memory *memory, uint32_t word, int64_t now_ms);
int64_t policy_word_idle_ms(const struct policy_memory *memory, uint32_t word, int64_t now_ms);

#endif
