/* SPDX-License-Identifier: BSD-3-Clause */
/* usage.h -- what calls take of their namespaces: counted for each, and refused where a quota is used up.
 *
 * An operation is a key that a command names: GET is one, MGET of 100 keys is 100, of the namespaces where they are at
 * home. Bytes are those of the request and of its answer, in equal parts to its keys. A call is looked at before it runs
 * (is anything left?) and counted when it has run, an answer that comes later when it lands; what MULTI queues is counted
 * when it is queued, its answers when EXEC runs it. Refused calls count nowhere but as refused.
 *
 * Over its quota a namespace answers -BUSY. To hold the connection instead would keep the requests of other namespaces
 * waiting behind those of this one, and take memory for a client that only asks faster.
 *
 * Threads: the worker's own. */
#ifndef TERRACE_SERVER_USAGE_H
#define TERRACE_SERVER_USAGE_H

#include "server/call.h"

/* Only while some namespace has a quota (namespaces_limited). True: the error is answered. */
bool usage_refuses(struct call *call);
/* The same of a call with one key (first_home), which is still to come: nothing is answered or counted. */
bool usage_would_refuse(const struct call *call);

/* A call has run, or was queued: `answered` bytes are in its answer by now. */
void usage_note(const struct call *call, size_t answered);
/* The part of an EXEC has run; it was counted when it was queued, but for its answer. */
void usage_note_part(const struct call *call, size_t answered);
/* What answer->home is of an answer that comes later: its bytes are counted where the call's first key is at home. */
uint8_t usage_home(const struct call *call);
/* An answer has landed whose call was deferred (answer->home). */
void usage_note_answer(const struct answer *answer);

#endif
