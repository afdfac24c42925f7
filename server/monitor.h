/* SPDX-License-Identifier: BSD-3-Clause */
/* monitor.h -- MONITOR: every command that clients of this node run, as a line to those who watch.
 *
 *      +1339518083.107412 [0 127.0.0.1:60866] "set" "k" "v\x00"
 *
 * What is refused before it runs is not shown, nor what is flagged admin; passwords are "(redacted)". What scripts do is
 * not seen here, only that they run. A worker tells its own monitors at once, the others at the end of its turn, by one
 * letter each: lines of one client are in order, those of two workers by their time only.
 *
 * Nobody watches: one look at node->live.monitors per command.
 *
 * Owns:    a connection's place among the monitors, from MONITOR to RESET or its end.
 * Threads: the worker's, but `count` and `unread`.
 * Limits:  as all who listen (push.h); LIMIT_PUSH_CLOSE of letters that a worker has not opened: then its monitors are
 *          closed, for they would miss lines. */
#ifndef TERRACE_SERVER_MONITOR_H
#define TERRACE_SERVER_MONITOR_H

#include "protocol/bytes.h"
#include "server/mailbox.h"
#include "tiers/base/list.h"

#include <stdatomic.h>

struct call;
struct conn;
struct worker;

struct monitor_desk {
    struct list monitors;
    _Atomic unsigned count;
    _Atomic size_t unread; /* bytes in letters that are under way to this worker */
    struct buf lines;      /* of this turn, for the monitors of other workers */
};

void monitor_desk_open(struct monitor_desk *desk);
void monitor_desk_close(struct monitor_desk *desk);

/* After the call ran, and its answer, if there is one already, has its place. */
void monitor_show(const struct call *call);
/* At the end of a turn. */
void monitor_send(struct worker *worker);
void monitor_end(struct conn *conn); /* it watches no more; fine if it did not */

#endif
