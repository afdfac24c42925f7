/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/item.h"

#include "protocol/check.h"
#include "protocol/limits.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

enum {
    ALLOCATOR_HEADER = 8
}; /* glibc keeps the size of a block in the word before it */

struct item *item_new(uint8_t db, struct slice key, size_t value_size)
{
    CHECK(key.size < LIMIT_L1_KEY && value_size <= LIMIT_BULK);
    struct item *item = malloc(sizeof *item + key.size + value_size);
    if (item == NULL) {
        return NULL;
    }
    *item = (struct item){
        .value_size = (uint32_t)value_size,
        .key_size = (uint16_t)key.size,
        .db = db,
        .expire_at_ms = ITEM_NEVER,
    };
    atomic_init(&item->refs, 1);
    if (key.size > 0) {
        memcpy(item->bytes, key.data, key.size);
    }
    return item;
}

struct item *item_new_value(uint8_t db, struct slice key, struct slice value)
{
    struct item *item = item_new(db, key, value.size);
    if (item != NULL && value.size > 0) {
        memcpy(item_value_room(item), value.data, value.size);
    }
    return item;
}

char *item_value_room(struct item *item)
{
    return item->bytes + item->key_size;
}

struct item *item_ref(struct item *item)
{
    atomic_fetch_add_explicit(&item->refs, 1, memory_order_relaxed);
    return item;
}

void item_release(struct item *item)
{
    if (item == NULL) {
        return;
    }
    /* Acquire and release: whoever frees must see the last reads of all other owners done. */
    uint32_t before = atomic_fetch_sub_explicit(&item->refs, 1, memory_order_acq_rel);
    CHECK(before > 0);
    if (before == 1) {
        free(item);
    }
}

struct slice item_key(const struct item *item)
{
    return (struct slice){.data = item->bytes, .size = item->key_size};
}

struct slice item_value(const struct item *item)
{
    return (struct slice){.data = item->bytes + item->key_size, .size = item->value_size};
}

size_t item_footprint(const struct item *item)
{
    return malloc_usable_size((void *)(uintptr_t)item) + ALLOCATOR_HEADER;
}
