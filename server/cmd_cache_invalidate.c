/* SPDX-License-Identifier: BSD-3-Clause */
/* CACHE.INVALIDATE: who does what an order asks for.
 *
 *                  L2 is told                                       with SOFT (L2 keeps its data)
 *      KEY         UNLINK of the keys, which Redis announces; they  a frame that names the keys: they end in every L1, and
 *                  end here when it is sent and when answered       are asked for again
 *      ALL         a frame that makes every node drop its L1        one that makes every node suspect what is in its L1
 *      PREFIX,     to delete what fits, in a sweep (sweep.h); the   as ALL: more than what fits, for nobody knows where
 *      PATTERN     answer comes when it is complete                 it is, at the price of a question per key
 *
 * Alone, L1 is the only copy: it is deleted there, and SOFT, which would ask L2 again, is an error. DRYRUN counts and
 * changes nothing, so its seq is 0. The count is of entries that this node dropped; of a sweep, of keys it deleted. */
#include "protocol/resp_write.h"
#include "server/cmd_cache.h"
#include "server/cmd_common.h"
#include "server/commands.h"
#include "server/invalidate.h"
#include "server/leases.h"
#include "server/node.h"
#include "server/relay.h"
#include "server/sweep.h"
#include "server/tracking.h"
#include "server/worker.h"
#include "tiers/tiers.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* --- the answer ---------------------------------------------------------------------------------------------------- */

static void reply_done(struct reply *reply, uint64_t seq, size_t count)
{
    reply_array(reply, 2);
    reply_integer(reply, (int64_t)seq);
    reply_integer(reply, (int64_t)count);
}

static void invalidation_land(struct invalidation *invalidation)
{
    cache_land(invalidation->answer);
    free(invalidation);
}

/* L2 has done its part: whatever comes now, no error may say that nothing was done. */
static void refuse_wait(const struct invalidation *invalidation, enum status status)
{
    struct reply *reply = &invalidation->answer->reply;
    if (status == TIMEOUT && invalidation->wait.waiter.kind == WAITER_EVERYWHERE) {
        reply_errorf(reply,
                     "STALE not applied on all nodes within %" PRId64
                     " ms: it is done, and the others follow within their bound",
                     invalidation->ms);
    } else if (status == TIMEOUT) {
        cache_refuse(reply, status, "invalidated, but no marker came home", invalidation->ms);
    } else {
        reply_errorf(reply, "STALE invalidated, but not waited for: %s",
                     status == L2_DOWN ? "this node is ending" : "too many calls wait for the bus");
    }
}

static void on_marked(struct errand *errand)
{
    struct invalidation *invalidation = (struct invalidation *)(void *)errand;
    const struct bus_wait *wait = &invalidation->wait;
    if (wait->status == OK) {
        reply_done(&invalidation->answer->reply, wait->waiter.seq, invalidation->count);
    } else {
        refuse_wait(invalidation, wait->status);
    }
    invalidation_land(invalidation);
}

static void invalidation_mark(struct invalidation *invalidation)
{
    struct worker *worker = invalidation->answer->worker;
    if (invalidation->sweeps) {
        invalidation->wait.waiter.deadline_ms =
            clock_now_ms(&worker->node->clock) + invalidation->ms;
    }
    const enum status status = bus_wait_send(&invalidation->wait, worker);
    if (status != OK) {
        refuse_wait(invalidation, status);
        invalidation_land(invalidation);
    }
}

struct invalidation *invalidation_new(const struct call *call, const struct invalidate_order *order)
{
    struct invalidation *invalidation = malloc(sizeof(*invalidation));
    if (invalidation == NULL) {
        return NULL;
    }
    const bool syncs = order->sync_ms >= 0;
    const int64_t ms = syncs ? order->sync_ms : atomic_load(&call->node->live.l2_timeout_ms);
    *invalidation = (struct invalidation){
        .wait = {.errand = {.done = on_marked},
                 .waiter = {.kind = syncs ? WAITER_EVERYWHERE : WAITER_MARKER,
                            .deadline_ms = call->now_ms + ms}},
        .ms = ms,
        .unnumbered = order->dry || call->node->tiers == NULL,
    };
    return invalidation;
}

