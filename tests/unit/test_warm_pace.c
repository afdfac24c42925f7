/* SPDX-License-Identifier: BSD-3-Clause */
/* How fast warming goes: rates, debt of bytes, yielding. The clock is a number. */
#include "tiers/warm_pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum {
    BEGIN_MS = 1000000
};

/* Takes all it may, each `step_ms`, until `ms` have passed; returns how many keys began. */
static unsigned run(struct warm_pace *pace, int64_t *now_ms, int64_t ms, int64_t step_ms)
{
    unsigned taken = 0;
    for (const int64_t end_ms = *now_ms + ms; *now_ms < end_ms;) {
        *now_ms += step_ms;
        const unsigned room = warm_pace_room(pace, 100000, *now_ms);
        warm_pace_take(pace, room);
        taken += room;
    }
    return taken;
}

static void it_keeps_to_its_rate_however_often_it_is_asked(void **state)
{
    (void)state;
    static const int64_t steps_ms[] = {1, 5, 7, 50, 100};
    for (unsigned i = 0; i < sizeof steps_ms / sizeof steps_ms[0]; i++) {
        struct warm_pace pace;
        int64_t now_ms = BEGIN_MS;
        warm_pace_init(&pace, 1000, 0, now_ms);
        assert_int_equal(warm_pace_room(&pace, 100, now_ms), 0); /* nothing is earned yet */
        assert_in_range(run(&pace, &now_ms, 7000, steps_ms[i]), 6998, 7002);
    }
}

static void a_rate_below_one_key_a_burst_goes_on_too(void **state)
{
    (void)state;
    struct warm_pace pace;
    int64_t now_ms = BEGIN_MS;
    warm_pace_init(&pace, 1, 0, now_ms);
    assert_in_range(run(&pace, &now_ms, 20000, 5), 19, 20);
}

static void a_pause_earns_no_more_than_a_burst(void **state)
{
    (void)state;
    struct warm_pace pace;
    warm_pace_init(&pace, 1000, 0, BEGIN_MS);
    assert_int_equal(warm_pace_room(&pace, 100000, BEGIN_MS + 60000), WARM_BURST_MS);
}

static void without_a_limit_all_may_begin(void **state)
{
    (void)state;
    struct warm_pace pace;
    warm_pace_init(&pace, 0, 0, BEGIN_MS);
    assert_int_equal(warm_pace_room(&pace, 12345, BEGIN_MS), 12345);
    warm_pace_take(&pace, 12345);
    assert_int_equal(warm_pace_room(&pace, 12345, BEGIN_MS), 12345);
}

/* A value of a megabyte at 100 KB/s: nothing begins for ten seconds. */
static void bytes_that_came_are_paid_off_before_the_next_key(void **state)
{
    (void)state;
    struct warm_pace pace;
    int64_t now_ms = BEGIN_MS;
    warm_pace_init(&pace, 0, 100000, now_ms);
    now_ms += 50;
    assert_true(warm_pace_room(&pace, 1, now_ms) == 1);
    warm_pace_take(&pace, 1);
    warm_pace_charge(&pace, 1000000);
    while (warm_pace_room(&pace, 1, now_ms) == 0) {
        now_ms += 5;
    }
    assert_in_range(now_ms - BEGIN_MS, 9950, 10060);
}

static void the_mean_of_bytes_is_their_rate(void **state)
{
    (void)state;
    struct warm_pace pace;
    int64_t now_ms = BEGIN_MS;
    uint64_t bytes = 0;
    warm_pace_init(&pace, 0, 500000, now_ms);
    for (const int64_t end_ms = now_ms + 60000; now_ms < end_ms; now_ms += 5) {
        while (warm_pace_room(&pace, 1, now_ms) > 0) {
            warm_pace_take(&pace, 1);
            warm_pace_charge(&pace, 3000);
            bytes += 3000;
        }
    }
    assert_in_range(bytes, 29900000, 30100000);
}

static const struct warm_load well = {
    .p99_us = 500, .p99_target_us = 2000, .l2_us = 800, .l2_target_us = 5000};

/* Tells it so much for so many seconds. */
static double seconds(struct warm_pace *pace, int64_t *now_ms, unsigned count,
                      const struct warm_load *load)
{
    for (unsigned i = 0; i < count; i++) {
        *now_ms += WARM_YIELD_MS;
        assert_true(warm_pace_is_due(pace, *now_ms));
        warm_pace_yield(pace, load, *now_ms);
        assert_false(warm_pace_is_due(pace, *now_ms + WARM_YIELD_MS - 1));
    }
    return warm_pace_factor(pace);
}

