/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/policy.h"
#include "tiers/policy_memory.h"

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

static uint32_t first(const struct policy *policy, int64_t now_ms)
{
    return policy->first(NULL, &(struct policy_newcomer){.now_ms = now_ms});
}

static uint32_t touch(const struct policy *policy, uint32_t word, int64_t now_ms, uint64_t noise)
{
    return policy->touch(NULL, word, 0, now_ms, noise);
}

static uint64_t score(const struct policy *policy, uint32_t word, int64_t expire_at_ms,
                      int64_t now_ms)
{
    const struct policy_candidate candidate = {.word = word, .expire_at_ms = expire_at_ms};
    return policy->score(NULL, &candidate, now_ms);
}

static void policies_are_found_by_name_in_any_case(void **state)
{
    (void)state;
    assert_ptr_equal(policy_find(SLICE_LITERAL("lru")), &policy_lru);
    assert_ptr_equal(policy_find(SLICE_LITERAL("LFU")), &policy_lfu);
    assert_ptr_equal(policy_find(SLICE_LITERAL("Ttl")), &policy_ttl);
    assert_null(policy_find(SLICE_LITERAL("fifo")));
    assert_null(policy_find(SLICE_LITERAL("")));
}

static void every_policy_is_in_the_list_of_names_and_found_by_each_of_its_own(void **state)
{
    (void)state;
    unsigned count = 0;
    for (const struct policy *policy; (policy = policy_at(count)) != NULL; count++) {
        assert_non_null(strstr(policy_names, policy->name));
        assert_ptr_equal(policy_find(slice_of(policy->name)), policy);
        assert_ptr_equal(policy_find(slice_of(policy_redis_name(policy))), policy);
    }
    unsigned commas = 0;
    for (const char *c = policy_names; *c != '\0'; c++) {
        commas += *c == ',';
    }
    assert_int_equal(commas + 1, count);
}

static void the_names_that_redis_users_know_are_found(void **state)
{
    (void)state;
    static const struct {
        const char *redis;
        const struct policy *policy;
    } known[] = {
        {"allkeys-lru", &policy_lru},
        {"allkeys-lfu", &policy_lfu},
        {"allkeys-random", &policy_random},
        {"noeviction", &policy_noeviction},
        {"volatile-lru", &policy_volatile_lru},
        {"volatile-lfu", &policy_volatile_lfu},
        {"volatile-random", &policy_volatile_random},
        {"VOLATILE-TTL", &policy_ttl},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        assert_ptr_equal(policy_find(slice_of(known[i].redis)), known[i].policy);
    }
}

static void volatile_policies_and_ttl_strict_never_drop_what_has_no_expiry(void **state)
{
    (void)state;
    static const struct {
        const struct policy *strict;
        const struct policy *plain;
    } pairs[] = {{&policy_volatile_lru, &policy_lru},
                 {&policy_volatile_lfu, &policy_lfu},
                 {&policy_ttl_strict, &policy_ttl}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        const uint32_t word = first(pairs[i].strict, NOW);
        assert_true(pairs[i].strict->refuses);
        assert_false(pairs[i].plain->refuses);
        assert_int_equal(score(pairs[i].strict, word, 0, NOW + DAY), 0);
        assert_int_equal(score(pairs[i].strict, word, NOW + 2 * DAY, NOW + DAY),
                         score(pairs[i].plain, word, NOW + 2 * DAY, NOW + DAY));
        assert_true(score(pairs[i].plain, word, 0, NOW) > 0);
    }
    const uint32_t word = first(&policy_volatile_random, NOW);
    assert_int_equal(score(&policy_volatile_random, word, 0, NOW), 0);
    assert_true(score(&policy_volatile_random, word, NOW + DAY, NOW) > 0);
    assert_true(score(&policy_random, word, 0, NOW) > 0);
    assert_int_equal(score(&policy_noeviction, word, NOW + 1, NOW), 0);
}

