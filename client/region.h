/* SPDX-License-Identifier: BSD-3-Clause */
/* region.h -- which of the regions is the current one: the best that is not down, but a better one only after it has proved
 * itself for the hold-down. (The rule stands in cluster.h.)
 *
 * Threads: one at a time.
 * Units:   milliseconds of the clock of cluster.h. */
#ifndef TERRACE_CLIENT_REGION_H
#define TERRACE_CLIENT_REGION_H

#include "client/cluster.h"

struct region {
    char name[CLUSTER_REGION_NAME_MAX + 1];
    unsigned priority; /* the least is the best; of equals the first of the list */
    unsigned up; /* how many of its endpoints are: counted by the owner before regions_settle */
    unsigned unknown;
    int64_t proved_at_ms; /* since then one was UP at every moment; -1: none is */
};

struct regions {
    struct region all[CLUSTER_REGIONS_MAX];
    unsigned count;
    unsigned current;
    bool is_pinned; /* by hand */
    bool is_forced;
    int64_t hold_down_ms;
};

enum region_move {
    REGION_STAYS,
    REGION_FAILOVER, /* the one that was current is DOWN */
    REGION_FAILBACK  /* a better one has proved itself */
};

/* The health of some endpoint changed, or time passed. *ret_from: the one that was current. */
enum region_move regions_settle(struct regions *regions, int64_t now_ms, unsigned *ret_from);
/* When regions_settle is to be called though nothing changed; INT64_MAX: need not be. */
int64_t regions_settle_at_ms(const struct regions *regions);

bool region_is_down(const struct region *region);
int regions_find(const struct regions *regions, const char *name); /* -1: there is none */

#endif
