/* SPDX-License-Identifier: BSD-3-Clause */
/* Health, breakers, regions, and the list of endpoints. */
#include "client/backoff.h"
#include "client/cluster.h"
#include "tests/unit/cluster_help.h"

#include <stdio.h>

static const struct cluster_endpoint_spec pair[] = {
    {.address = "a:1", .weight = 1},
    {.address = "b:1", .weight = 1},
};
static const struct cluster_endpoint_spec two_regions[] = {
    {.address = "a:1", .region = "near", .priority = 1, .weight = 1},
    {.address = "b:1", .region = "near", .priority = 1, .weight = 1},
    {.address = "c:1", .region = "far", .priority = 2, .weight = 1},
};

static struct cluster *open_with(const struct cluster_endpoint_spec *specs, size_t count)
{
    return help_cluster(&(struct cluster_options){.seed = 1}, specs, count);
}

/* --- health ---------------------------------------------------------------------------------------------------------- */

static void three_failures_in_a_row_and_no_fewer_take_an_endpoint_down(void **state)
{
    (void)state;
    struct cluster *cluster = open_with(pair, 2);
    help_fails(cluster, "a:1", 2, 0);
    help_answers(cluster, "a:1", 0);
    help_fails(cluster, "a:1", 2, 0);
    assert_int_equal(help_describe(cluster, "a:1").health, CLUSTER_UP);
    help_fails(cluster, "a:1", 1, 0);
    struct cluster_endpoint_description a = help_describe(cluster, "a:1");
    assert_int_equal(a.health, CLUSTER_DOWN);
    assert_int_equal(a.breaker, CLUSTER_OPEN);
    assert_int_equal(a.failures, 5);
    assert_int_equal(a.requests, 6);
    for (int i = 0; i < 10; i++) {
        assert_string_equal(help_choice(cluster, 0, 0), "b:1");
    }
    cluster_free(cluster);
}

static void failures_of_probes_count_as_those_of_requests_do(void **state)
{
    (void)state;
    struct cluster *cluster = open_with(pair, 2);
    help_fails(cluster, "a:1", 1, 0);
    assert_int_equal(help_probes(cluster, "a:1", 0), 2);
    assert_int_equal(help_probes(cluster, "a:1", 99), 0);
    assert_int_equal(help_describe(cluster, "a:1").health, CLUSTER_UNKNOWN);
    assert_int_equal(help_probes(cluster, "a:1", 100), 1); /* who is suspected is asked soon */
    assert_int_equal(help_describe(cluster, "a:1").health, CLUSTER_DOWN);
    cluster_free(cluster);
}

static void a_breaker_opens_for_half_a_second_then_one_then_two_and_one_good_probe_closes_it(
    void **state)
{
    (void)state;
    struct cluster *cluster = help_cluster(&(struct cluster_options){.seed = help_seed()}, pair, 2);
    int64_t now_ms = 0;
    help_probes(cluster, "", now_ms);
    help_fails(cluster, "a:1", 3, now_ms);
    static const int64_t open_ms[] = {500, 1000, 2000, 2000};
    for (int i = 0; i < 4; i++) {
        int64_t from_ms = now_ms;
        while (help_describe(cluster, "a:1").breaker == CLUSTER_OPEN) {
            now_ms++;
            struct cluster_endpoint *probed = NULL;
            while (cluster_next_probe(cluster, now_ms, &probed)) {
                if (strcmp(cluster_endpoint_address(probed), "b:1") == 0) {
                    cluster_on_probe(cluster, probed, true, NULL, now_ms);
                }
            }
        }
        assert_int_equal(help_describe(cluster, "a:1").breaker, CLUSTER_HALF_OPEN);
        assert_in_range(now_ms - from_ms, open_ms[i] * 8 / 10, open_ms[i] * 12 / 10);
        assert_string_equal(help_choice(cluster, 0, now_ms), "b:1");
        assert_int_equal(help_probes(cluster, "", now_ms), 0); /* one at a time */
        cluster_on_probe(cluster, help_find(cluster, "a:1"), i == 3, "refused", now_ms);
    }
    assert_int_equal(help_describe(cluster, "a:1").breaker, CLUSTER_CLOSED);
    assert_int_equal(help_describe(cluster, "a:1").health, CLUSTER_UP);
    cluster_free(cluster);
}

