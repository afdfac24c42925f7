/* SPDX-License-Identifier: BSD-3-Clause */
/* whatif_table.h -- the keys of a sample, and which simulators hold each of them (whatif.h).
 *
 * Open addressing, linear probing. What is looked at most stands by itself: sixteen prints, or thirty-two sets of holders,
 * to a cache line. A row that nobody holds stays until whatif_table_drop; nothing else moves rows.
 *
 * Owns:    its arrays, which are pages of the arena.
 * Threads: the caller's lock.
 * Limits:  as many slots as it was made with; the caller keeps an eighth of them free. */
#ifndef TERRACE_TIERS_WHATIF_TABLE_H
#define TERRACE_TIERS_WHATIF_TABLE_H

#include "tiers/arena.h"

enum {
    WHATIF_TRACKS = 8,
    WHATIF_NO_SLOT = -1,
};

/* Who held the key when L1 fetched it anew still holds the older value, which may expire at another time. Values older
 * than the last two count as the older of these. */
struct whatif_row {
    int64_t expire_at_ms;     /* 0: never */
    int64_t old_expire_at_ms; /* of the older value */
    uint32_t size;            /* bytes of the item */
    uint16_t old;             /* who holds the older one; bits of others mean nothing */
    uint16_t rank;            /* the highest bits of the hash, by which the sample is chosen */
    uint8_t db;
    bool asked;                    /* L1 missed it, and no value has come since */
    uint32_t words[WHATIF_TRACKS]; /* policies' words */
};

struct whatif_table {
    unsigned slots; /* a power of two; 0: no memory yet */
    unsigned used;
    uint32_t *prints; /* 0: free */
    uint16_t *held;   /* bit i: simulator i holds it */
    struct whatif_row *rows;
    struct arena *arena;
};

enum {
    WHATIF_SLOT_BYTES = sizeof(uint32_t) + sizeof(uint16_t) + sizeof(struct whatif_row)
};

enum status whatif_table_init(struct whatif_table *table, struct arena *arena,
                              unsigned slots) MUST_USE; /* arena borrowed */
void whatif_table_done(struct whatif_table *table);     /* all zeros afterwards */

uint32_t whatif_print(uint64_t hash, uint8_t db); /* never 0 */
/* What stands for the key's hash in the eyes of a policy: the same for the same print. */
static inline uint64_t whatif_print_hash(uint32_t print)
{
    return print * UINT64_C(0x9e3779b97f4a7c15);
}

/* The slot of a key, or WHATIF_NO_SLOT. */
int whatif_table_find(const struct whatif_table *table, uint32_t print);
/* For a key that is not there: a slot with nobody's bit set and a row of zeros. */
int whatif_table_add(struct whatif_table *table, uint32_t print);
/* Frees the slot; another row may move into it. */
void whatif_table_drop(struct whatif_table *table, int slot);

#endif
