/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/l1_table.h"

#include "protocol/check.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* For reads of what may no longer be what it was: of no consequence, and no sanitizer's business. */
#define NO_SANITIZE __attribute__((no_sanitize("thread", "address")))

enum {
    TAG_SHIFT = 56,
    LOOK_SHIFT = 55,
    WORD_SHIFT = 32,
    CACHE_LINE = 64,
    LEVEL_LOG = 4,   /* 16 segments of each size */
    SEGMENT_LOG = 6, /* the smallest is a page */
    LAST_SLOT = L1_BUCKET_SLOTS - 1,
    MERGE_SPARES = 2,
};

/* 0 is that of links and of empty slots. */
static inline uint64_t tag_of(uint64_t hash)
{
    uint64_t tag = hash >> L1_HASH_TAG_SHIFT;
    return tag + (tag == 0);
}

static uint64_t item_bits(const struct item *item)
{
    const uint64_t look = item_is_claim(item) || item_expiry_part(item->flags) > 0;
    return look << LOOK_SHIFT | arena_handle(item);
}

static inline struct item *slot_item(const struct arena *arena, uint64_t slot)
{
    return arena_at(arena, (uint32_t)slot);
}

/* A link is the address of the next bucket, an entry has a tag. */
static inline struct l1_bucket *next_of(const struct l1_bucket *bucket)
{
    uint64_t last = bucket->slots[LAST_SLOT];
    return last >> TAG_SHIFT == 0 ? (struct l1_bucket *)(uintptr_t)last : NULL;
}

static void link_to(struct l1_bucket *bucket, const struct l1_bucket *next)
{
    CHECK((uintptr_t)next >> TAG_SHIFT == 0);
    l1_slot_set(bucket, LAST_SLOT, (uintptr_t)next);
}

