/* SPDX-License-Identifier: BSD-3-Clause */
/* Writes of managed keys: what goes out together, in what order, and who is told what. Redis' bytes are by hand; the script
 * itself is tests/journeys/test_managed_script.py's. */
#include "protocol/envelope.h"
#include "protocol/frame.h"
#include "tests/unit/window_help.h"
#include "tiers/managed_write.h"

#include <stdlib.h>

#define NAME "0123456789012345678901234567890123456789"

enum {
    PENDING_WRITE = -1
};

struct act {
    struct managed_write write;
    unsigned ends;
    int status;
    uint64_t seq;
    char error[64];
    struct stage *again; /* sent once more when it is told */
};

static void on_written(struct managed_write *write, enum status status, uint64_t seq,
                       struct slice error)
{
    struct act *act = (struct act *)(void *)write;
    act->ends++;
    act->status = (int)status;
    act->seq = seq;
    (void)snprintf(act->error, sizeof act->error, "%.*s", (int)error.size,
                   error.size > 0 ? error.data : "");
    if (act->again != NULL) {
        struct stage *stage = act->again;
        act->again = NULL;
        assert_int_equal(managed_write_send(stage->window, write), OK);
    }
}

static struct act act_on(struct stage *stage, enum managed_op op, const char *key)
{
    static char envelope[ENVELOPE_HEAD_SIZE + 5] = "HEAD....VERSIONxREST";
    return (struct act){.write = {.on_written = on_written,
                                  .op = op,
                                  .key = namespaces_key(stage->namespaces, 0, slice_of(key)).at,
                                  .envelope = {envelope, op == MANAGED_PUT ? sizeof envelope : 0}},
                        .status = PENDING_WRITE};
}

static void set_epoch(struct stage *stage, uint64_t counter)
{
    const struct beat_answer answer = {
        .epoch = {.counter = counter, .random = 1}, .seq = 1, .run = 3, .target = 4, .reign = 5};
    coherence_on_control_up(tiers_coherence(stage->tiers), &answer, HELP_NOW);
}

static void open_stage(struct stage *stage)
{
    const struct namespace_spec specs[] = {spec_of("default", "", 1000),
                                           spec_of("strict", "strict:", 1000)};
    struct namespace_spec both[2] = {specs[0], specs[1]};
    both[1].settings.mode.kind = NAMESPACE_STRICT;
    stage_open(stage, both, 2);
    set_epoch(stage, 5);
    prove(stage, HELP_NOW);
}

static void send(struct stage *stage, struct act *act)
{
    assert_int_equal(managed_write_send(stage->window, &act->write), OK);
}

/* The requests that go out now, each as an array of words. */
struct request {
    unsigned count;
    struct slice words[80 * 5];
};
struct outgoing {
    struct buf bytes;
    unsigned count;
    struct request requests[4];
};

static struct outgoing *flushed(struct stage *stage)
{
    struct outgoing *out = calloc(1, sizeof *out);
    assert_non_null(out);
    managed_write_flush(stage->window);
    out->bytes = help_written(&stage->roof);
    struct reply_cursor cursor = {buf_slice(&out->bytes)};
    struct reply_element element;
    while (reply_next(&cursor, &element) == OK) {
        assert_int_equal(element.type, REPLY_ARRAY);
        assert_true(out->count < 4);
        struct request *request = &out->requests[out->count++];
        for (int64_t i = element.number; i > 0; i--) {
            assert_int_equal(reply_next(&cursor, &element), OK);
            assert_true(request->count < 400);
            request->words[request->count++] = element.text;
        }
    }
    return out;
}

static void drop(struct outgoing *out)
{
    buf_done(&out->bytes);
    free(out);
}

static bool calls(const struct request *request, const char *how)
{
    return request->count >= 8 && slice_is(request->words[0], how);
}

static void expect_nothing(struct stage *stage)
{
    struct outgoing *out = flushed(stage);
    assert_int_equal(out->count, 0);
    drop(out);
}

