/* SPDX-License-Identifier: BSD-3-Clause */
/* request_orphan.c -- a FETCH that nobody waits for any more, until its answer has come: it may be LOAD, and then all
 * others who want the key wait for us. Whoever has gone cannot load; so somebody else is to (FAIL).
 *
 * Owns: itself, from orphan_of until its answer, or the end of its connection. */
#include "client/request_inner.h"

#include <stdlib.h>
#include <string.h>

struct orphan {
    struct call call;        /* first, as of struct try */
    struct request *request; /* NULL, which tells it from a try */
    size_t key_size;
    char key[];
};

static struct orphan *orphan_at(struct call *call)
{
    return (struct orphan *)(void *)call;
}

bool orphan_of(const struct request *request, struct call *call)
{
    const struct slice key = request_keys(request);
    if (request->op != NATIVE_FETCH || request->core->is_closing || call->id == 0 ||
        conn_is_closed(call->conn)) {
        return false;
    }
    struct orphan *orphan = calloc(1, sizeof *orphan + key.size);
    if (orphan == NULL) {
        return false;
    }
    orphan->key_size = key.size;
    if (key.size > 0) {
        memcpy(orphan->key, key.data, key.size);
    }
    conn_move(call, &orphan->call);
    return true;
}

static void on_failed(void *arg, const struct outcome *outcome)
{
    (void)arg; /* if it did not reach the node its own time for the load runs out */
    (void)outcome;
}

static void give_back(struct core *core, struct slice key, struct slice token, uint64_t at)
{
    const struct native_request meta = {.token = token};
    const struct ask ask = {.op = NATIVE_FAIL,
                            .keys = &key,
                            .key_count = 1,
                            .meta = &meta,
                            .is_write = true,
                            .at = at,
                            .on_done = on_failed};
    struct request *request = NULL;
    if (request_new(core->options, &ask, &request) == TERRACE_OK) {
        (void)request_start(core, request);
    }
}

void orphan_on_answer(struct call *call, struct lane *lane, const struct conn_answer *answer)
{
    struct orphan *orphan = orphan_at(call);
    if (!answer->is_last) {
        conn_break(lane->conn, TERRACE_UNREACHABLE, "an answer in parts to a question of one");
        return; /* it was lost with it */
    }
    if (answer->header->word == NATIVE_LOAD && lane->peer != NULL) {
        give_back(lane->core, (struct slice){orphan->key, orphan->key_size}, answer->reply->token,
                  lane->peer->at);
    }
    free(orphan);
}

void orphan_on_lost(struct call *call)
{
    free(orphan_at(call));
}
