/* SPDX-License-Identifier: BSD-3-Clause */
/* profile.h -- a service level objective in a file: options in JSON, read with jansson.
 *
 *      {"target": "127.0.0.1:7379", "connections": 100, "duration": 300, "think": 1000,
 *       "thresholds": {"p95_ms": 150, "p99_ms": 200, "max_error_rate": 0.001, "min_hit_ratio": 0.8}}
 *
 * Members are the long names of options.def; "description" is for people.
 *
 * Errors: INVALID, the line in options->error names the file, and the line or the member. */
#ifndef TERRACE_BENCH_PROFILE_H
#define TERRACE_BENCH_PROFILE_H

#include "bench/options.h"

enum status profile_read(struct options *options, const char *name) MUST_USE;

#endif
