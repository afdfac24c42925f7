/* SPDX-License-Identifier: BSD-3-Clause */
/* CACHE.INVALIDATE KEY and ALL.
 *
 *      L2 is told     KEY: UNLINK of the keys, which Redis announces; they end here when it is sent and when answered
 *                     ALL: a frame that makes every node drop its L1
 *      then a marker  published after it, so who applied the marker has applied it: its seq is the answer's
 *      SYNC           the answer waits until no live node can serve what was dropped (tiers/waiters.h)
 *
 * Options stand behind the keys. A key that is called as an option is taken for a key where it is the only one, or with
 * another key behind it. */
#include "protocol/resp_write.h"
#include "server/cmd_cache.h"
#include "server/cmd_common.h"
#include "server/commands.h"
#include "server/errand.h"
#include "server/node.h"
#include "server/relay.h"
#include "server/tracking.h"
#include "server/worker.h"
#include "tiers/tiers.h"

#include <stdlib.h>
#include <string.h>

enum {
    SUBJECT_ARG = 1,
    FIRST_ARG = 2
};

struct order {
    bool all;
    uint32_t keys_end;          /* keys are argv[FIRST_ARG] up to here */
    bool is_named;              /* NS was given, */
    struct slice name;          /* with this name of a namespace */
    const struct namespace *ns; /* of that name; NULL: all */
    int64_t sync_ms;            /* -1: without SYNC */
};

/* --- parsing ----------------------------------------------------------------------------------------------------- */

static bool refuse_unsupported(struct call *call, struct slice word)
{
    reply_errorf(call->reply, "ERR CACHE.INVALIDATE with %.*s is not supported by this version",
                 (int)word.size, word.data);
    return false;
}

static bool is_later(struct slice word)
{
    return slice_is_nocase(word, "soft") || slice_is_nocase(word, "dryrun");
}

static bool parse_subject(struct call *call, struct order *order)
{
    const struct slice word = call->argv[SUBJECT_ARG];
    if (slice_is_nocase(word, "key") || slice_is_nocase(word, "all")) {
        order->all = slice_is_nocase(word, "all");
        return true;
    }
    if (slice_is_nocase(word, "tag") || slice_is_nocase(word, "prefix") ||
        slice_is_nocase(word, "pattern")) {
        return refuse_unsupported(call, word);
    }
    reply_errorf(call->reply, "ERR CACHE.INVALIDATE takes KEY or ALL, not '%.*s'",
                 word.size < 64 ? (int)word.size : 64, word.data);
    return false;
}

/* From the end, as long as two words are an option and its value. */
static bool parse_options(struct call *call, struct order *order)
{
    const uint32_t least = order->all ? FIRST_ARG : FIRST_ARG + 1;
    uint32_t end = call->argc;
    for (;;) {
        if (end > least && is_later(call->argv[end - 1])) {
            return refuse_unsupported(call, call->argv[end - 1]);
        }
        if (end < least + 2) {
            break;
        }
        if (slice_is_nocase(call->argv[end - 2], "sync")) {
            if (!cache_ms(call, end - 1, &order->sync_ms)) {
                return false;
            }
        } else if (slice_is_nocase(call->argv[end - 2], "ns")) {
            order->is_named = true;
            order->name = call->argv[end - 1];
        } else {
            break;
        }
        end -= 2;
    }
    order->keys_end = end;
    if (end < least) {
        reply_wrong_arity(call->reply, call->command->full_name);
        return false;
    }
    if (order->all && end > FIRST_ARG) {
        reply_syntax_error(call->reply);
        return false;
    }
    return true;
}

static bool parse(struct call *call, struct order *order)
{
    *order = (struct order){.sync_ms = -1};
    if (!parse_subject(call, order) || !parse_options(call, order)) {
        return false;
    }
    if (!order->is_named) {
        return true;
    }
    order->ns = namespaces_find(call->node->namespaces, order->name);
    if (order->ns == NULL) {
        reply_errorf(call->reply, "ERR no such namespace '%.*s'",
                     order->name.size < FRAME_FLUSH_NAME_MAX ? (int)order->name.size
                                                             : FRAME_FLUSH_NAME_MAX,
                     order->name.data);
        return false;
    }
    for (uint32_t i = FIRST_ARG; i < order->keys_end; i++) {
        if (namespace_of(call->node->namespaces, call->argv[i]) != order->ns) {
            reply_errorf(call->reply, "ERR a key is not in namespace '%s'", order->ns->name);
            return false;
        }
    }
    return true;
}

/* --- with an L2 -------------------------------------------------------------------------------------------------- */

/* One allocation: this, the keys, their bytes. */
struct invalidation {
    struct bus_wait wait; /* first: an errand is cast back */
    struct tiers_relay relay;
    struct answer *answer;
    int64_t ms; /* how long to wait for the marker */
    size_t dropped;
    struct l1_key keys[];
};

static void invalidation_land(struct invalidation *invalidation)
{
    cache_land(invalidation->answer);
    free(invalidation);
}

/* L2 has done its part: whatever comes now, no error may say that nothing was done. */
static void refuse(const struct invalidation *invalidation, enum status status)
{
    struct reply *reply = &invalidation->answer->reply;
    if (status == TIMEOUT) {
        cache_refuse(reply, status,
                     invalidation->wait.waiter.kind == WAITER_EVERYWHERE
                         ? "not applied on all nodes"
                         : "invalidated, but no marker came home",
                     invalidation->ms);
    } else {
        reply_errorf(reply, "STALE invalidated, but not waited for: %s",
                     status == L2_DOWN ? "this node is ending" : "too many calls wait for the bus");
    }
}

