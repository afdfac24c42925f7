/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/histogram.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The middle of the bucket `ns` falls into: a larger and a smaller one keep min and max from correcting it. */
static uint64_t as_recorded(struct histogram *histogram, uint64_t ns)
{
    memset(histogram, 0, sizeof *histogram);
    histogram_record(histogram, 0);
    histogram_record(histogram, ns);
    histogram_record(histogram, HISTOGRAM_MAX_NS * 2);
    return histogram_quantile_ns(histogram, 0.6);
}

static struct histogram *new_histogram(void)
{
    struct histogram *histogram = calloc(1, sizeof *histogram);
    assert_non_null(histogram);
    return histogram;
}

static void every_latency_from_1_us_to_100_s_is_kept_within_one_percent(void **state)
{
    (void)state;
    struct histogram *histogram = new_histogram();
    for (uint64_t ns = 1000; ns <= HISTOGRAM_MAX_NS; ns += ns / 1500 + 1) {
        double kept = (double)as_recorded(histogram, ns);
        if (fabs(kept - (double)ns) > (double)ns / 100) {
            fail_msg("%llu ns came back as %.0f ns", (unsigned long long)ns, kept);
        }
    }
    free(histogram);
}

static void edges_of_powers_of_two_are_kept_within_one_percent(void **state)
{
    (void)state;
    struct histogram *histogram = new_histogram();
    for (unsigned bit = 10; bit <= 36; bit++) {
        for (uint64_t step = 0; step <= 2; step++) {
            uint64_t ns = (1ul << bit) - 1 + step;
            double kept = (double)as_recorded(histogram, ns);
            assert_true(fabs(kept - (double)ns) <= (double)ns / 100);
        }
    }
    free(histogram);
}

static void quantiles_of_a_ramp_are_its_own_numbers(void **state)
{
    (void)state;
    struct histogram *histogram = new_histogram();
    for (uint64_t us = 1; us <= 10000; us++) {
        histogram_record(histogram, us * 1000);
    }
    const double parts[] = {0.01, 0.5, 0.9, 0.95, 0.99, 0.999, 0.9999};
    for (unsigned i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        double wanted = parts[i] * 1e7;
        double found = (double)histogram_quantile_ns(histogram, parts[i]);
        assert_true(fabs(found - wanted) <= wanted / 100);
    }
    assert_int_equal(histogram_quantile_ns(histogram, 1), 10000000);
    assert_int_equal(histogram_quantile_ns(histogram, 0), 1000);
    assert_true(fabs(histogram_mean_ns(histogram) - 5000500) < 1);
    free(histogram);
}

static void one_latency_is_every_quantile_exactly(void **state)
{
    (void)state;
    struct histogram *histogram = new_histogram();
    histogram_record(histogram, 1234567);
    assert_int_equal(histogram_quantile_ns(histogram, 0.5), 1234567);
    assert_int_equal(histogram_quantile_ns(histogram, 0.9999), 1234567);
    free(histogram);
}

static void an_empty_histogram_answers_zero(void **state)
{
    (void)state;
    struct histogram *histogram = new_histogram();
    assert_int_equal(histogram_quantile_ns(histogram, 0.99), 0);
    assert_true(histogram_mean_ns(histogram) >= 0 && histogram_mean_ns(histogram) <= 0);
    free(histogram);
}

static void a_latency_beyond_the_range_still_counts_and_shows_as_the_maximum(void **state)
{
    (void)state;
    struct histogram *histogram = new_histogram();
    histogram_record(histogram, 1000);
    histogram_record(histogram, UINT64_MAX);
    assert_int_equal(histogram->count, 2);
    assert_true(histogram_quantile_ns(histogram, 1) == UINT64_MAX);
    assert_in_range(histogram_quantile_ns(histogram, 0.5), 1000, 1010);
    free(histogram);
}

static void adding_two_histograms_is_recording_both(void **state)
{
    (void)state;
    struct histogram *both = new_histogram();
    struct histogram *odd = new_histogram();
    struct histogram *even = new_histogram();
    for (uint64_t us = 1; us <= 1000; us++) {
        histogram_record(both, us * 1000);
        histogram_record(us % 2 == 0 ? even : odd, us * 1000);
    }
    histogram_add(even, odd);
    assert_memory_equal(even->counts, both->counts, sizeof both->counts);
    assert_int_equal(even->count, both->count);
    assert_int_equal(even->min_ns, 1000);
    assert_int_equal(even->max_ns, 1000000);
    free(both);
    free(odd);
    free(even);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_latency_from_1_us_to_100_s_is_kept_within_one_percent),
        cmocka_unit_test(edges_of_powers_of_two_are_kept_within_one_percent),
        cmocka_unit_test(quantiles_of_a_ramp_are_its_own_numbers),
        cmocka_unit_test(one_latency_is_every_quantile_exactly),
        cmocka_unit_test(an_empty_histogram_answers_zero),
        cmocka_unit_test(a_latency_beyond_the_range_still_counts_and_shows_as_the_maximum),
        cmocka_unit_test(adding_two_histograms_is_recording_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
