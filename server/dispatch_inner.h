/* SPDX-License-Identifier: BSD-3-Clause */
/* dispatch_inner.h -- what dispatch.c (who answers a call) asks dispatch_admit.c (may it run now?).
 *
 * Threads: the worker's. */
#ifndef TERRACE_SERVER_DISPATCH_INNER_H
#define TERRACE_SERVER_DISPATCH_INNER_H

#include "server/call.h"

/* Whether the command may run for this client, in the order in which Redis asks. False: the error is answered. */
bool dispatch_admits(struct call *call);
/* CLIENT PAUSE, memory (conn.h), and COMPATIBILITY rule 1: what may not overtake the calls that wait. True: its connection
 * holds. `command` NULL: one that only L2 may know. */
bool dispatch_must_hold(struct call *call, const struct command *command);
/* A read that goes down the connection's own link behind a write, or behind a read of its key, and so tells nothing older.
 * (Under WATCH all do.) */
bool dispatch_goes_behind(const struct call *call);

#endif