static void on_marked(struct errand *errand)
{
    struct invalidation *invalidation = (struct invalidation *)(void *)errand;
    struct reply *reply = &invalidation->answer->reply;
    const struct bus_wait *wait = &invalidation->wait;
    if (wait->status == OK) {
        reply_array(reply, 2);
        reply_integer(reply, (int64_t)wait->waiter.seq);
        reply_integer(reply, (int64_t)invalidation->dropped);
    } else {
        refuse(invalidation, wait->status);
    }
    invalidation_land(invalidation);
}

static void on_invalidated(struct tiers_relay *relay, enum status status, struct slice bytes)
{
    struct invalidation *invalidation = LIST_ENTRY(relay, struct invalidation, relay);
    struct answer *answer = invalidation->answer;
    if (status != OK || (bytes.size > 0 && bytes.data[0] == REPLY_ERROR)) {
        relay_answer(answer, relay, status, bytes);
        invalidation_land(invalidation);
        return;
    }
    invalidation->dropped += relay->dropped;
    status = bus_wait_send(&invalidation->wait, answer->worker);
    if (status != OK) {
        refuse(invalidation, status);
        invalidation_land(invalidation);
    }
}

static struct invalidation *invalidation_new(const struct call *call, const struct order *order)
{
    const int64_t timeout_ms = atomic_load(&call->node->live.l2_timeout_ms);
    const size_t count = order->keys_end - FIRST_ARG;
    size_t size = 0;
    for (uint32_t i = FIRST_ARG; i < order->keys_end; i++) {
        size += call->argv[i].size;
    }
    struct invalidation *invalidation =
        malloc(sizeof(*invalidation) + count * sizeof(struct l1_key) + size);
    if (invalidation == NULL) {
        return NULL;
    }
    const int64_t ms = order->sync_ms >= 0 ? order->sync_ms : timeout_ms;
    *invalidation = (struct invalidation){
        .wait = {.errand = {.done = on_marked},
                 .waiter = {.kind = order->sync_ms >= 0 ? WAITER_EVERYWHERE : WAITER_MARKER,
                            .deadline_ms = call->now_ms + ms}},
        .relay = {.on_reply = on_invalidated,
                  .keys = invalidation->keys,
                  .writes = true,
                  .patient = count != 1,
                  .db = call->db},
        .ms = ms,
    };
    char *bytes = (char *)&invalidation->keys[count];
    for (uint32_t i = FIRST_ARG; i < order->keys_end; i++) {
        const struct slice key = call->argv[i];
        if (key.size >= LIMIT_L1_KEY) {
            continue; /* L1 never has it */
        }
        if (key.size > 0) {
            memcpy(bytes, key.data, key.size);
        }
        invalidation->keys[invalidation->relay.key_count++] =
            namespaces_key(call->node->namespaces, call->db, (struct slice){bytes, key.size}).at;
        bytes += key.size;
    }
    return invalidation;
}

/* UNLINK key ...: the call's own words with another name. */
static enum status unlink_request(const struct call *call, const struct order *order,
                                  struct buf *out)
{
    const size_t count = order->keys_end - FIRST_ARG;
    struct slice *words = malloc((count + 1) * sizeof(*words));
    if (words == NULL) {
        return NO_MEMORY;
    }
    words[0] = SLICE_LITERAL("UNLINK");
    memcpy(words + 1, call->argv + FIRST_ARG, count * sizeof(*words));
    const enum status status = resp_append_request(out, count + 1, words);
    free(words);
    return status;
}

static enum status request_of(const struct call *call, const struct order *order, struct buf *out)
{
    if (!order->all) {
        return unlink_request(call, order, out);
    }
    const struct frame_flush flush = {.kind = FRAME_FLUSH_DROP, .name = order->name};
    return tiers_write_announced(call->worker->window, &flush, NULL, 0, out);
}

/* The frame makes this node drop, too, when it comes home; what it held is counted here. */
static size_t drop_all(struct namespaces *namespaces, const struct namespace *ns)
{
    struct l1_stats stats;
    if (ns != NULL) {
        l1_stats(ns->l1, &stats);
        l1_flush_all(ns->l1);
    } else {
        namespaces_stats(namespaces, &stats);
        namespaces_flush_all(namespaces);
    }
    return stats.items;
}

static void invalidate_through(struct call *call, const struct order *order)
{
    struct buf request = {0};
    struct invalidation *invalidation = invalidation_new(call, order);
    if (invalidation == NULL || request_of(call, order, &request) != OK) {
        free(invalidation);
        buf_done(&request);
        reply_out_of_memory(call->reply);
        return;
    }
    const enum status status = tiers_relay(call->worker->window, &invalidation->relay,
                                           call->conn->session.proto, buf_slice(&request));
    buf_done(&request);
    if (status != OK) {
        free(invalidation);
        relay_refuse(call->reply, call->worker, status);
        return;
    }
    invalidation->dropped = order->all ? drop_all(call->node->namespaces, order->ns) : 0;
    invalidation->answer = cache_defer(call);
}

/* --- alone ------------------------------------------------------------------------------------------------------- */

static void invalidate_here(struct call *call, const struct order *order)
{
    size_t count = 0;
    if (order->all) {
        count = drop_all(call->node->namespaces, order->ns);
        tracking_flush(call->node->tracking);
    } else if (call_delete(call, FIRST_ARG, order->keys_end, &count) != OK) {
        reply_out_of_memory(call->reply);
        return;
    }
    reply_array(call->reply, 2);
    reply_integer(call->reply, 0);
    reply_integer(call->reply, (int64_t)count);
}

void cmd_cache_invalidate(struct call *call)
{
    struct order order;
    if (!parse(call, &order)) {
        return;
    }
    if (call->node->tiers == NULL) {
        invalidate_here(call, &order);
    } else {
        invalidate_through(call, &order);
    }
}
