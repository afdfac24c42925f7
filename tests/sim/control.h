/* SPDX-License-Identifier: BSD-3-Clause */
/* control.h -- what a node does in its control thread: beats, the log, the bus, and rounds through its workers, as
 * server/control.c and control_l2.c do; and what the oracle makes of its horizon (I6) and its epoch (I7). */
#ifndef TERRACE_TESTS_SIM_CONTROL_H
#define TERRACE_TESTS_SIM_CONTROL_H

#include "tests/sim/node.h"

enum {
    CONTROL_TICK_US = 50000
};

/* For tiers_options.managed; `arg` is the node. */
void control_on_gap(void *arg);
void control_on_whole(void *arg, bool replayed);

void control_open(struct node *node, const struct l2_url *url);      /* its links */
void control_tick(struct world *world, void *node, uint64_t number); /* and the next, later */
void control_end_turn(struct node *node);

#endif
