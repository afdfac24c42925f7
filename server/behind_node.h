/* SPDX-License-Identifier: BSD-3-Clause */
/* behind_node.h -- what joins write-behind (tiers/behind.h) and its log (behind_file.h) to the node.
 *
 * NAMESPACES. What waits goes to L2 as an envelope, so its namespace must be managed until it is there. At start, where it
 * is not, the node refuses: only its operator knows what was meant. A reload that would change that is held back until L2
 * has all of it, for BEHIND_FENCE_MS, while new writes go through; then it is refused.
 *
 * Threads: the hooks by any; the others where it is said. */
#ifndef TERRACE_SERVER_BEHIND_NODE_H
#define TERRACE_SERVER_BEHIND_NODE_H

#include "server/node.h"
#include "tiers/tiers.h"

/* Before the tiers are made. What a former run left comes into the table. INVALID, NO_MEMORY: `error` says why. */
enum status behind_node_open(struct node *node, char error[NODE_ERROR_MAX]) MUST_USE;
struct tiers_behind behind_node_hooks(struct node *node);
/* Keys that wait and would be in no managed namespace under these. */
size_t behind_node_stranded(const struct node *node, const struct namespace_spec *specs,
                            unsigned count);
/* Before a standstill for these, again and again until it is false. Control loop. */
bool behind_node_holds_back(const struct node *node, const struct options *next, int64_t now_ms);

#endif
