/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/check.h"
#include "protocol/inline_split.h"
#include "protocol/limits.h"
#include "protocol/resp_line.h"
#include "protocol/resp_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a reset keeps: a connection that once sent a huge request must not hold its memory for ever. */
enum {
    SPANS_MIN = 8,
    SPANS_KEPT_MAX = 1024,
    UNQUOTED_KEPT_MAX = 4096
};

enum {
    TLS_HANDSHAKE = 0x16
}; /* the first byte of a TLS hello: RFC 8446, section 5.1 */

/* The two lines that hold a number, and Redis' words when they do not. */
struct number_line {
    char mark;
    const char *too_big;
    const char *invalid;
};

static const struct number_line count_line = {'*', "too big mbulk count string",
                                              "invalid multibulk length"};
static const struct number_line bulk_line = {'$', "too big bulk count string",
                                             "invalid bulk length"};

void request_reader_init(struct request_reader *reader)
{
    *reader = (struct request_reader){.limit_args = LIMIT_ARGS, .limit_bulk = LIMIT_BULK};
    request_reader_reset(reader);
}

void request_reader_done(struct request_reader *reader)
{
    free(reader->spans);
    buf_done(&reader->unquoted);
    request_reader_init(reader);
}

void request_reader_reset(struct request_reader *reader)
{
    if (reader->span_capacity > SPANS_KEPT_MAX) {
        free(reader->spans);
        reader->spans = NULL;
        reader->span_capacity = 0;
    }
    if (reader->unquoted.capacity > UNQUOTED_KEPT_MAX) {
        buf_done(&reader->unquoted);
    }
    reader->argc = 0;
    reader->is_inline = false;
    reader->used = 0;
    reader->error[0] = '\0';
    reader->unquoted.size = 0;
    reader->args_left = -1;
    reader->args_total = 0;
    reader->bulk_size = -1;
    reader->scanned = 0;
    reader->elsewhere = 0;
}

static enum status refuse(struct request_reader *reader, const char *reason)
{
    (void)snprintf(reader->error, sizeof reader->error, "Protocol error: %s", reason);
    return MALFORMED;
}

static enum status refuse_mark(struct request_reader *reader, char mark, char got)
{
    /* An error is one line, and a C string: as Redis does, what would break it becomes a space. */
    if (got == '\r' || got == '\n' || got == '\0') {
        got = ' ';
    }
    (void)snprintf(reader->error, sizeof reader->error, "Protocol error: expected '%c', got '%c'",
                   mark, got);
    return MALFORMED;
}

/* The number line at `used`, whatever it looks like; steps over it. */
static enum status number_read(struct request_reader *reader, struct slice input,
                               const struct number_line *kind, int64_t *ret_number)
{
    const char *start = input.data + reader->used;
    const size_t size = input.size - reader->used;
    const size_t skip = reader->scanned > reader->used ? reader->scanned - reader->used : 0;
    const size_t window = size > LIMIT_INLINE ? LIMIT_INLINE + 1 : size;
    const char *end = skip < window ? memchr(start + skip, '\r', window - skip) : NULL;
    if (end == NULL) {
        reader->scanned = input.size;
        return size > LIMIT_INLINE ? refuse(reader, kind->too_big) : AGAIN;
    }
    const size_t line = (size_t)(end - start);
    if (size - line < 2) { /* the LF is not here yet */
        reader->scanned = reader->used + line;
        return AGAIN;
    }
    if (start[0] != kind->mark) {
        return refuse_mark(reader, kind->mark, start[0]);
    }
    const struct slice digits = {.data = start + 1, .size = line - 1};
    if (start[line + 1] != '\n' || slice_to_i64(digits, ret_number) != OK) {
        return refuse(reader, kind->invalid);
    }
    reader->used += line + 2;
    return OK;
}

/* "*N": how many arguments follow. None, or a negative number, is an empty request. */
static enum status count_read(struct request_reader *reader, struct slice input)
{
    int64_t count = 0;
    uint64_t plain_count = 0;
    const size_t taken = short_number(input.data + 1, input.size - 1, &plain_count);
    if (taken > 0) {
        count = (int64_t)plain_count;
        reader->used = 1 + taken;
    } else {
        const enum status status = number_read(reader, input, &count_line, &count);
        if (status != OK) {
            return status;
        }
    }
    if (count > (int64_t)LIMIT_ARGS) {
        return refuse(reader, count_line.invalid);
    }
    if (count > 0 && (uint64_t)count > reader->limit_args) {
        return refuse(reader, reader->limit_args <= LIMIT_UNAUTH_ARGS
                                  ? "unauthenticated multibulk length"
                                  : count_line.invalid);
    }
    reader->args_left = count > 0 ? count : 0;
    reader->args_total = (uint64_t)reader->args_left;
    return OK;
}

