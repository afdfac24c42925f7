/* SPDX-License-Identifier: BSD-3-Clause */
/* What is said to scripts/lease.lua, and what is heard of it. The script itself: tests/journeys/test_lease_script.py. */
#include "protocol/resp_read.h"
#include "tiers/lease.h"
#include "tiers/wakes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    WORDS = 14
};

static uint32_t words_of(const struct buf *out, struct slice argv[WORDS])
{
    struct request_reader reader;
    request_reader_init(&reader);
    assert_int_equal(request_read(&reader, buf_slice(out)), OK);
    assert_int_equal(reader.used, out->size);
    const uint32_t argc = reader.argc;
    assert_true(argc <= WORDS);
    for (uint32_t i = 0; i < argc; i++) {
        argv[i] = request_arg(&reader, buf_slice(out), i);
    }
    request_reader_done(&reader);
    return argc;
}

static const struct l1_key key = {.bytes = {.data = "m:k", .size = 3}, .db = 2};

static struct lease_request request_of(enum lease_verb verb)
{
    struct lease_request request = {.verb = verb,
                                    .coherence_db = 15,
                                    .epoch = {.counter = 7, .random = UINT64_C(0x0a0d00ff01020304)},
                                    .node = 77,
                                    .key = &key,
                                    .life_ms = 3000,
                                    .seen = 41};
    memcpy(request.token, "s123456789abcd02", LEASE_TOKEN_SIZE);
    return request;
}

static void who_asks_for_a_lease_says_what_was_seen(void **state)
{
    (void)state;
    struct slice words[WORDS];
    struct buf out = {0};
    struct lease_request request = request_of(LEASE_WIN);
    request.heeds_idle = true;
    assert_int_equal(lease_write(&out, &request), OK);
    assert_int_equal(words_of(&out, words), 14);
    static const char *const expected[WORDS] = {
        "EVAL", lease_script,     "0",  "15",   "7", NULL, "WIN", "2", "m:k",
        NULL,   "s123456789abcd", "41", "3000", "!-"};
    for (unsigned i = 0; i < WORDS; i++) {
        assert_true(expected[i] == NULL || slice_is(words[i], expected[i]));
    }
    struct frame frame;
    assert_int_equal(frame_read(words[9], &frame), OK);
    assert_int_equal(frame.type, FRAME_WAKE);
    assert_int_equal(frame.body.size, 0);
    buf_done(&out);
    request.seen_any = true;
    request.heeds_idle = false;
    assert_int_equal(lease_write(&out, &request), OK);
    assert_int_equal(words_of(&out, words), 14);
    assert_int_equal(words[11].size, 0);
    assert_true(slice_is(words[13], "!"));
    buf_done(&out);
}

static void who_ends_it_names_the_key_to_all(void **state)
{
    (void)state;
    static const char *const marks[] = {"", "!", "-"};
    for (unsigned i = 0; i < 3; i++) {
        struct slice words[WORDS];
        struct buf out = {0};
        struct lease_request request = request_of(LEASE_END);
        request.mark = (enum lease_mark)i;
        request.mark_ms = 750;
        request.count_ms = 60000;
        assert_int_equal(lease_write(&out, &request), OK);
        assert_int_equal(words_of(&out, words), 14);
        assert_true(slice_is(words[10], "s123456789abcd02"));
        assert_true(slice_is(words[11], marks[i]));
        assert_true(slice_is(words[12], "750"));
        assert_true(slice_is(words[13], "60000"));
        struct frame frame;
        size_t position = 0;
        uint8_t db = 0;
        struct slice name;
        assert_int_equal(frame_read(words[9], &frame), OK);
        assert_int_equal(frame_next_key(frame.body, &position, &db, &name), OK);
        assert_int_equal(db, 2);
        assert_true(slice_is(name, "m:k"));
        buf_done(&out);
    }
}

static void a_key_that_fits_in_no_frame_has_no_lease(void **state)
{
    (void)state;
    struct buf out = {0};
    struct lease_request request = request_of(LEASE_END);
    struct l1_key large = {.bytes = {.size = LIMIT_FRAME}};
    char *bytes = calloc(1, LIMIT_FRAME);
    large.bytes.data = bytes;
    request.key = &large;
    assert_int_equal(lease_write(&out, &request), TOO_BIG);
    assert_int_equal(out.size, 0);
    free(bytes);
}

static enum status answer(const char *text, struct lease_answer *ret, char error[LEASE_ERROR_MAX])
{
    return lease_read(slice_of(text), ret, error);
}

