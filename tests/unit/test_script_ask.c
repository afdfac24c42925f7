/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/script_ask.h"
#include "tests/unit/window_help.h"

struct asked {
    struct script_ask ask; /* first */
    unsigned ends;
    enum status status;
    char reply[96];
};

static void on_reply(struct script_ask *ask, enum status status, struct slice reply)
{
    struct asked *asked = (struct asked *)(void *)ask;
    asked->ends++;
    asked->status = status;
    (void)snprintf(asked->reply, sizeof asked->reply, "%.*s", (int)reply.size,
                   reply.size == 0 ? "" : reply.data);
}

static struct own_script script;

static void open(struct stage *stage)
{
    const struct namespace_spec specs[] = {spec_of("default", "", 60000)};
    stage_open(stage, specs, 1);
}

static enum status begin(struct stage *stage, struct asked *asked, struct slice argument)
{
    struct slice words[SCRIPT_HEAD_WORDS + 2] = {[SCRIPT_HEAD_WORDS] = SLICE_LITERAL("0"),
                                                 [SCRIPT_HEAD_WORDS + 1] = argument};
    *asked = (struct asked){.ask = {.on_reply = on_reply}};
    own_script_init(&script, SLICE_LITERAL("return ARGV[1]"));
    return script_ask(stage->window, &script, &asked->ask, words, SCRIPT_HEAD_WORDS + 2);
}

static void expect_written(struct stage *stage, const char *command, struct slice text)
{
    char expected[256];
    struct buf written = help_written(&stage->roof);
    (void)snprintf(expected, sizeof expected,
                   "*4\r\n$%zu\r\n%s\r\n$%zu\r\n%.*s\r\n$1\r\n0\r\n$3\r\n", strlen(command),
                   command, text.size, (int)text.size, text.data);
    assert_true(buf_append(&written, "", 1) == OK);
    assert_non_null(strstr(written.data, expected));
    buf_done(&written);
}

/* The first request goes behind a SELECT. */
static void selected(struct stage *stage)
{
    struct buf written = help_written(&stage->roof);
    buf_done(&written);
    help_feed(&stage->roof, SLICE_LITERAL("+OK\r\n"), HELP_NOW);
}

static void feed(struct stage *stage, const char *reply)
{
    help_feed(&stage->roof, slice_of(reply), HELP_NOW);
}

static void the_name_goes_and_not_the_text(void **state)
{
    (void)state;
    struct stage stage;
    struct asked asked;
    open(&stage);
    assert_int_equal(begin(&stage, &asked, SLICE_LITERAL("abc")), OK);
    expect_written(&stage, "EVALSHA", (struct slice){script.sha, sizeof script.sha});
    selected(&stage);
    assert_int_equal(asked.ends, 0);
    feed(&stage, "$3\r\nabc\r\n");
    assert_int_equal(asked.ends, 1);
    assert_int_equal(asked.status, OK);
    assert_string_equal(asked.reply, "$3\r\nabc\r\n");
    stage_done(&stage);
}

static void who_does_not_know_it_is_told_the_text_and_all_words_once_more(void **state)
{
    (void)state;
    static const char *const refusals[] = {
        "-NOSCRIPT No matching script. Please use EVAL.\r\n",
        "-NOPERM this user has no permissions to run the 'evalsha' command\r\n"};
    for (size_t i = 0; i < 2; i++) {
        struct stage stage;
        struct asked asked;
        char argument[3] = "abc";
        open(&stage);
        assert_int_equal(begin(&stage, &asked, (struct slice){argument, 3}), OK);
        memset(argument, 'x', sizeof argument); /* it was borrowed */
        selected(&stage);
        feed(&stage, refusals[i]);
        assert_int_equal(asked.ends, 0);
        expect_written(&stage, "EVAL", script.text);
        feed(&stage, refusals[i]); /* and who does so for ever is heard */
        assert_int_equal(asked.ends, 1);
        assert_string_equal(asked.reply, refusals[i]);
        stage_done(&stage);
    }
}

static void other_errors_are_answers(void **state)
{
    (void)state;
    struct stage stage;
    struct asked asked;
    open(&stage);
    assert_int_equal(begin(&stage, &asked, SLICE_LITERAL("abc")), OK);
    selected(&stage);
    feed(&stage, "-OOM no\r\n");
    assert_int_equal(asked.ends, 1);
    assert_string_equal(asked.reply, "-OOM no\r\n");
    stage_done(&stage);
}

static void what_is_larger_than_is_kept_goes_with_the_text(void **state)
{
    (void)state;
    struct stage stage;
    struct asked asked;
    static char large[SCRIPT_ASK_KEPT];
    open(&stage);
    assert_int_equal(begin(&stage, &asked, (struct slice){large, sizeof large}), OK);
    struct buf written = help_written(&stage.roof);
    assert_non_null(memmem(written.data, written.size, "$4\r\nEVAL\r\n", 10));
    buf_done(&written);
    selected(&stage);
    feed(&stage, ":1\r\n");
    assert_int_equal(asked.ends, 1);
    stage_done(&stage);
}

static void a_link_that_is_lost_is_told_once(void **state)
{
    (void)state;
    struct stage stage;
    struct asked asked;
    open(&stage);
    assert_int_equal(begin(&stage, &asked, SLICE_LITERAL("abc")), OK);
    link_on_lost(stage.roof.link, "gone", HELP_NOW);
    assert_int_equal(asked.ends, 1);
    assert_int_equal(asked.status, L2_DOWN);
    stage_done(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_name_goes_and_not_the_text),
        cmocka_unit_test(who_does_not_know_it_is_told_the_text_and_all_words_once_more),
        cmocka_unit_test(other_errors_are_answers),
        cmocka_unit_test(what_is_larger_than_is_kept_goes_with_the_text),
        cmocka_unit_test(a_link_that_is_lost_is_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
