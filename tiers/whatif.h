/* SPDX-License-Identifier: BSD-3-Clause */
/* whatif.h -- the hit ratio that an L1 would have with another memory, or under another policy.
 *
 * Simulators, one for each policy at the present memory and one each at half, twice and four times of it under the policy
 * in force, follow the requests for a sample of the keys. They hold no values, only what a policy goes by: size, expiry,
 * and the policy's word. The policies are the ones that L1 itself runs (policy.h), with memories of their own.
 *
 * The sample is spatial (SHARDS, Waldspurger et al., FAST'15): keys whose hash is below a limit, all requests for these
 * keys, and budgets that are as much smaller as the sample is. It is of fixed size: the limit falls by half when the
 * table, or what L1 will hold when it is full, asks for it, and rises when L1 turns out to hold far fewer items. So a
 * cache of a few thousand items is simulated in full, and one of millions by a few thousand.
 *
 *      whatif_note(HIT | MISS | SUSPECT)    a request. Who does not hold the key misses; on a HIT the value enters there too,
 *                                           as it would have been fetched
 *      whatif_note(WRITE)                   a value came. After a MISS it is taken for the answer to that: for those who held
 *                                           the key the write would not have been
 *      whatif_note(REFRESH)                 a value was read anew in the background
 *      whatif_note(END)                     the key was removed or has changed
 *
 * What is reported is the share of misses that L1 had in truth, times the misses of a simulator over those of the one that
 * is as L1 is: what the sample and the simulation get wrong alike falls out, such as a hot key more or less in it.
 * Counts fade: they are halved each time the sample has had so many requests (`window`), so the last ones count most.
 *
 * Does NOT know suspects in larger caches: where L1 holds nothing for a key, a simulator that does takes it for good.
 *
 * Owns:    its table, pages of the arena, and the memories of its policies.
 * Threads: the caller's lock.
 * Units:   bytes; milliseconds of clock.h.
 * Limits:  WHATIF_SLOTS_MAX keys; a limit that falls walks them all once, some 300 microseconds.
 * Errors:  without memory for the table it counts nothing, and tries again. */
#ifndef TERRACE_TIERS_WHATIF_H
#define TERRACE_TIERS_WHATIF_H

#include "tiers/arena.h"
#include "tiers/policy.h"

enum {
    WHATIF_SLOTS_MIN = 64,
    WHATIF_SLOTS_LEAST = 512, /* by themselves: less says nothing */
    WHATIF_SLOTS_MAX = 32768,
    WHATIF_POLICIES_MAX = 13,
    WHATIF_SCALES = 3,
    WHATIF_WINDOW = 1 << 17, /* requests */
};

extern const double whatif_scales[WHATIF_SCALES]; /* 0.5, 2, 4 */

struct whatif;

struct whatif_options {
    const struct policy *policy; /* in force */
    struct arena *arena;         /* borrowed */
    unsigned slots;              /* a power of two, WHATIF_SLOTS_MIN..WHATIF_SLOTS_MAX */
    uint64_t window;             /* 0: WHATIF_WINDOW */
    uint64_t seed;
};

struct whatif *whatif_new(const struct whatif_options *options); /* NULL: no memory */
void whatif_free(struct whatif *whatif);
/* As many as cost a hundredth of the memory at most; 0: it is too little for any. */
unsigned whatif_slots_for(size_t bytes_max);
size_t whatif_memory_least(void); /* for which there are some */
unsigned whatif_slots(const struct whatif *whatif);
size_t whatif_bytes(const struct whatif *whatif); /* of the arena */

/* Only keys whose hash is below this need to be noted. */
uint64_t whatif_limit(const struct whatif *whatif);

enum whatif_event {
    WHATIF_HIT,
    WHATIF_MISS,
    WHATIF_SUSPECT, /* a miss, since the value that is held may be old */
    WHATIF_WRITE,
    WHATIF_REFRESH,
    WHATIF_END
};

/* What L1 will hold of the keys that are sampled from, when it is full, as far as can be told. */
struct whatif_full {
    size_t bytes; /* of items and their places in the table */
    size_t items;
};

struct whatif_note {
    enum whatif_event event;
    uint8_t db;
    uint64_t hash;
    size_t size;          /* HIT, WRITE, REFRESH: footprint of the item */
    int64_t expire_at_ms; /* as size; 0: never */
    int64_t now_ms;
    struct whatif_full full; /* HIT, WRITE */
};
void whatif_note(struct whatif *whatif, const struct whatif_note *note);
void whatif_flush(struct whatif *whatif, int db); /* -1: all */
/* Housekeeping: a few rows of it. Words are settled (policy.h) if this is called ten times a second. */
void whatif_sweep(struct whatif *whatif, int64_t now_ms);
/* The policy in force has changed. Contents stay, counts begin anew. */
void whatif_set_policy(struct whatif *whatif, const struct policy *policy);

/* What L1 itself has counted, ever. */
struct whatif_truth {
    uint64_t hits;
    uint64_t misses;
};
/* Whether the window is full: then whatif_fade is to follow. */
bool whatif_is_due(const struct whatif *whatif);
void whatif_fade(struct whatif *whatif, const struct whatif_truth *truth);
/* Counts begin now. */
void whatif_restart(struct whatif *whatif, const struct whatif_truth *truth);

struct whatif_report {
    uint64_t requests;           /* of the sample, in the counts; 0: nothing is known yet */
    double share;                /* of the keys that are sampled from, in the sample */
    const struct policy *policy; /* in force */
    double hit_ratio;            /* as it was */
    double simulated;            /* the same, as the simulator that is as L1 is has it */
    double at_scale[WHATIF_SCALES];
    double at_policy[WHATIF_POLICIES_MAX]; /* in the order of policy_at */
};
void whatif_report(const struct whatif *whatif, const struct whatif_truth *truth,
                   struct whatif_report *ret);

#endif
