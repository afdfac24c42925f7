/* SPDX-License-Identifier: BSD-3-Clause */
/* lane.c -- connections in their places, and the streams of changes that come over them. */
#include "client/core.h"
#include "protocol/hash.h"

#include <stdlib.h>
#include <string.h>

enum {
    BEAT_PATIENCE_MS =
        2000, /* so long without a byte while a proof is asked for: the connection is not one any more */
    WATCH_BEAT_MS = 500
};

static struct lane *lane_of(struct conn *conn)
{
    return conn_user(conn);
}

/* --- beats ---------------------------------------------------------------------------------------------------------------- */

/* What L0 has served since the node was told. */
static uint64_t new_hits(struct core *core)
{
    struct near_stats stats;
    if (core->near == NULL) {
        return 0;
    }
    near_stats(core->near, &stats);
    const uint64_t hits = stats.hits - core->near_hits_told;
    core->near_hits_told = stats.hits;
    return hits;
}

static void on_beat_due(struct timer *timer)
{
    struct lane *lane = (struct lane *)((char *)timer - offsetof(struct lane, beat));
    struct core *core = lane->core;
    const int64_t now_ms = clock_ms();
    int64_t since_ms = 0;
    if (!conn_is_ready(lane->conn)) {
        return;
    }
    if (!conn_beat(lane->conn, new_hits(core), &since_ms)) {
        const int64_t heard_ms = conn_heard_ms(lane->conn);
        if (now_ms - (heard_ms > since_ms ? heard_ms : since_ms) > BEAT_PATIENCE_MS) {
            conn_break(lane->conn, TERRACE_UNREACHABLE, "no byte came for 2 s");
            return;
        }
    }
    const int64_t every_ms =
        lane->watcher != NULL ? WATCH_BEAT_MS : near_beat_interval_ms(core->near);
    wheel_set(&core->wheel, timer, now_ms + every_ms);
}

/* --- what a connection says ------------------------------------------------------------------------------------------------- */

static void on_ready(struct conn *conn)
{
    struct lane *lane = lane_of(conn);
    struct core *core = lane->core;
    if (lane->watcher != NULL) {
        watcher_on_ready(lane->watcher);
    } else if (core->near == NULL ||
               near_stream_open(core->near, &lane->stream, clock_ms()) != OK) {
        return;
    }
    on_beat_due(&lane->beat); /* a proof at once: nothing is served before the first */
}

static void on_turn(struct conn *conn, struct call *call)
{
    request_on_turn(call, lane_of(conn));
}

static void on_answer(struct conn *conn, struct call *call, struct conn_answer *answer)
{
    request_on_answer(call, lane_of(conn), answer);
}

static void on_call_lost(struct conn *conn, struct call *call, enum terrace_status why)
{
    request_on_lost(call, lane_of(conn), why);
}

enum {
    KEYS_AT_ONCE = 64
};

/* What cannot be read to its end may have been any key. */
static bool near_event(struct lane *lane, const struct native_event *event, struct slice keys)
{
    struct near *near = lane->core->near;
    struct slice some[KEYS_AT_ONCE];
    struct slice *list = some;
    const size_t count = event->all ? 0 : event->key_sizes != NULL ? event->key_count : 1;
    if (count > KEYS_AT_ONCE) {
        list = malloc(count * sizeof *list);
        if (list == NULL) { /* then anything may have changed */
            return near_stream_event(near, &lane->stream, event->stream_seq, NULL, 0, true,
                                     clock_ms()) == OK;
        }
    }
    size_t found = 0, at = 0;
    while (found < count &&
           native_next_key(&keys, event->key_sizes, event->key_count, &at, &list[found])) {
        found++;
    }
    const enum status status = near_stream_event(near, &lane->stream, event->stream_seq, list,
                                                 found, event->all || found < count, clock_ms());
    if (list != some) {
        free(list);
    }
    return status == OK;
}

static bool on_event(struct conn *conn, const struct native_event *event, struct slice keys)
{
    struct lane *lane = lane_of(conn);
    if (lane->watcher != NULL) {
        return watcher_on_event(lane->watcher, event, keys);
    }
    return !lane->stream.is_open || near_event(lane, event, keys);
}

static bool on_beat(struct conn *conn, int64_t sent_ms, const struct native_reply *reply)
{
    struct lane *lane = lane_of(conn);
    if (lane->watcher != NULL) {
        return watcher_on_beat(lane->watcher, reply);
    }
    const struct near_beat beat = {.seq = reply->stream_seq,
                                   .sent_ms = sent_ms,
                                   .has_horizon = reply->has_horizon,
                                   .horizon_age_ms = reply->horizon_age_ms};
    return !lane->stream.is_open ||
           near_stream_beat(lane->core->near, &lane->stream, &beat, clock_ms()) == OK;
}

/* The connection is gone; the lane may live on for another. */
static void let_go(struct lane *lane)
{
    wheel_clear(&lane->beat);
    if (lane->core->near != NULL) {
        near_stream_lost(lane->core->near, &lane->stream, clock_ms());
    }
}

