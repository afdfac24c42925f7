/* SPDX-License-Identifier: BSD-3-Clause */
/* core.h -- one client on one loop: what its two faces, asynchronous and blocking, have in common.
 *
 *      request_start -> core_lane (which connection) -> conn_send ... prepare: conn_flush_dirty: one write per connection and turn
 *
 * A PEER is an endpoint of the cluster with its connections. A LANE is one connection in its place, and the stream of
 * changes that it may carry. All that happens within a turn of the loop leaves at its end.
 *
 * Owns:    its handles in the loop, connections, the cluster, L0.
 * Threads: the loop's, but for `near` and `options`, which stay the same while the core lives.
 * Units:   ms of clock_ms(). */
#ifndef TERRACE_CLIENT_CORE_H
#define TERRACE_CLIENT_CORE_H

#include "client/cluster.h"
#include "client/conn.h"
#include "client/near.h"
#include "client/request.h"

struct discovery;
struct peer;
struct watcher;

enum {
    PEER_LANES_MAX = 64 /* option connections */
};

/* What is told with the turn, since it may not be told from where it became known. */
struct core_later {
    struct core_later *next;
    void (*tell)(struct core_later *later, bool is_closed);
};

struct lane {
    struct core *core;
    struct lane *next, *prev; /* of all */
    struct peer *peer;        /* NULL: of a watcher, or of an endpoint that has left */
    struct watcher *watcher;  /* not NULL: its connection tells this one, and carries no requests */
    struct conn *conn;
    struct near_stream stream;
    struct timer beat;
    bool is_blamed; /* its calls were lost, which counts once for all of them */
};

struct peer {
    struct core *core;
    struct cluster_endpoint *endpoint;
    uint64_t at; /* hash_checksum of its address */
    struct sockaddr_storage address;
    socklen_t address_size;
    char tls_name[256];                 /* "": plain */
    struct lane *lanes[PEER_LANES_MAX]; /* NULL: none */
};

struct core {
    struct terrace_options *options;
    struct link_context *links;
    struct conn_setting setting;
    struct cluster *cluster;
    struct near *near; /* NULL: no L0 */
    struct discovery *discovery;
    struct wheel wheel;
    uv_timer_t timer;
    uv_prepare_t prepare;
    uv_idle_t idle;
    struct timer tick;   /* the cluster's */
    uint64_t moves_seen; /* of its regions */
    uint64_t chance;
    struct request *all, *ended, *ended_last, *starved;
    struct lane *lanes;
    struct core_later *later, **later_last;
    struct watcher *watchers;
    size_t inflight;
    uint64_t queue_bytes;
    uint64_t near_hits_told;
    struct tally tally;
    unsigned open; /* handles, connections, look-ups that libuv still has */
    bool is_closing;
    void (*on_closed)(void *arg);
    void *on_closed_arg;
};

/* NULL: `error` says why. The options are copied. */
struct core *core_open(uv_loop_t *loop, const struct terrace_options *options, char *error,
                       size_t error_size);
/* Requests end with CLOSED, then on_closed comes from the loop, which has nothing of it any more. Then core_free; until
 * then other threads may still be in its L0, its options, its tally. */
void core_close(struct core *core, void (*on_closed)(void *arg), void *arg);
void core_free(struct core *core);

/* Announces what ended and writes what waits: at the end of each turn by itself, or now. */
void core_turn(struct core *core);
void core_tell_later(struct core *core, struct core_later *later); /* takes it */
void core_wake(struct core *core);  /* core_turn is to be called in this turn */
void core_unref(struct core *core); /* one of `open` is gone */

/* The connection to ask this endpoint over: ready, or opening. NULL: `why`; blame the endpoint. */
struct lane *core_lane(struct core *core, struct cluster_endpoint *endpoint, char *why,
                       size_t why_size);
/* Where an address of the cluster is; false: it is none. */
bool core_resolve(struct core *core, const char *address, struct peer *ret);
/* The cluster is to be looked after within so long: a request was sent, or failed. */
void core_tick_within(struct core *core, int64_t ms);
/* The cluster has changed, or somebody is better: whoever starves tries again. */
void core_feed(struct core *core);
/* Another region is asked now: whoever waits for a second try tries again. */
void core_hurry(struct core *core);

void core_counters(struct core *core, struct terrace_counters *ret);
size_t core_endpoints(struct core *core, struct terrace_endpoint_info *infos, size_t room);
size_t core_history(struct core *core, struct terrace_health_event *events, size_t room);
enum terrace_status core_use_region(struct core *core, const char *region, bool force);

/* lane.c */
extern const struct conn_hooks lane_hooks;
void peer_free(struct peer *peer, enum terrace_status why);
struct lane *lane_open(struct core *core, struct peer *peer, struct watcher *watcher,
                       struct slice prefix, char *why, size_t why_size);
/* Of a request (request.c). */
void request_on_turn(struct call *call, struct lane *lane);
void request_on_answer(struct call *call, struct lane *lane, struct conn_answer *answer);
void request_on_lost(struct call *call, struct lane *lane, enum terrace_status why);
void request_close_all(struct core *core);
void request_announce(struct core *core);

/* discover.c */
struct discovery *discovery_new(struct core *core);
void discovery_begin(struct discovery *discovery);
void discovery_stop(struct discovery *discovery);
void discovery_free(struct discovery *discovery);
/* The host that an address was found under; NULL: none. */
const char *discovery_host(const struct discovery *discovery, const char *address);
const char *discovery_why(const struct discovery *discovery); /* while it is pending */
bool discovery_is_pending(
    const struct discovery *discovery); /* names were asked for, and nothing is known yet */

/* watcher.c: a stream of changes under a prefix. */
struct watcher {
    struct core *core;
    struct watcher *next;
    struct lane *lane; /* NULL: between two connections */
    struct timer again;
    uint64_t seq;
    struct slice prefix; /* owned by who made it */
    bool is_ready;
    unsigned failed;
    const struct cluster_endpoint *failed_at; /* only to be compared */
    /* keys NULL: anything may have changed. */
    void (*on_change)(struct watcher *watcher, const struct native_event *event, struct slice keys);
};
void watcher_begin(struct core *core, struct watcher *watcher);
void watcher_end(struct watcher *watcher);
void watcher_on_ready(struct watcher *watcher);
bool watcher_on_event(struct watcher *watcher, const struct native_event *event, struct slice keys);
bool watcher_on_beat(struct watcher *watcher, const struct native_reply *reply);
void watcher_on_lost(struct watcher *watcher);

#endif
