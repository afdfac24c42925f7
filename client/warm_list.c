/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/warm_list.h"

#include "protocol/native_memory.h"
#include "protocol/terrace.pb-c.h"

#include <stdlib.h>
#include <string.h>

typedef Terrace__WarmJob job_message;
typedef Terrace__WarmNode node_message;
typedef Terrace__WarmFailure failure_message;
typedef Terrace__WarmList warm_list_message;
typedef Terrace__HotKey hot_message;
typedef Terrace__HotList hot_list_message;

/* By enum terrace_warm_state. */
static const char *const states[] = {
    [TERRACE_WARM_OTHER] = "other",         [TERRACE_WARM_QUEUED] = "queued",
    [TERRACE_WARM_RUNNING] = "running",     [TERRACE_WARM_PAUSED] = "paused",
    [TERRACE_WARM_DONE] = "done",           [TERRACE_WARM_FAILED] = "failed",
    [TERRACE_WARM_CANCELLED] = "cancelled", [TERRACE_WARM_STANDING] = "standing",
};

enum {
    STATES = sizeof states / sizeof states[0]
};

const char *terrace_warm_state_name(enum terrace_warm_state state)
{
    return (unsigned)state < STATES ? states[state] : "?";
}

static struct slice slice_in(ProtobufCBinaryData bytes)
{
    return (struct slice){(const char *)bytes.data, bytes.len};
}

static enum terrace_warm_state state_of(ProtobufCBinaryData name)
{
    for (unsigned i = 0; i < STATES; i++) {
        if (slice_is(slice_in(name), states[i])) {
            return (enum terrace_warm_state)i;
        }
    }
    return TERRACE_WARM_OTHER;
}

/* What does not fit is cut. */
static void copy_text(char *dst, size_t room, ProtobufCBinaryData text)
{
    const size_t size = text.len < room ? text.len : room - 1;
    if (size > 0) {
        memcpy(dst, text.data, size);
    }
    dst[size] = '\0';
}

/* --- jobs ------------------------------------------------------------------------------------------------------------ */

static size_t job_size(const job_message *job)
{
    size_t size = sizeof(struct terrace_warm_status) + text_size(job->source) +
                  text_size(job->mode) + text_size(job->target) + text_size(job->error) +
                  text_size(job->schedule) + job->n_nodes * sizeof(struct terrace_warm_node);
    for (size_t i = 0; i < job->n_failures; i++) {
        size += sizeof(struct terrace_warm_failure) + text_size(job->failures[i]->key) +
                text_size(job->failures[i]->why);
    }
    return size;
}

static struct terrace_warm_node node_of(const node_message *from)
{
    struct terrace_warm_node node = {
        .done = from->done,
        .loaded = from->loaded,
        .skipped = from->skipped,
        .absent = from->absent,
        .failed = from->failed,
        .bytes = from->bytes,
        .rate = from->rate,
        .yield = from->yield,
    };
    copy_text(node.node, sizeof node.node, from->node);
    copy_text(node.address, sizeof node.address, from->address);
    return node;
}

static struct terrace_warm_status status_of(const job_message *from)
{
    return (struct terrace_warm_status){
        .id = from->id,
        .state = state_of(from->state),
        .db = (int)from->db,
        .priority = (int)from->priority,
        .effective_priority = (int)from->effective,
        .dry_run = from->dryrun,
        .rate_limit = from->rate_limit,
        .total = from->total,
        .processed = from->processed,
        .loaded = from->loaded,
        .skipped = from->skipped,
        .absent = from->absent,
        .failed = from->failed,
        .bytes = from->bytes,
        .rate = from->rate,
        .eta_ms = from->eta_ms,
        .submitted_at_ms = (int64_t)from->submitted_at_ms,
        .started_at_ms = (int64_t)from->started_at_ms,
        .ended_at_ms = (int64_t)from->ended_at_ms,
        .deadline_at_ms = (int64_t)from->deadline_at_ms,
        .next_at_ms = (int64_t)from->next_at_ms,
        .prevented = from->prevented,
        .node_count = from->n_nodes,
        .failure_count = from->n_failures,
    };
}

/* Rows of a job lie behind all jobs, texts behind all rows: so each row is aligned. */
static void keep_rows(struct keep *keep, const job_message *from, struct terrace_warm_status *to)
{
    struct terrace_warm_node *nodes = keep_array(keep, NULL, from->n_nodes * sizeof *nodes);
    for (size_t i = 0; i < from->n_nodes; i++) {
        nodes[i] = node_of(from->nodes[i]);
    }
    to->nodes = nodes;
    to->failures = keep_array(keep, NULL, from->n_failures * sizeof *to->failures);
}

