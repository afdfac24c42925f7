/* SPDX-License-Identifier: BSD-3-Clause */
/* The record of what was announced last: found, overwritten, told apart. Its price is printed. */
#include "tests/unit/l1_help.h"
#include "tiers/announced.h"

static const struct announcement one = {.after_seq = 41, .node = 7, .at_ms = 5000, .epoch = 3};

static void what_was_put_is_found(void **state)
{
    (void)state;
    struct announced *announced = announced_new();
    struct announcement found;
    assert_non_null(announced);
    assert_false(announced_find(announced, 0, &found)); /* empty, whatever the hash */
    announced_put(announced, 0xabcdef0123456789, &one);
    assert_true(announced_find(announced, 0xabcdef0123456789, &found));
    assert_int_equal(found.after_seq, 41);
    assert_int_equal(found.node, 7);
    assert_int_equal(found.at_ms, 5000);
    assert_int_equal(found.epoch, 3);
    announced_free(announced);
}

static void a_key_of_the_same_slot_is_another_and_takes_its_place(void **state)
{
    (void)state;
    struct announced *announced = announced_new();
    struct announcement found;
    const uint64_t first = 0x10001;
    const uint64_t second = 0x20001;
    announced_put(announced, first, &one);
    assert_false(announced_find(announced, second, &found));
    announced_put(announced, second, &one);
    assert_false(announced_find(announced, first, &found));
    assert_true(announced_find(announced, second, &found));
    announced_free(announced);
}

static void all_bits_of_the_epoch_fit(void **state)
{
    (void)state;
    struct announced *announced = announced_new();
    struct announcement found;
    struct announcement late = one;
    late.epoch = UINT16_MAX;
    announced_put(announced, 0x30002, &late);
    assert_true(announced_find(announced, 0x30002, &found));
    assert_int_equal(found.epoch, UINT16_MAX);
    announced_free(announced);
}

static void it_costs_little(void **state)
{
    (void)state;
    enum {
        TURNS = 1 << 20
    };
    struct announced *announced = announced_new();
    struct timespec began;
    struct timespec ended;
    (void)clock_gettime(CLOCK_MONOTONIC, &began);
    for (uint64_t i = 0; i < TURNS; i++) {
        announced_put(announced, i * UINT64_C(0x9e3779b97f4a7c15), &one);
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &ended);
    const double ns =
        (double)(ended.tv_sec - began.tv_sec) * 1e9 + (double)(ended.tv_nsec - began.tv_nsec);
    print_message("announced_put: %.1f ns each, slots at random\n", ns / TURNS);
    struct announcement found;
    assert_true(announced_find(announced, (TURNS - 1) * UINT64_C(0x9e3779b97f4a7c15), &found));
    announced_free(announced);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_is_found),
        cmocka_unit_test(a_key_of_the_same_slot_is_another_and_takes_its_place),
        cmocka_unit_test(all_bits_of_the_epoch_fit),
        cmocka_unit_test(it_costs_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
