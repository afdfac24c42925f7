/* SPDX-License-Identifier: BSD-3-Clause */
/* What was missed of managed namespaces, out of the log: COHERENCE section 5. */
#include "tests/unit/replay_help.h"

/* --- a cut ------------------------------------------------------------------------------------------------------------- */

static void what_was_written_in_a_cut_ends_and_the_rest_stays(void **state)
{
    (void)state;
    struct play play;
    play_open(&play);
    assert_true(serves(&play, "m:old") && serves(&play, "m:new"));
    const int64_t floor_ms = managed_floor(&play);
    cut(&play, 50);
    assert_int_equal(managed_floor(&play), INT64_MAX);
    assert_int_equal(play.heard.gaps, 1);
    stage_sync(&play.stage); /* seq 51 */
    assert_true(stage_fresh(&play.stage));
    assert_false(serves(&play, "m:old")); /* it is not known yet */
    assert_int_equal(asks(&play), 42);
    assert_int_equal(asks(&play), 0); /* one at a time */
    log_key(&play, 45, "m:new");
    answer(&play, 51, 40, 51);
    assert_int_equal(managed_floor(&play), floor_ms);
    assert_true(serves(&play, "m:old"));
    assert_false(serves(&play, "m:new"));
    assert_true(play.heard.wholes == 1 && play.heard.replayed);
    assert_int_equal(asks(&play), 0);
    /* plain ones are suspects, as ever */
    assert_true(stage_floor(&play.stage) > floor_ms);
    assert_int_equal(stage_count(&play.stage, M_REPLAYS_WHOLE), 1);
    assert_int_equal(stage_count(&play.stage, M_REPLAYED_FRAMES), 1);
    play_done(&play);
}

static void a_log_that_is_cut_off_or_gone_makes_all_suspect(void **state)
{
    (void)state;
    static const int64_t oldest[] = {43, 50, -1};
    for (size_t i = 0; i < sizeof oldest / sizeof oldest[0]; i++) {
        struct play play;
        play_open(&play);
        cut(&play, 50);
        stage_sync(&play.stage);
        assert_int_equal(asks(&play), 42);
        play.stage.now_ms += 3;
        answer(&play, 51, oldest[i], 51);
        assert_short(&play);
        assert_false(serves(&play, "m:old"));
        assert_int_equal(l1_count(play.stage.l1, 0), 2); /* nothing is thrown away */
        assert_int_equal(stage_count(&play.stage, M_REPLAYS_SHORT), 1);
        /* what is read from here on is served */
        play.stage.now_ms++;
        assert_int_equal(
            stage_fill(&play.stage, "m:x", stage_claim(&play.stage, "m:x"), play.stage.now_ms), OK);
        assert_true(serves(&play, "m:x"));
        play_done(&play);
    }
}

static void the_oldest_entry_may_be_the_first_that_is_wanted(void **state)
{
    (void)state;
    struct play play;
    play_open(&play);
    cut(&play, 50);
    stage_sync(&play.stage);
    assert_int_equal(asks(&play), 42);
    log_key(&play, 42, "m:new");
    answer(&play, 51, 42, 51);
    assert_true(serves(&play, "m:old"));
    assert_false(serves(&play, "m:new"));
    play_done(&play);
}

static void nothing_is_asked_before_the_subscription_stands_nor_at_another_process(void **state)
{
    (void)state;
    struct play play;
    play_open(&play);
    struct stage *stage = &play.stage;
    coherence_on_bus_lost(stage->coherence, "reset", stage->now_ms);
    assert_int_equal(asks(&play), 0);
    stage_bus_up(stage);
    assert_int_equal(asks(&play), 0);
    STAGE_SAYS(stage, "+OK\r\n");
    STAGE_SAYS(stage, "*3\r\n$9\r\nsubscribe\r\n$20\r\n__redis__:invalidate\r\n:1\r\n");
    assert_int_equal(asks(&play), 0);
    coherence_on_control_lost(stage->coherence);
    STAGE_SAYS(stage, "*3\r\n$9\r\nsubscribe\r\n$11\r\nterrace:bus\r\n:2\r\n");
    assert_int_equal(managed_floor(&play), INT64_MAX);
    assert_int_equal(asks(&play), 0); /* there is nobody to ask */
    stage_control_up(stage);
    assert_int_equal(asks(&play), 42);
    play_done(&play);
}

