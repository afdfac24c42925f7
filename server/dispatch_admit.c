/* SPDX-License-Identifier: BSD-3-Clause */
/* May it run now? Whether a call is refused (dispatch_admits), and whether its connection holds before that is even asked
 * (dispatch_must_hold). */
#include "server/auth.h"
#include "server/busy.h"
#include "server/commands.h"
#include "server/dispatch_inner.h"
#include "server/managed.h"
#include "server/node.h"
#include "server/pubsub.h"
#include "server/pubsub_line.h"
#include "server/read_scripts.h"
#include "server/resolve.h"
#include "server/transaction.h"
#include "server/usage.h"
#include "server/worker.h"
#include "tiers/behind.h"

/* --- is it refused? ------------------------------------------------------------------------------------------------------- */

/* What a client that subscribed, or monitors, may not say. */
static bool listener_is_refused(struct call *call)
{
    const uint32_t keys = COMMAND_READONLY | COMMAND_WRITE;
    if (call->conn->monitor != NULL && (call->command->flags & keys) != 0) {
        reply_error(call->reply, "ERR Replica can't interact with the keyspace"); /* as Redis */
        return true;
    }
    return pubsub_refuses(call);
}

/* What needs memory, or would be queued, while more than `little` is in use. The error is answered. */
static bool is_out_of_memory(struct call *call, size_t little)
{
    struct l1_stats stats;
    namespaces_stats(call->node->namespaces, &stats);
    if (stats.bytes_used <= little) {
        return false;
    }
    const struct transaction *transaction = call->conn->transaction;
    const bool is_exec = call->command->run == cmd_exec;
    if (is_exec && transaction_is_open(transaction) && transaction->grows) {
        transaction_abort(call, "OOM command not allowed when used memory > 'maxmemory'.");
        return true;
    }
    if (!is_exec &&
        ((call->command->flags & COMMAND_DENYOOM) != 0 || transaction_would_take(call))) {
        reply_out_of_memory(call->reply);
        return true;
    }
    return false;
}

bool dispatch_admits(struct call *call)
{
    const struct command *command = call->command;
    if (!command_arity_fits(command->arity, call->argc)) {
        if (command->run == cmd_exec) {
            transaction_abort(call, "wrong number of arguments for 'exec' command");
        } else {
            reply_wrong_arity(call->reply, command->full_name);
        }
        return false;
    }
    if (!call->conn->session.authenticated && (command->flags & COMMAND_NO_AUTH) == 0) {
        if (command->run == cmd_exec) {
            transaction_abort(call, error_noauth);
        } else {
            reply_error(call->reply, error_noauth);
        }
        return false;
    }
    if ((command->flags & COMMAND_NO_MULTI) != 0 && transaction_is_open(call->conn->transaction)) {
        reply_error(call->reply, "ERR Command not allowed inside a transaction");
        return false;
    }
    if (call->conn->session.guarded && !auth_admits(call)) {
        return false;
    }
    if ((command->flags & COMMAND_PUBSUB) != 0 && pubsub_forbids(call)) {
        return false;
    }
    const size_t little = atomic_load_explicit(&call->node->live.little, memory_order_relaxed);
    if (little > 0 && is_out_of_memory(call, little)) {
        return false;
    }
    if (call->conn->listens && listener_is_refused(call)) {
        return false;
    }
    if (namespaces_limited(call->node->namespaces) && usage_refuses(call)) {
        return false;
    }
    const char *busy = atomic_load_explicit(&call->node->live.l2_busy, memory_order_relaxed);
    if (busy != NULL && busy_refuses(call, busy)) {
        return false;
    }
    return (call->node->namespaces->managed == 0 || managed_admits(call));
}

/* --- must it wait? -------------------------------------------------------------------------------------------------------- */

/* EXEC: what it will run. NULL: it is another command, or there is nothing. */
static const struct transaction *call_executes(const struct call *call)
{
    return call->command != NULL && call->command->run == cmd_exec ? call->conn->transaction : NULL;
}

