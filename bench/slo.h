/* SPDX-License-Identifier: BSD-3-Clause */
/* slo.h -- what was promised against what was measured. */
#ifndef TERRACE_BENCH_SLO_H
#define TERRACE_BENCH_SLO_H

#include "bench/options.h"
#include "bench/result.h"

/* p50, p95, p99, error rate, hit ratio, rate; fill, wrong values, something measured at all. */
enum {
    SLO_CHECKS_MAX = 9
};

struct slo_check {
    const char *name; /* the option's, or what is always checked */
    double limit;
    double actual;
    const char *unit;
    bool at_least; /* the limit is a floor; else a ceiling */
    bool passed;
};

/* Only what was asked for, and what no run may get wrong. Returns how many. */
unsigned slo_judge(const struct options *options, const struct result *result,
                   struct slo_check ret_checks[SLO_CHECKS_MAX]);
/* One line to stderr for each that failed; true: none did. */
bool slo_complain(const struct slo_check *checks, unsigned count);

#endif
