/* SPDX-License-Identifier: BSD-3-Clause */
/* link_fence.c -- a read is good only if this link still leads to the master (link.h, "The fence"). */
#include "protocol/check.h"
#include "tiers/link_inner.h"

enum {
    BEHIND_MS = 10 /* between two checks for the sake of a new epoch: there may be many a second */
};

static int64_t oldest_sent_pop(struct link_fence *fence)
{
    CHECK(fence->beat_count > 0);
    const int64_t sent_ms = fence->beats_ms[0];
    fence->beat_count--;
    for (unsigned i = 0; i < fence->beat_count; i++) {
        fence->beats_ms[i] = fence->beats_ms[i + 1];
    }
    return sent_ms;
}

/* Counter 0: the node knows none yet. */
static struct epoch node_epoch(const struct link *link)
{
    const struct link_options *options = &link->options;
    return options->expected_epoch != NULL ? options->expected_epoch(options->arg)
                                           : (struct epoch){0};
}

/* What a check must find: the node's epoch, or a newer one that this link met first; the node will follow, since the
 * larger counter wins everywhere. */
static struct epoch epoch_to_find(const struct link *link)
{
    const struct epoch node = node_epoch(link);
    return link->fence.epoch.counter > node.counter ? link->fence.epoch : node;
}

static void tell(struct link *link, const struct beat_answer *answer)
{
    if (link->options.on_met != NULL) {
        link->options.on_met(link->options.arg, answer);
    }
}

bool link_fence_is_newest(const struct link *link)
{
    const struct link_options *options = &link->options;
    return options->is_newest == NULL ||
           options->is_newest(options->arg, link->greeting.run, link->fence.epoch.counter);
}

void link_fence_lost(struct link *link)
{
    struct link_fence *fence = &link->fence;
    fence->target = 0;
    fence->reign = 0;
    fence->proved_ms = LINK_NEVER_MS;
    fence->beat_count = 0;
    fence->doubt_since_ms = 0;
}

void link_fence_greeted(struct link *link)
{
    struct link_fence *fence = &link->fence;
    const struct beat_answer *greeting = &link->greeting;
    const struct epoch node = node_epoch(link);
    fence->epoch = greeting->epoch;
    fence->reign = greeting->reign;
    fence->beat_at_ms = link->greeted_at_ms;
    tell(link, greeting);
    if (greeting->epoch.counter > node.counter ||
        (greeting->epoch.counter == node.counter && greeting->epoch.random == node.random)) {
        fence->target = greeting->target;
        fence->proved_ms = link->greeted_at_ms;
    }
}

/* --- beats ------------------------------------------------------------------------------------------------------- */

/* Sends a check, unless too many are under way. */
static void link_fence_beat(struct link *link, int64_t now_ms)
{
    struct link_fence *fence = &link->fence;
    if (fence->beat_count == LINK_BEATS_MAX) {
        return;
    }
    struct buf check = {0};
    if (beat_write_check(&check, link->options.coherence_db, epoch_to_find(link)) == OK &&
        link_out_beat(link, buf_slice(&check)) == OK) {
        fence->beats_ms[fence->beat_count++] = now_ms;
        fence->beat_at_ms = now_ms;
        link_count(link, M_L2_CHECKS);
    } /* else the fence stays closed, and the next one who needs it tries again */
    buf_done(&check);
}

static void release(struct link *link, enum status status)
{
    struct link_fence *fence = &link->fence;
    struct link_fifo kept = fence->kept;
    struct buf bytes = fence->bytes;
    fence->kept = (struct link_fifo){0};
    fence->bytes = (struct buf){0};
    size_t at = 0;
    while (kept.count > 0) {
        const struct link_slot slot = link_fifo_pop(&kept);
        const struct slice reply = {.data = bytes.data + at, .size = (size_t)slot.ends_at};
        at += reply.size;
        if (slot.request != NULL) {
            link_end_request(link, slot.request, status == OK ? slot.status : status,
                             status == OK ? reply : (struct slice){0});
        }
    }
    link_fifo_done(&kept);
    buf_done(&bytes);
}

void link_fence_end_kept(struct link *link)
{
    release(link, L2_DOWN);
}

