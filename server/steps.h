/* SPDX-License-Identifier: BSD-3-Clause */
/* steps.h -- long work of a worker's loop, cut into STEPS that other clients' calls run between.
 *
 *      turn of the loop:   poll | batch | steps, in the order of asking, until STEPS_NS are used up | flush
 *
 * At least one runs in each turn. The loop does not sleep while one waits.
 *
 * Owns:    nothing: a step is embedded in what it belongs to, which lives until it has run.
 * Threads: the worker's. */
#ifndef TERRACE_SERVER_STEPS_H
#define TERRACE_SERVER_STEPS_H

#include "tiers/base/list.h"

enum {
    STEPS_NS = 500 * 1000 /* of a turn: beyond that the next step waits for the next one */
};

struct worker;

struct step {
    void (*run)(struct step *step); /* exactly once after steps_add; it may add itself again */
    struct list in_steps;
};

/* It runs in a later turn, and not from inside. */
void steps_add(struct worker *worker, struct step *step);
/* Those of this turn. The clock was read. */
void steps_run(struct worker *worker);
/* All that wait, at the end: who is waited for has left. */
void steps_end(struct worker *worker);

#endif
