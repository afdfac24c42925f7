/* SPDX-License-Identifier: BSD-3-Clause */
/* The row of reads in front of L2 when it has just come back (tiers/flight_row.c). */
#include "tests/unit/window_help.h"

enum {
    LEAST = TURNSTILE_LEAST * TURNSTILE_TICK_MS / 1000, /* of a tick; nothing is usual here */
    MORE = 10,
    ALL = LEAST + MORE
};

static void come_back(struct stage *stage)
{
    tiers_set_l2_up(stage->tiers, true, HELP_NOW - 3000);
    tiers_set_l2_up(stage->tiers, false, HELP_NOW - 2000);
    tiers_set_l2_up(stage->tiers, true, HELP_NOW);
    tiers_window_return_load(stage->window, 150);
}

static void open_returning(struct stage *stage, const struct namespace_spec *spec)
{
    stage_open(stage, spec, 1);
    come_back(stage);
}

static void ask_all(struct stage *stage, struct reading *asked, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "key%u", i);
        assert_int_equal(ask(stage, &asked[i], name), PENDING);
    }
}

/* Questions that went out since the last look. */
static unsigned sent(struct stage *stage)
{
    static const char get[] = "$3\r\nGET\r\n";
    struct buf written = help_written(&stage->roof);
    unsigned count = 0;
    for (size_t at = 0; at + sizeof get - 1 <= written.size; at++) {
        count += memcmp(written.data + at, get, sizeof get - 1) == 0;
    }
    buf_done(&written);
    return count;
}

static void answer(struct stage *stage, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        HELP_SAY(&stage->roof, ":-1\r\n$1\r\nv\r\n");
    }
}

static void so_many_go_at_once_and_the_others_with_the_next_tick(void **state)
{
    (void)state;
    const struct namespace_spec spec = spec_of("default", "", 1000);
    struct stage stage;
    struct reading asked[ALL];
    open_returning(&stage, &spec);
    (void)sent(&stage);
    ask_all(&stage, asked, 0, ALL);
    assert_int_equal(sent(&stage), LEAST);
    assert_int_equal(metrics_read(&stage.metrics, M_READS_IN_ROW), MORE);
    tiers_window_tick(stage.window, HELP_NOW + TURNSTILE_TICK_MS);
    assert_int_equal(sent(&stage), MORE);
    answer(&stage, ALL);
    for (unsigned i = 0; i < ALL; i++) {
        expect_ended(&asked[i], "v");
    }
    stage_done(&stage);
}

static void nobody_overtakes_who_waits(void **state)
{
    (void)state;
    const struct namespace_spec spec = spec_of("default", "", 1000);
    struct stage stage;
    struct reading asked[3 * LEAST];
    open_returning(&stage, &spec);
    ask_all(&stage, asked, 0, 2 * LEAST + MORE);
    (void)sent(&stage);
    tiers_window_tick(stage.window, HELP_NOW + TURNSTILE_TICK_MS);
    assert_int_equal(sent(&stage), LEAST);
    ask_all(&stage, asked, 2 * LEAST + MORE, 3 * LEAST);
    assert_int_equal(sent(&stage), 0);
    answer(&stage, 2 * LEAST);
    assert_int_equal(asked[2 * LEAST - 1].ends, 1);
    assert_int_equal(asked[2 * LEAST].ends, 0);
    tiers_window_tick(stage.window, HELP_NOW + 2 * TURNSTILE_TICK_MS);
    assert_int_equal(sent(&stage), LEAST);
    answer(&stage, LEAST);
    expect_ended(&asked[3 * LEAST - 1], "v");
    stage_done(&stage);
}

static void who_waits_for_too_long_is_told_so_and_asks_nothing(void **state)
{
    (void)state;
    const struct namespace_spec spec = spec_of("default", "", 1000);
    struct stage stage;
    struct reading asked[ALL];
    open_returning(&stage, &spec);
    ask_all(&stage, asked, 0, LEAST);
    tiers_window_timeouts(stage.window, TURNSTILE_TICK_MS, 2000);
    ask_all(&stage, asked, LEAST, ALL);
    (void)sent(&stage);
    tiers_window_tick(stage.window, HELP_NOW + TURNSTILE_TICK_MS);
    assert_int_equal(sent(&stage), 0);
    for (unsigned i = LEAST; i < ALL; i++) {
        assert_int_equal(asked[i].ends, 1);
        assert_int_equal(asked[i].status, L2_DOWN);
    }
    assert_int_equal(asked[0].ends, 0);
    stage_done(&stage);
}

static void what_may_be_older_is_served_in_place_of_waiting(void **state)
{
    (void)state;
    struct namespace_spec spec = spec_of("default", "", 1000);
    spec.settings.mode =
        (struct namespace_mode){.kind = NAMESPACE_AVAILABLE, .bound_ms = 1000, .grace_ms = 60000};
    struct stage stage;
    struct reading asked[ALL + 1];
    stage_open(&stage, &spec, 1);
    assert_int_equal(ask(&stage, &asked[ALL], "kept"), PENDING);
    answer(&stage, 1);
    come_back(&stage);
    atomic_store(&stage.view->plain.floor_ms, HELP_NOW + 1); /* what was read before is a suspect */
    prove(&stage, HELP_NOW + 1);
    (void)sent(&stage);
    ask_all(&stage, asked, 0, LEAST);
    assert_int_equal(sent(&stage), LEAST);
    assert_int_equal(ask(&stage, &asked[ALL], "kept"), OK);
    ask_all(&stage, asked, LEAST, ALL);
    assert_int_equal(sent(&stage), 0);
    stage_done(&stage);
}

static void reads_in_the_background_stand_back(void **state)
{
    (void)state;
    const struct namespace_spec spec = spec_of("default", "", 1000);
    struct stage stage;
    struct reading asked[ALL];
    struct reading quiet = {.reader = {.on_value = on_value, .in_background = true}};
    struct l1_value value = {0};
    bool foreign = false;
    open_returning(&stage, &spec);
    ask_all(&stage, asked, 0, ALL);
    struct ns_key key = namespaces_key(stage.namespaces, 0, slice_of("other"));
    assert_int_equal(tiers_get(stage.window, &key, 2, &value, &quiet.reader, &foreign), BUSY);
    stage_done(&stage);
    assert_int_equal(asked[ALL - 1].ends, 1); /* with the window who waits is told */
    assert_int_equal(asked[ALL - 1].status, L2_DOWN);
}

static void all_are_let_through_when_l2_was_not_away_or_nothing_limits_it(void **state)
{
    (void)state;
    const struct namespace_spec spec = spec_of("default", "", 1000);
    for (unsigned away = 0; away < 2; away++) {
        struct stage stage;
        struct reading asked[ALL];
        stage_open(&stage, &spec, 1);
        if (away == 1) {
            come_back(&stage);
        }
        tiers_window_return_load(stage.window, away == 1 ? 0 : 150);
        (void)sent(&stage);
        ask_all(&stage, asked, 0, ALL);
        assert_int_equal(sent(&stage), ALL);
        stage_done(&stage);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(so_many_go_at_once_and_the_others_with_the_next_tick),
        cmocka_unit_test(nobody_overtakes_who_waits),
        cmocka_unit_test(who_waits_for_too_long_is_told_so_and_asks_nothing),
        cmocka_unit_test(what_may_be_older_is_served_in_place_of_waiting),
        cmocka_unit_test(reads_in_the_background_stand_back),
        cmocka_unit_test(all_are_let_through_when_l2_was_not_away_or_nothing_limits_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
