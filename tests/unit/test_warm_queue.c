/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/unit/seed_help.h"
#include "tiers/base/rand.h"
#include "tiers/warm_queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    CHUNK = 256
};

static void push(struct warm_queue *queue, struct warm_entry *entry, int64_t now_ms)
{
    assert_int_equal(warm_queue_push(queue, entry, now_ms), OK);
}

/* Serves the first for a chunk, which takes no time. */
static struct warm_entry *serve(struct warm_queue *queue, int64_t now_ms)
{
    struct warm_entry *first = warm_queue_pop(queue, now_ms);
    assert_non_null(first);
    first->served += CHUNK;
    push(queue, first, now_ms);
    return first;
}

static void the_highest_priority_goes_first(void **state)
{
    (void)state;
    struct warm_queue queue = {0};
    struct warm_entry entries[10] = {{0}};
    for (int i = 0; i < 10; i++) {
        entries[i].id = (uint64_t)i;
        entries[i].priority = i * 7 % 10;
        push(&queue, &entries[i], 1000);
    }
    for (int priority = 9; priority >= 0; priority--) {
        assert_int_equal(warm_queue_pop(&queue, 1000)->priority, priority);
    }
    assert_null(warm_queue_pop(&queue, 1000));
    warm_queue_done(&queue);
}

static void a_minute_of_waiting_is_worth_one(void **state)
{
    (void)state;
    struct warm_queue queue = {0};
    struct warm_entry old = {.id = 1, .priority = 3};
    struct warm_entry urgent = {.id = 2, .priority = 4};
    push(&queue, &old, 0);
    assert_int_equal(warm_entry_effective(&old, WARM_AGE_MS - 1), 3);
    assert_int_equal(warm_entry_effective(&old, WARM_AGE_MS), 4);
    push(&queue, &urgent, 2 * WARM_AGE_MS);
    assert_ptr_equal(warm_queue_pop(&queue, 2 * WARM_AGE_MS), &old);
    assert_int_equal(warm_entry_effective(&old, 100 * WARM_AGE_MS), 5); /* it waits no longer */
    warm_queue_done(&queue);
}

static void of_equals_the_sooner_deadline_then_the_least_served_then_the_older_goes_first(
    void **state)
{
    (void)state;
    struct warm_queue queue = {0};
    struct warm_entry late = {.id = 1, .deadline_ms = 9000};
    struct warm_entry soon = {.id = 2, .deadline_ms = 5000};
    struct warm_entry served = {.id = 3, .served = 10};
    struct warm_entry younger = {.id = 4, .submitted_ms = 7};
    struct warm_entry older = {.id = 5, .submitted_ms = 6};
    struct warm_entry *all[] = {&late, &served, &younger, &older, &soon};
    struct warm_entry *order[] = {&soon, &late, &older, &younger, &served};
    for (int i = 0; i < 5; i++) {
        push(&queue, all[i], 1000);
    }
    for (int i = 0; i < 5; i++) {
        assert_ptr_equal(warm_queue_pop(&queue, 1000), order[i]);
    }
    warm_queue_done(&queue);
}

static void equals_take_turns_however_late_one_comes(void **state)
{
    (void)state;
    struct warm_queue queue = {0};
    struct warm_entry first = {.id = 1};
    struct warm_entry second = {.id = 2};
    push(&queue, &first, 0);
    for (int i = 0; i < 1000; i++) {
        assert_ptr_equal(serve(&queue, 0), &first);
    }
    push(&queue, &second, 0);
    uint64_t turns[2] = {0};
    for (int i = 0; i < 100; i++) {
        turns[serve(&queue, 0) == &second]++;
    }
    assert_in_range(turns[0], 49, 51);
    assert_in_range(turns[1], 49, 51);
    warm_queue_done(&queue);
}

/* Urgent jobs come all the time, each with as many chunks as fill the time until the next. */
static void nothing_starves(void **state)
{
    (void)state;
    enum {
        STEP_MS = 1000,
        STEPS = 3600
    };
    struct warm_queue queue = {0};
    struct warm_entry humble = {.id = 1};
    struct warm_entry *urgent = calloc(STEPS, sizeof(*urgent));
    int64_t served_at_ms = -1;
    unsigned served = 0;
    assert_non_null(urgent);
    push(&queue, &humble, 0);
    for (int i = 0; i < STEPS; i++) {
        const int64_t now_ms = (int64_t)i * STEP_MS;
        urgent[i] =
            (struct warm_entry){.id = (uint64_t)i + 2, .priority = 9, .submitted_ms = now_ms};
        push(&queue, &urgent[i], now_ms);
        struct warm_entry *first = warm_queue_pop(&queue, now_ms);
        if (first == &humble) {
            served_at_ms = served_at_ms < 0 ? now_ms : served_at_ms;
            served++;
            push(&queue, first, now_ms);
        }
    }
    assert_in_range(served_at_ms, 9 * WARM_AGE_MS, 10 * WARM_AGE_MS + STEP_MS);
    assert_true(served > 1); /* and it does not begin to wait anew */
    warm_queue_done(&queue);
    free(urgent);
}

/* Against a list that is searched each time. */
static void it_agrees_with_a_plain_search(void **state)
{
    (void)state;
    enum {
        ENTRIES = 64,
        STEPS = 20000
    };
    struct rand rand;
    struct warm_queue queue = {0};
    struct warm_entry entries[ENTRIES] = {{0}};
    int64_t now_ms = 1;
    rand_seed(&rand, help_seed());
    for (int step = 0; step < STEPS; step++) {
        struct warm_entry *entry = &entries[rand_below(&rand, ENTRIES)];
        now_ms += (int64_t)rand_below(&rand, 3000);
        if (entry->place == 0) {
            *entry = (struct warm_entry){.id = (uint64_t)(entry - entries),
                                         .priority = (int)rand_below(&rand, 10),
                                         .deadline_ms = (int64_t)rand_below(&rand, 3),
                                         .served = rand_below(&rand, 4),
                                         .submitted_ms = (int64_t)rand_below(&rand, 4)};
            push(&queue, entry, now_ms);
        } else if (rand_below(&rand, 2) == 0) {
            warm_queue_remove(&queue, entry, now_ms);
        } else {
            int best = -1;
            for (int i = 0; i < ENTRIES; i++) {
                const int effective = warm_entry_effective(&entries[i], now_ms);
                best = entries[i].place != 0 && effective > best ? effective : best;
            }
            const struct warm_entry *first = warm_queue_pop(&queue, now_ms);
            assert_int_equal(warm_entry_effective(first, now_ms), best);
        }
    }
    warm_queue_done(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_highest_priority_goes_first),
        cmocka_unit_test(a_minute_of_waiting_is_worth_one),
        cmocka_unit_test(
            of_equals_the_sooner_deadline_then_the_least_served_then_the_older_goes_first),
        cmocka_unit_test(equals_take_turns_however_late_one_comes),
        cmocka_unit_test(nothing_starves),
        cmocka_unit_test(it_agrees_with_a_plain_search),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
