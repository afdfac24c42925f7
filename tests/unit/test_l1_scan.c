/* SPDX-License-Identifier: BSD-3-Clause */
/* SCAN's guarantee: what was there all the time is visited, whatever else comes and goes. */
#include "tests/unit/l1_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum {
    T0 = 1000000,
    ROOM = 4096
};

/* Which of the keys "k:<number>" were visited, and how often. */
struct seen {
    unsigned times[ROOM];
    unsigned visits;
};

static void see(void *arg, struct item *item)
{
    struct seen *seen = arg;
    struct slice key = item_key(item);
    uint64_t number = 0;
    seen->visits++;
    if (key.size > 2 && key.data[0] == 'k' &&
        slice_to_u64((struct slice){key.data + 2, key.size - 2}, &number) == OK && number < ROOM) {
        seen->times[number]++;
    }
}

static void put(struct l1 *l1, uint8_t db, char letter, unsigned number, int64_t expire_at_ms)
{
    char name[32];
    snprintf(name, sizeof name, "%c:%u", letter, number);
    help_set(l1, db, name, "v", expire_at_ms, T0);
}

static void take(struct l1 *l1, uint8_t db, char letter, unsigned number)
{
    char name[32];
    snprintf(name, sizeof name, "%c:%u", letter, number);
    help_set(l1, db, name, NULL, 0, T0);
}

static unsigned scan_all(struct l1 *l1, uint8_t db, size_t count, int64_t now_ms, struct seen *seen)
{
    unsigned steps = 0;
    uint64_t cursor = 0;
    do {
        cursor = l1_scan(l1, db, cursor, count, now_ms, see, seen);
        steps++;
        assert_true(steps < 100000);
    } while (cursor != 0);
    return steps;
}

static void a_scan_at_rest_visits_everything_once(void **state)
{
    (void)state;
    for (unsigned shards = 1; shards <= 64; shards *= 8) {
        struct l1 *l1 = help_new(1 << 24, NULL, shards);
        for (unsigned n = 0; n < 3000; n++) {
            put(l1, 0, 'k', n, 0);
        }
        struct seen seen = {.visits = 0};
        scan_all(l1, 0, 10, T0, &seen);
        assert_int_equal(seen.visits, 3000);
        for (unsigned n = 0; n < 3000; n++) {
            assert_int_equal(seen.times[n], 1);
        }
        l1_free(l1);
    }
}

static void a_scan_of_nothing_ends_at_once(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 24, NULL, 64);
    struct seen seen = {.visits = 0};
    assert_true(scan_all(l1, 0, 10, T0, &seen) <= 1);
    assert_int_equal(seen.visits, 0);
    l1_free(l1);
}

static void a_scan_visits_only_live_values_of_its_database(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 20, NULL, 4);
    put(l1, 0, 'k', 1, 0);
    put(l1, 0, 'k', 2, T0 + 10);
    put(l1, 3, 'k', 3, 0);
    struct l1_key claimed = l1_key(l1, 0, SLICE_LITERAL("k:4"));
    struct l1_ask ask = {.now_ms = T0, .join_ms = 10};
    struct l1_value value = {0};
    struct l1_claim claim;
    assert_int_equal(l1_ask(l1, &claimed, &ask, &value, &claim), CLAIMED);
    struct seen seen = {.visits = 0};
    scan_all(l1, 0, 10, T0 + 10, &seen);
    assert_int_equal(seen.visits, 1);
    assert_int_equal(seen.times[1], 1);
    l1_free(l1);
}

static void a_step_visits_about_as_many_as_asked(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 20, NULL, 4);
    for (unsigned n = 0; n < 3000; n++) {
        put(l1, 0, 'k', n, 0);
    }
    struct seen seen = {.visits = 0};
    assert_int_not_equal(l1_scan(l1, 0, 0, 100, T0, see, &seen), 0);
    assert_in_range(seen.visits, 100, 130);
    l1_free(l1);
}

static void a_step_through_a_foreign_database_is_bounded(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 22, NULL, 1);
    for (unsigned n = 0; n < 20000; n++) {
        put(l1, 0, 'k', n, 0);
    }
    put(l1, 1, 'k', 7, 0);
    struct seen seen = {.visits = 0};
    assert_true(scan_all(l1, 1, 10, T0, &seen) > 20); /* at most 100 buckets each, of 4000 */
    assert_int_equal(seen.times[7], 1);
    l1_free(l1);
}

static void an_invented_cursor_is_harmless(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 20, NULL, 8);
    for (unsigned n = 0; n < 500; n++) {
        put(l1, 0, 'k', n, 0);
    }
    struct rand rand;
    rand_seed(&rand, 3);
    for (int i = 0; i < 1000; i++) {
        struct seen seen = {.visits = 0};
        uint64_t cursor = rand_next(&rand);
        for (int steps = 0; cursor != 0; steps++) {
            cursor = l1_scan(l1, 0, cursor, 10, T0, see, &seen);
            assert_true(steps < 1000);
        }
        assert_true(seen.visits <= 500);
    }
    l1_free(l1);
}

/* Between the steps of each scan the table grows and shrinks at random, by a little or by a lot. */
static void keys_that_stay_are_visited_through_growth_and_shrinkage(void **state)
{
    (void)state;
    uint64_t seed = help_seed();
    struct rand rand;
    rand_seed(&rand, seed);
    for (int round = 0; round < 60; round++) {
        struct l1 *l1 = help_new(1 << 24, NULL, 1u << rand_below(&rand, 3));
        unsigned stay = 1 + (unsigned)rand_below(&rand, 400);
        unsigned others =
            (unsigned)rand_below(&rand, 2000); /* present ones are o:first .. o:others - 1 */
        unsigned first = 0;
        for (unsigned n = 0; n < stay; n++) {
            put(l1, 0, 'k', n, 0);
        }
        for (unsigned n = 0; n < others; n++) {
            put(l1, 0, 'o', n, 0);
        }
        struct seen seen = {.visits = 0};
        uint64_t cursor = 0;
        do {
            cursor = l1_scan(l1, 0, cursor, 1 + rand_below(&rand, 30), T0, see, &seen);
            unsigned amount = (unsigned)rand_below(&rand, rand_below(&rand, 4) == 0 ? 2000 : 100);
            bool grow = rand_below(&rand, 2) == 0;
            for (; amount > 0 && grow; amount--) {
                put(l1, 0, 'o', others++, 0);
            }
            for (; amount > 0 && first < others; amount--) {
                take(l1, 0, 'o', first++);
            }
        } while (cursor != 0);
        for (unsigned n = 0; n < stay; n++) {
            HELP_CHECK(seen.times[n] > 0, seed);
        }
        l1_free(l1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scan_at_rest_visits_everything_once),
        cmocka_unit_test(a_scan_of_nothing_ends_at_once),
        cmocka_unit_test(a_scan_visits_only_live_values_of_its_database),
        cmocka_unit_test(a_step_visits_about_as_many_as_asked),
        cmocka_unit_test(a_step_through_a_foreign_database_is_bounded),
        cmocka_unit_test(an_invented_cursor_is_harmless),
        cmocka_unit_test(keys_that_stay_are_visited_through_growth_and_shrinkage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
