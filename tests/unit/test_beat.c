/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/resp_read.h"
#include "tiers/beat.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The arguments of the one request in `out`. */
static uint32_t arguments(const struct buf *out, struct slice argv[16])
{
    struct request_reader reader;
    request_reader_init(&reader);
    assert_int_equal(request_read(&reader, buf_slice(out)), OK);
    assert_int_equal(reader.used, out->size);
    const uint32_t argc = reader.argc;
    assert_true(argc <= 16);
    for (uint32_t i = 0; i < argc; i++) {
        argv[i] = request_arg(&reader, buf_slice(out), i);
    }
    request_reader_done(&reader);
    return argc;
}

static enum status answer(const char *text, size_t size, struct beat_answer *ret,
                          char error[BEAT_ERROR_MAX])
{
    return beat_read((struct slice){.data = text, .size = size}, ret, error);
}

#define ANSWER(literal, ret, error) answer((literal), sizeof(literal) - 1, (ret), (error))

static void the_script_is_embedded_whole(void **state)
{
    (void)state;
    assert_non_null(strstr(beat_script, "SPDX-License-Identifier"));
    const char *end = beat_script + strlen(beat_script);
    const char last[] = "return { counter, random, seq, began, run, replid }\n";
    assert_true(strlen(beat_script) > sizeof last);
    assert_string_equal(end - (sizeof last - 1), last);
}

static void a_greeting_is_an_eval_with_an_empty_frame(void **state)
{
    (void)state;
    struct buf out = {0};
    const struct beat_request request = {.coherence_db = 15,
                                         .known_epoch = 0,
                                         .fresh_random = UINT64_C(0x0a0d00ff01020304),
                                         .node = UINT64_MAX,
                                         .deadline_ms = INT64_C(1700000000000)};
    assert_int_equal(beat_write(&out, &request), OK);
    struct slice argv[16] = {0};
    assert_int_equal(arguments(&out, argv), 9);
    assert_true(slice_is(argv[0], "EVAL"));
    assert_true(slice_is(argv[1], beat_script));
    assert_true(slice_is(argv[2], "0"));
    assert_true(slice_is(argv[3], "15"));
    assert_true(slice_is(argv[4], "0"));
    assert_int_equal(argv[5].size, 8);
    assert_int_equal(get_u64le(argv[5].data), UINT64_C(0x0a0d00ff01020304));
    assert_true(slice_is(argv[6], "18446744073709551615"));
    assert_true(slice_is(argv[7], "1700000000000"));
    assert_int_equal(argv[8].size, 0);
    buf_done(&out);
}

static void a_beat_carries_its_frame_and_the_known_epoch(void **state)
{
    (void)state;
    struct buf out = {0};
    assert_int_equal(buf_append(&out, "", 0), OK);
    const struct frame frame = {.type = FRAME_BEAT, .node = 9, .nonce = 10, .count = 1};
    const struct beat_request request = {
        .known_epoch = EPOCH_COUNTER_MAX, .node = 9, .publish = true, .frame = &frame};
    assert_int_equal(beat_write(&out, &request), OK);
    struct slice argv[16] = {0};
    assert_int_equal(arguments(&out, argv), 9);
    assert_true(slice_is(argv[4], "99999999999999"));
    struct frame seen;
    assert_int_equal(frame_read(argv[8], &seen), OK);
    assert_int_equal(seen.nonce, 10);
    buf_done(&out);
}

static void a_request_is_appended_behind_what_is_there(void **state)
{
    (void)state;
    struct buf out = {0};
    assert_int_equal(buf_append(&out, "before", 6), OK);
    const struct beat_request request = {.node = 1};
    assert_int_equal(beat_write(&out, &request), OK);
    assert_memory_equal(out.data, "before*9\r\n", 10);
    buf_done(&out);
}

static void a_frame_that_is_too_big_leaves_nothing_behind(void **state)
{
    (void)state;
    static char large[128 * 1024];
    struct buf out = {0};
    const struct frame frame = {.type = FRAME_BEAT, .body = {large, sizeof large}};
    const struct beat_request request = {.publish = true, .frame = &frame};
    assert_int_equal(beat_write(&out, &request), TOO_BIG);
    assert_int_equal(out.size, 0);
    buf_done(&out);
}

