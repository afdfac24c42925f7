/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/watch_line.h"

#include "server/blocking.h"
#include "server/conn.h"
#include "server/node.h"
#include "server/worker.h"
#include "tiers/line.h"
#include "tiers/tiers.h"

#include <stdlib.h>

struct watch_line {
    struct line_user user; /* first */
    struct link_request request;
    struct worker *worker;
    struct line *line;
    bool lost;
    bool exposed;
};

static void watch_on_lost(struct line_user *user, const char *why)
{
    (void)why;
    ((struct watch_line *)(void *)user)->lost = true;
}

struct watch_line *watch_line_new(struct call *call)
{
    struct watch_line *watch = calloc(1, sizeof(*watch));
    if (watch == NULL) {
        reply_out_of_memory(call->reply);
        return NULL;
    }
    watch->user.on_lost = watch_on_lost;
    watch->worker = call->worker;
    const enum status status = line_take(call->worker->window, call->conn->session.proto,
                                         LINE_ALONE, &watch->user, &watch->line);
    if (status != OK) {
        blocking_refuse_line(call->reply, call->worker, status);
        free(watch);
        return NULL;
    }
    return watch;
}

struct line *watch_line_of(const struct watch_line *watch)
{
    return watch->lost ? NULL : watch->line;
}

void watch_line_expose(struct watch_line *watch)
{
    watch->exposed = true;
}

/* HELLO on the line. */
struct watch_hello {
    struct link_request request; /* first */
    struct watch_line *watch;
};

static void watch_on_hello(struct link_request *request, enum status status, struct slice reply)
{
    struct watch_hello *hello = (struct watch_hello *)(void *)request;
    if (status != OK || reply.data[0] == REPLY_ERROR) {
        hello->watch->lost = true;
    }
    free(hello);
}

void watch_line_speak(struct watch_line *watch, int proto)
{
    const struct worker *worker = watch->worker;
    struct watch_hello *hello = calloc(1, sizeof(*hello));
    watch->exposed = true;
    if (hello == NULL || watch->lost) {
        free(hello);
        watch->lost = true;
        return;
    }
    hello->watch = watch;
    hello->request.on_reply = watch_on_hello;
    hello->request.deadline_ms = worker->now_ms + atomic_load(&worker->node->live.l2_timeout_ms);
    const struct slice words = proto == 3 ? SLICE_LITERAL("*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n")
                                          : SLICE_LITERAL("*2\r\n$5\r\nHELLO\r\n$1\r\n2\r\n");
    if (line_ask(watch->line, &hello->request, -1, words) != OK) {
        free(hello);
        watch->lost = true;
    }
}

static void give_back(struct watch_line *watch)
{
    if (watch->lost || watch->exposed) {
        line_end(watch->line);
    } else {
        line_give_back(watch->line);
    }
    free(watch);
}

static void watch_on_unwatched(struct link_request *request, enum status status, struct slice reply)
{
    struct watch_line *watch = LIST_ENTRY(request, struct watch_line, request);
    watch->lost = watch->lost || status != OK || reply.data[0] != REPLY_STATUS;
    give_back(watch);
}

void watch_line_let_go(struct watch_line *watch, bool clean)
{
    const struct worker *worker = watch->worker;
    if (clean || watch->lost) {
        give_back(watch);
        return;
    }
    watch->request = (struct link_request){
        .on_reply = watch_on_unwatched,
        .deadline_ms = worker->now_ms + atomic_load(&worker->node->live.l2_timeout_ms),
    };
    if (line_ask(watch->line, &watch->request, -1, SLICE_LITERAL("*1\r\n$7\r\nUNWATCH\r\n")) !=
        OK) {
        watch->lost = true;
        give_back(watch);
    }
}

void watch_line_cut(struct watch_line *watch)
{
    line_end(watch->line);
    free(watch);
}
