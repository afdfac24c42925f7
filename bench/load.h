/* SPDX-License-Identifier: BSD-3-Clause */
/* load.h -- made-up requests, in a closed or an open loop.
 *
 * Closed: each connection sends a batch of `pipeline` requests, waits for all replies (and `think`), sends the next.
 * The server sets the pace, so what a stall delays is never even sent, and percentiles look better than users would
 * find them: coordinated omission. What counts is what is answered within the window.
 *
 * Open: request i is due at begin + i / rate, whatever happened before. It goes to the next connection that has fewer
 * than `pipeline` in flight; if none has, it waits, and its latency runs from when it was due. What counts is what was
 * due within the window; after it, replies are awaited for DRAIN_S, and what is still missing is an error with the
 * latency it has reached by then. No request that was due is left out.
 *
 * Threads: one. Errors: the pool's. */
#ifndef TERRACE_BENCH_LOAD_H
#define TERRACE_BENCH_LOAD_H

#include "bench/options.h"
#include "bench/result.h"

/* The pool is open and has room for load_calls_max() calls a connection. */
uint32_t load_calls_max(const struct options *options);
enum status load_run(const struct options *options, struct pool *pool,
                     struct result *result) MUST_USE;

#endif
