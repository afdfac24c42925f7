/* SPDX-License-Identifier: BSD-3-Clause */
/* push.h -- bytes for a connection that are no answer to a call: messages of Pub/Sub, invalidations, lines of MONITOR.
 *
 * A push stands between two answers, in the order in which it and they were made. While calls wait for theirs it waits
 * behind them:
 *
 *      conn queue:   [answer 1: waiting for L2] [push, push] [answer 2: waiting]        nothing waits: conn->reply
 *
 * A handler that pushes to its own connection does so before it writes its answer, or between two whole ones.
 *
 * Pushes are sent whatever CLIENT REPLY says, as Redis 7.0.15 does. None is dropped while its connection lives: a client that
 * listens (conn->listens: it subscribed, or monitors) and leaves more unread than client-output-buffer-limit says of
 * class pubsub is closed; one that does not (CLIENT TRACKING), by class normal, or when LIMIT_PUSH_CLOSE of pushes wait,
 * or LIMIT_OUTPUT_CLOSE of all. It ends with the next flush, so that who walks over connections while he pushes finds
 * them all where they were.
 *
 * While a large value is on its way (download.h) they stand behind it.
 *
 * Threads: the connection's worker. */
#ifndef TERRACE_SERVER_PUSH_H
#define TERRACE_SERVER_PUSH_H

#include "protocol/bytes.h"

struct conn;

/* One whole reply. A RESP3 push ('>') of what both protocols write alike goes to a RESP2 client as an array. */
void push_write(struct conn *conn, struct slice bytes);

/* The same in front of the answers that wait: a message from elsewhere, which none of them has to do with, does not wait for
 * the end of a BLPOP. */
void push_ahead(struct conn *conn, struct slice bytes);
/* There is no memory for what it should have got: it is closed, so that its client knows that something is missing. */
void push_lost(struct conn *conn);

#endif
