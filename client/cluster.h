/* SPDX-License-Identifier: BSD-3-Clause */
/* cluster.h -- the endpoints a client may ask, how they are, and which one is asked next.
 *
 * Pure: it is told the time and what happened, and opens nothing. One endpoint's life:
 *
 *                    3 failures in a row                         its time is over: one probe
 *      UNKNOWN, UP ----------------------> DOWN, breaker open  ------------------------------> DOWN, half-open
 *         ^   ^    (requests and probes)     ^  0.5, 1, 2, 2 s  <------------------------------      |
 *         |   |                              |                   it failed: the next, longer time    |
 *       joined  ------------------------------------------------------------------------------------+
 *                                            one good probe
 *
 * Only a probe ends DOWN: what becomes of requests that were sent before says nothing any more. A request is never a probe, so
 * no user's request is spent to find out.
 *
 * REGIONS. All requests go to one region, the CURRENT one. A region is DOWN while all of its endpoints are. Nobody's hand:
 *      failover    the current region is DOWN or has left: at once to the best one that is not. If all are DOWN, it stays, and
 *                  nothing is asked.
 *      failback    a better region has had an endpoint that is UP at every moment of the last hold-down: to the best such one.
 * So the current region is the best that is not DOWN, except for one that is better and still in its hold-down. Flaps are
 * bounded: from one failback to a region to the next one to it passes a hold-down at least; a failover needs that every
 * endpoint of the current region went DOWN, and none does that twice within 0.8 of its breaker's first time. (New
 * priorities and hands are obeyed at once.)
 *
 * PROBES. Each endpoint of each region is probed once a second unless it answered something meanwhile, at once after a failure,
 * when requests of it are under way and none was answered for CLUSTER_SILENCE_MS, and when its breaker's time is over. There is
 * at most one probe of an endpoint under way.
 *
 * Owns:    endpoints. One that has left stays valid while requests or a probe of it are under way or it has a user
 *          (cluster_endpoint_set_user); the call that takes the last of these away frees it.
 * Threads: one at a time.
 * Units:   ms of a monotonic clock that never goes back; latencies in us.
 * Limits:  CLUSTER_*_MAX. Nothing is allocated but by cluster_new and cluster_update. */
#ifndef TERRACE_CLIENT_CLUSTER_H
#define TERRACE_CLIENT_CLUSTER_H

#include "protocol/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CLUSTER_ENDPOINTS_MAX = 256,
    CLUSTER_REGIONS_MAX = 16,
    CLUSTER_ADDRESS_MAX = 300, /* a host name has 255 characters at most */
    CLUSTER_REGION_NAME_MAX = 63,
    CLUSTER_EVENTS_MAX = 256,
    CLUSTER_WHY_MAX = 96,
    CLUSTER_SILENCE_MS = 250
};

struct cluster;
struct cluster_endpoint;

enum cluster_strategy {
    CLUSTER_ROUND_ROBIN,       /* in turn; `warmth` counts, `weight` only whether it is 0 */
    CLUSTER_WEIGHTED,          /* smooth weighted round robin, as nginx */
    CLUSTER_LEAST_CONNECTIONS, /* the fewest requests under way per weight */
    CLUSTER_LATENCY,           /* the better of two at random by latency x requests under way */
    CLUSTER_HASH,              /* consistent hashing with bounded loads */
    CLUSTER_STICKY             /* an affinity stays where it is; new ones as WEIGHTED */
};

/* Zeros are the defaults. */
struct cluster_options {
    enum cluster_strategy strategy;
    uint64_t seed;             /* of jitter and of chance; the same seed, the same choices */
    unsigned failures_to_down; /* 3 in a row */
    int64_t breaker_open_ms; /* 500: the first time; doubled while probes fail, each with jitter */
    int64_t breaker_most_ms; /* 2000 */
    int64_t probe_every_ms;  /* 1000 */
    int64_t hold_down_ms;    /* 10 s; -1: none */
    int64_t sticky_ttl_ms;   /* 10 min since it was last asked for */
    double hash_load;    /* 1.25: no endpoint has more than so many times its share; 1 at least */
    unsigned sticky_max; /* 65536 affinities: the one not asked for longest goes */
};

struct cluster *cluster_new(const struct cluster_options *options); /* NULL: no memory, or a value
                                                                       that makes no sense */
void cluster_free(struct cluster *cluster); /* with all endpoints; NULL is fine */

struct cluster_endpoint_spec {
    /* host:port, or unix:/path: what tells endpoints apart, and their place on the ring. */
    const char *address;
    const char *region; /* NULL: "" */
    /* Of the region: the least is the best; the least that any of it says counts. */
    unsigned priority;
    double weight; /* its share; 0: none as long as another may be asked (it drains) */
    double warmth; /* 0..1 of its share while the node warms up; 0: nothing said, all of it */
};

/* What discovery found: replaces the list. Endpoints that stay keep their state; the same address twice is one. Nothing
 * found is INVALID: who knows of none keeps those it had. INVALID also: an empty or too long name, a weight that is no
 * number or below 0; TOO_BIG: more endpoints or regions than may be; NO_MEMORY. */
