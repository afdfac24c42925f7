/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/join_pace.h"

enum {
    PART_OF_READS = 8,
    PART_AT_MOST = 2, /* however near the deadline is */
    PART_READY = 2,   /* of its rate, whatever its clients miss */
    MS_PER_S = 1000,
};

/* What makes the node ready in time. */
static double in_time(const struct join_pace *pace)
{
    const double deadline_s = (double)pace->deadline_ms / MS_PER_S;
    return pace->reads_per_s > 0 ? (double)pace->to_target * 3 / 2 / deadline_s
                                 : (double)pace->keys * 3 / deadline_s;
}

uint64_t join_pace_until_ready(const struct join_pace *pace)
{
    double rate = pace->reads_per_s / PART_OF_READS;
    if (pace->deadline_ms > 0) {
        const double needed = in_time(pace);
        const double most = pace->reads_per_s > 0 ? pace->reads_per_s / PART_AT_MOST : needed;
        const double wanted = needed < most ? needed : most;
        rate = wanted > rate ? wanted : rate;
    }
    return rate > JOIN_RATE_LEAST ? (uint64_t)rate : JOIN_RATE_LEAST;
}

uint64_t join_pace_when_ready(const struct join_pace *pace, uint64_t misses_per_s)
{
    const uint64_t rate = join_pace_until_ready(pace);
    const uint64_t least = rate / PART_READY + 1;
    return rate > misses_per_s + least ? rate - misses_per_s : least;
}
