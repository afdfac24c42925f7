/* SPDX-License-Identifier: BSD-3-Clause */
/* history.h -- `terrace-bench --history FILE`: load on several nodes and on Redis behind them, recorded so that
 * `terrace check` can judge it (docs/history.md).
 *
 * A run: every key is SET once at Redis; the bound passes; clients of all nodes read and write, strangers write at
 * Redis; what is still asked is awaited; the bound passes; every key is read back from everywhere.
 *
 * A LANE is a target with its connections. Each connection sends a batch of `pipeline` commands, waits for all replies,
 * sends the next. Most batches only read, for a read that is pipelined behind its own session's write does not ask L1.
 * The first connection of a node is the prober: it asks at a steady pace without waiting, so that there are always reads
 * that were sent while the node or Redis stood still.
 * A connection that breaks is opened again and is a new session; its writes without an answer are lost, its reads never
 * were. After an error a connection pauses, so that a node without its L2 is not asked 100,000 times a second.
 *
 * Threads: one. Errors: the recorder's, and CLOSE when a target cannot be reached at the beginning. */
#ifndef TERRACE_BENCH_HISTORY_H
#define TERRACE_BENCH_HISTORY_H

#include "bench/options.h"
#include "bench/pool.h"

#include <stdio.h>

enum {
    HISTORY_LANES_MAX = 31
};

struct history_result {
    uint64_t reads;
    uint64_t reads_refused;
    uint64_t writes; /* asked for */
    uint64_t writes_ok;
    uint64_t writes_refused;
    uint64_t writes_unknown;
    uint64_t writes_lost;
    uint64_t stranger_writes;
    uint64_t connections_lost;
    uint64_t records;
    double seconds;   /* of the load */
    uint32_t unread;  /* lanes that were not read back whole */
    char strange[96]; /* the first error of no known kind */
    char error[400];
    bool interrupted;
};

enum status history_run(const struct options *options, const struct greeting *greeting, int signals,
                        struct history_result *result) MUST_USE;
void history_report(FILE *out, const struct options *options, const struct history_result *result);

#endif
