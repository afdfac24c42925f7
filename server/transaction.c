/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/transaction.h"

#include "protocol/resp_write.h"
#include "server/commands.h"
#include "server/conn.h"
#include "server/execution.h"
#include "server/node.h"
#include "server/read_scripts.h"
#include "server/relay.h"
#include "server/watch_line.h"
#include "server/worker.h"
#include "tiers/l1.h"

#include <stdlib.h>
#include <string.h>

/* Alone: one key. */
struct watched {
    struct map_node node; /* first */
    struct l1_watch watch;
    char key[];
};

/* The one behind that; NULL, before the first and behind the last. */
static struct watched *next_watched(const struct transaction *transaction, struct watched *after)
{
    return (struct watched *)(void *)map_any(&transaction->watched,
                                             after == NULL ? NULL : &after->node);
}

/* NULL: no memory. */
static struct transaction *transaction_of(struct conn *conn)
{
    if (conn->transaction == NULL) {
        conn->transaction = calloc(1, sizeof(*conn->transaction));
    }
    return conn->transaction;
}

struct line *transaction_line(const struct transaction *transaction)
{
    return transaction == NULL || transaction->line == NULL ? NULL
                                                            : watch_line_of(transaction->line);
}

void transaction_expose(struct transaction *transaction)
{
    watch_line_expose(transaction->line);
}

bool transaction_is_broken(const struct transaction *transaction)
{
    return transaction != NULL && transaction->line != NULL &&
           transaction_line(transaction) == NULL;
}

bool transaction_changes_links(const struct transaction *transaction)
{
    return transaction_is_broken(transaction) || (transaction != NULL && transaction->apart);
}

void transaction_change_protocol(struct conn *conn, int proto)
{
    struct transaction *transaction = conn->transaction;
    if (transaction != NULL && transaction->line != NULL && transaction->execution == NULL) {
        watch_line_speak(transaction->line, proto);
    }
}

/* Between the shared link and a line: when all calls are answered. */
static bool must_settle(struct call *call)
{
    call->held = call->conn->answer_count > 0;
    if (call->held) {
        conn_hold(call->conn, HOLD_ORDER);
    }
    return call->held;
}

bool transaction_directs(struct call *call)
{
    struct transaction *transaction = call->conn->transaction;
    const struct command *command = call->command;
    struct line *line = transaction_line(transaction);
    if (line == NULL) {
        return true;
    }
    const bool writes = command->road == ROAD_L2 && (command->flags & COMMAND_READONLY) == 0;
    const bool apart = writes && namespaces_any_told(call->node->namespaces);
    if (apart != transaction->apart && must_settle(call)) {
        return false;
    }
    transaction->apart = apart;
    call->line = apart ? NULL : line;
    return true;
}

/* --- the queue ----------------------------------------------------------------------------------------------------- */

void transaction_hand_over(struct transaction *transaction)
{
    transaction->queue = NULL;
    transaction->count = 0;
    transaction->capacity = 0;
    transaction->open = false;
    transaction->refused = false;
}

static void drop_queue(struct transaction *transaction)
{
    for (size_t i = 0; i < transaction->count; i++) {
        free(transaction->queue[i]);
    }
    free(transaction->queue);
    transaction_hand_over(transaction);
}

static void line_let_go(struct transaction *transaction, bool clean)
{
    struct watch_line *line = transaction->line;
    transaction->line = NULL;
    if (line != NULL) {
        watch_line_let_go(line, clean);
    }
}

void transaction_unwatch(struct transaction *transaction)
{
    line_let_go(transaction, false);
    struct watched *next = NULL;
    for (struct watched *watched = next_watched(transaction, NULL); watched != NULL;
         watched = next) {
        next = next_watched(transaction, watched);
        l1_unwatch(&watched->watch);
        free(watched);
    }
    map_done(&transaction->watched);
}