static void on_lost(struct conn *conn, enum terrace_status why, const char *text)
{
    struct lane *lane = lane_of(conn);
    (void)why;
    (void)text;
    let_go(lane);
    if (lane->watcher != NULL) {
        watcher_on_lost(lane->watcher);
    }
}

static void on_output(struct conn *conn)
{
    core_wake(lane_of(conn)->core);
}

static void on_freed(void *user)
{
    struct lane *lane = user;
    struct core *core = lane->core;
    *(lane->prev != NULL ? &lane->prev->next : &core->lanes) = lane->next;
    if (lane->next != NULL) {
        lane->next->prev = lane->prev;
    }
    for (int i = 0; lane->peer != NULL && i < PEER_LANES_MAX; i++) {
        if (lane->peer->lanes[i] == lane) {
            lane->peer->lanes[i] = NULL;
        }
    }
    free(lane);
    core_unref(core);
}

const struct conn_hooks lane_hooks = {
    .on_ready = on_ready,
    .on_turn = on_turn,
    .on_answer = on_answer,
    .on_call_lost = on_call_lost,
    .on_event = on_event,
    .on_beat = on_beat,
    .on_lost = on_lost,
    .on_output = on_output,
    .on_freed = on_freed,
};

/* --- places ----------------------------------------------------------------------------------------------------------------- */

struct lane *lane_open(struct core *core, struct peer *peer, struct watcher *watcher,
                       struct slice prefix, char *why, size_t why_size)
{
    struct lane *lane = calloc(1, sizeof *lane);
    if (lane == NULL) {
        error_say(why, why_size, "no memory");
        return NULL;
    }
    *lane = (struct lane){
        .core = core, .peer = peer, .watcher = watcher, .beat = {.on_due = on_beat_due}};
    const struct conn_target target = {
        .address = &peer->address,
        .address_size = peer->address_size,
        .tls_name = peer->tls_name[0] != '\0' ? peer->tls_name : NULL,
        .watch = watcher != NULL      ? CONN_WATCH_PREFIX
                 : core->near != NULL ? CONN_WATCH_READS
                                      : CONN_WATCH_NOTHING,
        .prefix = prefix,
        .user = lane,
    };
    lane->conn = conn_open(&core->setting, &target, why, why_size);
    if (lane->conn == NULL) {
        free(lane);
        return NULL;
    }
    core->open++;
    lane->next = core->lanes;
    if (lane->next != NULL) {
        lane->next->prev = lane;
    }
    core->lanes = lane;
    return lane;
}

static bool is_usable(const struct lane *lane)
{
    return lane != NULL && (conn_is_ready(lane->conn) || conn_is_opening(lane->conn));
}

static struct peer *make_peer(struct core *core, struct cluster_endpoint *endpoint)
{
    struct peer *peer = calloc(1, sizeof *peer);
    if (peer != NULL) {
        peer->core = core;
        peer->endpoint = endpoint;
        peer->at = hash_checksum(slice_of(cluster_endpoint_address(endpoint)));
        if (!core_resolve(core, cluster_endpoint_address(endpoint), peer)) {
            free(peer);
            return NULL;
        }
        cluster_endpoint_set_user(endpoint, peer);
    }
    return peer;
}

/* The one that is ready and has least to do, or that opens; another is opened while all have something to do. */
struct lane *core_lane(struct core *core, struct cluster_endpoint *endpoint, char *why,
                       size_t why_size)
{
    struct peer *peer = cluster_endpoint_user(endpoint);
    const size_t most = (size_t)core->options->connections;
    struct lane *best = NULL;
    if (peer == NULL && (peer = make_peer(core, endpoint)) == NULL) {
        error_say(why, why_size, "no memory, or not an address");
        return NULL;
    }
    for (size_t i = 0; i < most; i++) {
        struct lane *lane = peer->lanes[i];
        if (!is_usable(lane)) {
            if (best != NULL && conn_is_ready(best->conn) && conn_load(best->conn) == 0) {
                continue;
            }
            char text[160];
            struct lane *opened = lane_open(core, peer, NULL, (struct slice){0}, text, sizeof text);
            peer->lanes[i] = opened;
            if (opened == NULL && best == NULL) {
                error_say(why, why_size, "%s", text);
                return NULL;
            }
            lane = opened;
        }
        if (lane != NULL &&
            (best == NULL || conn_is_ready(lane->conn) > conn_is_ready(best->conn) ||
             (conn_is_ready(lane->conn) == conn_is_ready(best->conn) &&
              conn_load(lane->conn) < conn_load(best->conn)))) {
            best = lane;
        }
    }
    return best;
}

void peer_free(struct peer *peer, enum terrace_status why)
{
    struct lane *next = NULL;
    for (struct lane *lane = peer != NULL ? peer->core->lanes : NULL; lane != NULL; lane = next) {
        next = lane->next; /* lanes go only when libuv has let go of their handles, later */
        if (lane->peer == peer) {
            let_go(lane);
            conn_close(lane->conn, why);
            lane->peer = NULL;
        }
    }
    free(peer);
}
