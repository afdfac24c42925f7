/* SPDX-License-Identifier: BSD-3-Clause */
/* report.h -- a result for people, and the same for programs. */
#ifndef TERRACE_BENCH_REPORT_H
#define TERRACE_BENCH_REPORT_H

#include "bench/slo.h"

void report_text(FILE *out, const struct options *options, const struct result *result);
/* One JSON object and a newline. NO_MEMORY, INVALID (cannot be written). */
enum status report_json(FILE *out, const struct options *options, const struct result *result,
                        const struct slo_check *checks, unsigned check_count) MUST_USE;

#endif
