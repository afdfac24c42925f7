/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/cli/json.h"

#include "protocol/base64.h"
#include "protocol/info_text.h"
#include "protocol/utf8.h"

#include <ctype.h>
#include <stdio.h>

json_t *json_bytes(struct slice bytes)
{
    if (utf8_is(bytes)) {
        return json_stringn(bytes.size == 0 ? "" : bytes.data, bytes.size);
    }
    struct buf text = {0};
    json_t *object = NULL;
    if (base64_append(bytes, &text) == OK) {
        object = json_pack("{s:s%}", "base64", text.data, text.size);
    }
    buf_done(&text);
    return object;
}

void json_name(struct slice bytes, char *dst, size_t room)
{
    const bool is_text = utf8_is(bytes);
    size_t used = 0;
    for (size_t i = 0; i < bytes.size && used + 5 < room; i++) {
        const unsigned char byte = (unsigned char)bytes.data[i];
        if (byte == 0 || (!is_text && byte >= 0x80)) {
            used += (size_t)snprintf(dst + used, room - used, "\\x%02x", byte);
        } else {
            dst[used++] = (char)byte;
        }
    }
    while (!utf8_is((struct slice){dst, used})) { /* cut inside a character */
        used--;
    }
    dst[used] = '\0';
}

json_t *json_figure(struct slice text)
{
    int64_t whole = 0;
    double real = 0;
    if (slice_to_i64(text, &whole) == OK) {
        return json_integer(whole);
    }
    return slice_to_real(text, &real) == OK ? json_real(real) : json_bytes(text);
}

/* --- INFO ---------------------------------------------------------------------------------------------------------- */

static json_t *value_json(struct slice value)
{
    if (!info_has_fields(value)) {
        return json_figure(value);
    }
    json_t *object = json_object();
    struct info_entry field = {0};
    while (object != NULL && info_next_field(&value, &field)) {
        char name[128];
        json_name(field.name, name, sizeof name);
        (void)json_object_set_new(object, name, json_figure(field.value));
    }
    return object;
}

json_t *json_info(struct slice text)
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
