/* SPDX-License-Identifier: BSD-3-Clause */
/* load_desk.h -- what loads of managed keys (tiers/load.h) need of a worker's loop: a timer for the budgets of those who wait,
 * and letters of the control loop, which hears on the bus that a key was written or its lease given back.
 *
 * Threads: the worker's; load_desk_wake is the control loop's. */
#ifndef TERRACE_SERVER_LOAD_DESK_H
#define TERRACE_SERVER_LOAD_DESK_H

#include "protocol/bytes.h"

#include <uv.h>

struct node;
struct worker;

struct load_desk {
    uv_timer_t timer;
    int64_t armed_ms; /* when it ends; INT64_MAX: it does not run */
};

void load_desk_open(struct worker *worker);
void load_desk_close(struct worker *worker);
/* Before the loop sleeps: the timer ends when the next budget does. */
void load_desk_arm(struct worker *worker);
/* A frame names the key: workers that wait for it are told. A letter that finds no room is not sent: who waits looks again
 * when the lease is over. `arg`: the node. */
void load_desk_wake(void *arg, uint8_t db, struct slice key);

#endif
