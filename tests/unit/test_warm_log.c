/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/warm_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void lines(struct warm_log *log, const char *const *text, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(warm_log_line(log, slice_of(text[i])), OK);
    }
}
#define LINES(log, ...)                            \
    lines(log, (const char *const[]){__VA_ARGS__}, \
          sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

/* "key*count@db key*count@db ...", the hottest first. */
static void hottest_are(struct warm_log *log, size_t n, const char *expected)
{
    struct warm_log_row *rows = NULL;
    size_t count = 0;
    char text[512] = "";
    assert_int_equal(warm_log_take(log, n, &rows, &count), OK);
    for (size_t i = 0; i < count; i++) {
        const size_t used = strlen(text);
        (void)snprintf(text + used, sizeof(text) - used, "%s%.*s*%u@%u", i == 0 ? "" : " ",
                       (int)rows[i].key.size, rows[i].key.data, (unsigned)rows[i].count,
                       rows[i].db);
    }
    free(rows);
    assert_string_equal(text, expected);
}

static void keys_of_a_trace_are_counted_and_the_hottest_come_first(void **state)
{
    (void)state;
    struct warm_log *log = warm_log_new(WARM_LOG_KEYS, 3);
    LINES(log, "1 a 512 3600", "2 b 1 1", "3.5 b", "4\tc\t1\t1", "5 b 1 1\r", "6 c");
    hottest_are(log, 10, "b*3@3 c*2@3 a*1@3");
    hottest_are(log, 2, "b*3@3 c*2@3");
    warm_log_free(log);
}

static void lines_that_are_no_access_are_stepped_over(void **state)
{
    (void)state;
    struct warm_log *log = warm_log_new(WARM_LOG_KEYS, 0);
    LINES(log, "", " ", "# timestamp key size", "abc def", "17", "17 ", "OK", "1 [x", ". a");
    hottest_are(log, 10, "[x*1@0");
    warm_log_free(log);
}

static void reads_that_monitor_shows_are_counted_in_their_database(void **state)
{
    (void)state;
    struct warm_log *log = warm_log_new(WARM_LOG_KEYS, 0);
    LINES(log, "OK", "1339518083.107412 [0 127.0.0.1:60866] \"GET\" \"k1\"",
          "+1339518083.107412 [2 127.0.0.1:60866] \"get\" \"k1\"",
          "1339518083.1 [0 unix:/tmp/s] \"MGET\" \"k1\" \"k2\"",
          "1339518083.1 [0 lua] \"hget\" \"k3\" \"field\"",
          "1339518083.1 [0 127.0.0.1:1] \"SET\" \"k4\" \"v\"",
          "1339518083.1 [16 127.0.0.1:1] \"GET\" \"k5\"", "1339518083.1 [0 127.0.0.1:1] \"PING\"",
          "1339518083.1 [0 127.0.0.1:1] \"GET\" \"cut", "1339518083.1 [0 127.0.0.1:1]");
    hottest_are(log, 10, "k1*2@0 k1*1@2 k2*1@0 k3*1@0");
    warm_log_free(log);
}

static void what_monitor_escapes_is_the_byte_again(void **state)
{
    (void)state;
    struct warm_log *log = warm_log_new(WARM_LOG_KEYS, 0);
    LINES(log, "1.1 [0 a:1] \"GET\" \"a\\x41\\\"\\\\\\n\\xzz\"");
    hottest_are(log, 1, "aA\"\\\nxzz*1@0");
    warm_log_free(log);
}

/* A key in a third of the lines, among others that never come again. */
static void a_frequent_key_outlives_any_number_of_rare_ones(void **state)
{
    (void)state;
    enum {
        ROUNDS = 20000,
        KEYS = 100
    };
    struct warm_log *log = warm_log_new(KEYS, 0);
    struct warm_log_row *rows = NULL;
    size_t count = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        char line[32];
        (void)snprintf(line, sizeof(line), "1 rare%u", i);
        LINES(log, line, i % 2 == 0 ? "1 hot" : "1 warm");
    }
    assert_int_equal(warm_log_take(log, KEYS, &rows, &count), OK);
    assert_true(count >= 2 && count <= KEYS);
    assert_true(rows[0].count <= ROUNDS / 2);
    assert_true(rows[0].count >= ROUNDS / 2 - 2 * ROUNDS / (KEYS / 2));
    assert_true(rows[1].count > rows[0].count * 9 / 10);
    free(rows);
    warm_log_free(log);
}

/* A log may name a million. Time of the processor, so that a busy machine does not matter. */
static void many_keys_are_given_back_in_as_many_steps(void **state)
{
    (void)state;
    enum {
        KEYS = 150000
    };
    struct warm_log *log = warm_log_new(WARM_LOG_KEYS, 0);
    for (unsigned i = 0; i < KEYS; i++) {
        char line[24];
        const int size = snprintf(line, sizeof line, "1 k%u", i);
        assert_int_equal(warm_log_line(log, (struct slice){line, (size_t)size}), OK);
    }
    const clock_t begun = clock();
    warm_log_free(log);
    assert_true(clock() - begun < 2 * CLOCKS_PER_SEC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_a_trace_are_counted_and_the_hottest_come_first),
        cmocka_unit_test(lines_that_are_no_access_are_stepped_over),
        cmocka_unit_test(reads_that_monitor_shows_are_counted_in_their_database),
        cmocka_unit_test(what_monitor_escapes_is_the_byte_again),
        cmocka_unit_test(a_frequent_key_outlives_any_number_of_rare_ones),
        cmocka_unit_test(many_keys_are_given_back_in_as_many_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
