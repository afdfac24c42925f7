/* SPDX-License-Identifier: BSD-3-Clause */
/* replay.h -- a trace, played as an application with a cache would have played it.
 *
 * aside: GET key; when it is not there, SET key value, as after a look into a database. load: GET only.
 *
 * A key belongs to one connection, by hash, so requests for one key are sent in the order of the trace; a connection
 * never has two requests for one key under way, so the SET after a miss comes before the next GET of that key. Between
 * connections the order is kept within WINDOW requests: no connection runs further ahead of the slowest.
 *
 * With --rate it is an open loop: each request is due at its place in the trace, and its latency begins then (a tenth of a
 * millisecond of it may be ours). Without, requests are sent as replies come.
 *
 * Values follow from the key and are always checked. A hit is a value seen by the client; what the tiers say comes from
 * INFO (tiers.h).
 *
 * Threads: one. Errors: the pool's. */
#ifndef TERRACE_BENCH_REPLAY_H
#define TERRACE_BENCH_REPLAY_H

#include "bench/options.h"
#include "bench/result.h"
#include "bench/trace.h"

enum {
    REPLAY_CONNECTIONS_MIN = 16
};

uint32_t replay_calls_max(const struct options *options);
/* Every distinct key once, at the size it first has; the pool may be that of another server. */
enum status replay_preload(const struct options *options, const struct trace *trace,
                           struct pool *pool, struct result *result) MUST_USE;
enum status replay_run(const struct options *options, const struct trace *trace, struct pool *pool,
                       struct result *result) MUST_USE;

#endif
