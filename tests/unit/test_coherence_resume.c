/* SPDX-License-Identifier: BSD-3-Clause */
/* What outlives the process: a mark that the next one goes on from, and what the log proves of it. */
#include "tests/unit/replay_help.h"

/* The process ends and another begins, with what stands in L1 and what the mark says of it. */
static void begin_anew(struct play *play, const struct coherence_mark *mark)
{
    struct stage *stage = &play->stage;
    coherence_free(stage->coherence);
    stage->now_ms += 60000;
    stage->coherence = coherence_new(&(struct coherence_options){
        .namespaces = stage->namespaces,
        .metrics = &stage->metrics,
        .node = NODE,
        .seed = 2,
        .coherence_db = 15,
        .bound_ms = T_MS,
        .managed = {.on_gap = on_gap, .on_whole = on_whole, .arg = &play->heard}});
    assert_non_null(stage->coherence);
    stage->view = coherence_view(stage->coherence);
    coherence_resume(stage->coherence, mark, stage->now_ms);
    assert_false(stage_fresh(stage));
}

static struct coherence_mark mark_of(const struct play *play)
{
    struct coherence_mark mark;
    coherence_mark(play->stage.coherence, &mark);
    return mark;
}

static void another_process_serves_what_the_log_proves(void **state)
{
    (void)state;
    struct play play;
    play_open(&play);
    const struct coherence_mark mark = mark_of(&play);
    const int64_t floor_ms = managed_floor(&play);
    assert_int_equal(mark.seq, 41);
    assert_int_equal(mark.managed_floor_ms, floor_ms);
    assert_true(mark.epoch.counter == 5 && mark.epoch.random == 55 && mark.run == 9);
    begin_anew(&play, &mark);
    play.stage.seq = 50;
    stage_go_on_confirmed(&play.stage);
    assert_int_equal(managed_floor(&play), INT64_MAX);
    stage_sync(&play.stage); /* seq 51 */
    assert_false(serves(&play, "m:old"));
    assert_int_equal(asks(&play), 42);
    log_key(&play, 45, "m:new");
    answer(&play, 51, 40, 51);
    assert_int_equal(managed_floor(&play), floor_ms);
    assert_true(serves(&play, "m:old"));
    assert_false(serves(&play, "m:new"));
    play.stage.l1 = play.plain; /* plain ones are suspects */
    assert_false(stage_serves(&play.stage, "old"));
    play_done(&play);
}

static void another_process_serves_nothing_that_the_log_cannot_prove(void **state)
{
    (void)state;
    struct play play;
    play_open(&play);
    const struct coherence_mark mark = mark_of(&play);
    begin_anew(&play, &mark);
    play.stage.seq = 50;
    stage_go_on_confirmed(&play.stage);
    stage_sync(&play.stage);
    assert_int_equal(asks(&play), 42);
    answer(&play, 51, 43, 51); /* 42 was cut off */
    assert_short(&play);
    assert_false(serves(&play, "m:old") || serves(&play, "m:new"));
    play_done(&play);
}

static void a_log_that_ends_before_the_mark_proves_nothing(void **state)
{
    (void)state;
    struct play play;
    play_open(&play);
    struct coherence_mark mark = mark_of(&play);
    mark.seq = 1000;
    begin_anew(&play, &mark);
    stage_go_on_confirmed(&play.stage);
    stage_sync(&play.stage);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(managed_floor(&play), INT64_MAX);
        assert_int_equal(asks(&play), 1001);
        answer(&play, 42, 40, 42);
        play.stage.now_ms += 1000;
    }
    play.stage.now_ms -= 1000;
    assert_short(&play);
    play_done(&play);
}

/* At once, without a question: its numbers mean something else. */
static void assert_unproved(struct play *play)
{
    struct stage *stage = &play->stage;
    stage_control_up(stage);
    assert_int_equal(managed_floor(play), stage->now_ms + 1);
    stage_confirm_target(stage);
    stage_bus_up(stage);
    stage_confirm(stage);
    stage_sync(stage);
    assert_int_equal(asks(play), 0);
    assert_false(serves(play, "m:old") || serves(play, "m:new"));
}

static void a_mark_of_another_epoch_proves_nothing(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 3; way++) {
        struct play play;
        play_open(&play);
        struct coherence_mark mark = mark_of(&play);
        mark.epoch.counter += way == 0;
        mark.epoch.random += way == 1;
        mark.seq = way == 2 ? 0 : mark.seq;
        begin_anew(&play, &mark);
        assert_unproved(&play);
        play_done(&play);
    }
}

static void an_epoch_that_begins_after_the_first_contact_ends_the_proof(void **state)
{
    (void)state;
    struct play play;
    play_open(&play);
    const struct coherence_mark mark = mark_of(&play);
    begin_anew(&play, &mark);
    stage_control_up(&play.stage);
    play.stage.epoch.counter++;
    stage_confirm_target(&play.stage);
    stage_bus_up(&play.stage);
    stage_confirm(&play.stage);
    stage_control_up(&play.stage);
    assert_int_equal(managed_floor(&play), play.stage.now_ms + 1);
    play_done(&play);
}

static void the_mark_of_a_gap_is_of_before_it(void **state)
{
    (void)state;
    struct play play;
    play_open(&play);
    const int64_t floor_ms = managed_floor(&play);
    cut(&play, 50);
    const struct coherence_mark mark = mark_of(&play);
    assert_int_equal(managed_floor(&play), INT64_MAX);
    assert_int_equal(mark.managed_floor_ms, floor_ms);
    assert_int_equal(mark.seq, 41);
    play_done(&play);
}

static void who_met_no_l2_passes_its_mark_on(void **state)
{
    (void)state;
    struct play play;
    play_open(&play);
    const struct coherence_mark mark = mark_of(&play);
    begin_anew(&play, &mark);
    const struct coherence_mark again = mark_of(&play);
    assert_memory_equal(&again, &mark, sizeof mark);
    play_done(&play);
}

static void plain_values_of_before_count_as_proved_until_the_end_of_that_process(void **state)
{
    (void)state;
    struct play play;
    play_open(&play);
    stage_sync(&play.stage);
    const struct coherence_mark mark = mark_of(&play);
    assert_true(mark.horizon_ms > mark.floor_ms);
    begin_anew(&play, &mark);
    const struct coherence_view *view = play.stage.view;
    assert_int_equal(coherence_proven_age_ms(view, false, mark.floor_ms, play.stage.now_ms),
                     play.stage.now_ms - mark.horizon_ms);
    assert_int_equal(coherence_proven_age_ms(view, false, mark.floor_ms - 1, play.stage.now_ms),
                     play.stage.now_ms - mark.floor_ms + 1);
    play_done(&play);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_process_serves_what_the_log_proves),
        cmocka_unit_test(another_process_serves_nothing_that_the_log_cannot_prove),
        cmocka_unit_test(a_log_that_ends_before_the_mark_proves_nothing),
        cmocka_unit_test(a_mark_of_another_epoch_proves_nothing),
        cmocka_unit_test(an_epoch_that_begins_after_the_first_contact_ends_the_proof),
        cmocka_unit_test(the_mark_of_a_gap_is_of_before_it),
        cmocka_unit_test(who_met_no_l2_passes_its_mark_on),
        cmocka_unit_test(plain_values_of_before_count_as_proved_until_the_end_of_that_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
