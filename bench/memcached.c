/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/memcached.h"

#include "protocol/check.h"
#include "protocol/limits.h"

#include <string.h>

static const struct slice line_end = SLICE_LITERAL("\r\n");

/* ------------------------------------------------------------------ requests */

static char *put(char *to, struct slice bytes)
{
    memcpy(to, bytes.data, bytes.size);
    return to + bytes.size;
}

static uint64_t ttl_of(size_t argc, const struct slice *argv)
{
    uint64_t ttl_s = 0;
    if (argc == 5) {
        CHECK(slice_to_u64(argv[4], &ttl_s) == OK);
    }
    return ttl_s > MEMCACHED_TTL_MAX_S ? MEMCACHED_TTL_MAX_S : ttl_s;
}

static enum status append_set(struct buf *out, size_t argc, const struct slice *argv)
{
    const uint64_t ttl_s = ttl_of(argc, argv);
    if (buf_reserve(out, argv[1].size + argv[2].size + MEMCACHED_LINE_MAX) != OK) {
        return NO_MEMORY;
    }
    char *to = put(out->data + out->size, SLICE_LITERAL("ms "));
    to = put(put(to, argv[1]), SLICE_LITERAL(" "));
    to += i64_format(to, (int64_t)argv[2].size);
    if (ttl_s != 0) {
        to = put(to, SLICE_LITERAL(" T"));
        to += i64_format(to, (int64_t)ttl_s);
    }
    to = put(put(put(to, line_end), argv[2]), line_end);
    out->size = (size_t)(to - out->data);
    return OK;
}

static enum status append_get(struct buf *out, struct slice key)
{
    if (buf_reserve(out, key.size + MEMCACHED_LINE_MAX) != OK) {
        return NO_MEMORY;
    }
    char *to = put(out->data + out->size, SLICE_LITERAL("mg "));
    to = put(put(to, key), SLICE_LITERAL(" v\r\n"));
    out->size = (size_t)(to - out->data);
    return OK;
}

enum status memcached_append_request(struct buf *out, size_t argc, const struct slice *argv)
{
    if (argc == 1 && slice_is(argv[0], "PING")) {
        return buf_append_slice(out, SLICE_LITERAL("mn\r\n"));
    }
    if (argc == 2 && slice_is(argv[0], "GET")) {
        return append_get(out, argv[1]);
    }
    CHECK((argc == 3 || argc == 5) && slice_is(argv[0], "SET"));
    return append_set(out, argc, argv);
}

/* ------------------------------------------------------------------ answers */

/* `VA size`, and the value follows. */
static enum status take_value(char *bytes, size_t size, size_t line_size, size_t *ret_used,
                              struct slice *ret_reply)
{
    enum {
        MARK = 2 /* of the blank, which becomes RESP's $ */
    };
    uint64_t value_size = 0;
    if (slice_to_u64((struct slice){bytes + MARK + 1, line_size - MARK - 1}, &value_size) != OK ||
        value_size > LIMIT_BULK) {
        return MALFORMED;
    }
    const size_t end = line_size + line_end.size + (size_t)value_size;
    if (size < end + line_end.size) {
        return AGAIN;
    }
    if (memcmp(bytes + end, line_end.data, line_end.size) != 0) {
        return MALFORMED;
    }
    bytes[MARK] = '$';
    *ret_used = end + line_end.size;
    *ret_reply = (struct slice){bytes + MARK, *ret_used - MARK};
    return OK;
}

/* CLIENT_ERROR why, SERVER_ERROR why: the underscore becomes RESP's minus. */
static struct slice error_of(char *bytes, size_t size)
{
    char *mark = memchr(bytes, '_', size);
    *mark = '-';
    return (struct slice){mark, size - (size_t)(mark - bytes)};
}

/* An answer of one line. */
static enum status take_line(char *bytes, struct slice line, struct slice *ret_reply)
{
    static const struct {
        const char *said;
        struct slice meant;
    } words[] = {
        {"HD", SLICE_LITERAL("+OK\r\n")},       {"EN", SLICE_LITERAL("_\r\n")},
        {"MN", SLICE_LITERAL("+PONG\r\n")},     {"NS", SLICE_LITERAL("-NOT STORED\r\n")},
        {"ERROR", SLICE_LITERAL("-ERROR\r\n")},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (slice_is(line, words[i].said)) {
            *ret_reply = words[i].meant;
            return OK;
        }
    }
    if (slice_begins(line, "CLIENT_ERROR ") || slice_begins(line, "SERVER_ERROR ")) {
        *ret_reply = error_of(bytes, line.size + line_end.size);
        return OK;
    }
    return MALFORMED;
}

enum status memcached_take_reply(char *bytes, size_t size, size_t *ret_used,
                                 struct slice *ret_reply)
{
    const size_t look = size < MEMCACHED_LINE_MAX ? size : MEMCACHED_LINE_MAX;
    const char *end = memmem(bytes, look, line_end.data, line_end.size);
    if (end == NULL) {
        return size < MEMCACHED_LINE_MAX ? AGAIN : MALFORMED;
    }
    const struct slice line = {bytes, (size_t)(end - bytes)};
    if (slice_begins(line, "VA ")) {
        return take_value(bytes, size, line.size, ret_used, ret_reply);
    }
    *ret_used = line.size + line_end.size;
    return take_line(bytes, line, ret_reply);
}
