/* SPDX-License-Identifier: BSD-3-Clause */
/* warm_source_l2.c -- keys that L2 names: by SCAN (pattern, tag), as members of a set or as the first of a sorted set.
 *
 * A tag is found by reading: L2 has no list of who has it. So all keys of managed namespaces are given, and the engine keeps
 * only those whose value has the tag.
 *
 * The cursor is L2's, or the rank in a sorted set. SCAN's is good for one process of L2; in another the walk begins anew. One
 * question at a time, and of all sources of the node together not more keys per second than `sweep-rate` says are looked at. */
#include "protocol/resp_write.h"
#include "server/node.h"
#include "server/sweep.h"
#include "server/warm_desk_inner.h"
#include "server/worker.h"
#include "tiers/tiers.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SCAN_COUNT = 500,
    PAGES_MAX = 20, /* that hold no key, until the cursor is told */
    PAUSE_MS = 100, /* less is not worth a pause */
    DOWN_MS = 500
};

struct l2_source {
    struct tiers_relay relay; /* first: the question under way */
    struct warm_feed source;  /* what the others see */
    uint64_t cursor;
    char run[WARM_RUN_MAX]; /* that the cursor is good for; "": any */
    unsigned pages;
    uint64_t looked; /* keys, in this batch */
    bool asks;
    bool closed;
};

static struct l2_source *l2_of(struct warm_feed *source)
{
    return LIST_ENTRY(source, struct l2_source, source);
}

static enum status l2_open(const struct warm_source_at *at, struct warm_feed **ret_source,
                           char error[WARM_ERROR_MAX])
{
    (void)error;
    struct l2_source *l2 = calloc(1, sizeof(*l2));
    if (l2 == NULL) {
        return NO_MEMORY;
    }
    if (slice_to_u64(at->cursor, &l2->cursor) == OK && at->run.size < sizeof(l2->run)) {
        memcpy(l2->run, at->run.data, at->run.size);
    } else {
        l2->cursor = 0;
    }
    *ret_source = &l2->source;
    return OK;
}

static void l2_close(struct warm_feed *source)
{
    struct l2_source *l2 = l2_of(source);
    l2->closed = true;
    if (!l2->asks) {
        free(l2);
    }
}

/* --- the batch ------------------------------------------------------------------------------------------------------- */

/* What all sources have looked at is owed by whichever comes; time pays for it. */
static int64_t l2_owes_ms(struct l2_source *l2)
{
    const struct worker *worker = l2->source.at.worker;
    struct warm_desk *desk = worker->warm_desk;
    const int64_t rate = atomic_load(&worker->node->live.sweep_rate);
    const double keys_per_ms = (double)(rate > 0 ? rate : 1) / 1000;
    const double passed_ms = (double)(worker->now_ms - desk->walked_at_ms);
    desk->walked = fmax(0, desk->walked - passed_ms * keys_per_ms) + (double)l2->looked;
    desk->walked_at_ms = worker->now_ms;
    l2->looked = 0;
    return (int64_t)(desk->walked / keys_per_ms);
}

static void l2_finish(struct l2_source *l2, bool is_last)
{
    struct warm_feed *source = &l2->source;
    struct warm_batch *batch = source->batch;
    const int64_t owed_ms = l2_owes_ms(l2);
    (void)snprintf(batch->cursor, sizeof(batch->cursor), "%" PRIu64, l2->cursor);
    memcpy(batch->run, l2->run, sizeof(batch->run));
    batch->is_last = is_last;
    if (owed_ms >= PAUSE_MS) {
        batch->pause_ms = owed_ms;
    }
    source->at.on_batch(source->at.arg);
}

static void l2_fail(struct l2_source *l2, const char *why, struct slice words)
{
    struct warm_feed *source = &l2->source;
    (void)snprintf(source->batch->error, sizeof(source->batch->error), "%s%.*s", why,
                   (int)(words.size < 160 ? words.size : 160), words.data);
    source->at.on_batch(source->at.arg);
}

/* What is there so far; the rest when L2 can be asked. */
static void l2_wait(struct l2_source *l2)
{
    l2_finish(l2, false);
}

static bool is_wanted(const struct l2_source *l2, struct slice key)
{
    const struct warm_source_at *at = &l2->source.at;
    const struct node *node = at->worker->node;
    const bool by_scan = at->job->source == WARM_PATTERN || at->job->source == WARM_TAG;
    if (by_scan && at->job->db == tiers_coherence_db(node->tiers) && key.size >= 8 &&
        memcmp(key.data, "terrace:", 8) == 0) {
        return false;
    }
    return at->job->source != WARM_TAG || namespace_of(node->namespaces, key)->managed;
}

static enum status l2_add(struct l2_source *l2, struct reply_cursor keys, size_t count)
{
    enum status status = OK;
    for (size_t i = 0; i < count && status == OK; i++) {
        struct reply_element element;
        status = reply_next(&keys, &element) == OK && element.type == REPLY_BULK ? OK : MALFORMED;
        if (status == OK && is_wanted(l2, element.text)) {
            status = warm_batch_add(&l2->source, element.text, l2->source.at.job->db, 0);
        }
    }
    return status;
}

/* --- answers --------------------------------------------------------------------------------------------------------- */

static void l2_ask(struct l2_source *l2);