void invalidation_part_begins(struct invalidation *invalidation, struct call *call)
{
    if (invalidation->answer == NULL) {
        invalidation->answer = cache_defer(call);
    }
    invalidation->parts++;
}

void invalidation_part_ends(struct invalidation *invalidation, size_t count)
{
    invalidation->count += count;
    if (--invalidation->parts > 0) {
        return;
    }
    struct reply *reply = &invalidation->answer->reply;
    if (!reply->failed && !invalidation->unnumbered) {
        invalidation_mark(invalidation);
        return;
    }
    if (!reply->failed) {
        reply_done(reply, 0, invalidation->count);
    }
    invalidation_land(invalidation);
}

/* --- KEY and ALL, and what is SOFT, with an L2 ---------------------------------------------------------------------------------------- */

/* One allocation: this, the keys, their bytes. */
struct invalidate_part {
    struct tiers_relay relay; /* first */
    struct invalidation *of;
    size_t dropped;
    struct l1_key keys[];
};

static void on_invalidated(struct tiers_relay *relay, enum status status, struct slice bytes)
{
    struct invalidate_part *part = (struct invalidate_part *)(void *)relay;
    struct invalidation *of = part->of;
    const bool failed = status != OK || (bytes.size > 0 && bytes.data[0] == REPLY_ERROR);
    if (failed && !of->answer->reply.failed) {
        relay_answer(of->answer, relay, status, bytes);
    }
    const size_t dropped = part->dropped + relay->dropped;
    free(part);
    invalidation_part_ends(of, dropped);
}

static struct invalidate_part *part_new(const struct call *call,
                                        const struct invalidate_order *order)
{
    const uint32_t count = order->subject == INVALIDATE_KEY ? order->arg_count : 0;
    size_t size = 0;
    for (uint32_t i = 0; i < count; i++) {
        size += order->args[i].size;
    }
    struct invalidate_part *part = malloc(sizeof(*part) + count * sizeof(struct l1_key) + size);
    if (part == NULL) {
        return NULL;
    }
    const bool only_tells = order->soft && count > 0;
    *part = (struct invalidate_part){.relay = {.on_reply = on_invalidated,
                                               .keys = part->keys,
                                               .writes = !only_tells,
                                               .keyless = only_tells,
                                               .patient = count != 1,
                                               .db = call->db}};
    char *bytes = (char *)&part->keys[count];
    for (uint32_t i = 0; i < count; i++) {
        const struct slice key = order->args[i];
        if (key.size >= LIMIT_L1_KEY) {
            continue; /* L1 never has it */
        }
        if (key.size > 0) {
            memcpy(bytes, key.data, key.size);
        }
        part->keys[part->relay.key_count++] =
            namespaces_key(call->node->namespaces, call->db, (struct slice){bytes, key.size}).at;
        bytes += key.size;
    }
    return part;
}

/* UNLINK key ...: the call's own words with another name. */
static enum status unlink_request(const struct invalidate_order *order, struct buf *out)
{
    struct slice *words = malloc((order->arg_count + 1) * sizeof(*words));
    if (words == NULL) {
        return NO_MEMORY;
    }
    words[0] = SLICE_LITERAL("UNLINK");
    memcpy(words + 1, order->args, order->arg_count * sizeof(*words));
    const enum status status = resp_append_request(out, order->arg_count + 1, words);
    free(words);
    return status;
}

/* Frames, of which the last one's answer is the part's. */
static enum status told_request(const struct call *call, struct invalidate_part *part,
                                struct buf *out)
{
    unsigned count = 0;
    const enum status status = announce_keys(out, tiers_node(call->node->tiers), part->keys,
                                             part->relay.key_count, &count);
    part->relay.parts = count - 1;
    return status;
}

