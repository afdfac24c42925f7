/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/native_read.h"

#include "protocol/check.h"

#include <string.h>

/* Of terrace.proto, message Reply: numbers of fields, and how each begins on the wire. */
enum {
    VARINT = 0,
    BYTES = 2,
    STATE = 1 << 3 | VARINT,
    AGE = 2 << 3 | VARINT,
    TTL = 3 << 3 | VARINT,
    TOKEN = 4 << 3 | BYTES,
    NEAR = 5 << 3 | VARINT,
    INDEX = 8 << 3 | VARINT
};

static inline char *put_varint(char *at, uint64_t number)
{
    for (; number > 127; number >>= 7) {
        *at++ = (char)(number | 128);
    }
    *at++ = (char)number;
    return at;
}

/* Nothing of what is at its default. */
static inline char *put_number(char *at, char begin, uint64_t number)
{
    if (number == 0) {
        return at;
    }
    *at++ = begin;
    return put_varint(at, number);
}

static inline uint64_t zigzag(int64_t number)
{
    return ((uint64_t)number << 1) ^ (number < 0 ? UINT64_MAX : 0);
}

size_t native_read_meta(const struct native_reply *reply, char *dst)
{
    char *at = put_number(dst, STATE, reply->state);
    at = put_number(at, AGE, zigzag(reply->age_ms));
    at = put_number(at, TTL, zigzag(reply->ttl_ms));
    if (reply->token.size > 0) {
        CHECK(reply->token.size <= NATIVE_READ_TOKEN_MAX);
        *at++ = TOKEN;
        at = put_varint(at, reply->token.size);
        memcpy(at, reply->token.data, reply->token.size);
        at += reply->token.size;
    }
    at = put_number(at, NEAR, reply->near_ms);
    at = put_number(at, INDEX, reply->index);
    return (size_t)(at - dst);
}
