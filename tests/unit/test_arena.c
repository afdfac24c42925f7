/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/unit/l1_help.h"
#include "tiers/arena.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include <cmocka.h>

/* A cell of the tests: a word that is not 0 while it lives, then bytes that tell its number and size. */
struct cell {
    uint32_t lives;
    uint32_t size;
    uint32_t number;
};

static void cell_write(void *memory, uint32_t number, size_t size)
{
    struct cell *cell = memory;
    *cell = (struct cell){1, (uint32_t)size, number};
    memset(cell + 1, (int)(number & 255), size - sizeof *cell);
}

static bool cell_is_whole(const void *memory, uint32_t number, size_t size)
{
    const struct cell *cell = memory;
    const unsigned char *bytes = (const unsigned char *)(cell + 1);
    bool is_whole = cell->lives == 1 && cell->number == number && cell->size == size;
    for (size_t i = 0; i < size - sizeof *cell; i++) {
        is_whole = is_whole && bytes[i] == (number & 255);
    }
    return is_whole;
}

static void cell_end(void *memory)
{
    ((struct cell *)memory)->lives = 0;
}

static void cells_are_as_large_as_asked_and_little_larger(void **state)
{
    (void)state;
    struct arena *arena = arena_new();
    assert_non_null(arena);
    size_t before = 0;
    for (size_t size = 1; size <= 40000; size += size < 600 ? 1 : 13) {
        void *cell = arena_alloc(arena, size);
        assert_non_null(cell);
        size_t got = arena_cell_size(cell);
        assert_true(got >= size);
        assert_true(size < 8 || got <= size + 7 + (size > 512 ? size / 16 : 0) ||
                    (size > ARENA_CELL_MAX && got < size + ARENA_PAGE));
        assert_true(got >= before);
        assert_true((uintptr_t)cell % 4 == 0);
        assert_ptr_equal(arena_of(cell), arena);
        assert_ptr_equal(arena_at(arena, arena_handle(cell)), cell);
        before = got;
        memset(cell, 0, size);
        arena_free(arena, cell);
    }
    arena_close(arena);
}

static void sixteen_and_thirty_two_bytes_cost_a_header_of_eight(void **state)
{
    (void)state;
    enum {
        COUNT = 200000
    };
    struct arena *arena = arena_new();
    void **cells = calloc(COUNT, sizeof *cells);
    arena_set_roomy(arena, false); /* no huge pages, of which the last is counted in full */
    for (int i = 0; i < COUNT; i++) {
        cells[i] = arena_alloc(arena, 56);
        assert_non_null(cells[i]);
    }
    assert_true(arena_bytes(arena) < COUNT * 113 / 2 + (1 << 16));
    for (int i = 0; i < COUNT; i++) {
        cell_end(cells[i]);
        arena_free(arena, cells[i]);
    }
    free(cells);
    arena_close(arena);
}

static void large_pages_stay_readable_and_come_back(void **state)
{
    (void)state;
    struct arena *arena = arena_new();
    size_t empty = arena_bytes(arena) + ARENA_PAGE; /* a page of the directory */
    char *pages = arena_alloc_pages(arena, 5 << 20);
    memset(pages, 1, 5 << 20);
    assert_true(arena_bytes(arena) >= empty + (5 << 20));
    arena_free_raw(arena, pages);
    assert_true(arena_bytes(arena) <= empty + ARENA_PAGE);
    assert_int_equal(pages[12345], 0);
    assert_ptr_equal(arena_alloc_pages(arena, 5 << 20), pages);
    arena_free_raw(arena, pages);
    arena_close(arena);
}

static void lines_are_aligned_and_pages_too(void **state)
{
    (void)state;
    struct arena *arena = arena_new();
    void *lines[500];
    for (int i = 0; i < 500; i++) {
        lines[i] = arena_alloc_line(arena);
        assert_int_equal((uintptr_t)lines[i] % ARENA_LINE, 0);
    }
    void *pages = arena_alloc_pages(arena, 65536);
    assert_int_equal((uintptr_t)pages % ARENA_PAGE, 0);
    memset(pages, 1, 65536);
    arena_free_raw(arena, pages);
    for (int i = 0; i < 500; i++) {
        arena_free_raw(arena, lines[i]);
    }
    arena_close(arena);
}

