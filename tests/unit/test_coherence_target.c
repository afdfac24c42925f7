/* SPDX-License-Identifier: BSD-3-Clause */
/* Which Redis the links of a node are at: COHERENCE section 4. */
#include "tests/unit/coherence_help.h"

static uint64_t target(const struct stage *stage)
{
    return atomic_load(&stage->view->target);
}

static uint64_t unconfirmed(const struct stage *stage)
{
    return coherence_unconfirmed_run(stage->coherence);
}

/* Redis failed over: another process, another epoch. */
static void fail_over(struct stage *stage)
{
    stage->run++;
    stage->epoch.counter++;
    stage->epoch.random++;
    stage->seq = 0;
}

static void nothing_is_fresh_before_the_workers_have_confirmed(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage);
    assert_int_equal(unconfirmed(&stage), 0); /* of what? */
    stage_control_up(&stage);
    assert_int_equal(unconfirmed(&stage), stage.run);
    stage_bus_up(&stage);
    stage_confirm(&stage);
    const int64_t sent_at_ms = stage.now_ms;
    stage_sync(&stage);
    assert_false(stage_fresh(&stage));
    assert_false(atomic_load(&stage.view->may_install));
    assert_string_equal(stage_described(&stage).reason,
                        "the workers have not left the former L2 yet");
    stage.now_ms += 200;
    coherence_targets_confirmed(stage.coherence, stage.run + 1); /* of another one */
    assert_false(stage_fresh(&stage));
    stage_confirm_target(&stage);
    assert_true(stage_fresh(&stage)); /* the echo that is already home is good */
    assert_int_equal(stage_horizon(&stage), sent_at_ms);
    assert_int_equal(stage_described(&stage).state, COHERENCE_SYNCED);
    assert_int_equal(unconfirmed(&stage), 0);
    stage_done(&stage);
}

static void another_process_closes_the_fence_until_the_workers_have_left_the_former(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    const uint64_t generation = stage_generation(&stage);
    const uint64_t before = target(&stage);
    fail_over(&stage);
    stage_control_up(&stage);
    assert_int_not_equal(target(&stage), before);
    assert_int_equal(stage_horizon(&stage), 0);
    assert_int_equal(stage_floor(&stage), stage.now_ms + 1);
    assert_true(stage_generation(&stage) > generation);
    assert_false(atomic_load(&stage.view->may_install));
    assert_int_equal(unconfirmed(&stage), stage.run);
    assert_int_equal(stage_count(&stage, M_TARGETS), 1);
    stage_bus_up(&stage); /* the bus followed */
    stage_confirm(&stage);
    stage_sync(&stage);
    assert_false(stage_fresh(&stage));
    coherence_targets_confirmed(stage.coherence, stage.run - 1); /* a late word about the former */
    assert_false(stage_fresh(&stage));
    stage_confirm_target(&stage);
    assert_true(stage_fresh(&stage));
    stage_done(&stage);
}

static void another_process_in_the_same_epoch_is_not_believed_either(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    stage_beat(&stage);
    stage.run++;
    stage_answer(&stage);
    assert_int_equal(stage_horizon(&stage), 0);
    assert_int_equal(stage_floor(&stage), stage.now_ms + 1);
    assert_int_equal(unconfirmed(&stage), stage.run);
    stage_echo(&stage);
    stage_confirm_target(&stage);
    assert_false(stage_fresh(&stage)); /* void: the beat was of before */
    stage_done(&stage);
}

static void a_new_epoch_of_the_same_process_needs_no_confirmation(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    const uint64_t before = target(&stage);
    stage.epoch = (struct epoch){.counter = 6, .random = 66};
    stage_beat(&stage);
    stage_answer(&stage);
    assert_true(target(&stage) != before && target(&stage) != 0);
    assert_int_equal(unconfirmed(&stage), 0);
    assert_int_equal(stage_count(&stage, M_TARGETS), 0);
    stage_sync(&stage);
    assert_true(stage_fresh(&stage));
    stage_done(&stage);
}

static void an_epoch_first_seen_on_the_bus_has_no_target_until_the_control_link_met_it(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    stage.epoch = (struct epoch){.counter = 6, .random = 66};
    stage_peer(&stage);
    assert_int_equal(target(&stage), 0); /* nothing installs */
    stage_beat(&stage);
    const int64_t sent_at_ms = stage.now_ms;
    stage_echo(&stage); /* before its answer */
    assert_false(stage_fresh(&stage));
    assert_string_equal(stage_described(&stage).reason,
                        "the control link has not met this epoch yet");
    stage_answer(&stage);
    assert_int_not_equal(target(&stage), 0);
    assert_true(stage_fresh(&stage));
    assert_int_equal(stage_horizon(&stage), sent_at_ms);
    stage_done(&stage);
}

