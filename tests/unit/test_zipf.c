/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/zipf.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum {
    DRAWS = 400000,
    RANKS = 50,
    SEED = 20240229
};

/* Pearson's chi-squared of the first RANKS ranks and "all others" against the exact probabilities. */
static double chi_squared(uint64_t count, double exponent)
{
    uint64_t seen[RANKS + 1] = {0};
    struct zipf zipf;
    struct rng rng;
    zipf_init(&zipf, count, exponent);
    rng_init(&rng, SEED);
    for (int i = 0; i < DRAWS; i++) {
        uint64_t rank = zipf_next(&zipf, &rng);
        assert_true(rank < count);
        seen[rank < RANKS ? rank : RANKS]++;
    }
    double sum = 0;
    for (uint64_t k = 1; k <= count; k++) {
        sum += pow((double)k, -exponent);
    }
    double rest = 1;
    double result = 0;
    for (unsigned i = 0; i < RANKS; i++) {
        double part = pow(i + 1.0, -exponent) / sum;
        double wanted = part * DRAWS;
        result += ((double)seen[i] - wanted) * ((double)seen[i] - wanted) / wanted;
        rest -= part;
    }
    double wanted = rest * DRAWS;
    return result + ((double)seen[RANKS] - wanted) * ((double)seen[RANKS] - wanted) / wanted;
}

/* 50 degrees of freedom: above 99 with a probability of 0.00005. The seed is fixed, so a failure is a change of code. */
static void assert_fits(uint64_t count, double exponent)
{
    double found = chi_squared(count, exponent);
    if (!(found < 99)) {
        fail_msg("count %llu exponent %g: chi squared %.1f", (unsigned long long)count, exponent,
                 found);
    }
}

static void drawn_ranks_fit_the_exact_distribution_for_gentle_and_steep_exponents(void **state)
{
    (void)state;
    assert_fits(10000, 0.5);
    assert_fits(10000, 0.99);
    assert_fits(10000, 1.3);
    assert_fits(1000, 2.0);
}

static void an_exponent_of_exactly_one_is_no_special_case(void **state)
{
    (void)state;
    assert_fits(10000, 1.0);
    assert_fits(10000, 1.0 + 1e-12);
}

static void exponent_zero_is_uniform(void **state)
{
    (void)state;
    assert_fits(100, 0);
}

static void draws_of_0_90_do_not_pass_for_0_99(void **state)
{
    (void)state;
    /* The draws must tell exponents apart that are this close, or a fit would mean nothing. */
    uint64_t seen = 0;
    struct zipf zipf;
    struct rng rng;
    zipf_init(&zipf, 10000, 0.9);
    rng_init(&rng, SEED);
    for (int i = 0; i < DRAWS; i++) {
        seen += zipf_next(&zipf, &rng) == 0;
    }
    double sum_wrong = 0;
    for (uint64_t k = 1; k <= 10000; k++) {
        sum_wrong += pow((double)k, -0.99);
    }
    double wanted_if_steeper = DRAWS / sum_wrong;
    assert_true(fabs((double)seen - wanted_if_steeper) > 5 * sqrt(wanted_if_steeper));
}

static void one_key_is_always_rank_zero(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, SEED);
    for (int half = 0; half < 10; half++) {
        struct zipf zipf;
        zipf_init(&zipf, 1, half / 2.0);
        for (int i = 0; i < 1000; i++) {
            assert_int_equal(zipf_next(&zipf, &rng), 0);
        }
    }
}

static void ranks_stay_in_range_for_huge_counts_and_extreme_exponents(void **state)
{
    (void)state;
    const double exponents[] = {1e-6, 0.2, 1, 3, 30, 100};
    struct rng rng;
    rng_init(&rng, SEED);
    for (unsigned i = 0; i < sizeof exponents / sizeof exponents[0]; i++) {
        struct zipf zipf;
        zipf_init(&zipf, 1000000000000ull, exponents[i]);
        for (int j = 0; j < 20000; j++) {
            assert_true(zipf_next(&zipf, &rng) < 1000000000000ull);
        }
    }
}

static void the_same_seed_draws_the_same_ranks(void **state)
{
    (void)state;
    struct zipf zipf;
    struct rng first;
    struct rng second;
    zipf_init(&zipf, 1000000, 0.99);
    rng_init(&first, 7);
    rng_init(&second, 7);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(zipf_next(&zipf, &first), zipf_next(&zipf, &second));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drawn_ranks_fit_the_exact_distribution_for_gentle_and_steep_exponents),
        cmocka_unit_test(an_exponent_of_exactly_one_is_no_special_case),
        cmocka_unit_test(exponent_zero_is_uniform),
        cmocka_unit_test(draws_of_0_90_do_not_pass_for_0_99),
        cmocka_unit_test(one_key_is_always_rank_zero),
        cmocka_unit_test(ranks_stay_in_range_for_huge_counts_and_extreme_exponents),
        cmocka_unit_test(the_same_seed_draws_the_same_ranks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
