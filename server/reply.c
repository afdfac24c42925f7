/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/reply.h"

#include "protocol/limits.h"
#include "protocol/resp_write.h"
#include "server/errorstats.h"
#include "server/node.h"
#include "server/worker.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    ERROR_TEXT_MAX = 1024,
    DOUBLE_DIGITS_MAX = 330 /* of any double, with 3 decimals */
};

/* One short line, made in place by a function of resp_write. */
#define REPLY_HEAD(reply, expression)                       \
    do {                                                    \
        char *dst = out_room(&(reply)->out, RESP_HEAD_MAX); \
        if (dst != NULL) {                                  \
            out_commit(&(reply)->out, (expression));        \
        }                                                   \
    } while (0)

void reply_ok(struct reply *reply)
{
    char *dst = out_room(&reply->out, 5);
    if (dst != NULL) {
        memcpy(dst, "+OK\r\n", 5);
        out_commit(&reply->out, 5);
    }
}

void reply_status(struct reply *reply, const char *text)
{
    out_append(&reply->out, "+", 1);
    out_append(&reply->out, text, strlen(text));
    out_append(&reply->out, "\r\n", 2);
}

void reply_error(struct reply *reply, const char *text)
{
    char line[ERROR_TEXT_MAX + 3];
    size_t size = strnlen(text, ERROR_TEXT_MAX);
    line[0] = '-';
    for (size_t i = 0; i < size; i++) {
        line[i + 1] = (char)(text[i] == '\r' || text[i] == '\n' ? ' ' : text[i]);
    }
    line[size + 1] = '\r';
    line[size + 2] = '\n';
    out_append(&reply->out, line, size + 3);
    reply->failed = true;
    errorstats_count(reply->worker->node->errorstats, text);
}

void reply_errorf(struct reply *reply, const char *format, ...)
{
    char text[ERROR_TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    reply_error(reply, text);
}

void reply_integer(struct reply *reply, int64_t number)
{
    REPLY_HEAD(reply, resp_integer(dst, number));
}

void reply_boolean(struct reply *reply, bool value)
{
    REPLY_HEAD(reply, resp_boolean(dst, reply->proto, value));
}

void reply_double_text(struct reply *reply, struct slice digits)
{
    if (reply->proto == 2) {
        reply_bulk(reply, digits);
        return;
    }
    out_append(&reply->out, ",", 1);
    out_append(&reply->out, digits.data, digits.size);
    out_append(&reply->out, "\r\n", 2);
}

void reply_bulk(struct reply *reply, struct slice bytes)
{
    size_t whole = RESP_HEAD_MAX + bytes.size + 2;
    if (whole <= OUT_CHUNK_SIZE / 4) { /* the common case: one piece */
        char *dst = out_room(&reply->out, whole);
        if (dst != NULL) {
            size_t head = resp_head_bulk(dst, bytes.size);
            if (bytes.size > 0) {
                memcpy(dst + head, bytes.data, bytes.size);
            }
            dst[head + bytes.size] = '\r';
            dst[head + bytes.size + 1] = '\n';
            out_commit(&reply->out, head + bytes.size + 2);
        }
        return;
    }
    REPLY_HEAD(reply, resp_head_bulk(dst, bytes.size));
    out_append(&reply->out, bytes.data, bytes.size);
    out_append(&reply->out, "\r\n", 2);
}

void reply_bulk_text(struct reply *reply, const char *text)
{
    reply_bulk(reply, slice_of(text));
}

void reply_bulk_integer(struct reply *reply, int64_t number)
{
    char digits[I64_DIGITS_MAX];
    reply_bulk(reply, (struct slice){digits, i64_format(digits, number)});
}

void reply_item(struct reply *reply, struct item *item)
{
    reply_item_part(reply, item, item_value(item));
}

void reply_item_part(struct reply *reply, struct item *item, struct slice part)
{
    if (part.size <= LIMIT_COPY) {
        reply_bulk(reply, part);
        return;
    }
    REPLY_HEAD(reply, resp_head_bulk(dst, part.size));
    out_attach(&reply->out, item, part);
    out_append(&reply->out, "\r\n", 2);
}

void reply_null(struct reply *reply)
{
    REPLY_HEAD(reply, resp_null(dst, reply->proto));
}

void reply_null_array(struct reply *reply)
{
    REPLY_HEAD(reply, resp_null_array(dst, reply->proto));
}

void reply_array(struct reply *reply, size_t count)
{
    REPLY_HEAD(reply, resp_head_array(dst, count));
}

void reply_map(struct reply *reply, size_t pairs)
{
    REPLY_HEAD(reply, resp_head_map(dst, reply->proto, pairs));
}

void reply_push(struct reply *reply, size_t count)
{
    REPLY_HEAD(reply, resp_head_push(dst, reply->proto, count));
}

void reply_pair_text(struct reply *reply, const char *name, const char *text)
{
    reply_bulk_text(reply, name);
    reply_bulk_text(reply, text);
}

void reply_pair_integer(struct reply *reply, const char *name, int64_t number)
{
    reply_bulk_text(reply, name);
    reply_integer(reply, number);
}

void reply_pair_double(struct reply *reply, const char *name, double number)
{
    char digits[DOUBLE_DIGITS_MAX];
    (void)snprintf(digits, sizeof(digits), "%.3f", number);
    reply_bulk_text(reply, name);
    reply_double_text(reply, slice_of(digits));
}

void reply_set(struct reply *reply, size_t count)
{
    REPLY_HEAD(reply, resp_head_set(dst, reply->proto, count));
}

void reply_verbatim(struct reply *reply, struct slice text)
{
    REPLY_HEAD(reply, resp_head_verbatim(dst, reply->proto, text.size));
    out_append(&reply->out, text.data, text.size);
    out_append(&reply->out, "\r\n", 2);
}

void reply_raw(struct reply *reply, struct slice bytes)
{
    out_append(&reply->out, bytes.data, bytes.size);
}

void reply_wrong_arity(struct reply *reply, const char *full_name)
{
    reply_errorf(reply, "ERR wrong number of arguments for '%s' command", full_name);
}

void reply_syntax_error(struct reply *reply)
{
    reply_error(reply, "ERR syntax error");
}

void reply_not_integer(struct reply *reply)
{
    reply_error(reply, "ERR value is not an integer or out of range");
}

void reply_out_of_memory(struct reply *reply)
{
    reply_error(reply, "OOM command not allowed when used memory > 'maxmemory'.");
}

void reply_help(struct reply *reply, const char *command_upper, const char *const *lines,
                size_t count)
{
    char first[160];
    (void)snprintf(first, sizeof(first),
                   "%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", command_upper);
    reply_array(reply, count + 3);
    reply_status(reply, first);
    for (size_t i = 0; i < count; i++) {
        reply_status(reply, lines[i]);
    }
    reply_status(reply, "HELP");
    reply_status(reply, "    Prints this help.");
}