/* The first call of a window, which also learns the script's name. */
static void begin(struct stage *stage)
{
    struct act act = act_on(stage, MANAGED_DELETE, "first");
    send(stage, &act);
    struct outgoing *out = flushed(stage);
    assert_int_equal(out->count, 2);
    assert_true(slice_is(out->requests[0].words[1], "LOAD"));
    assert_true(calls(&out->requests[1], "EVAL"));
    drop(out);
    HELP_SAY(&stage->roof, "$40\r\n" NAME "\r\n*2\r\n:70\r\n:1\r\n");
    assert_int_equal(act.status, OK);
}

static void expect_one(struct stage *stage, const char *how)
{
    struct outgoing *out = flushed(stage);
    assert_int_equal(out->count, 1);
    assert_true(calls(&out->requests[0], how));
    drop(out);
}

static void expect(const struct act *act, int status, uint64_t seq)
{
    assert_int_equal(act->ends, status == PENDING_WRITE ? 0 : 1);
    assert_int_equal(act->status, status);
    assert_int_equal(act->seq, seq);
}

/* --- what is asked ----------------------------------------------------------------------------------------------------- */

static void writes_of_one_turn_are_one_call_in_their_order(void **state)
{
    (void)state;
    struct stage stage;
    open_stage(&stage);
    begin(&stage);
    struct act put = act_on(&stage, MANAGED_PUT, "a");
    struct act delete = act_on(&stage, MANAGED_DELETE, "b");
    struct act expire = act_on(&stage, MANAGED_EXPIRE, "c");
    put.write.px_ms = 77;
    put.write.cond = MANAGED_IF_LEASE;
    memcpy(put.write.token, "0123456789abcdef", MANAGED_TOKEN_SIZE);
    delete.write.cond = MANAGED_IF_VERSION;
    delete.write.version = 258;
    delete.write.key.db = 3;
    expire.write.px_ms = -1;
    send(&stage, &put);
    send(&stage, &delete);
    send(&stage, &expire);
    struct outgoing *out = flushed(&stage);
    assert_int_equal(out->count, 1);
    const struct request *request = &out->requests[0];
    assert_true(calls(request, "EVALSHA"));
    assert_int_equal(request->count, 8 + 4 + 2 + 3);
    static const char *const words[] = {"EVALSHA", NAME, "0",  "15", "5", NULL, NULL, NULL, NULL,
                                        "a",       "77", NULL, NULL, "b", NULL, "c",  "-1"};
    for (unsigned i = 0; i < request->count; i++) {
        if (words[i] != NULL) {
            assert_true(slice_is(request->words[i], words[i]));
        }
    }
    assert_true(slice_equal(request->words[8], (struct slice){"P\0HEAD....L0123456789abcdef", 27}));
    assert_true(slice_equal(request->words[12], (struct slice){"D\3V\2\1\0\0\0\0\0\0", 11}));
    assert_true(slice_equal(request->words[14], (struct slice){"E\0", 2}));
    assert_int_equal(request->words[11].size, ENVELOPE_HEAD_SIZE + 5 - 16);
    struct frame frame;
    assert_int_equal(frame_read(request->words[7], &frame), OK);
    assert_int_equal(frame.type, FRAME_KEYS);
    assert_int_equal(frame.count, 3);
    size_t at = 0;
    uint8_t db = 0;
    struct slice key;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(frame_next_key(frame.body, &at, &db, &key), OK);
        assert_int_equal(db, i == 1 ? 3 : 0);
        assert_int_equal(key.data[0], "abc"[i]);
    }
    drop(out);
    HELP_SAY(&stage.roof, "*4\r\n:71\r\n:-1\r\n:0\r\n:2\r\n");
    expect(&put, MISS, 71);
    expect(&delete, AGAIN, 71);
    expect(&expire, OK, 71);
    assert_false(expire.write.stood);
    stage_done(&stage);
}

