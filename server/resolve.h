/* SPDX-License-Identifier: BSD-3-Clause */
/* resolve.h -- which command a call names, where our own table alone does not say: a subcommand, or a command that only L2
 * knows.
 *
 * Threads: the worker's. */
#ifndef TERRACE_SERVER_RESOLVE_H
#define TERRACE_SERVER_RESOLVE_H

#include "server/call.h"

extern const char error_noauth[];

/* A container steps down to its subcommand. False: it has none of that name, and the error is answered. */
bool resolve_subcommand(struct call *call);
/* Not in our table: with an L2 its COMMAND decides; what it says is written to `room`, which becomes the call's command. False:
 * nobody's, and the error is answered, or the client was hung up on. */
bool resolve_at_l2(struct call *call, struct command *room);
/* A command that is not in our table: L2 knows it as one that writes. */
bool resolve_writes_l2(const struct call *call);

#endif
