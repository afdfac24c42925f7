/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands that read managed keys. To a client such a key looks like a plain one that expires when its fresh life is over:
 * the replies are Redis' own, byte for byte, with that as the time to live. What is stale and may be served has no time left
 * (0); what may not be served does not exist.
 *
 *      managed_ttl > read_one > ask      hit:  finish, at once
 *                                        miss: PENDING ~> on_value > finish > answer_land
 *
 * GET and MGET go by tiers/load.h: of all clients of the cluster that find nothing, or nothing fresh, one gets nil and is
 * to write what he then looks up elsewhere; his connection remembers so (leases.h). */
#include "server/managed_read.h"

#include "server/cmd_common.h"
#include "server/conn.h"
#include "server/download.h"
#include "server/leases.h"
#include "server/managed.h"
#include "server/node.h"
#include "server/relay.h"
#include "server/worker.h"
#include "tiers/tiers.h"

#include <stdlib.h>
#include <string.h>

/* --- one key --------------------------------------------------------------------------------------------------------- */

/* MISS: it may not be served, and is of no use to anybody any more. STALE: it is not known what was invalidated. */
static enum status judge(struct worker *worker, const struct ns_key *key, struct slice bytes,
                         int64_t expire_at_ms, struct managed_found *ret)
{
    switch (tiers_judge(worker->window, key, bytes, expire_at_ms, &ret->value, &ret->bans)) {
    case MANAGED_FRESH:
    case MANAGED_EAGER:
    case MANAGED_STALE: ret->exists = (ret->value.flags & MANAGED_NEGATIVE) == 0; return OK;
    case MANAGED_SPARE: return OK;
    case MANAGED_DEAD: return MISS;
    case MANAGED_UNSURE: return STALE;
    }
    return MISS;
}

enum status managed_judge_item(struct worker *worker, struct item *item, struct managed_found *ret)
{
    *ret = (struct managed_found){.item = item};
    if (item == NULL) {
        return OK;
    }
    const struct ns_key key =
        namespaces_key(worker->node->namespaces, item_db(item), item_key(item));
    const enum status status = judge(worker, &key, item_value(item), item_expire_at_ms(item), ret);
    return status == MISS ? OK : status;
}

enum status managed_ask(struct worker *worker, const struct ns_key *key, struct l1_value *value,
                        struct tiers_reader *reader, struct managed_found *ret, bool *ret_foreign)
{
    const struct l1_value room = *value;
    *ret = (struct managed_found){0};
    for (unsigned tries = 0;; tries++) {
        const enum status got = tiers_get(worker->window, key, 2, value, reader, ret_foreign);
        if (got != OK) {
            return got;
        }
        const enum status status = judge(worker, key, value->bytes, value->expire_at_ms, ret);
        ret->item = value->item;
        if (status == OK || (status == MISS && tries > 0)) {
            return OK;
        }
        item_release(value->item);
        *ret = (struct managed_found){0};
        if (status != MISS) {
            return status;
        }
        *value = room;
        (void)l1_invalidate(key->ns->l1, &key->at);
    }
}

struct slice managed_matter_of(enum status status, struct slice key, struct slice error)
{
    return status == STALE ? key : error;
}

struct slice managed_key_of(const struct tiers_value *value)
{
    return value->item == NULL ? (struct slice){0} : item_key(value->item);
}

void managed_refuse_read(struct reply *reply, struct worker *worker, enum status status,
                         struct slice matter)
{
    if (status == STALE) {
        managed_refuse_unsure(reply, matter);
    } else {
        relay_refuse_read(reply, worker, status, matter);
    }
}

enum wait_kind managed_read_waits(const struct conn *conn, bool foreign)
{
    return foreign || conn->session.proto != 2 ? WAIT_FOREIGN : WAIT_READ;
}

typedef void finish_fn(struct reply *reply, const struct managed_found *found);

struct managed_wait {
    struct tiers_reader reader; /* first: it is cast back */
    struct answer *answer;
    finish_fn *finish;
    uint8_t db;
    struct slice
        *argv; /* of TYPE, which L2 is asked for what is no string (call_keep_args); or NULL */
};

static void found_finish(struct reply *reply, const struct managed_found *found, finish_fn *finish)
{
    metrics_count(reply->worker->metrics, found->exists ? M_KEY_HITS : M_KEY_MISSES);
    finish(reply, found);
}

static void on_value(struct tiers_reader *reader, enum status status,
                     const struct tiers_value *value)
{
    struct managed_wait *wait = (struct managed_wait *)(void *)reader;
    struct answer *answer = wait->answer;
    struct spares *spares = &answer->worker->spares; /* the answer may be gone first */
    struct managed_found found;
    if (status == OK) {
        status = managed_judge_item(answer->worker, value->item, &found);
    }
    if (status == OK && wait->argv != NULL && managed_found_is_other(&found)) {
        relay_deferred(answer, wait->db, wait->argv, 2);
    } else {
        if (status == OK) {
            found_finish(&answer->reply, &found, wait->finish);
        } else {
            managed_refuse_read(&answer->reply, answer->worker, status,
                                managed_matter_of(status, managed_key_of(value), value->error));
        }
        answer_land(answer);
    }
    free(wait->argv);
    spares_give(spares, wait, sizeof(*wait));
}