static void without_frames_on_the_new_bus_the_log_suffices(void **state)
{
    (void)state;
    struct play play;
    play_open(&play);
    cut(&play, 41);
    assert_int_equal(asks(&play), 42);
    answer(&play, 41, 40, 41);
    assert_int_equal(play.heard.wholes, 1);
    stage_sync(&play.stage); /* 42 follows */
    assert_true(serves(&play, "m:old"));
    assert_int_equal(asks(&play), 0);
    play_done(&play);
}

/* No hole shows it, for nothing stood in front of it. */
static void the_first_frame_of_a_subscription_may_be_missing_too(void **state)
{
    (void)state;
    struct play play;
    play_open(&play);
    cut(&play, 41);
    assert_int_equal(asks(&play), 42);
    answer(&play, 41, 40, 41);
    play.stage.seq = 42; /* which said that m:new was written, and was lost */
    stage_sync(&play.stage);
    assert_false(serves(&play, "m:new"));
    assert_int_equal(asks(&play), 42);
    log_key(&play, 42, "m:new");
    answer(&play, 43, 40, 43);
    assert_true(serves(&play, "m:old"));
    assert_false(serves(&play, "m:new"));
    play_done(&play);
}

/* --- pages ------------------------------------------------------------------------------------------------------------- */

static void pages_are_asked_for_until_the_seq_of_the_first(void **state)
{
    (void)state;
    struct play play;
    play_open(&play);
    cut(&play, 1000);
    stage_sync(&play.stage);
    assert_int_equal(asks(&play), 42);
    log_key(&play, 100, "m:x");
    answer(&play, 1001, 40, 100);
    assert_int_equal(managed_floor(&play), INT64_MAX);
    assert_int_equal(asks(&play), 101);
    log_key(&play, 200, "m:new");
    answer(&play, 5000, 101, 200); /* the log is cut off behind us, and Redis goes on counting */
    assert_int_equal(asks(&play), 201);
    log_key(&play, 1001, "m:y");
    answer(&play, 9000, 201, 1001);
    assert_true(serves(&play, "m:old"));
    assert_false(serves(&play, "m:new"));
    assert_int_equal(stage_count(&play.stage, M_REPLAY_PAGES), 3);
    play_done(&play);
}

static void a_log_that_is_cut_off_between_two_pages_is_not_whole(void **state)
{
    (void)state;
    struct play play;
    play_open(&play);
    cut(&play, 1000);
    stage_sync(&play.stage);
    assert_int_equal(asks(&play), 42);
    answer(&play, 1001, 40, 100);
    assert_int_equal(asks(&play), 101);
    answer(&play, 1001, 102, 1001);
    assert_short(&play);
    assert_int_equal(asks(&play), 0);
    play_done(&play);
}

/* --- holes ------------------------------------------------------------------------------------------------------------- */

static void a_hole_is_filled_out_of_the_log(void **state)
{
    (void)state;
    struct play play;
    play_open(&play);
    play.stage.seq = 42; /* lost */
    stage_peer(&play.stage);
    assert_int_equal(play.heard.gaps, 1);
    stage_sync(&play.stage);
    assert_false(serves(&play, "m:old"));
    assert_int_equal(asks(&play), 42);
    log_key(&play, 42, "m:new");
    answer(&play, 44, 40, 44);
    assert_true(serves(&play, "m:old"));
    assert_false(serves(&play, "m:new"));
    /* what came by the bus meanwhile counts: the next hole is asked for from its own place on */
    stage_peer(&play.stage);
    play.stage.seq = 46;
    stage_peer(&play.stage);
    assert_int_equal(asks(&play), 46);
    play_done(&play);
}

static void a_second_hole_meanwhile_wants_a_question_of_its_own(void **state)
{
    (void)state;
    struct play play;
    play_open(&play);
    play.stage.seq = 42;
    stage_peer(&play.stage); /* 43 */
    assert_int_equal(asks(&play), 42);
    play.stage.seq = 44;
    stage_peer(&play.stage); /* 45: 44 was lost after the question was sent */
    stage_sync(&play.stage);
    assert_int_equal(play.heard.gaps, 1);
    log_key(&play, 42, "m:x");
    answer(&play, 43, 40, 43);
    assert_false(serves(&play, "m:old"));
    assert_int_equal(asks(&play), 44);
    log_key(&play, 44, "m:new");
    answer(&play, 46, 40, 46);
    assert_true(serves(&play, "m:old"));
    assert_false(serves(&play, "m:new"));
    assert_int_equal(play.heard.wholes, 1);
    play_done(&play);
}

