/* SPDX-License-Identifier: BSD-3-Clause */
/* sampler.h -- what is told that no counter holds: rates of the last moments, how busy the loops are, the peak of memory,
 * and the zero that CONFIG RESETSTAT set.
 *
 * Threads: sampler_tick and sampler_note by one loop (control); the rest by any. */
#ifndef TERRACE_SERVER_SAMPLER_H
#define TERRACE_SERVER_SAMPLER_H

#include "server/series.h"
#include "server/totals.h"

enum sample {
    SAMPLE_COMMANDS,
    SAMPLE_BYTES_IN,
    SAMPLE_BYTES_OUT,
    SAMPLE_KINDS
};
enum {
    SAMPLER_INTERVALS = SERIES_INTERVALS,
    SAMPLER_INTERVAL_MS = 100,
    SAMPLER_WORKERS_MAX = 128
};

struct sampler;

struct sampler *sampler_new(void); /* NULL: no memory */
void sampler_free(struct sampler *sampler);

/* Takes a sample of everything if the last one is old enough. Call it every 100 ms or more often. */
void sampler_tick(struct sampler *sampler, const struct node *node, int64_t now_ms);

/* The arithmetic alone: `total` is what the counter says now. */
void sampler_note(struct sampler *sampler, enum sample kind, int64_t now_ms, uint64_t total);
uint64_t sampler_rate(const struct sampler *sampler, enum sample kind); /* per second */

/* The share of the last second or so in which a worker's loop was not waiting, 0..1. false: not known, since the loop
 * does not measure (UV_METRICS_IDLE_TIME) or is too young. */
bool sampler_busy(const struct sampler *sampler, unsigned worker, double *ret_ratio);
/* The arithmetic alone: `idle_ns` is what the loop has waited since it began. */
void sampler_note_idle(struct sampler *sampler, unsigned worker, uint64_t now_ns, uint64_t idle_ns);

void sampler_note_memory(struct sampler *sampler, size_t bytes);
size_t sampler_memory_peak(const struct sampler *sampler);

void sampler_zero(struct sampler *sampler, struct totals *ret_zero);
void sampler_set_zero(struct sampler *sampler,
                      const struct totals *zero); /* the peak of memory begins anew, too */

#endif
