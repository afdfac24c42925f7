/* SPDX-License-Identifier: BSD-3-Clause */
/* What was missed of managed namespaces, out of the log: COHERENCE section 5. */
#include "tests/unit/coherence_help.h"
#include "tiers/replay.h"

struct heard_of {
    unsigned bans;
    unsigned wakes;
    unsigned gaps;
    unsigned wholes;
    bool replayed; /* the last of them */
    bool refuses;
};

struct play {
    struct stage stage; /* its l1 is that of the managed namespace */
    struct l1 *plain;
    struct heard_of heard;
    struct buf log; /* replies of frames */
    unsigned frames;
};

static bool on_ban(void *arg, const struct frame *frame)
{
    struct heard_of *heard = arg;
    assert_true(frame->type == FRAME_TAG || frame->type == FRAME_PREFIX);
    heard->bans++;
    return !heard->refuses;
}

static void on_wake(void *arg, uint8_t db, struct slice key)
{
    struct heard_of *heard = arg;
    assert_true(db == 0 && key.size > 0);
    heard->wakes++;
}

static void on_gap(void *arg)
{
    struct heard_of *heard = arg;
    heard->gaps++;
}

static void on_whole(void *arg, bool replayed)
{
    struct heard_of *heard = arg;
    heard->wholes++;
    heard->replayed = replayed;
}

/* Synced at seq 41, with the entry "m:old" in the managed namespace and "old" in the other. */
static void play_open(struct play *play)
{
    *play = (struct play){0};
    struct namespace_spec specs[] = {
        {.name = SLICE_LITERAL("default"),
         .settings = {.mode = {.bound_ms = T_MS}, .memory = 1 << 20}},
        {.name = SLICE_LITERAL("managed"),
         .prefix = SLICE_LITERAL("m:"),
         .managed = true,
         .settings = {.mode = {.bound_ms = T_MS}, .memory = 1 << 20, .told = true}}};
    const struct coherence_managed_listener listener = {.on_ban = on_ban,
                                                        .on_wake = on_wake,
                                                        .on_gap = on_gap,
                                                        .on_whole = on_whole,
                                                        .arg = &play->heard};
    stage_open_with(&play->stage, namespaces_new(specs, 2, 1), &listener);
    stage_go_on_confirmed(&play->stage);
    stage_sync(&play->stage);
    play->plain = play->stage.l1;
    play->stage.now_ms += 100;
    struct stage *stage = &play->stage;
    assert_int_equal(stage_fill(stage, "old", stage_claim(stage, "old"), stage->now_ms), OK);
    stage->l1 = namespaces_find(stage->namespaces, SLICE_LITERAL("managed"))->l1;
    assert_int_equal(stage_fill(stage, "m:old", stage_claim(stage, "m:old"), stage->now_ms), OK);
    assert_int_equal(stage_fill(stage, "m:new", stage_claim(stage, "m:new"), stage->now_ms), OK);
    stage->now_ms += 100;
    play->heard = (struct heard_of){0};
}

static void play_done(struct play *play)
{
    buf_done(&play->log);
    stage_done(&play->stage);
}

static int64_t managed_floor(const struct play *play)
{
    return atomic_load(&play->stage.view->managed.floor_ms);
}

static bool serves(const struct play *play, const char *name)
{
    const struct l1_key key = l1_key(play->stage.l1, 0, slice_of(name));
    struct l1_peek peek;
    return stage_fresh(&play->stage) &&
           l1_peek(play->stage.l1, &key, play->stage.now_ms, managed_floor(play), &peek) == OK;
}

/* The bus is lost for a moment, and Redis counts to `seq` meanwhile. */
static void cut(struct play *play, uint64_t seq)
{
    struct stage *stage = &play->stage;
    coherence_on_bus_lost(stage->coherence, "reset", stage->now_ms);
    stage->now_ms += 50;
    stage->seq = seq;
    stage_bus_up(stage);
    stage_confirm(stage);
}

/* --- frames of keys, and the log ------------------------------------------------------------------------------------- */

static void write_keys(const struct stage *stage, struct buf *out, enum frame_type type,
                       uint64_t seq, const char *key)
{
    struct buf body = {0};
    assert_int_equal(frame_append_key(&body, 0, slice_of(key)), OK);
    struct frame frame = stage_frame(stage, PEER, 1, seq);
    frame.type = type;
    frame.body = buf_slice(&body);
    if (seq == 0) {
        frame.epoch = (struct epoch){0};
    }
    assert_int_equal(frame_write(out, &frame), OK);
    buf_done(&body);
}

static void publish_key(struct play *play, enum frame_type type, uint64_t seq, const char *key)
{
    struct buf bytes = {0};
    write_keys(&play->stage, &bytes, type, seq, key);
    stage_message(&play->stage, buf_slice(&bytes));
    buf_done(&bytes);
}

