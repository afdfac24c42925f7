/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/frame.h"
#include "protocol/resp_read.h"
#include "tiers/announce.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COMMAND SLICE_LITERAL("*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n")

/* Reads back the requests: MULTI, frames, the command, EXEC. How many keys the frames name; -1: a flush. */
static int requests_of(struct slice bytes, unsigned parts)
{
    struct request_reader reader;
    int keys = 0;
    unsigned count = 0;
    request_reader_init(&reader);
    while (bytes.size > 0) {
        assert_int_equal(request_read(&reader, bytes), OK);
        const struct slice word = request_arg(&reader, bytes, 0);
        if (count == 0) {
            assert_true(slice_is(word, "MULTI"));
        } else if (count == 1) {
            assert_true(slice_is(word, "WAIT"));
        } else if (count == parts) {
            assert_true(slice_is(word, "EXEC"));
        } else if (count == parts - 1) {
            assert_true(slice_is(word, "DEL"));
        } else {
            struct frame frame;
            struct slice key;
            size_t position = 0;
            uint8_t db = 0;
            assert_true(slice_is(word, "PUBLISH"));
            assert_true(slice_is(request_arg(&reader, bytes, 1), "terrace:bus"));
            assert_int_equal(frame_read(request_arg(&reader, bytes, 2), &frame), OK);
            assert_true(frame.node == 7 && frame.seq_first == 0 && frame.epoch.counter == 0);
            if (frame.type == FRAME_FLUSH) {
                keys = -1;
            }
            uint32_t named = 0;
            while (frame.type == FRAME_KEYS &&
                   frame_next_key(frame.body, &position, &db, &key) == OK) {
                assert_int_equal(db, keys % 16);
                keys++;
                named++;
            }
            assert_true(frame.type == FRAME_FLUSH || named == frame.count);
        }
        count++;
        bytes.data += reader.used;
        bytes.size -= reader.used;
        request_reader_reset(&reader);
    }
    request_reader_done(&reader);
    assert_int_equal(count, parts + 1);
    return keys;
}

static void keys_are_named_in_as_many_frames_as_it_takes(void **state)
{
    (void)state;
    static char names[1000][400];
    static struct l1_key keys[1000];
    static const size_t counts[] = {1, 2, 100, 1000};
    for (size_t i = 0; i < 1000; i++) {
        (void)snprintf(names[i], sizeof names[i], "%0300zu", i);
        keys[i] = (struct l1_key){.bytes = slice_of(names[i]), .db = (uint8_t)(i % 16)};
    }
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct buf out = {0};
        unsigned parts = 0;
        assert_int_equal(announce_write(&out,
                                        &(struct announce){.node = 7,
                                                           .keys = keys,
                                                           .key_count = counts[i],
                                                           .commands = COMMAND,
                                                           .command_count = 1},
                                        &parts),
                         OK);
        assert_int_equal(requests_of(buf_slice(&out), parts), (int)counts[i]);
        assert_true(counts[i] < 1000 ? parts == 4 : parts > 7);
        buf_done(&out);
    }
}

static void unknown_keys_are_a_flush(void **state)
{
    (void)state;
    struct buf out = {0};
    unsigned parts = 0;
    assert_int_equal(
        announce_write(&out, &(struct announce){.node = 7, .commands = COMMAND, .command_count = 1},
                       &parts),
        OK);
    assert_int_equal(parts, 4);
    assert_int_equal(requests_of(buf_slice(&out), parts), -1);
    buf_done(&out);
}

static void the_reply_is_the_last_of_exec(void **state)
{
    (void)state;
    static const char *const own[] = {":1\r\n",
                                      "+OK\r\n",
                                      "$-1\r\n",
                                      "_\r\n",
                                      "-WRONGTYPE no\r\n",
                                      "*2\r\n:1\r\n*1\r\n$1\r\nx\r\n",
                                      "%1\r\n+a\r\n,1.5\r\n"};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        for (unsigned frames = 1; frames < 4; frames++) {
            char exec[200];
            (void)snprintf(exec, sizeof exec, "*%u\r\n%.*s%s", frames + 1, (int)frames * 4,
                           ":5\r\n:5\r\n:5\r\n", own[i]);
            const struct announce_refusal none = {0};
            struct slice reply;
            assert_int_equal(announce_reply(&none, slice_of(exec), &reply), OK);
            assert_true(slice_is(reply, own[i]));
        }
    }
}

static void what_was_refused_when_queued_is_the_reply(void **state)
{
    (void)state;
    struct announce_refusal refusal = {0};
    struct slice reply;
    announce_take(&refusal, SLICE_LITERAL("+OK\r\n"));
    announce_take(&refusal, SLICE_LITERAL("+QUEUED\r\n"));
    announce_take(&refusal, SLICE_LITERAL("-ERR wrong number\r\n"));
    announce_take(&refusal, SLICE_LITERAL("-ERR another\r\n"));
    assert_int_equal(announce_reply(&refusal, SLICE_LITERAL("-EXECABORT no\r\n"), &reply), OK);
    assert_true(slice_is(reply, "-ERR wrong number\r\n"));
}

