/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/bus_reply.h"

#include "protocol/check.h"

#include <hiredis/hiredis.h>

void bus_reader_done(struct bus_reader *reader)
{
    if (reader->hiredis != NULL) {
        redisReaderFree(reader->hiredis);
        reader->hiredis = NULL;
    }
}

static struct slice text_of(const redisReply *reply)
{
    return (struct slice){.data = reply->str, .size = reply->len};
}

static bool says(const redisReply *reply, const char *text)
{
    return reply->type == REDIS_REPLY_STRING && slice_is(text_of(reply), text);
}

/* What came on the channel of announcements. */
static void read_announcement(const redisReply *payload, struct bus_message *message)
{
    message->kind = BUS_FORGED;
    if (payload->type == REDIS_REPLY_NIL) {
        message->kind = BUS_FLUSHED;
        return;
    }
    if (payload->type != REDIS_REPLY_ARRAY) {
        return;
    }
    for (size_t i = 0; i < payload->elements; i++) {
        if (payload->element[i]->type != REDIS_REPLY_STRING) {
            return;
        }
    }
    message->kind = BUS_KEYS;
    message->key_count = payload->elements;
}

static void read_array(const redisReply *array, struct bus_message *message)
{
    redisReply *const *element = array->element;
    if (array->elements == 2 && says(element[0], "pong") &&
        element[1]->type == REDIS_REPLY_STRING) {
        message->kind = BUS_PONG;
        message->text = text_of(element[1]);
        return;
    }
    if (array->elements != 3) {
        return;
    }
    if (says(element[0], "message") && says(element[1], BUS_CHANNEL_KEYS)) {
        read_announcement(element[2], message);
    } else if (says(element[0], "message") && says(element[1], BUS_CHANNEL_FRAMES) &&
               element[2]->type == REDIS_REPLY_STRING) {
        message->kind = BUS_FRAME;
        message->text = text_of(element[2]);
    } else if (says(element[0], "subscribe") && element[2]->type == REDIS_REPLY_INTEGER) {
        message->kind = says(element[1], BUS_CHANNEL_KEYS)     ? BUS_SUBSCRIBED_KEYS
                        : says(element[1], BUS_CHANNEL_FRAMES) ? BUS_SUBSCRIBED_FRAMES
                                                               : BUS_STRANGE;
    }
}

/* One reply by hiredis; NULL if it is none, or not exactly one. A reader that failed stays failed, so it goes. */
static redisReply *parse(struct bus_reader *reader, struct slice bytes)
{
    if (reader->hiredis == NULL) {
        reader->hiredis = redisReaderCreate();
    }
    redisReader *hiredis = reader->hiredis;
    void *reply = NULL;
    if (hiredis != NULL && bytes.size > 0 &&
        redisReaderFeed(hiredis, bytes.data, bytes.size) == REDIS_OK &&
        redisReaderGetReply(hiredis, &reply) == REDIS_OK && reply != NULL &&
        hiredis->pos == hiredis->len) {
        return reply;
    }
    if (reply != NULL) {
        freeReplyObject(reply);
    }
    bus_reader_done(reader);
    return NULL;
}

void bus_read(struct bus_reader *reader, struct slice reply, struct bus_message *ret_message)
{
    *ret_message = (struct bus_message){.kind = BUS_STRANGE};
    const redisReply *parsed = parse(reader, reply);
    if (parsed == NULL) {
        return;
    }
    ret_message->parsed = (void *)parsed;
    if (parsed->type == REDIS_REPLY_ARRAY) {
        read_array(parsed, ret_message);
    } else if (parsed->type == REDIS_REPLY_ERROR) {
        ret_message->kind = BUS_ERROR;
        ret_message->text = text_of(parsed);
    } else if (parsed->type == REDIS_REPLY_STATUS) {
        ret_message->kind = BUS_OK;
    }
}

struct slice bus_message_key(const struct bus_message *message, size_t i)
{
    CHECK(message->kind == BUS_KEYS && i < message->key_count);
    const redisReply *array = message->parsed;
    return text_of(array->element[2]->element[i]);
}

void bus_message_done(struct bus_message *message)
{
    if (message->parsed != NULL) {
        freeReplyObject(message->parsed);
    }
    *message = (struct bus_message){.kind = BUS_STRANGE};
}
