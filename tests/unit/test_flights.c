/* SPDX-License-Identifier: BSD-3-Clause */
/* Loads that are under way in one process. */
#include "client/flights.h"
#include "tests/unit/seed_help.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

#define KEY SLICE_LITERAL("key")
#define FAR INT64_C(4000000000000) /* ms: no test waits for so long */

enum {
    THREADS = 8
};

static enum flight_role join(struct flights *flights, struct slice key, struct flight **ret_flight)
{
    bool meanwhile = false;
    return flights_join(flights, key, flights_mark(flights, key), ret_flight, &meanwhile);
}

static void the_first_leads_and_the_others_wait_for_what_it_brings(void **state)
{
    (void)state;
    struct flights *flights = flights_new();
    struct flight *leader = NULL;
    struct flight *waiter = NULL;
    struct flight *other = NULL;
    assert_null(flights_find(flights, KEY));
    assert_int_equal(join(flights, KEY, &leader), FLIGHT_LEADS);
    assert_int_equal(join(flights, KEY, &waiter), FLIGHT_WAITS);
    assert_int_equal(join(flights, SLICE_LITERAL("another"), &other), FLIGHT_LEADS);
    assert_ptr_equal(flights_find(flights, KEY), leader);
    flight_leave(flights, leader);
    struct flight_result result = {0};
    assert_int_equal(flight_wait(flights, waiter, true, 1, &result), TIMEOUT); /* long past */
    char value[] = "value";
    flights_land(
        flights, leader,
        &(struct flight_result){.status = 7, .value = {value, 5}, .age_ms = 7, .ttl_ms = 8});
    value[0] = 'x'; /* it was copied */
    assert_int_equal(flight_wait(flights, waiter, false, 1, &result), OK);
    assert_int_equal(result.status, 7);
    assert_true(slice_is(result.value, "value"));
    assert_int_equal(result.age_ms, 7);
    assert_int_equal(result.ttl_ms, 8);
    flight_leave(flights, waiter);
    assert_null(flights_find(flights, KEY));
    flights_land(flights, other, &(struct flight_result){.status = 1});
    flights_free(flights);
}

static void what_is_offered_is_enough_for_those_who_take_it(void **state)
{
    (void)state;
    struct flights *flights = flights_new();
    struct flight *leader = NULL;
    struct flight *waiter = NULL;
    (void)join(flights, KEY, &leader);
    (void)join(flights, KEY, &waiter);
    flight_offer(flights, leader,
                 &(struct flight_result){.status = 9, .value = SLICE_LITERAL("old")});
    struct flight_result result = {0};
    assert_int_equal(flight_wait(flights, waiter, false, 1, &result), TIMEOUT);
    assert_int_equal(flight_wait(flights, waiter, true, 1, &result), OK);
    assert_int_equal(result.status, 9);
    assert_true(slice_is(result.value, "old"));
    flights_land(flights, leader, &(struct flight_result){.asks_again = true});
    assert_int_equal(flight_wait(flights, waiter, true, 1, &result), OK);
    assert_true(result.asks_again);
    flight_leave(flights, waiter);
    flights_free(flights);
}

static void who_asked_before_another_landed_is_told(void **state)
{
    (void)state;
    struct flights *flights = flights_new();
    uint64_t mark = flights_mark(flights, KEY);
    struct flight *leader = NULL;
    bool meanwhile = true;
    assert_int_equal(flights_join(flights, KEY, mark, &leader, &meanwhile), FLIGHT_LEADS);
    assert_false(meanwhile);
    flights_land(flights, leader, &(struct flight_result){.status = 7});
    assert_int_equal(flights_join(flights, KEY, mark, &leader, &meanwhile), FLIGHT_LEADS);
    assert_true(meanwhile);
    flights_land(flights, leader, &(struct flight_result){.status = 7});
    flights_free(flights);
}

static void beyond_the_bound_each_leads_alone(void **state)
{
    (void)state;
    struct flights *flights = flights_new();
    static struct flight *all[FLIGHTS_MAX];
    char key[16];
    for (int i = 0; i < FLIGHTS_MAX; i++) {
        int size = snprintf(key, sizeof key, "%d", i);
        assert_int_equal(join(flights, (struct slice){key, (size_t)size}, &all[i]), FLIGHT_LEADS);
    }
    struct flight *more = all[0];
    assert_int_equal(join(flights, KEY, &more), FLIGHT_LEADS_ALONE);
    assert_null(more);
    flights_land(flights, more, &(struct flight_result){.status = 7});
    for (int i = 0; i < FLIGHTS_MAX; i++) {
        flights_land(flights, all[i], &(struct flight_result){.status = 7});
    }
    assert_int_equal(join(flights, KEY, &more), FLIGHT_LEADS);
    flights_land(flights, more, &(struct flight_result){.status = 7});
    flights_free(flights);
}

/* --- threads --------------------------------------------------------------------------------------------------------- */

struct crowd {
    struct flights *flights;
    _Atomic unsigned waiting;
    _Atomic unsigned led;
    _Atomic unsigned got;
    _Atomic unsigned closed;
};

static void *want_it(void *arg)
{
    struct crowd *crowd = arg;
    struct flight *flight = NULL;
    if (join(crowd->flights, KEY, &flight) == FLIGHT_LEADS) {
        atomic_fetch_add(&crowd->led, 1);
        while (atomic_load(&crowd->waiting) < THREADS - 1) {
            (void)sched_yield();
        }
        flights_land(crowd->flights, flight,
                     &(struct flight_result){.value = SLICE_LITERAL("brought")});
        return NULL;
    }
    atomic_fetch_add(&crowd->waiting, 1);
    struct flight_result result = {0};
    enum status status = flight_wait(crowd->flights, flight, true, FAR, &result);
    atomic_fetch_add(&crowd->got, status == OK && slice_is(result.value, "brought"));
    atomic_fetch_add(&crowd->closed, status == CLOSE);
    flight_leave(crowd->flights, flight);
    return NULL;
}

static void of_many_threads_one_leads_and_all_get_what_it_brought(void **state)
{
    (void)state;
    for (int round = 0; round < 200; round++) {
        struct crowd crowd = {.flights = flights_new()};
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++) {
            assert_int_equal(pthread_create(&threads[i], NULL, want_it, &crowd), 0);
        }
        for (int i = 0; i < THREADS; i++) {
            assert_int_equal(pthread_join(threads[i], NULL), 0);
        }
        assert_int_equal(crowd.led, 1);
        assert_int_equal(crowd.got, THREADS - 1);
        flights_free(crowd.flights);
    }
}

static void closing_wakes_all_who_wait(void **state)
{
    (void)state;
    struct crowd crowd = {.flights = flights_new()};
    struct flight *leader = NULL;
    (void)join(crowd.flights, KEY, &leader);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, want_it, &crowd), 0);
    }
    while (atomic_load(&crowd.waiting) < THREADS) {
        (void)sched_yield();
    }
    flights_close(crowd.flights);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(crowd.closed, THREADS);
    flights_land(crowd.flights, leader, &(struct flight_result){.value = SLICE_LITERAL("late")});
    flights_free(crowd.flights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_leads_and_the_others_wait_for_what_it_brings),
        cmocka_unit_test(what_is_offered_is_enough_for_those_who_take_it),
        cmocka_unit_test(who_asked_before_another_landed_is_told),
        cmocka_unit_test(beyond_the_bound_each_leads_alone),
        cmocka_unit_test(of_many_threads_one_leads_and_all_get_what_it_brought),
        cmocka_unit_test(closing_wakes_all_who_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
