/* SPDX-License-Identifier: BSD-3-Clause */
/* barrier.h -- answers that are kept until this node serves nothing older than what they tell (tiers/barriers.h).
 *
 *      relay: reply of EVAL -> barrier_hold ~> control: PING ~> pong, twice -> on_passed -> answer_land
 *
 * One question of a worker is under way at a time; who comes meanwhile shares the next one. The answer waits in its place
 * in the queue of its connection as a write does (WAIT_WRITE): reads that the client sends behind it go to L2 on the
 * same link, and whoever reads after it was answered, on any connection of the node, finds nothing older.
 *
 * The wait ends with the pong, after l2-timeout at the latest, or at once when the bus is away; the floor has risen then.
 *
 * Owns:    nothing: a place is the holder's memory until its on_passed. The desk is the worker's.
 * Threads: the worker's. */
#ifndef TERRACE_SERVER_BARRIER_H
#define TERRACE_SERVER_BARRIER_H

#include "server/errand.h"

struct barrier_place {
    struct list link; /* private */
    void (*on_passed)(struct barrier_place *place);
};

struct barrier_desk {
    struct errand errand; /* first */
    struct barrier barrier;
    bool under_way;
    struct list asked; /* places whose question is under way */
    struct list next;  /* that came since */
    uint64_t next_run; /* the process that they are about */
};

void barrier_desk_open(struct barrier_desk *desk);
/* With on_passed set; it follows, perhaps from inside when the node ends. `run`: tiers_relay.run, 0 after UNKNOWN. */
void barrier_hold(struct worker *worker, struct barrier_place *place, uint64_t run);

#endif
