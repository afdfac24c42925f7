/* SPDX-License-Identifier: BSD-3-Clause */
/* The memory of L1 as the system sees it; what happens when there is none. */
#include "tests/unit/l1_help.h"
#include "tiers/l1_shard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    T0 = 1000000
};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SHADOW 1 /* a sanitizer's own memory is resident, too */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_SHADOW 1
#endif
#endif
#ifndef HAS_SHADOW
#define HAS_SHADOW 0
#endif

static size_t resident_bytes(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*u %lu", &pages), 1);
    (void)fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void what_is_counted_is_resident_however_sizes_change(void **state)
{
    (void)state;
    static const struct {
        size_t least;
        size_t most;
    } phases[] = {{10, 100},  {100, 1000},     {10, 100}, {1000, 20000},
                  {50, 3000}, {40000, 400000}, {10, 300}};
    const size_t budget = HELP_ROUNDS(16 << 20);
    uint64_t seed = help_seed();
    struct rand rand;
    rand_seed(&rand, seed);
    const size_t before = resident_bytes();
    struct l1 *l1 = help_new(budget, NULL, 0);
    unsigned number = 0;
    for (size_t p = 0; p < sizeof phases / sizeof phases[0]; p++) {
        for (size_t added = 0; added < 2 * budget;) {
            size_t size = phases[p].least + rand_below(&rand, phases[p].most - phases[p].least);
            HELP_CHECK(help_put(l1, "k", number, size, T0 + 100000000, T0 + number / 100) == OK,
                       seed);
            number++;
            added += size + 16;
        }
        struct l1_stats stats = help_stats(l1);
        const size_t grown = resident_bytes() - before;
        print_message("%zu to %zu bytes: counted %zu KiB, resident %zu KiB, in use %zu KiB\n",
                      phases[p].least, phases[p].most, stats.bytes_used >> 10, grown >> 10,
                      stats.bytes_live >> 10);
        HELP_CHECK(stats.bytes_used <= budget + budget / 100, seed);
        HELP_CHECK(stats.bytes_live >= stats.bytes_used * 8 / 10, seed);
        HELP_CHECK(HAS_SHADOW || (grown > stats.bytes_used * 95 / 100 &&
                                  grown < stats.bytes_used * 105 / 100 + (1 << 20)),
                   seed);
    }
    for (int i = 0; i < 20000; i++) { /* as the control loop does, until all have expired */
        l1_sweep(l1, T0 + 200000000, 64);
    }
    HELP_CHECK(help_stats(l1).items == 0, seed);
    HELP_CHECK(help_stats(l1).bytes_used < 1 << 20, seed);
    HELP_CHECK(HAS_SHADOW || resident_bytes() - before < 2 << 20, seed);
    l1_free(l1);
}

/* What there is before the first entry, too: there may be thousands of shards. */
static void what_is_empty_is_counted_as_well(void **state)
{
    (void)state;
    enum {
        COUNT = 24,
        SHARDS = 64
    };
    struct l1 *l1s[COUNT];
    const size_t before = resident_bytes();
    size_t counted = 0;
    for (unsigned i = 0; i < COUNT; i++) {
        l1s[i] = help_new(64 << 20, i % 2 == 0 ? &policy_lru : &policy_density, SHARDS);
        for (unsigned n = 0; n < SHARDS * 10; n++) {
            assert_int_equal(help_put(l1s[i], "k", n, 10, 0, T0), OK);
        }
        counted += help_stats(l1s[i]).bytes_used;
    }
    const size_t grown = resident_bytes() - before;
    print_message("counted %zu KiB, resident %zu KiB\n", counted >> 10, grown >> 10);
    assert_true(HAS_SHADOW || (grown > counted * 95 / 100 && grown < counted * 105 / 100));
    for (unsigned i = 0; i < COUNT; i++) {
        l1_free(l1s[i]);
    }
}

/* Half of the entries expire, scattered over all pages: what is left comes together. */
static void pages_of_entries_that_expired_go_back(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(64 << 20, NULL, 2);
    for (unsigned n = 0; n < 100000; n++) {
        assert_int_equal(help_put(l1, "k", n, 100, n % 4 == 0 ? T0 + 1000000 : T0 + 10, T0), OK);
    }
    const size_t full = help_stats(l1).bytes_used;
    for (int i = 0; i < 30000; i++) {
        l1_sweep(l1, T0 + 20, 64);
    }
    assert_int_equal(help_stats(l1).items, 25000);
    assert_true(help_stats(l1).bytes_used < full * 35 / 100);
    for (unsigned n = 0; n < 100000; n += 4) {
        char name[32];
        char room[128];
        snprintf(name, sizeof name, "k:%u", n);
        struct l1_key key = l1_key(l1, 0, slice_of(name));
        struct l1_value value = {.copy = room, .copy_room = sizeof room};
        assert_int_equal(l1_get(l1, &key, T0 + 20, 0, &value), OK);
        assert_int_equal(value.bytes.size, 100);
        assert_int_equal(value.expire_at_ms, T0 + 1000000);
    }
    l1_free(l1);
}

/* Pages of values that are replaced are used again: giving them back and taking others costs more than all else. */
static void values_of_many_pages_replaced_fault_no_pages_in(void **state)
{
    (void)state;
    enum {
        KEYS = 20,
        ROUNDS = 30
    };
    struct l1 *l1 = help_new(16 << 20, NULL, 1);
    struct rusage before;
    struct rusage after;
    for (unsigned n = 0; n < KEYS * ROUNDS; n++) {
        if (n == KEYS * 2) {
            assert_int_equal(getrusage(RUSAGE_SELF, &before), 0);
        }
        assert_int_equal(help_put(l1, "k", n % KEYS, 300000, 0, T0), OK);
        l1_sweep(l1, T0 + n, 64); /* looks at a shard several times at once */
    }
    assert_int_equal(getrusage(RUSAGE_SELF, &after), 0);
    assert_true(HAS_SHADOW || after.ru_minflt - before.ru_minflt < KEYS * ROUNDS);
    l1_free(l1);
}

/* What was held when a sweep came by is tried again later. */
static void what_was_held_moves_when_it_is_let_go(void **state)
{
    (void)state;
    enum {
        ENTRIES = 20000,
        KEPT_OF = 20
    };
    struct l1 *l1 = help_new(16 << 20, NULL, 1);
    static struct item *held[ENTRIES / KEPT_OF];
    for (unsigned n = 0; n < ENTRIES; n++) {
        char name[32];
        assert_int_equal(help_put(l1, "k", n, 300, n % KEPT_OF == 0 ? 0 : T0 + 10, T0), OK);
        snprintf(name, sizeof name, "k:%u", n);
        struct l1_key key = l1_key(l1, 0, slice_of(name));
        if (n % KEPT_OF == 0) {
            held[n / KEPT_OF] = l1_hold(l1, &key, T0);
            assert_non_null(held[n / KEPT_OF]);
        }
    }
    for (int i = 0; i < 3000; i++) {
        l1_sweep(l1, T0 + 20, 64);
    }
    assert_int_equal(help_stats(l1).items, ENTRIES / KEPT_OF);
    for (unsigned n = 0; n < ENTRIES / KEPT_OF; n++) {
        item_release(held[n]);
    }
    for (int64_t i = 0; i < 3000; i++) {
        l1_sweep(l1, T0 + 20 + i * 100, 64);
    }
    struct l1_stats stats = help_stats(l1);
    print_message("counted %zu KiB, in use %zu KiB\n", stats.bytes_used >> 10,
                  stats.bytes_live >> 10);
    assert_true(stats.bytes_used < 2 * stats.bytes_live);
    l1_free(l1);
}

/* Items that somebody refers to stay where they are, and whole. */
static void what_is_held_does_not_move(void **state)
{
    (void)state;
    enum {
        HELD = 500
    };
    struct l1 *l1 = help_new(1 << 20, NULL, 1);
    struct item *held[HELD];
    for (unsigned n = 0; n < HELD; n++) {
        char name[32];
        assert_int_equal(help_put(l1, "held", n, 200, 0, T0), OK);
        snprintf(name, sizeof name, "held:%u", n);
        struct l1_key key = l1_key(l1, 0, slice_of(name));
        held[n] = l1_hold(l1, &key, T0);
        assert_non_null(held[n]);
    }
    for (unsigned n = 0; n < 30000; n++) {
        assert_int_equal(help_put(l1, "other", n, n % 400, 0, T0 + n), OK);
    }
    for (unsigned n = 0; n < HELD; n++) {
        char name[32];
        snprintf(name, sizeof name, "held:%u", n);
        assert_true(slice_is(item_key(held[n]), name));
        for (size_t i = 0; i < 200; i++) {
            assert_int_equal(item_value(held[n]).data[i], 'v');
        }
        item_release(held[n]);
    }
    l1_free(l1);
}

static void times_far_apart_are_exact(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 20, NULL, 1);
    const int64_t day_ms = 86400000;
    const int64_t from_ms = 1700000000000;
    const int64_t lives_ms[] = {1,           999,          day_ms,         30 * day_ms,
                                60 * day_ms, 900 * day_ms, 365000 * day_ms};
    for (unsigned i = 0; i < 7; i++) {
        for (int64_t late_ms = 0; late_ms < 100 * day_ms; late_ms += 33 * day_ms + 1) {
            struct l1_key key = l1_key(l1, 0, SLICE_LITERAL("k"));
            const int64_t now_ms = from_ms + late_ms;
            const int64_t end_ms = now_ms + lives_ms[i];
            assert_int_equal(help_swap(l1, &key, L1_ANY, "v", end_ms, now_ms), OK);
            struct l1_peek peek;
            assert_int_equal(l1_peek(l1, &key, end_ms - 1, 0, &peek), OK);
            assert_int_equal(peek.expire_at_ms, end_ms);
            assert_int_equal(l1_peek(l1, &key, end_ms, 0, &peek), MISS);
        }
    }
    l1_free(l1);
}

