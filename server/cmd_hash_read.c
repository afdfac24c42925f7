/* SPDX-License-Identifier: BSD-3-Clause */
/* Hashes read. */
#include "protocol/fields.h"
#include "server/cmd_common.h"
#include "server/commands.h"
#include "server/node.h"
#include "server/worker.h"
#include "tiers/tiers.h"

/* A hash, and what a command wants of it. */
struct hash_found {
    bool exists;
    struct slice fields; /* if it exists */
    const struct hash_secret *secret;
    const struct slice *argv;
    uint32_t argc;
};

typedef void hash_finish_fn(struct reply *reply, const struct hash_found *found);

static bool find_field(const struct hash_found *found, uint32_t i, struct slice *ret_value)
{
    return found->exists &&
           fields_find(found->fields, found->secret, found->argv[i], ret_value) == OK;
}

static void hash_finish(struct reply *reply, const struct hash_found *found, bool is_hash,
                        hash_finish_fn *finish)
{
    metrics_count(reply->worker->metrics, found->exists ? M_KEY_HITS : M_KEY_MISSES);
    if (found->exists && !is_hash) {
        reply_error(reply, text_wrong_type);
    } else {
        finish(reply, found);
    }
}

static void hash_read(struct call *call, hash_finish_fn *finish)
{
    const struct ns_key key = call_key(call, 1);
    struct l1_value value = {.copy = call->worker->copy, .copy_room = sizeof call->worker->copy};
    struct hash_found found = {
        .secret = l1_secret(key.ns->l1), .argv = call->argv, .argc = call->argc};
    found.exists = key.at.bytes.size < LIMIT_L1_KEY &&
                   l1_get(key.ns->l1, &key.at, call->now_ms, 0, &value) == OK;
    found.fields = value.bytes;
    hash_finish(call->reply, &found, value.is_hash, finish);
    item_release(value.item);
}

/* --- one field, or some -------------------------------------------------------------------------------------------- */

static void reply_field(struct reply *reply, const struct hash_found *found, uint32_t i)
{
    struct slice value;
    if (find_field(found, i, &value)) {
        reply_bulk(reply, value);
    } else {
        reply_null(reply);
    }
}

static void finish_hget(struct reply *reply, const struct hash_found *found)
{
    reply_field(reply, found, 2);
}

void cmd_hget(struct call *call)
{
    hash_read(call, finish_hget);
}

static void finish_hmget(struct reply *reply, const struct hash_found *found)
{
    reply_array(reply, found->argc - 2);
    for (uint32_t i = 2; i < found->argc; i++) {
        reply_field(reply, found, i);
    }
}

void cmd_hmget(struct call *call)
{
    hash_read(call, finish_hmget);
}

static void finish_hexists(struct reply *reply, const struct hash_found *found)
{
    struct slice value;
    reply_integer(reply, find_field(found, 2, &value) ? 1 : 0);
}

void cmd_hexists(struct call *call)
{
    hash_read(call, finish_hexists);
}

static void finish_hstrlen(struct reply *reply, const struct hash_found *found)
{
    struct slice value = {0};
    reply_integer(reply, find_field(found, 2, &value) ? (int64_t)value.size : 0);
}

void cmd_hstrlen(struct call *call)
{
    hash_read(call, finish_hstrlen);
}

/* --- all ------------------------------------------------------------------------------------------------------------ */

static size_t count_of(const struct hash_found *found)
{
    return found->exists ? fields_count(found->fields) : 0;
}

static void finish_hlen(struct reply *reply, const struct hash_found *found)
{
    reply_integer(reply, (int64_t)count_of(found));
}

void cmd_hlen(struct call *call)
{
    hash_read(call, finish_hlen);
}

static void reply_all(struct reply *reply, const struct hash_found *found, bool with_fields,
                      bool with_values)
{
    struct fields_pair pair;
    for (size_t at = 0; found->exists && fields_next(found->fields, &at, &pair);) {
        if (with_fields) {
            reply_bulk(reply, pair.field);
        }
        if (with_values) {
            reply_bulk(reply, pair.value);
        }
    }
}

static void finish_hgetall(struct reply *reply, const struct hash_found *found)
{
    reply_map(reply, count_of(found));
    reply_all(reply, found, true, true);
}

void cmd_hgetall(struct call *call)
{
    hash_read(call, finish_hgetall);
}

static void finish_hkeys(struct reply *reply, const struct hash_found *found)
{
    reply_array(reply, count_of(found));
    reply_all(reply, found, true, false);
}

void cmd_hkeys(struct call *call)
{
    hash_read(call, finish_hkeys);
}

static void finish_hvals(struct reply *reply, const struct hash_found *found)
{
    reply_array(reply, count_of(found));
    reply_all(reply, found, false, true);
}

void cmd_hvals(struct call *call)
{
    hash_read(call, finish_hvals);
}
