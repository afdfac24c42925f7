/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/policy_learn.h"

#include <math.h>
#include <string.h>

/* Where the bins of ages begin, each about a third wider than the one before, from 32 on at multiples of 8. */
static const uint16_t age_begins[LEARN_AGES + 1] = {0,   1,   2,   3,   4,
                                                    5,   6,   8,   11,  15,
                                                    20,  25,  32,  40,  56,
                                                    72,  96,  128, 168, 224,
                                                    288, 384, 504, 704, POLICY_AGE_MAX + 1};

#define PRIOR_USES 20.0F
/* A group is computed up to 32 times in a turnover: 0.987^32 = 0.66. */
#define FADE 0.987F

const uint8_t policy_learn_bins_fine[LEARN_AGES_FINE] = {0,  1,  2,  3,  4,  5,  6,  6,  7,  7,  7,
                                                         8,  8,  8,  8,  9,  9,  9,  9,  9,  10, 10,
                                                         10, 10, 10, 11, 11, 11, 11, 11, 11, 11};
const uint8_t policy_learn_bins[(POLICY_AGE_MAX + 1) / LEARN_AGES_STEP] = {
    0,  7,  9,  10, 12, 13, 13, 14, 14, 15, 15, 15, 16, 16, 16, 16, 17, 17, 17, 17, 17, 18,
    18, 18, 18, 18, 18, 18, 19, 19, 19, 19, 19, 19, 19, 19, 20, 20, 20, 20, 20, 20, 20, 20,
    20, 20, 20, 20, 21, 21, 21, 21, 21, 21, 21, 21, 21, 21, 21, 21, 21, 21, 21, 22, 22, 22,
    22, 22, 22, 22, 22, 22, 22, 22, 22, 22, 22, 22, 22, 22, 22, 22, 22, 22, 22, 22, 22, 22,
    23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 23,
    23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 23};

const uint8_t policy_learn_waits[LEARN_AGES] = {0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2,
                                                3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3};

uint16_t policy_learn_age_begin(unsigned bin)
{
    return age_begins[bin];
}

void policy_learn_newcomer(struct policy_learn *learn)
{
    learn->newcomers += 1;
}

/* --- what follows from it ----------------------------------------------------------------------------------------- */

struct waits {
    float begun;             /* waits of this group */
    float ended[LEARN_AGES]; /* of these, by age */
};

static float width_of(unsigned bin)
{
    return (float)(age_begins[bin + 1] - age_begins[bin]);
}

/* Of waits that nothing is known of: the share that lasts longer than t turnovers is (1 + t)^(-uses / 4). */
static void add_prior(struct waits *waits, uint8_t group)
{
    float lasting = 1;
    for (unsigned bin = 0; bin < LEARN_AGES; bin++) {
        const float turnovers = (float)age_begins[bin + 1] / POLICY_TICKS_PER_TURNOVER;
        const float root = sqrtf(sqrtf(1 / (1 + turnovers)));
        float longer = root;
        for (unsigned i = 0; i < group % LEARN_USES; i++) {
            longer *= root;
        }
        waits->ended[bin] += PRIOR_USES * (lasting - longer);
        lasting = longer;
    }
    waits->begun += PRIOR_USES;
}

/* Uses that led into the group: one use fewer, or already the most, after a wait of its bin. */
static float begun(const struct policy_learn *learn, uint8_t group)
{
    if (group == LEARN_GROUP_NEW) {
        return learn->newcomers;
    }
    const unsigned count = group % LEARN_USES;
    const unsigned wait = group / LEARN_USES;
    float sum = 0;
    for (unsigned before = count == 0 ? LEARN_USES : count - 1;
         before <= count && before < LEARN_USES; before++) {
        if (before == count && count != LEARN_USES - 1) {
            break;
        }
        for (unsigned w = 0; w < LEARN_WAITS; w++) {
            for (unsigned bin = 0; bin < LEARN_AGES; bin++) {
                sum +=
                    policy_learn_waits[bin] == wait ? learn->uses[w * LEARN_USES + before][bin] : 0;
            }
        }
    }
    return sum;
}

/* cost[a] = min over spans from a: time in the place / hits. Counts fade, so that more may seem to have ended than to
 * have begun: of a thousand waits one lasts for ever. */
static void costs_of(const struct waits *waits, float *cost)
{
    float time[LEARN_AGES];
    float lasting = waits->begun;
    const float least = waits->begun / 1000;
    for (unsigned bin = 0; bin < LEARN_AGES; bin++) {
        float after = lasting - waits->ended[bin];
        after = after > least ? after : least;
        time[bin] = (lasting + after) / 2 * width_of(bin);
        lasting = after;
    }
    for (unsigned from = 0; from < LEARN_AGES; from++) {
        float hits = 0;
        float spent = 0;
        float best_hits = 0;
        float best_spent = 1;
        for (unsigned bin = from; bin < LEARN_AGES; bin++) {
            hits += waits->ended[bin];
            spent += time[bin];
            if (hits * best_spent > best_hits * spent) {
                best_hits = hits;
                best_spent = spent;
            }
        }
        cost[from] = best_spent / (best_hits > 1e-9F ? best_hits : 1e-9F);
    }
}

void policy_learn_compute(struct policy_learn *learn, uint8_t group)
{
    struct waits waits = {.begun = begun(learn, group)};
    memcpy(waits.ended, learn->uses[group], sizeof waits.ended);
    add_prior(&waits, group);
    costs_of(&waits, learn->cost[group]);
    for (unsigned bin = 0; bin < LEARN_AGES; bin++) {
        learn->uses[group][bin] *= FADE;
    }
    if (group == LEARN_GROUP_NEW) {
        learn->newcomers *= FADE;
    }
}

void policy_learn_init(struct policy_learn *learn)
{
    *learn = (struct policy_learn){.newcomers = 0};
    for (unsigned group = 0; group < LEARN_GROUPS; group++) {
        policy_learn_compute(learn, (uint8_t)group);
    }
}
