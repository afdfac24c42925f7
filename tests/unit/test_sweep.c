/* SPDX-License-Identifier: BSD-3-Clause */
/* server/sweep.h: what is pure of it. */
#include "protocol/resp_read.h"
#include "server/sweep.h"
#include "tiers/base/glob.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void a_prefix_as_a_glob_fits_what_begins_with_it(void **state)
{
    static const char *const prefixes[] = {"", "a", "a*", "[a-b]?", "\\", "a\\*]", "user:{1}:"};
    (void)state;
    for (unsigned i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        struct buf glob = {0};
        struct buf name = {0};
        assert_int_equal(sweep_glob_of_prefix(&glob, slice_of(prefixes[i])), OK);
        assert_int_equal(buf_printf(&name, "%sx", prefixes[i]), OK);
        assert_true(glob_match(buf_slice(&glob), buf_slice(&name), false));
        for (size_t at = 0; at + 1 < name.size; at++) {
            name.data[at] ^= 1;
            assert_false(glob_match(buf_slice(&glob), buf_slice(&name), false));
            name.data[at] ^= 1;
        }
        buf_done(&glob);
        buf_done(&name);
    }
}

static void an_answer_to_scan_is_read_whole_or_not_at_all(void **state)
{
    static const char *const wrong[] = {
        "*2\r\n$1\r\n5\r\n*1\r\n:1\r\n",
        "*2\r\n$1\r\nx\r\n*0\r\n",
        "*2\r\n$1\r\n5\r\n*2\r\n$1\r\na\r\n",
        "*1\r\n$1\r\n5\r\n",
        "*2\r\n$1\r\n5\r\n*-1\r\n",
        "$1\r\n5\r\n",
        "",
    };
    const struct slice good =
        SLICE_LITERAL("*2\r\n$20\r\n18446744073709551615\r\n*2\r\n$1\r\na\r\n$0\r\n\r\n");
    uint64_t cursor = 0;
    struct reply_cursor keys;
    struct reply_element element;
    size_t count = 0;
    (void)state;
    assert_int_equal(sweep_read_scan(good, &cursor, &keys, &count), OK);
    assert_true(cursor == UINT64_MAX);
    assert_int_equal(count, 2);
    assert_int_equal(reply_next(&keys, &element), OK);
    assert_true(slice_is(element.text, "a"));
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(sweep_read_scan(slice_of(wrong[i]), &cursor, &keys, &count), MALFORMED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prefix_as_a_glob_fits_what_begins_with_it),
        cmocka_unit_test(an_answer_to_scan_is_read_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
