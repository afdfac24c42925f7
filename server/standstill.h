/* SPDX-License-Identifier: BSD-3-Clause */
/* standstill.h -- a moment in which all workers stand still, so that the control loop may change what they all look at.
 *
 *      control        standstill_begin: a letter to every worker ........ work() ... all go on
 *      worker 0       ...... batch | letter: its batch is executed, stands still ..........|> next turn
 *      worker 1       .. batch ....................... | letter: stands still .............|>
 *                                                        the last one wakes the control loop
 *
 * Between the first worker's letter and the end of work() the node serves fewer clients, then none: the pause is the
 * longest batch under way plus work(). Nothing that a worker holds on its stack or in its batch survives the pause;
 * reads on their way to L2 do, as if their claims had ended.
 *
 * Owns:    nothing but its letters.
 * Threads: the control loop's. */
#ifndef TERRACE_SERVER_STANDSTILL_H
#define TERRACE_SERVER_STANDSTILL_H

#include "protocol/status.h"

#include <stdbool.h>

struct mailbox;
struct node;
struct standstill;

struct standstill *standstill_new(struct node *node, struct mailbox *control); /* NULL: no memory */
void standstill_free(struct standstill *standstill);                           /* NULL is fine */
/* `work` follows on the control loop. BUSY: one is under way. Only while no worker is leaving. */
bool standstill_is_under_way(const struct standstill *standstill);
enum status standstill_begin(struct standstill *standstill, void (*work)(void *arg),
                             void *arg) MUST_USE;

#endif
