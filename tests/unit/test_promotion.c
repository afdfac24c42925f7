/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/promotion.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define NOW INT64_C(1800000000000)

static struct promotion table;

static struct promotion_key *fresh(void)
{
    memset(&table, 0, sizeof table);
    return promotion_at(&table, 12345, NOW);
}

/* Reads that L1 does not answer until the hash is read whole: how many are passed on. */
static unsigned reads_until_taken(struct promotion_key *key, int64_t now_ms)
{
    unsigned passed = 0;
    while (!promotion_wants(key, now_ms)) {
        assert_true(passed < 1000);
        promotion_passed(key, now_ms);
        passed++;
    }
    promotion_taken(key, now_ms);
    return passed;
}

static void the_second_read_is_that_of_all(void **state)
{
    (void)state;
    assert_int_equal(reads_until_taken(fresh(), NOW), 1);
}

static void reads_far_apart_do_not_count_together(void **state)
{
    (void)state;
    struct promotion_key *key = fresh();
    promotion_passed(key, NOW);
    const int64_t later = NOW + PROMOTION_LATELY_MS + 2 * PROMOTION_STEP_MS;
    assert_false(promotion_wants(key, later));
    promotion_passed(key, later);
    assert_true(promotion_wants(key, later + PROMOTION_LATELY_MS));
}

static void what_is_never_hit_is_read_whole_ever_less(void **state)
{
    (void)state;
    struct promotion_key *key = fresh();
    static const unsigned expected[] = {1, 1, 2, 4, 8, 16, 32, 64, 64};
    for (unsigned i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        assert_int_equal(reads_until_taken(key, NOW), expected[i]);
    }
}

static void what_is_hit_is_read_whole_at_once_soon(void **state)
{
    (void)state;
    struct promotion_key *key = fresh();
    assert_int_equal(reads_until_taken(key, NOW), 1);
    promotion_hit(key, NOW);
    assert_int_equal(reads_until_taken(key, NOW), 1); /* as was wanted before that was known */
    promotion_hit(key, NOW);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(reads_until_taken(key, NOW), 0);
        promotion_hit(key, NOW + 3600000); /* however long it was hit for */
    }
    assert_int_equal(reads_until_taken(key, NOW), 0);
    assert_int_equal(reads_until_taken(key, NOW), 0); /* not hit, which is known with the next */
    assert_int_equal(reads_until_taken(key, NOW), 1);
}

static void what_is_too_large_is_left_alone_for_longer_each_time(void **state)
{
    (void)state;
    struct promotion_key *key = fresh();
    int64_t now_ms = NOW;
    for (unsigned i = 0; i < 9; i++) {
        promotion_passed(key, now_ms);
        assert_true(promotion_wants(key, now_ms));
        promotion_taken(key, now_ms);
        promotion_refuse(key, now_ms);
        const int64_t for_ms = (int64_t)PROMOTION_REFUSED_MS
                               << (i < PROMOTION_REFUSED_LOG_MAX ? i : PROMOTION_REFUSED_LOG_MAX);
        for (unsigned n = 0; n < PROMOTION_WANTED_MAX; n++) {
            promotion_passed(key, now_ms);
        }
        assert_false(promotion_wants(key, now_ms));
        promotion_passed(key, now_ms + for_ms - 2 * PROMOTION_STEP_MS);
        assert_false(promotion_wants(key, now_ms + for_ms - 2 * PROMOTION_STEP_MS));
        now_ms += for_ms + PROMOTION_STEP_MS;
        for (unsigned n = 0; n < PROMOTION_WANTED_MAX; n++) {
            promotion_passed(key, now_ms);
        }
    }
}

static void a_walk_over_many_keys_wants_none_and_forgets_the_oldest(void **state)
{
    (void)state;
    promotion_passed(fresh(), NOW);
    for (uint64_t i = 0; i < 100000; i++) {
        const int64_t now_ms = NOW + (int64_t)i;
        struct promotion_key *key =
            promotion_at(&table, (i + 1) * UINT64_C(0x9e3779b97f4a7c15), now_ms);
        assert_false(promotion_wants(key, now_ms));
        promotion_passed(key, now_ms);
        if (i % 100 == 0) { /* one that is read meanwhile stays */
            key = promotion_at(&table, 777, now_ms);
            assert_int_equal(promotion_wants(key, now_ms), i > 0);
            promotion_passed(key, now_ms);
        }
    }
    assert_false(promotion_wants(promotion_at(&table, 12345, NOW), NOW));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_second_read_is_that_of_all),
        cmocka_unit_test(reads_far_apart_do_not_count_together),
        cmocka_unit_test(what_is_never_hit_is_read_whole_ever_less),
        cmocka_unit_test(what_is_hit_is_read_whole_at_once_soon),
        cmocka_unit_test(what_is_too_large_is_left_alone_for_longer_each_time),
        cmocka_unit_test(a_walk_over_many_keys_wants_none_and_forgets_the_oldest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
