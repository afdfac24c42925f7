/* SPDX-License-Identifier: BSD-3-Clause */
/* l1_table.h -- the hash table of one L1 shard: linear hashing over buckets of one cache line.
 *
 * A bucket holds eight slots; in a bucket that overflows the last one is the way to the next bucket of its chain. A slot
 * says about an entry what can be said without looking at its item:
 *
 *      63..56  tag of the hash, never 0
 *      55      look: the item expires, or is a claim
 *      54..32  the policy's word
 *      31..0   handle of the item in the arena
 *
 * A lookup therefore touches one line of the table in ten of eleven cases, and other keys' items in one of fifty;
 * what a hit changes is in the line it has read, and whoever samples entries for eviction need not touch items.
 *
 * The table grows and shrinks by one bucket at a time (Litwin, VLDB 1980): bucket `buckets` splits off from its buddy,
 * or is merged back into it. There is no rehash of everything, hence no pause. Buckets live in segments that are never
 * moved: the segment sizes double every 16 segments, so that a fixed directory of 384 pointers serves eight buckets as
 * well as billions, and less than a sixteenth of the segment memory is unused.
 *
 * The 64 bits of a hash are used once each: 63..56 tag, 47..42 shard (l1.c), 41..0 bucket.
 *
 * A walk over all buckets while the table changes: cursors count in reverse binary (as Redis' dictScan, with the
 * mask chosen per bucket, because here some buckets are one bit more split than others). A cursor says which hashes
 * have been seen, not which buckets, so it stays true whatever splits or merges. Within one bucket entries may move on
 * every change: look at a whole chain before letting go of the lock.
 *
 * Does NOT count bytes of items, know databases' names, or lock.
 *
 * Owns:    buckets, not items; their memory is the arena's, where the items are, too.
 * Threads: the caller locks; the prefetches alone may be called without, from any thread: what they read may be of
 *          different moments, at worst a useless line is loaded.
 * Limits:  chains of L1_CHAIN_LINES: no lookup reads more, whatever somebody makes of the keys, or the system of memory.
 * Errors:  only insert needs memory; growing and shrinking are put off when there is none. */
#ifndef TERRACE_TIERS_L1_TABLE_H
#define TERRACE_TIERS_L1_TABLE_H

#include "protocol/hash.h"
#include "tiers/item.h"
#include "tiers/policy.h"

#include <stdatomic.h>

enum {
    L1_BUCKET_SLOTS = 8,
    L1_BUCKETS_MIN = 8,
    L1_CHAIN_LINES = 32, /* by chance there are never more than four or five */
    L1_SEGMENTS = 24 * 16,
    L1_HASH_BUCKET_BITS = 42,
    L1_HASH_SHARD_BITS = 6,
    L1_HASH_TAG_SHIFT = 56,
};

struct l1_bucket {
    _Alignas(
        64) uint64_t slots[L1_BUCKET_SLOTS]; /* filled from the front, along the chain; 0: empty */
};

struct l1_table {
    _Atomic uint64_t buckets;
    size_t entries;
    size_t bytes;            /* segments and overflow buckets */
    struct l1_bucket *spare; /* overflow buckets set free, kept until the table settles */
    struct arena *arena;
    const struct hash_secret *secret;
    _Atomic(struct l1_bucket *) segments[L1_SEGMENTS];
};

/* Where an entry stands. Valid until the table changes otherwise than through this place. */
struct l1_place {
    struct l1_bucket *head; /* of the chain */
    struct l1_bucket *node; /* NULL: past the end */
    unsigned slot;
    const struct arena *arena;
};

enum status l1_table_init(struct l1_table *table, const struct hash_secret *secret,
                          struct arena *arena) MUST_USE; /* both borrowed */
void l1_table_done(struct l1_table *table); /* items must have been taken out or are forgotten */

enum {
    L1_DB_ANY = 255
};

/* True if (db, key) has an entry, and *ret_place is it. L1_DB_ANY finds the first of any database. */
bool l1_table_find(const struct l1_table *table, uint64_t hash, uint8_t db, struct slice key,
                   struct l1_place *ret_place);
/* The key must not be there. NO_MEMORY, or its chain is at its limit: nothing changed. Cannot fail for a key that was
 * removed since the table last settled. */
