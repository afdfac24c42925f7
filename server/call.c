/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/call.h"

#include "protocol/check.h"
#include "protocol/resp_read.h"
#include "server/account.h"
#include "server/conn.h"
#include "server/execution.h"
#include "server/native.h"
#include "server/node.h"
#include "server/slowlog.h"
#include "server/usage.h"
#include "server/worker.h"

#include <stdlib.h>
#include <string.h>

struct ns_key call_find_key(const struct call *call, uint32_t i)
{
    return namespaces_key(call->node->namespaces, call->db, call->argv[i]);
}

struct slice *call_keep_args(const struct call *call)
{
    size_t size = call->argc * sizeof(struct slice);
    for (uint32_t i = 0; i < call->argc; i++) {
        size += call->argv[i].size;
    }
    struct slice *argv = malloc(size);
    char *at = argv == NULL ? NULL : (char *)&argv[call->argc];
    for (uint32_t i = 0; argv != NULL && i < call->argc; i++) {
        const struct slice arg = call->argv[i];
        if (arg.size > 0) {
            memcpy(at, arg.data, arg.size);
        }
        argv[i] = (struct slice){.data = at, .size = arg.size};
        at += arg.size;
    }
    return argv;
}

enum status call_words(const struct call *call, struct buf *words)
{
    const enum status status = slowlog_words(words, call->argv, call->argc);
    const bool is_traced = call->native != NULL && call->native->traceparent.size > 0;
    return status == OK && is_traced
               ? slowlog_word(words, "traceparent=", call->native->traceparent)
               : status;
}

enum status call_words_of(struct slice raw, struct buf *words)
{
    struct slice argv[SLOWLOG_ARGS_MAX];
    struct request_reader reader;
    request_reader_init(&reader);
    enum status status = request_read(&reader, raw);
    if (status == OK && reader.argc <= SLOWLOG_ARGS_MAX) {
        for (uint32_t i = 0; i < reader.argc; i++) {
            argv[i] = request_arg(&reader, raw, i);
        }
        status = slowlog_words(words, argv, reader.argc);
    }
    request_reader_done(&reader);
    return status;
}

/* What is slow is rare: a short request is kept as it came, and its words are made when they are wanted. So short is none with
 * more words than the slow log shows. */
enum {
    RAW_KEPT_MAX = 4 + 6 * SLOWLOG_ARGS_MAX
};

static void answer_keep_words(struct answer *answer, const struct call *call)
{
    struct worker *worker = call->worker;
    struct slice words = call->raw;
    const bool is_raw = words.size > 0 && words.size <= RAW_KEPT_MAX && call->body == NULL &&
                        !body_is_there(&call->conn->body);
    if (!is_raw) {
        worker->scratch.size = 0;
        if (call_words(call, &worker->scratch) != OK) {
            return;
        }
        words = buf_slice(&worker->scratch);
    }
    char *own = spares_take(&worker->spares, words.size);
    if (own != NULL) {
        memcpy(own, words.data, words.size);
        answer->words = (struct slice){own, words.size};
        answer->words_are_raw = is_raw;
    }
}

bool call_key_range(const struct call *call, struct key_range *ret_range)
{
    if ((call->command->flags & COMMAND_MOVABLE_KEYS) != 0) {
        *ret_range = (struct key_range){.first = 1, .last = call->argc - 1, .step = 1};
        return call->argc > 1;
    }
    return command_keys(call->command, call->argc, ret_range);
}

bool call_keys_are_asked(const struct call *call)
{
    struct key_range range;
    if (asked_is_empty(&call->conn->asked) || !call_key_range(call, &range)) {
        return false;
    }
    for (uint32_t i = range.first; i <= range.last; i += range.step) {
        if (asked_has(&call->conn->asked, call_key(call, i).at.hash)) {
            return true;
        }
    }
    return false;
}

static void call_ask_for_keys(const struct call *call)
{
    struct key_range range;
    if (!call_key_range(call, &range)) {
        return;
    }
    for (uint32_t i = range.first; i <= range.last; i += range.step) {
        asked_add(&call->conn->asked, call_key(call, i).at.hash);
    }
}

/* How many of the connection's answers are of a kind; what later calls must wait for. */
static unsigned *waiting_count(struct conn *conn, enum wait_kind kind)
{
    switch (kind) {
    case WAIT_READ: return &conn->reads_waiting;
    case WAIT_FOREIGN: return &conn->foreign_waiting;
    case WAIT_WRITE:
    case WAIT_MANAGED:
    case WAIT_DECISION: return &conn->writes_waiting;
    case WAIT_LOCAL: break;
    }
    return NULL;
}

/* All that it is counted among. */
static void count_kind(struct conn *conn, enum wait_kind kind, int by)
{
    unsigned *count = waiting_count(conn, kind);
    if (count != NULL) {
        *count += (unsigned)by;
    }
    if (kind == WAIT_MANAGED || kind == WAIT_DECISION) {
        conn->managed_waiting += (unsigned)by;
    }
    if (kind == WAIT_DECISION) {
        conn->foreign_waiting += (unsigned)by;
    }
}