static enum status request_of(const struct call *call, const struct invalidate_order *order,
                              struct invalidate_part *part, struct buf *out)
{
    if (order->subject == INVALIDATE_KEY) {
        return order->soft ? told_request(call, part, out) : unlink_request(order, out);
    }
    const struct frame_flush flush = {.kind = order->soft ? FRAME_FLUSH_SUSPECT : FRAME_FLUSH_DROP,
                                      .name = order->ns != NULL ? slice_of(order->ns->name)
                                                                : (struct slice){0}};
    return tiers_write_announced(call->worker->window, &flush, NULL, 0, out);
}

static size_t items_of(struct namespaces *namespaces, const struct namespace *ns)
{
    struct l1_stats stats;
    if (ns != NULL) {
        l1_stats(ns->l1, &stats);
    } else {
        namespaces_stats(namespaces, &stats);
    }
    return stats.items;
}

/* The frame makes this node drop, too, when it comes home; what it held is counted here. */
static size_t drop_all(struct namespaces *namespaces, const struct namespace *ns)
{
    const size_t items = items_of(namespaces, ns);
    if (ns != NULL) {
        l1_flush_all(ns->l1);
    } else {
        namespaces_flush_all(namespaces);
    }
    return items;
}

/* With a part under way the answer is deferred already. */
static struct reply *reply_of(struct call *call, struct invalidation *invalidation)
{
    return invalidation->answer != NULL ? &invalidation->answer->reply : call->reply;
}

static void refuse_part(struct call *call, struct invalidation *invalidation, enum status status)
{
    struct reply *reply = reply_of(call, invalidation);
    if (status == TOO_BIG) {
        reply_error(reply, "ERR CACHE.INVALIDATE with SOFT cannot name a key that is so long");
    } else {
        relay_refuse(reply, call->worker, status);
    }
}

static enum status send_part(struct call *call, const struct invalidate_order *order,
                             struct invalidate_part *part)
{
    struct buf request = {0};
    enum status status = request_of(call, order, part, &request);
    if (status == OK) {
        status = tiers_relay(call->worker->window, &part->relay, call->conn->session.proto,
                             buf_slice(&request));
    }
    buf_done(&request);
    return status;
}

static bool send_told(struct call *call, const struct invalidate_order *order,
                      struct invalidation *invalidation)
{
    struct invalidate_part *part = part_new(call, order);
    const enum status status = part == NULL ? NO_MEMORY : send_part(call, order, part);
    if (status != OK) {
        free(part);
        refuse_part(call, invalidation, status);
        return false;
    }
    part->of = invalidation;
    if (order->subject != INVALIDATE_KEY) {
        part->dropped = order->soft ? items_of(call->node->namespaces, order->ns)
                                    : drop_all(call->node->namespaces, order->ns);
    }
    invalidation_part_begins(invalidation, call);
    return true;
}

/* --- PREFIX and PATTERN -------------------------------------------------------------------------------------------- */

struct sweep_part {
    struct sweep_user user; /* first */
    struct invalidation *of;
};

static void on_swept(struct sweep_user *user, size_t count, const char *error)
{
    struct sweep_part *part = (struct sweep_part *)(void *)user;
    struct invalidation *of = part->of;
    free(part);
    if (error != NULL && !of->answer->reply.failed) {
        reply_error(&of->answer->reply, error);
    }
    invalidation_part_ends(of, count);
}

