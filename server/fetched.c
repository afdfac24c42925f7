/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/fetched.h"

#include "protocol/limits.h"
#include "protocol/native_frame.h"
#include "protocol/native_read.h"
#include "server/native_ticket.h"

enum {
    FIELDS = 5,
    NEAR_MOST_MS = 3600 * 1000
};

/* --- RESP ------------------------------------------------------------------------------------------------------------- */

static const char *state_name(enum fetched_state state)
{
    switch (state) {
    case FETCHED_HIT: return "HIT";
    case FETCHED_STALE: return "STALE";
    case FETCHED_NEGATIVE: return "NEG";
    case FETCHED_LOAD: return "LOAD";
    case FETCHED_MISS: break;
    }
    return "MISS";
}

static void reply_five(struct reply *reply, const struct fetched *fetched)
{
    reply_array(reply, FIELDS);
    reply_bulk_text(reply, state_name(fetched->state));
    if (!fetched->has_value) {
        reply_null(reply);
    } else if (fetched->item != NULL) {
        reply_item_part(reply, fetched->item, fetched->bytes);
    } else {
        reply_bulk(reply, fetched->bytes);
    }
    reply_integer(reply, fetched->age_ms);
    reply_integer(reply, fetched->ttl_ms);
    if (fetched->token.size > 0) {
        reply_bulk(reply, fetched->token);
    } else {
        reply_null(reply);
    }
}

/* --- native ----------------------------------------------------------------------------------------------------------- */

/* How long a copy may be served behind its proof: native.h, NEAR. */
static uint64_t near_ms(const struct fetched *fetched)
{
    if (fetched->state != FETCHED_HIT || !fetched->is_sound) {
        return 0;
    }
    const struct namespace_mode mode = namespace_mode(fetched->ns);
    switch (mode.kind) {
    case NAMESPACE_STRICT: return 0;
    case NAMESPACE_BOUNDED:
    case NAMESPACE_AVAILABLE: return (uint64_t)mode.bound_ms;
    case NAMESPACE_TTL: break;
    }
    return fetched->ttl_ms < 0 || fetched->ttl_ms > NEAR_MOST_MS ? NEAR_MOST_MS
                                                                 : (uint64_t)fetched->ttl_ms;
}

static enum native_status status_of(const struct fetched *fetched)
{
    switch (fetched->state) {
    case FETCHED_HIT:
    case FETCHED_STALE: return fetched->has_value ? NATIVE_OK : NATIVE_NIL;
    case FETCHED_LOAD: return NATIVE_LOAD;
    case FETCHED_NEGATIVE:
    case FETCHED_MISS: break;
    }
    return NATIVE_NIL;
}

static uint32_t native_state(const struct fetched *fetched)
{
    switch (fetched->state) {
    case FETCHED_HIT: return NATIVE_STATE_HIT;
    case FETCHED_STALE: return NATIVE_STATE_STALE;
    case FETCHED_NEGATIVE: return NATIVE_STATE_NEGATIVE;
    case FETCHED_LOAD: return fetched->has_value ? NATIVE_STATE_STALE : NATIVE_STATE_NONE;
    case FETCHED_MISS: break;
    }
    return NATIVE_STATE_NONE;
}

static void reply_frame(struct reply *reply, const struct fetched *fetched)
{
    const struct native_ticket *ticket = reply->native;
    const struct native_reply said = {
        .state = native_state(fetched),
        .age_ms = fetched->age_ms,
        .ttl_ms = fetched->ttl_ms,
        .token = fetched->token,
        .near_ms = near_ms(fetched),
        .index = ticket->index,
    };
    const struct slice body = fetched->has_value ? fetched->bytes : (struct slice){0};
    const bool is_copied = fetched->item == NULL || body.size <= LIMIT_COPY;
    const size_t most = NATIVE_HEADER_SIZE + NATIVE_READ_META_MAX + (is_copied ? body.size : 0);
    char *head = out_room(
        &reply->out, most <= OUT_CHUNK_SIZE ? most : NATIVE_HEADER_SIZE + NATIVE_READ_META_MAX);
    if (head == NULL) {
        return;
    }
    const size_t meta = native_read_meta(&said, head + NATIVE_HEADER_SIZE);
    native_header_write(head, &(struct native_header){.version = NATIVE_VERSION,
                                                      .op = ticket->op,
                                                      .flags = NATIVE_ANSWER,
                                                      .id = ticket->id,
                                                      .meta_size = (uint32_t)meta,
                                                      .body_size = (uint32_t)body.size,
                                                      .word = (uint32_t)status_of(fetched)});
    out_commit(&reply->out, NATIVE_HEADER_SIZE + meta);
    if (is_copied) {
        out_append(&reply->out, body.data, body.size);
    } else {
        out_attach(&reply->out, fetched->item, body);
    }
}

void reply_fetched(struct reply *reply, const struct fetched *fetched)
{
    if (reply->native != NULL && reply->native->op != NATIVE_CALL) {
        reply_frame(reply, fetched);
    } else {
        reply_five(reply, fetched);
    }
}
