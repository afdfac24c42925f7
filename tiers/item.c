/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/item.h"

#include "protocol/check.h"
#include "protocol/limits.h"

#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum {
    ALLOCATOR_HEADER = 8, /* glibc keeps the size of a block in the word before it */
    TIME_NEAR = 4,        /* bytes of a part of times from the base on */
    TIME_FAR = 5,
};

/* Sizes, expiry, stamp: the parts of one after the other in four, eight, sixteen and all of the flags' cases. */
#define HEAD(code)                                                                        \
    (1 + ((code) >> 4 & 1) + (1 << ((code) >> 5 & 3)) + (0x8540 >> ((code)&3) * 4 & 15) + \
     (0x8540 >> ((code) >> 2 & 3) * 4 & 15))
#define HEADS_4(code)  HEAD(code), HEAD((code) + 1), HEAD((code) + 2), HEAD((code) + 3)
#define HEADS_16(code) HEADS_4(code), HEADS_4((code) + 4), HEADS_4((code) + 8), HEADS_4((code) + 12)
const uint8_t item_heads[ITEM_HEADS] = {HEADS_16(0),  HEADS_16(16), HEADS_16(32), HEADS_16(48),
                                        HEADS_16(64), HEADS_16(80), HEADS_16(96), HEADS_16(112)};

#define ITEM_REFS_MAX (UINT32_C(1) << 31)

int64_t item_time(const struct item *item, const unsigned char *at, unsigned part)
{
    int64_t time_ms;
    uint32_t since_base;
    if (part == sizeof time_ms) {
        memcpy(&time_ms, at, sizeof time_ms);
        return time_ms;
    }
    memcpy(&since_base, at, sizeof since_base);
    const int64_t high = part == TIME_FAR ? (int64_t)at[TIME_NEAR] << (TIME_NEAR * 8) : 0;
    return arena_base_ms(arena_of(item)) + high + since_base;
}

/* How a time is told, as flags say it. `arena` NULL: there is no base. */
static unsigned time_code(const struct arena *arena, int64_t time_ms)
{
    if (time_ms == 0) {
        return 0;
    }
    if (arena == NULL || arena_base_ms(arena) == 0) {
        return 3;
    }
    uint64_t since_base = (uint64_t)time_ms - (uint64_t)arena_base_ms(arena);
    if (since_base >> (TIME_NEAR * 8) == 0) {
        return 1;
    }
    return since_base >> (TIME_FAR * 8) == 0 ? 2 : 3;
}

static unsigned char *time_write(const struct arena *arena, unsigned char *at, unsigned part,
                                 int64_t time_ms)
{
    if (part > 0) {
        const int64_t told_ms = part == sizeof time_ms ? time_ms : time_ms - arena_base_ms(arena);
        memcpy(at, &told_ms, part); /* the low bytes come first on this machine */
    }
    return at + part;
}

static unsigned flags_of(const struct arena *arena, const struct item_spec *spec)
{
    const unsigned value_log = spec->value_size <= UINT8_MAX    ? 0
                               : spec->value_size <= UINT16_MAX ? 1
                                                                : 2;
    return spec->db | (unsigned)spec->look << ITEM_LOOK_SHIFT | (spec->capped ? ITEM_CAPPED : 0u) |
           (spec->expires_later ? 3u : time_code(arena, spec->expire_at_ms)) << ITEM_EXPIRY_SHIFT |
           time_code(arena, spec->stamped_at_ms) << ITEM_STAMP_SHIFT |
           (spec->key.size > UINT8_MAX ? 1u << ITEM_WIDE_KEY_SHIFT : 0u) |
           value_log << ITEM_VALUE_SHIFT | (arena == NULL ? ITEM_LOOSE : 0u);
}

static unsigned char *describe_times(const struct arena *arena, unsigned char *at, unsigned flags,
                                     const struct item_spec *spec)
{
    at = time_write(arena, at, item_expiry_part(flags), spec->expire_at_ms);
    return time_write(arena, at, item_stamp_part(flags), spec->stamped_at_ms);
}

/* All but references and value. */
static void describe(const struct arena *arena, struct item *item, unsigned flags,
                     const struct item_spec *spec)
{
    item->flags = (uint16_t)flags;
    const uint16_t key_size = (uint16_t)spec->key.size;
    const uint32_t value_size = (uint32_t)spec->value_size;
    unsigned char *at = item->rest;
    memcpy(at, &key_size, item_key_part(flags));
    at += item_key_part(flags);
    memcpy(at, &value_size, item_value_part(flags));
    at += item_value_part(flags);
    at = describe_times(arena, at, flags, spec);
    if (spec->key.size > 0) {
        memcpy(at, spec->key.data, spec->key.size);
    }
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "sizes are cut to their low bytes");

static size_t size_of(unsigned flags, size_t key_size, size_t value_size)
{
    return offsetof(struct item, rest) + item_head(flags) + key_size + value_size;
}