static void each_has_its_own_error(void **state)
{
    (void)state;
    struct stage stage;
    open_stage(&stage);
    begin(&stage);
    struct act a = act_on(&stage, MANAGED_PUT, "a");
    struct act b = act_on(&stage, MANAGED_DELETE, "b");
    send(&stage, &a);
    send(&stage, &b);
    expect_one(&stage, "EVALSHA");
    HELP_SAY(&stage.roof, "*3\r\n:80\r\n-OOM no room\r\n:1\r\n");
    expect(&a, L2_ERROR, 80);
    assert_string_equal(a.error, "OOM no room");
    expect(&b, OK, 80);
    assert_true(b.write.stood);
    send(&stage, &a);
    expect_one(&stage, "EVALSHA");
    HELP_SAY(&stage.roof, "-READONLY as a whole\r\n");
    assert_int_equal(a.status, L2_ERROR);
    assert_string_equal(a.error, "READONLY as a whole");
    stage_done(&stage);
}

static void while_one_is_on_its_way_the_next_fills(void **state)
{
    (void)state;
    struct stage stage;
    open_stage(&stage);
    begin(&stage);
    struct act first = act_on(&stage, MANAGED_PUT, "a");
    send(&stage, &first);
    expect_one(&stage, "EVALSHA");
    struct act many[MANAGED_GROUP_WRITES + 6];
    for (unsigned i = 0; i < MANAGED_GROUP_WRITES + 6; i++) {
        many[i] = act_on(&stage, MANAGED_DELETE, "b");
        send(&stage, &many[i]);
        expect_nothing(&stage);
    }
    HELP_SAY(&stage.roof, "*2\r\n:71\r\n:1\r\n");
    struct outgoing *out = flushed(&stage);
    assert_int_equal(out->count, 1);
    assert_true(calls(&out->requests[0], "EVAL")); /* a full one: others may go behind it */
    assert_int_equal(out->requests[0].count, 8 + 2 * MANAGED_GROUP_WRITES);
    drop(out);
    expect_nothing(&stage);
    struct buf reply = {0};
    assert_int_equal(buf_printf(&reply, "*%d\r\n:72\r\n", MANAGED_GROUP_WRITES + 1), OK);
    for (unsigned i = 0; i < MANAGED_GROUP_WRITES; i++) {
        assert_int_equal(buf_printf(&reply, ":1\r\n"), OK);
    }
    help_feed(&stage.roof, buf_slice(&reply), HELP_NOW);
    buf_done(&reply);
    expect(&many[MANAGED_GROUP_WRITES - 1], OK, 72);
    expect(&many[MANAGED_GROUP_WRITES], PENDING_WRITE, 0);
    expect_one(&stage, "EVALSHA");
    HELP_SAY(&stage.roof, "*7\r\n:73\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n");
    expect(&many[MANAGED_GROUP_WRITES + 5], OK, 73);
    stage_done(&stage);
}

static void on_none_written(struct managed_write *write, enum status status, uint64_t seq,
                            struct slice error)
{
    assert_int_equal(write->op, MANAGED_PUT);
    assert_int_equal(status, AGAIN);
    assert_int_equal(seq, 71);
    assert_int_equal(error.size, 0);
    write->op = MANAGED_DELETE;
}

static void what_belongs_together_goes_together_or_not_at_all(void **state)
{
    (void)state;
    struct stage stage;
    open_stage(&stage);
    begin(&stage);
    struct act one = act_on(&stage, MANAGED_DELETE, "x");
    struct managed_write several[MANAGED_GROUP_WRITES];
    struct managed_write *pointers[MANAGED_GROUP_WRITES];
    struct act model = act_on(&stage, MANAGED_PUT, "y");
    for (unsigned i = 0; i < MANAGED_GROUP_WRITES; i++) {
        several[i] = model.write;
        several[i].on_written = on_none_written;
        pointers[i] = &several[i];
    }
    send(&stage, &one);
    assert_int_equal(managed_writes_send(stage.window, pointers, 3, true), OK);
    struct outgoing *out = flushed(&stage);
    assert_int_equal(out->requests[0].count, 8 + 2 + 2 + 12);
    assert_true(slice_is(out->requests[0].words[10], "A"));
    assert_true(slice_is(out->requests[0].words[11], "3"));
    drop(out);
    char *large = calloc(1, MANAGED_KEYS_BYTES);
    assert_non_null(large);
    several[3].key.bytes = (struct slice){large, MANAGED_KEYS_BYTES};
    assert_int_equal(managed_writes_send(stage.window, &pointers[3], 2, true), TOO_BIG);
    assert_int_equal(managed_write_send(stage.window, &several[3]), TOO_BIG);
    free(large);
    HELP_SAY(&stage.roof, "*5\r\n:71\r\n:1\r\n:0\r\n:0\r\n:0\r\n");
    expect(&one, OK, 71);
    assert_int_equal(several[2].op, MANAGED_DELETE);
    stage_done(&stage);
}

