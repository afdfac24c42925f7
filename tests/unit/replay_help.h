/* SPDX-License-Identifier: BSD-3-Clause */
/* replay_help.h -- a node of two namespaces, one of them managed, and the log that L2 has of it. */
#ifndef TERRACE_TESTS_UNIT_REPLAY_HELP_H
#define TERRACE_TESTS_UNIT_REPLAY_HELP_H

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

static inline bool on_ban(void *arg, const struct frame *frame)
{
    struct heard_of *heard = arg;
    assert_true(frame->type == FRAME_TAG || frame->type == FRAME_PREFIX);
    heard->bans++;
    return !heard->refuses;
}

static inline void on_wake(void *arg, uint8_t db, struct slice key)
{
    struct heard_of *heard = arg;
    assert_true(db == 0 && key.size > 0);
    heard->wakes++;
}

static inline void on_gap(void *arg)
{
    struct heard_of *heard = arg;
    heard->gaps++;
}

static inline void on_whole(void *arg, bool replayed)
{
    struct heard_of *heard = arg;
    heard->wholes++;
    heard->replayed = replayed;
}

/* Synced at seq 41, with the entry "m:old" in the managed namespace and "old" in the other. */
static inline void play_open(struct play *play)
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

static inline void play_done(struct play *play)
{
    buf_done(&play->log);
    stage_done(&play->stage);
}

static inline int64_t managed_floor(const struct play *play)
{
    return atomic_load(&play->stage.view->managed.floor_ms);
}

static inline bool serves(const struct play *play, const char *name)
{
    const struct l1_key key = l1_key(play->stage.l1, 0, slice_of(name));
    struct l1_peek peek;
    return stage_fresh(&play->stage) &&
           l1_peek(play->stage.l1, &key, play->stage.now_ms, managed_floor(play), &peek) == OK;
}

/* The bus is lost for a moment, and Redis counts to `seq` meanwhile. */
static inline void cut(struct play *play, uint64_t seq)
{
    struct stage *stage = &play->stage;
    coherence_on_bus_lost(stage->coherence, "reset", stage->now_ms);
    stage->now_ms += 50;
    stage->seq = seq;
    stage_bus_up(stage);
    stage_confirm(stage);
}

/* --- frames of keys, and the log ------------------------------------------------------------------------------------- */

static inline void write_keys(const struct stage *stage, struct buf *out, enum frame_type type,
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

static inline void publish_key(struct play *play, enum frame_type type, uint64_t seq,
                               const char *key)
{
    struct buf bytes = {0};
    write_keys(&play->stage, &bytes, type, seq, key);
    stage_message(&play->stage, buf_slice(&bytes));
    buf_done(&bytes);
}

static inline void log_bytes(struct play *play, struct slice frame)
{
    assert_int_equal(buf_printf(&play->log, "$%zu\r\n", frame.size), OK);
    assert_int_equal(buf_append_slice(&play->log, frame), OK);
    assert_int_equal(buf_append(&play->log, "\r\n", 2), OK);
    play->frames++;
}

static inline void log_frame(struct play *play, enum frame_type type, uint64_t seq,
                             struct slice body)
{
    struct buf bytes = {0};
    struct frame frame = stage_frame(&play->stage, PEER, 1, seq);
    frame.type = type;
    frame.body = body;
    assert_int_equal(frame_write(&bytes, &frame), OK);
    log_bytes(play, buf_slice(&bytes));
    buf_done(&bytes);
}

static inline void log_key(struct play *play, uint64_t seq, const char *key)
{
    struct buf bytes = {0};
    write_keys(&play->stage, &bytes, FRAME_KEYS, seq, key);
    log_bytes(play, buf_slice(&bytes));
    buf_done(&bytes);
}

static inline void append_number(struct buf *out, int64_t number)
{
    char text[32];
    const int size = snprintf(text, sizeof text, "%lld", (long long)number);
    assert_int_equal(buf_printf(out, "$%d\r\n%s\r\n", size, text), OK);
}

/* The script's answer, with what was logged since the last one. */
static inline void answer(struct play *play, uint64_t now, int64_t oldest, uint64_t through)
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
static inline uint64_t asks(struct play *play)
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

static inline void assert_short(const struct play *play)
{
    assert_int_equal(managed_floor(play), play->stage.now_ms + 1);
    assert_int_equal(play->heard.wholes, play->heard.gaps);
    assert_false(play->heard.replayed);
}

#endif