static void the_flat_answer_is_read(void **state)
{
    (void)state;
    struct beat_answer seen;
    char error[BEAT_ERROR_MAX];
    assert_int_equal(
        ANSWER("*6\r\n:3\r\n$8\r\n\x01\0\r\n\0\0\0\x80\r\n:41\r\n:1\r\n$4\r\nabcd\r\n$2\r\nr1\r\n",
               &seen, error),
        OK);
    assert_int_equal(seen.epoch.counter, 3);
    assert_int_equal(seen.epoch.random, UINT64_C(0x800000000a0d0001));
    assert_int_equal(seen.seq, 41);
    assert_true(seen.began);
    assert_int_equal(
        ANSWER("*6\r\n:99999999999999\r\n$8\r\n12345678\r\n:0\r\n:0\r\n$4\r\nabcd\r\n$2\r\nr1\r\n",
               &seen, error),
        OK);
    assert_false(seen.began);
}

static void an_error_is_told_in_redis_words_without_the_scripts_address(void **state)
{
    (void)state;
    struct beat_answer seen;
    char error[BEAT_ERROR_MAX];
    assert_int_equal(ANSWER("-READONLY You can't write against a read only replica. script: "
                            "a1b2, on @user_script:12.\r\n",
                            &seen, error),
                     L2_ERROR);
    assert_string_equal(error, "READONLY You can't write against a read only replica.");
    assert_int_equal(ANSWER("-ERR a\tb\x7f\x1b[31m\r\n", &seen, error), L2_ERROR);
    assert_string_equal(error, "ERR a b  [31m");
}

static void a_long_error_is_cut(void **state)
{
    (void)state;
    char text[1000];
    memset(text, 'x', sizeof text);
    text[0] = '-';
    text[sizeof text - 2] = '\r';
    text[sizeof text - 1] = '\n';
    struct beat_answer seen;
    char error[BEAT_ERROR_MAX];
    assert_int_equal(answer(text, sizeof text, &seen, error), L2_ERROR);
    assert_int_equal(strlen(error), BEAT_ERROR_MAX - 1);
}

