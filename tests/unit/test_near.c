/* SPDX-License-Identifier: BSD-3-Clause */
/* L0 by its rules: tickets, sessions, room. Numbers stand for the clock. What proves an entry: test_near_proof.c. */
#include "tests/unit/near_help.h"

/* --- tickets ------------------------------------------------------------------------------------------------------ */

static void what_was_read_is_served_within_its_contract(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream stream = help_open(near, T0);
    help_beat(near, &stream, T0 + 10, 0);
    help_read(near, &stream, "k", "v", T0 + 20);
    assert_true(help_serves(near, "k", "v", T0 + 20));
    assert_true(help_serves(near, "other", NULL, T0 + 20));
    assert_int_equal(help_near_stats(near).fills, 1);
    assert_int_equal(help_near_stats(near).hits, 1);
    assert_int_equal(help_near_stats(near).misses, 1);
    near_free(near);
}

static void an_empty_value_is_a_value(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream stream = help_open(near, T0);
    help_beat(near, &stream, T0 + 10, 0);
    const struct near_ticket ticket = help_begin(near, &stream, "k", T0 + 20);
    near_land(near, slice_of("k"), &ticket, &(struct near_answer){.ttl_ms = -1, .near_ms = T},
              T0 + 20);
    assert_true(help_serves(near, "k", "", T0 + 20));
    near_land(near, slice_of("k"), &ticket, &(struct near_answer){.ttl_ms = -1, .near_ms = T},
              T0 + 20);
    assert_true(help_serves(near, "k", "", T0 + 20));
    near_free(near);
}

static void an_event_ends_the_entry(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream stream = help_open(near, T0);
    help_beat(near, &stream, T0 + 10, 0);
    help_read(near, &stream, "k", "v", T0 + 20);
    help_read(near, &stream, "l", "w", T0 + 20);
    help_event(near, &stream, "k", T0 + 30);
    assert_true(help_serves(near, "k", NULL, T0 + 30));
    assert_true(help_serves(near, "l", "w", T0 + 30));
    assert_int_equal(help_near_stats(near).dropped, 1);
    near_free(near);
}

static void an_answer_that_lands_after_an_event_is_not_kept(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream stream = help_open(near, T0);
    help_beat(near, &stream, T0 + 10, 0);
    const struct near_ticket ticket = help_begin(near, &stream, "k", T0 + 20);
    help_event(near, &stream, "k", T0 + 30);
    help_land(near, "k", &ticket, "old", T0 + 40);
    assert_true(help_serves(near, "k", NULL, T0 + 40));
    assert_int_equal(help_near_stats(near).refused, 1);
    near_free(near);
}

static void an_event_of_another_key_ends_no_ticket(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream stream = help_open(near, T0);
    help_beat(near, &stream, T0 + 10, 0);
    const struct near_ticket ticket = help_begin(near, &stream, "k", T0 + 20);
    help_event(near, &stream, "l", T0 + 30);
    help_land(near, "k", &ticket, "v", T0 + 40);
    assert_true(help_serves(near, "k", "v", T0 + 40));
    near_free(near);
}

static void a_question_that_failed_lets_stand_what_stood(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream stream = help_open(near, T0);
    help_beat(near, &stream, T0 + 10, 0);
    help_read(near, &stream, "k", "v", T0 + 20);
    const struct near_ticket ticket = help_begin(near, &stream, "k", T0 + 30);
    near_fail(near, slice_of("k"), &ticket);
    assert_true(help_serves(near, "k", "v", T0 + 40));
    const struct near_ticket fresh = help_begin(near, &stream, "new", T0 + 30);
    near_fail(near, slice_of("new"), &fresh);
    assert_true(help_serves(near, "new", NULL, T0 + 40));
    near_free(near);
}

static void an_answer_without_a_value_ends_the_entry(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream stream = help_open(near, T0);
    help_beat(near, &stream, T0 + 10, 0);
    help_read(near, &stream, "k", "v", T0 + 20);
    (void)help_begin(near, &stream, "k", T0 + 30);
    near_land_nothing(near, slice_of("k"));
    assert_true(help_serves(near, "k", NULL, T0 + 40));
    near_free(near);
}

static void what_its_node_does_not_allow_is_not_kept(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream stream = help_open(near, T0);
    help_beat(near, &stream, T0 + 10, 0);
    const struct near_ticket ticket = help_begin(near, &stream, "k", T0 + 20);
    near_land(near, slice_of("k"), &ticket,
              &(struct near_answer){.value = slice_of("v"), .ttl_ms = -1}, T0 + 30);
    assert_true(help_serves(near, "k", NULL, T0 + 40));
    assert_int_equal(help_near_stats(near).refused, 0);
    near_free(near);
}

