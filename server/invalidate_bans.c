/* SPDX-License-Identifier: BSD-3-Clause */
/* CACHE.INVALIDATE TAG, PREFIX, PATTERN and ALL in managed namespaces: bans (tiers/bans.h), issued by one script at L2.
 *
 *      the words -> names of bans -> EVAL ban.lua: seq, log, bus, terrace:tags ~> the marker of the invalidation
 *
 * Where no epoch stands (Redis was emptied a moment ago), a marker is asked for, whose beat begins one, and then again.
 *
 * The count is what L1 of this node held when it was asked for, of the first values looked at: bans search nothing. */
#include "protocol/frame_ban.h"
#include "protocol/limits.h"
#include "server/cmd_cache.h"
#include "server/cmd_common.h"
#include "server/faults.h"
#include "server/invalidate.h"
#include "server/node.h"
#include "server/relay.h"
#include "server/worker.h"
#include "tiers/ban_script.h"
#include "tiers/bans.h"
#include "tiers/bans_sweep.h"
#include "tiers/tiers.h"

#include <stdlib.h>
#include <string.h>

enum {
    LOOKS = 2048,      /* values looked at for the count: less than a millisecond */
    LOOKS_DRY = 65536, /* by DRYRUN */
    ATTEMPTS = 3
};

/* --- names --------------------------------------------------------------------------------------------------------- */

static bool refuse_text(struct call *call, const char *what, size_t most, struct slice text)
{
    char room[FAULT_ROOM];
    reply_errorf(call->reply, "ERR a %s has 1 to %zu bytes, not %zu: '%s'", what, most, text.size,
                 fault_shown(text, room));
    return false;
}

static bool refuse_size(struct call *call)
{
    reply_errorf(call->reply, "ERR too much to invalidate with one command: at most %u bytes",
                 LIMIT_FRAME);
    return false;
}

static bool check_room(struct call *call, enum frame_ban_kind kind)
{
    unsigned limit = 0;
    if (bans_have_room(tiers_bans(call->node->tiers), kind, &limit)) {
        return true;
    }
    reply_errorf(call->reply,
                 kind == FRAME_BAN_TAG || kind == FRAME_BAN_PREFIX
                     ? "ERR %u invalidations are live already: wait, or invalidate ALL"
                     : "ERR %u patterns and conjunctions of tags are live already: wait, use a "
                       "prefix or a tag, or invalidate ALL",
                 limit);
    return false;
}

/* What a list of words becomes. */
struct making {
    struct call *call;
    const struct invalidate_order *order;
    struct buf body;
};

static bool add(struct making *making, enum frame_ban_kind kind, struct slice text)
{
    const struct slice ns = making->order->ns != NULL ? slice_of(making->order->ns->name)
                                                      : (struct slice){.data = "", .size = 0};
    struct buf name = {0};
    if (!check_room(making->call, kind)) {
        return false;
    }
    enum status status = frame_ban_name(&name, kind, ns, text);
    if (status == OK) {
        status = frame_ban_append_own(&making->body, buf_slice(&name), making->order->soft);
    }
    buf_done(&name);
    if (status == TOO_BIG) {
        return refuse_size(making->call);
    }
    if (status != OK) {
        reply_out_of_memory(making->call->reply);
    }
    return status == OK;
}

/* A pattern that says no more than a prefix: its one special byte is the star at its end. */
static bool is_prefix(struct slice pattern)
{
    if (pattern.size == 0 || pattern.data[pattern.size - 1] != '*') {
        return false;
    }
    for (size_t i = 0; i + 1 < pattern.size; i++) {
        if (memchr("*?[\\", pattern.data[i], 4) != NULL) {
            return false;
        }
    }
    return true;
}

static bool add_text(struct making *making, struct slice text)
{
    const bool is_tag = making->order->subject == INVALIDATE_TAG;
    const size_t most = is_tag ? FRAME_BAN_TAG_MAX : FRAME_BAN_TEXT_MAX;
    if (text.size == 0 || text.size > most) {
        return refuse_text(making->call,
                           is_tag                                        ? "tag"
                           : making->order->subject == INVALIDATE_PREFIX ? "prefix"
                                                                         : "pattern",
                           most, text);
    }
    if (is_tag) {
        return add(making, FRAME_BAN_TAG, text);
    }
    if (making->order->subject == INVALIDATE_PREFIX) {
        return add(making, FRAME_BAN_PREFIX, text);
    }
    return is_prefix(text) ? add(making, FRAME_BAN_PREFIX, (struct slice){text.data, text.size - 1})
                           : add(making, FRAME_BAN_GLOB, text);
}

