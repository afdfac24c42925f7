/* SPDX-License-Identifier: BSD-3-Clause */
/* behind_way.c -- of behind_desk.h: one write after the other out of the table to L2. */
#include "protocol/envelope.h"
#include "tiers/bans.h"
#include "tiers/behind_desk_inner.h"
#include "tiers/managed.h"
#include "tiers/wrap.h"

#include <stdlib.h>
#include <string.h>

enum {
    UNDER_WAY_MAX = 256, /* writes on their way to L2 */
    RETRY_MS = 100
};

/* One write on its way to L2. */
struct way {
    struct managed_write write; /* first: it is cast back */
    struct behind_desk *desk;
    struct behind_flush *flush;
    bool is_over;
    bool met_newer; /* in L2: this is the last to come */
};

static void way_end(struct way *way, enum behind_end end, uint64_t seq)
{
    struct behind_desk *desk = way->desk;
    desk->under_way--;
    behind_done(desk->behind, way->flush, end, seq, desk->window->now_ms);
    free(way);
    if (end == BEHIND_SENT) {
        metrics_count(behind_desk_metrics(desk), M_BEHIND_FLUSHED);
        tiers_behind_wake(desk->window->options.tiers); /* the log is told, too */
    }
}

/* Not now. `seq`: when the bus is obeyed up to there; 0: after a while. */
static void way_stop(struct way *way, uint64_t seq)
{
    struct behind_desk *desk = way->desk;
    desk->retry_at_ms = desk->window->now_ms + RETRY_MS;
    desk->retry_seq = seq;
    way_end(way, BEHIND_AGAIN, 0);
}

static void way_go(struct way *way);

/* What Redis says of itself, not of a key: nobody's write would be taken, and it passes. */
static bool is_of_all(struct slice error)
{
    static const char *const words[] = {"LOADING ",    "READONLY ", "MISCONF ", "NOREPLICAS ",
                                        "MASTERDOWN ", "BUSY ",     "NOAUTH ",  "CLUSTERDOWN "};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (slice_begins(error, words[i])) {
            return true;
        }
    }
    return false;
}

static void way_refused(struct way *way, struct slice error)
{
    struct behind_desk *desk = way->desk;
    const bool all = is_of_all(error);
    tiers_behind_refused(desk->window->options.tiers, desk->window->options.worker,
                         way->flush->key.bytes, error, all);
    if (all) {
        way_stop(way, 0);
        return;
    }
    metrics_count(behind_desk_metrics(desk), M_BEHIND_REFUSED);
    way_end(way, BEHIND_REFUSED, 0);
}

static void way_on_written(struct managed_write *write, enum status status, uint64_t seq,
                           struct slice error)
{
    struct way *way = (struct way *)(void *)write;
    struct behind_desk *desk = way->desk;
    if (status == AGAIN && !way->is_over) {
        metrics_count(behind_desk_metrics(desk), M_BEHIND_CONFLICTS);
        way->met_newer = true;
        way_go(way);
        return;
    }
    if (status == OK || status == STALE || status == AGAIN) {
        way_end(way, BEHIND_SENT, seq);
    } else if (status == L2_ERROR) {
        way_refused(way, error);
    } else {
        way_stop(way, status == MISS ? seq : 0);
    }
    if (!desk->window->ended) {
        tiers_behind_flushed(desk->window->options.tiers);
    }
}

/* What became of it since it was taken. Its tags are told by the envelope: the value may be one that cannot be read now. */
static enum ban_verdict verdict(struct behind_desk *desk, const struct behind_flush *flush)
{
    const struct ns_key key = window_key(desk->window, &flush->key);
    struct envelope envelope;
    char tags[ENVELOPE_TAGS_MAX * sizeof(uint64_t)];
    if (envelope_read(flush->envelope, &envelope) != OK) {
        return BAN_HARD; /* nobody could read it anywhere */
    }
    (void)managed_write_tags(&envelope, tags);
    return bans_check_held(tiers_bans(desk->window->options.tiers), key.ns, key.at.bytes,
                           envelope.version, tags, envelope.tag_count);
}

