/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/l1_table.h"

#include "protocol/check.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

enum {
    POINTER_BITS = 48,
    ALLOCATOR_HEADER = 8,
    CACHE_LINE = 64,
    LEVEL_LOG = 4,   /* 16 segments of each size */
    SEGMENT_LOG = 3, /* the smallest has 8 buckets */
};

#define POINTER_MASK ((UINT64_C(1) << POINTER_BITS) - 1)

static uint64_t slot_of(uint64_t hash, struct item *item)
{
    uint64_t pointer = (uintptr_t)item;
    CHECK((pointer & ~POINTER_MASK) == 0);
    return (hash >> L1_HASH_TAG_SHIFT << POINTER_BITS) | pointer;
}

static inline struct item *slot_item(uint64_t slot)
{
    return (struct item *)(uintptr_t)(slot & POINTER_MASK);
}

/* --- where a bucket lies ------------------------------------------------------------------------------------------ */

struct location {
    unsigned segment;
    unsigned log; /* of the buckets in that segment */
    uint64_t offset;
};

static inline unsigned log_floor(uint64_t number)
{
    return 63u - (unsigned)__builtin_clzll(number);
}

/* As a floating point number is cut into exponent and mantissa: the top bit gives the level, the four bits below it the
 * segment within the level. The first 16 segments serve the indices that are too small for that. */
static inline struct location location_of(uint64_t index)
{
    unsigned top = log_floor(index | (1u << (LEVEL_LOG + SEGMENT_LOG - 1)));
    unsigned log = top < LEVEL_LOG + SEGMENT_LOG ? SEGMENT_LOG : top - LEVEL_LOG;
    unsigned level = top < LEVEL_LOG + SEGMENT_LOG ? 0 : top - LEVEL_LOG - SEGMENT_LOG + 1;
    return (struct location){
        .segment = (level << LEVEL_LOG) + ((unsigned)(index >> log) & ((1u << LEVEL_LOG) - 1)),
        .log = log,
        .offset = index & ((UINT64_C(1) << log) - 1),
    };
}

static inline struct l1_bucket *bucket_at(const struct l1_table *table, uint64_t index)
{
    struct location at = location_of(index);
    return atomic_load_explicit(&table->segments[at.segment], memory_order_relaxed) + at.offset;
}

/* The masks of a table of `buckets`: the low ones of `small` bits are the buckets that the next round will split. */
struct masks {
    uint64_t small;
    uint64_t big;
};

static inline struct masks masks_of(uint64_t buckets)
{
    uint64_t small = (UINT64_C(1) << log_floor(buckets)) - 1;
    return (struct masks){.small = small, .big = small * 2 + 1};
}

static inline uint64_t index_of(uint64_t buckets, uint64_t hash)
{
    struct masks masks = masks_of(buckets);
    uint64_t index = hash & masks.big;
    return index < buckets ? index : index & masks.small;
}

/* --- memory of buckets -------------------------------------------------------------------------------------------- */

static struct l1_bucket *buckets_new(struct l1_table *table, size_t count)
{
    struct l1_bucket *buckets = aligned_alloc(_Alignof(struct l1_bucket), count * sizeof *buckets);
    if (buckets != NULL) {
        table->bytes += malloc_usable_size(buckets) + ALLOCATOR_HEADER;
    }
    return buckets;
}

static void buckets_free(struct l1_table *table, struct l1_bucket *buckets)
{
    table->bytes -= malloc_usable_size(buckets) + ALLOCATOR_HEADER;
    free(buckets);
}

static void bucket_clear(struct l1_bucket *bucket)
{
    memset(bucket, 0, sizeof *bucket);
}

/* Makes sure that the segment of bucket `index` is there. */
static bool segment_open(struct l1_table *table, uint64_t index)
{
    struct location at = location_of(index);
    if (at.segment >= L1_SEGMENTS) {
        return false;
    }
    if (atomic_load_explicit(&table->segments[at.segment], memory_order_relaxed) != NULL) {
        return true;
    }
    struct l1_bucket *buckets = buckets_new(table, (size_t)1 << at.log);
    atomic_store_explicit(&table->segments[at.segment], buckets, memory_order_relaxed);
    return buckets != NULL;
}

