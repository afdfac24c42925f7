/* SPDX-License-Identifier: BSD-3-Clause */
/* client.h -- those who use the nodes, and strangers who write to Redis behind their backs.
 *
 * A session stays with one node and one worker and has one call under way. Calls that reach a worker together are one
 * batch: the clock is read once, after the last of them came. Each answer is judged by the oracle. */
#ifndef TERRACE_TESTS_SIM_CLIENT_H
#define TERRACE_TESTS_SIM_CLIENT_H

#include "tests/sim/world.h"

struct client *client_new(struct world *world);
void client_start(struct world *world);
/* The node is dead: its sessions begin anew on the one that takes its place. Before node_kill. */
void client_node_dies(struct world *world, const struct node *node);
unsigned client_busy(const struct world *world); /* calls without an answer */
void client_free(struct client *client);

#endif
