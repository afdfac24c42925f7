/* SPDX-License-Identifier: BSD-3-Clause */
/* health.h -- whether one endpoint may be asked, and when it is to be probed. (The drawing is in cluster.h.)
 *
 * Threads: one at a time.
 * Units:   milliseconds of the clock of cluster.h. */
#ifndef TERRACE_CLIENT_HEALTH_H
#define TERRACE_CLIENT_HEALTH_H

#include "client/cluster.h"

enum {
    HEALTH_SUSPECT_MS = 100 /* between probes of one that failed and is not DOWN yet */
};

struct health_rules {
    unsigned failures_to_down;
    int64_t open_ms;
    int64_t open_most_ms;
    int64_t probe_every_ms;
};

struct health {
    enum cluster_health state;
    unsigned failures; /* in a row */
    unsigned openings; /* of the breaker since the last good probe */
    bool is_probing;
    bool is_half_open;   /* that probe began while DOWN */
    int64_t probe_at_ms; /* the next probe; while DOWN, the end of the breaker's time */
    int64_t since_ms;
};

enum health_change {
    HEALTH_SAME,
    HEALTH_WENT_UP, /* from DOWN or UNKNOWN */
    HEALTH_WENT_DOWN
};

void health_init(struct health *health, int64_t now_ms); /* UNKNOWN; a probe is due */
enum cluster_breaker health_breaker(const struct health *health);

enum health_change health_on_answer(struct health *health, const struct health_rules *rules,
                                    int64_t now_ms);
enum health_change health_on_failure(struct health *health, const struct health_rules *rules,
                                     uint64_t *random_state, int64_t now_ms);

void health_probe_begin(struct health *health);
enum health_change health_on_probe(struct health *health, const struct health_rules *rules, bool ok,
                                   uint64_t *random_state, int64_t now_ms);

#endif