/* Bucket `index` was the last one and is gone; so is its segment if it was the first in it. */
static void segment_close(struct l1_table *table, uint64_t index)
{
    struct location at = location_of(index);
    if (at.offset > 0) {
        return;
    }
    struct l1_bucket *buckets =
        atomic_load_explicit(&table->segments[at.segment], memory_order_relaxed);
    atomic_store_explicit(&table->segments[at.segment], NULL, memory_order_relaxed);
    buckets_free(table, buckets);
}

static void spare_push(struct l1_table *table, struct l1_bucket *bucket)
{
    bucket->next = table->spare;
    table->spare = bucket;
}

static struct l1_bucket *spare_pop(struct l1_table *table)
{
    struct l1_bucket *bucket = table->spare;
    if (bucket == NULL) {
        return buckets_new(table, 1);
    }
    table->spare = bucket->next;
    return bucket;
}

static void spare_drain(struct l1_table *table)
{
    while (table->spare != NULL) {
        struct l1_bucket *bucket = table->spare;
        table->spare = bucket->next;
        buckets_free(table, bucket);
    }
}

enum status l1_table_init(struct l1_table *table, const struct hash_secret *secret)
{
    *table = (struct l1_table){.secret = secret};
    if (!segment_open(table, 0)) {
        return NO_MEMORY;
    }
    atomic_store_explicit(&table->buckets, L1_BUCKETS_MIN, memory_order_relaxed);
    for (uint64_t i = 0; i < L1_BUCKETS_MIN; i++) {
        bucket_clear(bucket_at(table, i));
    }
    return OK;
}

void l1_table_done(struct l1_table *table)
{
    spare_drain(table);
    uint64_t buckets = l1_table_buckets(table);
    for (uint64_t i = 0; i < buckets; i++) {
        struct l1_bucket *bucket = bucket_at(table, i)->next;
        while (bucket != NULL) {
            struct l1_bucket *next = bucket->next;
            buckets_free(table, bucket);
            bucket = next;
        }
    }
    for (unsigned i = 0; i < L1_SEGMENTS; i++) {
        struct l1_bucket *segment = atomic_load_explicit(&table->segments[i], memory_order_relaxed);
        if (segment != NULL) {
            buckets_free(table, segment);
        }
    }
    CHECK(table->bytes == 0);
    *table = (struct l1_table){0};
}

/* --- entries ------------------------------------------------------------------------------------------------------ */

struct l1_place l1_table_bucket(const struct l1_table *table, uint64_t index)
{
    struct l1_bucket *head = bucket_at(table, index);
    return (struct l1_place){.head = head, .node = head, .slot = 0};
}

struct l1_place l1_table_chain(const struct l1_table *table, uint64_t hash)
{
    return l1_table_bucket(table, index_of(l1_table_buckets(table), hash));
}

struct item *l1_place_item(const struct l1_place *place)
{
    return place->node == NULL ? NULL : slot_item(place->node->slots[place->slot]);
}

void l1_place_next(struct l1_place *place)
{
    if (++place->slot == L1_BUCKET_SLOTS) {
        place->node = place->node->next;
        place->slot = 0;
    }
}

static bool same_key(const struct item *item, uint8_t db, struct slice key)
{
    return item_key(item).size == key.size && (item_db(item) == db || db == L1_DB_ANY) &&
           memcmp(item->bytes, key.data, key.size) == 0;
}

bool l1_table_find(const struct l1_table *table, uint64_t hash, uint8_t db, struct slice key,
                   struct l1_place *ret_place)
{
    struct l1_bucket *head = bucket_at(table, index_of(l1_table_buckets(table), hash));
    uint64_t tag = hash >> L1_HASH_TAG_SHIFT;
    for (struct l1_bucket *node = head; node != NULL; node = node->next) {
        for (unsigned i = 0; i < L1_BUCKET_SLOTS; i++) {
            uint64_t slot = node->slots[i];
            if (slot >> POINTER_BITS == tag && slot != 0 && same_key(slot_item(slot), db, key)) {
                *ret_place = (struct l1_place){.head = head, .node = node, .slot = i};
                return true;
            }
        }
    }
    return false;
}

