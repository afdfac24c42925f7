/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/latency.h"

#include <math.h>

static double what_is_left(const struct latency *latency, int64_t now_ms)
{
    double passed_ms = now_ms > latency->at_ms ? (double)(now_ms - latency->at_ms) : 0;
    return exp(-passed_ms / LATENCY_TAU_MS);
}

void latency_add(struct latency *latency, int64_t sample_us, int64_t now_ms)
{
    double sample = sample_us > 0 ? (double)sample_us : 0;
    if (!latency->is_known || sample > latency->average_us) {
        latency->average_us = sample;
    } else {
        double kept = what_is_left(latency, now_ms);
        latency->average_us = latency->average_us * kept + sample * (1 - kept);
    }
    latency->at_ms = now_ms;
    latency->is_known = true;
}

double latency_cost(const struct latency *latency, unsigned inflight, int64_t now_ms)
{
    if (!latency->is_known) {
        return inflight == 0 ? 0 : (double)LATENCY_UNKNOWN_US * (inflight + 1.0);
    }
    return latency->average_us * what_is_left(latency, now_ms) * (inflight + 1.0);
}
