/* SPDX-License-Identifier: BSD-3-Clause */
/* order.h -- what is certain about the order of the writes of one key.
 *
 * A write took effect at one moment of its span [low, high]. Of two writes one is certainly older if its span ends
 * before the other's begins; where spans overlap nothing is certain and nobody is accused.
 *
 * STAIRS hold the writes that certainly happened, by the moment at which that was known (completed), and only those
 * that begin later than all before them: both columns rise. What has `high` below a step's `low` was certainly
 * overwritten when the step completed, so the first such step tells since when.
 *
 * SPANS hold the times at which nothing may have taken the place of the value: deletions, flushes, ends of lives. They
 * are sorted by low; `most` is the highest high so far, so that "is there one that began by then and is not older than
 * that" is one search.
 *
 * Owns:    its memory. All zeros: nothing was ever written.
 * Threads: one.
 * Units:   nanoseconds.
 * Errors:  NO_MEMORY. */
#ifndef TERRACE_CLIENT_CHECK_ORDER_H
#define TERRACE_CLIENT_CHECK_ORDER_H

#include "protocol/status.h"

#include <stdint.h>

struct step {
    uint64_t completed_ns;
    uint64_t low_ns;
    uint64_t value; /* who */
};

struct stairs {
    struct step *steps;
    uint32_t head;
    uint32_t count;
    uint32_t capacity;
};

struct span {
    uint64_t low_ns;
    uint64_t high_ns;
    uint64_t most_ns;
    uint64_t value; /* the DELETE, or the SET whose life ends */
};

struct spans {
    struct span *spans;
    uint32_t head;
    uint32_t count;
    uint32_t capacity;
};

void stairs_done(struct stairs *stairs);
/* Completions come in order. Steps that completed before `keep_ns` go, but for the newest of them. */
enum status stairs_push(struct stairs *stairs, struct step step, uint64_t keep_ns) MUST_USE;
/* The first step that begins after `high_ns`; NULL: none. */
const struct step *stairs_above(const struct stairs *stairs, uint64_t high_ns);
/* The beginning of the newest step that completed before `time_ns`; 0: none. */
uint64_t stairs_low(const struct stairs *stairs, uint64_t time_ns);

void spans_done(struct spans *spans);
enum status spans_add(struct spans *spans, struct span span) MUST_USE;
void spans_set_high(struct spans *spans, uint64_t low_ns, uint64_t value, uint64_t high_ns);
void spans_trim(struct spans *spans, uint64_t low_ns); /* drops from the front what ends before */
/* The highest end of all that began by then; 0: only the time before the first write. */
uint64_t spans_most(const struct spans *spans, uint64_t begun_by_ns);
/* The lowest beginning of what does not end before `high_ns`; 0 when that is the time before the first write. */
uint64_t spans_low(const struct spans *spans, uint64_t high_ns);

#endif