/* "$n": how long the next argument is. */
static enum status bulk_size_read(struct request_reader *reader, struct slice input)
{
    int64_t size = 0;
    const enum status status = number_read(reader, input, &bulk_line, &size);
    if (status != OK) {
        return status;
    }
    if (size < 0 || (uint64_t)size > LIMIT_BULK) {
        return refuse(reader, bulk_line.invalid);
    }
    if ((uint64_t)size > reader->limit_bulk) {
        return refuse(reader, reader->limit_bulk <= LIMIT_UNAUTH_BULK
                                  ? "unauthenticated bulk length"
                                  : bulk_line.invalid);
    }
    reader->bulk_size = reader->elsewhere != 0 && reader->argc == reader->elsewhere ? 0 : size;
    return OK;
}

/* Room for one more span. It doubles with the arguments that came, never by the count that was announced. */
static enum status spans_reserve(struct request_reader *reader)
{
    if (reader->argc < reader->span_capacity) {
        return OK;
    }
    const uint32_t capacity = reader->span_capacity > 0 ? reader->span_capacity * 2 : SPANS_MIN;
    struct span *spans = realloc(reader->spans, capacity * sizeof *spans);
    if (spans == NULL) {
        return NO_MEMORY;
    }
    reader->spans = spans;
    reader->span_capacity = capacity;
    return OK;
}

/* One argument, with every case: cut anywhere, wrong, over a limit, or no room for its span. */
static enum status arg_read(struct request_reader *reader, struct slice input)
{
    if (reader->bulk_size < 0) {
        const enum status status = bulk_size_read(reader, input);
        if (status != OK) {
            return status;
        }
    }
    const size_t size = (size_t)reader->bulk_size;
    const size_t here = input.size - reader->used;
    if (here < 2 || here - 2 < size) {
        return AGAIN;
    }
    const char *end = input.data + reader->used + size;
    if (end[0] != '\r' || end[1] != '\n') {
        return refuse(reader, "expected CRLF after bulk");
    }
    const enum status status = spans_reserve(reader);
    if (status != OK) {
        return status;
    }
    reader->spans[reader->argc++] = (struct span){.offset = reader->used, .size = size};
    reader->used += size + 2;
    reader->bulk_size = -1;
    reader->args_left--;
    return OK;
}

/* A bulk string at `at` that is plain, whole and no longer than `limit`. Returns where the next one begins; NULL: there is
 * none such. */
static inline const char *plain_bulk(const char *at, const char *end, uint64_t limit,
                                     struct slice *ret_bulk)
{
    uint64_t size = 0;
    if (end - at < 2 || at[0] != bulk_line.mark) {
        return NULL;
    }
    const size_t taken = short_number(at + 1, (size_t)(end - at) - 1, &size);
    const char *bulk = at + 1 + taken;
    if (taken == 0 || size > limit || (size_t)(end - bulk) < size + 2 || bulk[size] != '\r' ||
        bulk[size + 1] != '\n') {
        return NULL;
    }
    *ret_bulk = (struct slice){.data = bulk, .size = size};
    return bulk + size + 2;
}

static inline uint64_t plain_limit(const struct request_reader *reader)
{
    return reader->limit_bulk < LIMIT_BULK ? reader->limit_bulk : LIMIT_BULK;
}

size_t request_take_plain(const struct request_reader *reader, struct slice input,
                          struct slice *argv, uint32_t room, uint32_t *ret_argc)
{
    uint64_t count = 0;
    if (input.size < 2 || input.data[0] != count_line.mark) {
        return 0;
    }
    const size_t taken = short_number(input.data + 1, input.size - 1, &count);
    if (taken == 0 || count == 0 || count > room || count > reader->limit_args) {
        return 0;
    }
    const uint64_t limit = plain_limit(reader);
    const char *const end = input.data + input.size;
    const char *at = input.data + 1 + taken;
    for (uint64_t i = 0; i < count; i++) {
        at = plain_bulk(at, end, limit, &argv[i]);
        if (at == NULL) {
            return 0;
        }
    }
    *ret_argc = (uint32_t)count;
    return (size_t)(at - input.data);
}

/* The same for a reader: takes arguments as long as they are plain and there is room for their spans. It refuses nothing;
 * where it stops, arg_read looks closer. */
static void plain_args_take(struct request_reader *reader, struct slice input)
{
    const size_t room = reader->span_capacity - reader->argc;
    const size_t most = (uint64_t)reader->args_left < room ? (size_t)reader->args_left : room;
    const char *const end = input.data + input.size;
    const uint64_t limit = plain_limit(reader);
    struct span *span = reader->spans + reader->argc;
    struct slice bulk;
    const char *next;
    for (size_t taken = 0;
         taken < most && (next = plain_bulk(input.data + reader->used, end, limit, &bulk)) != NULL;
         taken++) {
        *span++ = (struct span){.offset = (size_t)(bulk.data - input.data), .size = bulk.size};
        reader->used = (size_t)(next - input.data);
        reader->argc++;
        reader->args_left--;
    }
}

