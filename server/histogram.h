/* SPDX-License-Identifier: BSD-3-Clause */
/* histogram.h -- how long the calls of one command took, over all workers: what LATENCY HISTOGRAM, INFO latencystats and
 * /metrics show.
 *
 * Threads: any; workers go on counting meanwhile. */
#ifndef TERRACE_SERVER_HISTOGRAM_H
#define TERRACE_SERVER_HISTOGRAM_H

#include "server/account.h"

struct histogram {
    uint64_t calls;
    uint64_t nsec;                         /* of all together */
    unsigned filled;                       /* durations that were seen */
    uint64_t durations[COMMAND_DURATIONS]; /* at most 1024, 2048, 4096 ... ns */
};

void histogram_read(const struct node *node, const struct command *command, struct histogram *ret);
/* Adds the calls of another one, but for `filled`. */
void histogram_add(struct histogram *sum, const struct histogram *histogram);
/* The duration that `share` (0 to 1) of the calls did not exceed, rounded up to a power of two, in microseconds. 0: no
 * calls. */
double histogram_percentile_usec(const struct histogram *histogram, double share);

#endif
