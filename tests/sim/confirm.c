/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/confirm.h"

#include "tests/sim/node.h"

#include <stdlib.h>

enum {
    LETTER_US = 300
};

struct confirm_wait {
    struct coherence_waiter waiter;
    struct thread *home;
    enum status status;
    struct list confirms;
};

static void on_back(struct world *world, void *arg, uint64_t number)
{
    struct confirm_wait *wait = arg;
    (void)world;
    (void)number;
    (void)node_begin_batch(wait->home->node, wait->home->index - 1);
    while (!list_empty(&wait->confirms)) {
        struct tiers_confirm *confirm =
            LIST_ENTRY(wait->confirms.next, struct tiers_confirm, in_roof);
        list_remove(&confirm->in_roof);
        confirm->on_confirmed(confirm, wait->status);
    }
    free(wait);
}

static void on_done(struct coherence_waiter *waiter, enum status status)
{
    struct confirm_wait *wait = LIST_ENTRY(waiter, struct confirm_wait, waiter);
    struct world *world = wait->home->node->world;
    wait->status = status;
    world_at(world, world_between(world, 1, LETTER_US), wait->home, on_back, wait, 0);
}

static void on_ask(struct world *world, void *arg, uint64_t number)
{
    struct confirm_wait *wait = arg;
    const struct node *node = wait->home->node;
    (void)world;
    (void)number;
    const enum status status =
        coherence_wait(tiers_coherence(node->tiers), &wait->waiter, node_now_ms(node));
    if (status != OK) {
        on_done(&wait->waiter, status);
    }
}

enum status confirm_ask(void *roof, struct tiers_confirm *confirm, int64_t deadline_ms)
{
    struct thread *thread = roof;
    struct node_confirms *confirms = &thread->node->confirms[thread->index - 1];
    list_push_back(&confirms->list, &confirm->in_roof);
    confirms->deadline_ms =
        deadline_ms > confirms->deadline_ms ? deadline_ms : confirms->deadline_ms;
    return OK;
}

void confirm_send(struct thread *thread)
{
    struct world *world = thread->node->world;
    struct node_confirms *confirms = &thread->node->confirms[thread->index - 1];
    if (list_empty(&confirms->list)) {
        return;
    }
    struct confirm_wait *wait = sim_alloc(sizeof *wait);
    *wait = (struct confirm_wait){
        .waiter = {.kind = WAITER_EVERYWHERE,
                   .deadline_ms = confirms->deadline_ms,
                   .on_done = on_done},
        .home = thread,
    };
    confirms->deadline_ms = 0;
    list_init(&wait->confirms);
    list_splice_back(&wait->confirms, &confirms->list);
    world_at(world, world_between(world, 1, LETTER_US), &thread->node->threads[0], on_ask, wait, 0);
}

void confirm_end(struct node *node)
{
    struct world *world = node->world;
    for (unsigned i = 0; i < world->worker_count; i++) {
        confirm_send(&node->threads[1 + i]);
    }
    coherence_end_waits(tiers_coherence(node->tiers));
    world_run_letters(world, node, on_ask);
    world_run_letters(world, node, on_back);
}
