/* SPDX-License-Identifier: BSD-3-Clause */
/* server/join.h: when a node that comes is ready, and what share of the requests it asks for. */
#include "server/join.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum {
    START_MS = 5000,
    NOBODY = -1
};

static const struct join_rules rules = {
    .target_percent = 80, .deadline_ms = 30000, .slow_start_ms = 60000};

static void tell(struct join *join, double held, double all, double listed)
{
    join_tell_mass(join, &(struct join_mass){held, all, listed, listed});
}

static enum join_state tick(struct join *join, int64_t after_ms)
{
    join_tick(join, &rules, true, START_MS + after_ms);
    return join_state(join);
}

static void begin(struct join *join)
{
    *join = (struct join){0};
    join_tick(join, &rules, false, START_MS - 1000);
    assert_int_equal(join_state(join), JOIN_APART);
    join_tick(join, &rules, true, START_MS);
}

static void says(const struct join *join, int64_t after_ms, const char *expected)
{
    char text[JOIN_TEXT_MAX];
    join_describe(join, &rules, START_MS + after_ms, text);
    assert_string_equal(text, expected);
}

static void a_node_is_ready_when_it_holds_the_target_of_the_hot_mass(void **state)
{
    (void)state;
    struct join join;
    begin(&join);
    assert_int_equal(tick(&join, 100), JOIN_WARMING);
    tell(&join, 799, 1000, 1000);
    assert_int_equal(tick(&join, 2000), JOIN_WARMING);
    assert_false(join_is_ready(&join));
    says(&join, 2000, "warming: 79 % of hot mass after 2000 ms; ready at 80 %, or after 30000 ms");
    tell(&join, 951, 1000, 1000);
    assert_int_equal(tick(&join, 4130), JOIN_WARM);
    assert_true(join_is_ready(&join));
    tell(&join, 1000, 1000, 1000);
    says(&join, 9000, "warm: 95 % of hot mass after 4.1 s");
}

static void who_has_reached_the_target_lingers_for_what_is_left_but_not_for_long(void **state)
{
    (void)state;
    struct join join;
    begin(&join);
    tell(&join, 831, 1000, 1000);
    assert_int_equal(tick(&join, 4130), JOIN_WARMING);
    says(&join, 4200, "warming: 83 % of hot mass after 4200 ms; ready at 95 %, or after 6130 ms");
    tell(&join, 949, 1000, 1000);
    assert_int_equal(tick(&join, 6129), JOIN_WARMING);
    assert_int_equal(tick(&join, 6130), JOIN_WARM);
    says(&join, 9000, "warm: 94 % of hot mass after 6.1 s");
    begin(&join);
    tell(&join, 800, 1000, 1000);
    assert_int_equal(tick(&join, 100), JOIN_WARMING);
    tell(&join, 950, 1000, 1000);
    assert_int_equal(tick(&join, 200), JOIN_WARM);
}

static void what_changes_while_a_node_lingers_holds_it_up_no_longer(void **state)
{
    (void)state;
    struct join join;
    begin(&join);
    tell(&join, 831, 1000, 1000);
    assert_int_equal(tick(&join, 100), JOIN_WARMING);
    tell(&join, 700, 1000, 1000);
    assert_int_equal(tick(&join, 2099), JOIN_WARMING);
    assert_int_equal(tick(&join, 2100), JOIN_WARM);
    says(&join, 2100, "warm: 70 % of hot mass after 2.1 s");
}

static void nobody_lingers_beyond_the_deadline(void **state)
{
    (void)state;
    struct join join;
    begin(&join);
    tell(&join, 831, 1000, 1000);
    assert_int_equal(tick(&join, 29000), JOIN_WARMING);
    assert_int_equal(tick(&join, 29999), JOIN_WARMING);
    assert_int_equal(tick(&join, 30000), JOIN_WARM);
}

static void with_no_target_nobody_lingers(void **state)
{
    (void)state;
    struct join join;
    struct join_rules at_once = rules;
    at_once.target_percent = 0;
    begin(&join);
    join_tick(&join, &at_once, true, START_MS);
    assert_int_equal(join_state(&join), JOIN_WARM);
}

