/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/resp_write.h"

#include "protocol/check.h"

#include <string.h>

/* One type byte, at most 20 digits, CRLF; a verbatim string adds "txt:". */
_Static_assert(1 + I64_DIGITS_MAX + 2 + 4 <= RESP_HEAD_MAX, "a head must fit");

static size_t line_write(char *dst, char type, int64_t number)
{
    dst[0] = type;
    size_t size = 1 + i64_format(dst + 1, number);
    dst[size++] = '\r';
    dst[size++] = '\n';
    return size;
}

static size_t count_write(char *dst, char type, size_t count)
{
    CHECK(count <= INT64_MAX);
    return line_write(dst, type, (int64_t)count);
}

static size_t literal_write(char *dst, struct slice literal)
{
    memcpy(dst, literal.data, literal.size);
    return literal.size;
}

size_t resp_head_bulk_any(char dst[RESP_HEAD_MAX], size_t size)
{
    return count_write(dst, '$', size);
}

size_t resp_head_array(char dst[RESP_HEAD_MAX], size_t count)
{
    return count_write(dst, '*', count);
}

size_t resp_head_map(char dst[RESP_HEAD_MAX], int proto, size_t pairs)
{
    CHECK(pairs <= INT64_MAX / 2);
    return proto >= 3 ? count_write(dst, '%', pairs) : count_write(dst, '*', pairs * 2);
}

size_t resp_head_set(char dst[RESP_HEAD_MAX], int proto, size_t count)
{
    return count_write(dst, proto >= 3 ? '~' : '*', count);
}

size_t resp_head_push(char dst[RESP_HEAD_MAX], int proto, size_t count)
{
    return count_write(dst, proto >= 3 ? '>' : '*', count);
}

size_t resp_head_verbatim(char dst[RESP_HEAD_MAX], int proto, size_t size)
{
    if (proto < 3) {
        return resp_head_bulk(dst, size);
    }
    const struct slice format = SLICE_LITERAL("txt:");
    CHECK(size <= INT64_MAX - format.size);
    const size_t line = count_write(dst, '=', size + format.size);
    return line + literal_write(dst + line, format);
}

size_t resp_integer(char dst[RESP_HEAD_MAX], int64_t number)
{
    return line_write(dst, ':', number);
}

size_t resp_null(char dst[RESP_HEAD_MAX], int proto)
{
    return literal_write(dst, proto >= 3 ? SLICE_LITERAL("_\r\n") : SLICE_LITERAL("$-1\r\n"));
}

size_t resp_null_array(char dst[RESP_HEAD_MAX], int proto)
{
    return literal_write(dst, proto >= 3 ? SLICE_LITERAL("_\r\n") : SLICE_LITERAL("*-1\r\n"));
}

size_t resp_boolean(char dst[RESP_HEAD_MAX], int proto, bool value)
{
    if (proto < 3) {
        return resp_integer(dst, value ? 1 : 0);
    }
    return literal_write(dst, value ? SLICE_LITERAL("#t\r\n") : SLICE_LITERAL("#f\r\n"));
}

enum status resp_append_bulk(struct buf *out, struct slice bytes)
{
    const enum status status = buf_reserve(out, bytes.size + 2 * (size_t)RESP_HEAD_MAX);
    if (status == OK) {
        out->size += resp_head_bulk(out->data + out->size, bytes.size);
        if (bytes.size > 0) {
            memcpy(out->data + out->size, bytes.data, bytes.size);
            out->size += bytes.size;
        }
        memcpy(out->data + out->size, "\r\n", 2);
        out->size += 2;
    }
    return status;
}

enum status resp_append_request(struct buf *out, size_t argc, const struct slice *argv)
{
    /* All room first, so that a refusal leaves `out` as it was. */
    size_t room = RESP_HEAD_MAX;
    for (size_t i = 0; i < argc; i++) {
        if (__builtin_add_overflow(room, argv[i].size, &room) ||
            __builtin_add_overflow(room, (size_t)RESP_HEAD_MAX, &room)) {
            return NO_MEMORY;
        }
    }
    const enum status status = buf_reserve(out, room);
    if (status != OK) {
        return status;
    }
    char *at = out->data + out->size;
    at += resp_head_array(at, argc);
    for (size_t i = 0; i < argc; i++) {
        at += resp_head_bulk(at, argv[i].size);
        if (argv[i].size > 0) {
            memcpy(at, argv[i].data, argv[i].size);
            at += argv[i].size;
        }
        *at++ = '\r';
        *at++ = '\n';
    }
    out->size = (size_t)(at - out->data);
    return OK;
}