/* The memory goes when there is nothing left to remember. */
static void transaction_settle(struct conn *conn)
{
    struct transaction *transaction = conn->transaction;
    if (transaction != NULL && !transaction->open && transaction->watched.count == 0 &&
        transaction->line == NULL && transaction->execution == NULL) {
        free(transaction);
        conn->transaction = NULL;
    }
}

void transaction_end_clean(struct conn *conn)
{
    line_let_go(conn->transaction, true);
    transaction_end(conn);
}

void transaction_end(struct conn *conn)
{
    struct transaction *transaction = conn->transaction;
    if (transaction != NULL) {
        drop_queue(transaction);
        transaction_unwatch(transaction);
        transaction->bytes = 0;
        transaction_settle(conn);
    }
}

void transaction_abort(struct call *exec, const char *why)
{
    transaction_end(exec->conn);
    reply_errorf(exec->reply, "EXECABORT Transaction discarded because of: %s", why);
}

void transaction_orphan(struct conn *conn)
{
    struct transaction *transaction = conn->transaction;
    if (transaction != NULL) {
        if (transaction->execution != NULL) {
            execution_orphan(transaction->execution);
            transaction->execution = NULL;
        }
        struct watch_line *line = transaction->line;
        transaction->line = NULL;
        transaction_end(conn);
        if (line != NULL) {
            watch_line_cut(line);
        }
    }
}

void transaction_refuse(struct conn *conn)
{
    if (transaction_is_open(conn->transaction)) {
        conn->transaction->refused = true;
    }
}

/* Arguments and request lie behind it, then a command that only L2 knows. NULL: no memory. */
static struct queued *queued_new(const struct call *call, size_t *ret_size)
{
    struct buf request = {0};
    const bool is_own = call->command->run != NULL;
    const size_t args = call->argc * sizeof(call->argv[0]);
    const size_t own = is_own ? 0 : sizeof(*call->command);
    if (resp_append_request(&request, call->argc, call->argv) != OK) {
        return NULL;
    }
    struct queued *queued = malloc(sizeof(*queued) + args + own + request.size);
    if (queued != NULL) {
        struct command *copy = (struct command *)(void *)((char *)queued->argv + args);
        char *bytes = (char *)copy + own;
        memcpy(bytes, request.data, request.size);
        if (!is_own) {
            *copy = *call->command;
        }
        queued->command = is_own ? call->command : copy;
        queued->raw = (struct slice){bytes, request.size};
        queued->denied = ACL_OK;
        queued->script = call->script;
        queued->proto = 0;
        queued->argc = call->argc;
        char head[RESP_HEAD_MAX];
        const char *at = bytes + resp_head_array(head, call->argc);
        for (uint32_t i = 0; i < call->argc; i++) {
            at += resp_head_bulk(head, call->argv[i].size);
            queued->argv[i] = (struct slice){at, call->argv[i].size};
            at += call->argv[i].size + 2;
        }
        *ret_size = sizeof(*queued) + args + own + request.size;
    }
    buf_done(&request);
    return queued;
}

static bool queue_grow(struct transaction *transaction)
{
    if (transaction->count < transaction->capacity) {
        return true;
    }
    const size_t capacity = transaction->capacity == 0 ? 8 : 2 * transaction->capacity;
    struct queued **queue = realloc(transaction->queue, capacity * sizeof(*queue));
    if (queue == NULL) {
        return false;
    }
    transaction->queue = queue;
    transaction->capacity = capacity;
    return true;
}

/* In a transaction nothing blocks: what would needs no link of its own. */
bool transaction_asks_l2_for(const struct command *command)
{
    return command->run == NULL || command->road == ROAD_L2 ||
           (command->road == ROAD_READ && (command->flags & COMMAND_OWN) == 0) ||
           (command->flags & COMMAND_BLOCKING) != 0;
}

