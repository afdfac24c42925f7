/* SPDX-License-Identifier: BSD-3-Clause */
/* resp_read.h -- from bytes to requests and replies: RESP2, RESP3 and inline commands.
 *
 * Three readers, none of which allocates by what a peer announces:
 *   request_reader   a client's request, strict: exact CRLF, limits checked before memory is touched
 *   reply_framer     finds where one reply ends, whatever is inside; used to relay replies as bytes
 *   reply_cursor     walks the elements of a framed reply in order
 *
 * A reader is pure and resumable: it is given ALL unconsumed bytes of its connection each time (they may have moved),
 * remembers how far it came, and answers AGAIN until one whole request or reply is there: all or nothing. After OK, the
 * caller uses the result, drops `used` bytes, and resets.
 *
 * Owns:    a request_reader owns its span vector and, for inline commands, the unquoted bytes.
 * Threads: a reader belongs to one thread at a time.
 * Limits:  limits.h; `limit_args` / `limit_bulk` of a request_reader narrow them (before AUTH, or by configuration).
 *          Memory stays in proportion to the bytes received. A limit at or below LIMIT_UNAUTH_* is refused in Redis'
 *          words for clients before AUTH ("unauthenticated bulk length"), any other as "invalid". Replies have none.
 * Errors:  MALFORMED with `error` set to Redis' own text after "ERR " ("Protocol error: ..."): answer it, then close.
 *          CLOSE: another protocol is spoken (HTTP's POST or Host:, a TLS hello): close without a word. NO_MEMORY. */
#ifndef TERRACE_PROTOCOL_RESP_READ_H
#define TERRACE_PROTOCOL_RESP_READ_H

#include "protocol/bytes.h"

/* One argument: where it lies in the input, or, after an inline command, in request_reader.unquoted. */
struct span {
    size_t offset;
    size_t size;
};

struct request_reader {
    uint64_t limit_args;
    uint64_t limit_bulk;

    /* the result, valid after OK and until the next reset */
    struct span *spans;
    uint32_t argc;  /* 0: an empty request ("*0", an empty line): consume it, answer nothing */
    bool is_inline; /* spans point into `unquoted`, not into the input */
    size_t used;    /* bytes of the input that the request took */
    char error[80]; /* after MALFORMED */

    /* An argument whose bytes the caller has read to another place (0: none): in the input it looks like one of no bytes. */
    uint32_t elsewhere;

    /* private */
    uint32_t span_capacity;
    struct buf unquoted;
    int64_t args_left; /* -1: the header is not read yet */
    uint64_t args_total;
    int64_t bulk_size; /* -1: the length line is not read yet */
    size_t scanned;    /* bytes before this hold no line end */
};

void request_reader_init(struct request_reader *reader); /* limits as limits.h */
void request_reader_done(struct request_reader *reader);
void request_reader_reset(
    struct request_reader
        *reader); /* ready for the next request; keeps limits, and memory of usual size */
enum status request_read(struct request_reader *reader, struct slice input) MUST_USE;
/* The hot path beside a reader: a request that lies at the front of `input`, whole and plain, straight into `argv`. Returns
 * the bytes that it takes; 0: it is cut off, empty, inline, wrong, over a limit of the reader or has more than `room`
 * arguments, so that request_read must look closer. The reader has begun nothing, and is left so. */
size_t request_take_plain(const struct request_reader *reader, struct slice input,
                          struct slice *argv, uint32_t room, uint32_t *ret_argc);
/* After OK: argument i as a slice of `input` (the same bytes request_read saw) or of the reader. */
struct slice request_arg(const struct request_reader *reader, struct slice input, uint32_t i);
/* After AGAIN: bytes that are certainly still missing (at least 1), so that large bodies are read straight into place. */
size_t request_missing(const struct request_reader *reader, struct slice input);

/* After AGAIN: the argument that is being read, if its length is known. Its first bytes, where they are here, lie at
 * `offset` of the input and reach to its end. */
struct request_body {
    uint32_t arg;
    uint64_t args_total; /* of the request */
    size_t offset;
    size_t size;
};
bool request_body(const struct request_reader *reader, struct request_body *ret_body);
/* Argument `arg` of this request, the one being read or one to come, lies elsewhere: from here on all input must be without
 * its bytes. */
void request_elsewhere(struct request_reader *reader, uint32_t arg);

/* Finds the end of one reply. All zeros is a fresh framer. RESP3 attributes in front belong to the reply. */
struct reply_framer {
    uint64_t left;  /* elements still to come; 0: not begun */
    size_t at;      /* everything before is walked */
    size_t scanned; /* bytes behind `at` that hold no line end */
};

/* OK: one whole reply lies in the first *ret_size bytes and the framer is fresh again. AGAIN, MALFORMED. */
enum status reply_frame(struct reply_framer *framer, struct slice input, size_t *ret_size) MUST_USE;

enum reply_type {
    REPLY_STATUS = '+',
    REPLY_ERROR = '-',
    REPLY_INTEGER = ':',
    REPLY_BULK = '$',
    REPLY_ARRAY = '*',
    REPLY_NULL = '_',
    REPLY_BOOLEAN = '#',
    REPLY_DOUBLE = ',',
    REPLY_BIG_NUMBER = '(',
    REPLY_BULK_ERROR = '!',
    REPLY_VERBATIM = '=',
    REPLY_MAP = '%',
    REPLY_SET = '~',
    REPLY_ATTRIBUTE = '|',
    REPLY_PUSH = '>',
};

struct reply_element {
    enum reply_type type; /* RESP2's "$-1" and "*-1" come as REPLY_NULL */
    /* Integer, boolean; of an aggregate: how many elements follow (a map: 2 per pair). */
    int64_t number;
    /* Status, error, bulk, verbatim (without "txt:"), double and big number as written. */
    struct slice text;
};

struct reply_cursor {
    struct slice rest;
};

/* The next element in depth-first order. AGAIN: no bytes left. MALFORMED. */
enum status reply_next(struct reply_cursor *cursor, struct reply_element *ret_element) MUST_USE;
/* Steps over one whole element with all it holds. */
enum status reply_skip(struct reply_cursor *cursor) MUST_USE;

#endif