enum status l1_table_insert(struct l1_table *table, uint64_t hash, struct item *item,
                            uint32_t word) MUST_USE;
/* Puts another item of the same key (and so of the same hash) in the place. The word stays. */
void l1_table_replace(struct l1_place place, struct item *item);
/* Takes the entry out. The place then holds the next entry of the chain that a walk has not seen, or none. */
void l1_table_remove(struct l1_table *table, struct l1_place *place);

/* Walks a chain: for (place = ..._at(...); (item = l1_place_item(&place)) != NULL; l1_place_next(&place)). */
struct l1_place l1_table_chain(const struct l1_table *table,
                               uint64_t hash); /* the chain where `hash` belongs */
struct l1_place l1_table_bucket(const struct l1_table *table, uint64_t index); /* index < buckets */
void l1_place_next_bucket(struct l1_place *place);
static inline void l1_place_next(struct l1_place *place)
{
    if (++place->slot >= L1_BUCKET_SLOTS - 1) {
        l1_place_next_bucket(place);
    }
}

/* NULL: no more. */
static inline struct item *l1_place_item(const struct l1_place *place)
{
    uint64_t slot = place->node == NULL ? 0 : place->node->slots[place->slot];
    return slot == 0 ? NULL : arena_at(place->arena, (uint32_t)slot);
}

/* Whole at once, since prefetches read slots without the lock. */
static inline void l1_slot_set(struct l1_bucket *bucket, unsigned at, uint64_t slot)
{
    __atomic_store_n(&bucket->slots[at], slot, __ATOMIC_RELAXED);
}

/* Of an entry, without its item. */
static inline uint64_t l1_place_slot(const struct l1_place *place)
{
    return place->node->slots[place->slot];
}
/* Whether its item expires or is a claim. */
static inline bool l1_place_wants_look(const struct l1_place *place)
{
    return (l1_place_slot(place) >> 55 & 1) != 0;
}
static inline uint32_t l1_place_word(const struct l1_place *place)
{
    return (uint32_t)(l1_place_slot(place) >> 32) & POLICY_WORD_MAX;
}
static inline void l1_place_set_word(const struct l1_place *place, uint32_t word)
{
    uint64_t slot = l1_place_slot(place) & ~((uint64_t)POLICY_WORD_MAX << 32);
    l1_slot_set(place->node, place->slot, slot | (uint64_t)word << 32);
}

/* The cursor after the bucket that l1_table_chain(cursor) walks; 0 when every hash has been seen. */
uint64_t l1_table_cursor_next(const struct l1_table *table, uint64_t cursor);

const struct l1_bucket *l1_table_prefetch(const struct l1_table *table, uint64_t hash);
/* Starts loading the items that `hash` may be. */
void l1_table_prefetch_items(const struct l1_table *table, const struct l1_bucket *bucket,
                             uint64_t hash);

static inline uint64_t l1_table_buckets(const struct l1_table *table)
{
    return atomic_load_explicit(&table->buckets, memory_order_relaxed);
}

/* Entries per bucket, in halves. 5.5 on average means 3.7 to 7.3 as buckets split in turn: 13.3 bytes of table an item, 9 %
 * of lookups go on to an overflow bucket (5: 14.1 bytes, 7 %; 4.5: 15.2 bytes, 5 %). Far enough apart that a table at
 * rest never goes to and fro. */
enum {
    L1_GROW_ABOVE_HALVES = 11,
    L1_SHRINK_BELOW_HALVES = 4
};

static inline bool l1_table_is_settled(const struct l1_table *table)
{
    uint64_t buckets = l1_table_buckets(table);
    size_t halves = table->entries * 2;
    return halves <= buckets * L1_GROW_ABOVE_HALVES &&
           (halves >= buckets * L1_SHRINK_BELOW_HALVES || buckets == L1_BUCKETS_MIN);
}

void l1_table_settle_slowly(struct l1_table *table, unsigned steps);

/* Moves the number of buckets towards what the entries need, by at most `steps` buckets; frees what removals left. */
static inline void l1_table_settle(struct l1_table *table, unsigned steps)
{
    if (table->spare != NULL || !l1_table_is_settled(table)) {
        l1_table_settle_slowly(table, steps);
    }
}

#endif