static void queue(struct call *call)
{
    struct transaction *transaction = call->conn->transaction;
    size_t size = 0;
    size_t wanted = 0;
    for (uint32_t i = 0; i < call->argc; i++) {
        wanted += call->argv[i].size;
    }
    if (transaction->bytes + wanted > LIMIT_TRANSACTION) {
        transaction->refused = true;
        reply_errorf(call->reply, "ERR the transaction takes more than %llu bytes",
                     LIMIT_TRANSACTION);
        return;
    }
    struct queued *queued = queue_grow(transaction) ? queued_new(call, &size) : NULL;
    if (queued == NULL) {
        transaction->refused = true;
        reply_out_of_memory(call->reply);
        return;
    }
    const bool for_l2 = call->node->tiers != NULL && transaction_asks_l2_for(call->command);
    transaction->queue[transaction->count++] = queued;
    transaction->bytes += size + sizeof(queued);
    transaction->asks_l2 = transaction->asks_l2 || for_l2;
    transaction->joins = transaction->joins || !for_l2;
    transaction->logs_in =
        transaction->logs_in || call->command->run == cmd_auth || call->command->run == cmd_hello;
    transaction->writes =
        transaction->writes || ((call->command->flags & (COMMAND_WRITE | COMMAND_PAUSED)) != 0 &&
                                !read_scripts_is_read(call));
    transaction->ends_databases =
        transaction->ends_databases || command_ends_databases(call->command);
    transaction->grows = transaction->grows || (call->command->flags & COMMAND_DENYOOM) != 0;
    reply_status(call->reply, "QUEUED");
}

static bool runs_at_once(const struct command *command)
{
    return command->run == cmd_exec || command->run == cmd_discard || command->run == cmd_multi ||
           command->run == cmd_watch || command->run == cmd_quit || command->run == cmd_reset;
}

bool transaction_would_take(const struct call *call)
{
    return transaction_is_open(call->conn->transaction) && !runs_at_once(call->command);
}

bool transaction_takes(struct call *call)
{
    const struct command *command = call->command;
    if (!transaction_would_take(call)) {
        return false;
    }
    if (command->road == ROAD_LATER &&
        (call->node->tiers == NULL || !transaction_asks_l2_for(command))) {
        transaction_refuse(call->conn);
        cmd_later(call);
    } else {
        queue(call);
    }
    return true;
}

/* --- the commands ------------------------------------------------------------------------------------------------- */

void cmd_multi(struct call *call)
{
    struct transaction *transaction = transaction_of(call->conn);
    if (transaction == NULL) {
        reply_out_of_memory(call->reply);
    } else if (transaction->open) {
        reply_error(call->reply, "ERR MULTI calls can not be nested");
    } else {
        transaction->open = true;
        transaction->refused = false;
        transaction->writes = false;
        transaction->asks_l2 = false;
        transaction->joins = false;
        transaction->logs_in = false;
        transaction->ends_databases = false;
        reply_ok(call->reply);
    }
}

void cmd_discard(struct call *call)
{
    const struct transaction *transaction = call->conn->transaction;
    if (!transaction_is_open(transaction)) {
        reply_error(call->reply, "ERR DISCARD without MULTI");
        return;
    }
    if (transaction->line != NULL && must_settle(call)) {
        return;
    }
    transaction_end(call->conn);
    reply_ok(call->reply);
}

void cmd_exec(struct call *call)
{
    struct transaction *transaction = call->conn->transaction;
    if (!transaction_is_open(transaction)) {
        reply_error(call->reply, "ERR EXEC without MULTI");
    } else if (transaction->refused) {
        transaction_end(call->conn);
        reply_error(call->reply, "EXECABORT Transaction discarded because of previous errors.");
    } else {
        execution_begin(call);
    }
}

/* --- watching ------------------------------------------------------------------------------------------------ */

bool transaction_has_changed(const struct transaction *transaction, int64_t now_ms)
{
    bool changed = false;
    for (struct watched *watched = next_watched(transaction, NULL); watched != NULL;
         watched = next_watched(transaction, watched)) {
        changed = l1_watch_touched(&watched->watch, now_ms) || changed;
    }
    return changed;
}

