/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/limits.h"
#include "protocol/resp_line.h"
#include "protocol/resp_read.h"

#include <string.h>

/* More elements than this, announced or nested, is no reply: it keeps every sum far from overflow. */
#define ELEMENTS_MAX (UINT64_C(1) << 48)

/* The first line of an element: its type, what follows the type byte, and its length with CRLF. */
struct line {
    enum reply_type type;
    struct slice text;
    size_t size;
};

/* Text is as long as a peer likes (a script can return a status of a megabyte); other lines hold one number. */
static bool line_is_text(char type)
{
    return type == REPLY_STATUS || type == REPLY_ERROR || type == REPLY_DOUBLE ||
           type == REPLY_BIG_NUMBER;
}

static bool is_type(char type)
{
    return type != '\0' && strchr("+-:$*_#,(!=%~|>", type) != NULL;
}

/* Finds the CRLF. `*scanned` (from the start of the line) is where the search goes on next time. */
static enum status line_read(struct slice input, size_t *scanned, struct line *ret_line)
{
    if (input.size == 0) {
        return AGAIN;
    }
    if (!is_type(input.data[0])) {
        return MALFORMED;
    }
    size_t from = *scanned > 1 ? *scanned : 1;
    while (from < input.size) {
        const char *newline = memchr(input.data + from, '\n', input.size - from);
        if (newline == NULL) {
            break;
        }
        from = (size_t)(newline - input.data) + 1;
        if (newline[-1] == '\r') {
            *ret_line = (struct line){
                .type = (enum reply_type)input.data[0],
                .text = {.data = input.data + 1, .size = from - 3},
                .size = from,
            };
            return OK;
        }
    }
    *scanned = input.size;
    /* Such a long number is a stream out of step: not to be waited for. */
    return !line_is_text(input.data[0]) && input.size > LIMIT_INLINE ? MALFORMED : AGAIN;
}

/* The payload of a bulk, `size` bytes behind the line; the element takes *ret_size bytes in all. */
static enum status payload_read(struct slice input, size_t line_size, uint64_t size,
                                struct reply_element *element, size_t *ret_size)
{
    const size_t here = input.size - line_size;
    if (here < 2 || here - 2 < size) {
        return AGAIN;
    }
    const char *payload = input.data + line_size;
    if (payload[size] != '\r' || payload[size + 1] != '\n') {
        return MALFORMED;
    }
    element->text = (struct slice){.data = payload, .size = (size_t)size};
    if (element->type == REPLY_VERBATIM) { /* "txt:" and the like in front */
        if (size < 4 || payload[3] != ':') {
            return MALFORMED;
        }
        element->text.data += 4;
        element->text.size -= 4;
    }
    *ret_size = line_size + (size_t)size + 2;
    return OK;
}

/* "$5" and its payload, or RESP2's null. */
static enum status bulk_read(struct slice input, const struct line *line,
                             struct reply_element *element, size_t *ret_size)
{
    if (line->type == REPLY_BULK && slice_is(line->text, "-1")) {
        element->type = REPLY_NULL;
        *ret_size = line->size;
        return OK;
    }
    uint64_t size = 0;
    if (slice_to_u64(line->text, &size) != OK || size > INT64_MAX) {
        return MALFORMED;
    }
    return payload_read(input, line->size, size, element, ret_size);
}

/* How many elements follow an aggregate's line. */
static enum status aggregate_read(const struct line *line, struct reply_element *element)
{
    if (line->type == REPLY_ARRAY && slice_is(line->text, "-1")) {
        element->type = REPLY_NULL;
        return OK;
    }
    uint64_t count = 0;
    if (slice_to_u64(line->text, &count) != OK || count > ELEMENTS_MAX) {
        return MALFORMED;
    }
    const bool in_pairs = line->type == REPLY_MAP || line->type == REPLY_ATTRIBUTE;
    element->number = (int64_t)(in_pairs ? count * 2 : count);
    return OK;
}

static enum status boolean_read(struct slice text, struct reply_element *element)
{
    element->number = slice_is(text, "t") ? 1 : 0;
    return slice_is(text, "t") || slice_is(text, "f") ? OK : MALFORMED;
}

