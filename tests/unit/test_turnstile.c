/* SPDX-License-Identifier: BSD-3-Clause */
/* tiers/turnstile.h */
#include "tiers/turnstile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static unsigned passed(struct turnstile *turnstile)
{
    unsigned count = 0;
    while (turnstile_pass(turnstile)) {
        count++;
    }
    return count;
}

static int64_t learn(struct turnstile *turnstile, unsigned reads_per_tick)
{
    int64_t now_ms = 1000;
    for (int i = 0; i < 400; i++, now_ms += 100) {
        turnstile_tick(turnstile, reads_per_tick, true, now_ms);
    }
    return now_ms;
}

static void half_more_than_usual_pass(void **state)
{
    (void)state;
    struct turnstile turnstile = {.percent = 150};
    int64_t now_ms = learn(&turnstile, 200);
    for (int i = 0; i < 10; i++, now_ms += 100) {
        turnstile_tick(&turnstile, 300, false, now_ms);
        const unsigned count = passed(&turnstile);
        assert_true(count >= 297 && count <= 300);
    }
}

static void where_little_is_usual_some_pass(void **state)
{
    (void)state;
    struct turnstile turnstile = {.percent = 150};
    turnstile_tick(&turnstile, 0, true, learn(&turnstile, 0));
    assert_int_equal(passed(&turnstile), TURNSTILE_LEAST / 10);
}

static void what_was_not_used_is_not_saved_up(void **state)
{
    (void)state;
    struct turnstile turnstile = {.percent = 150};
    const int64_t now_ms = learn(&turnstile, 200);
    turnstile_tick(&turnstile, 0, false, now_ms);
    turnstile_tick(&turnstile, 0, false, now_ms + 10000);
    assert_true(passed(&turnstile) <= 300);
    turnstile_tick(&turnstile, 0, false, now_ms + 10010);
    assert_true(passed(&turnstile) <= 30);
}

static void what_comes_while_it_returns_is_not_taken_for_usual(void **state)
{
    (void)state;
    struct turnstile turnstile = {.percent = 150};
    int64_t now_ms = learn(&turnstile, 200);
    for (int i = 0; i < 400; i++, now_ms += 100) {
        turnstile_tick(&turnstile, i < 100 ? 0 : 900, false, now_ms);
    }
    assert_true(passed(&turnstile) <= 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_more_than_usual_pass),
        cmocka_unit_test(where_little_is_usual_some_pass),
        cmocka_unit_test(what_was_not_used_is_not_saved_up),
        cmocka_unit_test(what_comes_while_it_returns_is_not_taken_for_usual),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