static void density_knows_idle_times_to_a_minute(void **state)
{
    (void)state;
    struct arena *arena = arena_new();
    struct policy_memory *memory = policy_memory_new(arena);
    const struct policy *policy = &policy_density;
    policy_memory_set_budget(memory, 1 << 20);
    uint32_t idle = policy->first(memory, &(struct policy_newcomer){.size = 100, .now_ms = NOW});
    uint32_t used = idle;
    for (int64_t ms = 0; ms <= 6 * 60 * MINUTE; ms += 10 * SECOND) {
        const int64_t known_ms = policy->idle_ms(memory, idle, NOW + ms);
        assert_in_range(known_ms, ms < MINUTE ? 0 : ms - MINUTE, ms);
        used = policy->touch(memory, used, 0, NOW + ms, 0);
        assert_int_equal(policy->idle_ms(memory, used, NOW + ms), 0);
        assert_int_equal(policy->idle_ms(memory, used, NOW + ms + 5 * SECOND), 5 * SECOND);
        assert_int_equal(policy->idle_ms(memory, used, NOW + ms - SECOND), 0); /* another clock */
    }
    assert_int_equal(policy->frequency(used, NOW), -1);
    policy_memory_free(memory);
    arena_close(arena);
}

static void density_settles_what_is_idle_for_long(void **state)
{
    (void)state;
    struct arena *arena = arena_new();
    struct policy_memory *memory = policy_memory_new(arena);
    const struct policy *policy = &policy_density;
    uint32_t idle = policy->first(memory, &(struct policy_newcomer){.size = 100, .now_ms = NOW});
    for (int64_t minute = 1; minute < 3000; minute++) {
        (void)policy->touch(memory, idle, 0, NOW + minute * MINUTE, 0);
        idle = policy->settle(memory, idle, NOW + minute * MINUTE);
        const int64_t least = minute < 760 ? minute : 760;
        assert_true(policy->idle_ms(memory, idle, NOW + minute * MINUTE) >= (least - 1) * MINUTE);
    }
    policy_memory_free(memory);
    arena_close(arena);
}

static void sizes_are_known_to_an_eighth(void **state)
{
    (void)state;
    for (size_t bytes = 16; bytes < (size_t)1 << 30; bytes += 1 + bytes / 50) {
        const double known = policy_size_read(policy_size_make(bytes));
        assert_true(known > (double)bytes * 0.88 && known < (double)bytes * 1.13);
    }
}

static void lru_drops_what_is_idle_longest(void **state)
{
    (void)state;
    uint32_t old = first(&policy_lru, NOW);
    uint32_t young = first(&policy_lru, NOW + 100);
    int64_t later = NOW + 200;
    assert_true(score(&policy_lru, old, 0, later) > score(&policy_lru, young, 0, later));
    old = touch(&policy_lru, old, NOW + 150, 0);
    assert_true(score(&policy_lru, old, 0, later) < score(&policy_lru, young, 0, later));
}

static void lru_order_survives_the_wrap_of_its_clock(void **state)
{
    (void)state;
    int64_t wrap = INT64_C(1) << 24; /* 2^22 ticks of 4 ms */
    int64_t before = NOW / wrap * wrap + wrap - 5 * SECOND;
    uint32_t old = first(&policy_lru, before);
    uint32_t young = first(&policy_lru, before + 10 * SECOND);
    int64_t later = before + 20 * SECOND;
    assert_true(score(&policy_lru, old, 0, later) > score(&policy_lru, young, 0, later));
    assert_int_equal(policy_lru.idle_ms(NULL, old, later), 20 * SECOND);
}

static void a_clock_read_earlier_by_another_thread_is_no_age(void **state)
{
    (void)state;
    assert_int_equal(policy_lru.idle_ms(NULL, first(&policy_lru, NOW + 20), NOW), 0);
    assert_int_equal(policy_ttl.idle_ms(NULL, first(&policy_ttl, NOW + 20), NOW), 0);
    uint32_t ahead = first(&policy_lfu, NOW + 20 * SECOND);
    assert_int_equal(policy_lfu.frequency(ahead, NOW), 5);
    assert_true(score(&policy_lfu, ahead, 0, NOW) <=
                score(&policy_lfu, first(&policy_lfu, NOW), 0, NOW));
}

