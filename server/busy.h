/* SPDX-License-Identifier: BSD-3-Clause */
/* busy.h -- while a script runs for too long, Redis answers everybody -BUSY, and so does the node.
 *
 * What is asked over the link that carries the script would wait behind it, without any answer. So while a worker has
 * relayed one that is not answered, it asks Redis for a PING over the control link, every tick (100 ms). Is that refused as
 * BUSY, all workers refuse with Redis' text what Redis would be asked for, and PING, until a PING is answered or the script
 * is.
 *
 *      worker: busy_tick -> control: PING ~> worker: live.l2_busy = the text | NULL
 *
 * Reads are not refused, since L1 may have the answer, nor is what the node answers itself.
 *
 * Threads: each function on its worker's loop; live.l2_busy is written by all of them. */
#ifndef TERRACE_SERVER_BUSY_H
#define TERRACE_SERVER_BUSY_H

#include "server/call.h"

struct busy_watch {
    unsigned running; /* scripts that were relayed and are not answered */
    uint64_t ended;
    bool asks; /* a PING is under way */
    bool said; /* live.l2_busy is set, by what this worker heard */
};

void busy_script_begins(struct worker *worker);
void busy_script_ends(struct worker *worker);
void busy_tick(struct worker *worker);
/* True: the call is refused with this text of Redis, and the error is answered. */
bool busy_refuses(struct call *call, const char *text);

#endif
