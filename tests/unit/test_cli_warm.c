/* SPDX-License-Identifier: BSD-3-Clause */
/* terrace warm: the job of a command line, and how jobs are shown. */
#include "client/cli/verbs.h"
#include "client/cli/warm_view.h"
#include "client/cli/warm_words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static enum status job_of(const char *const *argv, struct buf *text,
                          char error[WARM_WORDS_ERROR_MAX])
{
    struct words words = {0};
    int argc = 0;
    while (argv[argc] != NULL) {
        argc++;
    }
    assert_int_equal(
        words_read(&words, argc, argv, verb_find("warm")->options, global_options, false), OK);
    const enum status status = warm_words_json(&words, text, error);
    words_done(&words);
    return status;
}

static void expect_job(const char *const *argv, const char *json)
{
    struct buf text = {0};
    char error[WARM_WORDS_ERROR_MAX];
    assert_int_equal(job_of(argv, &text, error), OK);
    assert_int_equal(buf_append(&text, "", 1), OK);
    assert_string_equal(text.data, json);
    buf_done(&text);
}

static void expect_refusal(const char *const *argv, const char *word)
{
    struct buf text = {0};
    char error[WARM_WORDS_ERROR_MAX];
    assert_int_equal(job_of(argv, &text, error), INVALID);
    assert_non_null(strstr(error, word));
    buf_done(&text);
}

#define WORDS(...) ((const char *const[]){"submit", __VA_ARGS__, NULL})

static void options_become_the_job(void **state)
{
    (void)state;
    expect_job(WORDS("--pattern", "w:*"), "{\"source\":{\"pattern\":\"w:*\"}}");
    expect_job(WORDS("--keys", "a", "b"), "{\"source\":{\"keys\":[\"a\",\"b\"]}}");
    expect_job(WORDS("--keys", "a"), "{\"source\":{\"keys\":[\"a\"]}}");
    expect_job(WORDS("--zset", "z", "--top", "10"), "{\"source\":{\"zset\":\"z\",\"n\":10}}");
    expect_job(
        WORDS("--hot", "100", "-p", "0", "--rate", "5", "--mode", "stale", "--db", "2",
              "--deadline", "1500ms", "--dry-run", "--before-expiry", "20%"),
        "{\"source\":{\"hot\":100},\"priority\":0,\"rate\":5,\"mode\":\"stale\",\"db\":2,\"before_expiry\":\"20%\","
        "\"deadline\":2,\"dryrun\":true}");
}

static void json_goes_as_it_is(void **state)
{
    (void)state;
    expect_job(WORDS("{\"x\": 1}"), "{\"x\": 1}");
}

static void what_is_no_one_job_is_told(void **state)
{
    (void)state;
    expect_refusal(WORDS("--rate", "5"), "--pattern");
    expect_refusal(WORDS("--tag", "t", "--hot", "5"), "--pattern");
    expect_refusal(WORDS("{}", "--tag", "t"), "--tag");
    expect_refusal(WORDS("{}", "--priority", "9"), "--priority");
    expect_refusal(WORDS("{}", "--dry-run"), "--dry-run");
    expect_refusal(WORDS("{}", "--deadline", "5s"), "--deadline");
    expect_refusal(WORDS("{}", "--db", "3"), "--db");
    expect_job(WORDS("{}", "--wait", "--interval", "1s"), "{}");
    expect_refusal(WORDS("--tag", "t", "a", "b"), "--keys");
}

/* --- shown ----------------------------------------------------------------------------------------------------------- */

static void expect_line(const char *resp, unsigned bar, unsigned columns, const char *line)
{
    struct tree job = {0};
    struct buf text = {0};
    assert_int_equal(tree_read(slice_of(resp), &job), OK);
    struct pen pen = {.to = &text, .columns = columns};
    warm_view_line(&pen, &job, bar);
    assert_int_equal(buf_append(&text, "", 1), OK);
    assert_string_equal(text.data, line);
    buf_done(&text);
    tree_done(&job);
}

static void a_job_is_one_line(void **state)
{
    static const char half[] =
        "%8\r\n+id\r\n:7\r\n+state\r\n+running\r\n+total\r\n:200\r\n+processed\r\n:100\r\n"
        "+loaded\r\n:90\r\n+failed\r\n:2\r\n+rate\r\n,25.5\r\n+eta_ms\r\n:4000\r\n";
    (void)state;
    expect_line(half, 0, 200,
                "job 7 running 50 %, 100 of 200 keys, 90 loaded, 2 failed, 26/s, 4s left");
    expect_line(
        half, 10, 200,
        "job 7 running [#####     ] 50 %, 100 of 200 keys, 90 loaded, 2 failed, 26/s, 4s left");
    expect_line(half, 10, 30, "job 7 running [#####     ] 50 ");
}

static void how_much_is_left_of_what_nobody_has_counted_is_not_told(void **state)
{
    (void)state;
    expect_line("%3\r\n+id\r\n:7\r\n+state\r\n+queued\r\n+total\r\n:-1\r\n", 4, 99,
                "job 7 queued [    ] 0 keys");
}

static void the_last_key_alone_makes_it_a_hundred(void **state)
{
    (void)state;
    expect_line(
        "%4\r\n+id\r\n:1\r\n+state\r\n+running\r\n+total\r\n:1000\r\n+processed\r\n:999\r\n", 0, 99,
        "job 1 running 99 %, 999 of 1k keys");
    expect_line(
        "%5\r\n+id\r\n:1\r\n+state\r\n+failed\r\n+total\r\n:4\r\n+processed\r\n:4\r\n+error\r\n+deadline\r\n",
        0, 99, "job 1 failed 100 %, 4 of 4 keys: deadline");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_become_the_job),
        cmocka_unit_test(json_goes_as_it_is),
        cmocka_unit_test(what_is_no_one_job_is_told),
        cmocka_unit_test(a_job_is_one_line),
        cmocka_unit_test(how_much_is_left_of_what_nobody_has_counted_is_not_told),
        cmocka_unit_test(the_last_key_alone_makes_it_a_hundred),
    };
    return cmocka_run_group_tests_name("cli_warm", tests, NULL, NULL);
}