void answer_set_kind(struct answer *answer, enum wait_kind kind)
{
    if (answer->conn != NULL && answer->on_landed == NULL) {
        count_kind(answer->conn, answer->kind, -1);
        count_kind(answer->conn, kind, 1);
    }
    answer->kind = kind;
}

struct answer *answer_new_apart(struct worker *worker, struct conn *conn)
{
    struct answer *answer = spares_take(&worker->spares, sizeof(*answer));
    CHECK(
        answer !=
        NULL); /* 300 bytes that cannot be had: nothing sensible can be said to anybody any more */
    *answer = (struct answer){
        .conn = conn, .worker = worker, .reply = {.worker = worker, .proto = conn->session.proto}};
    out_init(&answer->reply.out, &worker->pool);
    return answer;
}

struct answer *answer_new(struct conn *conn, enum wait_kind kind)
{
    struct answer *answer = answer_new_apart(conn->worker, conn);
    answer->kind = kind;
    list_push_back(&conn->answers, &answer->link);
    conn->answer_count++;
    conn->coming++;
    count_kind(conn, kind, 1);
    if (conn->answer_count >= LIMIT_CALLS) {
        conn_hold(conn, HOLD_QUEUE);
    }
    return answer;
}

struct answer *call_defer(struct call *call, enum wait_kind kind)
{
    CHECK(!call->deferred);
    struct answer *answer =
        call->execution != NULL ? execution_defer(call) : answer_new(call->conn, kind);
    if (call->native != NULL) {
        native_on_deferred(answer, call);
    } else if (call->execution == NULL && (kind == WAIT_READ || kind == WAIT_FOREIGN)) {
        call_ask_for_keys(call);
    }
    call->deferred = true;
    answer->command =
        call->command->run != NULL ? call->command : NULL; /* one that only L2 knows is not kept */
    answer->counters = account_of(call->worker, call->command);
    answer->home = usage_home(call);
    answer->silent = call->reply == &call->worker->sink;
    answer->began_ns = clock_monotonic_ns();
    answer->blocks = call->blocking != NULL;
    if (!answer->blocks &&
        atomic_load_explicit(&call->node->live.slowlog_slower_us, memory_order_relaxed) >= 0) {
        answer_keep_words(answer, call);
    }
    return answer;
}

void answer_free(struct answer *answer)
{
    out_done(&answer->reply.out);
    struct spares *spares = &answer->worker->spares;
    if (answer->words.size > 0) {
        spares_give(spares, (void *)(uintptr_t)answer->words.data, answer->words.size);
    }
    spares_give(spares, answer, sizeof(*answer));
}

void answer_arrive(struct answer *answer)
{
    if (answer->arrived) {
        return;
    }
    answer->arrived = true;
    if (answer->conn == NULL || answer->silent) {
        out_done(&answer->reply.out);
    }
    if (answer->conn != NULL && answer->on_landed == NULL) {
        conn_on_arrival(answer->conn, answer);
    }
}

void answer_land(struct answer *answer)
{
    CHECK(!answer->landed);
    answer_arrive(answer);
    answer->landed = true;
    struct conn *conn = answer->conn;
    if (answer->began_ns != 0) {
        account_landed(answer);
    }
    if (answer->on_landed != NULL) {
        answer->on_landed(answer);
        return;
    }
    if (conn == NULL) {
        answer_free(answer);
        return;
    }
    count_kind(conn, answer->kind, -1);
    if (conn->native != NULL) {
        native_on_landed(answer);
        conn_advance(conn);
        return;
    }
    if (conn->reads_waiting + conn->foreign_waiting == 0) {
        asked_clear(&conn->asked);
    }
    conn_advance(conn);
}

void answer_abandon(struct answer *answer)
{
    struct conn *conn = answer->conn;
    CHECK(!answer->landed && answer->download == NULL);
    list_remove(&answer->link);
    conn->answer_count--;
    if (answer->arrived) {
        conn->kept -= answer->size;
    } else {
        conn->coming--;
    }
    count_kind(conn, answer->kind, -1);
    answer->conn = NULL;
    out_done(&answer->reply.out);
}

/* With the one before it if that was put here, too, and is small, so that a thousand hits behind one miss do not take a
 * thousand chunks. */
void answer_put(struct conn *conn, struct out *here)
{
    struct answer *last = LIST_ENTRY(conn->answers.prev, struct answer, link);
    if (!list_empty(&conn->answers) && last->kind == WAIT_LOCAL && last->landed && !last->silent &&
        last->reply.out.size < OUT_CHUNK_SIZE) {
        last->size += here->size;
        conn->kept += here->size;
        out_move(&last->reply.out, here);
        return;
    }
    struct answer *answer = answer_new(conn, WAIT_LOCAL);
    out_move(&answer->reply.out, here);
    answer_land(answer);
}
