/* SPDX-License-Identifier: BSD-3-Clause */
/* Entries that say that there is nothing take their part of a namespace's memory and no more, at any time. */
#include "tiers/negatives.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum {
    MEMORY = 200000, /* 10000 of it may be negative */
    BYTES = 100
};

static unsigned admitted(struct negatives *negatives, unsigned tries, int64_t now_ms)
{
    unsigned count = 0;
    for (unsigned i = 0; i < tries; i++) {
        count += negatives_admit(negatives, BYTES, MEMORY, now_ms);
    }
    return count;
}

static void a_twentieth_of_the_memory_and_no_more(void **state)
{
    (void)state;
    struct negatives negatives = {0};
    assert_int_equal(admitted(&negatives, 1000, 5), 100);
    assert_int_equal(admitted(&negatives, 1000, 9999), 0);
}

static void what_may_live_yet_counts_and_what_is_gone_does_not(void **state)
{
    (void)state;
    struct negatives negatives = {0};
    const int64_t began_ms = INT64_C(400000000000);
    assert_int_equal(admitted(&negatives, 60, began_ms), 60);
    assert_int_equal(admitted(&negatives, 60, began_ms + 30000), 40);
    assert_int_equal(admitted(&negatives, 60, began_ms + NEGATIVES_LIFE_MS), 0);
    assert_int_equal(admitted(&negatives, 100, began_ms + NEGATIVES_LIFE_MS + NEGATIVES_SLOT_MS),
                     60);
    assert_int_equal(admitted(&negatives, 100, began_ms + 10 * NEGATIVES_LIFE_MS), 100);
}

/* However they come, no minute sees more. */
static void no_minute_sees_more(void **state)
{
    (void)state;
    struct negatives negatives = {0};
    enum {
        STEPS = 4000,
        STEP_MS = 97
    };
    static unsigned at[STEPS];
    for (unsigned i = 0; i < STEPS; i++) {
        at[i] = admitted(&negatives, 1 + i % 5, (int64_t)i * STEP_MS);
        unsigned in_a_minute = 0;
        for (unsigned j = i; j < STEPS && (i - j) * STEP_MS < NEGATIVES_LIFE_MS; j--) {
            in_a_minute += at[j];
        }
        assert_true(in_a_minute <= 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_twentieth_of_the_memory_and_no_more),
        cmocka_unit_test(what_may_live_yet_counts_and_what_is_gone_does_not),
        cmocka_unit_test(no_minute_sees_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
