/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/face.h"

#include "protocol/envelope.h"
#include "protocol/limits.h"
#include "protocol/version.h"

#include <stdlib.h>
#include <string.h>

enum {
    IS_MEMORY = 0, /* what private_[1] says of private_[0] */
    IS_NEAR = 1
};

const char *terrace_version(void)
{
    return TERRACE_VERSION;
}

const char *terrace_status_name(enum terrace_status status)
{
    static const char *const names[] = {
        [TERRACE_OK] = "OK",
        [TERRACE_MISS] = "MISS",
        [TERRACE_STALE] = "STALE",
        [TERRACE_NEGATIVE] = "NEGATIVE",
        [TERRACE_LOAD] = "LOAD",
        [TERRACE_LOST] = "LOST",
        [TERRACE_UNMET] = "UNMET",
        [TERRACE_UNKNOWN] = "UNKNOWN",
        [TERRACE_DEADLINE] = "DEADLINE",
        [TERRACE_UNREACHABLE] = "UNREACHABLE",
        [TERRACE_BUSY] = "BUSY",
        [TERRACE_DENIED] = "DENIED",
        [TERRACE_REFUSED] = "REFUSED",
        [TERRACE_BAD_ARGUMENT] = "BAD_ARGUMENT",
        [TERRACE_NO_MEMORY] = "NO_MEMORY",
        [TERRACE_CLOSED] = "CLOSED",
    };
    return (size_t)status < sizeof names / sizeof names[0] ? names[status] : "?";
}

const char *terrace_reason_name(enum terrace_reason reason)
{
    static const char *const names[] = {
        [TERRACE_REASON_NONE] = "NONE",
        [TERRACE_REASON_ABSENT] = "ABSENT",
        [TERRACE_REASON_UNREACHABLE] = "UNREACHABLE",
        [TERRACE_REASON_DEADLINE] = "DEADLINE",
        [TERRACE_REASON_CONTRACT] = "CONTRACT",
        [TERRACE_REASON_BUSY] = "BUSY",
        [TERRACE_REASON_REFUSED] = "REFUSED",
    };
    return (size_t)reason < sizeof names / sizeof names[0] ? names[reason] : "?";
}

/* --- what is asked -------------------------------------------------------------------------------------------------------- */

static struct slice optional(const char *text)
{
    return text != NULL ? slice_of(text) : (struct slice){0};
}

/* What the protocol counts is not negative. */
static uint64_t at_least_0(int64_t number)
{
    return number > 0 ? (uint64_t)number : 0;
}

static void begin(struct face *face, uint8_t op)
{
    *face = (struct face){.ask = {.op = op}};
    face->ask.meta = &face->meta;
}

static void set_key(struct face *face, struct slice key)
{
    face->key = key;
    face->ask.keys = &face->key;
    face->ask.key_count = 1;
}

static bool is_bytes(struct slice bytes)
{
    return bytes.data != NULL || bytes.size == 0;
}

static bool is_key(struct slice key)
{
    return is_bytes(key) && key.size <= LIMIT_NATIVE_KEYS;
}

static enum terrace_status set_read(struct face *face, const struct terrace_read_options *options)
{
    if (options == NULL) {
        face->ask.is_near = true;
        return TERRACE_OK;
    }
    if (options->contract < TERRACE_CONTRACT_NAMESPACE ||
        options->contract > TERRACE_CONTRACT_ANY || options->timeout_ms < 0 ||
        options->soft_ms < 0 || options->soft_ms > UINT32_MAX || options->hedge_ms < -1) {
        return TERRACE_BAD_ARGUMENT;
    }
    face->meta.traceparent = optional(options->traceparent);
    face->meta.contract = (uint32_t)options->contract;
    face->meta.max_stale_ms =
        options->contract == TERRACE_CONTRACT_MAXSTALE ? at_least_0(options->max_stale_ms) : 0;
    face->meta.atleast_seq = options->atleast_seq;
    face->meta.soft_ms = (uint32_t)options->soft_ms;
    face->ask.timeout_ms = options->timeout_ms;
    face->ask.hedge_ms = options->hedge_ms;
    face->ask.affinity = options->affinity;
    face->ask.is_near = !options->no_near;
    return TERRACE_OK;
}

