/* SPDX-License-Identifier: BSD-3-Clause */
/* Hashes written, on a node without L2. A turn (cmd_common.h) changes a draft of the fields and commits it whole. */
#include "protocol/fields.h"
#include "server/cmd_common.h"
#include "server/commands.h"
#include "server/decimal.h"
#include "server/node.h"

#include <math.h>

struct hash_update {
    struct update update;
    struct fields_draft draft;
    /* Some field or value that is to be stored is longer than hash-max-listpack-value. */
    bool has_long;
};

static void hash_open(struct hash_update *it, struct call *call)
{
    *it = (struct hash_update){0};
    update_open(&it->update, call, 1, KIND_HASH);
}

/* A turn, with the fields that stand in the draft. */
static bool hash_next(struct hash_update *it, size_t more)
{
    struct update *update = &it->update;
    fields_close(&it->draft);
    if (!update_next(update)) {
        return false;
    }
    const enum status status =
        fields_open(&it->draft, l1_secret(update->key.ns->l1), update_value(update), more);
    if (status != OK) {
        update->status = status;
        return false;
    }
    return true;
}

static void hash_close(struct hash_update *it)
{
    fields_close(&it->draft);
    update_close(&it->update);
}

/* false: the turn is over. */
static bool hash_set(struct hash_update *it, struct slice field, struct slice value,
                     bool *ret_is_new)
{
    const enum status status = fields_set(&it->draft, field, value, ret_is_new);
    const struct live *live = &it->update.call->node->live;
    const size_t packed_max =
        (size_t)atomic_load_explicit(&live->hash_packed_bytes, memory_order_relaxed);
    it->has_long = it->has_long || field.size > packed_max || value.size > packed_max;
    it->update.status = status == OK ? PENDING : status;
    return status == OK;
}

static struct slice hash_get(const struct hash_update *it, struct slice field, bool *ret_exists)
{
    struct slice value = {0};
    *ret_exists = fields_find(fields_bytes(&it->draft), it->draft.secret, field, &value) == OK;
    return value;
}

/* Ends the turn: the draft shall stand. A hash without fields is no key. */
static void hash_store(struct hash_update *it)
{
    struct update *update = &it->update;
    const struct slice bytes = fields_bytes(&it->draft);
    const size_t count = fields_count(bytes);
    const bool was_table = update->old != NULL && item_look(update->old) == ITEM_LOOK_TABLE;
    if (count == 0) {
        update_remove(update);
        return;
    }
    const size_t packed_max = (size_t)atomic_load_explicit(
        &update->call->node->live.hash_packed_fields, memory_order_relaxed);
    update_put_as(update, bytes, update_expire_at_ms(update),
                  was_table || it->has_long || count > packed_max ? ITEM_LOOK_TABLE
                                                                  : ITEM_LOOK_PACKED);
}

/* --- HSET, HMSET, HSETNX, HDEL ------------------------------------------------------------------------------------- */

/* All pairs from argv[2] on; false: the turn is over. */
static bool set_pairs(struct hash_update *it, int64_t *ret_created)
{
    const struct call *call = it->update.call;
    *ret_created = 0;
    for (uint32_t i = 2; i < call->argc; i += 2) {
        bool is_new = false;
        if (!hash_set(it, call->argv[i], call->argv[i + 1], &is_new)) {
            return false;
        }
        *ret_created += is_new;
    }
    return true;
}

static size_t pairs_size(const struct call *call)
{
    size_t size = 0;
    for (uint32_t i = 2; i < call->argc; i++) {
        size += call->argv[i].size + 1;
    }
    return size;
}

/* false: an error is answered. */
static bool set_fields(struct call *call, int64_t *ret_created)
{
    struct hash_update it;
    if (call->argc % 2 == 1) {
        reply_wrong_arity(call->reply, call->command->full_name);
        return false;
    }
    hash_open(&it, call);
    while (hash_next(&it, pairs_size(call))) {
        if (set_pairs(&it, ret_created)) {
            hash_store(&it);
        }
    }
    const bool ok = update_ok(&it.update);
    hash_close(&it);
    return ok;
}