static void anything_else_is_malformed_and_says_so(void **state)
{
    (void)state;
    static const struct slice wrong[] = {
        SLICE_LITERAL(""),
        SLICE_LITERAL("+OK\r\n"),
        SLICE_LITERAL("$-1\r\n"),
        SLICE_LITERAL("*-1\r\n"),
        SLICE_LITERAL("*0\r\n"),
        SLICE_LITERAL("*3\r\n:1\r\n$8\r\n12345678\r\n:1\r\n"),
        SLICE_LITERAL("*6\r\n:1\r\n$8\r\n12345678\r\n:1\r\n:1\r\n:1\r\n$2\r\nr1\r\n"),
        SLICE_LITERAL("*6\r\n$1\r\n1\r\n$8\r\n12345678\r\n:1\r\n:1\r\n$1\r\nr\r\n$2\r\nr1\r\n"),
        SLICE_LITERAL("*6\r\n:0\r\n:8\r\n:0\r\n:0\r\n$1\r\nr\r\n$2\r\nr1\r\n"),
        SLICE_LITERAL("*6\r\n:-1\r\n$8\r\n12345678\r\n:1\r\n:1\r\n$1\r\nr\r\n$2\r\nr1\r\n"),
        SLICE_LITERAL(
            "*6\r\n:1000000000000000\r\n$8\r\n12345678\r\n:1\r\n:1\r\n$1\r\nr\r\n$2\r\nr1\r\n"),
        SLICE_LITERAL("*6\r\n:1\r\n$7\r\n1234567\r\n:1\r\n:1\r\n$1\r\nr\r\n$2\r\nr1\r\n"),
        SLICE_LITERAL("*6\r\n:1\r\n$-1\r\n:1\r\n:1\r\n$1\r\nr\r\n$2\r\nr1\r\n"),
        SLICE_LITERAL("*6\r\n:1\r\n:8\r\n:1\r\n:1\r\n$1\r\nr\r\n$2\r\nr1\r\n"),
        SLICE_LITERAL("*6\r\n:1\r\n$8\r\n12345678\r\n:-1\r\n:1\r\n$1\r\nr\r\n$2\r\nr1\r\n"),
        SLICE_LITERAL("*6\r\n:1\r\n$8\r\n12345678\r\n:1\r\n:2\r\n$1\r\nr\r\n$2\r\nr1\r\n"),
        SLICE_LITERAL("*6\r\n:1\r\n$8\r\n12345678\r\n:1\r\n$1\r\nr\r\n$2\r\nr1\r\n"),
        SLICE_LITERAL("*5\r\n:1\r\n$8\r\n12345678\r\n:1\r\n:1\r\n$1\r\nr\r\n"),
        SLICE_LITERAL("*6\r\n:1\r\n$8\r\n12345678\r\n:1\r\n:1\r\n$1\r\nr\r\n:1\r\n"),
        SLICE_LITERAL("*6\r\n:0\r\n$2\r\nno\r\n:0\r\n:0\r\n$1\r\nr\r\n$0\r\n\r\n"),
        SLICE_LITERAL("*4\r\n:1\r\n$8\r\n12345678\r\n:1\r\n:1\r\n"),
        SLICE_LITERAL("*6\r\n:1\r\n$8\r\n12345678\r\n:1\r\n:1\r\n$0\r\n\r\n$2\r\nr1\r\n"),
        SLICE_LITERAL("*6\r\n:1\r\n$8\r\n12345678\r\n:1\r\n:1\r\n$-1\r\n$2\r\nr1\r\n"),
        SLICE_LITERAL("%1\r\n+a\r\n+b\r\n"),
        SLICE_LITERAL("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n"),
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct beat_answer seen = {.seq = 5};
        char error[BEAT_ERROR_MAX] = "";
        if (beat_read(wrong[i], &seen, error) != MALFORMED) {
            fail_msg("case %zu was read", i);
        }
        assert_int_equal(seen.seq, 5);
        assert_true(strlen(error) > 0);
    }
}

static void a_check_carries_the_epoch_that_must_stand(void **state)
{
    (void)state;
    struct buf out = {0};
    const struct epoch epoch = {.counter = 7, .random = UINT64_C(0x0a0d00ff01020304)};
    assert_int_equal(beat_write_check(&out, 15, epoch), OK);
    struct slice argv[16] = {0};
    assert_int_equal(arguments(&out, argv), 9);
    assert_true(slice_is(argv[1], beat_script));
    assert_true(slice_is(argv[3], "15"));
    assert_true(slice_is(argv[4], "7"));
    assert_int_equal(get_u64le(argv[5].data), epoch.random);
    assert_true(slice_is(argv[8], "CHECK"));
    buf_done(&out);
}

static void a_check_that_finds_another_epoch_says_why_and_who_answered(void **state)
{
    (void)state;
    struct beat_answer stands;
    struct beat_answer seen = {.seq = 5};
    char error[BEAT_ERROR_MAX];
    assert_int_equal(ANSWER("*6\r\n:5\r\n$8\r\n12345678\r\n:41\r\n:0\r\n$2\r\nab\r\n$2\r\nr1\r\n",
                            &stands, error),
                     OK);
    assert_int_equal(
        ANSWER("*6\r\n:0\r\n$20\r\nthe epoch is 6,\r\nnot\r\n:0\r\n:0\r\n$2\r\nab\r\n$2\r\nr1\r\n",
               &seen, error),
        MISS);
    assert_string_equal(error, "the epoch is 6,  not");
    assert_int_equal(seen.run, stands.run);
    assert_int_equal(seen.reign, stands.reign);
    assert_int_equal(seen.epoch.counter + seen.target + seen.seq, 0);
}

