/* SPDX-License-Identifier: BSD-3-Clause */
/* async.c -- the asynchronous face: a core on the application's loop. */
#include "client/face.h"
#include "client/warm_face.h"

#include <stdlib.h>
#include <string.h>

struct terrace_async {
    struct core *core;
    terrace_closed_fn *on_closed;
    void *arg;
    bool is_closing;
};

/* What an answer's body is to its callback. */
enum shape {
    SHAPE_VALUE, /* of a read: there is always a value, if only to say why there is none */
    SHAPE_BYTES, /* a reply; of a write there is none */
    SHAPE_NONE,
    SHAPE_JOBS,
    SHAPE_JOB,
    SHAPE_KEYS
};

/* What is asked, until it is answered. */
struct query {
    struct terrace_async *client;
    terrace_done_fn *on_done;
    void *arg;
    struct terrace_read_options spare; /* of a read: what face_spare wants */
    enum shape shape;
    size_t key_size;
    char key[];
};

static void on_core_closed(void *arg)
{
    struct terrace_async *client = arg;
    terrace_closed_fn *on_closed = client->on_closed;
    void *closed_arg = client->arg;
    core_free(client->core);
    free(client);
    if (on_closed != NULL) {
        on_closed(closed_arg);
    }
}

struct terrace_async *terrace_async_open(struct uv_loop_s *loop,
                                         const struct terrace_options *options, char *error,
                                         size_t error_size)
{
    struct terrace_options *presets = options == NULL ? terrace_options_new() : NULL;
    const struct terrace_options *used = options != NULL ? options : presets;
    struct terrace_async *client = calloc(1, sizeof *client);
    error_say(error, error_size, "no memory");
    if (client != NULL && used != NULL && loop != NULL) {
        client->core = core_open(loop, used, error, error_size);
    }
    terrace_options_free(presets);
    if (client != NULL && client->core == NULL) {
        free(client);
        client = NULL;
    }
    return client;
}

void terrace_async_close(struct terrace_async *client, terrace_closed_fn *on_closed, void *arg)
{
    if (client == NULL || client->is_closing) {
        return;
    }
    client->is_closing = true;
    client->on_closed = on_closed;
    client->arg = arg;
    core_close(client->core, on_core_closed, client);
}

void terrace_async_counters(struct terrace_async *client, struct terrace_counters *ret)
{
    core_counters(client->core, ret);
}

/* --- asking ------------------------------------------------------------------------------------------------------------------- */

/* What a callback borrows. */
struct borrowed {
    struct terrace_value value;
    struct terrace_warm_list jobs;
    struct terrace_hot_list keys;
};

static void borrow_value(const struct query *query, struct outcome *outcome,
                         struct borrowed *borrowed, struct terrace_result *result)
{
    const bool is_read = query->shape == SHAPE_VALUE;
    if (is_read || outcome->body.data != NULL) {
        (void)face_value(outcome, &borrowed->value, true);
        result->value = &borrowed->value;
    }
    if (is_read) {
        face_spare(query->client->core->near, (struct slice){query->key, query->key_size},
                   &query->spare, &result->status, &borrowed->value);
    }
}

static void borrow_list(enum shape shape, struct slice body, struct borrowed *borrowed,
                        struct terrace_result *result)
{
    if (shape == SHAPE_NONE || result->status != TERRACE_OK) {
        return;
    }
    if (shape == SHAPE_KEYS) {
        result->status = face_hot_list(body, &borrowed->keys, &result->error);
        result->keys = result->status == TERRACE_OK ? &borrowed->keys : NULL;
    } else {
        result->status = face_warm_list(body, shape == SHAPE_JOB, &borrowed->jobs, &result->error);
        result->jobs = result->status == TERRACE_OK ? &borrowed->jobs : NULL;
    }
}

static void on_done(void *arg, const struct outcome *outcome)
{
    struct query *query = arg;
    struct outcome lent = *outcome;
    struct borrowed borrowed = {.value = {.age_ms = -1, .ttl_ms = -2}};
    struct terrace_result result = {.status = outcome->status, .error = outcome->error};
    if (query->shape == SHAPE_VALUE || query->shape == SHAPE_BYTES) {
        borrow_value(query, &lent, &borrowed, &result);
    } else {
        borrow_list(query->shape, outcome->body, &borrowed, &result);
    }
    if (outcome->reply != NULL) {
        result.seq = outcome->reply->seq;
        result.count = outcome->reply->count;
        result.id = outcome->reply->warm_id;
    }
    query->on_done(query->arg, &result);
    terrace_value_done(&borrowed.value);
    terrace_warm_list_done(&borrowed.jobs);
    terrace_hot_done(&borrowed.keys);
    free(query);
}

static struct query *new_query(struct terrace_async *client, const struct face *face,
                               enum shape shape, const struct terrace_read_options *options,
                               terrace_done_fn *fn, void *arg)
{
    const bool is_read = shape == SHAPE_VALUE;
    const size_t key_size = is_read ? face->key.size : 0;
    struct query *query = malloc(sizeof *query + key_size);
    if (query == NULL) {
        return NULL;
    }
    *query = (struct query){
        .client = client, .on_done = fn, .arg = arg, .shape = shape, .key_size = key_size};
    if (key_size > 0) {
        memcpy(query->key, face->key.data, key_size);
    }
    if (is_read && options != NULL) {
        query->spare = (struct terrace_read_options){.spare_ms = options->spare_ms,
                                                     .no_near = options->no_near};
    }
    return query;
}

