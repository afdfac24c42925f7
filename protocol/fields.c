/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/fields.h"

#include "protocol/check.h"
#include "protocol/fields_inner.h"

enum {
    CURSOR_BITS = 32
};

size_t fields_count(struct slice bytes)
{
    return word(bytes.data, WORD_COUNT) & ~MANY_FLAG;
}

bool fields_next(struct slice bytes, size_t *at, struct fields_pair *ret_pair)
{
    size_t offset = *at == 0 ? entries_begin(bytes.data) : *at;
    const size_t end = entries_end(bytes);
    while (offset < end) {
        const struct entry entry = entry_at(bytes.data, offset);
        offset += entry.size;
        if (!entry.is_gap) {
            *ret_pair = entry.pair;
            *at = offset;
            return true;
        }
    }
    return false;
}

static struct spot index_find(struct slice bytes, const struct hash_secret *secret,
                              struct slice field)
{
    const size_t slots = word(bytes.data, WORD_SLOTS);
    size_t slot = home_of(hash_key(secret, field), slots);
    size_t free_slot = SIZE_MAX;
    for (;; slot = (slot + 1) & (slots - 1)) {
        const uint32_t offset = slot_read(bytes, slot);
        if (offset == SLOT_EMPTY) {
            return (struct spot){.slot = free_slot != SIZE_MAX ? free_slot : slot};
        }
        if (offset == SLOT_GONE) {
            free_slot = free_slot != SIZE_MAX ? free_slot : slot;
        } else if (slice_equal(entry_at(bytes.data, offset).pair.field, field)) {
            return (struct spot){.offset = offset, .slot = slot};
        }
    }
}

struct spot fields_spot(struct slice bytes, const struct hash_secret *secret, struct slice field)
{
    if (is_many(bytes.data)) {
        return index_find(bytes, secret, field);
    }
    for (size_t offset = HEAD_FEW; offset < bytes.size;) {
        const struct entry entry = entry_at(bytes.data, offset);
        if (slice_equal(entry.pair.field, field)) {
            return (struct spot){.offset = offset};
        }
        offset += entry.size;
    }
    return (struct spot){0};
}

enum status fields_find(struct slice bytes, const struct hash_secret *secret, struct slice field,
                        struct slice *ret_value)
{
    const struct spot spot = fields_spot(bytes, secret, field);
    if (spot.offset == 0) {
        return MISS;
    }
    *ret_value = entry_at(bytes.data, spot.offset).pair.value;
    return OK;
}

/* --- walking by hash -------------------------------------------------------------------------------------------- */

/* Entries stand at their home or behind it, up to the next empty slot; those of the last homes may go on at slot 0. So a
 * step ends at an empty slot: what has its home before is all visited. */
struct walk {
    struct slice bytes;
    const struct hash_secret *secret;
    size_t slots;
    size_t first; /* home */
    fields_visit_fn *visit;
    void *arg;
    size_t visited;
};

/* Whether the slot is empty; visits what stands there if its home is among those of the step. */
static bool walk_slot(struct walk *walk, size_t slot, bool wrapped)
{
    const uint32_t offset = slot_read(walk->bytes, slot);
    if (offset == SLOT_EMPTY) {
        return true;
    }
    if (offset != SLOT_GONE) {
        const struct entry entry = entry_at(walk->bytes.data, offset);
        const size_t home = home_of(hash_key(walk->secret, entry.pair.field), walk->slots);
        if (home >= walk->first && (home > slot) == wrapped) {
            walk->visit(walk->arg, &entry.pair);
            walk->visited++;
        }
    }
    return false;
}

uint64_t fields_scan(struct slice bytes, const struct hash_secret *secret, uint64_t cursor,
                     size_t count, fields_visit_fn *visit, void *arg)
{
    if (!is_many(bytes.data)) {
        struct fields_pair pair;
        for (size_t at = 0; fields_next(bytes, &at, &pair);) {
            visit(arg, &pair);
        }
        return 0;
    }
    struct walk walk = {.bytes = bytes,
                        .secret = secret,
                        .slots = word(bytes.data, WORD_SLOTS),
                        .visit = visit,
                        .arg = arg};
    const unsigned shift = CURSOR_BITS - (unsigned)__builtin_ctzll(walk.slots);
    walk.first = (size_t)((cursor & UINT32_MAX) >> shift);
    for (size_t slot = walk.first; slot < walk.slots; slot++) {
        if (walk_slot(&walk, slot, false) && walk.visited >= count && slot + 1 < walk.slots) {
            return (uint64_t)(slot + 1) << shift;
        }
    }
    for (size_t slot = 0; slot < walk.first && !walk_slot(&walk, slot, true); slot++) {
    }
    return 0;
}

bool fields_pick(struct slice bytes, uint64_t random, struct fields_pair *ret_pair)
{
    if (is_many(bytes.data)) {
        const uint32_t offset = slot_read(bytes, random & (word(bytes.data, WORD_SLOTS) - 1));
        if (offset == SLOT_EMPTY || offset == SLOT_GONE) {
            return false;
        }
        *ret_pair = entry_at(bytes.data, offset).pair;
        return true;
    }
    size_t at = 0;
    for (uint64_t left = random % fields_count(bytes); left > 0; left--) {
        CHECK(fields_next(bytes, &at, ret_pair));
    }
    return fields_next(bytes, &at, ret_pair);
}
