/* SPDX-License-Identifier: BSD-3-Clause */
/* warm_source_hot.c -- what all nodes are asked for most (hot_desk.h), the hottest first. The cursor is how many were given. */
#include "server/hot_desk.h"
#include "server/node.h"
#include "server/warm_source.h"
#include "server/worker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct hot_source {
    struct warm_feed source; /* first */
    struct hot_fetch fetch;
    struct hot_list *list; /* NULL: not fetched yet */
    size_t given;
    bool fetches;
};

static enum status hot_open_source(const struct warm_source_at *at, struct warm_feed **ret_source,
                                   char error[WARM_ERROR_MAX])
{
    struct hot_source *hot = calloc(1, sizeof(*hot));
    uint64_t given = 0;
    (void)error;
    if (hot == NULL) {
        return NO_MEMORY;
    }
    hot->given = slice_to_u64(at->cursor, &given) == OK ? given : 0;
    *ret_source = &hot->source;
    return OK;
}

static void hot_close_source(struct warm_feed *source)
{
    struct hot_source *hot = (struct hot_source *)(void *)source;
    if (hot->fetches) {
        hot_desk_forget(&hot->fetch);
    }
    hot_list_release(hot->list);
    free(hot);
}

static void hot_give(struct hot_source *hot)
{
    struct warm_feed *source = &hot->source;
    struct warm_batch *batch = source->batch;
    const uint64_t n = source->at.job->n;
    const size_t count = hot->list->count < n ? hot->list->count : (size_t)n;
    while (hot->given < count && batch->count < source->at.batch_keys &&
           batch->keys.size < WARM_BATCH_BYTES) {
        const struct hot_row *row = &hot->list->rows[hot->given++];
        if (warm_batch_add(source, row->key, row->db, row->heat) != OK) {
            (void)snprintf(batch->error, sizeof(batch->error), "no memory");
            return;
        }
    }
    (void)snprintf(batch->cursor, sizeof(batch->cursor), "%zu", hot->given);
    batch->total = count;
    batch->is_last = hot->given >= count;
}

static void hot_on_list(struct hot_fetch *fetch, struct hot_list *list)
{
    struct hot_source *hot = LIST_ENTRY(fetch, struct hot_source, fetch);
    hot->fetches = false;
    worker_read_clock(hot->source.at.worker);
    if (list == NULL) { /* L2 cannot be asked just now */
        (void)snprintf(hot->source.batch->cursor, WARM_CURSOR_MAX, "%zu", hot->given);
        hot->source.batch->pause_ms = 500;
    } else {
        hot->list = hot_list_ref(list);
        hot_give(hot);
    }
    hot->source.at.on_batch(hot->source.at.arg);
}

static enum status hot_pull(struct warm_feed *source)
{
    struct hot_source *hot = (struct hot_source *)(void *)source;
    if (hot->list != NULL) {
        hot_give(hot);
        return OK;
    }
    hot->fetch = (struct hot_fetch){.on_list = hot_on_list, .with_own = true};
    const enum status status = hot_desk_fetch(source->at.worker->node->hot, &hot->fetch);
    hot->fetches = status == OK;
    return status == OK ? PENDING : status;
}

const struct warm_source_kind warm_source_hot = {hot_open_source, hot_pull, hot_close_source, 1};
