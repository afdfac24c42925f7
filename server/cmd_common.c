/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/cmd_common.h"

#include "protocol/check.h"
#include "server/node.h"
#include "server/worker.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

const char text_string_too_long[] = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";

const char text_wrong_type[] = "WRONGTYPE Operation against a key holding the wrong kind of value";

bool call_key_fits(struct call *call, struct slice key)
{
    if (key.size < LIMIT_L1_KEY) {
        return true;
    }
    reply_errorf(call->reply, "ERR key exceeds maximum allowed size of %u bytes", LIMIT_L1_KEY - 1);
    return false;
}

struct item *call_hold(const struct call *call, const struct ns_key *key)
{
    if (key->at.bytes.size >= LIMIT_L1_KEY) {
        return NULL; /* L1 cannot have it */
    }
    return l1_hold(key->ns->l1, &key->at, call->now_ms);
}

struct l1_several *call_get_several(struct call *call, bool uses)
{
    const size_t count = call->argc - 1;
    struct l1_several *keys = malloc(count * sizeof *keys);
    if (keys == NULL) {
        reply_out_of_memory(call->reply);
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        const struct ns_key key = call_key(call, (uint32_t)i + 1);
        keys[i] = (struct l1_several){.l1 = key.ns->l1, .key = key.at};
        if (uses) {
            worker_note_read(call->worker, &key);
        }
    }
    l1_get_several(keys, count, uses, call->now_ms);
    return keys;
}

void call_reply_count(struct call *call, bool uses)
{
    uint64_t hits = 0;
    struct l1_several *keys = call_get_several(call, uses);
    if (keys == NULL) {
        return;
    }
    for (size_t i = 0; i + 1 < call->argc; i++) {
        hits += keys[i].item != NULL ? 1 : 0;
        item_release(keys[i].item);
    }
    free(keys);
    call_count_lookups(call, hits, call->argc - 1 - hits);
    reply_integer(call->reply, (int64_t)hits);
}

void call_count_lookup(const struct call *call, bool hit)
{
    metrics_count(call->worker->metrics, hit ? M_KEY_HITS : M_KEY_MISSES);
}

void call_count_lookups(const struct call *call, uint64_t hits, uint64_t misses)
{
    metrics_add(call->worker->metrics, M_KEY_HITS, hits);
    metrics_add(call->worker->metrics, M_KEY_MISSES, misses);
}

void call_reply_item(struct call *call, struct item *item)
{
    if (item != NULL) {
        reply_item(call->reply, item);
    } else {
        reply_null(call->reply);
    }
}

bool call_integer(struct call *call, uint32_t i, int64_t *ret_number)
{
    if (slice_to_i64(call->argv[i], ret_number) == OK) {
        return true;
    }
    reply_not_integer(call->reply);
    return false;
}

bool call_int(struct call *call, uint32_t i, const char *text, int64_t *ret_number)
{
    const bool is_number = slice_to_i64(call->argv[i], ret_number) == OK;
    if (is_number && *ret_number >= INT_MIN && *ret_number <= INT_MAX) {
        return true;
    }
    if (text != NULL) {
        reply_error(call->reply, text);
    } else if (!is_number) {
        reply_not_integer(call->reply);
    } else {
        reply_errorf(call->reply, "ERR value is out of range, value must between %d and %d",
                     INT_MIN, INT_MAX);
    }
    return false;
}

bool call_database(struct call *call, int64_t number, uint8_t *ret_db)
{
    if (number < 0 || number >= LIMIT_DATABASES) {
        reply_error(call->reply, "ERR DB index is out of range");
        return false;
    }
    *ret_db = (uint8_t)number;
    return true;
}

/* What strtoul takes, as Redis: clients send back what they got, but some begin with "" or "-0". A NUL ends it. */
bool call_cursor(struct call *call, uint32_t i, uint64_t *ret_cursor)
{
    const struct slice text = call->argv[i];
    char copy[64] = "";
    char *end = copy;
    errno = 0;
    if (text.size < sizeof copy) {
        if (text.size > 0) {
            memcpy(copy, text.data, text.size);
        }
        *ret_cursor = strtoull(copy, &end, 10);
    }
    if (text.size >= sizeof copy || errno == ERANGE || isspace((unsigned char)copy[0]) ||
        *end != '\0') {
        reply_error(call->reply, "ERR invalid cursor");
        return false;
    }
    return true;
}

