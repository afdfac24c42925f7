/* SPDX-License-Identifier: BSD-3-Clause */
/* whatif_sims.h -- the simulators of whatif.h: who holds which key of the sample, and who has to let it go.
 *
 * One table says for each key who holds it, so a request is one lookup for all of them.
 *
 * Simulators whose policy's word is the time of the last use share one TRACK, a column of words: the time is the same
 * whoever holds the key. The others have tracks of their own, and memories where their policy remembers something.
 *
 * A simulator evicts as L1 does (l1_evict.c): as many candidates from some spans of slots chosen at random, an expired one
 * or else the one with the highest score. Spans have a fixed length, so that where more is held more is seen.
 *
 * Threads: the caller's lock. */
#ifndef TERRACE_TIERS_WHATIF_SIMS_H
#define TERRACE_TIERS_WHATIF_SIMS_H

#include "tiers/base/rand.h"
#include "tiers/policy.h"
#include "tiers/whatif.h"
#include "tiers/whatif_table.h"

enum {
    WHATIF_SIMS_MAX = WHATIF_POLICIES_MAX + WHATIF_SCALES,
    WHATIF_SPAN = 16,
};

struct whatif_track {
    uint16_t sims; /* whose words these are */
    const struct policy *policy;
    struct policy_memory *memory; /* NULL: the policy remembers nothing */
};

struct whatif_sim {
    const struct policy *policy;
    unsigned track;
    double scale;
    size_t budget;
    size_t bytes; /* of the items it holds */
    size_t held;
    uint64_t misses;
};

struct whatif_sims {
    struct whatif_table table; /* its memory is the caller's business */
    struct rand rand;
    /* Simulators 0, 1, ... are those of policy_at; after them those of the scales. */
    unsigned policies;
    unsigned count;
    unsigned own; /* the simulator that is as L1 is */
    uint16_t all; /* the bits of all */
    struct whatif_sim at[WHATIF_SIMS_MAX];
    struct whatif_track tracks[WHATIF_TRACKS];
};

/* All zeros before. NO_MEMORY: whatif_sims_done is to follow all the same. */
enum status whatif_sims_init(struct whatif_sims *sims, struct arena *arena,
                             const struct policy *policy, uint64_t seed) MUST_USE;
void whatif_sims_done(struct whatif_sims *sims);
size_t whatif_sims_bytes(const struct whatif_sims *sims); /* without the table */
/* The policy of the scales. Words that their tracks have had before misjudge an entry until its next use, as in L1. */
void whatif_sims_set_policy(struct whatif_sims *sims, const struct policy *policy);
/* Bytes of the simulators at the present memory; the scales' follow. */
void whatif_sims_set_budget(struct whatif_sims *sims, double bytes);

/* A use by all who hold it. `size` 0: as it was. */
void whatif_sims_touch(struct whatif_sims *sims, int slot, size_t size, int64_t now_ms);
/* The value is another one now, for all who hold it; some may be over their budgets. `fetched`: for them it still expires
 * when it did, since they had no reason to fetch it. */
void whatif_sims_set_value(struct whatif_sims *sims, int slot, size_t size, int64_t expire_at_ms,
                           bool fetched);
/* Makes room, and puts the key in where the bits say; not where the policy finds no room. */
void whatif_sims_admit(struct whatif_sims *sims, unsigned bits, int slot, int64_t now_ms);
/* Makes room in those who hold the key, but keeps that. */
void whatif_sims_shrink(struct whatif_sims *sims, int slot, int64_t now_ms);
/* Nobody holds it any more; the row stays. */
void whatif_sims_end(struct whatif_sims *sims, int slot);
/* Nor does anybody for whom it has expired. */
void whatif_sims_expire(struct whatif_sims *sims, int slot, int64_t now_ms);
void whatif_sims_settle(struct whatif_sims *sims, int slot, int64_t now_ms);

#endif