static void what_was_sent_before_an_endpoint_went_down_does_not_bring_it_back(void **state)
{
    (void)state;
    struct cluster *cluster = open_with(pair, 2);
    struct cluster_endpoint *probed = NULL;
    assert_true(cluster_next_probe(cluster, 0, &probed));
    assert_string_equal(cluster_endpoint_address(probed), "a:1");
    cluster_on_sent(cluster, probed, 0);
    help_fails(cluster, "a:1", 3, 1);
    cluster_on_answered(cluster, probed, 100, 2);
    cluster_on_probe(cluster, probed, true, NULL, 2);
    assert_int_equal(help_describe(cluster, "a:1").health, CLUSTER_DOWN);
    assert_int_equal(help_probes(cluster, "", 300), 1); /* b: the breaker of a is open */
    assert_int_equal(help_describe(cluster, "a:1").health, CLUSTER_DOWN);
    assert_int_equal(help_probes(cluster, "", 601), 1);
    assert_int_equal(help_describe(cluster, "a:1").health, CLUSTER_UP);
    cluster_free(cluster);
}

static void an_endpoint_that_answers_need_not_be_probed(void **state)
{
    (void)state;
    struct cluster *cluster = open_with(pair, 1);
    assert_int_equal(cluster_next_tick_ms(cluster, 0), 0);
    for (int64_t now_ms = 0; now_ms < 10000; now_ms += 900) {
        help_answers(cluster, "a:1", now_ms);
        assert_int_equal(help_probes(cluster, "", now_ms + 899), 0);
    }
    assert_int_equal(help_probes(cluster, "", 10901), 1);
    assert_int_equal(cluster_next_tick_ms(cluster, 10901), 1000);
    cluster_free(cluster);
}

static void who_owes_answers_and_says_nothing_is_probed_soon(void **state)
{
    (void)state;
    struct cluster *cluster = open_with(pair, 1);
    help_probes(cluster, "", 0);
    struct cluster_endpoint *a = help_find(cluster, "a:1");
    cluster_on_sent(cluster, a, 100);
    cluster_on_sent(cluster, a, 300);
    assert_int_equal(cluster_next_tick_ms(cluster, 300), 50);
    assert_int_equal(help_probes(cluster, "", 349), 0);
    assert_int_equal(help_probes(cluster, "", 350), 1);
    cluster_on_answered(cluster, a, 250000, 550);
    assert_int_equal(help_probes(cluster, "", 799), 0);
    assert_int_equal(help_probes(cluster, "", 800), 1);
    cluster_on_left(cluster, a);
    assert_int_equal(help_probes(cluster, "", 1799), 0); /* nothing is owed */
    assert_int_equal(help_probes(cluster, "", 1800), 1);
    cluster_free(cluster);
}

static void with_all_of_them_down_nothing_is_asked_until_a_probe_is_good(void **state)
{
    (void)state;
    struct cluster *cluster = open_with(two_regions, 3);
    help_fails(cluster, "a:1", 3, 0);
    help_fails(cluster, "b:1", 3, 0);
    help_fails(cluster, "c:1", 3, 0);
    int64_t wait_ms = 0;
    assert_null(cluster_choose(cluster, 0, NULL, 0, &wait_ms));
    assert_in_range(wait_ms, 400, 600);
    assert_int_equal(help_probes(cluster, "a:1 b:1", 600), 3);
    assert_string_equal(help_choice(cluster, 0, 600), "c:1");
    cluster_free(cluster);
}

/* --- retries --------------------------------------------------------------------------------------------------------- */

static void a_retry_goes_to_another_of_the_region_if_it_has_one(void **state)
{
    (void)state;
    struct cluster *cluster = open_with(two_regions, 3);
    struct cluster_endpoint *a = help_find(cluster, "a:1");
    int64_t wait_ms = 0;
    for (int i = 0; i < 10; i++) {
        struct cluster_endpoint *one = cluster_choose(cluster, (uint64_t)i, a, 0, &wait_ms);
        assert_string_equal(cluster_endpoint_address(one), "b:1");
    }
    help_fails(cluster, "b:1", 3, 0);
    assert_ptr_equal(cluster_choose(cluster, 0, a, 0, &wait_ms), a);
    cluster_free(cluster);
}

static void retries_wait_for_half_a_second_then_one_then_two_with_jitter(void **state)
{
    (void)state;
    uint64_t random = help_seed();
    static const int64_t about_ms[] = {500, 1000, 2000, 2000, 2000};
    for (unsigned n = 1; n <= 5; n++) {
        int64_t least_ms = INT64_MAX;
        int64_t most_ms = 0;
        for (int i = 0; i < 2000; i++) {
            int64_t ms = backoff_ms(&random, n);
            least_ms = ms < least_ms ? ms : least_ms;
            most_ms = ms > most_ms ? ms : most_ms;
        }
        int64_t about = about_ms[n - 1];
        assert_in_range(least_ms, about * 80 / 100, about * 81 / 100 + 1);
        assert_in_range(most_ms, about * 119 / 100 - 1, about * 120 / 100);
    }
}

