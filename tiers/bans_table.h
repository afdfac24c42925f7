/* SPDX-License-Identifier: BSD-3-Clause */
/* bans_table.h -- what readers of bans look at: seqs by hash, and the list. For bans.c (bans.h says how they are replaced).
 *
 * Look-ups mostly find nothing, and several are made for one value. So a FILTER comes first, a bit for a hash and eight for
 * a slot: 15 of 16 look-ups end there, in an eighth of the memory and without a branch that cannot be foretold. The hashes
 * lie together and apart from the seqs. At most half of the slots are used.
 *
 * Prefixes: the hash of the first n bytes of a key, a word at a time (state := fold(state ^ word, secret), fold: both halves
 * of the product of 64 x 64 bits), and its rest with n at the end. So a key is hashed once for all lengths, and only where
 * some prefix ends a look-up is made.
 *
 * Threads: one writer; readers find and match. */
#ifndef TERRACE_TIERS_BANS_TABLE_H
#define TERRACE_TIERS_BANS_TABLE_H

#include "protocol/frame_ban.h"

#include <stdatomic.h>

enum {
    BANS_SECRETS = 6,
    BANS_LENGTH_WORDS = FRAME_BAN_TEXT_MAX / 64 + 1
};

struct bans_secret {
    uint64_t word[BANS_SECRETS];
};

/* Something that readers may still look at when it was replaced. */
struct bans_block {
    struct bans_block *next;
    uint64_t era;
    bool is_table; /* or a list */
};

struct bans_seqs {
    _Atomic uint64_t hard;
    _Atomic uint64_t soft;
};

struct bans_table {
    struct bans_block block; /* first */
    struct bans_secret secret;
    size_t mask;
    size_t used;                                 /* the writer's */
    _Atomic bool scoped;                         /* some are of one namespace only */
    _Atomic uint64_t lengths[BANS_LENGTH_WORDS]; /* bit n: some prefix has n bytes */
    _Atomic uint64_t *filter;                    /* 8 bits for each slot */
    struct bans_seqs *seqs;
    _Atomic uint64_t *hashes; /* 0: free */
};

/* What is being judged. */
struct bans_case {
    uint64_t ns; /* id of its namespace; 0 while nothing is of one only */
    struct slice key;
    uint64_t version;
    const char *tags;
    unsigned tag_count;
};

/* What was found of it. */
struct bans_found {
    bool hard;
    bool soft;
};

uint64_t bans_ns_id(struct slice name); /* 0: all namespaces */
uint64_t bans_tag_id(struct slice tag); /* as items keep it */

struct bans_table *bans_table_new(const struct bans_secret *secret,
                                  size_t rows); /* NULL: no memory */
void bans_table_free(struct bans_table *table);
size_t bans_table_bytes(const struct bans_table *table);
/* What is in `from` is in `table`, too, which has more room. */
void bans_table_copy(struct bans_table *table, const struct bans_table *from);

/* The seqs of the ban rise to these. False: there is no room for it. */
bool bans_table_raise(struct bans_table *table, const struct frame_ban *ban) MUST_USE;
/* All but what the list says. Stops at the first hard one. */
void bans_table_match(const struct bans_table *table, const struct bans_case *of,
                      struct bans_found *found);
/* The hard seq of the ban of everything in a namespace (id); 0: none. */
uint64_t bans_table_all(const struct bans_table *table, uint64_t ns);

struct bans_listed {
    uint64_t hard;
    uint64_t soft;
    uint64_t ns;
    bool is_glob;
    unsigned tag_count;
    struct slice text; /* the glob, or the ids of the tags */
};

struct bans_list {
    struct bans_block block; /* first */
    unsigned count;
    size_t bytes;
    struct bans_listed at[]; /* the newest first; then their texts */
};

/* Of `count` globs and conjunctions, in any order. NULL: no memory. */
struct bans_list *bans_list_new(const struct frame_ban *bans, unsigned count);
void bans_list_match(const struct bans_list *list, const struct bans_case *of,
                     struct bans_found *found);

#endif
