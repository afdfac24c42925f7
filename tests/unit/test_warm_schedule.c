/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/base/rand.h"
#include "tiers/warm_schedule.h"

#include <stdio.h>
#include <time.h>

#include "seed_help.h"

static struct warm_schedule parsed(const char *text)
{
    struct warm_schedule schedule;
    char error[WARM_SCHEDULE_ERROR_MAX] = "";
    if (warm_schedule_parse(slice_of(text), &schedule, error) != OK) {
        fail_msg("'%s': %s", text, error);
    }
    return schedule;
}

static int64_t at(const char *text)
{
    struct tm tm = {0};
    assert_non_null(strptime(text, "%Y-%m-%d %H:%M:%S", &tm));
    return (int64_t)timegm(&tm) * 1000;
}

static void check_next(const char *schedule, const char *after, const char *expected)
{
    const struct warm_schedule parts = parsed(schedule);
    const int64_t next_ms = warm_schedule_next(&parts, at(after));
    if (next_ms != at(expected)) {
        fail_msg("'%s' after %s: %lld, not %s", schedule, after, (long long)next_ms, expected);
    }
}

static void the_next_time_is_that_of_the_calendar(void **state)
{
    (void)state;
    check_next("every 5m", "2026-11-22 13:59:59", "2026-11-22 14:00:00");
    check_next("every 5m", "2026-11-22 14:00:00", "2026-11-22 14:05:00");
    check_next("every 1d", "2026-02-28 00:00:01", "2026-03-01 00:00:00");
    check_next("every 7s", "1970-01-01 00:00:00", "1970-01-01 00:00:07");
    check_next("08:55", "2026-11-22 08:54:59", "2026-11-22 08:55:00");
    check_next("08:55", "2026-11-22 08:55:00", "2026-11-23 08:55:00");
    check_next("00:00", "2027-12-31 23:59:59", "2028-01-01 00:00:00");
    check_next("08:55 mon-fri", "2026-11-20 08:55:00", "2026-11-23 08:55:00"); /* over a weekend */
    check_next("08:55 MON-FRI", "2026-11-19 09:00:00", "2026-11-20 08:55:00");
    check_next("23:59 sat,sun", "2028-02-26 23:59:00", "2028-02-27 23:59:00");
    check_next("12:00 tue", "2028-02-28 12:00:00", "2028-02-29 12:00:00"); /* a leap day */
    check_next("12:00 fri-mon", "2026-11-23 12:00:00", "2026-11-27 12:00:00");
    check_next("00:30 mon +01:00", "2026-11-22 12:00:00", "2026-11-22 23:30:00");
    check_next("23:30 sun -02:00", "2026-11-22 12:00:00", "2026-11-23 01:30:00");
    check_next("00:30 +14:00", "1970-01-01 00:00:00", "1970-01-01 10:30:00");
    check_next("03:00 mon,wed-thu +00:00", "2026-11-23 03:00:00", "2026-11-25 03:00:00");
}

/* What the C library says of each time that was found: the time and the day are right, and no earlier one is: each of the days
 * between is looked at. Over three centuries, so over all ends of months and leap days. */
static void times_found_are_right_and_none_is_left_out(void **state)
{
    (void)state;
    struct rand rand;
    rand_seed(&rand, help_seed());
    for (int round = 0; round < HELP_ROUNDS(20000); round++) {
        const struct warm_schedule schedule = {
            .minute = (int)rand_below(&rand, 1440),
            .days = (uint8_t)(1 + rand_below(&rand, 127)),
            .ahead = (int)rand_below(&rand, 2 * 840 + 1) - 840,
        };
        const int64_t after_ms = (int64_t)rand_below(&rand, UINT64_C(300) * 365 * 86400000);
        const int64_t next_ms = warm_schedule_next(&schedule, after_ms);
        assert_true(next_ms > after_ms && next_ms % 60000 == 0);
        int64_t first_ms = 0;
        for (int64_t ms = next_ms; ms > after_ms; ms -= 86400000) {
            const time_t local = (time_t)((ms + 86400000) / 1000 + schedule.ahead * 60);
            struct tm tm;
            assert_non_null(gmtime_r(&local, &tm)); /* a day later, so that it is not before 1970 */
            const int weekday = (tm.tm_wday + 6 + 6) % 7; /* of the day itself, monday first */
            assert_int_equal(tm.tm_hour * 60 + tm.tm_min, schedule.minute);
            first_ms = (schedule.days >> weekday & 1) != 0 ? ms : first_ms;
        }
        assert_true(first_ms == next_ms);
    }
}

