/* SPDX-License-Identifier: BSD-3-Clause */
/* arena.h -- the memory of one L1 shard: cells for items, lines and pages for its table, counted as the system counts.
 *
 * Memory comes from the system in REGIONS of 2 MiB, aligned to their size, so that the region of a cell, and by it the
 * arena, is found by masking its address. A region is cut into RUNS of pages; a run is a SLAB of cells of one size, or
 * one large allocation. A cell has no header: its slab knows its size. What is too large for a region has a mapping of
 * its own, which looks like a region with one cell.
 *
 *      region  [ header | slab: cell cell cell ... | slab ... | large | free pages ... ]
 *
 * Sizes of cells: steps of 4 bytes up to 128, of 8 up to 512, then a 32nd (from 2 KiB on a 16th) of the power of two below,
 * up to 32 KiB; above that whole pages. The slabs of a size are as large as a 32nd of what that size has, 1 to 16 pages, so
 * that neither a small arena nor a rare size wastes much.
 *
 * arena_bytes is what the process has resident for this arena: every page that was written and not given back, whether
 * cells on it are in use or not, the arena itself, and what its owner adds. A budget that goes by it holds, however sizes
 * change. Freed pages are kept for a while and then given back (arena_trim). Cells that are left over in many slabs come
 * together by COMPACTION: the owner moves the cells of the emptiest slab of a size into others (arena_compact) until its
 * pages are free.
 *
 * Regions that are empty stay mapped, without memory, until the arena goes: whoever reads a table without the lock, to load
 * lines ahead, reads nothing of worth, but does not fall.
 *
 * A HANDLE names a cell within its arena in 32 bits (units of 4 bytes: 16 GiB per arena); 0 names none.
 *
 * Owns:    all of it. The arena outlives arena_close until the last cell is free.
 * Threads: the owner's lock around everything, but for arena_free_remote, arena_of and arena_cell_size, which any
 *          thread may call for a cell that it holds. What was freed from afar counts as used until arena_collect.
 * Cells:   the first 32-bit word of a cell belongs to its user and must be 0 when the cell is freed and not 0 while it is
 *          in use: it tells a compaction what lives.
 * Errors:  NULL for want of memory, or when all handles are in use. */
#ifndef TERRACE_TIERS_ARENA_H
#define TERRACE_TIERS_ARENA_H

#include "protocol/bytes.h"

#include <stdatomic.h>

enum {
    ARENA_PAGE = 4096,
    ARENA_PAGES = 512,
    ARENA_REGION = ARENA_PAGE * ARENA_PAGES,
    ARENA_REGIONS_MAX = 8192,
    ARENA_UNIT_LOG = 2, /* of handles */
    ARENA_OFFSET_BITS = 19,
    ARENA_CELL_MAX = 32 << 10, /* the largest cell of a slab */
    ARENA_LINE = 64,
};

struct arena;
struct arena_region;

struct arena *arena_new(void); /* NULL: no memory */
void arena_close(struct arena *arena);

/* Aligned to 4 bytes; to a page if it is larger than ARENA_CELL_MAX. */
void *arena_alloc(struct arena *arena, size_t size) MUST_USE;
void arena_free(struct arena *arena, void *cell);
void arena_free_remote(void *cell);
void arena_collect(struct arena *arena); /* takes back what arena_free_remote left */

/* For the table: a cache line, aligned as such, and whole pages. Never moved; freed by arena_free_raw only. */
void *arena_alloc_line(struct arena *arena) MUST_USE;
void *arena_alloc_pages(struct arena *arena, size_t size) MUST_USE;
void arena_free_raw(struct arena *arena, void *memory);

struct arena *arena_of(const void *cell);
size_t arena_cell_size(const void *cell); /* its share of what arena_bytes counts, at least */
/* Times in cells are told from here on, so that they take few bytes. Set once; 0: not yet. */
void arena_set_base_ms(struct arena *arena, int64_t base_ms);

size_t arena_bytes(const struct arena *arena);
void arena_count(struct arena *arena,
                 size_t bytes); /* of its owner's, elsewhere, as long as it lives */

size_t arena_slack(const struct arena *arena); /* of these, what is in no cell in use */

/* Whether there is room to spare (from the start there is): new regions may be of huge pages then, which count in full at
 * once. If not, a cell somewhat larger than asked for is better than another slab. */
void arena_set_roomy(struct arena *arena, bool is_roomy);

/* Copies what lives in `from` to `to` and makes everybody who knows it know `to`. False: it cannot be moved now. */
typedef bool arena_move_fn(void *arg, void *from, void *to);
/* Moves at most `most` cells. False: there is nothing that would free pages. */
bool arena_compact(struct arena *arena, arena_move_fn *move, void *arg, unsigned most);
/* From here on what could not be moved is tried again: those who held it may have let go. */
void arena_retry(struct arena *arena);
enum arena_trim {
    ARENA_TRIM_SOME, /* beyond a small share */
    ARENA_TRIM_IDLE, /* all but those beside others in use in huge pages */
    ARENA_TRIM_ALL,
};
/* Gives free pages back to the system, a bounded number at once. Returns how many pages went. */
size_t arena_trim(struct arena *arena, enum arena_trim which);

/* Mappings that are no longer in use, to be unmapped without the lock. */
struct arena_region *arena_take_doomed(struct arena *arena);
void arena_unmap(struct arena_region *doomed);

/* For tests of want of memory: no more than so many regions. */
void arena_limit_regions(struct arena *arena, unsigned limit);

/* What each arena begins with, for the conversions below. That of handles may be asked for any at any time: what it says of
 * one that is not in use is an address that must not be read. */
struct arena_directory {
    _Atomic(uintptr_t) *regions;
    int64_t base_ms;
};

static inline int64_t arena_base_ms(const struct arena *arena)
{
    return ((const struct arena_directory *)(const void *)arena)->base_ms;
}

static inline void *arena_at(const struct arena *arena, uint32_t handle)
{
    const _Atomic(uintptr_t) *regions =
        ((const struct arena_directory *)(const void *)arena)->regions;
    uintptr_t offset = (uintptr_t)(handle & ((1u << ARENA_OFFSET_BITS) - 1)) << ARENA_UNIT_LOG;
    /* NOLINTNEXTLINE(performance-no-int-to-ptr): no region, no pointer to begin with */
    return (
        void *)(atomic_load_explicit(&regions[handle >> ARENA_OFFSET_BITS], memory_order_relaxed) +
                offset);
}
uint32_t arena_handle(const void *cell);

#endif
