/* SPDX-License-Identifier: BSD-3-Clause */
/* What a snapshot names as a hot list. */
#include "server/snapshot_revive.h"
#include "tiers/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define UNIX_MS INT64_C(1800000000000)

enum {
    ALL = 1 << 20
};

static void note(struct revive *revive, const char *key, uint8_t hotness)
{
    revive_note(revive, 3, slice_of(key), hotness);
}

static void rows_are_the_hottest_first_and_weigh_twice_as_much_for_eight_steps(void **state)
{
    static const char *const keys[] = {"hottest", "hot", "new", "cold"};
    struct revive *revive = revive_new();
    double sum = 0;
    (void)state;
    note(revive, "new", POLICY_HOTNESS_NEW);
    note(revive, "hottest", POLICY_HOTNESS_NEW + 2 * POLICY_HOTNESS_DOUBLE);
    note(revive, "cold", POLICY_HOTNESS_NEW - POLICY_HOTNESS_DOUBLE);
    note(revive, "hot", POLICY_HOTNESS_NEW + POLICY_HOTNESS_DOUBLE);
    struct hot_list *list = revive_list(revive, ALL, UNIX_MS);
    assert_non_null(list);
    assert_int_equal(list->count, 4);
    assert_int_equal(list->written_at_ms, UNIX_MS);
    for (size_t i = 0; i < list->count; i++) {
        assert_true(slice_is(list->rows[i].key, keys[i]) && list->rows[i].db == 3);
        assert_true(i == 0 ||
                    (int64_t)(list->rows[i - 1].count / list->rows[i].count * 1000 + 0.5) == 2000);
        sum += list->rows[i].count;
    }
    assert_int_equal((int64_t)(sum + 0.5), REVIVE_READS);
    assert_true(list->total == REVIVE_READS && list->hits == REVIVE_READS);
    assert_true(list->rows[0].heat >= list->rows[3].heat);
    hot_list_release(list);
    revive_free(revive);
}

static void of_more_than_it_may_name_a_list_has_the_hottest(void **state)
{
    enum {
        MANY = 1000,
        FEW = 100
    };
    struct revive *revive = revive_new();
    char key[16];
    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(key, sizeof key, "k%u", i);
        note(revive, key, (uint8_t)(i % 10 + 1));
    }
    struct hot_list *list = revive_list(revive, FEW, UNIX_MS);
    assert_int_equal(list->count, FEW);
    for (size_t i = 0; i < FEW; i++) {
        assert_true(slice_is(list->rows[i].key, "k9") ||
                    list->rows[i].key.data[list->rows[i].key.size - 1] == '9');
    }
    hot_list_release(list);
    revive_free(revive);
}

static void keys_that_no_list_may_name_are_left_out_and_nothing_is_no_list(void **state)
{
    static char large[HOT_KEY_MAX + 1];
    struct revive *revive = revive_new();
    (void)state;
    assert_null(revive_list(NULL, ALL, UNIX_MS));
    assert_null(revive_list(revive, ALL, UNIX_MS));
    revive_note(revive, 0, (struct slice){large, sizeof large}, 200);
    assert_null(revive_list(revive, ALL, UNIX_MS));
    revive_note(revive, 0, (struct slice){large, HOT_KEY_MAX}, 20);
    struct hot_list *list = revive_list(revive, ALL, UNIX_MS);
    assert_int_equal(list->count, 1);
    assert_int_equal(list->rows[0].key.size, HOT_KEY_MAX);
    assert_int_equal(revive_left(revive), 2); /* they are read all the same */
    hot_list_release(list);
    revive_free(revive);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_the_hottest_first_and_weigh_twice_as_much_for_eight_steps),
        cmocka_unit_test(of_more_than_it_may_name_a_list_has_the_hottest),
        cmocka_unit_test(keys_that_no_list_may_name_are_left_out_and_nothing_is_no_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
