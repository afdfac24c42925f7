/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/module_waits.h"

#include "server/blocking.h"
#include "server/errand.h"
#include "server/node.h"
#include "server/worker.h"
#include "tiers/tiers.h"

#include <stdlib.h>
#include <string.h>

struct waits_ask {
    struct l2_question question; /* first */
    const char *name;            /* of the oldest call on that link: if it waits, this one does */
};

bool waits_named(const struct waits_names *names, const char *name)
{
    for (size_t i = 0; i < WAITS_NAMES_MAX; i++) {
        const char *one = atomic_load_explicit(&names->at[i], memory_order_acquire);
        if (one == NULL || strcmp(one, name) == 0) {
            return one != NULL;
        }
    }
    return false;
}

static void waits_note(struct node *node, const char *name)
{
    for (size_t i = 0; i < WAITS_NAMES_MAX; i++) {
        const char *one = NULL;
        if (atomic_compare_exchange_strong(&node->waits.at[i], &one, name)) {
            log_write(&node->log, LOG_NOTICE, "l2_waits",
                      "%s waits without being flagged blocking: it gets connections of its own",
                      name);
            return;
        }
        if (strcmp(one, name) == 0) {
            return;
        }
    }
}

/* --- asking ------------------------------------------------------------------------------------------------------- */

static void ask_done(struct errand *errand)
{
    struct waits_ask *ask = (struct waits_ask *)(void *)errand;
    errand->home->waits.asks = false;
    if (ask->question.status == OK && slice_is(buf_slice(&ask->question.bytes), ":1\r\n")) {
        waits_note(errand->home->node, ask->name);
    }
    buf_done(&ask->question.bytes);
    free(ask);
}

static void waits_ask(struct worker *worker, struct waits_place *place)
{
    struct waits_ask *ask = calloc(1, sizeof(*ask));
    if (ask == NULL) {
        return; /* the next tick asks */
    }
    const uint64_t l2_id = tiers_relay_carrier(place->relay);
    ask->question.errand.done = ask_done;
    ask->name = place->name;
    worker->waits.asks = l2_id != 0 && blocking_request(&ask->question.bytes, l2_id, true) == OK &&
                         l2_question_send(&ask->question, worker) == OK;
    if (!worker->waits.asks) {
        buf_done(&ask->question.bytes);
        free(ask);
    }
}

/* --- who is to be asked about ------------------------------------------------------------------------------------- */

static int64_t patience_ms(const struct worker *worker)
{
    return atomic_load(&worker->node->live.l2_timeout_ms) / 2;
}

void waits_desk_open(struct waits_desk *desk)
{
    list_init(&desk->calls[0]);
    list_init(&desk->calls[1]);
}

void waits_begin(struct worker *worker, struct waits_place *place, int proto)
{
    place->due_ms = worker->now_ms + patience_ms(worker);
    list_push_back(&worker->waits.calls[proto == 3], &place->link);
}

void waits_end(struct waits_place *place)
{
    list_remove(&place->link);
}

void waits_tick(struct worker *worker)
{
    for (size_t i = 0; i < 2 && !worker->waits.asks && !worker->draining; i++) {
        struct list *calls = &worker->waits.calls[i];
        struct waits_place *oldest = LIST_ENTRY(calls->next, struct waits_place, link);
        if (!list_empty(calls) && oldest->due_ms <= worker->now_ms) {
            oldest->due_ms = worker->now_ms + patience_ms(worker);
            waits_ask(worker, oldest);
        }
    }
}
