/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void slices_are_equal_only_byte_for_byte(void **state)
{
    (void)state;
    assert_true(slice_equal(SLICE_LITERAL("a\0b"), SLICE_LITERAL("a\0b")));
    assert_false(slice_equal(SLICE_LITERAL("a\0b"), SLICE_LITERAL("a\0c")));
    assert_false(slice_equal(SLICE_LITERAL("a"), SLICE_LITERAL("ab")));
    assert_true(slice_is(SLICE_LITERAL("get"), "get"));
    assert_false(slice_is(SLICE_LITERAL("GET"), "get"));
    assert_false(slice_is(SLICE_LITERAL("get\0"), "get"));
}

static void an_empty_slice_may_have_no_address(void **state)
{
    (void)state;
    const struct slice nothing = {0};
    assert_true(slice_equal(nothing, SLICE_LITERAL("")));
    assert_true(slice_equal_nocase(SLICE_LITERAL(""), nothing));
    assert_true(slice_is(nothing, ""));
    struct buf buf = {0};
    assert_int_equal(buf_append_slice(&buf, nothing), OK);
    buf_consume(&buf, 0);
    assert_int_equal(buf_slice(&buf).size, 0);
    buf_done(&buf);
}

static void case_is_ignored_for_ascii_letters_only(void **state)
{
    (void)state;
    assert_true(slice_is_nocase(SLICE_LITERAL("aZmM"), "AzMm"));
    assert_false(slice_is_nocase(SLICE_LITERAL("[\\]^"), "{|}~"));
    assert_false(slice_is_nocase(SLICE_LITERAL("@"), "`"));
    assert_false(slice_is_nocase(SLICE_LITERAL("\xc4"), "\xe4"));
    assert_false(slice_is_nocase(SLICE_LITERAL("get"), "gets"));
}

static void words_lie_between_any_of_their_separators(void **state)
{
    (void)state;
    struct slice rest = SLICE_LITERAL("  one\t, two,three ");
    assert_true(slice_is(slice_next_word(&rest, " ,\t"), "one"));
    assert_true(slice_is(rest, "\t, two,three "));
    assert_true(slice_is(slice_next_word(&rest, " ,\t"), "two"));
    assert_true(slice_is(slice_next_word(&rest, " "), ",three"));
    assert_int_equal(slice_next_word(&rest, " ").size, 0);
    assert_int_equal(rest.size, 0);
    assert_int_equal(slice_next_word(&rest, " ").size, 0);
}

static void a_byte_of_zero_separates_no_words(void **state)
{
    (void)state;
    struct slice rest = SLICE_LITERAL("a\0b c");
    assert_int_equal(slice_next_word(&rest, " ").size, 3);
    rest = (struct slice){0};
    assert_int_equal(slice_next_word(&rest, " ").size, 0);
}

static void a_beginning_is_no_longer_than_the_whole(void **state)
{
    (void)state;
    assert_true(slice_begins(SLICE_LITERAL("terrace:seq"), "terrace:"));
    assert_true(slice_begins(SLICE_LITERAL("terrace:"), "terrace:"));
    assert_false(slice_begins(SLICE_LITERAL("terrace"), "terrace:"));
    assert_false(slice_begins(SLICE_LITERAL("Terrace:"), "terrace:"));
    assert_true(slice_begins(SLICE_LITERAL("x"), ""));
    assert_true(slice_has_prefix((struct slice){0}, (struct slice){0}));
    assert_false(slice_has_prefix((struct slice){0}, SLICE_LITERAL("\0")));
}

static void both_ends_are_trimmed_and_nothing_between(void **state)
{
    (void)state;
    assert_true(slice_is(slice_trim(SLICE_LITERAL(" \ta b\t "), " \t"), "a b"));
    assert_true(slice_is(slice_trim(SLICE_LITERAL("ab"), " \t"), "ab"));
    assert_int_equal(slice_trim(SLICE_LITERAL(" \t "), " \t").size, 0);
    assert_int_equal(slice_trim((struct slice){0}, " ").size, 0);
    assert_int_equal(slice_trim(SLICE_LITERAL("\0 "), " ").size, 1);
}

static void text_for_people_breaks_no_line_and_ends_within_its_room(void **state)
{
    (void)state;
    char text[8];
    slice_to_text(SLICE_LITERAL("a\nb\x7f\xc4~ "), '.', text, sizeof text);
    assert_string_equal(text, "a.b..~ ");
    slice_to_text(SLICE_LITERAL("12345678"), '.', text, sizeof text);
    assert_string_equal(text, "1234567");
    slice_to_text((struct slice){0}, '.', text, 1);
    assert_string_equal(text, "");
}