/* --- random operations against a naive model ----------------------------------------------------------------------- */

enum {
    CELLS = 3000,
    STEPS = 60000
};

struct model {
    struct arena *arena;
    void *cells[CELLS];
    size_t sizes[CELLS];
    uint32_t numbers[CELLS];
    bool pinned[CELLS];
    unsigned moves;
};

static bool move_cell(void *arg, void *from, void *to)
{
    struct model *model = arg;
    for (unsigned i = 0; i < CELLS; i++) {
        if (model->cells[i] == from) {
            if (model->pinned[i]) {
                return false;
            }
            memcpy(to, from, model->sizes[i]);
            cell_end(from);
            model->cells[i] = to;
            model->moves++;
            return true;
        }
    }
    assert_true(false); /* a cell that nobody has */
    return false;
}

static size_t random_size(struct rand *rand)
{
    switch (rand_below(rand, 40)) {
    case 0: return 20 + rand_below(rand, 3 << 20);
    case 1: return 20 + rand_below(rand, 100000);
    case 2:
    case 3: return 20 + rand_below(rand, 5000);
    default: return 12 + rand_below(rand, 120);
    }
}

static void random_operations_keep_every_cell_whole(void **state)
{
    (void)state;
    uint64_t seed = help_seed();
    struct rand rand;
    rand_seed(&rand, seed);
    struct model *model = calloc(1, sizeof *model);
    model->arena = arena_new();
    const size_t empty = arena_bytes(model->arena) + ARENA_PAGE; /* a page of the directory */
    for (int step = 0; step < HELP_ROUNDS(STEPS); step++) {
        unsigned i = (unsigned)rand_below(&rand, CELLS);
        if (rand_below(&rand, 50) == 0) {
            (void)arena_compact(model->arena, move_cell, model, 100);
            arena_unmap(arena_take_doomed(model->arena));
        }
        if (rand_below(&rand, 500) == 0) {
            (void)arena_trim(model->arena, (enum arena_trim)rand_below(&rand, 3));
        }
        if (model->cells[i] == NULL) {
            model->sizes[i] = random_size(&rand);
            model->numbers[i] = (uint32_t)step;
            model->pinned[i] = rand_below(&rand, 20) == 0;
            model->cells[i] = arena_alloc(model->arena, model->sizes[i]);
            cell_write(model->cells[i], model->numbers[i], model->sizes[i]);
        } else {
            HELP_CHECK(cell_is_whole(model->cells[i], model->numbers[i], model->sizes[i]), seed);
            cell_end(model->cells[i]);
            if (rand_below(&rand, 3) == 0) {
                arena_free_remote(model->cells[i]);
            } else {
                arena_free(model->arena, model->cells[i]);
            }
            model->cells[i] = NULL;
        }
    }
    HELP_CHECK(model->moves > HELP_ROUNDS(100), seed);
    for (unsigned i = 0; i < CELLS; i++) {
        if (model->cells[i] != NULL) {
            HELP_CHECK(cell_is_whole(model->cells[i], model->numbers[i], model->sizes[i]), seed);
            cell_end(model->cells[i]);
            arena_free_remote(model->cells[i]);
        }
    }
    arena_collect(model->arena);
    while (arena_trim(model->arena, ARENA_TRIM_ALL) > 0) {
    }
    HELP_CHECK(arena_bytes(model->arena) <= empty + 2 * ARENA_PAGE, seed);
    arena_close(model->arena);
    free(model);
}

