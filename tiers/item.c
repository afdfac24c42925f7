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

struct item *item_new(const struct item_spec *spec)
{
    CHECK(spec->key.size < LIMIT_L1_KEY && spec->value_size <= LIMIT_BULK);
    struct item *item = malloc(sizeof *item + spec->key.size + spec->value_size);
    if (item == NULL) {
        return NULL;
    }
    *item = (struct item){
        .value_size = (uint32_t)spec->value_size,
        .key_size = (uint16_t)spec->key.size,
        .db = spec->db,
        .look = spec->look & 7u,
        .capped = spec->capped,
        .expire_at_ms = spec->expire_at_ms,
        .stamped_at_ms = spec->stamped_at_ms,
    };
    atomic_init(&item->refs, 1);
    if (spec->key.size > 0) {
        memcpy(item->bytes, spec->key.data, spec->key.size);
    }
    return item;
}

struct item *item_write(struct item *item, struct slice value)
{
    if (item != NULL && value.size > 0) {
        CHECK(value.size == item->value_size);
        memcpy(item_value_room(item), value.data, value.size);
    }
    return item;
}

void item_set_look(struct item *item, enum item_look look)
{
    item->look = look & 7u;
}

void item_set_db(struct item *item, uint8_t db)
{
    item->db = db;
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
