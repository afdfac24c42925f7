/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/asked.h"
#include "tiers/base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void nothing_is_asked_for_at_first(void **state)
{
    (void)state;
    struct asked asked = {0};
    assert_true(asked_is_empty(&asked));
    assert_false(asked_has(&asked, 0));
    assert_false(asked_has(&asked, UINT64_MAX));
    asked_clear(&asked);
    assert_true(asked_is_empty(&asked));
}

static void what_was_asked_for_is_never_missed(void **state)
{
    (void)state;
    struct asked asked = {0};
    struct rand rand;
    rand_seed(&rand, 1);
    uint64_t hashes[1000];
    for (size_t i = 0; i < 1000; i++) {
        hashes[i] = rand_next(&rand);
        asked_add(&asked, hashes[i]);
    }
    assert_false(asked_is_empty(&asked));
    for (size_t i = 0; i < 1000; i++) {
        assert_true(asked_has(&asked, hashes[i]));
    }
    asked_clear(&asked);
    assert_true(asked_is_empty(&asked));
    for (size_t i = 0; i < 1000; i++) {
        assert_false(asked_has(&asked, hashes[i]));
    }
}

static void of_a_few_keys_none_is_taken_for_another(void **state)
{
    (void)state;
    struct asked asked = {0};
    for (uint64_t i = 0; i < ASKED_FEW; i++) {
        asked_add(&asked, i);
    }
    assert_null(asked.bits);
    for (uint64_t i = 0; i < 1000; i++) {
        assert_int_equal(asked_has(&asked, i), i < ASKED_FEW);
    }
    asked_add(&asked, 500 << 16);
    assert_non_null(asked.bits);
    assert_true(asked_has(&asked, 0));
    assert_true(asked_has(&asked, 500 << 16));
    asked_clear(&asked);
    assert_true(asked_is_empty(&asked));
    assert_false(asked_has(&asked, 0));
}

static void another_key_is_rarely_taken_for_one_of_a_hundred(void **state)
{
    (void)state;
    struct asked asked = {0};
    struct rand rand;
    rand_seed(&rand, 2);
    for (int i = 0; i < 100; i++) {
        asked_add(&asked, rand_next(&rand));
    }
    int mistaken = 0;
    for (int i = 0; i < 10000; i++) {
        mistaken += asked_has(&asked, rand_next(&rand));
    }
    assert_in_range(mistaken, 1, 250);
    asked_clear(&asked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_asked_for_at_first),
        cmocka_unit_test(what_was_asked_for_is_never_missed),
        cmocka_unit_test(of_a_few_keys_none_is_taken_for_another),
        cmocka_unit_test(another_key_is_rarely_taken_for_one_of_a_hundred),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
