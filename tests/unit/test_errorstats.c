/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/errorstats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void errors_are_counted_by_their_first_word(void **state)
{
    (void)state;
    struct errorstats *errorstats = errorstats_new();
    struct errorstat stats[ERRORSTATS_MAX];
    errorstats_count(errorstats, "WRONGTYPE Operation against a key");
    errorstats_count(errorstats, "ERR syntax error");
    errorstats_count(errorstats, "ERR no such key");
    errorstats_count(errorstats, "ALONE");
    assert_int_equal(errorstats_read(errorstats, stats), 3);
    assert_string_equal(stats[0].word, "ALONE");
    assert_string_equal(stats[1].word, "ERR");
    assert_int_equal(stats[1].count, 2);
    assert_string_equal(stats[2].word, "WRONGTYPE");
    assert_int_equal(stats[2].count, 1);
    errorstats_free(errorstats);
}

static void words_cannot_break_the_lines_of_info(void **state)
{
    (void)state;
    struct errorstats *errorstats = errorstats_new();
    struct errorstat stats[ERRORSTATS_MAX];
    errorstats_count(errorstats, "A:B=C\r\n\x80 x");
    errorstats_count(errorstats, "");
    assert_int_equal(errorstats_read(errorstats, stats), 2);
    assert_string_equal(stats[0].word, "");
    assert_string_equal(stats[1].word, "A_B_C___");
    errorstats_free(errorstats);
}

static void long_words_are_cut(void **state)
{
    (void)state;
    struct errorstats *errorstats = errorstats_new();
    struct errorstat stats[ERRORSTATS_MAX];
    char text[101];
    memset(text, 'x', 100);
    text[100] = '\0';
    errorstats_count(errorstats, text);
    text[99] = 'y';
    errorstats_count(errorstats, text);
    assert_int_equal(errorstats_read(errorstats, stats), 1);
    assert_int_equal(strlen(stats[0].word), ERRORSTATS_WORD_MAX - 1);
    assert_int_equal(stats[0].count, 2);
    errorstats_free(errorstats);
}

static void words_past_the_limit_are_counted_together(void **state)
{
    (void)state;
    struct errorstats *errorstats = errorstats_new();
    struct errorstat stats[ERRORSTATS_MAX];
    uint64_t sum = 0;
    for (int i = 0; i < 1000; i++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "E%04d text", i);
        errorstats_count(errorstats, text);
    }
    errorstats_count(errorstats, "E0000 again");
    assert_int_equal(errorstats_read(errorstats, stats), ERRORSTATS_MAX);
    for (int i = 0; i < ERRORSTATS_MAX; i++) {
        sum += stats[i].count;
    }
    assert_int_equal(sum, 1001);
    assert_string_equal(stats[0].word, "E0000");
    assert_int_equal(stats[0].count, 2);
    assert_string_equal(stats[ERRORSTATS_MAX - 1].word, "OTHER");
    assert_int_equal(stats[ERRORSTATS_MAX - 1].count, 1000 - (ERRORSTATS_MAX - 1));
    errorstats_free(errorstats);
}

static void a_reset_forgets_all(void **state)
{
    (void)state;
    struct errorstats *errorstats = errorstats_new();
    struct errorstat stats[ERRORSTATS_MAX];
    errorstats_count(errorstats, "ERR a");
    errorstats_reset(errorstats);
    assert_int_equal(errorstats_read(errorstats, stats), 0);
    errorstats_count(errorstats, "ERR b");
    assert_int_equal(errorstats_read(errorstats, stats), 1);
    assert_int_equal(stats[0].count, 1);
    errorstats_free(errorstats);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_counted_by_their_first_word),
        cmocka_unit_test(words_cannot_break_the_lines_of_info),
        cmocka_unit_test(long_words_are_cut),
        cmocka_unit_test(words_past_the_limit_are_counted_together),
        cmocka_unit_test(a_reset_forgets_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
