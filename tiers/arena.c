/* SPDX-License-Identifier: BSD-3-Clause */
/* Cells and slabs; pages are in arena_region.c. */
#include "tiers/arena.h"

#include "protocol/check.h"
#include "tiers/arena_inner.h"

#include <stdlib.h>
#include <string.h>

enum {
    CELL_MIN = 8, /* a free cell holds a word of 0 and the way to the next one */
    STEP4_MAX = 128,
    STEP8_MAX = 512,
    STEP8_CLASS = STEP4_MAX / 4,
    FINE_CLASS = STEP8_CLASS + (STEP8_MAX - STEP4_MAX) / 8, /* 32 steps per doubling */
    FINE_LOG = 9,
    COARSE_CLASS = FINE_CLASS + 2 * 32, /* 16 steps */
    COARSE_LOG = 11,
    SLAB_CELLS_MIN = 4,
    SLAB_PAGES_MAX = 16, /* unless so few cells need more */
    SLAB_SHARE_LOG = 5,  /* a slab is at most this share of its class */
    STUCK_SKIPPED = 8,
    RUN_PAGES_MAX = ARENA_PAGES - 1,
};

#define REMOTE_CLOSED UINT32_MAX

_Static_assert(COARSE_CLASS + 4 * 16 + 1 == ARENA_CLASS_LINE, "the last size is ARENA_CELL_MAX");

/* --- sizes -------------------------------------------------------------------------------------------------------- */

static unsigned class_of(size_t size)
{
    if (size <= STEP4_MAX) {
        return (unsigned)(size + 3) / 4;
    }
    if (size <= STEP8_MAX) {
        return STEP8_CLASS + (unsigned)(size - STEP4_MAX + 7) / 8;
    }
    unsigned log = 63u - (unsigned)__builtin_clzll(size - 1);
    unsigned step_log = log < COARSE_LOG ? log - 5 : log - 4;
    unsigned first = log < COARSE_LOG ? FINE_CLASS + (log - FINE_LOG) * 32
                                      : COARSE_CLASS + (log - COARSE_LOG) * 16;
    return first +
           (unsigned)((size - ((size_t)1 << log) + ((size_t)1 << step_log) - 1) >> step_log);
}

static uint32_t class_cell(unsigned size_class)
{
    if (size_class == ARENA_CLASS_LINE) {
        return ARENA_LINE;
    }
    if (size_class <= STEP8_CLASS) {
        return size_class * 4;
    }
    if (size_class <= FINE_CLASS) {
        return STEP4_MAX + (size_class - STEP8_CLASS) * 8;
    }
    bool is_fine = size_class <= COARSE_CLASS;
    unsigned at = size_class - 1 - (is_fine ? FINE_CLASS : COARSE_CLASS);
    unsigned steps_log = is_fine ? 5 : 4;
    unsigned log = (is_fine ? FINE_LOG : COARSE_LOG) + (at >> steps_log);
    return (1u << log) + (((at & ((1u << steps_log) - 1)) + 1) << (log - steps_log));
}

/* --- life --------------------------------------------------------------------------------------------------------- */

struct arena *arena_new(void)
{
    struct arena *arena = aligned_alloc(_Alignof(struct arena), sizeof *arena);
    if (arena == NULL) {
        return NULL;
    }
    memset(arena, 0, sizeof *arena);
    if (!arena_directory_new(arena)) {
        free(arena);
        return NULL;
    }
    arena_count(arena, sizeof *arena);
    arena->region_limit = ARENA_REGIONS_MAX;
    arena->is_roomy = true;
    arena->tries = 1; /* 0: a slab that is not stuck */
    return arena;
}

static void arena_free_all(struct arena *arena)
{
    arena_regions_done(arena);
    free(arena);
}

/* Whoever finds, or makes, the count of orphans whole frees the arena: the owner counts in all that are left at once, each
 * of them counts itself out, before or after. */
void arena_close(struct arena *arena)
{
    if (arena == NULL) {
        return;
    }
    uint32_t handle;
    do {
        arena_collect(arena);
        handle = 0;
    } while (!atomic_compare_exchange_strong_explicit(&arena->remote, &handle, REMOTE_CLOSED,
                                                      memory_order_acq_rel, memory_order_acquire));
    int64_t left = (int64_t)arena->live;
    if (atomic_fetch_add_explicit(&arena->orphans, left, memory_order_acq_rel) + left == 0) {
        arena_free_all(arena);
    }
}

