/* SPDX-License-Identifier: BSD-3-Clause */
/* options.h -- what the user asked for: flags over profile over defaults.
 *
 * options.def lists them. A flag is `--name VALUE`, `--name=VALUE` or its letter; a profile is a JSON object with the
 * same names (`-` or `_`), whose "thresholds" member may hold any of them.
 *
 * Owns:   every text.
 * Errors: INVALID with one line in `error`: what was given and what was expected. */
#ifndef TERRACE_BENCH_OPTIONS_H
#define TERRACE_BENCH_OPTIONS_H

#include "protocol/status.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum operation {
    OP_GET,
    OP_SET,
    OP_INCR,
    OP_MGET,
    OP_DEL,
    OP_EXISTS,
    OP_PING
};
enum trace_mode {
    TRACE_ASIDE,
    TRACE_LOAD
};

/* A number that is not given: thresholds, --duration. */
#define OPTION_UNSET (-1.0)

struct options {
    char *target;
    bool memcached; /* its protocol instead of RESP */
    char *user;
    char *password;
    uint64_t resp;
    uint64_t db;
    uint64_t pid; /* 0: not given */

    uint64_t connections;
    uint64_t pipeline;
    double rate; /* OPTION_UNSET: closed loop */
    double duration_s;
    uint64_t requests; /* 0: no limit */
    double warmup_s;
    double think_ms;
    enum operation operation;
    uint64_t get_parts; /* both 0: --op decides */
    uint64_t set_parts;
    uint64_t mget_keys;
    uint64_t seed;

    uint64_t keys;
    char *key_prefix;
    double zipf;
    uint64_t value_min;
    uint64_t value_max;
    uint64_t ttl_s;
    bool fill;
    bool check;

    char *trace;
    enum trace_mode trace_mode;
    uint64_t trace_limit;
    bool trace_ttl;
    uint64_t trace_copies;
    uint64_t item_size; /* 0: sizes as in the trace */
    double size_scale;
    uint64_t value_least;
    bool preload;
    char *preload_target;

    char *history; /* NULL: nothing is recorded */
    char *targets;
    char *redis;
    uint64_t writes; /* per mille */
    uint64_t strangers;
    uint64_t lives;
    uint64_t deletes;
    uint64_t mgets;
    bool sessions;
    double timeout_s; /* 0: none */
    double probe_ms;  /* 0: none */
    double bound_ms;
    double slack_ms;
    double grace_ms;

    bool propagation;
    double poll_us;

    double p50_ms;
    double p95_ms;
    double p99_ms;
    double max_error_rate;
    double min_hit_ratio;
    double min_rps;

    char *profile;
    bool json;
    char *json_file; /* NULL: standard output */
    bool quiet;
    bool help;
    bool version;

    char error[400];
};

enum status options_init(struct options *options) MUST_USE;
void options_done(struct options *options);
/* Sets one option by its long name; `text` NULL switches on. `-` and `_` are the same. */
enum status options_set(struct options *options, const char *name, const char *text) MUST_USE;
/* The whole command line: the profile it names first, then the flags, then what must fit together. */
enum status options_read(struct options *options, int argc, char **argv) MUST_USE;
void options_help(FILE *out);
const char *operation_name(enum operation operation);

#endif