enum status cluster_update(struct cluster *cluster, const struct cluster_endpoint_spec *specs,
                           size_t count, int64_t now_ms) MUST_USE;
/* One that has left and still has a user, each once; NULL: no more. Its owner closes what it has and takes its user away. */
struct cluster_endpoint *cluster_next_left(struct cluster *cluster);

void *cluster_endpoint_user(const struct cluster_endpoint *endpoint);
/* NULL: takes it away, which frees the endpoint if it has left and nothing is under way. */
void cluster_endpoint_set_user(struct cluster_endpoint *endpoint, void *user);
const char *cluster_endpoint_address(const struct cluster_endpoint *endpoint);
bool cluster_endpoint_has_left(const struct cluster_endpoint *endpoint);

/* --- requests ------------------------------------------------------------------------------------------------------ */

/* The one to ask now, of the current region and not DOWN. `hash`: of the affinity, XXH64 with seed 0 (hash_checksum; the
 * same in all clients). `except`: NULL, or one not to choose if the region has another (retries, hedges). NULL: none may
 * be asked; *ret_wait_ms says when to look again, or sooner, when a probe was good. */
struct cluster_endpoint *cluster_choose(struct cluster *cluster, uint64_t hash,
                                        const struct cluster_endpoint *except, int64_t now_ms,
                                        int64_t *ret_wait_ms);
void cluster_on_sent(struct cluster *cluster, struct cluster_endpoint *endpoint, int64_t now_ms);
/* Each sent one ends by exactly one of: */
void cluster_on_answered(struct cluster *cluster, struct cluster_endpoint *endpoint,
                         int64_t latency_us, int64_t now_ms);
/* The connection was lost or refused, or no answer came in time. An error that the node answered is an answer. */
void cluster_on_failed(struct cluster *cluster, struct cluster_endpoint *endpoint, const char *why,
                       int64_t now_ms);
/* Not its fault: cancelled, a hedge that lost. */
void cluster_on_left(struct cluster *cluster, struct cluster_endpoint *endpoint);

/* --- health -------------------------------------------------------------------------------------------------------- */

/* One that is due for a probe, which is under way from now on: exactly one cluster_on_probe follows. Call until it says
 * false. */
bool cluster_next_probe(struct cluster *cluster, int64_t now_ms,
                        struct cluster_endpoint **ret_endpoint);
/* `why` of one that failed; NULL otherwise. */
void cluster_on_probe(struct cluster *cluster, struct cluster_endpoint *endpoint, bool ok,
                      const char *why, int64_t now_ms);
/* How long until cluster_tick and cluster_next_probe have something to do; 0: now. */
int64_t cluster_next_tick_ms(const struct cluster *cluster, int64_t now_ms);
void cluster_tick(struct cluster *cluster, int64_t now_ms); /* failback */

/* By hand: `region` is current until it is DOWN (`force`: even then), or leaves; NULL: by priority again. INVALID: there is no
 * such region; L2_DOWN: it is DOWN, and this is not forced. */
enum status cluster_use_region(struct cluster *cluster, const char *region, bool force,
                               int64_t now_ms) MUST_USE;

/* --- looking inside ------------------------------------------------------------------------------------------------ */

enum cluster_health {
    CLUSTER_UNKNOWN, /* nothing was heard of it so far; it may be asked */
    CLUSTER_UP,
    CLUSTER_DOWN
};
enum cluster_breaker {
    CLUSTER_CLOSED,
    CLUSTER_OPEN,
    CLUSTER_HALF_OPEN
};

struct cluster_endpoint_description {
    const char *address; /* borrowed until the next call that changes something */
    const char *region;
    const struct cluster_endpoint *endpoint;
    enum cluster_health health;
    enum cluster_breaker breaker;
    bool is_current_region;
    double weight;      /* with warmth */
    int64_t latency_us; /* moving average that peaks at once; -1: none was measured */
    unsigned inflight;
    unsigned failures_in_row;
    uint64_t requests; /* that were sent */
    uint64_t failures; /* of them */
    int64_t since_ms;  /* in this health */
};
/* Copies up to `room`, in the order of discovery; returns how many there are. */
size_t cluster_describe(const struct cluster *cluster, struct cluster_endpoint_description *infos,
                        size_t room);

struct cluster_event {
    int64_t at_ms;
    char address[CLUSTER_ADDRESS_MAX + 1]; /* "": of a region */
    char region[CLUSTER_REGION_NAME_MAX + 1];
    /* "joined", "up", "down: connection refused", "failover from eu: ...". */
    char what[CLUSTER_WHY_MAX];
};
/* The newest first: copies up to `room`; returns how many are kept (CLUSTER_EVENTS_MAX at most). */
size_t cluster_history(const struct cluster *cluster, struct cluster_event *events, size_t room);

struct cluster_counters {
    uint64_t failovers;
    uint64_t failbacks;
    uint64_t went_down; /* endpoints */
};
void cluster_counters(const struct cluster *cluster, struct cluster_counters *ret_counters);
const char *cluster_current_region(const struct cluster *cluster); /* "": none was found, or it has
                                                                      no name */

#endif
