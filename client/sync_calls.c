/* SPDX-License-Identifier: BSD-3-Clause */
/* sync_calls.c -- the calls of the blocking face. */
#include "client/sync.h"

#include <stdlib.h>
#include <string.h>

/* One call: what it waits for, and where its results go. */
struct errand {
    struct wait wait; /* first */
    struct request *request;
    enum terrace_status status;
    struct terrace_value *value; /* NULL: not wanted */
    uint64_t *seq, *count, *warm_id;
    char *error;
    size_t error_size;
    struct terrace_pair *pairs; /* of MGET */
    const size_t *which;
    size_t pair_count;
};

static struct errand *errand_of(struct wait *wait)
{
    return (struct errand *)(void *)wait;
}

/* --- on the loop -------------------------------------------------------------------------------------------------------------- */

static void on_done(void *arg, const struct outcome *outcome)
{
    struct errand *errand = arg;
    struct outcome taken = *outcome;
    errand->status = outcome->status;
    if (errand->value != NULL) {
        errand->status = face_value(&taken, errand->value, false);
        ((struct outcome *)(uintptr_t)outcome)->taken = taken.taken;
    }
    if (outcome->reply != NULL && errand->seq != NULL) {
        *errand->seq = outcome->reply->seq;
    }
    if (outcome->reply != NULL && errand->count != NULL) {
        *errand->count = outcome->reply->count;
    }
    if (outcome->reply != NULL && errand->warm_id != NULL) {
        *errand->warm_id = outcome->reply->warm_id;
    }
    error_say(errand->error, errand->error_size, "%s",
              outcome->error != NULL ? outcome->error : "");
    wait_done(&errand->wait);
}

static void on_part(void *arg, size_t at, const struct outcome *outcome)
{
    struct errand *errand = arg;
    struct terrace_pair *pair = &errand->pairs[errand->which[at]];
    struct outcome taken = *outcome;
    pair->status = face_value(&taken, &pair->value, false);
    ((struct outcome *)(uintptr_t)outcome)->taken = taken.taken;
}

static void begin(struct wait *wait, struct core *core)
{
    struct errand *errand = errand_of(wait);
    enum terrace_status status = TERRACE_CLOSED;
    if (core != NULL) {
        status = request_start(core, errand->request);
    } else {
        request_free(errand->request);
    }
    if (status != TERRACE_OK) {
        errand->status = status;
        wait_done(wait);
    }
}

/* --- from a call to its end ------------------------------------------------------------------------------------------------------ */

static void say_status(struct errand *errand)
{
    if (errand->error != NULL && errand->error_size > 0 && errand->error[0] == '\0' &&
        errand->status != TERRACE_OK) {
        error_say(errand->error, errand->error_size, "%s", terrace_status_name(errand->status));
    }
}

/* `built`: of the face, which is done with it. */
static enum terrace_status run(struct terrace *terrace, struct face *face,
                               enum terrace_status built, struct errand *errand)
{
    errand->wait.begin = begin;
    error_say(errand->error, errand->error_size, "%s", "");
    errand->status = built;
    if (built == TERRACE_OK) {
        face->ask.on_done = on_done;
        face->ask.arg = errand;
        errand->status = request_new(terrace->options, &face->ask, &errand->request);
        face_done(face);
    }
    if (errand->status == TERRACE_OK) {
        wait_for(terrace, &errand->wait);
    }
    say_status(errand);
    return errand->status;
}

/* Of errors that no node has answered, too: `fail = open` makes a miss of what is only in the way. */
static enum terrace_status opened(const struct terrace *terrace, enum terrace_status status,
                                  struct terrace_value *value)
{
    if (status == TERRACE_BUSY && terrace->options->fail == 0) {
        value->reason = TERRACE_REASON_BUSY;
        return TERRACE_MISS;
    }
    return status;
}

/* Where no request begins that would do it: a copy of L0, or nothing at all. */
static void empty_room(const struct terrace_read_options *options)
{
    if (options != NULL) {
        error_say(options->error, options->error_size, "%s", "");
    }
}

