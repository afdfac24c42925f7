/* SPDX-License-Identifier: BSD-3-Clause */
/* When the fence is open, when a beat is due, when the bus is given up: COHERENCE T4. What the bus brings is in
 * test_coherence_bus.c and test_coherence_frames.c. */
#include "tests/unit/coherence_help.h"

/* --- the fence --------------------------------------------------------------------------------------------------- */

static void nothing_is_fresh_before_the_first_echo(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage);
    assert_false(stage_fresh(&stage));
    assert_false(atomic_load(&stage.view->may_install));
    assert_string_equal(stage_described(&stage).state_name, "DETACHED");
    stage_bus_up(&stage);
    stage_confirm(&stage);
    assert_false(stage_fresh(&stage));
    assert_false(atomic_load(&stage.view->may_install));
    assert_string_equal(stage_described(&stage).state_name, "CATCHUP");
    stage_done(&stage);
}

static void an_echo_opens_the_fence_as_of_the_time_of_sending(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_confirmed(&stage);
    stage_beat(&stage);
    const int64_t sent_at_ms = stage.now_ms;
    stage.now_ms += 400;
    stage_answer(&stage);
    assert_false(stage_fresh(&stage)); /* an answer alone proves nothing about the bus */
    stage_echo(&stage);
    assert_true(stage_fresh(&stage));
    assert_int_equal(stage_horizon(&stage), sent_at_ms);
    assert_true(atomic_load(&stage.view->may_install));
    const struct coherence_description seen = stage_described(&stage);
    assert_int_equal(seen.state, COHERENCE_SYNCED);
    assert_string_equal(seen.reason, "");
    assert_int_equal(seen.echo_ms, 400);
    assert_int_equal(seen.epoch.counter, 5);
    assert_int_equal(seen.seq, 41);
    assert_int_equal(stage_count(&stage, M_BEATS_HOME), 1);
    stage_done(&stage);
}

static void the_fence_closes_by_itself_when_t_has_passed_since_sending(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_confirmed(&stage);
    const int64_t sent_at_ms = stage.now_ms;
    stage_beat(&stage);
    stage.now_ms += 900;
    stage_echo(&stage);
    stage.now_ms = sent_at_ms + T_MS;
    assert_true(stage_fresh(&stage));
    stage.now_ms++;
    assert_false(stage_fresh(&stage)); /* without anybody's help: a paused process wakes fenced */
    stage_done(&stage);
}

static void the_echo_may_come_before_the_answer(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_confirmed(&stage);
    stage_beat(&stage);
    stage_echo(&stage);
    assert_true(stage_fresh(&stage));
    stage_answer(&stage);
    stage.now_ms += 10 * T_MS;
    stage_control_up(&stage); /* it is alive */
    assert_false(coherence_bus_is_dead(stage.coherence, stage.now_ms));
    stage_done(&stage);
}

static void the_echo_of_a_beat_whose_answer_failed_still_counts(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_confirmed(&stage);
    stage_beat(&stage);
    coherence_on_beat_failed(stage.coherence, "the link was lost", stage.now_ms);
    stage_echo(&stage);
    assert_true(stage_fresh(&stage));
    stage_done(&stage);
}

static void an_echo_with_a_foreign_nonce_or_node_does_not_open(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_confirmed(&stage);
    stage_beat(&stage);
    stage_echo_of(&stage, stage.nonce + 1);
    assert_false(stage_fresh(&stage));
    struct frame frame = stage_frame(&stage, PEER, stage.nonce, ++stage.seq);
    stage_publish(&stage, &frame);
    assert_false(stage_fresh(&stage));
    stage_echo(&stage);
    assert_true(stage_fresh(&stage));
    stage_done(&stage);
}

static void the_horizon_never_goes_back(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_confirmed(&stage);
    stage_beat(&stage);
    const uint64_t first = stage.nonce;
    stage.now_ms += 300;
    stage_beat(&stage);
    const int64_t later_ms = stage.now_ms;
    stage_echo(&stage);
    assert_int_equal(stage_horizon(&stage), later_ms);
    stage_echo_of(&stage, first); /* numbered as it should be, yet older */
    assert_int_equal(stage_horizon(&stage), later_ms);
    stage_done(&stage);
}

static void one_echo_counts_once(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_confirmed(&stage);
    stage_sync(&stage);
    stage_echo(&stage);
    assert_int_equal(stage_count(&stage, M_BEATS_HOME), 1);
    stage_done(&stage);
}

