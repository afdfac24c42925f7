/* SPDX-License-Identifier: BSD-3-Clause */
/* progress.h -- one line on a terminal that says how far a run is; nothing at all when stderr is no terminal. */
#ifndef TERRACE_BENCH_PROGRESS_H
#define TERRACE_BENCH_PROGRESS_H

#include "protocol/histogram.h"

#include <stdbool.h>
#include <stdint.h>

struct progress {
    bool shown;
    const char *what; /* "fill", "load", ... */
    uint64_t begin_ns;
    uint64_t next_ns;
    uint64_t last_ns;
    uint64_t last_done;
};

void progress_begin(struct progress *progress, const char *what, bool wanted);
/* `part` 0 .. 1; latency may be NULL. Cheap when it is not yet time for a new line. */
void progress_tick(struct progress *progress, uint64_t now_ns, double part, uint64_t done,
                   const struct histogram *latency);
void progress_end(struct progress *progress); /* wipes the line */

#endif
