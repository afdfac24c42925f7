/* SPDX-License-Identifier: BSD-3-Clause */
/* bans_inner.h -- the inside of bans, for bans.c (readers, and what they look at) and bans_rows.c (what the writer knows). */
#ifndef TERRACE_TIERS_BANS_INNER_H
#define TERRACE_TIERS_BANS_INNER_H

#include "protocol/hash.h"
#include "tiers/bans.h"
#include "tiers/bans_table.h"
#include "tiers/base/map.h"

#include <pthread.h>
#include <stdlib.h>

enum {
    BANS_MAGIC = 0x42414e53,
    BANS_CACHE_LINE = 64
};

/* A ban as the writer knows it. */
struct ban_row {
    struct map_node in_map; /* by name */
    uint64_t hard;
    uint64_t soft;
    int64_t at_ms;  /* when it was issued, or later */
    uint32_t place; /* in bans.rows */
    uint16_t size;
    char name[];
};

struct bans {
    /* What readers look at. */
    _Alignas(BANS_CACHE_LINE) _Atomic uint64_t changes;
    _Atomic uint64_t highest; /* no ban has a larger seq; UINT64_MAX: nobody knows */
    _Atomic uint64_t below;   /* everything below is dead */
    _Atomic uint64_t lost;    /* everything that nodes wrote below is dead */
    _Atomic(struct bans_table *) table;
    _Atomic(struct bans_list *) list; /* NULL: nothing is in it */
    _Atomic bool whole;
    _Atomic uint64_t reach_counter; /* struct bans_reach, each by itself */
    _Atomic uint64_t reach_random;
    _Atomic uint64_t reach_seq; /* while it is not whole */
    _Atomic uint64_t era;
    _Atomic uint64_t count; /* these for who asks */
    _Atomic uint64_t listed;
    _Atomic uint64_t bytes;

    /* The writer's. */
    _Alignas(BANS_CACHE_LINE) uint32_t magic;
    struct bans_secret secret;
    struct hash_secret names;
    struct map by_name;
    struct ban_row **rows;
    size_t row_count;
    size_t row_room;
    size_t row_bytes;
    size_t clean_at;       /* the next row to look at; the pass goes down */
    bool removed;          /* rows, since the table was made */
    bool list_changed;     /* and the list is to be made anew */
    uint64_t top;          /* the highest seq of all rows */
    uint64_t aged;         /* bans_aged */
    uint64_t pass_aged;    /* of this pass so far: above all that may be covered, */
    uint64_t pass_overdue; /* and the newest that must be; 0: none must */
    struct bans_block *retired;

    pthread_mutex_t lock; /* of the ring of memos */
    struct bans_memo *memos;
};

static inline struct bans_table *bans_table_of(const struct bans *bans)
{
    return atomic_load_explicit(&bans->table, memory_order_relaxed);
}

static inline struct bans_list *bans_list_of(const struct bans *bans)
{
    return atomic_load_explicit(&bans->list, memory_order_relaxed);
}

static inline struct slice ban_row_name(const struct ban_row *row)
{
    return (struct slice){.data = row->name, .size = row->size};
}

/* Readers find these from now on; the former ones go when nobody looks at them any more. A list may be NULL. */
void bans_swap_table(struct bans *bans, struct bans_table *table);
void bans_swap_list(struct bans *bans, struct bans_list *list);
/* The end of each change: verdicts of before count no more. */
void bans_changed(struct bans *bans);
void bans_free_rows(struct bans *bans);
size_t bans_row_bytes(const struct bans *bans);

#endif
