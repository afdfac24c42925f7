/* SPDX-License-Identifier: BSD-3-Clause */
/* arena_inner.h -- what arena.c (cells) and arena_region.c (pages) share and nobody else sees. */
#ifndef TERRACE_TIERS_ARENA_INNER_H
#define TERRACE_TIERS_ARENA_INNER_H

#include "tiers/arena.h"

enum {
    ARENA_CLASSES = 210,
    ARENA_CLASS_LINE = ARENA_CLASSES - 1,
    ARENA_BINS = 4, /* slabs by fullness, in quarters; full ones are in none */
    ARENA_BIN_NONE = ARENA_BINS,
    ARENA_MAP_WORDS = ARENA_PAGES / 64,
};

struct arena_slab {
    uint32_t cell;    /* bytes */
    uint32_t room;    /* cells */
    uint32_t quarter; /* cells per bin */
    uint32_t used;
    uint32_t fresh; /* cells from this one on were never handed out */
    uint32_t free;  /* offset of the first free cell; 0: none */
    uint16_t size_class;
    uint16_t pages;
    uint8_t bin;
    uint32_t stuck; /* try of a compaction that could not empty it, if nothing was freed since */
    struct arena_slab *next;
    struct arena_slab *prev;
};

enum {
    ARENA_SLAB_HEADER = 64
};
_Static_assert(sizeof(struct arena_slab) <= ARENA_SLAB_HEADER, "cells begin there");

struct arena_class {
    struct arena_slab *bins[ARENA_BINS];
    uint64_t cells;
    uint64_t used;
    uint64_t pages;
};

/* Page 0 of its region. */
struct arena_region {
    struct arena *arena;
    size_t size;
    struct arena_region *next; /* in the list of regions with free pages; or of the doomed */
    struct arena_region *prev;
    uint32_t index;
    uint32_t free_pages;
    uint32_t retained;               /* of these, pages that count */
    bool is_huge;                    /* of huge pages: counts in full */
    bool is_single;                  /* one large allocation */
    uint64_t used[ARENA_MAP_WORDS];  /* a bit per page: in a run */
    uint64_t dirty[ARENA_MAP_WORDS]; /* counted as resident */
    uint16_t first[ARENA_PAGES];     /* the first page of the run of a page */
    uint16_t length[ARENA_PAGES];    /* of the run that begins there */
};
_Static_assert(sizeof(struct arena_region) <= ARENA_PAGE, "one page");

struct arena {
    struct arena_directory directory; /* first: arena_at */
    uint32_t region_end;              /* indices in use are below */
    uint32_t region_limit;
    uint32_t regions;
    bool is_roomy;
    size_t bytes;
    size_t live_bytes; /* of these, cells in use */
    size_t retained;   /* pages, but for those of huge pages */
    struct arena_region *roomy;
    struct arena_region *doomed;
    struct arena_region *kept; /* raw singles that are free */
    uint32_t empty;            /* regions that are mapped, but without memory */
    uint64_t live;             /* cells, lines and runs handed out */
    struct arena_slab *evacuee;
    uint32_t evacuated;                         /* cells of it looked at */
    uint32_t tries;                             /* arena_retry */
    uint64_t sparse[(ARENA_CLASSES + 63) / 64]; /* classes that a compaction may free a slab of */
    struct arena_class classes[ARENA_CLASSES];
    _Alignas(64) _Atomic uint32_t remote; /* handle of the cell freed from afar last */
    _Atomic int64_t orphans;              /* after arena_close: cells that are still in use */
};

static inline struct arena_region *arena_region_of(const void *memory)
{
    return (struct arena_region *)((uintptr_t)memory & ~((uintptr_t)ARENA_REGION - 1));
}

static inline unsigned arena_page_of(const void *memory)
{
    return (unsigned)(((uintptr_t)memory & ((uintptr_t)ARENA_REGION - 1)) / ARENA_PAGE);
}

/* A run of *pages, not counted yet, or of fewer, `least` of them at least, where they would stay unused. NULL: no memory. */
char *arena_run_new(struct arena *arena, unsigned *pages, unsigned least);
void arena_run_free(struct arena *arena, char *run);
/* Counts what of the run's bytes [from, to) is not counted yet. */
void arena_run_touch(struct arena *arena, char *run, size_t from, size_t to);
/* More than fits a region: a mapping of its own. */
void *arena_single_new(struct arena *arena, size_t size);
void arena_single_free(struct arena *arena, struct arena_region *region);
void *arena_raw_new(struct arena *arena, size_t size);
void arena_raw_free(struct arena *arena, struct arena_region *region);
bool arena_directory_new(struct arena *arena);
void arena_regions_done(struct arena *arena); /* all of them */

/* A sanitizer sees cells that are free, and the end of those that are larger than what they hold. */
#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define ARENA_HIDE(memory, size) __asan_poison_memory_region((memory), (size))
#define ARENA_SHOW(memory, size) __asan_unpoison_memory_region((memory), (size))
#else
#define ARENA_HIDE(memory, size) ((void)(memory), (void)(size))
#define ARENA_SHOW(memory, size) ((void)(memory), (void)(size))
#endif

#endif
