/* SPDX-License-Identifier: BSD-3-Clause */
/* worker_batch.c -- the requests of a worker's turn: executed in the order of each connection, with one look at the clock. */
#include "server/account.h"
#include "server/auth.h"
#include "server/body.h"
#include "server/dispatch.h"
#include "server/native.h"
#include "server/node.h"
#include "server/solo.h"
#include "server/worker.h"
#include "tiers/tiers.h"

#include <stdlib.h>

void worker_read_clock(struct worker *worker)
{
    worker->now_ms = clock_now_ms(&worker->node->clock);
    if (worker->window != NULL) {
        tiers_window_begin(worker->window, worker->now_ms);
    }
}

static void worker_execute_one(struct worker *worker, struct request *request)
{
    struct conn *conn = request->conn;
    /* Behind a request that was stepped over all others are, even if the hold is gone by now. */
    bool in_order = conn->state == CONN_OPEN && conn->holds == 0 && !conn->parse_again;
    if (in_order && (request->native == NULL ? dispatch_request(worker, request)
                                             : native_execute(worker, request))) {
        const char *end = request->raw.data + request->raw.size;
        conn->region.size -= (size_t)(end - conn->region.data);
        conn->region.data = end;
        if (request->has_body) {
            body_end(conn);
        }
    } else {
        conn->parse_again = true;
    }
    if (request->owned != NULL) {
        free(request->owned);
    }
    if (request->native != NULL) {
        native_done(request);
    }
}

/* What the batch took beyond the calls that were timed, in equal parts to those that were not. */
static void worker_share_time(struct worker *worker, uint64_t batch_ns)
{
    struct batch *batch = &worker->batch;
    unsigned untimed = 0;
    for (unsigned i = 0; i < batch->count; i++) {
        untimed += batch->requests[i].untimed != NULL;
    }
    unsigned next = 0;
    for (unsigned i = 0; i < batch->count && untimed > 0; i = next) {
        struct command_counters *counters = batch->requests[i].untimed;
        for (next = i + 1; next < batch->count && batch->requests[next].untimed == counters;
             next++) {
        }
        if (counters != NULL) {
            account_durations(counters, (batch_ns - worker->timed_ns) / untimed, next - i);
        }
    }
}

void worker_take_limits(struct worker *worker)
{
    const struct live_limits *live = &worker->node->live.limits;
    struct worker_limits *limits = &worker->limits;
    limits->version = atomic_load(&live->version);
    limits->look = LIMIT_OUTPUT_PRESSED;
    for (unsigned i = 0; i < 2; i++) {
        limits->hard[i] = atomic_load(&live->hard[i]);
        limits->soft[i] = atomic_load(&live->soft[i]);
        limits->low[i] = atomic_load(&live->low[i]);
        limits->soft_ms[i] = atomic_load(&live->soft_ms[i]);
        limits->look = limits->hard[i] < limits->look ? limits->hard[i] : limits->look;
        limits->look = limits->soft[i] < limits->look ? limits->soft[i] : limits->look;
    }
    limits->query = atomic_load(&live->query);
    client_memory_limit(worker, atomic_load(&live->clients));
}

void worker_follow_limits(struct worker *worker)
{
    const struct live_limits *live = &worker->node->live.limits;
    if (worker->limits.version != atomic_load_explicit(&live->version, memory_order_acquire)) {
        worker_take_limits(worker);
    }
}

void worker_execute(struct worker *worker)
{
    struct batch *batch = &worker->batch;
    if (batch->count == 0) {
        return;
    }
    solo_sit(worker->node->solo, worker->index);
    uint64_t began_ns = clock_monotonic_ns();
    worker->plain = NULL;
    worker->timed_ns = 0;
    worker_read_clock(worker);
    auth_catch_up(worker);
    worker_follow_limits(worker);
    for (unsigned i = 0; i < batch->count;
         i++) { /* the buckets are here by now; their items come while we begin */
        if (batch->requests[i].home != NULL) {
            const struct request *request = &batch->requests[i];
            l1_prefetch_item(request->home->l1, request->bucket, request->hash);
        }
    }
    for (unsigned i = 0; i < batch->count; i++) {
        worker_execute_one(worker, &batch->requests[i]);
    }
    worker_share_time(worker, clock_monotonic_ns() - began_ns);
    solo_rise(worker->node->solo, worker->index);
    worker->turn_requests += batch->count;
    batch->count = 0;
    batch->arg_count = 0;
}

void worker_run_batch(struct worker *worker)
{
    worker_execute(worker);
    while (!list_empty(&worker->taken)) {
        conn_settle(LIST_ENTRY(worker->taken.next, struct conn, in_taken));
    }
    worker->read_used = 0;
}
