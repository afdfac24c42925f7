/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/execution.h"

#include "protocol/check.h"
#include "protocol/resp_read.h"
#include "server/auth.h"
#include "server/cmd_connection.h"
#include "server/commands.h"
#include "server/conn.h"
#include "server/dispatch.h"
#include "server/node.h"
#include "server/relay.h"
#include "server/solo.h"
#include "server/tracking_client.h"
#include "server/usage.h"
#include "server/worker.h"

#include <stdlib.h>

struct execution {
    struct relay_splice splice; /* first */
    struct worker *worker;
    struct answer *answer; /* to EXEC; in the queue of its connection */
    struct queued **queue;
    size_t count;
    bool asks_l2;   /* commands of L2's, and SELECT, are in its array */
    bool on_line;   /* which watches */
    bool has_array; /* L2 has run them: */
    bool told;      /* the array has begun; what is silent in it is so by itself */
    bool outlives;  /* the call of EXEC, which has ended */
    struct buf elements;
    struct list pieces; /* answers of no connection's queue, in the order of the array */
    unsigned waiting;   /* pieces that are not filled yet; and L2's array */
};

static void free_queue(struct queued **queue, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(queue[i]);
    }
    free(queue);
}

static bool goes_to_l2(const struct execution *execution, const struct queued *queued)
{
    const struct command *command = queued->command;
    return execution->asks_l2 && queued->denied == ACL_OK &&
           (transaction_asks_l2_for(command) || command->run == cmd_select || queued->proto != 0);
}

static struct call call_of(struct conn *conn, const struct queued *queued)
{
    return (struct call){
        .node = conn->worker->node,
        .worker = conn->worker,
        .conn = conn,
        .command = queued->command,
        .argv = queued->argv,
        .argc = queued->argc,
        .raw = queued->raw,
        .script = queued->script,
        .db = conn->session.db,
        .now_ms = conn->worker->now_ms,
    };
}

/* The protocol of what L2 answers behind it, and nothing else of it. */
static struct call call_of_hello(struct conn *conn, const struct queued *queued)
{
    struct call call = call_of(conn, queued);
    call.argc = 1;
    call.raw = queued->proto == 3 ? SLICE_LITERAL("*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n")
                                  : SLICE_LITERAL("*2\r\n$5\r\nHELLO\r\n$1\r\n2\r\n");
    return call;
}

/* --- pieces -------------------------------------------------------------------------------------------------------- */

/* Puts them together: the answer is whole. */
static void execution_finish(struct execution *execution)
{
    struct answer *answer = execution->answer;
    struct conn *conn = answer->conn;
    bool killed = false;
    answer->silent = answer->silent && !execution->told;
    while (!list_empty(&execution->pieces)) {
        struct answer *piece = LIST_ENTRY(execution->pieces.next, struct answer, link);
        list_remove(&piece->link);
        answer->reply.failed = answer->reply.failed || piece->reply.failed;
        if (conn != NULL && !piece->silent && !killed) {
            out_move(&answer->reply.out, &piece->reply.out);
        }
        killed = killed || piece->is_last;
        answer_free(piece);
    }
    const bool on_line = execution->on_line;
    const bool outlives = execution->outlives;
    free_queue(execution->queue, execution->count);
    free(execution);
    if (conn != NULL) {
        conn->transaction->execution = NULL;
        if (on_line) {
            transaction_end_clean(conn);
        } else {
            transaction_end(conn);
        }
        if (outlives) {
            conn_pass_skip(conn);
        }
        conn_unhold(conn, HOLD_EXEC);
    }
    answer_land(answer);
}

static void execution_let_go(struct execution *execution)
{
    if (--execution->waiting == 0) {
        execution_finish(execution);
    }
}

static void piece_on_landed(struct answer *piece)
{
    execution_let_go(piece->execution);
}

static struct answer *piece_new(struct execution *execution)
{
    struct conn *conn = execution->answer->conn;
    struct answer *piece = answer_new_apart(execution->worker, conn);
    piece->execution = execution;
    piece->on_landed = piece_on_landed;
    list_push_back(&execution->pieces, &piece->link);
    return piece;
}

/* Where what is answered at once is written: behind what is there already. */
static struct answer *piece_open(struct execution *execution)
{
    struct answer *last = LIST_ENTRY(execution->pieces.prev, struct answer, link);
    if (list_empty(&execution->pieces) || last->began_ns != 0) {
        last = piece_new(execution);
        last->landed = true;
    }
    return last;
}

struct answer *execution_defer(struct call *call)
{
    call->execution->waiting++;
    return piece_new(call->execution);
}

void execution_orphan(struct execution *execution)
{
    for (struct list *node = execution->pieces.next; node != &execution->pieces;
         node = node->next) {
        LIST_ENTRY(node, struct answer, link)->conn = NULL;
    }
}

/* --- running ------------------------------------------------------------------------------------------------------- */

struct reply *execution_reply(struct execution *execution)
{
    return &piece_open(execution)->reply;
}

