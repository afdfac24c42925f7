/* SPDX-License-Identifier: BSD-3-Clause */
/* Keys whatever they hold: counted, touched, taken away, by name or by database. */
#include "server/changes.h"
#include "server/cmd_common.h"
#include "server/commands.h"
#include "server/node.h"
#include "server/tracking.h"
#include "server/worker.h"

/* So often DEL counts exactly; then it deletes whatever stands, since many busy keys could keep it for ever. The count
 * may then be off by keys that came or went in that last turn. */
enum {
    DELETE_EXACT_TURNS = 64
};

/* One turn: all the keys go at once. AGAIN: one of them, or one that was missing, changed meanwhile. */
static enum status delete_turn(struct call *call, uint32_t first, uint32_t end, bool exact,
                               size_t *ret_count)
{
    struct changes changes;
    enum status status = changes_open(&changes, end - first);
    for (uint32_t i = first; i < end && status == OK; i++) {
        const struct ns_key key = call_key(call, i);
        struct l1_change change = {.l1 = key.ns->l1, .key = key.at};
        change.seen = call_hold(call, &key);
        changes_add(&changes, &change);
    }
    size_t found = 0;
    for (size_t i = 0; i < changes.count; i++) {
        struct l1_change *change = &changes.at[i];
        found += change->seen != NULL ? 1 : 0;
        if (!exact) {
            item_release(change->seen);
            change->seen = L1_ANY;
        }
    }
    /* Missing keys are compared too: MSET a b between the looks at a and b must not lose b alone. */
    if (status == OK && (found > 0 || changes.count > 1)) {
        status = l1_commit(changes.at, changes.count, call->now_ms);
    }
    changes_close(&changes);
    *ret_count = found;
    return status;
}

enum status call_delete(struct call *call, uint32_t first, uint32_t end, size_t *ret_count)
{
    enum status status = AGAIN;
    for (unsigned turn = 0; status == AGAIN; turn++) {
        status = delete_turn(call, first, end, turn < DELETE_EXACT_TURNS, ret_count);
    }
    return status;
}

void cmd_del(struct call *call)
{
    size_t count = 0;
    if (call_delete(call, 1, call->argc, &count) == OK) {
        reply_integer(call->reply, (int64_t)count);
    } else {
        reply_out_of_memory(call->reply);
    }
}

/* Memory is freed by whoever lets go of it last; there is nothing to put off. */
void cmd_unlink(struct call *call)
{
    cmd_del(call);
}

void cmd_touch(struct call *call)
{
    call_reply_count(call, true);
}

void cmd_randomkey(struct call *call)
{
    struct item *item = namespaces_random(call->node->namespaces, call->db,
                                          rand_next(&call->worker->rand), call->now_ms);
    if (item == NULL) {
        reply_null(call->reply);
        return;
    }
    reply_bulk(call->reply, item_key(item));
    item_release(item);
}

void cmd_dbsize(struct call *call)
{
    reply_integer(call->reply, (int64_t)namespaces_size(call->node->namespaces, call->db));
}

/* SYNC and ASYNC are both done when answered. false: a syntax error is answered. */
static bool flush_mode(struct call *call)
{
    if (call->argc == 1 || (call->argc == 2 && (slice_is_nocase(call->argv[1], "SYNC") ||
                                                slice_is_nocase(call->argv[1], "ASYNC")))) {
        return true;
    }
    reply_syntax_error(call->reply);
    return false;
}

void cmd_flushdb(struct call *call)
{
    if (flush_mode(call)) {
        namespaces_flush(call->node->namespaces, call->db);
        tracking_flush(call->node->tracking);
        reply_ok(call->reply);
    }
}

void cmd_flushall(struct call *call)
{
    if (flush_mode(call)) {
        namespaces_flush_all(call->node->namespaces);
        tracking_flush(call->node->tracking);
        reply_ok(call->reply);
    }
}

void cmd_swapdb(struct call *call)
{
    int64_t numbers[2] = {0, 0};
    uint8_t dbs[2] = {0, 0};
    if (!call_int(call, 1, "ERR invalid first DB index", &numbers[0]) ||
        !call_int(call, 2, "ERR invalid second DB index", &numbers[1]) ||
        !call_database(call, numbers[0], &dbs[0]) || !call_database(call, numbers[1], &dbs[1])) {
        return;
    }
    namespaces_swap(call->node->namespaces, dbs[0], dbs[1], call->now_ms);
    tracking_flush(call->node->tracking);
    reply_ok(call->reply);
}