void cmd_hset(struct call *call)
{
    int64_t created = 0;
    if (set_fields(call, &created)) {
        reply_integer(call->reply, created);
    }
}

void cmd_hmset(struct call *call)
{
    int64_t created = 0;
    if (set_fields(call, &created)) {
        reply_ok(call->reply);
    }
}

void cmd_hsetnx(struct call *call)
{
    struct hash_update it;
    bool exists = false;
    hash_open(&it, call);
    while (hash_next(&it, pairs_size(call))) {
        bool is_new = false;
        (void)hash_get(&it, call->argv[2], &exists);
        if (exists) {
            update_leave(&it.update);
        } else if (hash_set(&it, call->argv[2], call->argv[3], &is_new)) {
            hash_store(&it);
        }
    }
    if (update_ok(&it.update)) {
        reply_integer(call->reply, exists ? 0 : 1);
    }
    hash_close(&it);
}

void cmd_hdel(struct call *call)
{
    struct hash_update it;
    int64_t removed = 0;
    hash_open(&it, call);
    while (hash_next(&it, 0)) {
        removed = 0;
        for (uint32_t i = 2; i < call->argc; i++) {
            removed += fields_remove(&it.draft, call->argv[i]);
        }
        if (removed > 0) {
            hash_store(&it);
        } else {
            update_leave(&it.update);
        }
    }
    if (update_ok(&it.update)) {
        reply_integer(call->reply, removed);
    }
    hash_close(&it);
}

/* --- HINCRBY, HINCRBYFLOAT ------------------------------------------------------------------------------------------ */

static void store_text(struct hash_update *it, struct slice text)
{
    bool is_new = false;
    if (hash_set(it, it->update.call->argv[2], text, &is_new)) {
        hash_store(it);
    }
}

void cmd_hincrby(struct call *call)
{
    struct hash_update it;
    int64_t delta = 0;
    int64_t number = 0;
    if (!call_integer(call, 3, &delta)) {
        return;
    }
    hash_open(&it, call);
    while (hash_next(&it, pairs_size(call))) {
        bool exists = false;
        const struct slice old = hash_get(&it, call->argv[2], &exists);
        number = 0;
        if (exists && slice_to_i64(old, &number) != OK) {
            update_refuse(&it.update, "ERR hash value is not an integer");
        } else if (__builtin_add_overflow(number, delta, &number)) {
            update_refuse(&it.update, "ERR increment or decrement would overflow");
        } else {
            char digits[I64_DIGITS_MAX];
            store_text(&it, (struct slice){digits, i64_format(digits, number)});
        }
    }
    if (update_ok(&it.update)) {
        reply_integer(call->reply, number);
    }
    hash_close(&it);
}

void cmd_hincrbyfloat(struct call *call)
{
    struct hash_update it;
    char digits[DECIMAL_TEXT_MAX];
    struct slice text = {.data = digits, .size = 0};
    long double delta = 0;
    if (!decimal_parse(call->argv[3], &delta)) {
        reply_error(call->reply, "ERR value is not a valid float");
        return;
    }
    if (isinf(delta)) {
        reply_error(call->reply, "ERR value is NaN or Infinity");
        return;
    }
    hash_open(&it, call);
    while (hash_next(&it, pairs_size(call))) {
        bool exists = false;
        long double number = 0;
        const struct slice old = hash_get(&it, call->argv[2], &exists);
        if (exists && !decimal_parse(old, &number)) {
            update_refuse(&it.update, "ERR hash value is not a float");
        } else if (!isfinite(number + delta)) {
            update_refuse(&it.update, "ERR increment would produce NaN or Infinity");
        } else {
            text.size = decimal_format(digits, number + delta);
            store_text(&it, text);
        }
    }
    if (update_ok(&it.update)) {
        reply_bulk(call->reply, text);
    }
    hash_close(&it);
}
