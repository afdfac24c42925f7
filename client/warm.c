/* SPDX-License-Identifier: BSD-3-Clause */
/* warm.c -- warm jobs and hot keys, of the blocking face. */
#include "client/sync.h"
#include "client/warm_job.h"
#include "protocol/native_warm.h"

#include <stdlib.h>
#include <string.h>

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

static enum terrace_warm_state state_of(struct slice name)
{
    for (unsigned i = 0; i < STATES; i++) {
        if (slice_is(name, states[i])) {
            return (enum terrace_warm_state)i;
        }
    }
    return TERRACE_WARM_OTHER;
}

/* --- memory of a list ---------------------------------------------------------------------------------------------------- */

/* Rows first, then texts, in one piece; what is unpacked has the sizes. */
struct room {
    char *at;
};

static void *take(struct room *room, size_t size)
{
    void *memory = room->at;
    room->at += size;
    return memory;
}

/* With a 0 behind it. */
static const char *take_text(struct room *room, struct slice text)
{
    char *copy = take(room, text.size + 1);
    if (text.size > 0) {
        memcpy(copy, text.data, text.size);
    }
    copy[text.size] = '\0';
    return copy;
}

static void copy_text(char *dst, size_t room, struct slice text)
{
    const size_t size = text.size < room ? text.size : room - 1;
    if (size > 0) {
        memcpy(dst, text.data, size);
    }
    dst[size] = '\0';
}

/* --- jobs ---------------------------------------------------------------------------------------------------------------- */

enum {
    JOB_TEXTS = 5,
    FAILURE_TEXTS = 2
};

static size_t job_size(const struct native_warm_job *job)
{
    size_t size = sizeof(struct terrace_warm_status) + job->source.size + job->mode.size +
                  job->target.size + job->error.size + job->schedule.size + JOB_TEXTS +
                  job->node_count * sizeof(struct terrace_warm_node);
    for (size_t i = 0; i < job->failure_count; i++) {
        size += sizeof(struct terrace_warm_failure) + job->failures[i].key.size +
                job->failures[i].why.size + FAILURE_TEXTS;
    }
    return size;
}

static void take_rows(struct room *room, const struct native_warm_job *from,
                      struct terrace_warm_status *to)
{
    struct terrace_warm_node *nodes = take(room, from->node_count * sizeof *nodes);
    struct terrace_warm_failure *failures = take(room, from->failure_count * sizeof *failures);
    for (size_t i = 0; i < from->node_count; i++) {
        const struct native_warm_node *node = &from->nodes[i];
        nodes[i] = (struct terrace_warm_node){
            .done = node->done,
            .loaded = node->loaded,
            .skipped = node->skipped,
            .absent = node->absent,
            .failed = node->failed,
            .bytes = node->bytes,
            .rate = node->rate,
            .yield = node->yield,
        };
        copy_text(nodes[i].node, sizeof nodes[i].node, node->node);
        copy_text(nodes[i].address, sizeof nodes[i].address, node->address);
    }
    to->nodes = nodes;
    to->node_count = from->node_count;
    to->failures = failures;
    to->failure_count = from->failure_count;
}

static void take_texts(struct room *room, const struct native_warm_job *from,
                       struct terrace_warm_status *to)
{
    struct terrace_warm_failure *failures = (void *)(uintptr_t)to->failures;
    to->source = take_text(room, from->source);
    to->mode = take_text(room, from->mode);
    to->target = take_text(room, from->target);
    to->error = take_text(room, from->error);
    to->schedule = take_text(room, from->schedule);
    for (size_t i = 0; i < from->failure_count; i++) {
        const struct native_warm_failure *failure = &from->failures[i];
        failures[i] = (struct terrace_warm_failure){.key = take_text(room, failure->key),
                                                    .key_size = failure->key.size,
                                                    .why = take_text(room, failure->why),
                                                    .attempts = failure->attempts};
    }
}

static struct terrace_warm_status status_of(const struct native_warm_job *from)
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
    };
}

static enum terrace_status take_jobs(const struct native_warm_list *from,
                                     struct terrace_warm_list *ret)
{
    size_t size = 1;
    for (size_t i = 0; i < from->count; i++) {
        size += job_size(&from->jobs[i]);
    }
    struct room room = {malloc(size)};
    if (room.at == NULL) {
        return TERRACE_NO_MEMORY;
    }
    ret->memory = room.at;
    struct terrace_warm_status *jobs = take(&room, from->count * sizeof *jobs);
    for (size_t i = 0; i < from->count; i++) {
        jobs[i] = status_of(&from->jobs[i]);
        take_rows(&room, &from->jobs[i], &jobs[i]);
    }
    for (size_t i = 0; i < from->count; i++) {
        take_texts(&room, &from->jobs[i], &jobs[i]);
    }
    ret->jobs = jobs;
    ret->count = from->count;
    return TERRACE_OK;
}

