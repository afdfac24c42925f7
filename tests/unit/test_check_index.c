/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/check/index.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    NUMBERS = 300,
    STEPS = 200000
};

static void what_is_added_is_found_until_it_is_removed(void **state)
{
    (void)state;
    struct index index = {0};
    assert_int_equal(index_find(&index, 7), INDEX_NONE);
    index_remove(&index, 7);
    assert_int_equal(index_add(&index, 7, 1), OK);
    assert_int_equal(index_add(&index, 0, 2), OK);
    assert_int_equal(index_find(&index, 7), 1);
    assert_int_equal(index_find(&index, 0), 2);
    index_remove(&index, 7);
    assert_int_equal(index_find(&index, 7), INDEX_NONE);
    assert_int_equal(index_find(&index, 0), 2);
    index_clear(&index);
    assert_int_equal(index_find(&index, 0), INDEX_NONE);
    index_done(&index);
}

/* Against an array, with so many removals that every kind of hole is closed. */
static void it_agrees_with_an_array(void **state)
{
    (void)state;
    struct index index = {0};
    uint32_t places[NUMBERS];
    memset(places, 0xff, sizeof places);
    unsigned seed = 4711;
    for (uint32_t i = 0; i < STEPS; i++) {
        uint32_t number = (uint32_t)rand_r(&seed) % NUMBERS;
        if (places[number] == INDEX_NONE) {
            assert_int_equal(index_add(&index, number, i), OK);
            places[number] = i;
        } else {
            index_remove(&index, number);
            places[number] = INDEX_NONE;
        }
        uint32_t other = (uint32_t)rand_r(&seed) % NUMBERS;
        if (index_find(&index, other) != places[other]) {
            fail_msg("step %u: number %u", i, other);
        }
    }
    for (uint32_t i = 0; i < NUMBERS; i++) {
        assert_int_equal(index_find(&index, i), places[i]);
    }
    index_done(&index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_added_is_found_until_it_is_removed),
        cmocka_unit_test(it_agrees_with_an_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
