/* SPDX-License-Identifier: BSD-3-Clause */
/* native_deadline.c -- requests whose client waits no longer: a wheel (Varghese and Lauck 1987, scheme 6) of NATIVE_SLOTS
 * slots of NATIVE_GRAIN_MS. An answer lies in the slot of its deadline, whatever turn of the wheel that is in; the one
 * timer of the worker walks the slots that are due, and runs only while something lies in some slot. */
#include "server/effects.h"
#include "server/native_inner.h"
#include "server/node.h"

static int64_t slot_time(int64_t ms)
{
    return ms / NATIVE_GRAIN_MS;
}

static void expire(struct answer *answer)
{
    struct conn *conn = answer->conn;
    const bool may_have_run = answer->command == NULL || effects_write(answer->command) ||
                              effects_is_script(answer->command);
    const struct native_ticket ticket = answer->native;
    metrics_count(conn->worker->metrics, M_NATIVE_DEADLINES);
    native_put(
        conn, &ticket, may_have_run ? NATIVE_UNKNOWN : NATIVE_DEADLINE,
        &(struct native_reply){.index = ticket.index},
        may_have_run
            ? SLICE_LITERAL(
                  "UNKNOWN not answered in time: it may or may not have run, and may still run")
            : SLICE_LITERAL("DEADLINE not answered in time"));
    native_forget(answer);
    answer_abandon(answer);
    conn_advance(conn);
}

static void walk_slot(struct list *slot, int64_t now_ms)
{
    struct list due;
    list_init(&due);
    list_splice_back(&due, slot);
    while (!list_empty(&due)) {
        struct answer *answer = LIST_ENTRY(due.next, struct answer, in_deadlines);
        list_remove(&answer->in_deadlines);
        list_push_back(slot, &answer->in_deadlines); /* of another turn, or until it is told */
        if (answer->native.deadline_ms <= now_ms) {
            expire(answer);
        }
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct worker *worker = timer->data;
    struct native_desk *desk = worker->native;
    worker_read_clock(worker);
    const int64_t now = slot_time(worker->now_ms);
    const int64_t end = now - desk->at < NATIVE_SLOTS ? now : desk->at + NATIVE_SLOTS - 1;
    for (; desk->at <= end && desk->waiting > 0; desk->at++) {
        walk_slot(&desk->slots[desk->at % NATIVE_SLOTS], worker->now_ms);
    }
    desk->at = now; /* what is due in this very slot later is found with the next tick */
    if (desk->waiting == 0) {
        (void)uv_timer_stop(timer);
        desk->ticks = false;
    }
}

void native_deadlines_open(struct native_desk *desk, struct worker *worker)
{
    for (unsigned i = 0; i < NATIVE_SLOTS; i++) {
        list_init(&desk->slots[i]);
    }
    (void)uv_timer_init(&worker->loop, &desk->timer); /* it cannot fail */
    desk->timer.data = worker;
}

void native_deadlines_close(struct native_desk *desk)
{
    uv_close((uv_handle_t *)&desk->timer, NULL);
}

void native_deadline_add(struct answer *answer)
{
    struct worker *worker = answer->worker;
    struct native_desk *desk = worker->native;
    list_push_back(&desk->slots[slot_time(answer->native.deadline_ms) % NATIVE_SLOTS],
                   &answer->in_deadlines);
    if (desk->waiting++ == 0 && !desk->ticks) {
        desk->ticks = true;
        desk->at = slot_time(worker->now_ms);
        uv_update_time(&worker->loop);
        (void)uv_timer_start(&desk->timer, on_timer, NATIVE_GRAIN_MS, NATIVE_GRAIN_MS);
    }
}

void native_deadline_drop(struct answer *answer)
{
    if (answer->native.deadline_ms != 0) {
        answer->native.deadline_ms = 0;
        list_remove(&answer->in_deadlines);
        answer->worker->native->waiting--;
    }
}
