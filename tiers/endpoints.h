/* SPDX-License-Identifier: BSD-3-Clause */
/* endpoints.h -- which of the addresses that the option `l2` names is L2 now.
 *
 *      several URLs       the current one is left after ENDPOINT_FAILURES failures in a row, for the best that has not
 *                         failed within the hold-down; if all have, for the one whose failure is the longest ago. One
 *                         that has not answered since it was left is given one attempt, not three.
 *      independent=1      besides, every better one is probed once a second while a lesser one serves; the node goes
 *                         back when one has answered for the whole hold-down. (In a replication group there is nothing
 *                         to go back to: the preferred address is a replica until it is promoted, and then the current
 *                         one is none any more, which is a failure.)
 *      sentinels          L2 is where the sentinels say; failures are theirs to judge. (sentinel.h)
 *
 * BREAKER: each endpoint has one, which is closed until ENDPOINT_FAILURES failures in a row, then open, and half-open while it
 * is given its one attempt. (Links refuse requests from the first failed attempt on: link.h, L2_DOWN. So while a breaker
 * is closed a request may wait for an answer; while it is open none does, and the attempt carries no request of a client.)
 *
 * A choice by hand (CACHE.FAILOVER) stays until that endpoint fails.
 *
 * Flaps are bounded: from one change to the next without a hand pass ENDPOINT_FAILURES failures or the hold-down, or,
 * among endpoints that are all failing, one failed attempt.
 *
 * Owns:    what it is given as addresses of masters; URLs it hands out live as long as it does. Of masters that sentinels
 *          named the latest ENDPOINT_MASTERS_MAX are kept: whoever held the URL of an earlier one has long left it, for
 *          it is dropped no sooner than ENDPOINT_MASTER_KEPT_MS after it was named. Until then no more new ones are
 *          believed.
 * Threads: the control loop's; url pointers may be read anywhere, they never change.
 * Units:   milliseconds of clock.h. */
#ifndef TERRACE_TIERS_ENDPOINTS_H
#define TERRACE_TIERS_ENDPOINTS_H

#include "tiers/l2_url.h"

enum {
    ENDPOINT_FAILURES = 3,
    ENDPOINT_PROBE_MS = 1000,
    ENDPOINT_EVENTS = 16,
    ENDPOINT_MASTERS_MAX = 256,
    ENDPOINT_MASTER_KEPT_MS =
        3600 * 1000, /* longer than links and lost writes name where they were */
    ENDPOINT_WHY_MAX = 120
};

struct endpoints;

struct endpoints_options {
    const struct l2_urls *urls; /* borrowed for life */
    int64_t hold_ms;            /* of failback, and of what failed */
};

struct endpoints *endpoints_new(const struct endpoints_options *options); /* NULL: no memory */
void endpoints_free(struct endpoints *endpoints);

/* Where L2 is. NULL: no sentinel has said yet. */
const struct l2_url *endpoints_current(const struct endpoints *endpoints);
bool endpoints_current_failed(const struct endpoints *endpoints); /* when it was last tried */

/* The control link is on its way to the current one. */
void endpoints_on_attempt(struct endpoints *endpoints);
/* What became of the control link: its greeting was accepted, or it was lost, refused, overdue. true: the current
 * endpoint is another one now, and all links must follow. */
void endpoints_on_up(struct endpoints *endpoints, int64_t now_ms);
bool endpoints_on_failure(struct endpoints *endpoints, const char *why, int64_t now_ms);

/* The endpoint that wants a probe now, or NULL; then endpoints_on_probe says what came of it (`why` NULL: a master
 * answered). true: the node goes back to it. */
const struct l2_url *endpoints_probe_due(struct endpoints *endpoints, int64_t now_ms);
bool endpoints_on_probe(struct endpoints *endpoints, const struct l2_url *url, const char *why,
                        int64_t now_ms);

/* A sentinel said where the master is. true: that is news. NO_MEMORY counts as no news: it will be said again. */
bool endpoints_on_master(struct endpoints *endpoints, struct slice host, int port, int64_t now_ms);

/* By hand: the next one, or the one with this address ("host:port" or a path). OK: it is the current one now. MISS: no
 * such endpoint. AGAIN: it already is. */
enum status endpoints_choose(struct endpoints *endpoints, const char *address,
                             int64_t now_ms) MUST_USE;

enum endpoint_breaker {
    ENDPOINT_CLOSED,
    ENDPOINT_OPEN,
    ENDPOINT_HALF_OPEN
};
extern const char *const endpoint_breaker_names[3]; /* "closed", "open", "half-open" */

struct endpoint_description {
    const struct l2_url *url;
    bool is_current;
    enum endpoint_breaker breaker;
    unsigned failures;          /* in a row */
    int64_t up_at_ms;           /* last success; 0: never */
    int64_t failed_at_ms;       /* last failure; 0: never */
    char why[ENDPOINT_WHY_MAX]; /* of the last failure, or "" */
};
struct endpoint_event {
    int64_t at_ms;
    const struct l2_url *to;
    char why[ENDPOINT_WHY_MAX];
};
size_t endpoints_describe(const struct endpoints *endpoints,
                          struct endpoint_description ret[L2_URLS_MAX]);
/* The changes of the current endpoint, the newest first. */
size_t endpoints_events(const struct endpoints *endpoints,
                        struct endpoint_event ret[ENDPOINT_EVENTS]);

#endif