static void finish_type(struct reply *reply, const struct managed_found *found);

/* Nobody here wants the value itself. */
static bool takes_large(struct tiers_reader *reader)
{
    (void)reader;
    return true;
}

static void read_one(struct call *call, finish_fn *finish)
{
    struct worker *worker = call->worker;
    struct managed_wait *wait = spares_take(&worker->spares, sizeof(*wait));
    if (wait == NULL) {
        reply_out_of_memory(call->reply);
        return;
    }
    *wait = (struct managed_wait){.reader = {.on_value = on_value, .takes_large = takes_large},
                                  .finish = finish};
    const struct ns_key key = call_key(call, 1);
    struct l1_value value = {.copy = worker->copy, .copy_room = sizeof(worker->copy)};
    struct managed_found found;
    bool foreign = false;
    const enum status status = managed_ask(worker, &key, &value, &wait->reader, &found, &foreign);
    if (status == PENDING) {
        wait->db = call->db;
        wait->argv = finish == finish_type ? call_keep_args(call) : NULL;
        wait->answer = call_defer(call, managed_read_waits(call->conn, foreign));
        return;
    }
    spares_give(&worker->spares, wait, sizeof(*wait));
    if (status == OK && finish == finish_type && managed_found_is_other(&found)) {
        relay_call(call);
        item_release(found.item);
    } else if (status == OK) {
        found_finish(call->reply, &found, finish);
        item_release(found.item);
    } else {
        managed_refuse_read(call->reply, worker, status,
                            managed_matter_of(status, call->argv[1], (struct slice){0}));
    }
}

/* --- GET, STRLEN, TYPE ------------------------------------------------------------------------------------------------ */

void managed_reply_found(struct reply *reply, const struct managed_found *found)
{
    if (!found->exists) {
        reply_null(reply);
    } else if (managed_found_is_other(found)) {
        reply_error(reply, text_wrong_type);
    } else if (found->item != NULL) {
        reply_item_part(reply, found->item, found->value.value);
    } else {
        reply_bulk(reply, found->value.value);
    }
}

struct managed_found managed_found_of(const struct load_result *result)
{
    const bool shows = result->outcome == LOAD_HIT || result->outcome == LOAD_STALE;
    return (struct managed_found){.exists = shows && result->has_value,
                                  .item = result->item,
                                  .value = result->value,
                                  .bans = result->bans};
}

void managed_take_result(struct worker *worker, struct conn *conn, const struct l1_key *key,
                         const struct load_result *result, bool several)
{
    if (result->outcome == LOAD_WON) {
        const bool is_first =
            conn != NULL && !leases_any(conn); /* what is asked later is hurried */
        leases_add(worker, conn, result, true);
        if (is_first && (conn->answer_count > 1 || several)) {
            load_hurry(worker->window, conn->session.id);
        }
    } else if (result->has_value && conn != NULL && conn->leases != NULL && key != NULL) {
        leases_forget(conn, key);
    }
}

/* The value is in L2 only, and comes in pieces. */
static bool found_is_large(const struct managed_found *found)
{
    return found->exists && (found->value.flags & MANAGED_LARGE) != 0;
}

static void get_again(struct answer *answer, const struct l1_key *key);

static void get_large(struct answer *answer, const struct l1_key *key,
                      const struct managed_found *found)
{
    const struct download_managed managed = {
        .seen = {.version = found->value.version,
                 .size = found->value.size,
                 .foreign = (found->value.flags & MANAGED_FOREIGN) != 0},
        .again = get_again,
    };
    metrics_count(answer->worker->metrics, M_KEY_HITS);
    download_begin(answer, key, &managed);
}

static void get_on_loaded(void *arg, enum status status, const struct load_result *result)
{
    struct answer *answer = arg;
    if (status == OK) {
        const struct managed_found found = managed_found_of(result);
        managed_take_result(answer->worker, answer->conn, NULL, result, false);
        if (found_is_large(&found)) {
            get_large(answer, result->key, &found);
            return;
        }
        found_finish(&answer->reply, &found, managed_reply_found);
    } else {
        managed_refuse_read(&answer->reply, answer->worker, status,
                            managed_matter_of(status, result->key->bytes, result->error));
    }
    answer_land(answer);
}

struct load_ask managed_load_ask(struct conn *conn, const struct ns_key *key)
{
    struct load_ask ask = {.plain = true,
                           .hurried = leases_any(conn),
                           .group = conn->session.id,
                           .soft_ms = LOAD_BUDGET_NONE,
                           .hard_ms = LOAD_BUDGET_NONE};
    const struct lease *lease = conn->leases == NULL ? NULL : leases_find(conn, &key->at);
    if (lease != NULL) {
        ask.has_token = true;
        memcpy(ask.token, lease->token, LEASE_TOKEN_SIZE);
    }
    return ask;
}

