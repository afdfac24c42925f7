/* SPDX-License-Identifier: BSD-3-Clause */
/* item.h -- one key with its value: an immutable, reference-counted block of memory.
 *
 * Everything is one allocation, as small as its parts allow (bytes; the parts in brackets are there if they are needed):
 *
 *      4 references   2 flags   1|2 key size   1|2|4 value size   [4|5|8 expiry]   [4|5|8 stamp]   key   value
 *
 * so 8 bytes for a short key and value that do not expire, and a cell of an arena has no header of its own. Times are
 * exact to the millisecond: 4 bytes if they lie within 49 days after the arena's base, 5 within 34 years, else, or if the
 * arena has no base, 8. Once it is in L1 an item never changes while anybody but L1 refers to it; whoever changes a key
 * builds another. Replies may therefore borrow the value of an item they hold a reference to, on any thread, for as long
 * as they like. L1 itself may move an item that nobody else refers to (arena.h), or write over it (l1_put).
 *
 * Owns:    its bytes. item_ref / item_release count owners; the last release frees.
 * Threads: ref and release from any; item_new_in, item_release_in, item_copy_in, item_rebuild_in, item_move and
 *          item_set_db under the arena's lock, which looks at flags and keys of items that are only being built.
 * Units:   milliseconds of clock.h; bytes. */
#ifndef TERRACE_TIERS_ITEM_H
#define TERRACE_TIERS_ITEM_H

#include "tiers/arena.h"

#include <string.h>

enum {
    ITEM_NEVER = 0
}; /* expiry of an item that does not expire */

/* What the value is, and how it came to be, which Redis tells by its encoding. */
enum item_look {
    ITEM_LOOK_PLAIN,  /* a string written whole: int, embstr or raw, by its digits and size */
    ITEM_LOOK_COPIED, /* the same, made by COPY: a small integer of its own, not the shared one */
    ITEM_LOOK_STRING, /* the digits of INCRBYFLOAT: never int */
    ITEM_LOOK_RAW,    /* changed in place by APPEND or SETRANGE */
    ITEM_LOOK_PACKED, /* a hash (protocol/fields.h) that Redis would keep as a listpack */
    ITEM_LOOK_TABLE,  /* a hash that it would keep as a hashtable, or did: there is no way back */
    ITEM_LOOK_CLAIM,  /* L1's own: no value */
};

struct item {
    _Atomic uint32_t refs;
    uint16_t flags;
    unsigned char rest[]; /* sizes, times, key, value */
};

/* Of the flags, from the lowest. */
enum {
    ITEM_DB_MASK = 15,
    ITEM_LOOK_SHIFT = 4,
    ITEM_LOOK_MASK = 7,
    ITEM_CAPPED = 1 << 7,
    ITEM_EXPIRY_SHIFT = 8, /* 0 to 3: that part has 0, 4, 5 or 8 bytes */
    ITEM_STAMP_SHIFT = 10,
    ITEM_WIDE_KEY_SHIFT = 12,
    ITEM_VALUE_SHIFT = 13, /* logarithm of the size of that part */
    ITEM_LOOSE = 1 << 15,  /* of malloc, not of an arena */
};

/* What an item is made from. */
struct item_spec {
    struct slice key;  /* copied; below LIMIT_L1_KEY */
    size_t value_size; /* up to LIMIT_BULK */
    int64_t expire_at_ms;
    int64_t stamped_at_ms;
    enum item_look look;
    uint8_t db;
    bool capped;
    bool expires_later; /* item_set_expiry will say when; no expiry so far */
};

/* A new item with one reference, its value uninitialised: write it before publishing. NULL: no memory. */
struct item *item_new(const struct item_spec *spec); /* loose: for what will stand in no L1 */
struct item *item_new_in(struct arena *arena, const struct item_spec *spec);
struct item *item_copy_in(struct arena *arena, const struct item *item);
/* Makes another of the same key of an item that has one reference, the caller's, if it takes as many bytes; its value is to
 * be written then, as of a new one. False: nothing changed. */
bool item_rebuild_in(const struct arena *arena, struct item *item,
                     const struct item_spec *spec) MUST_USE;
char *item_value_room(struct item *item);
/* Copies a value of just the item's size. NULL is fine. Returns its argument. */
struct item *item_write(struct item *item, struct slice value);
void item_set_db(struct item *item, uint8_t db); /* before it stands anywhere */
/* The same, of one that was made to expire later. */
void item_set_expiry(struct item *item, int64_t expire_at_ms);

struct item *item_ref(struct item *item); /* returns its argument; fewer than 2^31 */
void item_release(struct item *item);     /* NULL is fine */
void item_release_in(struct arena *arena, struct item *item); /* the same, by the arena's owner */

/* A reference, if there is just one other: not to one that is gone, whose bytes say nothing. */
bool item_ref_sole(struct item *item) MUST_USE;
/* Into a cell of as many bytes, by whom item_ref_sole gave a reference: `to` has the other one, and `item` is free. */
void item_move(struct item *item, void *to);
bool item_is_in(const struct item *item, const struct arena *arena);
size_t item_footprint(const struct item *item); /* bytes of its cell */

