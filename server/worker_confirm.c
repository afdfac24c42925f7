/* SPDX-License-Identifier: BSD-3-Clause */
/* worker_confirm.c -- answers of strict keys, which wait until all nodes are rid of what is older. */
#include "server/errand.h"
#include "server/l2_socket.h"
#include "server/worker.h"
#include "tiers/tiers.h"

#include <stdlib.h>

enum {
    CONFIRM_WAITS_MAX = 128 /* of one worker */
};

/* All who come in one turn of the loop share one wait, so that pipelines of writes do not use up LIMIT_WAITERS. */
struct confirm_wait {
    struct bus_wait wait; /* first: an errand is cast back */
    struct list confirms;
};

static void confirms_end(struct list *confirms, enum status status)
{
    while (!list_empty(confirms)) {
        struct tiers_confirm *confirm = LIST_ENTRY(confirms->next, struct tiers_confirm, in_roof);
        list_remove(&confirm->in_roof);
        confirm->on_confirmed(confirm, status);
    }
}

static void worker_on_confirmed(struct errand *errand)
{
    struct confirm_wait *wait = (struct confirm_wait *)(void *)errand;
    struct worker *worker = errand->home;
    worker_read_clock(worker);
    worker->confirm_waits--;
    confirms_end(&wait->confirms, wait->wait.status);
    free(wait);
}

void worker_send_confirms(struct worker *worker)
{
    if (list_empty(&worker->confirms) || worker->confirm_waits >= CONFIRM_WAITS_MAX) {
        return;
    }
    struct confirm_wait *wait = malloc(sizeof(*wait));
    struct list confirms;
    list_init(&confirms);
    list_splice_back(&confirms, &worker->confirms);
    if (wait == NULL) {
        confirms_end(&confirms, NO_MEMORY);
        return;
    }
    *wait = (struct confirm_wait){
        .wait = {.errand = {.done = worker_on_confirmed},
                 .waiter = {.kind = WAITER_EVERYWHERE, .deadline_ms = worker->confirm_deadline_ms}},
    };
    list_init(&wait->confirms);
    list_splice_back(&wait->confirms, &confirms);
    worker->confirm_deadline_ms = 0;
    worker->confirm_waits++;
    if (bus_wait_send(&wait->wait, worker) != OK) {
        worker->confirm_waits--;
        list_splice_back(&confirms, &wait->confirms);
        free(wait);
        confirms_end(&confirms, BUSY);
    }
}

enum status worker_confirm(void *arg, struct tiers_confirm *confirm, int64_t deadline_ms)
{
    struct worker *worker = ((struct l2_roof *)arg)->owner;
    list_push_back(&worker->confirms, &confirm->in_roof);
    if (deadline_ms > worker->confirm_deadline_ms) {
        worker->confirm_deadline_ms = deadline_ms;
    }
    return OK;
}
