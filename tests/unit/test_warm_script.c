/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/limits.h"
#include "tiers/warm_script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void keys_of_a_chunk_come_out_as_they_went_in(void **state)
{
    (void)state;
    static const struct warm_chunk_key keys[] = {
        {{"", 0}, 0, 0}, {{"a\0b", 3}, 15, 255}, {{"long enough to be one", 21}, 3, 8}};
    struct buf chunk = {0};
    struct warm_chunk_key key;
    size_t at = 0;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(warm_chunk_append(&chunk, &keys[i]), OK);
    }
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(warm_chunk_next(buf_slice(&chunk), &at, &key), OK);
        assert_true(slice_equal(key.key, keys[i].key));
        assert_int_equal(key.db, keys[i].db);
        assert_int_equal(key.heat, keys[i].heat);
    }
    assert_int_equal(warm_chunk_next(buf_slice(&chunk), &at, &key), MISS);
    buf_done(&chunk);
}

/* Whatever is cut off or changed, no step goes beyond the bytes (the sanitizers see to it), and nothing is out of its
 * limits. */
static void a_chunk_that_somebody_else_wrote_is_malformed_or_within_its_limits(void **state)
{
    (void)state;
    struct buf chunk = {0};
    struct warm_chunk_key key = {.key = SLICE_LITERAL("abcdef"), .db = 2, .heat = 9};
    assert_int_equal(warm_chunk_append(&chunk, &key), OK);
    for (size_t size = 1; size < chunk.size; size++) {
        size_t at = 0;
        char *cut = malloc(size);
        assert_non_null(cut);
        memcpy(cut, chunk.data, size);
        assert_int_equal(warm_chunk_next((struct slice){cut, size}, &at, &key), MALFORMED);
        free(cut);
    }
    for (size_t i = 0; i < chunk.size * 256; i++) {
        const char before = chunk.data[i / 256];
        size_t at = 0;
        chunk.data[i / 256] = (char)(i % 256);
        if (warm_chunk_next(buf_slice(&chunk), &at, &key) == OK) {
            assert_true(key.key.size < LIMIT_L1_KEY && key.db < LIMIT_DATABASES);
            assert_true(key.key.data + key.key.size <= chunk.data + chunk.size);
        }
        chunk.data[i / 256] = before;
    }
    buf_done(&chunk);
}

static void an_answer_is_walked_in_order_and_its_arrays_apart(void **state)
{
    (void)state;
    struct warm_answer answer;
    struct warm_answer inner;
    const struct slice reply =
        SLICE_LITERAL("*5\r\n$2\r\nOK\r\n:7\r\n*2\r\n$1\r\na\r\n*1\r\n:3\r\n$2\r\n12\r\n$-1\r\n");
    assert_int_equal(warm_answer_read(reply, &answer), OK);
    assert_true(slice_is(answer.word, "OK"));
    assert_int_equal(warm_answer_number(&answer), 7);
    assert_true(warm_answer_array(&answer, &inner));
    assert_true(slice_is(warm_answer_text(&inner), "a"));
    assert_int_equal(warm_answer_number(&inner),
                     0); /* an array is no number, and is stepped over */
    assert_int_equal(inner.count, 0);
    assert_int_equal(warm_answer_number(&answer), 12);
    assert_int_equal(warm_answer_text(&answer).size, 0);
    assert_int_equal(answer.count, 0);
    assert_int_equal(warm_answer_number(&answer), 0);
    assert_false(warm_answer_array(&answer, &inner));
}

static void what_is_no_answer_is_told_apart_from_an_error_of_redis(void **state)
{
    (void)state;
    struct warm_answer answer;
    assert_int_equal(warm_answer_read(SLICE_LITERAL("-WRONGTYPE no\r\n"), &answer), L2_ERROR);
    assert_true(slice_is(answer.word, "WRONGTYPE no"));
    static const char *const wrong[] = {
        "", ":1\r\n", "*0\r\n", "*1\r\n:5\r\n", "$2\r\nOK\r\n", "*-1\r\n"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(warm_answer_read(slice_of(wrong[i]), &answer), MALFORMED);
    }
}

static void a_request_names_the_database_the_verb_the_queue_and_the_node(void **state)
{
    (void)state;
    struct warm_words words;
    warm_words_begin(&words, 15, "NEXT", SLICE_LITERAL("17"), SLICE_LITERAL("0a 127.0.0.1:1"));
    warm_word_number(&words, -1);
    const struct slice *word = &words.at[WARM_HEAD_WORDS];
    assert_int_equal(words.count, WARM_HEAD_WORDS + 6);
    assert_true(slice_is(word[0], "0"));
    assert_true(slice_is(word[1], "15"));
    assert_true(slice_is(word[2], "NEXT"));
    assert_true(slice_is(words.at[WARM_BORN_WORD], "17"));
    assert_true(slice_is(word[4], "0a 127.0.0.1:1"));
    assert_true(slice_is(word[5], "-1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_a_chunk_come_out_as_they_went_in),
        cmocka_unit_test(a_chunk_that_somebody_else_wrote_is_malformed_or_within_its_limits),
        cmocka_unit_test(an_answer_is_walked_in_order_and_its_arrays_apart),
        cmocka_unit_test(what_is_no_answer_is_told_apart_from_an_error_of_redis),
        cmocka_unit_test(a_request_names_the_database_the_verb_the_queue_and_the_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
