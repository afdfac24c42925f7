/* SPDX-License-Identifier: BSD-3-Clause */
/* zones.h -- is the history of one register linearizable?
 *
 * When every write writes a value of its own, a read names its write, and the question is easy (Gibbons and Korach,
 * Testing Shared Memories, SIAM J. Comput. 26(4), 1997, section 4). A write and its reads are a CLUSTER; in any
 * linearization they stand together, for between them no other write fits. Let `first_end` be the earliest completion
 * in the cluster and `last_begin` the latest invocation. Cluster A must stand before B if an operation of A completed
 * before one of B was invoked: first_end(A) < last_begin(B). The history is linearizable iff each read completes after
 * its write was invoked, and no two clusters must each stand before the other, which is:
 *      of zones with first_end < last_begin (forward), no two overlap;
 *      no other zone (backward: [last_begin, first_end]) lies inside a forward one.
 *
 * Sound and complete, in n log n. A write that nobody read and whose outcome is not known is left out by the caller (if
 * it happened, leaving it out changes nothing for others); one that was read and never answered has no end of its own.
 *
 * Threads: any. Units: nanoseconds; equal times are concurrent. */
#ifndef TERRACE_CLIENT_CHECK_ZONES_H
#define TERRACE_CLIENT_CHECK_ZONES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zone {
    uint64_t first_end_ns;
    uint64_t last_begin_ns;
    uint64_t value;
};

/* Sorts the zones of one key. False: *ret_a and *ret_b must each stand before the other. */
bool zones_agree(struct zone *zones, size_t count, struct zone *ret_a, struct zone *ret_b);

#endif
