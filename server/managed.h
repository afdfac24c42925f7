/* SPDX-License-Identifier: BSD-3-Clause */
/* managed.h -- the fork in the road of a call: its keys are managed ones, or they are not.
 *
 * What L2 has of a managed key is an envelope, so no command may run there as the client wrote it. A few commands are known
 * here for such keys, each with a handler of its own (managed.def); any other that names one is refused. A call names managed
 * keys only, or none: what would change both in one step cannot be one step.
 *
 *      dispatch_call > managed_admits    refused, or call->managed is set, or it is no concern of ours
 *                    > dispatch_run      call->managed->run
 *
 * ORDER on a connection (COMPATIBILITY rule 1). Managed reads ask L2 on the worker's RESP2 link, and managed writes go out on
 * it at the end of the loop's turn, however many came meanwhile. So
 *      - what reads, or reads before it writes, waits for the connection's own writes, and for reads of its keys;
 *      - what goes to L2 as it was written waits for managed writes, which have not left yet;
 *      - a managed write of a client that speaks RESP3, whose other calls take another link, waits for those that wait there.
 *
 * To add a command: a line in managed.def, a handler that answers now or defers (call.h). `call->command` stays what the
 * client said, so counters, rules of users and the slow log are as for any other key.
 *
 * Threads: the worker's. */
#ifndef TERRACE_SERVER_MANAGED_H
#define TERRACE_SERVER_MANAGED_H

#include "server/call.h"

enum managed_kind {
    MANAGED_READS,
    MANAGED_WRITES,
    MANAGED_DECIDES, /* writes by what it has read */
    MANAGED_ITSELF,  /* the command's own handler knows of both kinds of keys, and orders itself */
};

struct managed_command {
    command_fn *plain; /* the command's own handler, by which it is found */
    command_fn *run;
    enum managed_kind kind;
};

/* Their handlers. NOLINTBEGIN(readability-redundant-declaration) */
#define MANAGED(plain, handler, kind) void handler(struct call *call);
#include "server/managed.def"
#undef MANAGED
/* NOLINTEND(readability-redundant-declaration) */

/* Whether the call, whose command is resolved, may go on; false: the error is answered. */
bool managed_admits(struct call *call);
/* Whether it may not overtake what its connection waits for. `command` may not be resolved yet. */
bool managed_must_hold(const struct call *call, const struct command *command);

/* The read of a managed key whose value is UNSURE. An empty key is not known. */
void managed_refuse_unsure(struct reply *reply, struct slice key);
/* One key of a call is managed, another is not. */
void managed_refuse_mixture(const struct call *call, struct slice managed, struct slice plain);

#endif
