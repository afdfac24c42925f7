/* SPDX-License-Identifier: BSD-3-Clause */
/* RENAME, COPY and MOVE: a value that comes to stand under another key or in another database. */
#include "server/cmd_common.h"
#include "server/commands.h"
#include "server/node.h"

struct transfer {
    struct ns_key from;
    struct ns_key to;
    bool keep_source;
    bool replace;
};

enum transfer_end {
    TRANSFER_DONE,
    TRANSFER_NO_SOURCE,
    TRANSFER_TAKEN,
    TRANSFER_FAILED
};

/* The new value and both keys in one commit: nobody sees the value twice, or nowhere. */
static enum status move_value(struct call *call, const struct transfer *transfer,
                              struct item *source, struct item *target)
{
    const bool is_copied = transfer->keep_source && item_look(source) == ITEM_LOOK_PLAIN;
    const struct slice value = item_value(source);
    const struct item_spec spec = {.db = transfer->to.at.db,
                                   .key = transfer->to.at.bytes,
                                   .value_size = value.size,
                                   .expire_at_ms = item_expire_at_ms(source),
                                   .look = is_copied ? ITEM_LOOK_COPIED : item_look(source)};
    struct item *item =
        item_write(l1_item_new(transfer->to.ns->l1, transfer->to.at.hash, &spec), value);
    if (item == NULL) {
        return NO_MEMORY;
    }
    /* A source that stays is put back as it is, so that the copy is made only from what still stands. */
    const struct l1_change changes[2] = {
        {.l1 = transfer->from.ns->l1,
         .key = transfer->from.at,
         .seen = source,
         .item = transfer->keep_source ? source : NULL},
        {.l1 = transfer->to.ns->l1, .key = transfer->to.at, .seen = target, .item = item},
    };
    const enum status status = l1_commit(changes, 2, call->now_ms);
    item_release(item);
    return status;
}

/* FAILED: an error is answered. */
static enum transfer_end run_transfer(struct call *call, const struct transfer *transfer)
{
    enum transfer_end end = TRANSFER_DONE;
    enum status status = AGAIN;
    while (status == AGAIN) {
        struct item *source = call_hold(call, &transfer->from);
        struct item *target = source != NULL ? call_hold(call, &transfer->to) : NULL;
        status = OK;
        if (source == NULL) {
            end = TRANSFER_NO_SOURCE;
        } else if (target != NULL && !transfer->replace) {
            end = TRANSFER_TAKEN;
        } else if (!call_key_fits(call, transfer->to.at.bytes)) {
            end = TRANSFER_FAILED;
        } else {
            end = TRANSFER_DONE;
            status = move_value(call, transfer, source, target);
        }
        item_release(source);
        item_release(target);
    }
    if (status != OK) {
        reply_out_of_memory(call->reply);
        return TRANSFER_FAILED;
    }
    return end;
}

/* Onto itself: nothing to do, but the key must be there. */
static enum transfer_end rename_to_itself(struct call *call, const struct ns_key *key)
{
    struct item *held = call_hold(call, key);
    item_release(held);
    return held != NULL ? TRANSFER_TAKEN : TRANSFER_NO_SOURCE;
}

static enum transfer_end run_rename(struct call *call, bool replace)
{
    const struct transfer transfer = {
        .from = call_key(call, 1), .to = call_key(call, 2), .replace = replace};
    const enum transfer_end end = slice_equal(call->argv[1], call->argv[2])
                                      ? rename_to_itself(call, &transfer.from)
                                      : run_transfer(call, &transfer);
    if (end == TRANSFER_NO_SOURCE) {
        reply_error(call->reply, "ERR no such key");
    }
    return end;
}

void cmd_rename(struct call *call)
{
    const enum transfer_end end = run_rename(call, true);
    if (end == TRANSFER_DONE || end == TRANSFER_TAKEN) {
        reply_ok(call->reply);
    }
}

void cmd_renamenx(struct call *call)
{
    const enum transfer_end end = run_rename(call, false);
    if (end == TRANSFER_DONE || end == TRANSFER_TAKEN) {
        reply_integer(call->reply, end == TRANSFER_DONE ? 1 : 0);
    }
}

/* false: an error is answered. */
static bool parse_database(struct call *call, uint32_t i, uint8_t *ret_db)
{
    int64_t number = 0;
    return call_int(call, i, NULL, &number) && call_database(call, number, ret_db);
}

/* false: an error is answered. */
static bool parse_copy(struct call *call, struct transfer *transfer)
{
    for (uint32_t i = 3; i < call->argc; i++) {
        if (slice_is_nocase(call->argv[i], "REPLACE")) {
            transfer->replace = true;
        } else if (slice_is_nocase(call->argv[i], "DB") && i + 1 < call->argc) {
            if (!parse_database(call, ++i, &transfer->to.at.db)) {
                return false;
            }
        } else {
            reply_syntax_error(call->reply);
            return false;
        }
    }
    return true;
}

static bool onto_itself(struct call *call, const struct transfer *transfer)
{
    const bool same = transfer->from.at.db == transfer->to.at.db &&
                      slice_equal(transfer->from.at.bytes, transfer->to.at.bytes);
    if (same) {
        reply_error(call->reply, "ERR source and destination objects are the same");
    }
    return same;
}

static void reply_transfer(struct call *call, enum transfer_end end)
{
    if (end != TRANSFER_FAILED) {
        reply_integer(call->reply, end == TRANSFER_DONE ? 1 : 0);
    }
}

void cmd_copy(struct call *call)
{
    struct transfer transfer = {
        .from = call_key(call, 1), .to = call_key(call, 2), .keep_source = true};
    if (!parse_copy(call, &transfer) || onto_itself(call, &transfer)) {
        return;
    }
    const enum transfer_end end = run_transfer(call, &transfer);
    call_count_lookup(call, end != TRANSFER_NO_SOURCE);
    reply_transfer(call, end);
}

void cmd_move(struct call *call)
{
    struct transfer transfer = {.from = call_key(call, 1), .to = call_key(call, 1)};
    if (parse_database(call, 2, &transfer.to.at.db) && !onto_itself(call, &transfer)) {
        reply_transfer(call, run_transfer(call, &transfer));
    }
}
