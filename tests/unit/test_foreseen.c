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
    UNTIL = 2000,
    OWNER = 7
};

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
    assert_false(foreseen_is_armed(foreseen, 5));
    foreseen_arm(foreseen, &key, FROM, UNTIL, OWNER);
    assert_true(foreseen_is_armed(foreseen, 5));
    assert_false(foreseen_is_armed(foreseen, 6));
    assert_false(foreseen_on_read(foreseen, &key, true, FROM - 1));
    assert_true(foreseen_is_armed(foreseen, 5));
    assert_true(foreseen_on_read(foreseen, &key, true, FROM));
    assert_false(foreseen_on_read(foreseen, &key, true, FROM));
    assert_false(foreseen_is_armed(foreseen, 5));
    assert_int_equal(foreseen_take(foreseen, OWNER), 1);
    assert_int_equal(foreseen_take(foreseen, OWNER), 0);
    drop(foreseen);
}

static void a_miss_or_the_new_end_disarms(void **state)
{
    (void)state;
    struct foreseen *foreseen = fresh();
    const struct l1_key key = key_of("k", 5);
    foreseen_arm(foreseen, &key, FROM, UNTIL, OWNER);
    assert_false(foreseen_on_read(foreseen, &key, false, FROM - 500));
    assert_false(foreseen_is_armed(foreseen, 5));
    foreseen_arm(foreseen, &key, FROM, UNTIL, OWNER);
    assert_false(foreseen_on_read(foreseen, &key, true, UNTIL));
    assert_false(foreseen_is_armed(foreseen, 5));
    foreseen_arm(foreseen, &key, FROM, UNTIL, OWNER);
    foreseen_sweep(foreseen, UNTIL - 1);
    assert_true(foreseen_is_armed(foreseen, 5));
    foreseen_sweep(foreseen, UNTIL);
    assert_false(foreseen_is_armed(foreseen, 5));
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
    foreseen_arm(foreseen, &key, FROM, UNTIL, OWNER);
    foreseen_arm(foreseen, &same_place, FROM, UNTIL, OWNER + 1);
    assert_false(foreseen_on_read(foreseen, &elsewhere, true, FROM));
    assert_true(foreseen_on_read(foreseen, &key, true, FROM));
    assert_true(foreseen_is_armed(foreseen, 5));
    assert_true(foreseen_on_read(foreseen, &same_place, true, FROM));
    assert_false(foreseen_is_armed(foreseen, 5));
    assert_int_equal(foreseen_take(foreseen, OWNER), 1);
    assert_int_equal(foreseen_take(foreseen, OWNER + 1), 1);
    drop(foreseen);
}

static void armed_again_it_is_armed_once(void **state)
{
    (void)state;
    struct foreseen *foreseen = fresh();
    const struct l1_key key = key_of("k", 5);
    foreseen_arm(foreseen, &key, FROM, UNTIL, OWNER);
    foreseen_arm(foreseen, &key, UNTIL, 2 * UNTIL, OWNER);
    assert_false(foreseen_on_read(foreseen, &key, true, FROM));
    assert_true(foreseen_on_read(foreseen, &key, true, UNTIL));
    assert_false(foreseen_is_armed(foreseen, 5));
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
        foreseen_arm(foreseen, &key, FROM, UNTIL, 1 + i % (FORESEEN_OWNERS + 6));
    }
    assert_int_equal(atomic_load(&foreseen->armed), FORESEEN_MAX);
    unsigned counted = 0;
    for (unsigned i = 0; i < FORESEEN_MAX + 10; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "%u", i);
        const struct l1_key key = key_of(text, i);
        counted += foreseen_on_read(foreseen, &key, true, FROM) ? 1 : 0;
    }
    assert_int_equal(counted, FORESEEN_MAX);
    drop(foreseen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_hit_after_the_former_end_counts_once),
        cmocka_unit_test(a_miss_or_the_new_end_disarms),
        cmocka_unit_test(keys_of_one_place_and_of_two_databases_are_told_apart),
        cmocka_unit_test(armed_again_it_is_armed_once),
        cmocka_unit_test(beyond_its_limits_nothing_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
