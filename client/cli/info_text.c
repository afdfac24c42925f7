/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/cli/info_text.h"

#include "client/cli/json.h"

#include <ctype.h>
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

bool info_next(struct slice *rest, struct info_entry *entry)
{
    while (rest->size > 0) {
        const struct slice line = cut_line(rest);
        const char *colon = line.size == 0 ? NULL : memchr(line.data, ':', line.size);
        if (line.size > 2 && line.data[0] == '#') {
            entry->section = (struct slice){line.data + 2, line.size - 2};
        } else if (colon != NULL) {
            entry->name = (struct slice){line.data, (size_t)(colon - line.data)};
            entry->value = (struct slice){colon + 1, line.size - entry->name.size - 1};
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

/* The next `name=value` of "a=1,b=2". */
static bool next_field(struct slice *rest, struct info_entry *ret_field)
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
    while (next_field(&value, &field)) {
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

/* --- JSON ---------------------------------------------------------------------------------------------------------- */

/* Fields are told from text with an equals sign in it by their names. */
static bool has_fields(struct slice value)
{
    struct info_entry field = {0};
    bool any = false;
    while (next_field(&value, &field)) {
        any = true;
        if (field.name.size == 0) {
            return false;
        }
        for (size_t i = 0; i < field.name.size; i++) {
            const unsigned char sign = (unsigned char)field.name.data[i];
            if (!isalnum(sign) && sign != '_' && sign != '.') {
                return false;
            }
        }
    }
    return any;
}

static json_t *value_json(struct slice value)
{
    if (!has_fields(value)) {
        return json_figure(value);
    }
    json_t *object = json_object();
    struct info_entry field = {0};
    while (object != NULL && next_field(&value, &field)) {
        char name[128];
        json_name(field.name, name, sizeof name);
        (void)json_object_set_new(object, name, json_figure(field.value));
    }
    return object;
}

json_t *info_json(struct slice text)
{
    json_t *all = json_object();
    struct info_entry entry = {.section = {"info", 4}};
    while (all != NULL && info_next(&text, &entry)) {
        char section[64];
        char name[128];
        json_name(entry.section, section, sizeof section);
        json_name(entry.name, name, sizeof name);
        for (char *at = section; *at != '\0'; at++) {
            *at = (char)tolower((unsigned char)*at);
        }
        json_t *object = json_object_get(all, section);
        if (object == NULL) {
            object = json_object();
            (void)json_object_set_new(all, section, object);
        }
        (void)json_object_set_new(object, name, value_json(entry.value));
    }
    return all;
}
