/* SPDX-License-Identifier: BSD-3-Clause */
/* How long turns take, in bins of an eighth of a power of two. */
#include "server/turns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void each_bin_begins_where_the_one_before_ends_and_is_at_most_an_eighth_wide(void **state)
{
    (void)state;
    uint64_t begin = 0;
    for (unsigned bin = 0; bin < TURNS_BINS - 1; bin++) {
        const uint64_t end = turns_bin_end_us(bin);
        assert_true(end > begin && (begin < TURNS_STEPS || end - begin <= begin / TURNS_STEPS));
        assert_int_equal(turns_bin(begin), bin);
        assert_int_equal(turns_bin(end - 1), bin);
        begin = end;
    }
    assert_int_equal(turns_bin(UINT64_MAX), TURNS_BINS - 1);
}

static void a_percentile_is_of_what_was_counted_between_two_looks(void **state)
{
    (void)state;
    struct turns_sum before = {0};
    struct turns_sum now = {0};
    assert_int_equal(turns_percentile_us(&before, &now, 0.99), -1);
    before.counts[turns_bin(100000)] = 5;
    now = before;
    assert_int_equal(turns_percentile_us(&before, &now, 0.99), -1);
    now.counts[turns_bin(100)] += 98;
    now.counts[turns_bin(3000)] += 2;
    assert_in_range(turns_percentile_us(&before, &now, 0.5), 100, 113);
    assert_in_range(turns_percentile_us(&before, &now, 0.98), 100, 113);
    assert_in_range(turns_percentile_us(&before, &now, 0.99), 3000, 3375);
}

static void on_timer(uv_timer_t *timer)
{
    const uint64_t begin_ns = uv_hrtime();
    while (uv_hrtime() - begin_ns < *(uint64_t *)timer->data) {
    }
}

/* The loop sleeps for 20 ms and is busy for 2: that is the turn. */
static void sleep_is_no_part_of_a_turn(void **state)
{
    (void)state;
    uv_loop_t loop;
    uv_timer_t timer;
    uint64_t busy_ns = 2000000;
    struct turns turns = {0};
    struct turns_sum before = {0};
    struct turns_sum now = {0};
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(uv_loop_configure(&loop, UV_METRICS_IDLE_TIME), 0);
    assert_int_equal(uv_timer_init(&loop, &timer), 0);
    timer.data = &busy_ns;
    turns_end(&turns, &loop, 0);
    assert_int_equal(uv_timer_start(&timer, on_timer, 20, 0), 0);
    const uint64_t begin_ns = uv_hrtime();
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    turns_end(&turns, &loop, 3);
    const uint64_t whole_us = (uv_hrtime() - begin_ns) / 1000;
    turns_add(&turns, &now);
    const int64_t took_us = turns_percentile_us(&before, &now, 0.5);
    uint64_t count = 0;
    for (unsigned i = 0; i < TURNS_BINS; i++) {
        count += now.counts[i];
    }
    assert_int_equal(count, 3);
    assert_true(took_us >= 2000);
    assert_true((uint64_t)took_us < whole_us - 20000 + 1000 + (uint64_t)took_us / TURNS_STEPS);
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_bin_begins_where_the_one_before_ends_and_is_at_most_an_eighth_wide),
        cmocka_unit_test(a_percentile_is_of_what_was_counted_between_two_looks),
        cmocka_unit_test(sleep_is_no_part_of_a_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
