/* SPDX-License-Identifier: BSD-3-Clause */
/* CACHE.DRAIN: what SIGTERM does, for who has no hand on the process. The process ends with 0; a SIGTERM that follows does not
 * hurry it, since whoever supervises the process may send one as a matter of course. */
#include "server/commands.h"
#include "server/node.h"
#include "server/worker.h"

void cmd_cache_drain(struct call *call)
{
    reply_ok(call->reply);
    node_stop(call->worker->node);
}
