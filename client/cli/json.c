/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/cli/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The bytes of the character at the front; 0: it is none (overlong forms and surrogates are none either). */
static size_t character_size(const unsigned char *at, size_t size)
{
    static const struct {
        unsigned char mask, lead;
        size_t size;
        uint32_t least;
    } forms[] = {{0x80, 0x00, 1, 0},
                 {0xe0, 0xc0, 2, 0x80},
                 {0xf0, 0xe0, 3, 0x800},
                 {0xf8, 0xf0, 4, 0x10000}};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if ((at[0] & forms[i].mask) != forms[i].lead) {
            continue;
        }
        uint32_t code = at[0] & (unsigned char)~forms[i].mask;
        for (size_t j = 1; j < forms[i].size; j++) {
            if (j >= size || (at[j] & 0xc0) != 0x80) {
                return 0;
            }
            code = code << 6 | (at[j] & 0x3f);
        }
        const bool is_surrogate = code >= 0xd800 && code <= 0xdfff;
        return code < forms[i].least || code > 0x10ffff || is_surrogate ? 0 : forms[i].size;
    }
    return 0;
}

bool json_is_text(struct slice bytes)
{
    for (size_t at = 0; at < bytes.size;) {
        const size_t size = character_size((const unsigned char *)bytes.data + at, bytes.size - at);
        if (size == 0) {
            return false;
        }
        at += size;
    }
    return true;
}

static char *base64(struct slice bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *text = malloc((bytes.size + 2) / 3 * 4 + 1);
    size_t used = 0;
    for (size_t at = 0; text != NULL && at < bytes.size; at += 3) {
        uint32_t three = 0;
        for (size_t i = 0; i < 3; i++) {
            three = three << 8 | (at + i < bytes.size ? (unsigned char)bytes.data[at + i] : 0u);
        }
        for (size_t i = 0; i < 4; i++) {
            text[used++] =
                at + i > bytes.size ? '=' : digits[three >> (18 - 6 * (unsigned)i) & 0x3f];
        }
    }
    if (text != NULL) {
        text[used] = '\0';
    }
    return text;
}

json_t *json_bytes(struct slice bytes)
{
    if (json_is_text(bytes)) {
        return json_stringn(bytes.size == 0 ? "" : bytes.data, bytes.size);
    }
    char *text = base64(bytes);
    json_t *object = text == NULL ? NULL : json_pack("{s:s}", "base64", text);
    free(text);
    return object;
}

void json_name(struct slice bytes, char *dst, size_t room)
{
    const bool is_text = json_is_text(bytes);
    size_t used = 0;
    for (size_t i = 0; i < bytes.size && used + 5 < room; i++) {
        const unsigned char byte = (unsigned char)bytes.data[i];
        if (byte == 0 || (!is_text && byte >= 0x80)) {
            used += (size_t)snprintf(dst + used, room - used, "\\x%02x", byte);
        } else {
            dst[used++] = (char)byte;
        }
    }
    while (!json_is_text((struct slice){dst, used})) { /* cut inside a character */
        used--;
    }
    dst[used] = '\0';
}

json_t *json_figure(struct slice text)
{
    int64_t whole = 0;
    if (slice_to_i64(text, &whole) == OK) {
        return json_integer(whole);
    }
    char copy[64];
    if (text.size > 0 && text.size < sizeof copy) {
        memcpy(copy, text.data, text.size);
        copy[text.size] = '\0';
        char *end = NULL;
        const double real = strtod(copy, &end);
        if (strspn(copy, "0123456789.") == text.size && *end == '\0') {
            return json_real(real);
        }
    }
    return json_bytes(text);
}
