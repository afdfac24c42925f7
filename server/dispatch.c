/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/dispatch.h"

#include "server/account.h"
#include "server/auth.h"
#include "server/blocking.h"
#include "server/commands.h"
#include "server/dispatch_inner.h"
#include "server/managed.h"
#include "server/monitor.h"
#include "server/native.h"
#include "server/node.h"
#include "server/pubsub_order.h"
#include "server/relay.h"
#include "server/resolve.h"
#include "server/solo.h"
#include "server/transaction.h"
#include "server/upload.h"
#include "server/usage.h"
#include "server/worker.h"
#include "tiers/tiers.h"

#include <stdlib.h>

enum {
    BRIEF_BYTES_MAX = 4096 /* of the request of a COMMAND_BRIEF */
};

/* --- who answers --------------------------------------------------------------------------------------------------------- */

/* Which command the call names: ours, a subcommand, or one that only L2 knows, which is written to `room`. False: nobody's,
 * and the error is answered. */
static bool dispatch_resolve(struct call *call, struct command *room)
{
    if (call->command == NULL) {
        return resolve_at_l2(call, room);
    }
    return call->command->subcommands == NULL || call->argc < 2 || resolve_subcommand(call);
}

static bool call_is_for_l2(const struct call *call)
{
    const struct command *command = call->command;
    if (command->run == NULL || call->node->tiers == NULL) {
        return command->run == NULL;
    }
    return command->road == ROAD_L2 ||
           (command->road == ROAD_READ &&
            (dispatch_goes_behind(call) ||
             (call->line != NULL && (command->flags & COMMAND_OWN) == 0)));
}

/* With an L2 there is no solo. */
static void run_alone(struct call *call)
{
    solo_begin(call->node->solo, call->worker->index);
    call->command->run(call);
    solo_end(call->node->solo);
}

static void dispatch_run(struct call *call)
{
    const struct command *command = call->command;
    if (call->conn->body.upload != NULL) {
        upload_call(call, call->conn->body.upload);
    } else if (call->managed != NULL) {
        call->managed->run(call);
    } else if (command->road == ROAD_LATER) {
        cmd_later(call);
    } else if (command->road == ROAD_LINE && call->conn->answer_count > 0) {
        /* Another link than the calls before it took; or WATCH's own, which is not READY yet. */
        conn_hold(call->conn, HOLD_ORDER);
        call->held = true;
    } else if (command->road == ROAD_LINE) {
        blocking_call(call);
    } else if (call_is_for_l2(call)) {
        if ((command->flags & COMMAND_PUBSUB) != 0 && pubsub_order_holds(call)) {
            call->held = true;
        } else {
            relay_call(call);
        }
    } else if ((command->flags & COMMAND_ALONE) != 0) {
        run_alone(call);
    } else {
        command->run(call);
    }
}

/* Those flagged to skip MONITOR, EVAL and its kin, are what Redis shows by itself, in front of what they call. */
static bool is_monitored(const struct call *call)
{
    return atomic_load_explicit(&call->node->live.monitors, memory_order_relaxed) > 0 &&
           (call->command->flags & COMMAND_ADMIN) == 0;
}

static bool dispatch_queues(struct call *call)
{
    const struct conn *conn = call->conn;
    if (conn->transaction == NULL) {
        return false;
    }
    if (conn->session.tracking != NULL && transaction_is_open(conn->transaction)) {
        tracking_before_queued(call);
    }
    return transaction_takes(call);
}

/* How many bytes the answer has grown by; one whose connection was closed has lost them. */
static size_t answered_since(const struct call *call, size_t before)
{
    const size_t size = call->reply->out.size;
    return size > before ? size - before : 0;
}

/* Everything up to the answer: resolve, check, run. call->command is NULL afterwards if this is no call to be counted. */
static void dispatch_call(struct call *call, struct command *room)
{
    if (!dispatch_resolve(call, room) || (call->native != NULL && native_refuses(call))) {
        transaction_refuse(call->conn);
        call->command = NULL;
        return;
    }
    const size_t before = call->reply->out.size;
    const bool admitted = dispatch_admits(call);
    const bool queued = admitted && dispatch_queues(call); /* counted when it runs */
    if (admitted && !queued && call->conn->transaction != NULL && !transaction_directs(call)) {
        return; /* held: it comes again, and is written down then */
    }
    if (admitted) {
        call->conn->session.last_command = call->command->full_name;
        if ((call->command->flags & (COMMAND_ADMIN | COMMAND_DANGEROUS)) != 0) {
            auth_audit(call);
        }
    }
    if (!admitted) {
        transaction_refuse(call->conn);
        count_add(&account_of(call->worker, call->command)->rejected, 1);
    } else if (!queued) {
        if (call->conn->session.tracking != NULL) {
            tracking_before(call);
        }
        dispatch_run(call);
    }
    if (is_monitored(call) && admitted && !queued) {
        call->shown = true;
    }
    if (admitted && !call->held) {
        usage_note(call, answered_since(call, before));
    }
    if (!admitted || queued) {
        call->command = NULL;
    }
}

/* --- executing (check stage) --------------------------------------------------------------------------------------------- */

