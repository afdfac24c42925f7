/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/blocking.h"

#include "protocol/resp_write.h"
#include "server/conn.h"
#include "server/node.h"
#include "server/relay.h"
#include "server/transaction.h"
#include "server/worker.h"
#include "tiers/line.h"
#include "tiers/tiers.h"

#include <stdlib.h>
#include <string.h>

enum {
    HANG_UPS_MAX = 3
};

/* A question to L2 that outlives what it is about. */
struct hang_up {
    struct tiers_relay relay;
    struct blocking *blocking; /* NULL: it has ended */
    uint64_t l2_id;
    unsigned asked; /* how often */
};

struct blocking {
    struct line_user user; /* first */
    struct worker *worker;
    struct conn *conn; /* NULL: the client has left */
    struct line *line; /* NULL: it was ended */
    struct hang_up *hang_up;
    bool is_watching; /* the line is the one of WATCH, which has it back without being told */
    bool leaving;
    bool exposed;
};

bool blocking_asks(const struct call *call)
{
    for (uint32_t i = 1; i < call->argc; i++) {
        if (slice_is_nocase(call->argv[i], "block")) {
            return true;
        }
        if (slice_is_nocase(call->argv[i], "streams")) {
            return false;
        }
    }
    return false;
}

bool blocking_is_wait(const struct command *command)
{
    return command->run == NULL &&
           (strcmp(command->name, "wait") == 0 || strcmp(command->name, "waitaof") == 0);
}

void blocking_refuse_line(struct reply *reply, struct worker *worker, enum status status)
{
    if (status == BUSY) {
        reply_errorf(reply,
                     "BUSY all %u connections to L2 for blocking commands and WATCH are in use "
                     "(l2-pool-max)",
                     atomic_load(&tiers_lines(worker->node->tiers)->max));
    } else {
        relay_refuse(reply, worker, status);
    }
}

/* The client is blocked no more, or is gone. */
static void blocking_let_go(struct blocking *blocking)
{
    struct conn *conn = blocking->conn;
    if (conn != NULL) {
        blocking->conn = NULL;
        conn->blocking = NULL;
        atomic_fetch_sub(&blocking->worker->node->conns_blocked, 1);
        conn_unhold(conn, HOLD_BLOCKED);
    }
}

static bool is_unblocked(struct slice reply)
{
    const struct slice word = SLICE_LITERAL("-UNBLOCKED ");
    return reply.size > word.size && memcmp(reply.data, word.data, word.size) == 0;
}

void blocking_end(struct blocking *blocking, struct slice reply)
{
    struct line *line = blocking->line;
    struct conn *gone = blocking->leaving && is_unblocked(reply) ? blocking->conn : NULL;
    blocking_let_go(blocking);
    if (blocking->hang_up != NULL) {
        blocking->hang_up->blocking = NULL;
    }
    if (gone != NULL) {
        conn_close(gone);
    }
    if (blocking->is_watching) {
        line = NULL;
    }
    if (line != NULL && blocking->exposed) {
        line_end(line);
    } else if (line != NULL) {
        line_give_back(line);
    }
    free(blocking);
}

void blocking_leave(struct blocking *blocking)
{
    struct line *line = blocking->line;
    blocking_let_go(blocking);
    blocking->line = NULL;
    if (!blocking->is_watching) {
        line_end(line); /* what was asked ends with it, in blocking_end */
    }
}

/* --- the client has ended its side ------------------------------------------------------------------------------------- */

bool blocking_is_leaving(const struct blocking *blocking)
{
    return blocking->leaving;
}

enum status blocking_request(struct buf *out, uint64_t l2_id, bool with_error)
{
    char digits[I64_DIGITS_MAX];
    const size_t size = i64_format(digits, (int64_t)l2_id);
    const struct slice words[] = {
        SLICE_LITERAL("CLIENT"), SLICE_LITERAL("UNBLOCK"), {digits, size}, SLICE_LITERAL("ERROR")};
    return resp_append_request(out, with_error ? 4 : 3, words);
}

