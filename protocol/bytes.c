/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/bytes.h"

#include "protocol/check.h"

#include <endian.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BUF_CAPACITY_MIN = 64
};

struct slice slice_of(const char *text)
{
    return (struct slice){.data = text, .size = strlen(text)};
}

bool slice_equal(struct slice a, struct slice b)
{
    /* memcmp must not see the NULL of an empty slice. */
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* Not tolower(): that asks the locale. */
static unsigned char ascii_lower(char c)
{
    const unsigned char byte = (unsigned char)c;
    return byte >= 'A' && byte <= 'Z' ? (unsigned char)(byte | 0x20) : byte;
}

bool slice_equal_nocase(struct slice a, struct slice b)
{
    if (a.size != b.size) {
        return false;
    }
    for (size_t i = 0; i < a.size; i++) {
        if (ascii_lower(a.data[i]) != ascii_lower(b.data[i])) {
            return false;
        }
    }
    return true;
}

bool slice_is(struct slice a, const char *text)
{
    return slice_equal(a, slice_of(text));
}

static bool is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

bool slice_has_prefix(struct slice text, struct slice prefix)
{
    return text.size >= prefix.size &&
           (prefix.size == 0 || memcmp(text.data, prefix.data, prefix.size) == 0);
}

bool slice_begins(struct slice text, const char *head)
{
    return slice_has_prefix(text, slice_of(head));
}

struct slice slice_trim(struct slice text, const char *separators)
{
    while (text.size > 0 && is_one_of(text.data[0], separators)) {
        text = (struct slice){text.data + 1, text.size - 1};
    }
    while (text.size > 0 && is_one_of(text.data[text.size - 1], separators)) {
        text.size--;
    }
    return text;
}

void slice_to_text(struct slice text, char other, char *dst, size_t room)
{
    const size_t size = text.size < room ? text.size : room - 1;
    for (size_t i = 0; i < size; i++) {
        const bool is_printable = text.data[i] >= ' ' && text.data[i] <= '~';
        dst[i] = is_printable ? text.data[i] : other;
    }
    dst[size] = '\0';
}

struct slice slice_next_word(struct slice *rest, const char *separators)
{
    if (rest->size == 0) { /* it may have no address */
        return *rest;
    }
    size_t begin = 0;
    while (begin < rest->size && is_one_of(rest->data[begin], separators)) {
        begin++;
    }
    size_t end = begin;
    while (end < rest->size && !is_one_of(rest->data[end], separators)) {
        end++;
    }
    const struct slice word = {rest->data + begin, end - begin};
    *rest = (struct slice){rest->data + end, rest->size - end};
    return word;
}

enum status slice_to_u64(struct slice text, uint64_t *ret_number)
{
    if (text.size == 0 || text.size > I64_DIGITS_MAX) {
        return MALFORMED;
    }
    if (text.data[0] == '0' && text.size > 1) {
        return MALFORMED;
    }
    uint64_t number = 0;
    for (size_t i = 0; i < text.size; i++) {
        const unsigned digit = (unsigned)(unsigned char)text.data[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(number, UINT64_C(10), &number) ||
            __builtin_add_overflow(number, (uint64_t)digit, &number)) {
            return MALFORMED;
        }
    }
    *ret_number = number;
    return OK;
}

enum status slice_to_i64(struct slice text, int64_t *ret_number)
{
    const bool negative = text.size > 0 && text.data[0] == '-';
    if (negative) {
        text.data++;
        text.size--;
    }
    uint64_t magnitude = 0;
    if (slice_to_u64(text, &magnitude) != OK) {
        return MALFORMED;
    }
    if (!negative) {
        if (magnitude > INT64_MAX) {
            return MALFORMED;
        }
        *ret_number = (int64_t)magnitude;
        return OK;
    }
    if (magnitude == 0 || magnitude > (uint64_t)INT64_MAX + 1) { /* "-0" is not a number either */
        return MALFORMED;
    }
    *ret_number = -(int64_t)(magnitude - 1) - 1;
    return OK;
}

/* From `at` on; where they end. */
static size_t skip_digits(struct slice text, size_t at)
{
    while (at < text.size && text.data[at] >= '0' && text.data[at] <= '9') {
        at++;
    }
    return at;
}

enum status slice_to_real(struct slice text, double *ret)
{
    char copy[SLICE_REAL_MAX + 1] = "";
    const size_t first = text.size > 0 && text.data[0] == '-' ? 1 : 0;
    const size_t point = skip_digits(text, first);
    const bool has_zero = point > first + 1 && text.data[first] == '0';
    if (text.size > SLICE_REAL_MAX || point == first || has_zero || point + 1 >= text.size ||
        text.data[point] != '.' || skip_digits(text, point + 1) != text.size) {
        return MALFORMED;
    }
    memcpy(copy, text.data, text.size); /* a slice has no end of its own */
    *ret = strtod(copy, NULL);
    return OK;
}

int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    const char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

size_t i64_format(char dst[I64_DIGITS_MAX], int64_t number)
{
    char digits[I64_DIGITS_MAX];
    size_t first = sizeof digits;
    uint64_t magnitude = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    do {
        digits[--first] = (char)('0' + magnitude % 10);
        magnitude /= 10;
    } while (magnitude != 0);
    if (number < 0) {
        digits[--first] = '-';
    }
    memcpy(dst, digits + first, sizeof digits - first);
    return sizeof digits - first;
}

void buf_done(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){0};
}

