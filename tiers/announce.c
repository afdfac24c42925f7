/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/announce.h"

#include "protocol/frame.h"
#include "protocol/resp_read.h"
#include "protocol/resp_write.h"
#include "tiers/bus_reply.h"

#include <string.h>

/* --- asking -------------------------------------------------------------------------------------------------------- */

static enum status publish(struct buf *out, const struct frame *frame)
{
    struct buf bytes = {0};
    enum status status = frame_write(&bytes, frame);
    if (status == OK) {
        const struct slice words[] = {SLICE_LITERAL("PUBLISH"), SLICE_LITERAL(BUS_CHANNEL_FRAMES),
                                      buf_slice(&bytes)};
        status = resp_append_request(out, 3, words);
    }
    buf_done(&bytes);
    return status;
}

static enum status publish_flush(struct buf *out, struct frame *frame)
{
    char body[FRAME_FLUSH_BODY_MAX];
    const struct frame_flush flush = {.kind = FRAME_FLUSH_SUSPECT};
    frame->type = FRAME_FLUSH;
    frame->count = 1;
    frame->body = frame_flush_write(body, &flush);
    return publish(out, frame);
}

/* As many as one frame holds, from *at on. */
static enum status publish_keys(struct buf *out, struct frame *frame, const struct l1_key *keys,
                                size_t key_count, size_t *at)
{
    struct buf body = {0};
    enum status status = OK;
    frame->type = FRAME_KEYS;
    for (frame->count = 0; *at < key_count && status == OK; frame->count++) {
        status = frame_append_key(&body, keys[*at].db, keys[*at].bytes);
        if (status != OK) {
            break;
        }
        (*at)++;
    }
    if (status == TOO_BIG && frame->count > 0) {
        status = OK; /* the rest goes into the next */
    }
    frame->body = buf_slice(&body);
    if (status == OK) {
        status = publish(out, frame);
    }
    buf_done(&body);
    return status;
}

enum status announce_keys(struct buf *out, uint64_t node, const struct l1_key *keys,
                          size_t key_count, unsigned *ret_requests)
{
    struct frame frame = {.node = node};
    enum status status = OK;
    size_t at = 0;
    *ret_requests = 0;
    do {
        status = publish_keys(out, &frame, keys, key_count, &at);
        ++*ret_requests;
    } while (status == OK && at < key_count);
    return status;
}

enum status announce_write(struct buf *out, const struct announce *announce, unsigned *ret_parts)
{
    static const struct slice multi[] = {SLICE_LITERAL("MULTI")};
    static const struct slice guard[] = {SLICE_LITERAL("WAIT"), SLICE_LITERAL("2147483647"),
                                         SLICE_LITERAL("0")};
    static const struct slice exec[] = {SLICE_LITERAL("EXEC")};
    struct frame frame = {.node = announce->node};
    enum status status = resp_append_request(out, 1, multi);
    if (status == OK) {
        status = resp_append_request(out, 3, guard);
    }
    *ret_parts = 2 + announce->command_count;
    size_t at = 0;
    while (!announce->silent && at < announce->key_count && status == OK) {
        status = publish_keys(out, &frame, announce->keys, announce->key_count, &at);
        ++*ret_parts;
    }
    if (!announce->silent && announce->key_count == 0 && status == OK) {
        status = publish_flush(out, &frame);
        ++*ret_parts;
    }
    if (status == OK) {
        status = buf_append_slice(out, announce->commands);
    }
    return status == OK ? resp_append_request(out, 1, exec) : status;
}

bool announce_is_open(struct slice first_reply)
{
    return first_reply.data[0] != REPLY_ERROR;
}

/* --- what is answered ---------------------------------------------------------------------------------------------- */

void announce_take(struct announce_refusal *refusal, struct slice reply)
{
    if (reply.data[0] != REPLY_ERROR || refusal->size > 0) {
        return;
    }
    size_t size = reply.size;
    if (size > sizeof refusal->text) { /* Redis' own are shorter */
        size = sizeof refusal->text - 2;
    }
    memcpy(refusal->text, reply.data, size);
    if (size < reply.size) {
        memcpy(refusal->text + size, "\r\n", 2);
        size += 2;
    }
    refusal->size = (unsigned)size;
}

enum status announce_reply(const struct announce_refusal *refusal, struct slice reply,
                           struct slice *ret_own)
{
    struct reply_cursor cursor = {reply};
    struct reply_element element;
    if (refusal->size > 0) {
        *ret_own = (struct slice){.data = refusal->text, .size = refusal->size};
        return OK;
    }
    if (reply_next(&cursor, &element) != OK) {
        return MALFORMED;
    }
    if (element.type == REPLY_ERROR) {
        *ret_own = reply;
        return OK;
    }
    if (element.type != REPLY_ARRAY || element.number < 2) {
        return MALFORMED;
    }
    for (int64_t i = 0; i < element.number - 1; i++) { /* of WAIT; PUBLISH says how many heard it */
        if (reply_skip(&cursor) != OK) {
            return MALFORMED;
        }
    }
    *ret_own = cursor.rest;
    return OK;
}

enum status announce_replies(const struct announce_refusal *refusal, unsigned command_count,
                             struct slice reply, struct slice *ret_own, unsigned *ret_frames)
{
    struct reply_cursor cursor = {reply};
    struct reply_element element;
    *ret_frames = 0;
    if (reply_next(&cursor, &element) != OK) {
        return MALFORMED;
    }
    *ret_own = reply;
    if (element.type == REPLY_ERROR) {
        const bool is_abort = slice_begins(element.text, "EXECABORT ");
        if (!is_abort && refusal->size > 0) { /* MULTI itself was refused */
            *ret_own = (struct slice){.data = refusal->text, .size = refusal->size};
        }
        return OK;
    }
    if (element.type == REPLY_NULL) {
        return OK; /* a watched key has changed */
    }
    if (element.type != REPLY_ARRAY || element.number < (int64_t)command_count) {
        return MALFORMED;
    }
    *ret_frames = (unsigned)element.number - command_count;
    return OK;
}