/* One element at the start of `input`, without those it announces. */
static enum status element_read_closely(struct slice input, size_t *scanned,
                                        struct reply_element *ret_element, size_t *ret_size)
{
    struct line line;
    const enum status status = line_read(input, scanned, &line);
    if (status != OK) {
        return status;
    }
    *ret_element = (struct reply_element){.type = line.type};
    *ret_size = line.size;
    switch (line.type) {
    case REPLY_STATUS:
    case REPLY_ERROR: ret_element->text = line.text; return OK;
    case REPLY_DOUBLE:
    case REPLY_BIG_NUMBER:
        ret_element->text = line.text;
        return line.text.size > 0 ? OK : MALFORMED;
    case REPLY_INTEGER: return slice_to_i64(line.text, &ret_element->number);
    case REPLY_NULL: return line.text.size == 0 ? OK : MALFORMED;
    case REPLY_BOOLEAN: return boolean_read(line.text, ret_element);
    case REPLY_BULK:
    case REPLY_BULK_ERROR:
    case REPLY_VERBATIM: return bulk_read(input, &line, ret_element, ret_size);
    case REPLY_ARRAY:
    case REPLY_MAP:
    case REPLY_SET:
    case REPLY_ATTRIBUTE:
    case REPLY_PUSH: return aggregate_read(&line, ret_element);
    }
    return MALFORMED;
}

static enum status element_read(struct slice input, size_t *scanned,
                                struct reply_element *ret_element, size_t *ret_size)
{
    /* Most elements of most replies are short bulk strings. */
    if (input.size > 1 && input.data[0] == REPLY_BULK) {
        uint64_t size = 0;
        const size_t taken = short_number(input.data + 1, input.size - 1, &size);
        if (taken > 0) {
            *ret_element = (struct reply_element){.type = REPLY_BULK};
            return payload_read(input, 1 + taken, size, ret_element, ret_size);
        }
    }
    return element_read_closely(input, scanned, ret_element, ret_size);
}

static struct slice slice_after(struct slice input, size_t size)
{
    return (struct slice){
        .data = size > 0 ? input.data + size : input.data,
        .size = input.size - size,
    };
}

/* A counter instead of a stack: where a reply ends depends on how many elements are still open, not on where they
 * belong. So nesting costs nothing, however deep. */
enum status reply_frame(struct reply_framer *framer, struct slice input, size_t *ret_size)
{
    if (framer->left == 0) {
        *framer = (struct reply_framer){.left = 1};
    }
    if (framer->at > input.size) {
        return MALFORMED;
    }
    while (framer->left > 0) {
        struct reply_element element;
        size_t size = 0;
        const enum status status =
            element_read(slice_after(input, framer->at), &framer->scanned, &element, &size);
        if (status != OK) {
            return status;
        }
        framer->at += size;
        framer->scanned = 0;
        switch (element.type) {
        case REPLY_ATTRIBUTE: /* decorates the next element, and does not stand for it */
            framer->left += (uint64_t)element.number;
            break;
        case REPLY_ARRAY:
        case REPLY_MAP:
        case REPLY_SET:
        case REPLY_PUSH: framer->left += (uint64_t)element.number - 1; break;
        case REPLY_STATUS:
        case REPLY_ERROR:
        case REPLY_INTEGER:
        case REPLY_BULK:
        case REPLY_NULL:
        case REPLY_BOOLEAN:
        case REPLY_DOUBLE:
        case REPLY_BIG_NUMBER:
        case REPLY_BULK_ERROR:
        case REPLY_VERBATIM: framer->left--; break;
        }
        if (framer->left > ELEMENTS_MAX) {
            return MALFORMED;
        }
    }
    *ret_size = framer->at;
    *framer = (struct reply_framer){0};
    return OK;
}

enum status reply_next(struct reply_cursor *cursor, struct reply_element *ret_element)
{
    if (cursor->rest.size == 0) {
        return AGAIN;
    }
    struct reply_element element;
    size_t scanned = 0;
    size_t size = 0;
    if (element_read(cursor->rest, &scanned, &element, &size) != OK) {
        return MALFORMED; /* what a framer has passed is whole */
    }
    *ret_element = element;
    cursor->rest = slice_after(cursor->rest, size);
    return OK;
}

enum status reply_skip(struct reply_cursor *cursor)
{
    if (cursor->rest.size == 0) {
        return AGAIN;
    }
    struct reply_framer framer = {0};
    size_t size = 0;
    if (reply_frame(&framer, cursor->rest, &size) != OK) {
        return MALFORMED;
    }
    cursor->rest = slice_after(cursor->rest, size);
    return OK;
}
