/* SPDX-License-Identifier: BSD-3-Clause */
/* options.h -- what an application has said about its client: struct terrace_options of terrace.h, seen from inside.
 *
 * One table, options.def, gives names, presets, limits and texts. Each value is checked when it is set, so whoever opens
 * a client with options has none that can be refused any more, but for what only the world can say (a certificate that is
 * not there).
 *
 * Owns:    its texts.
 * Threads: one at a time. */
#ifndef TERRACE_CLIENT_OPTIONS_H
#define TERRACE_CLIENT_OPTIONS_H

#include "client/terrace.h"
#include "protocol/bytes.h"

struct terrace_options {
    char *endpoints, *regions;
    int discover; /* 0 none, 1 nodes */
    int64_t discover_every_ms, dns_refresh_ms;
    int strategy; /* enum cluster_strategy */
    int64_t sticky_ttl_ms;
    double hash_load;
    int64_t connections;
    int64_t failures_to_down, breaker_open_ms, breaker_most_ms, hold_down_ms;
    int64_t timeout_ms, connect_timeout_ms, retries, hedge_ms;
    int when_down; /* 0 fail, 1 wait */
    int fail;      /* 0 open, 1 closed */
    char *user, *password, *client_name;
    int64_t db;
    int tls, tls_verify;
    char *tls_ca, *tls_cert, *tls_key, *tls_name;
    int64_t near_memory, near_value_max;
    char *near_policy;
    int64_t max_inflight, max_queue_bytes, max_value;
};

/* NULL: no memory. */
struct terrace_options *options_copy(const struct terrace_options *options);

/* One of `endpoints`; the slices borrow from the text. */
struct endpoint_text {
    struct slice host; /* without the brackets of v6; of unix:/path the path */
    struct slice region;
    uint16_t port;
    unsigned weight;
    bool is_unix;
};
/* The next of a list; false: there is none, or *ret_error says what is wrong with it (NULL: it is only the end). */
bool options_next_endpoint(struct slice *rest, struct endpoint_text *ret, const char **ret_error);

enum {
    REGION_PRIORITY = 100, /* of a region that `regions` does not name */
    WEIGHT_MAX = 1000
};
unsigned options_region_priority(const struct terrace_options *options, struct slice region);

/* Into `error`, if there is one: as snprintf. */
void error_say(char *error, size_t error_size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
