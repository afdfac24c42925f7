/* SPDX-License-Identifier: BSD-3-Clause */
/* hot_list.h -- the hottest keys of a node, or of several, as one list: made of the sketches of its workers (hot.h) or of the
 * lists of other nodes (hot_merge.h), and written to L2 for them. A page of what a node's L1 holds (held.h) is such a
 * list, too.
 *
 * A list is never changed once others have it; whoever wants it takes a reference. Hottest first.
 *
 * Of a key counts are bounds, as in hot.h: it was read `count` times at least and count + error at most. Lists merge as
 * sketches do, but the list of another node ends somewhere, and what is not in it is taken for not read there: the
 * upper bound is then that of those who tell of the key.
 *
 * HEAT is what OBJECT FREQ would say of so many reads under lfu, on average: its counter goes from k to k + 1 with a chance of
 * 1 in 10(k - 5) + 1, so n steps above the 5 of a newcomer take 5n^2 - 4n reads. 8 stands for some 30 reads, 19 for 1,000, 255
 * for 300,000 and more. It is the same on every node, and what a newcomer is compared by (prefetch.h). OBJECT FREQ itself is
 * thrown by dice, falls by a point for a minute without a use, and counts since the value came, not in the last minutes.
 *
 * IN L2: a header and rows, LZ4 if that saves something:
 *      "THL2"  u32 rows   u64 written_at_ms   u64 total   u64 window_ms   u32 size of the rows   u32 packed (0: they are not)
 *      u64 hits   u64 writing   u32 pages   u32 page   u64 keys   u64 bytes   u64 grain      `held`, below
 *      u64 XXH64 of the bytes above and those below | rows: u16 key_size, u8 db, u8 0, u64 count, u64 error, key
 * Little endian; counts in 256ths. What is read may come from anybody who can write there: limits are checked before
 * memory is taken, and a list is whole or none.
 *
 * Owns:    its rows and their keys.
 * Threads: any; references are atomic.
 * Limits:  HOT_LIST_BYTES of rows, but for what is merged to be read here alone; 2^44 reads.
 * Errors:  MALFORMED, NO_MEMORY. */
#ifndef TERRACE_TIERS_HOT_LIST_H
#define TERRACE_TIERS_HOT_LIST_H

#include "tiers/hot.h"

enum {
    HOT_LIST_BYTES = 256 << 10,
    HOT_LIST_HEADER = 96,
    HOT_LIST_LIFE_MS = 3600 * 1000, /* an older one says nothing any more */
    HELD_PAGES_MAX = 64,
};

/* What L1 held when it was written down, in pages (held.h). All zeros: it was not. */
struct held_told {
    uint64_t writing; /* the same in all its pages and in the list that names them; never 0 */
    uint32_t pages;
    uint32_t page;  /* of a page: which */
    uint64_t keys;  /* in L1, also those that found no room in the pages */
    uint64_t bytes; /* that they take there */
};

struct hot_row {
    struct slice key; /* the list's */
    double count;
    double error;
    uint8_t db;
    uint8_t heat;
};

struct hot_list {
    _Atomic unsigned references;
    int64_t written_at_ms; /* of the wall clock */
    double total;          /* reads of all keys, also of those that are not here */
    double hits;           /* of these, what L1 answered */
    double grain;          /* what counts are made of: reads that a sample stands for */
    double window_s;       /* in so many seconds: rates are counts divided by it */
    struct held_told held;
    size_t count;
    struct hot_row *rows;
    char *keys; /* private: their bytes */
};

/* With room for so many rows and bytes of keys, and no more; one reference. NULL: no memory. */
struct hot_list *hot_list_new(size_t rows, size_t key_bytes);
struct hot_list *hot_list_ref(struct hot_list *list);
void hot_list_release(struct hot_list *list); /* NULL is fine */

double hot_list_per_s(const struct hot_list *list, double count);
uint8_t hot_heat(double reads);

/* Of a count what is more than chance: of k samples k - sqrt(k), since the next time they may be so many fewer. */
double hot_list_sure(const struct hot_list *list, double count);
/* Bytes of rows that a row with such a key takes. */
size_t hot_list_row_bytes(struct slice key);
/* What is left of its reads now, since reads fade; 0: it is too old, or of a time to come that no clock is wrong by. */
double hot_list_weight(const struct hot_list *list, int64_t now_ms);
/* TOO_BIG: more than HOT_LIST_BYTES. */
enum status hot_list_write(const struct hot_list *list, struct buf *out) MUST_USE;
enum status hot_list_read(struct slice bytes, struct hot_list **ret_list) MUST_USE;

#endif