static void idle_time_is_kept_by_lru_and_ttl_and_frequency_by_lfu(void **state)
{
    (void)state;
    const struct policy *policies[] = {&policy_lru, &policy_ttl};
    for (size_t i = 0; i < 2; i++) {
        uint32_t word = first(policies[i], NOW);
        for (int64_t idle_ms = 0; idle_ms <= 90 * DAY; idle_ms += 2 * POLICY_SETTLE_MS - 1) {
            const int64_t seen_ms = policies[i]->idle_ms(NULL, word, NOW + idle_ms);
            assert_true(seen_ms >= idle_ms - 4096 && seen_ms <= idle_ms + 4096);
            word = policies[i]->settle(NULL, word, NOW + idle_ms);
            assert_true(word <= POLICY_WORD_MAX);
        }
    }
    assert_int_equal(policy_ttl.idle_ms(NULL, first(&policy_ttl, NOW), NOW + 4000), 4000);
    assert_in_range(policy_lfu.idle_ms(NULL, first(&policy_lfu, NOW), NOW + 4000), 2125, 5625);
    assert_int_equal(policy_lru.frequency(first(&policy_lru, NOW), NOW), -1);
    assert_int_equal(policy_ttl.frequency(first(&policy_ttl, NOW), NOW), -1);
    assert_int_equal(policy_lfu.frequency(first(&policy_lfu, NOW), NOW), 5);
}

static void lfu_counts_the_first_use_always_and_later_ones_ever_more_rarely(void **state)
{
    (void)state;
    uint32_t word = first(&policy_lfu, NOW);
    word = touch(&policy_lfu, word, NOW, NOISE_STAYS);
    assert_int_equal(policy_lfu.frequency(word, NOW), 6);
    word = touch(&policy_lfu, word, NOW, NOISE_STAYS);
    assert_int_equal(policy_lfu.frequency(word, NOW), 6);
    word = touch(&policy_lfu, word, NOW, NOISE_GROWS);
    assert_int_equal(policy_lfu.frequency(word, NOW), 7);
}

static void lfu_saturates_at_255(void **state)
{
    (void)state;
    uint32_t word = first(&policy_lfu, NOW);
    for (int i = 0; i < 300; i++) {
        word = touch(&policy_lfu, word, NOW, NOISE_GROWS);
    }
    assert_int_equal(policy_lfu.frequency(word, NOW), 255);
}

static void lfu_loses_a_point_per_idle_minute(void **state)
{
    (void)state;
    uint32_t word = first(&policy_lfu, NOW);
    for (int i = 0; i < 20; i++) {
        word = touch(&policy_lfu, word, NOW, NOISE_GROWS);
    }
    assert_int_equal(policy_lfu.frequency(word, NOW), 25);
    assert_int_equal(policy_lfu.frequency(word, NOW + 10 * MINUTE), 15);
    assert_int_equal(policy_lfu.frequency(word, NOW + DAY), 0);
}

static void lfu_decay_is_not_lost_by_uses_within_a_minute(void **state)
{
    (void)state;
    uint32_t word = first(&policy_lfu, NOW);
    for (int i = 0; i < 50; i++) {
        word = touch(&policy_lfu, word, NOW, NOISE_GROWS);
    }
    for (int i = 1; i <= 20; i++) { /* every 59 s: about 20 minutes begin */
        word = touch(&policy_lfu, word, NOW + i * 59 * SECOND, NOISE_STAYS);
    }
    assert_in_range(policy_lfu.frequency(word, NOW + 20 * 59 * SECOND), 34, 37);
}

