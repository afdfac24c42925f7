/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/unpack.h"

#include <string.h>

void unpack_begin(struct unpack *unpack, uint64_t size, const struct envelope *envelope)
{
    const uint64_t end = size - 2;
    char digits[I64_DIGITS_MAX];
    uint64_t total = 0; /* of the envelope: what its head and the reply's have between them */
    for (size_t head = 4;; head++) { /* "$", a digit at least, a line end */
        total = end - head;
        if (i64_format(digits, (int64_t)total) + 3 == head) {
            unpack->reply_head = head;
            break;
        }
    }
    unpack->before = end - envelope->value_size;
    unpack->end = end;
    unpack->at = 0;
}

/* The part of [at, at + size) that lies in [from, to). */
static struct slice within(const struct unpack *unpack, struct slice bytes, uint64_t from,
                           uint64_t to)
{
    const uint64_t begins = unpack->at > from ? unpack->at : from;
    const uint64_t all = unpack->at + bytes.size;
    const uint64_t ends = all < to ? all : to;
    if (begins >= ends) {
        return (struct slice){0};
    }
    return (struct slice){.data = bytes.data + (begins - unpack->at),
                          .size = (size_t)(ends - begins)};
}

enum status unpack_take(struct unpack *unpack, struct slice *bytes)
{
    const struct slice in = *bytes;
    const uint64_t body = unpack->reply_head + ENVELOPE_HEAD_SIZE; /* metadata, and the value */
    const struct slice head = within(unpack, in, unpack->reply_head, body);
    const struct slice rest = within(unpack, in, body, unpack->end);
    const bool was_whole = unpack->at >= unpack->end;
    if (head.size > 0) {
        const uint64_t at = unpack->at > unpack->reply_head ? unpack->at - unpack->reply_head : 0;
        memcpy(unpack->head + at, head.data, head.size);
        if (at + head.size == ENVELOPE_HEAD_SIZE) {
            envelope_sum_begin(&unpack->sum, unpack->head);
        }
    }
    if (rest.size > 0) {
        hash_sum_add(&unpack->sum, rest);
    }
    *bytes = within(unpack, in, unpack->before, unpack->end + 2);
    unpack->at += in.size;
    if (!was_whole && unpack->at >= unpack->end && !envelope_sum_fits(&unpack->sum, unpack->head)) {
        *bytes = (struct slice){0};
        return MALFORMED;
    }
    return OK;
}
