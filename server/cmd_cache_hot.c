/* SPDX-License-Identifier: BSD-3-Clause */
/* CACHE.HOT: the keys that clients of this node read most (hot_desk.h). */
#include "server/call.h"
#include "server/commands.h"
#include "server/hot_desk.h"
#include "server/hot_reply.h"
#include "server/node.h"

static void reply_row(struct reply *reply, const struct node *node, const struct hot_list *list,
                      const struct hot_row *row, int64_t now_ms)
{
    const struct ns_key key = namespaces_key(node->namespaces, row->db, row->key);
    struct l1_peek peek = {.frequency = -1};
    (void)!l1_peek(key.ns->l1, &key.at, now_ms, 0, &peek); /* or it has none */
    reply_map(reply, 9);
    reply_bulk_text(reply, "key");
    reply_bulk(reply, row->key);
    reply_pair_integer(reply, "db", row->db);
    reply_pair_text(reply, "ns", key.ns->name);
    reply_pair_integer(reply, "count", (int64_t)row->count);
    reply_pair_integer(reply, "error", (int64_t)row->error);
    reply_pair_double(reply, "per_s", hot_list_per_s(list, row->count));
    reply_pair_double(reply, "error_per_s", hot_list_per_s(list, row->error));
    reply_pair_integer(reply, "heat", row->heat);
    reply_bulk_text(reply, "frequency");
    if (peek.frequency >= 0) {
        reply_integer(reply, peek.frequency);
    } else {
        reply_null(reply);
    }
}

void hot_reply(struct reply *reply, const struct node *node, const struct hot_list *list,
               size_t rows, int64_t now_ms)
{
    const size_t count = list == NULL ? 0 : list->count < rows ? list->count : rows;
    reply_array(reply, count);
    for (size_t i = 0; i < count; i++) {
        reply_row(reply, node, list, &list->rows[i], now_ms);
    }
}

void cmd_cache_hot(struct call *call)
{
    uint64_t rows = HOT_REPLY_ROWS;
    if (call->argc > 2) {
        reply_wrong_arity(call->reply, "cache.hot");
        return;
    }
    if (call->argc == 2 &&
        (slice_to_u64(call->argv[1], &rows) != OK || rows == 0 || rows > HOT_ROWS_MAX)) {
        reply_errorf(call->reply, "ERR how many: a number from 1 to %d", HOT_ROWS_MAX);
        return;
    }
    if (call->node->options.hot_keys == 0) {
        reply_error(call->reply, "ERR no reads are counted: this node was started with hot-keys 0");
        return;
    }
    hot_desk_want(call->node->hot);
    struct hot_list *list = hot_desk_newest(call->node->hot);
    hot_reply(call->reply, call->node, list, rows, call->now_ms);
    hot_list_release(list);
}