/* --- regions --------------------------------------------------------------------------------------------------------- */

static void a_region_is_left_when_all_of_it_is_down_and_taken_again_after_the_hold_down(
    void **state)
{
    (void)state;
    struct cluster *cluster = open_with(two_regions, 3);
    help_probes(cluster, "", 0);
    help_fails(cluster, "a:1", 3, 100);
    assert_string_equal(help_choice(cluster, 0, 100), "b:1");
    help_fails(cluster, "b:1", 3, 200);
    assert_string_equal(help_choice(cluster, 0, 200), "c:1");
    help_probes(cluster, "", 1000);
    assert_int_equal(help_describe(cluster, "a:1").health, CLUSTER_UP);
    help_fails(cluster, "a:1", 3, 5000); /* b is up still: no interruption */
    assert_string_equal(help_choice(cluster, 0, 10999), "c:1");
    help_answers(cluster, "c:1", 10999);
    help_answers(cluster, "b:1", 10999);
    assert_int_equal(cluster_next_tick_ms(cluster, 10999), 0); /* the probe of a */
    help_probes(cluster, "a:1", 10999);
    assert_int_equal(cluster_next_tick_ms(cluster, 10999), 1);
    assert_string_equal(help_choice(cluster, 0, 11000), "b:1");
    struct cluster_counters counters;
    cluster_counters(cluster, &counters);
    assert_int_equal(counters.failovers, 1);
    assert_int_equal(counters.failbacks, 1);
    assert_int_equal(counters.went_down, 3);
    cluster_free(cluster);
}

static void an_interruption_begins_the_hold_down_anew(void **state)
{
    (void)state;
    struct cluster *cluster = open_with(two_regions, 3);
    help_probes(cluster, "", 0);
    help_fails(cluster, "a:1", 3, 0);
    help_fails(cluster, "b:1", 3, 0);
    help_probes(cluster, "b:1", 1000); /* a is up */
    help_fails(cluster, "a:1", 3, 9000);
    help_probes(cluster, "b:1", 10000); /* again */
    assert_string_equal(help_choice(cluster, 0, 19999), "c:1");
    assert_string_equal(help_choice(cluster, 0, 20000), "a:1");
    cluster_free(cluster);
}

static void a_better_region_in_its_hold_down_is_better_than_none(void **state)
{
    (void)state;
    struct cluster *cluster = open_with(two_regions, 3);
    help_fails(cluster, "a:1", 3, 0);
    help_fails(cluster, "b:1", 3, 0);
    help_probes(cluster, "b:1", 1000);
    assert_string_equal(help_choice(cluster, 0, 1000), "c:1");
    help_fails(cluster, "c:1", 3, 1000);
    assert_string_equal(help_choice(cluster, 0, 1000), "a:1");
    cluster_free(cluster);
}

static void a_region_by_hand_stays_until_it_is_down_or_for_good_by_force(void **state)
{
    (void)state;
    struct cluster *cluster = open_with(two_regions, 3);
    help_probes(cluster, "", 0);
    assert_int_equal(cluster_use_region(cluster, "nowhere", false, 0), INVALID);
    assert_int_equal(cluster_use_region(cluster, "far", false, 0), OK);
    help_answers(cluster, "a:1", 60000);
    assert_string_equal(help_choice(cluster, 0, 60000), "c:1");
    help_fails(cluster, "c:1", 3, 60000);
    assert_string_equal(cluster_current_region(cluster), "near");
    assert_int_equal(cluster_use_region(cluster, "far", false, 60000), L2_DOWN);
    assert_int_equal(cluster_use_region(cluster, "far", true, 60000), OK);
    assert_null(help_choice(cluster, 0, 60000));
    assert_int_equal(cluster_use_region(cluster, NULL, false, 60000), OK);
    assert_string_equal(cluster_current_region(cluster), "near");
    cluster_free(cluster);
}

