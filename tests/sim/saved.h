/* SPDX-License-Identifier: BSD-3-Clause */
/* saved.h -- what a node writes down of its L1 while it serves, and what becomes of it in the one that takes its place
 * (server/snapshots.c does the same): the mark first, the walk a while later, the file when it is whole. */
#ifndef TERRACE_TESTS_SIM_SAVED_H
#define TERRACE_TESTS_SIM_SAVED_H

#include "tests/sim/node.h"

/* The mark now, the walk at some later moment if the node still lives. `ends`: it is done with both at once. */
void saved_begin(struct node *node, bool ends);
/* Before the node meets L2: if there is a file of its slot, perhaps. */
void saved_restore(struct node *node);
void saved_free(struct world *world);

#endif
