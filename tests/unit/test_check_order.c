/* SPDX-License-Identifier: BSD-3-Clause */
/* Stairs and spans against plain lists that are searched from end to end. */
#include "client/check/order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum {
    ROUNDS = 300,
    ITEMS = 120
};

#define FOREVER (1ull << 62)

static uint64_t draw(unsigned *seed, uint64_t below)
{
    return (uint64_t)rand_r(seed) % below;
}

static void the_first_step_above_is_the_earliest_of_all(void **state)
{
    (void)state;
    unsigned seed = 1;
    for (int round = 0; round < ROUNDS; round++) {
        struct stairs stairs = {0};
        struct step all[ITEMS];
        uint64_t now_ns = 100;
        for (uint32_t count = 0; count < ITEMS; count++) {
            now_ns += draw(&seed, 10);
            all[count] = (struct step){
                .completed_ns = now_ns, .low_ns = now_ns - draw(&seed, 60), .value = count};
            assert_int_equal(stairs_push(&stairs, all[count], 0), OK);
            uint64_t high_ns = draw(&seed, now_ns);
            uint64_t time_ns = draw(&seed, now_ns + 10);
            const struct step *expected = NULL;
            uint64_t low_ns = 0;
            for (uint32_t i = 0; i <= count; i++) {
                if (expected == NULL && all[i].low_ns > high_ns) {
                    expected = &all[i];
                }
                if (all[i].completed_ns < time_ns && all[i].low_ns > low_ns) {
                    low_ns = all[i].low_ns;
                }
            }
            const struct step *found = stairs_above(&stairs, high_ns);
            assert_int_equal(found == NULL, expected == NULL);
            assert_true(found == NULL || found->completed_ns == expected->completed_ns);
            assert_int_equal(stairs_low(&stairs, time_ns), low_ns);
        }
        stairs_done(&stairs);
    }
}

static void of_old_steps_the_newest_stays(void **state)
{
    (void)state;
    struct stairs stairs = {0};
    assert_null(stairs_above(&stairs, 0));
    for (uint64_t i = 1; i <= 1000; i++) {
        const struct step step = {.completed_ns = i * 10, .low_ns = i * 10 - 1, .value = i};
        assert_int_equal(stairs_push(&stairs, step, i * 10 > 95 ? i * 10 - 95 : 0), OK);
    }
    assert_int_equal(stairs.count, 11); /* nine and one within 95, and the newest before */
    assert_in_range(stairs.capacity, 1, 64);
    assert_int_equal(stairs_above(&stairs, 5)->completed_ns, 9900);
    stairs_done(&stairs);
}

struct list {
    struct span spans[ITEMS];
    uint32_t count;
};

static void check_spans(const struct spans *spans, const struct list *list, unsigned *seed)
{
    uint64_t time_ns = draw(seed, 3000);
    uint64_t floor_ns = draw(seed, 3000);
    uint64_t most_ns = 0;
    uint64_t low_ns = FOREVER;
    for (uint32_t i = 0; i < list->count; i++) {
        const struct span *span = &list->spans[i];
        if (span->low_ns <= time_ns && span->high_ns > most_ns) {
            most_ns = span->high_ns;
        }
        if (span->high_ns >= floor_ns && span->low_ns < low_ns) {
            low_ns = span->low_ns;
        }
    }
    assert_int_equal(spans_most(spans, time_ns), most_ns);
    assert_int_equal(spans_low(spans, floor_ns), floor_ns == 0 || low_ns == FOREVER ? 0 : low_ns);
}

static void spans_answer_as_a_list_would(void **state)
{
    (void)state;
    unsigned seed = 2;
    for (int round = 0; round < ROUNDS; round++) {
        struct spans spans = {0};
        struct list list = {.count = 0};
        uint64_t now_ns = 0;
        while (list.count < ITEMS) {
            now_ns += draw(&seed, 30);
            struct span span = {
                .low_ns = now_ns + draw(&seed, 80), .high_ns = FOREVER, .value = list.count + 1};
            assert_int_equal(spans_add(&spans, span), OK);
            list.spans[list.count++] = span;
            struct span *ended = &list.spans[draw(&seed, list.count)];
            if (draw(&seed, 4) != 0) {
                ended->high_ns = draw(&seed, 5) == 0 ? 0 : ended->low_ns + draw(&seed, 50);
                spans_set_high(&spans, ended->low_ns, ended->value, ended->high_ns);
            }
            check_spans(&spans, &list, &seed);
        }
        spans_done(&spans);
    }
}

static void spans_that_ended_before_are_dropped_from_the_front(void **state)
{
    (void)state;
    struct spans spans = {0};
    for (uint64_t i = 1; i <= 10; i++) {
        const struct span span = {.low_ns = i * 10, .high_ns = i * 10 + 5, .value = i};
        assert_int_equal(spans_add(&spans, span), OK);
    }
    spans_trim(&spans, 46);
    assert_int_equal(spans.count, 6);
    assert_int_equal(spans_low(&spans, 1), 50);
    assert_int_equal(spans_most(&spans, 1000), 105);
    spans_trim(&spans, 1000);
    assert_int_equal(spans.count, 0);
    assert_int_equal(spans_most(&spans, 1000), 0);
    spans_done(&spans);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_step_above_is_the_earliest_of_all),
        cmocka_unit_test(of_old_steps_the_newest_stays),
        cmocka_unit_test(spans_answer_as_a_list_would),
        cmocka_unit_test(spans_that_ended_before_are_dropped_from_the_front),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
