/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/memcached.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SAYS(expected, ...)                                              \
    do {                                                                 \
        const struct slice argv_[] = {__VA_ARGS__};                      \
        assert_request(expected, sizeof argv_ / sizeof argv_[0], argv_); \
    } while (0)

static void assert_request(const char *expected, size_t argc, const struct slice *argv)
{
    struct buf out = {0};
    assert_int_equal(buf_append_slice(&out, SLICE_LITERAL("before")), OK);
    assert_int_equal(memcached_append_request(&out, argc, argv), OK);
    assert_int_equal(out.size, strlen("before") + strlen(expected));
    assert_memory_equal(out.data + strlen("before"), expected, strlen(expected));
    buf_done(&out);
}

static void requests_are_meta_commands(void **state)
{
    (void)state;
    const struct slice set = SLICE_LITERAL("SET");
    const struct slice key = SLICE_LITERAL("k");
    const struct slice value = SLICE_LITERAL("a\r\nb");
    const struct slice expire = SLICE_LITERAL("EX");
    SAYS("mn\r\n", SLICE_LITERAL("PING"));
    SAYS("mg k v\r\n", SLICE_LITERAL("GET"), key);
    SAYS("ms k 4\r\na\r\nb\r\n", set, key, value);
    SAYS("ms k 4 T60\r\na\r\nb\r\n", set, key, value, expire, SLICE_LITERAL("60"));
    SAYS("ms k 0\r\n\r\n", set, key, SLICE_LITERAL(""));
}

static void a_life_beyond_thirty_days_is_thirty_days_since_more_would_be_a_date(void **state)
{
    (void)state;
    SAYS("ms k 1 T2592000\r\nv\r\n", SLICE_LITERAL("SET"), SLICE_LITERAL("k"), SLICE_LITERAL("v"),
         SLICE_LITERAL("EX"), SLICE_LITERAL("2592001"));
}

/* The answer with `more` behind it, then cut short everywhere. */
static void assert_means(const char *said, const char *meant)
{
    char bytes[256];
    const size_t size = strlen(said);
    for (size_t here = 0; here <= size; here++) {
        size_t used = 0;
        struct slice reply = {0};
        (void)snprintf(bytes, sizeof bytes, "%sVA 1\r\n", said);
        const enum status status =
            memcached_take_reply(bytes, here == size ? strlen(bytes) : here, &used, &reply);
        if (here < size) {
            assert_int_equal(status, AGAIN);
            assert_memory_equal(bytes, said, size);
            continue;
        }
        assert_int_equal(status, OK);
        assert_int_equal(used, size);
        assert_true(slice_is(reply, meant));
    }
}

static void an_answer_becomes_resp_once_it_is_whole(void **state)
{
    (void)state;
    assert_means("VA 5\r\nhello\r\n", "$5\r\nhello\r\n");
    assert_means("VA 0\r\n\r\n", "$0\r\n\r\n");
    assert_means("VA 4\r\na\r\nb\r\n", "$4\r\na\r\nb\r\n");
    assert_means("EN\r\n", "_\r\n");
    assert_means("HD\r\n", "+OK\r\n");
    assert_means("MN\r\n", "+PONG\r\n");
}

static void refusals_become_errors(void **state)
{
    (void)state;
    assert_means("NS\r\n", "-NOT STORED\r\n");
    assert_means("ERROR\r\n", "-ERROR\r\n");
    assert_means("SERVER_ERROR out of memory\r\n", "-ERROR out of memory\r\n");
    assert_means("CLIENT_ERROR bad data chunk\r\n", "-ERROR bad data chunk\r\n");
}

static void what_no_memcached_says_is_malformed(void **state)
{
    (void)state;
    const char *const strange[] = {"+OK\r\n",           "$5\r\nhello\r\n", "VA\r\n",
                                   "VA x\r\n",          "VA -1\r\n",       "VA 5 f1\r\nhello\r\n",
                                   "VA 1\r\nab\r\n",    "HDX\r\n",         "\r\n",
                                   "VA 99999999999\r\n"};
    for (size_t i = 0; i < sizeof strange / sizeof strange[0]; i++) {
        char bytes[64];
        size_t used = 0;
        struct slice reply = {0};
        (void)snprintf(bytes, sizeof bytes, "%s", strange[i]);
        if (memcached_take_reply(bytes, strlen(bytes), &used, &reply) != MALFORMED) {
            fail_msg("taken: %s", strange[i]);
        }
    }
    static char endless[MEMCACHED_LINE_MAX];
    memset(endless, 'a', sizeof endless);
    size_t used = 0;
    struct slice reply = {0};
    assert_int_equal(memcached_take_reply(endless, sizeof endless - 1, &used, &reply), AGAIN);
    assert_int_equal(memcached_take_reply(endless, sizeof endless, &used, &reply), MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_meta_commands),
        cmocka_unit_test(a_life_beyond_thirty_days_is_thirty_days_since_more_would_be_a_date),
        cmocka_unit_test(an_answer_becomes_resp_once_it_is_whole),
        cmocka_unit_test(refusals_become_errors),
        cmocka_unit_test(what_no_memcached_says_is_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
