/* SPDX-License-Identifier: BSD-3-Clause */
/* What proves that L0 may serve, and what puts it in doubt: beats, floors, streams. Numbers stand for the clock. */
#include "tests/unit/near_help.h"

/* --- the proof ----------------------------------------------------------------------------------------------------- */

static void nothing_is_served_before_the_first_beat(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream stream = help_open(near, T0);
    help_read(near, &stream, "k", "v", T0 + 20);
    assert_true(help_serves(near, "k", NULL, T0 + 20));
    help_beat(near, &stream, T0 + 30, 0);
    assert_true(help_serves(near, "k", "v", T0 + 40));
    near_free(near);
}

static void the_fence_closes_when_the_horizon_is_older_than_the_contract(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream stream = help_open(near, T0);
    help_read(near, &stream, "k", "v", T0 + 20);
    help_beat(near, &stream, T0 + 500, 100); /* H = T0 + 399 */
    assert_true(help_serves(near, "k", "v", T0 + 399 + T));
    assert_true(help_serves(near, "k", NULL, T0 + 400 + T));
    help_beat(near, &stream, T0 + 1600, 0);
    assert_true(help_serves(near, "k", "v", T0 + 400 + T));
    near_free(near);
}

static void each_entry_has_its_own_contract(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream stream = help_open(near, T0);
    help_beat(near, &stream, T0 + 10, 0); /* H = T0 + 9 */
    const uint64_t bounds[] = {50, 200, 3600000};
    const char *const keys[] = {"a", "b", "c"};
    for (size_t i = 0; i < 3; i++) {
        const struct near_ticket ticket = help_begin(near, &stream, keys[i], T0 + 20);
        const struct near_answer answer = {
            .value = slice_of("v"), .ttl_ms = -1, .near_ms = bounds[i]};
        near_land(near, slice_of(keys[i]), &ticket, &answer, T0 + 21);
    }
    assert_true(help_serves(near, "a", "v", T0 + 59));
    assert_true(help_serves(near, "a", NULL, T0 + 60));
    assert_true(help_serves(near, "b", "v", T0 + 209));
    assert_true(help_serves(near, "b", NULL, T0 + 210));
    assert_true(help_serves(near, "c", "v", T0 + 3000000));
    near_free(near);
}

static void a_beat_counts_from_when_it_was_sent(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream stream = help_open(near, T0);
    help_read(near, &stream, "k", "v", T0 + 20);
    const struct near_beat beat = {.sent_ms = T0 + 100, .has_horizon = true};
    assert_int_equal(near_stream_beat(near, &stream, &beat, T0 + 900), OK); /* a slow answer */
    assert_true(help_serves(near, "k", "v", T0 + 99 + T));
    assert_true(help_serves(near, "k", NULL, T0 + 100 + T));
    near_free(near);
}

static void a_beat_that_proves_less_takes_nothing_back(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream stream = help_open(near, T0);
    help_read(near, &stream, "k", "v", T0 + 20);
    help_beat(near, &stream, T0 + 500, 0);
    help_beat(near, &stream, T0 + 600, 400);
    const struct near_beat blind = {.sent_ms = T0 + 700};
    assert_int_equal(near_stream_beat(near, &stream, &blind, T0 + 701), OK);
    assert_true(help_serves(near, "k", "v", T0 + 499 + T));
    assert_true(help_serves(near, "k", NULL, T0 + 500 + T));
    near_free(near);
}

static void a_beat_without_a_horizon_proves_nothing(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream stream = help_open(near, T0);
    help_read(near, &stream, "k", "v", T0 + 20);
    const struct near_beat blind = {.sent_ms = T0 + 30};
    assert_int_equal(near_stream_beat(near, &stream, &blind, T0 + 31), OK);
    assert_true(help_serves(near, "k", NULL, T0 + 40));
    const struct near_beat absurd = {
        .sent_ms = T0 + 30, .has_horizon = true, .horizon_age_ms = UINT64_MAX};
    assert_int_equal(near_stream_beat(near, &stream, &absurd, T0 + 31), OK);
    assert_true(help_serves(near, "k", NULL, T0 + 40));
    near_free(near);
}

