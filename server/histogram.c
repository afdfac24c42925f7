/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/histogram.h"

#include "server/node.h"

void histogram_read(const struct node *node, const struct command *command, struct histogram *ret)
{
    *ret = (struct histogram){0};
    for (unsigned i = 0; i < node->worker_count; i++) {
        const struct command_counters *counters = &node->workers[i]->counters[command->index];
        ret->nsec += atomic_load_explicit(&counters->nsec, memory_order_relaxed);
        for (unsigned j = 0; j < COMMAND_DURATIONS; j++) {
            ret->durations[j] +=
                atomic_load_explicit(&counters->durations[j], memory_order_relaxed);
        }
    }
    for (unsigned j = 0; j < COMMAND_DURATIONS; j++) {
        ret->calls += ret->durations[j];
        ret->filled += ret->durations[j] > 0;
    }
}

void histogram_add(struct histogram *sum, const struct histogram *histogram)
{
    sum->calls += histogram->calls;
    sum->nsec += histogram->nsec;
    for (unsigned i = 0; i < COMMAND_DURATIONS; i++) {
        sum->durations[i] += histogram->durations[i];
    }
}

double histogram_percentile_usec(const struct histogram *histogram, double share)
{
    const double wanted = share * (double)histogram->calls;
    uint64_t calls = 0;
    for (unsigned i = 0; i < COMMAND_DURATIONS; i++) {
        calls += histogram->durations[i];
        if (calls > 0 && (double)calls >= wanted) {
            return (double)(UINT64_C(1024) << i) / 1000;
        }
    }
    return 0;
}