/* The arenas run out at every moment there is: whatever is answered, what stands is whole and can be read. */
static void without_memory_what_stands_stays(void **state)
{
    (void)state;
    for (unsigned limit = 1; limit < 4; limit++) {
        struct l1 *l1 = help_new(1 << 30, NULL, 1);
        arena_limit_regions(l1->shards[0].arena, limit);
        unsigned refused = 0;
        unsigned stored = 0;
        for (unsigned n = 0; n < 60000; n++) {
            enum status status = help_put(l1, "k", n, n % 5000 == 0 ? 300000 : n % 300, 0, T0);
            assert_true(status == OK || status == NO_MEMORY);
            refused += status == NO_MEMORY;
            stored += status == OK;
            struct l1_claim claim;
            struct l1_value value = {0};
            struct l1_ask ask = {.now_ms = T0, .join_ms = 10};
            struct l1_key key = l1_key(l1, 1, SLICE_LITERAL("asked"));
            enum status asked = l1_ask(l1, &key, &ask, &value, &claim);
            assert_true(asked == CLAIMED || asked == NO_MEMORY);
            l1_land(l1, &key);
        }
        assert_true(refused > 1000);
        assert_int_equal(l1_count(l1, 0), stored); /* nobody was told OK for nothing */
        for (unsigned n = 0; n < 60000; n++) {
            char name[32];
            snprintf(name, sizeof name, "k:%u", n);
            struct l1_key key = l1_key(l1, 0, slice_of(name));
            struct l1_value value = {0};
            if (l1_get(l1, &key, T0, 0, &value) == OK) {
                assert_int_equal(value.bytes.size, n % 5000 == 0 ? 300000 : n % 300);
                item_release(value.item);
                stored--;
            }
        }
        assert_int_equal(stored, 0);
        l1_flush_all(l1);
        assert_int_equal(help_put(l1, "k", 1, 100, 0, T0), OK);
        l1_free(l1);
    }
}

