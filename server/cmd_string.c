/* SPDX-License-Identifier: BSD-3-Clause */
/* Strings grown in place, and strings set or taken away several at once. */
#include "server/changes.h"
#include "server/cmd_common.h"
#include "server/commands.h"
#include "server/node.h"

#include <string.h>

static void copy_at(char *dst, size_t offset, struct slice bytes)
{
    if (bytes.size > 0) {
        memcpy(dst + offset, bytes.data, bytes.size);
    }
}

void cmd_append(struct call *call)
{
    const struct slice tail = call->argv[2];
    struct update update;
    size_t size = 0;
    update_open(&update, call, 1, KIND_STRING);
    while (update_next(&update)) {
        const struct slice old = update_value(&update);
        size = old.size + tail.size;
        if (size > LIMIT_BULK) {
            update_refuse(&update, text_string_too_long);
            continue;
        }
        char *room = update_room(&update, size, update_expire_at_ms(&update),
                                 update.old != NULL ? ITEM_LOOK_RAW : ITEM_LOOK_PLAIN);
        if (room != NULL) {
            copy_at(room, 0, old);
            copy_at(room, old.size, tail);
            update_store(&update);
        }
    }
    if (update_ok(&update)) {
        reply_integer(call->reply, (int64_t)size);
    }
    update_close(&update);
}

void cmd_setrange(struct call *call)
{
    const struct slice patch = call->argv[3];
    int64_t offset = 0;
    if (!call_integer(call, 2, &offset)) {
        return;
    }
    if (offset < 0) {
        reply_error(call->reply, "ERR offset is out of range");
        return;
    }
    struct update update;
    size_t size = 0;
    update_open(&update, call, 1, KIND_STRING);
    while (update_next(&update)) {
        const struct slice old = update_value(&update);
        size = old.size;
        if (patch.size == 0) { /* changes nothing, and makes no key */
            update_leave(&update);
            continue;
        }
        if ((uint64_t)offset + patch.size > LIMIT_BULK) {
            update_refuse(&update, text_string_too_long);
            continue;
        }
        const size_t from = (size_t)offset;
        size = old.size > from + patch.size ? old.size : from + patch.size;
        char *room = update_room(&update, size, update_expire_at_ms(&update), ITEM_LOOK_RAW);
        if (room != NULL) {
            copy_at(room, 0, old);
            if (old.size < from) {
                memset(room + old.size, 0, from - old.size);
            }
            copy_at(room, from, patch);
            update_store(&update);
        }
    }
    if (update_ok(&update)) {
        reply_integer(call->reply, (int64_t)size);
    }
    update_close(&update);
}

void cmd_getdel(struct call *call)
{
    struct update update;
    update_open(&update, call, 1, KIND_STRING);
    while (update_next(&update)) {
        update_remove(&update);
    }
    call_count_lookup(call, update.old != NULL);
    if (update_ok(&update)) {
        call_reply_item(call, update.old);
    }
    update_close(&update);
}

/* Builds all items, then one commit against `seen`. AGAIN: something else stands. Any other failure is answered. */
static enum status set_many(struct call *call, struct item *seen)
{
    const size_t count = (call->argc - 1) / 2;
    struct changes changes;
    enum status status = changes_open(&changes, count);
    for (size_t i = 0; i < count && status == OK; i++) {
        const uint32_t at = (uint32_t)(1 + 2 * i);
        if (!call_key_fits(call, call->argv[at])) {
            status = INVALID;
            break;
        }
        const struct ns_key key = call_key(call, at);
        const struct slice value = call->argv[at + 1];
        const struct item_spec spec = {
            .db = key.at.db, .key = key.at.bytes, .value_size = value.size};
        struct item *item = item_write(l1_item_new(key.ns->l1, key.at.hash, &spec), value);
        if (item == NULL) {
            status = NO_MEMORY;
            break;
        }
        changes_add(&changes, &(struct l1_change){
                                  .l1 = key.ns->l1, .key = key.at, .seen = seen, .item = item});
    }
    if (status == OK) {
        status = l1_commit(changes.at, changes.count, call->now_ms);
    }
    changes_close(&changes);
    if (status == TOO_BIG || status == NO_MEMORY) {
        reply_out_of_memory(call->reply);
    }
    return status;
}

static bool pairs_whole(struct call *call)
{
    if (call->argc % 2 == 1) {
        return true;
    }
    reply_wrong_arity(call->reply, call->command->full_name);
    return false;
}

void cmd_mset(struct call *call)
{
    if (pairs_whole(call) && set_many(call, L1_ANY) == OK) {
        reply_ok(call->reply);
    }
}

/* One attempt is enough: AGAIN says that one of the keys is there, which is the answer. */
void cmd_msetnx(struct call *call)
{
    if (!pairs_whole(call)) {
        return;
    }
    const enum status status = set_many(call, NULL);
    if (status == OK || status == AGAIN) {
        reply_integer(call->reply, status == OK ? 1 : 0);
    }
}
