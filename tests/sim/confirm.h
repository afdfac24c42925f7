/* SPDX-License-Identifier: BSD-3-Clause */
/* confirm.h -- answers of strict keys wait for all live nodes, as server/worker.c and errand.c do it: all who come in one
 * turn of a worker share one wait; a letter takes it to the control loop, another one brings it back. */
#ifndef TERRACE_TESTS_SIM_CONFIRM_H
#define TERRACE_TESTS_SIM_CONFIRM_H

#include "tests/sim/world.h"
#include "tiers/tiers.h"

/* For tiers_window_options; the roof is a thread. */
enum status confirm_ask(void *roof, struct tiers_confirm *confirm, int64_t deadline_ms);
/* The worker's turn ends. */
void confirm_send(struct thread *thread);
/* The node ends: whoever waits is told so. */
void confirm_end(struct node *node);

#endif