static void without_a_stream_nothing_is_kept(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream never = {0};
    help_read(near, NULL, "k", "v", T0);
    assert_true(help_serves(near, "k", NULL, T0));
    help_read(near, &never, "k", "v", T0);
    assert_true(help_serves(near, "k", NULL, T0));
    near_stream_lost(near, &never, T0);
    assert_int_equal(help_near_stats(near).doubts, 0);
    near_free(near);
}

/* --- sessions ------------------------------------------------------------------------------------------------------ */

static void several_who_ask_for_one_key_share_a_ticket(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream stream = help_open(near, T0);
    help_beat(near, &stream, T0 + 10, 0);
    const struct near_ticket one = help_begin(near, &stream, "k", T0 + 20);
    const struct near_ticket two = help_begin(near, &stream, "k", T0 + 21);
    const struct near_ticket three = help_begin(near, &stream, "k", T0 + 22);
    help_land(near, "k", &two, "v", T0 + 30);
    assert_true(help_serves(near, "k", "v", T0 + 30));
    help_land(near, "k", &one, "v", T0 + 31);
    help_land(near, "k", &three, "v", T0 + 32);
    assert_true(help_serves(near, "k", "v", T0 + 32));
    assert_int_equal(help_near_stats(near).fills, 1);
    near_free(near);
}

static void who_lands_with_another_value_ends_what_stands(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream stream = help_open(near, T0);
    help_beat(near, &stream, T0 + 10, 0);
    const struct near_ticket one = help_begin(near, &stream, "k", T0 + 20);
    const struct near_ticket two = help_begin(near, &stream, "k", T0 + 21);
    help_land(near, "k", &one, "older", T0 + 30);
    help_land(near, "k", &two, "newer", T0 + 31); /* its reader must not see `older` again */
    assert_true(help_serves(near, "k", NULL, T0 + 31));
    near_free(near);
}

/* Each of a hundred threads asks again as soon as it is answered and not served; all had asked before the event. */
static void a_key_that_many_ask_for_is_kept_again_after_an_event(void **state)
{
    (void)state;
    enum {
        ASKERS = 100
    };
    struct near *near = help_near(1 << 20);
    struct near_stream stream = help_open(near, T0);
    help_beat(near, &stream, T0 + 10, 0);
    struct near_ticket tickets[ASKERS];
    for (unsigned i = 0; i < ASKERS; i++) {
        tickets[i] = help_begin(near, &stream, "k", T0 + 20);
    }
    help_event(near, &stream, "k", T0 + 30);
    unsigned asked_again = 0;
    for (unsigned i = 0; i < ASKERS; i++) {
        help_land(near, "k", &tickets[i], "v", T0 + 40);
        if (help_serves(near, "k", NULL, T0 + 40)) {
            tickets[i] = help_begin(near, &stream, "k", T0 + 40);
            asked_again++;
        }
    }
    assert_int_equal(asked_again, ASKERS);
    help_land(near, "k", &tickets[0], "v", T0 + 50);
    assert_true(help_serves(near, "k", "v", T0 + 50));
    for (unsigned i = 1; i < ASKERS; i++) {
        help_land(near, "k", &tickets[i], "v", T0 + 60);
    }
    assert_true(help_serves(near, "k", "v", T0 + 60));
    near_free(near);
}

static void who_landed_late_with_another_value_is_not_shown_the_older_one(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream stream = help_open(near, T0);
    help_beat(near, &stream, T0 + 10, 0);
    const struct near_ticket late = help_begin(near, &stream, "k", T0 + 20);
    help_event(near, &stream, "k", T0 + 30);
    const struct near_ticket live = help_begin(near, &stream, "k", T0 + 30);
    help_land(near, "k", &late, "newer", T0 + 40);
    help_land(near, "k", &live, "older", T0 + 41);
    assert_true(help_serves(near, "k", NULL, T0 + 41));
    near_free(near);
}

