/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/sampler.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void a_steady_counter_has_its_rate(void **state)
{
    (void)state;
    struct sampler *sampler = sampler_new();
    for (int i = 0; i <= SAMPLER_INTERVALS; i++) {
        sampler_note(sampler, SAMPLE_COMMANDS, 1000 + i * 100, 5000 + (uint64_t)i * 50);
    }
    assert_int_equal(sampler_rate(sampler, SAMPLE_COMMANDS), 500);
    assert_int_equal(sampler_rate(sampler, SAMPLE_BYTES_IN), 0);
    sampler_free(sampler);
}

static void the_first_reading_is_not_a_rate(void **state)
{
    (void)state;
    struct sampler *sampler = sampler_new();
    sampler_note(sampler, SAMPLE_COMMANDS, 1000, 1000000);
    assert_int_equal(sampler_rate(sampler, SAMPLE_COMMANDS), 0);
    sampler_free(sampler);
}

static void a_rate_falls_to_zero_when_nothing_happens(void **state)
{
    (void)state;
    struct sampler *sampler = sampler_new();
    sampler_note(sampler, SAMPLE_COMMANDS, 1000, 0);
    sampler_note(sampler, SAMPLE_COMMANDS, 1100, 1600);
    assert_int_equal(sampler_rate(sampler, SAMPLE_COMMANDS), 1000);
    for (int i = 0; i < SAMPLER_INTERVALS; i++) {
        sampler_note(sampler, SAMPLE_COMMANDS, 1200 + i * 100, 1600);
    }
    assert_int_equal(sampler_rate(sampler, SAMPLE_COMMANDS), 0);
    sampler_free(sampler);
}

static void a_late_reading_counts_the_time_it_took(void **state)
{
    (void)state;
    struct sampler *sampler = sampler_new();
    sampler_note(sampler, SAMPLE_COMMANDS, 1000, 0);
    sampler_note(sampler, SAMPLE_COMMANDS, 3000, 3200);            /* 1600 per second */
    assert_int_equal(sampler_rate(sampler, SAMPLE_COMMANDS), 100); /* one of 16 */
    sampler_note(sampler, SAMPLE_COMMANDS, 3000, 9999);            /* no time passed: no rate */
    assert_int_equal(sampler_rate(sampler, SAMPLE_COMMANDS), 100);
    sampler_free(sampler);
}

static void memory_peak_only_rises_until_reset(void **state)
{
    (void)state;
    struct sampler *sampler = sampler_new();
    struct totals zero = {.l1.bytes_used = 30};
    sampler_note_memory(sampler, 100);
    sampler_note_memory(sampler, 50);
    assert_int_equal(sampler_memory_peak(sampler), 100);
    sampler_set_zero(sampler, &zero);
    assert_int_equal(sampler_memory_peak(sampler), 30);
    sampler_free(sampler);
}

static void the_zero_is_kept(void **state)
{
    (void)state;
    struct sampler *sampler = sampler_new();
    struct totals zero = {.l1.evictions = 7};
    struct totals read = {0};
    zero.metrics[M_COMMANDS] = 42;
    sampler_zero(sampler, &read);
    assert_int_equal(read.metrics[M_COMMANDS], 0);
    sampler_set_zero(sampler, &zero);
    sampler_zero(sampler, &read);
    assert_int_equal(read.metrics[M_COMMANDS], 42);
    assert_int_equal(read.l1.evictions, 7);
    sampler_free(sampler);
}

static void a_loop_is_busy_when_it_does_not_wait(void **state)
{
    (void)state;
    const uint64_t second_ns = 1000000000;
    struct sampler *sampler = sampler_new();
    double ratio = -1;
    sampler_note_idle(sampler, 0, second_ns, 1000);
    assert_false(sampler_busy(sampler, 0, &ratio));
    sampler_note_idle(sampler, 0, second_ns + second_ns / 10, 2000); /* too soon to say */
    assert_false(sampler_busy(sampler, 0, &ratio));
    sampler_note_idle(sampler, 0, 2 * second_ns, 1000 + second_ns / 4);
    assert_true(sampler_busy(sampler, 0, &ratio));
    assert_true(ratio > 0.749 && ratio < 0.751);
    sampler_note_idle(sampler, 0, 3 * second_ns, 1000 + second_ns / 4 + 2 * second_ns);
    assert_true(sampler_busy(sampler, 0, &ratio));
    assert_true(ratio == 0);
    assert_false(sampler_busy(sampler, 1, &ratio));
    assert_false(sampler_busy(sampler, 100000, &ratio));
    sampler_free(sampler);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_steady_counter_has_its_rate),
        cmocka_unit_test(the_first_reading_is_not_a_rate),
        cmocka_unit_test(a_rate_falls_to_zero_when_nothing_happens),
        cmocka_unit_test(a_late_reading_counts_the_time_it_took),
        cmocka_unit_test(memory_peak_only_rises_until_reset),
        cmocka_unit_test(the_zero_is_kept),
        cmocka_unit_test(a_loop_is_busy_when_it_does_not_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