/* --- what is not done, and asked again ----------------------------------------------------------------------------------- */

static void a_forgotten_script_is_sent_whole_and_nothing_overtakes(void **state)
{
    (void)state;
    struct stage stage;
    open_stage(&stage);
    begin(&stage);
    struct act first = act_on(&stage, MANAGED_PUT, "a");
    struct act second = act_on(&stage, MANAGED_PUT, "a");
    send(&stage, &first);
    expect_one(&stage, "EVALSHA");
    send(&stage, &second);
    expect_nothing(&stage);
    HELP_SAY(&stage.roof, "-NOSCRIPT No matching script. Please use EVAL.\r\n");
    expect(&first, PENDING_WRITE, 0);
    expect_one(&stage, "EVAL");
    HELP_SAY(&stage.roof, "*2\r\n:71\r\n:1\r\n");
    expect(&first, OK, 71);
    expect(&second, PENDING_WRITE, 0);
    expect_one(&stage, "EVALSHA");
    HELP_SAY(&stage.roof, "*2\r\n:72\r\n:1\r\n");
    expect(&second, OK, 72);
    assert_int_equal(metrics_read(&stage.metrics, M_MANAGED_NOSCRIPT), 1);
    stage_done(&stage);
}

static void another_epoch_is_waited_for_in_order(void **state)
{
    (void)state;
    struct stage stage;
    open_stage(&stage);
    begin(&stage);
    struct act many[2 * MANAGED_GROUP_WRITES];
    for (unsigned i = 0; i < 2 * MANAGED_GROUP_WRITES; i++) {
        many[i] = act_on(&stage, MANAGED_DELETE, "b");
        send(&stage, &many[i]);
    }
    struct outgoing *out = flushed(&stage);
    assert_int_equal(out->count, 2);
    drop(out);
    HELP_SAY(&stage.roof, "*1\r\n:0\r\n");
    set_epoch(&stage, 10); /* heard before the second is answered: it may not be overtaken */
    struct act late = act_on(&stage, MANAGED_PUT, "b");
    send(&stage, &late);
    expect_nothing(&stage);
    HELP_SAY(&stage.roof, "*1\r\n:0\r\n");
    out = flushed(&stage);
    assert_int_equal(out->count, 2);
    assert_true(slice_is(out->requests[0].words[4], "10"));
    drop(out);
    expect(&many[0], PENDING_WRITE, 0);
    tiers_window_end_links(stage.window);
    expect(&many[0], UNKNOWN, 0);
    expect(&late, L2_DOWN, 0);
    stage_done(&stage);
}

static void an_epoch_that_never_comes_ends_with_the_deadline(void **state)
{
    (void)state;
    struct stage stage;
    open_stage(&stage);
    begin(&stage);
    struct act act = act_on(&stage, MANAGED_PUT, "a");
    send(&stage, &act);
    expect_one(&stage, "EVALSHA");
    HELP_SAY(&stage.roof, "*1\r\n:0\r\n");
    expect_nothing(&stage);
    tiers_window_begin(stage.window, HELP_NOW + MANAGED_RETRY_MS);
    expect_one(&stage, "EVAL");
    HELP_SAY(&stage.roof, "*1\r\n:0\r\n");
    tiers_window_tick(stage.window, HELP_NOW + 2000);
    expect(&act, L2_DOWN, 0);
    stage_done(&stage);
}

