/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/call.h"
#include "server/slowlog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct seen {
    size_t announced;
    size_t count;
    uint64_t ids[64];
    char first_arg[64][16];
};

static void on_begin(void *arg, size_t count)
{
    ((struct seen *)arg)->announced = count;
}

static void on_entry(void *arg, const struct slowlog_entry *entry)
{
    struct seen *seen = arg;
    struct slice words = entry->note.words;
    struct slice word = slowlog_words_next(&words);
    seen->ids[seen->count] = entry->id;
    (void)snprintf(seen->first_arg[seen->count], sizeof(seen->first_arg[0]), "%.*s", (int)word.size,
                   word.data);
    seen->count++;
}

static struct seen look(struct slowlog *slowlog, size_t count_max)
{
    struct seen seen = {0};
    struct slowlog_visitor visitor = {.arg = &seen, .begin = on_begin, .each = on_entry};
    slowlog_visit(slowlog, count_max, &visitor);
    return seen;
}

static void note(struct slowlog *slowlog, const char *command, size_t length_max)
{
    struct buf words = {0};
    struct slice argv[] = {slice_of(command)};
    assert_int_equal(slowlog_words(&words, argv, 1), OK);
    struct slowlog_note entry = {.unix_s = 1,
                                 .usec = 2,
                                 .words = buf_slice(&words),
                                 .peer = SLICE_LITERAL("a:1"),
                                 .name = SLICE_LITERAL("n")};
    slowlog_note(slowlog, &entry, length_max);
    buf_done(&words); /* the log has its own copy */
}

/* All words, joined by '|'. */
static void joined(const struct slice *argv, size_t argc, char *dst, size_t size)
{
    struct buf words = {0};
    size_t used = 0;
    assert_int_equal(slowlog_words(&words, argv, argc), OK);
    struct slice rest = buf_slice(&words);
    dst[0] = '\0';
    while (rest.size > 0) {
        struct slice word = slowlog_words_next(&rest);
        used += (size_t)snprintf(dst + used, size - used, "%s%.*s", used == 0 ? "" : "|",
                                 (int)word.size, word.data);
        assert_true(used < size);
    }
    buf_done(&words);
}

static void newest_entries_come_first_and_the_oldest_go(void **state)
{
    (void)state;
    struct slowlog *slowlog = slowlog_new();
    note(slowlog, "one", 3);
    note(slowlog, "two", 3);
    note(slowlog, "three", 3);
    note(slowlog, "four", 3);
    struct seen seen = look(slowlog, SIZE_MAX);
    assert_int_equal(slowlog_length(slowlog), 3);
    assert_int_equal(seen.announced, 3);
    assert_int_equal(seen.count, 3);
    assert_string_equal(seen.first_arg[0], "four");
    assert_string_equal(seen.first_arg[2], "two");
    assert_int_equal(seen.ids[0], 3);
    assert_int_equal(seen.ids[2], 1);
    slowlog_free(slowlog);
}

static void a_visit_takes_no_more_than_asked(void **state)
{
    (void)state;
    struct slowlog *slowlog = slowlog_new();
    note(slowlog, "one", 10);
    note(slowlog, "two", 10);
    struct seen seen = look(slowlog, 1);
    assert_int_equal(seen.announced, 1);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.first_arg[0], "two");
    assert_int_equal(look(slowlog, 0).announced, 0);
    slowlog_free(slowlog);
}

static void ids_go_on_after_a_reset(void **state)
{
    (void)state;
    struct slowlog *slowlog = slowlog_new();
    note(slowlog, "one", 10);
    slowlog_reset(slowlog);
    assert_int_equal(slowlog_length(slowlog), 0);
    note(slowlog, "two", 10);
    assert_int_equal(look(slowlog, 10).ids[0], 1);
    slowlog_free(slowlog);
}

static void a_smaller_limit_trims_at_the_next_note(void **state)
{
    (void)state;
    struct slowlog *slowlog = slowlog_new();
    for (int i = 0; i < 10; i++) {
        note(slowlog, "x", 10);
    }
    note(slowlog, "last", 2);
    assert_int_equal(slowlog_length(slowlog), 2);
    note(slowlog, "none", 0);
    assert_int_equal(slowlog_length(slowlog), 0);
    slowlog_free(slowlog);
}

