/* SPDX-License-Identifier: BSD-3-Clause */
/* standing.h -- standing warm jobs: CACHE.WARM REGISTER.
 *
 *      schedule        STANDING ~> the jobs and when they are due (Redis' clock) -> due: FIRE ~> of all nodes that say so one has
 *                      submitted a job like it (tiers/scripts/warm.lua), and all know when it is due next
 *      before_expiry   STANDING ~> server/early.h reads the hottest values anew; what it prevented is told by PREVENTED
 *
 * The list is read again whenever the queue's version has changed. A run whose last one has not ended, or that finds no room
 * in the queue, is left out. Times that passed while no node was there are one run, as soon as one is.
 *
 * What was prevented is told every STANDING_TELL_MS; a figure that is on its way when L2 is lost is lost with it.
 *
 * Owns:    its list.
 * Threads: the first worker's; part of the desk (warm_desk.h), which tells it the time. */
#ifndef TERRACE_SERVER_STANDING_H
#define TERRACE_SERVER_STANDING_H

#include "server/warm.h"

enum {
    STANDING_TELL_MS = 1000
};

struct standing;
struct warm_desk;

struct standing *standing_new(struct warm_desk *desk); /* NULL: no memory */
void standing_changed(struct standing *standing);      /* the queue's version */
void standing_tick(struct standing *standing);         /* each 100 ms */
/* The node takes no part any more, or ends: nothing is fired and nothing read early, until the next tick. */
void standing_rest(struct standing *standing);
void standing_stop(struct standing *standing); /* for good */
void standing_free(struct standing *standing); /* when no question is under way; NULL is fine */

/* When a job that is registered is due first, in Redis' time; 0: not by the clock. The job was parsed. */
int64_t standing_first_ms(const struct warm_job *job, int64_t redis_now_ms);

/* How many the queue has. */
void standing_show_jobs(struct standing *standing, unsigned jobs);

struct standing_description {
    unsigned jobs;       /* of the cluster, as of the last beat */
    unsigned early_keys; /* that are watched */
    uint64_t fired;      /* by this node */
};
void standing_describe(const struct standing *standing,
                       struct standing_description *ret); /* any thread */

#endif
