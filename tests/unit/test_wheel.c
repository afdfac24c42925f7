/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/wheel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum {
    TIMERS = 500,
    STEPS = 20000
};

static void a_timer_fires_when_it_is_due_and_once(void **state)
{
    (void)state;
    struct wheel wheel;
    struct timer timer = {0};
    wheel_init(&wheel, 5000);
    assert_true(wheel_next_ms(&wheel) == INT64_MAX);
    wheel_set(&wheel, &timer, 5007);
    assert_true(wheel_next_ms(&wheel) == 5007);
    assert_null(wheel_turn(&wheel, 5006));
    assert_ptr_equal(wheel_turn(&wheel, 5007), &timer);
    assert_false(timer_is_set(&timer));
    assert_null(wheel_turn(&wheel, 5007));
    assert_null(wheel_turn(&wheel, 9000));
    assert_true(wheel_next_ms(&wheel) == INT64_MAX);
}

static void what_is_due_already_fires_in_the_next_turn(void **state)
{
    (void)state;
    struct wheel wheel;
    struct timer timer = {0};
    wheel_init(&wheel, 5000);
    wheel_set(&wheel, &timer, 17);
    assert_true(wheel_next_ms(&wheel) == 5001);
    assert_ptr_equal(wheel_turn(&wheel, 5001), &timer);
}

static void a_timer_many_turns_away_fires_then_and_not_before(void **state)
{
    (void)state;
    struct wheel wheel;
    struct timer timer = {0};
    const int64_t due_ms = 5000 + 7 * WHEEL_SLOTS + 3;
    wheel_init(&wheel, 5000);
    wheel_set(&wheel, &timer, due_ms);
    int64_t now_ms = 5000;
    int wakes = 0;
    while (now_ms < due_ms) {
        assert_null(wheel_turn(&wheel, now_ms));
        now_ms = wheel_next_ms(&wheel);
        assert_true(now_ms <= due_ms);
        wakes++;
    }
    assert_true(wakes <= 9); /* once per turn, not per millisecond */
    assert_ptr_equal(wheel_turn(&wheel, now_ms), &timer);
}

static void after_a_long_sleep_all_that_are_due_fire(void **state)
{
    (void)state;
    struct wheel wheel;
    struct timer timers[3] = {{0}};
    wheel_init(&wheel, 0);
    wheel_set(&wheel, &timers[0], 10);
    wheel_set(&wheel, &timers[1], 5000);
    wheel_set(&wheel, &timers[2], 2000000);
    int fired = 0;
    while (wheel_turn(&wheel, 1000000) != NULL) {
        fired++;
    }
    assert_int_equal(fired, 2);
    assert_true(timer_is_set(&timers[2]));
}

/* Against the plain rule: whatever is set and due fires, nothing else does. */
static void any_sequence_of_sets_and_clears_fires_what_is_due(void **state)
{
    (void)state;
    static struct timer timers[TIMERS];
    static int64_t due_ms[TIMERS]; /* 0: not set */
    struct wheel wheel;
    int64_t now_ms = 1000;
    srand(7);
    wheel_init(&wheel, now_ms);
    for (int step = 0; step < STEPS; step++) {
        const int i = rand() % TIMERS;
        if (rand() % 3 != 0) {
            due_ms[i] = now_ms + rand() % (rand() % 5 == 0 ? 5000 : 50);
            wheel_set(&wheel, &timers[i], due_ms[i]);
        } else {
            due_ms[i] = 0;
            wheel_clear(&timers[i]);
        }
        if (rand() % 4 == 0) {
            now_ms += rand() % 100 == 0 ? 3000 : 1 + rand() % 5;
            struct timer *fired;
            while ((fired = wheel_turn(&wheel, now_ms)) != NULL) {
                const ptrdiff_t which = fired - timers;
                assert_true(due_ms[which] != 0 && due_ms[which] <= now_ms);
                due_ms[which] = 0;
            }
            for (int j = 0; j < TIMERS; j++) {
                assert_true(due_ms[j] == 0 || due_ms[j] > now_ms);
                assert_true(due_ms[j] == 0 || wheel_next_ms(&wheel) <= due_ms[j]);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_timer_fires_when_it_is_due_and_once),
        cmocka_unit_test(what_is_due_already_fires_in_the_next_turn),
        cmocka_unit_test(a_timer_many_turns_away_fires_then_and_not_before),
        cmocka_unit_test(after_a_long_sleep_all_that_are_due_fire),
        cmocka_unit_test(any_sequence_of_sets_and_clears_fires_what_is_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
