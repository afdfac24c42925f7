/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/tracking_table.h"

#include "protocol/check.h"
#include "tiers/base/map.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    PARTS = 64,
    ROW_FEW = 4,    /* places in the row itself */
    ANY_STEPS = 256 /* rows walked over at most on the way to some row */
};

/* The clients are a set: linear probing, 0 is free, at most half full. */
struct tracking_row {
    struct map_node node;
    size_t key_size;
    uint64_t stamp;
    uint32_t count;
    uint32_t capacity; /* of `clients`; a power of two */
    uint64_t *clients; /* `few`, or malloc'ed */
    uint64_t few[ROW_FEW];
    char key[];
};

struct part {
    pthread_mutex_t lock;
    struct map rows; /* under the lock, as the next */
    size_t items;    /* in these rows */
};

struct tracking_table {
    _Atomic size_t keys;
    _Atomic size_t items;
    struct part parts[PARTS];
};

struct tracking_table *tracking_table_new(void)
{
    struct tracking_table *table = calloc(1, sizeof(*table));
    for (unsigned i = 0; table != NULL && i < PARTS; i++) {
        CHECK(pthread_mutex_init(&table->parts[i].lock, NULL) == 0);
    }
    return table;
}

void tracking_table_free(struct tracking_table *table)
{
    if (table == NULL) {
        return;
    }
    tracking_table_clear(table);
    for (unsigned i = 0; i < PARTS; i++) {
        CHECK(pthread_mutex_destroy(&table->parts[i].lock) == 0);
    }
    free(table);
}

/* --- rows --------------------------------------------------------------------------------------------------------- */

static struct tracking_row *row_new(struct slice key)
{
    struct tracking_row *row = malloc(sizeof(*row) + key.size);
    if (row == NULL) {
        return NULL;
    }
    *row = (struct tracking_row){.key_size = key.size, .capacity = ROW_FEW};
    row->clients = row->few;
    if (key.size > 0) {
        memcpy(row->key, key.data, key.size);
    }
    return row;
}

void tracking_row_free(struct tracking_row *row)
{
    if (row == NULL) {
        return;
    }
    if (row->clients != row->few) {
        free(row->clients);
    }
    free(row);
}

struct slice tracking_row_key(const struct tracking_row *row)
{
    return (struct slice){row->key, row->key_size};
}

uint64_t tracking_row_stamp(const struct tracking_row *row)
{
    return row->stamp;
}

uint64_t tracking_row_next(const struct tracking_row *row, size_t *at)
{
    while (*at < row->capacity) {
        const uint64_t client = row->clients[(*at)++];
        if (client != 0) {
            return client;
        }
    }
    return 0;
}

/* Where a client is, or would be; there is a free place. */
static uint64_t *place_of(uint64_t *clients, uint32_t capacity, uint64_t client)
{
    uint32_t at = (uint32_t)((client * 0x9e3779b97f4a7c15u) >> 32) & (capacity - 1);
    while (clients[at] != 0 && clients[at] != client) {
        at = (at + 1) & (capacity - 1);
    }
    return &clients[at];
}

static enum status row_grow(struct tracking_row *row)
{
    const uint32_t capacity = row->capacity * 4;
    uint64_t *clients = calloc(capacity, sizeof(*clients));
    if (clients == NULL) {
        return NO_MEMORY;
    }
    size_t at = 0;
    for (uint64_t client; (client = tracking_row_next(row, &at)) != 0;) {
        *place_of(clients, capacity, client) = client;
    }
    if (row->clients != row->few) {
        free(row->clients);
    }
    row->clients = clients;
    row->capacity = capacity;
    return OK;
}

/* OK: it was not in the row; AGAIN: it was. */
static enum status row_add(struct tracking_row *row, uint64_t client)
{
    if (*place_of(row->clients, row->capacity, client) == client) {
        return AGAIN;
    }
    if (row->count + 1 > row->capacity / 2 && row_grow(row) != OK) {
        return NO_MEMORY;
    }
    *place_of(row->clients, row->capacity, client) = client;
    row->count++;
    return OK;
}

/* --- the table ----------------------------------------------------------------------------------------------------- */

static struct part *lock_part(struct tracking_table *table, uint64_t hash)
{
    struct part *part = &table->parts[hash >> 32 & (PARTS - 1)];
    CHECK(pthread_mutex_lock(&part->lock) == 0);
    return part;
}

static void unlock_part(struct part *part)
{
    CHECK(pthread_mutex_unlock(&part->lock) == 0);
}

static struct tracking_row *row_find(const struct part *part, struct slice key, uint64_t hash)
{
    for (struct map_node *node = map_find(&part->rows, hash); node != NULL; node = map_next(node)) {
        struct tracking_row *row = MAP_ENTRY(node, struct tracking_row, node);
        if (slice_equal(tracking_row_key(row), key)) {
            return row;
        }
    }
    return NULL;
}