static struct item *build(struct arena *arena, const struct item_spec *spec)
{
    CHECK(spec->key.size < LIMIT_L1_KEY && spec->value_size <= LIMIT_BULK &&
          spec->db <= ITEM_DB_MASK);
    const unsigned flags = flags_of(arena, spec);
    const size_t size = size_of(flags, spec->key.size, spec->value_size);
    struct item *item = arena == NULL ? malloc(size) : arena_alloc(arena, size);
    if (item != NULL) {
        atomic_store_explicit(&item->refs, 1, memory_order_relaxed);
        describe(arena, item, flags, spec);
    }
    return item;
}

bool item_rebuild_in(const struct arena *arena, struct item *item, const struct item_spec *spec)
{
    CHECK(spec->key.size < LIMIT_L1_KEY && spec->value_size <= LIMIT_BULK &&
          spec->db <= ITEM_DB_MASK);
    const unsigned flags = flags_of(arena, spec);
    /* Acquire: whoever held it has read all it wanted to (let_go). */
    if (atomic_load_explicit(&item->refs, memory_order_acquire) != 1) {
        return false;
    }
    if (flags == item->flags && spec->value_size == item_value_size(item)) {
        describe_times(arena, item->rest + item_sizes(flags), flags, spec);
        return true;
    }
    if (size_of(flags, spec->key.size, spec->value_size) !=
        size_of(item->flags, item_key(item).size, item_value_size(item))) {
        return false;
    }
    describe(arena, item, flags, spec);
    return true;
}

struct item *item_new(const struct item_spec *spec)
{
    return build(NULL, spec);
}

struct item *item_new_in(struct arena *arena, const struct item_spec *spec)
{
    return build(arena, spec);
}

struct item *item_copy_in(struct arena *arena, const struct item *item)
{
    const struct slice value = item_value(item);
    const struct item_spec spec = {
        .key = item_key(item),
        .value_size = value.size,
        .expire_at_ms = item_expire_at_ms(item),
        .stamped_at_ms = item_stamped_at_ms(item),
        .look = item_look(item),
        .db = item_db(item),
        .capped = item_is_capped(item),
    };
    return item_write(build(arena, &spec), value);
}

char *item_value_room(struct item *item)
{
    const struct slice key = item_key(item);
    return (char *)item->rest + item_head(item->flags) + key.size;
}

struct item *item_write(struct item *item, struct slice value)
{
    if (item != NULL && value.size > 0) {
        CHECK(value.size == item_value_size(item));
        memcpy(item_value_room(item), value.data, value.size);
    }
    return item;
}

void item_set_db(struct item *item, uint8_t db)
{
    CHECK(db <= ITEM_DB_MASK);
    item->flags = (uint16_t)((item->flags & ~(unsigned)ITEM_DB_MASK) | db);
}

void item_set_expiry(struct item *item, int64_t expire_at_ms)
{
    CHECK(item_expiry_part(item->flags) == sizeof expire_at_ms);
    memcpy(item->rest + item_sizes(item->flags), &expire_at_ms, sizeof expire_at_ms);
}

struct item *item_ref(struct item *item)
{
    /* Each is in somebody's hands, so that more than a few million are a leak; at 2^32 it would be used after it is free. */
    CHECK(atomic_fetch_add_explicit(&item->refs, 1, memory_order_relaxed) < ITEM_REFS_MAX);
    return item;
}

/* Whether that was the last reference. Acquire and release: whoever frees must see the last reads of all others done. */
static bool let_go(struct item *item)
{
    uint32_t before = atomic_fetch_sub_explicit(&item->refs, 1, memory_order_acq_rel);
    CHECK(before > 0);
    return before == 1;
}

void item_release(struct item *item)
{
    if (item == NULL || !let_go(item)) {
        return;
    }
    if ((item->flags & ITEM_LOOSE) != 0) {
        free(item);
    } else {
        arena_free_remote(item);
    }
}

void item_release_in(struct arena *arena, struct item *item)
{
    if (item == NULL || !let_go(item)) {
        return;
    }
    if (item_is_in(item, arena)) {
        arena_free(arena, item);
    } else if ((item->flags & ITEM_LOOSE) != 0) {
        free(item);
    } else {
        arena_free_remote(item);
    }
}

bool item_ref_sole(struct item *item)
{
    uint32_t sole = 1;
    return atomic_compare_exchange_strong_explicit(&item->refs, &sole, 2, memory_order_acquire,
                                                   memory_order_relaxed);
}

void item_move(struct item *item, void *to)
{
    const struct slice value = item_value(item);
    struct item *moved = to;
    memcpy(to, item, (size_t)(value.data + value.size - (const char *)item));
    atomic_store_explicit(&moved->refs, 1, memory_order_relaxed);
    atomic_store_explicit(&item->refs, 0, memory_order_relaxed);
}

bool item_is_in(const struct item *item, const struct arena *arena)
{
    return (item->flags & ITEM_LOOSE) == 0 && arena_of(item) == arena;
}

size_t item_footprint(const struct item *item)
{
    return (item->flags & ITEM_LOOSE) != 0
               ? malloc_usable_size((void *)(uintptr_t)item) + ALLOCATOR_HEADER
               : arena_cell_size(item);
}
