/* SPDX-License-Identifier: BSD-3-Clause */
/* blocking.h -- calls that may wait in L2 for as long as they like: BLPOP and its kin, XREAD BLOCK, WAIT, and what a module
 * flags as blocking.
 *
 * Redis holds up the connection that such a call came on. So it goes over a line (tiers/line.h), when all earlier calls of
 * its client are answered, and no later one is taken before its own answer is here (HOLD_BLOCKED): the client is blocked, as
 * it would be by Redis.
 *
 *      blocking_call: line_take > relay_call ~> relay_on_reply > blocking_end: line_give_back
 *                        conn_close > blocking_leave: line_end
 *
 * Of a client that is blocked the socket is watched for its end alone. Whoever is killed, or closed when the node drains,
 * takes the line with it: Redis gives up what it waited for, and an element that is pushed later stays in its list.
 *
 * A client that ends its side may have left, or said all it has to say and waits for its answers (`nc`). Redis runs what
 * came before the end, and then gives up who is blocked. Whether a call is blocked L2 knows alone, so it is asked to
 * unblock it: if it does, the connection is closed; if it had answered already, the answer is sent and what is behind it runs.
 *
 * A call on a line that its client has already (WATCH) goes over that one, which stays the client's. It is READY then, since
 * WATCH was answered, or lost.
 *
 * WAIT asks for what was replicated of the writes of its connection. The client's went over shared links. But Redis notes how
 * far its replication is behind every command of a connection, whatever it is; so a PING goes in front, when all writes of
 * the client are answered, and WAIT then asks for them, and for what others wrote until then.
 *
 * Owns:    the line, unless it is that of WATCH, from blocking_call to the answer.
 * Threads: the worker's. */
#ifndef TERRACE_SERVER_BLOCKING_H
#define TERRACE_SERVER_BLOCKING_H

#include "server/call.h"

struct blocking;

/* XREAD and XREADGROUP block only when they say so. */
bool blocking_asks(const struct call *call);
bool blocking_is_wait(const struct command *command);
/* Answers now or later. */
void blocking_call(struct call *call);
/* For the relay: L2 has answered, or it is known what became of the call. May close the connection. */
void blocking_end(struct blocking *blocking, struct slice reply);
/* Its client will say no more. May close the connection. */
void blocking_hang_up(struct blocking *blocking);
bool blocking_is_leaving(const struct blocking *blocking);
/* For conn_close. */
void blocking_leave(struct blocking *blocking);
/* Somebody is about to unblock its connection to L2, whose CLIENT ID this is: nobody else may get it, for it would be
 * theirs that is unblocked. 0: it has none now. */
uint64_t blocking_expose(struct blocking *blocking);
/* CLIENT UNBLOCK of it, as L2 is asked; appended. */
enum status blocking_request(struct buf *out, uint64_t l2_id, bool with_error) MUST_USE;
/* The answer when there is no line: `status` of line_take. */
void blocking_refuse_line(struct reply *reply, struct worker *worker, enum status status);

#endif
