/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/answer_json.h"

#include "protocol/resp_read.h"

#include <math.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

enum {
    NUMBER_MAX = 32 /* characters of a number; more is text */
};

/* --- words ------------------------------------------------------------------------------------------------------- */

static json_t *base64_text(struct slice bytes)
{
    unsigned char *text = malloc(bytes.size / 3 * 4 + 5);
    json_t *json = NULL;
    if (text != NULL) {
        const int size = EVP_EncodeBlock(text, (const unsigned char *)bytes.data, (int)bytes.size);
        json = json_pack("{s:s%}", "base64", text, (size_t)size);
    }
    free(text);
    return json;
}

json_t *answer_json_text(struct slice bytes)
{
    json_t *text = json_stringn(bytes.size == 0 ? "" : bytes.data, bytes.size);
    return text != NULL ? text : base64_text(bytes);
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

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* -?(0|[1-9][0-9]*)(\.[0-9]+)? ; anything else, an exponent too, is text: a run id may be all digits and one e. */
static bool is_number(struct slice text, bool *ret_whole)
{
    size_t at = text.size > 0 && text.data[0] == '-' ? 1 : 0;
    const size_t first = at;
    while (at < text.size && is_digit(text.data[at])) {
        at++;
    }
    if (at == first || (text.data[first] == '0' && at - first > 1)) {
        return false;
    }
    *ret_whole = at == text.size;
    if (*ret_whole) {
        return true;
    }
    const size_t point = at++;
    while (at < text.size && is_digit(text.data[at])) {
        at++;
    }
    return text.data[point] == '.' && at == text.size && at - point > 1 && text.size <= NUMBER_MAX;
}

static json_t *plain_of(struct slice text)
{
    bool whole = false;
    int64_t number = 0;
    if (!is_number(text, &whole)) {
        return answer_json_text(text);
    }
    if (!whole) {
        return double_of(text);
    }
    return slice_to_i64(text, &number) == OK ? json_integer(number) : answer_json_text(text);
}

/* name=value,name=value: whether all parts are so. */
static bool are_parts(struct slice text)
{
    struct slice rest = text;
    size_t count = 0;
    while (rest.size > 0) {
        const struct slice part = slice_next_word(&rest, ",");
        const char *sign = part.size == 0 ? NULL : memchr(part.data, '=', part.size);
        if (sign == NULL || sign == part.data) {
            return false;
        }
        count++;
    }
    return count > 0;
}

static json_t *value_of(struct slice text)
{
    if (!are_parts(text)) {
        return plain_of(text);
    }
    json_t *object = json_object();
    struct slice rest = text;
    while (rest.size > 0 && object != NULL) {
        const struct slice part = slice_next_word(&rest, ",");
        const char *sign = memchr(part.data, '=', part.size);
        const struct slice name = {part.data, (size_t)(sign - part.data)};
        const struct slice value = {sign + 1, part.size - name.size - 1};
        if (put(object, name, plain_of(value)) != OK) {
            json_decref(object);
            return answer_json_text(text);
        }
    }
    return object;
}

/* "# Name": an object of its own, filled by the lines that follow; nobody's reference. */
static enum status begin_section(json_t *all, struct slice line, json_t **ret_section)
{
    char name[32] = "";
    for (size_t i = 2; i < line.size && i - 2 < sizeof(name) - 1; i++) {
        const char c = line.data[i];
        name[i - 2] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
    *ret_section = json_object();
    return put(all, slice_of(name), *ret_section);
}

static enum status put_line(json_t *all, struct slice line, json_t **section)
{
    if (line.size > 2 && line.data[0] == '#' && line.data[1] == ' ') {
        return begin_section(all, line, section);
    }
    const char *colon = line.size == 0 ? NULL : memchr(line.data, ':', line.size);
    if (colon == NULL || *section == NULL) {
        return OK;
    }
    const struct slice name = {line.data, (size_t)(colon - line.data)};
    const struct slice value = {colon + 1, line.size - name.size - 1};
    return put(*section, name, value_of(value));
}

enum status answer_json_info(struct slice info, json_t **ret)
{
    json_t *all = json_object();
    json_t *section = NULL;
    struct slice rest = info;
    enum status status = all == NULL ? NO_MEMORY : OK;
    while (status == OK && rest.size > 0) {
        const char *end = memchr(rest.data, '\n', rest.size);
        const size_t size = end == NULL ? rest.size : (size_t)(end - rest.data);
        const size_t used = end == NULL ? size : size + 1;
        const bool has_return = size > 0 && rest.data[size - 1] == '\r';
        status = put_line(all, (struct slice){rest.data, size - has_return}, &section);
        rest.data += used;
        rest.size -= used;
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
