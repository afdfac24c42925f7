/* SPDX-License-Identifier: BSD-3-Clause */
/* Regions and their pages. */
#include "protocol/check.h"
#include "tiers/arena_inner.h"

#include <sys/mman.h>

enum {
    ROOMY_TRIED = 16,       /* regions looked at for a run before another is mapped */
    RETAINED_SHARE_LOG = 5, /* free pages that are kept: a 32nd of all, */
    RETAINED_FEW = 1024,    /* and so many: who is over budget gives them back first (l1_evict.c) */
    DIRECTORY_PER_PAGE = ARENA_PAGE / sizeof(uintptr_t),
    TRIMS_PER_CALL = 16, /* calls of the system */
    HUGE_FROM = 2 << 20, /* bytes of an arena of which an unused region is no more than half */
};

/* --- bits --------------------------------------------------------------------------------------------------------- */

static bool bit(const uint64_t *map, unsigned at)
{
    return (map[at / 64] >> (at % 64) & 1) != 0;
}

/* The first place from `from` on whose bit is `value`; ARENA_PAGES: none. */
static unsigned bit_find(const uint64_t *map, unsigned from, bool value)
{
    while (from < ARENA_PAGES) {
        uint64_t word = (value ? map[from / 64] : ~map[from / 64]) >> (from % 64);
        if (word != 0) {
            return from + (unsigned)__builtin_ctzll(word);
        }
        from = (from / 64 + 1) * 64;
    }
    return ARENA_PAGES;
}

static unsigned run_find(const struct arena_region *region, unsigned pages)
{
    unsigned from = bit_find(region->used, 0, false);
    while (from < ARENA_PAGES) {
        unsigned end = bit_find(region->used, from, true);
        if (end - from >= pages) {
            return from;
        }
        from = bit_find(region->used, end, false);
    }
    return ARENA_PAGES;
}

/* --- the list of regions with free pages -------------------------------------------------------------------------- */

static void roomy_add(struct arena *arena, struct arena_region *region)
{
    region->prev = NULL;
    region->next = arena->roomy;
    if (arena->roomy != NULL) {
        arena->roomy->prev = region;
    }
    arena->roomy = region;
}

static void roomy_remove(struct arena *arena, struct arena_region *region)
{
    if (region->prev != NULL) {
        region->prev->next = region->next;
    } else {
        arena->roomy = region->next;
    }
    if (region->next != NULL) {
        region->next->prev = region->prev;
    }
}

/* --- mappings ----------------------------------------------------------------------------------------------------- */

/* The system aligns to pages only: twice the alignment is mapped, and what is too much given back.
 *
 * Whether pages are huge is said before the first write: the system makes none later, where a small one is. Unless it is
 * told, it may make all huge, and then a region of which one page is written, or in use, would be resident in full, and
 * count as one. */