static void a_value_ends_with_its_life(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream stream = help_open(near, T0);
    help_beat(near, &stream, T0 + 10, 0);
    const struct near_ticket ticket = help_begin(near, &stream, "k", T0 + 20);
    const struct near_answer answer = {.value = slice_of("v"), .ttl_ms = 100, .near_ms = T};
    near_land(near, slice_of("k"), &ticket, &answer, T0 + 50);
    struct near_value got;
    assert_int_equal(near_get(near, slice_of("k"), T0 + 100, INT64_MAX, 0, &got), OK);
    assert_int_equal(got.ttl_ms, 20);
    near_value_done(&got);
    assert_true(help_serves(near, "k", NULL, T0 + 120));
    assert_int_equal(help_age(near, "k", T0 + 120), -2);
    near_free(near);
}

static void a_wish_for_younger_values_is_kept(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream stream = help_open(near, T0);
    help_read(near, &stream, "k", "v", T0 + 20);
    help_beat(near, &stream, T0 + 101, 0); /* H = T0 + 100 */
    struct near_value got;
    assert_int_equal(near_get(near, slice_of("k"), T0 + 150, 49, 0, &got), MISS);
    assert_int_equal(near_get(near, slice_of("k"), T0 + 150, 49, 50, &got), STALE);
    near_value_done(&got);
    assert_int_equal(near_get(near, slice_of("k"), T0 + 150, 50, 0, &got), OK);
    assert_int_equal(got.age_ms, 50);
    near_value_done(&got);
    near_free(near);
}

/* --- doubt --------------------------------------------------------------------------------------------------------- */

static void a_lost_stream_makes_its_entries_suspect(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream stream = help_open(near, T0);
    help_read(near, &stream, "k", "v", T0 + 20);
    help_beat(near, &stream, T0 + 101, 0);
    near_stream_lost(near, &stream, T0 + 110);
    near_stream_lost(near, &stream, T0 + 110);
    assert_true(help_serves(near, "k", NULL, T0 + 110));
    assert_int_equal(help_age(near, "k", T0 + 200), 100); /* as it was proved last */
    struct near_value got;
    assert_int_equal(near_get(near, slice_of("k"), T0 + 200, INT64_MAX, 99, &got), MISS);
    assert_int_equal(near_get(near, slice_of("k"), T0 + 200, INT64_MAX, 100, &got), STALE);
    assert_true(slice_is(got.bytes, "v"));
    near_value_done(&got);
    assert_int_equal(help_near_stats(near).doubts, 1);
    assert_int_equal(help_near_stats(near).stale, 2);
    near_free(near);
}

static void what_was_asked_before_the_loss_is_not_kept_after_it(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream stream = help_open(near, T0);
    const struct near_ticket ticket = help_begin(near, &stream, "k", T0 + 20);
    near_stream_lost(near, &stream, T0 + 30);
    struct near_stream next = help_open(near, T0 + 30); /* takes the same slot */
    help_beat(near, &next, T0 + 40, 0);
    help_land(near, "k", &ticket, "old", T0 + 50);
    assert_true(help_serves(near, "k", NULL, T0 + 50));
    help_read(near, &next, "k", "v", T0 + 60);
    assert_true(help_serves(near, "k", "v", T0 + 60));
    near_free(near);
}

static void a_new_stream_proves_nothing_of_what_the_old_one_read(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream stream = help_open(near, T0);
    help_beat(near, &stream, T0 + 10, 0);
    help_read(near, &stream, "k", "v", T0 + 20);
    near_stream_lost(near, &stream, T0 + 20);
    stream = help_open(near, T0 + 20);
    assert_int_equal(stream.slot, 0);
    help_beat(near, &stream, T0 + 500, 0);
    assert_true(help_serves(near, "k", NULL, T0 + 510));
    near_free(near);
}

static void the_floor_is_above_what_another_clock_stamped(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream stream = help_open(near, T0);
    help_beat(near, &stream, T0 + 10, 0);
    help_read(near, &stream, "k", "v", T0 + 25);
    help_event_all(near, &stream, T0 + 20); /* the loop's clock is some ms behind */
    assert_true(help_serves(near, "k", NULL, T0 + 25));
    near_free(near);
}