static void an_own_write_ends_what_stands_and_what_is_under_way(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream stream = help_open(near, T0);
    help_beat(near, &stream, T0 + 10, 0);
    help_read(near, &stream, "k", "old", T0 + 20);
    near_drop(near, slice_of("k")); /* the write is sent */
    assert_true(help_serves(near, "k", NULL, T0 + 20));
    const struct near_ticket overtakes = help_begin(near, &stream, "k", T0 + 21);
    help_land(near, "k", &overtakes, "old", T0 + 22);
    const struct near_ticket late = help_begin(near, &stream, "k", T0 + 23);
    near_drop(near, slice_of("k")); /* it is answered */
    assert_true(help_serves(near, "k", NULL, T0 + 24));
    help_land(near, "k", &late, "old", T0 + 25);
    assert_true(help_serves(near, "k", NULL, T0 + 25));
    near_free(near);
}

static void an_own_invalidation_ends_everything(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream stream = help_open(near, T0);
    help_beat(near, &stream, T0 + 10, 0);
    help_read(near, &stream, "k", "v", T0 + 20);
    const struct near_ticket ticket = help_begin(near, &stream, "l", T0 + 20);
    near_drop_all(near);
    help_land(near, "l", &ticket, "old", T0 + 30);
    assert_int_equal(help_age(near, "k", T0 + 30), -2);
    assert_int_equal(help_age(near, "l", T0 + 30), -2);
    near_free(near);
}

/* --- room ---------------------------------------------------------------------------------------------------------- */

static void the_room_is_kept_to(void **state)
{
    (void)state;
    static char value[4000];
    memset(value, 'v', sizeof value);
    for (size_t bytes_max = NEAR_BYTES_LEAST; bytes_max <= 16 << 20; bytes_max *= 4) {
        struct near *near = help_near(bytes_max);
        struct near_stream stream = help_open(near, T0);
        help_beat(near, &stream, T0 + 10, 0);
        unsigned served = 0;
        for (unsigned i = 0; i < 8000; i++) {
            char key[32];
            snprintf(key, sizeof key, "key:%u", i);
            const struct near_ticket ticket = help_begin(near, &stream, key, T0 + 20);
            const struct near_answer answer = {
                .value = {value, sizeof value}, .ttl_ms = -1, .near_ms = T};
            near_land(near, slice_of(key), &ticket, &answer, T0 + 20);
            struct near_value got;
            if (near_get(near, slice_of(key), T0 + 20, INT64_MAX, 0, &got) == OK) {
                served++;
                near_value_done(&got);
            }
        }
        const struct near_stats stats = help_near_stats(near);
        assert_true(stats.bytes_used <= stats.bytes_max);
        assert_true(stats.items * sizeof value > stats.bytes_max / 2);
        assert_true(served > 7000);
        near_free(near);
    }
}

static void what_is_too_large_is_not_kept(void **state)
{
    (void)state;
    static char value[(1 << 20) / 8 + 1];
    struct near *near = help_near(1 << 20);
    struct near_stream stream = help_open(near, T0);
    help_beat(near, &stream, T0 + 10, 0);
    const size_t sizes[] = {sizeof value - 1, sizeof value};
    for (size_t i = 0; i < 2; i++) {
        const struct near_ticket ticket = help_begin(near, &stream, "k", T0 + 20);
        const struct near_answer answer = {.value = {value, sizes[i]}, .ttl_ms = -1, .near_ms = T};
        near_land(near, slice_of("k"), &ticket, &answer, T0 + 20);
        struct near_value got = {0};
        assert_int_equal(near_get(near, slice_of("k"), T0 + 20, INT64_MAX, 0, &got),
                         i == 0 ? OK : MISS);
        near_value_done(&got);
    }
    assert_int_equal(help_near_stats(near).refused, 1);
    near_free(near);
}

static void a_key_that_is_too_long_is_not_kept(void **state)
{
    (void)state;
    static char key[70000];
    memset(key, 'k', sizeof key);
    const struct slice slice = {key, sizeof key};
    struct near *near = help_near(1 << 20);
    struct near_stream stream = help_open(near, T0);
    help_beat(near, &stream, T0 + 10, 0);
    struct near_ticket ticket;
    near_begin(near, &stream, slice, T0 + 20, &ticket);
    near_land(near, slice, &ticket,
              &(struct near_answer){.value = slice_of("v"), .ttl_ms = -1, .near_ms = T}, T0 + 20);
    struct near_value got;
    assert_int_equal(near_get(near, slice, T0 + 20, INT64_MAX, 0, &got), MISS);
    near_free(near);
}