static void lfu_drops_the_rarest_and_of_equals_the_idlest_or_any(void **state)
{
    (void)state;
    uint32_t once = first(&policy_lfu, NOW);
    uint32_t often =
        touch(&policy_lfu, touch(&policy_lfu, once, NOW, NOISE_GROWS), NOW, NOISE_GROWS);
    uint32_t fresh = first(&policy_lfu, NOW + 10 * SECOND);
    int64_t later = NOW + 20 * SECOND;
    assert_true(score(&policy_lfu, once, 0, later) > score(&policy_lfu, often, 0, later));
    assert_true(score(&policy_lfu, once, 0, later) > score(&policy_lfu, fresh, 0, later));
    assert_true(score(&policy_lfu, fresh, 0, later) > score(&policy_lfu, often, 0, later));
    /* That was a draw by idleness. In the others each leaves half of the times, but never before the rarer one. */
    unsigned idler_leaves = 0;
    for (uint64_t noise = 1; noise < 2000; noise += 2) {
        const struct policy_candidate idler = {.word = once, .noise = noise};
        const struct policy_candidate other = {.word = fresh, .noise = noise + 2000};
        const struct policy_candidate used = {.word = often, .noise = noise + 4000};
        const uint64_t score_idler = policy_lfu.score(NULL, &idler, later);
        idler_leaves += score_idler > policy_lfu.score(NULL, &other, later);
        assert_true(score_idler > policy_lfu.score(NULL, &used, later));
    }
    assert_in_range(idler_leaves, 400, 600);
}

static void ttl_drops_the_nearest_expiry(void **state)
{
    (void)state;
    uint32_t word = first(&policy_ttl, NOW);
    uint64_t soon = score(&policy_ttl, word, NOW + SECOND, NOW);
    uint64_t late = score(&policy_ttl, word, NOW + SECOND + 1, NOW);
    uint64_t far = score(&policy_ttl, word, NOW + 40000 * DAY, NOW);
    uint64_t never = score(&policy_ttl, word, 0, NOW);
    assert_true(soon > late);
    assert_true(late > far);
    assert_true(far > never);
}

static void ttl_breaks_ties_by_idleness(void **state)
{
    (void)state;
    uint32_t idle = first(&policy_ttl, NOW);
    uint32_t used = touch(&policy_ttl, idle, NOW + SECOND, 0);
    int64_t later = NOW + 2 * SECOND;
    assert_true(score(&policy_ttl, idle, NOW + DAY, later) >
                score(&policy_ttl, used, NOW + DAY, later));
    assert_true(score(&policy_ttl, idle, 0, later) > score(&policy_ttl, used, 0, later));
    /* ... but idleness never outweighs expiry. */
    assert_true(score(&policy_ttl, used, NOW + DAY, later) >
                score(&policy_ttl, idle, NOW + DAY + 1, later));
    assert_true(score(&policy_ttl, used, NOW + DAY, NOW + 190 * DAY) >
                score(&policy_ttl, idle, 0, NOW + 190 * DAY));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policies_are_found_by_name_in_any_case),
        cmocka_unit_test(every_policy_is_in_the_list_of_names_and_found_by_each_of_its_own),
        cmocka_unit_test(the_names_that_redis_users_know_are_found),
        cmocka_unit_test(volatile_policies_and_ttl_strict_never_drop_what_has_no_expiry),
        cmocka_unit_test(density_knows_idle_times_to_a_minute),
        cmocka_unit_test(density_settles_what_is_idle_for_long),
        cmocka_unit_test(sizes_are_known_to_an_eighth),
        cmocka_unit_test(lru_drops_what_is_idle_longest),
        cmocka_unit_test(lru_order_survives_the_wrap_of_its_clock),
        cmocka_unit_test(a_clock_read_earlier_by_another_thread_is_no_age),
        cmocka_unit_test(idle_time_is_kept_by_lru_and_ttl_and_frequency_by_lfu),
        cmocka_unit_test(lfu_counts_the_first_use_always_and_later_ones_ever_more_rarely),
        cmocka_unit_test(lfu_saturates_at_255),
        cmocka_unit_test(lfu_loses_a_point_per_idle_minute),
        cmocka_unit_test(lfu_decay_is_not_lost_by_uses_within_a_minute),
        cmocka_unit_test(lfu_drops_the_rarest_and_of_equals_the_idlest_or_any),
        cmocka_unit_test(ttl_drops_the_nearest_expiry),
        cmocka_unit_test(ttl_breaks_ties_by_idleness),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
