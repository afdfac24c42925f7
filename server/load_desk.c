/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/load_desk.h"

#include "protocol/check.h"
#include "server/node.h"
#include "server/worker.h"
#include "tiers/load.h"
#include "tiers/wakes.h"

#include <stdlib.h>
#include <string.h>

struct wake {
    struct letter letter; /* first: it is cast back */
    struct l1_key key;
    char bytes[];
};

void load_desk_open(struct worker *worker)
{
    CHECK(uv_timer_init(&worker->loop, &worker->loads.timer) == 0);
    worker->loads.timer.data = worker;
    worker->loads.armed_ms = INT64_MAX;
}

void load_desk_close(struct worker *worker)
{
    uv_close((uv_handle_t *)&worker->loads.timer, NULL);
}

static void on_due(uv_timer_t *timer)
{
    struct worker *worker = timer->data;
    worker->loads.armed_ms = INT64_MAX;
    worker->now_ms = clock_now_ms(&worker->node->clock);
    tiers_window_begin(worker->window, worker->now_ms);
    load_tick(worker->window);
}

void load_desk_arm(struct worker *worker)
{
    const int64_t due_ms = worker->window == NULL ? INT64_MAX : load_due_ms(worker->window);
    if (due_ms >= worker->loads.armed_ms) {
        return;
    }
    const int64_t now_ms = clock_now_ms(&worker->node->clock);
    worker->loads.armed_ms = due_ms;
    (void)uv_timer_start(&worker->loads.timer, on_due,
                         due_ms > now_ms ? (uint64_t)(due_ms - now_ms) : 0, 0);
}

/* --- letters ------------------------------------------------------------------------------------------------------ */

static void wake_open(struct letter *letter, void *owner)
{
    struct wake *wake = (struct wake *)(void *)letter;
    struct worker *worker = owner;
    worker->now_ms = clock_now_ms(&worker->node->clock);
    tiers_window_begin(worker->window, worker->now_ms);
    load_on_wake(worker->window, &wake->key);
    free(wake);
}

static void wake_send(const struct node *node, unsigned to, const struct l1_key *key)
{
    struct wake *wake = malloc(sizeof(*wake) + key->bytes.size);
    if (wake == NULL) {
        return;
    }
    *wake = (struct wake){.letter = {.open = wake_open}, .key = *key};
    if (key->bytes.size > 0) {
        memcpy(wake->bytes, key->bytes.data, key->bytes.size);
    }
    wake->key.bytes.data = wake->bytes;
    if (mailbox_post(&node->workers[to]->mailbox, &wake->letter) != OK) {
        free(wake);
    }
}

void load_desk_wake(void *arg, uint8_t db, struct slice key)
{
    const struct node *node = arg;
    const uint64_t hash = namespaces_hash(node->namespaces, key);
    uint64_t workers[WAKES_WORDS];
    if (!wakes_of(tiers_wakes(node->tiers), hash, workers)) {
        return;
    }
    const struct l1_key wanted = namespaces_key(node->namespaces, db, key).at;
    for (unsigned i = 0; i < node->worker_count; i++) {
        if ((workers[i / 64] >> i % 64 & 1) != 0) {
            wake_send(node, i, &wanted);
        }
    }
}
