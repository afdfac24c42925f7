/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/bus_reply.h"

static bool says(const struct reply_element *element, const char *text)
{
    return element->type == REPLY_BULK && slice_is(element->text, text);
}

/* What came on the channel of announcements: a list of strings, to which `cursor` points. */
static void read_announcement(const struct reply_element *payload, struct reply_cursor *cursor,
                              struct bus_message *message)
{
    message->kind = BUS_FORGED;
    if (payload->type == REPLY_NULL) {
        message->kind = BUS_FLUSHED;
        return;
    }
    if (payload->type != REPLY_ARRAY) {
        return;
    }
    message->keys = *cursor;
    for (int64_t i = 0; i < payload->number; i++) {
        struct reply_element key;
        if (reply_next(cursor, &key) != OK || key.type != REPLY_BULK) {
            return;
        }
    }
    message->kind = BUS_KEYS;
    message->key_count = (size_t)payload->number;
}

static void read_message(struct reply_cursor *cursor, const struct reply_element *channel,
                         struct bus_message *message)
{
    struct reply_element payload;
    if (reply_next(cursor, &payload) != OK) {
        return;
    }
    if (says(channel, BUS_CHANNEL_KEYS)) {
        read_announcement(&payload, cursor, message);
    } else if (says(channel, BUS_CHANNEL_FRAMES) && payload.type == REPLY_BULK) {
        message->kind = BUS_FRAME;
        message->text = payload.text;
    }
}

static void read_subscribed(struct reply_cursor *cursor, const struct reply_element *channel,
                            struct bus_message *message)
{
    struct reply_element count;
    if (reply_next(cursor, &count) == OK && count.type == REPLY_INTEGER) {
        message->kind = says(channel, BUS_CHANNEL_KEYS)     ? BUS_SUBSCRIBED_KEYS
                        : says(channel, BUS_CHANNEL_FRAMES) ? BUS_SUBSCRIBED_FRAMES
                                                            : BUS_STRANGE;
    }
}

static void read_array(struct reply_cursor *cursor, int64_t count, struct bus_message *message)
{
    struct reply_element what;
    struct reply_element second;
    if ((count != 2 && count != 3) || reply_next(cursor, &what) != OK ||
        reply_next(cursor, &second) != OK) {
        return;
    }
    if (count == 2 && says(&what, "pong") && second.type == REPLY_BULK) {
        message->kind = BUS_PONG;
        message->text = second.text;
    } else if (count == 3 && says(&what, "message")) {
        read_message(cursor, &second, message);
    } else if (count == 3 && says(&what, "subscribe")) {
        read_subscribed(cursor, &second, message);
    }
}

void bus_read(struct slice reply, struct bus_message *ret_message)
{
    struct reply_cursor cursor = {reply};
    struct reply_cursor whole = {reply};
    struct reply_element first;
    *ret_message = (struct bus_message){.kind = BUS_STRANGE};
    if (reply_skip(&whole) != OK || whole.rest.size > 0 || reply_next(&cursor, &first) != OK) {
        return;
    }
    if (first.type == REPLY_ARRAY) {
        read_array(&cursor, first.number, ret_message);
    } else if (first.type == REPLY_ERROR) {
        ret_message->kind = BUS_ERROR;
        ret_message->text = first.text;
    } else if (first.type == REPLY_STATUS) {
        ret_message->kind = BUS_OK;
    }
}

bool bus_message_next_key(struct bus_message *message, struct slice *ret_key)
{
    struct reply_element key;
    if (message->kind != BUS_KEYS || message->key_count == 0 ||
        reply_next(&message->keys, &key) != OK) {
        return false;
    }
    message->key_count--;
    *ret_key = key.text;
    return true;
}
