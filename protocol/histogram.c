/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/histogram.h"

#include <math.h>

enum {
    STEPS = 1 << HISTOGRAM_STEP_BITS
};

/* Below 2 * STEPS a bucket is one nanosecond; above, `shift` low bits are dropped and STEPS .. 2 * STEPS - 1 remain. */
static uint32_t bucket_of(uint64_t ns)
{
    if (ns > HISTOGRAM_MAX_NS) {
        ns = HISTOGRAM_MAX_NS;
    }
    if (ns < STEPS) {
        return (uint32_t)ns;
    }
    uint32_t shift = 63u - (uint32_t)__builtin_clzll(ns) - HISTOGRAM_STEP_BITS;
    return shift * STEPS + (uint32_t)(ns >> shift);
}

static uint64_t bucket_middle(uint32_t bucket)
{
    if (bucket < 2 * STEPS) {
        return bucket;
    }
    uint32_t shift = bucket / STEPS - 1;
    uint64_t low = (uint64_t)(bucket - shift * STEPS) << shift;
    return low + (1ull << shift) / 2;
}

void histogram_record(struct histogram *histogram, uint64_t ns)
{
    histogram->counts[bucket_of(ns)]++;
    if (histogram->count == 0 || ns < histogram->min_ns) {
        histogram->min_ns = ns;
    }
    if (ns > histogram->max_ns) {
        histogram->max_ns = ns;
    }
    histogram->count++;
    histogram->sum_ns += (double)ns;
}

void histogram_add(struct histogram *histogram, const struct histogram *other)
{
    if (other->count == 0) {
        return;
    }
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        histogram->counts[i] += other->counts[i];
    }
    if (histogram->count == 0 || other->min_ns < histogram->min_ns) {
        histogram->min_ns = other->min_ns;
    }
    if (other->max_ns > histogram->max_ns) {
        histogram->max_ns = other->max_ns;
    }
    histogram->count += other->count;
    histogram->sum_ns += other->sum_ns;
}

static uint64_t within(uint64_t ns, uint64_t min_ns, uint64_t max_ns)
{
    if (ns < min_ns) {
        return min_ns;
    }
    return ns > max_ns ? max_ns : ns;
}

uint64_t histogram_quantile_ns(const struct histogram *histogram, double quantile)
{
    if (histogram->count == 0) {
        return 0;
    }
    if (quantile <= 0) {
        return histogram->min_ns;
    }
    double rank = ceil(quantile * (double)histogram->count);
    uint64_t wanted = rank >= (double)histogram->count ? histogram->count : (uint64_t)rank;
    uint64_t seen = 0;
    uint32_t bucket = 0;
    for (; bucket < HISTOGRAM_BUCKETS; bucket++) {
        seen += histogram->counts[bucket];
        if (seen >= wanted) {
            break;
        }
    }
    if (wanted ==
        histogram->count) { /* the longest one is known exactly, even beyond the last bucket */
        return histogram->max_ns;
    }
    return within(bucket_middle(bucket), histogram->min_ns, histogram->max_ns);
}

double histogram_mean_ns(const struct histogram *histogram)
{
    return histogram->count == 0 ? 0 : histogram->sum_ns / (double)histogram->count;
}
