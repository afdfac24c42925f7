/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/sentinel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void the_question_is_written(void **state)
{
    (void)state;
    struct buf out = {0};
    assert_int_equal(sentinel_ask_write(&out, "m"), OK);
    assert_true(slice_equal(
        buf_slice(&out),
        SLICE_LITERAL("*3\r\n$8\r\nSENTINEL\r\n$23\r\nget-master-addr-by-name\r\n$1\r\nm\r\n")));
    out.size = 0;
    assert_int_equal(sentinel_subscribe_write(&out), OK);
    assert_true(slice_equal(buf_slice(&out),
                            SLICE_LITERAL("*2\r\n$9\r\nSUBSCRIBE\r\n$14\r\n+switch-master\r\n")));
    out.size = 0;
    assert_int_equal(sentinel_failover_write(&out, "m"), OK);
    assert_true(slice_equal(
        buf_slice(&out), SLICE_LITERAL("*3\r\n$8\r\nSENTINEL\r\n$8\r\nfailover\r\n$1\r\nm\r\n")));
    buf_done(&out);
}

static void the_answer_is_an_address_or_nothing(void **state)
{
    (void)state;
    struct sentinel_address address = {0};
    assert_int_equal(
        sentinel_address_read(SLICE_LITERAL("*2\r\n$8\r\n10.0.0.7\r\n$4\r\n6380\r\n"), &address),
        OK);
    assert_true(slice_equal(address.host, SLICE_LITERAL("10.0.0.7")));
    assert_int_equal(address.port, 6380);
    assert_int_equal(sentinel_address_read(SLICE_LITERAL("*-1\r\n"), &address), MISS);
    assert_int_equal(sentinel_address_read(SLICE_LITERAL("_\r\n"), &address), MISS);
}

static void an_address_that_is_none_is_malformed(void **state)
{
    (void)state;
    struct sentinel_address address = {0};
    const struct slice wrong[] = {
        SLICE_LITERAL(""),
        SLICE_LITERAL("-IDONTKNOW no\r\n"),
        SLICE_LITERAL("+OK\r\n"),
        SLICE_LITERAL("*1\r\n$1\r\na\r\n"),
        SLICE_LITERAL("*2\r\n$1\r\na\r\n:6379\r\n"),
        SLICE_LITERAL("*2\r\n$0\r\n\r\n$4\r\n6379\r\n"),
        SLICE_LITERAL("*2\r\n$1\r\na\r\n$1\r\n0\r\n"),
        SLICE_LITERAL("*2\r\n$1\r\na\r\n$5\r\n65536\r\n"),
        SLICE_LITERAL("*2\r\n$2\r\na \r\n$1\r\n1\r\n"),
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(sentinel_address_read(wrong[i], &address), MALFORMED);
    }
}

#define SWITCH(SIZE, TEXT) \
    SLICE_LITERAL(">3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$" SIZE "\r\n" TEXT "\r\n")

static void a_switch_of_our_group_is_read(void **state)
{
    (void)state;
    struct sentinel_address address = {0};
    assert_int_equal(sentinel_switch_read(SWITCH("12", "m a 1 b 6381"), "m", &address), OK);
    assert_true(slice_equal(address.host, SLICE_LITERAL("b")));
    assert_int_equal(address.port, 6381);
}

static void any_other_push_is_about_something_else(void **state)
{
    (void)state;
    struct sentinel_address address = {0};
    const struct slice others[] = {
        SWITCH("9", "n a 1 b 2"),
        SWITCH("7", "m a 1 b"),
        SWITCH("11", "m a 1 b 2 c"),
        SWITCH("9", "m a 1 b x"),
        SLICE_LITERAL(">3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n"),
        SLICE_LITERAL(">3\r\n$7\r\nmessage\r\n$5\r\n+sdow\r\n$9\r\nm a 1 b 2\r\n"),
        SLICE_LITERAL("+OK\r\n"),
        SLICE_LITERAL(""),
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_int_equal(sentinel_switch_read(others[i], "m", &address), MISS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_question_is_written),
        cmocka_unit_test(the_answer_is_an_address_or_nothing),
        cmocka_unit_test(an_address_that_is_none_is_malformed),
        cmocka_unit_test(a_switch_of_our_group_is_read),
        cmocka_unit_test(any_other_push_is_about_something_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
