/* SPDX-License-Identifier: BSD-3-Clause */
/* dictionary_desk.h -- what a window asks L2 about dictionaries (dictionary.h).
 *
 * Every window reads those that its values need: one question at a time, for all who wait. One window of the node also looks,
 * for each space, which one is current, on first use, every DESK_LOOK_MS and after each change of the bus' generation; and
 * brings in what was learned here:
 *
 *      HGET current -> unknown here: read it, then use it; it cannot be read: remove it
 *                   -> nothing, and one is current here (Redis was emptied): bring it in again
 *                   -> known; samples are full: train; better: bring it in (scripts/dictionary.lua), use it
 *
 * The script brings one in only if `current` is still what the node saw: of two nodes one wins, and the other looks again.
 * What a value was written with was in L2 before, so who reads it finds it there; if it does not (somebody removed it, or
 * wrote other bytes), that is remembered for DESK_LOOK_MS, and the value is a miss.
 *
 * Owns:    itself; a waiter is borrowed until on_known.
 * Threads: the window's.
 * Limits:  DESK_WANTED_MAX different ones at once; for more the answer is MISS. */
#ifndef TERRACE_TIERS_DICTIONARY_DESK_H
#define TERRACE_TIERS_DICTIONARY_DESK_H

#include "tiers/base/list.h"
#include "tiers/dictionary.h"

enum {
    DESK_LOOK_MS = 10000,
    DESK_WANTED_MAX = 16,
};

struct desk;
struct tiers_window;

struct desk_waiter {
    /* Exactly once, never from inside: look again, it is known now or will not be soon. */
    void (*on_known)(struct desk_waiter *waiter);
    struct list in_desk; /* private */
    const struct dictionary_space *space;
    uint64_t number;
};

struct desk *desk_new(struct tiers_window *window); /* NULL: no memory */
void desk_free(struct desk *desk);                  /* after its links */
void desk_tick(struct desk *desk);

/* One that is not known here. AGAIN: it is asked for, and desk_wait may follow. MISS: it is not to be had at present. */
enum status desk_want(struct desk *desk, struct dictionary_space *space, uint64_t number) MUST_USE;
void desk_wait(struct desk *desk, const struct dictionary_space *space, uint64_t number,
               struct desk_waiter *waiter);

#endif