static void each_answer_is_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum lease_answer_kind kind;
        int64_t ms;
    } cases[] = {{"*2\r\n$4\r\nBUSY\r\n:12\r\n", LEASE_BUSY, 12},
                 {"*2\r\n$6\r\nFAILED\r\n:1\r\n", LEASE_FAILED, 1},
                 {"*2\r\n$4\r\nIDLE\r\n:5\r\n", LEASE_IDLE, 5},
                 {"*1\r\n$5\r\nAGAIN\r\n", LEASE_AGAIN, 0},
                 {"*1\r\n$2\r\nOK\r\n", LEASE_DONE, 0},
                 {"*1\r\n$4\r\nLOST\r\n", LEASE_LOST, 0},
                 {"*1\r\n$5\r\nEPOCH\r\n", LEASE_EPOCH, 0}};
    char error[LEASE_ERROR_MAX];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct lease_answer read = {0};
        assert_int_equal(answer(cases[i].text, &read, error), OK);
        assert_int_equal(read.kind, cases[i].kind);
        assert_int_equal(read.ms, cases[i].ms);
    }
    struct lease_answer won = {0};
    assert_int_equal(
        answer("*3\r\n$3\r\nWON\r\n$16\r\nsabcdefghijklm0f\r\n:12884901889\r\n", &won, error), OK);
    assert_int_equal(won.kind, LEASE_WON);
    assert_int_equal(won.seq, INT64_C(12884901889));
    assert_int_equal(lease_failures(won.token), 15);
    assert_true(lease_has_spare(won.token));
}

static void what_no_script_of_ours_says_is_malformed(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "+OK\r\n",
                                      "*0\r\n",
                                      "*1\r\n:1\r\n",
                                      "*1\r\n$5\r\nOTHER\r\n",
                                      "*1\r\n$4\r\nBUSY\r\n",
                                      "*2\r\n$4\r\nBUSY\r\n$1\r\n1\r\n",
                                      "*1\r\n$3\r\nWON\r\n",
                                      "*3\r\n$3\r\nWON\r\n$15\r\nsabcdefghijklm0\r\n:1\r\n",
                                      "*3\r\n$3\r\nWON\r\n$16\r\nsabcdefghijklm00\r\n:-1\r\n"};
    char error[LEASE_ERROR_MAX];
    struct lease_answer read = {.ms = 99};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(answer(bad[i], &read, error), MALFORMED);
        assert_int_equal(read.ms, 99);
    }
    assert_int_equal(answer("-OOM no room\r\n", &read, error), L2_ERROR);
    assert_string_equal(error, "OOM no room");
}

static void tokens_differ_and_say_whether_there_is_a_spare(void **state)
{
    (void)state;
    char first[LEASE_TOKEN_SIZE];
    char second[LEASE_TOKEN_SIZE];
    lease_token_make(first, 1, true);
    lease_token_make(second, 2, false);
    assert_memory_not_equal(first + 1, second + 1, LEASE_TOKEN_OWN_SIZE - 1);
    assert_true(lease_has_spare(first));
    assert_false(lease_has_spare(second));
    assert_int_equal(lease_failures(first), 0);
}

/* --- wakes ------------------------------------------------------------------------------------------------------- */

static void a_worker_is_told_as_long_as_it_waits(void **state)
{
    (void)state;
    static struct wakes wakes;
    static struct wakes_seat low;
    static struct wakes_seat high;
    uint64_t workers[WAKES_WORDS];
    low = (struct wakes_seat){.wakes = &wakes, .worker = 1};
    high = (struct wakes_seat){.wakes = &wakes, .worker = 127};
    assert_false(wakes_of(&wakes, 5, workers));
    wakes_wait(&low, 5);
    wakes_wait(&low, 5 + WAKES_BUCKETS); /* the same bits */
    wakes_wait(&high, 5);
    assert_true(wakes_of(&wakes, 5, workers));
    assert_int_equal(workers[0], 2);
    assert_true(workers[1] == UINT64_C(1) << 63);
    assert_false(wakes_of(&wakes, 6, workers));
    wakes_leave(&low, 5);
    assert_true(wakes_of(&wakes, 5, workers));
    assert_int_equal(workers[0], 2);
    wakes_leave(&low, 5 + WAKES_BUCKETS);
    wakes_leave(&high, 5);
    assert_false(wakes_of(&wakes, 5, workers));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_asks_for_a_lease_says_what_was_seen),
        cmocka_unit_test(who_ends_it_names_the_key_to_all),
        cmocka_unit_test(a_key_that_fits_in_no_frame_has_no_lease),
        cmocka_unit_test(each_answer_is_told_apart),
        cmocka_unit_test(what_no_script_of_ours_says_is_malformed),
        cmocka_unit_test(tokens_differ_and_say_whether_there_is_a_spare),
        cmocka_unit_test(a_worker_is_told_as_long_as_it_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
