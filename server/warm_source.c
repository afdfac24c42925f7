/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/warm_source.h"

#include "protocol/limits.h"
#include "server/node.h"
#include "server/warm_file.h"
#include "server/worker.h"

#include <stdio.h>
#include <unistd.h>

static const struct warm_source_kind *kind_of(enum warm_source source)
{
    switch (source) {
    case WARM_KEYS: return &warm_source_keys;
    case WARM_SET:
    case WARM_ZSET:
    case WARM_PATTERN:
    case WARM_TAG: return &warm_source_l2;
    case WARM_FILE: return &warm_source_file;
    case WARM_LOG: return &warm_source_log;
    case WARM_HOT: return &warm_source_hot;
    case WARM_SNAPSHOT: return &warm_source_snapshot;
    }
    return &warm_source_keys;
}

unsigned warm_source_weight(enum warm_source source)
{
    return kind_of(source)->weight;
}

bool warm_source_is_bound(enum warm_source source)
{
    return source == WARM_FILE || source == WARM_LOG || source == WARM_SNAPSHOT;
}

enum status warm_source_check(struct worker *worker, const struct warm_job *job,
                              char error[WARM_ERROR_MAX])
{
    if (job->source == WARM_SNAPSHOT && worker->node->snapshots == NULL) {
        (void)snprintf(error, WARM_ERROR_MAX, "$.source.snapshot: this node has no snapshot-dir");
        return INVALID;
    }
    if (job->source != WARM_FILE && job->source != WARM_LOG) {
        return OK;
    }
    int fd = -1;
    const enum status status =
        warm_file_open(worker->node, job->source == WARM_FILE ? "$.source.file" : "$.source.log",
                       job->text, &fd, error);
    if (status == OK) {
        (void)close(fd);
    }
    return status;
}

enum status warm_source_open(const struct warm_source_at *at, struct warm_feed **ret_source,
                             char error[WARM_ERROR_MAX])
{
    enum status status = warm_source_check(at->worker, at->job, error);
    if (status == OK) {
        const struct warm_source_kind *kind = kind_of(at->job->source);
        status = kind->open(at, ret_source, error);
        if (status == OK) {
            (*ret_source)->kind = kind;
            (*ret_source)->at = *at;
            (*ret_source)->at.cursor = (struct slice){0};
            (*ret_source)->at.run = (struct slice){0};
        }
    }
    return status;
}

enum status warm_source_pull(struct warm_feed *source, struct warm_batch *batch)
{
    batch->keys.size = 0;
    batch->count = 0;
    batch->cursor[0] = '\0';
    batch->run[0] = '\0';
    batch->is_last = false;
    batch->total = UINT64_MAX;
    batch->pause_ms = 0;
    batch->error[0] = '\0';
    source->batch = batch;
    return source->kind->pull(source);
}

void warm_source_close(struct warm_feed *source)
{
    if (source != NULL) {
        source->kind->close(source);
    }
}

enum status warm_batch_add(struct warm_feed *source, struct slice key, uint8_t db, uint8_t heat)
{
    struct warm_batch *batch = source->batch;
    if (key.size >= LIMIT_L1_KEY) {
        return OK; /* no L1 ever has it */
    }
    const enum status status = warm_chunk_append(
        &batch->keys, &(struct warm_chunk_key){.key = key, .db = db, .heat = heat});
    batch->count += status == OK;
    return status;
}