static void a_cut_while_a_page_is_under_way_wants_another_one(void **state)
{
    (void)state;
    struct play play;
    play_open(&play);
    cut(&play, 50);
    assert_int_equal(asks(&play), 42);
    cut(&play, 60);
    assert_int_equal(asks(&play), 0);
    answer(&play, 50, 40, 50); /* on the control link, which was not cut */
    assert_int_equal(managed_floor(&play), INT64_MAX);
    assert_int_equal(asks(&play), 51);
    log_key(&play, 55, "m:new");
    answer(&play, 60, 40, 60);
    stage_sync(&play.stage);
    assert_true(serves(&play, "m:old"));
    assert_false(serves(&play, "m:new"));
    play_done(&play);
}

/* A stranger may publish what he likes: a frame that is far ahead hides nothing behind it. */
static void a_frame_that_is_far_ahead_does_not_hide_what_is_lost_behind_it(void **state)
{
    (void)state;
    struct play play;
    play_open(&play);
    play.stage.seq = 1000000;
    stage_peer(&play.stage);
    assert_int_equal(asks(&play), 42);
    answer(&play, 41, 40, 41);
    assert_int_equal(play.heard.wholes, 1);
    play.stage.seq = 42; /* is lost; and 43 is the next */
    stage_sync(&play.stage);
    assert_false(serves(&play, "m:new"));
    stage_sync(&play.stage);
    assert_int_equal(asks(&play), 42);
    log_key(&play, 42, "m:new");
    answer(&play, 44, 40, 44);
    assert_true(serves(&play, "m:old"));
    assert_false(serves(&play, "m:new"));
    play_done(&play);
}

/* --- tokens ------------------------------------------------------------------------------------------------------------ */

static void a_read_under_way_installs_nothing_that_the_log_has_ended(void **state)
{
    (void)state;
    struct play play;
    play_open(&play);
    struct stage *stage = &play.stage;
    const int64_t issued_ms = stage->now_ms;
    const struct l1_claim written = stage_claim(stage, "m:a");
    const struct l1_claim untouched = stage_claim(stage, "m:b");
    stage->now_ms += 5;
    stage->seq = 42; /* m:a, after both were read; lost */
    stage_peer(stage);
    stage_sync(stage);
    assert_int_equal(asks(&play), 42);
    log_key(&play, 42, "m:a");
    answer(&play, 44, 40, 44);
    assert_int_not_equal(stage_fill(stage, "m:a", written, issued_ms), OK);
    assert_false(serves(&play, "m:a"));
    assert_int_equal(stage_fill(stage, "m:b", untouched, issued_ms), OK);
    assert_true(serves(&play, "m:b"));
    play_done(&play);
}

static void a_read_under_way_is_a_suspect_if_the_log_cannot_tell(void **state)
{
    (void)state;
    struct play play;
    play_open(&play);
    struct stage *stage = &play.stage;
    const int64_t issued_ms = stage->now_ms;
    const struct l1_claim claim = stage_claim(stage, "m:a");
    stage->now_ms += 5;
    stage->seq = 42;
    stage_peer(stage);
    stage_sync(stage);
    assert_int_equal(asks(&play), 42);
    answer(&play, 44, 43, 44);
    assert_int_equal(stage_fill(stage, "m:a", claim, issued_ms), OK);
    assert_false(serves(&play, "m:a"));
    play_done(&play);
}

/* --- epochs ------------------------------------------------------------------------------------------------------------ */

static void a_new_epoch_decides_at_once_and_the_old_answer_says_nothing(void **state)
{
    (void)state;
    struct play play;
    play_open(&play);
    cut(&play, 50);
    assert_int_equal(asks(&play), 42);
    play.stage.epoch = (struct epoch){.counter = 6, .random = 55};
    play.stage.now_ms += 5;
    stage_peer(&play.stage);
    assert_short(&play);
    const int64_t floor_ms = managed_floor(&play);
    log_key(&play, 42, "m:new");
    answer(&play, 50, 40, 50);
    assert_int_equal(managed_floor(&play), floor_ms);
    assert_int_equal(asks(&play), 0);
    assert_int_equal(l1_count(play.stage.l1, 0), 2);
    /* and the numbering of the new epoch has its own gaps */
    stage_control_up(&play.stage);
    stage_peer(&play.stage);
    play.stage.seq++;
    stage_peer(&play.stage);
    assert_int_equal(managed_floor(&play), INT64_MAX);
    play_done(&play);
}