static void hex_digits_have_two_cases_and_nothing_beside_them(void **state)
{
    (void)state;
    static const char lower[] = "0123456789abcdef";
    static const char upper[] = "0123456789ABCDEF";
    unsigned digits = 0;
    for (int value = 0; value < 16; value++) {
        assert_int_equal(hex_digit(lower[value]), value);
        assert_int_equal(hex_digit(upper[value]), value);
    }
    for (int c = 0; c < 256; c++) {
        digits += hex_digit((char)c) >= 0;
    }
    assert_int_equal(digits, 22);
}

static void integers_are_read_whole_or_not_at_all(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t number;
    } good[] = {
        {"0", 0},
        {"7", 7},
        {"-1", -1},
        {"1000", 1000},
        {"9223372036854775807", INT64_MAX},
        {"-9223372036854775808", INT64_MIN},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        int64_t number = 42;
        assert_int_equal(slice_to_i64(slice_of(good[i].text), &number), OK);
        assert_true(number == good[i].number);
    }
    static const char *const bad[] = {
        "",
        "-",
        "+1",
        " 1",
        "1 ",
        "01",
        "00",
        "-0",
        "-01",
        "--1",
        "1a",
        "a",
        "0x1",
        "9223372036854775808",
        "1.0",
        "1\n",
        "-9223372036854775809",
        "99999999999999999999",
        "100000000000000000000000",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t number = 42;
        assert_int_not_equal(slice_to_i64(slice_of(bad[i]), &number), OK);
        assert_int_equal(number, 42);
    }
}

static void unsigned_integers_reach_to_the_last_one(void **state)
{
    (void)state;
    uint64_t number = 0;
    assert_int_equal(slice_to_u64(SLICE_LITERAL("18446744073709551615"), &number), OK);
    assert_true(number == UINT64_MAX);
    assert_int_not_equal(slice_to_u64(SLICE_LITERAL("18446744073709551616"), &number), OK);
    assert_int_not_equal(slice_to_u64(SLICE_LITERAL("28446744073709551615"), &number), OK);
    assert_int_not_equal(slice_to_u64(SLICE_LITERAL("-1"), &number), OK);
    assert_true(number == UINT64_MAX);
}

static void formatted_integers_read_back_the_same(void **state)
{
    (void)state;
    for (int bit = 0; bit < 64; bit++) {
        for (int off = -1; off <= 1; off++) {
            const int64_t number = (int64_t)((UINT64_C(1) << bit) + (uint64_t)(int64_t)off);
            char digits[I64_DIGITS_MAX];
            char expected[32];
            const size_t size = i64_format(digits, number);
            (void)snprintf(expected, sizeof expected, "%lld", (long long)number);
            assert_true(slice_is((struct slice){digits, size}, expected));
            int64_t back = 0;
            assert_int_equal(slice_to_i64((struct slice){digits, size}, &back), OK);
            assert_true(back == number);
        }
    }
}

static void a_buf_grows_and_keeps_what_it_holds(void **state)
{
    (void)state;
    struct buf buf = {0};
    for (unsigned i = 0; i < 3000; i++) {
        const char byte = (char)(i % 251);
        assert_int_equal(buf_append(&buf, &byte, 1), OK);
    }
    assert_int_equal(buf.size, 3000);
    assert_true(buf.capacity < 3000 * 2 + 64);
    for (unsigned i = 0; i < 3000; i++) {
        assert_int_equal(buf.data[i], (char)(i % 251));
    }
    buf_done(&buf);
    assert_null(buf.data);
    assert_int_equal(buf.capacity, 0);
}

static void reserved_room_needs_no_growth_later(void **state)
{
    (void)state;
    struct buf buf = {0};
    assert_int_equal(buf_append(&buf, "abc", 3), OK);
    assert_int_equal(buf_reserve(&buf, 1000), OK);
    assert_int_equal(buf.size, 3);
    const char *before = buf.data;
    char more[1000] = {0};
    assert_int_equal(buf_append(&buf, more, sizeof more), OK);
    assert_ptr_equal(buf.data, before);
    buf_done(&buf);
}

static void a_buf_that_cannot_grow_stays_as_it_was(void **state)
{
    (void)state;
    struct buf buf = {0};
    assert_int_equal(buf_append(&buf, "abc", 3), OK);
    const struct buf before = buf;
    assert_int_equal(buf_reserve(&buf, SIZE_MAX), NO_MEMORY);
    assert_int_equal(buf_reserve(&buf, SIZE_MAX - 3), NO_MEMORY);
    assert_memory_equal(&buf, &before, sizeof buf);
    assert_true(slice_is(buf_slice(&buf), "abc"));
    buf_done(&buf);
}