static void keep_texts(struct keep *keep, const job_message *from, struct terrace_warm_status *to)
{
    struct terrace_warm_failure *failures = (void *)(uintptr_t)to->failures;
    to->source = keep_text(keep, from->source);
    to->mode = keep_text(keep, from->mode);
    to->target = keep_text(keep, from->target);
    to->error = keep_text(keep, from->error);
    to->schedule = keep_text(keep, from->schedule);
    for (size_t i = 0; i < from->n_failures; i++) {
        const failure_message *failure = from->failures[i];
        failures[i] = (struct terrace_warm_failure){.key = keep_text(keep, failure->key),
                                                    .key_size = failure->key.len,
                                                    .why = keep_text(keep, failure->why),
                                                    .attempts = failure->attempts};
    }
}

static enum status keep_jobs(const void *message, struct keep *keep, size_t *ret_count)
{
    const warm_list_message *from = message;
    size_t size = 0;
    for (size_t i = 0; i < from->n_jobs; i++) {
        size += job_size(from->jobs[i]);
    }
    if (keep_begin(keep, size) != OK) {
        return NO_MEMORY;
    }
    struct terrace_warm_status *jobs = keep_array(keep, NULL, from->n_jobs * sizeof *jobs);
    for (size_t i = 0; i < from->n_jobs; i++) {
        jobs[i] = status_of(from->jobs[i]);
        keep_rows(keep, from->jobs[i], &jobs[i]);
    }
    for (size_t i = 0; i < from->n_jobs; i++) {
        keep_texts(keep, from->jobs[i], &jobs[i]);
    }
    *ret_count = from->n_jobs;
    return OK;
}

/* --- hot keys -------------------------------------------------------------------------------------------------------- */

static enum status keep_keys(const void *message, struct keep *keep, size_t *ret_count)
{
    const hot_list_message *from = message;
    size_t size = from->n_keys * sizeof(struct terrace_hot_key);
    for (size_t i = 0; i < from->n_keys; i++) {
        size += text_size(from->keys[i]->key) + text_size(from->keys[i]->ns);
    }
    if (keep_begin(keep, size) != OK) {
        return NO_MEMORY;
    }
    struct terrace_hot_key *keys = keep_array(keep, NULL, from->n_keys * sizeof *keys);
    for (size_t i = 0; i < from->n_keys; i++) {
        const hot_message *key = from->keys[i];
        keys[i] = (struct terrace_hot_key){.key = keep_text(keep, key->key),
                                           .key_size = key->key.len,
                                           .db = (int)key->db,
                                           .ns = keep_text(keep, key->ns),
                                           .per_s = key->per_s,
                                           .error_per_s = key->error_per_s,
                                           .count = key->count,
                                           .error = key->error,
                                           .heat = key->heat};
    }
    *ret_count = from->n_keys;
    return OK;
}

/* --- reading --------------------------------------------------------------------------------------------------------- */

typedef enum status keep_fn(const void *message, struct keep *keep, size_t *ret_count);

/* The memory of what was kept begins with its rows. */
static enum status read_rows(struct slice body, const ProtobufCMessageDescriptor *kind,
                             keep_fn *keep_all, struct keep *keep, size_t *ret_count)
{
    struct scratch scratch;
    enum status status = OK;
    const void *message = scratch_unpack(&scratch, kind, body, &status);
    if (status == OK) {
        status = keep_all(message, keep, ret_count);
    }
    scratch_done(&scratch);
    return status;
}

enum status warm_list_jobs(struct slice body, struct terrace_warm_list *ret)
{
    struct keep keep = {0};
    *ret = (struct terrace_warm_list){0};
    const enum status status =
        read_rows(body, &terrace__warm_list__descriptor, keep_jobs, &keep, &ret->count);
    ret->jobs = (const void *)keep.memory;
    ret->memory = keep.memory;
    return status;
}

enum status warm_list_keys(struct slice body, struct terrace_hot_list *ret)
{
    struct keep keep = {0};
    *ret = (struct terrace_hot_list){0};
    const enum status status =
        read_rows(body, &terrace__hot_list__descriptor, keep_keys, &keep, &ret->count);
    ret->keys = (const void *)keep.memory;
    ret->memory = keep.memory;
    return status;
}

void terrace_warm_list_done(struct terrace_warm_list *list)
{
    if (list != NULL) {
        free(list->memory);
        *list = (struct terrace_warm_list){0};
    }
}

void terrace_hot_done(struct terrace_hot_list *list)
{
    if (list != NULL) {
        free(list->memory);
        *list = (struct terrace_hot_list){0};
    }
}
