/* SPDX-License-Identifier: BSD-3-Clause */
/* policy_learn.h -- how soon keys come again, learned from what they do; and from that, what a place is worth.
 *
 * Every use puts an entry into a GROUP: how many uses it has had (1, 2, .. 8 and more) and how long the last wait between
 * two of them was (4 bins). Its AGE is the time since that use. Both are known again when an evicted key returns and the
 * ghost (policy_ghost.h) still knows it, so waits are seen whether they end in a hit or in a miss: what is learned does
 * not depend on what was evicted.
 *
 * Of these waits a table is kept, uses by group and age. The worth of a place whose entry has group c and age a is
 *
 *      max over T > a:  P(it is used before age T | not before a)  /  E(time until then, or until T | ...)
 *
 * the hits per unit of time that it earns if kept for the best span (the Gittins index of the wait; as hit density in
 * LHD, NSDI'18, but for the best span, not for the one that it got). A scan's entries are soon worth nothing, those of a
 * loop the more the older they get.
 *
 * A prior (older is worse, oftener used is better) stands for what was not seen yet, with the weight of 20 uses.
 *
 * Counts fade by a third in a turnover. Work is spread: one group is computed anew at a time.
 *
 * Threads: under the shard's lock, as all of policy_memory.h. */
#ifndef TERRACE_TIERS_POLICY_LEARN_H
#define TERRACE_TIERS_POLICY_LEARN_H

#include "tiers/policy_age.h"

#include <stdint.h>

enum {
    LEARN_USES = 8,
    LEARN_WAITS = 4,
    LEARN_GROUPS = LEARN_USES * LEARN_WAITS, /* group = uses - 1 + wait * LEARN_USES */
    LEARN_GROUP_NEW = (LEARN_WAITS - 1) * LEARN_USES,
    LEARN_AGES = 24,
    LEARN_AGES_FINE = 32,
    LEARN_AGES_STEP = 8,
};

struct policy_learn {
    /* The inverse of what a place is worth: uses of a tick that it takes to earn a hit. */
    float cost[LEARN_GROUPS][LEARN_AGES];
    float uses[LEARN_GROUPS][LEARN_AGES]; /* after such a wait */
    float newcomers; /* into LEARN_GROUP_NEW; those into other groups are sums of `uses` */
};

void policy_learn_init(struct policy_learn *learn);

void policy_learn_newcomer(struct policy_learn *learn);
/* Computes the costs of one group from what was seen, and lets that fade a little. */
void policy_learn_compute(struct policy_learn *learn, uint8_t group);

/* The bin of each age below LEARN_AGES_FINE, and of each step from there on: a score must not search. */
extern const uint8_t policy_learn_bins_fine[LEARN_AGES_FINE];
extern const uint8_t policy_learn_bins[(POLICY_AGE_MAX + 1) / LEARN_AGES_STEP];
static inline unsigned policy_learn_age_bin(uint16_t age)
{
    return age < LEARN_AGES_FINE ? policy_learn_bins_fine[age]
                                 : policy_learn_bins[age / LEARN_AGES_STEP];
}
uint16_t policy_learn_age_begin(unsigned bin);       /* the first age in it */
extern const uint8_t policy_learn_waits[LEARN_AGES]; /* the bin of waits of each bin of ages */

/* The group of an entry of `group` after one more use at `age` ticks. */
static inline uint8_t policy_learn_group_after(uint8_t group, uint16_t age)
{
    const unsigned uses = group % LEARN_USES;
    const unsigned wait = policy_learn_waits[policy_learn_age_bin(age)];
    return (uint8_t)(uses + (uses < LEARN_USES - 1) + wait * LEARN_USES);
}
/* A use after a wait, by a hit or a return. Writes one cache line. */
static inline void policy_learn_use(struct policy_learn *learn, uint8_t group, uint16_t age)
{
    learn->uses[group][policy_learn_age_bin(age)] += 1;
}
static inline float policy_learn_cost(const struct policy_learn *learn, uint8_t group, uint16_t age)
{
    return learn->cost[group][policy_learn_age_bin(age)];
}

#endif
