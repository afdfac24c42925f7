/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/info_text.h"

#include <string.h>

static struct slice cut_line(struct slice *rest)
{
    const char *end = rest->size == 0 ? NULL : memchr(rest->data, '\n', rest->size);
    struct slice line = *rest;
    if (end != NULL) {
        line.size = (size_t)(end - rest->data);
        rest->data = end + 1;
        rest->size -= line.size + 1;
    } else {
        *rest = (struct slice){"", 0};
    }
    if (line.size > 0 && line.data[line.size - 1] == '\r') {
        line.size--;
    }
    return line;
}

bool info_next_line(struct slice *rest, struct info_entry *entry)
{
    while (rest->size > 0) {
        const struct slice line = cut_line(rest);
        const char *colon = line.size == 0 ? NULL : memchr(line.data, ':', line.size);
        if (line.size > 2 && line.data[0] == '#') {
            *entry = (struct info_entry){.section = {line.data + 2, line.size - 2}};
            return true;
        }
        if (colon != NULL && colon != line.data) {
            entry->name = (struct slice){line.data, (size_t)(colon - line.data)};
            entry->value = (struct slice){colon + 1, line.size - entry->name.size - 1};
            return true;
        }
    }
    return false;
}

bool info_next(struct slice *rest, struct info_entry *entry)
{
    while (info_next_line(rest, entry)) {
        if (entry->name.size > 0) {
            return true;
        }
    }
    return false;
}

struct slice info_find(struct slice text, const char *name)
{
    struct info_entry entry = {0};
    while (info_next(&text, &entry)) {
        if (slice_is(entry.name, name)) {
            return entry.value;
        }
    }
    return (struct slice){"", 0};
}

static int64_t number_of(struct slice text, int64_t preset)
{
    int64_t number = 0;
    return slice_to_i64(text, &number) == OK ? number : preset;
}

int64_t info_number(struct slice text, const char *name, int64_t preset)
{
    return number_of(info_find(text, name), preset);
}

bool info_next_field(struct slice *rest, struct info_entry *ret_field)
{
    const char *equals = rest->size == 0 ? NULL : memchr(rest->data, '=', rest->size);
    if (equals == NULL) {
        return false;
    }
    ret_field->name = (struct slice){rest->data, (size_t)(equals - rest->data)};
    struct slice value = {equals + 1, rest->size - ret_field->name.size - 1};
    const char *comma = value.size == 0 ? NULL : memchr(value.data, ',', value.size);
    if (comma != NULL) {
        /* A comma that no field follows belongs to the value. */
        const struct slice behind = {comma + 1, value.size - (size_t)(comma - value.data) - 1};
        if (behind.size > 0 && memchr(behind.data, '=', behind.size) != NULL) {
            *rest = behind;
            value.size = (size_t)(comma - value.data);
            ret_field->value = value;
            return true;
        }
    }
    *rest = (struct slice){"", 0};
    ret_field->value = value;
    return true;
}

struct slice info_field(struct slice value, const char *name)
{
    struct info_entry field = {0};
    while (info_next_field(&value, &field)) {
        if (slice_is(field.name, name)) {
            return field.value;
        }
    }
    return (struct slice){"", 0};
}

int64_t info_field_number(struct slice value, const char *name, int64_t preset)
{
    return number_of(info_field(value, name), preset);
}

static bool is_name(struct slice name)
{
    for (size_t i = 0; i < name.size; i++) {
        const char sign = name.data[i];
        const bool is_letter = (sign >= 'a' && sign <= 'z') || (sign >= 'A' && sign <= 'Z');
        if (!is_letter && !(sign >= '0' && sign <= '9') && sign != '_' && sign != '.') {
            return false;
        }
    }
    return name.size > 0;
}

bool info_has_fields(struct slice value)
{
    size_t count = 0;
    while (value.size > 0) {
        const struct slice part = slice_next_word(&value, ",");
        const char *sign = part.size == 0 ? NULL : memchr(part.data, '=', part.size);
        if (sign == NULL || !is_name((struct slice){part.data, (size_t)(sign - part.data)})) {
            return false;
        }
        count++;
    }
    return count > 0;
}
