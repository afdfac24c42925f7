/* SPDX-License-Identifier: BSD-3-Clause */
/* negatives.h -- how much of a namespace's memory says that there is nothing.
 *
 * Whoever asks for keys that are made up can have as many negative entries as he likes, and each would push out a value. So
 * they may take one part in NEGATIVES_SHARE of the namespace's memory, and beyond that L1 keeps none: L2 is asked.
 *      None lives longer than NEGATIVES_LIFE_MS. So it suffices to count what was kept in that time, in slots of
 * NEGATIVES_SLOT_MS: what is there is never more than that, whoever leaves earlier.
 *
 * Threads: any. All zeros: none so far.
 * Units:   bytes; milliseconds of clock.h. */
#ifndef TERRACE_TIERS_NEGATIVES_H
#define TERRACE_TIERS_NEGATIVES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    NEGATIVES_SHARE = 20,
    NEGATIVES_LIFE_MS = 60000,
    NEGATIVES_SLOT_MS = 10000,
    NEGATIVES_SLOTS = NEGATIVES_LIFE_MS / NEGATIVES_SLOT_MS + 1 /* the first may be cut */
};

struct negatives {
    /* Which one since the clock began, and bytes; see the .c. */
    _Atomic uint64_t slots[NEGATIVES_SLOTS];
};

/* Whether `bytes` more may be kept, of `bytes_max` that the namespace has; then they count. */
bool negatives_admit(struct negatives *negatives, size_t bytes, size_t bytes_max, int64_t now_ms);

#endif