/* Where this call's answer is written now: to the connection, aside if others must come first, or nowhere. */
static struct reply *dispatch_place(struct worker *worker, struct conn *conn,
                                    const struct native_ticket *native)
{
    if (native != NULL) {
        return native_place(worker, native);
    }
    struct reply *place = &conn->reply;
    if (session_is_silent(&conn->session)) {
        place = &worker->sink;
    } else if (conn->answer_count > 0) {
        place = &worker->aside;
    }
    place->proto = conn->session.proto;
    place->failed = false;
    return place;
}

/* After the handler: the answer that was put aside takes its place in the queue; skipped ones are dropped. */
static void dispatch_place_done(struct call *call)
{
    struct worker *worker = call->worker;
    struct conn *conn = call->conn;
    if (call->native != NULL) {
        native_answer(conn, call->native, &call->reply->out);
        return;
    }
    if (call->reply == &worker->aside && (worker->aside.out.size > 0 || worker->aside.out.broken)) {
        if (conn->state == CONN_CLOSED) {
            out_done(&worker->aside.out);
        } else {
            answer_put(conn, &worker->aside.out);
        }
    }
    if (call->reply == &worker->sink) {
        out_done(&worker->sink.out);
    }
    if (conn->session.reply_mode != REPLY_ON && !transaction_is_executed(conn->transaction)) {
        conn_pass_skip(conn);
    }
}

/* A call that is timed by itself: one that may take long, as the end of a large value that it replaces does, or any while the
 * slow log asks for microseconds. */
static bool call_is_timed(const struct node *node, const struct request *request)
{
    const uint32_t flags = request->command == NULL ? 0 : request->command->flags;
    int64_t slower_us = atomic_load_explicit(&node->live.slowlog_slower_us, memory_order_relaxed);
    const bool is_quick = request->body == NULL &&
                          ((flags & COMMAND_FAST) != 0 ||
                           ((flags & COMMAND_BRIEF) != 0 && request->raw.size <= BRIEF_BYTES_MAX));
    return !is_quick || (slower_us >= 0 && slower_us < 1000);
}

/* `nsec` 0: the call was not timed by itself; its request remembers who gets the share. */
static void dispatch_count(struct call *call, struct request *request, uint64_t nsec)
{
    struct worker *worker = call->worker;
    metrics_count(worker->metrics, M_COMMANDS);
    if (call->reply->failed && !call->deferred) {
        metrics_count(worker->metrics, M_ERRORS);
    }
    if (call->command == NULL) {
        return;
    }
    struct command_counters *counters = account_of(worker, call->command);
    count_add(&counters->calls, 1);
    if (!call->deferred) {
        if (nsec == 0) {
            request->untimed = counters;
        } else {
            account_durations(counters, nsec, 1);
        }
        count_add(&counters->failed, call->reply->failed ? 1 : 0);
    }
    if (nsec != 0 && !call->deferred) {
        account_slow(call, nsec);
    }
}

void dispatch_count_part(struct worker *worker, const struct command *command)
{
    metrics_count(worker->metrics, M_COMMANDS);
    count_add(&account_of(worker, command)->calls, 1);
}

void dispatch_part(struct call *call)
{
    struct command_counters *counters = account_of(call->worker, call->command);
    const bool failed = call->reply->failed;
    const uint64_t began_ns = clock_monotonic_ns();
    const size_t before = call->reply->out.size;
    dispatch_count_part(call->worker, call->command);
    call->reply->failed = false;
    if (call->conn->session.tracking != NULL) {
        tracking_note_reads(call);
    }
    call->command->run(call);
    usage_note_part(call, answered_since(call, before));
    if (!call->deferred) {
        const uint64_t nsec = clock_monotonic_ns() - began_ns;
        account_durations(counters, nsec, 1);
        count_add(&counters->failed, call->reply->failed ? 1 : 0);
        account_slow(call, nsec);
    }
    call->reply->failed = call->reply->failed || failed;
    dispatch_show_part(call);
}

void dispatch_show_part(const struct call *call)
{
    if (is_monitored(call)) {
        monitor_show(call);
    }
}

static inline struct call call_of(struct worker *worker, const struct request *request)
{
    return (struct call){
        .node = worker->node,
        .worker = worker,
        .conn = request->conn,
        .command = request->command,
        .argv = request->argv,
        .argc = request->argc,
        .raw = request->is_inline || request->is_renamed || request->native != NULL
                   ? (struct slice){0}
                   : request->raw,
        .native = request->native,
        .hidden = request->is_hidden,
        .first_hash = request->hash,
        .first_home = request->home,
        .body = request->body,
        .db = request->conn->session.db,
        .now_ms = worker->now_ms,
    };
}

/* --- plain calls ------------------------------------------------------------------------------------------------------------ */

/* Nearly all calls are reads and writes of one key, by clients who have asked for nothing special, of a node where nobody has.
 * All that dispatch_request asks in front of such a call and behind it has the answer no. So it is asked together, once for
 * a run of them that one connection sends: what could change an answer is no plain call, and what another worker does
 * meanwhile holds from the next batch on, in which are all requests that were sent when it was done. But a pause must hold
 * at once, and is asked for each time. */

