/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/blocking.h"

#include "server/conn.h"
#include "server/node.h"
#include "server/relay.h"
#include "server/worker.h"
#include "tiers/line.h"
#include "tiers/tiers.h"

#include <stdlib.h>
#include <string.h>

struct blocking {
    struct line_user user; /* hears nothing: what was asked ends by itself */
    struct worker *worker;
    struct conn *conn; /* NULL: the client has left */
    struct line *line; /* NULL: it is not ours, or was ended */
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

void blocking_end(struct blocking *blocking)
{
    struct line *line = blocking->line;
    blocking_let_go(blocking);
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
    line_end(line); /* what was asked ends with it, in blocking_end */
}

uint64_t blocking_expose(struct blocking *blocking)
{
    blocking->exposed = true;
    return blocking->line == NULL ? 0 : line_client_id(blocking->line);
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
    if (call->line == NULL) {
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
        blocking_end(blocking);
        return;
    }
    blocking->conn = conn;
    conn->blocking = blocking;
    atomic_fetch_add(&call->node->conns_blocked, 1);
    conn_hold(conn, HOLD_BLOCKED);
}