/* For the next element, or the head of the array: nowhere while CLIENT REPLY says so, as in Redis, also between a head and
 * its elements. */
static struct reply *element_begin(struct execution *execution)
{
    const struct session *session = &execution->answer->conn->session;
    struct reply *reply =
        session_is_silent(session) ? &execution->worker->sink : execution_reply(execution);
    reply->proto = session->proto;
    return reply;
}

static void element_end(struct execution *execution, struct reply *reply)
{
    if (reply == &execution->worker->sink) {
        execution->answer->reply.failed = execution->answer->reply.failed || reply->failed;
        out_done(&reply->out);
    }
}

static void run_here(struct execution *execution, const struct queued *queued)
{
    struct call call = call_of(execution->answer->conn, queued);
    call.execution = execution;
    call.reply = element_begin(execution);
    if (queued->denied != ACL_OK) {
        auth_refuse_at_exec(&call, queued->denied);
    } else {
        dispatch_part(&call);
    }
    element_end(execution, call.reply);
}

/* SELECT has been heard by L2, which may have fewer databases. */
static void take_selected(struct conn *conn, const struct queued *queued, struct slice element)
{
    int64_t db = -1;
    if (element.data[0] == REPLY_STATUS && slice_to_i64(queued->argv[1], &db) == OK && db >= 0 &&
        db < (int64_t)LIMIT_DATABASES) {
        conn->session.db = (uint8_t)db;
    }
}

/* One element of L2's to its place. */
static void take_element(struct execution *execution, const struct queued *queued,
                         struct reply_cursor *elements)
{
    const char *from = elements->rest.data;
    CHECK(reply_skip(elements) == OK); /* the whole array was framed */
    const struct slice element = {from, (size_t)(elements->rest.data - from)};
    if (queued->proto != 0) {
        run_here(execution,
                 queued); /* L2 has changed the protocol of what follows, and said who it is */
        return;
    }
    struct reply *reply = element_begin(execution);
    reply->failed = reply->failed || element.data[0] == REPLY_ERROR;
    reply_raw(reply, element);
    element_end(execution, reply);
    const struct call call = call_of(execution->answer->conn, queued);
    usage_note_part(&call, element.size);
    if (queued->command->run == cmd_select) {
        take_selected(execution->answer->conn, queued, element);
    }
}

/* `elements`: L2's, if it was asked. */
static void run_all(struct execution *execution, struct slice elements)
{
    struct reply_cursor cursor = {elements};
    struct conn *conn = execution->answer->conn;
    struct reply *head = element_begin(execution);
    execution->told = true;
    reply_array(head, execution->count);
    element_end(execution, head);
    for (size_t i = 0; i < execution->count && conn->state != CONN_CLOSED; i++) {
        const struct queued *queued = execution->queue[i];
        if (goes_to_l2(execution, queued)) {
            take_element(execution, queued, &cursor);
        } else {
            run_here(execution, queued);
        }
    }
}

/* Kept until it may be told: what the node serves may read L1, which a script has ended keys of that nobody named. */
static void execution_on_array(struct relay_splice *splice, struct slice elements)
{
    struct execution *execution = (struct execution *)(void *)splice;
    struct answer *answer = execution->answer;
    if (answer->conn == NULL) {
        return; /* what is the node's is about its client, who is gone */
    }
    execution->has_array = buf_append_slice(&execution->elements, elements) == OK;
    if (!execution->has_array) {
        reply_out_of_memory(&answer->reply);
    }
}

static void execution_on_done(struct relay_splice *splice)
{
    struct execution *execution = (struct execution *)(void *)splice;
    struct conn *conn = execution->answer->conn;
    if (execution->has_array && conn != NULL) {
        run_all(execution, buf_slice(&execution->elements));
    }
    buf_done(&execution->elements);
    execution_let_go(execution);
}

/* --- beginning ------------------------------------------------------------------------------------------------------ */

/* The calls of the queue that are L2's. NULL: no memory. */
static struct call *calls_for_l2(const struct execution *execution, const struct call *exec,
                                 size_t *ret_count)
{
    struct conn *conn = exec->conn;
    struct call *calls = malloc((execution->count + 1) * sizeof(*calls));
    *ret_count = 0;
    for (size_t i = 0; calls != NULL && i < execution->count; i++) {
        const struct queued *queued = execution->queue[i];
        if (goes_to_l2(execution, queued) && queued->proto != 0) {
            calls[(*ret_count)++] = call_of_hello(conn, queued);
        } else if (goes_to_l2(execution, queued)) {
            dispatch_count_part(conn->worker, queued->command);
            calls[*ret_count] = call_of(conn, queued);
            calls[*ret_count].line = exec->line;
            if (conn->session.tracking != NULL) {
                tracking_note_reads(&calls[*ret_count]);
            }
            dispatch_show_part(&calls[(*ret_count)++]);
        }
    }
    return calls;
}

