/* SPDX-License-Identifier: BSD-3-Clause */
/* bytes.h -- byte strings: a slice borrows, a buf owns.
 *
 * Threads: none of its own; an object belongs to one thread at a time.
 * Errors:  growth answers NO_MEMORY and leaves the buf as it was. */
#ifndef TERRACE_PROTOCOL_BYTES_H
#define TERRACE_PROTOCOL_BYTES_H

#include "protocol/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Bytes that belong to somebody else; valid until the call returns unless a header says longer. Not terminated. */
struct slice {
    const char *data;
    size_t size;
};

#define SLICE_LITERAL(text) ((struct slice){.data = (text), .size = sizeof(text) - 1})

struct slice slice_of(const char *text); /* borrows a C string */
bool slice_equal(struct slice a, struct slice b);
bool slice_equal_nocase(struct slice a, struct slice b); /* ASCII */
bool slice_is(struct slice a, const char *text);         /* exact */
/* ASCII; in place, since most texts are literals, whose sizes are known. */
static inline bool slice_is_nocase(struct slice a, const char *text)
{
    return a.size == strlen(text) && slice_equal_nocase(a, (struct slice){text, a.size});
}
bool slice_begins(struct slice text, const char *head);
bool slice_has_prefix(struct slice text, struct slice prefix);
/* Without any of `separators` at both ends. */
struct slice slice_trim(struct slice text, const char *separators);
/* As a C string for people: what is no printable ASCII becomes `other`; what has no room is left out. */
void slice_to_text(struct slice text, char other, char *dst, size_t room);

/* The next word of *rest, which begins behind it afterwards; empty: no more. Words lie between any of `separators`. */
struct slice slice_next_word(struct slice *rest, const char *separators);

/* Strict integers, as Redis' string2ll: no spaces, no plus, no leading zeros, the whole slice. */
enum status slice_to_i64(struct slice text, int64_t *ret_number) MUST_USE;
enum status slice_to_u64(struct slice text, uint64_t *ret_number) MUST_USE;
/* Of -?(0|[1-9][0-9]*)\.[0-9]+, the whole slice; no exponent: a run id may be all digits and one e. */
enum {
    SLICE_REAL_MAX = 64
};
enum status slice_to_real(struct slice text, double *ret_number) MUST_USE;

int hex_digit(char c); /* its value; -1: it is none */

/* Decimal digits of `number` into `dst` (no terminator); returns how many. */
enum {
    I64_DIGITS_MAX = 20
};
size_t i64_format(char dst[I64_DIGITS_MAX], int64_t number);

/* A growable byte buffer. All zeros is a valid empty buf. */
struct buf {
    char *data;
    size_t size;
    size_t capacity;
};

void buf_done(struct buf *buf); /* frees; the buf is empty again */
enum status buf_reserve(struct buf *buf,
                        size_t more) MUST_USE; /* room for `more` bytes after size */
enum status buf_append(struct buf *buf, const void *data, size_t size) MUST_USE;
enum status buf_append_slice(struct buf *buf, struct slice bytes) MUST_USE;
enum status buf_printf(struct buf *buf, const char *format, ...) MUST_USE
    __attribute__((format(printf, 2, 3)));
void buf_consume(struct buf *buf, size_t size); /* drops the first `size` bytes */
struct slice buf_slice(const struct buf *buf);  /* borrows, until the buf changes */

/* Little-endian words of fixed width, for frames. */
void put_u16le(void *dst, uint16_t word);
void put_u32le(void *dst, uint32_t word);
void put_u64le(void *dst, uint64_t word);
uint16_t get_u16le(const void *src);
uint32_t get_u32le(const void *src);
uint64_t get_u64le(const void *src);

#endif
