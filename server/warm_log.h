/* SPDX-License-Identifier: BSD-3-Clause */
/* warm_log.h -- the keys that an access log names most.
 *
 * A line is one of
 *      1697040000 key 512 3600                                    a trace: a time, the key, and whatever follows
 *      1339518083.107412 [0 127.0.0.1:60866] "GET" "key"          what MONITOR of Redis shows: reads count, their keys' database is
 *                                                                 the one in brackets
 * Others, and commands that are no reads of whole keys, are stepped over.
 *
 * Counting is exact up to WARM_LOG_KEYS different keys, or WARM_LOG_BYTES of them. Then the rare ones go: all counts fall
 * by one, and those at zero are forgotten (Misra and Gries, 1982), until half of the room is free. So a key that is among
 * n lines more often than n / WARM_LOG_KEYS times is never lost, and its count is too low by at most that.
 *
 * Threads: one at a time.
 * Errors:  NO_MEMORY. */
#ifndef TERRACE_SERVER_WARM_LOG_H
#define TERRACE_SERVER_WARM_LOG_H

#include "protocol/bytes.h"

enum {
    WARM_LOG_KEYS = 1000000
};
#define WARM_LOG_BYTES (UINT64_C(256) << 20)

struct warm_log;
struct warm_log_row {
    struct slice key; /* the log's */
    uint64_t count;
    uint8_t db;
};

/* `keys_max`: WARM_LOG_KEYS, or less for a test. `db`: of the keys of traces. NULL: no memory. */
struct warm_log *warm_log_new(size_t keys_max, uint8_t db);
void warm_log_free(struct warm_log *log); /* NULL is fine */
/* Without its end. */
enum status warm_log_line(struct warm_log *log, struct slice line) MUST_USE;
/* The n hottest, the hottest first; *ret_rows is malloc'ed, the caller's. */
enum status warm_log_take(struct warm_log *log, size_t n, struct warm_log_row **ret_rows,
                          size_t *ret_count) MUST_USE;

#endif