enum terrace_status face_read(struct face *face, uint8_t op, struct slice key,
                              const struct terrace_read_options *options)
{
    begin(face, op);
    set_key(face, key);
    const enum terrace_status status = is_key(key) ? set_read(face, options) : TERRACE_BAD_ARGUMENT;
    if (op == NATIVE_FETCH) {
        face->ask.hedge_ms = -1; /* two loads would be won, and one lost */
    }
    return status;
}

enum terrace_status face_mget(struct face *face, const struct terrace_pair *pairs,
                              const size_t *which, size_t count,
                              const struct terrace_read_options *options)
{
    begin(face, NATIVE_MGET);
    const enum terrace_status status = set_read(face, options);
    if (status != TERRACE_OK) {
        return status;
    }
    face->words = calloc(count > 0 ? count : 1, sizeof *face->words);
    if (face->words == NULL) {
        return TERRACE_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        const struct terrace_pair *pair = &pairs[which[i]];
        face->words[i] = (struct slice){pair->key, pair->key_size};
        if (!is_key(face->words[i])) {
            face_done(face);
            return TERRACE_BAD_ARGUMENT;
        }
    }
    face->ask.keys = face->words;
    face->ask.key_count = count;
    return TERRACE_OK;
}

static enum terrace_status set_tags(struct face *face, const struct terrace_write_options *options)
{
    if (options->tag_count == 0) {
        return TERRACE_OK;
    }
    if (options->tags == NULL || options->tag_count > ENVELOPE_TAGS_MAX) {
        return TERRACE_BAD_ARGUMENT;
    }
    face->tag_words = calloc(options->tag_count, sizeof *face->tag_words);
    if (face->tag_words == NULL) {
        return TERRACE_NO_MEMORY;
    }
    for (size_t i = 0; i < options->tag_count; i++) {
        face->tag_words[i] = optional(options->tags[i]);
    }
    face->meta.tags = face->tag_words;
    face->meta.tag_count = options->tag_count;
    return TERRACE_OK;
}

static enum terrace_status set_write(struct face *face, const struct terrace_write_options *options)
{
    face->ask.is_write = true;
    if (options == NULL) {
        return TERRACE_OK;
    }
    if (options->timeout_ms < 0 || options->ttl_ms < 0 || options->swr_ms < -1 ||
        options->sie_ms < -1 || options->condition < 0 || options->condition > 2) {
        return TERRACE_BAD_ARGUMENT;
    }
    face->meta.traceparent = optional(options->traceparent);
    face->meta.px_ms = at_least_0(options->ttl_ms);
    face->meta.has_swr = options->swr_ms != 0;
    face->meta.swr_ms = at_least_0(options->swr_ms);
    face->meta.has_sie = options->sie_ms != 0;
    face->meta.sie_ms = at_least_0(options->sie_ms);
    face->meta.condition = (uint32_t)options->condition;
    face->meta.want_seq = options->want_seq != 0;
    face->ask.retry_unknown = options->retry_unknown != 0;
    face->ask.timeout_ms = options->timeout_ms;
    face->ask.affinity = options->affinity;
    return set_tags(face, options);
}

enum terrace_status face_set(struct face *face, struct slice key, struct slice body,
                             const struct terrace_write_options *options)
{
    begin(face, NATIVE_SET);
    set_key(face, key);
    face->ask.body = body;
    return is_key(key) && is_bytes(body) ? set_write(face, options) : TERRACE_BAD_ARGUMENT;
}

enum terrace_status face_delete(struct face *face, struct slice key,
                                const struct terrace_write_options *options)
{
    begin(face, NATIVE_DELETE);
    set_key(face, key);
    if (!is_key(key)) {
        return TERRACE_BAD_ARGUMENT;
    }
    const enum terrace_status status = set_write(face, options);
    face->ask.meta = &face->meta;
    return status;
}