static inline uint8_t item_db(const struct item *item)
{
    return item->flags & ITEM_DB_MASK;
}
static inline enum item_look item_look(const struct item *item)
{
    return (enum item_look)(item->flags >> ITEM_LOOK_SHIFT & ITEM_LOOK_MASK);
}
static inline bool item_is_claim(const struct item *item)
{
    return item_look(item) == ITEM_LOOK_CLAIM;
}
/* Of one that is no claim. */
static inline bool item_is_hash(const struct item *item)
{
    return (item->flags >> ITEM_LOOK_SHIFT & ITEM_LOOK_PACKED) != 0;
}
_Static_assert((ITEM_LOOK_TABLE & ITEM_LOOK_PACKED) != 0 && ITEM_LOOK_PACKED > ITEM_LOOK_RAW,
               "one bit says that a value is a hash");
/* Whether its expiry is its namespace's limit, not what L2 said. */
static inline bool item_is_capped(const struct item *item)
{
    return (item->flags & ITEM_CAPPED) != 0;
}

/* --- where its parts lie ------------------------------------------------------------------------------------------- */

static inline unsigned item_key_part(unsigned flags)
{
    return 1u + (flags >> ITEM_WIDE_KEY_SHIFT & 1);
}
static inline unsigned item_value_part(unsigned flags)
{
    return 1u << (flags >> ITEM_VALUE_SHIFT & 3);
}
static inline unsigned item_time_part(unsigned code)
{
    return 0x8540u >> (code & 3) * 4 & 15;
}
static inline unsigned item_expiry_part(unsigned flags)
{
    return item_time_part(flags >> ITEM_EXPIRY_SHIFT);
}
static inline unsigned item_stamp_part(unsigned flags)
{
    return item_time_part(flags >> ITEM_STAMP_SHIFT);
}
static inline unsigned item_sizes(unsigned flags) /* and where times begin */
{
    return item_key_part(flags) + item_value_part(flags);
}
/* And where the key begins. It is asked for several times in each lookup: a table, by the flags that say it. */
enum {
    ITEM_HEADS = 1 << (15 - ITEM_EXPIRY_SHIFT)
};
extern const uint8_t item_heads[ITEM_HEADS];
static inline unsigned item_head(unsigned flags)
{
    return item_heads[flags >> ITEM_EXPIRY_SHIFT & (ITEM_HEADS - 1)];
}

static inline struct slice item_key(const struct item *item)
{
    const unsigned flags = item->flags;
    uint16_t wide;
    memcpy(&wide, item->rest, sizeof wide);
    return (struct slice){.data = (const char *)item->rest + item_head(flags),
                          .size = item_key_part(flags) == 1 ? item->rest[0] : wide};
}

static inline size_t item_value_size(const struct item *item)
{
    const unsigned flags = item->flags;
    const unsigned char *at = item->rest + item_key_part(flags);
    uint32_t four;
    uint16_t two;
    switch (item_value_part(flags)) {
    case 1: return at[0];
    case 2: memcpy(&two, at, sizeof two); return two;
    default: memcpy(&four, at, sizeof four); return four;
    }
}

static inline struct slice item_value(const struct item *item)
{
    const struct slice key = item_key(item);
    return (struct slice){.data = key.data + key.size, .size = item_value_size(item)};
}

int64_t item_time(const struct item *item, const unsigned char *at, unsigned part);

/* ITEM_NEVER, or the first millisecond at which it is gone. */
static inline int64_t item_expire_at_ms(const struct item *item)
{
    const unsigned part = item_expiry_part(item->flags);
    return part == 0 ? ITEM_NEVER : item_time(item, item->rest + item_sizes(item->flags), part);
}
/* When the read of L2 was issued; 0 for values that L1 itself owns. */
static inline int64_t item_stamped_at_ms(const struct item *item)
{
    const unsigned flags = item->flags;
    const unsigned part = item_stamp_part(flags);
    return part == 0
               ? 0
               : item_time(item, item->rest + item_sizes(flags) + item_expiry_part(flags), part);
}

/* The same two of an item that is known to lie in this arena, as all of a shard do: item_time must look for it. */
static inline int64_t item_time_in(const struct arena *arena, const struct item *item,
                                   const unsigned char *at, unsigned part)
{
    uint32_t since_base;
    memcpy(&since_base, at, sizeof since_base);
    return part == sizeof since_base ? arena_base_ms(arena) + since_base
                                     : item_time(item, at, part);
}
static inline int64_t item_expire_in_ms(const struct arena *arena, const struct item *item)
{
    const unsigned part = item_expiry_part(item->flags);
    return part == 0 ? ITEM_NEVER
                     : item_time_in(arena, item, item->rest + item_sizes(item->flags), part);
}
static inline int64_t item_stamped_in_ms(const struct arena *arena, const struct item *item)
{
    const unsigned part = item_stamp_part(item->flags);
    return part == 0 ? 0
                     : item_time_in(arena, item, item->rest + item_head(item->flags) - part, part);
}

static inline bool item_expired(const struct item *item, int64_t now_ms)
{
    const int64_t expire_at_ms = item_expire_at_ms(item);
    return expire_at_ms != ITEM_NEVER && now_ms >= expire_at_ms;
}

#endif