static void silence_makes_it_suspect_and_an_echo_synced_again(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    stage_beat(&stage);
    coherence_on_beat_failed(stage.coherence, "READONLY this is a replica", stage.now_ms);
    for (int i = 0; i < 11; i++) {
        stage.now_ms += 100;
        coherence_tick(stage.coherence, stage.now_ms);
    }
    assert_int_equal(stage_described(&stage).state, COHERENCE_SUSPECT);
    assert_non_null(strstr(stage_described(&stage).reason, "READONLY this is a replica"));
    assert_true(atomic_load(&stage.view->may_install)); /* announcements still come */
    stage_sync(&stage);
    assert_int_equal(stage_described(&stage).state, COHERENCE_SYNCED);
    assert_string_equal(stage_described(&stage).reason, "");
    stage_done(&stage);
}

/* --- when to beat ------------------------------------------------------------------------------------------------ */

static void a_beat_is_due_every_quarter_of_t(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_confirmed(&stage);
    assert_true(coherence_beat_due(stage.coherence, stage.now_ms));
    stage_sync(&stage);
    assert_false(coherence_beat_due(stage.coherence, stage.now_ms + T_MS / 4 - 1));
    assert_true(coherence_beat_due(stage.coherence, stage.now_ms + T_MS / 4));
    stage_done(&stage);
}

static void a_closed_fence_hurries_the_next_beat_but_not_without_end(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    stage.now_ms += T_MS / 4;
    stage_sync(&stage);
    STAGE_SAYS(&stage, "*3\r\n$7\r\nmessage\r\n$11\r\nterrace:bus\r\n$4\r\njunk\r\n");
    assert_false(coherence_beat_due(stage.coherence, stage.now_ms));
    assert_true(coherence_beat_due(stage.coherence, stage.now_ms + 10));
    stage.now_ms += 10;
    stage_beat(&stage);
    assert_false(coherence_beat_due(stage.coherence, stage.now_ms + 10)); /* once is enough */
    stage_done(&stage);
}

static void no_more_than_eight_beats_wait_for_an_answer(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    for (int i = 0; i < 8; i++) {
        stage.now_ms += T_MS / 4;
        assert_true(coherence_beat_due(stage.coherence, stage.now_ms));
        stage_beat(&stage);
    }
    stage.now_ms += T_MS;
    assert_false(coherence_beat_due(stage.coherence, stage.now_ms));
    struct buf out = {0};
    assert_int_equal(coherence_beat(stage.coherence, stage.now_ms, &out), BUSY);
    assert_int_equal(out.size, 0);
    stage_answer(&stage);
    assert_true(coherence_beat_due(stage.coherence, stage.now_ms));
    buf_done(&out);
    stage_done(&stage);
}

/* --- giving the bus up ------------------------------------------------------------------------------------------- */

static void a_beat_that_is_answered_but_not_echoed_for_t_gives_the_bus_up(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    stage_beat(&stage);
    stage.now_ms += 200;
    stage_answer(&stage);
    assert_false(coherence_bus_is_dead(stage.coherence, stage.now_ms + T_MS));
    assert_true(coherence_bus_is_dead(stage.coherence, stage.now_ms + T_MS + 1));
    stage_done(&stage);
}

static void beats_that_come_home_without_an_announcement_for_3t_give_the_bus_up(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    stage_beat(&stage);
    stage_answer(&stage);
    stage_echo_frame(&stage, stage.nonce);
    const int64_t from_ms = stage.now_ms;
    for (int i = 0; i < 6; i++) { /* all is well but for what Redis sends to somebody else */
        stage.now_ms = from_ms + i * T_MS / 2;
        stage_beat(&stage);
        stage_answer(&stage);
        stage_echo_frame(&stage, stage.nonce);
    }
    stage.now_ms = from_ms + 3 * T_MS;
    assert_false(coherence_bus_is_dead(stage.coherence, stage.now_ms));
    assert_true(coherence_bus_is_dead(stage.coherence, stage.now_ms + 1));
    stage_flush(&stage);
    assert_false(coherence_bus_is_dead(stage.coherence, stage.now_ms + 1));
    stage_echo_frame(&stage, stage.nonce);
    coherence_on_bus_lost(stage.coherence, "reset", stage.now_ms);
    stage_bus_up(&stage);
    stage_confirm(&stage);
    stage.now_ms += 2 * T_MS;
    assert_false(coherence_bus_is_dead(stage.coherence, stage.now_ms));
    stage_done(&stage);
}

static void beats_that_fail_or_are_not_answered_do_not_give_the_bus_up(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    stage_beat(&stage);
    stage_beat(&stage);
    coherence_on_beat_failed(stage.coherence, "READONLY", stage.now_ms);
    stage.now_ms +=
        3 * T_MS - 100; /* silence of less than 3T: Redis forks, or runs a slow script */
    assert_false(coherence_bus_is_dead(stage.coherence, stage.now_ms));
    stage_done(&stage);
}

