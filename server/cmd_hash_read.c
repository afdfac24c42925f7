/* SPDX-License-Identifier: BSD-3-Clause */
/* Hashes read: through the tiers, as strings are (cmd_read.c).
 *
 *      cmd_hget > hash_read > tiers_get   hit:  finish, at once
 *                                         MISS: relay_call, as the client wrote it: most first reads
 *                                         PENDING ~> hash_on_value > finish, or relay_deferred > answer_land */
#include "protocol/fields.h"
#include "server/cmd_common.h"
#include "server/commands.h"
#include "server/conn.h"
#include "server/node.h"
#include "server/relay.h"
#include "server/worker.h"
#include "tiers/tiers.h"

#include <stdlib.h>
#include <string.h>

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

/* --- one that waits for L2 ------------------------------------------------------------------------------------------ */

struct hash_wait {
    struct tiers_reader reader; /* first: it is cast back */
    struct answer *answer;
    hash_finish_fn *finish;
    uint8_t db;
    uint32_t argc;
    struct slice *argv; /* with its bytes; NULL: no memory */
};

static void wait_finish(const struct hash_wait *wait, const struct item *item)
{
    struct answer *answer = wait->answer;
    struct hash_found found = {
        .exists = item != NULL,
        .secret = l1_secret(namespaces_default(answer->worker->node->namespaces)->l1),
        .argv = wait->argv,
        .argc = wait->argc};
    if (item != NULL) {
        found.fields = item_value(item);
    }
    hash_finish(&answer->reply, &found, item != NULL && item_is_hash(item), wait->finish);
}

static void hash_on_value(struct tiers_reader *reader, enum status status,
                          const struct tiers_value *value)
{
    struct hash_wait *wait = (struct hash_wait *)(void *)reader;
    struct answer *answer = wait->answer;
    struct spares *spares = &answer->worker->spares; /* the answer may be gone first */
    if (wait->argv == NULL) {
        reply_out_of_memory(&answer->reply);
        answer_land(answer);
    } else if (status == TOO_BIG || status == MISS) {
        relay_deferred(answer, wait->db, wait->argv, wait->argc);
    } else {
        if (status == OK) {
            wait_finish(wait, value->item);
        } else {
            relay_refuse_read(&answer->reply, answer->worker, status, value->error);
        }
        answer_land(answer);
    }
    free(wait->argv);
    spares_give(spares, wait, sizeof(*wait));
}

/* L1's answer, or the beginning of a wait. MISS: not to be read whole. */
static enum status hash_ask(struct call *call, const struct ns_key *key, struct l1_value *value,
                            hash_finish_fn *finish)
{
    struct worker *worker = call->worker;
    struct hash_wait *wait = spares_take(&worker->spares, sizeof(*wait));
    if (wait == NULL) {
        return NO_MEMORY;
    }
    bool foreign = false;
    wait->reader = (struct tiers_reader){.on_value = hash_on_value, .of_hash = true};
    const enum status status =
        tiers_get(worker->window, key, call->conn->session.proto, value, &wait->reader, &foreign);
    if (status != PENDING) {
        spares_give(&worker->spares, wait, sizeof(*wait));
        return status;
    }
    wait->finish = finish;
    wait->db = call->db;
    wait->argc = call->argc;
    wait->argv = call_keep_args(call);
    /* It may be passed on when it lands, and no write of the connection may come before it then. */
    wait->answer = call_defer(call, WAIT_FOREIGN);
    return PENDING;
}

static void hash_read(struct call *call, hash_finish_fn *finish)
{
    const bool has_l2 = call->node->tiers != NULL;
    const struct ns_key key = call_key(call, 1);
    const bool fits = key.at.bytes.size < LIMIT_L1_KEY;
    struct l1_value value = {.copy = call->worker->copy, .copy_room = sizeof call->worker->copy};
    enum status status = MISS;
    if (fits) {
        if (!has_l2) {
            worker_note_read(call->worker, &key);
        }
        status = has_l2 ? hash_ask(call, &key, &value, finish)
                        : l1_get(key.ns->l1, &key.at, call->now_ms, 0, &value);
    }
    if (status == PENDING) {
        return;
    }
    if (status == MISS && has_l2) {
        relay_call(call);
        return;
    }
    if (status != OK && status != MISS) {
        relay_refuse_read(call->reply, call->worker, status, (struct slice){0});
        return;
    }
    const struct hash_found found = {.exists = status == OK,
                                     .fields = value.bytes,
                                     .secret = l1_secret(key.ns->l1),
                                     .argv = call->argv,
                                     .argc = call->argc};
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
