/* SPDX-License-Identifier: BSD-3-Clause */
/* What clients may take, as texts. */
#include "server/client_limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void classes_that_are_not_named_stay(void **state)
{
    (void)state;
    struct output_limits limits = {0};
    char text[OUTPUT_LIMITS_TEXT_MAX];
    assert_null(output_limits_parse(slice_of("normal 1 2 3 pubsub 32mb 8mb 60"), &limits));
    assert_null(output_limits_parse(slice_of("  REPLICA 1k 1kb 0 normal 10 0 0 "), &limits));
    output_limits_format(&limits, text);
    assert_string_equal(text, "normal 10 0 0 slave 1000 1024 0 pubsub 33554432 8388608 60");
    assert_null(output_limits_parse(slice_of(""), &limits));
}

static void all_is_taken_or_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *why;
    } cases[] = {
        {"normal 1 1", "Wrong number of arguments in buffer limit configuration."},
        {"normal 9 9 9 master 1 1 1",
         "Invalid client class specified in buffer limit configuration."},
        {"normal 9 9 9 pubsub x 1 1",
         "Error in hard, soft or soft_seconds setting in buffer limit configuration."},
        {"normal 9 9 -1",
         "Error in hard, soft or soft_seconds setting in buffer limit configuration."},
        {"normal 9 9 9999999999",
         "Error in hard, soft or soft_seconds setting in buffer limit configuration."},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct output_limits limits = {0};
        const char *why = output_limits_parse(slice_of(cases[i].text), &limits);
        assert_non_null(why);
        assert_string_equal(why, cases[i].why);
        assert_int_equal(limits.of[CLIENT_NORMAL].hard, 0);
    }
}

static void memory_of_clients_is_bytes_or_a_share(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *shown; /* or why not */
    } cases[] = {{"0", "0"},
                 {"10mb", "10485760"},
                 {"5%", "5%"},
                 {"100%", "100%"},
                 {"0%", "0"},
                 {"101%", "percentage argument must be less or equal to 100"},
                 {"-5%", "argument must be a memory or percent value"},
                 {"%", "argument must be a memory or percent value"},
                 {"", "argument must be a memory or percent value"},
                 {"-1", "argument must be a memory or percent value"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t number = 0;
        char text[CLIENT_MEMORY_TEXT_MAX];
        const char *why = client_memory_parse(slice_of(cases[i].text), &number);
        if (why == NULL) {
            client_memory_format(number, text);
        }
        assert_string_equal(why != NULL ? why : text, cases[i].shown);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_that_are_not_named_stay),
        cmocka_unit_test(all_is_taken_or_nothing),
        cmocka_unit_test(memory_of_clients_is_bytes_or_a_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