/* `built`: of the face, which is done with it. */
static enum terrace_status ask(struct terrace_async *client, struct face *face,
                               enum terrace_status built, struct query *query)
{
    struct request *request = NULL;
    enum terrace_status status = built;
    if (status == TERRACE_OK && query == NULL) {
        status = TERRACE_NO_MEMORY;
    }
    if (status == TERRACE_OK) {
        face->ask.on_done = on_done;
        face->ask.arg = query;
        status = request_new(client->core->options, &face->ask, &request);
    }
    if (built == TERRACE_OK) {
        face_done(face);
    }
    if (status == TERRACE_OK) {
        status = request_start(client->core, request);
    }
    if (status != TERRACE_OK) {
        free(query);
    }
    return status;
}

static enum terrace_status refuse(const struct terrace_async *client, terrace_done_fn *fn)
{
    return client == NULL || fn == NULL ? TERRACE_BAD_ARGUMENT
           : client->is_closing         ? TERRACE_CLOSED
                                        : TERRACE_OK;
}

/* --- L0: known at once, told with the turn --------------------------------------------------------------------------------------- */

struct hit {
    struct core_later later; /* first */
    struct terrace_value value;
    terrace_done_fn *on_done;
    void *arg;
};

static void tell_hit(struct core_later *later, bool is_closed)
{
    struct hit *hit = (struct hit *)(void *)later;
    const struct terrace_result result = {.status = is_closed ? TERRACE_CLOSED : TERRACE_OK,
                                          .value = &hit->value};
    hit->on_done(hit->arg, &result);
    terrace_value_done(&hit->value);
    free(hit);
}

static enum terrace_status read_value(struct terrace_async *client, uint8_t op, struct slice key,
                                      const struct terrace_read_options *options,
                                      terrace_done_fn *fn, void *arg)
{
    struct face face;
    struct terrace_value value;
    enum terrace_status status = refuse(client, fn);
    if (status != TERRACE_OK) {
        return status;
    }
    if (face_near(client->core->near, key, options, &value) == TERRACE_OK) {
        struct hit *hit = malloc(sizeof *hit);
        if (hit == NULL) {
            terrace_value_done(&value);
            return TERRACE_NO_MEMORY;
        }
        *hit = (struct hit){.later = {.tell = tell_hit}, .value = value, .on_done = fn, .arg = arg};
        core_tell_later(client->core, &hit->later);
        return TERRACE_OK;
    }
    status = face_read(&face, op, key, options);
    struct query *query =
        status == TERRACE_OK ? new_query(client, &face, SHAPE_VALUE, options, fn, arg) : NULL;
    return ask(client, &face, status, query);
}

/* A call whose answer is no value of a key. */
static enum terrace_status call(struct terrace_async *client, struct face *face,
                                enum terrace_status built, enum shape shape, terrace_done_fn *fn,
                                void *arg)
{
    const enum terrace_status status = refuse(client, fn);
    if (status != TERRACE_OK && built == TERRACE_OK) {
        face_done(face);
    }
    if (status != TERRACE_OK) {
        return status;
    }
    struct query *query =
        built == TERRACE_OK ? new_query(client, face, shape, NULL, fn, arg) : NULL;
    return ask(client, face, built, query);
}

/* --- the calls --------------------------------------------------------------------------------------------------------------------- */

enum terrace_status terrace_async_get(struct terrace_async *client, const void *key,
                                      size_t key_size, const struct terrace_read_options *options,
                                      terrace_done_fn *fn, void *arg)
{
    return read_value(client, NATIVE_GET, (struct slice){key, key_size}, options, fn, arg);
}

enum terrace_status terrace_async_fetch(struct terrace_async *client, const void *key,
                                        size_t key_size, const struct terrace_read_options *options,
                                        terrace_done_fn *fn, void *arg)
{
    return read_value(client, NATIVE_FETCH, (struct slice){key, key_size}, options, fn, arg);
}

enum terrace_status terrace_async_set(struct terrace_async *client, const void *key,
                                      size_t key_size, const void *data, size_t size,
                                      const struct terrace_write_options *options,
                                      terrace_done_fn *fn, void *arg)
{
    struct face face;
    const enum terrace_status built =
        face_set(&face, (struct slice){key, key_size}, (struct slice){data, size}, options);
    return call(client, &face, built, SHAPE_BYTES, fn, arg);
}

enum terrace_status terrace_async_delete(struct terrace_async *client, const void *key,
                                         size_t key_size,
                                         const struct terrace_write_options *options,
                                         terrace_done_fn *fn, void *arg)
{
    struct face face;
    const enum terrace_status built = face_delete(&face, (struct slice){key, key_size}, options);
    return call(client, &face, built, SHAPE_BYTES, fn, arg);
}