/* All of it is L2's: what it answers is the answer. */
static void pass_to_l2(struct call *exec, const struct execution *execution)
{
    size_t count = 0;
    struct call *calls = calls_for_l2(execution, exec, &count);
    if (calls == NULL) {
        reply_out_of_memory(exec->reply);
    } else {
        (void)relay_calls(exec, calls, count, NULL);
    }
    free(calls);
}

static void join_l2(struct call *exec, struct execution *execution)
{
    size_t count = 0;
    struct call *calls = calls_for_l2(execution, exec, &count);
    execution->splice =
        (struct relay_splice){.on_array = execution_on_array, .on_done = execution_on_done};
    execution->waiting = 1;
    if (calls == NULL) {
        reply_out_of_memory(exec->reply);
    } else {
        execution->answer = relay_calls(exec, calls, count, &execution->splice);
    }
    free(calls);
}

/* A single command that names its keys is so by itself (l1_commit, l1_get_several). */
static bool is_one_step(const struct execution *execution)
{
    if (execution->count == 0) {
        return true;
    }
    return execution->count == 1 && execution->queue[0]->command->first_key > 0;
}

/* In one step for everybody. */
static void run_alone(struct call *exec, struct execution *execution, bool watches)
{
    struct solo *solo = watches || !is_one_step(execution) ? exec->node->solo : NULL;
    solo_begin(solo, exec->worker->index);
    if (transaction_has_changed(exec->conn->transaction, exec->now_ms)) {
        reply_null_array(&execution->answer->reply);
    } else {
        transaction_unwatch(exec->conn->transaction);
        run_all(execution, (struct slice){0});
    }
    solo_end(solo);
}

/* Without commands, too: Redis says whether a watched key has changed. */
static void ask_l2(struct call *exec, struct execution *execution)
{
    struct line *watching = transaction_line(exec->conn->transaction);
    execution->on_line = watching != NULL;
    exec->line = watching != NULL ? watching : exec->line;
    if (transaction_comes_last(exec->conn->transaction)) {
        join_l2(exec, execution);
    } else {
        pass_to_l2(exec, execution);
    }
}

/* Rules may have changed since the commands were queued: those that are denied by now answer an error, the others run. As
 * whom, and in which protocol, AUTH and HELLO among them decide, which are looked ahead at: with an L2 the node's part runs
 * when Redis' has. */
static void ask_again(struct conn *conn, struct transaction *transaction)
{
    const struct session before = conn->session;
    bool asks_l2 = false;
    for (size_t i = 0; i < transaction->count; i++) {
        struct queued *queued = transaction->queue[i];
        struct call call = call_of(conn, queued);
        const uint8_t proto = conn->session.proto;
        queued->denied = auth_verdict_at_exec(&call);
        queued->script = call.script;
        if (queued->denied == ACL_OK) {
            connection_foresee(&call, &conn->session);
        }
        queued->proto = conn->session.proto != proto ? conn->session.proto : 0;
        transaction->joins = transaction->joins || queued->denied != ACL_OK;
        asks_l2 = asks_l2 || (queued->denied == ACL_OK && transaction_asks_l2_for(queued->command));
    }
    conn->session.user = before.user;
    conn->session.guarded = before.guarded;
    conn->session.logged_in = before.logged_in;
    conn->session.proto = before.proto;
    transaction->asks_l2 = transaction->asks_l2 && asks_l2;
}

void execution_begin(struct call *exec)
{
    struct transaction *transaction = exec->conn->transaction;
    struct execution *execution = malloc(sizeof(*execution));
    if (execution == NULL) {
        transaction_end(exec->conn);
        reply_out_of_memory(exec->reply);
        return;
    }
    if (exec->conn->session.guarded || transaction->logs_in) {
        ask_again(exec->conn, transaction);
    }
    *execution = (struct execution){
        .worker = exec->worker,
        .queue = transaction->queue,
        .count = transaction->count,
        .asks_l2 = transaction->asks_l2 || transaction->line != NULL,
    };
    list_init(&execution->pieces);
    transaction_hand_over(transaction);
    transaction->execution = execution;
    if (transaction_is_broken(transaction)) {
        reply_null_array(exec->reply); /* nobody knows any more whether a watched key has changed */
    } else if (execution->asks_l2) {
        ask_l2(exec, execution);
    } else {
        execution->waiting = 1;
        execution->answer = call_defer(exec, WAIT_LOCAL);
        run_alone(exec, execution, transaction->watched.count > 0);
    }
    if (execution->answer == NULL) { /* the answer is made, or L2's alone */
        transaction->execution = NULL;
        free_queue(execution->queue, execution->count);
        free(execution);
        transaction_end(exec->conn);
        return;
    }
    conn_hold(exec->conn, HOLD_EXEC);
    if (!execution->asks_l2 && execution->waiting == 1) {
        execution_let_go(execution);
        return;
    }
    execution->waiting -= execution->asks_l2 ? 0 : 1;
    execution->outlives = true;
}