static void orphan_gone(struct arena *arena)
{
    if (atomic_fetch_sub_explicit(&arena->orphans, 1, memory_order_acq_rel) - 1 == 0) {
        arena_free_all(arena);
    }
}

size_t arena_bytes(const struct arena *arena)
{
    return arena->bytes;
}

void arena_count(struct arena *arena, size_t bytes)
{
    arena->bytes += bytes;
    arena->live_bytes += bytes;
}

size_t arena_slack(const struct arena *arena)
{
    return arena->bytes - arena->live_bytes;
}

void arena_set_roomy(struct arena *arena, bool is_roomy)
{
    arena->is_roomy = is_roomy;
}

void arena_limit_regions(struct arena *arena, unsigned limit)
{
    arena->region_limit = limit < ARENA_REGIONS_MAX ? limit : ARENA_REGIONS_MAX;
}

void arena_set_base_ms(struct arena *arena, int64_t base_ms)
{
    CHECK(arena->directory.base_ms == 0);
    arena->directory.base_ms = base_ms;
}

/* --- where a cell lies -------------------------------------------------------------------------------------------- */

static struct arena_slab *slab_of(const void *cell)
{
    struct arena_region *region = arena_region_of(cell);
    size_t first = region->first[arena_page_of(cell)];
    return (struct arena_slab *)(void *)((char *)region + first * ARENA_PAGE);
}

struct arena *arena_of(const void *cell)
{
    return arena_region_of(cell)->arena;
}

uint32_t arena_handle(const void *cell)
{
    size_t offset = (uintptr_t)cell & ((uintptr_t)ARENA_REGION - 1);
    return arena_region_of(cell)->index << ARENA_OFFSET_BITS | (uint32_t)(offset >> ARENA_UNIT_LOG);
}

size_t arena_cell_size(const void *cell)
{
    const struct arena_region *region = arena_region_of(cell);
    if (region->is_single) {
        return region->size;
    }
    const struct arena_slab *slab = slab_of(cell);
    return (const void *)slab == cell ? (size_t)region->length[arena_page_of(cell)] * ARENA_PAGE
                                      : slab->cell;
}

/* --- slabs and the lists they are in ------------------------------------------------------------------------------ */

static void bin_add(struct arena *arena, struct arena_slab *slab, unsigned bin)
{
    slab->bin = (uint8_t)bin;
    if (bin == ARENA_BIN_NONE) {
        return;
    }
    struct arena_slab **head = &arena->classes[slab->size_class].bins[bin];
    slab->prev = NULL;
    slab->next = *head;
    if (*head != NULL) {
        (*head)->prev = slab;
    }
    *head = slab;
}

static void bin_remove(struct arena *arena, struct arena_slab *slab)
{
    if (slab->bin == ARENA_BIN_NONE) {
        return;
    }
    if (slab->prev != NULL) {
        slab->prev->next = slab->next;
    } else {
        arena->classes[slab->size_class].bins[slab->bin] = slab->next;
    }
    if (slab->next != NULL) {
        slab->next->prev = slab->prev;
    }
    slab->bin = ARENA_BIN_NONE;
}

/* After `used` has changed. */
static void bin_settle(struct arena *arena, struct arena_slab *slab)
{
    if (slab == arena->evacuee) {
        return; /* in no list until that is over */
    }
    bool is_full = slab->used == slab->room;
    if (!is_full && slab->bin != ARENA_BIN_NONE &&
        slab->used - slab->bin * slab->quarter < slab->quarter) {
        return;
    }
    bin_remove(arena, slab);
    bin_add(arena, slab, is_full ? ARENA_BIN_NONE : slab->used / slab->quarter);
}

