/* SPDX-License-Identifier: BSD-3-Clause */
/* What the log may say, and what is not ours in it: COHERENCE section 5. */
#include "tests/unit/replay_help.h"

static void bans_and_flushes_come_out_of_the_log_too(void **state)
{
    (void)state;
    struct play play;
    play_open(&play);
    cut(&play, 50);
    stage_sync(&play.stage);
    assert_int_equal(asks(&play), 42);
    char body[FRAME_FLUSH_BODY_MAX];
    const struct frame_flush drop = {.kind = FRAME_FLUSH_DROP, .dbs = 1};
    log_frame(&play, FRAME_TAG, 42, SLICE_LITERAL("t"));
    log_frame(&play, FRAME_PREFIX, 43, SLICE_LITERAL("p"));
    log_frame(&play, FRAME_FLUSH, 44, frame_flush_write(body, &drop));
    answer(&play, 51, 40, 51);
    assert_int_equal(play.heard.bans, 2);
    assert_true(play.heard.replayed);
    assert_int_equal(l1_count(play.stage.l1, 0), 0);
    play_done(&play);
}

static void a_flush_that_makes_suspect_does_so_out_of_the_log(void **state)
{
    (void)state;
    struct play play;
    play_open(&play);
    cut(&play, 50);
    stage_sync(&play.stage);
    assert_int_equal(asks(&play), 42);
    log_frame(&play, FRAME_FLUSH, 44, (struct slice){0});
    answer(&play, 51, 40, 51);
    assert_true(play.heard.replayed);
    assert_int_equal(managed_floor(&play), play.stage.now_ms + 1);
    assert_false(serves(&play, "m:old"));
    play_done(&play);
}

static void log_nothing_of_ours(struct play *play)
{
    log_bytes(play, SLICE_LITERAL("rubbish"));
}

static void log_another_epoch(struct play *play)
{
    const struct epoch epoch = play->stage.epoch;
    play->stage.epoch.random++;
    log_key(play, 45, "m:new");
    play->stage.epoch = epoch;
}

static void log_backwards(struct play *play)
{
    log_key(play, 45, "m:x");
    log_key(play, 44, "m:y");
}

static void log_twice(struct play *play)
{
    log_key(play, 45, "m:x");
    log_key(play, 45, "m:x");
}

static void log_before(struct play *play)
{
    log_key(play, 41, "m:x");
}

static void log_behind(struct play *play)
{
    log_key(play, 52, "m:x");
}

static void log_bad_keys(struct play *play)
{
    log_frame(play, FRAME_KEYS, 45, SLICE_LITERAL("\0\0\x05\0m:"));
}

static void log_bad_ban(struct play *play)
{
    play->heard.refuses = true;
    log_frame(play, FRAME_TAG, 45, SLICE_LITERAL("t"));
}

static void log_unnumbered(struct play *play)
{
    struct buf bytes = {0};
    write_keys(&play->stage, &bytes, FRAME_KEYS, 0, "m:x");
    log_bytes(play, buf_slice(&bytes));
    buf_done(&bytes);
}

static void what_is_not_ours_in_the_log_makes_all_suspect(void **state)
{
    (void)state;
    static void (*const logs[])(struct play *) = {
        log_nothing_of_ours, log_another_epoch, log_backwards, log_twice,     log_before,
        log_behind,          log_bad_keys,      log_bad_ban,   log_unnumbered};
    for (size_t i = 0; i < sizeof logs / sizeof logs[0]; i++) {
        struct play play;
        play_open(&play);
        cut(&play, 50);
        stage_sync(&play.stage);
        assert_int_equal(asks(&play), 42);
        logs[i](&play);
        answer(&play, 51, 40, 51);
        assert_short(&play);
        assert_int_equal(asks(&play), 0);
        assert_true(stage_fresh(&play.stage)); /* of plain namespaces nothing is said */
        play_done(&play);
    }
}

static void an_answer_is_ours_or_it_is_none(void **state)
{
    (void)state;
    static const struct {
        const char *reply;
        enum status status;
    } rows[] = {
        {"*4\r\n:1\r\n$2\r\n50\r\n$2\r\n40\r\n$2\r\n50\r\n", OK},
        {"*4\r\n:1\r\n$2\r\n50\r\n$2\r\n-1\r\n$2\r\n50\r\n", OK},
        {"*4\r\n:1\r\n$2\r\n41\r\n$2\r\n40\r\n$2\r\n41\r\n", OK},
        {"*1\r\n:0\r\n", MISS},
        {"-ERR no\r\n", L2_ERROR},
        {"*0\r\n", MALFORMED},
        {"*-1\r\n", MALFORMED},
        {"$2\r\nOK\r\n", MALFORMED},
        {"*1\r\n:1\r\n", MALFORMED},
        {"*2\r\n:0\r\n:0\r\n", MALFORMED},
        {"*4\r\n:2\r\n$2\r\n50\r\n$2\r\n40\r\n$2\r\n50\r\n", MALFORMED},
        {"*4\r\n:1\r\n:50\r\n$2\r\n40\r\n$2\r\n50\r\n", MALFORMED},
        {"*4\r\n:1\r\n$2\r\n5x\r\n$2\r\n40\r\n$2\r\n50\r\n", MALFORMED},
        {"*4\r\n:1\r\n$2\r\n50\r\n$2\r\n-2\r\n$2\r\n50\r\n", MALFORMED},
        {"*4\r\n:1\r\n$2\r\n50\r\n$2\r\n40\r\n$2\r\n51\r\n", MALFORMED}, /* ahead of the seq */
        {"*4\r\n:1\r\n$2\r\n50\r\n$2\r\n40\r\n$2\r\n40\r\n", MALFORMED}, /* goes back */
        {"*4\r\n:1\r\n$16\r\n9007199254740992\r\n$2\r\n40\r\n$2\r\n50\r\n", MALFORMED},
        {"*5\r\n:1\r\n$2\r\n50\r\n$2\r\n40\r\n$2\r\n50\r\n:1\r\n", MALFORMED},
        {"*5\r\n:1\r\n$2\r\n50\r\n$2\r\n40\r\n$2\r\n50\r\n$-1\r\n", MALFORMED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct replay_page page;
        char error[REPLAY_ERROR_MAX] = "";
        assert_int_equal(replay_read(slice_of(rows[i].reply), 42, &page, error), rows[i].status);
        assert_true((rows[i].status == OK) == (page.parsed != NULL));
        assert_true(rows[i].status == OK || strlen(error) > 0);
        replay_done(&page);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bans_and_flushes_come_out_of_the_log_too),
        cmocka_unit_test(a_flush_that_makes_suspect_does_so_out_of_the_log),
        cmocka_unit_test(what_is_not_ours_in_the_log_makes_all_suspect),
        cmocka_unit_test(an_answer_is_ours_or_it_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
