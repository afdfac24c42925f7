/* SPDX-License-Identifier: BSD-3-Clause */
/* result.h -- all that a run found out; what report.h prints and slo.h judges. */
#ifndef TERRACE_BENCH_RESULT_H
#define TERRACE_BENCH_RESULT_H

#include "bench/tally.h"
#include "bench/tiers.h"
#include "bench/window.h"

struct result {
    struct tally tally;
    struct window window;
    bool interrupted;    /* by a signal: what was measured until then */
    uint64_t reconnects; /* connections that broke and were opened again */

    bool has_fill; /* --fill or --preload */
    struct tally fill;
    double fill_s;

    bool has_trace;
    uint64_t trace_requests; /* in the trace; the tally says how many of them were replayed */
    uint64_t trace_keys;
    uint64_t trace_bytes; /* of keys and values, each key once */

    bool has_tiers;
    struct tiers tiers_before;
    struct tiers tiers_after;
};

static inline double result_rate(const struct result *result)
{
    return result->window.seconds > 0 ? (double)result->tally.requests / result->window.seconds : 0;
}

/* Answered, and not with an error. */
static inline uint64_t result_served(const struct result *result)
{
    const struct tally *tally = &result->tally;
    uint64_t refused = tally->errors - tally->lost - tally->unanswered;
    return tally->requests - refused;
}

/* Microseconds of the server's processors for one request. */
static inline double result_server_us(const struct result *result)
{
    return result->tally.requests == 0
               ? 0
               : (double)result->window.server_cpu_ns / 1e3 / (double)result->tally.requests;
}

#endif