static void a_doubt_throws_away_the_echo_that_waits(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage);
    stage_control_up(&stage);
    stage_bus_up(&stage);
    stage_confirm(&stage);
    stage_sync(&stage);
    STAGE_SAYS(&stage, "*3\r\n$7\r\nmessage\r\n$11\r\nterrace:bus\r\n$4\r\njunk\r\n");
    stage_confirm_target(&stage);
    assert_false(stage_fresh(&stage));
    stage_sync(&stage);
    assert_true(stage_fresh(&stage));
    coherence_on_bus_lost(stage.coherence, "reset", stage.now_ms);
    stage_confirm_target(&stage);
    assert_int_equal(stage_described(&stage).state, COHERENCE_DETACHED);
    stage_done(&stage);
}

static void of_two_links_at_different_processes_the_smaller_epoch_is_wrong(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    const struct beat_answer former = stage_says(&stage);
    assert_int_equal(coherence_wrong_link(stage.coherence), COHERENCE_NO_LINK);
    fail_over(&stage); /* the control link was first to follow */
    stage_control_up(&stage);
    assert_int_equal(coherence_wrong_link(stage.coherence), COHERENCE_BUS_LINK);
    coherence_on_bus_lost(stage.coherence, "closed", stage.now_ms);
    assert_int_equal(coherence_wrong_link(stage.coherence), COHERENCE_NO_LINK);
    stage_bus_up(&stage);
    assert_int_equal(coherence_wrong_link(stage.coherence), COHERENCE_NO_LINK);
    fail_over(&stage); /* now the bus is */
    stage_bus_up(&stage);
    assert_int_equal(coherence_wrong_link(stage.coherence), COHERENCE_CONTROL_LINK);
    assert_int_equal(target(&stage), 0);
    coherence_on_control_lost(stage.coherence);
    assert_int_equal(coherence_wrong_link(stage.coherence), COHERENCE_NO_LINK);
    coherence_on_control_up(stage.coherence, &former, stage.now_ms); /* still the former master */
    assert_int_equal(coherence_wrong_link(stage.coherence), COHERENCE_CONTROL_LINK);
    stage_control_up(&stage);
    assert_int_equal(coherence_wrong_link(stage.coherence), COHERENCE_NO_LINK);
    stage_done(&stage);
}

/* A demoted master replicates the frames of the new one, so an echo may come home by way of it. */
static void an_echo_by_way_of_another_process_does_not_open(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    fail_over(&stage);
    stage_control_up(&stage);
    stage_confirm_target(&stage);
    stage_sync(&stage);
    assert_false(stage_fresh(&stage));
    assert_string_equal(stage_described(&stage).reason,
                        "the bus and the control link are at different processes");
    assert_int_equal(coherence_wrong_link(stage.coherence), COHERENCE_BUS_LINK);
    stage_bus_up(&stage);
    stage_confirm(&stage);
    stage_sync(&stage);
    assert_true(stage_fresh(&stage));
    stage_done(&stage);
}

static void meet(struct stage *stage, uint64_t run, uint64_t counter)
{
    const struct beat_answer answer = {.epoch = {.counter = counter}, .run = run};
    coherence_meet(stage->coherence, &answer);
}

/* Whichever link met it; of two processes in one epoch the first that was met, since nobody can tell. */
static void the_newest_that_any_link_met_is_the_one_to_believe(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage);
    assert_true(coherence_is_newest(stage.view, 9, 5));
    stage_control_up(&stage);
    assert_true(coherence_is_newest(stage.view, 9, 5));
    assert_false(coherence_is_newest(stage.view, 10, 5));
    assert_true(coherence_is_newest(stage.view, 10, 6)); /* it will be met in a moment */
    meet(&stage, 10, 6);
    assert_false(coherence_is_newest(stage.view, 9, 5));
    assert_true(coherence_is_newest(stage.view, 10, 6));
    meet(&stage, 9, 5);
    meet(&stage, 11, 6);
    assert_false(coherence_is_newest(stage.view, 9, 5));
    assert_false(coherence_is_newest(stage.view, 11, 6));
    assert_true(coherence_is_newest(stage.view, 10, 6));
    stage_done(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_that_any_link_met_is_the_one_to_believe),
        cmocka_unit_test(nothing_is_fresh_before_the_workers_have_confirmed),
        cmocka_unit_test(another_process_closes_the_fence_until_the_workers_have_left_the_former),
        cmocka_unit_test(another_process_in_the_same_epoch_is_not_believed_either),
        cmocka_unit_test(a_new_epoch_of_the_same_process_needs_no_confirmation),
        cmocka_unit_test(
            an_epoch_first_seen_on_the_bus_has_no_target_until_the_control_link_met_it),
        cmocka_unit_test(a_doubt_throws_away_the_echo_that_waits),
        cmocka_unit_test(of_two_links_at_different_processes_the_smaller_epoch_is_wrong),
        cmocka_unit_test(an_echo_by_way_of_another_process_does_not_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