void update_open(struct update *update, struct call *call, uint32_t key_arg, enum value_kind kind)
{
    *update = (struct update){
        .call = call, .key = call_key(call, key_arg), .kind = kind, .status = AGAIN};
}

void update_open_blind(struct update *update, struct call *call, uint32_t key_arg)
{
    update_open(update, call, key_arg, KIND_ANY);
    update->blind = true;
}

static void let_go(struct update *update)
{
    item_release(update->old);
    item_release(update->item);
    update->old = NULL;
    update->item = NULL;
}

bool update_next(struct update *update)
{
    CHECK(update->status != PENDING); /* a turn must end in a decision */
    if (update->status != AGAIN) {
        return false;
    }
    let_go(update);
    update->old = update->blind ? NULL : call_hold(update->call, &update->key);
    if (!item_is_kind(update->old, update->kind)) {
        update_refuse(update, text_wrong_type);
        return false;
    }
    update->status = PENDING;
    return true;
}

struct slice update_value(const struct update *update)
{
    return update->old != NULL ? item_value(update->old) : (struct slice){.data = "", .size = 0};
}

int64_t update_expire_at_ms(const struct update *update)
{
    return update->old != NULL ? item_expire_at_ms(update->old) : ITEM_NEVER;
}

static void commit(struct update *update, struct item *item)
{
    const struct l1_change change = {.l1 = update->key.ns->l1,
                                     .key = update->key.at,
                                     .seen = update->blind ? L1_ANY : update->old,
                                     .item = item};
    update->status = l1_commit(&change, 1, update->call->now_ms);
}

char *update_room(struct update *update, size_t size, int64_t expire_at_ms, enum item_look look)
{
    if (!call_key_fits(update->call, update->key.at.bytes)) {
        update_fail(update);
        return NULL;
    }
    if (size > LIMIT_BULK) { /* a hash; strings have an error of their own */
        update->status = TOO_BIG;
        return NULL;
    }
    const struct item_spec spec = {.db = update->key.at.db,
                                   .key = update->key.at.bytes,
                                   .value_size = size,
                                   .expire_at_ms = expire_at_ms,
                                   .look = look};
    update->item = l1_item_new(update->key.ns->l1, update->key.at.hash, &spec);
    if (update->item == NULL) {
        update->status = NO_MEMORY;
        return NULL;
    }
    return item_value_room(update->item);
}

void update_store(struct update *update)
{
    const bool past = item_expired(update->item, update->call->now_ms);
    commit(update, past ? NULL : update->item);
}

void update_put_as(struct update *update, struct slice value, int64_t expire_at_ms,
                   enum item_look look)
{
    if (update_room(update, value.size, expire_at_ms, look) != NULL) {
        (void)item_write(update->item, value);
        update_store(update);
    }
}

/* A value that was read into an item of its own. That is for one key, which is checked, and has room for an expiry if the
 * request had words for one. */
static bool put_body(struct update *update, struct slice value, int64_t expire_at_ms)
{
    struct item *body = update->call->body;
    if (body == NULL || item_value(body).data != value.data ||
        !slice_equal(item_key(body), update->key.at.bytes)) {
        return false;
    }
    if (item_expiry_part(body->flags) > 0) {
        item_set_expiry(body, expire_at_ms);
    } else if (expire_at_ms != ITEM_NEVER) {
        return false;
    }
    update->item = item_ref(body);
    update_store(update);
    return true;
}

void update_put(struct update *update, struct slice value, int64_t expire_at_ms)
{
    if (put_body(update, value, expire_at_ms)) {
        return;
    }
    update_put_as(update, value, expire_at_ms, ITEM_LOOK_PLAIN);
}

void update_expire(struct update *update, int64_t expire_at_ms)
{
    update_put_as(update, update_value(update), expire_at_ms,
                  update->old == NULL ? ITEM_LOOK_PLAIN : item_look(update->old));
}

void update_remove(struct update *update)
{
    if (update->old == NULL && !update->blind) {
        update_leave(update);
    } else {
        commit(update, NULL);
    }
}

void update_leave(struct update *update)
{
    update->status = OK;
}

void update_fail(struct update *update)
{
    update->status = INVALID;
}

void update_refuse(struct update *update, const char *text)
{
    reply_error(update->call->reply, text);
    update_fail(update);
}

bool update_ok(const struct update *update)
{
    return update->status == OK;
}

void update_close(struct update *update)
{
    CHECK(update->status != AGAIN && update->status != PENDING);
    if (update->status != OK && update->status != INVALID) {
        reply_out_of_memory(update->call->reply);
    }
    let_go(update);
}