static bool send_sweep(struct call *call, const struct invalidate_order *order,
                       struct invalidation *invalidation)
{
    const struct sweep_wish wish = {.patterns = order->args,
                                    .pattern_count = order->arg_count,
                                    .are_prefixes = order->subject == INVALIDATE_PREFIX,
                                    .ns = order->ns,
                                    .db = call->db,
                                    .dry = order->dry};
    struct sweep_part *part = malloc(sizeof(*part));
    if (part != NULL) {
        *part = (struct sweep_part){.user = {.on_done = on_swept}, .of = invalidation};
    }
    const enum status status =
        part == NULL ? NO_MEMORY : sweep_begin(call->worker, &wish, &part->user);
    if (status == BUSY) {
        reply_errorf(reply_of(call, invalidation), "BUSY %u sweeps are running on this node",
                     LIMIT_SWEEPS);
    } else if (status != OK) {
        reply_out_of_memory(reply_of(call, invalidation));
    }
    if (status != OK) {
        free(part);
        return false;
    }
    invalidation->sweeps = true;
    invalidation_part_begins(invalidation, call);
    return true;
}

/* --- here, at once ------------------------------------------------------------------------------------------------- */

static bool delete_here(struct call *call, const struct invalidate_order *order,
                        struct invalidation *invalidation)
{
    size_t count = 0;
    if (order->subject == INVALIDATE_ALL) {
        count = drop_all(call->node->namespaces, order->ns);
        tracking_flush(call->node->tracking);
    } else if (call_delete(call, INVALIDATE_FIRST_ARG, INVALIDATE_FIRST_ARG + order->arg_count,
                           &count) != OK) {
        reply_out_of_memory(call->reply);
        return false;
    }
    invalidation->count += count;
    return true;
}

/* What would end in this node's L1. */
static size_t count_here(const struct call *call, const struct invalidate_order *order)
{
    size_t count = 0;
    if (order->subject != INVALIDATE_KEY) {
        return items_of(call->node->namespaces, order->ns);
    }
    for (uint32_t i = 0; i < order->arg_count; i++) {
        const struct ns_key key = namespaces_key(call->node->namespaces, call->db, order->args[i]);
        struct l1_peek peek;
        count += l1_peek(key.ns->l1, &key.at, call->now_ms, 0, &peek) == OK;
    }
    return count;
}

/* --- the command --------------------------------------------------------------------------------------------------- */

/* In plain namespaces. false: it could not be sent; the error is answered. */
static bool invalidate_plain(struct call *call, const struct invalidate_order *order,
                             struct invalidation *invalidation)
{
    const bool by_glob =
        order->subject == INVALIDATE_PREFIX || order->subject == INVALIDATE_PATTERN;
    if (by_glob && !order->soft) {
        return send_sweep(call, order, invalidation);
    }
    if (order->dry) {
        invalidation->count += count_here(call, order);
        return true;
    }
    return call->node->tiers == NULL ? delete_here(call, order, invalidation)
                                     : send_told(call, order, invalidation);
}

static void invalidate(struct call *call, const struct invalidate_order *order)
{
    struct invalidation *invalidation = invalidation_new(call, order);
    if (invalidation == NULL) {
        reply_out_of_memory(call->reply);
        return;
    }
    const bool sent = (!order->reaches_managed || invalidate_by_bans(call, order, invalidation)) &&
                      (!order->reaches_plain || invalidate_plain(call, order, invalidation));
    if (invalidation->parts > 0) {
        return;
    }
    if (sent) {
        reply_done(call->reply, 0, invalidation->count);
    }
    free(invalidation);
}

void cmd_cache_invalidate(struct call *call)
{
    struct invalidate_order order;
    if (!invalidate_parse(call, &order)) {
        return;
    }
    if (order.soft && call->node->tiers == NULL) {
        reply_error(call->reply,
                    "ERR CACHE.INVALIDATE with SOFT needs an L2: this node's L1 is the only copy");
        return;
    }
    if (order.reaches_managed && !order.dry) {
        leases_end_plain(call->conn); /* what it writes behind this ends no load */
    }
    if (order.subject == INVALIDATE_KEY && order.reaches_managed && order.dry) {
        reply_done(call->reply, 0, count_here(call, &order));
    } else if (order.subject == INVALIDATE_KEY && order.reaches_managed) {
        invalidate_managed_keys(call, &order);
    } else {
        invalidate(call, &order);
    }
}
