/* SPDX-License-Identifier: BSD-3-Clause */
/* series.h -- how fast a counter grew of late: the mean of the last 16 intervals of about 100 ms, as Redis'
 * instantaneous_*.
 *
 * Threads: series_note by one, series_rate by any. All zeros is a series without samples. */
#ifndef TERRACE_SERVER_SERIES_H
#define TERRACE_SERVER_SERIES_H

#include <stdatomic.h>
#include <stdint.h>

enum {
    SERIES_INTERVALS = 16
};

struct series {
    int64_t last_ms; /* 0: none yet */
    uint64_t last_total;
    unsigned next;
    _Atomic uint64_t per_second[SERIES_INTERVALS];
};

/* `total` is what the counter says now. */
void series_note(struct series *series, int64_t now_ms, uint64_t total);
void series_reset(struct series *series);
uint64_t series_rate(const struct series *series); /* per second */

#endif
