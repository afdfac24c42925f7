/* SPDX-License-Identifier: BSD-3-Clause */
/* metrics.h -- numbers that every thread counts for itself and anybody may sum.
 *
 * metrics.def lists them once: METRIC(id, type, "prometheus name", "labels", "help"). The server prints them at /metrics
 * and picks from them for INFO. Gauges that are computed when asked live in the server's part of the table.
 *
 * Threads: a struct metrics is written by one thread (relaxed, no lock prefix) and read by any. */
#ifndef TERRACE_TIERS_BASE_METRICS_H
#define TERRACE_TIERS_BASE_METRICS_H

#include "tiers/base/count.h"

enum metric {
#define METRIC(id, type, name, labels, help) id,
#include "tiers/base/metrics.def"
#undef METRIC
    METRIC_COUNT
};

struct metrics {
    _Atomic uint64_t values[METRIC_COUNT];
};

static inline void metrics_add(struct metrics *metrics, enum metric id, uint64_t n)
{
    count_add(&metrics->values[id], n);
}

static inline void metrics_count(struct metrics *metrics, enum metric id)
{
    metrics_add(metrics, id, 1);
}

static inline uint64_t metrics_read(const struct metrics *metrics, enum metric id)
{
    return atomic_load_explicit(&metrics->values[id], memory_order_relaxed);
}

#endif
