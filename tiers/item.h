/* SPDX-License-Identifier: BSD-3-Clause */
/* item.h -- one key with its value: an immutable, reference-counted block of memory.
 *
 * Header, key and value are one allocation, so an item costs one cache miss and one malloc. Once it is in L1 its key
 * and value never change; whoever changes a key builds another item. Replies may therefore borrow the value of an item
 * they hold a reference to, on any thread, for as long as they like.
 *
 * What does change is `use`: the policy's word, written by whoever holds the shard lock.
 *
 * Owns:    its bytes. item_ref / item_release count owners; the last release frees.
 * Threads: ref and release from any; the fields below `use` are read-only after item_new and the setters before publishing.
 * Units:   milliseconds of clock.h; bytes. */
#ifndef TERRACE_TIERS_ITEM_H
#define TERRACE_TIERS_ITEM_H

#include "protocol/bytes.h"

#include <stdatomic.h>

enum {
    ITEM_NEVER = 0
}; /* expire_at_ms of an item that does not expire */

/* How the value came to be, which Redis tells by its encoding. */
enum item_look {
    ITEM_LOOK_PLAIN,  /* written whole: int, embstr or raw, by its digits and size */
    ITEM_LOOK_COPIED, /* the same, made by COPY: a small integer of its own, not the shared one */
    ITEM_LOOK_STRING, /* the digits of INCRBYFLOAT: never int */
    ITEM_LOOK_RAW,    /* changed in place by APPEND or SETRANGE */
};

struct item {
    _Atomic uint32_t refs;
    uint32_t value_size;
    uint16_t key_size;
    uint8_t db;
    uint8_t kind : 4;     /* L1's own: value or claim */
    uint8_t look : 3;     /* enum item_look: what OBJECT ENCODING says of it */
    bool capped : 1;      /* expire_at_ms is its namespace's limit, not what L2 said */
    uint32_t use;         /* policy word, under the shard lock */
    int64_t expire_at_ms; /* ITEM_NEVER or the first millisecond at which it is gone */
    int64_t
        stamped_at_ms; /* when the L2 read was issued; 0 for values that L1 itself owns (no L2) */
    char bytes[];      /* key, then value */
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
};

/* A new item with one reference, its value uninitialised: write it before publishing. NULL: no memory. */
struct item *item_new(const struct item_spec *spec);
char *item_value_room(struct item *item);
/* Copies a value of just the item's size. NULL is fine. Returns its argument. */
struct item *item_write(struct item *item, struct slice value);
void item_set_look(struct item *item, enum item_look look); /* these two before publishing only */
void item_set_db(struct item *item, uint8_t db);

struct item *item_ref(struct item *item); /* returns its argument */
void item_release(struct item *item);     /* NULL is fine */

struct slice item_key(const struct item *item);
struct slice item_value(const struct item *item);
size_t item_footprint(const struct item *item); /* real bytes, the allocator's overhead included */

static inline uint8_t item_db(const struct item *item)
{
    return item->db;
}
static inline enum item_look item_look(const struct item *item)
{
    return (enum item_look)item->look;
}
/* Whether its expiry is its namespace's limit, not what L2 said. */
static inline bool item_is_capped(const struct item *item)
{
    return item->capped;
}
/* ITEM_NEVER, or the first millisecond at which it is gone. */
static inline int64_t item_expire_at_ms(const struct item *item)
{
    return item->expire_at_ms;
}
/* When the read of L2 was issued; 0 for values that L1 itself owns. */
static inline int64_t item_stamped_at_ms(const struct item *item)
{
    return item->stamped_at_ms;
}

static inline bool item_expired(const struct item *item, int64_t now_ms)
{
    const int64_t expire_at_ms = item_expire_at_ms(item);
    return expire_at_ms != ITEM_NEVER && now_ms >= expire_at_ms;
}

#endif