bool transaction_fails(const struct transaction *transaction, int64_t now_ms)
{
    return transaction != NULL &&
           (transaction_is_broken(transaction) || transaction_has_changed(transaction, now_ms));
}

static bool is_watched(const struct transaction *transaction, const struct l1_key *key)
{
    for (struct map_node *node = map_find(&transaction->watched, key->hash); node != NULL;
         node = map_next(node)) {
        const struct l1_key *other = &MAP_ENTRY(node, struct watched, node)->watch.key;
        if (other->db == key->db && slice_equal(other->bytes, key->bytes)) {
            return true;
        }
    }
    return false;
}

/* TOO_BIG, NO_MEMORY. */
static enum status watch_key(struct call *call, struct transaction *transaction, uint32_t arg)
{
    const struct ns_key key = call_key(call, arg);
    const size_t size = sizeof(struct watched) + key.at.bytes.size;
    if (key.at.bytes.size >= LIMIT_L1_KEY || is_watched(transaction, &key.at)) {
        return OK; /* L1 will never have it; or nothing is new */
    }
    if (transaction->bytes + size > LIMIT_TRANSACTION) {
        return TOO_BIG;
    }
    struct watched *watched = malloc(size);
    if (watched == NULL) {
        return NO_MEMORY;
    }
    struct l1_key own = key.at;
    own.bytes.data = watched->key;
    if (own.bytes.size > 0) {
        memcpy(watched->key, key.at.bytes.data, own.bytes.size);
    }
    if (map_add(&transaction->watched, &watched->node, own.hash) != OK) {
        free(watched);
        return NO_MEMORY;
    }
    if (l1_watch(key.ns->l1, &watched->watch, &own, call->now_ms) != OK) {
        map_remove(&transaction->watched, &watched->node);
        free(watched);
        return NO_MEMORY;
    }
    transaction->bytes += size;
    return OK;
}

static void watch_here(struct call *call, struct transaction *transaction)
{
    enum status status = OK;
    for (uint32_t i = 1; i < call->argc && status == OK; i++) {
        status = watch_key(call, transaction, i);
    }
    if (status == TOO_BIG) {
        reply_errorf(call->reply, "ERR the watched keys take more than %llu bytes",
                     LIMIT_TRANSACTION);
    } else if (status != OK) {
        reply_out_of_memory(call->reply);
    } else {
        reply_ok(call->reply);
    }
}

static void watch_at_l2(struct call *call, struct transaction *transaction)
{
    if (transaction->line == NULL) {
        if (must_settle(call)) {
            return;
        }
        transaction->line = watch_line_new(call);
        if (transaction->line == NULL) {
            return;
        }
    }
    call->line = transaction_line(transaction);
    if (call->line != NULL) {
        relay_call(call);
    } else {
        reply_ok(call->reply); /* EXEC will fail whatever becomes of these */
    }
}

void cmd_watch(struct call *call)
{
    struct transaction *transaction = transaction_of(call->conn);
    if (transaction == NULL) {
        reply_out_of_memory(call->reply);
    } else if (transaction->open) {
        reply_error(call->reply, "ERR WATCH inside MULTI is not allowed");
    } else if (call->node->tiers == NULL) {
        watch_here(call, transaction);
    } else {
        watch_at_l2(call, transaction);
    }
    transaction_settle(call->conn);
}

void cmd_unwatch(struct call *call)
{
    struct transaction *transaction = call->conn->transaction;
    /* As a part of EXEC it is itself among what is not answered, and nothing is watched then. */
    const bool is_alone = call->execution == NULL;
    if (is_alone && transaction != NULL && transaction->line != NULL && must_settle(call)) {
        return;
    }
    if (is_alone && transaction != NULL) {
        transaction_unwatch(transaction);
        transaction->bytes = 0; /* nothing is queued: else it were, too */
        transaction_settle(call->conn);
    }
    reply_ok(call->reply);
}
