/* SPDX-License-Identifier: BSD-3-Clause */
/* execution.h -- EXEC: the queue of a connection runs in one step.
 *
 *      with an L2:  MULTI, the commands that are L2's, EXEC go down the shared link as one request (relay_calls) ~> Redis' array
 *                   comes; what the node serves itself (CLIENT, CONFIG, INFO ...) runs then, each at its place
 *      alone:       all run now, while no other worker touches a key (solo.h)
 *
 * An array that is all L2's own passes as it is, and many may be under way. One in which the node has a part comes after all
 * answers before it, and holds its connection (HOLD_EXEC): SELECT, HELLO or AUTH in it say how the next call is read.
 *
 * A command that cannot answer at once (CLIENT LIST, INFO with an L2) leaves a PIECE, a place in the array; the others have
 * run when it is filled:
 *
 *      pieces   [ "+OK" ":3" ] [ CLIENT LIST: waits ] [ "+PONG" ]     the answer lands when none waits
 *
 * Owns:    the queue from execution_begin on, the pieces.
 * Threads: the worker's. */
#ifndef TERRACE_SERVER_EXECUTION_H
#define TERRACE_SERVER_EXECUTION_H

#include "server/transaction.h"

/* Runs what the connection of `exec` has queued, and answers it, now or later. Takes the queue over. */
void execution_begin(struct call *exec);
/* For call_defer: the place of this call's answer in the array. */
struct answer *execution_defer(struct call *call);
/* Where a call of it says what CLIENT REPLY would have made silent: REPLY ON itself. */
struct reply *execution_reply(struct execution *execution);
/* The connection is closed. */
void execution_orphan(struct execution *execution);

#endif