static enum status way_send(struct way *way, bool is_soft)
{
    struct tiers_window *window = way->desk->window;
    struct managed_write *write = &way->write;
    const struct slice held = way->flush->envelope;
    struct buf bytes = {0};
    enum status status =
        wrap_tighten(window, window_key(window, &way->flush->key).ns, held, &bytes);
    if (status == MISS && is_soft) {
        status = buf_append_slice(&bytes, held);
    }
    if (status == OK) {
        bytes.data[ENVELOPE_SOFT_OFFSET] = is_soft ? 1 : bytes.data[ENVELOPE_SOFT_OFFSET];
        write->envelope = buf_slice(&bytes);
    }
    if (status == OK || status == MISS) {
        status = managed_writes_pass(window, &write, 1, false);
    }
    buf_done(&bytes);
    return status;
}

/* Judged and sent; or it has ended, or stopped. */
static void way_go(struct way *way)
{
    struct behind_desk *desk = way->desk;
    const struct behind_flush *flush = way->flush;
    const int64_t now_ms = desk->window->now_ms;
    /* Before it is judged: see INVALIDATIONS. */
    const uint64_t judged =
        atomic_load_explicit(&behind_desk_view(desk)->applied_seq, memory_order_acquire);
    way->is_over = flush->dies_at_ms != 0 && flush->dies_at_ms <= now_ms;
    if (way->is_over && way->met_newer) { /* what has died deletes only what is older */
        way_end(way, BEHIND_SENT, 0);
        return;
    }
    const enum ban_verdict bans = way->is_over ? BAN_NONE : verdict(desk, flush);
    if (bans == BAN_HARD) {
        metrics_count(behind_desk_metrics(desk), M_BEHIND_INVALIDATED);
        way_end(way, BEHIND_SENT, 0);
        tiers_behind_flushed(desk->window->options.tiers);
        return;
    }
    way->write =
        (struct managed_write){.on_written = way_on_written,
                               .op = way->is_over ? MANAGED_DELETE : MANAGED_PUT,
                               .key = flush->key,
                               .cond = MANAGED_IF_NOT_NEWER,
                               .version = way->met_newer ? UINT64_MAX : flush->base,
                               .judged = judged,
                               .envelope = flush->envelope,
                               .px_ms = flush->dies_at_ms == 0 ? 0 : flush->dies_at_ms - now_ms};
    if (judged == 0 || bans == BAN_UNKNOWN || way_send(way, bans == BAN_SOFT) != OK) {
        way_stop(way, 0);
    }
}

static void flush_one(struct behind_desk *desk, struct behind_flush *flush)
{
    struct way *way = calloc(1, sizeof *way);
    if (way == NULL) {
        behind_done(desk->behind, flush, BEHIND_AGAIN, 0, desk->window->now_ms);
        desk->retry_at_ms = desk->window->now_ms + RETRY_MS;
        desk->retry_seq = 0;
        return;
    }
    way->desk = desk;
    way->flush = flush;
    desk->under_way++;
    way_go(way);
}

static bool may_flush(const struct behind_desk *desk)
{
    const bool has_heard =
        desk->retry_seq != 0 && atomic_load_explicit(&behind_desk_view(desk)->applied_seq,
                                                     memory_order_acquire) >= desk->retry_seq;
    return desk->flushes && !desk->window->ended && desk->under_way < UNDER_WAY_MAX &&
           (has_heard || desk->window->now_ms >= desk->retry_at_ms);
}

void behind_way_flush(struct behind_desk *desk)
{
    struct behind_flush *next = NULL;
    while (may_flush(desk) && (next = behind_next(desk->behind, desk->window->now_ms)) != NULL) {
        flush_one(desk, next);
    }
}
