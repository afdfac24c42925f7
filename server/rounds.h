/* SPDX-License-Identifier: BSD-3-Clause */
/* rounds.h -- one letter to every worker, and back: what the control loop wants done by all before it goes on.
 *
 *      control        round_begin ............................. on_done
 *      worker 0       ...... step |> its answer
 *      worker 1       ............... step |> its answer
 *
 * One round at a time.
 *
 * Owns:    its letters.
 * Threads: the control loop's; steps run on the workers', which leave their loops in none but the last round. */
#ifndef TERRACE_SERVER_ROUNDS_H
#define TERRACE_SERVER_ROUNDS_H

#include <stdbool.h>

struct mailbox;
struct node;
struct rounds;
struct worker;

typedef void round_step(struct worker *worker, void *arg);

/* `control` is its loop's mailbox, which ends after the workers. on_done may begin the next. NULL: no memory. */
struct rounds *rounds_new(struct node *node, struct mailbox *control, void (*on_done)(void *arg),
                          void *arg);
void rounds_free(struct rounds *rounds);                   /* NULL is fine */
void round_begin(struct rounds *rounds, round_step *step); /* none is under way */
bool round_is_under_way(const struct rounds *rounds);

#endif
