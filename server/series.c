/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/series.h"

void series_note(struct series *series, int64_t now_ms, uint64_t total)
{
    if (series->last_ms != 0 && now_ms > series->last_ms && total >= series->last_total) {
        uint64_t rate = (total - series->last_total) * 1000 / (uint64_t)(now_ms - series->last_ms);
        atomic_store_explicit(&series->per_second[series->next], rate, memory_order_relaxed);
        series->next = (series->next + 1) % SERIES_INTERVALS;
    }
    series->last_ms = now_ms;
    series->last_total = total;
}

void series_reset(struct series *series)
{
    series->last_ms = 0;
    series->next = 0;
    for (int i = 0; i < SERIES_INTERVALS; i++) {
        atomic_store_explicit(&series->per_second[i], 0, memory_order_relaxed);
    }
}

uint64_t series_rate(const struct series *series)
{
    uint64_t sum = 0;
    for (int i = 0; i < SERIES_INTERVALS; i++) {
        sum += atomic_load_explicit(&series->per_second[i], memory_order_relaxed);
    }
    return sum / SERIES_INTERVALS;
}
