/* SPDX-License-Identifier: BSD-3-Clause */
/* The small pure parts behind CLIENT SETNAME, OBJECT and INFO memory. */
#include "server/client_name.h"
#include "server/memory_report.h"
#include "server/object.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void names_are_printable_words(void **state)
{
    (void)state;
    assert_true(client_name_is_valid(SLICE_LITERAL("")));
    assert_true(client_name_is_valid(SLICE_LITERAL("a!~_")));
    assert_false(client_name_is_valid(SLICE_LITERAL("a b")));
    assert_false(client_name_is_valid(SLICE_LITERAL("a\n")));
    assert_false(client_name_is_valid(SLICE_LITERAL("\xc3\xa9")));
    assert_false(client_name_is_valid(SLICE_LITERAL("\x7f")));
}

static void encodings_are_those_of_redis(void **state)
{
    (void)state;
    assert_string_equal(object_encoding(SLICE_LITERAL("0"), ITEM_LOOK_PLAIN), "int");
    assert_string_equal(object_encoding(SLICE_LITERAL("0"), ITEM_LOOK_STRING), "embstr");
    assert_string_equal(object_encoding(SLICE_LITERAL("0"), ITEM_LOOK_RAW), "raw");
    assert_string_equal(object_encoding(SLICE_LITERAL("-9223372036854775808"), ITEM_LOOK_PLAIN),
                        "int");
    assert_string_equal(object_encoding(SLICE_LITERAL("9223372036854775808"), ITEM_LOOK_PLAIN),
                        "embstr");
    assert_string_equal(object_encoding(SLICE_LITERAL("01"), ITEM_LOOK_PLAIN), "embstr");
    assert_string_equal(object_encoding(SLICE_LITERAL(""), ITEM_LOOK_PLAIN), "embstr");
    assert_string_equal(
        object_encoding(SLICE_LITERAL("12345678901234567890123456789012345678901234"),
                        ITEM_LOOK_PLAIN),
        "embstr");
    assert_string_equal(
        object_encoding(SLICE_LITERAL("123456789012345678901234567890123456789012345"),
                        ITEM_LOOK_PLAIN),
        "raw");
}

static void small_integers_are_shared(void **state)
{
    (void)state;
    assert_int_equal(object_refcount(SLICE_LITERAL("9999"), ITEM_LOOK_PLAIN), INT32_MAX);
    assert_int_equal(object_refcount(SLICE_LITERAL("10000"), ITEM_LOOK_PLAIN), 1);
    assert_int_equal(object_refcount(SLICE_LITERAL("-1"), ITEM_LOOK_PLAIN), 1);
    assert_int_equal(object_refcount(SLICE_LITERAL("abc"), ITEM_LOOK_PLAIN), 1);
    assert_int_equal(object_refcount(SLICE_LITERAL("8"), ITEM_LOOK_STRING), 1);
}

static void bytes_are_shown_as_redis_shows_them(void **state)
{
    (void)state;
    char text[MEMORY_HUMAN_MAX];
    memory_human(text, 1023);
    assert_string_equal(text, "1023B");
    memory_human(text, 2014592);
    assert_string_equal(text, "1.92M");
    memory_human(text, 25276502016);
    assert_string_equal(text, "23.54G");
    memory_human(text, 1024);
    assert_string_equal(text, "1.00K");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_printable_words),
        cmocka_unit_test(encodings_are_those_of_redis),
        cmocka_unit_test(small_integers_are_shared),
        cmocka_unit_test(bytes_are_shown_as_redis_shows_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