static void all_makes_suspect_what_was_read_and_what_is_under_way(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream stream = help_open(near, T0);
    help_beat(near, &stream, T0 + 10, 0);
    help_read(near, &stream, "k", "v", T0 + 20);
    const struct near_ticket ticket = help_begin(near, &stream, "l", T0 + 20);
    help_event_all(near, &stream, T0 + 30);
    help_land(near, "l", &ticket, "w", T0 + 40);
    help_beat(near, &stream, T0 + 50, 0);
    assert_true(help_serves(near, "k", NULL, T0 + 50));
    assert_true(help_serves(near, "l", NULL, T0 + 50));
    assert_int_equal(help_age(near, "k", T0 + 50), 31);
    help_read(near, &stream, "k", "v2", T0 + 50);
    assert_true(help_serves(near, "k", "v2", T0 + 50));
    near_free(near);
}

static void doubt_upon_doubt_makes_nothing_look_younger(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream stream = help_open(near, T0);
    help_beat(near, &stream, T0 + 10, 0);
    help_read(near, &stream, "k", "v", T0 + 20);
    help_event_all(near, &stream, T0 + 30);
    help_beat(near, &stream, T0 + 500, 0); /* proves nothing of k */
    help_event_all(near, &stream, T0 + 600);
    assert_int_equal(help_age(near, "k", T0 + 700), 681);
    near_free(near);
}

static void a_suspect_is_aged_by_what_its_answer_said(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream stream = help_open(near, T0);
    const struct near_ticket ticket = help_begin(near, &stream, "k", T0 + 20);
    const struct near_answer answer = {
        .value = slice_of("v"), .ttl_ms = -1, .age_ms = 300, .near_ms = T};
    near_land(near, slice_of("k"), &ticket, &answer, T0 + 25);
    const struct near_ticket blind = help_begin(near, &stream, "l", T0 + 20);
    const struct near_answer unknown = {
        .value = slice_of("v"), .ttl_ms = -1, .age_ms = -1, .near_ms = T};
    near_land(near, slice_of("l"), &blind, &unknown, T0 + 25);
    near_stream_lost(near, &stream, T0 + 30);
    assert_int_equal(help_age(near, "k", T0 + 120), 401);
    assert_int_equal(help_age(near, "l", T0 + 120), -2); /* how old, nobody can say */
    near_free(near);
}

static void a_skipped_number_loses_the_stream(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream stream = help_open(near, T0);
    help_beat(near, &stream, T0 + 10, 0);
    help_read(near, &stream, "k", "v", T0 + 20);
    const struct slice other = slice_of("other");
    assert_int_equal(near_stream_event(near, &stream, 1, &other, 1, false, T0 + 20), OK);
    assert_true(help_serves(near, "k", "v", T0 + 20));
    assert_int_equal(near_stream_event(near, &stream, 3, &other, 1, false, T0 + 20), MALFORMED);
    assert_false(stream.is_open);
    assert_true(help_serves(near, "k", NULL, T0 + 20));
    assert_int_equal(near_stream_event(near, &stream, 4, &other, 1, false, T0 + 20), MALFORMED);
    near_free(near);
}

static void a_beat_that_says_another_number_loses_the_stream(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream stream = help_open(near, T0);
    help_beat(near, &stream, T0 + 10, 0);
    help_read(near, &stream, "k", "v", T0 + 20);
    const struct near_beat beat = {.seq = 1, .sent_ms = T0 + 30, .has_horizon = true};
    assert_int_equal(near_stream_beat(near, &stream, &beat, T0 + 31), MALFORMED);
    assert_true(help_serves(near, "k", NULL, T0 + 31));
    near_free(near);
}

/* --- several streams ----------------------------------------------------------------------------------------------- */

static void an_entry_lives_by_the_proof_of_its_own_stream(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream a = help_open(near, T0);
    struct near_stream b = help_open(near, T0);
    help_beat(near, &a, T0 + 10, 0);
    help_beat(near, &b, T0 + 10, 0);
    help_read(near, &a, "k", "v", T0 + 20);
    help_read(near, &b, "l", "w", T0 + 20);
    help_beat(near, &a, T0 + 900, 0); /* b is frozen */
    assert_true(help_serves(near, "k", "v", T0 + 1500));
    assert_true(help_serves(near, "l", NULL, T0 + 1500));
    near_stream_lost(near, &b, T0 + 1500);
    assert_true(help_serves(near, "k", "v", T0 + 1500));
    near_free(near);
}