enum status buf_reserve(struct buf *buf, size_t more)
{
    if (more <= buf->capacity - buf->size) {
        return OK;
    }
    size_t need = 0;
    if (__builtin_add_overflow(buf->size, more, &need) || need > SIZE_MAX / 2) {
        return NO_MEMORY;
    }
    size_t capacity = buf->capacity * 2;
    capacity = capacity > need ? capacity : need;
    capacity = capacity > BUF_CAPACITY_MIN ? capacity : BUF_CAPACITY_MIN;
    char *data = realloc(buf->data, capacity);
    if (data == NULL) {
        return NO_MEMORY;
    }
    buf->data = data;
    buf->capacity = capacity;
    return OK;
}

enum status buf_append(struct buf *buf, const void *data, size_t size)
{
    if (size == 0) {
        return OK;
    }
    const enum status status = buf_reserve(buf, size);
    if (status != OK) {
        return status;
    }
    memcpy(buf->data + buf->size, data, size);
    buf->size += size;
    return OK;
}

enum status buf_append_slice(struct buf *buf, struct slice bytes)
{
    return buf_append(buf, bytes.data, bytes.size);
}

/* Formats into the room there is; answers how many bytes the text has, -1 if it cannot be formatted. */
static int __attribute__((format(printf, 2, 0)))
room_printf(struct buf *buf, const char *format, va_list args)
{
    const size_t room = buf->capacity - buf->size;
    return vsnprintf(room > 0 ? buf->data + buf->size : NULL, room, format, args);
}

enum status buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_list args_again;
    va_start(args, format);
    va_copy(args_again, args);
    enum status status = OK;
    const int size = room_printf(buf, format, args);
    CHECK(size >= 0);
    if ((size_t)size >= buf->capacity - buf->size) { /* vsnprintf also wants room for its NUL */
        status = buf_reserve(buf, (size_t)size + 1);
        if (status == OK) {
            (void)room_printf(buf, format, args_again);
        }
    }
    if (status == OK) {
        buf->size += (size_t)size;
    }
    va_end(args_again);
    va_end(args);
    return status;
}

void buf_consume(struct buf *buf, size_t size)
{
    CHECK(size <= buf->size);
    buf->size -= size;
    if (size > 0 && buf->size > 0) {
        memmove(buf->data, buf->data + size, buf->size);
    }
}

struct slice buf_slice(const struct buf *buf)
{
    return (struct slice){.data = buf->data, .size = buf->size};
}

/* memcpy: the words of a frame are not aligned. */
void put_u16le(void *dst, uint16_t word)
{
    word = htole16(word);
    memcpy(dst, &word, sizeof word);
}

void put_u32le(void *dst, uint32_t word)
{
    word = htole32(word);
    memcpy(dst, &word, sizeof word);
}

void put_u64le(void *dst, uint64_t word)
{
    word = htole64(word);
    memcpy(dst, &word, sizeof word);
}

uint16_t get_u16le(const void *src)
{
    uint16_t word;
    memcpy(&word, src, sizeof word);
    return le16toh(word);
}

uint32_t get_u32le(const void *src)
{
    uint32_t word;
    memcpy(&word, src, sizeof word);
    return le32toh(word);
}

uint64_t get_u64le(const void *src)
{
    uint64_t word;
    memcpy(&word, src, sizeof word);
    return le64toh(word);
}