static void consuming_drops_from_the_front(void **state)
{
    (void)state;
    struct buf buf = {0};
    assert_int_equal(buf_append(&buf, "abcdef", 6), OK);
    buf_consume(&buf, 0);
    buf_consume(&buf, 2);
    assert_true(slice_is(buf_slice(&buf), "cdef"));
    buf_consume(&buf, 4);
    assert_int_equal(buf.size, 0);
    assert_int_equal(buf_append(&buf, "x", 1), OK);
    assert_true(slice_is(buf_slice(&buf), "x"));
    buf_done(&buf);
}

static void printed_text_is_appended_at_every_length_around_the_room(void **state)
{
    (void)state;
    for (int width = 0; width < 200; width++) {
        struct buf buf = {0};
        assert_int_equal(buf_printf(&buf, "%s", "ab"), OK);
        assert_int_equal(buf_printf(&buf, "%*d", width, 7), OK);
        const size_t size = width > 0 ? (size_t)width : 1;
        assert_int_equal(buf.size, 2 + size);
        assert_memory_equal(buf.data, "ab", 2);
        assert_int_equal(buf.data[buf.size - 1], '7');
        buf_done(&buf);
    }
}

static void words_are_little_endian_at_any_address(void **state)
{
    (void)state;
    for (size_t off = 0; off < 8; off++) {
        unsigned char bytes[16] = {0};
        put_u64le(bytes + off, UINT64_C(0x0807060504030201));
        for (size_t i = 0; i < 8; i++) {
            assert_int_equal(bytes[off + i], i + 1);
        }
        assert_true(get_u64le(bytes + off) == UINT64_C(0x0807060504030201));
        assert_int_equal(get_u32le(bytes + off), 0x04030201);
        assert_int_equal(get_u16le(bytes + off), 0x0201);
        put_u32le(bytes + off, 0xfffefdfcU);
        put_u16le(bytes + off, 0x1234);
        assert_int_equal(bytes[off], 0x34);
        assert_int_equal(bytes[off + 1], 0x12);
        assert_int_equal(bytes[off + 2], 0xfe);
        assert_int_equal(bytes[off + 4], 5);
    }
}

static void a_real_is_what_json_writes_so_without_an_exponent(void **state)
{
    static const char *const wrong[] = {"",      "1",    "1.",   ".5",    "-",    "-.5",
                                        "01.5",  "+1.5", "1.5 ", " 1.5",  "1e3",  "1.5e3",
                                        "1.2.3", "inf",  "nan",  "0x1.8", "--1.0"};
    double real = 7;
    (void)state;
    assert_int_equal(slice_to_real(slice_of("-12.25"), &real), OK);
    assert_true(real == -12.25);
    assert_int_equal(slice_to_real(slice_of("0.5"), &real), OK);
    assert_true(real == 0.5);
    assert_int_equal(slice_to_real((struct slice){"1.55", 3}, &real), OK);
    assert_true(real == 1.5);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(slice_to_real(slice_of(wrong[i]), &real), MALFORMED);
    }
    char many[SLICE_REAL_MAX + 2];
    memset(many, '1', sizeof(many));
    many[1] = '.';
    assert_int_equal(slice_to_real((struct slice){many, SLICE_REAL_MAX}, &real), OK);
    assert_int_equal(slice_to_real((struct slice){many, SLICE_REAL_MAX + 1}, &real), MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_are_equal_only_byte_for_byte),
        cmocka_unit_test(an_empty_slice_may_have_no_address),
        cmocka_unit_test(case_is_ignored_for_ascii_letters_only),
        cmocka_unit_test(words_lie_between_any_of_their_separators),
        cmocka_unit_test(a_byte_of_zero_separates_no_words),
        cmocka_unit_test(a_beginning_is_no_longer_than_the_whole),
        cmocka_unit_test(both_ends_are_trimmed_and_nothing_between),
        cmocka_unit_test(text_for_people_breaks_no_line_and_ends_within_its_room),
        cmocka_unit_test(hex_digits_have_two_cases_and_nothing_beside_them),
        cmocka_unit_test(integers_are_read_whole_or_not_at_all),
        cmocka_unit_test(unsigned_integers_reach_to_the_last_one),
        cmocka_unit_test(formatted_integers_read_back_the_same),
        cmocka_unit_test(a_buf_grows_and_keeps_what_it_holds),
        cmocka_unit_test(reserved_room_needs_no_growth_later),
        cmocka_unit_test(a_buf_that_cannot_grow_stays_as_it_was),
        cmocka_unit_test(consuming_drops_from_the_front),
        cmocka_unit_test(printed_text_is_appended_at_every_length_around_the_room),
        cmocka_unit_test(words_are_little_endian_at_any_address),
        cmocka_unit_test(a_real_is_what_json_writes_so_without_an_exponent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
