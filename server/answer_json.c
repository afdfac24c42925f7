/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/answer_json.h"

#include "protocol/base64.h"
#include "protocol/info_text.h"
#include "protocol/resp_read.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    NUMBER_MAX = 32 /* characters of a number; more is text */
};

/* --- words ------------------------------------------------------------------------------------------------------- */

static json_t *base64_of(struct slice bytes)
{
    struct buf text = {0};
    json_t *json = NULL;
    if (base64_append(bytes, &text) == OK) {
        json = json_pack("{s:s%}", "base64", text.data, text.size);
    }
    buf_done(&text);
    return json;
}

json_t *answer_json_text(struct slice bytes)
{
    json_t *text = json_stringn(bytes.size == 0 ? "" : bytes.data, bytes.size);
    return text != NULL ? text : base64_of(bytes);
}

static json_t *double_of(struct slice text)
{
    char digits[NUMBER_MAX + 1] = "";
    if (text.size > NUMBER_MAX) {
        return NULL;
    }
    memcpy(digits, text.data, text.size);
    const double number = strtod(digits, NULL);
    return isfinite(number) ? json_real(number) : json_null();
}

/* Puts `value`, which it takes over, under `name`. A name with a NUL in it no reader could hand on. */
static enum status put(json_t *object, struct slice name, json_t *value)
{
    if (value == NULL) {
        return NO_MEMORY;
    }
    if (name.size > 0 && memchr(name.data, '\0', name.size) != NULL) {
        json_decref(value);
        return MALFORMED;
    }
    json_t *checked = json_stringn(name.size == 0 ? "" : name.data, name.size);
    if (checked == NULL) {
        json_decref(value);
        return MALFORMED;
    }
    const int failed = json_object_setn_new(object, json_string_value(checked), name.size, value);
    json_decref(checked);
    return failed == 0 ? OK : NO_MEMORY;
}

/* --- RESP3 ------------------------------------------------------------------------------------------------------- */

static enum status next_value(struct reply_cursor *cursor, unsigned depth, json_t **ret);

static enum status list_of(struct reply_cursor *cursor, int64_t count, unsigned depth, json_t *list)
{
    for (int64_t i = 0; i < count; i++) {
        json_t *value = NULL;
        const enum status status = next_value(cursor, depth, &value);
        if (status != OK) {
            return status;
        }
        if (json_array_append_new(list, value) != 0) {
            return NO_MEMORY;
        }
    }
    return OK;
}

static enum status pairs_of(struct reply_cursor *cursor, int64_t count, unsigned depth,
                            json_t *object)
{
    for (int64_t i = 0; i < count; i += 2) {
        struct reply_element name;
        json_t *value = NULL;
        enum status status = reply_next(cursor, &name);
        if (status != OK || (name.type != REPLY_BULK && name.type != REPLY_STATUS)) {
            return MALFORMED;
        }
        status = next_value(cursor, depth, &value);
        status = status == OK ? put(object, name.text, value) : status;
        if (status != OK) {
            return status;
        }
    }
    return OK;
}

static json_t *leaf_of(const struct reply_element *element)
{
    switch (element->type) {
    case REPLY_INTEGER: return json_integer(element->number);
    case REPLY_BOOLEAN: return json_boolean(element->number != 0);
    case REPLY_DOUBLE: return double_of(element->text);
    case REPLY_NULL: return json_null();
    case REPLY_STATUS:
    case REPLY_BULK:
    case REPLY_VERBATIM:
    case REPLY_BIG_NUMBER: return answer_json_text(element->text);
    case REPLY_MAP:
    case REPLY_ARRAY:
    case REPLY_SET:
    case REPLY_PUSH:
    case REPLY_ATTRIBUTE:
    case REPLY_ERROR:
    case REPLY_BULK_ERROR: break;
    }
    return NULL;
}

static enum status next_value(struct reply_cursor *cursor, unsigned depth, json_t **ret)
{
    struct reply_element element;
    if (depth == ANSWER_JSON_DEPTH || reply_next(cursor, &element) != OK ||
        element.type == REPLY_ERROR || element.type == REPLY_BULK_ERROR ||
        element.type == REPLY_ATTRIBUTE) {
        return MALFORMED;
    }
    const bool is_map = element.type == REPLY_MAP;
    const bool is_list =
        element.type == REPLY_ARRAY || element.type == REPLY_SET || element.type == REPLY_PUSH;
    json_t *value = is_map ? json_object() : is_list ? json_array() : leaf_of(&element);
    enum status status = value == NULL ? NO_MEMORY : OK;
    if (status == OK && is_map) {
        status = pairs_of(cursor, element.number, depth + 1, value);
    } else if (status == OK && is_list) {
        status = list_of(cursor, element.number, depth + 1, value);
    }
    if (status != OK) {
        json_decref(value);
        return status;
    }
    *ret = value;
    return OK;
}

enum status answer_json(struct slice resp3, json_t **ret)
{
    struct reply_cursor cursor = {resp3};
    return next_value(&cursor, 0, ret);
}

/* --- INFO -------------------------------------------------------------------------------------------------------- */

static json_t *figure_of(struct slice text)
{
    int64_t whole = 0;
    double real = 0;
    if (slice_to_i64(text, &whole) == OK) {
        return json_integer(whole);
    }
    return slice_to_real(text, &real) == OK ? json_real(real) : answer_json_text(text);
}

static json_t *value_of(struct slice text)
{
    if (!info_has_fields(text)) {
        return figure_of(text);
    }
    json_t *object = json_object();
    struct slice rest = text;
    struct info_entry field = {0};
    while (object != NULL && info_next_field(&rest, &field)) {
        if (put(object, field.name, figure_of(field.value)) != OK) {
            json_decref(object);
            return answer_json_text(text);
        }
    }
    return object;
}

/* An object of its own, filled by the lines that follow; nobody's reference. */
static enum status begin_section(json_t *all, struct slice title, json_t **ret_section)
{
    char name[32] = "";
    for (size_t i = 0; i < title.size && i < sizeof(name) - 1; i++) {
        const char c = title.data[i];
        name[i] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
    *ret_section = json_object();
    return put(all, slice_of(name), *ret_section);
}

enum status answer_json_info(struct slice info, json_t **ret)
{
    json_t *all = json_object();
    json_t *section = NULL;
    struct info_entry entry = {0};
    enum status status = all == NULL ? NO_MEMORY : OK;
    while (status == OK && info_next_line(&info, &entry)) {
        if (entry.name.size == 0) {
            status = begin_section(all, entry.section, &section);
        } else if (section != NULL) {
            status = put(section, entry.name, value_of(entry.value));
        }
    }
    if (status != OK) {
        json_decref(all);
        return status;
    }
    *ret = all;
    return OK;
}

/* --- text -------------------------------------------------------------------------------------------------------- */

static int append(const char *bytes, size_t size, void *arg)
{
    return buf_append(arg, bytes, size) == OK ? 0 : -1;
}

enum status answer_json_write(const json_t *json, struct buf *to)
{
    const size_t flags = JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15);
    if (json == NULL || json_dump_callback(json, append, to, flags) != 0) {
        return NO_MEMORY;
    }
    return buf_append(to, "\n", 1);
}