static void a_reign_is_a_process_and_its_replication_id(void **state)
{
    (void)state;
    struct beat_answer seen[4];
    char error[BEAT_ERROR_MAX];
    assert_int_equal(ANSWER("*6\r\n:5\r\n$8\r\n12345678\r\n:41\r\n:0\r\n$2\r\nab\r\n$2\r\nr1\r\n",
                            &seen[0], error),
                     OK);
    assert_int_equal(ANSWER("*6\r\n:6\r\n$8\r\n12345679\r\n:41\r\n:1\r\n$2\r\nab\r\n$2\r\nr1\r\n",
                            &seen[1], error),
                     OK);
    assert_int_equal(ANSWER("*6\r\n:5\r\n$8\r\n12345678\r\n:41\r\n:0\r\n$2\r\nac\r\n$2\r\nr1\r\n",
                            &seen[2], error),
                     OK);
    assert_int_equal(ANSWER("*6\r\n:5\r\n$8\r\n12345678\r\n:41\r\n:0\r\n$2\r\nab\r\n$2\r\nr2\r\n",
                            &seen[3], error),
                     OK);
    assert_int_not_equal(seen[0].reign, 0);
    assert_int_equal(seen[0].reign, seen[1].reign); /* whatever the epoch */
    assert_int_not_equal(seen[0].reign, seen[2].reign);
    assert_int_not_equal(seen[0].reign, seen[3].reign);
    assert_int_equal(seen[0].target, seen[3].target); /* the first replica came */
}

static void a_target_is_a_process_and_an_epoch(void **state)
{
    (void)state;
    static const struct slice answers[] = {
        SLICE_LITERAL("*6\r\n:1\r\n$8\r\n12345678\r\n:7\r\n:1\r\n$2\r\nab\r\n$2\r\nr1\r\n"),
        SLICE_LITERAL("*6\r\n:2\r\n$8\r\n12345678\r\n:7\r\n:1\r\n$2\r\nab\r\n$2\r\nr1\r\n"),
        SLICE_LITERAL("*6\r\n:1\r\n$8\r\n12345679\r\n:7\r\n:1\r\n$2\r\nab\r\n$2\r\nr1\r\n"),
        SLICE_LITERAL("*6\r\n:1\r\n$8\r\n12345678\r\n:7\r\n:1\r\n$2\r\nac\r\n$2\r\nr1\r\n"),
    };
    enum {
        ANSWERS = sizeof answers / sizeof answers[0]
    };
    struct beat_answer seen[ANSWERS];
    char error[BEAT_ERROR_MAX];
    for (size_t i = 0; i < ANSWERS; i++) {
        assert_int_equal(beat_read(answers[i], &seen[i], error), OK);
        assert_int_not_equal(seen[i].target, 0);
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(seen[i].target, seen[j].target);
        }
    }
    assert_int_equal(seen[0].run, seen[1].run);
    assert_int_not_equal(seen[0].run, seen[3].run);
    struct beat_answer later;
    assert_int_equal(
        beat_read(
            SLICE_LITERAL("*6\r\n:1\r\n$8\r\n12345678\r\n:8\r\n:0\r\n$2\r\nab\r\n$2\r\nr1\r\n"),
            &later, error),
        OK);
    assert_int_equal(later.target, seen[0].target); /* whatever the seq */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_script_is_embedded_whole),
        cmocka_unit_test(a_greeting_is_an_eval_with_an_empty_frame),
        cmocka_unit_test(a_beat_carries_its_frame_and_the_known_epoch),
        cmocka_unit_test(a_request_is_appended_behind_what_is_there),
        cmocka_unit_test(a_frame_that_is_too_big_leaves_nothing_behind),
        cmocka_unit_test(a_check_carries_the_epoch_that_must_stand),
        cmocka_unit_test(a_check_that_finds_another_epoch_says_why_and_who_answered),
        cmocka_unit_test(a_reign_is_a_process_and_its_replication_id),
        cmocka_unit_test(the_flat_answer_is_read),
        cmocka_unit_test(a_target_is_a_process_and_an_epoch),
        cmocka_unit_test(an_error_is_told_in_redis_words_without_the_scripts_address),
        cmocka_unit_test(a_long_error_is_cut),
        cmocka_unit_test(anything_else_is_malformed_and_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