static void count_out(struct tracking_table *table, size_t keys, size_t items)
{
    atomic_fetch_sub_explicit(&table->keys, keys, memory_order_relaxed);
    atomic_fetch_sub_explicit(&table->items, items, memory_order_relaxed);
}

static enum status add_locked(struct tracking_table *table, struct part *part, struct slice key,
                              uint64_t hash, uint64_t client)
{
    struct tracking_row *row = row_find(part, key, hash);
    if (row == NULL) {
        row = row_new(key);
        if (row == NULL || map_add(&part->rows, &row->node, hash) != OK) {
            tracking_row_free(row);
            return NO_MEMORY;
        }
        atomic_fetch_add_explicit(&table->keys, 1, memory_order_relaxed);
    }
    const enum status status = row_add(row, client);
    if (status == OK) {
        part->items++;
        atomic_fetch_add_explicit(&table->items, 1, memory_order_relaxed);
    }
    return status == AGAIN ? OK : status;
}

enum status tracking_table_add(struct tracking_table *table, struct slice key, uint64_t hash,
                               uint64_t client)
{
    CHECK(client != 0);
    struct part *part = lock_part(table, hash);
    const enum status status = add_locked(table, part, key, hash, client);
    unlock_part(part);
    return status;
}

void tracking_table_stamp(struct tracking_table *table, struct slice key, uint64_t hash,
                          uint64_t stamp)
{
    struct part *part = lock_part(table, hash);
    struct tracking_row *row = row_find(part, key, hash);
    if (row != NULL) {
        row->stamp = stamp;
    }
    unlock_part(part);
}

/* Under the lock. */
static struct tracking_row *take(struct tracking_table *table, struct part *part,
                                 struct tracking_row *row)
{
    if (row != NULL) {
        map_remove(&part->rows, &row->node);
        part->items -= row->count;
        count_out(table, 1, row->count);
    }
    return row;
}

struct tracking_row *tracking_table_take(struct tracking_table *table, struct slice key,
                                         uint64_t hash)
{
    struct part *part = lock_part(table, hash);
    struct tracking_row *row = take(table, part, row_find(part, key, hash));
    unlock_part(part);
    return row;
}

/* The first one behind a random number of others. */
static struct tracking_row *row_any(const struct part *part, uint64_t noise)
{
    struct map_node *node = map_any(&part->rows, NULL);
    for (uint64_t steps = noise % ANY_STEPS; node != NULL && steps > 0; steps--) {
        struct map_node *next = map_any(&part->rows, node);
        if (next == NULL) {
            break;
        }
        node = next;
    }
    return node == NULL ? NULL : MAP_ENTRY(node, struct tracking_row, node);
}

struct tracking_row *tracking_table_take_any(struct tracking_table *table, uint64_t noise)
{
    for (unsigned i = 0; i < PARTS && tracking_table_keys(table) > 0; i++) {
        struct part *part = lock_part(table, noise + ((uint64_t)i << 32));
        struct tracking_row *row = take(table, part, row_any(part, noise));
        unlock_part(part);
        if (row != NULL) {
            return row;
        }
    }
    return NULL;
}

enum status tracking_table_take_fitting(struct tracking_table *table,
                                        bool (*fits)(void *arg, struct slice key), void *arg,
                                        struct buf *rows)
{
    enum status status = OK;
    for (uint64_t i = 0; i < PARTS && status == OK; i++) {
        struct part *part = lock_part(table, i << 32);
        size_t at = rows->size; /* taken out behind the walk, for the map may be made anew then */
        for (struct map_node *node = map_any(&part->rows, NULL); node != NULL && status == OK;
             node = map_any(&part->rows, node)) {
            struct tracking_row *row = MAP_ENTRY(node, struct tracking_row, node);
            status = fits(arg, tracking_row_key(row)) ? buf_append(rows, &row, sizeof row) : OK;
        }
        for (; at < rows->size; at += sizeof(struct tracking_row *)) {
            (void)take(table, part, *(struct tracking_row **)(void *)(rows->data + at));
        }
        unlock_part(part);
    }
    return status;
}

static void rows_free(struct map *rows)
{
    struct map_node *node = map_any(rows, NULL);
    while (node != NULL) {
        struct map_node *next = map_any(rows, node);
        tracking_row_free(MAP_ENTRY(node, struct tracking_row, node));
        node = next;
    }
    map_done(rows);
}

void tracking_table_clear(struct tracking_table *table)
{
    for (uint64_t i = 0; i < PARTS; i++) {
        struct part *part = lock_part(table, i << 32);
        struct map rows = part->rows;
        count_out(table, rows.count, part->items);
        part->rows = (struct map){0};
        part->items = 0;
        unlock_part(part);
        rows_free(&rows);
    }
}

size_t tracking_table_keys(const struct tracking_table *table)
{
    return atomic_load_explicit(&table->keys, memory_order_relaxed);
}

size_t tracking_table_items(const struct tracking_table *table)
{
    return atomic_load_explicit(&table->items, memory_order_relaxed);
}