static void all_is_all_in_whatever_order_it_was_counted(void **state)
{
    (void)state;
    struct join join;
    struct join_rules strict_rules = rules;
    strict_rules.target_percent = 100;
    begin(&join);
    const struct join_mass mass = {.held = 0.3, .all = 0.1 + 0.2, .listed = 0.1 + 0.2, .total = 1};
    assert_true(mass.held < mass.all);
    join_tell_mass(&join, &mass);
    join_tick(&join, &strict_rules, true, START_MS + 25);
    assert_int_equal(join_state(&join), JOIN_WARM);
}

static void a_node_that_gets_no_further_is_ready_at_the_deadline_and_says_so(void **state)
{
    (void)state;
    struct join join;
    begin(&join);
    tell(&join, 41, 100, 100);
    assert_int_equal(tick(&join, 29999), JOIN_WARMING);
    assert_int_equal(tick(&join, 30000), JOIN_LATE);
    says(&join, 30000, "deadline: 41 % of hot mass after 30.0 s");
    tell(&join, 100, 100, 100);
    assert_int_equal(tick(&join, 40000), JOIN_LATE);
}

static void a_node_that_cannot_keep_all_says_of_how_much_the_mass_is(void **state)
{
    (void)state;
    struct join join;
    begin(&join);
    tell(&join, 96, 100, 250);
    assert_int_equal(tick(&join, 1200), JOIN_WARM);
    assert_int_equal(join_fits(&join), 400);
    says(&join, 1200, "warm: 96 % of hot mass (of the 40 % that can be kept here) after 1.2 s");
}

static void where_there_is_nothing_to_warm_from_a_node_is_ready_at_once(void **state)
{
    (void)state;
    struct join join;
    begin(&join);
    join_tell_nothing(&join, "no lists");
    assert_int_equal(tick(&join, 25), JOIN_NOTHING);
    assert_true(join_is_ready(&join));
    says(&join, 25, "nothing to warm: no lists");
}

static void a_node_that_is_alone_is_ready_with_a_full_share(void **state)
{
    (void)state;
    struct join join = {0};
    join_alone(&join);
    assert_true(join_is_ready(&join));
    assert_int_equal(join_weight(&join), JOIN_FULL);
}

static void a_node_that_lost_all_stays_ready(void **state)
{
    (void)state;
    struct join join;
    begin(&join);
    tell(&join, 1, 1, 1);
    assert_int_equal(tick(&join, 10), JOIN_WARM);
    tell(&join, 0, 1, 1);
    join_tick(&join, &rules, false, START_MS + 60000);
    assert_true(join_is_ready(&join));
}

static unsigned weigh(struct join *join, int others, int64_t after_ms)
{
    return join_weigh(join, &rules, others, false, START_MS + after_ms);
}

static void begin_at_mass(struct join *join, double mass)
{
    const struct join_rules any = {.target_percent = 1, .slow_start_ms = rules.slow_start_ms};
    *join = (struct join){0};
    join_tick(join, &any, true, START_MS);
    tell(join, mass, 1, 1);
    join_tick(join, &any, true, START_MS);
    assert_true(join_is_ready(join));
}

static void a_node_that_is_not_ready_or_drains_has_no_share(void **state)
{
    (void)state;
    struct join join;
    begin(&join);
    assert_int_equal(weigh(&join, 900, 0), 0);
    begin_at_mass(&join, 1);
    assert_int_equal(weigh(&join, NOBODY, 0), JOIN_FULL);
    assert_int_equal(join_weigh(&join, &rules, 900, true, START_MS), 0);
    assert_int_equal(join_weight(&join), 0);
}

static void the_share_follows_the_hit_ratio_up_to_that_of_the_others(void **state)
{
    (void)state;
    struct join join;
    begin_at_mass(&join, 0.5);
    assert_int_equal(weigh(&join, 1000, 0),
                     550); /* what the lists promise: all that is read is in them */
    join_tell_mass(&join, &(struct join_mass){.held = 0.5, .all = 1, .listed = 1, .total = 2});
    assert_int_equal(weigh(&join, 1000, 0), 325); /* half of what is read */
    tell(&join, 0.5, 1, 1);
    assert_int_equal(weigh(&join, 500, 0), JOIN_FULL);
    join_note_reads(&join, 20, 99);
    assert_int_equal(weigh(&join, 1000, 0), 550); /* too few reads to tell */
    join_note_reads(&join, 85, 326);
    assert_int_equal(weigh(&join, 1000, 0), 325); /* 100 of 400 */
    assert_int_equal(weigh(&join, 500, 0), 550);
    for (int i = 0; i < 20; i++) {
        join_note_reads(&join, 930, 1000);
    }
    assert_in_range(weigh(&join, 980, 0), 945, 954);
    assert_int_equal(weigh(&join, 960, 0), JOIN_FULL);
}