static void it_halves_while_the_foreground_suffers_and_comes_back_by_tenths(void **state)
{
    (void)state;
    struct warm_pace pace;
    int64_t now_ms = BEGIN_MS;
    struct warm_load slow = well;
    slow.p99_us = 2001;
    warm_pace_init(&pace, 1000, 0, now_ms);
    assert_float_equal(seconds(&pace, &now_ms, 1, &well), 1, 1e-9);
    assert_float_equal(seconds(&pace, &now_ms, 1, &slow), 0.5, 1e-9);
    assert_float_equal(seconds(&pace, &now_ms, 1, &slow), 0.25, 1e-9);
    assert_in_range(run(&pace, &now_ms, 10000, 5), 2490, 2530);
    assert_float_equal(seconds(&pace, &now_ms, 1, &well), 0.275, 1e-9);
    assert_float_equal(seconds(&pace, &now_ms, 1, &well), 0.3025, 1e-9);
    assert_true(seconds(&pace, &now_ms, 12, &well) < 1);
    assert_float_equal(seconds(&pace, &now_ms, 1, &well), 1, 1e-9);
}

static void it_yields_to_l2_as_to_the_foreground(void **state)
{
    (void)state;
    struct warm_pace pace;
    int64_t now_ms = BEGIN_MS;
    struct warm_load slow = well;
    slow.l2_us = 5001;
    warm_pace_init(&pace, 1000, 0, now_ms);
    assert_float_equal(seconds(&pace, &now_ms, 1, &slow), 0.5, 1e-9);
}

static void it_never_stands_still(void **state)
{
    (void)state;
    struct warm_pace pace;
    int64_t now_ms = BEGIN_MS;
    struct warm_load slow = well;
    slow.p99_us = 1000000;
    warm_pace_init(&pace, 1000, 0, now_ms);
    assert_float_equal(seconds(&pace, &now_ms, 50, &slow), WARM_FACTOR_MIN, 1e-9);
    assert_in_range(run(&pace, &now_ms, 10000, 5), 38, 40);
}

static void what_is_not_known_or_has_no_target_does_not_matter(void **state)
{
    (void)state;
    struct warm_pace pace;
    int64_t now_ms = BEGIN_MS;
    const struct warm_load unknown = {
        .p99_us = -1, .p99_target_us = 1, .l2_us = -1, .l2_target_us = 1};
    const struct warm_load untold = {.p99_us = 1000000, .l2_us = 1000000};
    warm_pace_init(&pace, 1000, 0, now_ms);
    assert_float_equal(seconds(&pace, &now_ms, 3, &unknown), 1, 1e-9);
    assert_float_equal(seconds(&pace, &now_ms, 3, &untold), 1, 1e-9);
}

static void another_rate_takes_the_debt_along(void **state)
{
    (void)state;
    struct warm_pace pace;
    int64_t now_ms = BEGIN_MS + 10;
    warm_pace_init(&pace, 0, 1000, BEGIN_MS);
    assert_int_equal(warm_pace_room(&pace, 1, now_ms), 1);
    warm_pace_charge(&pace, 100000);
    warm_pace_set(&pace, 0, 1000000);
    assert_int_equal(warm_pace_room(&pace, 1, now_ms + 90), 0);
    assert_int_equal(warm_pace_room(&pace, 1, now_ms + 110), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_keeps_to_its_rate_however_often_it_is_asked),
        cmocka_unit_test(a_rate_below_one_key_a_burst_goes_on_too),
        cmocka_unit_test(a_pause_earns_no_more_than_a_burst),
        cmocka_unit_test(without_a_limit_all_may_begin),
        cmocka_unit_test(bytes_that_came_are_paid_off_before_the_next_key),
        cmocka_unit_test(the_mean_of_bytes_is_their_rate),
        cmocka_unit_test(it_halves_while_the_foreground_suffers_and_comes_back_by_tenths),
        cmocka_unit_test(it_yields_to_l2_as_to_the_foreground),
        cmocka_unit_test(it_never_stands_still),
        cmocka_unit_test(what_is_not_known_or_has_no_target_does_not_matter),
        cmocka_unit_test(another_rate_takes_the_debt_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