/* --- asking -------------------------------------------------------------------------------------------------------------- */

static struct face face_of(enum native_op op, int64_t timeout_ms)
{
    return (struct face){.ask = {.op = (uint8_t)op, .timeout_ms = timeout_ms}};
}

/* A node's body that cannot be read. */
static enum terrace_status refuse_body(enum status status, char *error, size_t error_size)
{
    error_say(error, error_size, "%s",
              status == NO_MEMORY ? "no memory for the list" : "a list that cannot be read");
    return status == NO_MEMORY ? TERRACE_NO_MEMORY : TERRACE_REFUSED;
}

static enum terrace_status submit(struct terrace *terrace, enum native_warm verb,
                                  const struct terrace_warm_job *job, uint64_t *ret_id, char *error,
                                  size_t error_size)
{
    struct buf json = {0};
    struct face face = face_of(NATIVE_WARM, job != NULL ? job->timeout_ms : 0);
    uint64_t id = 0;
    const enum terrace_status built = warm_job_write(job, &json);
    face.meta.warm = verb;
    face.ask.meta = &face.meta;
    face.ask.body = buf_slice(&json);
    face.ask.is_write = true;
    const enum terrace_status status =
        sync_told(terrace, &face, built, &(struct sync_told){.warm_id = &id}, error, error_size);
    buf_done(&json);
    if (ret_id != NULL) {
        *ret_id = id;
    }
    return status;
}

enum terrace_status terrace_warm_submit(struct terrace *terrace, const struct terrace_warm_job *job,
                                        uint64_t *ret_id, char *error, size_t error_size)
{
    return submit(terrace, NATIVE_WARM_SUBMIT, job, ret_id, error, error_size);
}

enum terrace_status terrace_warm_register(struct terrace *terrace,
                                          const struct terrace_warm_job *job, uint64_t *ret_id,
                                          char *error, size_t error_size)
{
    return submit(terrace, NATIVE_WARM_REGISTER, job, ret_id, error, error_size);
}

static enum terrace_status look(struct terrace *terrace, enum native_warm verb, uint64_t id,
                                int64_t timeout_ms, struct terrace_warm_list *ret_list, char *error,
                                size_t error_size)
{
    struct face face = face_of(NATIVE_WARM, timeout_ms);
    struct terrace_value body = {0};
    struct native_warm_list list = {0};
    if (ret_list == NULL) {
        error_say(error, error_size, "no place for the list");
        return TERRACE_BAD_ARGUMENT;
    }
    *ret_list = (struct terrace_warm_list){0};
    face.meta.warm = verb;
    face.meta.warm_id = id;
    face.ask.meta = &face.meta;
    enum terrace_status status =
        sync_told(terrace, &face, timeout_ms < 0 ? TERRACE_BAD_ARGUMENT : TERRACE_OK,
                  &(struct sync_told){.body = &body}, error, error_size);
    if (status == TERRACE_OK) {
        enum status read = native_warm_list_unpack((struct slice){body.data, body.size}, &list);
        if (read == OK && verb == NATIVE_WARM_STATUS && list.count != 1) {
            read = MALFORMED; /* who asks for one looks at the first without counting */
        }
        status = read == OK ? take_jobs(&list, ret_list) : refuse_body(read, error, error_size);
    }
    native_warm_list_done(&list);
    terrace_value_done(&body);
    return status;
}

enum terrace_status terrace_warm_list(struct terrace *terrace, int64_t timeout_ms,
                                      struct terrace_warm_list *ret_list, char *error,
                                      size_t error_size)
{
    return look(terrace, NATIVE_WARM_LIST, 0, timeout_ms, ret_list, error, error_size);
}

enum terrace_status terrace_warm_status(struct terrace *terrace, uint64_t id, int64_t timeout_ms,
                                        struct terrace_warm_list *ret_list, char *error,
                                        size_t error_size)
{
    return look(terrace, NATIVE_WARM_STATUS, id, timeout_ms, ret_list, error, error_size);
}

