/* SPDX-License-Identifier: BSD-3-Clause */
/* fill.h -- every key of a source is SET once, as fast as the server takes them.
 *
 * Threads: one. Errors: the pool's; error replies are counted in the tally and the fill goes on. */
#ifndef TERRACE_BENCH_FILL_H
#define TERRACE_BENCH_FILL_H

#include "bench/pool.h"
#include "bench/progress.h"
#include "bench/tally.h"

enum {
    FILL_PIPELINE = 32
};

struct fill_source {
    void *context;
    uint64_t count;
    /* Key and value of number `i`, valid until the next call, and its time to live (0: none). NO_MEMORY. */
    enum status (*at)(void *context, uint64_t i, struct slice *ret_key, struct slice *ret_value,
                      uint64_t *ret_ttl_s);
};

/* The pool has room for FILL_PIPELINE calls a connection. OK also when a signal ended it early. */
enum status fill_run(struct pool *pool, const struct fill_source *source, struct tally *tally,
                     struct progress *progress) MUST_USE;

/* Queues SET key value [EX ttl_s]; shared with who else writes. */
enum status fill_send_set(struct conn *conn, struct call call, struct slice key, struct slice value,
                          uint64_t ttl_s) MUST_USE;

#endif
