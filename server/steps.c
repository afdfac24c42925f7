/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/steps.h"

#include "server/worker.h"
#include "tiers/base/clock.h"

void steps_add(struct worker *worker, struct step *step)
{
    list_push_back(&worker->steps, &step->in_steps);
    worker_stay_awake(worker);
}

static void step_run(struct list *steps)
{
    struct step *step = LIST_ENTRY(steps->next, struct step, in_steps);
    list_remove(&step->in_steps);
    step->run(step);
}

void steps_run(struct worker *worker)
{
    const uint64_t began_ns = clock_monotonic_ns();
    struct list steps;
    list_init(&steps);
    list_splice_back(&steps, &worker->steps);
    do {
        step_run(&steps);
    } while (!list_empty(&steps) && clock_monotonic_ns() - began_ns < STEPS_NS);
    if (!list_empty(&steps)) {
        list_splice_back(&steps, &worker->steps); /* those that waited longer go first */
        list_splice_back(&worker->steps, &steps);
        worker_stay_awake(worker);
    }
}

void steps_end(struct worker *worker)
{
    while (!list_empty(&worker->steps)) {
        step_run(&worker->steps);
    }
}
