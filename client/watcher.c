/* SPDX-License-Identifier: BSD-3-Clause */
/* watcher.c -- a stream of changes under a prefix, over a connection of its own to any node.
 *
 * Lost, it is opened again, at another node if there is one. What changed meanwhile nobody tells, so whoever watches hears
 * `anything may have changed`: when the stream is lost, and when there is one, the first time, too: from there on he is
 * told. */
#include "client/backoff.h"
#include "client/core.h"

static void open_stream(struct timer *timer);

static void say_anything(struct watcher *watcher)
{
    watcher->on_change(watcher, NULL, (struct slice){0});
}

static void open_later(struct watcher *watcher)
{
    const int64_t wait_ms =
        watcher->failed == 0 ? 0 : backoff_ms(&watcher->core->chance, watcher->failed);
    watcher->failed++;
    wheel_set(&watcher->core->wheel, &watcher->again, clock_ms() + wait_ms);
}

static void open_stream(struct timer *timer)
{
    struct watcher *watcher = (struct watcher *)((char *)timer - offsetof(struct watcher, again));
    struct core *core = watcher->core;
    struct peer where = {.core = core};
    char why[160];
    int64_t wait_ms = 0;
    struct cluster_endpoint *endpoint = cluster_choose(core->cluster, chance_next(&core->chance),
                                                       watcher->failed_at, clock_ms(), &wait_ms);
    watcher->failed_at = endpoint;
    watcher->seq = 0;
    watcher->lane = NULL;
    if (endpoint != NULL && core_resolve(core, cluster_endpoint_address(endpoint), &where)) {
        watcher->lane = lane_open(core, &where, watcher, watcher->prefix, why, sizeof why);
    }
    if (watcher->lane == NULL) {
        open_later(watcher);
    } else {
        watcher->lane->peer = NULL; /* it was only needed for its address */
    }
}

void watcher_begin(struct core *core, struct watcher *watcher)
{
    watcher->core = core;
    watcher->again.on_due = open_stream;
    watcher->next = core->watchers;
    core->watchers = watcher;
    open_stream(&watcher->again);
}

void watcher_end(struct watcher *watcher)
{
    struct watcher **link = &watcher->core->watchers;
    while (*link != NULL && *link != watcher) {
        link = &(*link)->next;
    }
    if (*link == NULL) {
        return; /* ended already, with the client */
    }
    *link = watcher->next;
    wheel_clear(&watcher->again);
    if (watcher->lane != NULL) {
        wheel_clear(&watcher->lane->beat);
        watcher->lane->watcher = NULL;
        conn_close(watcher->lane->conn, TERRACE_CLOSED);
        watcher->lane = NULL;
    }
}

void watcher_on_ready(struct watcher *watcher)
{
    watcher->failed = 0;
    watcher->failed_at = NULL;
    watcher->is_ready = true;
    say_anything(watcher);
}

bool watcher_on_event(struct watcher *watcher, const struct native_event *event, struct slice keys)
{
    if (event->stream_seq != watcher->seq + 1) {
        return false;
    }
    watcher->seq++;
    if (event->all) {
        say_anything(watcher);
    } else {
        watcher->on_change(watcher, event, keys);
    }
    return true;
}

bool watcher_on_beat(struct watcher *watcher, const struct native_reply *reply)
{
    return reply->stream_seq == watcher->seq;
}

void watcher_on_lost(struct watcher *watcher)
{
    watcher->lane = NULL;
    if (watcher->is_ready) {
        watcher->is_ready = false;
        say_anything(watcher);
    }
    open_later(watcher);
}