static void long_arguments_say_how_long_they_were(void **state)
{
    (void)state;
    char big[200];
    char text[512];
    char expected[512];
    memset(big, 'b', sizeof(big));
    struct slice argv[] = {SLICE_LITERAL("set"), {big, 128}, {big, sizeof(big)}};
    joined(argv, 3, text, sizeof(text));
    (void)snprintf(expected, sizeof(expected), "set|%.128s|%.128s... (72 more bytes)", big, big);
    assert_string_equal(text, expected);
}

static void many_arguments_end_with_how_many_more(void **state)
{
    (void)state;
    struct slice argv[40];
    char text[512];
    for (size_t i = 0; i < 40; i++) {
        argv[i] = SLICE_LITERAL("x");
    }
    struct buf words = {0};
    assert_int_equal(slowlog_words(&words, argv, 32), OK);
    assert_int_equal(slowlog_words_count(buf_slice(&words)), 32);
    buf_done(&words);
    joined(argv, 40, text, sizeof(text));
    assert_non_null(strstr(text, "|... (9 more arguments)"));
    assert_int_equal(slowlog_words(&words, argv, 40), OK);
    assert_int_equal(slowlog_words_count(buf_slice(&words)), 32);
    buf_done(&words);
}

static void passwords_are_not_kept(void **state)
{
    (void)state;
    char text[512];
    struct slice auth[] = {SLICE_LITERAL("AUTH"), SLICE_LITERAL("me"), SLICE_LITERAL("secret")};
    joined(auth, 3, text, sizeof(text));
    assert_string_equal(text, "AUTH|(redacted)|(redacted)");
    struct slice hello[] = {SLICE_LITERAL("hello"),  SLICE_LITERAL("3"),
                            SLICE_LITERAL("Auth"),   SLICE_LITERAL("u"),
                            SLICE_LITERAL("secret"), SLICE_LITERAL("setname"),
                            SLICE_LITERAL("n")};
    joined(hello, 7, text, sizeof(text));
    assert_string_equal(text, "hello|3|Auth|(redacted)|(redacted)|setname|n");
    struct slice config[] = {SLICE_LITERAL("config"),      SLICE_LITERAL("set"),
                             SLICE_LITERAL("timeout"),     SLICE_LITERAL("5"),
                             SLICE_LITERAL("REQUIREPASS"), SLICE_LITERAL("secret")};
    joined(config, 6, text, sizeof(text));
    assert_string_equal(text, "config|set|timeout|5|REQUIREPASS|(redacted)");
}

/* A deferred call keeps its bytes, and words are made of them when it was slow. */
static void the_bytes_of_a_request_give_the_words_of_its_arguments(void **state)
{
    (void)state;
    static const struct {
        const char *raw;
        struct slice argv[4];
        size_t argc;
    } requests[] = {
        {"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n",
         {SLICE_LITERAL("SET"), SLICE_LITERAL("k"), {"", 0}},
         3},
        {"*2\r\n$4\r\nauth\r\n$6\r\nsecret\r\n",
         {SLICE_LITERAL("auth"), SLICE_LITERAL("secret")},
         2},
        {"*02\r\n$3\r\nGET\r\n$1\r\nk\r\n", {{"", 0}}, 0}, /* nothing Redis would take */
    };
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        struct buf made = {0};
        struct buf wanted = {0};
        const enum status status = call_words_of(slice_of(requests[i].raw), &made);
        assert_int_equal(status == OK, requests[i].argc > 0);
        assert_int_equal(slowlog_words(&wanted, requests[i].argv, requests[i].argc), OK);
        assert_true(slice_equal(buf_slice(&made), buf_slice(&wanted)));
        buf_done(&made);
        buf_done(&wanted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(newest_entries_come_first_and_the_oldest_go),
        cmocka_unit_test(a_visit_takes_no_more_than_asked),
        cmocka_unit_test(ids_go_on_after_a_reset),
        cmocka_unit_test(a_smaller_limit_trims_at_the_next_note),
        cmocka_unit_test(long_arguments_say_how_long_they_were),
        cmocka_unit_test(many_arguments_end_with_how_many_more),
        cmocka_unit_test(passwords_are_not_kept),
        cmocka_unit_test(the_bytes_of_a_request_give_the_words_of_its_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