/* So many pages that little is left over at their end. */
static unsigned slab_pages(const struct arena_class *at, uint32_t cell)
{
    unsigned least = (SLAB_CELLS_MIN * cell + ARENA_SLAB_HEADER + ARENA_PAGE - 1) / ARENA_PAGE;
    uint64_t share = at->pages >> SLAB_SHARE_LOG;
    unsigned most = share < SLAB_PAGES_MAX ? (unsigned)share : SLAB_PAGES_MAX;
    most = most > least * 2 ? most : least * 2 - 1;
    unsigned best = least;
    size_t best_waste = SIZE_MAX;
    for (unsigned pages = least; pages <= most; pages++) {
        size_t size = (size_t)pages * ARENA_PAGE;
        size_t waste = ((size - ARENA_SLAB_HEADER) % cell + ARENA_SLAB_HEADER) * 4096 / size;
        if (waste <= best_waste) {
            best = pages;
            best_waste = waste;
        }
    }
    return best;
}

static struct arena_slab *slab_new(struct arena *arena, unsigned size_class)
{
    struct arena_class *at = &arena->classes[size_class];
    uint32_t cell = class_cell(size_class);
    unsigned pages = slab_pages(at, cell);
    char *run =
        arena_run_new(arena, &pages, (cell + ARENA_SLAB_HEADER + ARENA_PAGE - 1) / ARENA_PAGE);
    if (run == NULL) {
        return NULL;
    }
    arena_run_touch(arena, run, 0, ARENA_SLAB_HEADER);
    struct arena_slab *slab = (struct arena_slab *)(void *)run;
    uint32_t room = (uint32_t)((pages * ARENA_PAGE - ARENA_SLAB_HEADER) / cell);
    *slab = (struct arena_slab){
        .cell = cell,
        .room = room,
        .quarter = room / ARENA_BINS + 1,
        .size_class = (uint16_t)size_class,
        .pages = (uint16_t)pages,
    };
    ARENA_HIDE(run + ARENA_SLAB_HEADER, pages * ARENA_PAGE - ARENA_SLAB_HEADER);
    bin_add(arena, slab, 0);
    at->cells += room;
    at->pages += pages;
    return slab;
}

static void slab_free(struct arena *arena, struct arena_slab *slab)
{
    struct arena_class *at = &arena->classes[slab->size_class];
    bin_remove(arena, slab);
    at->cells -= slab->room;
    at->pages -= slab->pages;
    if (slab == arena->evacuee) {
        arena->evacuee = NULL;
    }
    ARENA_SHOW(slab, (size_t)slab->pages * ARENA_PAGE);
    arena_run_free(arena, (char *)slab);
}

static void evacuation_end(struct arena *arena, bool is_stuck)
{
    struct arena_slab *slab = arena->evacuee;
    arena->evacuee = NULL;
    slab->stuck = is_stuck ? arena->tries : 0;
    bin_settle(arena, slab);
}

/* --- cells -------------------------------------------------------------------------------------------------------- */

struct free_cell {
    uint32_t zero;
    uint32_t next; /* offset in the slab; or, freed from afar, a handle */
};

/* The fullest one, so that the others may become empty. */
static struct arena_slab *slab_with_room(const struct arena *arena, unsigned size_class)
{
    for (unsigned bin = ARENA_BINS; bin > 0; bin--) {
        struct arena_slab *slab = arena->classes[size_class].bins[bin - 1];
        if (slab != NULL) {
            return slab;
        }
    }
    return NULL;
}

/* Of a size that is at most an eighth larger. */
static struct arena_slab *slab_of_next(const struct arena *arena, unsigned size_class)
{
    const uint32_t most = class_cell(size_class) / 8 * 9;
    struct arena_slab *slab = NULL;
    for (unsigned next = size_class + 1;
         slab == NULL && next < ARENA_CLASS_LINE && class_cell(next) <= most; next++) {
        slab = slab_with_room(arena, next);
    }
    return slab;
}

static void *slab_take(struct arena *arena, struct arena_slab *slab, size_t size)
{
    char *cell = (char *)slab + slab->free;
    if (slab->free != 0) {
        slab->free = ((struct free_cell *)(void *)cell)->next;
    } else {
        size_t offset = ARENA_SLAB_HEADER + (size_t)slab->fresh++ * slab->cell;
        cell = (char *)slab + offset;
        arena_run_touch(arena, (char *)slab, offset, offset + slab->cell);
    }
    slab->used++;
    arena->classes[slab->size_class].used++;
    arena->live++;
    arena->live_bytes += slab->cell;
    bin_settle(arena, slab);
    ARENA_SHOW(cell, size);
    return cell;
}