static enum status hang_up_ask(struct hang_up *hang_up, struct tiers_window *window);

/* 0 may only mean that L2 has not read the call yet, which was written to another connection of its just before. */
static void hang_up_on_reply(struct tiers_relay *relay, enum status status, struct slice reply)
{
    struct hang_up *hang_up = (struct hang_up *)(void *)relay;
    struct blocking *blocking = hang_up->blocking;
    const bool is_done = status == OK && slice_is(reply, ":1\r\n");
    const bool again = status == OK && slice_is(reply, ":0\r\n") && hang_up->asked < HANG_UPS_MAX;
    if (blocking != NULL && again && hang_up_ask(hang_up, blocking->worker->window) == OK) {
        return;
    }
    free(hang_up);
    if (blocking != NULL) {
        blocking->hang_up = NULL;
    }
    if (blocking != NULL && !is_done && blocking->conn != NULL) {
        conn_close(blocking->conn);
    }
}

static enum status hang_up_ask(struct hang_up *hang_up, struct tiers_window *window)
{
    struct buf request = {0};
    enum status status = blocking_request(&request, hang_up->l2_id, true);
    hang_up->relay = (struct tiers_relay){.on_reply = hang_up_on_reply};
    hang_up->asked++;
    if (status == OK) {
        status = tiers_relay(window, &hang_up->relay, 2, buf_slice(&request));
    }
    buf_done(&request);
    return status;
}

static void hang_up_begin(struct blocking *blocking)
{
    struct hang_up *hang_up = calloc(1, sizeof(*hang_up));
    if (hang_up != NULL) {
        *hang_up = (struct hang_up){.blocking = blocking, .l2_id = line_client_id(blocking->line)};
    }
    if (hang_up == NULL || hang_up_ask(hang_up, blocking->worker->window) != OK) {
        free(hang_up);
        conn_close(blocking->conn);
        return;
    }
    blocking->hang_up = hang_up;
}

static void blocking_on_ready(struct line_user *user)
{
    struct blocking *blocking = (struct blocking *)(void *)user;
    if (blocking->leaving) {
        hang_up_begin(blocking);
    }
}

void blocking_hang_up(struct blocking *blocking)
{
    if (blocking->leaving) {
        return;
    }
    blocking->leaving = true;
    if (blocking->line == NULL) {
        conn_close(blocking->conn);
    } else if (blocking_expose(blocking) != 0) {
        hang_up_begin(blocking);
    } /* else its line is not READY yet, or will never be: on_ready or the answer comes */
}

uint64_t blocking_expose(struct blocking *blocking)
{
    blocking->exposed = true;
    if (blocking->line == NULL) {
        return 0;
    }
    if (blocking->is_watching) {
        transaction_expose(blocking->conn->transaction);
    }
    return line_client_id(blocking->line);
}

void blocking_call(struct call *call)
{
    struct conn *conn = call->conn;
    struct blocking *blocking = calloc(1, sizeof(*blocking));
    if (blocking == NULL) {
        reply_out_of_memory(call->reply);
        return;
    }
    blocking->worker = call->worker;
    blocking->user.on_ready = blocking_on_ready;
    blocking->line = call->line;
    blocking->is_watching = call->line != NULL;
    if (!blocking->is_watching) {
        const enum status status = line_take(call->worker->window, conn->session.proto, LINE_ALONE,
                                             &blocking->user, &blocking->line);
        if (status != OK) {
            blocking_refuse_line(call->reply, call->worker, status);
            free(blocking);
            return;
        }
        call->line = blocking->line;
    }
    call->blocking = blocking;
    relay_call(call);
    if (!call->deferred) { /* it was refused */
        blocking_end(blocking, (struct slice){0});
        return;
    }
    blocking->conn = conn;
    conn->blocking = blocking;
    atomic_fetch_add(&call->node->conns_blocked, 1);
    conn_hold(conn, HOLD_BLOCKED);
}
