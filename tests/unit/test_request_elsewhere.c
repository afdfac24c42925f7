/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests of which one argument's bytes are not in the input. */
#include "protocol/resp_read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* One request, whose argument `arg` is taken out of the input as soon as its length is known and `here` of its bytes have
 * come; the rest comes in pieces of `piece` bytes, and `again` begins anew when all is there. */
static void read_with_argument_elsewhere(struct slice request, uint32_t arg, size_t here,
                                         size_t piece, bool again)
{
    struct request_reader whole;
    struct request_reader reader;
    struct buf input = {0};
    request_reader_init(&whole);
    request_reader_init(&reader);
    assert_int_equal(request_read(&whole, request), OK);
    const struct slice body = request_arg(&whole, request, arg);
    const size_t head = (size_t)(body.data - request.data);

    struct request_body at;
    assert_int_equal(buf_append(&input, request.data, head + here), OK);
    assert_int_equal(request_read(&reader, buf_slice(&input)), AGAIN);
    assert_true(request_body(&reader, &at));
    assert_int_equal(at.arg, arg);
    assert_int_equal(at.args_total, whole.argc);
    assert_int_equal(at.offset, head);
    assert_int_equal(at.size, body.size);
    input.size = head;
    request_elsewhere(&reader, arg);
    assert_int_equal(request_read(&reader, buf_slice(&input)), AGAIN);
    for (size_t from = head + body.size; from < request.size; from += piece) {
        const size_t left = request.size - from;
        if (again) {
            request_reader_reset(&reader);
        }
        request_elsewhere(&reader, arg);
        assert_int_equal(request_read(&reader, buf_slice(&input)), AGAIN);
        assert_int_equal(buf_append(&input, request.data + from, left < piece ? left : piece), OK);
    }
    assert_int_equal(request_read(&reader, buf_slice(&input)), OK);
    assert_int_equal(reader.used, request.size - body.size);
    assert_int_equal(reader.argc, whole.argc);
    for (uint32_t i = 0; i < whole.argc; i++) {
        const struct slice got = request_arg(&reader, buf_slice(&input), i);
        assert_true(i == arg ? got.size == 0 : slice_equal(got, request_arg(&whole, request, i)));
    }
    request_reader_done(&reader);
    request_reader_done(&whole);
    buf_done(&input);
}

static void an_argument_may_lie_elsewhere(void **state)
{
    (void)state;
    const struct slice request =
        SLICE_LITERAL("*5\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nva\r\ne\r\n$2\r\nEX\r\n$2\r\n10\r\n");
    for (size_t here = 0; here < 5; here++) {
        for (size_t piece = 1; piece < 30; piece++) {
            read_with_argument_elsewhere(request, 2, here, piece, false);
            read_with_argument_elsewhere(request, 2, here, piece, true);
        }
    }
    read_with_argument_elsewhere(request, 1, 2, 3, true);
    read_with_argument_elsewhere(request, 4, 1, 1, false);
}

/* Its length is looked at as that of any other, and what comes behind it, too. */
static void an_argument_elsewhere_is_no_way_around_the_limits(void **state)
{
    (void)state;
    struct request_reader reader;
    request_reader_init(&reader);
    struct request_body at;
    assert_false(request_body(&reader, &at));
    reader.limit_bulk = 20 * 1024;
    request_elsewhere(&reader, 2);
    const struct slice large = SLICE_LITERAL("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$20481\r\n");
    assert_int_equal(request_read(&reader, large), MALFORMED);
    assert_string_equal(reader.error, "Protocol error: invalid bulk length");
    request_reader_reset(&reader);
    request_elsewhere(&reader, 2);
    const struct slice longer = SLICE_LITERAL("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\nabc\r\n");
    assert_int_equal(request_read(&reader, longer), MALFORMED);
    assert_string_equal(reader.error, "Protocol error: expected CRLF after bulk");
    request_reader_done(&reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_argument_may_lie_elsewhere),
        cmocka_unit_test(an_argument_elsewhere_is_no_way_around_the_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