enum {
    LOOKS_MAX = 8
};

/* What was to be shown was another value by then. */
static void get_again(struct answer *answer, const struct l1_key *at)
{
    struct worker *worker = answer->worker;
    if (answer->conn == NULL || answer->looks++ == LOOKS_MAX) {
        reply_error(&answer->reply, "BUSY the value is written faster than it can be read");
        answer_land(answer);
        return;
    }
    const struct ns_key key = namespaces_key(worker->node->namespaces, at->db, at->bytes);
    struct load_ask ask = managed_load_ask(answer->conn, &key);
    struct l1_value value = {0};
    struct load_result result;
    struct load_wait *wait = NULL;
    ask.on_loaded = get_on_loaded;
    ask.takes_large = answer->conn == NULL || download_speaks(answer->conn);
    const enum status status =
        key.ns->managed ? load_get(worker->window, &key, &ask, &value, &result, &wait) : L2_DOWN;
    if (status == PENDING) {
        load_tell_to(wait, answer);
        return;
    }
    if (status != OK) {
        result = (struct load_result){.outcome = LOAD_MISSED};
    }
    result.key = &key.at;
    get_on_loaded(answer, status, &result);
    item_release(value.item);
}

void managed_get(struct call *call)
{
    struct worker *worker = call->worker;
    const struct ns_key key = call_key(call, 1);
    struct load_ask ask = managed_load_ask(call->conn, &key);
    struct l1_value value = {.copy = worker->copy, .copy_room = sizeof(worker->copy)};
    struct load_result result;
    struct load_wait *wait = NULL;
    ask.on_loaded = get_on_loaded;
    ask.takes_large = download_speaks(call->conn);
    const enum status status = load_get(worker->window, &key, &ask, &value, &result, &wait);
    if (status == PENDING) {
        load_tell_to(wait, call_defer(call, WAIT_FOREIGN));
    } else if (status == OK) {
        const struct managed_found found = managed_found_of(&result);
        managed_take_result(worker, call->conn, &key.at, &result, false);
        if (found_is_large(&found)) {
            get_large(call_defer(call, WAIT_FOREIGN), &key.at, &found);
        } else {
            found_finish(call->reply, &found, managed_reply_found);
        }
        item_release(value.item);
    } else {
        managed_refuse_read(call->reply, worker, status,
                            managed_matter_of(status, key.at.bytes, (struct slice){0}));
        item_release(value.item);
    }
}

static void finish_strlen(struct reply *reply, const struct managed_found *found)
{
    if (managed_found_is_other(found)) {
        reply_error(reply, text_wrong_type);
        return;
    }
    reply_integer(reply, found->exists ? (int64_t)found->value.size : 0);
}

void managed_strlen(struct call *call)
{
    read_one(call, finish_strlen);
}

/* What is no string gets here only without memory to ask L2 for more. */
static void finish_type(struct reply *reply, const struct managed_found *found)
{
    if (managed_found_is_other(found)) {
        reply_out_of_memory(reply);
        return;
    }
    reply_status(reply, found->exists ? "string" : "none");
}

void managed_type(struct call *call)
{
    read_one(call, finish_type);
}

/* --- TTL and its kin -------------------------------------------------------------------------------------------------- */

enum {
    NO_EXPIRY = -1,
    NO_KEY = -2
};

/* When its fresh life is over, or how much is left of it. Rounded as Redis does. */
static void reply_end(struct reply *reply, const struct managed_found *found, int64_t unit_ms,
                      bool is_left)
{
    if (!found->exists) {
        reply_integer(reply, NO_KEY);
        return;
    }
    const int64_t now_ms = clock_now_ms(&reply->worker->node->clock);
    const int64_t left_ms = managed_ttl_ms(&found->value, found->bans, now_ms);
    if (left_ms == MANAGED_NO_END) {
        reply_integer(reply, NO_EXPIRY);
        return;
    }
    const int64_t ms = is_left ? left_ms : found->value.fresh_until_ms;
    reply_integer(reply, (ms + unit_ms / 2) / unit_ms);
}

static void finish_ttl(struct reply *reply, const struct managed_found *found)
{
    reply_end(reply, found, 1000, true);
}

void managed_ttl(struct call *call)
{
    read_one(call, finish_ttl);
}

static void finish_pttl(struct reply *reply, const struct managed_found *found)
{
    reply_end(reply, found, 1, true);
}

void managed_pttl(struct call *call)
{
    read_one(call, finish_pttl);
}

static void finish_expiretime(struct reply *reply, const struct managed_found *found)
{
    reply_end(reply, found, 1000, false);
}

void managed_expiretime(struct call *call)
{
    read_one(call, finish_expiretime);
}

static void finish_pexpiretime(struct reply *reply, const struct managed_found *found)
{
    reply_end(reply, found, 1, false);
}

void managed_pexpiretime(struct call *call)
{
    read_one(call, finish_pexpiretime);
}
