/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/slo.h"

#include <stdio.h>

struct list {
    struct slo_check *checks;
    unsigned count;
};

static void most(struct list *list, const char *name, double limit, double actual, const char *unit)
{
    if (limit >= 0) {
        list->checks[list->count++] =
            (struct slo_check){name, limit, actual, unit, false, actual <= limit};
    }
}

static void least(struct list *list, const char *name, double limit, double actual,
                  const char *unit)
{
    if (limit >= 0) {
        list->checks[list->count++] =
            (struct slo_check){name, limit, actual, unit, true, actual >= limit};
    }
}

static double quantile_ms(const struct result *result, double quantile)
{
    return (double)histogram_quantile_ns(&result->tally.latency, quantile) / 1e6;
}

unsigned slo_judge(const struct options *options, const struct result *result,
                   struct slo_check ret_checks[SLO_CHECKS_MAX])
{
    struct list list = {.checks = ret_checks};
    const struct tally *tally = &result->tally;
    most(&list, "p50-ms", options->p50_ms, quantile_ms(result, 0.50), " ms");
    most(&list, "p95-ms", options->p95_ms, quantile_ms(result, 0.95), " ms");
    most(&list, "p99-ms", options->p99_ms, quantile_ms(result, 0.99), " ms");
    most(&list, "max-error-rate", options->max_error_rate, tally_error_rate(tally), "");
    least(&list, "min-hit-ratio", options->min_hit_ratio, tally_hit_ratio(tally), "");
    least(&list, "min-rps", options->min_rps, result_rate(result), " requests/s");
    if (options->check || result->has_trace) {
        most(&list, "wrong values", 0, (double)tally->wrong, "");
    }
    if (result->has_fill) {
        most(&list, "errors while filling", 0, (double)result->fill.errors, "");
    }
    if (!result->interrupted) { /* nothing measured, or refusals only, would pass every ceiling */
        least(&list, "requests answered without error", 1, (double)result_served(result), "");
    }
    return list.count;
}

bool slo_complain(const struct slo_check *checks, unsigned count)
{
    bool passed = true;
    for (unsigned i = 0; i < count; i++) {
        const struct slo_check *check = &checks[i];
        if (check->passed) {
            continue;
        }
        passed = false;
        (void)fprintf(stderr, "terrace-bench: failed: %s is %.6g%s, %s %.6g%s was asked for\n",
                      check->name, check->actual, check->unit,
                      check->at_least ? "at least" : "at most", check->limit, check->unit);
    }
    return passed;
}