static void without_an_epoch_nothing_is_sent(void **state)
{
    (void)state;
    const struct namespace_spec spec = spec_of("default", "", 1000);
    struct stage stage;
    stage_open(&stage, &spec, 1);
    struct act act = act_on(&stage, MANAGED_PUT, "a");
    send(&stage, &act);
    expect_nothing(&stage);
    tiers_window_tick(stage.window, HELP_NOW + 2000);
    expect(&act, L2_DOWN, 0);
    stage_done(&stage);
}

/* --- what is not known --------------------------------------------------------------------------------------------------- */

static void a_lost_call_is_unknown_and_what_waits_goes_on(void **state)
{
    (void)state;
    struct stage stage;
    open_stage(&stage);
    begin(&stage);
    struct act first = act_on(&stage, MANAGED_PUT, "a");
    struct act second = act_on(&stage, MANAGED_PUT, "a");
    send(&stage, &first);
    expect_one(&stage, "EVALSHA");
    send(&stage, &second);
    expect_nothing(&stage);
    link_on_lost(stage.roof.link, "gone", HELP_NOW);
    expect(&first, PENDING_WRITE, 0); /* until it cannot run any more */
    expect_nothing(&stage);
    link_tick(stage.roof.link, HELP_NOW + 500);
    link_on_connected(stage.roof.link, HELP_NOW + 500);
    struct buf greeting = help_written(&stage.roof);
    buf_done(&greeting);
    HELP_SAY(&stage.roof, ":8\r\n" HELP_BEAT_ANSWER);
    greeting = help_written(&stage.roof);
    buf_done(&greeting);
    HELP_SAY(&stage.roof, HELP_SELECTED_8 HELP_SELECTED_8 ":1\r\n");
    expect(&first, UNKNOWN, 0);
    assert_true(first.write.confirmed);
    expect_one(&stage, "EVAL"); /* who knows what that Redis has */
    HELP_SAY(&stage.roof, "*2\r\n:71\r\n:1\r\n");
    expect(&second, OK, 71);
    stage_done(&stage);
}

static void nonsense_is_unknown(void **state)
{
    (void)state;
    static const char *const replies[] = {"+OK\r\n",
                                          "*0\r\n",
                                          "*1\r\n:5\r\n",
                                          "*2\r\n:5\r\n:3\r\n",
                                          "*2\r\n:5\r\n$1\r\nx\r\n",
                                          "*3\r\n:5\r\n:1\r\n:1\r\n"};
    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        struct stage stage;
        open_stage(&stage);
        begin(&stage);
        struct act act = act_on(&stage, MANAGED_PUT, "a");
        send(&stage, &act);
        expect_one(&stage, "EVALSHA");
        help_feed(&stage.roof, slice_of(replies[i]), HELP_NOW);
        expect(&act, UNKNOWN, 0);
        stage_done(&stage);
    }
}

static void a_link_that_is_down_refuses_at_once(void **state)
{
    (void)state;
    struct stage stage;
    open_stage(&stage);
    link_on_lost(stage.roof.link, "gone", HELP_NOW);
    struct act act = act_on(&stage, MANAGED_PUT, "a");
    link_tick(stage.roof.link, HELP_NOW + 2000);
    link_on_lost(stage.roof.link, "gone", HELP_NOW + 2000);
    assert_int_equal(managed_write_send(stage.window, &act.write), L2_DOWN);
    stage_done(&stage);
}

/* --- L1, and all nodes --------------------------------------------------------------------------------------------------- */