/* Redis is the master and writes, but neither epoch nor reign are what they were: it may have been another's replica, or
 * a first replica came just when the data was flushed. If it is ours, the node will know its epoch within T/4. */
static bool may_doubt(struct link_fence *fence, int64_t now_ms)
{
    if (fence->doubt_since_ms == 0) {
        fence->doubt_since_ms = now_ms;
    }
    return now_ms - fence->doubt_since_ms <= fence->bound_ms;
}

static void prove(struct link *link, int64_t sent_ms, bool was_master, int64_t now_ms)
{
    struct link_fence *fence = &link->fence;
    fence->proved_ms = sent_ms;
    fence->doubt_since_ms = 0;
    if (!link_fence_is_newest(link)) {
        link_close(link, "another link of this node met a newer L2", now_ms);
        return;
    }
    if (!was_master && fence->kept.count > 0) {
        link_explain(link, "it was demoted and promoted again meanwhile");
    }
    release(link, was_master ? OK : L2_DOWN);
}

void link_fence_take_beat(struct link *link, struct slice reply, int64_t now_ms)
{
    struct link_fence *fence = &link->fence;
    const int64_t sent_ms = oldest_sent_pop(fence);
    struct beat_answer answer;
    char error[BEAT_ERROR_MAX];
    const enum status status = beat_read(reply, &answer, error);
    const bool is_master = status == OK || status == MISS;
    const bool was_master = is_master && answer.reign == fence->reign;
    if (status == OK) {
        const bool is_same = was_master || answer.target == fence->target;
        fence->target = answer.target;
        fence->epoch = answer.epoch;
        fence->reign = answer.reign;
        tell(link, &answer);
        prove(link, sent_ms, is_same, now_ms);
        return;
    }
    if (was_master) {
        prove(link, sent_ms, true, now_ms);
        return;
    }
    link_count(link, M_L2_CHECKS_FAILED);
    if (!is_master || !may_doubt(fence, now_ms)) {
        link_close(link, error, now_ms);
    }
}

/* --- requests and replies ---------------------------------------------------------------------------------------- */

/* What comes by this link is not kept in L1 before it has met the node's epoch. */
static bool is_behind(const struct link *link, int64_t now_ms)
{
    const struct link_options *options = &link->options;
    return options->known_epoch != NULL &&
           options->known_epoch(options->arg) > link->fence.epoch.counter &&
           link->fence.beat_count == 0 && now_ms - link->fence.beat_at_ms >= BEHIND_MS;
}

void link_fence_ask(struct link *link, const struct link_request *request)
{
    CHECK(!request->writes);
    link->fence.bound_ms = request->fence_ms;
    if (link->state == LINK_READY &&
        (request->asked_ms - link->fence.beat_at_ms > request->fence_ms / 4 ||
         is_behind(link, request->asked_ms))) {
        link_fence_beat(link, request->asked_ms);
    }
}

void link_fence_keep(struct link *link, struct link_request *request, struct slice reply,
                     enum status status, int64_t now_ms)
{
    struct link_fence *fence = &link->fence;
    const bool fits =
        fence->kept.count == 0 || fence->bytes.size + reply.size <= LINK_KEPT_BYTES_MAX;
    if (!fits || link_fifo_reserve(&fence->kept, 1) != OK ||
        buf_append_slice(&fence->bytes, reply) != OK) {
        link_explain(link, "too much waits for the proof of its link");
        link_fence_end_kept(link); /* first: they were asked before it */
        link_end_request(link, request, L2_DOWN, (struct slice){0});
        return;
    }
    link_fifo_push(&fence->kept,
                   (struct link_slot){.request = request, .ends_at = reply.size, .status = status});
    link_count(link, M_L2_REPLIES_KEPT);
    if (fence->beat_count == 0 && fence->doubt_since_ms == 0) {
        link_fence_beat(link, now_ms); /* else one is under way, or the tick asks again */
    }
}

void link_fence_tick(struct link *link, int64_t now_ms)
{
    if (link->fence.kept.count > 0 && link->fence.beat_count == 0) {
        link_fence_beat(link, now_ms);
    }
}
