/* SPDX-License-Identifier: BSD-3-Clause */
/* histogram.h -- how often each time span was seen: latencies, ages.
 *
 * Log-linear, after the idea of Gil Tene's HdrHistogram: each power of two is cut into 128 equal steps, so a bucket is
 * never wider than 1/128 of its values and its middle is within 0.4 % of any of them. Recording is two shifts and an
 * addition; no memory is asked for after the struct exists.
 *
 * It does NOT know when a request should have been sent: whoever records decides where a latency begins, and that is
 * where coordinated omission is made or avoided (load.h).
 *
 * Threads: one at a time.
 * Units:   nanoseconds.
 * Limits:  HISTOGRAM_MAX_NS; what is longer counts in the last bucket, and `max_ns` still says how long it was. */
#ifndef TERRACE_PROTOCOL_HISTOGRAM_H
#define TERRACE_PROTOCOL_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_MAX_NS 100000000000ull /* 100 s */

enum {
    HISTOGRAM_STEP_BITS = 7,
    HISTOGRAM_BUCKETS = 3968
};

/* All zeros is an empty histogram. */
struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t count;
    uint64_t min_ns; /* meaningful when count > 0 */
    uint64_t max_ns;
    double sum_ns;
};

void histogram_record(struct histogram *histogram, uint64_t ns);
void histogram_add(struct histogram *histogram, const struct histogram *other);
/* The latency that the part `quantile` (0 .. 1) of all recorded ones does not exceed; 0 when empty. */
uint64_t histogram_quantile_ns(const struct histogram *histogram, double quantile);
double histogram_mean_ns(const struct histogram *histogram);

#endif
