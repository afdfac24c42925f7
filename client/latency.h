/* SPDX-License-Identifier: BSD-3-Clause */
/* latency.h -- how long an endpoint takes to answer: a moving average that rises at once and falls slowly.
 *
 * "Peak EWMA" of Finagle (Twitter, 2015): a sample above the average becomes it, one below moves it by 1 -
 * exp(-dt/LATENCY_TAU_MS). Without samples the cost falls the same way, so that an endpoint that was slow once is tried
 * again.
 *
 * Threads: one at a time. All zeros: nothing was measured. */
#ifndef TERRACE_CLIENT_LATENCY_H
#define TERRACE_CLIENT_LATENCY_H

#include <stdbool.h>
#include <stdint.h>

enum {
    LATENCY_TAU_MS = 10000,
    LATENCY_UNKNOWN_US =
        1000000 /* cost of a request to one that has not answered any, while one is under way there */
};

struct latency {
    double average_us;
    int64_t at_ms; /* of the last sample */
    bool is_known;
};

void latency_add(struct latency *latency, int64_t sample_us, int64_t now_ms);
/* Of one more request behind `inflight` others. */
double latency_cost(const struct latency *latency, unsigned inflight, int64_t now_ms);

#endif