static bool set_token(struct face *face, const struct terrace_token *token)
{
    if (token == NULL || token->size == 0 || token->size > sizeof token->bytes) {
        return false;
    }
    face->meta.token = (struct slice){token->bytes, token->size};
    face->ask.at = token->private_;
    return true;
}

enum terrace_status face_fill(struct face *face, struct slice key,
                              const struct terrace_token *token, struct slice body,
                              const struct terrace_write_options *options)
{
    begin(face, NATIVE_FILL);
    set_key(face, key);
    face->ask.body = body;
    if (!is_key(key) || !is_bytes(body) || !set_token(face, token)) {
        return TERRACE_BAD_ARGUMENT;
    }
    return set_write(face, options);
}

enum terrace_status face_fail(struct face *face, struct slice key,
                              const struct terrace_token *token, int64_t negative_ms)
{
    begin(face, NATIVE_FAIL);
    set_key(face, key);
    if (!is_key(key) || negative_ms < 0 || !set_token(face, token)) {
        return TERRACE_BAD_ARGUMENT;
    }
    face->meta.negative_ms = (uint64_t)negative_ms;
    return set_write(face, NULL);
}

static enum terrace_status set_words(struct face *face, const void *const *words,
                                     const size_t *sizes, size_t count)
{
    if (count > 0 && words == NULL) {
        return TERRACE_BAD_ARGUMENT;
    }
    face->words = calloc(count > 0 ? count : 1, sizeof *face->words);
    if (face->words == NULL) {
        return TERRACE_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        face->words[i] = (struct slice){words[i], sizes != NULL      ? sizes[i]
                                                  : words[i] != NULL ? strlen(words[i])
                                                                     : 1};
        if (!is_key(face->words[i])) {
            face_done(face);
            return TERRACE_BAD_ARGUMENT;
        }
    }
    face->ask.keys = face->words;
    face->ask.key_count = count;
    return TERRACE_OK;
}

enum terrace_status face_invalidate(struct face *face, const struct terrace_invalidation *what)
{
    begin(face, NATIVE_INVALIDATE);
    if (what == NULL || what->target < TERRACE_KEY || what->target > TERRACE_ALL ||
        what->sync_ms < 0 || what->timeout_ms < 0 ||
        (what->count == 0) != (what->target == TERRACE_ALL)) {
        return TERRACE_BAD_ARGUMENT;
    }
    face->meta.target = (uint32_t)what->target;
    face->meta.match_all = what->match_all != 0;
    face->meta.soft = what->soft != 0;
    face->meta.dry_run = what->dry_run != 0;
    face->meta.sync_ms = (uint64_t)what->sync_ms;
    face->meta.ns = optional(what->ns);
    face->ask.timeout_ms = what->timeout_ms;
    face->ask.is_write = true;
    face->ask.drops_all = what->target != TERRACE_KEY;
    return set_words(face, (const void *const *)what->words, what->word_sizes, what->count);
}

enum terrace_status face_command(struct face *face, const void *const *words, const size_t *sizes,
                                 size_t count, int64_t timeout_ms)
{
    begin(face, NATIVE_CALL);
    if (count == 0 || timeout_ms < 0) {
        return TERRACE_BAD_ARGUMENT;
    }
    face->ask.timeout_ms = timeout_ms;
    face->ask.is_write = true; /* who knows */
    return set_words(face, words, sizes, count);
}

void face_done(struct face *face)
{
    free(face->words);
    free(face->tag_words);
    buf_done(&face->text);
    face->words = face->tag_words = NULL;
}

/* --- values ----------------------------------------------------------------------------------------------------------------- */

void terrace_value_done(struct terrace_value *value)
{
    if (value == NULL) {
        return;
    }
    if (value->private_[0] != NULL && (uintptr_t)value->private_[1] == IS_NEAR) {
        near_value_done(&(struct near_value){.item = value->private_[0]});
    } else {
        free(value->private_[0]);
    }
    *value = (struct terrace_value){0};
}