static void *map_aligned(size_t size, bool *is_huge)
{
    char *wide = mmap(NULL, size + ARENA_REGION, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (wide == MAP_FAILED) {
        return NULL;
    }
    size_t before = (size_t)(-(uintptr_t)wide & ((uintptr_t)ARENA_REGION - 1));
    if (before > 0) {
        (void)munmap(wide, before);
    }
    if (before < ARENA_REGION) {
        (void)munmap(wide + before + size, ARENA_REGION - before);
    }
    *is_huge = *is_huge && madvise(wide + before, size, MADV_HUGEPAGE) == 0;
    if (!*is_huge) {
        (void)madvise(wide + before, size, MADV_NOHUGEPAGE);
    }
    return wide + before;
}

/* The address in a place of the directory; its lowest bit says that the region is empty. */
static uintptr_t directory_at(const struct arena *arena, uint32_t index)
{
    return atomic_load_explicit(&arena->directory.regions[index], memory_order_relaxed);
}

static void directory_set(struct arena *arena, uint32_t index, uintptr_t address)
{
    atomic_store_explicit(&arena->directory.regions[index], address, memory_order_relaxed);
}

/* Of the places in use the first that holds nothing (`bits` 0), or an empty region (1). */
static uint32_t directory_find(const struct arena *arena, uintptr_t bits)
{
    uint32_t index = 0;
    while (bits == 0 ? directory_at(arena, index) != 0 : (directory_at(arena, index) & 1) == 0) {
        index++;
    }
    return index;
}

bool arena_directory_new(struct arena *arena)
{
    void *directory = mmap(NULL, ARENA_REGIONS_MAX * sizeof(uintptr_t), PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (directory == MAP_FAILED) {
        return false;
    }
    arena->directory.regions = directory;
    return true;
}

static struct arena_region *region_map(struct arena *arena, size_t size, bool is_huge)
{
    if (arena->regions >= arena->region_limit) {
        return NULL;
    }
    struct arena_region *region = map_aligned(size, &is_huge);
    if (region == NULL) {
        return NULL;
    }
    region->is_huge = is_huge;
    region->arena = arena;
    region->size = size;
    region->index =
        arena->regions < arena->region_end ? directory_find(arena, 0) : arena->region_end;
    directory_set(arena, region->index, (uintptr_t)region);
    if (region->index == arena->region_end && arena->region_end++ % DIRECTORY_PER_PAGE == 0) {
        arena_count(arena, ARENA_PAGE);
    }
    arena->regions++;
    return region;
}

static void region_forget(struct arena *arena, struct arena_region *region)
{
    directory_set(arena, region->index, 0);
    arena->regions--;
    region->next = arena->doomed;
    arena->doomed = region;
}

struct arena_region *arena_take_doomed(struct arena *arena)
{
    struct arena_region *doomed = arena->doomed;
    arena->doomed = NULL;
    return doomed;
}

void arena_unmap(struct arena_region *doomed)
{
    while (doomed != NULL) {
        struct arena_region *next = doomed->next;
        ARENA_SHOW(doomed, doomed->size);
        (void)munmap(doomed, doomed->size);
        doomed = next;
    }
}

/* --- regions of pages --------------------------------------------------------------------------------------------- */

static void count_pages(struct arena *arena, struct arena_region *region, unsigned page)
{
    region->dirty[page / 64] |= UINT64_C(1) << (page % 64);
    arena->bytes += ARENA_PAGE;
}

/* A new one, or one that is empty, of small pages: where those were the system makes no huge ones. */
static struct arena_region *region_open(struct arena *arena, bool is_huge)
{
    if (arena->empty == 0) {
        return region_map(arena, ARENA_REGION, is_huge);
    }
    uint32_t index = directory_find(arena, 1);
    uintptr_t address = directory_at(arena, index) & ~(uintptr_t)1;
    /* NOLINTNEXTLINE(performance-no-int-to-ptr): a region, as its mapping gave it */
    struct arena_region *region = (struct arena_region *)address;
    directory_set(arena, index, address);
    arena->empty--;
    region->arena = arena; /* its memory was given back, so that all else is 0 */
    region->size = ARENA_REGION;
    region->index = index;
    return region;
}

static struct arena_region *region_new(struct arena *arena)
{
    struct arena_region *region = region_open(arena, arena->is_roomy && arena->bytes >= HUGE_FROM);
    if (region == NULL) {
        return NULL;
    }
    region->used[0] = 1; /* its header */
    region->free_pages = ARENA_PAGES - 1;
    for (unsigned page = 0; page < (region->is_huge ? (unsigned)ARENA_PAGES : 1); page++) {
        count_pages(arena, region, page);
    }
    region->retained = region->is_huge ? ARENA_PAGES - 1 : 0;
    roomy_add(arena, region);
    return region;
}

/* All its memory goes back, the header's, too; the mapping stays. */
static void region_empty(struct arena *arena, struct arena_region *region)
{
    const uint32_t index = region->index;
    arena->bytes -= (size_t)(region->retained + 1) * ARENA_PAGE;
    arena->retained -= region->is_huge ? 0 : region->retained;
    roomy_remove(arena, region);
    if (region->is_huge) {
        (void)madvise(region, ARENA_REGION, MADV_NOHUGEPAGE);
    }
    ARENA_SHOW(region, ARENA_REGION);
    CHECK(madvise(region, ARENA_REGION, MADV_DONTNEED) == 0);
    directory_set(arena, index, (uintptr_t)region | 1);
    arena->empty++;
}

static void run_take(struct arena *arena, struct arena_region *region, unsigned from,
                     unsigned pages)
{
    for (unsigned page = from; page < from + pages; page++) {
        region->used[page / 64] |= UINT64_C(1) << (page % 64);
        region->first[page] = (uint16_t)from;
        if (bit(region->dirty, page)) {
            region->retained--;
            arena->retained -= !region->is_huge;
        }
    }
    region->length[from] = (uint16_t)pages;
    region->free_pages -= pages;
    if (region->free_pages == 0) {
        roomy_remove(arena, region);
    }
}

static size_t retained_limit(const struct arena *arena)
{
    return (arena->bytes / ARENA_PAGE >> RETAINED_SHARE_LOG) + RETAINED_FEW;
}

/* Whether all of it is free, and it is not the last one. */
static bool is_spare(const struct arena *arena, const struct arena_region *region)
{
    return region->free_pages == ARENA_PAGES - 1 && arena->regions - arena->empty > 1;
}

/* Where a run of so many pages lies, or of `least` that are left in a region of huge pages, which count in any case.
 * ARENA_PAGES: nowhere. */
static unsigned run_find_about(const struct arena_region *region, unsigned *pages, unsigned least)
{
    unsigned from = run_find(region, *pages);
    if (from == ARENA_PAGES && region->is_huge && region->free_pages >= least) {
        from = run_find(region, least);
        *pages = from == ARENA_PAGES ? *pages : bit_find(region->used, from, true) - from;
    }
    return from;
}

char *arena_run_new(struct arena *arena, unsigned *pages, unsigned least)
{
    unsigned tried = 0;
    for (struct arena_region *region = arena->roomy; region != NULL && tried < ROOMY_TRIED;
         region = region->next) {
        unsigned from = run_find_about(region, pages, least);
        if (from < ARENA_PAGES) {
            run_take(arena, region, from, *pages);
            return (char *)region + (size_t)from * ARENA_PAGE;
        }
        tried++;
    }
    struct arena_region *region = region_new(arena);
    if (region == NULL) {
        return NULL;
    }
    run_take(arena, region, 1, *pages);
    return (char *)region + ARENA_PAGE;
}

void arena_run_free(struct arena *arena, char *run)
{
    struct arena_region *region = arena_region_of(run);
    unsigned from = arena_page_of(run);
    unsigned pages = region->length[from];
    CHECK(region->arena == arena && pages > 0 && region->first[from] == from);
    if (region->free_pages == 0) {
        roomy_add(arena, region);
    }
    for (unsigned page = from; page < from + pages; page++) {
        region->used[page / 64] &= ~(UINT64_C(1) << (page % 64));
        if (bit(region->dirty, page)) {
            region->retained++;
            arena->retained += !region->is_huge;
        }
    }
    region->length[from] = 0;
    region->free_pages += pages;
    if (is_spare(arena, region) && (region->is_huge || arena->retained > retained_limit(arena))) {
        region_empty(arena, region);
    }
}

void arena_run_touch(struct arena *arena, char *run, size_t from, size_t to)
{
    struct arena_region *region = arena_region_of(run);
    unsigned first = arena_page_of(run);
    for (unsigned page = first + (unsigned)(from / ARENA_PAGE);
         page <= first + (unsigned)((to - 1) / ARENA_PAGE); page++) {
        if (!bit(region->dirty, page)) {
            count_pages(arena, region, page);
        }
    }
}

/* --- giving back -------------------------------------------------------------------------------------------------- */

/* One stretch of pages that are free and count. Returns how many; 0: there are none. */
static unsigned region_trim_one(struct arena *arena, struct arena_region *region)
{
    uint64_t idle[ARENA_MAP_WORDS];
    for (unsigned i = 0; i < ARENA_MAP_WORDS; i++) {
        idle[i] = region->dirty[i] & ~region->used[i];
    }
    unsigned from = bit_find(idle, 0, true);
    if (from == ARENA_PAGES) {
        return 0;
    }
    unsigned end = bit_find(idle, from, false);
    /* A region of huge pages is one of small ones from now on, or the system would fill it up again. */
    if (region->is_huge) {
        (void)madvise(region, ARENA_REGION, MADV_NOHUGEPAGE);
        region->is_huge = false;
        arena->retained += region->retained;
    }
    (void)madvise((char *)region + (size_t)from * ARENA_PAGE, (size_t)(end - from) * ARENA_PAGE,
                  MADV_DONTNEED);
    for (unsigned page = from; page < end; page++) {
        region->dirty[page / 64] &= ~(UINT64_C(1) << (page % 64));
    }
    region->retained -= end - from;
    arena->retained -= end - from;
    arena->bytes -= (size_t)(end - from) * ARENA_PAGE;
    return end - from;
}

/* What is free in huge pages waits for its use, unless much is. */
static bool may_trim(const struct arena_region *region, enum arena_trim which)
{
    return region->retained > 0 &&
           (!region->is_huge || which == ARENA_TRIM_ALL ||
            (which == ARENA_TRIM_IDLE && region->free_pages > ARENA_PAGES / 2));
}

size_t arena_trim(struct arena *arena, enum arena_trim which)
{
    if (which == ARENA_TRIM_SOME && arena->retained <= retained_limit(arena)) {
        return 0;
    }
    size_t went = 0;
    unsigned calls = 0;
    struct arena_region *region = arena->roomy;
    while (region != NULL && calls < TRIMS_PER_CALL) {
        struct arena_region *next = region->next;
        if (!may_trim(region, which)) {
            region = next;
        } else if (is_spare(arena, region)) {
            went += region->retained + 1;
            calls++;
            region_empty(arena, region);
            region = next;
        } else {
            unsigned pages = region_trim_one(arena, region);
            went += pages;
            calls += pages > 0;
            region = pages > 0 ? region : next;
        }
    }
    return went;
}

/* --- large allocations -------------------------------------------------------------------------------------------- */

static size_t single_pages(size_t size)
{
    return (size + ARENA_PAGE - 1) / ARENA_PAGE + 1;
}

void *arena_single_new(struct arena *arena, size_t size)
{
    /* It counts in full from the start, so that huge pages, where they fit, are no more: and a value of 4 MB is written with
     * three page faults instead of a thousand. */
    struct arena_region *region = region_map(arena, single_pages(size) * ARENA_PAGE, true);
    if (region == NULL) {
        return NULL;
    }
    region->is_single = true;
    arena->bytes += region->size;
    return (char *)region + ARENA_PAGE;
}

void arena_single_free(struct arena *arena, struct arena_region *region)
{
    arena->bytes -= region->size;
    region_forget(arena, region);
}

/* Raw ones stay mapped as regions do, and wait for somebody who wants as much: a table grows as it shrank. */
void *arena_raw_new(struct arena *arena, size_t size)
{
    struct arena_region **at = &arena->kept;
    while (*at != NULL && (*at)->size != single_pages(size) * ARENA_PAGE) {
        at = &(*at)->next;
    }
    struct arena_region *region = *at;
    if (region == NULL) {
        return arena_single_new(arena, size);
    }
    *at = region->next;
    arena->bytes += region->size - ARENA_PAGE;
    return (char *)region + ARENA_PAGE;
}

void arena_raw_free(struct arena *arena, struct arena_region *region)
{
    CHECK(madvise((char *)region + ARENA_PAGE, region->size - ARENA_PAGE, MADV_DONTNEED) == 0);
    arena->bytes -= region->size - ARENA_PAGE;
    region->next = arena->kept;
    arena->kept = region;
}

void arena_regions_done(struct arena *arena)
{
    arena_unmap(arena_take_doomed(arena));
    for (uint32_t i = 0; i < arena->region_end; i++) {
        uintptr_t at = directory_at(arena, i);
        /* NOLINTNEXTLINE(performance-no-int-to-ptr): a region, as its mapping gave it */
        struct arena_region *region = (struct arena_region *)(at & ~(uintptr_t)1);
        if (region != NULL) {
            size_t size = (at & 1) != 0 ? (size_t)ARENA_REGION : region->size;
            ARENA_SHOW(region, size);
            (void)munmap(region, size);
        }
    }
    (void)munmap(arena->directory.regions, ARENA_REGIONS_MAX * sizeof(uintptr_t));
}