static void an_answer_of_before_the_epoch_is_not_taken_for_one_of_after(void **state)
{
    (void)state;
    struct play play;
    play_open(&play);
    cut(&play, 50);
    assert_int_equal(asks(&play), 42);
    play.stage.epoch = (struct epoch){.counter = 6, .random = 55};
    stage_control_up(&play.stage);
    stage_peer(&play.stage);
    play.stage.seq += 10;
    stage_peer(&play.stage);
    assert_int_equal(managed_floor(&play), INT64_MAX);
    assert_int_equal(asks(&play), 0); /* its answer is awaited first */
    answer(&play, 1000, 40, 1000);
    assert_int_equal(managed_floor(&play), INT64_MAX);
    assert_int_equal(asks(&play), 52); /* of which nothing was learned */
    play_done(&play);
}

static void the_first_subscription_has_no_before(void **state)
{
    (void)state;
    struct play play;
    play_open(&play);
    assert_int_equal(stage_count(&play.stage, M_REPLAYS), 0);
    assert_true(managed_floor(&play) <= play.stage.now_ms);
    play_done(&play);
}

static void without_managed_namespaces_nothing_is_asked(void **state)
{
    (void)state;
    struct play play = {0};
    stage_open_synced(&play.stage);
    cut(&play, 50);
    assert_int_equal(asks(&play), 0);
    assert_int_equal(managed_floor(&play), play.stage.now_ms + 1);
    stage_done(&play.stage);
}

/* --- when it cannot be asked ----------------------------------------------------------------------------------------------- */

static void an_error_is_asked_again_and_three_decide(void **state)
{
    (void)state;
    static const char error[] = "-BUSY Redis is busy running a script.\r\n";
    struct play play;
    play_open(&play);
    cut(&play, 50);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(asks(&play), 42);
        assert_int_equal(managed_floor(&play), INT64_MAX);
        coherence_on_replay_answer(play.stage.coherence, slice_of(error), play.stage.now_ms);
        assert_int_equal(asks(&play), 0); /* not at once */
        play.stage.now_ms += 100;
    }
    play.stage.now_ms -= 100;
    assert_short(&play);
    play_done(&play);
}

/* What is missing in it is older than the numbering that would begin behind it. */
static void a_hole_behind_three_errors_hides_nothing(void **state)
{
    (void)state;
    static const char error[] = "-BUSY Redis is busy running a script.\r\n";
    struct play play;
    play_open(&play);
    struct stage *stage = &play.stage;
    cut(&play, 50);
    stage_sync(stage); /* 51 */
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(asks(&play), 42);
        coherence_on_replay_answer(stage->coherence, slice_of(error), stage->now_ms);
        stage->now_ms += 100;
    }
    assert_int_equal(stage_fill(stage, "m:late", stage_claim(stage, "m:late"), stage->now_ms), OK);
    assert_true(serves(&play, "m:late"));
    stage->now_ms += 10;
    stage->seq = 52; /* the lost one ends the key */
    stage_peer(stage);
    assert_int_equal(managed_floor(&play), stage->now_ms + 1);
    assert_int_equal(asks(&play), 0);
    stage_sync(stage);
    assert_false(serves(&play, "m:late"));
    play_done(&play);
}

static void a_lost_question_is_asked_again(void **state)
{
    (void)state;
    struct play play;
    play_open(&play);
    cut(&play, 50);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(asks(&play), 42);
        coherence_on_replay_failed(play.stage.coherence, play.stage.now_ms);
        assert_int_equal(asks(&play), 0);
        play.stage.now_ms += 100;
    }
    assert_int_equal(managed_floor(&play), INT64_MAX);
    play_done(&play);
}

static void another_epoch_in_the_answer_is_waited_for(void **state)
{
    (void)state;
    struct play play;
    play_open(&play);
    cut(&play, 50);
    assert_int_equal(asks(&play), 42);
    coherence_on_replay_answer(play.stage.coherence, SLICE_LITERAL("*1\r\n:0\r\n"),
                               play.stage.now_ms);
    assert_int_equal(managed_floor(&play), INT64_MAX);
    play_done(&play);
}

