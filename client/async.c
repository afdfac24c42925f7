/* SPDX-License-Identifier: BSD-3-Clause */
/* async.c -- the asynchronous face: a core on the application's loop. */
#include "client/face.h"

#include <stdlib.h>
#include <string.h>

struct terrace_async {
    struct core *core;
    terrace_closed_fn *on_closed;
    void *arg;
    bool is_closing;
};

/* What is asked, until it is answered. */
struct query {
    struct terrace_async *client;
    terrace_done_fn *on_done;
    void *arg;
    struct terrace_read_options spare; /* of a read: what face_spare wants */
    bool is_read;
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

static void on_done(void *arg, const struct outcome *outcome)
{
    struct query *query = arg;
    struct outcome borrowed = *outcome;
    struct terrace_value value = {.age_ms = -1, .ttl_ms = -2};
    struct terrace_result result = {.status = outcome->status, .error = outcome->error};
    const bool has_value = query->is_read || outcome->body.data != NULL;
    if (has_value) {
        (void)face_value(&borrowed, &value, true);
        result.value = &value;
    }
    if (query->is_read) {
        face_spare(query->client->core->near, (struct slice){query->key, query->key_size},
                   &query->spare, &result.status, &value);
    }
    if (outcome->reply != NULL) {
        result.seq = outcome->reply->seq;
        result.count = outcome->reply->count;
    }
    query->on_done(query->arg, &result);
    terrace_value_done(&value);
    free(query);
}

static struct query *new_query(struct terrace_async *client, const struct face *face, bool is_read,
                               const struct terrace_read_options *options, terrace_done_fn *fn,
                               void *arg)
{
    const size_t key_size = is_read ? face->key.size : 0;
    struct query *query = malloc(sizeof *query + key_size);
    if (query == NULL) {
        return NULL;
    }
    *query = (struct query){
        .client = client, .on_done = fn, .arg = arg, .is_read = is_read, .key_size = key_size};
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
        status == TERRACE_OK ? new_query(client, &face, true, options, fn, arg) : NULL;
    return ask(client, &face, status, query);
}

static enum terrace_status write_value(struct terrace_async *client, struct face *face,
                                       enum terrace_status built, terrace_done_fn *fn, void *arg)
{
    const enum terrace_status status = refuse(client, fn);
    if (status != TERRACE_OK && built == TERRACE_OK) {
        face_done(face);
    }
    if (status != TERRACE_OK) {
        return status;
    }
    struct query *query =
        built == TERRACE_OK ? new_query(client, face, false, NULL, fn, arg) : NULL;
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
    return write_value(client, &face, built, fn, arg);
}

enum terrace_status terrace_async_delete(struct terrace_async *client, const void *key,
                                         size_t key_size,
                                         const struct terrace_write_options *options,
                                         terrace_done_fn *fn, void *arg)
{
    struct face face;
    const enum terrace_status built = face_delete(&face, (struct slice){key, key_size}, options);
    return write_value(client, &face, built, fn, arg);
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
    return write_value(client, &face, built, fn, arg);
}

enum terrace_status terrace_async_fail(struct terrace_async *client, const void *key,
                                       size_t key_size, const struct terrace_token *token,
                                       int64_t negative_ms, terrace_done_fn *fn, void *arg)
{
    struct face face;
    const enum terrace_status built =
        face_fail(&face, (struct slice){key, key_size}, token, negative_ms);
    return write_value(client, &face, built, fn, arg);
}

enum terrace_status terrace_async_invalidate(struct terrace_async *client,
                                             const struct terrace_invalidation *what,
                                             terrace_done_fn *fn, void *arg)
{
    struct face face;
    return write_value(client, &face, face_invalidate(&face, what), fn, arg);
}

enum terrace_status terrace_async_command(struct terrace_async *client, const void *const *words,
                                          const size_t *sizes, size_t count, int64_t timeout_ms,
                                          terrace_done_fn *fn, void *arg)
{
    struct face face;
    return write_value(client, &face, face_command(&face, words, sizes, count, timeout_ms), fn,
                       arg);
}
