/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/barrier.h"

#include "server/control.h"
#include "server/node.h"
#include "server/worker.h"
#include "tiers/tiers.h"

void barrier_desk_open(struct barrier_desk *desk)
{
    *desk = (struct barrier_desk){0};
    list_init(&desk->asked);
    list_init(&desk->next);
}

/* on_passed may hold another place, so all leave the list before anybody is told. */
static void pass(struct list *places)
{
    struct list passed;
    list_init(&passed);
    list_splice_back(&passed, places);
    while (!list_empty(&passed)) {
        struct barrier_place *place = LIST_ENTRY(passed.next, struct barrier_place, link);
        list_remove(&place->link);
        place->on_passed(place);
    }
}

/* On the control loop. */
static void barrier_on_done(struct barrier *barrier)
{
    errand_back(&LIST_ENTRY(barrier, struct barrier_desk, barrier)->errand);
}

static void barrier_run(struct errand *errand)
{
    struct barrier_desk *desk = (struct barrier_desk *)(void *)errand;
    struct node *node = errand->home->node;
    coherence_barrier(tiers_coherence(node->tiers), &desk->barrier, clock_now_ms(&node->clock));
}

static void barrier_ask(struct worker *worker);

static void barrier_done(struct errand *errand)
{
    struct barrier_desk *desk = (struct barrier_desk *)(void *)errand;
    desk->under_way = false;
    pass(&desk->asked);
    barrier_ask(errand->home);
}

static void barrier_ask(struct worker *worker)
{
    struct barrier_desk *desk = &worker->barrier;
    if (desk->under_way || list_empty(&desk->next)) {
        return;
    }
    struct node *node = worker->node;
    desk->errand.run = barrier_run;
    desk->errand.done = barrier_done;
    desk->barrier = (struct barrier){
        .run = desk->next_run,
        .deadline_ms = clock_now_ms(&node->clock) + atomic_load(&node->live.l2_timeout_ms),
        .on_done = barrier_on_done,
    };
    desk->next_run = BARRIER_RUN_ANY;
    list_splice_back(&desk->asked, &desk->next);
    desk->under_way = errand_send_urgent(&desk->errand, worker) == OK;
    if (!desk->under_way) { /* the control loop has ended, and every client is gone */
        pass(&desk->asked);
    }
}

void barrier_hold(struct worker *worker, struct barrier_place *place, uint64_t run)
{
    struct barrier_desk *desk = &worker->barrier;
    metrics_count(worker->metrics, M_BARRIERS);
    list_push_back(&desk->next, &place->link);
    if (desk->next_run == BARRIER_RUN_ANY) {
        desk->next_run = run;
    } else if (run != BARRIER_RUN_ANY && run != desk->next_run) {
        desk->next_run = BARRIER_RUN_NONE;
    }
    barrier_ask(worker);
}