static void compaction_gives_back_what_was_left_over(void **state)
{
    (void)state;
    struct model *model = calloc(1, sizeof *model);
    model->arena = arena_new();
    for (unsigned i = 0; i < CELLS; i++) {
        model->sizes[i] = 100;
        model->numbers[i] = i;
        model->cells[i] = arena_alloc(model->arena, 100);
        cell_write(model->cells[i], i, 100);
    }
    size_t full = arena_bytes(model->arena);
    for (unsigned i = 0; i < CELLS; i++) {
        if (i % 4 != 0) {
            cell_end(model->cells[i]);
            arena_free(model->arena, model->cells[i]);
            model->cells[i] = NULL;
        }
    }
    assert_true(arena_bytes(model->arena) > full * 9 / 10);
    while (arena_compact(model->arena, move_cell, model, 64)) {
        (void)arena_trim(model->arena, ARENA_TRIM_ALL);
    }
    (void)arena_trim(model->arena, ARENA_TRIM_ALL);
    assert_true(arena_bytes(model->arena) < full * 3 / 10);
    for (unsigned i = 0; i < CELLS; i += 4) {
        assert_true(cell_is_whole(model->cells[i], i, 100));
        cell_end(model->cells[i]);
        arena_free(model->arena, model->cells[i]);
    }
    arena_close(model->arena);
    free(model);
}

static void without_regions_there_is_no_memory_and_nothing_breaks(void **state)
{
    (void)state;
    struct arena *arena = arena_new();
    arena_limit_regions(arena, 0);
    assert_null(arena_alloc(arena, 100));
    assert_null(arena_alloc(arena, 3 << 20));
    assert_null(arena_alloc_line(arena));
    assert_null(arena_alloc_pages(arena, 8192));
    arena_limit_regions(arena, 1);
    void *first = arena_alloc(arena, 100);
    assert_non_null(first);
    assert_null(arena_alloc(arena, 3 << 20));
    void *cells[512];
    unsigned count = 0;
    while (count < 512 && (cells[count] = arena_alloc(arena, 4000)) != NULL) {
        count++;
    }
    assert_in_range(count, 430, 511);
    memset(first, 0, 100);
    arena_free(arena, first);
    first = arena_alloc(arena, 100);
    assert_non_null(first);
    memset(first, 0, 100);
    arena_free(arena, first);
    for (unsigned i = 0; i < count; i++) {
        cell_end(cells[i]);
        arena_free(arena, cells[i]);
    }
    arena_close(arena);
}

/* --- several threads ------------------------------------------------------------------------------------------------ */

enum {
    THREADS = 4,
    EACH = 20000
};

struct errand {
    void *cells[EACH];
};

static void *free_all(void *arg)
{
    struct errand *errand = arg;
    for (int i = 0; i < EACH; i++) {
        cell_end(errand->cells[i]);
        arena_free_remote(errand->cells[i]);
    }
    return NULL;
}

static void what_is_held_is_whole_after_the_owner_has_gone(void **state)
{
    (void)state;
    struct arena *arena = arena_new();
    void *small = arena_alloc(arena, 60);
    void *large = arena_alloc(arena, 3 << 20);
    cell_write(small, 1, 60);
    cell_write(large, 2, 3 << 20);
    arena_close(arena);
    assert_true(cell_is_whole(small, 1, 60));
    cell_end(small);
    arena_free_remote(small);
    assert_true(cell_is_whole(large, 2, 3 << 20));
    cell_end(large);
    arena_free_remote(large);
}

/* While they free, the owner goes on, and closes before they are done: the last of them frees the arena. */
static void the_arena_outlives_its_owner_until_the_last_cell_is_free(void **state)
{
    (void)state;
    struct arena *arena = arena_new();
    struct errand *errands = calloc(THREADS, sizeof *errands);
    pthread_t threads[THREADS];
    for (int t = 0; t < THREADS; t++) {
        for (int i = 0; i < EACH; i++) {
            errands[t].cells[i] = arena_alloc(arena, 60);
            cell_write(errands[t].cells[i], 1, 60);
        }
    }
    for (int t = 0; t < THREADS; t++) {
        assert_int_equal(pthread_create(&threads[t], NULL, free_all, &errands[t]), 0);
    }
    for (int i = 0; i < 1000; i++) {
        void *cell = arena_alloc(arena, 60);
        cell_write(cell, 1, 60);
        cell_end(cell);
        arena_free(arena, cell);
    }
    arena_close(arena);
    for (int t = 0; t < THREADS; t++) {
        pthread_join(threads[t], NULL);
    }
    free(errands);
}

/* What /proc/self/smaps says of the mapping that holds `at`: whether a flag is set, and how much is in huge pages. */
struct mapping {
    bool has_flag;
    size_t huge_kb;
};