static void log_bytes(struct play *play, struct slice frame)
{
    assert_int_equal(buf_printf(&play->log, "$%zu\r\n", frame.size), OK);
    assert_int_equal(buf_append_slice(&play->log, frame), OK);
    assert_int_equal(buf_append(&play->log, "\r\n", 2), OK);
    play->frames++;
}

static void log_frame(struct play *play, enum frame_type type, uint64_t seq, struct slice body)
{
    struct buf bytes = {0};
    struct frame frame = stage_frame(&play->stage, PEER, 1, seq);
    frame.type = type;
    frame.body = body;
    assert_int_equal(frame_write(&bytes, &frame), OK);
    log_bytes(play, buf_slice(&bytes));
    buf_done(&bytes);
}

static void log_key(struct play *play, uint64_t seq, const char *key)
{
    struct buf bytes = {0};
    write_keys(&play->stage, &bytes, FRAME_KEYS, seq, key);
    log_bytes(play, buf_slice(&bytes));
    buf_done(&bytes);
}

static void append_number(struct buf *out, int64_t number)
{
    char text[32];
    const int size = snprintf(text, sizeof text, "%lld", (long long)number);
    assert_int_equal(buf_printf(out, "$%d\r\n%s\r\n", size, text), OK);
}

/* The script's answer, with what was logged since the last one. */
static void answer(struct play *play, uint64_t now, int64_t oldest, uint64_t through)
{
    struct buf reply = {0};
    assert_int_equal(buf_printf(&reply, "*%u\r\n:1\r\n", 4 + play->frames), OK);
    append_number(&reply, (int64_t)now);
    append_number(&reply, oldest);
    append_number(&reply, (int64_t)through);
    assert_int_equal(buf_append_slice(&reply, buf_slice(&play->log)), OK);
    coherence_on_replay_answer(play->stage.coherence, buf_slice(&reply), play->stage.now_ms);
    buf_done(&reply);
    play->log.size = 0;
    play->frames = 0;
}

/* The seq from which on the log is asked; 0: it is not. */
static uint64_t asks(struct play *play)
{
    struct buf out = {0};
    uint64_t from = 0;
    const enum status status = coherence_replay(play->stage.coherence, play->stage.now_ms, &out);
    if (status == OK) {
        struct request_reader reader;
        request_reader_init(&reader);
        assert_int_equal(request_read(&reader, buf_slice(&out)), OK);
        assert_int_equal(reader.argc, 8);
        assert_true(slice_is(request_arg(&reader, buf_slice(&out), 1), replay_script));
        assert_true(slice_is(request_arg(&reader, buf_slice(&out), 3), "15"));
        uint64_t counter = 0;
        assert_int_equal(slice_to_u64(request_arg(&reader, buf_slice(&out), 4), &counter), OK);
        assert_int_equal(counter, play->stage.epoch.counter);
        assert_int_equal(get_u64le(request_arg(&reader, buf_slice(&out), 5).data), 55);
        assert_int_equal(slice_to_u64(request_arg(&reader, buf_slice(&out), 6), &from), OK);
        request_reader_done(&reader);
    } else {
        assert_int_equal(status, AGAIN);
    }
    buf_done(&out);
    return from;
}

static void assert_short(const struct play *play)
{
    assert_int_equal(managed_floor(play), play->stage.now_ms + 1);
    assert_int_equal(play->heard.wholes, play->heard.gaps);
    assert_false(play->heard.replayed);
}

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

/* --- what is in the log -------------------------------------------------------------------------------------------------- */

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

/* --- the answer, any bytes ------------------------------------------------------------------------------------------------------ */

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

/* --- what outlives the process ------------------------------------------------------------------------------------------ */

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
        cmocka_unit_test(bans_and_flushes_come_out_of_the_log_too),
        cmocka_unit_test(a_flush_that_makes_suspect_does_so_out_of_the_log),
        cmocka_unit_test(what_is_not_ours_in_the_log_makes_all_suspect),
        cmocka_unit_test(an_error_is_asked_again_and_three_decide),
        cmocka_unit_test(a_hole_behind_three_errors_hides_nothing),
        cmocka_unit_test(a_lost_question_is_asked_again),
        cmocka_unit_test(another_epoch_in_the_answer_is_waited_for),
        cmocka_unit_test(a_suspect_counts_as_proved_until_the_gap),
        cmocka_unit_test(written_keys_and_leases_given_back_wake_who_waits),
        cmocka_unit_test(bans_on_the_bus_are_told_and_bad_ones_are_a_doubt),
        cmocka_unit_test(an_answer_is_ours_or_it_is_none),
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