static int by_bytes(const void *a, const void *b)
{
    return frame_ban_compare_tags(*(const struct slice *)a, *(const struct slice *)b);
}

/* What has all of these: sorted, and each once, so that the same tags are the same ban. */
static bool add_conjunction(struct making *making, struct slice *tags, uint32_t count)
{
    struct buf text = {0};
    uint32_t kept = 0;
    qsort(tags, count, sizeof(*tags), by_bytes);
    for (uint32_t i = 0; i < count; i++) {
        if (tags[i].size == 0 || tags[i].size > FRAME_BAN_TAG_MAX) {
            return refuse_text(making->call, "tag", FRAME_BAN_TAG_MAX, tags[i]);
        }
        if (kept == 0 || !slice_equal(tags[kept - 1], tags[i])) {
            tags[kept++] = tags[i];
        }
    }
    if (kept == 1) {
        return add(making, FRAME_BAN_TAG, tags[0]);
    }
    if (kept > FRAME_BAN_TAGS_MAX) {
        reply_errorf(making->call->reply, "ERR a value has at most %d tags", FRAME_BAN_TAGS_MAX);
        return false;
    }
    bool done = true;
    for (uint32_t i = 0; i < kept && done; i++) {
        done = frame_ban_append_tag(&text, tags[i]) == OK;
    }
    if (done) {
        done = add(making, FRAME_BAN_ALL_TAGS, buf_slice(&text));
    } else {
        reply_out_of_memory(making->call->reply);
    }
    buf_done(&text);
    return done;
}

static bool make_conjunction(struct making *making)
{
    const struct invalidate_order *order = making->order;
    struct slice *tags = malloc(order->arg_count * sizeof(*tags));
    if (tags == NULL) {
        reply_out_of_memory(making->call->reply);
        return false;
    }
    memcpy(tags, order->args, order->arg_count * sizeof(*tags));
    const bool done = add_conjunction(making, tags, order->arg_count);
    free(tags);
    return done;
}

/* false: the error is answered. */
static bool make(struct making *making)
{
    const struct invalidate_order *order = making->order;
    if (order->subject == INVALIDATE_ALL) {
        return add(making, FRAME_BAN_PREFIX, (struct slice){.data = "", .size = 0});
    }
    if (order->subject == INVALIDATE_TAG && order->all_tags) {
        return make_conjunction(making);
    }
    for (uint32_t i = 0; i < order->arg_count; i++) {
        if (!add_text(making, order->args[i])) {
            return false;
        }
    }
    return true;
}

/* --- L2 is told ---------------------------------------------------------------------------------------------------- */

struct ban_part {
    struct bus_wait wait; /* first: for the beat that begins an epoch */
    struct tiers_relay relay;
    struct invalidation *of;
    struct worker *worker;
    int proto;
    unsigned attempts;
    size_t count;
    struct buf request;
};

static void part_free(struct ban_part *part)
{
    buf_done(&part->request);
    free(part);
}

static void part_ends(struct ban_part *part, size_t count)
{
    struct invalidation *of = part->of;
    part_free(part);
    invalidation_part_ends(of, count);
}

static enum status part_send(struct ban_part *part)
{
    part->attempts++;
    return tiers_relay(part->worker->window, &part->relay, part->proto, buf_slice(&part->request));
}

static void part_fails(struct ban_part *part, enum status status)
{
    struct reply *reply = &part->of->answer->reply;
    if (!reply->failed) {
        relay_refuse(reply, part->worker, status);
    }
    part_ends(part, 0);
}

static void on_epoch(struct errand *errand)
{
    struct ban_part *part = (struct ban_part *)(void *)errand;
    enum status status = part->wait.status == OK ? part_send(part) : L2_DOWN;
    if (status != OK) {
        part_fails(part, status);
    }
}

