/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/foreseen.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum {
    FROM = 1000,
    UNTIL = 3000,
    LIFE = 700,
    OWNER = 7
};
static const struct foreseen_life life = {.from_ms = FROM, .until_ms = UNTIL, .life_ms = LIFE};

static struct foreseen *fresh(void)
{
    struct foreseen *foreseen = malloc(sizeof *foreseen);
    assert_non_null(foreseen);
    foreseen_init(foreseen);
    return foreseen;
}

static void drop(struct foreseen *foreseen)
{
    foreseen_done(foreseen);
    free(foreseen);
}

static struct l1_key key_of(const char *text, uint64_t hash)
{
    return (struct l1_key){.bytes = slice_of(text), .hash = hash};
}

static void the_first_hit_after_the_former_end_counts_once(void **state)
{
    (void)state;
    struct foreseen *foreseen = fresh();
    const struct l1_key key = key_of("k", 5);
    foreseen_watch(foreseen, &key, &life, OWNER, 0);
    foreseen_tick(foreseen, FROM - FORESEEN_AHEAD_MS - 1);
    assert_false(foreseen_is_armed(foreseen, 5));
    foreseen_tick(foreseen, FROM - FORESEEN_AHEAD_MS);
    assert_true(foreseen_is_armed(foreseen, 5));
    assert_false(foreseen_is_armed(foreseen, 6));
    assert_false(foreseen_on_read(foreseen, &key, true, FROM - 1));
    assert_true(foreseen_on_read(foreseen, &key, true, FROM));
    assert_false(foreseen_is_armed(foreseen, 5));
    assert_false(foreseen_on_read(foreseen, &key, true, FROM));
    assert_int_equal(foreseen_take(foreseen, OWNER), 1);
    assert_int_equal(foreseen_take(foreseen, OWNER), 0);
    drop(foreseen);
}

/* However often it is read anew: without that there would have been one miss in each life that begins with a read. */
static void misses_less_are_those_that_would_have_been(void **state)
{
    (void)state;
    struct foreseen *foreseen = fresh();
    const struct l1_key key = key_of("k", 5);
    unsigned counted = 0;
    unsigned would_be = 0;
    int64_t stands_until_ms = FROM;
    for (int64_t now_ms = 0; now_ms < 20000; now_ms += 10) {
        if (now_ms % 250 == 0) { /* anew four times in a second; each time it lives for LIFE */
            const struct foreseen_life anew = {
                .from_ms = FROM, .until_ms = now_ms + LIFE, .life_ms = LIFE};
            foreseen_watch(foreseen, &key, &anew, OWNER, now_ms);
        }
        if (now_ms % 100 == 0) {
            foreseen_tick(foreseen, now_ms);
        }
        if (now_ms % 30 == 0) {
            if (now_ms >= stands_until_ms) {
                would_be++;
                stands_until_ms = now_ms + LIFE;
            }
            counted +=
                foreseen_is_armed(foreseen, 5) && foreseen_on_read(foreseen, &key, true, now_ms)
                    ? 1
                    : 0;
        }
    }
    assert_true(would_be > 20);
    assert_int_equal(counted, would_be);
    drop(foreseen);
}

static void a_miss_or_the_new_end_ends_it(void **state)
{
    (void)state;
    struct foreseen *foreseen = fresh();
    const struct l1_key key = key_of("k", 5);
    foreseen_watch(foreseen, &key, &life, OWNER, 0);
    foreseen_tick(foreseen, FROM);
    assert_false(foreseen_on_read(foreseen, &key, false, FROM));
    assert_false(foreseen_is_armed(foreseen, 5));
    foreseen_watch(foreseen, &key, &life, OWNER, 0);
    foreseen_tick(foreseen, FROM);
    assert_false(foreseen_on_read(foreseen, &key, true, UNTIL));
    foreseen_tick(foreseen, UNTIL);
    assert_false(foreseen_is_armed(foreseen, 5));
    assert_int_equal(atomic_load(&foreseen->known), 0);
    assert_int_equal(foreseen_take(foreseen, OWNER), 0);
    drop(foreseen);
}

static void keys_of_one_place_and_of_two_databases_are_told_apart(void **state)
{
    (void)state;
    struct foreseen *foreseen = fresh();
    const struct l1_key key = key_of("k", 5);
    const struct l1_key same_place = key_of("other", 5 + FORESEEN_PLACES);
    struct l1_key elsewhere = key;
    elsewhere.db = 3;
    foreseen_watch(foreseen, &key, &life, OWNER, 0);
    foreseen_watch(foreseen, &same_place, &life, OWNER + 1, 0);
    foreseen_tick(foreseen, FROM);
    assert_false(foreseen_on_read(foreseen, &elsewhere, true, FROM));
    assert_true(foreseen_on_read(foreseen, &key, true, FROM));
    assert_true(foreseen_is_armed(foreseen, 5));
    assert_true(foreseen_on_read(foreseen, &same_place, true, FROM));
    assert_false(foreseen_is_armed(foreseen, 5));
    assert_int_equal(foreseen_take(foreseen, OWNER), 1);
    assert_int_equal(foreseen_take(foreseen, OWNER + 1), 1);
    drop(foreseen);
}

static void beyond_its_limits_nothing_is_counted(void **state)
{
    (void)state;
    struct foreseen *foreseen = fresh();
    for (unsigned i = 0; i < FORESEEN_MAX + 10; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "%u", i);
        const struct l1_key key = key_of(text, i);
        foreseen_watch(foreseen, &key, &life, 1 + i % (FORESEEN_OWNERS + 6), 0);
    }
    foreseen_tick(foreseen, FROM);
    assert_int_equal(atomic_load(&foreseen->known), FORESEEN_MAX);
    assert_int_equal(atomic_load(&foreseen->armed), FORESEEN_MAX);
    foreseen_tick(foreseen, UNTIL);
    assert_int_equal(atomic_load(&foreseen->armed), 0);
    drop(foreseen);
}

/* Jobs come and go for as long as the node lives. */
static void who_was_dropped_leaves_his_place_to_another(void **state)
{
    (void)state;
    struct foreseen *foreseen = fresh();
    const struct l1_key key = key_of("k", 5);
    const struct l1_key left = key_of("left", 6);
    for (uint64_t owner = 1; owner <= 3 * FORESEEN_OWNERS; owner++) {
        foreseen_watch(foreseen, &key, &life, owner, FROM);
        foreseen_watch(foreseen, &left, &life, owner, FROM);
        assert_true(foreseen_on_read(foreseen, &key, true, FROM));
        assert_int_equal(foreseen_take(foreseen, owner), 1);
        assert_true(foreseen_on_read(foreseen, &left, true, FROM)); /* nobody takes that one */
        foreseen_drop(foreseen, owner);
        assert_int_equal(foreseen_take(foreseen, owner), 0);
        assert_false(foreseen_on_read(foreseen, &left, true, UNTIL - 1));
    }
    drop(foreseen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_hit_after_the_former_end_counts_once),
        cmocka_unit_test(a_miss_or_the_new_end_ends_it),
        cmocka_unit_test(keys_of_one_place_and_of_two_databases_are_told_apart),
        cmocka_unit_test(misses_less_are_those_that_would_have_been),
        cmocka_unit_test(beyond_its_limits_nothing_is_counted),
        cmocka_unit_test(who_was_dropped_leaves_his_place_to_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
