/* SPDX-License-Identifier: BSD-3-Clause */
/* fields_draft.c -- the fields of a hash that are changed, or made of what L2 said. */
#include "protocol/check.h"
#include "protocol/fields_inner.h"
#include "protocol/resp_read.h"

#include <string.h>

enum {
    SLOTS_MIN = 16
};

static void set_word(char *data, unsigned i, size_t value)
{
    put_u32le(data + (size_t)i * WORD, (uint32_t)value);
}

/* --- entries ---------------------------------------------------------------------------------------------------- */

static size_t size_part(size_t size)
{
    return size < SIZE_GONE ? 1 : 1 + WORD;
}

static char *size_write(char *at, size_t size)
{
    if (size < SIZE_GONE) {
        *at = (char)size;
        return at + 1;
    }
    *at = (char)SIZE_WIDE;
    put_u32le(at + 1, (uint32_t)size);
    return at + 1 + WORD;
}

static size_t entry_size(const struct fields_pair *pair)
{
    return size_part(pair->field.size) + size_part(pair->value.size) + pair->field.size +
           pair->value.size;
}

static void bytes_write(char *at, struct slice bytes)
{
    if (bytes.size > 0) {
        memcpy(at, bytes.data, bytes.size);
    }
}

static void entry_write(char *at, const struct fields_pair *pair)
{
    at = size_write(at, pair->field.size);
    at = size_write(at, pair->value.size);
    bytes_write(at, pair->field);
    bytes_write(at + pair->field.size, pair->value);
}

/* An entry has two bytes at least: so much a gap needs to say how long it is. */
static void gap_write(char *at, size_t size)
{
    *at = (char)SIZE_GONE;
    const size_t rest = size - 2;
    if (rest < SIZE_GONE) {
        (void)size_write(at + 1, rest);
    } else {
        at[1] = (char)SIZE_WIDE;
        put_u32le(at + 2, (uint32_t)(rest - WORD));
    }
}

static void slot_write(char *data, size_t size, size_t slot, size_t offset)
{
    put_u32le(data + index_begin((struct slice){data, size}) + slot * WORD, (uint32_t)offset);
}

/* --- drafts ------------------------------------------------------------------------------------------------------- */

struct slice fields_bytes(const struct fields_draft *draft)
{
    return buf_slice(&draft->bytes);
}

void fields_close(struct fields_draft *draft)
{
    buf_done(&draft->bytes);
}

enum status fields_open(struct fields_draft *draft, const struct hash_secret *secret,
                        struct slice bytes, size_t more)
{
    *draft = (struct fields_draft){.secret = secret};
    const size_t room = more < FIELDS_SMALL ? more : FIELDS_SMALL;
    const enum status status = buf_reserve(&draft->bytes, bytes.size + HEAD_FEW + room);
    if (status != OK) {
        return status;
    }
    if (bytes.size > 0) {
        return buf_append_slice(&draft->bytes, bytes);
    }
    draft->bytes.size = HEAD_FEW;
    set_word(draft->bytes.data, WORD_COUNT, 0);
    return OK;
}

static size_t slots_for(size_t count)
{
    size_t slots = SLOTS_MIN;
    while (slots * 2 < count * 3) {
        slots *= 2;
    }
    return slots;
}

/* Into a new index, which has room. */
static void index_put(char *data, size_t size, const struct hash_secret *secret, struct slice field,
                      size_t offset)
{
    const struct slice bytes = {data, size};
    const size_t slots = word(data, WORD_SLOTS);
    size_t slot = home_of(hash_key(secret, field), slots);
    while (slot_read(bytes, slot) != SLOT_EMPTY) {
        slot = (slot + 1) & (slots - 1);
    }
    slot_write(data, size, slot, offset);
}