static void spans_are_multiples_since_1970(void **state)
{
    (void)state;
    struct rand rand;
    rand_seed(&rand, help_seed());
    for (int round = 0; round < HELP_ROUNDS(20000); round++) {
        const struct warm_schedule schedule = {
            .every_ms = 1000 * (int64_t)(1 + rand_below(&rand, 1000000))};
        const int64_t after_ms = (int64_t)rand_below(&rand, UINT64_C(1) << 42);
        const int64_t next_ms = warm_schedule_next(&schedule, after_ms);
        assert_true(next_ms > after_ms && next_ms - after_ms <= schedule.every_ms);
        assert_true(next_ms % schedule.every_ms == 0);
    }
}

static void what_is_no_schedule_is_said(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "'' where a time as 08:55, or 'every 5m', was expected"},
        {"8:55", "'8:55' where a time as 08:55, or 'every 5m', was expected"},
        {"24:00", "'24:00' where a time as 08:55, or 'every 5m', was expected"},
        {"08:60", "'08:60' where a time as 08:55, or 'every 5m', was expected"},
        {"daily 03:00", "'daily' where a time as 08:55, or 'every 5m', was expected"},
        {"08:55 monday", "'monday' where a day or days as mon, mon-fri or sat,sun was expected"},
        {"08:55 mon-", "'mon-' where a day or days as mon, mon-fri or sat,sun was expected"},
        {"08:55 mon,,tue", "'' where a day or days as mon, mon-fri or sat,sun was expected"},
        {"08:55 -fri",
         "'-fri' where an offset from UTC as +01:00, of at most 14 hours was expected"},
        {"08:55 mon +15:00",
         "'+15:00' where an offset from UTC as +01:00, of at most 14 hours was expected"},
        {"08:55 mon tue", "'tue' where the end was expected"},
        {"every", "'' where a span as 30s, 5m, 2h or 1d, of at most 366d, was expected"},
        {"every 0s", "'0s' where a span as 30s, 5m, 2h or 1d, of at most 366d, was expected"},
        {"every 5", "'5' where a span as 30s, 5m, 2h or 1d, of at most 366d, was expected"},
        {"every 5w", "'5w' where a span as 30s, 5m, 2h or 1d, of at most 366d, was expected"},
        {"every 367d", "'367d' where a span as 30s, 5m, 2h or 1d, of at most 366d, was expected"},
        {"every 18446744073709551615s",
         "'18446744073709551615s' where a span as 30s, 5m, 2h or 1d, of at most 366d, was expected"},
        {"every 5m mon", "'mon' where the end was expected"},
        {"every \x01m", "'.m' where a span as 30s, 5m, 2h or 1d, of at most 366d, was expected"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct warm_schedule schedule;
        char error[WARM_SCHEDULE_ERROR_MAX] = "";
        assert_int_equal(warm_schedule_parse(slice_of(cases[i][0]), &schedule, error), INVALID);
        assert_string_equal(error, cases[i][1]);
    }
}

static void any_bytes_are_a_schedule_or_an_error(void **state)
{
    (void)state;
    static const char letters[] = "every 0123456789:smhdmontuewedfri-,+ ";
    struct rand rand;
    rand_seed(&rand, help_seed());
    for (int round = 0; round < HELP_ROUNDS(30000); round++) {
        char text[80];
        struct warm_schedule schedule;
        char error[WARM_SCHEDULE_ERROR_MAX] = "";
        const size_t size = rand_below(&rand, sizeof text);
        for (size_t i = 0; i < size; i++) {
            text[i] = rand_below(&rand, 20) == 0 ? (char)rand_next(&rand)
                                                 : letters[rand_below(&rand, sizeof letters - 1)];
        }
        if (warm_schedule_parse((struct slice){text, size}, &schedule, error) == OK) {
            assert_true(warm_schedule_next(&schedule, 0) > 0);
        } else {
            assert_true(error[0] == '\'' && memchr(error, '\0', sizeof error) != NULL);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_time_is_that_of_the_calendar),
        cmocka_unit_test(times_found_are_right_and_none_is_left_out),
        cmocka_unit_test(spans_are_multiples_since_1970),
        cmocka_unit_test(what_is_no_schedule_is_said),
        cmocka_unit_test(any_bytes_are_a_schedule_or_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