static void a_suspect_counts_as_proved_until_the_gap(void **state)
{
    (void)state;
    struct play play;
    play_open(&play);
    struct stage *stage = &play.stage;
    const int64_t stamp_ms = stage->now_ms - 100;
    stage_sync(stage);
    const int64_t horizon_ms = stage_horizon(stage);
    stage->now_ms += 10;
    cut(&play, 50);
    assert_int_equal(coherence_proven_age_ms(stage->view, true, stamp_ms, stage->now_ms),
                     stage->now_ms - horizon_ms);
    stage_sync(stage);
    assert_int_equal(coherence_proven_age_ms(stage->view, true, stamp_ms, stage->now_ms),
                     stage->now_ms - horizon_ms); /* the new echo says nothing about the gap */
    assert_int_equal(asks(&play), 43);
    answer(&play, 51, 40, 51);
    assert_int_equal(coherence_proven_age_ms(stage->view, true, stamp_ms, stage->now_ms), 0);
    play_done(&play);
}

/* --- waking ------------------------------------------------------------------------------------------------------------------ */

static void written_keys_and_leases_given_back_wake_who_waits(void **state)
{
    (void)state;
    struct play play;
    play_open(&play);
    publish_key(&play, FRAME_KEYS, 42, "m:new");
    assert_int_equal(play.heard.wakes, 1);
    assert_false(serves(&play, "m:new"));
    publish_key(&play, FRAME_WAKE, 0, "m:old"); /* by a plain PUBLISH */
    publish_key(&play, FRAME_WAKE, 43, "m:old");
    assert_int_equal(play.heard.wakes, 3);
    assert_true(serves(&play, "m:old"));
    assert_int_equal(play.heard.gaps, 0);
    play_done(&play);
}

static void bans_on_the_bus_are_told_and_bad_ones_are_a_doubt(void **state)
{
    (void)state;
    struct play play;
    play_open(&play);
    struct frame frame = stage_frame(&play.stage, PEER, 1, 42);
    frame.type = FRAME_TAG;
    frame.body = SLICE_LITERAL("t");
    stage_publish(&play.stage, &frame);
    assert_int_equal(play.heard.bans, 1);
    assert_int_equal(play.heard.gaps, 0);
    play.heard.refuses = true;
    frame.seq_first = 43;
    stage_publish(&play.stage, &frame);
    assert_int_equal(play.heard.gaps, 1);
    assert_false(stage_fresh(&play.stage));
    play_done(&play);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_in_a_cut_ends_and_the_rest_stays),
        cmocka_unit_test(a_log_that_is_cut_off_or_gone_makes_all_suspect),
        cmocka_unit_test(the_oldest_entry_may_be_the_first_that_is_wanted),
        cmocka_unit_test(nothing_is_asked_before_the_subscription_stands_nor_at_another_process),
        cmocka_unit_test(without_frames_on_the_new_bus_the_log_suffices),
        cmocka_unit_test(the_first_frame_of_a_subscription_may_be_missing_too),
        cmocka_unit_test(pages_are_asked_for_until_the_seq_of_the_first),
        cmocka_unit_test(a_log_that_is_cut_off_between_two_pages_is_not_whole),
        cmocka_unit_test(a_hole_is_filled_out_of_the_log),
        cmocka_unit_test(a_second_hole_meanwhile_wants_a_question_of_its_own),
        cmocka_unit_test(a_cut_while_a_page_is_under_way_wants_another_one),
        cmocka_unit_test(a_frame_that_is_far_ahead_does_not_hide_what_is_lost_behind_it),
        cmocka_unit_test(a_read_under_way_installs_nothing_that_the_log_has_ended),
        cmocka_unit_test(a_read_under_way_is_a_suspect_if_the_log_cannot_tell),
        cmocka_unit_test(a_new_epoch_decides_at_once_and_the_old_answer_says_nothing),
        cmocka_unit_test(an_answer_of_before_the_epoch_is_not_taken_for_one_of_after),
        cmocka_unit_test(the_first_subscription_has_no_before),
        cmocka_unit_test(without_managed_namespaces_nothing_is_asked),
        cmocka_unit_test(an_error_is_asked_again_and_three_decide),
        cmocka_unit_test(a_hole_behind_three_errors_hides_nothing),
        cmocka_unit_test(a_lost_question_is_asked_again),
        cmocka_unit_test(another_epoch_in_the_answer_is_waited_for),
        cmocka_unit_test(a_suspect_counts_as_proved_until_the_gap),
        cmocka_unit_test(written_keys_and_leases_given_back_wake_who_waits),
        cmocka_unit_test(bans_on_the_bus_are_told_and_bad_ones_are_a_doubt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
