/* SPDX-License-Identifier: BSD-3-Clause */
/* request_answer.c -- what an answer means, to the application and to L0. */
#include "client/request_inner.h"

#include <string.h>

static bool is_read(const struct request *request)
{
    return request->op == NATIVE_GET || request->op == NATIVE_FETCH || request->op == NATIVE_MGET;
}

/* A write has no value. */
static bool has_body(const struct request *request)
{
    return is_read(request) || request->op == NATIVE_CALL || request->op == NATIVE_WARM ||
           request->op == NATIVE_HOT;
}

/* --- statuses ----------------------------------------------------------------------------------------------------------- */

static enum terrace_status judge_ok(const struct request *request, const struct native_reply *reply)
{
    if (is_read(request)) {
        return reply->state == NATIVE_STATE_STALE      ? TERRACE_STALE
               : reply->state == NATIVE_STATE_NEGATIVE ? TERRACE_NEGATIVE
                                                       : TERRACE_OK;
    }
    return request->op == NATIVE_DELETE && reply->count == 0 ? TERRACE_MISS : TERRACE_OK;
}

static enum terrace_status judge_nil(const struct request *request,
                                     const struct native_reply *reply)
{
    if (request->op == NATIVE_SET) {
        return TERRACE_UNMET;
    }
    return reply->state == NATIVE_STATE_NEGATIVE ? TERRACE_NEGATIVE : TERRACE_MISS;
}

static enum terrace_status judge_status(const struct request *request,
                                        const struct conn_answer *answer)
{
    switch ((enum native_status)answer->header->word) {
    case NATIVE_OK: return judge_ok(request, answer->reply);
    case NATIVE_NIL: return judge_nil(request, answer->reply);
    case NATIVE_LOAD: return TERRACE_LOAD;
    /* Of an invalidation: done here, but not proved everywhere within `sync_ms`. */
    case NATIVE_STALE: return request->is_write ? TERRACE_UNKNOWN : TERRACE_MISS;
    case NATIVE_L2DOWN: return TERRACE_UNREACHABLE;
    case NATIVE_UNKNOWN: return TERRACE_UNKNOWN;
    case NATIVE_LOST: return TERRACE_LOST;
    case NATIVE_BUSY: return TERRACE_BUSY;
    case NATIVE_NOAUTH:
    case NATIVE_NOPERM: return TERRACE_DENIED;
    case NATIVE_DEADLINE: return TERRACE_DEADLINE;
    case NATIVE_WRONGTYPE:
    case NATIVE_BAD:
    case NATIVE_ERROR: break;
    }
    return TERRACE_REFUSED;
}

static enum terrace_reason reason_of(const struct request *request,
                                     const struct conn_answer *answer, enum terrace_status status)
{
    if (status != TERRACE_MISS || !is_read(request)) {
        return TERRACE_REASON_NONE;
    }
    return answer->header->word == NATIVE_STALE ? TERRACE_REASON_CONTRACT : TERRACE_REASON_ABSENT;
}

void request_judge(const struct request *request, const struct conn_answer *answer,
                   struct outcome *ret, bool *ret_is_retriable)
{
    const enum native_status word = answer->header->word;
    const enum terrace_status status =
        answer->has_no_memory ? TERRACE_NO_MEMORY : judge_status(request, answer);
    const bool is_text = word != NATIVE_OK && word != NATIVE_NIL && word != NATIVE_LOAD;
    *ret = (struct outcome){.status = status,
                            .reason = reason_of(request, answer, status),
                            .reply = answer->reply,
                            .taken = answer->taken};
    if (!is_text && has_body(request)) {
        const bool has_value = word == NATIVE_OK || answer->reply->state == NATIVE_STATE_STALE;
        ret->body = has_value ? answer->body : (struct slice){0};
    }
    *ret_is_retriable = word == NATIVE_BUSY || (word == NATIVE_UNKNOWN && request->retry_unknown);
}

