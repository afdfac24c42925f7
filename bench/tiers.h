/* SPDX-License-Identifier: BSD-3-Clause */
/* tiers.h -- what the server itself says about hits, tier by tier.
 *
 * Read from INFO before and after a run; the difference is the run's. A terraced says l1_hits, l1_misses (section L1)
 * and l2_reads, l2_hits, l2_misses (section L2); a plain Redis says keyspace_hits and keyspace_misses only. The figures
 * are the server's: whoever else asks it meanwhile is in them.
 *
 * Threads: pure, but for tiers_ask, which opens a connection of its own and waits for the answer. */
#ifndef TERRACE_BENCH_TIERS_H
#define TERRACE_BENCH_TIERS_H

#include "bench/pool.h"

struct tiers {
    bool has_l1;
    bool has_l2;
    bool has_keyspace;
    uint64_t l1_hits;
    uint64_t l1_misses;
    uint64_t l2_reads;
    uint64_t l2_hits;
    uint64_t l2_misses;
    uint64_t keyspace_hits;
    uint64_t keyspace_misses;
};

struct tier_ratios {
    double l1; /* all three: negative when the server says nothing about it */
    double l2;
    double overall;
};

void tiers_parse(struct slice info, struct tiers *ret_tiers);
struct tier_ratios tiers_ratios(const struct tiers *before, const struct tiers *after);
/* CLOSE: not reachable, or INFO was refused. */
enum status tiers_ask(const struct target *target, const struct greeting *greeting,
                      struct tiers *ret_tiers) MUST_USE;

#endif
