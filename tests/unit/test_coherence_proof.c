/* SPDX-License-Identifier: BSD-3-Clause */
/* What a frame proves counts when the announcement behind it is applied: docs/decisions/011. */
#include "tests/unit/coherence_help.h"

/* A write of k was acknowledged in the middle of a cycle, a beat sent behind it runs in the same cycle: its frame comes
 * first. */
static void open_with_echo_in_front(struct stage *stage)
{
    stage_open_synced(stage);
    help_set(stage->l1, 0, "k", "v", ITEM_NEVER, stage->now_ms);
    stage_beat(stage);
    stage_answer(stage);
    stage->now_ms += 7;
    stage_echo_frame(stage, stage->nonce);
}

static uint64_t applied(const struct stage *stage)
{
    return atomic_load(&stage->view->applied_seq);
}

static void a_horizon_waits_for_the_announcement_behind_the_echo(void **state)
{
    (void)state;
    struct stage stage;
    open_with_echo_in_front(&stage);
    assert_int_equal(stage_horizon(&stage), START_MS);
    assert_int_equal(applied(&stage), stage.seq - 1);
    assert_int_equal(stage_described(&stage).seq, stage.seq - 1);
    assert_int_equal(stage_described(&stage).echo_ms, 0);
    stage.now_ms += 4;
    stage_announce(&stage, "k");
    assert_true(help_is(stage.l1, 0, "k", NULL, stage.now_ms));
    assert_int_equal(stage_horizon(&stage), START_MS + 100);
    assert_int_equal(applied(&stage), stage.seq);
    assert_int_equal(stage_described(&stage).seq, stage.seq);
    assert_int_equal(stage_described(&stage).echo_ms, 7 + 4);
    stage_done(&stage);
}

static void nothing_else_takes_the_place_of_that_announcement(void **state)
{
    (void)state;
    struct stage stage;
    open_with_echo_in_front(&stage);
    STAGE_SAYS(&stage, "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*-1\r\n");
    STAGE_SAYS(&stage, "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n$1\r\nk\r\n");
    STAGE_SAYS(&stage, "*2\r\n$4\r\npong\r\n$1\r\n9\r\n");
    const struct frame peers = stage_frame(&stage, PEER, 1, ++stage.seq);
    stage_publish(&stage, &peers);
    assert_int_equal(stage_horizon(&stage), START_MS);
    assert_int_equal(applied(&stage), 41);
    stage_flush(&stage);
    assert_int_equal(stage_horizon(&stage), START_MS + 100);
    assert_int_equal(applied(&stage), 43);
    stage_done(&stage);
}

/* Others may have been answered by the T before, over a write whose announcement is still to come. */
static void a_larger_t_is_not_made_use_of_before_that_announcement(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    coherence_set_bounds(stage.coherence, T_MS, 10 * T_MS);
    stage_beat(&stage);
    stage_answer(&stage);
    char body[FRAME_BEAT_BODY_SIZE];
    frame_beat_write(body, &stage.beat);
    struct frame echo = stage_frame(&stage, NODE, stage.nonce, ++stage.seq);
    echo.body = (struct slice){body, sizeof body};
    stage_publish(&stage, &echo);
    assert_int_not_equal(coherence_told_bound_ms(stage.coherence), 10 * T_MS);
    stage_flush(&stage);
    assert_int_equal(coherence_told_bound_ms(stage.coherence), 10 * T_MS);
    stage_done(&stage);
}

/* The next beat says what is proved, not what came. */
static void what_is_not_proved_is_not_reported(void **state)
{
    (void)state;
    struct stage stage;
    open_with_echo_in_front(&stage);
    stage_beat(&stage);
    assert_int_equal(stage.beat.applied_seq, 41);
    stage_answer(&stage);
    stage_flush(&stage);
    stage_beat(&stage);
    assert_int_equal(stage.beat.since_seq, 41);
    assert_int_equal(stage.beat.applied_seq, 42);
    stage_done(&stage);
}