static void a_failed_beat_does_not_hide_one_that_is_not_echoed(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    stage_beat(&stage);
    stage_beat(&stage);
    coherence_on_beat_failed(stage.coherence, "READONLY", stage.now_ms);
    stage_answer(&stage);
    assert_true(coherence_bus_is_dead(stage.coherence, stage.now_ms + T_MS + 1));
    stage_done(&stage);
}

static void beats_answered_while_the_bus_was_away_are_not_missed_on_it(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    stage_beat(&stage);
    stage_answer(&stage);
    coherence_on_bus_lost(stage.coherence, "reset", stage.now_ms);
    stage_beat(&stage);
    stage_answer(&stage);
    stage.now_ms += 2 * T_MS;
    stage_bus_up(&stage);
    assert_false(coherence_bus_is_dead(stage.coherence, stage.now_ms));
    stage_done(&stage);
}

static void a_later_echo_excuses_an_earlier_beat(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    stage_beat(&stage);
    stage_answer(&stage);
    stage.now_ms += 500;
    stage_sync(&stage);
    stage.now_ms += 900;
    assert_false(coherence_bus_is_dead(stage.coherence, stage.now_ms));
    stage_done(&stage);
}

static void silence_everywhere_for_three_t_gives_the_bus_up(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    stage_peer(&stage);
    stage.now_ms += 3 * T_MS;
    assert_false(coherence_bus_is_dead(stage.coherence, stage.now_ms));
    assert_true(coherence_bus_is_dead(stage.coherence, stage.now_ms + 1));
    stage_peer(&stage);
    assert_false(coherence_bus_is_dead(stage.coherence, stage.now_ms + 1));
    stage_done(&stage);
}

static void a_subscription_that_is_never_confirmed_gives_the_bus_up(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage);
    stage_bus_up(&stage);
    for (int i = 0; i < 7; i++) {
        stage_beat(&stage);
        stage_answer(&stage);
        stage.now_ms += T_MS / 4;
    }
    assert_true(coherence_bus_is_dead(stage.coherence, stage.now_ms));
    stage_done(&stage);
}

static void a_pause_of_this_process_is_not_held_against_the_bus(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    coherence_tick(stage.coherence, stage.now_ms);
    stage_beat(&stage);
    stage_answer(&stage);
    stage.now_ms += 30 * T_MS; /* stopped, then continued: timers run before sockets are read */
    coherence_tick(stage.coherence, stage.now_ms);
    assert_false(coherence_bus_is_dead(stage.coherence, stage.now_ms));
    assert_false(stage_fresh(&stage)); /* yet it is fenced */
    for (int i = 0; i < 11; i++) {
        stage.now_ms += 100;
        coherence_tick(stage.coherence, stage.now_ms);
    }
    assert_true(coherence_bus_is_dead(stage.coherence, stage.now_ms));
    stage_done(&stage);
}

/* --- bounds ------------------------------------------------------------------------------------------------------ */

static void beats_follow_the_smallest_bound_and_say_the_largest(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    coherence_set_bounds(stage.coherence, 200, 5000);
    stage_beat(&stage);
    assert_int_equal(stage.beat.bound_ms, 5000);
    assert_false(coherence_beat_due(stage.coherence, stage.now_ms + 49));
    assert_true(coherence_beat_due(stage.coherence, stage.now_ms + 50));
    coherence_set_bounds(stage.coherence, 10, 5000); /* never faster than this */
    assert_false(coherence_beat_due(stage.coherence, stage.now_ms + 24));
    assert_true(coherence_beat_due(stage.coherence, stage.now_ms + 25));
    stage_done(&stage);
}

static void a_small_bound_does_not_make_it_impatient_with_the_bus(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    coherence_set_bounds(stage.coherence, 100, 100);
    stage_beat(&stage);
    stage_answer(&stage);
    assert_false(coherence_bus_is_dead(stage.coherence, stage.now_ms + 500));
    assert_true(coherence_bus_is_dead(stage.coherence, stage.now_ms + 501));
    stage_echo(&stage);
    assert_false(coherence_bus_is_dead(stage.coherence, stage.now_ms + 1500));
    assert_true(coherence_bus_is_dead(stage.coherence, stage.now_ms + 1501));
    stage_done(&stage);
}

/* --- how old an entry may be ------------------------------------------------------------------------------------- */

static int64_t age(const struct stage *stage, int64_t stamp_ms)
{
    return coherence_proven_age_ms(stage->view, false, stamp_ms, stage->now_ms);
}

