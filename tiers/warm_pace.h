/* SPDX-License-Identifier: BSD-3-Clause */
/* warm_pace.h -- how fast warming may go: arithmetic that is told the time.
 *
 * Keys and bytes each have a bucket that fills at its rate and holds what WARM_BURST_MS bring (one key at least). A key takes
 * one of the first before it is asked for; its bytes are known only when they are here, so they are taken afterwards, below
 * nothing if need be, and no key begins before that debt is paid off.
 *
 * YIELDING: a factor of both rates. Each WARM_YIELD_MS it is told how the foreground fares. If that is worse than a target
 * the factor halves, not below WARM_FACTOR_MIN, so that warming always goes on a little and can be seen to be slow; else it
 * grows by a tenth of itself, up to 1: after one bad second it takes 8 good ones to be where it was.
 *
 * A pace without a limit (0) has no factor either: whoever must yield has a limit. An engine has one pace for all, which
 * yields, and each of its runs one for itself, which does not.
 *
 * Threads: one at a time.
 * Units:   milliseconds of any clock that does not go back; keys and bytes per second; microseconds of load. */
#ifndef TERRACE_TIERS_WARM_PACE_H
#define TERRACE_TIERS_WARM_PACE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    WARM_BURST_MS = 100,
    WARM_YIELD_MS = 1000,
};
#define WARM_FACTOR_MIN  (1.0 / 256)
#define WARM_FACTOR_GROW 1.1

struct warm_bucket {
    uint64_t rate; /* per second; 0: no limit */
    double level;  /* below 0: debt */
};

struct warm_pace {
    struct warm_bucket keys;
    struct warm_bucket bytes;
    double factor;
    int64_t filled_at_ms;
    int64_t yielded_at_ms;
};

/* What the foreground feels. -1: not known; a target of 0: none. */
struct warm_load {
    int64_t p99_us;
    int64_t p99_target_us;
    int64_t l2_us; /* a round trip */
    int64_t l2_target_us;
};

/* Begins with empty buckets and a factor of 1. */
void warm_pace_init(struct warm_pace *pace, uint64_t keys_per_s, uint64_t bytes_per_s,
                    int64_t now_ms);
/* Other limits from now on; debt and factor stay. */
void warm_pace_set(struct warm_pace *pace, uint64_t keys_per_s, uint64_t bytes_per_s);
/* WARM_YIELD_MS have passed since it was told. */
bool warm_pace_is_due(const struct warm_pace *pace, int64_t now_ms);
void warm_pace_yield(struct warm_pace *pace, const struct warm_load *load, int64_t now_ms);
/* How many of `want` keys may begin now; looks only. */
unsigned warm_pace_room(struct warm_pace *pace, unsigned want, int64_t now_ms);
/* So many have begun. */
void warm_pace_take(struct warm_pace *pace, unsigned keys);
/* So many bytes came. */
void warm_pace_charge(struct warm_pace *pace, uint64_t bytes);
double warm_pace_factor(const struct warm_pace *pace); /* WARM_FACTOR_MIN to 1 */

#endif
