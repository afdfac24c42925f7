/* SPDX-License-Identifier: BSD-3-Clause */
/* turnstile.h -- how many reads of L2 a window lets through while L2 has just come back.
 *
 * When L2 was away for longer than the values of L1 may be served, each key that is in use is asked for again at its next
 * read: all of them within a moment, which is what L2 can do least with just then. So the reads that go to L2 are let
 * through at `l2-return-load` percent of the rate that was usual, and the others wait in a row:
 *
 *      calm: the usual rate is learned  --L2 was away for TURNSTILE_AWAY_MS-->  returning: at most so many
 *           ^                                                                         |
 *           +---- nobody had to wait for TURNSTILE_CALM_MS, or TURNSTILE_MOST_MS passed ----+
 *
 * Who may be served what is older (contract.h, `available`) is, in place of waiting; reads in the background stand back.
 *
 * Pure. Units: milliseconds; thousandths of a read, of which there are so many per second. Threads: the window's. */
#ifndef TERRACE_TIERS_TURNSTILE_H
#define TERRACE_TIERS_TURNSTILE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    TURNSTILE_LEAST = 500, /* reads a second: of a window that was hardly used nothing is known */
    TURNSTILE_AWAY_MS = 1000,
    TURNSTILE_CALM_MS = 1000,
    TURNSTILE_MOST_MS = 30000,
    TURNSTILE_TICK_MS = 100,
    TURNSTILE_LEARN_MS = 3000, /* how far back the usual rate goes, about */
    TURNSTILE_ROW_MAX = 16384  /* reads of a window that wait; then reads end with L2_DOWN */
};

struct turnstile {
    int64_t percent; /* of the usual; 0: all are let through */
    int64_t ticked_at_ms;
    int64_t usual; /* per second */
    int64_t left;  /* of this tick */
};

/* So many were answered since the last tick. `calm`: they say what is usual. */
void turnstile_tick(struct turnstile *turnstile, uint64_t reads, bool calm, int64_t now_ms);
bool turnstile_has_room(const struct turnstile *turnstile);
/* false: wait. */
bool turnstile_pass(struct turnstile *turnstile);

#endif