static void *cell_alloc(struct arena *arena, unsigned size_class, size_t size)
{
    struct arena_slab *slab = slab_with_room(arena, size_class);
    if (slab == NULL && atomic_load_explicit(&arena->remote, memory_order_relaxed) != 0) {
        arena_collect(arena);
        slab = slab_with_room(arena, size_class);
    }
    if (slab == NULL && arena->evacuee != NULL && arena->evacuee->size_class == size_class &&
        arena->evacuee->used < arena->evacuee->room) {
        slab = arena->evacuee;
        evacuation_end(arena, false);
    }
    if (slab == NULL && !arena->is_roomy && size_class != ARENA_CLASS_LINE) {
        slab = slab_of_next(arena, size_class);
    }
    if (slab == NULL) {
        slab = slab_new(arena, size_class);
    }
    return slab == NULL ? NULL : slab_take(arena, slab, size);
}

static void cell_free(struct arena *arena, struct arena_slab *slab, char *cell)
{
    struct arena_class *at = &arena->classes[slab->size_class];
    struct free_cell *freed = (struct free_cell *)(void *)cell;
    ARENA_SHOW(cell, CELL_MIN);
    freed->zero = 0;
    freed->next = slab->free;
    ARENA_HIDE(cell + CELL_MIN, slab->cell - CELL_MIN);
    slab->free = (uint32_t)(cell - (char *)slab);
    slab->used--;
    at->used--;
    arena->live--;
    arena->live_bytes -= slab->cell;
    slab->stuck = 0;
    if (at->cells - at->used >= slab->room && at->cells > slab->room) {
        arena->sparse[slab->size_class / 64] |= UINT64_C(1) << (slab->size_class % 64);
    }
    if (slab->used == 0) {
        slab_free(arena, slab);
    } else {
        bin_settle(arena, slab);
    }
}

static void *pages_alloc(struct arena *arena, size_t size, bool is_raw)
{
    size_t pages = (size + ARENA_PAGE - 1) / ARENA_PAGE;
    char *memory;
    if (pages > RUN_PAGES_MAX) {
        memory = is_raw ? arena_raw_new(arena, size) : arena_single_new(arena, size);
    } else {
        unsigned run = (unsigned)pages;
        memory = arena_run_new(arena, &run, run);
        if (memory != NULL) {
            arena_run_touch(arena, memory, 0, pages * ARENA_PAGE);
        }
    }
    if (memory != NULL) {
        arena->live++;
        arena->live_bytes += arena_cell_size(memory);
    }
    return memory;
}

static void pages_free(struct arena *arena, char *memory, bool is_raw)
{
    struct arena_region *region = arena_region_of(memory);
    arena->live--;
    arena->live_bytes -= arena_cell_size(memory);
    if (!region->is_single) {
        arena_run_free(arena, memory);
    } else if (is_raw) {
        arena_raw_free(arena, region);
    } else {
        arena_single_free(arena, region);
    }
}

void *arena_alloc(struct arena *arena, size_t size)
{
    size = size < CELL_MIN ? CELL_MIN : size;
    return size > ARENA_CELL_MAX ? pages_alloc(arena, size, false)
                                 : cell_alloc(arena, class_of(size), size);
}

static void free_any(struct arena *arena, void *cell, bool is_raw)
{
    struct arena_region *region = arena_region_of(cell);
    CHECK(region->arena == arena);
    struct arena_slab *slab = region->is_single ? NULL : slab_of(cell);
    if (slab == NULL || (void *)slab == cell) {
        pages_free(arena, cell, is_raw);
    } else {
        cell_free(arena, slab, cell);
    }
}

void arena_free(struct arena *arena, void *cell)
{
    free_any(arena, cell, false);
}

void *arena_alloc_line(struct arena *arena)
{
    return cell_alloc(arena, ARENA_CLASS_LINE, ARENA_LINE);
}

void *arena_alloc_pages(struct arena *arena, size_t size)
{
    return pages_alloc(arena, size, true);
}

