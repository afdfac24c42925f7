/* SPDX-License-Identifier: BSD-3-Clause */
/* latency.h -- moments at which something took longer than `latency-monitor-threshold`, by event, for LATENCY.
 *
 * Each event keeps its last 160 samples, at most one per second (the worst of that second), and its all-time worst, as
 * Redis does. Who measures compares with the threshold and calls latency_note; here is no clock.
 *
 * Event names are the program's own: "command", "fast-command" ...
 *
 * Threads: any; one small lock.
 * Limits:  LATENCY_EVENTS_MAX events; more are not kept. */
#ifndef TERRACE_SERVER_LATENCY_H
#define TERRACE_SERVER_LATENCY_H

#include "protocol/bytes.h"

enum {
    LATENCY_EVENTS_MAX = 32,
    LATENCY_SAMPLES = 160
};

struct latency;

struct latency *latency_new(void); /* NULL: no memory */
void latency_free(struct latency *latency);

/* `event` is a literal: it is kept by address. */
void latency_note(struct latency *latency, const char *event, int64_t unix_s, uint64_t ms);

struct latency_sample {
    int64_t unix_s;
    uint64_t ms;
};

struct latency_series {
    const char *event;
    uint64_t worst_ms; /* since the start or the last reset */
    size_t count;
    struct latency_sample samples[LATENCY_SAMPLES]; /* oldest first */
};

/* A copy. false: the event has no samples. */
bool latency_read(struct latency *latency, struct slice event, struct latency_series *ret_series);
/* Names of the events that have samples; returns how many. */
size_t latency_events(struct latency *latency, const char *ret_events[LATENCY_EVENTS_MAX]);
/* Forgets one event, or all if event.data is NULL. Returns how many had samples. */
size_t latency_reset(struct latency *latency, struct slice event);

#endif