void terrace_warm_list_done(struct terrace_warm_list *list)
{
    if (list != NULL) {
        free(list->memory);
        *list = (struct terrace_warm_list){0};
    }
}

static enum terrace_status change(struct terrace *terrace, enum native_warm verb, uint64_t id,
                                  uint64_t rate, int64_t timeout_ms, char *error, size_t error_size)
{
    struct face face = face_of(NATIVE_WARM, timeout_ms);
    face.meta.warm = verb;
    face.meta.warm_id = id;
    face.meta.warm_rate = rate;
    face.ask.meta = &face.meta;
    face.ask.is_write = true;
    return sync_told(terrace, &face, timeout_ms < 0 ? TERRACE_BAD_ARGUMENT : TERRACE_OK,
                     &(struct sync_told){0}, error, error_size);
}

enum terrace_status terrace_warm_pause(struct terrace *terrace, uint64_t id, int64_t timeout_ms,
                                       char *error, size_t error_size)
{
    return change(terrace, NATIVE_WARM_PAUSE, id, 0, timeout_ms, error, error_size);
}

enum terrace_status terrace_warm_resume(struct terrace *terrace, uint64_t id, int64_t timeout_ms,
                                        char *error, size_t error_size)
{
    return change(terrace, NATIVE_WARM_RESUME, id, 0, timeout_ms, error, error_size);
}

enum terrace_status terrace_warm_cancel(struct terrace *terrace, uint64_t id, int64_t timeout_ms,
                                        char *error, size_t error_size)
{
    return change(terrace, NATIVE_WARM_CANCEL, id, 0, timeout_ms, error, error_size);
}

enum terrace_status terrace_warm_setrate(struct terrace *terrace, uint64_t id, uint64_t rate,
                                         int64_t timeout_ms, char *error, size_t error_size)
{
    return change(terrace, NATIVE_WARM_SETRATE, id, rate, timeout_ms, error, error_size);
}

/* --- hot keys ------------------------------------------------------------------------------------------------------------ */

static enum terrace_status take_keys(const struct native_hot_list *from,
                                     struct terrace_hot_list *ret)
{
    size_t size = 1 + from->count * sizeof(struct terrace_hot_key);
    for (size_t i = 0; i < from->count; i++) {
        size += from->keys[i].key.size + 1 + from->keys[i].ns.size + 1;
    }
    struct room room = {malloc(size)};
    if (room.at == NULL) {
        return TERRACE_NO_MEMORY;
    }
    ret->memory = room.at;
    struct terrace_hot_key *keys = take(&room, from->count * sizeof *keys);
    for (size_t i = 0; i < from->count; i++) {
        const struct native_hot_key *key = &from->keys[i];
        keys[i] = (struct terrace_hot_key){.key = take_text(&room, key->key),
                                           .key_size = key->key.size,
                                           .db = (int)key->db,
                                           .ns = take_text(&room, key->ns),
                                           .per_s = key->per_s,
                                           .error_per_s = key->error_per_s,
                                           .count = key->count,
                                           .error = key->error,
                                           .heat = key->heat};
    }
    ret->keys = keys;
    ret->count = from->count;
    return TERRACE_OK;
}

enum terrace_status terrace_hot(struct terrace *terrace, unsigned count, int64_t timeout_ms,
                                struct terrace_hot_list *ret_list, char *error, size_t error_size)
{
    struct face face = face_of(NATIVE_HOT, timeout_ms);
    struct terrace_value body = {0};
    struct native_hot_list list = {0};
    if (ret_list == NULL) {
        error_say(error, error_size, "no place for the list");
        return TERRACE_BAD_ARGUMENT;
    }
    *ret_list = (struct terrace_hot_list){0};
    face.meta.hot = count;
    face.ask.meta = &face.meta;
    enum terrace_status status =
        sync_told(terrace, &face, timeout_ms < 0 ? TERRACE_BAD_ARGUMENT : TERRACE_OK,
                  &(struct sync_told){.body = &body}, error, error_size);
    if (status == TERRACE_OK) {
        const enum status read =
            native_hot_list_unpack((struct slice){body.data, body.size}, &list);
        status = read == OK ? take_keys(&list, ret_list) : refuse_body(read, error, error_size);
    }
    native_hot_list_done(&list);
    terrace_value_done(&body);
    return status;
}

void terrace_hot_done(struct terrace_hot_list *list)
{
    if (list != NULL) {
        free(list->memory);
        *list = (struct terrace_hot_list){0};
    }
}