enum terrace_status terrace_async_fill(struct terrace_async *client, const void *key,
                                       size_t key_size, const struct terrace_token *token,
                                       const void *data, size_t size,
                                       const struct terrace_write_options *options,
                                       terrace_done_fn *fn, void *arg)
{
    struct face face;
    const enum terrace_status built =
        face_fill(&face, (struct slice){key, key_size}, token, (struct slice){data, size}, options);
    return call(client, &face, built, SHAPE_BYTES, fn, arg);
}

enum terrace_status terrace_async_fail(struct terrace_async *client, const void *key,
                                       size_t key_size, const struct terrace_token *token,
                                       int64_t negative_ms, terrace_done_fn *fn, void *arg)
{
    struct face face;
    const enum terrace_status built =
        face_fail(&face, (struct slice){key, key_size}, token, negative_ms);
    return call(client, &face, built, SHAPE_BYTES, fn, arg);
}

enum terrace_status terrace_async_invalidate(struct terrace_async *client,
                                             const struct terrace_invalidation *what,
                                             terrace_done_fn *fn, void *arg)
{
    struct face face;
    return call(client, &face, face_invalidate(&face, what), SHAPE_BYTES, fn, arg);
}

enum terrace_status terrace_async_command(struct terrace_async *client, const void *const *words,
                                          const size_t *sizes, size_t count, int64_t timeout_ms,
                                          terrace_done_fn *fn, void *arg)
{
    struct face face;
    const enum terrace_status built = face_command(&face, words, sizes, count, timeout_ms);
    return call(client, &face, built, SHAPE_BYTES, fn, arg);
}

/* --- warming -------------------------------------------------------------------------------------------------------------------- */

enum terrace_status terrace_async_warm_submit(struct terrace_async *client,
                                              const struct terrace_warm_job *job,
                                              terrace_done_fn *fn, void *arg)
{
    struct face face;
    const enum terrace_status built = face_warm_submit(&face, NATIVE_WARM_SUBMIT, job);
    return call(client, &face, built, SHAPE_NONE, fn, arg);
}

enum terrace_status terrace_async_warm_register(struct terrace_async *client,
                                                const struct terrace_warm_job *job,
                                                terrace_done_fn *fn, void *arg)
{
    struct face face;
    const enum terrace_status built = face_warm_submit(&face, NATIVE_WARM_REGISTER, job);
    return call(client, &face, built, SHAPE_NONE, fn, arg);
}

enum terrace_status terrace_async_warm_list(struct terrace_async *client, int64_t timeout_ms,
                                            terrace_done_fn *fn, void *arg)
{
    struct face face;
    const enum terrace_status built = face_warm_look(&face, NATIVE_WARM_LIST, 0, timeout_ms);
    return call(client, &face, built, SHAPE_JOBS, fn, arg);
}

enum terrace_status terrace_async_warm_status(struct terrace_async *client, uint64_t id,
                                              int64_t timeout_ms, terrace_done_fn *fn, void *arg)
{
    struct face face;
    const enum terrace_status built = face_warm_look(&face, NATIVE_WARM_STATUS, id, timeout_ms);
    return call(client, &face, built, SHAPE_JOB, fn, arg);
}

static enum terrace_status change(struct terrace_async *client, enum native_warm verb, uint64_t id,
                                  uint64_t rate, int64_t timeout_ms, terrace_done_fn *fn, void *arg)
{
    struct face face;
    const enum terrace_status built = face_warm_change(&face, verb, id, rate, timeout_ms);
    return call(client, &face, built, SHAPE_NONE, fn, arg);
}

enum terrace_status terrace_async_warm_pause(struct terrace_async *client, uint64_t id,
                                             int64_t timeout_ms, terrace_done_fn *fn, void *arg)
{
    return change(client, NATIVE_WARM_PAUSE, id, 0, timeout_ms, fn, arg);
}

enum terrace_status terrace_async_warm_resume(struct terrace_async *client, uint64_t id,
                                              int64_t timeout_ms, terrace_done_fn *fn, void *arg)
{
    return change(client, NATIVE_WARM_RESUME, id, 0, timeout_ms, fn, arg);
}

enum terrace_status terrace_async_warm_cancel(struct terrace_async *client, uint64_t id,
                                              int64_t timeout_ms, terrace_done_fn *fn, void *arg)
{
    return change(client, NATIVE_WARM_CANCEL, id, 0, timeout_ms, fn, arg);
}

enum terrace_status terrace_async_warm_setrate(struct terrace_async *client, uint64_t id,
                                               uint64_t rate, int64_t timeout_ms,
                                               terrace_done_fn *fn, void *arg)
{
    return change(client, NATIVE_WARM_SETRATE, id, rate, timeout_ms, fn, arg);
}

enum terrace_status terrace_async_hot(struct terrace_async *client, unsigned count,
                                      int64_t timeout_ms, terrace_done_fn *fn, void *arg)
{
    struct face face;
    const enum terrace_status built = face_hot(&face, count, timeout_ms);
    return call(client, &face, built, SHAPE_KEYS, fn, arg);
}