static unsigned shards_of(size_t bytes_max, unsigned threads)
{
    struct l1 *l1 = l1_new(&(struct l1_options){.bytes_max = bytes_max, .threads = threads});
    assert_non_null(l1);
    const unsigned shards = l1->shard_count;
    l1_free(l1);
    return shards;
}

static void there_are_as_many_shards_as_threads_and_memory_need(void **state)
{
    (void)state;
    const size_t mebibyte = 1 << 20;
    assert_int_equal(shards_of(4096 * mebibyte, 1), 4);
    assert_int_equal(shards_of(4096 * mebibyte, 2), 8);
    assert_int_equal(shards_of(4096 * mebibyte, 128), 64);
    assert_int_equal(shards_of(4096 * mebibyte, 0), 64); /* unknown */
    assert_int_equal(shards_of(64 * mebibyte, 2), 4);    /* each wants 16 MiB */
    assert_int_equal(shards_of(mebibyte, 2), 1);
    assert_int_equal(shards_of(262144 * mebibyte, 1),
                     32); /* none has handles for more than 16 GiB */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_counted_is_resident_however_sizes_change),
        cmocka_unit_test(what_is_empty_is_counted_as_well),
        cmocka_unit_test(pages_of_entries_that_expired_go_back),
        cmocka_unit_test(values_of_many_pages_replaced_fault_no_pages_in),
        cmocka_unit_test(what_was_held_moves_when_it_is_let_go),
        cmocka_unit_test(what_is_held_does_not_move),
        cmocka_unit_test(times_far_apart_are_exact),
        cmocka_unit_test(there_are_as_many_shards_as_threads_and_memory_need),
        cmocka_unit_test(without_memory_what_stands_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
