/* SPDX-License-Identifier: BSD-3-Clause */
/* policy_ghost.h -- what a shard remembers of entries that it evicted.
 *
 * A hash table of fingerprints, four bytes each, sixteen to a cache line. A key has its place in one line, which is a
 * queue: the entry that came first makes room.
 *
 * Another key with the same line and 16-bit fingerprint is taken for the evicted one: 1 of 4000 strangers.
 *
 * There is one entry for each resident one, and up to four where they are large: 1/64 of their bytes. The number of lines
 * follows by linear hashing: one line splits (both halves get all its entries; those in the wrong half are never found
 * and move on) or is given up, so no change takes long. Below 64 lines, it doubles or halves as a whole.
 *
 * Owns:    its lines, which are pages of the arena; fewer than a page holds are of the heap, 2 KiB at most.
 * Threads: under the shard's lock.
 * Units:   ages in ticks (policy_age.h).
 * Errors:  without memory it stays as large as it is. */
#ifndef TERRACE_TIERS_POLICY_GHOST_H
#define TERRACE_TIERS_POLICY_GHOST_H

#include "tiers/arena.h"
#include "tiers/policy.h"
#include "tiers/policy_age.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    GHOST_LINE = 16,        /* entries */
    GHOST_CHUNK_LINES = 64, /* lines that are allocated together: a page of 4 KiB */
    GHOST_PER_RESIDENT_MAX = 4,
    GHOST_BYTES_SHARE = 64, /* of what the residents take, the 64th */
};

struct policy_ghost {
    struct arena *arena; /* where its lines are, borrowed */
    uint32_t lines;
    uint32_t chunk_room;
    uint32_t (
        **chunks)[GHOST_LINE]; /* GHOST_CHUNK_LINES lines each; one with fewer if there are fewer */
};

struct policy_ghost_entry {
    uint16_t tick; /* of the last use */
    uint8_t group; /* 0..31 */
};

/* All zeros but for the arena is an empty ghost with room for nothing. */
void policy_ghost_clear(struct policy_ghost *ghost);
size_t policy_ghost_bytes(const struct policy_ghost *ghost);
/* Moves its size a few lines towards what so many resident entries ask for, of so many bytes. None: everything is
 * given back. */
void policy_ghost_settle(struct policy_ghost *ghost, size_t residents, size_t resident_bytes);

void policy_ghost_put(struct policy_ghost *ghost, uint64_t hash, struct policy_ghost_entry entry);
/* Takes the entry of the key out; false: there is none. */
bool policy_ghost_take(struct policy_ghost *ghost, uint64_t hash, struct policy_ghost_entry *ret);

#endif
