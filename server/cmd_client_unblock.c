/* SPDX-License-Identifier: BSD-3-Clause */
/* CLIENT UNBLOCK: a client that waits in L2 (blocking.h) is let go by L2, which answers it as it does when its time is over,
 * or with -UNBLOCKED. Our numbers of clients are not L2's: a tour finds the client and the number of its line there. */
#include "server/blocking.h"
#include "server/commands.h"
#include "server/conn.h"
#include "server/mailbox.h"
#include "server/node.h"
#include "server/relay.h"
#include "server/subcommand.h"
#include "server/worker.h"
#include "tiers/tiers.h"

#include <stdlib.h>

struct client_unblock {
    struct tour tour; /* first: a tour is cast back */
    struct tiers_relay relay;
    struct answer *answer;
    uint64_t id;
    uint64_t l2_id; /* 0: nobody of that number is blocked */
    bool with_error;
};

static void unblock_land(struct client_unblock *unblock)
{
    struct answer *answer = unblock->answer;
    free(unblock);
    if (answer->conn != NULL) {
        conn_unhold(answer->conn, HOLD_ALONE);
    }
    answer_land(answer);
}

static void unblock_visit(struct tour *tour, struct worker *worker)
{
    struct client_unblock *unblock = (struct client_unblock *)(void *)tour;
    for (struct list *at = worker->conns.next; at != &worker->conns; at = at->next) {
        const struct conn *conn = LIST_ENTRY(at, struct conn, in_worker);
        if (conn->session.id == unblock->id && conn->blocking != NULL) {
            unblock->l2_id = blocking_expose(conn->blocking);
        }
    }
}

static void unblock_on_reply(struct tiers_relay *relay, enum status status, struct slice reply)
{
    struct client_unblock *unblock = LIST_ENTRY(relay, struct client_unblock, relay);
    relay_answer(unblock->answer, relay, status, reply);
    unblock_land(unblock);
}

static enum status unblock_ask(struct client_unblock *unblock)
{
    struct buf request = {0};
    enum status status = blocking_request(&request, unblock->l2_id, unblock->with_error);
    unblock->relay = (struct tiers_relay){.on_reply = unblock_on_reply};
    if (status == OK) {
        status = tiers_relay(unblock->tour.home->window, &unblock->relay,
                             unblock->answer->reply.proto, buf_slice(&request));
    }
    buf_done(&request);
    return status;
}

static void unblock_done(struct tour *tour)
{
    struct client_unblock *unblock = (struct client_unblock *)(void *)tour;
    if (unblock->l2_id == 0) {
        reply_integer(&unblock->answer->reply, 0);
        unblock_land(unblock);
        return;
    }
    const enum status status = unblock_ask(unblock);
    if (status != OK) {
        relay_refuse(&unblock->answer->reply, tour->home, status);
        unblock_land(unblock);
    }
}

void cmd_client_unblock(struct call *call)
{
    int64_t id = 0;
    const bool with_error = call->argc == 4 && slice_is_nocase(call->argv[3], "error");
    if (call->argc > 4) {
        subcommand_error(call, "CLIENT");
        return;
    }
    if (call->argc == 4 && !with_error && !slice_is_nocase(call->argv[3], "timeout")) {
        reply_error(call->reply, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
        return;
    }
    if (slice_to_i64(call->argv[2], &id) != OK) {
        reply_not_integer(call->reply);
        return;
    }
    struct client_unblock *unblock = calloc(1, sizeof(*unblock));
    if (unblock == NULL) {
        reply_out_of_memory(call->reply);
        return;
    }
    unblock->id = (uint64_t)id;
    unblock->with_error = with_error;
    unblock->answer = call_defer(call, WAIT_LOCAL);
    conn_hold(call->conn, HOLD_ALONE); /* what is pipelined behind finds the client let go */
    unblock->tour.visit = unblock_visit;
    unblock->tour.done = unblock_done;
    tour_start(&unblock->tour, call->worker);
}