enum status l1_table_insert(struct l1_table *table, uint64_t hash, struct item *item)
{
    struct l1_place place = l1_table_chain(table, hash);
    struct l1_bucket *last = place.node;
    while (last->next != NULL) {
        last = last->next;
    }
    unsigned used = 0;
    while (used < L1_BUCKET_SLOTS && last->slots[used] != 0) {
        used++;
    }
    if (used == L1_BUCKET_SLOTS) {
        struct l1_bucket *more = spare_pop(table);
        if (more == NULL) {
            return NO_MEMORY;
        }
        bucket_clear(more);
        last->next = more;
        last = more;
        used = 0;
    }
    last->slots[used] = slot_of(hash, item);
    table->entries++;
    return OK;
}

void l1_table_replace(struct l1_place place, struct item *item)
{
    uint64_t *slot = &place.node->slots[place.slot];
    CHECK(((uintptr_t)item & ~POINTER_MASK) == 0);
    *slot = (*slot & ~POINTER_MASK) | (uintptr_t)item;
}

/* The last entry of the chain fills the hole, so chains stay dense and as short as their entries allow. */
void l1_table_remove(struct l1_table *table, struct l1_place *place)
{
    struct l1_bucket *before = NULL;
    struct l1_bucket *last = place->head;
    while (last->next != NULL) {
        before = last;
        last = last->next;
    }
    unsigned end = L1_BUCKET_SLOTS;
    while (last->slots[end - 1] == 0) {
        end--;
    }
    place->node->slots[place->slot] = last->slots[end - 1];
    last->slots[end - 1] = 0;
    if (end == 1 && before != NULL) {
        if (place->node == last) {
            place->node = NULL;
        }
        before->next = NULL;
        spare_push(table, last);
    }
    table->entries--;
}

/* --- growing and shrinking ---------------------------------------------------------------------------------------- */

struct writer {
    struct l1_bucket *node;
    unsigned used;
};

static struct writer writer_at_end(struct l1_bucket *head)
{
    struct writer writer = {.node = head};
    while (writer.node->next != NULL) {
        writer.node = writer.node->next;
    }
    while (writer.used < L1_BUCKET_SLOTS && writer.node->slots[writer.used] != 0) {
        writer.used++;
    }
    return writer;
}

static void writer_put(struct l1_table *table, struct writer *writer, uint64_t slot)
{
    if (writer->used == L1_BUCKET_SLOTS) {
        CHECK(table->spare != NULL); /* see pour */
        struct l1_bucket *more = spare_pop(table);
        bucket_clear(more);
        writer->node->next = more;
        *writer = (struct writer){.node = more};
    }
    writer->node->slots[writer->used++] = slot;
}

static void pour_one(struct l1_table *table, const struct l1_bucket *from, struct writer *zero,
                     struct writer *one, uint64_t bit)
{
    for (unsigned i = 0; i < L1_BUCKET_SLOTS && one != NULL; i++) {
        __builtin_prefetch(slot_item(from->slots[i])); /* their keys are hashed again */
    }
    for (unsigned i = 0; i < L1_BUCKET_SLOTS && from->slots[i] != 0; i++) {
        bool to_one = one != NULL &&
                      (hash_key(table->secret, item_key(slot_item(from->slots[i]))) & bit) != 0;
        writer_put(table, to_one ? one : zero, from->slots[i]);
    }
}

/* Distributes the chain of which `first` is a copy of the head by one bit of the hash; with `one` NULL all goes to
 * `zero`. Overflow buckets go first: each is copied and set free before its entries are written, so a split never needs
 * memory (k buckets of entries in two chains need at most k overflow buckets), and a merge at most one bucket more than
 * it finds. */
static void pour(struct l1_table *table, const struct l1_bucket *first, struct writer *zero,
                 struct writer *one, uint64_t bit)
{
    struct l1_bucket *node = first->next;
    while (node != NULL) {
        struct l1_bucket copy = *node;
        spare_push(table, node);
        node = copy.next;
        pour_one(table, &copy, zero, one, bit);
    }
    pour_one(table, first, zero, one, bit);
}

