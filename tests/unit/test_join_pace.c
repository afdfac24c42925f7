/* SPDX-License-Identifier: BSD-3-Clause */
/* server/join_pace.h: how fast a node that comes reads what the lists name. */
#include "server/join_pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static uint64_t rate(double reads_per_s, size_t keys, size_t to_target, int64_t deadline_ms)
{
    return join_pace_until_ready(&(struct join_pace){reads_per_s, keys, to_target, deadline_ms});
}

static void it_is_an_eighth_of_the_reads_where_that_is_in_time(void **state)
{
    (void)state;
    assert_int_equal(rate(40000, 100000, 1000, 30000), 5000);
    assert_int_equal(rate(40000, 100000, 100000, 30000), 5000); /* 100,000 in 20 s */
    assert_int_equal(rate(40000, 100000, 100000, 0), 5000);     /* nobody waits */
}

static void the_nearer_the_deadline_the_faster(void **state)
{
    (void)state;
    assert_int_equal(rate(40000, 200000, 200000, 30000), 10000); /* in two thirds of it */
    assert_int_equal(rate(40000, 200000, 200000, 20000), 15000);
}

static void half_of_the_reads_is_the_most_however_near_it_is(void **state)
{
    (void)state;
    assert_int_equal(rate(40000, 200000, 200000, 15000), 20000);
    assert_int_equal(rate(40000, 200000, 200000, 1), 20000);
}

static void where_nobody_tells_of_reads_it_is_all_in_a_third_of_the_deadline(void **state)
{
    (void)state;
    assert_int_equal(rate(0, 100000, 1000, 30000), 10000);
    assert_int_equal(rate(0, 100000, 1000, 0), JOIN_RATE_LEAST);
}

static void it_is_never_less_than_the_least(void **state)
{
    (void)state;
    assert_int_equal(rate(0, 0, 0, 30000), JOIN_RATE_LEAST);
    assert_int_equal(rate(8, 100000, 100000, 30000), JOIN_RATE_LEAST);
    assert_int_equal(rate(1600, 10, 10, 30000), JOIN_RATE_LEAST);
    assert_int_equal(rate(1608, 10, 10, 30000), 201);
}

static void once_ready_it_leaves_what_the_misses_take_but_half(void **state)
{
    (void)state;
    const struct join_pace pace = {.reads_per_s = 40000, .keys = 10, .to_target = 10};
    assert_int_equal(join_pace_until_ready(&pace), 5000);
    assert_int_equal(join_pace_when_ready(&pace, 0), 5000);
    assert_int_equal(join_pace_when_ready(&pace, 2000), 3000);
    assert_int_equal(join_pace_when_ready(&pace, 2499), 2501);
    assert_int_equal(join_pace_when_ready(&pace, 2600), 2501);
    assert_int_equal(join_pace_when_ready(&pace, UINT32_MAX), 2501);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_an_eighth_of_the_reads_where_that_is_in_time),
        cmocka_unit_test(the_nearer_the_deadline_the_faster),
        cmocka_unit_test(half_of_the_reads_is_the_most_however_near_it_is),
        cmocka_unit_test(where_nobody_tells_of_reads_it_is_all_in_a_third_of_the_deadline),
        cmocka_unit_test(it_is_never_less_than_the_least),
        cmocka_unit_test(once_ready_it_leaves_what_the_misses_take_but_half),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
