/* SPDX-License-Identifier: BSD-3-Clause */
/* What bytes are as text: UTF-8 or base64; and the text of INFO. */
#include "protocol/base64.h"
#include "protocol/info_text.h"
#include "protocol/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void only_utf8_is_text(void **state)
{
    (void)state;
    assert_true(utf8_is((struct slice){0}));
    assert_true(utf8_is(slice_of("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x8c\xb1")));
    assert_true(utf8_is((struct slice){"a\0b", 3}));
    assert_true(utf8_is(slice_of("\xf4\x8f\xbf\xbf")));
    assert_true(utf8_is(slice_of("\xed\x9f\xbf")));
    static const char *const wrong[] = {"\x80",
                                        "\xc0\xaf",
                                        "\xc1\xbf",
                                        "\xe0\x9f\xbf",
                                        "\xed\xa0\x80",
                                        "\xf0\x8f\xbf\xbf",
                                        "\xe2\x82",
                                        "\xf4\x90\x80\x80",
                                        "\xf5\x80\x80\x80",
                                        "a\xc3",
                                        "\xc3(",
                                        "\xff"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_false(utf8_is(slice_of(wrong[i])));
    }
}

/* RFC 4648, section 10. */
static void base64_is_that_of_the_rfc_and_is_appended(void **state)
{
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"},
                                           {"\xff\xfe\x01", "//4B"}};
    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct buf text = {0};
        assert_int_equal(buf_append(&text, "x", 1), OK);
        assert_int_equal(base64_append(slice_of(pairs[i][0]), &text), OK);
        assert_int_equal(text.size, 1 + strlen(pairs[i][1]));
        assert_memory_equal(text.data + 1, pairs[i][1], text.size - 1);
        buf_done(&text);
    }
}

static void headings_of_info_are_lines_and_no_entries(void **state)
{
    struct slice rest = slice_of("before:1\r\n# A\r\n\r\n# B\r\nx:1\r\n:2\r\nno colon\r\ny:a:b");
    struct slice again = rest;
    struct info_entry entry = {0};
    static const char *const lines[][3] = {
        {"", "before", "1"}, {"A", "", ""}, {"B", "", ""}, {"B", "x", "1"}, {"B", "y", "a:b"}};
    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        assert_true(info_next_line(&rest, &entry));
        assert_true(slice_is(entry.section, lines[i][0]));
        assert_true(slice_is(entry.name, lines[i][1]) && slice_is(entry.value, lines[i][2]));
    }
    assert_false(info_next_line(&rest, &entry));
    size_t entries = 0;
    while (info_next(&again, &entry)) {
        entries++;
    }
    assert_int_equal(entries, 3);
}

static void fields_are_told_from_sentences(void **state)
{
    (void)state;
    assert_true(info_has_fields(slice_of("calls=1,usec_per_call=2.50,p99.9=3")));
    assert_true(info_has_fields(slice_of("a=")));
    assert_false(info_has_fields(slice_of("")));
    assert_false(info_has_fields(slice_of("a=1,b")));
    assert_false(info_has_fields(slice_of("=1")));
    assert_false(info_has_fields(slice_of("why=no, it has=not")));
    assert_false(info_has_fields(slice_of("plain")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_utf8_is_text),
        cmocka_unit_test(base64_is_that_of_the_rfc_and_is_appended),
        cmocka_unit_test(headings_of_info_are_lines_and_no_entries),
        cmocka_unit_test(fields_are_told_from_sentences),
    };
    return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
