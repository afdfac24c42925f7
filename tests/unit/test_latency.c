/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/latency.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void samples_of_one_second_become_the_worst_of_them(void **state)
{
    (void)state;
    struct latency *latency = latency_new();
    struct latency_series series;
    latency_note(latency, "command", 100, 7);
    latency_note(latency, "command", 100, 20);
    latency_note(latency, "command", 100, 3);
    latency_note(latency, "command", 101, 5);
    assert_true(latency_read(latency, SLICE_LITERAL("command"), &series));
    assert_int_equal(series.count, 2);
    assert_int_equal(series.samples[0].unix_s, 100);
    assert_int_equal(series.samples[0].ms, 20);
    assert_int_equal(series.samples[1].ms, 5);
    assert_int_equal(series.worst_ms, 20);
    latency_free(latency);
}

static void the_ring_keeps_the_newest_in_order(void **state)
{
    (void)state;
    struct latency *latency = latency_new();
    struct latency_series series;
    latency_note(latency, "command", 1, 9999);
    for (int i = 2; i <= LATENCY_SAMPLES + 10; i++) {
        latency_note(latency, "command", i, (uint64_t)i);
    }
    assert_true(latency_read(latency, SLICE_LITERAL("command"), &series));
    assert_int_equal(series.count, LATENCY_SAMPLES);
    assert_int_equal(series.samples[0].unix_s, 11);
    assert_int_equal(series.samples[LATENCY_SAMPLES - 1].unix_s, LATENCY_SAMPLES + 10);
    assert_int_equal(series.worst_ms, 9999); /* it outlives its sample */
    latency_free(latency);
}

static void unknown_events_have_no_samples(void **state)
{
    (void)state;
    struct latency *latency = latency_new();
    struct latency_series series;
    assert_false(latency_read(latency, SLICE_LITERAL("command"), &series));
    latency_note(latency, "command", 1, 1);
    assert_false(latency_read(latency, SLICE_LITERAL("comman"), &series));
    assert_false(latency_read(latency, SLICE_LITERAL(""), &series));
    latency_free(latency);
}

static void a_reset_event_is_gone_until_it_happens_again(void **state)
{
    (void)state;
    struct latency *latency = latency_new();
    const char *events[LATENCY_EVENTS_MAX];
    struct latency_series series;
    latency_note(latency, "command", 1, 50);
    latency_note(latency, "fast-command", 1, 2);
    assert_int_equal(latency_events(latency, events), 2);
    assert_int_equal(latency_reset(latency, SLICE_LITERAL("nosuch")), 0);
    assert_int_equal(latency_reset(latency, SLICE_LITERAL("command")), 1);
    assert_int_equal(latency_reset(latency, SLICE_LITERAL("command")), 0);
    assert_int_equal(latency_events(latency, events), 1);
    assert_string_equal(events[0], "fast-command");
    latency_note(latency, "command", 2, 4);
    assert_true(latency_read(latency, SLICE_LITERAL("command"), &series));
    assert_int_equal(series.worst_ms, 4);
    assert_int_equal(latency_reset(latency, (struct slice){NULL, 0}), 2);
    assert_int_equal(latency_events(latency, events), 0);
    latency_free(latency);
}

static void events_past_the_limit_are_dropped(void **state)
{
    (void)state;
    static char names[LATENCY_EVENTS_MAX + 4][24];
    struct latency *latency = latency_new();
    const char *events[LATENCY_EVENTS_MAX];
    for (int i = 0; i < LATENCY_EVENTS_MAX + 4; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "event-%d", i);
        latency_note(latency, names[i], 1, 1);
    }
    assert_int_equal(latency_events(latency, events), LATENCY_EVENTS_MAX);
    latency_free(latency);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_of_one_second_become_the_worst_of_them),
        cmocka_unit_test(the_ring_keeps_the_newest_in_order),
        cmocka_unit_test(unknown_events_have_no_samples),
        cmocka_unit_test(a_reset_event_is_gone_until_it_happens_again),
        cmocka_unit_test(events_past_the_limit_are_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
