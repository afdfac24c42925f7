/* SPDX-License-Identifier: BSD-3-Clause */
/* totals.h -- the counters of all loops and of L1, added up at one moment.
 *
 * Counters never go back: Prometheus wants them so. CONFIG RESETSTAT moves the zero that INFO counts from instead: a
 * copy of the totals, kept in the sampler.
 *
 * Threads: any. */
#ifndef TERRACE_SERVER_TOTALS_H
#define TERRACE_SERVER_TOTALS_H

#include "tiers/base/metrics.h"
#include "tiers/l1.h"

struct node;

struct totals {
    uint64_t metrics[METRIC_COUNT];
    struct l1_stats l1;
};

void totals_read(const struct node *node, struct totals *ret_totals); /* since the start */
void totals_since_reset(const struct node *node, struct totals *ret_totals);
/* CONFIG RESETSTAT: INFO's counters, command and error counters, peaks begin anew. A command that runs on another
 * worker at this very moment may keep its count. */
void totals_reset(struct node *node);

#endif
