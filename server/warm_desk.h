/* SPDX-License-Identifier: BSD-3-Clause */
/* warm_desk.h -- this node's part in the warm jobs of the cluster (tiers/warm_script.h), on the first worker's loop.
 *
 *      tick -> BEAT (renews what the node holds; the queue's version) ~> changed: TAKE ~> ROWS, one per job it has a part in
 *
 *      lane      heap (tiers/warm_queue.h) -> a slot -> NEXT ~> a chunk -> warm_run ~> all keys done -> NEXT (this one is done) ~> ...
 *      producer  source ~> keys -> APPEND, a chunk each ~> source ...
 *
 * SLOTS: so many chunks of different jobs are with the engine at once (warm_run.h), which serves the highest priority first.
 * A slot is given up after each chunk to who is first by then. So a slow job (rate) holds up none that is not as slow.
 *
 * While L2 cannot be asked all stays as it is; what was not told is told when it can. A node with `warm-rate` 0 takes no
 * part: it gives back what it holds, but its clients may submit jobs for the others, and are told how the queue stands
 * (LOOK).
 *
 * Owns:    rows, and what their sources need.
 * Threads: the first worker's; warm_desk_describe any.
 * Limits:  WARM_SLOTS; WARM_SOURCES_WEIGH; jobs and bytes of the queue as warm.h; WARM_CALLS_MAX calls under way. */
#ifndef TERRACE_SERVER_WARM_DESK_H
#define TERRACE_SERVER_WARM_DESK_H

#include "server/standing.h"

enum {
    WARM_SLOTS = 16,
    WARM_SOURCES_WEIGH = 16, /* sources that are open at once; a log is 8 */
    WARM_CALLS_MAX = 1024
};

struct warm_desk;
struct worker;

struct warm_desk *warm_desk_new(struct worker *worker); /* NULL: no memory */
void warm_desk_tick(struct warm_desk *desk); /* each 100 ms, after the worker read the clock */
/* The node ends: it gives back what it holds. Calls are answered L2DOWN from now on. */
void warm_desk_leave(struct warm_desk *desk);
/* Before the window's links end: no run and no source goes on. */
void warm_desk_stop(struct warm_desk *desk);
void warm_desk_free(struct warm_desk *desk); /* after the loop has run out; NULL is fine */

struct warm_description {
    unsigned queued; /* jobs in which this node has a part */
    unsigned running;
    unsigned paused;
    unsigned open;   /* of the cluster, as of the last beat, or look */
    bool takes_part; /* else: warm-rate is 0, it drains, or has no L2 */
    unsigned slots;  /* in use */
    struct standing_description standing;
};
/* NULL: all zero. */
void warm_desk_describe(const struct warm_desk *desk, struct warm_description *ret);

#endif