static void the_history_tells_what_happened_the_newest_first_and_is_bounded(void **state)
{
    (void)state;
    struct cluster *cluster = open_with(&two_regions[1], 2);
    help_probes(cluster, "", 5);
    help_fails(cluster, "b:1", 3, 7);
    static struct cluster_event events[CLUSTER_EVENTS_MAX];
    assert_int_equal(cluster_history(cluster, events, CLUSTER_EVENTS_MAX), 4);
    assert_string_equal(events[0].what, "failover from near");
    assert_string_equal(events[0].region, "far");
    assert_string_equal(events[0].address, "");
    assert_string_equal(events[1].what, "down: refused");
    assert_string_equal(events[1].address, "b:1");
    assert_int_equal(events[1].at_ms, 7);
    assert_string_equal(events[3].what, "up");
    int64_t now_ms = 7;
    for (int i = 0; i < 300; i++) {
        now_ms += 3000;
        help_probes(cluster, "", now_ms);
        help_fails(cluster, "b:1", 3, now_ms);
    }
    assert_int_equal(cluster_history(cluster, events, 1), CLUSTER_EVENTS_MAX);
    assert_int_equal(events[0].at_ms, now_ms);
    cluster_free(cluster);
}

/* --- the list -------------------------------------------------------------------------------------------------------- */

static void endpoints_that_stay_keep_their_state_and_a_bad_list_changes_nothing(void **state)
{
    (void)state;
    struct cluster *cluster = open_with(pair, 2);
    help_fails(cluster, "a:1", 3, 0);
    static char long_address[CLUSTER_ADDRESS_MAX + 2];
    memset(long_address, 'x', sizeof long_address - 1);
    const struct cluster_endpoint_spec bad[][2] = {
        {{.address = "c:1", .weight = 1}, {.address = "", .weight = 1}},
        {{.address = "c:1", .weight = 1}, {.address = long_address, .weight = 1}},
        {{.address = "c:1", .weight = 1}, {.address = "d:1", .weight = -1}},
        {{.address = "c:1", .weight = 1}, {.address = "d:1", .weight = 1, .warmth = 0.0 / 0.0}},
        {{.address = "c:1", .weight = 1}, {.address = "d:1", .region = long_address, .weight = 1}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(cluster_update(cluster, bad[i], 2, 1), INVALID);
    }
    assert_int_equal(cluster_update(cluster, pair, 0, 1), INVALID);
    struct cluster_endpoint_description infos[3];
    assert_int_equal(cluster_describe(cluster, infos, 3), 2);
    const struct cluster_endpoint_spec others[] = {
        pair[0], {.address = "c:1", .weight = 1}, pair[0]};
    assert_int_equal(cluster_update(cluster, others, 3, 1), OK);
    assert_int_equal(cluster_describe(cluster, infos, 3), 2);
    assert_int_equal(help_describe(cluster, "a:1").health, CLUSTER_DOWN);
    assert_string_equal(help_choice(cluster, 0, 1), "c:1");
    cluster_free(cluster);
}

/* The n-th one from now on is refused; 0: none is. */
static unsigned refused_calloc;

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size)
{
    if (refused_calloc > 0 && --refused_calloc == 0) {
        return NULL;
    }
    return __real_calloc(count, size);
}

static void without_memory_nothing_changes_and_nothing_is_lost(void **state)
{
    (void)state;
    const struct cluster_endpoint_spec others[] = {
        pair[0], {.address = "c:1", .region = "us", .weight = 1}, {.address = "d:1", .weight = 1}};
    for (int strategy = CLUSTER_ROUND_ROBIN; strategy <= (int)CLUSTER_STICKY; strategy++) {
        const struct cluster_options options = {.strategy = (enum cluster_strategy)strategy};
        struct cluster *cluster = NULL;
        unsigned refusals = 0;
        while (cluster == NULL) {
            refused_calloc = ++refusals;
            cluster = cluster_new(&options);
        }
        assert_int_equal(refusals, strategy == CLUSTER_STICKY ? 4 : 2);
        refused_calloc = 0;
        assert_int_equal(cluster_update(cluster, pair, 2, 0), OK);
        for (refusals = 1;; refusals++) {
            refused_calloc = refusals;
            if (cluster_update(cluster, others, 3, 0) == OK) {
                break;
            }
            refused_calloc = 0;
            struct cluster_endpoint_description infos[3];
            assert_int_equal(cluster_describe(cluster, infos, 3), 2);
            assert_non_null(help_choice(cluster, 7, 0));
        }
        refused_calloc = 0;
        assert_int_equal(refusals, strategy == CLUSTER_HASH ? 9 : 7);
        help_describe(cluster, "d:1");
        cluster_free(cluster);
    }
}

