/* SPDX-License-Identifier: BSD-3-Clause */
/* window.h -- the stretch of time that counts, and the processor time spent in it.
 *
 * Server time per request is the figure that travels between machines; our own share of the time says whether the load
 * tool was the bottleneck. */
#ifndef TERRACE_BENCH_WINDOW_H
#define TERRACE_BENCH_WINDOW_H

#include "bench/pool.h"

struct window {
    uint64_t pid; /* 0: nobody's */
    uint64_t begin_ns;
    bool has_server_cpu;
    uint64_t server_cpu_ns; /* while open: at the beginning; afterwards: within */
    uint64_t own_cpu_ns;
    uint64_t bytes_in;
    uint64_t bytes_out;
    double seconds;
};

void window_open(struct window *window, const struct pool *pool, uint64_t pid);
void window_close(struct window *window, const struct pool *pool);

#endif