static void a_stream_that_comes_closes_no_fence(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream a = help_open(near, T0);
    help_beat(near, &a, T0 + 10, 0);
    help_read(near, &a, "k", "v", T0 + 20);
    struct near_stream b = help_open(near, T0 + 30);
    assert_true(help_serves(near, "k", "v", T0 + 30));
    help_read(near, &b, "l", "w", T0 + 40);
    assert_true(help_serves(near, "l", NULL, T0 + 40)); /* its own has proved nothing yet */
    near_free(near);
}

static void an_event_of_any_stream_ends_the_entry(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream a = help_open(near, T0);
    struct near_stream b = help_open(near, T0);
    help_beat(near, &a, T0 + 10, 0);
    help_read(near, &a, "k", "v", T0 + 20);
    help_event(near, &b, "k", T0 + 30);
    assert_true(help_serves(near, "k", NULL, T0 + 30));
    near_free(near);
}

static void a_question_to_another_node_ends_the_ticket_of_the_first(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream a = help_open(near, T0);
    struct near_stream b = help_open(near, T0);
    help_beat(near, &a, T0 + 10, 0);
    help_beat(near, &b, T0 + 10, 0);
    const struct near_ticket by_a = help_begin(near, &a, "k", T0 + 20);
    const struct near_ticket by_b = help_begin(near, &b, "k", T0 + 21);
    help_land(near, "k", &by_a, "older", T0 + 30);
    assert_true(help_serves(near, "k", NULL, T0 + 30));
    help_land(near, "k", &by_b, "newer", T0 + 31);
    assert_false(help_serves(near, "k", "older", T0 + 31));
    near_free(near);
}

static void more_streams_than_there_are_places_keep_nothing_and_lose_nothing(void **state)
{
    (void)state;
    struct near *near = help_near(1 << 20);
    struct near_stream streams[NEAR_STREAMS];
    for (unsigned i = 0; i < NEAR_STREAMS; i++) {
        streams[i] = help_open(near, T0);
        help_beat(near, &streams[i], T0 + 10, 0);
    }
    struct near_stream more = {0};
    assert_int_equal(near_stream_open(near, &more, T0), BUSY);
    assert_true(more.is_open);
    help_read(near, &more, "k", "v", T0 + 20);
    assert_true(help_serves(near, "k", NULL, T0 + 20));
    help_read(near, &streams[NEAR_STREAMS - 1], "k", "v", T0 + 20);
    assert_true(help_serves(near, "k", "v", T0 + 20));
    help_event(near, &more, "k", T0 + 30);
    assert_true(help_serves(near, "k", NULL, T0 + 30));
    help_event_all(near, &more, T0 + 30);
    near_stream_lost(near, &more, T0 + 30);
    assert_int_equal(help_near_stats(near).doubts, 0);
    near_free(near);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_served_before_the_first_beat),
        cmocka_unit_test(the_fence_closes_when_the_horizon_is_older_than_the_contract),
        cmocka_unit_test(each_entry_has_its_own_contract),
        cmocka_unit_test(a_beat_counts_from_when_it_was_sent),
        cmocka_unit_test(a_beat_that_proves_less_takes_nothing_back),
        cmocka_unit_test(a_beat_without_a_horizon_proves_nothing),
        cmocka_unit_test(a_value_ends_with_its_life),
        cmocka_unit_test(a_wish_for_younger_values_is_kept),
        cmocka_unit_test(a_lost_stream_makes_its_entries_suspect),
        cmocka_unit_test(what_was_asked_before_the_loss_is_not_kept_after_it),
        cmocka_unit_test(a_new_stream_proves_nothing_of_what_the_old_one_read),
        cmocka_unit_test(the_floor_is_above_what_another_clock_stamped),
        cmocka_unit_test(all_makes_suspect_what_was_read_and_what_is_under_way),
        cmocka_unit_test(doubt_upon_doubt_makes_nothing_look_younger),
        cmocka_unit_test(a_suspect_is_aged_by_what_its_answer_said),
        cmocka_unit_test(a_skipped_number_loses_the_stream),
        cmocka_unit_test(a_beat_that_says_another_number_loses_the_stream),
        cmocka_unit_test(an_entry_lives_by_the_proof_of_its_own_stream),
        cmocka_unit_test(a_stream_that_comes_closes_no_fence),
        cmocka_unit_test(an_event_of_any_stream_ends_the_entry),
        cmocka_unit_test(a_question_to_another_node_ends_the_ticket_of_the_first),
        cmocka_unit_test(more_streams_than_there_are_places_keep_nothing_and_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
