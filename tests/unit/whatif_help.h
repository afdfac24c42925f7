/* SPDX-License-Identifier: BSD-3-Clause */
/* whatif_help.h -- a simulator in a lab of its own, and a skewed load. */
#ifndef TERRACE_TESTS_UNIT_WHATIF_HELP_H
#define TERRACE_TESTS_UNIT_WHATIF_HELP_H

#include "tests/unit/l1_help.h"
#include "tiers/whatif_table.h"

#include <math.h>

enum {
    T0 = 1000000,
    SIZE = 86, /* and 14 for the place in the table: 100 bytes an item */
    ITEM = 100,
    SLOTS = 8192,
};

/* Simulators of an L1 that has room for so many items, with the truth as the test counts it. */
struct lab {
    struct arena *arena;
    struct whatif *whatif;
    struct whatif_truth truth;
    size_t items;
    int64_t now_ms;
};

static inline struct lab lab_new(const struct policy *policy, unsigned slots, size_t items)
{
    struct lab lab = {.arena = arena_new(), .items = items, .now_ms = T0};
    assert_non_null(lab.arena);
    lab.whatif = whatif_new(&(struct whatif_options){
        .policy = policy, .arena = lab.arena, .slots = slots, .window = UINT64_MAX, .seed = 1});
    assert_non_null(lab.whatif);
    return lab;
}

static inline void lab_free(struct lab *lab)
{
    whatif_free(lab->whatif);
    arena_close(lab->arena);
}

static inline uint64_t hash_of(uint64_t n)
{
    return (n + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

static inline void note_sized(struct lab *lab, enum whatif_event event, uint64_t key, uint8_t db,
                              size_t size, int64_t expire_at_ms)
{
    lab->truth.hits += event == WHATIF_HIT;
    lab->truth.misses += event == WHATIF_MISS || event == WHATIF_SUSPECT;
    if (hash_of(key) < whatif_limit(lab->whatif)) {
        whatif_note(lab->whatif, &(struct whatif_note){
                                     .event = event,
                                     .db = db,
                                     .hash = hash_of(key),
                                     .size = size,
                                     .expire_at_ms = expire_at_ms,
                                     .now_ms = lab->now_ms,
                                     .full = {.bytes = lab->items * ITEM, .items = lab->items}});
    }
}

static inline void note(struct lab *lab, enum whatif_event event, uint64_t key)
{
    note_sized(lab, event, key, 0, SIZE, 0);
}

/* A request that L1 misses, and the value that is fetched then. */
static inline void fetch(struct lab *lab, uint64_t key)
{
    lab->now_ms += 4; /* a tick of lru */
    note(lab, WHATIF_MISS, key);
    note(lab, WHATIF_WRITE, key);
}

static inline struct whatif_report report_of(const struct lab *lab)
{
    struct whatif_report report;
    whatif_report(lab->whatif, &lab->truth, &report);
    return report;
}

static inline unsigned place_of(const struct policy *policy)
{
    unsigned i = 0;
    while (policy_at(i) != policy) {
        assert_non_null(policy_at(i));
        i++;
    }
    return i;
}

/* The truth that makes a report say what the simulator of the policy counted, and not in proportion to another. */
static inline double counted(struct lab *lab, const struct policy *policy)
{
    const struct whatif_report unscaled = report_of(lab);
    return unscaled.at_policy[place_of(policy)];
}

/* A key drawn with a chance that falls with its number. */
static inline uint64_t skewed(struct rand *rand, uint64_t keys)
{
    return rand_below(rand, rand_below(rand, rand_below(rand, keys) + 1) + 1);
}

#endif
