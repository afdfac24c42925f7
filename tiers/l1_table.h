/* SPDX-License-Identifier: BSD-3-Clause */
/* l1_table.h -- the hash table of one L1 shard: linear hashing over buckets of one cache line.
 *
 * A bucket holds seven slots, each a 16-bit tag of the hash over a 48-bit pointer, and the link to an overflow bucket.
 * A lookup therefore touches one line of the table in nineteen of twenty cases, and other keys' items almost never.
 *
 * The table grows and shrinks by one bucket at a time (Litwin, VLDB 1980): bucket `buckets` splits off from its buddy,
 * or is merged back into it. There is no rehash of everything, hence no pause. Buckets live in segments that are never
 * moved: the segment sizes double every 16 segments, so that a fixed directory of 448 pointers serves eight buckets as
 * well as billions, and less than a sixteenth of the segment memory is unused.
 *
 * The 64 bits of a hash are used once each: 63..48 tag, 47..42 shard (l1.c), 41..0 bucket.
 *
 * A walk over all buckets while the table changes: cursors count in reverse binary (as Redis' dictScan, with the
 * mask chosen per bucket, because here some buckets are one bit more split than others). A cursor says which hashes
 * have been seen, not which buckets, so it stays true whatever splits or merges. Within one bucket entries may move on
 * every change: look at a whole chain before letting go of the lock.
 *
 * Does NOT count bytes of items, know databases' names, or lock.
 *
 * Owns:    buckets, not items.
 * Threads: the caller locks; l1_table_prefetch alone may be called without, from any thread.
 * Errors:  only insert needs memory; growing and shrinking are put off when there is none. */
#ifndef TERRACE_TIERS_L1_TABLE_H
#define TERRACE_TIERS_L1_TABLE_H

#include "protocol/hash.h"
#include "tiers/item.h"

#include <stdatomic.h>

enum {
    L1_BUCKET_SLOTS = 7,
    L1_BUCKETS_MIN = 8, /* and the size of the first segments */
    L1_SEGMENTS = 28 * 16,
    L1_HASH_BUCKET_BITS = 42,
    L1_HASH_SHARD_BITS = 6,
    L1_HASH_TAG_SHIFT = 48,
};

struct l1_bucket {
    _Alignas(
        64) uint64_t slots[L1_BUCKET_SLOTS]; /* filled from the front, along the chain; 0: empty */
    struct l1_bucket *next;                  /* overflow, or NULL */
};

struct l1_table {
    _Atomic uint64_t buckets;
    size_t entries;
    size_t bytes;            /* segments and overflow buckets, allocator overhead included */
    struct l1_bucket *spare; /* overflow buckets set free, kept until the table settles */
    const struct hash_secret *secret;
    _Atomic(struct l1_bucket *) segments[L1_SEGMENTS];
};

/* Where an entry stands. Valid until the table changes otherwise than through this place. */
struct l1_place {
    struct l1_bucket *head; /* of the chain */
    struct l1_bucket *node; /* NULL: past the end */
    unsigned slot;
};

enum status l1_table_init(struct l1_table *table,
                          const struct hash_secret *secret) MUST_USE; /* secret borrowed */
void l1_table_done(struct l1_table *table); /* items must have been taken out or are forgotten */

enum {
    L1_DB_ANY = 255
};

/* True if (db, key) has an entry, and *ret_place is it. L1_DB_ANY finds the first of any database. */
bool l1_table_find(const struct l1_table *table, uint64_t hash, uint8_t db, struct slice key,
                   struct l1_place *ret_place);
/* The key must not be there. NO_MEMORY: nothing changed. Cannot fail for a key that was removed since the table last
 * settled. */
enum status l1_table_insert(struct l1_table *table, uint64_t hash, struct item *item) MUST_USE;
/* Puts another item of the same key (and so of the same hash) in the place. */
void l1_table_replace(struct l1_place place, struct item *item);
/* Takes the entry out. The place then holds the next entry of the chain that a walk has not seen, or none. */
void l1_table_remove(struct l1_table *table, struct l1_place *place);

/* Walks a chain: for (place = ..._at(...); (item = l1_place_item(&place)) != NULL; l1_place_next(&place)). */
struct l1_place l1_table_chain(const struct l1_table *table,
                               uint64_t hash); /* the chain where `hash` belongs */
struct l1_place l1_table_bucket(const struct l1_table *table, uint64_t index); /* index < buckets */
struct item *l1_place_item(const struct l1_place *place);                      /* NULL: no more */
void l1_place_next(struct l1_place *place);

/* The cursor after the bucket that l1_table_chain(cursor) walks; 0 when every hash has been seen. */
uint64_t l1_table_cursor_next(const struct l1_table *table, uint64_t cursor);

void l1_table_prefetch(const struct l1_table *table, uint64_t hash);
/* Starts loading the items that `hash` may be; under the lock. */
void l1_table_prefetch_items(const struct l1_table *table, uint64_t hash);

static inline uint64_t l1_table_buckets(const struct l1_table *table)
{
    return atomic_load_explicit(&table->buckets, memory_order_relaxed);
}

/* Entries per bucket, in halves. 4.5 on average means 4.5 to 9 in buckets that have not split in this round: 16.3 bytes
 * of table an item, 6 % of lookups go on to an overflow bucket (5: 15.5 bytes, 8 %; 4: 17.6 bytes, 4 %). Far enough
 * apart that a table at rest never goes to and fro. */
enum {
    L1_GROW_ABOVE_HALVES = 9,
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