static void a_value_that_was_handed_out_outlives_its_entry_and_its_cache(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream stream = help_open(near, T0);
    help_beat(near, &stream, T0 + 10, 0);
    help_read(near, &stream, "k", "v", T0 + 20);
    struct near_value got;
    assert_int_equal(near_get(near, slice_of("k"), T0 + 20, INT64_MAX, 0, &got), OK);
    help_event(near, &stream, "k", T0 + 20);
    near_free(near);
    assert_true(slice_is(got.bytes, "v"));
    near_value_done(&got);
    near_value_done(&got);
}

static void a_sweep_gives_expired_values_back(void **state)
{
    (void)state;
    struct near *near = help_near(4 << 20);
    struct near_stream stream = help_open(near, T0);
    for (unsigned i = 0; i < 1000; i++) {
        char key[32];
        snprintf(key, sizeof key, "key:%u", i);
        const struct near_ticket ticket = help_begin(near, &stream, key, T0 + 20);
        near_land(near, slice_of(key), &ticket,
                  &(struct near_answer){.value = slice_of("v"), .ttl_ms = 100, .near_ms = T},
                  T0 + 20);
    }
    assert_int_equal(help_near_stats(near).items, 1000);
    for (int64_t now_ms = T0 + 200; help_near_stats(near).items > 0; now_ms += 100) {
        assert_true(now_ms < T0 + 100000);
        near_sweep(near, now_ms);
    }
    near_free(near);
}

static void every_policy_serves_what_was_read(void **state)
{
    (void)state;
    static const char *const policies[] = {"density", "s3fifo", "lru", "lfu", "ttl", "random"};
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        struct near *near =
            near_new(&(struct near_options){.bytes_max = 1 << 20, .policy = policies[i]});
        assert_non_null(near);
        struct near_stream stream = help_open(near, T0);
        help_beat(near, &stream, T0 + 10, 0);
        help_read(near, &stream, "k", "v", T0 + 20);
        assert_true(help_serves(near, "k", "v", T0 + 20));
        near_free(near);
    }
    assert_null(near_new(&(struct near_options){.bytes_max = 1 << 20, .policy = "best"}));
    assert_false(near_knows_policy("best"));
    assert_true(near_knows_policy("lru"));
    assert_true(near_knows_policy(NULL));
}

static void beats_go_by_the_strictest_contract_seen(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream stream = help_open(near, T0);
    assert_int_equal(near_beat_interval_ms(near), 250);
    const uint64_t bounds[] = {3600000, 2000, 400, 1000, 40, 1};
    const int64_t intervals[] = {1000, 500, 100, 100, 25, 25};
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        const struct near_ticket ticket = help_begin(near, &stream, "k", T0);
        near_land(near, slice_of("k"), &ticket,
                  &(struct near_answer){.value = slice_of("v"), .near_ms = bounds[i]}, T0);
        assert_int_equal(near_beat_interval_ms(near), intervals[i]);
    }
    near_free(near);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_read_is_served_within_its_contract),
        cmocka_unit_test(an_empty_value_is_a_value),
        cmocka_unit_test(an_event_ends_the_entry),
        cmocka_unit_test(an_answer_that_lands_after_an_event_is_not_kept),
        cmocka_unit_test(an_event_of_another_key_ends_no_ticket),
        cmocka_unit_test(a_question_that_failed_lets_stand_what_stood),
        cmocka_unit_test(an_answer_without_a_value_ends_the_entry),
        cmocka_unit_test(what_its_node_does_not_allow_is_not_kept),
        cmocka_unit_test(without_a_stream_nothing_is_kept),
        cmocka_unit_test(several_who_ask_for_one_key_share_a_ticket),
        cmocka_unit_test(who_lands_with_another_value_ends_what_stands),
        cmocka_unit_test(a_key_that_many_ask_for_is_kept_again_after_an_event),
        cmocka_unit_test(who_landed_late_with_another_value_is_not_shown_the_older_one),
        cmocka_unit_test(an_own_write_ends_what_stands_and_what_is_under_way),
        cmocka_unit_test(an_own_invalidation_ends_everything),
        cmocka_unit_test(the_room_is_kept_to),
        cmocka_unit_test(what_is_too_large_is_not_kept),
        cmocka_unit_test(a_key_that_is_too_long_is_not_kept),
        cmocka_unit_test(a_value_that_was_handed_out_outlives_its_entry_and_its_cache),
        cmocka_unit_test(a_sweep_gives_expired_values_back),
        cmocka_unit_test(every_policy_serves_what_was_read),
        cmocka_unit_test(beats_go_by_the_strictest_contract_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