/* The script found no epoch. */
static void wait_for_epoch(struct ban_part *part)
{
    const int64_t now_ms = clock_now_ms(&part->worker->node->clock);
    part->wait = (struct bus_wait){
        .errand = {.done = on_epoch},
        .waiter = {.kind = WAITER_MARKER,
                   .deadline_ms = now_ms + atomic_load(&part->worker->node->live.l2_timeout_ms)}};
    const enum status status =
        part->attempts < ATTEMPTS ? bus_wait_send(&part->wait, part->worker) : L2_DOWN;
    if (status != OK) {
        part_fails(part, status);
    }
}

static void on_issued(struct tiers_relay *relay, enum status status, struct slice bytes)
{
    struct ban_part *part = LIST_ENTRY(relay, struct ban_part, relay);
    struct answer *answer = part->of->answer;
    char error[BAN_ERROR_MAX];
    uint64_t seq = 0;
    const bool is_error = bytes.size > 0 && bytes.data[0] == REPLY_ERROR;
    if (status == OK && !is_error) {
        status = ban_read_number(bytes, &seq, error);
        if (status == AGAIN) {
            wait_for_epoch(part);
            return;
        }
    }
    if ((status != OK || is_error) && !answer->reply.failed) {
        if (status == OK || status == L2_DOWN || status == UNKNOWN || status == STALE) {
            relay_answer(answer, relay, status, bytes);
        } else {
            reply_errorf(&answer->reply, "ERR %s", error);
        }
    }
    part_ends(part, part->count);
}

static struct ban_part *part_new(struct call *call, struct invalidation *invalidation,
                                 struct slice body)
{
    const struct ban_call of = {.coherence_db = tiers_coherence_db(call->node->tiers),
                                .node = tiers_node(call->node->tiers),
                                .log_length = (uint64_t)tiers_log_length(call->node->tiers)};
    struct ban_part *part = calloc(1, sizeof(*part));
    if (part == NULL) {
        return NULL;
    }
    part->relay = (struct tiers_relay){.on_reply = on_issued, .writes = true, .keyless = true};
    part->of = invalidation;
    part->worker = call->worker;
    part->proto = call->conn->session.proto;
    if (ban_write_issue(&part->request, &of, body) != OK) {
        part_free(part);
        return NULL;
    }
    return part;
}

static bool issue(struct call *call, struct invalidation *invalidation, struct slice body,
                  size_t count)
{
    struct ban_part *part = part_new(call, invalidation, body);
    const enum status status = part == NULL ? NO_MEMORY : part_send(part);
    if (status != OK) {
        if (part != NULL) {
            part_free(part);
        }
        relay_refuse(call->reply, call->worker, status);
        return false;
    }
    part->count = count;
    invalidation_part_begins(invalidation, call);
    return true;
}

/* In each namespace that it reaches. */
static void tally(const struct call *call, const struct invalidate_order *order)
{
    unsigned at = 0;
    for (const struct namespace *ns = namespaces_next(call->node->namespaces, &at); ns != NULL;
         ns = namespaces_next(call->node->namespaces, &at)) {
        if (ns->managed && (order->ns == NULL || order->ns == ns)) {
            namespace_tally(ns, call->worker->index, TALLY_INVALIDATED, 1);
        }
    }
}

bool invalidate_by_bans(struct call *call, const struct invalidate_order *order,
                        struct invalidation *invalidation)
{
    struct making making = {.call = call, .order = order};
    bool done = make(&making);
    /* ALL of all namespaces empties every L1, and what was in them is counted there. */
    size_t count = 0;
    if (done && (order->subject != INVALIDATE_ALL || !order->reaches_plain)) {
        count = bans_count_bound(call->node->namespaces, buf_slice(&making.body), call->now_ms,
                                 order->dry ? LOOKS_DRY : LOOKS);
        count = count == SIZE_MAX ? 0 : count;
    }
    if (done && order->dry) {
        invalidation->count += count;
    } else if (done) {
        done = issue(call, invalidation, buf_slice(&making.body), count);
        tally(call, order);
    }
    buf_done(&making.body);
    return done;
}