static void keys_end_when_sent_and_when_answered(void **state)
{
    (void)state;
    struct stage stage;
    struct reading asked;
    open_stage(&stage);
    begin(&stage);
    struct act act = act_on(&stage, MANAGED_PUT, "a");
    assert_int_equal(ask(&stage, &asked, "a"), PENDING);
    HELP_SAY(&stage.roof, ":-1\r\n$1\r\nv\r\n");
    assert_true(stands(&stage, "a", "v"));
    struct buf read = help_written(&stage.roof);
    buf_done(&read);
    send(&stage, &act);
    expect_one(&stage, "EVALSHA");
    assert_false(stands(&stage, "a", "v"));
    assert_int_equal(ask(&stage, &asked, "a"),
                     PENDING); /* in front of the write's answer on its own link: it may be older */
    HELP_SAY(&stage.roof, "*2\r\n:71\r\n:1\r\n:-1\r\n$1\r\nv\r\n");
    expect_ended(&asked, "v");
    assert_false(stands(&stage, "a", "v"));
    assert_int_equal(act.write.dropped, 1);
    stage_done(&stage);
}

static void strict_writes_wait_for_all_nodes_and_others_do_not(void **state)
{
    (void)state;
    struct stage stage;
    open_stage(&stage);
    begin(&stage);
    struct act bounded = act_on(&stage, MANAGED_PUT, "a");
    struct act strict = act_on(&stage, MANAGED_PUT, "strict:a");
    struct act failed = act_on(&stage, MANAGED_PUT, "strict:b");
    send(&stage, &strict);
    send(&stage, &bounded);
    send(&stage, &failed);
    expect_one(&stage, "EVALSHA");
    HELP_SAY(&stage.roof, "*4\r\n:71\r\n:1\r\n:1\r\n-WRONGTYPE no\r\n");
    expect(&bounded, OK, 71);
    expect(&strict, PENDING_WRITE, 0);
    confirm(&stage, 0, OK);
    expect(&strict, OK, 71);
    expect(&failed, L2_ERROR, 71);
    assert_string_equal(failed.error, "WRONGTYPE no");

    strict = act_on(&stage, MANAGED_PUT, "strict:a");
    send(&stage, &strict);
    expect_one(&stage, "EVALSHA");
    HELP_SAY(&stage.roof, "*2\r\n:72\r\n:1\r\n");
    confirm(&stage, 1, TIMEOUT);
    expect(&strict, STALE, 72);
    stage.refuses = true;
    strict = act_on(&stage, MANAGED_PUT, "strict:a");
    send(&stage, &strict);
    expect_one(&stage, "EVALSHA");
    HELP_SAY(&stage.roof, "*2\r\n:73\r\n:1\r\n");
    expect(&strict, STALE, 73);
    stage_done(&stage);
}

static void who_is_told_may_send_again(void **state)
{
    (void)state;
    struct stage stage;
    open_stage(&stage);
    begin(&stage);
    struct act act = act_on(&stage, MANAGED_DELETE, "a");
    act.again = &stage;
    send(&stage, &act);
    expect_one(&stage, "EVALSHA");
    HELP_SAY(&stage.roof, "*2\r\n:71\r\n:0\r\n");
    assert_int_equal(act.status, AGAIN);
    expect_one(&stage, "EVALSHA");
    HELP_SAY(&stage.roof, "*2\r\n:72\r\n:1\r\n");
    assert_int_equal(act.ends, 2);
    assert_int_equal(act.status, OK);
    stage_done(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_of_one_turn_are_one_call_in_their_order),
        cmocka_unit_test(each_has_its_own_error),
        cmocka_unit_test(while_one_is_on_its_way_the_next_fills),
        cmocka_unit_test(what_belongs_together_goes_together_or_not_at_all),
        cmocka_unit_test(a_forgotten_script_is_sent_whole_and_nothing_overtakes),
        cmocka_unit_test(another_epoch_is_waited_for_in_order),
        cmocka_unit_test(an_epoch_that_never_comes_ends_with_the_deadline),
        cmocka_unit_test(without_an_epoch_nothing_is_sent),
        cmocka_unit_test(a_lost_call_is_unknown_and_what_waits_goes_on),
        cmocka_unit_test(nonsense_is_unknown),
        cmocka_unit_test(a_link_that_is_down_refuses_at_once),
        cmocka_unit_test(keys_end_when_sent_and_when_answered),
        cmocka_unit_test(strict_writes_wait_for_all_nodes_and_others_do_not),
        cmocka_unit_test(who_is_told_may_send_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
