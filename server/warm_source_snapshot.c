/* SPDX-License-Identifier: BSD-3-Clause */
/* warm_source_snapshot.c -- the keys of a snapshot (snapshots.h) of this node, the hottest band first. The cursor is how
 * many were given. Only its keys are taken: the values come from L2.
 *
 * A thread of libuv's pool reads it, and checks all of it first. */
#include "protocol/limits.h"
#include "server/node.h"
#include "server/snapshots.h"
#include "server/warm_source.h"
#include "server/worker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct snapshot_keys {
    struct warm_feed source; /* first */
    uv_work_t work;
    uint64_t given;
    bool works;
    bool closed;
    const struct snapshots *snapshots;
    struct buf name; /* its own: the job may be gone while the thread reads */
    /* of the thread, while it works: */
    struct snapshot_file file;
    bool is_open;
    uint64_t at;     /* record */
    struct buf keys; /* as a chunk */
    size_t count;
    size_t count_max;
    bool is_end;
    enum status status; /* not OK: `error`, or no memory */
    char error[SNAPSHOT_ERROR_MAX];
};

static enum status snapshot_open_source(const struct warm_source_at *at,
                                        struct warm_feed **ret_source, char error[WARM_ERROR_MAX])
{
    struct snapshot_keys *keys = calloc(1, sizeof(*keys));
    if (keys == NULL) {
        return NO_MEMORY;
    }
    keys->snapshots = at->worker->node->snapshots;
    if (keys->snapshots == NULL) {
        free(keys);
        (void)snprintf(error, WARM_ERROR_MAX, "$.source.snapshot: this node has no snapshot-dir");
        return INVALID;
    }
    if (buf_append(&keys->name, at->job->text, at->job->text_size) != OK) {
        free(keys);
        return NO_MEMORY;
    }
    if (slice_to_u64(at->cursor, &keys->given) != OK) {
        keys->given = 0;
    }
    *ret_source = &keys->source;
    return OK;
}

static void keys_free(struct snapshot_keys *keys)
{
    if (keys->is_open) {
        snapshot_file_close(&keys->file);
    }
    buf_done(&keys->keys);
    buf_done(&keys->name);
    free(keys);
}

static void snapshot_close_source(struct warm_feed *source)
{
    struct snapshot_keys *keys = (struct snapshot_keys *)(void *)source;
    keys->closed = true;
    if (!keys->works) {
        keys_free(keys);
    }
}

/* --- in a thread ----------------------------------------------------------------------------------------------------- */

static void keys_take(struct snapshot_keys *keys, const struct snapshot_record *record)
{
    const bool is_new = keys->at++ >= keys->given;
    if (is_new && record->key.size < LIMIT_L1_KEY) {
        keys->status = warm_chunk_append(
            &keys->keys, &(struct warm_chunk_key){.key = record->key, .db = record->db});
        keys->count++;
    }
}

static void keys_on_work(uv_work_t *work)
{
    struct snapshot_keys *keys = work->data;
    struct snapshot_record record;
    if (!keys->is_open) {
        keys->status =
            snapshots_open_file(keys->snapshots, buf_slice(&keys->name), &keys->file, keys->error);
        keys->is_open = keys->status == OK;
    }
    while (keys->status == OK && !keys->is_end && keys->count < keys->count_max &&
           keys->keys.size < WARM_BATCH_BYTES) {
        const enum status status = snapshot_next(&keys->file.reader, &record);
        if (status == OK) {
            keys_take(keys, &record);
        } else if (status == MISS) {
            keys->is_end = true;
        } else {
            keys->status = status;
            (void)snprintf(keys->error, sizeof(keys->error), "%s", keys->file.reader.error);
        }
    }
}

/* --- and back -------------------------------------------------------------------------------------------------------- */

static void keys_on_worked(uv_work_t *work, int status)
{
    struct snapshot_keys *keys = work->data;
    struct warm_batch *batch = keys->source.batch;
    (void)status;
    keys->works = false;
    if (keys->closed) {
        keys_free(keys);
        return;
    }
    worker_read_clock(keys->source.at.worker);
    if (keys->status != OK) {
        (void)snprintf(batch->error, sizeof(batch->error), "the snapshot cannot be read: %s",
                       keys->status == NO_MEMORY ? "no memory" : keys->error);
    } else {
        const struct buf given = batch->keys;
        batch->keys = keys->keys;
        keys->keys = given;
        batch->count = keys->count;
        keys->given = keys->at > keys->given ? keys->at : keys->given;
        (void)snprintf(batch->cursor, sizeof(batch->cursor), "%" PRIu64, keys->given);
        batch->total = keys->file.reader.totals.records;
        batch->is_last = keys->is_end;
    }
    keys->source.at.on_batch(keys->source.at.arg);
}

static enum status snapshot_pull(struct warm_feed *source)
{
    struct snapshot_keys *keys = (struct snapshot_keys *)(void *)source;
    keys->keys.size = 0;
    keys->count = 0;
    keys->count_max = source->at.batch_keys;
    keys->work.data = keys;
    keys->works =
        uv_queue_work(&source->at.worker->loop, &keys->work, keys_on_work, keys_on_worked) == 0;
    return keys->works ? PENDING : NO_MEMORY;
}

const struct warm_source_kind warm_source_snapshot = {snapshot_open_source, snapshot_pull,
                                                      snapshot_close_source, 1};