/* Entries in a bucket. */
static unsigned used_in(const struct l1_bucket *bucket)
{
    unsigned used = next_of(bucket) != NULL ? LAST_SLOT : L1_BUCKET_SLOTS;
    while (used > 0 && bucket->slots[used - 1] == 0) {
        used--;
    }
    return used;
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
 * segment within the level. With the top bit, which is 16 here, the first level counts from 16 on; so the first 16 segments
 * serve the indices that are too small for that. */
static inline struct location location_of(uint64_t index)
{
    const unsigned top = log_floor(index | (1u << (LEVEL_LOG + SEGMENT_LOG)));
    const unsigned log = top - LEVEL_LOG;
    return (struct location){
        .segment = ((log - SEGMENT_LOG) << LEVEL_LOG) + (unsigned)(index >> log),
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

static struct l1_bucket *line_new(struct l1_table *table)
{
    struct l1_bucket *line = arena_alloc_line(table->arena);
    table->bytes += line != NULL ? sizeof *line : 0;
    return line;
}

static void line_free(struct l1_table *table, struct l1_bucket *line)
{
    table->bytes -= sizeof *line;
    arena_free_raw(table->arena, line);
}

static void bucket_clear(struct l1_bucket *bucket)
{
    for (unsigned i = 0; i < L1_BUCKET_SLOTS; i++) {
        l1_slot_set(bucket, i, 0);
    }
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
    size_t size = sizeof(struct l1_bucket) << at.log;
    struct l1_bucket *buckets = arena_alloc_pages(table->arena, size);
    table->bytes += buckets != NULL ? size : 0;
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
    table->bytes -= sizeof(struct l1_bucket) << at.log;
    arena_free_raw(table->arena, buckets);
}

static void spare_push(struct l1_table *table, struct l1_bucket *bucket)
{
    link_to(bucket, table->spare);
    table->spare = bucket;
}

static struct l1_bucket *spare_pop(struct l1_table *table)
{
    struct l1_bucket *bucket = table->spare;
    if (bucket == NULL) {
        return line_new(table);
    }
    table->spare = next_of(bucket);
    return bucket;
}

static void spare_drain(struct l1_table *table)
{
    while (table->spare != NULL) {
        struct l1_bucket *bucket = table->spare;
        table->spare = next_of(bucket);
        line_free(table, bucket);
    }
}

enum status l1_table_init(struct l1_table *table, const struct hash_secret *secret,
                          struct arena *arena)
{
    *table = (struct l1_table){.secret = secret, .arena = arena};
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
        struct l1_bucket *bucket = next_of(bucket_at(table, i));
        while (bucket != NULL) {
            struct l1_bucket *next = next_of(bucket);
            line_free(table, bucket);
            bucket = next;
        }
    }
    for (unsigned i = 0; i < L1_SEGMENTS; i++) {
        struct l1_bucket *segment = atomic_load_explicit(&table->segments[i], memory_order_relaxed);
        if (segment != NULL) {
            arena_free_raw(table->arena, segment);
        }
    }
    *table = (struct l1_table){0};
}

/* --- entries ------------------------------------------------------------------------------------------------------ */

struct l1_place l1_table_bucket(const struct l1_table *table, uint64_t index)
{
    struct l1_bucket *head = bucket_at(table, index);
    return (struct l1_place){.head = head, .node = head, .slot = 0, .arena = table->arena};
}

struct l1_place l1_table_chain(const struct l1_table *table, uint64_t hash)
{
    return l1_table_bucket(table, index_of(l1_table_buckets(table), hash));
}

/* The last slot is an entry's or the link to the next bucket. */
void l1_place_next_bucket(struct l1_place *place)
{
    struct l1_bucket *next = next_of(place->node);
    if (next != NULL || place->slot == L1_BUCKET_SLOTS) {
        place->node = next;
        place->slot = 0;
    }
}

static bool same_key(const struct item *item, uint8_t db, struct slice key)
{
    const struct slice its = item_key(item);
    return its.size == key.size && (item_db(item) == db || db == L1_DB_ANY) &&
           memcmp(its.data, key.data, key.size) == 0;
}

/* The slots that have the tag, as bits. Without a branch for each: which one it is cannot be foretold. */
#ifdef __SSE2__
/* Of two slots: the sign of each half says whether its highest byte, the tag, is equal. */
NO_SANITIZE static inline unsigned pair_with(const struct l1_bucket *bucket, unsigned at,
                                             __m128i tags)
{
    const __m128i pair = _mm_load_si128((const __m128i *)(const void *)&bucket->slots[at]);
    return (unsigned)_mm_movemask_pd(_mm_castsi128_pd(_mm_cmpeq_epi8(pair, tags))) << at;
}

NO_SANITIZE static inline unsigned slots_with(const struct l1_bucket *bucket, uint64_t tag)
{
    const __m128i tags = _mm_set1_epi8((char)tag);
    return pair_with(bucket, 0, tags) | pair_with(bucket, 2, tags) | pair_with(bucket, 4, tags) |
           pair_with(bucket, 6, tags);
}
_Static_assert(L1_BUCKET_SLOTS == 8, "four pairs");
#else
NO_SANITIZE static inline unsigned slots_with(const struct l1_bucket *bucket, uint64_t tag)
{
    unsigned found = 0;
    for (unsigned i = 0; i < L1_BUCKET_SLOTS; i++) {
        const uint64_t slot = __atomic_load_n(&bucket->slots[i], __ATOMIC_RELAXED);
        found |= (unsigned)(slot >> TAG_SHIFT == tag) << i;
    }
    return found;
}
#endif

bool l1_table_find(const struct l1_table *table, uint64_t hash, uint8_t db, struct slice key,
                   struct l1_place *ret_place)
{
    struct l1_bucket *head = bucket_at(table, index_of(l1_table_buckets(table), hash));
    uint64_t tag = tag_of(hash);
    for (struct l1_bucket *node = head; node != NULL; node = next_of(node)) {
        for (unsigned left = slots_with(node, tag); left != 0; left &= left - 1) {
            const unsigned i = (unsigned)__builtin_ctz(left);
            if (same_key(slot_item(table->arena, node->slots[i]), db, key)) {
                *ret_place =
                    (struct l1_place){.head = head, .node = node, .slot = i, .arena = table->arena};
                return true;
            }
        }
    }
    return false;
}

struct writer {
    struct l1_bucket *node; /* the last of its chain */
    unsigned used;
    unsigned lines; /* of its chain */
};

static struct writer writer_at_end(struct l1_bucket *head)
{
    struct l1_bucket *node = head;
    unsigned lines = 1;
    for (struct l1_bucket *next; (next = next_of(node)) != NULL; lines++) {
        node = next;
    }
    return (struct writer){.node = node, .used = used_in(node), .lines = lines};
}

/* A full bucket gives its last slot up for the link. */
static enum status writer_put(struct l1_table *table, struct writer *writer, uint64_t slot)
{
    if (writer->used == L1_BUCKET_SLOTS) {
        struct l1_bucket *more = spare_pop(table);
        if (more == NULL) {
            return NO_MEMORY;
        }
        bucket_clear(more);
        l1_slot_set(more, 0, writer->node->slots[LAST_SLOT]);
        link_to(writer->node, more);
        *writer = (struct writer){.node = more, .used = 1};
    }
    l1_slot_set(writer->node, writer->used++, slot);
    return OK;
}

enum status l1_table_insert(struct l1_table *table, uint64_t hash, struct item *item, uint32_t word)
{
    struct writer writer = writer_at_end(l1_table_chain(table, hash).head);
    if (writer.used == L1_BUCKET_SLOTS && writer.lines >= L1_CHAIN_LINES) {
        return NO_MEMORY; /* two chains that become one may be longer for a while */
    }
    enum status status = writer_put(
        table, &writer, tag_of(hash) << TAG_SHIFT | (uint64_t)word << WORD_SHIFT | item_bits(item));
    table->entries += status == OK;
    return status;
}

void l1_table_replace(struct l1_place place, struct item *item)
{
    const uint64_t others = (UINT64_C(1) << LOOK_SHIFT) | UINT32_MAX;
    l1_slot_set(place.node, place.slot, (l1_place_slot(&place) & ~others) | item_bits(item));
}

/* The last entry of the chain fills the hole, so chains stay dense and as short as their entries allow: where one entry
 * is left in an overflow bucket it takes the place of the link. */
void l1_table_remove(struct l1_table *table, struct l1_place *place)
{
    struct l1_bucket *before = NULL;
    struct l1_bucket *last = place->head;
    for (struct l1_bucket *next; (next = next_of(last)) != NULL;) {
        before = last;
        last = next;
    }
    unsigned end = used_in(last) - 1;
    l1_slot_set(place->node, place->slot, last->slots[end]);
    l1_slot_set(last, end, 0);
    if (end == 1 && before != NULL) {
        l1_slot_set(before, LAST_SLOT, last->slots[0]);
        if (place->node == last) {
            place->node = place->slot == 0 ? before : NULL;
            place->slot = LAST_SLOT;
        }
        spare_push(table, last);
    }
    table->entries--;
}

/* --- growing and shrinking ---------------------------------------------------------------------------------------- */

static void pour_one(struct l1_table *table, const struct l1_bucket *from, struct writer *zero,
                     struct writer *one, uint64_t bit)
{
    const unsigned used = used_in(from);
    for (unsigned i = 0; i < used && one != NULL; i++) {
        __builtin_prefetch(
            slot_item(table->arena, from->slots[i])); /* their keys are hashed again */
    }
    for (unsigned i = 0; i < used; i++) {
        bool to_one =
            one != NULL &&
            (hash_key(table->secret, item_key(slot_item(table->arena, from->slots[i]))) & bit) != 0;
        CHECK(writer_put(table, to_one ? one : zero, from->slots[i]) == OK); /* see pour */
    }
}

/* Distributes the chain of which `first` is a copy of the head by one bit of the hash; with `one` NULL all goes to
 * `zero`. Overflow buckets go first: each is copied and set free before its entries are written, so a split never needs
 * memory (what filled k overflow buckets fills no more in two chains), and a merge at most two more than it finds. */
static void pour(struct l1_table *table, const struct l1_bucket *first, struct writer *zero,
                 struct writer *one, uint64_t bit)
{
    struct l1_bucket *node = next_of(first);
    while (node != NULL) {
        struct l1_bucket copy = *node;
        spare_push(table, node);
        node = next_of(&copy);
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
    const bool is_one =
        zero.node == to && next_of(from) == NULL && zero.used + used_in(from) <= L1_BUCKET_SLOTS;
    for (int i = 0; i < MERGE_SPARES && !is_one; i++) {
        struct l1_bucket *more = line_new(table);
        if (more == NULL) {
            spare_drain(table);
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

/* Number and directory may be of different moments, so there may be nothing; and what was read as a bucket may be memory
 * that has found another use. Its pages stay mapped as long as the arena is there (arena.h). */
static const struct l1_bucket *bucket_maybe(const struct l1_table *table, uint64_t hash)
{
    struct location at = location_of(index_of(l1_table_buckets(table), hash));
    const struct l1_bucket *segment =
        atomic_load_explicit(&table->segments[at.segment], memory_order_relaxed);
    return segment == NULL ? NULL : segment + at.offset;
}

const struct l1_bucket *l1_table_prefetch(const struct l1_table *table, uint64_t hash)
{
    const struct l1_bucket *bucket = bucket_maybe(table, hash);
    __builtin_prefetch(bucket);
    return bucket;
}

NO_SANITIZE void l1_table_prefetch_items(const struct l1_table *table,
                                         const struct l1_bucket *bucket, uint64_t hash)
{
    uint64_t tag = tag_of(hash);
    if (bucket == NULL) {
        return;
    }
    for (unsigned left = slots_with(bucket, tag); left != 0; left &= left - 1) {
        uint64_t slot = __atomic_load_n(&bucket->slots[__builtin_ctz(left)], __ATOMIC_RELAXED);
        /* Two lines: header and key, and the value, of an item of common size. */
        const char *item = (const char *)arena_at(table->arena, (uint32_t)slot);
        __builtin_prefetch(item);
        __builtin_prefetch(item + CACHE_LINE);
    }
}
