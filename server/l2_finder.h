/* SPDX-License-Identifier: BSD-3-Clause */
/* l2_finder.h -- finds L2: drives tiers/endpoints.h with what its links learn.
 *
 * The control link reports how it fares. Besides, the finder has two links of its own, neither of which ever carries a
 * client's command: one to a sentinel, if L2 stands behind sentinels (asked every second, at once when the control link is
 * lost, and it tells of switches by itself; another sentinel is taken when it does not answer), and one that looks at
 * better endpoints while a lesser one serves.
 *
 * Whoever the current endpoint is, tiers_url says so to all loops; on_moved tells the control loop that it changed.
 *
 * Owns:    its links, the endpoints.
 * Threads: the control loop's, except l2_finder_describe. */
#ifndef TERRACE_SERVER_L2_FINDER_H
#define TERRACE_SERVER_L2_FINDER_H

#include "server/l2_socket.h"
#include "tiers/endpoints.h"

struct l2_finder;
struct node;

struct l2_finder_options {
    struct node *node;
    struct l2_roof *roof;                          /* borrowed: its links' sockets */
    void (*on_moved)(void *arg, int64_t delay_ms); /* links follow after so long */
    void *arg;
};

enum {
    L2_FINDER_ERROR_MAX = 200
};

struct l2_finder *l2_finder_new(const struct l2_finder_options *options); /* NULL: no memory */
void l2_finder_close(struct l2_finder *finder); /* on the loop: its links end */
void l2_finder_free(struct l2_finder *finder);  /* after l2_finder_close; NULL is fine */
void l2_finder_tick(struct l2_finder *finder, int64_t now_ms);

/* How the control link fares. */
void l2_finder_on_attempt(struct l2_finder *finder); /* it connects, or is being greeted */
void l2_finder_on_up(struct l2_finder *finder, int64_t now_ms);
void l2_finder_on_failure(struct l2_finder *finder, const char *why, int64_t now_ms);

/* By hand. `address` empty: the next endpoint; behind sentinels: they are asked for a failover, and nothing moves before
 * they say so. OK, or `error` says why not. */
enum status l2_finder_choose(struct l2_finder *finder, struct slice address, int64_t now_ms,
                             char error[L2_FINDER_ERROR_MAX]) MUST_USE;

struct l2_finder_description {
    size_t count;
    struct endpoint_description endpoints[L2_URLS_MAX];
    size_t event_count;
    struct endpoint_event events[ENDPOINT_EVENTS]; /* newest first */
    char sentinel[L2_URL_ADDRESS_MAX];             /* the one that is asked, or "" */
    bool sentinel_up;
};
/* Any thread: a copy as of the last tick. */
void l2_finder_describe(struct l2_finder *finder, struct l2_finder_description *ret);

#endif