static enum terrace_status read_value(struct terrace *terrace, uint8_t op, struct slice key,
                                      const struct terrace_read_options *options,
                                      struct terrace_value *value)
{
    empty_room(options);
    if (value == NULL) {
        return TERRACE_BAD_ARGUMENT;
    }
    *value = (struct terrace_value){.age_ms = -1, .ttl_ms = -2};
    if (terrace == NULL || !terrace_enter(terrace)) {
        return terrace == NULL ? TERRACE_BAD_ARGUMENT : TERRACE_CLOSED;
    }
    enum terrace_status status = face_near(terrace->near, key, options, value);
    if (status == TERRACE_MISS) {
        struct face face;
        struct errand errand = {.value = value,
                                .error = options != NULL ? options->error : NULL,
                                .error_size = options != NULL ? options->error_size : 0};
        status = run(terrace, &face, face_read(&face, op, key, options), &errand);
        status = opened(terrace, status, value);
        face_spare(terrace->near, key, options, &status, value);
    }
    terrace_leave(terrace);
    return status;
}

enum terrace_status terrace_get(struct terrace *terrace, const void *key, size_t key_size,
                                const struct terrace_read_options *options,
                                struct terrace_value *value)
{
    return read_value(terrace, NATIVE_GET, (struct slice){key, key_size}, options, value);
}

enum terrace_status terrace_fetch(struct terrace *terrace, const void *key, size_t key_size,
                                  const struct terrace_read_options *options,
                                  struct terrace_value *value)
{
    return read_value(terrace, NATIVE_FETCH, (struct slice){key, key_size}, options, value);
}

/* --- several keys ------------------------------------------------------------------------------------------------------------------ */

enum {
    PENDING_PAIR = -1 /* not a status: not answered yet */
};

/* Those that L0 does not have; how many. */
static size_t look_near(struct terrace *terrace, struct terrace_pair *pairs, size_t count,
                        const struct terrace_read_options *options, size_t *which)
{
    size_t left = 0;
    for (size_t i = 0; i < count; i++) {
        const struct slice key = {pairs[i].key, pairs[i].key_size};
        pairs[i].value = (struct terrace_value){.age_ms = -1, .ttl_ms = -2};
        pairs[i].status = face_near(terrace->near, key, options, &pairs[i].value);
        if (pairs[i].status == TERRACE_MISS) {
            pairs[i].status = (enum terrace_status)PENDING_PAIR;
            which[left++] = i;
        }
    }
    return left;
}

/* What was not answered ends as the whole did. */
static void settle_pairs(struct terrace *terrace, struct errand *errand, enum terrace_status whole,
                         enum terrace_reason reason, const struct terrace_read_options *options)
{
    for (size_t i = 0; i < errand->pair_count; i++) {
        struct terrace_pair *pair = &errand->pairs[errand->which[i]];
        if ((int)pair->status == PENDING_PAIR) {
            pair->status = whole;
            pair->value.reason = reason;
        }
        face_spare(terrace->near, (struct slice){pair->key, pair->key_size}, options, &pair->status,
                   &pair->value);
    }
}

static enum terrace_status ask_pairs(struct terrace *terrace, struct errand *errand,
                                     const struct terrace_read_options *options)
{
    struct face face;
    struct terrace_value facts = {0};
    errand->value = &facts;
    const enum terrace_status built =
        face_mget(&face, errand->pairs, errand->which, errand->pair_count, options);
    if (built == TERRACE_OK) {
        face.ask.on_part = on_part;
    }
    enum terrace_status whole = run(terrace, &face, built, errand);
    whole = opened(terrace, whole, &facts);
    settle_pairs(terrace, errand, whole, facts.reason, options);
    terrace_value_done(&facts);
    return whole == TERRACE_MISS ? TERRACE_OK : whole; /* a miss of all, with its reason */
}

static enum terrace_status refuse_pairs(struct terrace_pair *pairs, size_t count,
                                        enum terrace_status why)
{
    for (size_t i = 0; i < count; i++) {
        pairs[i].status = why;
        pairs[i].value = (struct terrace_value){.age_ms = -1, .ttl_ms = -2};
    }
    return why;
}

