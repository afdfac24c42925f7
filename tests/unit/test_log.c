/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/utf8.h"
#include "tiers/base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct lines {
    struct log log;
    int read_end;
    char text[2 * LOG_LINE_MAX];
};

static void begin(struct lines *lines, bool json)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    lines->read_end = ends[0];
    log_open(&lines->log, ends[1], json, LOG_NOTICE);
}

/* The lines that were written; nothing comes after them. */
static const char *end(struct lines *lines)
{
    assert_int_equal(close(lines->log.fd), 0);
    const ssize_t size = read(lines->read_end, lines->text, sizeof(lines->text) - 1);
    assert_in_range(size, 0, sizeof(lines->text) - 1);
    lines->text[size] = '\0';
    assert_int_equal(close(lines->read_end), 0);
    return lines->text;
}

static void what_others_said_stands_in_one_line_of_text(void **state)
{
    (void)state;
    static const bool formats[] = {false, true};
    for (size_t i = 0; i < 2; i++) {
        struct lines lines;
        begin(&lines, formats[i]);
        log_write(&lines.log, LOG_NOTICE, "heard", "%s",
                  "a\"b\\c\nd\x7f \xc3\xa9 \xff\xc3 \xed\xa0\x80 \xf0\x9f\x8d\x83 \xe2\x82");
        const char *text = end(&lines);
        assert_non_null(strstr(text, "a\\\"b\\\\c d  \xc3\xa9 ?? ??? \xf0\x9f\x8d\x83 ??\""));
        assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
        assert_true(utf8_is(slice_of(text)));
    }
}

static void a_message_is_whole_up_to_its_limit_and_beyond_it_says_that_it_is_cut(void **state)
{
    (void)state;
    char message[LOG_MESSAGE_MAX + 2];
    memset(message, 'm', sizeof(message));
    message[LOG_MESSAGE_MAX] = '\0';
    struct lines lines;
    begin(&lines, true);
    log_write(&lines.log, LOG_NOTICE, "long", "%s", message);
    assert_non_null(strstr(end(&lines), message));

    message[LOG_MESSAGE_MAX] = 'm';
    message[LOG_MESSAGE_MAX + 1] = '\0';
    begin(&lines, true);
    log_write(&lines.log, LOG_NOTICE, "long", "%s", message);
    const char *text = end(&lines);
    assert_non_null(strstr(text, "mmm...\",\"lost\":0}\n"));
}

static void a_line_ends_as_a_line_whatever_has_to_be_escaped(void **state)
{
    (void)state;
    char message[LOG_MESSAGE_MAX + 1];
    memset(message, '"', sizeof(message));
    message[LOG_MESSAGE_MAX] = '\0';
    struct lines lines;
    begin(&lines, true);
    log_write(&lines.log, LOG_NOTICE, "quotes", "%s", message);
    const char *text = end(&lines);
    assert_true(strlen(text) < LOG_LINE_MAX);
    assert_non_null(strstr(text, "\\\"...\",\"lost\":0}\n"));
}

static void what_is_below_the_level_is_not_written_and_too_many_lines_are_counted(void **state)
{
    (void)state;
    struct lines lines;
    begin(&lines, false);
    log_write(&lines.log, LOG_VERBOSE, "detail", "nobody wants it");
    lines.log.suppressed = 7;
    log_write(&lines.log, LOG_WARNING, "trouble", "told");
    const char *text = end(&lines);
    assert_null(strstr(text, "detail"));
    assert_non_null(strstr(text, "level=warning event=trouble msg=\"told\" lost=7\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_others_said_stands_in_one_line_of_text),
        cmocka_unit_test(a_message_is_whole_up_to_its_limit_and_beyond_it_says_that_it_is_cut),
        cmocka_unit_test(a_line_ends_as_a_line_whatever_has_to_be_escaped),
        cmocka_unit_test(what_is_below_the_level_is_not_written_and_too_many_lines_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
