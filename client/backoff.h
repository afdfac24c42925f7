/* SPDX-License-Identifier: BSD-3-Clause */
/* backoff.h -- how long to wait before the next try, and the chance that all of the client's choices draw from.
 *
 * Threads: pure; a state belongs to one thread at a time.
 * Units:   milliseconds. */
#ifndef TERRACE_CLIENT_BACKOFF_H
#define TERRACE_CLIENT_BACKOFF_H

#include <stdint.h>

enum {
    BACKOFF_FIRST_MS = 500,
    BACKOFF_MOST_MS = 2000,
    BACKOFF_JITTER_PERCENT = 20
};

/* SplitMix64 (Steele, Lea and Flood, OOPSLA 2014). Any state is a good one. Not for secrets. */
uint64_t chance_next(uint64_t *state);
uint64_t chance_below(uint64_t *state, uint64_t bound); /* 0 <= n < bound; 0 for bound 0 */

/* Before the nth try again (from 1): 0.5, 1, 2, 2 ... s, each within 20 % by chance, so that clients who lost the same
 * node do not come back as one. */
int64_t backoff_ms(uint64_t *random_state, unsigned nth);
/* The same between other bounds. */
int64_t backoff_between_ms(uint64_t *random_state, int64_t first_ms, int64_t most_ms, unsigned nth);

#endif
