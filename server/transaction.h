/* SPDX-License-Identifier: BSD-3-Clause */
/* transaction.h -- what a connection has queued since MULTI, and what it watches.
 *
 *      MULTI                 open; each command behind it is checked as if it ran, and queued: +QUEUED, or refused
 *      EXEC                  execution.h: all of it in one step, unless something was refused, or a watched key has changed
 *      DISCARD, RESET, end   nothing of it runs
 *
 * The node queues by itself, also with an L2: so a refusal comes at once, and nobody else's requests, which use the same
 * link, come between MULTI and EXEC.
 *
 * WATCH without an L2 is L1's own (l1_watch), with one Redis' (watch_line.h).
 *
 * Owns:    the queue, copies of the requests; the watches. Made by MULTI or WATCH, gone when neither is in force.
 * Threads: the worker's.
 * Limits:  LIMIT_TRANSACTION bytes: a command above is refused. */
#ifndef TERRACE_SERVER_TRANSACTION_H
#define TERRACE_SERVER_TRANSACTION_H

#include "server/acl_check.h"
#include "server/call.h"
#include "tiers/base/map.h"

struct execution;

/* A request that waits for EXEC. */
struct queued {
    const struct command *command; /* built in, or behind the arguments */
    struct slice raw;              /* as an array of bulk strings */
    enum acl_verdict denied;       /* what its user was told when EXEC came */
    const struct script *script;   /* as in its call */
    uint8_t proto;                 /* HELLO: what the connection speaks behind it; 0: as before */
    uint32_t argc;
    struct slice argv[];
};

struct watch_line;

struct transaction {
    struct queued **queue;
    size_t count;
    size_t capacity;
    size_t bytes;                /* of queue and watches */
    struct map watched;          /* alone: keys, by their hash in L1; empty: nothing */
    struct watch_line *line;     /* with an L2; NULL: nothing is watched */
    struct execution *execution; /* under way; or NULL */
    bool apart;                  /* the last call under WATCH went over the shared link */
    bool open;                   /* MULTI came */
    bool refused;                /* and then a command that could not be queued */
    bool writes;                 /* some queued command may */
    bool grows;                  /* some may need memory (COMMAND_DENYOOM) */
    bool asks_l2;                /* some is for L2 */
    bool logs_in;                /* some is AUTH or HELLO */
    bool ends_databases;         /* some does */
    bool joins; /* some is for the node itself, or changes what the node knows of the connection */
};

static inline bool transaction_is_open(const struct transaction *transaction)
{
    return transaction != NULL && transaction->open;
}

/* Over what L2 is asked while it watches; NULL: the shared link. */
struct line *transaction_line(const struct transaction *transaction);
/* EXEC of it must know all answers before it. */
static inline bool transaction_comes_last(const struct transaction *transaction)
{
    return transaction->joins || transaction->line != NULL;
}
/* Somebody else may unblock who waits on its line, which is therefore nobody's afterwards. */
void transaction_expose(struct transaction *transaction);
/* Its line is lost: what was watched is forgotten. */
bool transaction_is_broken(const struct transaction *transaction);
/* EXEC would answer nil, as far as the node knows: what is watched at L2 only L2 does. */
bool transaction_fails(const struct transaction *transaction, int64_t now_ms);
/* The call before may have gone another way than the next will, so that this must be answered first. */
bool transaction_changes_links(const struct transaction *transaction);
/* For the call that is next: its way while the connection watches, which is its line; but a write that announces itself would
 * say MULTI and EXEC there, and EXEC ends what is watched. False: the call is held. */
bool transaction_directs(struct call *call);
/* The connection speaks another protocol from now on. */
void transaction_change_protocol(struct conn *conn, int proto);
/* EXEC is not answered yet. */
static inline bool transaction_is_executed(const struct transaction *transaction)
{
    return transaction != NULL && transaction->execution != NULL;
}

/* Queues the call if the connection is in MULTI and this is no command that runs there at once; answers then. All checks
 * but COMMAND_NO_MULTI are made. */
bool transaction_takes(struct call *call);
/* Whether the command would be queued. */
bool transaction_would_take(const struct call *call);
/* A command was refused: EXEC will abort. */
void transaction_refuse(struct conn *conn);
/* EXEC itself was refused: the words of that error, and the end of the transaction. */
void transaction_abort(struct call *exec, const char *why);
/* RESET: forgets all. */
void transaction_end(struct conn *conn);
/* The same after EXEC over its line, which was answered. */
void transaction_end_clean(struct conn *conn);
/* The end of the connection; what is under way goes on without it. */
void transaction_orphan(struct conn *conn);

/* For execution.c: */
/* Whether L2 runs a command, if there is one. SELECT goes with others: execution.c. */
bool transaction_asks_l2_for(const struct command *command);
void transaction_hand_over(struct transaction *transaction); /* the queue is another's now */
bool transaction_has_changed(const struct transaction *transaction,
                             int64_t now_ms); /* a watched key */
void transaction_unwatch(struct transaction *transaction);

#endif