static void once_full_the_share_stays_full(void **state)
{
    (void)state;
    struct join join;
    begin_at_mass(&join, 0.1);
    join_note_reads(&join, 950, 1000);
    assert_int_equal(weigh(&join, 1000, 0), JOIN_FULL);
    join_note_reads(&join, 0, 100000);
    assert_int_equal(weigh(&join, 1000, 1), JOIN_FULL);
}

static void the_share_is_full_at_the_end_of_the_slow_start_whatever_the_hits(void **state)
{
    (void)state;
    struct join join;
    begin_at_mass(&join, 0.01);
    assert_int_equal(weigh(&join, 900, 0), 109);
    join_note_reads(&join, 0, 1000);
    assert_int_equal(weigh(&join, 900, 1000), 100);
    assert_int_equal(weigh(&join, 900, 30000), 500);
    assert_int_equal(weigh(&join, 900, 60000), JOIN_FULL);
}

static void a_share_is_full_while_nothing_is_known_of_others_and_less_when_it_is(void **state)
{
    (void)state;
    struct join join;
    begin_at_mass(&join, 0.2);
    assert_int_equal(weigh(&join, NOBODY, 0), JOIN_FULL);
    assert_int_equal(weigh(&join, 0, 0), JOIN_FULL);
    assert_int_equal(weigh(&join, 1000, 0), 280);
}

static void while_nothing_is_heard_of_the_others_what_was_known_counts(void **state)
{
    (void)state;
    struct join join;
    begin_at_mass(&join, 0.2);
    assert_int_equal(weigh(&join, 1000, 0), 280);
    assert_int_equal(weigh(&join, NOBODY, 10), 280);
    assert_int_equal(weigh(&join, 500, 20), 460);
    assert_int_equal(weigh(&join, NOBODY, 30), 460);
    assert_int_equal(weigh(&join, NOBODY, rules.slow_start_ms), JOIN_FULL);
}

static void a_mass_that_is_no_number_is_none(void **state)
{
    (void)state;
    struct join join;
    begin(&join);
    tell(&join, 1, 0, 0);
    assert_int_equal(join_mass(&join), 0);
    tell(&join, -1, 2, 2);
    assert_int_equal(join_mass(&join), 0);
    tell(&join, 0.0 / 0.0, 2, 2);
    assert_int_equal(join_mass(&join), 0);
    tell(&join, 3, 2, 2);
    assert_int_equal(join_mass(&join), JOIN_FULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_is_ready_when_it_holds_the_target_of_the_hot_mass),
        cmocka_unit_test(who_has_reached_the_target_lingers_for_what_is_left_but_not_for_long),
        cmocka_unit_test(what_changes_while_a_node_lingers_holds_it_up_no_longer),
        cmocka_unit_test(nobody_lingers_beyond_the_deadline),
        cmocka_unit_test(with_no_target_nobody_lingers),
        cmocka_unit_test(all_is_all_in_whatever_order_it_was_counted),
        cmocka_unit_test(a_node_that_gets_no_further_is_ready_at_the_deadline_and_says_so),
        cmocka_unit_test(a_node_that_cannot_keep_all_says_of_how_much_the_mass_is),
        cmocka_unit_test(where_there_is_nothing_to_warm_from_a_node_is_ready_at_once),
        cmocka_unit_test(a_node_that_is_alone_is_ready_with_a_full_share),
        cmocka_unit_test(a_node_that_lost_all_stays_ready),
        cmocka_unit_test(a_node_that_is_not_ready_or_drains_has_no_share),
        cmocka_unit_test(the_share_follows_the_hit_ratio_up_to_that_of_the_others),
        cmocka_unit_test(once_full_the_share_stays_full),
        cmocka_unit_test(the_share_is_full_at_the_end_of_the_slow_start_whatever_the_hits),
        cmocka_unit_test(a_share_is_full_while_nothing_is_known_of_others_and_less_when_it_is),
        cmocka_unit_test(while_nothing_is_heard_of_the_others_what_was_known_counts),
        cmocka_unit_test(a_mass_that_is_no_number_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
