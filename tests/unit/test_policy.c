/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW         INT64_C(1800000000000) /* some day in 2027 */
#define SECOND      INT64_C(1000)
#define MINUTE      (60 * SECOND)
#define DAY         (24 * 60 * MINUTE)
#define NOISE_GROWS 0u         /* random words at which a counter surely grows, */
#define NOISE_STAYS UINT64_MAX /* and does not, unless it always does */

static void policies_are_found_by_name_in_any_case(void **state)
{
    (void)state;
    assert_ptr_equal(policy_find(SLICE_LITERAL("lru")), &policy_lru);
    assert_ptr_equal(policy_find(SLICE_LITERAL("LFU")), &policy_lfu);
    assert_ptr_equal(policy_find(SLICE_LITERAL("Ttl")), &policy_ttl);
    assert_null(policy_find(SLICE_LITERAL("fifo")));
    assert_null(policy_find(SLICE_LITERAL("")));
}

static void every_policy_is_in_the_list_of_names(void **state)
{
    (void)state;
    assert_non_null(strstr(policy_names, policy_lru.name));
    assert_non_null(strstr(policy_names, policy_lfu.name));
    assert_non_null(strstr(policy_names, policy_ttl.name));
}

static void lru_drops_what_is_idle_longest(void **state)
{
    (void)state;
    uint32_t old = policy_lru.first(NOW);
    uint32_t young = policy_lru.first(NOW + 100);
    int64_t later = NOW + 200;
    assert_true(policy_lru.score(old, 0, later) > policy_lru.score(young, 0, later));
    old = policy_lru.touch(old, NOW + 150, 0);
    assert_true(policy_lru.score(old, 0, later) < policy_lru.score(young, 0, later));
}

static void lru_order_survives_the_wrap_of_its_clock(void **state)
{
    (void)state;
    int64_t wrap = INT64_C(1) << 24; /* 2^22 ticks of 4 ms */
    int64_t before = NOW / wrap * wrap + wrap - 5 * SECOND;
    uint32_t old = policy_lru.first(before);
    uint32_t young = policy_lru.first(before + 10 * SECOND);
    int64_t later = before + 20 * SECOND;
    assert_true(policy_lru.score(old, 0, later) > policy_lru.score(young, 0, later));
    assert_int_equal(policy_lru.idle_ms(old, later), 20 * SECOND);
}

static void a_clock_read_earlier_by_another_thread_is_no_age(void **state)
{
    (void)state;
    assert_int_equal(policy_lru.idle_ms(policy_lru.first(NOW + 20), NOW), 0);
    assert_int_equal(policy_ttl.idle_ms(policy_ttl.first(NOW + 20), NOW), 0);
    uint32_t ahead = policy_lfu.first(NOW + 20 * SECOND);
    assert_int_equal(policy_lfu.frequency(ahead, NOW), 5);
    assert_true(policy_lfu.score(ahead, 0, NOW) <= policy_lfu.score(policy_lfu.first(NOW), 0, NOW));
}

static void idle_time_is_kept_by_lru_and_ttl_and_frequency_by_lfu(void **state)
{
    (void)state;
    const struct policy *policies[] = {&policy_lru, &policy_ttl};
    for (size_t i = 0; i < 2; i++) {
        uint32_t word = policies[i]->first(NOW);
        for (int64_t idle_ms = 0; idle_ms <= 90 * DAY; idle_ms += 2 * POLICY_SETTLE_MS - 1) {
            const int64_t seen_ms = policies[i]->idle_ms(word, NOW + idle_ms);
            assert_true(seen_ms >= idle_ms - 4096 && seen_ms <= idle_ms + 4096);
            word = policies[i]->settle(word, NOW + idle_ms);
            assert_true(word <= POLICY_WORD_MAX);
        }
    }
    assert_int_equal(policy_ttl.idle_ms(policy_ttl.first(NOW), NOW + 4000), 4000);
    assert_int_equal(policy_lfu.idle_ms(policy_lfu.first(NOW), NOW + 4000), -1);
    assert_int_equal(policy_lru.frequency(policy_lru.first(NOW), NOW), -1);
    assert_int_equal(policy_ttl.frequency(policy_ttl.first(NOW), NOW), -1);
    assert_int_equal(policy_lfu.frequency(policy_lfu.first(NOW), NOW), 5);
}

static void lfu_counts_the_first_use_always_and_later_ones_ever_more_rarely(void **state)
{
    (void)state;
    uint32_t word = policy_lfu.first(NOW);
    word = policy_lfu.touch(word, NOW, NOISE_STAYS);
    assert_int_equal(policy_lfu.frequency(word, NOW), 6);
    word = policy_lfu.touch(word, NOW, NOISE_STAYS);
    assert_int_equal(policy_lfu.frequency(word, NOW), 6);
    word = policy_lfu.touch(word, NOW, NOISE_GROWS);
    assert_int_equal(policy_lfu.frequency(word, NOW), 7);
}

