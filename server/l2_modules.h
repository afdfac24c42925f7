/* SPDX-License-Identifier: BSD-3-Clause */
/* l2_modules.h -- keeps the node's table of L2's commands (tiers/l2_commands.h) true: asks for it when the control link
 * is up, and again when other modules are loaded there than before, which it looks at once a second.
 *
 * A command of a module that was just loaded is unknown for so long; one of a module that was unloaded goes to L2, which
 * refuses it. A module that comes back within a second under the same name and version, with other keys, is not seen.
 *
 * Threads: the control loop's, except l2_modules_learned. */
#ifndef TERRACE_SERVER_L2_MODULES_H
#define TERRACE_SERVER_L2_MODULES_H

#include "tiers/link.h"

struct l2_modules;
struct node;

struct l2_modules *l2_modules_new(struct node *node); /* NULL: no memory */
void l2_modules_free(struct l2_modules *modules);     /* behind the end of its link; NULL is fine */
void l2_modules_on_up(struct l2_modules *modules, struct link *control, int64_t now_ms);
void l2_modules_tick(struct l2_modules *modules, struct link *control, int64_t now_ms);
bool l2_modules_learned(const struct l2_modules *modules); /* the commands, once; any thread */

#endif