/* Of these each is asked about somewhere above, or by its handler. */
enum {
    NOT_PLAIN = COMMAND_ADMIN | COMMAND_PUBSUB | COMMAND_BLOCKING | COMMAND_NO_AUTH |
                COMMAND_MOVABLE_KEYS | COMMAND_SKIP_MONITOR | COMMAND_SKIP_SLOWLOG |
                COMMAND_NO_MULTI | COMMAND_DANGEROUS | COMMAND_SETTLED | COMMAND_OWN |
                COMMAND_MODULE | COMMAND_SUBSCRIBER | COMMAND_PAUSED | COMMAND_OF_HASH |
                COMMAND_ALONE
};

static bool request_is_plain(const struct worker *worker, const struct request *request)
{
    const struct command *command = request->command;
    if (request->home == NULL || request->body != NULL || request->native != NULL ||
        request->is_inline || request->is_renamed || (command->flags & NOT_PLAIN) != 0) {
        return false;
    }
    const bool is_brief =
        (command->flags & COMMAND_FAST) != 0 ||
        ((command->flags & COMMAND_BRIEF) != 0 && request->raw.size <= BRIEF_BYTES_MAX);
    const bool is_ours =
        command->road == ROAD_READ || (command->road == ROAD_L2 && worker->node->tiers == NULL);
    return is_brief && is_ours && command_arity_fits(command->arity, request->argc);
}

static bool conn_is_plain(const struct conn *conn)
{
    const struct session *session = &conn->session;
    return session->authenticated && !session->guarded && session->tracking == NULL &&
           session->reply_mode == REPLY_ON && conn->transaction == NULL && !conn->listens &&
           conn->native == NULL && conn->body.upload == NULL && conn->answer_count == 0;
}

static bool node_is_plain(struct node *node)
{
    struct live *live = &node->live;
    const int64_t slower_us = atomic_load_explicit(&live->slowlog_slower_us, memory_order_relaxed);
    return (slower_us < 0 || slower_us >= 1000) &&
           atomic_load_explicit(&live->little, memory_order_relaxed) == 0 &&
           atomic_load_explicit(&live->l2_busy, memory_order_relaxed) == NULL &&
           atomic_load_explicit(&live->monitors, memory_order_relaxed) == 0 &&
           !namespaces_limited(node->namespaces) && node->namespaces->managed == 0;
}

static bool is_paused(struct worker *worker)
{
    return atomic_load_explicit(&worker->node->live.pause_until_ms, memory_order_relaxed) >
           worker->now_ms;
}

/* Whether this call is plain, and so is what it meets. */
static bool dispatch_is_plain(struct worker *worker, const struct request *request)
{
    struct conn *conn = request->conn;
    if (!request_is_plain(worker, request) || is_paused(worker)) {
        return false;
    }
    if (worker->plain != conn && conn_is_plain(conn) && node_is_plain(worker->node)) {
        worker->plain = conn;
    }
    return worker->plain == conn;
}

/* What is left of dispatch_request. */
static bool dispatch_plain(struct worker *worker, struct request *request)
{
    struct conn *conn = request->conn;
    struct call call = call_of(worker, request);
    call.reply = &conn->reply;
    call.reply->proto = conn->session.proto;
    call.reply->failed = false;
    conn->session.active_at_ms = worker->now_ms;
    conn->session.last_command = call.command->full_name;
    const size_t before = call.reply->out.size;
    call.command->run(&call);
    if (call.deferred || call.held || conn->state == CONN_CLOSED) {
        worker->plain = NULL;
    }
    if (call.held) {
        return false;
    }
    usage_note(&call, answered_since(&call, before));
    dispatch_count(&call, request, 0);
    if (conn->state != CONN_CLOSED) {
        conn_after_call(conn);
    }
    return true;
}

bool dispatch_request(struct worker *worker, struct request *request)
{
    struct conn *conn = request->conn;
    if (request->argc == 0) {
        return true;
    }
    if (dispatch_is_plain(worker, request)) {
        return dispatch_plain(worker, request);
    }
    worker->plain = NULL;
    struct call call = call_of(worker, request);
    if (dispatch_must_hold(&call, request->command)) {
        return false;
    }
    call.reply = dispatch_place(worker, conn, request->native);
    conn->session.active_at_ms = worker->now_ms;
    const bool tracks = conn->session.tracking != NULL;
    bool timed = call_is_timed(worker->node, request);
    uint64_t began_ns = timed ? clock_monotonic_ns() : 0;
    struct command room; /* for one that only L2 knows */
    dispatch_call(&call, &room);
    if (call.held) {
        return false;
    }
    uint64_t nsec = timed ? clock_monotonic_ns() - began_ns : 0;
    worker->timed_ns += nsec;
    dispatch_count(&call, request, nsec);
    dispatch_place_done(&call);
    if (call.shown) {
        monitor_show(&call);
    }
    if (tracks) {
        tracking_after(conn, &call);
    }
    if (conn->state != CONN_CLOSED) {
        conn_after_call(conn);
    }
    return true;
}