enum terrace_status terrace_mget(struct terrace *terrace, struct terrace_pair *pairs, size_t count,
                                 const struct terrace_read_options *options)
{
    empty_room(options);
    if (terrace == NULL || (pairs == NULL && count > 0) || count > UINT32_MAX / sizeof *pairs) {
        return TERRACE_BAD_ARGUMENT;
    }
    if (!terrace_enter(terrace)) {
        return refuse_pairs(pairs, count, TERRACE_CLOSED);
    }
    enum terrace_status status = TERRACE_OK;
    size_t *which = malloc((count + 1) * sizeof *which);
    if (which == NULL) {
        status = refuse_pairs(pairs, count, TERRACE_NO_MEMORY);
    } else {
        struct errand errand = {.pairs = pairs,
                                .which = which,
                                .error = options != NULL ? options->error : NULL,
                                .error_size = options != NULL ? options->error_size : 0};
        errand.pair_count = look_near(terrace, pairs, count, options, which);
        status = errand.pair_count > 0 ? ask_pairs(terrace, &errand, options) : TERRACE_OK;
    }
    free(which);
    terrace_leave(terrace);
    return status;
}

/* --- writes ------------------------------------------------------------------------------------------------------------------------ */

static enum terrace_status run_write(struct terrace *terrace, struct face *face,
                                     enum terrace_status built,
                                     const struct terrace_write_options *options, uint64_t *seq)
{
    struct errand errand = {.seq = seq,
                            .error = options != NULL ? options->error : NULL,
                            .error_size = options != NULL ? options->error_size : 0};
    error_say(errand.error, errand.error_size, "%s", "");
    if (terrace == NULL || !terrace_enter(terrace)) {
        if (built == TERRACE_OK) {
            face_done(face);
        }
        return terrace == NULL ? TERRACE_BAD_ARGUMENT : TERRACE_CLOSED;
    }
    const enum terrace_status status = run(terrace, face, built, &errand);
    terrace_leave(terrace);
    return status;
}

enum terrace_status terrace_set(struct terrace *terrace, const void *key, size_t key_size,
                                const void *data, size_t size,
                                const struct terrace_write_options *options, uint64_t *seq)
{
    struct face face;
    const enum terrace_status built =
        face_set(&face, (struct slice){key, key_size}, (struct slice){data, size}, options);
    return run_write(terrace, &face, built, options, seq);
}

enum terrace_status terrace_delete(struct terrace *terrace, const void *key, size_t key_size,
                                   const struct terrace_write_options *options)
{
    struct face face;
    const enum terrace_status built = face_delete(&face, (struct slice){key, key_size}, options);
    return run_write(terrace, &face, built, options, NULL);
}

enum terrace_status terrace_fill(struct terrace *terrace, const void *key, size_t key_size,
                                 const struct terrace_token *token, const void *data, size_t size,
                                 const struct terrace_write_options *options, uint64_t *seq)
{
    struct face face;
    const enum terrace_status built =
        face_fill(&face, (struct slice){key, key_size}, token, (struct slice){data, size}, options);
    return run_write(terrace, &face, built, options, seq);
}

enum terrace_status terrace_fail(struct terrace *terrace, const void *key, size_t key_size,
                                 const struct terrace_token *token, int64_t negative_ms)
{
    struct face face;
    const enum terrace_status built =
        face_fail(&face, (struct slice){key, key_size}, token, negative_ms);
    return run_write(terrace, &face, built, NULL, NULL);
}

/* --- those with a text of their own -------------------------------------------------------------------------------------------------- */

static enum terrace_status run_told(struct terrace *terrace, struct face *face,
                                    enum terrace_status built, struct errand *errand)
{
    error_say(errand->error, errand->error_size, "%s", "");
    if (terrace == NULL || !terrace_enter(terrace)) {
        if (built == TERRACE_OK) {
            face_done(face);
        }
        return terrace == NULL ? TERRACE_BAD_ARGUMENT : TERRACE_CLOSED;
    }
    const enum terrace_status status = run(terrace, face, built, errand);
    terrace_leave(terrace);
    return status;
}

