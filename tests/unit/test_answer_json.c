/* SPDX-License-Identifier: BSD-3-Clause */
/* What commands answer, as JSON. */
#include "server/answer_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void expect_json(json_t *json, const char *text)
{
    struct buf out = {0};
    assert_non_null(json);
    assert_int_equal(answer_json_write(json, &out), OK);
    assert_int_equal(buf_append(&out, "", 1), OK);
    assert_string_equal(out.data, text);
    buf_done(&out);
    json_decref(json);
}

static void expect_answer(const char *resp3, const char *text)
{
    json_t *json = NULL;
    assert_int_equal(answer_json(slice_of(resp3), &json), OK);
    expect_json(json, text);
}

static void expect_info(const char *info, const char *text)
{
    json_t *json = NULL;
    assert_int_equal(answer_json_info(slice_of(info), &json), OK);
    expect_json(json, text);
}

static void a_map_is_an_object_and_its_fields_keep_their_order(void **state)
{
    (void)state;
    expect_answer("%2\r\n$1\r\nz\r\n:1\r\n+a\r\n*3\r\n#t\r\n_\r\n,0.5\r\n",
                  "{\"z\":1,\"a\":[true,null,0.5]}\n");
    expect_answer("~1\r\n=5\r\ntxt:x\r\n", "[\"x\"]\n");
    expect_answer("*1\r\n$-1\r\n", "[null]\n");
}

static void a_number_that_json_has_not_is_null_and_a_large_one_text(void **state)
{
    (void)state;
    expect_answer("*2\r\n,inf\r\n,nan\r\n", "[null,null]\n");
    expect_answer("(12345678901234567890123\r\n", "\"12345678901234567890123\"\n");
}

static void bytes_that_are_no_text_come_as_base64(void **state)
{
    (void)state;
    expect_json(answer_json_text((struct slice)SLICE_LITERAL("a\xff")), "{\"base64\":\"Yf8=\"}\n");
    expect_json(answer_json_text((struct slice)SLICE_LITERAL("\xc3\xa4\n\0")),
                "\"\xc3\xa4\\n\\u0000\"\n");
    expect_json(answer_json_text((struct slice){0}), "\"\"\n");
    /* A surrogate and an overlong zero are no UTF-8. */
    expect_json(answer_json_text((struct slice)SLICE_LITERAL("\xed\xa0\x80")),
                "{\"base64\":\"7aCA\"}\n");
    expect_json(answer_json_text((struct slice)SLICE_LITERAL("\xc0\x80")),
                "{\"base64\":\"wIA=\"}\n");
}

static void what_is_no_whole_answer_is_refused(void **state)
{
    static const char *const texts[] = {"",
                                        "*1\r\n",
                                        "%1\r\n$1\r\na\r\n",
                                        "-ERR no\r\n",
                                        "%1\r\n:1\r\n:1\r\n",
                                        "%1\r\n$1\r\n\xff\r\n:1\r\n",
                                        "*9223372036854775807\r\n:1\r\n",
                                        "x"};
    json_t *json = NULL;
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(answer_json(slice_of(texts[i]), &json), MALFORMED);
    }
    assert_int_equal(answer_json_info((struct slice)SLICE_LITERAL("# A\r\na\0b:1\r\n"), &json),
                     MALFORMED);
    char deep[ANSWER_JSON_DEPTH * 4 + 8] = "";
    for (int i = 0; i < ANSWER_JSON_DEPTH; i++) {
        (void)strcat(deep, "*1\r\n");
    }
    assert_int_equal(answer_json(slice_of(strcat(deep, ":1\r\n")), &json), MALFORMED);
}

static void sections_of_info_become_objects(void **state)
{
    (void)state;
    expect_info("# Server\r\nrun_id:12e45\r\nport:7379\r\n\r\n# Commandstats\r\n"
                "cmdstat_get:calls=2,usec_per_call=1.50\r\n",
                "{\"server\":{\"run_id\":\"12e45\",\"port\":7379},"
                "\"commandstats\":{\"cmdstat_get\":{\"calls\":2,\"usec_per_call\":1.5}}}\n");
}

static void only_what_json_writes_as_a_decimal_number_is_one(void **state)
{
    (void)state;
    expect_info(
        "# A\r\na:00\r\nb:-0\r\nc:1.\r\nd:.5\r\ne:+1\r\nf:-12.50\r\ng:\r\nh:99999999999999999999\r\n",
        "{\"a\":{\"a\":\"00\",\"b\":\"-0\",\"c\":\"1.\",\"d\":\".5\",\"e\":\"+1\",\"f\":-12.5,"
        "\"g\":\"\",\"h\":\"99999999999999999999\"}}\n");
}

static void a_value_with_a_comma_that_is_no_pair_stays_text(void **state)
{
    (void)state;
    expect_info("# A\r\na:x,y=1\r\nb:x=1,y\r\nc:=1\r\nwhy:a:b\r\nno colon\r\n",
                "{\"a\":{\"a\":\"x,y=1\",\"b\":\"x=1,y\",\"c\":\"=1\",\"why\":\"a:b\"}}\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_map_is_an_object_and_its_fields_keep_their_order),
        cmocka_unit_test(a_number_that_json_has_not_is_null_and_a_large_one_text),
        cmocka_unit_test(bytes_that_are_no_text_come_as_base64),
        cmocka_unit_test(what_is_no_whole_answer_is_refused),
        cmocka_unit_test(sections_of_info_become_objects),
        cmocka_unit_test(only_what_json_writes_as_a_decimal_number_is_one),
        cmocka_unit_test(a_value_with_a_comma_that_is_no_pair_stays_text),
    };
    return cmocka_run_group_tests_name("answer_json", tests, NULL, NULL);
}
