/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/busy.h"

#include "protocol/resp_write.h"
#include "server/commands.h"
#include "server/conn.h"
#include "server/errand.h"
#include "server/node.h"
#include "server/script_kill.h"
#include "server/transaction.h"
#include "server/worker.h"

#include <stdlib.h>

struct busy_ask {
    struct l2_question question; /* first */
    uint64_t ended;              /* scripts of the worker, when it was asked */
};

/* --- what Redis says ---------------------------------------------------------------------------------------------- */

/* One of Redis' texts; NULL: it is not busy. */
static const char *busy_text(struct slice reply)
{
    static const char *const texts[] = {
        "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
        "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.",
        "BUSY Redis is busy running a module command.",
    };
    enum {
        TEXTS = sizeof(texts) / sizeof(texts[0])
    };
    if (!slice_begins(reply, "-BUSY ")) {
        return NULL;
    }
    const struct slice said = {reply.data + 1, reply.size - 1};
    for (size_t i = 0; i < TEXTS; i++) {
        if (slice_begins(said, texts[i])) {
            return texts[i];
        }
    }
    return texts[TEXTS - 1]; /* a module's own words */
}

static void busy_say(struct worker *worker, const char *text)
{
    worker->busy.said = text != NULL;
    atomic_store_explicit(&worker->node->live.l2_busy, text, memory_order_relaxed);
}

static void ask_done(struct errand *errand)
{
    struct busy_ask *ask = (struct busy_ask *)(void *)errand;
    struct worker *worker = errand->home;
    struct busy_watch *busy = &worker->busy;
    const char *text =
        ask->question.status == OK ? busy_text(buf_slice(&ask->question.bytes)) : NULL;
    busy->asks = false;
    /* A script that ended meanwhile is what was heard of. */
    const bool is_old = text != NULL && ask->ended != busy->ended;
    if (!is_old && (text != NULL || busy->said)) {
        busy_say(worker, text);
    }
    buf_done(&ask->question.bytes);
    free(ask);
}

/* --- asking --------------------------------------------------------------------------------------------------------- */

void busy_script_begins(struct worker *worker)
{
    worker->busy.running++;
}

void busy_script_ends(struct worker *worker)
{
    worker->busy.running--;
    worker->busy.ended++;
    if (worker->busy.said) {
        busy_say(worker, NULL);
    }
}

void busy_tick(struct worker *worker)
{
    struct busy_watch *busy = &worker->busy;
    if ((busy->running == 0 && !busy->said) || busy->asks || worker->draining) {
        return;
    }
    struct busy_ask *ask = calloc(1, sizeof(*ask));
    if (ask == NULL) {
        return; /* the next tick asks */
    }
    const struct slice ping = SLICE_LITERAL("PING");
    ask->question.errand.done = ask_done;
    ask->ended = busy->ended;
    busy->asks = resp_append_request(&ask->question.bytes, 1, &ping) == OK &&
                 l2_question_send(&ask->question, worker) == OK;
    if (!busy->asks) {
        buf_done(&ask->question.bytes);
        free(ask);
    }
}

/* --- refusing ------------------------------------------------------------------------------------------------------- */

/* Redis would be asked, or the client asks whether Redis is there. */
static bool busy_concerns(const struct call *call)
{
    const struct command *command = call->command;
    if ((command->flags & COMMAND_ALLOW_BUSY) != 0 || is_script_kill(call)) {
        return false;
    }
    return command->road == ROAD_L2 || command->road == ROAD_LINE || command->run == cmd_ping ||
           command->run == cmd_exec || transaction_is_open(call->conn->transaction);
}

bool busy_refuses(struct call *call, const char *text)
{
    if (!busy_concerns(call)) {
        return false;
    }
    if (call->command->run == cmd_exec) {
        transaction_abort(call, text);
    } else {
        reply_errorf(call->reply, "%s", text);
    }
    return true;
}