static enum status args_read(struct request_reader *reader, struct slice input)
{
    while (reader->args_left > 0) {
        if (reader->bulk_size < 0 && reader->argc < reader->span_capacity &&
            reader->elsewhere == 0) {
            plain_args_take(reader, input);
            if (reader->args_left == 0) {
                break;
            }
        }
        const enum status status = arg_read(reader, input);
        if (status != OK) {
            return status;
        }
    }
    return OK;
}

/* Redis hangs up on HTTP, so that a browser cannot be made to send commands. */
static bool is_http(const struct request_reader *reader, struct slice input)
{
    if (reader->argc == 0) {
        return false;
    }
    const struct slice verb = request_arg(reader, input, 0);
    return slice_is_nocase(verb, "post") || slice_is_nocase(verb, "host:");
}

static enum status inline_read(struct request_reader *reader, struct slice input)
{
    if (input.data[0] == TLS_HANDSHAKE) {
        return CLOSE;
    }
    const size_t window = input.size > LIMIT_INLINE ? LIMIT_INLINE + 1 : input.size;
    const size_t skip = reader->scanned < window ? reader->scanned : window;
    const char *newline = memchr(input.data + skip, '\n', window - skip);
    const size_t end = newline != NULL ? (size_t)(newline - input.data) : window;
    /* A line ends for Redis at its first NUL, which is no newline: it reads on until 64 KiB and then says this. We need
     * not wait for the rest. */
    if (memchr(input.data + skip, '\0', end - skip) != NULL) {
        return refuse(reader, "too big inline request");
    }
    if (newline == NULL) {
        reader->scanned = input.size;
        return input.size > LIMIT_INLINE ? refuse(reader, "too big inline request") : AGAIN;
    }
    const bool has_cr = end > 0 && input.data[end - 1] == '\r';
    const struct slice line = {.data = input.data, .size = has_cr ? end - 1 : end};

    /* All room at once: unquoting makes no line longer. */
    reader->argc = 0;
    reader->unquoted.size = 0;
    enum status status = buf_reserve(&reader->unquoted, line.size);
    size_t position = 0;
    while (status == OK) {
        status = spans_reserve(reader);
        if (status == OK) {
            status = inline_next(line, &position, &reader->unquoted, &reader->spans[reader->argc]);
        }
        if (status == OK) {
            reader->argc++;
        }
    }
    if (status == MALFORMED) {
        return refuse(reader, "unbalanced quotes in request");
    }
    if (status != AGAIN) {
        return status;
    }
    reader->is_inline = true;
    reader->used = end + 1;
    return is_http(reader, input) ? CLOSE : OK;
}

enum status request_read(struct request_reader *reader, struct slice input)
{
    CHECK(input.size >= reader->used);
    if (reader->args_left < 0) {
        if (input.size == 0) {
            return AGAIN;
        }
        if (input.data[0] != count_line.mark) {
            return inline_read(reader, input);
        }
        const enum status status = count_read(reader, input);
        if (status != OK) {
            return status;
        }
    }
    return args_read(reader, input);
}

struct slice request_arg(const struct request_reader *reader, struct slice input, uint32_t i)
{
    CHECK(i < reader->argc);
    const struct span span = reader->spans[i];
    const char *base = reader->is_inline ? reader->unquoted.data : input.data;
    return (struct slice){.data = base + span.offset, .size = span.size};
}

size_t request_missing(const struct request_reader *reader, struct slice input)
{
    if (reader->bulk_size < 0) {
        return 1;
    }
    /* Only the argument being read counts: the others may be empty. */
    const size_t end = reader->used + (size_t)reader->bulk_size + 2;
    return end > input.size ? end - input.size : 1;
}

bool request_body(const struct request_reader *reader, struct request_body *ret_body)
{
    if (reader->bulk_size < 0) {
        return false;
    }
    *ret_body = (struct request_body){.arg = reader->argc,
                                      .args_total = reader->args_total,
                                      .offset = reader->used,
                                      .size = (size_t)reader->bulk_size};
    return true;
}

void request_elsewhere(struct request_reader *reader, uint32_t arg)
{
    if (reader->elsewhere == arg) {
        return;
    }
    CHECK(arg > 0 && reader->argc <= arg);
    reader->elsewhere = arg;
    if (reader->argc == arg && reader->bulk_size > 0) {
        reader->bulk_size = 0;
    }
}
