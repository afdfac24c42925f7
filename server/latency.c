/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/latency.h"

#include "protocol/check.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct event {
    const char *name;
    uint64_t worst_ms;
    size_t count;
    size_t next; /* place of the next sample in the ring */
    struct latency_sample ring[LATENCY_SAMPLES];
};

struct latency {
    pthread_mutex_t lock;
    size_t count; /* under lock, as all below */
    struct event events[LATENCY_EVENTS_MAX];
};

struct latency *latency_new(void)
{
    struct latency *latency = calloc(1, sizeof(*latency));
    if (latency != NULL) {
        CHECK(pthread_mutex_init(&latency->lock, NULL) == 0);
    }
    return latency;
}

void latency_free(struct latency *latency)
{
    if (latency != NULL) {
        (void)pthread_mutex_destroy(&latency->lock);
        free(latency);
    }
}

static struct event *event_find(struct latency *latency, struct slice name)
{
    for (size_t i = 0; i < latency->count; i++) {
        if (slice_is(name, latency->events[i].name)) {
            return &latency->events[i];
        }
    }
    return NULL;
}

static void event_add(struct event *event, int64_t unix_s, uint64_t ms)
{
    size_t newest = (event->next + LATENCY_SAMPLES - 1) % LATENCY_SAMPLES;
    event->worst_ms = ms > event->worst_ms ? ms : event->worst_ms;
    if (event->count > 0 && event->ring[newest].unix_s == unix_s) {
        event->ring[newest].ms = ms > event->ring[newest].ms ? ms : event->ring[newest].ms;
        return;
    }
    event->ring[event->next] = (struct latency_sample){unix_s, ms};
    event->next = (event->next + 1) % LATENCY_SAMPLES;
    event->count += event->count < LATENCY_SAMPLES;
}

void latency_note(struct latency *latency, const char *name, int64_t unix_s, uint64_t ms)
{
    (void)pthread_mutex_lock(&latency->lock);
    struct event *event = event_find(latency, slice_of(name));
    if (event == NULL && latency->count < LATENCY_EVENTS_MAX) {
        event = &latency->events[latency->count++];
        event->name = name;
    }
    if (event != NULL) {
        event_add(event, unix_s, ms);
    }
    (void)pthread_mutex_unlock(&latency->lock);
}

bool latency_read(struct latency *latency, struct slice name, struct latency_series *ret_series)
{
    (void)pthread_mutex_lock(&latency->lock);
    const struct event *event = event_find(latency, name);
    bool found = event != NULL && event->count > 0;
    if (found) {
        size_t oldest = (event->next + LATENCY_SAMPLES - event->count) % LATENCY_SAMPLES;
        ret_series->event = event->name;
        ret_series->worst_ms = event->worst_ms;
        ret_series->count = event->count;
        for (size_t i = 0; i < event->count; i++) {
            ret_series->samples[i] = event->ring[(oldest + i) % LATENCY_SAMPLES];
        }
    }
    (void)pthread_mutex_unlock(&latency->lock);
    return found;
}

size_t latency_events(struct latency *latency, const char *ret_events[LATENCY_EVENTS_MAX])
{
    size_t count = 0;
    (void)pthread_mutex_lock(&latency->lock);
    for (size_t i = 0; i < latency->count; i++) {
        if (latency->events[i].count > 0) {
            ret_events[count++] = latency->events[i].name;
        }
    }
    (void)pthread_mutex_unlock(&latency->lock);
    return count;
}

size_t latency_reset(struct latency *latency, struct slice name)
{
    size_t count = 0;
    (void)pthread_mutex_lock(&latency->lock);
    for (size_t i = 0; i < latency->count; i++) {
        struct event *event = &latency->events[i];
        if (event->count > 0 && (name.data == NULL || slice_is(name, event->name))) {
            *event = (struct event){.name = event->name};
            count++;
        }
    }
    (void)pthread_mutex_unlock(&latency->lock);
    return count;
}