static void too_many_endpoints_or_regions_are_too_big(void **state)
{
    (void)state;
    struct cluster *cluster = open_with(pair, 2);
    static char names[CLUSTER_ENDPOINTS_MAX + 1][16];
    static struct cluster_endpoint_spec specs[CLUSTER_ENDPOINTS_MAX + 1];
    for (int i = 0; i <= CLUSTER_ENDPOINTS_MAX; i++) {
        (void)snprintf(names[i], sizeof names[i], "h%d:1", i);
        specs[i] = (struct cluster_endpoint_spec){.address = names[i], .weight = 1};
    }
    assert_int_equal(cluster_update(cluster, specs, CLUSTER_ENDPOINTS_MAX + 1, 0), TOO_BIG);
    assert_int_equal(cluster_update(cluster, specs, CLUSTER_ENDPOINTS_MAX, 0), OK);
    for (int i = 0; i <= CLUSTER_REGIONS_MAX; i++) {
        specs[i].region = names[i];
    }
    assert_int_equal(cluster_update(cluster, specs, CLUSTER_REGIONS_MAX + 1, 0), TOO_BIG);
    assert_int_equal(cluster_update(cluster, specs, CLUSTER_REGIONS_MAX, 0), OK);
    cluster_free(cluster);
}

static void one_that_left_is_told_once_and_lives_until_nobody_holds_it(void **state)
{
    (void)state;
    struct cluster *cluster = open_with(pair, 2);
    struct cluster_endpoint *a = help_find(cluster, "a:1");
    int connection = 0;
    cluster_endpoint_set_user(a, &connection);
    cluster_on_sent(cluster, a, 0);
    struct cluster_endpoint *probed = NULL;
    assert_true(cluster_next_probe(cluster, 0, &probed));
    assert_ptr_equal(probed, a);
    assert_int_equal(cluster_update(cluster, &pair[1], 1, 1), OK);
    assert_ptr_equal(cluster_next_left(cluster), a);
    assert_null(cluster_next_left(cluster));
    assert_true(cluster_endpoint_has_left(a));
    cluster_on_failed(cluster, a, "closed", 2);
    cluster_on_probe(cluster, a, false, "closed", 2);
    assert_string_equal(cluster_endpoint_address(a), "a:1"); /* the user holds it */
    assert_int_equal(cluster_update(cluster, pair, 2, 3), OK);
    assert_ptr_not_equal(help_find(cluster, "a:1"), a); /* who comes again is another one */
    cluster_endpoint_set_user(a, NULL);
    cluster_free(cluster);
}

static void the_current_region_stays_the_same_by_name_when_the_list_changes(void **state)
{
    (void)state;
    struct cluster *cluster = open_with(two_regions, 3);
    help_probes(cluster, "", 0);
    assert_int_equal(cluster_use_region(cluster, "far", false, 0), OK);
    const struct cluster_endpoint_spec turned[] = {two_regions[2], two_regions[0]};
    assert_int_equal(cluster_update(cluster, turned, 2, 1), OK);
    assert_string_equal(cluster_current_region(cluster), "far");
    assert_int_equal(cluster_update(cluster, two_regions, 2, 2), OK);
    assert_string_equal(cluster_current_region(cluster), "near");
    cluster_free(cluster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_failures_in_a_row_and_no_fewer_take_an_endpoint_down),
        cmocka_unit_test(failures_of_probes_count_as_those_of_requests_do),
        cmocka_unit_test(
            a_breaker_opens_for_half_a_second_then_one_then_two_and_one_good_probe_closes_it),
        cmocka_unit_test(what_was_sent_before_an_endpoint_went_down_does_not_bring_it_back),
        cmocka_unit_test(an_endpoint_that_answers_need_not_be_probed),
        cmocka_unit_test(who_owes_answers_and_says_nothing_is_probed_soon),
        cmocka_unit_test(with_all_of_them_down_nothing_is_asked_until_a_probe_is_good),
        cmocka_unit_test(a_retry_goes_to_another_of_the_region_if_it_has_one),
        cmocka_unit_test(retries_wait_for_half_a_second_then_one_then_two_with_jitter),
        cmocka_unit_test(
            a_region_is_left_when_all_of_it_is_down_and_taken_again_after_the_hold_down),
        cmocka_unit_test(an_interruption_begins_the_hold_down_anew),
        cmocka_unit_test(a_better_region_in_its_hold_down_is_better_than_none),
        cmocka_unit_test(a_region_by_hand_stays_until_it_is_down_or_for_good_by_force),
        cmocka_unit_test(the_history_tells_what_happened_the_newest_first_and_is_bounded),
        cmocka_unit_test(endpoints_that_stay_keep_their_state_and_a_bad_list_changes_nothing),
        cmocka_unit_test(without_memory_nothing_changes_and_nothing_is_lost),
        cmocka_unit_test(too_many_endpoints_or_regions_are_too_big),
        cmocka_unit_test(one_that_left_is_told_once_and_lives_until_nobody_holds_it),
        cmocka_unit_test(the_current_region_stays_the_same_by_name_when_the_list_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