/* One announcement that is lost delays the proof to the next. */
static void the_newest_of_several_echoes_is_proved(void **state)
{
    (void)state;
    struct stage stage;
    open_with_echo_in_front(&stage);
    stage.now_ms += 50;
    stage_beat(&stage);
    const int64_t sent_ms = stage.now_ms;
    stage_answer(&stage);
    stage_echo_frame(&stage, stage.nonce);
    assert_int_equal(stage_horizon(&stage), START_MS);
    stage_flush(&stage);
    assert_int_equal(stage_horizon(&stage), sent_ms);
    stage_done(&stage);
}

static void a_doubt_in_between_leaves_nothing_to_prove(void **state)
{
    (void)state;
    struct stage stage;
    open_with_echo_in_front(&stage);
    STAGE_SAYS(&stage, "+junk\r\n");
    stage_flush(&stage);
    assert_int_equal(stage_horizon(&stage), 0);
    assert_int_equal(applied(&stage), 42); /* what came before is suspect: that counts as applied */
    assert_int_equal(stage_floor(&stage), stage.now_ms + 1);
    stage_sync(&stage);
    assert_true(stage_fresh(&stage));
    stage_done(&stage);
}

static void another_bus_leaves_nothing_to_prove(void **state)
{
    (void)state;
    struct stage stage;
    open_with_echo_in_front(&stage);
    coherence_on_bus_lost(stage.coherence, "reset", stage.now_ms);
    stage_bus_up(&stage);
    stage_confirm(&stage);
    stage_flush(&stage);
    assert_int_equal(stage_horizon(&stage), START_MS); /* as proved before the loss */
    assert_int_equal(applied(&stage), 0);
    assert_false(atomic_load(&stage.view->may_install));
    stage_done(&stage);
}

static void another_epoch_leaves_nothing_to_prove(void **state)
{
    (void)state;
    struct stage stage;
    open_with_echo_in_front(&stage);
    stage.epoch = (struct epoch){.counter = 6, .random = 66};
    stage_control_up(&stage);
    stage_flush(&stage);
    assert_int_equal(stage_horizon(&stage), 0);
    assert_int_equal(applied(&stage), 0);
    assert_false(atomic_load(&stage.view->may_install));
    stage_done(&stage);
}

/* All that such a bus is told comes in frames, in order. */
static void an_untracked_bus_owes_nothing_behind_a_frame(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage);
    stage_control_up(&stage);
    stage_confirm_target(&stage);
    stage_bus_up(&stage);
    STAGE_SAYS(&stage, "-ERR unknown command 'CLIENT', with args beginning with: 'TRACKING'\r\n");
    STAGE_SAYS(&stage, "*3\r\n$9\r\nsubscribe\r\n$20\r\n__redis__:invalidate\r\n:1\r\n");
    STAGE_SAYS(&stage, "*3\r\n$9\r\nsubscribe\r\n$11\r\nterrace:bus\r\n:2\r\n");
    stage_beat(&stage);
    stage_answer(&stage);
    stage_echo_frame(&stage, stage.nonce);
    assert_int_equal(stage_horizon(&stage), START_MS);
    assert_int_equal(applied(&stage), stage.seq);
    stage_done(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_horizon_waits_for_the_announcement_behind_the_echo),
        cmocka_unit_test(nothing_else_takes_the_place_of_that_announcement),
        cmocka_unit_test(a_larger_t_is_not_made_use_of_before_that_announcement),
        cmocka_unit_test(what_is_not_proved_is_not_reported),
        cmocka_unit_test(the_newest_of_several_echoes_is_proved),
        cmocka_unit_test(a_doubt_in_between_leaves_nothing_to_prove),
        cmocka_unit_test(another_bus_leaves_nothing_to_prove),
        cmocka_unit_test(another_epoch_leaves_nothing_to_prove),
        cmocka_unit_test(an_untracked_bus_owes_nothing_behind_a_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