/* Made anew, without gaps, with `room` behind the entries; with an index if there are many, or will be with one more. */
static enum status rebuild(struct fields_draft *draft, size_t room)
{
    const struct slice old = fields_bytes(draft);
    const size_t count = fields_count(old);
    const size_t gone = is_many(old.data) ? word(old.data, WORD_GONE) : 0;
    const size_t entries = entries_end(old) - entries_begin(old.data) - gone;
    const bool many = count > FIELDS_FEW || HEAD_FEW + entries > FIELDS_SMALL;
    const size_t slots = many ? slots_for(count + 1) : 0;
    const size_t head = many ? HEAD_MANY : HEAD_FEW;
    const size_t size = head + entries + (many ? room : 0) + slots * WORD;
    struct buf made = {0};
    if (size > FIELDS_BYTES_MAX) {
        return TOO_BIG;
    }
    enum status status = buf_reserve(&made, size);
    if (status != OK) {
        return status;
    }
    made.size = size;
    set_word(made.data, WORD_COUNT, count | (many ? MANY_FLAG : 0));
    if (many) {
        set_word(made.data, WORD_SLOTS, slots);
        set_word(made.data, WORD_FILLED, count);
        set_word(made.data, WORD_GONE, 0);
        set_word(made.data, WORD_USED, head + entries);
        memset(made.data + size - slots * WORD, SLOT_EMPTY, slots * WORD);
        memset(made.data + head + entries, 0, room);
    }
    struct fields_pair pair;
    size_t offset = head;
    for (size_t at = 0; fields_next(old, &at, &pair); offset += entry_size(&pair)) {
        entry_write(made.data + offset, &pair);
        if (many) {
            index_put(made.data, size, draft->secret, pair.field, offset);
        }
    }
    CHECK(offset == head + entries);
    buf_done(&draft->bytes);
    draft->bytes = made;
    return OK;
}

/* Makes place for `more` bytes at `offset` of few fields, or takes away -more. */
static enum status move_few(struct fields_draft *draft, size_t offset, size_t before, size_t after)
{
    struct buf *bytes = &draft->bytes;
    if (after > before) {
        if (bytes->size + after - before > FIELDS_BYTES_MAX) {
            return TOO_BIG;
        }
        const enum status status = buf_reserve(bytes, after - before);
        if (status != OK) {
            return status;
        }
    }
    char *at = bytes->data + offset;
    memmove(at + after, at + before, bytes->size - offset - before);
    bytes->size += after - before;
    return OK;
}

static enum status set_few(struct fields_draft *draft, const struct fields_pair *pair,
                           bool *ret_is_new)
{
    const struct spot spot = fields_spot(fields_bytes(draft), draft->secret, pair->field);
    *ret_is_new = spot.offset == 0;
    const size_t offset = *ret_is_new ? draft->bytes.size : spot.offset;
    const size_t before = *ret_is_new ? 0 : entry_at(draft->bytes.data, offset).size;
    const enum status status = move_few(draft, offset, before, entry_size(pair));
    if (status != OK) {
        return status;
    }
    entry_write(draft->bytes.data + offset, pair);
    set_word(draft->bytes.data, WORD_COUNT, word(draft->bytes.data, WORD_COUNT) + *ret_is_new);
    return OK;
}

/* So that `size` more bytes and one more slot are there. */
static enum status reserve_many(struct fields_draft *draft, size_t size)
{
    struct buf *bytes = &draft->bytes;
    const size_t slots = word(bytes->data, WORD_SLOTS);
    const size_t used = word(bytes->data, WORD_USED);
    const size_t room = size + used / 8;
    if (((size_t)word(bytes->data, WORD_FILLED) + 1) * 4 > slots * 3) {
        return rebuild(draft, room);
    }
    const size_t index = slots * WORD;
    if (used + size <= bytes->size - index) {
        return OK;
    }
    if (bytes->size + room > FIELDS_BYTES_MAX) {
        return TOO_BIG;
    }
    const enum status status = buf_reserve(bytes, room);
    if (status != OK) {
        return status;
    }
    char *begin = bytes->data + bytes->size - index;
    memmove(begin + room, begin, index);
    memset(begin, 0, room);
    bytes->size += room;
    return OK;
}

static void leave_gap(char *data, size_t offset)
{
    const size_t size = entry_at(data, offset).size;
    gap_write(data + offset, size);
    set_word(data, WORD_GONE, word(data, WORD_GONE) + size);
}

static enum status set_many(struct fields_draft *draft, const struct fields_pair *pair,
                            bool *ret_is_new)
{
    struct slice bytes = fields_bytes(draft);
    struct spot spot = fields_spot(bytes, draft->secret, pair->field);
    *ret_is_new = spot.offset == 0;
    if (!*ret_is_new && entry_at(bytes.data, spot.offset).size == entry_size(pair)) {
        entry_write(draft->bytes.data + spot.offset, pair);
        return OK;
    }
    const enum status status = reserve_many(draft, entry_size(pair));
    if (status != OK) {
        return status;
    }
    bytes = fields_bytes(draft); /* perhaps made anew */
    if (!is_many(bytes.data)) {
        return set_few(draft, pair, ret_is_new);
    }
    spot = fields_spot(bytes, draft->secret, pair->field);
    char *data = draft->bytes.data;
    const size_t offset = word(data, WORD_USED);
    if (*ret_is_new) {
        const bool was_empty = slot_read(bytes, spot.slot) == SLOT_EMPTY;
        set_word(data, WORD_FILLED, word(data, WORD_FILLED) + was_empty);
        set_word(data, WORD_COUNT, word(data, WORD_COUNT) + 1);
    } else {
        leave_gap(data, spot.offset);
    }
    entry_write(data + offset, pair);
    set_word(data, WORD_USED, offset + entry_size(pair));
    slot_write(data, draft->bytes.size, spot.slot, offset);
    return OK;
}