static struct mapping mapping_of(const void *at, const char *flag)
{
    struct mapping mapping = {0};
    FILE *maps = fopen("/proc/self/smaps", "re");
    assert_non_null(maps);
    char line[512];
    bool is_here = false;
    while (fgets(line, sizeof line, maps) != NULL) {
        char *end = NULL;
        const uintptr_t from = strtoull(line, &end, 16);
        if (end != line && *end == '-') {
            is_here = (uintptr_t)at >= from && (uintptr_t)at < strtoull(end + 1, NULL, 16);
        } else if (is_here && strncmp(line, "VmFlags:", 8) == 0) {
            mapping.has_flag = strstr(line, flag) != NULL;
        } else if (is_here && strncmp(line, "AnonHugePages:", 14) == 0) {
            mapping.huge_kb = strtoul(line + 14, NULL, 10);
        }
    }
    (void)fclose(maps);
    return mapping;
}

/* Where the system makes all pages huge that it can, one page in use would make a whole region resident. */
static void regions_are_of_small_pages(void **state)
{
    (void)state;
    struct arena *arena = arena_new();
    void *cell = arena_alloc(arena, 100);
    assert_non_null(cell);
    assert_true(mapping_of(cell, " nh").has_flag);
    arena_free(arena, cell);
    arena_close(arena);
}

/* Whether the system gives huge pages now to whoever asks as arenas do. */
static bool has_huge_pages(size_t size)
{
    char *wide = mmap(NULL, size + ARENA_REGION, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(wide != MAP_FAILED);
    (void)madvise(wide, size + ARENA_REGION, MADV_HUGEPAGE);
    memset(wide, 1, size + ARENA_REGION);
    const bool has = mapping_of(wide, " hg").huge_kb >= size / 1024;
    (void)munmap(wide, size + ARENA_REGION);
    return has;
}

/* They are if that is said before anything is written, or else never. */
static void large_cells_and_large_arenas_are_of_huge_pages(void **state)
{
    (void)state;
    enum {
        LARGE = 2 * ARENA_REGION,
        MANY = 20,
        PART = 1536 * 1024
    };
    if (!has_huge_pages(LARGE)) {
        skip();
    }
    struct arena *arena = arena_new();
    char *parts[MANY];
    parts[0] = arena_alloc(arena, PART); /* before there is much */
    assert_non_null(parts[0]);
    memset(parts[0], 1, PART);
    char *large = arena_alloc(arena, LARGE);
    assert_non_null(large);
    memset(large, 1, LARGE);
    assert_true(mapping_of(large, " hg").huge_kb >= ARENA_REGION / 1024);
    for (int i = 1; i < MANY; i++) {
        parts[i] = arena_alloc(arena, PART);
        assert_non_null(parts[i]);
        memset(parts[i], 1, PART);
    }
    assert_int_equal(mapping_of(parts[0], " nh").huge_kb, 0);
    assert_true(mapping_of(parts[MANY - 1], " hg").has_flag);
    assert_true(mapping_of(parts[MANY - 1], " hg").huge_kb > 0);
    for (int i = 0; i < MANY; i++) {
        arena_free(arena, parts[i]);
    }
    arena_free(arena, large);
    arena_close(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regions_are_of_small_pages),
        cmocka_unit_test(large_cells_and_large_arenas_are_of_huge_pages),
        cmocka_unit_test(cells_are_as_large_as_asked_and_little_larger),
        cmocka_unit_test(sixteen_and_thirty_two_bytes_cost_a_header_of_eight),
        cmocka_unit_test(large_pages_stay_readable_and_come_back),
        cmocka_unit_test(lines_are_aligned_and_pages_too),
        cmocka_unit_test(random_operations_keep_every_cell_whole),
        cmocka_unit_test(compaction_gives_back_what_was_left_over),
        cmocka_unit_test(without_regions_there_is_no_memory_and_nothing_breaks),
        cmocka_unit_test(what_is_held_is_whole_after_the_owner_has_gone),
        cmocka_unit_test(the_arena_outlives_its_owner_until_the_last_cell_is_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