/* The cursor was another process's. True: the walk begins anew. */
static bool l2_begins_anew(struct l2_source *l2)
{
    char run[WARM_RUN_MAX];
    (void)snprintf(run, sizeof(run), "%016" PRIx64, l2->relay.run);
    const bool is_same = strcmp(run, l2->run) == 0;
    memcpy(l2->run, run, sizeof(run));
    if (is_same || l2->cursor == 0) {
        return false;
    }
    l2->cursor = 0;
    return true;
}

static void on_scanned(struct l2_source *l2, struct slice bytes)
{
    struct reply_cursor keys;
    uint64_t cursor = 0;
    size_t count = 0;
    if (l2_begins_anew(l2)) {
        l2_ask(l2);
        return;
    }
    if (sweep_read_scan(bytes, &cursor, &keys, &count) != OK) {
        l2_fail(l2, "L2 answers what is not understood", SLICE_LITERAL(""));
        return;
    }
    if (l2_add(l2, keys, count) != OK) {
        l2_fail(l2, "no memory", SLICE_LITERAL(""));
        return;
    }
    l2->cursor = cursor;
    l2->looked += SCAN_COUNT;
    l2->pages++;
    const struct warm_batch *batch = l2->source.batch;
    if (cursor == 0 || l2->pages >= PAGES_MAX || batch->count >= l2->source.at.batch_keys ||
        batch->keys.size >= WARM_BATCH_BYTES) {
        l2_finish(l2, cursor == 0);
    } else {
        l2_ask(l2);
    }
}

static void on_ranked(struct l2_source *l2, struct slice bytes)
{
    struct reply_cursor keys = {bytes};
    struct reply_element element;
    const struct warm_job *job = l2->source.at.job;
    if (reply_next(&keys, &element) != OK || element.type != REPLY_ARRAY || element.number < 0) {
        l2_fail(l2, "L2 answers what is not understood", SLICE_LITERAL(""));
        return;
    }
    const size_t count = (size_t)element.number;
    if (l2_add(l2, keys, count) != OK) {
        l2_fail(l2, "no memory", SLICE_LITERAL(""));
        return;
    }
    l2->cursor += count;
    l2_finish(l2, count == 0 || l2->cursor >= job->n);
}

static void on_reply(struct tiers_relay *relay, enum status status, struct slice bytes)
{
    struct l2_source *l2 = (struct l2_source *)(void *)relay;
    l2->asks = false;
    if (l2->closed) {
        free(l2);
        return;
    }
    worker_read_clock(l2->source.at.worker);
    if (status != OK) {
        l2->source.batch->pause_ms = DOWN_MS;
        l2_wait(l2);
    } else if (bytes.size > 0 && bytes.data[0] == REPLY_ERROR) {
        const struct slice words = {bytes.data + 1, bytes.size - (bytes.size >= 3 ? 3 : 1)};
        l2_fail(l2, "L2 says: ", words);
    } else if (l2->source.at.job->source == WARM_ZSET) {
        on_ranked(l2, bytes);
    } else {
        on_scanned(l2, bytes);
    }
}

/* --- questions ------------------------------------------------------------------------------------------------------- */

static size_t words_of(struct l2_source *l2, char numbers[2][24], struct slice words[6])
{
    const struct warm_job *job = l2->source.at.job;
    const struct slice text = {job->text, job->text_size};
    (void)snprintf(numbers[0], 24, "%" PRIu64, l2->cursor);
    (void)snprintf(numbers[1], 24, "%d", SCAN_COUNT);
    size_t count = 0;
    if (job->source == WARM_ZSET) {
        const uint64_t left = job->n - l2->cursor;
        const uint64_t want = left < l2->source.at.batch_keys ? left : l2->source.at.batch_keys;
        (void)snprintf(numbers[1], 24, "%" PRIu64, l2->cursor + want - 1);
        words[count++] = SLICE_LITERAL("ZREVRANGE");
        words[count++] = text;
        words[count++] = slice_of(numbers[0]);
        words[count++] = slice_of(numbers[1]);
        return count;
    }
    words[count++] = job->source == WARM_SET ? SLICE_LITERAL("SSCAN") : SLICE_LITERAL("SCAN");
    if (job->source == WARM_SET) {
        words[count++] = text;
    }
    words[count++] = slice_of(numbers[0]);
    if (job->source == WARM_PATTERN) {
        words[count++] = SLICE_LITERAL("MATCH");
        words[count++] = text;
    }
    words[count++] = SLICE_LITERAL("COUNT");
    words[count++] = slice_of(numbers[1]);
    return count;
}

static enum status l2_send(struct l2_source *l2)
{
    char numbers[2][24];
    struct slice words[6];
    struct buf request = {0};
    const size_t count = words_of(l2, numbers, words);
    l2->relay =
        (struct tiers_relay){.on_reply = on_reply, .db = l2->source.at.job->db, .patient = true};
    enum status status = resp_append_request(&request, count, words);
    if (status == OK) {
        status = tiers_relay(l2->source.at.worker->window, &l2->relay, 2, buf_slice(&request));
    }
    buf_done(&request);
    l2->asks = status == OK;
    return status;
}

static void l2_ask(struct l2_source *l2)
{
    if (l2_send(l2) != OK) {
        l2->source.batch->pause_ms = DOWN_MS;
        l2_wait(l2);
    }
}

static enum status l2_pull(struct warm_feed *source)
{
    struct l2_source *l2 = l2_of(source);
    l2->pages = 0;
    return l2_send(l2) == OK ? PENDING : BUSY;
}

const struct warm_source_kind warm_source_l2 = {l2_open, l2_pull, l2_close, 1};
