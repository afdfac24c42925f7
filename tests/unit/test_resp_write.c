/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/resp_read.h"
#include "protocol/resp_write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ASSERT_BYTES(dst, size, text)                     \
    do {                                                  \
        const size_t bytes_size = (size);                 \
        assert_true(bytes_size <= RESP_HEAD_MAX);         \
        assert_int_equal(bytes_size, sizeof(text) - 1);   \
        assert_memory_equal(dst, text, sizeof(text) - 1); \
    } while (0)

static void heads_that_both_protocols_share(void **state)
{
    (void)state;
    char head[RESP_HEAD_MAX];
    ASSERT_BYTES(head, resp_head_bulk(head, 0), "$0\r\n");
    ASSERT_BYTES(head, resp_head_bulk(head, 536870912), "$536870912\r\n");
    ASSERT_BYTES(head, resp_head_array(head, 3), "*3\r\n");
    ASSERT_BYTES(head, resp_integer(head, -42), ":-42\r\n");
    ASSERT_BYTES(head, resp_integer(head, INT64_MIN), ":-9223372036854775808\r\n");
}

static void resp3_has_a_type_of_its_own_where_resp2_has_arrays(void **state)
{
    (void)state;
    char head[RESP_HEAD_MAX];
    ASSERT_BYTES(head, resp_head_map(head, 2, 3), "*6\r\n");
    ASSERT_BYTES(head, resp_head_map(head, 3, 3), "%3\r\n");
    ASSERT_BYTES(head, resp_head_set(head, 2, 3), "*3\r\n");
    ASSERT_BYTES(head, resp_head_set(head, 3, 3), "~3\r\n");
    ASSERT_BYTES(head, resp_head_push(head, 2, 3), "*3\r\n");
    ASSERT_BYTES(head, resp_head_push(head, 3, 3), ">3\r\n");
}

static void nulls_and_booleans_differ_by_protocol(void **state)
{
    (void)state;
    char head[RESP_HEAD_MAX];
    ASSERT_BYTES(head, resp_null(head, 2), "$-1\r\n");
    ASSERT_BYTES(head, resp_null(head, 3), "_\r\n");
    ASSERT_BYTES(head, resp_null_array(head, 2), "*-1\r\n");
    ASSERT_BYTES(head, resp_null_array(head, 3), "_\r\n");
    ASSERT_BYTES(head, resp_boolean(head, 2, true), ":1\r\n");
    ASSERT_BYTES(head, resp_boolean(head, 2, false), ":0\r\n");
    ASSERT_BYTES(head, resp_boolean(head, 3, true), "#t\r\n");
    ASSERT_BYTES(head, resp_boolean(head, 3, false), "#f\r\n");
}

static void a_verbatim_string_counts_its_format(void **state)
{
    (void)state;
    char head[RESP_HEAD_MAX];
    ASSERT_BYTES(head, resp_head_verbatim(head, 2, 11), "$11\r\n");
    ASSERT_BYTES(head, resp_head_verbatim(head, 3, 11), "=15\r\ntxt:");
    ASSERT_BYTES(head, resp_head_verbatim(head, 3, 0), "=4\r\ntxt:");
}

static void a_request_is_an_array_of_bulk_strings(void **state)
{
    (void)state;
    const struct slice argv[] = {
        SLICE_LITERAL("SET"),
        SLICE_LITERAL("k\r\n"),
        {0},
    };
    struct buf out = {0};
    assert_int_equal(buf_append(&out, "before", 6), OK);
    assert_int_equal(resp_append_request(&out, 3, argv), OK);
    assert_true(slice_is(buf_slice(&out), "before*3\r\n$3\r\nSET\r\n$3\r\nk\r\n\r\n$0\r\n\r\n"));
    buf_done(&out);
}

static void a_written_request_is_read_back_the_same(void **state)
{
    (void)state;
    char bytes[256];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (char)i;
    }
    struct slice argv[100];
    for (size_t i = 0; i < 100; i++) {
        argv[i] = (struct slice){bytes + i, i};
    }
    struct buf out = {0};
    assert_int_equal(resp_append_request(&out, 100, argv), OK);
    struct request_reader reader;
    request_reader_init(&reader);
    assert_int_equal(request_read(&reader, buf_slice(&out)), OK);
    assert_int_equal(reader.used, out.size);
    assert_int_equal(reader.argc, 100);
    for (uint32_t i = 0; i < 100; i++) {
        assert_true(slice_equal(request_arg(&reader, buf_slice(&out), i), argv[i]));
    }
    request_reader_done(&reader);
    buf_done(&out);
}

static void a_request_too_large_for_memory_leaves_the_buf_as_it_was(void **state)
{
    (void)state;
    const struct slice argv[] = {{"x", SIZE_MAX / 2}, {"x", SIZE_MAX / 2}, {"x", 100}};
    struct buf out = {0};
    assert_int_equal(buf_append(&out, "before", 6), OK);
    assert_int_equal(resp_append_request(&out, 3, argv), NO_MEMORY);
    assert_int_equal(resp_append_request(&out, 2, argv), NO_MEMORY);
    assert_true(slice_is(buf_slice(&out), "before"));
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_that_both_protocols_share),
        cmocka_unit_test(resp3_has_a_type_of_its_own_where_resp2_has_arrays),
        cmocka_unit_test(nulls_and_booleans_differ_by_protocol),
        cmocka_unit_test(a_verbatim_string_counts_its_format),
        cmocka_unit_test(a_request_is_an_array_of_bulk_strings),
        cmocka_unit_test(a_written_request_is_read_back_the_same),
        cmocka_unit_test(a_request_too_large_for_memory_leaves_the_buf_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
