/* SPDX-License-Identifier: BSD-3-Clause */
/* Quotas per second: what passes, what waits for how long, and who is told how often. */
#include "server/quota_watch.h"
#include "tiers/quota.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum {
    T0 = 1000000
};

/* As a call does. False: refused. */
static bool ask(struct quota *quota, struct quota_share *share, unsigned threads, int64_t taken,
                int64_t now_ms, int64_t *wait_ms)
{
    if (quota_check(quota, share, threads, now_ms, wait_ms) != OK) {
        return false;
    }
    quota_charge(quota, share, taken, now_ms);
    return true;
}

static unsigned ask_often(struct quota *quota, struct quota_share *share, unsigned times,
                          int64_t now_ms)
{
    unsigned passed = 0;
    int64_t wait_ms = 0;
    for (unsigned i = 0; i < times; i++) {
        passed += ask(quota, share, 1, 1, now_ms, &wait_ms);
    }
    return passed;
}

static void who_was_quiet_may_use_a_second_at_once_and_no_more(void **state)
{
    (void)state;
    struct quota quota = {0};
    struct quota_share share = {0};
    quota_set(&quota, 50);
    assert_int_equal(ask_often(&quota, &share, 200, T0), 50);
    assert_int_equal(ask_often(&quota, &share, 200, T0 + 100), 5);
    assert_int_equal(ask_often(&quota, &share, 200, T0 + 60000), 50);
}

static void a_refusal_says_when_there_is_something_again(void **state)
{
    (void)state;
    struct quota quota = {0};
    struct quota_share share = {0};
    int64_t wait_ms = 0;
    quota_set(&quota, 4);
    assert_int_equal(ask_often(&quota, &share, 10, T0), 4);
    assert_false(ask(&quota, &share, 1, 1, T0, &wait_ms));
    assert_int_equal(wait_ms, 250);
    assert_false(ask(&quota, &share, 1, 1, T0 + 200, &wait_ms));
    assert_int_equal(wait_ms, 50);
    assert_true(ask(&quota, &share, 1, 1, T0 + 250, &wait_ms));
}

static void what_takes_more_than_is_left_passes_once_and_is_earned_before_the_next(void **state)
{
    (void)state;
    struct quota quota = {0};
    struct quota_share share = {0};
    int64_t wait_ms = 0;
    quota_set(&quota, 1000);
    assert_true(ask(&quota, &share, 1, 5000, T0, &wait_ms));
    assert_false(ask(&quota, &share, 1, 1, T0, &wait_ms));
    assert_in_range(wait_ms, 4000, 4020);
    assert_false(ask(&quota, &share, 1, 1, T0 + 3900, &wait_ms));
    assert_true(ask(&quota, &share, 1, 1, T0 + 4100, &wait_ms));
}

static void another_rate_holds_at_once_for_those_who_wait(void **state)
{
    (void)state;
    struct quota quota = {0};
    struct quota_share share = {0};
    int64_t wait_ms = 0;
    quota_set(&quota, 1);
    assert_true(ask(&quota, &share, 1, 1000000, T0, &wait_ms)); /* eleven days of debt */
    assert_false(ask(&quota, &share, 1, 1, T0 + 1, &wait_ms));
    assert_int_equal(wait_ms, 86400 * 1000LL + 1000 - 1); /* no more than a day is ever owed */
    quota_set(&quota, 10);
    assert_true(ask(&quota, &share, 1, 1, T0 + 1, &wait_ms));
    quota_set(&quota, 10); /* the same again changes nothing */
    assert_int_equal(ask_often(&quota, &share, 20, T0 + 1), 9);
}

/* --- threads --------------------------------------------------------------------------------------------------------- */

enum {
    THREADS = 4,
    RATE = 100000,
    SECONDS = 3
};

struct asker {
    struct quota *quota;
    unsigned passed;
};

static void *ask_all_the_time(void *arg)
{
    struct asker *asker = arg;
    struct quota_share share = {0};
    int64_t wait_ms = 0;
    for (int64_t now_ms = T0; now_ms < T0 + SECONDS * 1000; now_ms += 5) {
        for (int i = 0; i < RATE / 100; i++) {
            asker->passed += ask(asker->quota, &share, THREADS, 1, now_ms, &wait_ms);
        }
    }
    return NULL;
}

static void threads_share_one_quota(void **state)
{
    (void)state;
    struct quota quota = {0};
    quota_set(&quota, RATE);
    struct asker askers[THREADS];
    pthread_t threads[THREADS];
    unsigned passed = 0;
    for (int i = 0; i < THREADS; i++) {
        askers[i] = (struct asker){.quota = &quota};
        assert_int_equal(pthread_create(&threads[i], NULL, ask_all_the_time, &askers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        passed += askers[i].passed;
    }
    /* Their clocks run apart, so the one behind the others may find nothing. */
    assert_in_range(passed, RATE, RATE * (SECONDS + 1) + RATE / 100);
}

/* --- alarms ---------------------------------------------------------------------------------------------------------- */

static void each_level_is_told_once(void **state)
{
    (void)state;
    struct quota_alarm alarm = {0};
    assert_int_equal(quota_alarm_note(&alarm, 49, T0), 0);
    assert_int_equal(quota_alarm_note(&alarm, 50, T0 + 1), 1);
    assert_int_equal(quota_alarm_note(&alarm, 79, T0 + 2), 0);
    assert_int_equal(quota_alarm_note(&alarm, 101, T0 + 3), 2);
    assert_int_equal(alarm.told, 3);
    for (int64_t i = 0; i < 100000; i++) { /* wavers, each second */
        assert_int_equal(quota_alarm_note(&alarm, i % 20 < 10 ? 60 : 100, T0 + i * 100), 0);
    }
}

static void a_level_ends_when_the_use_was_well_below_it_for_ten_seconds(void **state)
{
    (void)state;
    struct quota_alarm alarm = {0};
    assert_int_equal(quota_alarm_note(&alarm, 100, T0), 3);
    assert_int_equal(quota_alarm_note(&alarm, 91, T0 + 1000), 0);
    assert_int_equal(quota_alarm_note(&alarm, 91, T0 + 60000), 0);
    assert_int_equal(alarm.told, 3); /* not well below */
    assert_int_equal(quota_alarm_note(&alarm, 75, T0 + 61000), 0);
    assert_int_equal(quota_alarm_note(&alarm, 75, T0 + 70999), 0);
    assert_int_equal(alarm.told, 3);
    assert_int_equal(quota_alarm_note(&alarm, 75, T0 + 71000), 0);
    assert_int_equal(alarm.told, 2); /* 75 is not well below 80 */
    assert_int_equal(quota_alarm_note(&alarm, 100, T0 + 72000), 1);
    assert_int_equal(quota_alarm_note(&alarm, 0, T0 + 73000), 0);
    assert_int_equal(quota_alarm_note(&alarm, 0, T0 + 83000), 0);
    assert_int_equal(alarm.told, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_was_quiet_may_use_a_second_at_once_and_no_more),
        cmocka_unit_test(a_refusal_says_when_there_is_something_again),
        cmocka_unit_test(what_takes_more_than_is_left_passes_once_and_is_earned_before_the_next),
        cmocka_unit_test(another_rate_holds_at_once_for_those_who_wait),
        cmocka_unit_test(threads_share_one_quota),
        cmocka_unit_test(each_level_is_told_once),
        cmocka_unit_test(a_level_ends_when_the_use_was_well_below_it_for_ten_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