static bool call_writes(const struct call *call)
{
    const struct transaction *executed = call_executes(call);
    if (call->command == NULL) {
        return resolve_writes_l2(call);
    }
    if (!command_arity_fits(call->command->arity, call->argc)) {
        return false; /* and is told so at once */
    }
    return ((call->command->flags & (COMMAND_WRITE | COMMAND_PAUSED)) != 0 &&
            !read_scripts_is_read(call)) ||
           (executed != NULL && executed->writes);
}

bool dispatch_goes_behind(const struct call *call)
{
    const struct conn *conn = call->conn;
    if (conn->native != NULL) {
        return false;
    }
    return conn->writes_waiting > 0 || ((call->command->flags & COMMAND_OF_HASH) != 0 &&
                                        conn->foreign_waiting == 0 && call_keys_are_asked(call));
}

/* What waits behind L2 is older than a command that ends whole databases, and would come there behind it. */
static bool call_awaits_behind(const struct call *call)
{
    const struct transaction *executed = call_executes(call);
    const bool ends = executed != NULL ? executed->ends_databases
                                       : !transaction_is_open(call->conn->transaction) &&
                                             command_ends_databases(call->command);
    return ends && call->node->behind != NULL && behind_fence(call->node->behind, call->now_ms);
}

/* CLIENT PAUSE holds it; or what waits behind L2 is written first. Looked at again with each tick. */
static bool call_is_paused(struct call *call, const struct command *command)
{
    struct live *live = &call->node->live;
    const int64_t until_ms = atomic_load_explicit(&live->pause_until_ms, memory_order_relaxed);
    if (until_ms > call->now_ms &&
        (!atomic_load_explicit(&live->pause_writes_only, memory_order_relaxed) ||
         call_writes(call))) {
        return true;
    }
    /* The flags of EXEC, and of all that end databases. */
    return command != NULL && (command->flags & (COMMAND_DANGEROUS | COMMAND_SKIP_SLOWLOG)) != 0 &&
           call_awaits_behind(call);
}

/* COMPATIBILITY rule 1: it may not overtake the calls of its connection that wait. */
static bool call_must_follow(struct call *call, const struct command *command)
{
    struct conn *conn = call->conn;
    if (conn->native != NULL) {
        return false; /* its requests have no order */
    }
    const struct transaction *executed = call_executes(call);
    bool comes_after_all = (command != NULL && (command->flags & COMMAND_SETTLED) != 0) ||
                           (executed != NULL && transaction_comes_last(executed)) ||
                           transaction_changes_links(conn->transaction) ||
                           tracking_client_settles(conn);
    bool goes_to_l2 = call->node->tiers != NULL && (command == NULL || command->road == ROAD_L2 ||
                                                    (executed != NULL && executed->asks_l2));
    bool reads = call->node->tiers != NULL && command != NULL && command->road == ROAD_READ;
    bool goes_back = reads && (dispatch_goes_behind(call) ? (command->flags & COMMAND_OWN) != 0
                                                          : call_keys_are_asked(call));
    return comes_after_all || goes_back || pubsub_line_holds(conn, command) ||
           (goes_to_l2 && conn->foreign_waiting > 0) ||
           (call->node->namespaces->managed > 0 && managed_must_hold(call, command));
}

bool dispatch_must_hold(struct call *call, const struct command *command)
{
    struct conn *conn = call->conn;
    if (call_is_paused(call, command)) {
        conn_hold(conn, HOLD_PAUSE);
        call->worker->paused = true;
        return true;
    }
    if (conn->answer_count == 0) {
        return false;
    }
    if (conn_is_full(conn)) {
        conn_hold(conn, HOLD_OUTPUT);
        return true;
    }
    if (call_must_follow(call, command)) {
        conn_hold(conn, HOLD_ORDER);
        return true;
    }
    return false;
}