enum terrace_status sync_told(struct terrace *terrace, struct face *face, enum terrace_status built,
                              const struct sync_told *where, char *error, size_t error_size)
{
    struct errand errand = {
        .value = where->body, .warm_id = where->warm_id, .error = error, .error_size = error_size};
    return run_told(terrace, face, built, &errand);
}

enum terrace_status terrace_ping(struct terrace *terrace, int64_t timeout_ms, char *error,
                                 size_t error_size)
{
    struct face face = {.ask = {.op = NATIVE_BEAT, .timeout_ms = timeout_ms}};
    struct errand errand = {.error = error, .error_size = error_size};
    return run_told(terrace, &face, timeout_ms < 0 ? TERRACE_BAD_ARGUMENT : TERRACE_OK, &errand);
}

enum terrace_status terrace_invalidate(struct terrace *terrace,
                                       const struct terrace_invalidation *what,
                                       struct terrace_invalidated *result, char *error,
                                       size_t error_size)
{
    struct face face;
    struct terrace_invalidated found = {0};
    struct errand errand = {
        .seq = &found.seq, .count = &found.dropped, .error = error, .error_size = error_size};
    const enum terrace_status status =
        run_told(terrace, &face, face_invalidate(&face, what), &errand);
    if (result != NULL) {
        *result = found;
    }
    return status;
}

enum terrace_status terrace_command(struct terrace *terrace, const void *const *words,
                                    const size_t *sizes, size_t count, int64_t timeout_ms,
                                    struct terrace_value *reply, char *error, size_t error_size)
{
    struct face face;
    struct terrace_value ignored = {0};
    struct errand errand = {
        .value = reply != NULL ? reply : &ignored, .error = error, .error_size = error_size};
    *errand.value = (struct terrace_value){0};
    const enum terrace_status status =
        run_told(terrace, &face, face_command(&face, words, sizes, count, timeout_ms), &errand);
    terrace_value_done(&ignored);
    return status;
}

/* --- looking inside -------------------------------------------------------------------------------------------------------------------- */

struct look {
    struct wait wait; /* first */
    struct terrace_counters *counters;
    struct terrace_endpoint_info *infos;
    struct terrace_health_event *events;
    size_t room, found;
    const char *region;
    bool is_region, force;
    enum terrace_status status;
};

static void begin_look(struct wait *wait, struct core *core)
{
    struct look *look = (struct look *)(void *)wait;
    look->status = core != NULL ? TERRACE_OK : TERRACE_CLOSED;
    if (core != NULL && look->counters != NULL) {
        core_counters(core, look->counters);
    } else if (core != NULL && look->is_region) {
        look->status = core_use_region(core, look->region, look->force);
    } else if (core != NULL && look->events != NULL) {
        look->found = core_history(core, look->events, look->room);
    } else if (core != NULL) {
        look->found = core_endpoints(core, look->infos, look->room);
    }
    wait_done(wait);
}

static void take_look(struct terrace *terrace, struct look *look)
{
    look->status = TERRACE_CLOSED;
    look->wait.begin = begin_look;
    if (terrace_enter(terrace)) {
        wait_for(terrace, &look->wait);
        terrace_leave(terrace);
    }
}

void terrace_counters(struct terrace *terrace, struct terrace_counters *ret)
{
    struct look look = {.counters = ret};
    *ret = (struct terrace_counters){0};
    take_look(terrace, &look);
}

size_t terrace_endpoints(struct terrace *terrace, struct terrace_endpoint_info *infos, size_t room)
{
    struct look look = {.infos = infos, .room = room};
    take_look(terrace, &look);
    return look.found;
}

size_t terrace_health_history(struct terrace *terrace, struct terrace_health_event *events,
                              size_t room)
{
    struct terrace_health_event none;
    struct look look = {.events = events != NULL ? events : &none,
                        .room = events != NULL ? room : 0};
    take_look(terrace, &look);
    return look.found;
}

enum terrace_status terrace_use_region(struct terrace *terrace, const char *region, int force)
{
    struct look look = {.is_region = true, .region = region, .force = force != 0};
    take_look(terrace, &look);
    return look.status;
}
