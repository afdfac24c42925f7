/* SPDX-License-Identifier: BSD-3-Clause */
/* propagation.h -- `terrace-bench --propagation`: how long after a write was acknowledged another node serves the old
 * value.
 *
 * A sample: a node must hold a key in L1, fresh by its own words (CACHE.EXPLAIN). It is asked for that key every
 * `poll_us` on one connection, without waiting for replies. When two polls have brought the old value, the key is SET
 * elsewhere (at the first of --targets, or at --redis) on another connection. Polls end with the first new value.
 *
 *      write sent      acknowledged (a)        last poll, old value    first poll, new value (n)
 *      ----|----------------|------------------------|-------------------------|---------> when polls were sent
 *
 * `after_ack` is n - a: whoever asks from then on gets the new value. It is an upper bound, at most one gap between
 * polls (`resolution`) too long; 0 if n <= a. n is taken after the poll's send, a when the acknowledgement was read.
 * `since_sent` is n - the write's sending, so a late look at the acknowledgement cannot flatter it. `answered` is when
 * the new value was in our hands - a, so it holds the node's read from L2 too.
 *
 * Threads: one. Clock: CLOCK_MONOTONIC, read by one process.
 * Errors:  INVALID, CLOSE, MALFORMED, NO_MEMORY with one line in `error`; a read that goes back to the old value is one. */
#ifndef TERRACE_BENCH_PROPAGATION_H
#define TERRACE_BENCH_PROPAGATION_H

#include "bench/options.h"
#include "bench/pool.h"
#include "protocol/histogram.h"

struct propagation_result {
    struct histogram after_ack;
    struct histogram since_sent;
    struct histogram answered;
    struct histogram resolution;
    uint64_t samples;
    uint64_t at_ack; /* of them: new before or at the acknowledgement */
    uint64_t polls;
    uint32_t readers;
    bool interrupted;
    char error[400];
};

enum status propagation_run(const struct options *options, const struct greeting *greeting,
                            int signals, struct propagation_result *result) MUST_USE;
enum status propagation_report(FILE *out, const struct options *options,
                               const struct propagation_result *result) MUST_USE;

#endif
