/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory of what waits: what was given back is taken again, of its size, and no more is kept than may be. */
#include "tiers/base/spares.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void what_was_given_back_is_taken_again(void **state)
{
    (void)state;
    struct spares spares = {0};
    void *first = spares_take(&spares, 100);
    void *second = spares_take(&spares, 100);
    assert_ptr_not_equal(first, second);
    memset(first, 1, 100);
    memset(second, 2, 100);
    spares_give(&spares, first, 100);
    spares_give(&spares, second, 100);
    if (!SPARES_NONE) {
        assert_ptr_equal(spares_take(&spares, 65), second); /* of the same step */
        assert_ptr_equal(spares_take(&spares, 128), first);
        spares_give(&spares, first, 128);
        spares_give(&spares, second, 65);
    }
    spares_done(&spares);
}

static void another_size_is_another_list(void **state)
{
    (void)state;
    struct spares spares = {0};
    spares_give(&spares, spares_take(&spares, 64), 64);
    for (size_t size = 65; size <= 2 * SPARES_MOST; size += 63) {
        char *block = spares_take(&spares, size);
        memset(block, 7, size); /* a sanitizer looks whether there is room for it */
        spares_give(&spares, block, size);
    }
    assert_int_equal(spares.of[0].count, SPARES_NONE ? 0 : 1);
    spares_done(&spares);
    for (unsigned i = 0; i < SPARES_SIZES; i++) {
        assert_null(spares.of[i].first);
        assert_int_equal(spares.of[i].count, 0);
    }
}

static void no_more_are_kept_than_may_be(void **state)
{
    (void)state;
    struct spares spares = {0};
    void *blocks[2 * SPARES_KEPT];
    for (unsigned i = 0; i < 2 * SPARES_KEPT; i++) {
        blocks[i] = spares_take(&spares, SPARES_MOST);
    }
    for (unsigned i = 0; i < 2 * SPARES_KEPT; i++) {
        spares_give(&spares, blocks[i], SPARES_MOST);
    }
    assert_int_equal(spares.of[SPARES_SIZES - 1].count, SPARES_NONE ? 0 : SPARES_KEPT);
    spares_done(&spares);
}

static void what_is_larger_is_not_kept_and_nothing_may_be_given_back(void **state)
{
    (void)state;
    struct spares spares = {0};
    spares_give(&spares, spares_take(&spares, SPARES_MOST + 1), SPARES_MOST + 1);
    spares_give(&spares, NULL, 10);
    for (unsigned i = 0; i < SPARES_SIZES; i++) {
        assert_int_equal(spares.of[i].count, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_given_back_is_taken_again),
        cmocka_unit_test(another_size_is_another_list),
        cmocka_unit_test(no_more_are_kept_than_may_be),
        cmocka_unit_test(what_is_larger_is_not_kept_and_nothing_may_be_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