static void lfu_saturates_at_255(void **state)
{
    (void)state;
    uint32_t word = policy_lfu.first(NOW);
    for (int i = 0; i < 300; i++) {
        word = policy_lfu.touch(word, NOW, NOISE_GROWS);
    }
    assert_int_equal(policy_lfu.frequency(word, NOW), 255);
}

static void lfu_loses_a_point_per_idle_minute(void **state)
{
    (void)state;
    uint32_t word = policy_lfu.first(NOW);
    for (int i = 0; i < 20; i++) {
        word = policy_lfu.touch(word, NOW, NOISE_GROWS);
    }
    assert_int_equal(policy_lfu.frequency(word, NOW), 25);
    assert_int_equal(policy_lfu.frequency(word, NOW + 10 * MINUTE), 15);
    assert_int_equal(policy_lfu.frequency(word, NOW + DAY), 0);
}

static void lfu_decay_is_not_lost_by_uses_within_a_minute(void **state)
{
    (void)state;
    uint32_t word = policy_lfu.first(NOW);
    for (int i = 0; i < 50; i++) {
        word = policy_lfu.touch(word, NOW, NOISE_GROWS);
    }
    for (int i = 1; i <= 20; i++) { /* every 59 s: about 20 minutes begin */
        word = policy_lfu.touch(word, NOW + i * 59 * SECOND, NOISE_STAYS);
    }
    assert_in_range(policy_lfu.frequency(word, NOW + 20 * 59 * SECOND), 34, 37);
}

static void lfu_drops_the_rarest_and_of_equals_the_idlest(void **state)
{
    (void)state;
    uint32_t once = policy_lfu.first(NOW);
    uint32_t often = policy_lfu.touch(policy_lfu.touch(once, NOW, NOISE_GROWS), NOW, NOISE_GROWS);
    uint32_t fresh = policy_lfu.first(NOW + 10 * SECOND);
    int64_t later = NOW + 20 * SECOND;
    assert_true(policy_lfu.score(once, 0, later) > policy_lfu.score(often, 0, later));
    assert_true(policy_lfu.score(once, 0, later) > policy_lfu.score(fresh, 0, later));
    assert_true(policy_lfu.score(fresh, 0, later) > policy_lfu.score(often, 0, later));
}

static void ttl_drops_the_nearest_expiry(void **state)
{
    (void)state;
    uint32_t word = policy_ttl.first(NOW);
    uint64_t soon = policy_ttl.score(word, NOW + SECOND, NOW);
    uint64_t late = policy_ttl.score(word, NOW + SECOND + 1, NOW);
    uint64_t far = policy_ttl.score(word, NOW + 40000 * DAY, NOW);
    uint64_t never = policy_ttl.score(word, 0, NOW);
    assert_true(soon > late);
    assert_true(late > far);
    assert_true(far > never);
}

static void ttl_breaks_ties_by_idleness(void **state)
{
    (void)state;
    uint32_t idle = policy_ttl.first(NOW);
    uint32_t used = policy_ttl.touch(idle, NOW + SECOND, 0);
    int64_t later = NOW + 2 * SECOND;
    assert_true(policy_ttl.score(idle, NOW + DAY, later) >
                policy_ttl.score(used, NOW + DAY, later));
    assert_true(policy_ttl.score(idle, 0, later) > policy_ttl.score(used, 0, later));
    /* ... but idleness never outweighs expiry. */
    assert_true(policy_ttl.score(used, NOW + DAY, later) >
                policy_ttl.score(idle, NOW + DAY + 1, later));
    assert_true(policy_ttl.score(used, NOW + DAY, NOW + 190 * DAY) >
                policy_ttl.score(idle, 0, NOW + 190 * DAY));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policies_are_found_by_name_in_any_case),
        cmocka_unit_test(every_policy_is_in_the_list_of_names),
        cmocka_unit_test(lru_drops_what_is_idle_longest),
        cmocka_unit_test(lru_order_survives_the_wrap_of_its_clock),
        cmocka_unit_test(a_clock_read_earlier_by_another_thread_is_no_age),
        cmocka_unit_test(idle_time_is_kept_by_lru_and_ttl_and_frequency_by_lfu),
        cmocka_unit_test(lfu_counts_the_first_use_always_and_later_ones_ever_more_rarely),
        cmocka_unit_test(lfu_saturates_at_255),
        cmocka_unit_test(lfu_loses_a_point_per_idle_minute),
        cmocka_unit_test(lfu_decay_is_not_lost_by_uses_within_a_minute),
        cmocka_unit_test(lfu_drops_the_rarest_and_of_equals_the_idlest),
        cmocka_unit_test(ttl_drops_the_nearest_expiry),
        cmocka_unit_test(ttl_breaks_ties_by_idleness),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
