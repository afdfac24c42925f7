/* SPDX-License-Identifier: BSD-3-Clause */
/* fields_inner.h -- how the fields of a hash lie in their bytes, as fields.h draws it, for fields.c (reading) and
 * fields_draft.c (writing). */
#ifndef TERRACE_PROTOCOL_FIELDS_INNER_H
#define TERRACE_PROTOCOL_FIELDS_INNER_H

#include "protocol/fields.h"

enum {
    WORD = 4, /* bytes of a word of the head, and of a slot */
    HEAD_FEW = WORD,
    HEAD_MANY = 5 * WORD,
    SIZE_GONE = 254, /* first byte of a gap, whose size follows */
    SIZE_WIDE = 255, /* before a size of four bytes */
    SLOT_EMPTY = 0,
    SLOT_GONE = 1, /* something stood here: a search goes on */
};

#define MANY_FLAG (UINT32_C(1) << 31)

/* Words of the head. */
enum {
    WORD_COUNT,  /* and MANY_FLAG */
    WORD_SLOTS,  /* a power of two */
    WORD_FILLED, /* slots that are not empty */
    WORD_GONE,   /* bytes of gaps */
    WORD_USED,   /* where entries end */
};

static inline uint32_t word(const char *data, unsigned i)
{
    return get_u32le(data + (size_t)i * WORD);
}

static inline bool is_many(const char *data)
{
    return (word(data, WORD_COUNT) & MANY_FLAG) != 0;
}

static inline size_t entries_begin(const char *data)
{
    return is_many(data) ? HEAD_MANY : HEAD_FEW;
}

static inline size_t entries_end(struct slice bytes)
{
    return is_many(bytes.data) ? word(bytes.data, WORD_USED) : bytes.size;
}

/* --- entries ---------------------------------------------------------------------------------------------------- */

struct entry {
    size_t size; /* of all of it */
    bool is_gap;
    struct fields_pair pair;
};

static inline const char *size_read(const char *at, size_t *ret_size)
{
    const unsigned char first = (unsigned char)*at;
    if (first != SIZE_WIDE) {
        *ret_size = first;
        return at + 1;
    }
    *ret_size = get_u32le(at + 1);
    return at + 1 + WORD;
}

static inline struct entry entry_at(const char *data, size_t offset)
{
    struct entry entry = {0};
    const char *begin = data + offset;
    const char *at = begin;
    size_t size = 0;
    if ((unsigned char)*at == SIZE_GONE) {
        at = size_read(at + 1, &size);
        entry.is_gap = true;
    } else {
        at = size_read(at, &entry.pair.field.size);
        at = size_read(at, &entry.pair.value.size);
        entry.pair.field.data = at;
        entry.pair.value.data = at + entry.pair.field.size;
        size = entry.pair.field.size + entry.pair.value.size;
    }
    entry.size = (size_t)(at - begin) + size;
    return entry;
}

/* --- index ------------------------------------------------------------------------------------------------------ */

static inline size_t index_begin(struct slice bytes)
{
    return bytes.size - (size_t)word(bytes.data, WORD_SLOTS) * WORD;
}

static inline uint32_t slot_read(struct slice bytes, size_t slot)
{
    return get_u32le(bytes.data + index_begin(bytes) + slot * WORD);
}

static inline size_t home_of(uint64_t hash, size_t slots)
{
    return (size_t)(hash >> (64 - __builtin_ctzll(slots)));
}

/* Where a search ended: at the entry, or where one may be put. */
struct spot {
    size_t offset; /* 0: it is not there */
    size_t slot;   /* of the index, if there is one; its own, or the first that is free */
};

struct spot fields_spot(struct slice bytes, const struct hash_secret *secret, struct slice field);

#endif