void arena_free_raw(struct arena *arena, void *memory)
{
    free_any(arena, memory, true);
}

/* --- frees from other threads ------------------------------------------------------------------------------------- */

/* A stack: many push, the owner takes all of it at once, so that a cell cannot come back under somebody's hands. */
void arena_free_remote(void *cell)
{
    struct arena *arena = arena_of(cell);
    struct free_cell *freed = cell;
    uint32_t handle = arena_handle(cell);
    uint32_t head = atomic_load_explicit(&arena->remote, memory_order_relaxed);
    do {
        if (head == REMOTE_CLOSED) {
            orphan_gone(arena);
            return;
        }
        freed->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&arena->remote, &head, handle,
                                                    memory_order_release, memory_order_relaxed));
}

void arena_collect(struct arena *arena)
{
    uint32_t handle = atomic_exchange_explicit(&arena->remote, 0, memory_order_acquire);
    while (handle != 0) {
        struct free_cell *freed = arena_at(arena, handle);
        handle = freed->next;
        arena_free(arena, freed);
    }
}

/* --- compaction --------------------------------------------------------------------------------------------------- */

/* The emptiest slab of a class, if all it has finds room in the others. */
static struct arena_slab *evacuee_in(const struct arena *arena, unsigned size_class)
{
    const struct arena_class *at = &arena->classes[size_class];
    unsigned skipped = 0;
    for (unsigned bin = 0; bin < ARENA_BINS; bin++) {
        for (struct arena_slab *slab = at->bins[bin]; slab != NULL && skipped < STUCK_SKIPPED;
             slab = slab->next) {
            if (slab->stuck != arena->tries) {
                return at->cells - at->used >= slab->room ? slab : NULL;
            }
            skipped++;
        }
    }
    return NULL;
}

static bool evacuation_begin(struct arena *arena)
{
    for (unsigned word = 0; word < sizeof arena->sparse / sizeof arena->sparse[0]; word++) {
        while (arena->sparse[word] != 0) {
            unsigned low = (unsigned)__builtin_ctzll(arena->sparse[word]);
            unsigned size_class = word * 64 + low;
            struct arena_slab *slab =
                size_class == ARENA_CLASS_LINE ? NULL : evacuee_in(arena, size_class);
            if (slab != NULL) {
                bin_remove(arena, slab);
                arena->evacuee = slab;
                arena->evacuated = 0;
                return true;
            }
            arena->sparse[word] &= ~(UINT64_C(1) << low);
        }
    }
    return false;
}

void arena_retry(struct arena *arena)
{
    arena->tries++;
    for (unsigned i = 0; i < ARENA_CLASSES; i++) {
        const struct arena_class *at = &arena->classes[i];
        const uint64_t is_sparse = at->cells > at->used;
        arena->sparse[i / 64] |= is_sparse << (i % 64);
    }
}

/* Whether the cell is in use: its first word is not 0. */
static bool cell_lives(const char *cell)
{
    return atomic_load_explicit((const _Atomic uint32_t *)(const void *)cell,
                                memory_order_acquire) != 0;
}

bool arena_compact(struct arena *arena, arena_move_fn *move, void *arg, unsigned most)
{
    arena_collect(arena);
    if (arena->evacuee == NULL && !evacuation_begin(arena)) {
        return false;
    }
    unsigned moved = 0;
    while (arena->evacuee != NULL && moved < most) {
        struct arena_slab *slab = arena->evacuee;
        if (arena->evacuated == slab->fresh) {
            evacuation_end(arena, true);
            break;
        }
        char *cell = (char *)slab + ARENA_SLAB_HEADER + (size_t)arena->evacuated++ * slab->cell;
        if (!cell_lives(cell)) {
            continue;
        }
        struct arena_slab *other = slab_with_room(arena, slab->size_class);
        if (other == NULL) {
            evacuation_end(arena, false);
            break;
        }
        uint32_t stuck = other->stuck;
        char *to = slab_take(arena, other, slab->cell);
        moved++;
        if (move(arg, cell, to)) {
            cell_free(arena, slab, cell);
        } else {
            cell_free(arena, other, to);
            other->stuck = stuck; /* `other` had another cell in use, or it was the last choice */
        }
    }
    return true;
}
