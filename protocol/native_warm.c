/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/native_warm.h"

#include "protocol/resp_read.h"
#include "protocol/terrace.pb-c.h"

#include <stdlib.h>
#include <string.h>

enum {
    WIRE_VARINT = 0,
    WIRE_64 = 1,
    WIRE_BYTES = 2,
    VARINT_MAX = 10,
    NAME_MAX_SIZE = 64,
    DIGITS_MAX = 64
};

static enum status put_varint(struct buf *to, uint64_t number)
{
    char bytes[VARINT_MAX];
    size_t size = 0;
    while (number > 0x7f) {
        bytes[size++] = (char)(number | 0x80);
        number >>= 7;
    }
    bytes[size++] = (char)number;
    return buf_append(to, bytes, size);
}

static enum status put_head(struct buf *to, uint32_t id, unsigned wire)
{
    return put_varint(to, (uint64_t)id << 3 | wire);
}

static enum status put_number(struct buf *to, const ProtobufCFieldDescriptor *field, int64_t number)
{
    const bool zigzags = field->type == PROTOBUF_C_TYPE_SINT64;
    const uint64_t plain = (uint64_t)number;
    const uint64_t coded = zigzags ? plain << 1 ^ (number < 0 ? UINT64_MAX : 0) : plain;
    if (number == 0) {
        return OK;
    }
    const enum status status = put_head(to, field->id, WIRE_VARINT);
    return status == OK ? put_varint(to, coded) : status;
}

static enum status put_bytes(struct buf *to, const ProtobufCFieldDescriptor *field,
                             struct slice bytes)
{
    enum status status = put_head(to, field->id, WIRE_BYTES);
    status = status == OK ? put_varint(to, bytes.size) : status;
    return status == OK ? buf_append_slice(to, bytes) : status;
}

static enum status put_double(struct buf *to, const ProtobufCFieldDescriptor *field,
                              const struct reply_element *element)
{
    char digits[DIGITS_MAX] = "";
    char bytes[sizeof(uint64_t)];
    double number = (double)element->number;
    uint64_t bits = 0;
    if (element->type != REPLY_INTEGER) {
        if (element->text.size >= sizeof(digits)) {
            return MALFORMED;
        }
        memcpy(digits, element->text.data, element->text.size);
        number = strtod(digits, NULL);
    }
    memcpy(&bits, &number, sizeof(bits));
    if (bits == 0) {
        return OK;
    }
    put_u64le(bytes, bits);
    const enum status status = put_head(to, field->id, WIRE_64);
    return status == OK ? buf_append(to, bytes, sizeof(bytes)) : status;
}

static enum status put_map(struct reply_cursor *cursor, int64_t elements,
                           const ProtobufCMessageDescriptor *kind, unsigned depth, struct buf *to);

/* One map, as a message in this field. */
static enum status put_message(struct reply_cursor *cursor, const struct reply_element *map,
                               const ProtobufCFieldDescriptor *field, unsigned depth,
                               struct buf *to)
{
    struct buf inner = {0};
    enum status status = map->type == REPLY_MAP ? OK : MALFORMED;
    if (status == OK) {
        status = put_map(cursor, map->number, field->descriptor, depth + 1, &inner);
    }
    if (status == OK) {
        status = put_bytes(to, field, buf_slice(&inner));
    }
    buf_done(&inner);
    return status;
}

static enum status put_messages(struct reply_cursor *cursor, const struct reply_element *first,
                                const ProtobufCFieldDescriptor *field, unsigned depth,
                                struct buf *to)
{
    enum status status = OK;
    if (first->type == REPLY_MAP) {
        return put_message(cursor, first, field, depth, to);
    }
    if (first->type != REPLY_ARRAY) {
        return MALFORMED;
    }
    for (int64_t i = 0; i < first->number && status == OK; i++) {
        struct reply_element map;
        status = reply_next(cursor, &map) == OK ? OK : MALFORMED;
        status = status == OK ? put_message(cursor, &map, field, depth, to) : status;
    }
    return status;
}

static bool is_whole(const struct reply_element *element)
{
    return element->type == REPLY_INTEGER || element->type == REPLY_BOOLEAN;
}

static bool is_text_element(const struct reply_element *element)
{
    return element->type == REPLY_BULK || element->type == REPLY_STATUS;
}

/* The next value, into this field. Null is the field's default, whatever it is. */
static enum status put_value(struct reply_cursor *cursor, const ProtobufCFieldDescriptor *field,
                             unsigned depth, struct buf *to)
{
    struct reply_element element;
    if (reply_next(cursor, &element) != OK) {
        return MALFORMED;
    }
    if (element.type == REPLY_NULL) {
        return OK;
    }
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        return put_messages(cursor, &element, field, depth, to);
    }
    if (field->type == PROTOBUF_C_TYPE_DOUBLE) {
        const bool is_double = element.type == REPLY_DOUBLE || element.type == REPLY_INTEGER;
        return is_double ? put_double(to, field, &element) : MALFORMED;
    }
    if (field->type == PROTOBUF_C_TYPE_STRING || field->type == PROTOBUF_C_TYPE_BYTES) {
        const bool is_empty = element.text.size == 0;
        return !is_text_element(&element) ? MALFORMED
               : is_empty                 ? OK
                                          : put_bytes(to, field, element.text);
    }
    return is_whole(&element) ? put_number(to, field, element.number) : MALFORMED;
}

static enum status put_map(struct reply_cursor *cursor, int64_t elements,
                           const ProtobufCMessageDescriptor *kind, unsigned depth, struct buf *to)
{
    if (depth == NATIVE_WARM_DEPTH) {
        return MALFORMED;
    }
    for (int64_t i = 0; i < elements; i += 2) {
        struct reply_element name;
        char text[NAME_MAX_SIZE] = "";
        if (reply_next(cursor, &name) != OK || !is_text_element(&name)) {
            return MALFORMED;
        }
        if (name.text.size > 0 && name.text.size < sizeof(text)) {
            memcpy(text, name.text.data, name.text.size);
        }
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field_by_name(kind, text);
        const enum status status =
            field == NULL ? reply_skip(cursor) : put_value(cursor, field, depth, to);
        if (status != OK) {
            return status == NO_MEMORY ? NO_MEMORY : MALFORMED;
        }
    }
    return OK;
}

/* The only field of a list is its first. */
static enum status list_of(struct slice resp3, const ProtobufCMessageDescriptor *list,
                           struct buf *to)
{
    struct reply_cursor cursor = {resp3};
    struct reply_element first;
    const size_t before = to->size;
    enum status status = reply_next(&cursor, &first) == OK ? OK : MALFORMED;
    if (status == OK) {
        status = put_messages(&cursor, &first, &list->fields[0], 0, to);
    }
    if (status != OK) {
        to->size = before;
    }
    return status;
}

enum status native_warm_list_of(struct slice resp3, struct buf *to)
{
    return list_of(resp3, &terrace__warm_list__descriptor, to);
}

enum status native_hot_list_of(struct slice resp3, struct buf *to)
{
    return list_of(resp3, &terrace__hot_list__descriptor, to);
}
