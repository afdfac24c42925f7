/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/script_kill.h"

#include "protocol/resp_write.h"
#include "server/control.h"
#include "server/errand.h"
#include "server/node.h"
#include "server/relay.h"
#include "server/worker.h"
#include "tiers/link.h"

#include <stdlib.h>

struct kill {
    struct errand errand; /* first */
    struct link_request request;
    struct answer *answer;
    struct buf bytes; /* what L2 is asked, then its reply */
    enum status status;
};

bool is_script_kill(const struct call *call)
{
    if (call->argc != 2) {
        return false;
    }
    const bool is_function = slice_is_nocase(call->argv[0], "function");
    if (is_function && slice_is_nocase(call->argv[1], "stats")) {
        return atomic_load_explicit(&call->node->live.l2_busy, memory_order_relaxed) != NULL;
    }
    return slice_is_nocase(call->argv[1], "kill") &&
           (is_function || slice_is_nocase(call->argv[0], "script"));
}

static void kill_on_reply(struct link_request *request, enum status status, struct slice reply)
{
    struct kill *kill = LIST_ENTRY(request, struct kill, request);
    kill->bytes.size = 0;
    kill->status = status == OK ? buf_append_slice(&kill->bytes, reply) : status;
    errand_back(&kill->errand);
}

static void kill_run(struct errand *errand)
{
    struct kill *kill = (struct kill *)(void *)errand;
    struct node *node = errand->home->node;
    kill->request = (struct link_request){
        .on_reply = kill_on_reply,
        .deadline_ms = clock_now_ms(&node->clock) + atomic_load(&node->live.l2_timeout_ms),
    };
    kill->status = control_ask_l2(node->control, &kill->request, buf_slice(&kill->bytes));
    if (kill->status != OK) {
        errand_back(errand);
    }
}

static void kill_done(struct errand *errand)
{
    struct kill *kill = (struct kill *)(void *)errand;
    struct answer *answer = kill->answer;
    relay_answer(answer, NULL, kill->status, buf_slice(&kill->bytes));
    buf_done(&kill->bytes);
    free(kill);
    answer_land(answer);
}

void script_kill(struct call *call)
{
    struct kill *kill = malloc(sizeof(*kill));
    if (kill == NULL) {
        reply_out_of_memory(call->reply);
        return;
    }
    *kill = (struct kill){.errand = {.run = kill_run, .done = kill_done}};
    enum status status = resp_append_request(&kill->bytes, call->argc, call->argv);
    if (status == OK) {
        status = errand_send(&kill->errand, call->worker);
    }
    if (status != OK) {
        relay_refuse(call->reply, call->worker, status);
        buf_done(&kill->bytes);
        free(kill);
        return;
    }
    kill->answer = call_defer(call, WAIT_LOCAL);
}