static bool grow(struct l1_table *table)
{
    uint64_t buckets = l1_table_buckets(table);
    uint64_t bit = masks_of(buckets).small + 1;
    if (!segment_open(table, buckets)) {
        return false;
    }
    struct l1_bucket *from = bucket_at(table, buckets - bit);
    struct l1_bucket *to = bucket_at(table, buckets);
    struct l1_bucket copy = *from;
    bucket_clear(from);
    bucket_clear(to);
    struct writer zero = {.node = from};
    struct writer one = {.node = to};
    pour(table, &copy, &zero, &one, bit);
    spare_drain(table);
    atomic_store_explicit(&table->buckets, buckets + 1, memory_order_relaxed);
    return true;
}

static bool shrink(struct l1_table *table)
{
    uint64_t last = l1_table_buckets(table) - 1;
    struct l1_bucket *from = bucket_at(table, last);
    struct l1_bucket *to = bucket_at(table, last - (masks_of(last).small + 1));
    struct writer zero = writer_at_end(to);
    /* Full and nothing to take over: the one case among few that needs a bucket; asking always is simpler. */
    if (zero.used + writer_at_end(from).used > L1_BUCKET_SLOTS) {
        struct l1_bucket *more = buckets_new(table, 1);
        if (more == NULL) {
            return false;
        }
        spare_push(table, more);
    }
    struct l1_bucket copy = *from;
    pour(table, &copy, &zero, NULL, 0);
    spare_drain(table);
    atomic_store_explicit(&table->buckets, last, memory_order_relaxed);
    segment_close(table, last);
    return true;
}

void l1_table_settle_slowly(struct l1_table *table, unsigned steps)
{
    spare_drain(table);
    bool done = true;
    for (; steps > 0 && done && !l1_table_is_settled(table); steps--) {
        done = table->entries > l1_table_buckets(table) * 2 ? grow(table) : shrink(table);
    }
}

/* --- walking and loading ahead ------------------------------------------------------------------------------------ */

static uint64_t bits_reversed(uint64_t word)
{
    word =
        ((word >> 1) & UINT64_C(0x5555555555555555)) | ((word & UINT64_C(0x5555555555555555)) << 1);
    word =
        ((word >> 2) & UINT64_C(0x3333333333333333)) | ((word & UINT64_C(0x3333333333333333)) << 2);
    word =
        ((word >> 4) & UINT64_C(0x0f0f0f0f0f0f0f0f)) | ((word & UINT64_C(0x0f0f0f0f0f0f0f0f)) << 4);
    return __builtin_bswap64(word);
}

uint64_t l1_table_cursor_next(const struct l1_table *table, uint64_t cursor)
{
    uint64_t buckets = l1_table_buckets(table);
    struct masks masks = masks_of(buckets);
    /* A bucket that has split in this round, and its other half, are told apart by one bit more than the rest. */
    bool split = (cursor & masks.small) < buckets - (masks.small + 1);
    uint64_t mask = split ? masks.big : masks.small;
    return bits_reversed(bits_reversed(cursor | ~mask) + 1);
}

void l1_table_prefetch(const struct l1_table *table, uint64_t hash)
{
    /* Number and directory may be of different moments: at worst a useless line is loaded. An address is computed, never
     * followed. */
    struct location at = location_of(index_of(l1_table_buckets(table), hash));
    uintptr_t segment =
        (uintptr_t)atomic_load_explicit(&table->segments[at.segment], memory_order_relaxed);
    __builtin_prefetch((const void *)(segment + at.offset * sizeof(struct l1_bucket)));
}

void l1_table_prefetch_items(const struct l1_table *table, uint64_t hash)
{
    struct l1_place place = l1_table_chain(table, hash);
    uint64_t tag = hash >> L1_HASH_TAG_SHIFT;
    for (unsigned i = 0; i < L1_BUCKET_SLOTS; i++) {
        if (place.node->slots[i] >> POINTER_BITS == tag) {
            /* Two lines: header and key, and the value, of an item of common size. */
            const char *item = (const char *)slot_item(place.node->slots[i]);
            __builtin_prefetch(item);
            __builtin_prefetch(item + CACHE_LINE);
        }
    }
}
