/* SPDX-License-Identifier: BSD-3-Clause */
/* dispatch.h -- from a parsed request to the one who answers it.
 *
 *      dispatch_take     (poll stage)   look the command up, prefetch its first key, put it into the batch (dispatch_take.c)
 *      dispatch_request  (check stage)  may it run now? who answers: the handler here, or L2 (relay.h)?
 *
 * Checks come in Redis' order: does the command exist, is its arity right, is the client authenticated; then whether it
 * may overtake what the connection waits for (COMPATIBILITY rule 1), then its road (command.h). Of plain calls, which are
 * nearly all, they are asked once for a run.
 *
 * Threads: the worker's. */
#ifndef TERRACE_SERVER_DISPATCH_H
#define TERRACE_SERVER_DISPATCH_H

#include "server/conn.h"

struct request;

/* Before AUTH a client may send little. */
void dispatch_set_limits(const struct conn *conn, struct request_reader *reader);
/* Room for the words of a request to come: in the batch, or, if they are many, an array of its own, *ret_owned. May execute the
 * batch. NULL: no memory. */
struct slice *dispatch_room(struct worker *worker, uint32_t argc, struct slice **ret_owned);
/* The request whose words were written there, at the end of the batch: its command is looked up, its key prefetched.
 * `raw`: where it lies in the region. `known`: the command, if it need not be looked up. */
struct request *dispatch_add(struct conn *conn, struct slice *argv, struct slice *owned,
                             uint32_t argc, struct slice raw, const struct command *known);
/* Adds the request at the front of `input` to the batch, if it is whole and plain (request_take_plain) and there is room.
 * Returns its bytes; 0: it is to be read. Executes nothing. */
size_t dispatch_take_plain(struct conn *conn, const struct request_reader *reader,
                           struct slice input);
/* Adds the request just read from `input` to the batch; may execute the batch to make room. */
void dispatch_take(struct conn *conn, const struct request_reader *reader, struct slice input);
/* Executes one. false: its connection must hold; the request stays where it is. */
bool dispatch_request(struct worker *worker, struct request *request);
/* A call that EXEC runs: counters, the slow log, and its handler. */
void dispatch_part(struct call *call);
/* The same of one that L2 runs, as far as the node knows. */
void dispatch_count_part(struct worker *worker, const struct command *command);
/* One that L2 runs, to who monitors. */
void dispatch_show_part(const struct call *call);

#endif
