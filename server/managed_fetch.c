/* SPDX-License-Identifier: BSD-3-Clause */
/* CACHE.FETCH on managed keys, and how a load ends that it began (tiers/load.h).
 *
 *      CACHE.FETCH key [SOFT ms] [HARD ms] [MAXSTALE ms | FRESH | ANY] [ATLEAST seq] [NOLOAD]
 *          -> [HIT | STALE | NEG | LOAD | MISS, value, age_ms, ttl_ms, token]
 *      CACHE.FAIL key token [NEG ms]
 *
 * LOAD: this client is to load the value, and comes with what is stale, if there is such; CACHE.FILL or CACHE.FAIL end it.
 * Others wait meanwhile, or get STALE. The age is how long ago the value was written (-1: its life has no end), the ttl what
 * is left of its fresh life. MAXSTALE, FRESH and ANY say both how far the value may be behind L2 and how long ago its fresh
 * life may have ended. SOFT and HARD take the place of the namespace's soft-timeout and hard-timeout. */
#include "server/cmd_common.h"
#include "server/commands.h"
#include "server/conn.h"
#include "server/faults.h"
#include "server/fetch_options.h"
#include "server/fetched.h"
#include "server/leases.h"
#include "server/managed.h"
#include "server/node.h"
#include "server/relay.h"
#include "server/worker.h"
#include "tiers/load.h"

#include <stdlib.h>
#include <string.h>

/* --- CACHE.FETCH ---------------------------------------------------------------------------------------------------- */

static enum fetched_state state_of(enum load_outcome outcome)
{
    switch (outcome) {
    case LOAD_HIT: return FETCHED_HIT;
    case LOAD_STALE: return FETCHED_STALE;
    case LOAD_NEGATIVE: return FETCHED_NEGATIVE;
    case LOAD_WON: return FETCHED_LOAD;
    case LOAD_MISSED:
    case LOAD_FAILED: break;
    }
    return FETCHED_MISS;
}

static struct fetched fetched_of(const struct load_result *result, const struct namespace *ns,
                                 int64_t now_ms)
{
    const bool is_known = result->has_value || result->outcome == LOAD_NEGATIVE;
    struct fetched fetched = {
        .state = state_of(result->outcome),
        .has_value = result->has_value,
        .item = result->item,
        .bytes = result->value.value,
        .age_ms = is_known ? managed_age_ms(&result->value, now_ms) : FETCHED_AGE_UNKNOWN,
        .ttl_ms =
            is_known ? managed_ttl_ms(&result->value, result->bans, now_ms) : FETCHED_TTL_NO_KEY,
        .ns = ns,
        .is_sound = !result->is_suspect,
    };
    if (result->outcome == LOAD_WON) {
        fetched.token = (struct slice){.data = result->token, .size = LEASE_TOKEN_SIZE};
    }
    return fetched;
}

static void reply_result(struct reply *reply, struct slice key, const struct load_result *result)
{
    struct worker *worker = reply->worker;
    const int64_t now_ms = clock_now_ms(&worker->node->clock);
    metrics_count(worker->metrics, result->has_value ? M_KEY_HITS : M_KEY_MISSES);
    if (result->outcome == LOAD_FAILED) {
        fault_key(reply, key, "ERR the load of the key has failed",
                  "in a moment the next who asks may load it");
        return;
    }
    if (result->has_value && (result->value.flags & MANAGED_OTHER) != 0) {
        reply_error(reply, text_wrong_type);
        return;
    }
    const struct fetched fetched =
        fetched_of(result, namespace_of(worker->node->namespaces, key), now_ms);
    reply_fetched(reply, &fetched);
}

static void refuse(struct reply *reply, struct slice key, enum status status, struct slice error)
{
    if (status == BUSY) {
        fault_key(reply, key,
                  "BUSY the key is being loaded, and that takes longer than may be waited",
                  "ask again, or with a larger HARD (hard-timeout)");
    } else if (status == STALE) {
        managed_refuse_unsure(reply, key);
    } else {
        relay_refuse_read(reply, reply->worker, status, error);
    }
}

static void on_loaded(void *arg, enum status status, const struct load_result *result)
{
    struct answer *answer = arg;
    if (status == OK && result->outcome == LOAD_WON) {
        leases_add(answer->worker, answer->conn, result, false);
    }
    if (status == OK) {
        reply_result(&answer->reply, result->key->bytes, result);
    } else {
        refuse(&answer->reply, result->key->bytes, status, result->error);
    }
    answer_land(answer);
}

void managed_fetch(struct call *call)
{
    struct worker *worker = call->worker;
    struct fetch_options options;
    if (!fetch_read_options(call, &options)) {
        return;
    }
    const struct ns_key key = call_key(call, 1);
    struct load_ask ask = {.on_loaded = on_loaded,
                           .wish = options.wish,
                           .has_wish = options.has_wish,
                           .no_load = options.no_load,
                           .soft_ms = options.soft_ms,
                           .hard_ms = options.hard_ms};
    /* Of a native connection many ask, and the others wait for the one who is to load. */
    const struct lease *lease = call->conn->leases == NULL || call->native != NULL
                                    ? NULL
                                    : leases_find(call->conn, &key.at);
    if (lease != NULL) {
        ask.has_token = true;
        memcpy(ask.token, lease->token, LEASE_TOKEN_SIZE);
    }
    struct l1_value value = {.copy = worker->copy, .copy_room = sizeof(worker->copy)};
    struct load_result result;
    struct load_wait *wait = NULL;
    const enum status status = load_get(worker->window, &key, &ask, &value, &result, &wait);
    if (status == PENDING) {
        load_tell_to(wait, call_defer(call, WAIT_FOREIGN));
        return;
    }
    if (status == OK) {
        reply_result(call->reply, key.at.bytes, &result);
    } else {
        refuse(call->reply, key.at.bytes, status, (struct slice){0});
    }
    item_release(value.item);
}