/* Few have become many, or gaps are a third of all. Without memory it stays as it is, which is right, too, but slow. */
static void settle(struct fields_draft *draft)
{
    const struct slice bytes = fields_bytes(draft);
    if (!is_many(bytes.data)) {
        if (fields_count(bytes) > FIELDS_FEW || bytes.size > FIELDS_SMALL) {
            (void)!rebuild(draft, bytes.size / 8);
        }
    } else if ((size_t)word(bytes.data, WORD_GONE) * 3 > word(bytes.data, WORD_USED)) {
        (void)!rebuild(draft, 0);
    }
}

enum status fields_set(struct fields_draft *draft, struct slice field, struct slice value,
                       bool *ret_is_new)
{
    const struct fields_pair pair = {.field = field, .value = value};
    if (field.size > FIELDS_BYTES_MAX || value.size > FIELDS_BYTES_MAX - field.size) {
        return TOO_BIG;
    }
    const enum status status = is_many(draft->bytes.data) ? set_many(draft, &pair, ret_is_new)
                                                          : set_few(draft, &pair, ret_is_new);
    if (status == OK) {
        settle(draft);
    }
    return status;
}

/* A slot before an empty one need not say that something stood there. */
static void slot_free(char *data, size_t size, size_t slot)
{
    const struct slice bytes = {data, size};
    const size_t slots = word(data, WORD_SLOTS);
    slot_write(data, size, slot, SLOT_GONE);
    if (slot_read(bytes, (slot + 1) & (slots - 1)) != SLOT_EMPTY) {
        return;
    }
    for (; slot_read(bytes, slot) == SLOT_GONE; slot = (slot - 1) & (slots - 1)) {
        slot_write(data, size, slot, SLOT_EMPTY);
        set_word(data, WORD_FILLED, word(data, WORD_FILLED) - 1);
    }
}

bool fields_remove(struct fields_draft *draft, struct slice field)
{
    const struct spot spot = fields_spot(fields_bytes(draft), draft->secret, field);
    char *data = draft->bytes.data;
    if (spot.offset == 0) {
        return false;
    }
    set_word(data, WORD_COUNT, word(data, WORD_COUNT) - 1);
    if (!is_many(data)) {
        CHECK(move_few(draft, spot.offset, entry_at(data, spot.offset).size, 0) == OK);
        return true;
    }
    leave_gap(data, spot.offset);
    slot_free(data, draft->bytes.size, spot.slot);
    settle(draft);
    return true;
}

/* --- from L2 ------------------------------------------------------------------------------------------------------ */

static enum status read_bulk(struct reply_cursor *cursor, struct slice *ret_bytes)
{
    struct reply_element element;
    if (reply_next(cursor, &element) != OK || element.type != REPLY_BULK) {
        return MALFORMED;
    }
    *ret_bytes = element.text;
    return OK;
}

static enum status read_array(struct reply_cursor *cursor, int64_t *ret_count)
{
    struct reply_element element;
    if (reply_next(cursor, &element) != OK || element.type != REPLY_ARRAY) {
        return MALFORMED;
    }
    *ret_count = element.number;
    return OK;
}

enum status fields_read_scan(struct fields_draft *draft, struct slice reply)
{
    struct reply_cursor cursor = {reply};
    struct slice next;
    int64_t count = 0;
    if (read_array(&cursor, &count) != OK || count != 2 || read_bulk(&cursor, &next) != OK ||
        read_array(&cursor, &count) != OK || count % 2 != 0) {
        return MALFORMED;
    }
    if (!slice_is(next, "0")) {
        return TOO_BIG;
    }
    for (int64_t i = 0; i < count; i += 2) {
        struct fields_pair pair;
        bool is_new = false;
        if (read_bulk(&cursor, &pair.field) != OK || read_bulk(&cursor, &pair.value) != OK) {
            return MALFORMED;
        }
        const enum status status = fields_set(draft, pair.field, pair.value, &is_new);
        if (status != OK) {
            return status;
        }
    }
    return count == 0 ? MISS : OK;
}
