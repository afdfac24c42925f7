/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/script_kill.h"

#include "protocol/resp_write.h"
#include "server/errand.h"
#include "server/node.h"
#include "server/relay.h"
#include "server/worker.h"

#include <stdlib.h>

struct kill {
    struct l2_question question; /* first */
    struct answer *answer;
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

static void kill_done(struct errand *errand)
{
    struct kill *kill = (struct kill *)(void *)errand;
    struct answer *answer = kill->answer;
    relay_answer(answer, NULL, kill->question.status, buf_slice(&kill->question.bytes));
    buf_done(&kill->question.bytes);
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
    *kill = (struct kill){.question = {.errand = {.done = kill_done}}};
    enum status status = resp_append_request(&kill->question.bytes, call->argc, call->argv);
    if (status == OK) {
        status = l2_question_send(&kill->question, call->worker);
    }
    if (status != OK) {
        relay_refuse(call->reply, call->worker, status);
        buf_done(&kill->question.bytes);
        free(kill);
        return;
    }
    kill->answer = call_defer(call, WAIT_LOCAL);
}
