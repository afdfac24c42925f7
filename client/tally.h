/* SPDX-License-Identifier: BSD-3-Clause */
/* tally.h -- what a client has counted since it was opened.
 *
 * Threads: any; numbers are read one by one, so they need not fit together to the last request. */
#ifndef TERRACE_CLIENT_TALLY_H
#define TERRACE_CLIENT_TALLY_H

#include <stdatomic.h>
#include <stdint.h>

/* Names as in struct terrace_counters; what L0 counts is near_stats', failovers are the cluster's. */
#define TALLY_NAMES(each)                                                                 \
    each(requests) each(answers) each(errors) each(retries) each(hedges) each(hedges_won) \
        each(unknown) each(deadline) each(unreachable) each(connects) each(disconnects)   \
            each(bytes_in) each(bytes_out) each(loads) each(loads_shared) each(loads_stale)

struct tally {
#define TALLY_FIELD(name) _Atomic uint64_t name;
    TALLY_NAMES(TALLY_FIELD)
#undef TALLY_FIELD
};

static inline void tally_add(_Atomic uint64_t *number, uint64_t more)
{
    atomic_fetch_add_explicit(number, more, memory_order_relaxed);
}

#endif
