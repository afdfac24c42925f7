/* SPDX-License-Identifier: BSD-3-Clause */
/* warm_source_keys.c -- keys that are listed in the job itself. The cursor is how many were given. */
#include "server/warm_source.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct keys_source {
    struct warm_feed source; /* first */
    uint64_t given;
    size_t at; /* bytes of the job's keys */
};

/* The next; false: there are no more. */
static bool keys_next(struct keys_source *keys, const struct warm_job *job, struct slice *ret_key)
{
    if (keys->given == job->key_count) {
        return false;
    }
    const char *at = job->keys.data + keys->at;
    *ret_key = (struct slice){at + sizeof(uint32_t), get_u32le(at)};
    keys->at += sizeof(uint32_t) + ret_key->size;
    keys->given++;
    return true;
}

static enum status keys_open(const struct warm_source_at *at, struct warm_feed **ret_source,
                             char error[WARM_ERROR_MAX])
{
    (void)error;
    struct keys_source *keys = calloc(1, sizeof(*keys));
    uint64_t given = 0;
    struct slice key;
    if (keys == NULL) {
        return NO_MEMORY;
    }
    if (slice_to_u64(at->cursor, &given) == OK) {
        while (keys->given < given && keys_next(keys, at->job, &key)) {
        }
    }
    *ret_source = &keys->source;
    return OK;
}

static enum status keys_pull(struct warm_feed *source)
{
    struct keys_source *keys = (struct keys_source *)(void *)source;
    const struct warm_job *job = source->at.job;
    struct warm_batch *batch = source->batch;
    struct slice key;
    while (batch->count < source->at.batch_keys && batch->keys.size < WARM_BATCH_BYTES &&
           keys_next(keys, job, &key)) {
        if (warm_batch_add(source, key, job->db, 0) != OK) {
            (void)snprintf(batch->error, sizeof(batch->error), "no memory");
            return OK;
        }
    }
    (void)snprintf(batch->cursor, sizeof(batch->cursor), "%" PRIu64, keys->given);
    batch->is_last = keys->given == job->key_count;
    return OK;
}

static void keys_close(struct warm_feed *source)
{
    free(source);
}

const struct warm_source_kind warm_source_keys = {keys_open, keys_pull, keys_close, 1};