void request_open(const struct request *request, struct outcome *outcome)
{
    if (!is_read(request) || request->core->options->fail != 0) {
        return;
    }
    switch (outcome->status) {
    case TERRACE_UNREACHABLE: outcome->reason = TERRACE_REASON_UNREACHABLE; break;
    case TERRACE_DEADLINE: outcome->reason = TERRACE_REASON_DEADLINE; break;
    case TERRACE_BUSY: outcome->reason = TERRACE_REASON_BUSY; break;
    case TERRACE_REFUSED: outcome->reason = TERRACE_REASON_REFUSED; break;
    case TERRACE_OK:
    case TERRACE_MISS:
    case TERRACE_STALE:
    case TERRACE_NEGATIVE:
    case TERRACE_LOAD:
    case TERRACE_LOST:
    case TERRACE_UNMET:
    case TERRACE_UNKNOWN:
    case TERRACE_DENIED:
    case TERRACE_BAD_ARGUMENT:
    case TERRACE_NO_MEMORY:
    case TERRACE_CLOSED: return;
    }
    outcome->status = TERRACE_MISS;
}

/* --- L0 ------------------------------------------------------------------------------------------------------------------- */

struct key_walk {
    struct slice rest;
    size_t at;
};

static bool next_key(const struct request *request, struct key_walk *walk, struct slice *ret_key)
{
    if (request->key_sizes == NULL) {
        *ret_key = walk->rest;
        return walk->at++ < request->key_count;
    }
    return native_next_key(&walk->rest, request->key_sizes, request->key_count, &walk->at, ret_key);
}

static struct slice key_at(const struct request *request, size_t at)
{
    struct slice keys = request_keys(request);
    if (request->key_sizes == NULL) {
        return keys;
    }
    for (size_t i = 0; i < at; i++) {
        keys.data += request->key_sizes[i];
    }
    return (struct slice){keys.data, request->key_sizes[at]};
}

void request_near_begin(struct request *request, struct near_stream *stream, int64_t now_ms)
{
    struct key_walk walk = {.rest = request_keys(request)};
    struct slice key;
    for (size_t i = 0; next_key(request, &walk, &key); i++) {
        if (request->seen == NULL || !request->seen[i]) {
            near_begin(request->core->near, stream, key, now_ms, &request->tickets[i]);
        }
    }
}

void request_near_fail(struct request *request)
{
    struct key_walk walk = {.rest = request_keys(request)};
    struct slice key;
    for (size_t i = 0; next_key(request, &walk, &key); i++) {
        if (request->seen == NULL || !request->seen[i]) {
            near_fail(request->core->near, key, &request->tickets[i]);
        }
    }
}

/* What is asked past L0, or of a second node, may be newer than what stands, and nobody shall go back: it lands without a
 * ticket, and the one that was taken for the first node ends. */
static struct near_ticket ticket_for(struct request *request, size_t at, struct slice key,
                                     bool has_ticket)
{
    if (has_ticket) {
        return request->tickets[at];
    }
    if (request->tickets != NULL) {
        near_fail(request->core->near, key, &request->tickets[at]);
        request->tickets[at] = (struct near_ticket){0};
    }
    return (struct near_ticket){0};
}

void request_near_land(struct request *request, size_t at, bool has_ticket,
                       const struct outcome *outcome, int64_t now_ms)
{
    struct near *near = request->core->near;
    if (near == NULL || !is_read(request)) {
        return;
    }
    const struct slice key = key_at(request, at);
    const struct native_reply *reply = outcome->reply;
    const struct near_ticket ticket = ticket_for(request, at, key, has_ticket);
    if ((outcome->status == TERRACE_OK || outcome->status == TERRACE_STALE) &&
        outcome->body.data != NULL) {
        const struct near_answer answer = {.value = outcome->body,
                                           .ttl_ms = reply->ttl_ms,
                                           .age_ms = reply->age_ms,
                                           .near_ms =
                                               outcome->status == TERRACE_OK ? reply->near_ms : 0};
        near_land(near, key, &ticket, &answer, now_ms);
    } else if ((outcome->status == TERRACE_MISS && outcome->reason == TERRACE_REASON_ABSENT) ||
               outcome->status == TERRACE_NEGATIVE || outcome->status == TERRACE_LOAD) {
        near_land_nothing(near, key);
    } else {
        near_fail(near, key, &ticket);
    }
}

void request_near_write(struct request *request)
{
    struct key_walk walk = {.rest = request_keys(request)};
    struct slice key;
    if (request->core->near == NULL || !request->is_write) {
        return;
    }
    if (request->drops_all) {
        near_drop_all(request->core->near);
        return;
    }
    while (next_key(request, &walk, &key)) { /* of a CALL, every word may be a key */
        near_drop(request->core->near, key);
    }
}