static void a_long_error_is_cut_and_still_a_reply(void **state)
{
    (void)state;
    for (size_t size = ANNOUNCE_ERROR_MAX - 4; size < ANNOUNCE_ERROR_MAX + 4; size++) {
        char text[ANNOUNCE_ERROR_MAX + 8];
        struct announce_refusal refusal = {0};
        struct slice reply;
        memset(text, 'x', sizeof text);
        text[0] = '-';
        memcpy(text + size - 2, "\r\n", 2);
        announce_take(&refusal, (struct slice){text, size});
        assert_int_equal(announce_reply(&refusal, SLICE_LITERAL("-EXECABORT no\r\n"), &reply), OK);
        struct reply_framer framer = {0};
        size_t whole = 0;
        assert_int_equal(reply_frame(&framer, reply, &whole), OK);
        assert_int_equal(whole, reply.size);
    }
}

static void an_error_of_exec_is_the_reply(void **state)
{
    (void)state;
    const struct announce_refusal none = {0};
    struct slice reply;
    assert_int_equal(announce_reply(&none, SLICE_LITERAL("-ERR DB index\r\n"), &reply), OK);
    assert_true(slice_is(reply, "-ERR DB index\r\n"));
    static const char *const strange[] = {"+OK\r\n", "*0\r\n", "*1\r\n:1\r\n", "*-1\r\n", "_\r\n"};
    for (size_t i = 0; i < sizeof strange / sizeof strange[0]; i++) {
        assert_int_equal(announce_reply(&none, slice_of(strange[i]), &reply), MALFORMED);
    }
}

static void a_transaction_may_be_silent(void **state)
{
    (void)state;
    struct buf out = {0};
    unsigned parts = 0;
    const struct announce announce = {.silent = true,
                                      .commands = SLICE_LITERAL("*1\r\n$4\r\nPING\r\n"
                                                                "*1\r\n$4\r\nTIME\r\n"),
                                      .command_count = 2};
    assert_int_equal(announce_write(&out, &announce, &parts), OK);
    assert_int_equal(parts, 4);
    assert_true(slice_is(buf_slice(&out), "*1\r\n$5\r\nMULTI\r\n"
                                          "*3\r\n$4\r\nWAIT\r\n$10\r\n2147483647\r\n$1\r\n0\r\n"
                                          "*1\r\n$4\r\nPING\r\n"
                                          "*1\r\n$4\r\nTIME\r\n*1\r\n$4\r\nEXEC\r\n"));
    buf_done(&out);
}

static void a_transaction_gets_the_array_and_is_told_of_frames(void **state)
{
    (void)state;
    const struct announce_refusal none = {0};
    struct slice own;
    unsigned frames = 9;
    const struct slice array = SLICE_LITERAL("*3\r\n:1\r\n+OK\r\n$-1\r\n");
    assert_int_equal(announce_replies(&none, 2, array, &own, &frames), OK);
    assert_true(frames == 1 && own.data == array.data && own.size == array.size);
    assert_int_equal(announce_replies(&none, 3, array, &own, &frames), OK);
    assert_int_equal(frames, 0);
    assert_int_equal(announce_replies(&none, 4, array, &own, &frames), MALFORMED);
    assert_int_equal(announce_replies(&none, 1, SLICE_LITERAL("+OK\r\n"), &own, &frames),
                     MALFORMED);
}

static void a_transaction_that_was_refused_says_so_in_the_words_of_exec(void **state)
{
    (void)state;
    struct announce_refusal refusal = {0};
    struct slice own;
    unsigned frames = 0;
    announce_take(&refusal, SLICE_LITERAL("-NOPERM no\r\n"));
    assert_int_equal(
        announce_replies(&refusal, 1, SLICE_LITERAL("-EXECABORT x\r\n"), &own, &frames), OK);
    assert_true(slice_is(own, "-EXECABORT x\r\n"));
    assert_int_equal(
        announce_replies(&refusal, 1, SLICE_LITERAL("-ERR EXEC without MULTI\r\n"), &own, &frames),
        OK);
    assert_true(slice_is(own, "-NOPERM no\r\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_named_in_as_many_frames_as_it_takes),
        cmocka_unit_test(unknown_keys_are_a_flush),
        cmocka_unit_test(the_reply_is_the_last_of_exec),
        cmocka_unit_test(what_was_refused_when_queued_is_the_reply),
        cmocka_unit_test(a_long_error_is_cut_and_still_a_reply),
        cmocka_unit_test(an_error_of_exec_is_the_reply),
        cmocka_unit_test(a_transaction_may_be_silent),
        cmocka_unit_test(a_transaction_gets_the_array_and_is_told_of_frames),
        cmocka_unit_test(a_transaction_that_was_refused_says_so_in_the_words_of_exec),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