void value_take(struct terrace_value *value, void *memory, const void *data, size_t size)
{
    value->private_[0] = memory;
    value->private_[1] = (void *)(uintptr_t)IS_MEMORY;
    value->data = data;
    value->size = size;
}

static void note_facts(const struct outcome *outcome, struct terrace_value *value)
{
    const struct native_reply *reply = outcome->reply;
    *value = (struct terrace_value){.age_ms = -1, .ttl_ms = -2, .reason = outcome->reason};
    if (reply == NULL) {
        return;
    }
    value->age_ms = outcome->body.data != NULL ? reply->age_ms : -1;
    value->ttl_ms = reply->ttl_ms;
    if (outcome->status == TERRACE_LOAD && reply->token.size <= sizeof value->token.bytes) {
        memcpy(value->token.bytes, reply->token.data, reply->token.size);
        value->token.size = reply->token.size;
        value->token.private_ = outcome->at;
    }
}

enum terrace_status face_value(struct outcome *outcome, struct terrace_value *value, bool borrow)
{
    note_facts(outcome, value);
    if (outcome->body.data == NULL) {
        return outcome->status;
    }
    if (borrow) {
        value->data = outcome->body.data;
        value->size = outcome->body.size;
    } else if (outcome->taken != NULL) {
        value_take(value, outcome->taken, outcome->body.data, outcome->body.size);
        outcome->taken = NULL;
    } else {
        char *copy = malloc(outcome->body.size > 0 ? outcome->body.size : 1);
        if (copy == NULL) {
            return TERRACE_NO_MEMORY;
        }
        memcpy(copy, outcome->body.data, outcome->body.size);
        value_take(value, copy, copy, outcome->body.size);
    }
    return outcome->status;
}

/* --- L0 --------------------------------------------------------------------------------------------------------------------- */

static void hand_out(struct near_value *from, struct terrace_value *to)
{
    *to = (struct terrace_value){.data = from->bytes.data,
                                 .size = from->bytes.size,
                                 .age_ms = from->age_ms,
                                 .ttl_ms = from->ttl_ms,
                                 .from_near = 1,
                                 .private_ = {from->item, (void *)(uintptr_t)IS_NEAR}};
}

enum terrace_status face_near(struct near *near, struct slice key,
                              const struct terrace_read_options *options,
                              struct terrace_value *value)
{
    struct near_value found = {0};
    int64_t max_age_ms = INT64_MAX;
    if (near == NULL || !is_key(key)) {
        return TERRACE_MISS;
    }
    if (options != NULL) {
        if (options->no_near || options->atleast_seq != 0 ||
            options->contract == TERRACE_CONTRACT_FRESH) {
            return TERRACE_MISS;
        }
        max_age_ms =
            options->contract == TERRACE_CONTRACT_MAXSTALE ? options->max_stale_ms : INT64_MAX;
    }
    if (near_get(near, key, clock_ms(), max_age_ms, 0, &found) != OK) {
        return TERRACE_MISS;
    }
    hand_out(&found, value);
    return TERRACE_OK;
}

void face_spare(struct near *near, struct slice key, const struct terrace_read_options *options,
                enum terrace_status *status, struct terrace_value *value)
{
    struct near_value found = {0};
    const bool asked_in_vain = *status == TERRACE_MISS && value->reason != TERRACE_REASON_ABSENT &&
                               value->reason != TERRACE_REASON_NONE;
    if (near == NULL || options == NULL || options->spare_ms <= 0 || options->no_near ||
        (!asked_in_vain && *status != TERRACE_UNREACHABLE && *status != TERRACE_DEADLINE &&
         *status != TERRACE_BUSY)) {
        return;
    }
    const enum status got =
        near_get(near, key, clock_ms(), options->spare_ms, options->spare_ms, &found);
    if (got == OK || got == STALE) {
        const enum terrace_reason reason = value->reason;
        terrace_value_done(value);
        hand_out(&found, value);
        value->reason = reason;
        *status = TERRACE_STALE;
    }
}