static void an_entry_is_as_old_as_the_horizon_or_its_stamp_whichever_is_newer(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_confirmed(&stage);
    stage.now_ms += 100;
    stage_sync(&stage);
    const int64_t horizon_ms = stage.now_ms;
    stage.now_ms += 5 * T_MS; /* whether it is fresh does not matter */
    assert_int_equal(age(&stage, horizon_ms - 50), 5 * T_MS);
    assert_int_equal(age(&stage, horizon_ms + 1000), 4 * T_MS);
    stage_done(&stage);
}

static void a_suspect_is_as_old_as_the_horizon_when_it_became_one(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_confirmed(&stage);
    stage.now_ms += 100;
    const int64_t old_ms = stage.now_ms;
    stage_sync(&stage);
    const int64_t first_ms = stage.now_ms; /* H of the first life */
    stage.now_ms += 300;
    const int64_t late_ms = stage.now_ms - 10; /* stamped after H */
    STAGE_SAYS(&stage, "*3\r\n$7\r\nmessage\r\n$11\r\nterrace:bus\r\n$4\r\njunk\r\n");
    assert_int_equal(age(&stage, old_ms), stage.now_ms - first_ms);
    assert_int_equal(age(&stage, late_ms), 10);
    STAGE_SAYS(&stage, "*3\r\n$7\r\nmessage\r\n$11\r\nterrace:bus\r\n$4\r\njunk\r\n");
    assert_int_equal(age(&stage, old_ms), stage.now_ms - first_ms); /* no echo in between */
    stage.now_ms += 100;
    const int64_t between_ms = stage.now_ms;
    stage_sync(&stage);
    const int64_t second_ms = stage.now_ms;
    stage.now_ms += 200;
    assert_int_equal(age(&stage, old_ms), stage.now_ms - first_ms);
    assert_int_equal(age(&stage, between_ms), stage.now_ms - second_ms);
    STAGE_SAYS(&stage, "*3\r\n$7\r\nmessage\r\n$11\r\nterrace:bus\r\n$4\r\njunk\r\n");
    stage.now_ms += 50;
    assert_int_equal(age(&stage, between_ms), stage.now_ms - second_ms);
    /* What was suspect before missed changes that the second horizon knows nothing of. */
    assert_int_equal(age(&stage, old_ms), stage.now_ms - old_ms);
    stage_done(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_fresh_before_the_first_echo),
        cmocka_unit_test(an_echo_opens_the_fence_as_of_the_time_of_sending),
        cmocka_unit_test(the_fence_closes_by_itself_when_t_has_passed_since_sending),
        cmocka_unit_test(the_echo_may_come_before_the_answer),
        cmocka_unit_test(the_echo_of_a_beat_whose_answer_failed_still_counts),
        cmocka_unit_test(an_echo_with_a_foreign_nonce_or_node_does_not_open),
        cmocka_unit_test(the_horizon_never_goes_back),
        cmocka_unit_test(one_echo_counts_once),
        cmocka_unit_test(silence_makes_it_suspect_and_an_echo_synced_again),
        cmocka_unit_test(a_beat_is_due_every_quarter_of_t),
        cmocka_unit_test(a_closed_fence_hurries_the_next_beat_but_not_without_end),
        cmocka_unit_test(no_more_than_eight_beats_wait_for_an_answer),
        cmocka_unit_test(a_beat_that_is_answered_but_not_echoed_for_t_gives_the_bus_up),
        cmocka_unit_test(beats_that_come_home_without_an_announcement_for_3t_give_the_bus_up),
        cmocka_unit_test(beats_that_fail_or_are_not_answered_do_not_give_the_bus_up),
        cmocka_unit_test(a_failed_beat_does_not_hide_one_that_is_not_echoed),
        cmocka_unit_test(beats_answered_while_the_bus_was_away_are_not_missed_on_it),
        cmocka_unit_test(a_later_echo_excuses_an_earlier_beat),
        cmocka_unit_test(silence_everywhere_for_three_t_gives_the_bus_up),
        cmocka_unit_test(a_subscription_that_is_never_confirmed_gives_the_bus_up),
        cmocka_unit_test(a_pause_of_this_process_is_not_held_against_the_bus),
        cmocka_unit_test(beats_follow_the_smallest_bound_and_say_the_largest),
        cmocka_unit_test(a_small_bound_does_not_make_it_impatient_with_the_bus),
        cmocka_unit_test(an_entry_is_as_old_as_the_horizon_or_its_stamp_whichever_is_newer),
        cmocka_unit_test(a_suspect_is_as_old_as_the_horizon_when_it_became_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
